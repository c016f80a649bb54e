"""Shapes of JSON: written down once, as JSON schemas, by which bodies are checked and which are published.

Of JSON schema only so much is here as the wires need. Members that need not be there may be null, which says the same
as nothing. A union of objects tells its options apart by one member, its tag; other unions do by the kind of a value.
JSON has one kind of number: where an integer is expected, 2.0 is one, and becomes 2.

A `JSON_SCHEMA` is what a client gives for arguments and answers. Null is no value of its keywords, so those are taken
out: whoever reads it next would fail on them.

A shape is made a function once. An agent sends some thousand values with each request, and a check of one costs less
than a microsecond: by a table of classes, with no look at keywords that a shape has not.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from langplug.serve.errors import ApiError, refused

Shape: TypeAlias = Mapping[str, Any]

TEXT: Final[Shape] = {"type": "string"}
NAME: Final[Shape] = {"type": "string", "minLength": 1}
FLAG: Final[Shape] = {"type": "boolean"}
OBJECT: Final[Shape] = {"type": "object"}
LIST: Final[Shape] = {"type": "array"}
NULLABLE: Final[Shape] = {"type": ["string", "null"]}
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
"""The classes that values of each kind have when JSON is read, and what a kind is called."""


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
    return {**object_of(type={"type": "string", "pattern": f"^(?!({'|'.join(words)})$)"}), "description": note}


def never(words: Sequence[str], note: str) -> Shape:
    """An option of a union that is known, and refused; `note` says what to send in its place."""
    return {**object_of(type=one_word(*words)), "not": {}, "description": note}


def union(*options: Shape, tag: str = "type") -> dict[str, Any]:
    """An object that is one of `options`, which its member `tag` tells; without it, the option that needs none."""
    return {"type": "object", "oneOf": [*options], "discriminator": {"propertyName": tag}}


JSON_SCHEMA: Final[dict[str, Any]] = object_of("JsonSchema")
_INNER: Final[Shape] = {"anyOf": [JSON_SCHEMA, FLAG]}
_LISTED: Final = list_of(_INNER)
_NAMED: Final[Shape] = {"type": "object", "additionalProperties": _INNER}
_SIZE: Final[Shape] = {"type": "integer", "minimum": 0}
_NUMBER: Final[Shape] = {"type": ["number", "boolean"]}  # in old versions, whether a limit is exclusive
JSON_SCHEMA["properties"].update(
    dict.fromkeys(("$ref", "title", "description", "pattern", "format"), TEXT)
    | dict.fromkeys(("properties", "patternProperties", "dependentSchemas", "$defs", "definitions"), _NAMED)
    | dict.fromkeys(("additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"), _INNER)
    | dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _LISTED)
    | dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBER)
    | {f"{end}{thing}": _SIZE for end in ("min", "max") for thing in ("Length", "Items", "Properties", "Contains")}
    | {
        "type": text_or_list(TEXT),
        "enum": LIST,
        "required": list_of(TEXT),
        "dependentRequired": {"type": "object", "additionalProperties": list_of(TEXT)},
        "items": {"anyOf": [JSON_SCHEMA, FLAG, LIST]},
        "uniqueItems": FLAG,
    }
)


Place: TypeAlias = "tuple[Place, str | int] | None"
"""Where a value stands: what it is in, and its name or number there. Written out only for an error."""

Check: TypeAlias = Callable[[Any, Place], None]
Parts: TypeAlias = "dict[type, Check | None]"
"""What to look at in a value of each class that may be there; None if there is nothing else to look at."""


class Checks:
    """Makes functions of shapes. They raise an `ApiError` that names the place of what is not of its shape.

    Args:
        item: How the place of a list's item is written: `"[{}]"`, or `".{}"`.
    """

    def __init__(self, item: str) -> None:
        self._item = item
        self._made: dict[int, Check] = {}

    def _refused(self, place: Place, problem: str) -> ApiError:
        steps: list[str] = []
        while place is not None:
            place, step = place
            steps.append(self._item.format(step) if isinstance(step, int) else f".{step}")
        return refused("".join(reversed(steps)).removeprefix("."), problem)

    def of(self, shape: Shape) -> Check:
        """The check of a shape, made once."""
        key = id(shape)
        if key not in self._made:

            def later(value: Any, place: Place) -> None:  # a shape may hold itself
                self._made[key](value, place)

            self._made[key] = later
            self._made[key] = self.new(shape)
        return self._made[key]

    def new(self, shape: Shape) -> Check:
        """The check of a shape."""
        if shape.get("not") == {}:

            def refuse(_: Any, place: Place) -> None:
                raise self._refused(place, f"not supported: {shape['description']}")

            return refuse
        parts = self.parts_of(shape)

        def check(value: Any, place: Place) -> None:
            try:
                part = parts[value.__class__]
            except KeyError:
                raise self._refused(place, f"expected {described(shape)}, not {_told(value)}.") from None
            if part is not None:
                part(value, place)

        return check

    def parts_of(self, shape: Shape) -> Parts:
        """What to look at in a value, by its class."""
        parts: Parts = {}
        if "type" in shape:
            of_class: dict[type, Check | None] = {
                str: self.of_value(shape, "enum", "minLength", "pattern"),
                int: (number := self.of_value(shape, "enum", "minimum", "maximum")),
                float: number,
                bool: self.of_value(shape, "enum"),
                list: self.of_list(shape),
                dict: self.of_object(shape),
            }
            parts = {cls: of_class.get(cls) for kind in _kinds_of(shape) for cls in _KINDS[kind][0]}
        choices: dict[type, list[Shape]] = {}
        for option in shape.get("anyOf", ()):
            for cls in (cls for kind in _kinds_of(option) for cls in _KINDS[kind][0]):
                choices.setdefault(cls, []).append(option)
        for cls, options in choices.items():
            parts[cls] = self.of_options(options, also=parts.get(cls))
        return parts

    def of_value(self, shape: Shape, *keywords: str) -> Check | None:
        """What a text or a number must be beside its kind; None if any will do."""
        if not shape.keys() & {*keywords}:
            return None
        words = shape.get("enum")
        low, high, shortest = shape.get("minimum"), shape.get("maximum"), shape.get("minLength", 0)
        matches = re.compile(shape.get("pattern", "")).search

        def check(value: Any, place: Place) -> None:
            problem = ""
            if words is not None and value not in words:
                problem = described(shape)
            elif isinstance(value, str):
                if not matches(value):
                    problem = "another word"
                elif len(value) < shortest:
                    problem = "a text that is not empty"
            elif (low is not None and value < low) or (high is not None and value > high):
                problem = f"{low} {'or more' if high in (None, COUNT['maximum']) else f'to {high}'}"
            if problem:
                raise self._refused(place, f"expected {problem}, not {_told(value)}.")

        return check

    def of_list(self, shape: Shape) -> Check | None:
        """Looks at the items of a list, and how many they are; None if any will do."""
        if "items" not in shape:
            return None
        item_check = self.of(shape["items"])
        few, many = shape.get("minItems", 0), shape.get("maxItems")

        def check(value: list[Any], place: Place) -> None:
            if len(value) < few or (many is not None and len(value) > many):
                room = f"{few} or more" if many is None else f"{few} to {many}"
                raise self._refused(place, f"expected {room} items, not {len(value)}.")
            for number, item in enumerate(value):
                item_check(item, (place, number))

        return check

    def of_object(self, shape: Shape) -> Check:
        """Looks at an object: that nothing is missing, its members, and what it is of a union."""
        parts = [self.of_members(shape)]
        properties, required = shape.get("properties", {}), shape.get("required", ())
        if "oneOf" in shape:
            parts.append(self.of_union(shape))

        def check(value: dict[str, Any], place: Place) -> None:
            for name in required:
                if value.get(name) is None:
                    raise self._refused((place, name), f"required: {described(properties[name])}.")
            for part in parts:
                part(value, place)

        return check

    def of_members(self, shape: Shape) -> Check:
        """Looks at those members of an object that are there."""
        properties: Mapping[str, Shape] = shape.get("properties", {})
        checks = {name: self.of(rule) for name, rule in properties.items()}
        whole = {name for name, rule in properties.items() if rule.get("type") == "integer"}
        rest = self.of(shape["additionalProperties"]) if "additionalProperties" in shape else None
        takes_nulls = shape.get("title") != JSON_SCHEMA["title"]

        def check(value: dict[str, Any], place: Place) -> None:
            for name, member in [*value.items()]:
                known = checks.get(name, rest)
                if known is None:
                    continue
                if member is None and known is not rest:
                    if not takes_nulls:
                        del value[name]
                elif isinstance(member, float) and name in whole and member.is_integer():
                    value[name] = int(member)
                    known(value[name], (place, name))
                else:
                    known(member, (place, name))

        return check

    def of_union(self, shape: Shape) -> Check:
        """Looks at an object as the option that its tag tells."""
        tag, options = shape["discriminator"]["propertyName"], cast("list[Shape]", shape["oneOf"])
        rules = [cast("Shape", option["properties"][tag]) for option in options]
        by_word = {word: option for option, rule in zip(options, rules, strict=True) for word in rule.get("enum", ())}
        open_ones = [(option, rule) for option, rule in zip(options, rules, strict=True) if "enum" not in rule]
        default = next((option for option in options if tag not in option["required"]), None)
        checks = {id(option): self.of(option) for option in options}
        known = ", ".join(by_word)

        def find(word: Any) -> Shape | None:
            if word is None or not isinstance(word, str):
                return default if word is None else None
            others = (option for option, rule in open_ones if re.search(rule["pattern"], word))
            return by_word.get(word) or next(others, None)

        def check(value: dict[str, Any], place: Place) -> None:
            word = value.get(tag)
            option = find(word)
            if option is None:
                problem = f"required: one of {known}" if word is None else f"expected one of {known}, not {word!r:.50}"
                raise self._refused((place, tag), f"{problem}.")
            if option.get("not") == {}:
                raise self._refused(place, f"{word!r:.50} is not supported: {option['description']}")
            checks[id(option)](value, place)

        return check

    def of_options(self, options: Sequence[Shape], *, also: Check | None) -> Check:
        """Looks at a value as the option that it has all members of, or else as the first."""
        if len(options) == 1 and also is None:
            return self.of(options[0])
        checks = [(option.get("required", ()), self.of(option)) for option in options]

        def check(value: Any, place: Place) -> None:
            if also is not None:
                also(value, place)
            fitting = (one for names, one in checks if all(value.get(name) is not None for name in names))
            next(fitting, checks[0][1])(value, place)

        return check


def described(shape: Shape) -> str:
    """What is expected, in words."""
    if words := shape.get("enum"):
        return f"{'one of ' if len(words) > 1 else ''}{', '.join(map(_told, words))}"
    if "type" not in shape:
        return " or ".join(map(described, shape["anyOf"]))
    return " or ".join(_KINDS[kind][1] for kind in _kinds_of(shape))


def _told(value: Any) -> str:
    """A value in an error: `true`, `false` and `null` are called as in the body."""
    return json.dumps(value) if value is None or isinstance(value, bool) else f"{value!r:.80}"


def _kinds_of(shape: Shape) -> list[str]:
    kinds: str | list[str] = shape["type"]
    return [kinds] if isinstance(kinds, str) else kinds
