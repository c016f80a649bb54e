"""What an HTTP request is made of: its address and the bytes of its body, from plain values."""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from langchain_core.exceptions import ModelInvalidRequestError
from pydantic import SecretStr

from langplug._errors import half_a_character
from langplug._redaction import reveal, reveal_for_json, secrets_in

DumpJson = Callable[[Any], bytes]

_FORM = "application/x-www-form-urlencoded"


def split_address(url: str) -> tuple[str, str]:
    """An absolute address as the server's address and the rest; for anything else, an empty string and `url`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return "", url
    base = f"{parts.scheme}://{parts.netloc}"
    return base, url.removeprefix(base)


def join_address(base: str, url: str, query: Mapping[str, Any]) -> str:
    """The address of one request, with secrets as they are."""
    # Both may have a query of their own, such as the `?api-version=` that Azure wants with each request.
    of_base = of_url = ""
    if "?" in base or "?" in url:
        (base, _, of_base), (url, _, of_url) = base.partition("?"), url.partition("?")
    # An empty `url` adds no slash: some servers tell `/chat` from `/chat/`.
    address = "/".join([base.rstrip("/"), url.lstrip("/")]) if url else base
    asked = "&".join(filter(None, [of_base, of_url, _encode_form(query) if query else ""]))
    return f"{address}?{asked}" if asked else address


def show_address(base: str, url: str, query: Mapping[str, Any]) -> str:
    """The same with stars in place of secrets."""
    shown = {name: "***" if any(secrets_in(value)) else value for name, value in query.items()}
    return join_address(base, url, shown).replace(quote_plus("***"), "***")


def merge(value: Any, more: Any) -> Any:
    """`value` with `more`, which takes precedence; mappings are merged key by key, however deep they lie."""
    if not more:
        return value
    if not isinstance(value, Mapping) or not isinstance(more, Mapping):
        return more
    # Inside, an empty mapping or list is meant as it is: it empties an option.
    return {**value, **{key: merge(value.get(key), item) if item else item for key, item in more.items()}}


def encode_body(body: Any, content_type: str, dump: DumpJson) -> tuple[bytes | None, str]:
    """The bytes of a body and their content type: text as it is, a form if `content_type` says so, else JSON.

    Secrets in it are written as they are.

    Raises:
        ModelInvalidRequestError: If it holds something that JSON cannot.
    """
    if body is None:
        return None, content_type
    if isinstance(body, str | SecretStr):
        return reveal(body).encode(errors="replace"), content_type or "text/plain; charset=utf-8"
    if content_type.partition(";")[0].strip().lower() == _FORM and isinstance(body, Mapping):
        return _encode_form(body).encode(), content_type
    return encode_json(body, dump), content_type or "application/json"


def encode_json(body: Any, dump: DumpJson) -> bytes:
    """`body` as UTF-8 JSON, by the fast `dump`, or by Python's own for what that refuses, such as huge integers.

    Raises:
        ModelInvalidRequestError: If it holds something that JSON or Unicode cannot; it is named.
    """
    try:
        return bytes(memoryview(dump(body)))  # a copy: orjson's own sits in a block of 4 KiB
    except TypeError:  # it may be because of a secret in it
        with contextlib.suppress(TypeError):
            return bytes(memoryview(dump(reveal(body))))
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, default=reveal_for_json).encode()
    except UnicodeEncodeError as error:
        at = max(0, error.start - 20)
        after = repr(error.object[at : error.start])
        failure = half_a_character(error.object[error.start], f", after {after}")
    except (TypeError, ValueError, RecursionError) as error:
        failure = ModelInvalidRequestError(f"The request cannot be written as JSON: {error}.")
    raise failure  # out of the handlers: an error of Unicode holds the whole text, with the secrets in it


def _encode_form(values: Mapping[str, Any]) -> str:
    """Names and values as in a query; a value that is a list is given item by item: `tag=a&tag=b`."""
    pairs: list[tuple[str, str | SecretStr]] = []
    for name, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            text: str | SecretStr
            if isinstance(item, bool):
                text = "true" if item else "false"
            else:
                text = item if isinstance(item, str | SecretStr) else json.dumps(item, ensure_ascii=False)
            pairs.append((name, text))
    return urlencode([(name, reveal(text)) for name, text in pairs])
