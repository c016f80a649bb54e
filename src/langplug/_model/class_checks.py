"""What can be said of an author's class when it is made, and is best said then."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from enum import Enum
from functools import partialmethod
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from langplug._bridge.shapes import Shape, shape_of
from langplug._env import EnvironmentValue
from langplug._model import batch_door, hooks
from langplug._model.annotations import annotations_in, annotations_of, read_signature
from langplug._model.parameters import holds_secret, names_of
from langplug._request import Request
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


def check_leftovers(cls: Any, stub: Any) -> None:
    """Check that a class that has a `respond` has no hook of langchain-core's left, and none a `bind_tools` in vain.

    One that calls `super()`, or another of them, is an extension of ours and stays, such as one that logs or counts.
    Without a `respond`, the hooks are what answers.

    Args:
        cls: The class.
        stub: The class of langplug's that has the `respond` of which nobody has written another.

    Raises:
        TypeError: If one would answer in the place of `respond`, or never be called; what to write is said.
    """
    told: list[str] = []
    # What comes before langplug's among the bases. Models of langplug's among it were looked at already.
    before = cls.__mro__[1 : cls.__mro__.index(stub)]
    mixins = [one for one in before if not (issubclass(one, stub) or one.__module__.startswith(_OURS))]
    has_respond = not hooks.answers_by_hooks(cls, stub) and cls.respond is not stub.respond
    codes = {name: value.__code__ for name, value in vars(cls).items() if inspect.isfunction(value)}
    moved = hooks.hooks_in(vars(cls)) if has_respond else []
    listed = " and ".join(
        filter(None, [", ".join(f"`{name}`" for name in moved[:-1]), *(f"`{name}`" for name in moved[-1:])])
    )
    problems = [f"{listed} would answer in the place of `respond`"] if moved else []
    # `_call` is a `SimpleChatModel`'s or an `LLM`'s by its parameters, unless `respond` makes use of it.
    call = codes.get("_call") if has_respond else None
    uses = any("_call" in code.co_names for name, code in codes.items() if name not in ("_call", *moved))
    if call is not None and not uses and {"stop", "run_manager"} <= {*call.co_varnames}:
        moved.append("_call")
        problems.append("`_call` is never called")
    if moved:
        what, them = ("its body", "it") if len(moved) == 1 else ("their bodies", "them")
        # Who streams needs no other way: langplug adds the pieces up for `invoke`.
        part = _PARTS[next((name for name in moved if "stream" in name), moved[0])]
        told.append(
            f"{' and '.join(problems)}. Move {what} to `def respond(self, request: Request)`: read `request.messages` "
            f"and `request.stop`, and {part}. Then delete {them}. Or delete `respond`: hooks alone are a model, too."
        )
    # A model between them that answers by these hooks leads langchain-core to langplug, and so to `respond`.
    led = {name for one in before for name in hooks.CORES if hasattr(vars(one).get(name), "__langplug_door__")}
    inherited = [(one, name) for one in mixins for name in hooks.hooks_in(vars(one)) if name not in {*codes, *led}]
    if inherited and has_respond:
        (base, name), *_ = inherited
        told.append(
            f"`{name}` of {base.__qualname__} would answer in the place of `respond`. Delete one of them: hooks alone "
            f"are a model, too. To keep both classes, put {base.__qualname__} after `ChatModel`."
        )
    if any(hooks.binds_tools(vars(one)) is False for one in (cls, *mixins)):
        told.append(
            "`bind_tools` binds nothing: the tools would never reach the model. Delete it: every model has one, and "
            'the prompt tells of them, or, with `tool_calling = "native"` or `"templated"`, `request.tools` of '
            "`respond`, and `tools` among the keywords of a hook."
        )
    if told:
        raise TypeError(f"{cls.__module__}.{cls.__qualname__}: {' '.join(told)}")


_RETURN = "return the message that the ChatResult held, or its text"
_YIELD = "yield the messages that the chunks held, or their text"
_PARTS = {
    "_generate": _RETURN,
    "_agenerate": _RETURN,
    "_stream": _YIELD,
    "_astream": _YIELD,
    "_call": "return the text, or yield it piece by piece",
}
"""The methods of a `BaseChatModel`, `SimpleChatModel` or `LLM`, and what `respond` does in their place."""


def check_fields(cls: Any) -> None:
    """Check the types of the fields that the class declares.

    Raises:
        TypeError: If one has another type than a setting of every chat model.
    """
    for name in annotations_of(cls).keys() & cls.model_fields.keys():
        where = f"{cls.__qualname__}.{name}"
        annotation = cls.model_fields[name].annotation
        for base in filter(_is_ours, cls.__mro__[1:]):
            setting = getattr(base, "__pydantic_fields__", {}).get(name)
            # An author's `max_retries` is their own, of whatever type: langplug's is then not used.
            if setting is None or name == "max_retries" or Any in (annotation, setting.annotation):
                continue
            # Each alternative of the declared type is one of the setting's, their parameters aside. An int is a float:
            # LangChain's own page on custom models declares `timeout: int | None`.
            allowed = _alternatives(setting.annotation)
            if not _alternatives(annotation) <= (allowed | {int} if float in allowed else allowed):
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


def describe_fields(cls: Any) -> None:
    """Describe the fields that a class declares anew as before, and all of them in the docstring that it has.

    `help(cls)` shows the docstring alone. ChatModel's own names them in its source, for editors.
    """
    for name, field in cls.model_fields.items():
        if field.description is None:
            earlier = (getattr(base, "__pydantic_fields__", {}).get(name) for base in cls.__mro__[1:])
            field.description = next((one.description for one in earlier if one and one.description), None)
    if (own := cls.__dict__.get("__doc__")) and cls.__name__ != "ChatModel":
        described = [
            f"    {name}: {' '.join(field.description.split())}"
            for name, field in cls.model_fields.items()
            if field.description
        ]
        cls.__doc__ = "\n".join([inspect.cleandoc(own), "", "Fields:", *described])


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


def read_shape(cls: Any, stub: Callable[..., Any]) -> Shape:
    """The shape of the class's `respond`, wherever it is inherited from.

    A mixin's is used even where the mixin comes after `ChatModel` among the bases, whose own is only a `stub`.

    Raises:
        TypeError: If it is not a function of a request; the class and what is allowed are named.
    """
    owners = [base for base in cls.__mro__ if vars(base).get("respond", stub) is not stub]
    if not owners:
        return Shape.FUNCTION  # there is none yet: the classes below may have one
    if vars(owners[0])["respond"] is hooks.respond:
        return hooks.shape_by_hooks(cls)
    if batch_door.has_door(cls):  # which blocks a thread, or has its own way on an event loop
        return Shape.GENERATOR if shape_of(cls.respond_batch).streams else Shape.FUNCTION
    if "__langplug_shape__" in vars(owners[0]):
        return cast("Shape", owners[0].__langplug_shape__)
    respond = vars(owners[0])["respond"]
    if cls.respond is stub and not getattr(respond, "__isabstractmethod__", False):
        cls.respond = respond
    where = f"{cls.__module__}.{cls.__qualname__}.respond"
    if isinstance(respond, partialmethod):
        respond = cls.respond
    if isinstance(respond, staticmethod | classmethod | property) or not callable(respond):
        kind = type(respond).__name__
        raise TypeError(f"{where} is a {kind}. It must be a plain method `respond(self, request)`: {SHAPES}.")
    check_parameters(respond, where, ("self", "request"))
    check_request(respond, where)
    return shape_of(respond)


def check_request(function: Any, where: str) -> None:
    """Check that the positional parameter is not declared as something else than a request.

    Raises:
        TypeError: If it is declared as text or as a list of messages.
    """
    target = function if inspect.isroutine(function) else type(function).__call__
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    annotation = getattr(target, "__annotations__", {}).get(names[0], Request) if names else Request
    # With `from __future__ import annotations` it is text, of which only the outermost name is read.
    outer = annotation if isinstance(annotation, str) else getattr(get_origin(annotation) or annotation, "__name__", "")
    if re.split(r"\W", outer)[0].lower() in {
        "str",
        "list",
        "sequence",
        "dict",
        "basemessage",
        "humanmessage",
        "iterable",
    }:
        raise TypeError(
            f"{where}: the parameter {names[0]!r} is declared as {_type_name(annotation)}, but it is a `Request`. "
            "Write `request: Request`: `request.messages` is the conversation, `request.text` the last message's text, "
            "and `request.prompt()` all of it as one text."
        )


def check_parameters(function: Any, where: str, injected: tuple[str, ...]) -> list[inspect.Parameter]:
    """The keyword-only parameters of `function`, if its positional ones are the `injected`.

    Raises:
        TypeError: If there are more or fewer positional ones, or `*args` or `**kwargs`.
    """
    kinds = inspect.Parameter
    given = list(read_signature(function, follow_wrapped=False).parameters.values())
    if any(one.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD) for one in given):
        given = list(read_signature(function).parameters.values())  # a wrapper's: those of what it wraps
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
