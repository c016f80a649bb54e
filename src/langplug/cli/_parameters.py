"""Parameters as a person writes them: names, and values that are JSON or plain text."""

import json
from typing import Any, Final

from langplug.cli._exit import UsageError

_NOT_PARAMETERS: Final = ("input", "config")
"""Arguments of `BaseChatModel.stream` itself."""


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
        raise UsageError(f"{text!r} is not NAME=VALUE, such as {example}")
    return name, value
