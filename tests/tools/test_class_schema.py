"""Classes as schemas: what they say of themselves, and what becomes of an answer."""

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import json
import typing
import uuid
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, Required

import pytest
import typing_extensions
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import ReadOnly

from langplug._tools.class_schema import class_schema
from langplug._tools.json_schema_check import problem_with
from langplug._tools.references import inline_references
from langplug._tools.schema import call_schema, json_schema_of
from langplug._tools.toolbox import tool_dicts


class Color(enum.Enum):
    """A colour."""

    RED = "red"


class Point(BaseModel):
    """A point."""

    x: int


class Cat(BaseModel):
    """A cat."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """A dog."""

    kind: Literal["dog"]


class Model(BaseModel):
    """A model with much in it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    title: str
    color: Color
    day: dt.date
    key: uuid.UUID
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pair: tuple[int, str]
    alias: int = Field(3, alias="aLias")
    note: str | None = None


class Joke(typing.TypedDict):
    """A joke.

    Args:
        setup: How it begins.
    """

    setup: str
    punchline: Annotated[str, ..., "How it ends."]
    rating: Annotated[Optional[int], None, "From 1 to 10."]  # noqa: UP045 - as it is written
    source: Annotated[str, "Where it is from."]
    told: Annotated[int, Field(ge=0)]


class Tree(typing_extensions.TypedDict):
    """A tree."""

    value: float | None
    kids: "NotRequired[list[Tree]]"


class Partial(typing.TypedDict, total=False):
    """Most of it may be missing."""

    name: Required[str]
    when: ReadOnly[dt.date]


class Mixed(typing.TypedDict):
    """A bit of everything."""

    point: Point
    parts: dict[str, Partial] | None
    either: int | Point
    cost: decimal.Decimal


@dataclasses.dataclass
class Node:
    """A node."""

    value: int
    next: "Node | None" = None
    points: list[Point] = dataclasses.field(default_factory=list)


UUID = "12345678-1234-5678-1234-567812345678"
MODEL = {"title": "t", "color": "red", "day": "2026-01-02", "key": UUID, "pet": {"kind": "cat"}, "pair": [1, "a"]}
JOKE = {"setup": "a", "punchline": "b", "source": "c", "told": 2}

READ: list[tuple[Any, Any, Any]] = [
    (Model, MODEL, Model.model_validate_json(json.dumps(MODEL))),
    (Model, {**MODEL, "more": 1}, "$.more: Extra inputs are not permitted"),
    (Model, {**MODEL, "aLias": "3"}, "$.aLias: Input should be a valid integer"),
    (Joke, JOKE, {**JOKE, "rating": None}),
    (Joke, {**JOKE, "rating": 3, "more": 1}, {**JOKE, "rating": 3}),
    (Joke, {**JOKE, "told": -1}, "$.told: Input should be greater than or equal to 0"),
    (Joke, {"setup": "a"}, "$.punchline: Field required; $.source: Field required; $.told: Field required"),
    (Tree, {"value": None}, {"value": None}),
    (Tree, {"value": 1.5, "kids": [{"value": 2}]}, {"value": 1.5, "kids": [{"value": 2.0}]}),
    (Tree, {"value": 1, "kids": [{}]}, "$.kids.0.value: Field required"),
    (Partial, {"name": "a"}, {"name": "a"}),
    (Partial, {"name": "a", "when": "2026-01-02"}, {"name": "a", "when": dt.date(2026, 1, 2)}),
    (Partial, {}, "$.name: Field required"),
    (
        Mixed,
        {"point": {"x": 1}, "parts": {"a": {"name": "b"}}, "either": 2, "cost": "1.50"},
        {"point": Point(x=1), "parts": {"a": {"name": "b"}}, "either": 2, "cost": decimal.Decimal("1.50")},
    ),
    (Node, {"value": 1, "next": {"value": 2.0}}, Node(1, Node(2))),
    (Node, {"value": 1, "points": [{"x": 1}]}, Node(1, points=[Point(x=1)])),
    (Node, [], "$: Input should be an object"),
]


@pytest.mark.parametrize(("schema", "value", "expected"), READ)
def test_a_class_reads_its_own_answers(schema: Any, value: Any, expected: Any) -> None:
    """The class's own validation decides what fits; of a TypedDict come values of the types that it names."""
    known = class_schema(schema)
    assert known is not None
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=r".") as caught:
            known.read(value)
        assert expected in str(caught.value)
    else:
        assert (expected, type(expected)) == (known.read(value), type(known.read(value)))
        assert problem_with(value, known.json_schema) is None


@pytest.mark.parametrize("schema", [Point, Cat, Model])
def test_a_model_is_described_as_core_does(schema: type[BaseModel]) -> None:
    """Of a class that langchain-core describes well, prompts say what they always said, word by word."""
    assert list(convert_to_json_schema(schema).items()) == list(json_schema_of(schema).items())


