"""Group I of the contract: how calls stand in a model's text, what is noted, and the cache."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    SystemMessage,
)
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel
from tests.callers import NATIVE, PROMPTED, TOOLS, Turn, add, call, caller, greet, now
from tests.contract.test_i_histories import HISTORY
from tests.paths import PATHS, Path

from langplug import (
    TOOL_FORMATS,
    ChatModel,
    Part,
    Request,
    ToolCall,
    ToolFormat,
    UnsupportedError,
)
from langplug.models import ChatScripted

AB = ("add", {"a": 1, "b": 2})
ONE: Turn = [call("add", a=1, b=2)]


@pytest.fixture(params=list(PATHS))
def path(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn."""
    return PATHS[request.param]


def made(message: AIMessage) -> list[tuple[str, Any]]:
    return [(one["name"], one["args"]) for one in message.tool_calls]


def native(*parts: Part, **settings: Any) -> tuple[ChatModel, list[Request]]:
    return caller(NATIVE["native, generator"], list(parts), **settings)


def prompted(*parts: Part, **settings: Any) -> tuple[ChatModel, list[Request]]:
    return caller(PROMPTED["prompted, generator"], list(parts), **settings)


def system_of(request: Request) -> str:
    """What the model is told before the conversation."""
    first = request.messages[0]
    return first.text if isinstance(first, SystemMessage) else ""


def test_i_prompted_tools_are_noted(path: Path) -> None:
    """What langplug does in a prompted model's place is noted, with the format; a native model needs nothing."""
    model, _ = prompted(*ONE)
    metadata = path(model.bind_tools(TOOLS), "?").message.response_metadata
    assert [("tools", "prompted in the 'default' format")] == [
        (note["feature"], note["action"][:32]) for note in metadata["adaptations"]
    ]
    model, _ = native(*ONE)
    assert "adaptations" not in path(model.bind_tools(TOOLS), "?").message.response_metadata


def test_i_a_model_that_must_not_be_helped_refuses_tools() -> None:
    """With `adaptations="refuse"` a prompted model says that it cannot call tools by itself."""
    model, _ = prompted(*ONE, adaptations="refuse")
    with pytest.raises(UnsupportedError, match="cannot do 'tools' by itself"):
        model.bind_tools(TOOLS).invoke("?")


@pytest.mark.parametrize("name", sorted(TOOL_FORMATS))
def test_i_each_format_can_be_set_by_name(name: str, path: Path) -> None:
    """A model whose `tool_format` is a known name is instructed and read in that format."""
    written = TOOL_FORMATS[name].call("add", {"a": 1, "b": 2}, "")
    model = ChatScripted(replies=[["Well.\n", *written]], tool_format=name)
    answered = path(model.bind_tools(TOOLS), "?")
    assert ([AB], "Well.") == (made(answered.message), answered.text)
    assert TOOL_FORMATS[name].call("add", {"a": 1, "b": 1}, "") in system_of(model.requests[0])


@pytest.mark.parametrize(
    ("model_name", "format_name"),
    [
        ("Qwen3-8B", "hermes"),
        ("mistral-small-3", "mistral"),
        ("Llama-3.2-1B", "llama3"),
        ("Qwen3-Coder-30B", "qwen_coder"),
        ("x", "default"),
    ],
)
def test_i_the_format_follows_the_models_name(model_name: str, format_name: str) -> None:
    """Where the model's name tells which format it speaks, that one is taken."""

    class ChatNamed(ChatModel):
        model: str

        def respond(self, request: Request, /) -> str:
            return "ok"

    metadata = ChatNamed(model=model_name).bind_tools(TOOLS).invoke("?").response_metadata
    assert f"{format_name!r} format" in metadata["adaptations"][0]["action"]


class AddV2(BaseModel):
    """Adds two numbers."""

    a: int


class Shouted:
    """Reads `CALL name {json}` lines: a parser as an author writes it."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, text: str) -> list[str | ToolCall]:
        self._text += text
        return []

    def flush(self) -> list[str | ToolCall]:
        lines, self._text = self._text.splitlines(keepends=True), ""
        return [self._read(line) for line in lines]

    def _read(self, line: str) -> str | ToolCall:
        word, _, rest = line.partition(" ")
        name, _, args = rest.partition(" ")
        return ToolCall(name=name, args=args) if word == "CALL" else line


SHOUTED = ToolFormat(
    name="shouted",
    instructions=lambda tools, choice, parallel: "Write CALL, a name and JSON.",
    call=lambda name, args, call_id: f"CALL {name} {args}",
    result=lambda name, content, call_id, is_error: f"RESULT {content}",
    parser=lambda tools: Shouted(),
)


def test_i_an_author_brings_a_format(path: Path) -> None:
    """A format of one's own is used for the instructions, the history and the answer."""
    model = ChatScripted(replies=['Well.\nCALL add {"a": 1, "b": 2}'], tool_format=SHOUTED)
    answered = path(model.bind_tools(TOOLS), HISTORY)
    assert ([AB], "Well.\n") == (made(answered.message), answered.text)
    told = [message.text for message in model.requests[0].messages]
    assert "Write CALL, a name and JSON." == told[0]
    assert "CALL add {'a': 1, 'b': 2}" in told[2]
    assert "RESULT seven\nRESULT no luck" == told[3]


def test_i_an_unknown_format_is_refused_at_once() -> None:
    """A misspelt format is refused when the model is made; the near one is suggested, and the known ones are named."""
    with pytest.raises(
        ValueError, match=r"Unknown tool_format='herms'\. Did you mean 'hermes'\? Choose from .*mistral"
    ):
        ChatScripted(tool_format="herms")


@pytest.mark.parametrize("name", sorted(TOOL_FORMATS))
def test_i_a_model_with_a_format_can_be_pickled(name: str) -> None:
    """A model that holds a format is pickled and copied like any other, and its cache key holds no address."""
    model = ChatScripted(replies=["hi"], tool_format=TOOL_FORMATS[name])
    assert "hi" == pickle.loads(pickle.dumps(model)).invoke("?").text
    assert model == copy.deepcopy(model)
    assert "0x" not in model.cache_key()


def test_i24_the_cache_key_follows_tools() -> None:
    """Other tools, another choice, another format: another entry; the same tools in another form: the same entry."""
    model = ChatScripted(replies=["hi"])

    def key(bound: Any) -> str:
        return str(model.cache_key(**bound.kwargs))

    keys = [
        key(model.bind_tools([])),
        key(model.bind_tools([add])),
        key(model.bind_tools([add, now])),
        key(model.bind_tools([greet])),
        key(model.bind_tools([add], tool_choice="any")),
        key(model.bind_tools([add], tool_choice="add")),
        key(model.bind_tools([add], parallel_tool_calls=False)),
        key(model.bind_tools([add], strict=True)),
        model.cache_key(tools=[add], tool_format="hermes"),
    ]
    assert len(keys) == len(set(keys))
    assert key(model.bind_tools([add])) == key(model.bind_tools([convert_to_openai_tool(add)]))
    assert not any("0x" in one for one in [*keys, model.cache_key(tools=[add, AddV2])])


@tool
def broken_schema(given: Callable[[], int]) -> str:
    """Takes what JSON does not have."""
    return str(given)


def test_i_a_tool_that_no_schema_describes_is_an_error_that_names_it() -> None:
    """A tool whose arguments have no JSON schema is refused when it is bound."""
    with pytest.raises(Exception, match=r"(?i)callable|schema"):
        ChatScripted(replies=["hi"]).bind_tools([broken_schema])
