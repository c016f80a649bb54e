"""What can be said of an author's class when it is made, and is best said then."""

import inspect
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from enum import Enum
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from langplug._bridge.shapes import Shape, shape_of
from langplug._env import EnvironmentValue
from langplug._model.annotations import annotated_names, annotations_in, read_signature
from langplug._model.parameters import holds_secret, names_of
from langplug._secrets import is_public, is_secret_name

SHAPES = "`def` returning or yielding, or `async def` returning or yielding"

_OURS = ("langplug._", "langplug.models", "langchain_core.")
"""Where the modules of classes begin that are no author's."""


def check_names(where: str, bases: tuple[type, ...], body: dict[str, Any]) -> None:
    """Check the names in the body of a class, before it is made of it.

    Raises:
        TypeError: If a field takes the place of a method of every chat model, or a method that of a setting.
    """
    inherited = [base for parent in bases for base in parent.__mro__ if _is_ours(base)]
    for name in annotations_in(body):
        known = [vars(base)[name] for base in inherited if name in vars(base)]
        if any(callable(one) or isinstance(one, property | classmethod | staticmethod) for one in known):
            raise TypeError(f"{where}.{name}: every chat model has a method {name!r}. Choose another name.")
    for name, value in body.items():
        if inspect.isroutine(value) and any(name in getattr(base, "__pydantic_fields__", {}) for base in inherited):
            # pydantic would keep the field, and let the instance's value hide the method
            raise TypeError(
                f"{where}.{name}: every chat model has a setting {name!r}, which would hide this method. "
                "Choose another name."
            )


def check_fields(cls: Any) -> None:
    """Check the types of the fields that the class declares.

    Raises:
        TypeError: If one has another type than a setting of every chat model.
    """
    for name in annotated_names(cls) & cls.model_fields.keys():
        where = f"{cls.__qualname__}.{name}"
        annotation = cls.model_fields[name].annotation
        for base in filter(_is_ours, cls.__mro__[1:]):
            setting = getattr(base, "__pydantic_fields__", {}).get(name)
            if setting is None or Any in (annotation, setting.annotation):
                continue
            # Each alternative of the declared type is one of the setting's, their parameters aside.
            if not _alternatives(annotation) <= _alternatives(setting.annotation):
                raise TypeError(
                    f"{where} is declared as {_type_name(annotation)}, but every chat model has a setting {name!r}: "
                    f"{_type_name(setting.annotation)}. Keep that type, or choose another name."
                )


def check_secrets(cls: type[BaseModel]) -> None:
    """Check that no field of the class, inherited or not, holds a secret as plain text.

    Raises:
        TypeError: If one has the name of a secret, or an alias or an environment variable that has, and may hold text.
    """
    for name, field in cls.model_fields.items():
        names = [one for one in names_of(name, field) if is_secret_name(one, certain=True)]
        if (
            not names
            or is_public(field.metadata)
            or holds_secret(field.annotation)
            or not _holds_text(field.annotation)
        ):
            continue
        called = "its name is" if name in names else f"{names[0]!r}, as it is also called, is"
        raise TypeError(
            f"{cls.__qualname__}.{name} is declared as {_type_name(field.annotation)}, but {called} a secret's, and "
            f"traces and reprs would show it. Declare it as a secret: `{_secret_line(name, field)}`. "
            f"If it is not a secret, say so: `{name}: Public[{_type_name(field.annotation)}]`."
        )


def _secret_line(name: str, field: FieldInfo) -> str:
    """The declaration that an author would write for this field as a secret."""
    kinds = _alternatives(field.annotation)
    if kinds & {dict, Mapping, MutableMapping}:
        return f"{name}: dict[str, SecretStr]"
    if kinds & {list, tuple, set, frozenset, Sequence, Iterable}:
        return f"{name}: list[SecretStr]"
    default = field.default_factory
    variable = default.name if isinstance(default, EnvironmentValue) else name.upper()
    alias = next((one for one in (field.alias, field.validation_alias) if isinstance(one, str) and one != name), None)
    also = f', alias="{alias}"' if alias else ""
    return f'{name}: {"SecretBytes" if bytes in kinds else "SecretStr"} = env("{variable}"{also})'


def _holds_text(annotation: Any) -> bool:
    """Whether a value of this type may be text, or hold some: `Any`, `str | None`, `dict[str, str]`, a `NewType`."""
    annotation = getattr(annotation, "__supertype__", getattr(annotation, "__value__", annotation))
    if annotation is Any:
        return True
    if get_origin(annotation) in (Literal, type, Callable):
        return False
    if arguments := get_args(annotation):
        return any(map(_holds_text, arguments))
    if not isinstance(annotation, type):
        return isinstance(annotation, TypeVar)
    is_container = annotation in (dict, list, tuple, set, frozenset, Mapping, MutableMapping, Sequence, Iterable)
    return (
        annotation is object
        or is_container
        or (issubclass(annotation, str | bytes) and not issubclass(annotation, Enum))
    )


def _is_ours(cls: type) -> bool:
    return (cls.__module__ or "").startswith(_OURS)


def _alternatives(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return {alternative for one in get_args(annotation) for alternative in _alternatives(one)}
    if get_origin(annotation) is Literal:
        return {*get_args(annotation), *map(type, get_args(annotation))}  # `str` stands for one of some words
    return {get_origin(annotation) or annotation}


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def read_shape(cls: type) -> Shape:
    """The shape of the class's own `respond`.

    Raises:
        TypeError: If it is not a function of a request; the class and what is allowed are named.
    """
    respond = inspect.getattr_static(cls, "respond")
    where = f"{cls.__module__}.{cls.__qualname__}.respond"
    if isinstance(respond, staticmethod | classmethod | property) or not callable(respond):
        kind = type(respond).__name__
        raise TypeError(f"{where} is a {kind}. It must be a plain method `respond(self, request)`: {SHAPES}.")
    check_parameters(respond, where, ("self", "request"))
    return shape_of(respond)


def check_parameters(function: Any, where: str, injected: tuple[str, ...]) -> list[inspect.Parameter]:
    """The keyword-only parameters of `function`, if its positional ones are the `injected`.

    Raises:
        TypeError: If there are more or fewer positional ones, or `*args` or `**kwargs`.
    """
    kinds = inspect.Parameter
    given = list(read_signature(function).parameters.values())
    positional = [one for one in given if one.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    expected = ", ".join(injected)
    for parameter in given:
        if parameter.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD):
            raise TypeError(f"{where} takes `{parameter}`, but every parameter must be named: ({expected}, *, ...).")
    if len(positional) < len(injected):
        raise TypeError(f"{where} takes too few parameters. It must take ({expected}): {SHAPES}.")
    if len(positional) > len(injected):
        extra = positional[len(injected)].name
        raise TypeError(
            f"{where}: the parameter {extra!r} is positional, but only ({expected}) is passed by position. "
            f"Put a `*` before it to make it a parameter that the user configures."
        )
    return [one for one in given if one.kind is kinds.KEYWORD_ONLY]
