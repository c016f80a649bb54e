"""What a model shows of itself in traces, dumps and reprs.

An allow-list: plain data that the author declared is shown, unless its name sounds like a secret's, and of everything
else the type's name. A client, a callback or a foreign mapping may hold keys, and may do anything when it is looked
into: connect, block, raise. So nothing foreign is called here, `__class__` and `__repr__` included, and a value is
judged by its type alone.
"""

import datetime as dt
import decimal
import enum
import fractions
import re
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from langplug._secrets import (
    MASK,
    NAMED_SCHEMAS,
    hide_in_text,
    is_secret_name,
    schema_without_values,
    secret_entries,
    secret_items,
)
from langplug._tools.toolbox import ToolDict

_SECRETS = (SecretStr, SecretBytes, Secret)

SCALARS = (str, int, float, bool, types.NoneType)

# A subclass of dict may be anything, such as a lazy mapping over a client: only the library's own are entered.
DICTS = (dict, ToolDict, OrderedDict, defaultdict, Counter)
LISTS = (list, tuple, deque)

_MOST_BITS = 2_000
"""About 600 digits; the least limit that Python can be set to is 640."""

_TEXT_LIKE = (
    dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone, decimal.Decimal, fractions.Fraction, complex,
    uuid.UUID, re.Pattern, range,
)  # fmt: skip
_TEXT_LIKE_MODULES = frozenset({"pathlib", "pathlib._local", "zoneinfo", "ipaddress"})
"""Values of the standard library whose repr is short, says all and is the same in every process."""


def is_secret(value: object) -> bool:
    """Whether `value` must not be shown anywhere."""
    return issubclass(type(value), _SECRETS)


def is_harmless(value: object) -> bool:
    """Whether `value` says nothing, whatever it is called: `{"token": None}`, `{"auth": True}`."""
    return value is None or value is True or value is False


def is_huge(number: int) -> bool:
    """Whether Python refuses to write `number` down: https://docs.python.org/3/library/stdtypes.html#int-max-str-digits."""
    return number.bit_length() > _MOST_BITS


def is_text_like(kind: type) -> bool:
    """Whether the repr of a value of this very type stands for it, and is the standard library's."""
    return kind in _TEXT_LIKE or (kind is not type and kind.__module__ in _TEXT_LIKE_MODULES)


def is_namedtuple(kind: type) -> bool:
    """Whether values of this type are tuples with names, and nothing more."""
    return kind.__bases__ == (tuple,) and "_fields" in vars(kind)


def _never(_: str) -> bool:
    return False


def to_plain(value: Any, name: str = "", *, is_template: Callable[[str], bool] = _never) -> Any:
    """`value` as JSON data: containers and scalars as they are, no secrets, all else by its type's name.

    Never raises.

    Args:
        value: Anything.
        name: What it is called, where that may say that it is a secret.
        is_template: Whether a text under a secret's name only says where a secret is to be filled in.
    """
    try:
        kind = type(value)
        if kind in SCALARS and not (kind is int and is_huge(value)):  # most: no object for each
            if name and not is_harmless(value) and is_secret_name(name) and not (kind is str and is_template(value)):
                return MASK
            return hide_in_text(value) if kind is str else value
        if kind in (tuple, frozenset) and not value:
            return []
    except Exception:  # noqa: BLE001 - a class may have a class of its own that fails at `==`
        return type_name(type(value))
    return _Showing(is_template, as_repr=False).entry(name, value)


def to_repr(value: Any, *, hidden: bool = False, is_template: Callable[[str], bool] = _never) -> Any:
    """As `to_plain`, but a value whose repr is to be shown: a tuple stays one, and a `SecretStr` hides itself."""
    if type(value) is SecretStr or type(value) is SecretBytes:
        return value
    return MASK if hidden and not is_harmless(value) else _Showing(is_template, as_repr=True).entry("", value)


