"""Whether a value fits a JSON schema, with the place and the reason where it does not.

Not checked, and taken as fulfilled: `format` (and what describes text within strings), `unevaluatedProperties`,
`unevaluatedItems`, and references to other documents. `oneOf` is checked as `anyOf` is: most authors mean that by it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from typing import Any

from langplug._tools.references import Schema, as_schema, resolve

Problem = str | None
"""What is wrong with an answer, in words for the model; None: nothing."""

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip


def problem_with(value: Any, schema: Schema) -> Problem:
    """What keeps `value` from fitting the JSON schema `schema`; the place is named as `$.path`."""
    try:
        return _problem(value, schema, schema, "$")
    except RecursionError:  # a schema that refers to itself without end asks for nothing
        return None


def _problem(value: Any, schema: Any, root: Schema, path: str) -> Problem:
    if not isinstance(schema, Mapping):  # True and False are schemas, too
        return None if schema is not False else f"{path} is not allowed"
    if "$ref" in schema:  # what stands beside a reference holds as well
        beside = {key: item for key, item in schema.items() if key not in ("$ref", "$defs", "definitions")}
        return _problem(value, resolve(schema, root), root, path) or _problem(value, beside, root, path)
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else list(wanted or ())
    if names and not any(_is_of_type(value, name) for name in names):
        return f"{path} must be of type {' or '.join(names)}, not {type(value).__name__}"
    if "const" in schema and _key(value) != _key(schema["const"]):
        return f"{path} must be {schema['const']!r}"
    if "enum" in schema and _key(value) not in map(_key, schema["enum"]):
        return f"{path} must be one of {', '.join(map(repr, schema['enum']))}"
    if (problem := _beyond_limits(value, schema, path)) is not None:
        return problem
    parts = ((value, part, path) for part in schema.get("allOf") or ())
    for item, rule, place in chain(_rules_within(value, schema, path), parts):
        if (problem := _problem(item, rule, root, place)) is not None:
            return problem
    return _problem_of_choice(value, schema, root, path)


def _is_of_type(value: Any, name: str) -> bool:
    if isinstance(value, bool) and name != "boolean":  # Python's bool is an int
        return False
    if name == "integer" and isinstance(value, float):  # JSON has one kind of number: 2.0 is an integer
        return value.is_integer()
    return isinstance(value, _PYTHON_TYPES.get(name, (object,)))


def _beyond_limits(value: Any, schema: Schema, path: str) -> Problem:
    if isinstance(value, dict):
        asked = [*(schema.get("required") or ())]
        for key, others in as_schema(schema.get("dependentRequired")).items():
            asked += others if key in value else ()
        if missing := [key for key in asked if key not in value]:
            return f"{path} lacks {', '.join(map(repr, missing))}"
    for keyword in _LIMITS.keys() & schema.keys():
        types, fits, words = _LIMITS[keyword]
        if isinstance(value, types) and not isinstance(value, bool) and not fits(value, schema[keyword]):
            return f"{path} {words} {schema[keyword]}"
    return None


def _rules_within(value: Any, schema: Schema, path: str) -> Iterator[tuple[Any, Any, str]]:
    """Each member of an object or item of a list, with the schema that it must fit and its place."""
    if isinstance(value, dict):
        known = as_schema(schema.get("properties"))
        patterns = as_schema(schema.get("patternProperties"))
        for key, item in value.items():
            rules = [rule for pattern, rule in patterns.items() if _matches(pattern, key)]
            rules += [known[key]] if key in known else []
            for rule in rules or [schema.get("additionalProperties", True)]:
                yield item, rule, f"{path}.{key}"
            if "propertyNames" in schema:
                yield key, schema["propertyNames"], f"the key {path}.{key}"
        for key, rule in as_schema(schema.get("dependentSchemas")).items():
            if key in value:
                yield value, rule, path
    elif isinstance(value, list):
        rules_of_items = chain(schema.get("prefixItems") or (), repeat(schema.get("items", True)))
        for number, (item, rule) in enumerate(zip(value, rules_of_items, strict=False)):
            yield item, rule, f"{path}[{number}]"


def _problem_of_choice(value: Any, schema: Schema, root: Schema, path: str) -> Problem:
    for keyword in ("anyOf", "oneOf"):
        problems = [_problem(value, choice, root, path) for choice in schema.get(keyword) or ()]
        if problems and None not in problems:
            return problems[0]
    if "not" in schema and _problem(value, schema["not"], root, path) is None:
        return f"{path} must not fit {json.dumps(schema['not'], ensure_ascii=False)}"
    if "if" in schema:
        branch = "then" if _problem(value, schema["if"], root, path) is None else "else"
        return _problem(value, schema.get(branch, True), root, path)
    if isinstance(value, list) and "contains" in schema:
        fitting = sum(_problem(item, schema["contains"], root, path) is None for item in value)
        least, most = schema.get("minContains", 1), schema.get("maxContains", len(value))
        if not least <= fitting <= most:
            return f"{path} holds {fitting} items that fit {json.dumps(schema['contains'], ensure_ascii=False)}"
    return None


def _key(value: Any) -> str:
    """The same for values that are equal in JSON, where `true` is not 1 as in Python, and 1.0 is."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{name!r}:{_key(value[name])}" for name in sorted(value, key=str)) + "}"
    return "[" + ",".join(map(_key, value)) + "]" if isinstance(value, list) else repr(value)


def _is_whole(value: float, step: float) -> bool:
    if not step:
        return True
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    return abs(value / step - round(value / step)) < 1e-9


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:  # what JavaScript knows and Python does not is taken as fulfilled
        return True


_LIMITS: Mapping[str, tuple[tuple[type, ...], Callable[[Any, Any], bool], str]] = {
    "minimum": ((int, float), lambda value, limit: value >= limit, "must be at least"),
    "maximum": ((int, float), lambda value, limit: value <= limit, "must be at most"),
    "exclusiveMinimum": ((int, float), lambda value, limit: value > limit, "must be more than"),
    "exclusiveMaximum": ((int, float), lambda value, limit: value < limit, "must be less than"),
    # In floats, 0.3 is no multiple of 0.1: what is off by less than rounding counts as one.
    "multipleOf": ((int, float), _is_whole, "must be a multiple of"),
    "minLength": ((str,), lambda value, limit: len(value) >= limit, "is too short; its least length is"),
    "maxLength": ((str,), lambda value, limit: len(value) <= limit, "is too long; its greatest length is"),
    "pattern": ((str,), lambda value, pattern: _matches(pattern, value), "must match"),
    "minItems": ((list,), lambda value, limit: len(value) >= limit, "has too few items; the least number is"),
    "maxItems": ((list,), lambda value, limit: len(value) <= limit, "has too many items; the greatest number is"),
    "uniqueItems": (
        (list,),
        lambda value, asked: not asked or len(set(map(_key, value))) == len(value),
        "repeats an item; unique items:",
    ),
    "minProperties": ((dict,), lambda value, limit: len(value) >= limit, "has too few keys; the least number is"),
    "maxProperties": ((dict,), lambda value, limit: len(value) <= limit, "has too many keys; the greatest number is"),
}
"""Keywords that hold for values of some types: which, whether a value fits, and what to say if it does not."""
