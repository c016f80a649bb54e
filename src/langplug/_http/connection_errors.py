"""Why a request got no response, in words that name the setting to change."""

import ssl
from urllib.parse import urlsplit

from langchain_core.exceptions import ModelConnectionError, ModelError, ModelInvalidRequestError, ModelTimeoutError

from langplug._errors import advised
from langplug._http import extra
from langplug._http.proxy import Proxy

_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}
)
"""What OpenSSL's versions call an answer that is plain text, such as "HTTP/1.1 400 Bad Request"."""

_TLS_ALERT = r"b'\x15\x03"
"""How aiohttp shows the beginning of what a TLS server says to plain HTTP, and calls a bad status line."""


def connection_error(
    error: Exception, url: str, proxy: Proxy | None, *, lead: str = "No answer from", setting: str = "base_url"
) -> ModelError:
    """The error of a request without a response.

    Args:
        error: What aiohttp raised.
        url: The request's address, as it may be shown.
        proxy: What it went through.
        lead: What was wanted.
        setting: The setting that the address comes from.
    """
    aiohttp = extra.aiohttp
    missing = f"{lead} {url}"
    host = f"//{urlsplit(url).netloc}"
    is_tls = url.startswith("https:")
    if isinstance(error, TimeoutError):  # aiohttp's are, too
        way = f" through {proxy}" if proxy else ""
        plain = f" Does it speak TLS? If it speaks plain http, write http:{host}." if is_tls else ""
        return ModelTimeoutError(
            f"{url} could not be connected to in time{way}. Is the server up?{plain} If so, raise `connect_timeout`."
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return proxy_refusal(error.status, error.message, url, proxy)
    # What aiohttp wraps: an error of TLS or of the system.
    reason = getattr(error, "os_error", error)
    if _is_at_proxy(error, proxy):
        return _proxy_error(reason, missing, proxy)
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return _tls_error(error, reason, missing, f"http:{host}", setting)
    if isinstance(error, ValueError):  # aiohttp's InvalidURL, too
        return advised(ModelInvalidRequestError(f"The request cannot be sent to {url!r}: {error}"))
    said = getattr(error, "message", None) or error  # not the address, which may be a proxy's
    why = " ".join(str(said).split()) or type(error).__name__
    if not is_tls and _TLS_ALERT in why:
        return _final(f"{missing}, since it speaks TLS: write https:{host} in `{setting}`.")
    hint = ""
    was_cut = isinstance(error, aiohttp.ServerDisconnectedError) or isinstance(reason, ConnectionResetError)
    if was_cut and is_tls:
        why = why.replace("[None]", "[the connection was closed]")  # an error of asyncio's without words
        hint = f" If it speaks plain http, write http:{host}; if it wants a client's certificate, give `client_cert`."
    elif was_cut:
        hint = f" If it expects TLS, write https:{host}."
    way = f" It was asked through {proxy}." if proxy else ""
    return ModelConnectionError(f"{missing}: {why}. Is the server up, and is `{setting}` right?{hint}{way}")


def _tls_error(error: Exception, reason: Exception, missing: str, plain: str, setting: str) -> ModelError:
    if isinstance(reason, ssl.CertificateError):
        return _final(f"{missing}: {error}. If its certificate is to be trusted, `verify` takes its authority's file.")
    if getattr(reason, "reason", "") in _NOT_TLS:
        return _final(f"{missing}, since it speaks plain http: write {plain} in `{setting}`.")
    return _final(
        f"{missing}: TLS failed: {reason}. If it wants a client's certificate, give `client_cert`; if it speaks plain "
        f"http, write {plain}."
    )


def proxy_refusal(status: int, said: str, url: str, proxy: Proxy | None) -> ModelError:
    """The error of a proxy that does not pass a request on."""
    target, name, way_out = urlsplit(url), proxy or "the session's proxy", proxy.way_out if proxy else ""
    if status == 407:
        variable = f"{target.scheme.upper()}_PROXY=http://user:password@host:port"
        hint = f"It wants another user or password: set them in the environment, {variable}."
    elif status >= 500:
        hint = "Is it right that requests go through it, and is the server up?"
    else:
        hint = f"To go without it, {way_out}." if way_out else ""
    failure = ModelConnectionError(
        f"No answer from {url}: {name} refuses to pass requests on to {target.netloc}: {status} {said}. {hint}".rstrip()
    )
    failure.is_retryable = status >= 500
    return failure


def _is_at_proxy(error: Exception, proxy: Proxy | None) -> bool:
    """Whether the proxy itself is not there, or does not speak as its address says."""
    if isinstance(error, extra.aiohttp.ClientProxyConnectionError):
        return True
    if proxy is None:
        return False
    # An error of TLS looks the same whoever causes it; it names the host that it was spoken with.
    address = urlsplit(proxy.url.get_secret_value())
    port = address.port or (443 if address.scheme == "https" else 80)
    return (getattr(error, "host", None), getattr(error, "port", None)) == (address.hostname, port)


def _proxy_error(reason: Exception, missing: str, proxy: Proxy | None) -> ModelError:
    name = proxy or "the session's proxy"
    if isinstance(reason, ssl.CertificateError):
        return _final(
            f"{missing}: {name} has a certificate that is not trusted: {reason}. `verify` takes its authority's file."
        )
    if proxy and getattr(reason, "reason", "") in _NOT_TLS:
        plain = proxy.address.replace("https:", "http:", 1)
        return _final(f"{missing}: {name} speaks plain http: write {plain} there.")
    way_out = f" To go without it, {proxy.way_out}." if proxy else ""
    why = getattr(reason, "strerror", None) or str(reason) or "the connection was closed"
    return ModelConnectionError(f"{missing}: {name} cannot be reached: {why}. Is it running?{way_out}")


def _final(message: str) -> ModelConnectionError:
    """The error of a connection that will fail the next time as well."""
    failure = ModelConnectionError(message)
    failure.is_retryable = False
    return failure