class _Bare:
    """A text without quotes, in a repr."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class _Showing:
    """One value on its way out.

    Args:
        is_template: As for `to_plain`.
        as_repr: Whether it is for a repr, and not for JSON.
    """

    def __init__(self, is_template: Callable[[str], bool], *, as_repr: bool) -> None:
        self._is_template = is_template
        self._as_repr = as_repr
        self._inside: set[int] = set()

    def entry(self, name: str, value: Any, *, described: bool = False) -> Any:
        """What is shown of a value with this name; `described`: where a JSON schema describes what has the name."""
        try:
            if type(value) is ToolDict and not (name or self._as_repr):
                # Looked through once, as bound: 50 tools of 20 fields take 4 ms.
                if self._is_template not in value.shown:
                    value.shown[self._is_template] = self._show(dict(value))
                return value.shown[self._is_template]
            if is_secret(value):
                return MASK
            if is_harmless(value) or not is_secret_name(name) or (type(value) is str and self._is_template(value)):
                return self._show(value, named=name in NAMED_SCHEMAS)
            if described and type(value) is dict and (schema := schema_without_values(value)) is not None:
                return self._show(schema)
        except Exception:  # noqa: BLE001 - nested thousands deep, or a type whose metaclass fails: showing never raises
            return self._text(f"<{type_name(type(value))}>" if self._as_repr else type_name(type(value)))
        return MASK

    def _show(self, value: Any, *, named: bool = False) -> Any:  # noqa: C901, PLR0912 - a table of kinds, read from the top
        kind = type(value)
        if kind in SCALARS:
            if kind is int and is_huge(value):
                return self._text(f"<int of {value.bit_length()} bits>")
            return hide_in_text(value) if kind is str else value
        if kind in DICTS or kind in LISTS or kind in (set, frozenset) or is_namedtuple(kind):
            if id(value) in self._inside:
                return self._text("...")
            self._inside.add(id(value))
            try:
                return self._container(value, kind, named=named)
            finally:
                self._inside.discard(id(value))
        if issubclass(kind, enum.Enum):
            if issubclass(kind, str) and not self._as_repr:
                return self._show(str.__str__(value))  # as JSON has it
            return self._text(f"{type_name(kind)}.{value._name_}")
        if issubclass(kind, str):
            return self._show(str.__str__(value))
        if issubclass(kind, int):
            return self._show(int.__int__(value))
        if issubclass(kind, float):
            return float.__float__(value)
        if is_text_like(kind):
            # Paths are JSON strings as they are; the others say their type too.
            return (
                str(value) if kind.__module__.startswith("pathlib") and not self._as_repr else self._text(repr(value))
            )
        if issubclass(kind, BaseMessage):
            return self._show(message_to_dict(value))
        if issubclass(kind, type):
            return self._show(describe_class(value))
        name = type_name(value if kind in (types.FunctionType, types.BuiltinFunctionType) else kind)
        return self._text(f"<{name}>" if self._as_repr else name)

    def _container(self, value: Any, kind: type, *, named: bool) -> Any:
        if is_namedtuple(kind):
            fields: tuple[str, ...] = vars(kind)["_fields"]
            return {name: self.entry(name, item) for name, item in zip(fields, tuple.__iter__(value), strict=False)}
        if kind in DICTS:
            entries: dict[str, Any] = {}
            for key, item in dict(value).items():
                name = key.decode("latin-1") if type(key) is bytes else key  # as in headers of ASGI
                entries[name if type(name) is str else str(self.entry("", name))] = item
            hidden = secret_entries(entries)
            return {
                key: MASK if key in hidden else self.entry(key, item, described=named) for key, item in entries.items()
            }
        hidden_items = secret_items(value) if kind is list or kind is tuple else ()
        shown = [MASK if at in hidden_items else self.entry("", item) for at, item in enumerate(value)]
        if kind in (set, frozenset):
            shown.sort(key=repr)
            inner = ", ".join(map(repr, shown))  # a set of them could not hold the dicts
            text = f"{{{inner}}}" if kind is set else f"frozenset({{{inner}}})"
            return self._text(text if inner else f"{kind.__name__}()") if self._as_repr else shown
        return tuple(shown) if kind is tuple and self._as_repr else shown

    def _text(self, text: str) -> Any:
        return _Bare(text) if self._as_repr else text


def describe_class(cls: type) -> Any:
    """A class that describes a tool or a schema, by what it describes; any other by its name."""
    if issubclass(cls, BaseModel) or hasattr(cls, "__total__") or hasattr(cls, "parse_obj"):
        try:
            return convert_to_openai_tool(cls)
        except Exception:  # noqa: BLE001 - a class may fail at its own description in any way, and identity never raises
            return type_name(cls)
    return type_name(cls)


def type_name(thing: Any) -> str:
    """Where a class or a function comes from and what it is called."""
    try:
        # A class is asked past its metaclass, which may be anybody's.
        read = type.__getattribute__ if issubclass(type(thing), type) else object.__getattribute__
        module, name = read(thing, "__module__"), read(thing, "__qualname__")
    except Exception:  # noqa: BLE001 - a class can be made such that it has neither
        module, name = None, type(thing).__name__
    return f"{module if isinstance(module, str) else 'builtins'}.{name}"
