"""JSON schemas: those that callers give, whether an answer fits one, and what one says of a tool's arguments.

Where the schema is a class, `class_schema` checks by the class itself. For JSON schemas, `json_schema_check` does.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_origin

from langchain_core.tools import BaseTool, Tool, create_schema_from_function
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel

from langplug._tools.class_schema import class_schema, to_json_schema
from langplug._tools.json_schema_check import Problem, problem_with
from langplug._tools.literals import literal
from langplug._tools.references import Schema, as_schema, inline_references, resolve

ANY_JSON: dict[str, Any] = {"title": "answer", "type": "object"}
"""The schema that stands for "JSON of whatever form", OpenAI's JSON mode."""

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
    """A pydantic class (v1 or v2), dataclass, TypedDict, JSON schema or OpenAI function dict as a titled JSON schema.

    What describes its arguments to langchain-core, a function or a tool, is one as well.

    Raises:
        ValueError: If it is none of these, or a class with a field that JSON cannot hold.
    """
    if (known := class_schema(schema)) is not None:
        return known.json_schema
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
    if function := function_of(schema):
        head = {"title": function["name"], "description": function["description"]}
        return {**head, **function["parameters"]}
    try:
        # Nothing but a dict: to langchain-core any callable is a schema, such as a lambda, or an Enum's constructor.
        return convert_to_json_schema(dict(schema) if isinstance(schema, Mapping) else {})
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{schema!r} is not a schema. Give a pydantic class, a dataclass, a TypedDict, a JSON schema (a dict with "
            "'properties'), or an OpenAI function dict. Put a list, a union or an Enum into a class as a field of it."
        ) from error


def function_of(tool: Any) -> dict[str, Any] | None:
    """Name, description and parameters of a tool that is a class, a function or a LangChain tool; else None.

    langchain-core's own conversion is not asked: it puts `{}` where a type holds itself.

    Raises:
        ValueError: If the types of its arguments cannot be described.
    """
    if (known := class_schema(tool)) is not None:
        described = known.json_schema
        name, description = described["title"], described.get("description", "")
    elif isinstance(tool, BaseTool) and not isinstance(tool, Tool):
        described = _arguments_of(tool.tool_call_schema)
        name, description = tool.name, tool.description or described["description"]
    elif (
        callable(tool)
        and not isinstance(tool, type | BaseTool)
        and get_origin(tool) is None  # `list[int]` and `A | B` can be called, too
        and (name := getattr(tool, "__name__", None)) not in (None, "<lambda>")
    ):
        try:
            model = create_schema_from_function(
                name, tool, filter_args=(), parse_docstring=True, error_on_invalid_docstring=False
            )
            described = _arguments_of(model)
        except Exception as error:  # whatever pydantic or langchain-core makes of an annotation
            raise ValueError(f"The arguments of {tool!r} cannot be described: {error}") from error
        description = model.__doc__ or described["description"]
    else:
        return None
    parameters = {key: value for key, value in described.items() if key not in ("title", "description")}
    return {"name": name, "description": description, "parameters": parameters}


def _arguments_of(model: Any) -> dict[str, Any]:
    """The JSON schema of a tool's arguments, which langchain-core gives as such, or as a class made for this once."""
    if isinstance(model, Mapping):
        return to_json_schema(model)
    return to_json_schema(model.model_json_schema() if issubclass(model, BaseModel) else model.schema())


def call_schema(functions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of a call of one of `functions` (OpenAI function dicts), as `{"name": ..., "arguments": {...}}`."""
    calls: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for function in functions:
        arguments = dict(function.get("parameters") or {"type": "object"})
        # inside of another schema its references would lead nowhere: what refers to itself moves to the outer one's
        arguments = inline_references(arguments, prefix=f"{function['name']}.")
        definitions |= arguments.pop("$defs", {})
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    call = {"title": "call", **(calls[0] if len(calls) == 1 else {"anyOf": calls})}
    return {**call, "$defs": definitions} if definitions else call


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


def reader_of(schema: Any) -> Callable[[Any], Any]:
    """What makes of parsed JSON what `schema` stands for: an instance of a class, else a dict.

    It raises a `ValueError` that says, in words for the model, what does not fit.
    """
    if (known := class_schema(schema)) is not None:
        return known.read
    described = json_schema_of(schema)

    def read(value: Any) -> Any:
        if (problem := problem_with(value, described)) is not None:
            raise ValueError(problem)
        return value

    return read


def checker_of(schema: Any) -> Callable[[Any], Problem]:
    """What tells whether parsed JSON fits `schema`."""
    read = reader_of(schema)

    def check(value: Any) -> Problem:
        try:
            read(value)
        except ValueError as error:
            return str(error)
        return None

    return check


# --- what a tool's schema says of its arguments ---


def convert_argument(text: str, key: str, schema: Schema) -> Any:
    """The value that `text` is, as far as the schema of the argument `key` has one other than a string."""
    allowed = set(_types(as_schema(as_schema(schema.get("properties")).get(key)), schema))
    if not allowed - {"string"}:
        return text
    value = literal(text)
    if value is None and text.strip() not in ("null", "None"):
        return text
    return value if allowed.intersection(_JSON_TYPES[type(value)]) else text


def example_arguments(schema: Schema) -> dict[str, Any]:
    """Arguments of the right types, for an example: those that are required, or else the first."""
    properties = as_schema(schema.get("properties"))
    keys = [key for key in schema.get("required", ()) if key in properties] or list(properties)[:1]
    arguments: dict[str, Any] = {}
    for key in keys:
        argument = resolve(as_schema(properties[key]), schema)
        named = [*(argument.get("examples") or ()), *(argument.get("enum") or ())]
        named += [argument[word] for word in ("const", "default") if argument.get(word) is not None]
        arguments[key] = named[0] if named else _EXAMPLES.get(next(_types(argument, schema), "string"), "...")
    return arguments


def _types(schema: Schema, root: Schema, depth: int = 0) -> Iterator[str]:
    """The JSON types that a value may have."""
    schema = resolve(schema, root)
    given = schema.get("type", ())
    yield from (given,) if isinstance(given, str) else given
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    if not given:
        yield from (_JSON_TYPES.get(type(value), ("string",))[0] for value in values)
    for key in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(key, ()) if depth < 8 else ():  # a schema may hold itself
            yield from _types(as_schema(option), root, depth + 1)
