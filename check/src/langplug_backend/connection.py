"""One connection: requests in, transmissions out, and the moment when the client disconnects."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf

from langplug_backend.http import BadRequest, HttpRequest, RequestParser
from langplug_backend.log import Exchange, Log, Outcome
from langplug_backend.response import ID_PLACEHOLDER, Ending, Transmission, response_id

GRACE_S = 0.02
"""Seconds between the last byte and a reset: a reset discards what the client has not read yet."""

Handler = Callable[[HttpRequest, int], tuple[Exchange, Transmission]]
"""Answers a request that came on the connection of this number."""

_PLACEHOLDER = ID_PLACEHOLDER.encode()


class Turns:
    """Lets so many answers be made at once; the others wait in the order in which they came.

    Args:
        most: How many; None: any number.
    """

    def __init__(self, most: int | None) -> None:
        self._free: float = inf if most is None else most
        self._waiting: deque[Callable[[], object]] = deque()

    def take(self, go: Callable[[], object]) -> None:
        """Go on as soon as it is the turn."""
        if self._free > 0:
            self._free -= 1
            go()
        else:
            self._waiting.append(go)

    def give(self) -> None:
        """A turn is over: let the next one go on."""
        if self._waiting:  # not within this call: answers that take no time would go ever deeper
            asyncio.get_running_loop().call_soon(self._waiting.popleft())
        else:
            self._free += 1

    def leave(self, go: Callable[[], object]) -> None:
        """End a turn, or the wait for it."""
        if go in self._waiting:
            self._waiting.remove(go)
        else:
            self.give()

    def hand_over(self, go: Callable[[], object], other: Callable[[], object]) -> None:
        """Have `other` take the turn, or the place in the line, of `go`."""
        if go in self._waiting:
            self._waiting[self._waiting.index(go)] = other
        else:
            other()


class Connection(asyncio.Protocol):
    """Answers the requests of one connection, one after the other, in the order in which they came.

    A protocol and not a stream, since a protocol hears at once when the client disconnects: a coroutine that waits for
    its next write would notice only then.

    Args:
        handler: Finds what to send for a request.
        log: Where it is recorded.
        greet: What happens to the connection as soon as it is accepted, in place of everything else; None: nothing.
        open_connections: Where the connection is listed while it is open.
        turns: How many answers are made at once, on all connections.
    """

    def __init__(
        self,
        handler: Handler,
        log: Log,
        greet: Callable[[], Ending | None],
        open_connections: "set[Connection]",
        turns: Turns,
    ) -> None:
        self._turns = turns
        self._handler = handler
        self._log = log
        self._greet = greet
        self._open = open_connections
        self._parser = RequestParser()
        self._waiting: deque[HttpRequest] = deque()
        self._sender: Sender | None = None
        self._transport: asyncio.Transport | None = None
        self._number = 0
        self._keep = True
        self._outcome: Outcome = "client_gone"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and greet it."""
        assert isinstance(transport, asyncio.Transport)
        # Writing pauses as soon as the system takes no more: what waits in asyncio's buffer would count as sent.
        transport.set_write_buffer_limits(0)
        self._transport = transport
        self._open.add(self)
        self._number = self._log.connections_made
        self._log.connections_made += 1
        self._log.connections_open += 1
        self._log.changed()
        greeting = self._greet()
        if greeting is not None:
            self._end(greeting)

    def data_received(self, data: bytes) -> None:
        """Take what came; answer what it completes."""
        assert self._transport
        try:
            self._waiting.extend(self._parser.feed(data))
        except BadRequest as error:
            body = str(error).encode()
            head = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self._transport.write(head + body)
            self._transport.close()
            return
        if self._parser.continues:
            self._parser.continues = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._answer_next()

    def eof_received(self) -> bool:
        """The client has disconnected; what is being sent is broken off."""
        # HTTP lets a client close its side and read on. No client of ours does, and one that gives up looks the same.
        self._client_gone()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has disconnected, or this side has closed."""
        self._client_gone()
        self._log.requests_left += self._parser.is_midway
        self._open.discard(self)
        self._log.connections_open -= 1
        self._log.changed()

    def pause_writing(self) -> None:
        """The client does not read: wait."""
        if self._sender:
            self._sender.pause()

    def resume_writing(self) -> None:
        """The client reads again: go on."""
        if self._sender:
            self._sender.resume()

    def abort(self) -> None:
        """Close at once, whatever is being sent."""
        self._outcome = "fault"
        if self._transport:
            self._transport.abort()

    def _end(self, ending: Ending) -> None:
        """Close with a FIN or an RST, or leave the connection as it is."""
        assert self._transport
        if ending == "close":
            self._transport.close()
        elif ending == "reset":
            # With `SO_LINGER` of zero seconds, closing discards what is unsent and sends an RST: socket(7).
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _answer_next(self) -> None:
        # Pipelined requests wait here: their answers must come in order (RFC 9112, 9.3.2).
        if self._sender is None and self._waiting and self._transport and not self._transport.is_closing():
            request = self._waiting.popleft()
            exchange, transmission = self._handler(request, self._number)
            self._sender = Sender(self._transport, exchange, transmission, self._log, self._finish)
            self._keep = request.keep
            if exchange.request is None:
                self._sender.step()
            else:
                self._turns.take(self._sender.step)

    def _finish(self, exchange: Exchange, transmission: Transmission) -> None:
        """All is sent: end as the transmission says."""
        if transmission.ending == "stall":
            return  # the sender stays, so that the exchange ends when the client disconnects
        sender, self._sender = self._sender, None
        if sender and exchange.request is not None:
            self._turns.leave(sender.step)
        self._log.end(exchange, "fault" if transmission.broken else "complete")
        self._end("close" if transmission.ending == "keep" and not self._keep else transmission.ending)
        self._answer_next()

    def _client_gone(self) -> None:
        if self._sender:
            sender, self._sender = self._sender, None
            sender.stop()
            if sender.exchange.request is not None:
                if sender.left_s:
                    rest = partial(sender.loop.call_later, sender.left_s, self._turns.give)
                    self._turns.hand_over(sender.step, rest)
                else:
                    self._turns.leave(sender.step)
            self._log.end(sender.exchange, self._outcome)


class Sender:
    """Sends the writes of a transmission, each at its time.

    Args:
        transport: Where they go.
        exchange: What counts them.
        transmission: The writes.
        log: Told of each of them.
        finish: Called when all are sent.
    """

    __slots__ = (
        "_at",
        "_due",
        "_finish",
        "_id",
        "_log",
        "_paused",
        "_timer",
        "_transport",
        "_waited",
        "exchange",
        "loop",
        "transmission",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        exchange: Exchange,
        transmission: Transmission,
        log: Log,
        finish: Callable[[Exchange, Transmission], None],
    ) -> None:
        self._transport = transport
        self.exchange = exchange
        self.transmission = transmission
        self._log = log
        self._finish = finish
        self.loop = asyncio.get_running_loop()
        self._id = response_id(exchange.number).encode()
        self._at = 0
        self._waited = False
        self._due: float | None = None
        self._paused = False
        self._timer: asyncio.Handle | None = None

    def step(self) -> None:
        """Send the next write, or wait until it is due; then see to the one after it."""
        self._timer = None
        writes = self.transmission.writes
        if self._paused:
            return  # `resume` comes back here
        if self._at == len(writes):
            if self.transmission.ending == "reset" and writes:
                self._timer = self.loop.call_later(GRACE_S, self._finish, self.exchange, self.transmission)
            else:
                self._finish(self.exchange, self.transmission)
            return
        write = writes[self._at]
        if write.delay and not self._waited:
            # Reckoned from when the write before was due, not from when it was sent, so that a stream keeps its pace.
            self._due = (self._due or self.loop.time()) + write.delay
            self._waited = True
            self._timer = self.loop.call_at(self._due, self.step)
            return
        self._at += 1
        self._waited = False
        self._transport.write(write.data.replace(_PLACEHOLDER, self._id))
        self.exchange.events_sent += write.events
        self.exchange.pieces_sent += write.pieces
        self._log.changed()
        if self._at < len(writes) and not writes[self._at].delay and not self._paused:
            # Not in a loop here: a turn of the event loop in between lets the client's disconnecting be noticed.
            self._timer = self.loop.call_soon(self.step)
        else:
            self.step()

    def pause(self) -> None:
        """Send nothing for now."""
        self._paused = True

    def resume(self) -> None:
        """Send again."""
        self._paused = False
        if self._timer is None and not self._transport.is_closing():
            self.step()

    @property
    def left_s(self) -> float:
        """Seconds for which the answer is still made when the client has left."""
        return sum(write.delay for write in self.transmission.writes[self._at :]) if self.transmission.goes_on else 0

    def stop(self) -> None:
        """Send nothing more, even if the turn has come in this very moment."""
        self.pause()
        if self._timer:
            self._timer.cancel()
