"""An exact fingerprint of anything that an author may give a model, for cache keys.

A fingerprint is never shown, so it may follow more than a trace may show: a function's code, defaults, closure and the
functions and constants of its module that it reads, the fields of a dataclass. But it calls no foreign code either.
What it cannot follow is told apart by identity: two models that hold different clients never share an answer.
"""

import dataclasses
import dis
import enum
import functools
import hashlib
import itertools
import json
import logging
import secrets
import threading
import types
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, message_to_dict
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from langplug._model.identity import (
    DICTS,
    LISTS,
    SCALARS,
    describe_class,
    is_huge,
    is_namedtuple,
    is_secret,
    is_text_like,
    type_name,
)
from langplug._model.langchain import llm_string
from langplug._redaction import HiddenBytes, HiddenStr, unconceal
from langplug._resources import Resource

_LRU_CACHE = type(functools.lru_cache(len))

_LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Semaphore, threading.Event)
_MACHINERY = (*_LOCKS, threading.BoundedSemaphore, threading.Thread, logging.Logger, weakref.ref)
"""What changes no answer, and is made anew for each model."""


class Followed(NamedTuple):
    """What became of a value.

    Attributes:
        fingerprint: JSON data that differs wherever values may, and is the same in every process where that can be.
        opaque: The types of what is in it and could not be followed: no other model has the same.
    """

    fingerprint: Any
    opaque: tuple[str, ...]


class Snapshot:
    """What the private state of one model was when its key was asked for: each value, and what became of it.

    It is part of the model, and not of a table, because a value may hold the model: neither would ever be freed.
    """

    def __init__(self, owner: Any = None) -> None:
        self.values: dict[str, tuple[Any, Followed]] = {}
        self._owner = None if owner is None else weakref.ref(owner)

    def belongs_to(self, model: Any) -> bool:
        """Whether it is not that of the model which `model` was copied from."""
        return self._owner is not None and self._owner() is model

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot)  # it makes no two models different

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type["Snapshot"], tuple[()]]:
        return Snapshot, ()  # a copy or a pickle makes its own


def follow(value: Any) -> Followed:
    """The fingerprint of anything; never raises."""
    follower = _Follower()
    return Followed(follower.follow(value), tuple(dict.fromkeys(follower.opaque)) if follower.opaque else ())


