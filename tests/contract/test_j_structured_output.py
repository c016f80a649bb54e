"""Group J of the contract: structured output, for every kind of schema, method, model and path."""

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1
from tests.callers import call, pieces
from tests.recording import RecordingHandler
from tests.stub_models import STUB_MODELS

from langplug import ChatModel, Finish, Part, Reasoning, Request, ToolCall, UnsupportedError, Usage, chat_model
from langplug.models import ChatScripted

# --- schemas ---


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(description="In years.")


class PersonV1(BaseModelV1):
    """A person."""

    name: str
    age: int


class PersonDict(TypedDict):
    """A person."""

    name: str
    age: Annotated[int, ..., "In years."]


FUNCTION = {
    "name": "person",
    "description": "A person.",
    "parameters": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    },
}

BO = {"name": "Bo", "age": 3}
PROMPT = """Who is 'Bo', who is 3? An answer in JSON looks like {"name": "Bo", "age": 3}."""

SCHEMAS: dict[str, tuple[Any, Any]] = {
    "pydantic": (Person, Person(name="Bo", age=3)),
    "pydantic v1": (PersonV1, PersonV1(name="Bo", age=3)),
    "TypedDict": (PersonDict, BO),
    "JSON schema": (Person.model_json_schema(), BO),
    "JSON schema without title": ({key: FUNCTION["parameters"][key] for key in ("type", "properties", "required")}, BO),  # type: ignore[index]
    "OpenAI function": (FUNCTION, BO),
    "OpenAI tool": ({"type": "function", "function": FUNCTION}, BO),
    "OpenAI response format": (
        {"type": "json_schema", "json_schema": {"name": "person", "schema": FUNCTION["parameters"]}},
        BO,
    ),
}

METHODS = [None, "json_schema", "function_calling", "json_mode"]


@pytest.fixture(params=list(SCHEMAS.values()), ids=list(SCHEMAS))
def case(request: pytest.FixtureRequest) -> Any:
    """A schema, and Bo as it describes him."""
    return request.param


# --- paths ---

Get = Callable[[Runnable[Any, Any], Any], Any]


def by_invoke(chain: Runnable[Any, Any], given: Any) -> Any:
    return chain.invoke(given)


def by_ainvoke(chain: Runnable[Any, Any], given: Any) -> Any:
    return asyncio.run(chain.ainvoke(given))


def by_stream(chain: Runnable[Any, Any], given: Any) -> Any:
    return list(chain.stream(given))[-1]


def by_astream(chain: Runnable[Any, Any], given: Any) -> Any:
    return streamed(chain, given)[-1]


def streamed(chain: Runnable[Any, Any], given: Any) -> list[Any]:
    async def read() -> list[Any]:
        return [value async for value in chain.astream(given)]

    return asyncio.run(read())


def events(chain: Runnable[Any, Any], given: Any) -> list[Any]:
    async def read() -> list[Any]:
        return [event async for event in chain.astream_events(given, version="v2")]

    return asyncio.run(read())


def by_events(chain: Runnable[Any, Any], given: Any) -> Any:
    return events(chain, given)[-1]["data"]["output"]


def by_events_around(chain: Runnable[Any, Any], given: Any) -> Any:
    """As a node of a graph calls it: LangChain then streams what was invoked."""

    async def node(inner: Any) -> Any:
        return await chain.ainvoke(inner)

    return by_events(RunnableLambda(node), given)


GETS: dict[str, Get] = {
    "invoke": by_invoke,
    "ainvoke": by_ainvoke,
    "stream": by_stream,
    "astream": by_astream,
    "events": by_events,
    "events around": by_events_around,
}


@pytest.fixture(params=list(GETS.values()), ids=list(GETS))
def get(request: pytest.FixtureRequest) -> Get:
    """Each path to an object in turn."""
    return request.param  # type: ignore[no-any-return]


# --- J01, J02: objects ---


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["native", "native tools", "prompted"])
def test_j01_every_schema_gives_its_object(name: str, case: Any, method: Any, get: Get) -> None:
    """A class gives an instance, all else a dict, with each method, on each model and path."""
    schema, bo = case
    given = get(STUB_MODELS[name]().with_structured_output(schema, method=method), PROMPT)
    assert (bo, type(bo)) == (given, type(given))


