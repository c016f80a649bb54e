"""What can be said of an author's class when it is made, and is best said then."""

import inspect
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from langchain_core.messages.block_translators import get_translator

from langplug._bridge.shapes import Shape, shape_of
from langplug._model.identity import KEY_LIKE

SHAPES = "`def` returning or yielding, or `async def` returning or yielding"


def checked_shape(cls: type) -> Shape:
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


_CHOICES = {"tool_calling": ("native", "prompted", "off"), "structured_output": ("native", "derived")}


def check_capabilities(cls: type) -> None:
    """Look at what the class says that its models can do.

    Raises:
        TypeError: If it says something else than can be said; what can be is listed.
    """
    for name, choices in _CHOICES.items():
        said = cls.__dict__.get(name, choices[0])
        if said not in choices and not isinstance(said, property):  # one says it model by model
            allowed = " or ".join(map(repr, choices))
            raise TypeError(f"{cls.__qualname__}.{name} is {said!r}. It must be {allowed}.")


def check_fields(cls: Any, base: type) -> None:
    """Look at the names and types of the fields that the class declares.

    Raises:
        TypeError: If one takes the place of what every chat model has, or would show a key in the open.
    """
    for name in inspect.get_annotations(cls):
        field = cls.model_fields.get(name)
        if field is None:
            continue
        if callable(inspect.getattr_static(base, name, None)):
            raise TypeError(f"{cls.__qualname__}.{name}: every chat model has a method {name!r}. Choose another name.")
        if KEY_LIKE.search(name) and field.annotation in (str, str | None):
            raise TypeError(
                f"{cls.__qualname__}.{name} is a str, which traces and reprs would show. Declare it as a secret: "
                f'`{name}: SecretStr = env("{name.upper()}")`.'
            )


@cache
def kebab(name: str) -> str:
    """`ChatAcme` as `chat-acme`, `my_model` as `my-model`."""
    words = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3-\2", name)
    return words.replace("_", "-").lower()


@cache
def provider_name(class_name: str) -> str:
    """`ChatAcme` as `acme`. One that would have langchain-core read the content as another provider's is prefixed."""
    name = kebab(class_name).replace("-", "_")
    name = name.removeprefix("chat_").removesuffix("_chat") or name
    return f"langplug_{name}" if get_translator(name) is not None else name


@cache
def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except (PackageNotFoundError, ValueError):
        return None


def note_package_version(cls: type) -> None:
    """Look up the version of the class's package now: later may be in an event loop, which file access would block."""
    package_versions(cls)


def package_versions(cls: type) -> list[tuple[str, str]]:
    """langplug's version, and that of the package that the class comes from, where it is installed as one."""
    packages = dict.fromkeys(("langplug", cls.__module__.partition(".")[0].replace("_", "-")))
    return [(package, found) for package in packages if (found := _version_of(package))]
