"""What a model is, for two readers: plain data for traces and dumps, and an exact fingerprint for cache keys.

Traces are shown what the author declared as plain data, and of everything else the type's name: a client, a callback
or a foreign mapping may hold keys, and may do anything when it is looked into. A fingerprint is never shown, so it may
follow more (a function's code, defaults and closure, the fields of a dataclass), but it calls no foreign code either.
What it cannot follow is told apart by identity: two models that hold different clients never share an answer.
"""

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import hashlib
import itertools
import json
import pathlib
import re
import secrets
import types
import uuid
import weakref
from collections.abc import Iterable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, message_to_dict
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from langplug._model.langchain import llm_string
from langplug._resources import Resource
from langplug._secrets import is_secret_name
from langplug._tools.toolbox import ToolDict

_SCALARS = (str, int, float, bool, types.NoneType)

_DICTS = (dict, ToolDict)

_TEXT_LIKE = (
    dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal, fractions.Fraction, complex,
    uuid.UUID, pathlib.PurePath, re.Pattern, bytes, range,
)  # fmt: skip
"""Values of the standard library whose repr is short, says all and is the same in every process."""


def is_secret(value: object) -> bool:
    """Whether `value` must not be shown anywhere."""
    return isinstance(value, SecretStr | SecretBytes)


# --- for traces and dumps ---


def to_plain(value: Any) -> Any:
    """`value` as JSON data: builtin containers and scalars as they are, no secrets, all else by its type's name."""
    try:
        return _to_plain(value)
    except RecursionError:  # a list that holds itself, or is nested thousands deep
        return type_name(type(value))


def _to_plain(value: Any) -> Any:  # noqa: C901 - a table of kinds, read from the top
    kind = type(value)
    if kind in _SCALARS:
        return value
    # A subclass of dict may be anything, such as a lazy mapping over a client: only the builtin types are entered.
    if kind in _DICTS:
        shown = {str(key): item for key, item in value.items() if not is_secret(item)}
        return {
            key: _to_plain(item)
            for key, item in shown.items()
            if not (isinstance(item, str | bytes) and is_secret_name(key))
        }
    if kind is list or kind is tuple:
        return [_to_plain(item) for item in value]
    if kind is set or kind is frozenset:
        return sorted((_to_plain(item) for item in value), key=repr)
    if isinstance(value, enum.Enum):
        return f"{type_name(kind)}.{value.name}"
    if isinstance(value, _SCALARS) or kind.__module__ == "pathlib":
        return str(value)
    if isinstance(value, _TEXT_LIKE) and kind.__module__ not in ("builtins", "__main__"):
        return repr(value)
    if isinstance(value, BaseMessage):
        return _to_plain(message_to_dict(value))
    if isinstance(value, type):
        return _describe_class(value)
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return type_name(value)
    return type_name(kind)


# --- for cache keys ---


def digest(value: Any) -> str:
    """A hash that differs wherever values may differ, and is the same in every process where that can be."""
    try:
        return _hash(_fingerprint(value, set()))
    except RecursionError:
        return _hash(_identity(value))


def stable_text(value: Any) -> str:
    """Plain data as one line of JSON with its keys in order."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _hash(fingerprint: Any) -> str:
    return hashlib.sha256(stable_text(fingerprint).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _fingerprint(value: Any, inside: set[int]) -> Any:
    """`value` as JSON data that follows all of it that can be followed.

    Args:
        value: Anything.
        inside: The ids of what is being followed, where a cycle would come back to.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value if kind is not float else ["float", repr(value)]  # 1.0 is not 1 to a model that prints it
    if isinstance(value, _TEXT_LIKE):
        return [type_name(kind), repr(value)]
    if is_secret(value):
        return "(secret)"  # who asks does not change what is answered
    if isinstance(value, enum.Enum):
        return [type_name(kind), value.name]
    if id(value) in inside:
        return "(cycle)"
    inside.add(id(value))
    try:
        return _fingerprint_of_compound(value, kind, inside)
    finally:
        inside.discard(id(value))