def recorded(**capabilities: Any) -> tuple[ChatModel, list[Request]]:
    """A model that keeps the requests, and says what they ask for."""
    seen: list[Request] = []

    @chat_model(**capabilities)
    def recording(request: Request) -> Iterator[Part]:
        seen.append(request)
        if request.tools:
            yield ToolCall(name=request.tools[0]["function"]["name"], args=BO)
        else:
            yield json.dumps(BO)

    return recording(), seen


def way_of(request: Request) -> str:
    if request.tools:
        return "native tool"
    if request.schema is not None:
        return "native schema"
    told = request.messages[0].text
    return "prompted tool" if "Now you must call" in told else "prompted schema" if "JSON schema" in told else "none"


@pytest.mark.parametrize(
    ("capabilities", "method", "way"),
    [
        ({}, None, "prompted schema"),
        ({}, "json_schema", "prompted schema"),
        ({}, "json_mode", "prompted schema"),
        ({"tool_calling": "native"}, None, "native tool"),
        ({"tool_calling": "native"}, "json_schema", "prompted schema"),
        ({"tool_calling": "native"}, "function_calling", "native tool"),
        ({"structured_output": "native"}, None, "native schema"),
        ({"structured_output": "native"}, "json_mode", "native schema"),
        ({"structured_output": "native", "tool_calling": "native"}, None, "native schema"),
        ({"structured_output": "native", "tool_calling": "native"}, "function_calling", "native tool"),
        ({"tool_calling": "off"}, None, "prompted schema"),
    ],
)
def test_j02_the_method_is_the_one_that_was_chosen(capabilities: Any, method: Any, way: str, case: Any) -> None:
    """The surest way that the model has is taken by itself, and a method that is named is never swapped for another."""
    model, seen = recorded(**capabilities)
    model.with_structured_output(case[0], method=method).invoke("?")
    assert [way] == [way_of(request) for request in seen]


def test_j02_a_prompted_model_is_forced_to_call() -> None:
    """`function_calling` on a model that knows only text asks it for a call of the tool that stands for the schema."""
    model = ChatScripted(replies=['{"name": "Person", "arguments": {"name": "Bo", "age": 3}}'])
    assert Person(name="Bo", age=3) == model.with_structured_output(Person, method="function_calling").invoke("?")
    assert "prompted tool" == way_of(model.requests[0])


def test_j02_tools_that_are_off_refuse_the_method() -> None:
    """`function_calling` on a model without tools is refused when it is bound."""
    model, _ = recorded(tool_calling="off")
    with pytest.raises(UnsupportedError, match=r'tool_calling = "prompted"'):
        model.with_structured_output(Person, method="function_calling")


def test_j02_a_native_schema_is_the_callers(case: Any) -> None:
    """A model that keeps to schemas by itself gets the schema with a title, as JSON schema."""
    model, seen = recorded(structured_output="native")
    model.with_structured_output(case[0]).invoke("?")
    schema = seen[0].schema
    assert schema is not None
    assert ["name", "age"] == list(schema["properties"])
    assert isinstance(schema["title"], str)


def test_j_json_mode_asks_for_any_object() -> None:
    """`json_mode` says nothing of the schema: the prompt describes the form; what comes is checked."""
    model, seen = recorded()
    model.with_structured_output(Person, method="json_mode").invoke("?")
    assert '"type":"object"' in seen[0].messages[0].text
    assert '"name"' not in seen[0].messages[0].text


@pytest.mark.parametrize(
    ("schema", "kwargs", "complaint"),
    [
        (Person, {"method": "magic"}, r"method='magic' is unknown. Choose from json_schema"),
        (Person, {"methd": "json_mode"}, "with_structured_output takes no 'methd'"),
        ({"a": 1}, {}, r"\{'a': 1\} is not a schema. Give a pydantic class"),
        (int, {}, "is not a schema"),
        ("Person", {}, "is not a schema"),
        (None, {}, "is not a schema"),
        ({"a": 1}, {"method": "function_calling"}, "is not a schema"),
        (3, {"method": "json_mode"}, "is not a schema"),
    ],
)  # fmt: skip
def test_j02_what_makes_no_sense_is_refused_at_once(schema: Any, kwargs: Any, complaint: str) -> None:
    """A wrong schema, method or keyword is refused when it is bound, with what there is."""
    model, seen = recorded()
    with pytest.raises(ValueError, match=complaint):
        model.with_structured_output(schema, **kwargs)
    assert [] == seen


