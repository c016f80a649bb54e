"""No network but the loopback: what a model tries to reach beyond is refused, and written down."""

import ipaddress
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any


class Attempts(list[str]):
    """The addresses that somebody tried to reach."""


@contextmanager
def block_network(*, loopback: bool = True) -> Generator[Attempts, None, None]:
    """Refuse connections and look-ups, for a moment. Those within this machine are allowed with `loopback`."""
    attempts = Attempts()
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded(original: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
        def guard(self: socket.socket, address: Any) -> Any:
            if not (loopback and is_local(address)):
                attempts.append(_shown(address))
                raise OSError(f"offline: {_shown(address)} is out of reach")
            return original(self, address)

        return guard

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not (loopback and is_local((host,))):
            attempts.append(_shown(host))
            raise socket.gaierror(f"offline: {_shown(host)} is out of reach")
        return look_up(host, *args, **kwargs)

    socket.socket.connect = guarded(connect)  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = guarded(connect_ex)  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = guarded_look_up
    try:
        yield attempts
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]
        socket.getaddrinfo = look_up


def is_local(address: Any) -> bool:
    """Whether an address is within this machine: a loopback one, or that of a Unix socket."""
    if not isinstance(address, tuple):
        return True
    host = address[0].decode() if isinstance(address[0], bytes) else address[0]
    if host in ("localhost", "", None):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(address: Any) -> str:
    return ":".join(map(str, address)) if isinstance(address, tuple) else str(address)
