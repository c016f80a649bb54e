"""JSON schemas: those that callers give, whether an answer fits one, and what one says of a tool's arguments.

`problem_with` checks the keywords that callers' schemas are made of: type, enum, const, required, properties,
additionalProperties, items, prefixItems, anyOf, oneOf, allOf and local `$ref`s. Others are taken as fulfilled; where
the schema is a pydantic class, pydantic checks all of it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from inspect import cleandoc
from itertools import chain, repeat
from typing import Any, TypeAlias, cast

from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.json_schema import dereference_refs
from pydantic import BaseModel, ValidationError

from langplug._tools.literals import literal

Schema: TypeAlias = Mapping[str, Any]

ANY_JSON: dict[str, Any] = {"title": "answer", "type": "object"}
"""The schema that stands for "JSON of whatever form", OpenAI's JSON mode."""

Problem = str | None
"""What is wrong with an answer, in words for the model; None: nothing."""

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip
_JSON_TYPES: Mapping[type, tuple[str, ...]] = {
    bool: ("boolean",), int: ("integer", "number"), float: ("number",), list: ("array",), dict: ("object",),
    str: ("string",), type(None): ("null",),
}  # fmt: skip
_EXAMPLES: Mapping[str, Any] = {
    "string": "...", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}, "null": None,
}  # fmt: skip


def dump(value: Any) -> str:
    """`value` as JSON in one line, its characters as they are: fewer tokens than escapes."""
    return json.dumps(value, ensure_ascii=False)


# --- what callers give ---


def json_schema_of(schema: Any) -> dict[str, Any]:
    """A pydantic class (v1 or v2), TypedDict, JSON schema or OpenAI function dict as a JSON schema with a title.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(schema, Mapping) and "json_schema" in schema:  # OpenAI's response_format
        inner = dict(schema["json_schema"])
        return {"title": inner.get("name") or "answer", **dict(inner.get("schema") or {})}
    if isinstance(schema, Mapping):
        # OpenAI's, Anthropic's and Bedrock's descriptions of a function all have a name; a JSON schema has none
        names_function = "name" in schema or "function" in schema or "toolSpec" in schema
        describes = any(key in schema for key in ("title", "properties", "type", "anyOf", "enum", "$ref"))
        is_half = schema.get("type") == "json_schema"  # OpenAI's response format, without the schema
        if describes and not names_function and not is_half:
            return {"title": "answer", **schema}  # langchain-core would drop all of one without properties
    try:
        converted: dict[str, Any] = convert_to_json_schema(dict(schema) if isinstance(schema, Mapping) else schema)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{schema!r} is not a schema. Give a pydantic class, a TypedDict, a JSON schema (a dict with "
            "'properties'), or an OpenAI function dict."
        ) from error
    if converted.get("description") == cleandoc(dict.__doc__ or ""):  # a TypedDict inherits the docstring of dict
        del converted["description"]
    return converted


def call_schema(functions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of a call of one of `functions` (OpenAI function dicts), as `{"name": ..., "arguments": {...}}`."""
    calls: list[dict[str, Any]] = []
    for function in functions:
        arguments = dict(function.get("parameters") or {"type": "object"})
        # inside of another schema its references would lead nowhere: what they refer to is put in their place
        with suppress(KeyError):  # some lead nowhere as it is; whoever makes a grammar of the schema says so
            arguments = dereference_refs(arguments)
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    return {"title": "call", **(calls[0] if len(calls) == 1 else {"anyOf": calls})}


# --- JSON in what a model says ---

_DECODER = json.JSONDecoder(strict=False)  # small models write newlines within strings


def parse_json(text: str) -> Any:
    """The JSON that `text` holds, alone, fenced, or with prose around it.

    Raises:
        ValueError: If it holds none.
    """
    try:
        return _decode(text)
    except ValueError:
        before, _, after = text.partition("```")
        is_in_string = re.search(r'{\s*"', before) is not None  # an object began: the backticks stand in a string of it
        found = (None if is_in_string else _first_json(after)) or _first_json(text)
    if found is None:
        raise ValueError("there is no JSON in it")
    return found[0]


def _first_json(text: str) -> tuple[Any] | None:
    """The first object or list in `text`; one that breaks off is an error, and nothing within it is taken for it."""
    for bracket in re.finditer(r"[{\[]", text):
        try:
            return (_decode(text, bracket.start()),)
        except json.JSONDecodeError as error:
            # prose has brackets too: it is JSON all the same if an object goes wrong after its start, or is cut off
            has_begun = bracket[0] == "{" and text[bracket.end() : error.pos].strip()
            if has_begun or error.msg.startswith("Unterminated") or not text[error.pos :].strip():
                raise
    return None


def _decode(text: str, start: int | None = None) -> Any:
    """The JSON that begins at `start`, or all of `text` as JSON."""
    try:
        return json.loads(text, strict=False) if start is None else _DECODER.raw_decode(text, start)[0]
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


# --- whether it fits ---


def checker_of(schema: Any) -> Callable[[Any], Problem]:
    """What tells whether parsed JSON fits `schema`."""
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return _pydantic_checker(schema.model_validate)
    if isinstance(schema, type) and hasattr(schema, "parse_obj"):  # pydantic v1's
        return _pydantic_checker(schema.parse_obj)
    described = json_schema_of(schema)
    return lambda value: problem_with(value, described)