def stable_text(value: Any) -> str:
    """Plain data as one line of JSON with its keys in order."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def hash_of(fingerprint: Any) -> str:
    """A short hash of JSON data."""
    try:
        text = stable_text(fingerprint)
    except RecursionError:  # followed from deep inside a program, and written from deeper still
        text = repr(_identity(fingerprint))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class _Follower:
    """Follows one value.

    Attributes:
        opaque: The types of what was told apart by identity.
    """

    def __init__(self) -> None:
        self.opaque: list[str] = []
        self._inside: set[int] = set()

    def follow(self, value: Any) -> Any:
        """`value` as JSON data that says all of it that can be said."""
        if id(value) in self._inside:
            return "(cycle)"
        kind = type(value)
        try:
            if kind in SCALARS:
                if kind is int and is_huge(value):
                    return ["int", hex(value)]
                return value if kind is not float else ["float", repr(value)]  # 1.0 is not 1 to a model that prints it
            if is_secret(value):
                return "(secret)"  # who asks does not change what is answered
            self._inside.add(id(value))
            return self._compound(value, kind)
        except Exception:  # noqa: BLE001 - nested thousands deep, or changed by another thread: identity never raises
            return self._apart(value)
        finally:
            self._inside.discard(id(value))

    def _all(self, items: Iterable[Any]) -> list[Any]:
        return [self.follow(item) for item in items]

    def _apart(self, value: Any) -> list[Any]:
        self.opaque.append(type_name(type(value)))
        return _identity(value)

    def _compound(self, value: Any, kind: type) -> Any:  # noqa: C901, PLR0912 - a table of kinds, read from the top
        if kind is bytes or kind is bytearray or is_text_like(kind):
            return [type_name(kind), repr(value)]
        if issubclass(kind, HiddenStr | HiddenBytes):
            return self.follow(unconceal(value))
        if kind in DICTS:
            return [kind.__name__, sorted((self._all(pair) for pair in dict(value).items()), key=repr)]
        if kind in LISTS:
            return [kind.__name__, *self._all(list(value))]
        if is_namedtuple(kind):
            return [type_name(kind), *self._all(tuple.__iter__(value))]
        if kind is set or kind is frozenset:
            return ["set", *sorted(self._all(list(value)), key=repr)]
        if issubclass(kind, enum.Enum):
            return [type_name(kind), value._name_]
        if issubclass(kind, type):
            # By what it describes, and an enumeration by its members, too.
            return [describe_class(value), self.follow(dict(members_of(value)) if issubclass(value, enum.Enum) else {})]
        if issubclass(kind, BaseMessage):
            return self.follow(message_to_dict(value))
        if kind is types.FunctionType:
            return self._function(value)
        if kind is functools.partial:
            return ["partial", *self._all((value.func, value.args, value.keywords))]
        if kind is _LRU_CACHE:
            return ["lru_cache", *self._all([vars(value).get("__wrapped__")])]
        if kind is types.MethodType:
            # Not by its state, which a method may change as it is used: the key would never be met again.
            owner = value.__self__
            followed = type_name(owner) if issubclass(type(owner), type) else self._apart(owner)
            return ["method", *self._all([value.__func__]), followed]
        if kind is types.BuiltinFunctionType:
            owner = value.__self__  # of `len` its module, of `"a".join` the text
            return [type_name(value), *self._all([] if type(owner) is types.ModuleType else [owner])]
        if kind in (types.MethodDescriptorType, types.WrapperDescriptorType):  # `str.strip`
            return [type_name(value.__objclass__), value.__name__]
        if kind is staticmethod or kind is classmethod:
            return self.follow(value.__func__)
        if kind is property:
            return ["property", *self._all([value.fget])]
        if kind is functools.cached_property:
            return ["property", *self._all([value.func])]
        if kind in _MACHINERY or issubclass(kind, FieldInfo):
            # A `FieldInfo` is a default of `@chat_model`'s function: the field holds what it came to.
            return type_name(kind)
        if issubclass(kind, Resource):
            return [type_name(kind), *self._all((value.make, value.uses, value.shared))]
        if issubclass(kind, BaseChatModel):
            return self._model(value, kind)
        return self._record(value, kind)

    def _record(self, value: Any, kind: type) -> Any:
        """An instance of pydantic's or a dataclass, as its values lie there: its properties would be foreign code."""
        read = object.__getattribute__
        if issubclass(kind, BaseModel):
            private = read(value, "__pydantic_private__") or {}
            return [type_name(kind), *self._all((dict(read(value, "__dict__")), dict(private)))]
        if not any("__dataclass_fields__" in vars(base) for base in kind.__mro__):
            return self._apart(value)
        if kind.__dictoffset__:
            return [type_name(kind), self.follow(dict(read(value, "__dict__")))]
        return [
            type_name(kind),
            *self._all((field.name, read(value, field.name)) for field in dataclasses.fields(cast("Any", kind))),
        ]

    def _model(self, model: BaseChatModel, kind: type) -> Any:
        """Another chat model, by the key that it has itself and, as most keys say too little, by its settings."""
        own = llm_string(model)
        if hasattr(kind, "__langplug_unshared__"):
            self.opaque += model.__langplug_unshared__().values()  # type: ignore[attr-defined]
            return [type_name(kind), own]
        values = object.__getattribute__(model, "__dict__")
        fields: dict[str, FieldInfo] = kind.__pydantic_fields__  # type: ignore[attr-defined]
        settings: dict[str, Any] = {}
        for name in fields.keys() - BaseChatModel.__pydantic_fields__:
            before, self.opaque = self.opaque, []
            followed = self.follow(values.get(name))
            # Its clients, which are hidden, it has mostly made of its settings: each model would stand apart by them.
            settings[name] = None if fields[name].exclude and self.opaque else followed
            self.opaque = before if fields[name].exclude else before + self.opaque
        return [type_name(kind), own, settings]

    def _function(self, function: types.FunctionType) -> Any:
        """A function, and what it reads of its module, as that is now: in a notebook, cells are run again."""
        read = {} if _is_ours(function) else read_globals(function)
        functions = {name: self._alone(one) for name, one in read.items() if type(one) is types.FunctionType}
        return [self._alone(function), {name: functions.get(name) or self.follow(one) for name, one in read.items()}]

    def _alone(self, function: types.FunctionType) -> Any:
        """A function by its code and what it holds. Other than functions, that is as when it was first asked for."""
        keywords = function.__kwdefaults__ or {}
        cells = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
        held = [*(function.__defaults__ or ()), *keywords.values(), *cells]
        # What it closes over may change as it is used: a counter, a list of what was asked.
        frozen = _frozen.setdefault(function, {})
        followed: list[Any] = []
        for place, value in enumerate(held):
            if type(value) is types.FunctionType:
                followed.append(self.follow(value))
                continue
            if place not in frozen:
                before, self.opaque = self.opaque, []
                frozen[place] = self.follow(value), self.opaque
                self.opaque = before
            followed.append(frozen[place][0])
            self.opaque += frozen[place][1]
        code = None if _is_ours(function) else _digest_of_code(function.__code__)
        return [type_name(function), code, list(keywords), followed]


