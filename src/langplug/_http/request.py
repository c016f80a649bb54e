"""What an HTTP request is made of: its address and the bytes of its body, from plain values."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from langplug._http.json_body import json_body

Dump = Callable[[Any], bytes]

_FORM = "application/x-www-form-urlencoded"


def split_address(url: str) -> tuple[str, str]:
    """A whole address as that of the server and the rest; an empty string and `url` where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return "", url
    base = f"{parts.scheme}://{parts.netloc}"
    return base, url.removeprefix(base)


def joined_address(base: str, url: str, query: Mapping[str, Any]) -> str:
    """The address of one request; a value of the query that is a list is given item by item."""
    address = "/".join([base.rstrip("/"), url.lstrip("/")]) if url else base
    if not query:
        return address
    values = {name: [_query_text(item) for item in _several(value)] for name, value in query.items()}
    return f"{address}{'&' if '?' in address else '?'}{urlencode(values, doseq=True)}"


def merged(value: Any, more: Any) -> Any:
    """`value` with `more`, which counts first, mapping by mapping."""
    if not more:
        return value
    if not isinstance(value, Mapping) or not isinstance(more, Mapping):
        return more
    return {**value, **{key: merged(value.get(key), item) if item else item for key, item in more.items()}}


def encoded(body: Any, content_type: str, dump: Dump) -> tuple[bytes | None, str]:
    """The bytes of a body and their content type: text as it is, a form if `content_type` says so, else JSON.

    Raises:
        ModelInvalidRequestError: If there is something in it that JSON cannot hold.
    """
    if body is None:
        return None, content_type
    if isinstance(body, str):
        return body.encode(errors="replace"), content_type or "text/plain; charset=utf-8"
    if content_type.partition(";")[0].strip().lower() == _FORM and isinstance(body, Mapping):
        values = {name: [_query_text(item) for item in _several(value)] for name, value in body.items()}
        return urlencode(values, doseq=True).encode(), content_type
    return json_body(body, dump), content_type or "application/json"


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _query_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
