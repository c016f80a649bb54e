"""What a request gets: the transmission of its response, found without a socket."""

import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from langplug_backend import control
from langplug_backend.batches import Batches, BatchSettings, body_of
from langplug_backend.completion import complete, input_tokens
from langplug_backend.dialects.dialect import Dialect, RefusedRequest
from langplug_backend.dialects.routes import find_route
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.faults.table import FAULTS, apply_faults
from langplug_backend.http import HttpRequest
from langplug_backend.log import Exchange, Log
from langplug_backend.markers import apply_markers
from langplug_backend.reply import Reply
from langplug_backend.request import ChatRequest
from langplug_backend.response import (
    ID_PLACEHOLDER,
    Ending,
    Event,
    FakeResponse,
    Transmission,
    render,
    response_id,
)

Answerer: TypeAlias = Callable[[ChatRequest], Reply | Fault | str]
"""A reply that depends on the request. It runs on the backend's own thread, and must not block."""

Step: TypeAlias = Reply | Fault | str | Answerer
"""What one request may get; a string is the reply with this text."""

MAX_PREPARED = 64
"""How many responses are kept as bytes."""


def echo(request: ChatRequest) -> Reply:
    """The reply where nothing else is set: the text of the user's last message."""
    return Reply(text=request.text)


@dataclass(slots=True, kw_only=True)
class Settings:
    """How the backend is to behave. Other threads may change it between requests.

    Attributes:
        reply: What every request gets.
        faults: What goes wrong with every request, and how many more times; None: always.
        queue: What the next requests get, one each.
        key: The key that clients must send; None: any or none.
        models: The names of its models.
        context: Their context length, in tokens.
        markers: Whether markers in the prompt have an effect.
        batches: How the Batch API behaves.
    """

    reply: Reply | Answerer = echo
    faults: list[tuple[Fault, int | None]] = field(default_factory=list)
    queue: deque[Step] = field(default_factory=deque)
    key: str | None = None
    models: tuple[str, ...] = ("backend-1",)
    context: int = 8192
    markers: bool = True
    batches: BatchSettings = field(default_factory=BatchSettings)


