"""What a tool's JSON schema says of its arguments."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

from langplug._tools.literals import literal

Schema: TypeAlias = Mapping[str, Any]

_TYPES: Mapping[type, tuple[str, ...]] = {
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    list: ("array",),
    dict: ("object",),
    str: ("string",),
    type(None): ("null",),
}
_EXAMPLES: Mapping[str, Any] = {
    "string": "...",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}


def typed(text: str, key: str, schema: Schema) -> Any:
    """The value that `text` is, as far as the schema of the argument `key` has one other than a string."""
    allowed = set(_types(_mapping(_mapping(schema.get("properties")).get(key)), schema))
    if not allowed - {"string"}:
        return text
    value = literal(text)
    if value is None and text.strip() not in ("null", "None"):
        return text
    return value if allowed.intersection(_TYPES[type(value)]) else text


def example_arguments(schema: Schema) -> dict[str, Any]:
    """Arguments of the right types, for an example: those that are required, or else the first."""
    properties = _mapping(schema.get("properties"))
    keys = [key for key in schema.get("required", ()) if key in properties] or list(properties)[:1]
    return {key: _example(_mapping(properties[key]), schema) for key in keys}


def _example(schema: Schema, root: Schema) -> Any:
    schema = _resolved(schema, root)
    for key in ("examples", "enum"):
        if schema.get(key):
            return next(iter(schema[key]))
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    return _EXAMPLES.get(next(_types(schema, root), "string"), "...")


def _types(schema: Schema, root: Schema, depth: int = 0) -> Iterator[str]:
    """The JSON types that a value may have."""
    schema = _resolved(schema, root)
    given = schema.get("type", ())
    yield from (given,) if isinstance(given, str) else given
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    if not given:
        yield from (_TYPES.get(type(value), ("string",))[0] for value in values)
    for key in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(key, ()) if depth < 8 else ():
            yield from _types(_mapping(option), root, depth + 1)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema that a `$ref` within `root` stands for."""
    for _ in range(8):  # a chain of references longer than that is most likely a circle
        pointer = schema.get("$ref")
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            return schema
        target: Any = root
        for step in pointer.split("/")[1:]:
            target = _mapping(target).get(step.replace("~1", "/").replace("~0", "~"))
        schema = _mapping(target)
    return {}


def _mapping(value: object) -> Schema:
    return cast("Schema", value) if isinstance(value, Mapping) else {}


def dump(value: Any) -> str:
    """`value` as JSON in one line."""
    return json.dumps(value, ensure_ascii=False)
