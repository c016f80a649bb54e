"""Schemas, as callers give them, as JSON schema; and whether an answer fits one.

`problem_with` checks the keywords that callers' schemas are made of: type, enum, const, required, properties,
additionalProperties, items, prefixItems, anyOf, oneOf, allOf and local `$ref`s. Others are taken as fulfilled; where
the schema is a pydantic class, pydantic checks all of it.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from inspect import cleandoc
from itertools import chain, repeat
from typing import Any

from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.json_schema import dereference_refs
from pydantic import BaseModel, ValidationError

ANY_JSON: dict[str, Any] = {"title": "answer", "type": "object"}
"""The schema that stands for "JSON of whatever form", OpenAI's JSON mode."""

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip

_DECODER = json.JSONDecoder(strict=False)
_OBJECT = re.compile(r'{\s*"')

Problem = str | None
"""What is wrong with an answer, in words for the model; None: nothing."""


def json_schema_of(schema: Any) -> dict[str, Any]:
    """A pydantic class (v1 or v2), TypedDict, JSON schema or OpenAI function dict as a JSON schema with a title.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(schema, Mapping) and "json_schema" in schema:  # OpenAI's response_format
        inner = dict(schema["json_schema"])
        return {"title": inner.get("name") or "answer", **dict(inner.get("schema") or {})}
    if isinstance(schema, Mapping) and _is_json_schema(schema):
        return {"title": "answer", **schema}  # langchain-core would drop all of one without properties
    try:
        converted: dict[str, Any] = convert_to_json_schema(dict(schema) if isinstance(schema, Mapping) else schema)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{schema!r} is no schema. Give a pydantic class, a TypedDict, a JSON schema (a dict with 'properties'), "
            "or an OpenAI function dict."
        ) from error
    if converted.get("description") == cleandoc(dict.__doc__ or ""):  # a TypedDict inherits the docstring of dict
        del converted["description"]
    return converted


def _is_json_schema(schema: Mapping[str, Any]) -> bool:
    """Whether it is no description of a function: OpenAI's, Anthropic's or Bedrock's, which all have a name."""
    names_function = "name" in schema or "function" in schema or "toolSpec" in schema
    half = schema.get("type") == "json_schema"  # OpenAI's response format, without the schema
    describes = any(key in schema for key in ("title", "properties", "type", "anyOf", "enum", "$ref"))
    return describes and not names_function and not half


def checker_of(schema: Any) -> Callable[[Any], Problem]:
    """What tells whether parsed JSON fits `schema`."""
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return _by_pydantic(schema.model_validate)
    if isinstance(schema, type) and hasattr(schema, "parse_obj"):
        return _by_pydantic(schema.parse_obj)
    described = json_schema_of(schema)
    return lambda value: problem_with(value, described)