# --- asking again ---

WRONG = ["I do not know.", '{"name": "Bo"}', json.dumps(BO)]


def test_j_a_model_is_shown_its_own_error(get: Get) -> None:
    """An answer that is no JSON, or does not fit, is asked for again, with what was said and what was wrong."""
    model = ChatScripted(replies=WRONG)
    assert Person(name="Bo", age=3) == get(model.with_structured_output(Person), "?")
    first, second, third = model.requests
    assert ["?"] == [message.text for message in first.messages[-1:]]
    assert ["I do not know."] == [message.text for message in second.messages[-2:-1]]
    assert "Your answer is not JSON: there is no JSON in it" in second.text
    assert ['{"name": "Bo"}'] == [message.text for message in third.messages[-2:-1]]
    assert "$.age: Field required" in third.text


def test_j_asking_again_is_noted_and_its_usage_counts() -> None:
    """How often was asked stands in the message, and what it took in its usage."""
    replies = [[text, Usage(input_tokens=2, output_tokens=3)] for text in WRONG]
    raw = ChatScripted(replies=replies).with_structured_output(Person, include_raw=True).invoke("?")["raw"]
    assert {"input_tokens": 6, "output_tokens": 9, "total_tokens": 15} == raw.usage_metadata
    notes = [note["action"] for note in raw.response_metadata["adaptations"]]
    assert ["asked again: Your answer", "asked again: Your JSON d"] == [note[:24] for note in notes[-2:]]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_j_asking_again_is_bounded(get: Get, method: Any) -> None:
    """A model that never gives what was asked for is asked three times in all, and then the error says what it said."""
    model = ChatScripted(replies=["I do not know."], when_exhausted="repeat")
    with pytest.raises(OutputParserException, match=r"I do not know\."):
        get(model.with_structured_output(Person, method=method), "?")
    assert 3 == len(model.requests)


def test_j_a_native_model_is_asked_again_too(get: Get) -> None:
    """Also a model that keeps to schemas by itself may fail to."""
    model, seen = failing(structured_output="native")
    assert Person(name="Bo", age=3) == get(model.with_structured_output(Person), "?")
    assert [True, True] == [request.schema is not None for request in seen]


def failing(**capabilities: Any) -> tuple[ChatModel, list[Request]]:
    """A model that says the right thing when it is asked for the second time."""
    seen: list[Request] = []

    @chat_model(**capabilities)
    def late(request: Request) -> Iterator[Part]:
        seen.append(request)
        yield from pieces(WRONG[1] if len(seen) == 1 else WRONG[2])

    return late(), seen


# --- J03, J04: what does not fit ---

UNFIT = {
    "prose": "I do not know.",
    "nothing": "",
    "null": "null",
    "a list": "[1, 2]",
    "cut off": '{"name": "Bo", "a',
    "wrong type": '{"name": "Bo", "age": "three"}',
    "a key too few": '{"name": "Bo"}',
    "broken": "{'name': 'Bo', 'age': 3}",
    "too deep": "[" * 5000,
}


@pytest.mark.parametrize("kind", ["pydantic", "pydantic v1", "OpenAI function"])
@pytest.mark.parametrize("method", [None, "function_calling"])
@pytest.mark.parametrize("text", UNFIT.values(), ids=UNFIT)
def test_j04_never_none(kind: str, text: str, method: Any, get: Get) -> None:
    """Without `include_raw`, an answer that does not fit raises on every path; nothing is None."""
    model = ChatScripted(replies=[text], when_exhausted="repeat")
    with pytest.raises(OutputParserException) as caught:
        get(model.with_structured_output(SCHEMAS[kind][0], method=method), "?")
    assert text == caught.value.llm_output


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", UNFIT.values(), ids=UNFIT)
def test_j03_the_error_comes_along(text: str, method: Any, get: Get) -> None:
    """With `include_raw`, the error comes along with what the model said, and is not raised."""
    model = ChatScripted(replies=[text], when_exhausted="repeat")
    given = get(model.with_structured_output(Person, method=method, include_raw=True), "?")
    assert (None, OutputParserException) == (given["parsed"], type(given["parsing_error"]))
    assert text == given["raw"].text


