"""One connection: requests in, scripts out, and the moment that the client goes."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable

from langplug_backend.http import BadRequest, HttpRequest, RequestParser
from langplug_backend.log import Exchange, Log, Outcome
from langplug_backend.response import PLACE, Ending, Script, name_of

GRACE_S = 0.02
"""Seconds between the last byte and a reset: a reset may overtake what the client has not read yet."""

Handler = Callable[[HttpRequest, int], tuple[Exchange, Script]]
"""What to do with a request that came on a connection of some number."""

_PLACE = PLACE.encode()


class Connection(asyncio.Protocol):
    """Answers the requests of one connection, one after the other, in the order in which they came.

    Args:
        handler: Finds the script for a request.
        log: Where it is written down.
        greeting: What happens as soon as the connection is there, in place of everything else; None: nothing.
        open_connections: Where the connection stands while it is open.
    """

    def __init__(
        self,
        handler: Handler,
        log: Log,
        greeting: Callable[[], Script | None],
        open_connections: "set[Connection]",
    ) -> None:
        self._handler = handler
        self._log = log
        self._greeting = greeting
        self._open = open_connections
        self._parser = RequestParser()
        self._waiting: deque[HttpRequest] = deque()
        self._player: _Player | None = None
        self._transport: asyncio.Transport | None = None
        self._number = 0
        self._keep = True
        self._outcome: Outcome = "client_gone"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and greet it."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(0)  # what the system has not taken is not sent
        self._transport = transport
        self._open.add(self)
        self._number = self._log.connections_made
        self._log.connections_made += 1
        self._log.connections_open += 1
        self._log.changed()
        greeting = self._greeting()
        if greeting is not None:
            self.end(greeting.ending)

    def data_received(self, data: bytes) -> None:
        """Take what came; answer what it completes."""
        try:
            self._waiting.extend(self._parser.feed(data))
        except BadRequest as error:
            self._refuse(str(error))
            return
        if self._parser.continues and self._transport:
            self._parser.continues = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._next()

    def eof_received(self) -> bool:
        """The client has gone; what is under way is broken off."""
        self._gone()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed."""
        self._gone()
        self._open.discard(self)
        self._log.connections_open -= 1
        self._log.changed()

    def pause_writing(self) -> None:
        """The client does not read: wait."""
        if self._player:
            self._player.pause()

    def resume_writing(self) -> None:
        """The client reads again: go on."""
        if self._player:
            self._player.resume()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._outcome = "fault"
        if self._transport:
            self._transport.abort()

    def end(self, how: Ending) -> None:
        """Close with a FIN or an RST, or leave it as it is."""
        assert self._transport
        if how == "close":
            self._transport.close()
        elif how == "reset":
            _reset(self._transport)

    def _next(self) -> None:
        if self._player is None and self._waiting and self._transport and not self._transport.is_closing():
            request = self._waiting.popleft()
            exchange, script = self._handler(request, self._number)
            self._player = _Player(self._transport, exchange, script, self._log, self._played)
            self._keep = request.keep
            self._player.step()

    def _played(self, exchange: Exchange, script: Script) -> None:
        """All is sent: end it as it shall end."""
        if script.ending == "stall":
            return
        self._player = None
        self._log.end(exchange, "fault" if script.broken else "complete")
        self.end("close" if script.ending == "keep" and not self._keep else script.ending)
        self._next()

    def _gone(self) -> None:
        if self._player:
            player, self._player = self._player, None
            player.stop()
            self._log.end(player.exchange, self._outcome)

    def _refuse(self, why: str) -> None:
        assert self._transport
        body = why.encode()
        self._transport.write(
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        self._transport.write(body)
        self._transport.close()


class _Player:
    """Sends the writes of a script, each at its time."""

    __slots__ = (
        "_at",
        "_due",
        "_id",
        "_log",
        "_loop",
        "_over",
        "_paused",
        "_timer",
        "_transport",
        "exchange",
        "script",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        exchange: Exchange,
        script: Script,
        log: Log,
        over: Callable[[Exchange, Script], None],
    ) -> None:
        self._transport = transport
        self.exchange = exchange
        self.script = script
        self._log = log
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._id = name_of(exchange.number).encode()
        self._at = 0
        self._due: float | None = None
        self._paused = False
        self._timer: asyncio.Handle | None = None

    def step(self) -> None:
        """Send what is due; come back for the rest."""
        self._timer = None
        writes = self.script.writes
        if self._paused:
            return
        if self._at == len(writes):
            self._finish()
            return
        write = writes[self._at]
        if write.delay and self._due is None:
            self._wait(write.delay)
            return
        self._at += 1
        self._transport.write(write.data.replace(_PLACE, self._id))
        self.exchange.events_sent += write.events
        self.exchange.pieces_sent += write.pieces
        self._log.changed()
        self._follow()

    def _wait(self, delay: float) -> None:
        self._due = self._loop.time() + delay
        self._timer = self._loop.call_at(self._due, self.step)

    def _follow(self) -> None:
        """See to the next write: at its time, reckoned from this one's, so that a stream keeps its pace."""
        if self._paused:
            return
        if self._at == len(self.script.writes):
            self._finish()
            return
        delay = self.script.writes[self._at].delay
        if delay:
            self._due = (self._due or self._loop.time()) + delay
            self._timer = self._loop.call_at(self._due, self.step)
        else:
            self._timer = self._loop.call_soon(self.step)

    def _finish(self) -> None:
        if self.script.ending == "reset" and self._at:
            self._timer = self._loop.call_later(GRACE_S, self._over, self.exchange, self.script)
        else:
            self._over(self.exchange, self.script)

    def pause(self) -> None:
        """Send nothing for now."""
        self._paused = True

    def resume(self) -> None:
        """Send again."""
        self._paused = False
        if self._timer is None and not self._transport.is_closing():
            self.step()

    def stop(self) -> None:
        """Send nothing more."""
        if self._timer:
            self._timer.cancel()


def _reset(transport: asyncio.Transport) -> None:
    """Close with an RST: with `SO_LINGER` of zero seconds, closing discards and resets (socket(7))."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
