"""JSON schemas as grammars in EBNF, for OpenVINO: https://docs.openvino.ai/2026/openvino-workflow-generative.html.

OpenVINO can be given a JSON schema as it is, but then allows any white space, of which small models write without end,
and one that it cannot read stops it for everybody. What is written here is compact JSON, and can be read. Keywords that
are not looked at (`uniqueItems`, `multipleOf`, `not`, `if` and others) are left to langplug's check of the answer.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from langplug._tools.references import resolve
from langplug.models.gguf.ebnf_text import (
    CHARACTER,
    MOST,
    UnknownPatternError,
    literal,
    number_between,
    repeated,
    string_of_length,
    string_of_pattern,
)

_ANY: Final = f"""
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{{" (string ":" value ("," string ":" value)*)? "}}"
array ::= "[" (value ("," value)*)? "]"
string ::= "\\"" {CHARACTER}* "\\""
integer ::= "-"? ("0" | [1-9] [0-9]{{0,14}})
number ::= integer ("." [0-9]{{1,15}})? ([eE] [-+]? [0-9]{{1,2}})?
"""
"""The rules of JSON itself."""

_FORMATS: Final = {
    "date": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$",
    "time": r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$",
    "date-time": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$",
    "uuid": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "email": r"^[a-zA-Z0-9_.+-]{1,64}@[a-zA-Z0-9-]{1,63}(\.[a-zA-Z0-9-]{1,63})+$",
}
"""https://json-schema.org/understanding-json-schema/reference/type#format."""

_OF_TYPE: Final = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
"""Keywords that tell a type which is not named."""


@lru_cache(maxsize=128)
def ebnf_of(schema: str) -> str:
    """The grammar of compact JSON that fits a schema, which is given as JSON.

    Raises:
        ValueError: If nothing fits it.
    """
    grammar = _Grammar(json.loads(schema))
    return f"root ::= {grammar.expression(grammar.root)}\n{grammar.rules()}{_ANY}"