def _fingerprint_of_compound(value: Any, kind: type, inside: set[int]) -> Any:  # noqa: C901, PLR0912 - see `_to_plain`
    def follow(items: Iterable[Any]) -> list[Any]:
        return [_fingerprint(item, inside) for item in items]

    if kind in _DICTS:
        return ["dict", sorted((follow(pair) for pair in value.items()), key=repr)]
    if kind is list or kind is tuple:
        return [kind.__name__, *follow(value)]
    if kind is set or kind is frozenset:
        return ["set", *sorted(follow(value), key=repr)]
    if isinstance(value, BaseMessage):
        return _fingerprint(message_to_dict(value), inside)
    if isinstance(value, type):
        return _describe_class(value)
    if isinstance(value, functools.partial):
        return ["partial", *follow((value.func, value.args, value.keywords))]
    if isinstance(value, types.MethodType):
        # Not by its state, which a method may change as it is used: the key would never be met again.
        owner = value.__self__
        return ["method", *follow([value.__func__]), type_name(owner) if isinstance(owner, type) else _identity(owner)]
    if isinstance(value, types.FunctionType):
        if value not in _functions:
            cells = [cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType()]
            held = follow((value.__defaults__, value.__kwdefaults__, cells))
            # A cache may outlive an upgrade of langplug that changes no answer.
            is_ours = type_name(value).startswith("langplug.")
            _functions[value] = [type_name(value), *([] if is_ours else [_code(value.__code__)]), *held]
        return _functions[value]
    if isinstance(value, types.BuiltinFunctionType):
        owner = value.__self__  # of `len` its module, of `"a".join` the text
        return [type_name(value), *follow([] if isinstance(owner, types.ModuleType) else [owner])]
    if isinstance(value, types.MethodDescriptorType | types.WrapperDescriptorType):  # `str.strip`
        return [type_name(value.__objclass__), value.__name__]
    if isinstance(value, FieldInfo):  # a default of `@chat_model`'s function: the field holds what it came to
        return type_name(kind)
    if isinstance(value, Resource):
        return [type_name(kind), *follow((value.make, value.uses, value.shared))]
    if isinstance(value, BaseChatModel):
        return [type_name(kind), llm_string(value) or _identity(value)]
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not hasattr(kind, "__slots__")):
        # As they lie there: a property or a `__getattr__` would be foreign code.
        return [type_name(kind), _fingerprint(dict(vars(value)), inside)]
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
        return [type_name(kind), *follow((name, getattr(value, name, None)) for name in fields)]
    return _identity(value)


_functions: weakref.WeakKeyDictionary[types.FunctionType, Any] = weakref.WeakKeyDictionary()
"""The fingerprint of each function when its key was first asked for: what it closes over may change as it is used."""


def _describe_class(cls: type) -> Any:
    """A class that describes a tool or a schema, by what it describes; any other by its name."""
    if issubclass(cls, BaseModel) or hasattr(cls, "__total__") or hasattr(cls, "parse_obj"):
        try:
            return convert_to_openai_tool(cls)
        except Exception:  # noqa: BLE001 - a class may fail at its own description in any way, and identity never raises
            return type_name(cls)
    return type_name(cls)


def _code(code: types.CodeType) -> Any:
    constants = [_code(one) if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts]
    return [code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants]


def type_name(thing: Any) -> str:
    """Where a class or a function comes from and what it is called."""
    return f"{getattr(thing, '__module__', None) or 'builtins'}.{getattr(thing, '__qualname__', type(thing).__name__)}"


_process = secrets.token_hex(8)
"""Keeps what one process tells apart by identity from matching in a cache that outlives it."""

_numbers = itertools.count(1)
_known: dict[int, tuple[weakref.ref[Any], int]] = {}


def _identity(value: Any) -> list[Any]:
    """What tells `value` from every other object, in any process; not its address, which another may get later."""
    known = _known.get(id(value))
    if known is None or known[0]() is not value:
        try:
            reference = weakref.ref(value, functools.partial(lambda address, _: _known.pop(address, None), id(value)))
        except TypeError:  # it cannot be remembered, so it is taken for another one each time
            return [type_name(type(value)), _process, next(_numbers)]
        known = _known[id(value)] = (reference, next(_numbers))
    return [type_name(type(value)), _process, known[1]]
