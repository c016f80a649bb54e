"""Schemas as JSON schema, JSON in what a model says, and whether it fits."""

import json
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1

from langplug._tools.json_schema_check import problem_with
from langplug._tools.schema import call_schema, checker_of, json_schema_of, parse_json


class Item(BaseModel):
    """An item."""

    name: str


class Order(BaseModel):
    """An order."""

    items: list[Item]
    size: Literal["small", "large"] = "small"
    note: str | None = None


class ItemV1(BaseModelV1):
    """An item."""

    name: str


class ItemDict(TypedDict):
    """An item."""

    name: Annotated[str, ..., "What it is called."]


class Undocumented(TypedDict):
    name: str


PLAIN = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.mark.parametrize(
    ("schema", "title"),
    [
        (Item, "Item"),
        (ItemV1, "ItemV1"),
        (ItemDict, "ItemDict"),
        ({**PLAIN, "title": "item"}, "item"),
        (PLAIN, "answer"),
        ({"name": "item", "description": "An item.", "parameters": PLAIN}, "item"),
        ({"type": "function", "function": {"name": "item", "description": "An item.", "parameters": PLAIN}}, "item"),
        ({"type": "json_schema", "json_schema": {"name": "item", "schema": PLAIN}}, "item"),
        ({"type": "json_schema", "json_schema": {"name": "item", "schema": {**PLAIN, "title": "Item"}}}, "Item"),
    ],
)
def test_every_kind_of_schema_becomes_a_json_schema(schema: Any, title: str) -> None:
    """Every kind becomes a JSON schema with a title, and stays as it was."""
    before = json.dumps(schema) if isinstance(schema, dict) else None
    described = json_schema_of(schema)
    assert (title, ["name"], ["name"]) == (described["title"], list(described["properties"]), described["required"])
    assert before is None or before == json.dumps(schema)


def test_a_class_without_a_docstring_has_no_description_of_another() -> None:
    """What Python puts into a TypedDict's docstring is not told to a model."""
    assert "description" not in json_schema_of(Undocumented)


@pytest.mark.parametrize("schema", [None, 3, "Item", int, {}, {"a": 1}, [Item]])
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    """What describes nothing is an error that shows it and says what is wanted."""
    with pytest.raises(ValueError, match=r"is not a schema\. Give a pydantic class"):
        json_schema_of(schema)


