"""From a request to what a program is given: its arguments, its stdin, its environment."""

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from langchain_core.exceptions import ModelInvalidRequestError
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from langplug import MissingSecretError
from langplug._env import EnvironmentValue
from langplug._http.templates import interpolate
from langplug._secrets import is_secret_name

Argument = str | list[str]
"""An argument, or several that are left out together if a placeholder in them has no value."""


class InvalidInputError(ModelInvalidRequestError, ValueError):
    """What was asked cannot be given to the program: a NUL in an argument, half a surrogate pair, a missing value."""


# --- arguments and stdin ---


def fill_arguments(command: Sequence[Argument], values: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments with values for their placeholders.

    Raises:
        InvalidInputError: If a value is missing outside of a list, or cannot be in an argument.
    """
    arguments: list[str] = []
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
        if (at := one.find("\0")) >= 0:  # the system ends an argument there: the program would see half of it
            raise InvalidInputError(
                f"An argument has a NUL character in it, which no program can be given there: {_around(one, at)}. "
                "Remove it, or give the prompt on stdin."
            )
        encode(one)
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

_SHORTEST_SECRET = 6
"""A shorter value is hardly a key (`AUTH=no`), and would be struck out wherever it occurs in a text."""


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


def build_environment(inherited: Iterable[str], given: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The program's whole environment, and the secrets in it.

    Args:
        inherited: Names of this process's variables to pass on besides the `MINIMAL` ones; `*` stands for any letters.
        given: Further ones, as `read_variable` returns them.

    Raises:
        MissingSecretError: If a variable that is to be looked up is not set.
        InvalidInputError: If a name or a value cannot be in an environment.
    """
    patterns = [*MINIMAL, *inherited]
    passed = {
        name: value
        for name, value in os.environ.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    secrets = [value for name, value in passed.items() if is_secret_name(name) and len(value) >= _SHORTEST_SECRET]
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


# --- what must not be seen ---


def scrub(text: str, secrets: Iterable[str], *, was_cut: bool = False) -> str:
    """`text` with stars in place of secrets.

    Args:
        text: What is to be shown.
        secrets: What must not be seen.
        was_cut: Whether the beginning of `text` was cut off. If so, the end of a secret may be left there.
    """
    # The longest first: a secret that holds a shorter one would else be struck out in part.
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        text = text.replace(secret, "*****")
        if was_cut:
            rests = (secret[at:] for at in range(1, len(secret)))
            rest = next((rest for rest in rests if text.startswith(rest)), "")
            text = "*****" + text[len(rest) :] if rest else text
    return text
