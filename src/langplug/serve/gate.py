"""Who may ask, and how: hosts, origins, keys, content types, sizes."""

import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from langplug.serve.errors import ApiError

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names under which a server on this machine is asked. Any other name may be a page's that was made to point here
(DNS rebinding)."""

INFLATED: Final = frozenset({"gzip", "x-gzip", "deflate"})
"""How a body may be compressed."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^][:/?#@,\s]+)(?::[0-9]*)?")
"""A name or an address, and a port. What an address on the web may have besides, such as a user, has no place there."""

_SHOWN: Final = "x-request-id, x-langplug-ignored, x-should-retry, retry-after"
"""Headers that a page of another origin may read."""

_NAMES: Final = re.compile(r"[A-Za-z0-9_, -]{0,2000}")
"""What a browser asks for as headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What is asked of a request before its body is read.

    Attributes:
        hosts: The names, without port and in lower case, under which the server may be asked; None for any.
        origins: Origins other than the server's own whose pages may ask, as browsers send them: `https://app.example`.
        key: What clients have to show, as `Authorization: Bearer` or `x-api-key`; None if nothing.
        max_body: Bytes that a body may have.
    """

    hosts: Collection[str] | None = LOOPBACK
    origins: Collection[str] = ()
    key: str | None = None
    max_body: int = 32 * 2**20

    def __post_init__(self) -> None:
        """Refuse what no request could match.

        Raises:
            ValueError: If a name has a port, say, or an origin has a path.
        """
        for name in self.hosts or ():
            if not name or "/" in name or name.count(":") == 1:
                raise ValueError(f"a host is a name without scheme and port, such as models.example, not {name!r}")
        for origin in self.origins:
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+", origin):
                expected = (
                    "SCHEME://HOST or SCHEME://HOST:PORT in lower case, without a path, such as http://localhost:3000"
                )
                raise ValueError(f"an origin is {expected}, not {origin!r}")

    def check(self, headers: Mapping[str, str], *, is_open: bool) -> None:
        """Let a request pass.

        Args:
            headers: By their names in lower case.
            is_open: Whether its route needs no key.

        Raises:
            ApiError: 421 for a foreign `Host`, 403 for a foreign `Origin`, 401 without the key.
        """
        host = headers.get("host", "")
        asked = _HOST.fullmatch(host.lower())
        if self.hosts is not None and (asked is None or asked[1].strip("[]") not in self.hosts):
            said = f"This server does not answer as {host!r:.100}; whoever runs it can allow the name (--allow-host)."
            raise _refused(421, said, "misdirected_request")
        origin = headers.get("origin")
        is_own = origin is None or origin.lower().partition("://")[2] == host.lower()
        if not is_own and origin not in self.origins:
            said = f"Pages of {origin!r:.100} may not ask this server; whoever runs it can allow them (--allow-origin)."
            raise _refused(403, said, "origin_refused")
        if self.key is None or is_open:
            return
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        shown = shown.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        # It takes the same time wherever a wrong key differs.
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), self.key.encode()):
            message = "A key is needed: send it as `Authorization: Bearer KEY`."
            raise ApiError(401, "authentication_error", message, code="invalid_api_key")

    def sharing(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers by which a browser lets a page of an allowed origin read the answer; none for others."""
        origin = headers.get("origin", "")
        if origin not in self.origins:
            return {}
        return {"access-control-allow-origin": origin, "access-control-expose-headers": _SHOWN, "vary": "Origin"}

    def preflight(self, method: str, headers: Mapping[str, str]) -> dict[str, str] | None:
        """What a browser is told that asks whether a page of an allowed origin may ask; None if it is no such question.

        Browsers send no key with it.
        """
        asks = method == "OPTIONS" and "access-control-request-method" in headers
        if not asks or headers.get("origin") not in self.origins:
            return None
        named = headers.get("access-control-request-headers", "")
        told = {"access-control-allow-methods": "GET, POST", "access-control-max-age": "600"}
        return {**told, "access-control-allow-headers": named} if _NAMES.fullmatch(named) else told

    def check_body(self, headers: Mapping[str, str]) -> None:
        """Let a body be read.

        Raises:
            ApiError: 415 if it is not said to be JSON, or said to be compressed otherwise than by gzip or deflate, 413
                if it is said to be too large.
        """
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise _refused(415, f"Expected Content-Type application/json, not {kind!r:.100}.", "unsupported_media_type")
        encoding = headers.get("content-encoding", "")
        if encoding.strip().lower() not in INFLATED | {"", "identity"}:
            message = f"Expected no Content-Encoding but gzip or deflate, not {encoding!r:.100}."
            raise _refused(415, message, "unsupported_media_type")
        length = headers.get("content-length", "")
        if length.isdecimal() and len(length) < 20:
            self.check_size(int(length))

    def check_size(self, size: int) -> None:
        """Let so many bytes of a body be kept.

        Raises:
            ApiError: 413 if they are too many.
        """
        if size > self.max_body:
            raise _refused(413, f"The body is larger than {self.max_body} bytes.", "request_too_large")


def _refused(status: int, message: str, code: str) -> ApiError:
    return ApiError(status, "invalid_request_error", message, code=code)
