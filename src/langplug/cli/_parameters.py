"""Parameters of a model as a person writes them: names, and values that are JSON or plain text."""

import json
from typing import Any, Final, NoReturn

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
    """`text` as JSON where it is JSON, else as it is."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError:
        return text


def parse_assignment(text: str) -> tuple[str, Any]:
    """Name and value of `NAME=VALUE`.

    Raises:
        UsageError: If it is not of that form.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not NAME=VALUE, such as temperature=0")
    return check_name(name), parse_value(value)


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)  # Python's json takes NaN and Infinity, which are not JSON, for numbers
