"""Headers that a user gives: those that are secret are kept apart from those that may be shown."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from langplug._secrets import is_secret_name

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name by https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2."""


def hide_secrets(headers: Mapping[str, Any]) -> dict[str, str | SecretStr]:
    """The headers, with those whose names say so as secrets.

    Raises:
        ValueError: If HTTP does not allow a name or a value. No value is shown.
    """
    checked: dict[str, str | SecretStr] = {}
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"headers: {name!r} is not the name of a header; expected letters, digits and dashes.")
        if not isinstance(value, str | SecretStr):
            raise ValueError(f"headers[{name!r}] is a {type(value).__name__}; expected a string or a SecretStr.")
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if any(character in text for character in "\r\n\0"):  # with these, a value could add headers of its own
            raise ValueError(f"headers[{name!r}] holds a line break or NUL, which HTTP forbids in a header.")
        checked[name] = SecretStr(text) if isinstance(value, SecretStr) or is_secret_name(name) else text
    return checked
