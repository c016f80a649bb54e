"""Group I of the contract: tools, for every way in which a model calls them."""

import json
from functools import partial
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.load import dumps, loads
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1
from tests.callers import CALLERS, NATIVE, PROMPTED, TOOLS, MakeCaller, Turn, add, call, caller, now
from tests.paths import PATHS, STREAMED, Path, beta_allowed

from langplug import (
    ChatModel,
    Part,
    Reasoning,
    Request,
    ToolCall,
    UnmetDemandError,
    UnsupportedError,
    Usage,
    chat_model,
)
from langplug.models import ChatScripted

ONE: Turn = [call("add", a=1, b=2)]
TWO: Turn = [call("add", a=1, b=2), call("add", a=3, b=4)]
BESIDE_TEXT: Turn = ["Let me see:", *TWO]


@pytest.fixture(params=list(CALLERS))
def make(request: pytest.FixtureRequest) -> MakeCaller:
    """Each model that calls tools in turn."""
    return CALLERS[request.param]


def made(message: AIMessage) -> list[tuple[str, Any]]:
    return [(one["name"], one["args"]) for one in message.tool_calls]


def expected(turn: Turn) -> list[tuple[str | None, Any]]:
    return [(part.name, part.args) for part in turn if isinstance(part, ToolCall)]


# --- I01: what can be bound ---


class AddV2(BaseModel):
    """Adds two numbers."""

    a: int = Field(description="The first.")
    b: int = 0


class AddV1(BaseModelV1):
    """Adds two numbers."""

    a: int


class AddDict(TypedDict):
    """Adds two numbers."""

    a: Annotated[int, ..., "The first."]


