"""Makes the model under check again and again, with other arguments where a check wants them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from langchain_core.language_models import BaseChatModel

from langplug import ChatModel
from langplug_check.verdicts import NotObserved

Target: TypeAlias = BaseChatModel | type[BaseChatModel] | Callable[[], BaseChatModel]
"""A model, its class, or a function without arguments that makes one."""

OMIT: Any = object()
"""Given for an argument, it leaves that out."""

_FILLED_BY_LANGCHAIN = frozenset({"metadata", "profile"})
"""Fields that langchain-core sets by itself: what they hold is not what was given."""


class Factory:
    """Makes models like the target.

    A class is called with `arguments` and those of the check. An instance, or what a function returns, is taken as an
    example: one that differs is made by its class from the fields that were set.

    Args:
        target: A model, its class, or a function without arguments that makes one.
        arguments: What the class is always given.

    Raises:
        Exception: What the class or the function raises: without a model there is nothing to check.

    Attributes:
        arguments: What models are made of, as far as that is known.
        example: A model, as its user makes it.
        cls: Its class.
    """

    def __init__(self, target: Target, arguments: Mapping[str, Any] | None = None) -> None:
        self._make = None if isinstance(target, BaseChatModel) else target
        self._has_arguments = bool(arguments)
        self.arguments = dict(arguments or {})
        if isinstance(target, type):
            self.example = cast("BaseChatModel", target(**self.arguments))
        else:
            self.example = target if isinstance(target, BaseChatModel) else target()
            # What it was probably made of: the fields that were set, by the names under which the class takes them.
            set_fields: dict[str, Any] = {}
            by_name = bool(type(self.example).model_config.get("populate_by_name"))
            for name in self.example.model_fields_set - _FILLED_BY_LANGCHAIN:
                field = type(self.example).model_fields.get(name)
                # A field that is left out of dumps was mostly made by the model itself, such as a client.
                if field is None or (field.exclude and not isinstance(self.example, ChatModel)):
                    continue
                set_fields[name if by_name or not field.alias else field.alias] = getattr(self.example, name)
            self.arguments = {**set_fields, **self.arguments}
        self.cls: type[BaseChatModel] = type(self.example)

    def __call__(
        self, overrides: Mapping[str, Any] | None = None, cls: type[BaseChatModel] | None = None
    ) -> BaseChatModel:
        """A new model; of the subclass `cls`, if one is given.

        Raises:
            Exception: What the class says to the `overrides`.
            NotObserved: If the class cannot be called with what the example was made of.
        """
        if not overrides and cls is not None:
            return self._from_arguments(cls)
        if not overrides:
            if callable(self._make) and not isinstance(self._make, type) and not self._has_arguments:
                return self._make()
            try:
                return self.cls(**self.arguments)
            except Exception:
                if self._make is not None:
                    raise
                return self.example  # an instance, made in a way of its own, has to serve again and again
        made = cls or self.cls
        # An override replaces its field under both of its names: most classes refuse to be given both.
        names = {name: {name, *self.names_of(name)} for name in overrides}
        replaced = {name for same in names.values() for name in same}
        kept = {name: value for name, value in self.arguments.items() if name not in replaced}
        given = {name: value for name, value in overrides.items() if value is not OMIT}
        try:
            return made(**kept, **given)
        except Exception:
            if given:
                if len(given) < len(overrides):
                    made(**kept)  # what the class says to what was left out, such as a key, is said to the check
                self._from_arguments(made)  # if this fails too, it is not the overrides that the class refuses
                self._raise_if_clash(made, kept, given)
            raise

    def _raise_if_clash(self, cls: type[BaseChatModel], kept: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """Raise NotObserved if the class takes the overrides, but not beside something that the example has.

        Such as a key beside what fetches one. That is no fault of the class.
        """
        for name in kept:
            try:
                cls(**{other: value for other, value in kept.items() if other != name}, **given)
            except Exception:  # noqa: BLE001, S112 - it is not this one, or not this one alone
                continue
            raise NotObserved(f"{' and '.join(given)} cannot be given beside {name}, which the model has")

    def takes(self, name: str) -> bool:
        """Whether the class has a parameter of this name."""
        return bool(self.names_of(name))

    def names_of(self, name: str) -> set[str]:
        """The names of the field that has this name or alias; empty if there is none."""
        for field_name, field in self.cls.model_fields.items():
            if name in (field_name, field.alias):
                return {field_name, *([field.alias] if field.alias else [])}
        return set()

    def _from_arguments(self, cls: type[BaseChatModel]) -> BaseChatModel:
        try:
            return cls(**self.arguments)
        except Exception as error:
            raise NotObserved(f"{cls.__name__} cannot be made again from its fields: {error}") from error
