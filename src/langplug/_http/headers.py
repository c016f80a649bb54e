"""Headers that a user gives: those that are secret are kept apart from those that may be shown."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from langplug._secrets import is_secret_name

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name by https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2."""


_OF_THE_CONNECTION = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
"""Headers that say where a request ends and whose connection it is. With one of a caller's, the rest of a body would be
the next request on the same connection."""


def check_header_name(name: str) -> None:
    """Do nothing if a caller may set the header `name`.

    Raises:
        ValueError: If HTTP does not allow the name, or if the header is the client's own.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"headers: {name!r} is not the name of a header; expected letters, digits and dashes.")
    if name.lower() in _OF_THE_CONNECTION:
        raise ValueError(f"headers: {name!r} cannot be set; it follows from the request and its connection.")


def merge_headers(*several: Mapping[str, str | SecretStr]) -> dict[str, str | SecretStr]:
    """All headers, the later ones taking precedence, whatever the case of their names."""
    merged: dict[str, str | SecretStr] = {}
    for headers in several:
        merged |= headers
    if len({*map(str.lower, merged)}) == len(merged):  # as nearly always: none is written in two ways
        return merged
    by_name: dict[str, tuple[str, str | SecretStr]] = {}
    for headers in several:
        by_name |= {name.lower(): (name, value) for name, value in headers.items()}
    return dict(by_name.values())


def find_header(headers: Mapping[str, str | SecretStr], name: str) -> str | SecretStr | None:
    """The value of the header `name`, whatever the case of its name; None if there is none."""
    lowered = name.lower()
    for given, value in headers.items():
        if len(given) == len(lowered) and given.lower() == lowered:
            return value
    return None


def hide_secrets(headers: Mapping[str, Any]) -> dict[str, str | SecretStr]:
    """The headers, with those whose names say so as secrets.

    Raises:
        ValueError: If HTTP does not allow a name or a value, or the header is the client's own. No value is shown.
    """
    checked: dict[str, str | SecretStr] = {}
    for name, value in headers.items():
        check_header_name(name)
        if not isinstance(value, str | SecretStr):
            raise ValueError(f"headers[{name!r}] is a {type(value).__name__}; expected a string or a SecretStr.")
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if any(character in text for character in "\r\n\0"):  # with these, a value could add headers of its own
            raise ValueError(f"headers[{name!r}] holds a line break or NUL, which HTTP forbids in a header.")
        checked[name] = SecretStr(text) if isinstance(value, SecretStr) or is_secret_name(name) else text
    return checked