def _standing_alone(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with what it refers to put in place, since inside of another one its references would lead nowhere."""
    try:
        return dereference_refs(dict(schema))
    except KeyError:  # they lead nowhere now: who makes a grammar of it says so
        return dict(schema)


def call_schema(functions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of a call of one of `functions` (OpenAI function dicts), as `{"name": ..., "arguments": {...}}`."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": function["name"]},
                "arguments": _standing_alone(function.get("parameters") or {"type": "object"}),
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for function in functions
    ]
    return {"title": "call", **(calls[0] if len(calls) == 1 else {"anyOf": calls})}


def parsed_json(text: str) -> Any:
    """The JSON that `text` holds, alone, fenced, or with prose around it.

    Raises:
        ValueError: If it holds none.
    """
    try:
        return _decoded(text)
    except ValueError:
        before, _, behind = text.partition("```")
        fenced = None if _OBJECT.search(before) else _first_json(behind)  # a fence may stand in a string
        found = fenced or _first_json(text)
    if found is None:
        raise ValueError("there is no JSON in it")
    return found[0]


def problem_with(value: Any, schema: Mapping[str, Any]) -> Problem:
    """What keeps `value` from fitting the JSON schema `schema`; the place is named as `$.path`."""
    try:
        return _problem(value, schema, schema, "$")
    except RecursionError:  # a schema that refers to itself without end asks for nothing
        return None


def _first_json(text: str) -> tuple[Any] | None:
    """The first object or list in `text`; one that breaks off is an error, and nothing within it is taken for it."""
    for bracket in re.finditer(r"[{\[]", text):
        try:
            return (_decoded(text, bracket.start()),)
        except json.JSONDecodeError as error:
            if _was_json(error, bracket):  # prose has brackets too
                raise
    return None


def _was_json(error: json.JSONDecodeError, bracket: re.Match[str]) -> bool:
    """Whether what could not be read is JSON all the same: an object that goes wrong, or what is cut off."""
    if bracket[0] == "{" and error.doc[bracket.end() : error.pos].strip():
        return True
    return error.msg.startswith("Unterminated") or not error.doc[error.pos :].strip()


def _decoded(text: str, start: int | None = None) -> Any:
    """The JSON that begins at `start`, or all of `text` as JSON."""
    try:
        return json.loads(text, strict=False) if start is None else _DECODER.raw_decode(text, start)[0]
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _by_pydantic(validate: Callable[[Any], Any]) -> Callable[[Any], Problem]:
    def check(value: Any) -> Problem:
        try:
            validate(value)
        except ValidationError as error:
            return "; ".join(f"$.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        except ValueError as error:  # pydantic v1's error is one
            return str(error)
        return None

    return check


def _problem(value: Any, schema: Any, root: Mapping[str, Any], path: str) -> Problem:
    if not isinstance(schema, Mapping):
        return None if schema is not False else f"{path} is not allowed"
    schema = _resolved(schema, root)
    for check in (_type_problem, _choice_problem, _object_problem, _array_problem, _combined_problem):
        if (problem := check(value, schema, root, path)) is not None:
            return problem
    return None


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a `$ref` within `root` stands for; an empty one if it leads nowhere."""
    for _ in range(8):  # a chain of references longer than that is most likely a circle
        ref = schema.get("$ref")
        if not isinstance(ref, str):
            return schema
        target: Any = root if ref.startswith("#") else None
        for step in ref.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, Mapping) else None
        schema = target if isinstance(target, Mapping) else {}
    return {}


def _type_problem(value: Any, schema: Mapping[str, Any], _root: Mapping[str, Any], path: str) -> Problem:
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else list(wanted or ())
    if not names or any(_is_of_type(value, name) for name in names):
        return None
    return f"{path} must be of type {' or '.join(names)}, not {type(value).__name__}"


def _is_of_type(value: Any, name: str) -> bool:
    if isinstance(value, bool) and name != "boolean":
        return False
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def _choice_problem(value: Any, schema: Mapping[str, Any], _root: Mapping[str, Any], path: str) -> Problem:
    if "const" in schema and value != schema["const"]:
        return f"{path} must be {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path} must be one of {', '.join(map(repr, schema['enum']))}"
    return None


def _object_problem(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Problem:
    if not isinstance(value, dict):
        return None
    if missing := [name for name in schema.get("required") or () if name not in value]:
        return f"{path} lacks {', '.join(map(repr, missing))}"
    known: Mapping[str, Any] = schema.get("properties") or {}
    others = True if schema.get("patternProperties") else schema.get("additionalProperties", True)
    for name, item in value.items():
        rule = known.get(name, others)
        if (problem := _problem(item, rule, root, f"{path}.{name}")) is not None:
            return problem
    return None


def _array_problem(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Problem:
    if not isinstance(value, list):
        return None
    first: Sequence[Any] = schema.get("prefixItems") or ()
    rules = chain(first, repeat(schema.get("items", True)))
    ruled = enumerate(zip(value, rules, strict=False))
    problems = (_problem(item, rule, root, f"{path}[{number}]") for number, (item, rule) in ruled)
    return next((problem for problem in problems if problem is not None), None)


def _combined_problem(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Problem:
    for part in schema.get("allOf") or ():
        if (problem := _problem(value, part, root, path)) is not None:
            return problem
    choices = schema.get("anyOf") or schema.get("oneOf") or ()
    problems = [_problem(value, choice, root, path) for choice in choices]
    return None if not problems or None in problems else problems[0]
