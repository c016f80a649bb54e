"""Tools and structured output of the embedded model: what its grammar keeps, by construction, on every path."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from tests.paths import ON_AN_ENGINE
from tests.paths import Path as CallPath
from typing_extensions import TypedDict

from langplug import UnmetDemandError
from langplug.models import ChatGGUF
from langplug.models.gguf.weights import SMOLLM2, find, pull

AGENT = Path(__file__).parents[2] / "examples" / "agent.py"
WILD: dict[str, Any] = {"temperature": 2, "top_p": 1, "min_p": 0, "top_k": 0}
"""The model says anything at all: what still fits is not the model's doing."""


@pytest.fixture(scope="module")
def model() -> Iterator[ChatGGUF]:
    """Greedy, with room for a call."""
    if find(SMOLLM2) is None:
        pull(SMOLLM2)
    model = ChatGGUF(temperature=0, seed=1, n_ctx=512, max_tokens=60, threads=1)
    model.runtime  # noqa: B018 - loaded once for the module
    yield model
    model.close()


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool
def paint(color: Literal["red", "green"], coats: Annotated[int, Field(ge=1, le=3)]) -> str:
    """Paint the wall."""
    return f"{coats} coats of {color}"


# --- forced calls ---


@pytest.mark.parametrize("path", ON_AN_ENGINE)
def test_a_forced_call_on_each_path(model: ChatGGUF, path: CallPath) -> None:
    """A forced call is a whole call of the tool on each path, and there is no text next to it."""
    answer = path(model.bind_tools([multiply], tool_choice="any"), "Multiply 12 by 5").message
    (call,) = answer.tool_calls
    assert ("multiply", {"a": 12, "b": 5}) == (call["name"], call["args"])
    assert call["id"]
    assert "" == answer.text
    assert [] == answer.invalid_tool_calls
    assert "tool_calls" == answer.response_metadata["finish_reason"]


@pytest.mark.parametrize("choice", ["any", "multiply", "paint", {"type": "function", "function": {"name": "paint"}}])
def test_the_choice_among_several_tools(model: ChatGGUF, choice: Any) -> None:
    """Any call of several tools fits the tool that it calls; a named tool is the one that is called."""
    bound = model.bind_tools([multiply, paint], tool_choice=choice, **WILD)
    named = choice["function"]["name"] if isinstance(choice, dict) else choice
    (call,) = bound.invoke("Hello!").tool_calls
    assert named in ("any", call["name"])
    {"multiply": multiply, "paint": paint}[call["name"]].invoke(call["args"])  # it checks its arguments


def test_many_calls_at_once(model: ChatGGUF) -> None:
    """Of many calls at once, from threads and an event loop, each is kept to its own tool and has its own id."""

    def bound(number: int) -> Any:
        only = {"title": f"say_{number}", "type": "object", "properties": {"n": {"const": number}}, "required": ["n"]}
        return model.bind_tools([only], tool_choice="any", **WILD)

    async def gathered() -> list[AIMessage]:
        return list(await asyncio.gather(*(bound(number).ainvoke("Hello!") for number in range(3))))

    answers = [*asyncio.run(gathered()), *bound(3).batch(["Hello!"] * 2)]
    calls = [call for answer in answers for call in answer.tool_calls]
    assert [0, 1, 2, 3, 3] == [call["args"]["n"] for call in calls]
    assert [f"say_{call['args']['n']}" for call in calls] == [call["name"] for call in calls]
    assert 5 == len({call["id"] for call in calls})


def test_a_forced_call_that_is_cut_off(model: ChatGGUF) -> None:
    """A forced call that does not fit into `max_tokens` is an error that holds what was said, never half a call."""
    with pytest.raises(UnmetDemandError) as caught:
        model.bind_tools([multiply], tool_choice="any").invoke("Multiply 12 by 5", max_tokens=5)
    partial = caught.value.partial
    assert isinstance(partial, AIMessage)
    assert [] == partial.tool_calls


# --- schemas ---


