"""The fields of a wire as data: what is done with each, and what it has to be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langplug.serve.errors import ApiError

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body.

    Attributes:
        name: Its path, such as `text.format`.
        type: Its JSON schema: `type` (one or a list of them), `minimum`, `maximum`, `enum`.
        verdict: What is done with it.
        note: What a reader should know of that.
    """

    name: str
    type: Mapping[str, Any]
    verdict: Literal["supported", "ignored", "refused"]
    note: str = ""


def check_body(body: Mapping[str, Any], fields: Iterable[Field]) -> list[str]:
    """Check what is given; return the names of fields that are ignored, the unknown ones included.

    Null counts as not given.

    Raises:
        ApiError: If a value is not of its type, out of range, or asks for what is refused.
    """
    table = {field.name: field for field in fields}
    for field in table.values():
        holder: Any = body
        for step in field.name.split("."):
            holder = holder.get(step) if isinstance(holder, Mapping) else None
        if holder is not None:
            _check_value(field, holder)
    given = [name for name, value in body.items() if value is not None]
    return [name for name in given if name not in table or table[name].verdict == "ignored"]


def _check_value(field: Field, value: Any) -> None:
    if field.verdict == "refused":
        raise ApiError(400, "invalid_request_error", f"{field.name} is not supported: {field.note}", field.name)
    wanted = field.type.get("type", [])
    kinds = [wanted] if isinstance(wanted, str) else wanted
    fits = any(isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in kinds)
    problem = "" if fits or not kinds else f"expected {' or '.join(kinds)}"
    if not problem and isinstance(value, int | float):
        low, high = field.type.get("minimum"), field.type.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            upwards = "or more" if high is None else f"to {high}"
            problem = f"expected {low} {upwards}"
    if not problem and "enum" in field.type and value not in field.type["enum"]:
        problem = f"expected one of {', '.join(map(repr, field.type['enum']))}"
    if problem:
        raise ApiError(400, "invalid_request_error", f"{field.name}: {problem}, not {value!r:.80}.", field.name)
