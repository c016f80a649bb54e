"""What a request gets: the transmission of its response, found without a socket."""

import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from langplug_backend import control, strict
from langplug_backend.batches import Batches, BatchSettings, body_of
from langplug_backend.completion import complete, input_tokens
from langplug_backend.dialects.dialect import Dialect, RefusedRequest
from langplug_backend.dialects.routes import Destination, find_route
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.faults.table import FAULTS, apply_faults
from langplug_backend.http import HttpRequest
from langplug_backend.log import Exchange, Log
from langplug_backend.markers import apply_markers
from langplug_backend.obedient import Obedient
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
from langplug_backend.wrongs.edits import Edit

Answerer: TypeAlias = Callable[[ChatRequest], Reply | Fault | str]
"""A reply that depends on the request. It runs on the backend's own thread, and must not block."""

Step: TypeAlias = Reply | Fault | str | Answerer
"""What one request may get; a string is the reply with this text."""

MAX_PREPARED = 64
"""How many responses are kept as bytes."""


def json_of(request: HttpRequest) -> Any:
    """A body as JSON; None if it is none."""
    try:
        return json.loads(request.body) if request.body else None
    except ValueError:
        return None


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
        strict: Whether it refuses what the API does not have.
        wrong: What it does in the place of handling a request; None: what is right.
    """

    reply: Reply | Answerer = echo
    faults: list[tuple[Fault, int | None]] = field(default_factory=list)
    queue: deque[Step] = field(default_factory=deque)
    key: str | None = None
    models: tuple[str, ...] = ("backend-1",)
    context: int = 8192
    markers: bool = True
    batches: BatchSettings = field(default_factory=BatchSettings)
    strict: bool = False
    wrong: Edit | None = None

    def __post_init__(self) -> None:
        if self.reply is echo:
            self.reply = self.first_reply

    @property
    def first_reply(self) -> Answerer:
        """What every request gets until another reply is set."""
        return Obedient() if self.strict else echo


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
        """Start over: an empty log and queue, no faults, and the reply that there is at first."""
        # A new list, so that exchanges which have not ended are not seen again.
        self._log.exchanges = []
        self.settings.queue.clear()
        self.set_faults(())
        self.settings.reply = self.settings.first_reply

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
        exchange.body = json_of(request)
        try:
            response = self._respond(exchange, request)
            exchange.number = len(self._log.exchanges)  # it may have had the requests of a batch answered before it
            own_id = response_id(exchange.number)
            transmission = response if isinstance(response, Transmission) else render(response, own_id)
        except Exception as error:  # noqa: BLE001 - raised by the test's own reply: raised again where the test ends
            self._log.failures.append(error)
            event = Event(data={"error": f"The backend's reply failed: {error!r}"})
            transmission = render(FakeResponse(status=500, events=(event,)))
        exchange.status = transmission.status
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

    def _respond(self, exchange: Exchange, request: HttpRequest) -> FakeResponse | Transmission:
        if exchange.path == control.PATH:
            if exchange.method == "POST":
                self.start_over(exchange.body.get("reply") if isinstance(exchange.body, dict) else None)
            return FakeResponse(events=(Event(data=control.report(self._log)),))
        if self.settings.wrong is None:
            return self._right(exchange, request)

        def handle(request: HttpRequest) -> FakeResponse:
            response = self._right(exchange, request)
            assert isinstance(response, FakeResponse)  # nothing is prepared for a wrong server
            return response

        return self.settings.wrong(handle, request, self._log)

    def _right(self, exchange: Exchange, request: HttpRequest) -> FakeResponse | Transmission:
        """What a right server answers to a request, which may be another than came."""
        route = find_route(request.method, request.path, request.headers)
        exchange.dialect = route.dialect.name
        try:
            response = self._found(route, exchange, request)
        except RefusedRequest as refused:
            response = route.dialect.refuse(refused.error)
        return strict.signed(response) if self.settings.strict and isinstance(response, FakeResponse) else response

    def _found(self, route: Destination, exchange: Exchange, request: HttpRequest) -> FakeResponse | Transmission:
        settings, dialect = self.settings, route.dialect
        body = exchange.body if request.body is exchange.raw else json_of(request)  # which a wrong server may change
        step = self._batches.step_of(request.method, request.path)
        model = strict.one_model(request, settings.models, settings.context) if settings.strict else None
        # In the order in which real servers look: who asks, the path, the key, the body.
        if settings.strict:
            strict.require_visitor(request.headers)
        if step is None and model is None and route.error is not None:
            raise RefusedRequest(route.error)
        if settings.key is not None and dialect.api_key(request.headers) != settings.key:
            raise RefusedRequest(dialect.errors["auth"])
        if step is not None:
            return self._batches.respond(step, request, body)
        if model is not None:
            return model
        if route.page:
            return FakeResponse(events=(route.page(settings.models, settings.context, body),))
        if settings.strict:
            strict.require_json(request)
        if not isinstance(body, dict):
            raise RefusedRequest(replace(dialect.errors["invalid_request"], message="The body is not a JSON object."))
        if settings.strict and dialect.name == "openai":
            strict.require_fields(body, settings.models)
        exchange.request = dialect.read_request(request.path, request.headers, body)
        return self._answer(dialect, exchange.request, exchange, body)

    def _answer(
        self, dialect: Dialect, request: ChatRequest, exchange: Exchange, body: Any
    ) -> FakeResponse | Transmission:
        reply, faults = self._choose_reply(request)
        exchange.faults = tuple(fault.kind for fault in faults)

        def build(streaming: bool) -> FakeResponse:
            return dialect.respond(request, complete(reply, request), reply, streaming=streaming)

        if faults or reply is not self.settings.reply or self.settings.strict or self.settings.wrong:
            context = Context(
                dialect=dialect,
                request=request,
                headers=exchange.headers,
                body=body,
                build=build,
                memory=self._memory,
            )
            return apply_faults(build(request.streaming), faults, context)
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