def add_function(a: int, b: int = 0) -> int:
    """Adds two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


class AddTool(BaseTool):
    """A tool as a class."""

    name: str = "add_tool"
    description: str = "Adds two numbers."
    args_schema: type[BaseModel] = AddV2

    def _run(self, a: int, b: int = 0) -> int:
        return a + b


NESTED = {
    "title": "order",
    "description": "Orders.",
    "type": "object",
    "properties": {
        "size": {"type": "string", "enum": ["small", "large"], "description": "How large."},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
    },
    "required": ["items"],
    "$defs": {"item": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}

KINDS = {
    "decorated": add,
    "class": AddTool(),
    "structured": StructuredTool.from_function(add_function),
    "function": add_function,
    "pydantic": AddV2,
    "pydantic v1": AddV1,
    "TypedDict": AddDict,
    "JSON schema": NESTED,
    "OpenAI tool": convert_to_openai_tool(add),
    "OpenAI function": convert_to_openai_tool(add)["function"],
    "Anthropic tool": {"name": "add", "description": "Adds.", "input_schema": NESTED},
}


def native(*parts: Part, **settings: Any) -> tuple[ChatModel, list[Request]]:
    return caller(NATIVE["native, generator"], *([list(parts)] if parts else [["ok"]]), **settings)


def prompted(*parts: Part, **settings: Any) -> tuple[ChatModel, list[Request]]:
    return caller(PROMPTED["prompted, generator"], *([list(parts)] if parts else [["ok"]]), **settings)


def system_of(request: Request) -> str:
    """What the model is told before the conversation."""
    first = request.messages[0]
    return first.text if isinstance(first, SystemMessage) else ""


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_i01_every_kind_of_tool_reaches_a_native_model(kind: Any) -> None:
    """What LangChain knows as a tool reaches the author as an OpenAI tool dict, its schema unchanged."""
    model, seen = native()
    model.bind_tools([kind]).invoke("?")
    described = convert_to_openai_tool(kind)
    assert (described,) == seen[0].tools
    assert [described] == seen[0].openai_tools()
    assert "auto" == seen[0].tool_choice


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_i01_every_kind_of_tool_is_told_to_a_prompted_model(kind: Any) -> None:
    """A prompted model reads the name, the description and the whole schema in its system prompt."""
    model, seen = prompted()
    model.bind_tools([kind]).invoke([SystemMessage("Be kind."), HumanMessage("?")])
    told = [json.loads(line) for line in system_of(seen[0]).splitlines() if line.startswith('{"name": ')]
    function = convert_to_openai_tool(kind)["function"]
    assert {key: function[key] for key in ("name", "description", "parameters")} == told[0]
    assert system_of(seen[0]).startswith("Be kind.\n\nYou can call these tools:")
    assert () == seen[0].tools


@pytest.fixture(params=["invoke", "astream"])
def call_path(request: pytest.FixtureRequest) -> Path:
    """A whole and a streamed path, where six would show nothing more."""
    return PATHS[request.param]


def test_i01_no_tools_are_no_tools(make: MakeCaller, call_path: Path) -> None:
    """`bind_tools([])` binds nothing: the model gets no tools, no choice and no instructions."""
    model, seen = caller(make, ["hi"])
    assert "hi" == call_path(model.bind_tools([]), "?").text
    assert ((), None, "") == (seen[0].tools, seen[0].tool_choice, system_of(seen[0]))


def test_i01_what_is_no_tool_is_refused(make: MakeCaller) -> None:
    """A tool without a name, two with one name, and what is none are refused when bound."""
    model, _ = caller(make, ["hi"])
    refused: list[tuple[Any, str]] = [
        ([{"type": "function", "function": {"description": "?"}}], "has no name"),
        ([add, AddTool(name="add")], "Two tools are named 'add'"),
        ([{"nonsense": 1}], "Unsupported function"),
        (add, r"expected a list of tools. Put brackets around it"),
        (add_function, r"expected a list of tools. Put brackets around it"),
        ("add", r"expected a list of tools. Put brackets around it"),
    ]
    for tools, complaint in refused:
        with pytest.raises(ValueError, match=complaint):
            model.bind_tools(tools)


def test_i01_a_tool_that_is_given_twice_counts_once() -> None:
    """The same tool as an object and as a dict is one tool."""
    model, seen = native()
    model.bind_tools([add, convert_to_openai_tool(add)]).invoke("?")
    assert (convert_to_openai_tool(add),) == seen[0].tools


@pytest.mark.parametrize("strict", [None, True, False])
def test_i110_strict_reaches_the_model(strict: bool | None) -> None:
    """`strict` stands in the tools as OpenAI has it, and nowhere if it was not given."""
    model, seen = native()
    model.bind_tools([add], strict=strict).invoke("?")
    assert (convert_to_openai_tool(add, strict=strict),) == seen[0].tools
    assert strict == seen[0].tools[0]["function"].get("strict")


def test_i01_tools_of_one_call(make: MakeCaller, call_path: Path) -> None:
    """`tools=` and `tool_choice=` of one call do what `bind_tools` does, for objects and dicts alike."""
    model, seen = caller(make, ONE)
    for tools in ([add, now], [convert_to_openai_tool(add)]):
        message = call_path(model, "?", tools=tools, tool_choice="add").message
        assert expected(ONE) == made(message)
    seen.clear()
    with pytest.raises(ValueError, match="names no bound tool"):
        call_path(model, "?", tools=[add], tool_choice="mul")
    assert [] == seen


def test_i01_tools_that_are_off() -> None:
    """A model without tools says which line turns them on, when they are bound and when they come with a call."""

    class ChatMute(ChatModel):
        tool_calling = "off"

        def respond(self, request: Request, /) -> str:
            return "hi"

    for attempt in (partial(ChatMute().bind_tools, [add]), partial(ChatMute().invoke, "?", tools=[add])):
        with pytest.raises(UnsupportedError, match=r'ChatMute.*`tool_calling = "prompted"`.*`tool_calling = "native"`'):
            attempt()
    assert "hi" == ChatMute().bind_tools([]).invoke("?").text
    assert ChatMute().profile is not None
    assert ChatMute().profile["tool_calling"] is False  # type: ignore[index,typeddict-item]


# --- I02, I12: the choice ---

NAMED = {"type": "function", "function": {"name": "add"}}

CHOICES = {
    "None": (None, "auto"),
    "auto": ("auto", "auto"),
    "False": (False, "auto"),
    "any": ("any", "required"),
    "required": ("required", "required"),
    "none": ("none", "none"),
    "name": ("add", NAMED),
    "OpenAI dict": (NAMED, NAMED),
    "Anthropic dict": ({"type": "tool", "name": "add"}, NAMED),
}


@pytest.mark.parametrize(("choice", "reaches"), CHOICES.values(), ids=CHOICES)
def test_i02_the_choice_reaches_a_native_model(choice: Any, reaches: Any) -> None:
    """Every way to choose reaches the author in OpenAI's form."""
    model, seen = native(*ONE)
    model.bind_tools([add, now], tool_choice=choice).invoke("?")
    assert reaches == seen[0].tool_choice


