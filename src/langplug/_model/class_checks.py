"""What can be said of an author's class when it is made, and is best said then."""

import inspect
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from langplug._bridge.shapes import Shape, shape_of
from langplug._secrets import is_secret_name

SHAPES = "`def` returning or yielding, or `async def` returning or yielding"

_OURS = ("langplug._", "langplug.models", "langchain_core.")
"""Where the modules of classes begin that are no author's."""


def check_names(where: str, bases: tuple[type, ...], body: dict[str, Any]) -> None:
    """Check the names in the body of a class, before it is made of it.

    Raises:
        TypeError: If a field takes the place of a method of every chat model, or a method that of a setting.
    """
    inherited = [base for parent in bases for base in parent.__mro__ if _is_ours(base)]
    for name in body.get("__annotations__", {}):
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
        TypeError: If one has another type than a setting of every chat model, or would show a key in the open.
    """
    for name in inspect.get_annotations(cls).keys() & cls.model_fields.keys():
        where = f"{cls.__qualname__}.{name}"
        annotation = cls.model_fields[name].annotation
        for base in filter(_is_ours, cls.__mro__[1:]):
            setting = getattr(base, "__pydantic_fields__", {}).get(name)
            # An author's `max_retries` is their own, of whatever type: langplug's is then not used.
            if setting is None or name == "max_retries" or Any in (annotation, setting.annotation):
                continue
            # Each alternative of the declared type is one of the setting's, their parameters aside.
            if not _alternatives(annotation) <= _alternatives(setting.annotation):
                raise TypeError(
                    f"{where} is declared as {_type_name(annotation)}, but every chat model has a setting {name!r}: "
                    f"{_type_name(setting.annotation)}. Keep that type, or choose another name."
                )
        if is_secret_name(name) and annotation in (str, str | None):
            raise TypeError(
                f"{where} is a str, which traces and reprs would show. Declare it as a secret: "
                f'`{name}: SecretStr = env("{name.upper()}")`.'
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
    given = list(inspect.signature(function).parameters.values())
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
