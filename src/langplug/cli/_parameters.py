"""Parameters and settings as a person writes them: names, and values that are JSON, plain text or `env:NAME`."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langplug._secrets import is_secret_name
from langplug._suggest import did_you_mean
from langplug.cli._exit import UsageError, error_text

if TYPE_CHECKING:  # langchain-core alone takes a second
    from langchain_core.language_models import BaseChatModel

_NOT_PARAMETERS: Final = ("input", "config")
"""Arguments of `BaseChatModel.stream` itself."""

_FROM_ENVIRONMENT: Final = "env:"


def check_name(name: str) -> str:
    """`name`, if a model can have a parameter of that name.

    Raises:
        UsageError: If not.
    """
    if not name.isidentifier() or name in _NOT_PARAMETERS:
        raise UsageError(f"{name!r} cannot be a parameter of a model, expected a name such as temperature")
    return name


def parse_value(text: str) -> Any:
    """`text` as JSON if it is JSON, and as it is otherwise."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        # NaN and Infinity are not JSON, but Python's parser takes them for numbers unless it is told otherwise.
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return text


def split_assignment(text: str, *, example: str) -> tuple[str, str]:
    """Name and value of `NAME=VALUE`, both as they were written.

    Args:
        text: What was written.
        example: A right one, for the error.

    Raises:
        UsageError: If it is not of that form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        # What stands after the `=` is not repeated: it may be a secret.
        written = f"{name}=..." if equals and is_secret_name(name) else text
        raise UsageError(f"{written!r} is not NAME=VALUE, such as {example}")
    return name, value


def parse_settings(assignments: Iterable[str], *, example: str = "temperature=0") -> dict[str, Any]:
    """Settings from `NAME=VALUE`: the value is JSON, `env:VARIABLE`, or plain text.

    Secrets are taken from the environment alone: a command line stays in the shell's history, and every user of the
    machine can read it in the list of processes.

    Raises:
        UsageError: If one is not of that form, is a secret, or names a variable that is not set.
    """
    written = [split_assignment(text, example=example) for text in assignments]
    return {name: _resolve(name, parse_value(value)) for name, value in written}


def parse_share(text: str | None, option: str) -> float | None:
    """A number of things as `5`, or a part of all of them, below 1, as `5%`; None if none is given.

    Raises:
        UsageError: If it is neither; the message names the option.
    """
    if text is None:
        return None
    try:
        number = float(text.removesuffix("%")) / 100 if text.endswith("%") else int(text)
    except ValueError:
        number = -1
    if number < 0 or (text.endswith("%") and number >= 1):
        raise UsageError(f"{option} takes a number, or a part below 100%, not {text!r}")
    return number


def read_schema(file: Path | None) -> Mapping[str, Any] | None:
    """The JSON schema in a file, with a title, for which LangChain asks; None if no file is given.

    Raises:
        UsageError: If there is none in it.
    """
    if file is None:
        return None
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the schema cannot be read from {file}: {error_text(error)}") from error
    if not isinstance(schema, dict):
        raise UsageError(f"{file} must hold a JSON schema, an object, not {schema!r:.100}")
    return {"title": file.stem, **schema}


def _resolve(name: str, value: Any) -> Any:
    """`value` with what the environment holds in the place of `env:VARIABLE`, in lists and objects as well."""
    if isinstance(value, dict):
        entries: dict[Any, Any] = value
        return {key: _resolve(str(key), item) for key, item in entries.items()}
    if isinstance(value, list):
        items: list[Any] = value
        return [_resolve(name, item) for item in items]
    if isinstance(value, str) and value.startswith(_FROM_ENVIRONMENT):
        variable = value.removeprefix(_FROM_ENVIRONMENT)
        if variable not in os.environ:
            near = did_you_mean(variable, os.environ, inline=True)
            raise UsageError(f"the environment variable {variable!r}, for {name!r}, is not set{near}")
        return os.environ[variable]
    # `{key}` is what `langplug check` puts its own key in place of.
    if isinstance(value, str) and value not in ("", "{key}") and is_secret_name(name):
        raise UsageError(
            f"{name!r} is a secret, which would stay in the shell's history: put it into an environment variable, "
            f"and write {name}=env:VARIABLE"
        )
    return value


def for_a_call(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a call of a model takes them."""
    stop = parameters.get("stop")
    # LangChain takes a list; whoever types `--set stop=END` means one string, and not its letters.
    return {**parameters, "stop": [stop]} if isinstance(stop, str) else {**parameters}


def check_parameter(model: "BaseChatModel", name: str, value: Any) -> str:
    """Check a parameter before the model is called with it. Returns what there is to say of it, mostly nothing.

    langplug's models are asked as by a call. Those of other packages take any name, and many send it to their server
    as it is: there, a name is refused only if it is close to that of a field.

    Raises:
        UsageError: If the model has no such parameter, or if it does not take this value.
    """
    from pydantic import TypeAdapter, ValidationError

    from langplug import ChatModel
    from langplug._model.parameters import parameters_of, sort_call_arguments
    from langplug._model.plan import with_overrides

    cls = type(model)
    given = for_a_call({check_name(name): value})
    try:
        if isinstance(model, ChatModel):
            overrides, ignored, *_ = sort_call_arguments(cls, given, model.__langplug_takes__)
            with_overrides(model, overrides)
            return f"({cls.__name__} has no {name!r}, and ignores it)" if ignored else ""
        fields = parameters_of(cls).fields
        if name in fields:
            annotation: Any = cls.model_fields[fields[name]].annotation
            TypeAdapter(annotation).validate_python(given[name])
        elif near := did_you_mean(name, [*fields, "stop", "temperature", "max_tokens"], inline=True):
            raise UsageError(f"{cls.__name__} has no parameter {name!r}{near}")
    except (TypeError, ValidationError) as error:
        raise UsageError(error_text(error)) from error
    return ""