class Strict(BaseModel):
    """Nothing else is in it."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Chosen(Strict):
    color: Literal["red", "green"]
    size: Literal[1, 2] | None


class Bounded(Strict):
    number: int = Field(ge=10, le=12)
    share: float = Field(gt=0, lt=1)
    code: str = Field(pattern=r"^[A-Z]{2}-[0-9]{3}$")
    word: str = Field(min_length=2, max_length=4)


class Nested(Strict):
    first: Chosen
    second: Chosen | None


class Listed(Strict):
    colors: list[Literal["red", "green"]] = Field(min_length=2, max_length=3)
    flags: list[bool] = Field(min_length=1, max_length=2)


@pytest.mark.parametrize("schema", [Chosen, Bounded, Nested, Listed])
def test_a_schema_is_kept_by_construction(model: ChatGGUF, schema: type[BaseModel]) -> None:
    """Enums, bounds, patterns, nesting and lists hold even when the model is wild, and nothing is asked again."""
    bound = model.bind(response_format=schema, **WILD)
    text = "".join(chunk.text for chunk in bound.stream("Hello!", max_tokens=150))
    schema.model_validate_json(text)


def test_a_schema_without_properties(model: ChatGGUF) -> None:
    """A JSON schema of something else than an object with properties is kept as well."""
    pair = model.with_structured_output({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2})
    assert [bool, bool] == [type(item) for item in pair.invoke("Hello!", **WILD)]


def test_a_tool_that_is_bound_twice(model: ChatGGUF) -> None:
    """A class and its JSON schema are one tool; two different tools of one name are refused."""
    bound = model.bind_tools([Chosen, Chosen.model_json_schema()], tool_choice=True)
    assert "Chosen" == bound.invoke("Hello!").tool_calls[0]["name"]
    with pytest.raises(ValueError, match="Two tools are named 'Chosen'"):
        model.bind_tools([Chosen, {**Bounded.model_json_schema(), "title": "Chosen"}])


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        pytest.param({"type": "integer", "minimum": 5, "maximum": 3}, "Unsatisfiable schema", id="bounds"),
        pytest.param({"$ref": "#/nowhere"}, "'/nowhere' does not exist", id="reference"),
        pytest.param({"type": "string", "pattern": "(?=a)b"}, "regex parse error", id="pattern"),
    ],
)
def test_a_schema_without_a_grammar(model: ChatGGUF, broken: dict[str, Any], why: str) -> None:
    """A schema that nothing fits, or that cannot be read, is an error that says why, for answers and for calls."""
    schema = {"title": "T", "type": "object", "properties": {"a": broken}, "required": ["a"]}
    expected = rf"(?s)The JSON schema .* cannot be turned into a grammar: .*{why}.*Simplify the schema"
    with pytest.raises(ValueError, match=expected):
        model.with_structured_output(schema).invoke("Hello!")
    with pytest.raises(ValueError, match=expected):
        list(model.bind_tools([schema], tool_choice="any").stream("Hello!"))
    assert model.invoke("Hello!", max_tokens=1).usage_metadata


class Person(TypedDict):
    """A person."""

    name: str
    age: int


def test_partial_objects_grow(model: ChatGGUF) -> None:
    """A stream of structured output gives dicts that grow to the one that `invoke` gives, sync and async."""
    people = model.with_structured_output(Person)
    question = "Ann is 7 years old."

    async def read() -> list[Any]:
        return [part async for part in people.astream(question)]

    parts = list(people.stream(question))
    assert parts == asyncio.run(read())
    assert people.invoke(question) == parts[-1]
    assert TypeAdapter(Person).validate_python(parts[-1])
    assert len(parts) > 2
    for one, other in pairwise(parts):
        assert list(one) == list(other)[: len(one)]
        assert str(other.get("name", "")).startswith(str(one.get("name", "")))


def test_an_object_that_is_cut_off(model: ChatGGUF) -> None:
    """An object that does not fit into `max_tokens` is an error that says so, in each way; `include_raw` holds it."""
    short = model.model_copy(update={"max_tokens": 4})
    people = short.with_structured_output(Person)
    said_so = pytest.raises(OutputParserException, match="cut off at the token limit: allow more tokens")
    with said_so:
        people.invoke("Ann is 7 years old.")
    with said_so:
        list(people.stream("Ann is 7 years old."))
    with said_so:
        asyncio.run(people.ainvoke("Ann is 7 years old."))
    raw = short.with_structured_output(Person, include_raw=True).invoke("Ann is 7 years old.")
    assert raw["parsed"] is None
    assert isinstance(raw["parsing_error"], OutputParserException)
    assert "length" == raw["raw"].response_metadata["finish_reason"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_many_objects_at_once(model: ChatGGUF, method: Literal["json_schema", "function_calling"]) -> None:
    """Of many at once, all fit, by each method."""
    people = model.with_structured_output(Person, method=method).batch(["Ann is 7.", "Bob is 8."])
    for person in people:
        assert TypeAdapter(Person).validate_python(person)


# --- an agent ---


def test_the_example_runs(model: ChatGGUF) -> None:
    """`examples/agent.py` calls its calculator, and its last words hold the result."""
    done = subprocess.run([sys.executable, str(AGENT)], capture_output=True, text=True, timeout=50, check=False)
    assert 0 == done.returncode, done.stderr
    assert "multiply" in done.stdout
    last_words = done.stdout.rpartition("Ai Message")[2]
    assert "60" in last_words