# --- JSON in what a model says ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("\n [1, 2]\t", [1, 2]),
        ('"text"', "text"),
        ("null", None),
        ('{"a": "\n"}', {"a": "\n"}),
        ('Sure: {"a": 1} – anything else?', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n{"a": 1}\n```', {"a": 1}),
        ('See [1] and {x}:\n```json\n{"a": [1]}\n```', {"a": [1]}),
        ('```\nnothing\n```\n{"a": 1}', {"a": 1}),
        ('Here [as asked] it is: {"a": 1}', {"a": 1}),
        ('{"a": 1}{"a": 2}', {"a": 1}),
        ('[{"a": 1}, {"a": 2}] there', [{"a": 1}, {"a": 2}]),
    ],
)
def test_json_is_found(text: str, value: Any) -> None:
    """JSON alone, in fences, or with prose around it is found; the first one counts, one in fences before others."""
    assert value == parse_json(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no JSON in it"),
        ("I do not know {that}.", "no JSON in it"),
        ("{'a': 1}", "no JSON in it"),
        ('{"a": 1', "Expecting"),
        ('{"a": {"b": 1}, "c": ', "Expecting"),
        ('[{"b": 1}, {"c": "x', "Unterminated"),
        ('{"a": 1,}', "Expecting|Illegal trailing comma"),  # in the words of Python before 3.13, and since
        ('{"a": "```json\\n{\\"b\\": 1}\\n```", "c"', "Expecting"),
        ('{"a": "```{}', "Unterminated"),
        ("[" * 100_000, "nested too deeply"),  # Python 3.13 reads 5,000 levels
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_an_error(text: str, problem: str) -> None:
    """JSON that is broken or cut off is an error, and no part of it is taken for the answer."""
    with pytest.raises(ValueError, match=problem):
        parse_json(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab {}[]\"\\`\n'", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab{[`"', max_size=3), inner, max_size=3),
)
PROSE = st.text("ab .:\n'(){}[]", max_size=20)


@given(st.dictionaries(st.text(max_size=3), VALUES), PROSE, PROSE)
def test_an_object_is_found_in_any_prose(value: dict[str, Any], before: str, after: str) -> None:
    """An object in fences is found, whatever prose is around it."""
    assert value == parse_json(f"{before}\n```json\n{json.dumps(value)}\n```\n{after}")


@given(st.dictionaries(st.text("ab", min_size=1, max_size=3), VALUES, min_size=1), st.data())
def test_no_part_of_a_cut_object_is_taken_for_it(value: dict[str, Any], data: st.DataObject) -> None:
    """An object that was cut off anywhere is an error."""
    text = json.dumps(value)
    with pytest.raises(ValueError, match=r"."):
        parse_json(text[: data.draw(st.integers(1, len(text) - 1))])


@given(st.text("{}[]\"':,1an \n`\\", max_size=40))
def test_only_value_errors(text: str) -> None:
    """Any text is either read as JSON or a `ValueError`."""
    try:
        json.dumps(parse_json(text))
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is right


# --- whether it fits ---

NODE = {"type": "object", "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}, "required": ["n"]}
PAIR = {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}
NAMED = {"type": "object", "properties": {"a": {}}, "patternProperties": {"^x": {}}, "additionalProperties": False}
SLASH = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "string"}}}

FITS: list[tuple[Any, Any, str | None]] = [
    ({"name": "a"}, PLAIN, None),
    ({}, PLAIN, "$ lacks 'name'"),
    ({"name": 1}, PLAIN, "$.name must be of type string, not int"),
    ("a", PLAIN, "$ must be of type object, not str"),
    (True, {"type": "integer"}, "$ must be of type integer, not bool"),
    (1.0, {"type": "integer"}, None),
    (1.5, {"type": "integer"}, "$ must be of type integer, not float"),
    (None, {"type": ["string", "null"]}, None),
    (3, {"type": ["string", "null"]}, "$ must be of type string or null, not int"),
    ("c", {"enum": ["a", "b"]}, "$ must be one of 'a', 'b'"),
    ("c", {"const": "a"}, "$ must be 'a'"),
    ([{"name": "a"}, {}], {"type": "array", "items": PLAIN}, "$[1] lacks 'name'"),
    ({"n": 1, "next": {"n": 2, "next": {}}}, NODE, "$.next.next lacks 'n'"),
    ({"name": "a", "b": 1}, {**PLAIN, "additionalProperties": False}, "$.b is not allowed"),
    ({"a": 1, "x1": 2}, NAMED, None),
    ([1, "a"], PAIR, None),
    ([1, 2], PAIR, "$[1] must be of type string, not int"),
    ([1, "a", 3], PAIR, "$[2] is not allowed"),
    (3, SLASH, "$ must be of type string, not int"),
    (3, {"anyOf": [{"type": "string"}, {"type": "null"}]}, "$ must be of type string, not int"),
    (None, {"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
    (3, {"oneOf": [{"type": "string"}, {"type": "integer"}]}, None),
    ({"name": 3}, {"allOf": [{"type": "object"}, PLAIN]}, "$.name must be of type string, not int"),
    (3, {"$ref": "#/$defs/nowhere"}, None),
    (3, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, None),
    (3, {"anyOf": [{"$ref": "#"}]}, None),
    (1, {"const": True}, "$ must be True"),
    (1.0, {"enum": [1]}, None),
    ({"a": 1.0}, {"const": {"a": 1}}, None),
    (0, {"minimum": 1}, "$ must be at least 1"),
    (2, {"maximum": 1}, "$ must be at most 1"),
    (1, {"exclusiveMinimum": 1}, "$ must be more than 1"),
    (1, {"exclusiveMaximum": 1}, "$ must be less than 1"),
    (True, {"minimum": 5}, None),
    (0.3, {"multipleOf": 0.1}, None),
    (7, {"multipleOf": 2}, "$ must be a multiple of 2"),
    ("a", {"minLength": 2}, "$ is too short; its least length is 2"),
    ("abc", {"maxLength": 2}, "$ is too long; its greatest length is 2"),
    ("abc", {"pattern": "^a"}, None),
    ("abc", {"pattern": "^b"}, "$ must match ^b"),
    ("abc", {"pattern": "(?<name"}, None),
    (3, {"pattern": "^b"}, None),
    ([1], {"minItems": 2}, "$ has too few items; the least number is 2"),
    ([1, 2], {"maxItems": 1}, "$ has too many items; the greatest number is 1"),
    ([1, 1.0], {"uniqueItems": True}, "$ repeats an item; unique items: True"),
    ([1, True], {"uniqueItems": True}, None),
    ({}, {"minProperties": 1}, "$ has too few keys; the least number is 1"),
    ({"a": 1}, {"maxProperties": 0}, "$ has too many keys; the greatest number is 0"),
    ({"a": 1}, {"dependentRequired": {"a": ["b"]}}, "$ lacks 'b'"),
    ({"a": 1}, {"dependentSchemas": {"a": {"required": ["b"]}}}, "$ lacks 'b'"),
    ({"ab": 1}, {"propertyNames": {"maxLength": 1}}, "the key $.ab is too long; its greatest length is 1"),
    ({"x1": "a"}, {"patternProperties": {"^x": {"type": "integer"}}}, "$.x1 must be of type integer, not str"),
    ({"b": 1}, NAMED, "$.b is not allowed"),
    ("a", {"not": {"type": "string"}}, '$ must not fit {"type": "string"}'),
    (5, {"if": {"minimum": 3}, "then": {"maximum": 4}}, "$ must be at most 4"),
    (1, {"if": {"minimum": 3}, "then": {"maximum": 4}, "else": {"minimum": 2}}, "$ must be at least 2"),
    ([1], {"contains": {"type": "string"}}, '$ holds 0 items that fit {"type": "string"}'),
    (["a"], {"contains": {"type": "string"}, "maxContains": 1}, None),
    (
        "abc",
        {"$ref": "#/$defs/a", "maxLength": 2, "$defs": {"a": {"type": "string"}}},
        "$ is too long; its greatest length is 2",
    ),
    (3, True, None),
    (3, {"type": "unheard of"}, None),
]


@pytest.mark.parametrize(("value", "schema", "problem"), FITS)
def test_what_does_not_fit_is_named(value: Any, schema: Any, problem: str | None) -> None:
    """The first thing that does not fit is named with its place; references that lead nowhere ask for nothing."""
    assert problem == problem_with(value, schema)


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        (Order, {"items": [{"name": "a"}]}, None),
        (Order, {"items": [{}]}, "$.items.0.name: Field required"),
        (Order, {"items": [], "size": "huge"}, "$.size: Input should be 'small' or 'large'"),
        (Order, {"items": [{"name": 1}], "size": 2}, "$.items.0.name: Input should be a valid string; $.size: "),
        (ItemV1, {"name": "a"}, None),
        (ItemV1, {}, "field required"),
        (ItemDict, {"name": "a"}, None),
        (ItemDict, {}, "$.name: Field required"),
        ({"name": "item", "description": "?", "parameters": PLAIN}, {}, "$ lacks 'name'"),
    ],
)
def test_a_checker_knows_its_schema(schema: Any, value: Any, problem: str | None) -> None:
    """A class checks by its own validation, anything else by its JSON schema."""
    found = checker_of(schema)(value)
    assert (found is None) == (problem is None)
    assert problem is None or problem in str(found)


KINDS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=3),
    "integer": st.integers() | st.just(2.0),
    "number": st.integers() | st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "null": st.none(),
}


