"""The fields of a wire as data: what each has to be, and what is done with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langplug.serve.errors import ApiError
from langplug.serve.json_text import MOST_NESTED, is_deep
from langplug.serve.shapes import Checks, Shape


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body.

    Attributes:
        name: Its path, such as `text.format`; the field that it is in stands before it.
        type: Its shape.
        verdict: What is done with it.
        note: What a reader should know of that.
        required: Whether what it is in must have it.
    """

    name: str
    type: Shape
    verdict: Literal["supported", "ignored", "refused"]
    note: str = ""
    required: bool = False


class Body:
    """What may be in a body.

    Args:
        fields: The fields. Others are taken, and ignored.
        item: How the place of a list's item is written in errors: `"[{}]"`, or `".{}"`.

    Attributes:
        fields: The fields.
        shape: The shape that they make, by which bodies are checked.
    """

    def __init__(self, fields: Sequence[Field], item: str = "[{}]") -> None:
        self.fields = tuple(fields)
        self.shape: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
        self._used = {field.name for field in fields if field.verdict != "ignored"}
        self._holders = {field.name.rpartition(".")[0] for field in fields}
        for field in fields:  # what the options of a union have is listed with it
            self._used |= {f"{field.name}.{name}" for one in field.type.get("oneOf", ()) for name in one["properties"]}
        for field in fields:
            *holders, name = field.name.split(".")
            holder = self.shape
            for one in holders:
                holder = holder["properties"][one]
            note = f"{field.verdict.capitalize()}{': ' if field.note else ''}{field.note}"
            own = {"not": {}, "description": field.note} if field.verdict == "refused" else {"description": note}
            holder["properties"] = {**holder.get("properties", {}), name: {**field.type, **own}}
            holder["required"] = [*holder.get("required", ()), *([name] if field.required else ())]
        self._check = Checks(item).of(self.shape)

    def check(self, body: dict[str, Any]) -> list[str]:
        """Check what is given; return the names of fields that are ignored, the unknown ones included.

        Null counts as not given.

        Raises:
            ApiError: If a value is not of its shape, or asks for what is refused, or is nested too deeply.
        """
        if is_deep(body):
            raise ApiError(400, "invalid_request_error", f"The body is nested deeper than {MOST_NESTED} levels.")
        self._check(body, None)
        return [*self._ignored(body, "")]

    def _ignored(self, given: Mapping[str, Any], prefix: str) -> Iterator[str]:
        for name, value in given.items():
            path = prefix + name
            if value is None:
                continue
            if path not in self._used:
                yield path
            elif path in self._holders and isinstance(value, dict):
                yield from self._ignored(value, f"{path}.")

    @property
    def strict_shape(self) -> Shape:
        """The shape without what would be ignored: what a server takes that refuses it."""
        return self._strict(self.shape, "")

    def _strict(self, shape: Shape, prefix: str) -> Shape:
        used = {name: one for name, one in shape["properties"].items() if prefix + name in self._used}
        properties = {
            name: self._strict(one, f"{prefix}{name}.") if prefix + name in self._holders else one
            for name, one in used.items()
        }
        rest = "unevaluatedProperties" if "oneOf" in shape else "additionalProperties"
        return {**shape, "properties": properties, rest: False}