def test_a_typed_dict_is_described_with_all_that_its_author_wrote() -> None:
    """Descriptions come from the docstring and from `Annotated`, and `None` and missing keys stay allowed."""
    described = json_schema_of(Joke)
    assert ("Joke", "A joke.") == (described["title"], described["description"])
    assert {
        "setup": {"description": "How it begins.", "type": "string"},
        "punchline": {"description": "How it ends.", "type": "string"},
        "rating": {"description": "From 1 to 10.", "anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "source": {"description": "Where it is from.", "type": "string"},
        "told": {"type": "integer", "minimum": 0},
    } == described["properties"]
    assert ["setup", "punchline", "source", "told"] == described["required"]


@pytest.mark.parametrize("schema", [Tree, Node])
def test_what_holds_itself_is_described_to_any_depth(schema: Any) -> None:
    """A schema that holds itself keeps its reference, alone and within the schema of a call."""
    key = "kids" if schema is Tree else "next"
    inner: Any = {"value": "x"}
    bad = {"value": 1, key: [inner] if schema is Tree else inner}
    assert problem_with(bad, json_schema_of(schema)) is not None
    tools = tool_dicts([schema, Point])
    called = call_schema([tool["function"] for tool in tools])
    assert problem_with({"name": schema.__name__, "arguments": bad}, called) is not None
    inner["value"] = 2
    assert problem_with({"name": schema.__name__, "arguments": bad}, called) is None
    assert "object" == json_schema_of(schema)["type"]


def test_a_function_with_a_recursive_argument_is_described() -> None:
    """Functions and tools keep what holds itself as well."""

    def visit(node: Node, depth: int = 3) -> str:
        """Visits.

        Args:
            node: Where to begin.
            depth: How deep.
        """
        return f"{node}{depth}"

    (tool,) = tool_dicts([visit])
    parameters = tool["function"]["parameters"]
    assert ("visit", "Visits.") == (tool["function"]["name"], tool["function"]["description"])
    assert "How deep." == parameters["properties"]["depth"]["description"]
    assert tool.check({"node": {"value": 1, "next": {"value": 2}}}) is None
    assert tool.check({"node": {"value": 1, "next": {"value": "x"}}}) is not None


class Plain:
    def __init__(self, value: int) -> None:
        self.value = value


class Foreign(typing.TypedDict):
    plain: Plain


@dataclasses.dataclass
class ForeignData:
    plain: Plain


class Pair(NamedTuple):
    a: int


NOT_SCHEMAS = [
    Color, Plain, Pair, int, dict, list[int], Point | Node, None | Node, Literal["a"], Any, lambda value: value,
    functools.partial(len), object(), Foreign, ForeignData, "Point", None, 3,
]  # fmt: skip


@pytest.mark.parametrize("schema", NOT_SCHEMAS, ids=lambda schema: getattr(schema, "__name__", type(schema).__name__))
def test_what_is_not_a_schema_is_refused_at_once(schema: Any) -> None:
    """Neither as a schema nor as a tool is anything taken that does not say what it holds; no raw error gets out."""
    with pytest.raises(ValueError, match=r"is not a schema|cannot be made a JSON schema"):
        json_schema_of(schema)
    with pytest.raises(ValueError, match=r"is not a tool|cannot be made a JSON schema"):
        tool_dicts([schema])


def test_a_copy_of_the_schema_is_the_callers() -> None:
    """A schema is made once of each class, and what is done to one copy is not in the next."""
    json_schema_of(Point)["properties"]["x"]["type"] = "string"
    assert "integer" == json_schema_of(Point)["properties"]["x"]["type"]


TEXT = {"type": "string"}
ROOT = {"$ref": "#/$defs/p.root"}


@pytest.mark.parametrize(
    ("schema", "inlined"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, {"type": "string"}),
        ({"items": {"$ref": "#/definitions/a", "x": 1}, "definitions": {"a": TEXT}}, {"items": {**TEXT, "x": 1}}),
        ({"items": {"$ref": "#/$defs/nowhere"}}, {"items": {"$ref": "#/$defs/nowhere"}}),
        ({"items": {"$ref": "http://other"}}, {"items": {"$ref": "http://other"}}),
        ({"properties": {"$ref": {"type": "string"}}}, {"properties": {"$ref": {"type": "string"}}}),
        ({"items": {"$ref": "#"}}, {"items": ROOT, "$defs": {"p.root": {"items": ROOT}}}),
        ({"allOf": [TEXT], "items": {"$ref": "#/allOf/0"}}, {"allOf": [TEXT], "items": TEXT}),
    ],
)  # fmt: skip
def test_references(schema: Any, inlined: Any) -> None:
    """What a reference stands for is put in its place; only what holds itself stays a definition."""
    assert inlined == inline_references(schema, "p.")