@st.composite
def schema_and_value(draw: st.DrawFn, depth: int = 0) -> tuple[dict[str, Any], Any]:
    """A schema, and a value that fits it."""
    kind = draw(st.sampled_from([*KINDS, *(["array", "object", "either"] if depth < 3 else [])]))
    if kind in KINDS:
        return {"type": kind}, draw(KINDS[kind])
    if kind == "array":
        schema, value = draw(schema_and_value(depth + 1))
        return {"type": "array", "items": schema}, [value] * draw(st.integers(0, 2))
    if kind == "either":
        (one, value), (other, _) = draw(schema_and_value(depth + 1)), draw(schema_and_value(depth + 1))
        return {"anyOf": draw(st.permutations([one, other]))}, value
    members = draw(st.dictionaries(st.text("abc/~", max_size=2), schema_and_value(depth + 1), max_size=3))
    properties = {name: schema for name, (schema, _) in members.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return schema, {name: value for name, (_, value) in members.items()}


@given(schema_and_value())
def test_what_fits_has_no_problem(case: tuple[dict[str, Any], Any]) -> None:
    """What was made to fit a schema fits it."""
    schema, value = case
    assert problem_with(value, schema) is None


@given(schema_and_value())
def test_what_is_put_wrong_is_found(case: tuple[dict[str, Any], Any]) -> None:
    """A member that is missing or strange, at the end of any path of objects, is found."""
    schema, value = case
    wanted = {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}
    for _ in range(2):
        assert problem_with({"x": value}, wanted) is None
        assert problem_with({}, wanted) is not None
        assert problem_with({"x": value, "y": 1}, wanted) is not None
        assert problem_with([{"x": value}], wanted) is not None
        wanted = {"type": "object", "properties": {"x": wanted}, "required": ["x"], "additionalProperties": False}
        value = {"x": value}


# --- the schema of a call ---


def test_the_schema_of_a_call_holds_for_calls_alone() -> None:
    """One tool's call fits, another's does not; several tools are alternatives."""
    add = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
    now = {"name": "now"}
    one, both = call_schema([add]), call_schema([add, now])
    good: dict[str, Any] = {"name": "add", "arguments": {"a": 1}}
    assert [None, None] == [problem_with(good, one), problem_with(good, both)]
    assert problem_with({"name": "add", "arguments": {}}, one) == "$.arguments lacks 'a'"
    assert problem_with({"name": "now", "arguments": {}}, one) == "$.name must be 'add'"
    assert problem_with({"name": "now", "arguments": {}}, both) is None
    assert problem_with({**good, "more": 1}, one) == "$.more is not allowed"


def test_the_schema_of_a_call_knows_the_definitions_of_its_tools() -> None:
    """References of one tool's schema lead to its own definitions, whatever another tool's are called."""
    tools = [
        {"name": name, "parameters": {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": kind}}}}
        for name, kind in (("one", "string"), ("two", "integer"))
    ]
    schema = call_schema(tools)
    assert problem_with({"name": "two", "arguments": {"a": 1}}, schema) is None
    assert problem_with({"name": "one", "arguments": {"a": 1}}, schema) is not None


class Deep(BaseModel):
    """Refers to itself."""

    inner: list["Deep"] = Field(default_factory=list)


def test_a_schema_that_refers_to_itself_is_checked() -> None:
    """Recursion in a schema goes as deep as the value."""
    schema = Deep.model_json_schema()
    assert problem_with({"inner": [{"inner": []}]}, schema) is None
    assert problem_with({"inner": [{"inner": 3}]}, schema) == "$.inner[0].inner must be of type array, not int"
