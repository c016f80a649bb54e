"""Which proxy requests go through, which setting named it, and what of its address may be shown."""

import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from langchain_core.exceptions import ModelInvalidRequestError
from pydantic import SecretStr

from langplug._errors import advised


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. As text it is what errors show: its address without user and password, and where that was set.

    Attributes:
        url: Its address, which often holds a password.
        source: Where it was set, such as "the environment variable HTTPS_PROXY".
        way_out: How to go without it.
    """

    url: SecretStr
    source: str
    way_out: str

    @property
    def address(self) -> str:
        """Its address with stars in place of user and password, however malformed it is."""
        scheme, _, rest = self.url.get_secret_value().partition("://")
        _, user, host = rest.rpartition("@")
        return f"{scheme}://{'***@' if user else ''}{host.partition('/')[0].partition('?')[0]}"

    def __str__(self) -> str:
        return f"the proxy {self.address} (from {self.source})"

    def secrets(self) -> list[SecretStr]:
        """What no error may show: user and password as they are written and as they are meant."""
        user, at, _ = self.url.get_secret_value().partition("://")[2].rpartition("@")
        password = user.partition(":")[2]
        return [SecretStr(one) for one in (user, password, unquote(password)) if one] if at else []


def proxy_for(url: str, given: str | None = None) -> Proxy | None:
    """The proxy for requests to `url`: the `given` one, else the environment's (`HTTPS_PROXY`, `NO_PROXY`, ...).

    Raises:
        ModelInvalidRequestError: If the environment's is not an HTTP proxy's address.
    """
    if given:
        return Proxy(SecretStr(given), "`proxy`", "leave out `proxy`")
    # What the environment holds is in no variable here: whoever shows the error's frames would show the password.
    proxy = _environment_proxy(url)
    if proxy and (problem := _problem_of(proxy, urlsplit(url).scheme)):
        raise advised(ModelInvalidRequestError(problem))
    return proxy


def _environment_proxy(url: str) -> Proxy | None:
    target = urlsplit(url)
    if proxy_bypass(target.netloc):
        return None
    proxies = getproxies()
    kind = target.scheme if proxies.get(target.scheme) else "all"
    found = proxies.get(kind)
    if not found:
        return None
    names = [name for name, value in os.environ.items() if name.lower() == f"{kind}_proxy" and value == found]
    source = (
        f"the environment variable {names[0]}" if names else "this system's settings"
    )  # macOS and Windows have some
    # `127.0.0.1:7890` is what many people write, and curl and requests take it.
    address = found if "://" in found else f"http://{found}"
    return Proxy(SecretStr(address), source, f"add {target.hostname} to NO_PROXY")


def _problem_of(proxy: Proxy, scheme: str) -> str:
    """Why requests cannot go through `proxy`; "" if nothing speaks against it."""
    name = f"The{str(proxy)[3:]}"
    instead = f"Set {scheme.upper()}_PROXY to the address of an HTTP proxy, such as http://127.0.0.1:7890"
    direct = f"or {proxy.way_out}, which goes without a proxy"
    try:
        parts = urlsplit(proxy.url.get_secret_value())
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, or a port that is not a number
        is_address = False
    if proxy.address.startswith("socks"):
        return (
            f"{name} is a SOCKS proxy, which is not supported. {instead} (most programs that offer SOCKS offer HTTP as "
            f"well); {direct}; or pass a `session` with a connector for SOCKS."
        )
    return "" if is_address else f"{name} is not the address of an HTTP proxy. {instead}; {direct}."
