"""From a request to what a program is given: its arguments, its stdin, its environment."""

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

from langchain_core.exceptions import ModelInvalidRequestError
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from langplug import MissingSecretError, _redaction
from langplug._env import EnvironmentValue
from langplug._http.templates import interpolate
from langplug._redaction import reveal
from langplug._secrets import is_secret_name

Argument = str | list[str]
"""An argument, or several that are left out together if a placeholder in them has no value."""


class InvalidInputError(ModelInvalidRequestError, ValueError):
    """What was asked cannot be given to the program: a NUL in an argument, half a surrogate pair, a missing value."""


# --- arguments and stdin ---


def fill_arguments(command: Sequence[Argument], values: Mapping[str, Any]) -> tuple[str | SecretStr, ...]:
    """The arguments with values for their placeholders; one with a secret in it is one.

    Raises:
        InvalidInputError: If a value is missing outside of a list, or cannot be in an argument.
    """
    arguments: list[str | SecretStr] = []
    for argument in command:
        group = [argument] if isinstance(argument, str) else argument
        filled = [interpolate(one, values) for one in group]
        present = [one for one in filled if one is not None]
        if len(present) == len(group):
            arguments += present
        elif isinstance(argument, str):
            raise InvalidInputError(
                f"A placeholder in the argument {argument!r} has no value in this call. Give it one, or put the "
                f"argument into a list of its own, [{argument!r}]: it is then left out when there is no value."
            )
    for one in arguments:
        if "\0" in reveal(one):  # the system ends an argument there: the program would see half of it
            where = "it is a secret" if isinstance(one, SecretStr) else _around(one, one.find("\0"))
            raise InvalidInputError(
                f"An argument has a NUL character in it, which no program can be given there: {where}. "
                "Remove it, or give the prompt on stdin."
            )
        if isinstance(one, str):
            encode(one)
        elif any("\ud800" <= character <= "\udfff" for character in reveal(one)):
            raise InvalidInputError("A secret in an argument has a lone surrogate in it, which is not a character.")
    return tuple(arguments)


def encode(text: str) -> bytes:
    """`text` as UTF-8.

    Raises:
        InvalidInputError: If half a surrogate pair stands alone in it, which is not a character.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"The input has a lone surrogate at position {error.start}, which is not a character: "
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


def read_variable(name: str, value: Any) -> str | SecretStr | FromEnvironment:
    """A value of `environment=` as it is kept: it is kept as a secret if its name says that it is one.

    Raises:
        ValueError: If a variable cannot have such a value.
    """
    if isinstance(value, FieldInfo) and isinstance(declaration := value.default_factory, EnvironmentValue):
        default = declaration.default
        return FromEnvironment(declaration.name, default if isinstance(default, str) else None)
    if isinstance(value, SecretStr | FromEnvironment):
        return value
    # A bool is refused although it is an int: programs differ in whether they read "True", "true" or "1".
    if isinstance(value, str | int | float | PathLike) and not isinstance(value, bool):
        text = os.fspath(value) if isinstance(value, PathLike) else str(value)
        return SecretStr(text) if is_secret_name(name) else text
    raise ValueError(
        f"environment[{name!r}] is a {type(value).__name__}; expected a string, a SecretStr or env('NAME')."
    )


def build_environment(inherited: Iterable[str], given: Mapping[str, Any]) -> dict[str, str | SecretStr]:
    """The program's whole environment, with what is secret in it as a `SecretStr`.

    Args:
        inherited: Names of this process's variables to pass on besides the `MINIMAL` ones; `*` stands for any letters.
        given: Further ones, as `read_variable` returns them.

    Raises:
        MissingSecretError: If a variable that is to be looked up is not set.
        InvalidInputError: If a name or a value cannot be in an environment.
    """
    patterns = [*MINIMAL, *inherited]
    passed: dict[str, str | SecretStr] = {
        name: SecretStr(value) if is_secret_name(name) else value
        for name, value in os.environ.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    for name, value in given.items():
        passed[name] = SecretStr(value.value()) if isinstance(value, FromEnvironment) else value
    for name, value in passed.items():
        if "\0" in name + reveal(value) or "=" in name or not name:
            raise InvalidInputError(f"The environment variable {name!r} cannot be set: no `=` and no NUL may be in it.")
    return passed


# --- what must not be seen ---

scrub = partial(_redaction.scrub, stars="*****")
"""As everywhere, with more stars: programs write three of them themselves, around titles and warnings."""