class Service:
    """Finds the response to each request, and records it in the log.

    Args:
        settings: How the backend is to behave.
        log: The log.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self.settings = settings
        self._log = log
        self._memory: dict[str, Any] = {}
        self._batches = Batches(settings.batches, self._answer_line)
        self._prepared: OrderedDict[Any, tuple[Reply, Transmission]] = OrderedDict()

    def forget(self) -> None:
        """Start over: an empty log and queue, no faults, and the echo as the reply."""
        # A new list, so that exchanges which have not ended are not seen again.
        self._log.exchanges = []
        self.settings.queue.clear()
        self.set_faults(())
        self.settings.reply = echo

    def start_over(self, text: Any) -> None:
        """Forget all, and answer as a text says, if it is one."""
        self.forget()
        if isinstance(text, str):
            self.script(text)

    def script(self, text: str) -> None:
        """Set reply and faults from a text that may hold markers."""
        self.settings.reply, faults = apply_markers(text, Reply(), echo=True)
        self.set_faults(faults)

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Let these faults happen from now on; what earlier ones remember is dropped."""
        self._memory.clear()
        self.settings.faults = [(fault, fault.times) for fault in faults]

    def greet(self) -> Ending | None:
        """What happens to a connection that has just been accepted; None: nothing."""
        due = self._take_due("accept")
        if not due:
            return None
        return "reset" if due[0].kind == "reset_at_accept" else "close"

    def handle(self, request: HttpRequest, connection: int) -> tuple[Exchange, Transmission]:
        """The exchange for the log, and what to send."""
        exchange = Exchange(
            number=len(self._log.exchanges),
            connection=connection,
            method=request.method,
            path=request.path,
            headers=request.headers,
            raw=request.body,
            at=time.monotonic(),
        )
        try:
            exchange.body = json.loads(request.body) if request.body else None
        except ValueError:
            exchange.body = None
        try:
            transmission = self._respond(exchange, request)
        except Exception as error:  # noqa: BLE001 - raised by the test's own reply: raised again where the test ends
            self._log.failures.append(error)
            event = Event(data={"error": f"The backend's reply failed: {error!r}"})
            transmission = render(FakeResponse(status=500, events=(event,)))
        exchange.status = transmission.status
        exchange.number = len(self._log.exchanges)  # it may have had the requests of a batch answered before it
        self._log.exchanges.append(exchange)
        self._log.changed()
        return exchange, transmission

    def _answer_line(self, request: HttpRequest) -> tuple[int, bytes | None]:
        """Status and body of what a request of a batch gets: what it would get by itself."""
        exchange, transmission = self.handle(request, connection=-1)
        body = body_of(transmission)
        self._log.end(exchange, "fault" if body is None else "complete")
        own_id = response_id(exchange.number).encode()
        return transmission.status, body and body.replace(ID_PLACEHOLDER.encode(), own_id)

    def _respond(self, exchange: Exchange, request: HttpRequest) -> Transmission:
        settings, body = self.settings, exchange.body
        if exchange.path == control.PATH:
            if exchange.method == "POST":
                self.start_over(body.get("reply") if isinstance(body, dict) else None)
            return render(FakeResponse(events=(Event(data=control.report(self._log)),)))
        route = find_route(exchange.method, exchange.path, exchange.headers)
        step = self._batches.step_of(exchange.method, exchange.path)
        dialect, error = route.dialect, route.error if step is None else None
        exchange.dialect = dialect.name
        # In the order in which real servers look: the path, the key, the body.
        if error is None and settings.key is not None and dialect.api_key(exchange.headers) != settings.key:
            error = dialect.errors["auth"]
        if error is None and step is not None:
            return render(self._batches.respond(step, request, body))
        if error is None and route.page:
            return render(FakeResponse(events=(route.page(settings.models, settings.context, body),)))
        if error is None and not isinstance(body, dict):
            error = replace(dialect.errors["invalid_request"], message="The body is not a JSON object.")
        if error is None:
            try:
                exchange.request = dialect.read_request(exchange.path, exchange.headers, body)
            except RefusedRequest as refused:
                error = refused.error
        if exchange.request is None:
            assert error
            return render(dialect.refuse(error))
        return self._answer(dialect, exchange.request, exchange)

    def _answer(self, dialect: Dialect, request: ChatRequest, exchange: Exchange) -> Transmission:
        reply, faults = self._choose_reply(request)
        exchange.faults = tuple(fault.kind for fault in faults)

        def build(streaming: bool) -> FakeResponse:
            return dialect.respond(request, complete(reply, request), reply, streaming=streaming)

        if faults or reply is not self.settings.reply:
            context = Context(
                dialect=dialect,
                request=request,
                headers=exchange.headers,
                body=exchange.body,
                build=build,
                memory=self._memory,
            )
            response = apply_faults(build(request.streaming), faults, context)
            return render(response, response_id(exchange.number))
        # One reply for every request, as in a benchmark: its bytes are prepared once. The key holds whatever else they
        # depend on; the reply is kept beside the bytes, so that no other object can get its `id`.
        key = (
            id(reply),
            dialect.name,
            request.model,
            request.streaming,
            request.stop,
            request.max_tokens,
            request.n,
            request.tool_choice,
            repr(request.params),
            None if reply.usage else input_tokens(request.messages),
        )
        if key not in self._prepared:
            self._prepared[key] = reply, render(build(request.streaming))
            if len(self._prepared) > MAX_PREPARED:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(key)
        return self._prepared[key][1]

    def _choose_reply(self, request: ChatRequest) -> tuple[Reply, tuple[Fault, ...]]:
        """The reply to a request, and what goes wrong with it."""
        settings = self.settings
        step: Step = settings.queue.popleft() if settings.queue else settings.reply
        if callable(step):
            step = step(request)
        faults: list[Fault] = []
        if isinstance(step, Fault):
            # It says what goes wrong, but not with which reply: with the one for every request.
            faults.append(step)
            step = settings.reply(request) if callable(settings.reply) else settings.reply
        if isinstance(step, Fault):
            raise TypeError("The backend's reply gives a Fault for a queued Fault: no answer is left for it to spoil.")
        reply = Reply(text=step) if isinstance(step, str) else step
        if settings.markers and "[[" in request.text:
            try:
                reply, marked = apply_markers(
                    request.text, reply, history=request.messages, echo=settings.reply is echo
                )
            except ValueError as error:
                marked = [Fault(kind="invalid_request", message=f"A marker in the prompt cannot be read: {error}")]
            faults += marked
        return reply, (*faults, *reply.faults, *self._take_due())

    def _take_due(self, at: str | None = None) -> list[Fault]:
        """The standing faults of a stage (None: of all) that happen now; each is counted."""
        due = []
        standing = self.settings.faults  # read once: another thread may set other faults meanwhile
        for number, (fault, left) in enumerate(standing):
            if left != 0 and at in {None, FAULTS[fault.kind].at}:
                due.append(fault)
                standing[number] = fault, None if left is None else left - 1
        return due
