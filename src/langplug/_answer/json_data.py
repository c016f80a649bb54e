"""What an author passes on beside the text (metadata, content blocks, arguments), made plain JSON data.

Checkpointers, caches and traces write whatever a message holds, far from the model that gave it: a numpy scalar in a
message's metadata fails there as "Type is not msgpack serializable: AIMessage". So it is made plain here, or refused.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel

MOST_LEVELS = 100
"""How deep data may be nested. Checkpointers that write MessagePack give up at about 250 levels."""

PLAIN = (
    "Yield strings, numbers, booleans, None, and lists and dicts of them. Dates, UUIDs, paths, decimals, enums, "
    "dataclasses, pydantic models, and numpy's scalars and arrays are made plain; turn anything else into one of these."
)


def a(thing: object) -> str:
    """The type of `thing` with its article, for errors: "a list", "an int"."""
    name = type(thing).__name__
    return f"{'an' if name[:1] in 'aeioAEIO' else 'a'} {name}"


def to_json_data(value: Any, where: Any, levels: int = MOST_LEVELS) -> Any:  # noqa: C901 - a table of types
    """`value` as strings, numbers, booleans, None, lists, and dicts with strings as keys; a copy of what can change.

    Tuples become lists, whole numbers beyond 64 bits become text, which MessagePack could not write, and NaN and the
    infinities None, as in JavaScript's `JSON.stringify`.

    Args:
        value: The data.
        where: What it is called in errors; of what is nested, a pair of that and the key.
        levels: How deep it may be nested.

    Raises:
        TypeError: If it is anything else, or is nested too deeply, as what contains itself is. The place and the type
            are named, and never the value, which may hold secrets.
    """
    if value is None or type(value) in (str, bool):
        return value
    if levels == 0:
        raise TypeError(f"{_path(where)[:80]}… is nested more than {MOST_LEVELS} levels deep, or contains itself")
    if type(value) is dict:  # as nearly all that is not a string is
        return {_key(key, where): to_json_data(item, (where, key), levels - 1) for key, item in value.items()}
    if isinstance(value, Enum):  # before `str`: as a member of `class Color(str, Enum)` it would keep its type
        return to_json_data(value.value, where, levels - 1)
    if isinstance(value, str):
        return str.__str__(value)  # of numpy, say; `str(value)` calls what a subclass may have made of it
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else str(int(value))
    if isinstance(value, Decimal):  # not by `math`, which a signalling NaN makes raise
        return float(value) if value.is_finite() else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, date | time):  # a `datetime` is a `date`
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID | PurePath):
        return str(value)
    if isinstance(value, list | tuple):
        return [to_json_data(item, (where, number), levels - 1) for number, item in enumerate(value)]
    return _foreign_data(value, where, levels)


def _foreign_data(value: Any, where: Any, levels: int) -> Any:
    try:
        if isinstance(value, BaseModel):
            value = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        elif hasattr(value, "dtype") and callable(getattr(value, "tolist", None)):  # numpy, torch, pandas, jax
            return to_json_data(value.tolist(), where, levels - 1)
        elif is_dataclass(value) and not isinstance(value, type):
            value = {each.name: getattr(value, each.name) for each in fields(value)}
        items = list(value.items()) if isinstance(value, Mapping) else None
    except TypeError:
        raise
    except Exception as error:  # whatever the methods of others raise
        raise TypeError(f"{_path(where)} is {a(value)}, which cannot be read: {error!r}") from error
    if items is None:
        raise TypeError(f"{_path(where)} is {a(value)}, which is not JSON serializable")
    return {_key(key, where): to_json_data(item, (where, key), levels - 1) for key, item in items}


def _key(key: Any, where: Any) -> str:
    if type(key) is str:
        return key
    if not isinstance(key, str | int | float | Enum | UUID | date | None):
        raise TypeError(f"{_path(where)} has {a(key)} as a key, which is not JSON serializable")
    plain = to_json_data(key, where)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _path(where: Any) -> str:
    return f"{_path(where[0])}[{where[1]!r}]" if isinstance(where, tuple) else str(where)