@pytest.mark.parametrize("include_raw", [False, True])
def test_j04_a_broken_call_is_an_error(include_raw: bool, get: Get) -> None:
    """A native call whose arguments are broken, or do not fit, is an error as well."""
    for args in ('{"name": "Bo"', '{"name": "Bo"}', "[1]"):
        model = ChatScripted(replies=[ToolCall(name="Person", args=args)], when_exhausted="repeat")
        chain = model.with_structured_output(Person, method="function_calling", include_raw=include_raw)
        if include_raw:
            given = get(chain, "?")
            assert (None, OutputParserException) == (given["parsed"], type(given["parsing_error"]))
        else:
            with pytest.raises(OutputParserException):
                get(chain, "?")


@pytest.mark.parametrize("before", ["", "I call it."])
@pytest.mark.parametrize(
    ("kind", "name"), [("pydantic", "Person"), ("TypedDict", "PersonDict"), ("OpenAI tool", "person")]
)
def test_j04_the_error_shows_the_arguments(kind: str, name: str, before: str) -> None:
    """What a native model wrote for its call is in the error, as the text of any other answer is, broken or not."""
    for args in ('{"nome": "Bo", "age": "three"}', '{"nome": "Bo"', '["nome"]'):
        reply = [*filter(None, [before]), ToolCall(name=name, args=args)]
        chain = ChatScripted(replies=[reply], when_exhausted="repeat").with_structured_output(
            SCHEMAS[kind][0], method="function_calling"
        )
        with pytest.raises(OutputParserException, match=rf"It said: '{before}.*nome") as caught:
            chain.invoke("?")
        assert "nome" in str(caught.value.llm_output)


def test_j_an_answer_that_was_cut_off_says_so(get: Get) -> None:
    """Where the tokens ran out, the error says so, and the model is not asked again for what would be cut again."""
    model = ChatScripted(replies=[['{"name": "Bo", "a', Finish(reason="length")]], when_exhausted="repeat")
    with pytest.raises(OutputParserException, match="cut off at the token limit: allow more tokens"):
        get(model.with_structured_output(Person), "?")
    assert 1 == len(model.requests)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Bo", "age": 3}',
        'Sure!\n```json\n{"name": "Bo", "age": 3}\n```\nAnything else?',
        '```\n{"name": "Bo", "age": 3}\n```',
        'Here [as asked] it is: {"name": "Bo", "age": 3} – {done}',
        '\n\n {"name":\t"Bo", "age": 3.0}',
        '<think>\n{"name": "Al", "age": 9}\n</think>\n\n{"name": "Bo", "age": 3}',
    ],
)
def test_j_json_is_found_in_what_is_said(text: str, get: Get) -> None:
    """JSON may be fenced or have prose around it; what was thought is never read."""
    model = ChatScripted(replies=[list(pieces(text))], reasoning_tags=("<think>", "</think>"))
    assert Person(name="Bo", age=3) == get(model.with_structured_output(Person), "?")
    assert 1 == len(model.requests)


@pytest.mark.parametrize("method", METHODS)
def test_j_reasoning_is_never_read(method: Any, get: Get) -> None:
    """`Reasoning` parts with JSON and calls in them are no part of the answer."""
    bo = call("Person", **BO) if method == "function_calling" else json.dumps(BO)
    thought = (
        '{"name": "Al", "age": 9} <tool_call>{"name": "Person", "arguments": {"name": "Al", "age": 9}}</tool_call>'
    )
    model = ChatScripted(replies=[[Reasoning(thought), bo]])
    given = get(model.with_structured_output(Person, method=method, include_raw=True), "?")
    assert Person(name="Bo", age=3) == given["parsed"]
    assert [("reasoning", thought)] == [
        (block["type"], block["reasoning"]) for block in given["raw"].content_blocks if block["type"] == "reasoning"
    ]


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", list(STUB_MODELS))
def test_j_standard_content_gives_the_same(name: str, method: Any, version: Any, get: Get) -> None:
    """`output_version="v1"` changes the message and not the object."""
    model = STUB_MODELS[name](output_version=version)
    assert BO == get(model.with_structured_output(PersonDict, method=method), PROMPT)


# --- streams ---


