"""Secrets and pickles: a pickle may end up anywhere, so secrets stay behind, and loading it says which ones."""

import dataclasses
import io
import pickle
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Self, cast

from langchain_core.load.serializable import Serializable
from pydantic import BaseModel, SecretStr

from langplug._errors import MissingSecretError
from langplug._model.parameters import parameters_of
from langplug._redaction import SECRET_TYPES, HiddenBytes, HiddenStr, replace_items, reveal
from langplug._secrets import is_secret_name

LOST = "__langplug_lost__"
"""The place in a pickled state for the names of the secrets that were left behind."""


class SecretRemover:
    """Takes secrets out of what is to be pickled.

    Args:
        is_plain: Tells which texts are no secrets although their names say so.

    Attributes:
        lost: Where they were, such as `headers['X-Api-Key']`.
    """

    def __init__(self, is_plain: Callable[[str], bool]) -> None:
        self._is_plain = is_plain
        self.lost: list[str] = []
        self._inside: set[int] = set()

    def remove(self, value: Any, place: str) -> Any:
        """`value` itself, or a copy of it with None in place of each secret.

        They are looked for in builtin containers, pydantic models and dataclasses. langchain-core's own objects, and
        all others, pickle themselves as they like.
        """
        if isinstance(value, SECRET_TYPES):
            if not reveal(value):  # an empty one is how classes say that there is none
                return value
            self.lost.append(place)
            return None
        kind = type(value)
        is_record = isinstance(value, BaseModel) or dataclasses.is_dataclass(value)
        is_object = is_record and not isinstance(value, type | Serializable)
        if not (kind in (dict, list, tuple, set, frozenset) or is_object) or id(value) in self._inside:
            return value
        self._inside.add(id(value))  # what holds itself is walked once
        before = len(self.lost)
        items: dict[Any, Any] = {}
        contents = cast("dict[Any, Any]", value) if kind is dict else _contents(value)
        for name, item in contents.items():
            where = f"{place}.{name}" if is_object else f"{place}[{name!r}]"
            is_named_so = kind is dict and isinstance(item, str) and item and is_secret_name(str(name))
            if is_named_so and not self._is_plain(item):
                self.lost.append(where)
                items[name] = None
            else:
                items[name] = self.remove(item, where)
        self._inside.discard(id(value))
        if len(self.lost) == before:
            return value
        if not is_object:
            return items if kind is dict else kind(items.values())
        copied = copy(value)
        for name, item in items.items():
            object.__setattr__(copied, name, item)
        return copied


def _contents(value: Any) -> dict[Any, Any]:
    if isinstance(value, BaseModel):
        return dict(value.__dict__)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    return dict(enumerate(value))


def lost_secret_error(cls: Any, lost: Mapping[str, str]) -> MissingSecretError:
    """The error for a pickle of a model that was given secrets, which it does not hold.

    Args:
        cls: The model's class.
        lost: Where each secret stood, and the environment variable from which it could have come, if there is one.
    """
    declared = parameters_of(cls)
    place, variable = next(iter(lost.items()))
    others = [name for name in declared.secrets if name in declared.environment and name not in lost]
    if variable:
        way = f"Leave it out, so that it is read from the environment variable {variable!r} here"
    elif others:
        way = f"Use `{others[0]}`, which is read from the environment again"
    else:
        way = 'Declare a field `name: SecretStr = env("NAME")` for it, which is read from the environment again'
    return MissingSecretError(
        f"`{place}` of this {cls.__name__} is secret, so it is not in the pickle. {way}; or make the model where it is "
        "used."
    )


class _StaysBehind:
    """A secret in langchain-core's bindings, which pickle what they hold: it stays behind, and loading says so."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> Any:
        return _StaysBehind.refuse_to_load, ()

    @staticmethod
    def refuse_to_load() -> None:
        """What is called in the place of the secret when the pickle is loaded."""
        raise MissingSecretError(
            "A secret that was given to `bind` is not in the pickle of the bound model. Bind it where the model is "
            "used."
        )


class BoundSecret(_StaysBehind, SecretStr):
    """A `SecretStr` that is bound."""


class BoundStr(_StaysBehind, HiddenStr):
    """A text that is secret by its name, and is bound."""

    __slots__ = ()


class BoundBytes(_StaysBehind, HiddenBytes):
    """As `BoundStr`."""

    __slots__ = ()


def bound_secrets(value: Any) -> Any:
    """`value` with the secrets in its dicts and lists as such that a pickle leaves behind."""

    def to_bound(item: Any) -> Any:
        if isinstance(item, SecretStr):
            return BoundSecret(item.get_secret_value())
        if isinstance(item, HiddenStr):
            return BoundStr(item)
        return BoundBytes(item) if isinstance(item, HiddenBytes) else item

    return replace_items(value, to_bound)


def is_picklable(function: Callable[..., Any]) -> bool:
    """Whether a pickle can hold `function`, and holds no secret with it."""
    try:
        _SecretlessPickler(io.BytesIO()).dump(function)
    except Exception:  # noqa: BLE001 - objects refuse in any way they like
        return False
    return True


class _SecretlessPickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, SECRET_TYPES) and reveal(value):
            raise pickle.PicklingError("a secret")
        return NotImplemented
