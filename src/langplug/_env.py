"""`env`: a field whose value comes from the environment, above all a secret."""

import os
from typing import Any

from pydantic import Field
from pydantic_core import PydanticUndefined

from langplug._errors import MissingSecretError


class EnvironmentValue:
    """A field's default: what an environment variable holds when the model is made."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, default: Any) -> None:
        self.name = name
        self.default = default

    @property
    def found(self) -> bool:
        """Whether there is a value: the variable is set and not empty, or there is a default."""
        return bool(os.environ.get(self.name)) or self.default is not PydanticUndefined

    def __call__(self) -> Any:
        """The variable's value, else the default."""
        if value := os.environ.get(self.name):  # `KEY= python …` is how shells unset one for a run
            return value
        if self.default is PydanticUndefined:
            raise MissingSecretError(f"Set the environment variable {self.name!r}.")
        return self.default


def env(name: str, *, default: Any = PydanticUndefined, **field: Any) -> Any:
    """Declare a field whose value is the environment variable `name` unless it is given.

    With the annotation `SecretStr` this is all that a secret needs: it stays out of reprs, dumps, traces, cache
    keys, errors and pickles (a pickle reads the environment again), and `lc_secrets` names it.

    Args:
        name: The environment variable. An empty one counts as not set.
        default: What to take if it is not set. Without a default, making the model then raises `MissingSecretError`.
        field: More for pydantic's `Field`, such as `description`.
    """
    # A factory, so that the environment is read when a model is made and not when its class is.
    return Field(default_factory=EnvironmentValue(name, default), validate_default=True, **field)