_frozen: "weakref.WeakKeyDictionary[types.FunctionType, dict[int, tuple[Any, list[str]]]]" = weakref.WeakKeyDictionary()
"""What each function's defaults and closure held when its key was first asked for."""


def _is_ours(function: types.FunctionType) -> bool:
    """Whether a function is followed by its name: a cache may outlive an upgrade that changes no answer."""
    return type_name(function).startswith(("langplug.", "pydantic.", "langchain_core."))


def members_of(cls: type) -> Mapping[str, Any]:
    """The methods and the constants in the body of a class."""
    return {
        name: member
        for name, member in vars(cls).items()
        if not name.startswith("__")
        and (type(member) in _METHODS or issubclass(type(member), Resource) or is_constant(member))
    }


_METHODS = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property)


def is_constant(value: Any) -> bool:
    """Whether `value` is plain data that cannot change."""
    kind = type(value)
    if kind is tuple or kind is frozenset:
        return all(map(is_constant, value))
    return kind in SCALARS or kind is bytes or is_text_like(kind) or issubclass(kind, enum.Enum)


class Names(NamedTuple):
    """The names that a function's code uses, that of the functions in it included."""

    read_globals: frozenset[str]
    set_globals: frozenset[str]
    read_attributes: frozenset[str]
    set_attributes: frozenset[str]


@functools.lru_cache(maxsize=4096)
def names_in(code: types.CodeType) -> Names:
    """The names that `code` uses."""
    found: dict[str, set[str]] = {"LOAD_GLOBAL": set(), "STORE_GLOBAL": set(), "LOAD_ATTR": set(), "STORE_ATTR": set()}
    found |= {"LOAD_NAME": found["LOAD_GLOBAL"], "LOAD_METHOD": found["LOAD_ATTR"]}
    for instruction in dis.get_instructions(code):
        if instruction.opname in found:
            found[instruction.opname].add(instruction.argval)
    for inner in (names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)):
        found["LOAD_GLOBAL"] |= inner.read_globals
        found["STORE_GLOBAL"] |= inner.set_globals
        found["LOAD_ATTR"] |= inner.read_attributes
        found["STORE_ATTR"] |= inner.set_attributes
    return Names(*(frozenset(found[name]) for name in ("LOAD_GLOBAL", "STORE_GLOBAL", "LOAD_ATTR", "STORE_ATTR")))


def read_globals(function: types.FunctionType) -> dict[str, Any]:
    """The functions and the constants of its module that `function` reads, and those that these functions read.

    No lists, dicts and objects: they may change as they are used. What comes from another module has a name there.
    """
    module = function.__globals__
    found: dict[str, Any] = {}
    changed: set[str] = set()
    waiting = [function]
    while waiting:
        names = names_in(waiting.pop().__code__)
        changed |= names.set_globals
        for name in sorted(names.read_globals & module.keys() - found.keys()):
            value = module[name]
            undecorated: Any = vars(value).get("__wrapped__") if type(value) is _LRU_CACHE else value
            is_function = type(undecorated) is types.FunctionType and module.get("__name__") == undecorated.__module__
            if is_function and value is not function:
                waiting.append(undecorated)
            if is_function or (is_constant(value) and not name.startswith("__")):
                found[name] = value
    return {name: value for name, value in found.items() if name not in changed and value is not function}


@functools.lru_cache(maxsize=4096)
def _digest_of_code(code: types.CodeType) -> str:
    return hash_of(_describe_code(code))


def _describe_code(code: types.CodeType) -> Any:
    return [code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, [*map(_constant, code.co_consts)]]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _describe_code(value)
    if isinstance(value, tuple):
        return [*map(_constant, value)]
    # The order in which a set's repr names its items differs from process to process.
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


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
