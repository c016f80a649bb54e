"""Bodies made of a wire's shape: with each thing that it allows, and with each that it forbids, one at a time."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from langplug.serve.shapes import JSON_SCHEMA

Shape = Mapping[str, Any]

OF_KIND: Mapping[str, Any] = {
    "null": None, "boolean": True, "integer": 7, "number": 0.5, "string": "zzz", "array": [], "object": {},
}  # fmt: skip

NO_MEMBERS: Shape = {"type": "object"}
"""In place of an option, where an object has none."""

SCHEMAS: list[Any] = [{}, {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}, "required": ["a"]}]

BROKEN: list[Any] = [
    *({keyword: 7} for keyword in ("type", "required", "enum", "anyOf", "properties", "$ref", "title", "items", "not")),
    *({"properties": {"a": {limit: "x"}}} for limit in ("minimum", "maxLength", "multipleOf", "minItems")),
    {"required": [7]},
    {"dependentRequired": {"a": 7}},
    {"anyOf": [7]},
]
"""No JSON schemas."""


def smallest(shape: Shape) -> Any:
    """A value of a shape, with no more in it than there must be."""
    return next(allowed(shape))


def allowed(shape: Shape) -> Iterator[Any]:
    """Values of a shape: the smallest, and then with each thing that may be there."""
    if shape.get("title") == JSON_SCHEMA["title"]:
        yield from SCHEMAS
    elif shape is NO_MEMBERS:
        yield {}
    elif "enum" in shape:
        yield from shape["enum"]
    elif "type" not in shape:
        for option in shape["anyOf"]:
            yield from allowed(option)
    else:
        for kind in _kinds_of(shape):
            yield from _allowed_of_kind(kind, shape)


def _allowed_of_kind(kind: str, shape: Shape) -> Iterator[Any]:
    match kind:
        case "string":
            yield "bash_tool_result" if "pattern" in shape else "zzz"
        case "integer" | "number":
            yield from {shape.get("minimum", 1), shape.get("maximum", 9)}
        case "array":
            few, many = shape.get("minItems", 0), shape.get("maxItems", 2)
            item = smallest(shape["items"]) if "items" in shape else {}
            yield from ([item] * few, [item] * many)
            for one in allowed(shape["items"]) if "items" in shape else ():
                yield [one]
        case "object":
            yield from _allowed_objects(shape)
        case _:
            yield OF_KIND[kind]


def _allowed_objects(shape: Shape) -> Iterator[dict[str, Any]]:
    properties, required = shape.get("properties", {}), shape.get("required", ())
    base = {name: smallest(properties[name]) for name in required}
    if "additionalProperties" in shape:
        yield from ({"a": value} for value in allowed(shape["additionalProperties"]))
    for option in _options(shape) or [NO_MEMBERS]:
        inner = base | smallest(option)
        yield inner
        yield from [] if "additionalProperties" in shape else [{**inner, "unheard_of": None}]
        for name, rule in properties.items():
            yield from ({**inner, name: value} for value in ([] if rule.get("not") == {} else allowed(rule)))
            yield from [] if name in inner else [{**inner, name: None}]
        yield from ({**inner, **value} for value in allowed(option))


def forbidden(shape: Shape) -> Iterator[Any]:
    """Values that are of a shape, but for one thing."""
    if shape.get("title") == JSON_SCHEMA["title"]:
        yield from ("{}", [], *BROKEN)
        return
    kinds = [kind for one in [shape, *shape.get("anyOf", ())] if "type" in one for kind in _kinds_of(one)]
    yield from (
        value for kind, value in OF_KIND.items() if kind not in kinds and not (kind == "integer" and "number" in kinds)
    )
    if "enum" in shape:
        yield from ["zzz"] if isinstance(shape["enum"][0], str) else [not one for one in shape["enum"]]
    elif "type" not in shape:
        for option in shape["anyOf"]:
            yield from (value for value in forbidden(option) if isinstance(value, str | list | dict) and value)
    else:
        for kind in kinds:
            yield from _forbidden_of_kind(kind, shape)


def _forbidden_of_kind(kind: str, shape: Shape) -> Iterator[Any]:
    match kind:
        case "string":
            yield from [""] if "minLength" in shape else []
            yield from ["zzz"] if not re.search(shape.get("pattern", ""), "zzz") else []
        case "integer" | "number":
            yield from (shape[end] + step for end, step in (("minimum", -1), ("maximum", 1)) if end in shape)
        case "array":
            item = smallest(shape["items"]) if "items" in shape else {}
            yield from [[]] if shape.get("minItems") else []
            yield from [[item] * (shape["maxItems"] + 1)] if "maxItems" in shape else []
            for one in forbidden(shape["items"]) if "items" in shape else ():
                yield [item, one]
        case "object":
            yield from _forbidden_objects(shape)


def _forbidden_objects(shape: Shape) -> Iterator[dict[str, Any]]:
    properties, required = shape.get("properties", {}), shape.get("required", ())
    base = {name: smallest(properties[name]) for name in required} | smallest((_options(shape) or [NO_MEMBERS])[0])
    for name in base:
        yield {key: value for key, value in base.items() if key != name}
    for name, rule in properties.items():
        for value in OF_KIND.values() if rule.get("not") == {} else forbidden(rule):
            yield from [{**base, name: value}] if value is not None or name in base else []
    if "oneOf" in shape:
        yield from _forbidden_options(shape, base)
    if "additionalProperties" in shape:
        yield from ({"a": value} for value in forbidden(shape["additionalProperties"]))


def _forbidden_options(shape: Shape, base: dict[str, Any]) -> Iterator[dict[str, Any]]:
    tag, options = shape["discriminator"]["propertyName"], _options(shape)
    yield from ({**base, tag: 7}, {**base, tag: []})
    yield from (smallest({**option, "not": None}) for option in shape["oneOf"] if option.get("not") == {})
    if not any(re.search(option["properties"][tag].get("pattern", "^$"), "zzz") for option in options):
        yield {**base, tag: "zzz"}
    for option in options:
        words = option["properties"][tag].get("enum", ())
        # with another word, it would be another option, of which it may be a right one
        yield from (value for value in forbidden(option) if isinstance(value, dict) and value.get(tag) in words)


def _options(shape: Shape) -> list[Shape]:
    return [option for option in (*shape.get("oneOf", ()), *shape.get("anyOf", ())) if option.get("not") != {}]


def _kinds_of(shape: Shape) -> list[str]:
    return [shape["type"]] if isinstance(shape["type"], str) else shape["type"]
