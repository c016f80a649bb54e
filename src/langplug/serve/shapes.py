"""Shapes of JSON: written down once, as JSON schemas, by which bodies are checked and which are published.

Of JSON schema only so much is here as the wires need. Members that need not be there may be null, which says the same
as nothing. A union of objects tells its options apart by one member, its tag; other unions do by the kind of a value.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from langplug.serve.errors import refused

Shape: TypeAlias = Mapping[str, Any]

TEXT: Final[Shape] = {"type": "string"}
NAME: Final[Shape] = {"type": "string", "minLength": 1}
FLAG: Final[Shape] = {"type": "boolean"}
OBJECT: Final[Shape] = {"type": "object"}
LIST: Final[Shape] = {"type": "array"}
COUNT: Final[Shape] = {"type": "integer", "minimum": 1, "maximum": 2**53 - 1}

_KINDS: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "string": ((str,), "a string"),
    "boolean": ((bool,), "true or false"),
    "integer": ((int,), "an integer"),
    "number": ((int, float), "a number"),
    "array": ((list,), "a list"),
    "object": ((dict,), "an object"),
    "null": ((type(None),), "null"),
}


def one_word(*words: str) -> Shape:
    """A string that is one of `words`."""
    return {"type": "string", "enum": [*words]}


def list_of(items: Shape, **limits: int) -> Shape:
    """A list; `limits` are `minItems` and `maxItems`."""
    return {"type": "array", "items": items, **limits}


def text_or_list(items: Shape) -> Shape:
    """A string, or a list."""
    return {"type": ["string", "array"], "items": items}


def object_of(title: str = "", /, **members: Shape) -> dict[str, Any]:
    """An object with at least these members. Of a name that ends in `_`, the member need not be there.

    Args:
        title: Its name among the published schemas; without one it stands where it is used.
        members: Their shapes by their names.
    """
    named = {name.rstrip("_"): shape for name, shape in members.items()}
    required = [name for name in members if not name.endswith("_")]
    return {**({"title": title} if title else {}), "type": "object", "properties": named, "required": required}


def other_than(words: Sequence[str], note: str) -> Shape:
    """An object whose `type` is none of `words`."""
    return {**object_of(type={"type": "string", "not": {"enum": [*words]}}), "description": note}


def never(words: Sequence[str], note: str) -> Shape:
    """An option of a union that is known, and refused; `note` says what to send in its place."""
    return {**object_of(type=one_word(*words)), "not": {}, "description": note}


def union(*options: Shape, tag: str = "type") -> dict[str, Any]:
    """An object that is one of `options`, which its member `tag` tells; without it, the option that needs none."""
    return {"type": "object", "oneOf": [*options], "discriminator": {"propertyName": tag}}


class Checker:
    """Checks values.

    Args:
        item: How the place of a list's item is written: `"{}[{}]"`, or `"{}.{}"`.
    """

    def __init__(self, item: str) -> None:
        self._item = item

    def check(self, value: Any, shape: Shape, path: str) -> None:
        """Check what stands at `path`.

        Raises:
            ApiError: If it is not of this shape; the error names the place.
        """
        if shape.get("not") == {}:
            raise refused(path, f"not supported: {shape['description']}")
        if "anyOf" in shape:
            self.check(value, self._option_of_kind(value, shape["anyOf"], path), path)
        if "type" in shape and not _is_of_kind(value, kinds := _kinds_of(shape)):
            expected = " or ".join(_KINDS[kind][1] for kind in kinds)
            raise refused(path, f"expected {expected}, not {value!r:.80}.")
        if problem := _problem_of_value(value, shape):
            raise refused(path, f"expected {problem}, not {value!r:.80}.")
        if isinstance(value, dict):
            self._check_members(value, shape, path)
        elif isinstance(value, list) and "items" in shape:
            for number, item in enumerate(value):
                self.check(item, shape["items"], self._item.format(path, number))

    def _check_members(self, value: Mapping[str, Any], shape: Shape, path: str) -> None:
        dot = f"{path}." if path else ""
        properties, others = shape.get("properties") or {}, shape.get("additionalProperties")
        for name, member in value.items():
            rule = properties.get(name, others)
            if member is not None and rule is not None:
                self.check(member, rule, dot + name)
        for name in shape.get("required") or ():
            if value.get(name) is None:
                raise refused(dot + name, f"required: {described(properties[name])}.")
        if "oneOf" in shape:
            self._check_members(value, self._option_of_tag(value, shape, path), path)

    def _option_of_kind(self, value: Any, options: Sequence[Shape], path: str) -> Shape:
        fitting = [option for option in options if _is_of_kind(value, _kinds_of(option))]
        if not fitting:
            raise refused(path, f"expected {' or '.join(map(described, options))}, not {value!r:.80}.")
        for option in fitting:
            if all(value.get(name) is not None for name in option.get("required", ())):
                return option
        return fitting[0]

    def _option_of_tag(self, value: Mapping[str, Any], shape: Shape, path: str) -> Shape:
        tag, options = shape["discriminator"]["propertyName"], cast("list[Shape]", shape["oneOf"])
        given = value.get(tag)
        for option in options:
            rule: Shape = option["properties"][tag]
            is_default = given is None and tag not in option["required"]
            if is_default or (isinstance(given, str) and not _problem_of_value(given, rule)):
                if "not" in option:  # one of those that are never taken
                    raise refused(path, f"{given!r:.50} is not supported: {option['description']}")
                return option
        known = ", ".join(word for option in options for word in option["properties"][tag].get("enum", ()))
        place = f"{path}.{tag}" if path else tag
        if given is None:
            raise refused(place, f"required: one of {known}.")
        raise refused(place, f"expected one of {known}, not {given!r:.50}.")


def described(shape: Shape) -> str:
    """What is expected, in words."""
    if words := shape.get("enum"):
        return f"one of {', '.join(map(repr, words))}"
    return " or ".join(_KINDS[kind][1] for kind in _kinds_of(shape))


def _kinds_of(shape: Shape) -> list[str]:
    kinds = shape["type"] if "type" in shape else [kind for one in shape["anyOf"] for kind in _kinds_of(one)]
    return [kinds] if isinstance(kinds, str) else kinds


def _is_of_kind(value: Any, kinds: Sequence[str]) -> bool:
    if isinstance(value, bool):  # to Python it is an integer, too
        return "boolean" in kinds
    return any(isinstance(value, _KINDS[kind][0]) for kind in kinds)


def _problem_of_value(value: Any, shape: Shape) -> str:
    """What else is expected of a value that is of the right kind; empty if it is as it should be."""
    if "enum" in shape and value not in shape["enum"]:
        return described(shape)
    if isinstance(value, str):
        if value in shape.get("not", {}).get("enum", ()):
            return "another word"
        if "pattern" in shape and not re.search(shape["pattern"], value):
            return f"a text like {shape['pattern']}"
    low, high = shape.get("minimum"), shape.get("maximum")
    if isinstance(value, int | float) and ((low is not None and value < low) or (high is not None and value > high)):
        return f"{low} {'or more' if high in (None, COUNT['maximum']) else f'to {high}'}"
    if isinstance(value, str | list):
        few, many = shape.get("minLength" if isinstance(value, str) else "minItems", 0), shape.get("maxItems")
        if len(value) < few or (many is not None and isinstance(value, list) and len(value) > many):
            return "a text that is not empty" if isinstance(value, str) else f"{few} to {many or 'any'} items"
    return ""
