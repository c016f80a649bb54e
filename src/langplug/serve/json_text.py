"""JSON as it is sent and read: by orjson where that is installed, else by the standard library."""

import json
import re
from typing import Any, Final

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]


def dump(value: Any) -> bytes:
    """`value` as JSON text, encoded. A lone surrogate, which has no bytes, is written as an escape."""
    if orjson is not None:
        try:
            return orjson.dumps(value)
        except TypeError:
            pass
    return json.dumps(value, separators=(",", ":")).encode()


MOST_NESTED: Final = 100
"""How deep a body may be: what reads schemas and messages calls itself for each level."""


_LONG_NUMBER: Final = re.compile(rb"\d{19}")
"""Where there may be a whole number beyond 64 bits, of which orjson makes a float: an id is another one then."""


def load(text: bytes | str) -> Any:
    """The value of JSON text.

    Raises:
        ValueError: If it is not JSON, or nested deeper than can be read.
    """
    if orjson is not None:
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        value = orjson.loads(data)
        if not _LONG_NUMBER.search(data):
            return value
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def load_object(text: bytes | str) -> dict[str, Any]:
    """The object that JSON text holds.

    Raises:
        ValueError: If it holds none, or one that is nested too deeply.
    """
    value = load(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if is_deep(value):
        raise ValueError("nested too deeply")
    return value


def is_deep(value: dict[str, Any]) -> bool:
    """Whether something in it is nested deeper than what is read."""
    level: list[Any] = [value]
    for _ in range(MOST_NESTED):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for values in inner for one in values if isinstance(one, dict | list)]
        if not level:
            return False
    return True