def _pydantic_checker(validate: Callable[[Any], Any]) -> Callable[[Any], Problem]:
    def check(value: Any) -> Problem:
        try:
            validate(value)
        except ValidationError as error:
            return "; ".join(f"$.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        except ValueError as error:  # pydantic v1's error is one
            return str(error)
        return None

    return check


def problem_with(value: Any, schema: Schema) -> Problem:
    """What keeps `value` from fitting the JSON schema `schema`; the place is named as `$.path`."""
    try:
        return _problem(value, schema, schema, "$")
    except RecursionError:  # a schema that refers to itself without end asks for nothing
        return None


def _problem(value: Any, schema: Any, root: Schema, path: str) -> Problem:
    if not isinstance(schema, Mapping):  # True and False are schemas, too
        return None if schema is not False else f"{path} is not allowed"
    schema = _resolve(schema, root)
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else list(wanted or ())
    if names and not any(_is_of_type(value, name) for name in names):
        return f"{path} must be of type {' or '.join(names)}, not {type(value).__name__}"
    if "const" in schema and value != schema["const"]:
        return f"{path} must be {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path} must be one of {', '.join(map(repr, schema['enum']))}"
    if isinstance(value, dict) and (missing := [key for key in schema.get("required") or () if key not in value]):
        return f"{path} lacks {', '.join(map(repr, missing))}"
    parts = ((value, part, path) for part in schema.get("allOf") or ())
    for item, rule, place in chain(_rules_within(value, schema, path), parts):
        if (problem := _problem(item, rule, root, place)) is not None:
            return problem
    choices = schema.get("anyOf") or schema.get("oneOf") or ()
    problems = [_problem(value, choice, root, path) for choice in choices]
    return None if not problems or None in problems else problems[0]


def _is_of_type(value: Any, name: str) -> bool:
    if isinstance(value, bool) and name != "boolean":  # Python's bool is an int
        return False
    if name == "integer" and isinstance(value, float):  # JSON has one kind of number: 2.0 is an integer
        return value.is_integer()
    return isinstance(value, _PYTHON_TYPES.get(name, (object,)))


def _rules_within(value: Any, schema: Schema, path: str) -> Iterator[tuple[Any, Any, str]]:
    """Each member of an object or item of a list, with the schema that it must fit and its place."""
    if isinstance(value, dict):
        known: Schema = schema.get("properties") or {}
        others = True if schema.get("patternProperties") else schema.get("additionalProperties", True)
        for key, item in value.items():
            yield item, known.get(key, others), f"{path}.{key}"
    elif isinstance(value, list):
        rules = chain(schema.get("prefixItems") or (), repeat(schema.get("items", True)))
        for number, (item, rule) in enumerate(zip(value, rules, strict=False)):
            yield item, rule, f"{path}[{number}]"


# --- what a tool's schema says of its arguments ---


def convert_argument(text: str, key: str, schema: Schema) -> Any:
    """The value that `text` is, as far as the schema of the argument `key` has one other than a string."""
    allowed = set(_types(_mapping(_mapping(schema.get("properties")).get(key)), schema))
    if not allowed - {"string"}:
        return text
    value = literal(text)
    if value is None and text.strip() not in ("null", "None"):
        return text
    return value if allowed.intersection(_JSON_TYPES[type(value)]) else text


def example_arguments(schema: Schema) -> dict[str, Any]:
    """Arguments of the right types, for an example: those that are required, or else the first."""
    properties = _mapping(schema.get("properties"))
    keys = [key for key in schema.get("required", ()) if key in properties] or list(properties)[:1]
    return {key: _example(_mapping(properties[key]), schema) for key in keys}


def _example(schema: Schema, root: Schema) -> Any:
    schema = _resolve(schema, root)
    for key in ("examples", "enum"):
        if schema.get(key):
            return next(iter(schema[key]))
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    return _EXAMPLES.get(next(_types(schema, root), "string"), "...")


def _types(schema: Schema, root: Schema, depth: int = 0) -> Iterator[str]:
    """The JSON types that a value may have."""
    schema = _resolve(schema, root)
    given = schema.get("type", ())
    yield from (given,) if isinstance(given, str) else given
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    if not given:
        yield from (_JSON_TYPES.get(type(value), ("string",))[0] for value in values)
    for key in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(key, ()) if depth < 8 else ():  # a schema may hold itself
            yield from _types(_mapping(option), root, depth + 1)


def _resolve(schema: Schema, root: Schema) -> Schema:
    """The schema that a `$ref` within `root` stands for; an empty one if it leads nowhere."""
    for _ in range(8):  # a chain of references longer than that is most likely a circle
        ref = schema.get("$ref")
        if not isinstance(ref, str):
            return schema
        target: Any = root if ref.startswith("#") else None
        for step in ref.split("/")[1:]:
            target = _mapping(target).get(step.replace("~1", "/").replace("~0", "~"))
        schema = _mapping(target)
    return {}


def _mapping(value: object) -> Schema:
    return cast("Schema", value) if isinstance(value, Mapping) else {}