class _Grammar:
    """Collects the rules of one schema."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._names: dict[str, str] = {}
        """Of each rule, by what it says."""
        self._references: dict[str, str] = {}
        self._referred: dict[str, str] = {}

    def rules(self) -> str:
        """The rules that expressions refer to."""
        named = self._referred | {name: body for body, name in self._names.items()}
        return "".join(f"{name} ::= {body}\n" for name, body in named.items())

    def expression(self, schema: Any) -> str:
        """What fits `schema`, as one item of a sequence."""
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, Mapping):
            raise ValueError(f"nothing fits the schema {json.dumps(schema)}")
        if isinstance(pointer := schema.get("$ref"), str):
            if pointer not in self._references:  # what it leads to may hold the reference itself
                name = self._references[pointer] = f"reference{len(self._references)}"
                self._referred[name] = self.expression(resolve(schema, self.root))
            return self._references[pointer]
        if "const" in schema:
            return literal(_compact(schema["const"]))
        if isinstance(values := schema.get("enum"), Sequence):
            return _any_of(literal(_compact(value)) for value in values)
        for keyword in ("anyOf", "oneOf"):
            if options := schema.get(keyword):
                rest = {key: value for key, value in schema.items() if key != keyword}
                return _any_of(self.expression(_merged([rest, option])) for option in options)
        if parts := schema.get("allOf"):
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            parts = parts if len(parts) == 1 else [resolve(part, self.root) for part in parts]
            return self.expression(_merged([rest, *parts]))
        kinds = schema.get("type") or [kind for kind, keys in _OF_TYPE.items() if any(key in schema for key in keys)]
        kinds = [kinds] if isinstance(kinds, str) else kinds
        return _any_of(self.typed(kind, schema) for kind in kinds) if kinds else "value"

    def typed(self, kind: str, schema: Mapping[str, Any]) -> str:
        """What is of one type and fits `schema`."""
        match kind:
            case "object":
                return self.object(schema)
            case "array":
                return self.array(schema)
            case "string":
                return self.string(schema)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return '("true" | "false")'
            case "null":
                return literal("null")
            case _:
                raise ValueError(f"there is no type {kind!r}")

    # --- what holds others ---

    def object(self, schema: Mapping[str, Any]) -> str:
        """The named properties in their order, then others, if there may be any."""
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required = schema.get("required") or []
        more = schema.get("additionalProperties", True)
        other = "" if more is False else self.rule(f'string ":" {self.expression(more)}')
        if not properties and not required:
            if not other:
                return literal("{}")
            return f'"{{" {self.list_of(other, schema.get("minProperties"), schema.get("maxProperties"))} "}}"'
        names = [*properties, *(name for name in required if name not in properties)]
        pairs = [
            self.rule(f"{literal(_compact(name) + ':')} {self.expression(properties.get(name, more))}")
            for name in names
        ]
        rests = [f'("," {other})*' if other else '""']  # what may follow each property, from the last to the first
        for name, pair in zip(reversed(names), reversed(pairs), strict=True):
            rests.append(self.rule(f'("," {pair}){"" if name in required else "?"} {rests[-1]}'))
        # What comes first has no comma before it: any property up to the first that is required.
        firsts: list[str] = []
        for name, pair, rest in zip(names, pairs, reversed(rests[:-1]), strict=True):
            firsts.append(f"({pair} {rest})")
            if name in required:
                break
        else:
            firsts += [f"({other} {rests[0]})", '""'] if other else ['""']
        return f'"{{" {_any_of(firsts)} "}}"'

    def array(self, schema: Mapping[str, Any]) -> str:
        """The items that have a schema each, then those that share one."""
        first = [self.expression(item) for item in schema.get("prefixItems") or ()]
        items, most = schema.get("items", True), schema.get("maxItems")
        if not first:
            if items is False or most == 0:
                return literal("[]")
            return f'"[" {self.list_of(self.expression(items), schema.get("minItems"), most)} "]"'
        rest = "" if items is False or most == len(first) else f'("," {self.expression(items)})*'
        return " ".join(['"["', ' "," '.join(first), rest, '"]"'])

    def list_of(self, item: str, least: Any, most: Any) -> str:
        """Items with commas between them, so many of them."""
        least = min(int(least or 0), MOST)
        most = None if most is None or most > MOST else int(most)
        rest = "" if most == 1 else repeated(f'("," {item})', max(0, least - 1), most and most - 1, self.rule)
        listed = f"{item} {rest}".strip()
        return listed if least else f"({listed})?"

    def rule(self, body: str) -> str:
        """The name of a rule. What is written twice is a rule, or nested objects would double with each level."""
        return self._names.setdefault(body, f"rule{len(self._names)}")

    # --- strings ---

    def string(self, schema: Mapping[str, Any]) -> str:
        """A string of a pattern, a format or a length."""
        pattern = schema.get("pattern") or _FORMATS.get(str(schema.get("format")))
        if isinstance(pattern, str):
            with suppress(UnknownPatternError):  # the answer is checked afterwards
                return string_of_pattern(pattern, self.rule)
        least, most = int(schema.get("minLength") or 0), schema.get("maxLength")
        if least > MOST or (least == 0 and (most is None or most > MOST)):
            return "string"
        return string_of_length(least, None if most is None or most > MOST else most, self.rule)


def _number(schema: Mapping[str, Any], *, whole: bool) -> str:
    """A number between the bounds of `schema`; of two lower or upper ones, the narrower."""
    lows = [(Decimal(str(schema[key])), key) for key in ("minimum", "exclusiveMinimum") if _is_number(schema.get(key))]
    highs = [(Decimal(str(schema[key])), key) for key in ("maximum", "exclusiveMaximum") if _is_number(schema.get(key))]
    if not lows and not highs:
        return "integer" if whole else "number"
    low, low_key = max(lows, default=(None, ""))
    high, high_key = min(highs, key=lambda bound: bound[0], default=(None, ""))
    above, below = low_key == "exclusiveMinimum", high_key == "exclusiveMaximum"
    return number_between(low, high, whole=whole, above=above, below=below)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _any_of(options: Iterable[str]) -> str:
    written = list(dict.fromkeys(options))
    return written[0] if len(written) == 1 else f"({' | '.join(written)})"


def _merged(schemas: Iterable[Any]) -> dict[str, Any]:
    """One schema that asks for what all of them do."""
    merged: dict[str, Any] = {}
    for schema in schemas:
        if schema is False:
            raise ValueError("nothing fits the schema false")
        for key, value in (schema if isinstance(schema, Mapping) else {}).items():
            if key == "properties" and key in merged:
                merged[key] = {**merged[key], **value}
            elif key == "required" and key in merged:
                merged[key] = [*merged[key], *value]
            else:
                merged[key] = value
    return merged


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
