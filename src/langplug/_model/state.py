"""What an instance holds besides its fields: private attributes, cached properties, and an author's slots.

Its `__dict__` holds the fields, and with them all that `functools.cached_property` and `self._x = ...` have put there.
"""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from types import MemberDescriptorType
from typing import Any

from pydantic import BaseModel

from langplug._resources import Resource
from langplug._secrets import is_secret_name
from langplug._suggest import did_you_mean

SLOTS = "__langplug_slots__"
"""The place in a pickled state for what an author's slots hold."""

INSIDE = "__langplug_inside__"
"""The slot that is set in the stand-in of a model that its hooks see (`hooks.py`), and in no copy of it."""

_PLAIN = (str, bytes, int, float, complex, tuple, frozenset, type(None))


def is_set_up(model: BaseModel) -> bool:
    """Whether its constructor has run. One that failed leaves half a model, which error trackers show and copy."""
    return hasattr(model, "__pydantic_fields_set__")


def forget_cached(model: BaseModel) -> None:
    """Drop what cached properties have made, as from a copy with other settings, so that each is made anew."""
    for name in [name for name in model.__dict__ if is_cached(type(model), name)]:
        object.__delattr__(model, name)


@cache
def is_cached(cls: type[BaseModel], name: str) -> bool:
    """Whether `name` in an instance's `__dict__` is what a descriptor such as `functools.cached_property` put there."""
    if name in cls.model_fields:
        return False
    made_by = inspect.getattr_static(cls, name, None)
    return hasattr(type(made_by), "__get__") and not callable(made_by) and not isinstance(made_by, Resource)


@cache
def _slots(cls: type) -> tuple[str, ...]:
    """The slots that an author has declared. pydantic copies and pickles its own alone."""
    return tuple(
        name
        for base in cls.__mro__
        for name, slot in vars(base).items()
        if isinstance(slot, MemberDescriptorType) and not name.startswith("__pydantic") and name != INSIDE
    )


def slots_of(model: BaseModel) -> dict[str, Any]:
    """What an author's slots hold, as far as they hold something."""
    return {name: getattr(model, name) for name in _slots(type(model)) if hasattr(model, name)}


def set_slots(model: BaseModel, values: Mapping[str, Any]) -> None:
    """Let the slots hold `values`."""
    for name, value in values.items():
        object.__setattr__(model, name, value)


def deepen(copied: BaseModel, memo: dict[int, Any]) -> None:
    """Make a deep copy of a shallow one."""
    for part in ("__dict__", "__pydantic_extra__", "__pydantic_private__") if is_set_up(copied) else ("__dict__",):
        object.__setattr__(copied, part, deepcopy(getattr(copied, part), memo))
    set_slots(copied, deepcopy(slots_of(copied), memo))


def new_parametrized(origin: Any, parameters: tuple[Any, ...]) -> Any:
    """An empty instance of a generic class with these parameters."""
    cls = origin[parameters]
    return cls.__new__(cls)


def have_same_state(one: BaseModel, other: BaseModel) -> bool:
    """Whether two models of one class hold the same immutable plain data in private: what they were set up with.

    Clients, locks and collections make no difference: a model makes and fills them as it is used.
    """
    mine, others = _plain_state(one), _plain_state(other)
    return all(value == others[name] for name, value in mine.items() if name in others)


def _plain_state(model: BaseModel) -> dict[str, Any]:
    fields, private = type(model).model_fields, getattr(model, "__pydantic_private__", None) or {}
    own = {name: value for name, value in model.__dict__.items() if name not in fields}
    held = {**own, **private, **slots_of(model)}
    return {k: value for k, value in held.items() if isinstance(value, _PLAIN) and not is_cached(type(model), k)}


_DEFAULTS = {str: '""', int: "0", float: "0.0", bool: "False", bytes: 'b""', list: "[]", dict: "{}", tuple: "()"}
"""What a field of this type is declared with, for errors."""


def check_assignment(model: BaseModel, name: str, kind: type) -> None:
    """Say what to write in place of `self.name = ...`, where that can't be kept.

    Args:
        model: The model.
        name: What the attribute is called.
        kind: The type of its value; the value itself may be a key, and debuggers show variables.

    Raises:
        ValueError: If the class declares no such attribute, or the model is not set up yet.
    """
    cls = type(model)
    if name.startswith("_"):
        return
    if name in cls.model_fields:
        if not is_set_up(model):
            raise ValueError(
                f"{cls.__name__}: `self.{name} = ...` comes before the model is set up. Call `super().__init__(...)` "
                f"first, or pass it on: `super().__init__({name}=...)`."
            )
        return
    known = inspect.getattr_static(cls, name, None)
    if isinstance(known, Resource):
        raise ValueError(
            f"{cls.__name__}.{name} is a resource, made when it is first used. "
            f"To use another value, pass it to the constructor: `{cls.__name__}({name}=...)`."
        )
    if inspect.isroutine(known):
        raise ValueError(
            f"{cls.__name__}.{name} is a method, which one model alone cannot replace. Write a subclass, or patch the "
            f"class: `monkeypatch.setattr({cls.__name__}, {name!r}, ...)`."
        )
    if not hasattr(cls, name) and cls.model_config.get("extra") != "allow":
        kind = str if issubclass(kind, str) else kind  # a text from a constructor is of a type that hides it
        field = f"{name}: {kind.__name__} = {_DEFAULTS[kind]}" if kind in _DEFAULTS else f"{name}: Any = None"
        if kind is str and is_secret_name(name):
            field = f'{name}: SecretStr = env("{name.upper()}")'
        raise ValueError(
            f"{cls.__name__} declares no {name!r}, so `self.{name} = ...` has nowhere to go."
            f"{did_you_mean(name, cls.model_fields)} Declare a setting as a field of the class: `{field}`. Keep what "
            f"is private under another name: `self._{name} = ...`. A client, or what else has a lifetime, is best made "
            f"by a method under `@resource`: `def {name}(self): return ...`."
        )