def test_i02_true_is_the_only_tool() -> None:
    """True chooses the only tool there is; with two it is refused."""
    model, seen = native(*ONE)
    model.bind_tools([add], tool_choice=True).invoke("?")
    assert NAMED == seen[0].tool_choice
    with pytest.raises(ValueError, match="there are 2: name one"):
        model.bind_tools([add, now], tool_choice=True)


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("auto", "If no tool is needed, answer in plain text instead."),
        ("any", "Now you must call a tool."),
        ("add", 'Now you must call the tool "add".'),
    ],
)
def test_i02_the_choice_is_told_to_a_prompted_model(choice: str, told: str) -> None:
    """A prompted model reads in words what it must do."""
    model, seen = prompted(*ONE)
    model.bind_tools([add, now], tool_choice=choice).invoke("?")
    assert told in system_of(seen[0])
    assert (choice == "add") == ('"name": "now"' not in system_of(seen[0]))


@pytest.mark.parametrize("choice", ["mul", {"type": "function", "function": {"name": "mul"}}, {"type": "x"}, 3])
def test_i02_an_unknown_choice_is_refused(make: MakeCaller, choice: Any) -> None:
    """A choice that names no bound tool is refused when it is bound, and the bound ones are named."""
    model, seen = caller(make, ONE)
    with pytest.raises(ValueError, match=r"names no bound tool\. Bound are: add, now"):
        model.bind_tools([add, now], tool_choice=choice)
    assert [] == seen


def test_i02_a_choice_without_tools_is_refused(make: MakeCaller) -> None:
    """Where nothing is bound, a call cannot be forced."""
    model, seen = caller(make, ONE)
    with pytest.raises(ValueError, match="without tools"):
        model.bind_tools([], tool_choice="any").invoke("?")
    assert [] == seen


