"""JSON as it is sent and read: by orjson where that is installed, else by the standard library."""

import json
from typing import Any

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


def load(text: bytes) -> Any:
    """The value of JSON text.

    Raises:
        ValueError: If it is not JSON, or nested deeper than can be read.
    """
    if orjson is not None:
        return orjson.loads(text)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
