"""No network except the loopback: what a model tries to reach beyond it is refused, and written down."""

import ipaddress
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

_allowed = 0
"""How many want the network just now."""


@contextmanager
def allow_network() -> Generator[None, None, None]:
    """Lift `block_network` while this is open."""
    global _allowed  # noqa: PLW0603 - what is blocked is process-wide, too
    _allowed += 1
    try:
        yield
    finally:
        _allowed -= 1


class Attempts(list[str]):
    """The addresses that somebody tried to reach."""


@contextmanager
def block_network(*, loopback: bool = True) -> Generator[Attempts, None, None]:
    """Refuse connections and look-ups while this is open.

    Args:
        loopback: Whether those within this machine are allowed.
    """
    attempts = Attempts()
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check_address(address: Any, error: type[OSError]) -> None:
        if not _allowed and not (loopback and is_local(address)):
            shown = ":".join(map(str, address)) if isinstance(address, tuple) else str(address)
            attempts.append(shown)
            raise error(f"offline: {shown} is out of reach")

    def guard(original: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
        def guarded(self: socket.socket, address: Any) -> Any:
            check_address(address, OSError)
            return original(self, address)

        return guarded

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        # A look-up goes over the network by itself, and it is what fails first without one.
        check_address((host,), socket.gaierror)
        return look_up(host, *args, **kwargs)

    socket.socket.connect = guard(connect)  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = guard(connect_ex)  # type: ignore[method-assign, assignment]
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
    except ValueError:  # a name, which only a look-up could tell
        return False
