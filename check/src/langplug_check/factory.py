"""Makes the model under check, again and again, with other arguments where a check wants them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from langchain_core.language_models import BaseChatModel

from langplug import ChatModel
from langplug_check.verdicts import NotObserved

Target: TypeAlias = BaseChatModel | type[BaseChatModel] | Callable[[], BaseChatModel]
"""A model, its class, or what makes one without arguments."""

OMIT: Any = object()
"""Given for an argument, it leaves it out."""

_LANGCHAINS_OWN = frozenset({"metadata", "profile"})
"""Fields that langchain-core fills in by itself: what is found there is not what was given."""


class Factory:
    """Makes models like the one that was given.

    A class is called with `arguments` and those of the check. What a factory returns, or an instance, is
    taken as an example: one that differs is made by its class from the fields that were set.

    Args:
        target: A model, its class, or what makes one without arguments.
        arguments: What the class is always given.

    Raises:
        Exception: What the class or the factory raises: without a model there is nothing to check.
    """

    def __init__(self, target: Target, arguments: Mapping[str, Any] | None = None) -> None:
        self._make = None if isinstance(target, BaseChatModel) else target
        self._is_pointed = bool(arguments)
        self.arguments = dict(arguments or {})
        if isinstance(target, type):
            self.example = cast("BaseChatModel", target(**self.arguments))
        else:
            self.example = target if isinstance(target, BaseChatModel) else target()
            self.arguments = {**_given_to(self.example), **self.arguments}
        self.cls: type[BaseChatModel] = type(self.example)

    def __call__(
        self, overrides: Mapping[str, Any] | None = None, cls: type[BaseChatModel] | None = None
    ) -> BaseChatModel:
        """A new model; of the subclass `cls`, where one is given.

        Raises:
            Exception: What the class says to the `overrides`.
            NotObserved: If the class cannot be called with what the example was made of.
        """
        if not overrides and cls is None:
            return self._plain()
        if not overrides:
            return self._again(cls or self.cls)
        try:
            return (cls or self.cls)(**self._with(overrides))
        except Exception:
            if any(value is not OMIT for value in overrides.values()):
                self._again(cls or self.cls)  # to tell whether it is the overrides that the class does not like
            raise

    def takes(self, name: str) -> bool:
        """Whether the class has a parameter of this name."""
        fields = self.cls.model_fields
        return name in fields or any(name == field.alias for field in fields.values())

    def _plain(self) -> BaseChatModel:
        if isinstance(self._make, type) or self._make is None or self._is_pointed:
            try:
                return self.cls(**self.arguments)
            except Exception:
                if self._make is not None:
                    raise
                return self.example  # it was made in a way of its own: then this one has to do
        return self._make()

    def _again(self, cls: type[BaseChatModel]) -> BaseChatModel:
        try:
            return cls(**self.arguments)
        except Exception as error:
            raise NotObserved(f"{cls.__name__} cannot be made again from its fields: {error}") from error

    def _with(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the overrides, each of which takes the place of its field's other name."""
        names = {name: _names_of(self.cls, name) for name in overrides}
        replaced = {other for same in names.values() for other in same}
        kept = {name: value for name, value in self.arguments.items() if name not in replaced}
        return {**kept, **{name: value for name, value in overrides.items() if value is not OMIT}}


def _names_of(cls: type[BaseChatModel], name: str) -> set[str]:
    same = {name}
    for field_name, field in cls.model_fields.items():
        if name in (field_name, field.alias):
            same |= {field_name, *([field.alias] if field.alias else [])}
    return same


def _given_to(model: BaseChatModel) -> dict[str, Any]:
    """What `model` was probably made of: the fields that were set, by the names under which the class takes them."""
    by_name = bool(type(model).model_config.get("populate_by_name"))
    given: dict[str, Any] = {}
    for name in model.model_fields_set - _LANGCHAINS_OWN:
        field = type(model).model_fields.get(name)
        # what is left out of dumps was mostly made by the model itself, such as a client
        if field is None or (field.exclude and not isinstance(model, ChatModel)):
            continue
        given[name if by_name or not field.alias else field.alias] = getattr(model, name)
    return given
