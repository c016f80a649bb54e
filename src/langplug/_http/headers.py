"""Headers that a user gives: those that are secret are kept apart from those that may be shown."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

_SECRET = re.compile(r"auth|cookie|key|secret|token|password|credential|signature", re.IGNORECASE)

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name by https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2."""


def hidden(headers: Mapping[str, Any]) -> dict[str, str | SecretStr]:
    """The headers, with those as secrets whose names say that they are.

    Raises:
        ValueError: If a name or a value is none that HTTP knows.
    """
    return {_checked_name(name): _checked_value(name, value) for name, value in headers.items()}


def open_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """The headers as they are sent."""
    return {name: _shown(value) for name, value in headers.items()}


def secrets_in(headers: Mapping[str, Any]) -> tuple[str, ...]:
    """The values that nobody may see, and what stands in them behind a scheme such as `Bearer`."""
    values = [_shown(value) for value in headers.values() if isinstance(value, SecretStr)]
    return tuple(dict.fromkeys([*values, *(value.rpartition(" ")[2] for value in values)]))


def _shown(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"headers: {name!r} is no name of a header; expected letters, digits and dashes.")
    return name


def _checked_value(name: str, value: Any) -> str | SecretStr:
    text = _shown(value) if isinstance(value, str | SecretStr) else None
    if text is None:
        raise ValueError(f"headers[{name!r}] is a {type(value).__name__}; expected a string or a SecretStr.")
    if any(character in text for character in "\r\n\0"):
        raise ValueError(f"headers[{name!r}] holds a line break or NUL, which HTTP forbids in a header.")
    return SecretStr(text) if isinstance(value, SecretStr) or _SECRET.search(name) else text