@pytest.mark.parametrize("read", [lambda chain, given: list(chain.stream(given)), streamed], ids=["stream", "astream"])
@pytest.mark.parametrize("name", ["native", "prompted"])
def test_j01_dicts_grow(name: str, read: Any) -> None:
    """A dict is streamed as it grows: each has all that the one before it had, and the last is whole."""
    given = read(STUB_MODELS[name]().with_structured_output(PersonDict), PROMPT)
    assert len(given) > 2
    assert BO == given[-1]
    for before, after in pairwise(given):
        assert before != after
        assert before.keys() <= after.keys()
        assert str(after.get("name", "")).startswith(str(before.get("name", "")))


@pytest.mark.parametrize("read", [lambda chain, given: list(chain.stream(given)), streamed], ids=["stream", "astream"])
def test_j01_an_instance_comes_once(read: Any) -> None:
    """An instance of a class is streamed once, when it is whole and checked."""
    assert [Person(name="Bo", age=3)] == read(STUB_MODELS["prompted"]().with_structured_output(Person), PROMPT)


def test_j_what_was_void_is_replaced() -> None:
    """Asked again in the middle of a stream, the dict grows anew, with nothing of the void answer in it."""
    given = list(
        ChatScripted(replies=[['{"name": ', '"Al"}'], json.dumps(BO)]).with_structured_output(PersonDict).stream("?")
    )
    assert {"name": "Al"} in given
    assert BO == given[-1]


# --- J05: traces, options, the cache ---


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream", "events around"])
@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", list(STUB_MODELS))
def test_j05_traces_know_the_schema_and_nothing_of_ours(name: str, method: Any, include_raw: bool, path: str) -> None:
    """Traces hold `ls_structured_output_format`, and none of the keywords by which langplug talks to itself."""
    model = STUB_MODELS[name]()
    chain = model.with_structured_output(Person, method=method, include_raw=include_raw)
    seen = RecordingHandler()
    GETS[path](chain.with_config(callbacks=[seen]), PROMPT)
    told = seen.started
    assert 1 == len(seen.run_ids)
    shown = told["options"]["ls_structured_output_format"]
    assert convert_to_json_schema(Person) == shown["schema"]
    assert shown["kwargs"]["method"] == method or method is None
    assert "ls_structured_output_format" not in told["invocation_params"]
    assert "langplug_" not in str(told)


def test_j05_events_know_nothing_of_ours() -> None:
    """Events hold none of langplug's keywords either."""
    told = str(events(STUB_MODELS["prompted"]().with_structured_output(Person), PROMPT))
    assert "langplug_" not in told


@pytest.mark.parametrize("strict", [None, True, False])
def test_j05_strict_reaches_the_model(strict: bool | None) -> None:
    """A model that keeps to schemas is told whether to the letter, in our keyword and in OpenAI's form alike."""
    model, seen = recorded(structured_output="native")
    model.with_structured_output(Person, strict=strict).invoke("?")
    form = {"name": "person", "schema": FUNCTION["parameters"], **({} if strict is None else {"strict": strict})}
    model.invoke("?", response_format={"type": "json_schema", "json_schema": form})
    assert [strict, strict] == [request.strict for request in seen]


def test_j05_strict_reaches_the_tool() -> None:
    """With native tools, `strict` stands in the tool."""
    model, seen = recorded(tool_calling="native")
    model.with_structured_output(Person, strict=True).invoke("?")
    assert seen[0].tools[0]["function"]["strict"] is True


def test_j_the_cache_key_follows_the_schema() -> None:
    """Another schema or method is another entry, the same one is the same, and no key holds an address."""
    model = ChatScripted(replies=["hi"])

    class Other(BaseModel):
        """A person."""

        name: str

    def key(schema: Any, method: Any) -> str:
        return str(model.cache_key(**bound_of(model.with_structured_output(schema, method=method)).kwargs))

    keys = [
        key(Person, "json_schema"),
        key(Other, "json_schema"),
        key(Person, "function_calling"),
        key(Person, "json_mode"),
    ]
    keys += [model.cache_key(), key(PersonDict, "json_schema")]
    assert len(keys) == len(set(keys))
    assert key(Person, "json_schema") == keys[0]
    assert not any("0x" in one for one in keys)


def bound_of(chain: Any) -> Any:
    return chain.first


# --- J06: events ---


@pytest.mark.parametrize("name", ["native", "prompted"])
def test_j06_what_is_asked_again_inside_a_graph_leaves_one_message(name: str) -> None:
    """Where LangChain streams what was invoked, the message is the last answer alone."""
    model = ChatScripted(replies=WRONG)
    chain = model.with_structured_output(Person, include_raw=True)

    async def node(given: Any) -> Any:
        return await chain.ainvoke(given)

    given = events(RunnableLambda(node), "?")
    (ended,) = [event for event in given if event["event"] == "on_chat_model_end"]
    assert BO == json.loads(ended["data"]["output"].text)
    assert "langplug_" not in str(ended)


