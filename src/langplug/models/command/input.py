"""From a request to what a program is given: its arguments, its stdin, its environment."""

import fnmatch
import os
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from langchain_core.exceptions import ModelInvalidRequestError
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from langplug import MissingSecretError
from langplug._env import EnvironmentValue

Values = Mapping[str, Callable[[], Any]]
"""What each placeholder stands for, made when it is asked for. None: nothing."""

Argument = str | list[str]
"""An argument, or several that are left out together where a placeholder in them has no value."""


class InvalidInputError(ModelInvalidRequestError, ValueError):
    """What was asked cannot be given to the program: a NUL in an argument, half a surrogate pair, no value."""


# --- arguments ---


def placeholders(argument: str) -> list[str]:
    """The names in braces in `argument`.

    Raises:
        ValueError: If a brace stands alone, or has more than a name in it.
    """
    return [name for _, name in _pieces(argument) if name is not None]


def filled(command: Sequence[Argument], values: Values) -> tuple[str, ...]:
    """The arguments with values for their placeholders.

    Raises:
        InvalidInputError: If a value is missing outside of a list, or cannot stand in an argument.
    """
    arguments: list[str] = []
    for argument in command:
        together = [argument] if isinstance(argument, str) else argument
        filled_in = [_fill(one, values) for one in together]
        if None not in filled_in:
            arguments += [_checked(one) for one in filled_in if one is not None]
        elif isinstance(argument, str):
            raise InvalidInputError(
                f"A placeholder in the argument {argument!r} has no value in this call. Give it one, or put the "
                f"argument into a list of its own, [{argument!r}], which is left out where there is none."
            )
    return tuple(arguments)


def _pieces(argument: str) -> list[tuple[str, str | None]]:
    hint = "Write {{ and }} for braces that are meant as they are."
    try:
        parsed = list(string.Formatter().parse(argument))
    except ValueError as error:
        raise ValueError(f"The argument {argument!r} cannot be read: {error}. {hint}") from None
    for _, name, spec, conversion in parsed:
        if name is not None and (not name.isidentifier() or spec or conversion):
            raise ValueError(f"The argument {argument!r} has more than a name in its braces. {hint}")
    return [(text, name) for text, name, _, _ in parsed]


def _fill(argument: str, values: Values) -> str | None:
    """The argument with its values; None if one is missing."""
    text = ""
    for literal, name in _pieces(argument):
        text += literal
        if name is not None:
            value = values[name]()
            if value is None:
                return None
            text += shown(value)
    return text


def shown(value: Any) -> str:
    """A value as it stands in an argument."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _checked(argument: str) -> str:
    if "\0" in argument:
        raise InvalidInputError(
            f"An argument has a NUL character in it, which no program can be given there: {_around(argument, 0)}. "
            "Take it out, or give the prompt on stdin."
        )
    encoded(argument)
    return argument


def encoded(text: str) -> bytes:
    """`text` as UTF-8.

    Raises:
        InvalidInputError: If half a surrogate pair stands alone in it, which is no character.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"The input has a lone surrogate at position {error.start}, which is no character: "
            f"{_around(text, error.start)}. Replace it, for instance by text.encode('utf-8', 'replace').decode()."
        ) from None


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - 20) : at + 20])


# --- environment ---

MINIMAL = (
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR")
    if os.name == "posix"
    else ("PATH", "PATHEXT", "SYSTEMROOT", "COMSPEC", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
)
"""What nearly every program needs to find its files and its language."""

_SECRET_NAME = re.compile(
    r"(^|_)((api|access|private|secret)?key|token|secret|password|passwd|credentials?|auth)(_|$)", re.IGNORECASE
)
"""Names of variables that hold secrets, more likely than not."""

_SHORTEST_SECRET = 6
"""What is shorter is no key, and would be struck out of any text."""


@dataclass(frozen=True, slots=True)
class FromEnvironment:
    """A variable's value that is looked up when the program is started, and so is in no pickle."""

    name: str
    default: str | None = None

    def value(self) -> str:
        """What the variable holds now; an empty one counts as not set."""
        found = os.environ.get(self.name) or self.default
        if found is None:
            raise MissingSecretError(f"The program needs a secret: set the environment variable {self.name!r}.")
        return found


def declared(name: str, value: Any) -> str | SecretStr | FromEnvironment:
    """A value of `environment=` as it is kept: what is secret by its name is kept as a secret.

    Raises:
        ValueError: If it is no value that a variable can have.
    """
    if isinstance(value, FieldInfo) and isinstance(declaration := value.default_factory, EnvironmentValue):
        default = declaration.default
        return FromEnvironment(declaration.name, default if isinstance(default, str) else None)
    if isinstance(value, SecretStr | FromEnvironment):
        return value
    if isinstance(value, str | int | float | PathLike) and not isinstance(value, bool):
        text = os.fspath(value) if isinstance(value, PathLike) else str(value)
        return SecretStr(text) if _SECRET_NAME.search(name) else text
    raise ValueError(
        f"environment[{name!r}] is a {type(value).__name__}; expected a string, a SecretStr or env('NAME')."
    )


def environment(inherited: Iterable[str], given: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The program's whole environment, and the secrets in it.

    Args:
        inherited: Names of this process's variables to pass on besides the `MINIMAL` ones; `*` stands for any letters.
        given: Further ones, as `declared`.
    """
    patterns = [*MINIMAL, *inherited]
    passed = {
        name: value
        for name, value in os.environ.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    secrets = [value for name, value in passed.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET]
    for name, value in given.items():
        if isinstance(value, FromEnvironment | SecretStr):
            passed[name] = value.value() if isinstance(value, FromEnvironment) else value.get_secret_value()
            secrets.append(passed[name])
        else:
            passed[name] = value
    for name, value in passed.items():
        if "\0" in name + value or "=" in name or not name:
            raise InvalidInputError(f"The environment variable {name!r} cannot be set: no `=` and no NUL may be in it.")
    return passed, secrets


# --- what is not to be seen ---


def scrubbed(text: str, secrets: Iterable[str], *, was_cut: bool = False) -> str:
    """`text` with stars for secrets; where its beginning `was_cut` off, for the rest of one there, too."""
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        text = text.replace(secret, "*****")
        if was_cut:
            text = _without_rest_of(secret, text)
    return text


def _without_rest_of(secret: str, text: str) -> str:
    rests = (secret[at:] for at in range(1, len(secret)))
    return next(("*****" + text[len(rest) :] for rest in rests if text.startswith(rest)), text)