@pytest.fixture(params=list(PATHS))
def path(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn."""
    return PATHS[request.param]


def test_i12_none_tells_a_prompted_model_nothing_of_tools() -> None:
    """What must not be called is not told."""
    model, seen = prompted()
    model.bind_tools(TOOLS, tool_choice="none").invoke("?")
    assert "" == system_of(seen[0])


@pytest.mark.parametrize("choice", ["any", "add"])
def test_i12_a_forced_call_is_asked_for_again(make: MakeCaller, path: Path, choice: str) -> None:
    """A model that talks, or calls with wrong arguments, is asked again and told what was wrong."""
    model, seen = caller(make, ["I would rather not."], [call("add", a=1)], ONE)
    answered = path(model.bind_tools([add, now] if choice == "add" else [add], tool_choice=choice), "?")
    assert expected(ONE) == made(answered.message)
    assert "" == answered.text
    assert 3 == len(seen)
    told = seen[2].openai_messages()
    assert "I would rather not." in str(told)
    assert "You called no tool. You must call the tool 'add' now" in str(told)
    assert "$ lacks 'b'" in told[-1]["content"]
    notes = [note["action"] for note in answered.message.response_metadata["adaptations"]]
    assert 2 == len([note for note in notes if note.startswith("asked again")])


@pytest.mark.parametrize("name", list(NATIVE))
def test_i12_each_attempt_begins_uncancelled(name: str, path: Path) -> None:
    """That one attempt is over does not tell the next one that nobody waits for it any more."""
    model, seen = caller(NATIVE[name], ["No."], ["No!"], ONE)
    waited_for: list[bool] = []
    model = model.model_copy(update={"seen": Noting(seen, waited_for)})
    assert expected(ONE) == made(path(model.bind_tools([add], tool_choice="any"), "?").message)
    assert [True] * 3 == waited_for


class Noting(list[Request]):
    """Keeps requests, and whether somebody waited for the answer as they came."""

    def __init__(self, seen: list[Request], waited_for: list[bool]) -> None:
        super().__init__(seen)
        self.waited_for = waited_for

    def append(self, request: Request) -> None:
        self.waited_for.append(not request.cancelled)
        super().append(request)


def test_i12_a_native_model_is_shown_its_wrong_call() -> None:
    """Asked again, a native model gets its call and the problem as the call's result, as its wire wants it."""
    model, seen = caller(NATIVE["native, generator"], [call("add", a=1)], ONE)
    model.bind_tools([add], tool_choice="any").invoke("?")
    *_, said, result = seen[1].openai_messages()
    assert {"a": 1} == json.loads(said["tool_calls"][0]["function"]["arguments"])
    assert ("tool", said["tool_calls"][0]["id"]) == (result["role"], result["tool_call_id"])
    assert result["content"].startswith("Error: ")
    assert "lacks 'b'" in result["content"]


def test_i12_a_prompted_model_is_shown_its_wrong_call() -> None:
    """Asked again, a prompted model reads its call as it writes them, and the problem as its result."""
    model, seen = caller(PROMPTED["prompted, generator"], [call("add", a=1)], ONE)
    model.bind_tools([add], tool_choice="any").invoke("?")
    said, result = seen[1].messages[-2:]
    assert '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>' == said.text
    assert ("human", True) == (result.type, "lacks 'b'" in result.text)


def test_i12_a_call_that_never_comes_is_an_error(make: MakeCaller, path: Path) -> None:
    """A model that does not call, however often it is asked, raises an error that holds its last answer."""
    model, seen = caller(make, ["No."])
    with pytest.raises(UnmetDemandError, match=r"asked 3 times.*You must call the tool .add. now") as caught:
        path(model.bind_tools([add], tool_choice="any"), "?")
    assert caught.value.partial is not None
    assert "No." == caught.value.partial.text
    assert 3 == len(seen)
    assert not caught.value.is_retryable


def test_i12_the_usage_of_all_attempts_counts(path: Path) -> None:
    """What the attempts took is added up."""
    model, _ = caller(NATIVE["native, generator"], ["No."], ["No!"], ONE)
    message = path(model.bind_tools([add], tool_choice="any"), "?").message
    assert {"input_tokens": 6, "output_tokens": 9, "total_tokens": 15} == message.usage_metadata


def test_i12_an_attempt_without_usage_does_not_lose_that_of_the_others(path: Path) -> None:
    """Where some attempts report no usage, that of the others is kept; an estimate fills the gaps, and says so."""
    turns = [["No.", Usage(input_tokens=2, output_tokens=1)], ToolCall(name="add", args={"a": 1, "b": 2})]
    reported = path(ChatScripted(replies=turns).bind_tools([add], tool_choice="any"), "?").message
    assert {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3} == reported.usage_metadata
    counting = ChatScripted(replies=turns, token_counter=lambda text: 100)
    estimated = path(counting.bind_tools([add], tool_choice="any"), "?").message
    assert estimated.usage_metadata is not None
    assert estimated.usage_metadata["total_tokens"] > 103
    assert estimated.response_metadata["usage_estimated"] is True


class Counting(BaseRateLimiter):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.count = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.count += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


def test_i12_each_attempt_waits_for_the_rate_limiter(path: Path) -> None:
    """The rate limiter is asked once for each time that the model is."""
    limiter = Counting()
    model, seen = caller(NATIVE["native, generator"], ["No."], ["No!"], ONE, rate_limiter=limiter)
    path(model.bind_tools([add], tool_choice="any"), "?")
    assert 3 == len(seen) == limiter.count


def test_i12_a_call_of_another_tool_is_not_the_forced_one(make: MakeCaller) -> None:
    """Where one tool is named, a call of another does not count."""
    model, seen = caller(make, [call("now")], ONE)
    assert expected(ONE) == made(model.bind_tools(TOOLS, tool_choice="add").invoke("?"))
    assert 2 == len(seen)


def test_i111_one_call_at_most(make: MakeCaller, path: Path) -> None:
    """`parallel_tool_calls=False` reaches the model, and leaves the first call alone; it is noted."""
    model, seen = caller(make, BESIDE_TEXT)
    message = path(model.bind_tools(TOOLS, parallel_tool_calls=False), "?").message
    assert [("add", {"a": 1, "b": 2})] == made(message)
    assert seen[0].parallel_tool_calls is False or "Call one tool at most." in system_of(seen[0])
    assert "dropped" in str(message.response_metadata["adaptations"])


# --- I03 to I08: calls ---

ANSWERS: dict[str, Turn] = {
    "one": ONE,
    "parallel": TWO,
    "beside text": BESIDE_TEXT,
    "no arguments": [call("now")],
    "parallel, no arguments": [call("now"), call("now")],
    "unicode": [call("greet", name='你好啊集团 👩‍👩‍👧 é שלום \x00 " \\ \n')],
    "markup in arguments": [call("greet", name='</tool_call> {"name": "add"} <think>')],
    "different tools": [call("now"), call("add", a=0, b=-1), call("greet", name="")],
    "thought before": [Reasoning("Call add({'a': 9}) now? <tool_call>"), "Well:", *TWO],
}


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("turn", ANSWERS.values(), ids=ANSWERS)
def test_i03_to_i08_calls_are_the_same_everywhere(make: MakeCaller, path: Path, turn: Turn, version: Any) -> None:
    """Calls come out whole, apart and in order on every path, next to the text, with ids of their own."""
    model, _ = caller(make, turn, output_version=version)
    answered = path(model.bind_tools(TOOLS), "?")
    message = answered.message
    text = "".join(part for part in turn if isinstance(part, str))
    assert expected(turn) == made(message)
    assert [] == message.invalid_tool_calls
    assert text == message.text == answered.text
    ids = [one["id"] for one in message.tool_calls]
    assert len(ids) == len(set(ids) - {None, ""})
    assert {"tool_call"} == {one["type"] for one in message.tool_calls}
    assert "tool_calls" == message.response_metadata["finish_reason"]
    blocks = [block for block in message.content_blocks if block["type"] == "tool_call"]
    assert made(message) == [(block["name"], block["args"]) for block in blocks]
    kinds = [block["type"] for block in message.content_blocks]
    thought = ["reasoning"] if any(isinstance(part, Reasoning) for part in turn) else []
    assert [*thought, *(["text"] if text else []), *["tool_call"] * len(ids)] == kinds


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("turn", ANSWERS.values(), ids=ANSWERS)
def test_i03_messages_with_calls_survive_json(make: MakeCaller, turn: Turn, version: Any) -> None:
    """A message with calls is the same after it was dumped and loaded."""
    model, _ = caller(make, turn, output_version=version)
    message = model.bind_tools(TOOLS).invoke("?")
    with beta_allowed():
        assert message == loads(dumps(message), allowed_objects=[AIMessage])


def test_i07_prose_is_not_held_back() -> None:
    """A prompted model's first words are given on while it still speaks."""
    told: list[str] = []

    @chat_model
    def slow(request: Request):  # type: ignore[no-untyped-def] # noqa: ANN202
        for word in ("Let ", "me ", '<tool_call>{"name": "now"}', "</tool_call>"):
            told.append(word)
            yield word

    stream = slow().bind_tools(TOOLS).stream("?")
    assert "Let" == next(stream).text
    assert len(told) < 4
    assert "".join(chunk.text for chunk in stream) == " me"


def test_i_only_bound_tools_are_called(path: Path) -> None:
    """What looks like a call of a tool that is not bound stays text."""
    model, _ = prompted(call("add", a=1, b=2))
    answered = path(model.bind_tools([now]), "?")
    assert ([], []) == (answered.message.tool_calls, answered.message.invalid_tool_calls)
    assert '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>' == answered.text


def test_i_without_tools_markup_is_text(path: Path) -> None:
    """A prompted model without tools says what it says."""
    model, _ = prompted(call("now"))
    answered = path(model, "?")
    assert [] == answered.message.tool_calls
    assert answered.text.startswith("<tool_call>")


# --- I06: broken arguments ---

BROKEN = ['{"a": 1', '{"a": 1, "b": "x', "{", "nonsense", '{"a": 1}}', "[1, 2]", "1", '"text"', "true", '{"a": tru']


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("args", BROKEN)
def test_i06_broken_arguments_are_an_invalid_call(path: Path, args: str, version: Any) -> None:
    """What is no JSON object ends as an invalid call that holds what came, on every path, and never as a valid one."""
    for name in ("native, function", "native, generator", "native, coroutine", "native, async generator", "scripted"):
        model, _ = caller(
            CALLERS[name], ["Let me see:", ToolCall(name="add", args=args, id="c1")], output_version=version
        )
        message = path(model.bind_tools(TOOLS), "?").message
        assert [] == message.tool_calls
        (broken,) = message.invalid_tool_calls
        assert ("add", "c1") == (broken["name"], broken["id"])
        assert (broken["args"] or "").startswith(args)
        assert "Let me see:" == message.text


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("args", ['{"a": 1', '{"a": 1, "b": "x', "{", '{"a": nonsense}', '{"a": tru'])
def test_i06_a_truncated_call_in_text_is_an_invalid_call(path: Path, args: str, version: Any) -> None:
    """A prompted model's call that was cut off ends as an invalid call; its markup does not end up in the text."""
    text = f'Let me see:\n<tool_call>\n{{"name": "add", "arguments": {args}'
    model = ChatScripted(replies=[list(text)], output_version=version)
    message = path(model.bind_tools(TOOLS), "?").message
    assert [] == message.tool_calls
    assert ["add"] == [broken["name"] for broken in message.invalid_tool_calls]
    assert "Let me see:" == message.text


@pytest.mark.parametrize("path", STREAMED.values(), ids=STREAMED)
def test_i06_the_sound_call_stays_beside_the_broken_one(path: Path) -> None:
    """A broken call does not take the whole ones with it."""
    model = ChatScripted(replies=[[call("now"), ToolCall(name="add", args='{"a": 1'), call("greet", name="Bo")]])
    message = path(model.bind_tools(TOOLS), "?").message
    assert [("now", {}), ("greet", {"name": "Bo"})] == made(message)
    assert ["add"] == [broken["name"] for broken in message.invalid_tool_calls]