# --- what agents send uninvited ---

UNINVITED: dict[str, Any] = {
    "OpenAI": {
        "type": "json_schema",
        "json_schema": {"name": "person", "schema": FUNCTION["parameters"], "strict": True},
    },
    "class": Person,
    "schema": Person.model_json_schema(),
    "object": {"type": "json_object"},
}


@pytest.mark.parametrize("format_", UNINVITED.values(), ids=UNINVITED)
@pytest.mark.parametrize("name", list(STUB_MODELS))
def test_j_a_response_format_gives_json_alone(name: str, format_: Any) -> None:
    """`response_format=` of a call gives a message whose whole text is JSON that fits, invoked and streamed."""
    model = STUB_MODELS[name]()
    whole = model.invoke(PROMPT, response_format=format_).text
    pieces_ = "".join(chunk.text for chunk in model.stream(PROMPT, response_format=format_))
    assert BO.keys() == json.loads(whole).keys() == json.loads(pieces_).keys()


def test_j_plain_text_is_a_format_too() -> None:
    """`{"type": "text"}` asks for nothing."""
    model, seen = recorded()
    model.invoke("?", response_format={"type": "text"})
    assert ("none", None) == (way_of(seen[0]), seen[0].schema)


def test_j_a_model_that_may_call_answers_with_a_call_or_json() -> None:
    """With tools and a schema, a call is no answer to check, and text is; the prompt says both."""
    capable: Any
    for capable in ({}, {"structured_output": "native"}):
        replies = ['{"name": "look", "arguments": {}}', "no idea", json.dumps(BO)]
        seen: list[Request] = []

        @chat_model(**capable)  # type: ignore[untyped-decorator]
        def model(request: Request) -> str:
            seen.append(request)  # noqa: B023 - used within this turn of the loop
            return replies.pop(0)  # noqa: B023

        look = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
        bound = model().bind_tools([look], response_format=Person)
        assert ["look"] == [one["name"] for one in bound.invoke("?").tool_calls]
        assert BO == json.loads(bound.invoke("?").text)
        assert [3, True] == [
            len(seen),
            all("Unless you call a tool, answer with JSON" in one.messages[0].text for one in seen),
        ]
        assert all(one.schema is None for one in seen)


@pytest.mark.parametrize("capable", [{}, {"structured_output": "native"}], ids=["prompted", "native schema"])
def test_j_who_must_call_is_told_nothing_of_json(capable: Any) -> None:
    """Where a call is forced, the schema of an answer that cannot come is not in the prompt."""
    seen: list[Request] = []

    @chat_model(**capable)
    def model(request: Request) -> str:
        seen.append(request)
        return '{"name": "look", "arguments": {}}'

    look = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
    bound = model().bind_tools([look], tool_choice="any", response_format=Person)
    assert ["look"] == [one["name"] for one in bound.invoke("?").tool_calls]
    assert "JSON schema" not in seen[0].messages[0].text


def test_j_the_chain_is_a_runnable_like_others() -> None:
    """It has schemas, a graph and a name, batches, and takes parameters of a call."""
    chain = STUB_MODELS["prompted"]().with_structured_output(Person)
    assert [Person(name="Bo", age=3)] * 2 == chain.batch([PROMPT, PROMPT])
    assert [Person(name="Bo", age=3)] * 2 == asyncio.run(chain.abatch([PROMPT, PROMPT]))
    assert chain.get_input_jsonschema()
    assert chain.get_graph().nodes
    assert Person(name="Bo", age=3) == chain.with_retry().invoke(PROMPT)
    assert Person(name="Bo", age=3) == chain.invoke(PROMPT, stop=["nothing"])


def test_j_chunks_of_a_raw_stream_are_messages() -> None:
    """With `include_raw`, what a stream gives as raw adds up like any answer."""
    given = list(STUB_MODELS["native"]().with_structured_output(Person, include_raw=True).stream(PROMPT))
    assert isinstance(given[-1]["raw"], AIMessageChunk)
    assert BO == json.loads(given[-1]["raw"].text)
