"""What a request gets: the script of its answer, found without a socket."""

import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from langplug_backend import control
from langplug_backend.completion import turns
from langplug_backend.dialects.dialect import Dialect, Refused, answer, refusal
from langplug_backend.dialects.routes import Route, route
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.faults.table import FAULTS, spoiled
from langplug_backend.http import HttpRequest
from langplug_backend.log import Exchange, Log
from langplug_backend.markers import marked
from langplug_backend.reply import Reply
from langplug_backend.request import Asked
from langplug_backend.response import Answer, Event, Script, name_of, script

Answerer: TypeAlias = Callable[[Asked], Reply | Fault | str]
"""A reply that looks at what was asked. It runs on the backend's own thread, and must not block."""

Step: TypeAlias = Reply | Fault | str | Answerer
"""What may be said to one request; a string is the reply with this text."""

PREPARED = 64
"""How many answers are kept as bytes."""


def echo(asked: Asked) -> Reply:
    """What is said where nothing is scripted: the text of the last message of a user."""
    return Reply(text=asked.text)


@dataclass(slots=True, kw_only=True)
class Told:
    """What the backend is told to do.

    Attributes:
        reply: What every request gets.
        faults: What goes wrong with every request, how often it still shall.
        queue: What the next requests get, one each.
        key: The key that is asked for; None: none is.
        models: The models that are there.
        context: Their context length, in tokens.
        markers: Whether markers in the prompt are looked at.
    """

    reply: Reply | Answerer = echo
    faults: list[tuple[Fault, int | None]] = field(default_factory=list)
    queue: deque[Step] = field(default_factory=deque)
    key: str | None = None
    models: tuple[str, ...] = ("backend-1",)
    context: int = 8192
    markers: bool = True


class Service:
    """Finds the answer to each request, and writes it into the log.

    Args:
        told: What it is told to do; may be changed from other threads between requests.
        log: The log.
    """

    def __init__(self, told: Told, log: Log) -> None:
        self.told = told
        self._log = log
        self._memory: dict[Any, Any] = {}
        self._prepared: OrderedDict[Any, tuple[Reply, Script]] = OrderedDict()

    def forget(self) -> None:
        """Begin anew: nothing logged, nothing queued, nothing wrong, and the echo for a reply."""
        self._log.exchanges = []
        self.told.queue.clear()
        self.stand(())
        self.told.reply = echo

    def script(self, text: str) -> None:
        """Take reply and faults from a text that may hold markers."""
        self.told.reply, faults = control.scripted(text)
        self.stand(faults)

    def stand(self, faults: Iterable[Fault]) -> None:
        """Let these faults happen from now on, and forget what others remember of earlier requests."""
        self._memory.clear()
        self.told.faults = [(fault, fault.times) for fault in faults]

    def greeting(self) -> Script | None:
        """What happens to a connection before it says anything."""
        due = self._due(lambda at: at == "accept")
        return Script(0, (), "reset" if due[0].kind == "reset_at_accept" else "close") if due else None

    def handle(self, request: HttpRequest, connection: int) -> tuple[Exchange, Script]:
        """The exchange for the log, and what goes out."""
        exchange = Exchange(
            number=len(self._log.exchanges),
            connection=connection,
            method=request.method,
            path=request.path,
            headers=request.headers,
            raw=request.body,
            body=_json(request.body),
            at=time.monotonic(),
        )
        try:
            found = self._answered(exchange, request)
        except Exception as error:  # noqa: BLE001 - of the test's own reply: it is raised where the test ends
            self._log.failures.append(error)
            found = script(
                Answer(status=500, events=(Event(data={"error": f"The backend's reply failed: {error!r}"}),))
            )
        exchange.status = found.status
        self._log.exchanges.append(exchange)
        self._log.changed()
        return exchange, found

    def _answered(self, exchange: Exchange, request: HttpRequest) -> Script:
        if request.path == control.PATH:
            return self._controlled(request.method, exchange.body)
        where = route(request.method, request.path, request.headers)
        exchange.dialect = where.dialect.name
        refused = self._refused(where, exchange)
        if refused:
            return script(refused)
        if where.page:
            return script(Answer(events=(where.page(self.told.models, self.told.context, exchange.body),)))
        try:
            asked = where.dialect.asked(exchange.path, exchange.headers, exchange.body)
        except Refused as error:
            return script(refusal(where.dialect, error.words))
        exchange.asked = asked
        return self._chat(where.dialect, asked, exchange)

    def _controlled(self, method: str, body: Any) -> Script:
        if method == "POST":
            self.forget()
            reply = control.told(body)
            if reply is not None:
                self.script(reply)
        return script(Answer(events=(Event(data=control.state(self._log)),)))

    def _refused(self, where: Route, exchange: Exchange) -> Answer | None:
        """What a real server says before it looks at the prompt."""
        words = where.refused
        if not words and self.told.key is not None and where.dialect.key(exchange.headers) != self.told.key:
            words = where.dialect.words["auth"]
        if not words and not where.page and not isinstance(exchange.body, dict):
            words = replace(where.dialect.words["invalid_request"], message="The body is no JSON object.")
        return refusal(where.dialect, words) if words else None

    def _chat(self, dialect: Dialect, asked: Asked, exchange: Exchange) -> Script:
        reply, faults = self._chosen(asked)
        exchange.faults = tuple(fault.kind for fault in faults)
        if faults or reply is not self.told.reply:
            return script(self._made(dialect, asked, reply, faults, exchange), name_of(exchange.number))
        key = _shape(dialect, asked, reply)
        if key not in self._prepared:
            self._prepared[key] = reply, script(self._made(dialect, asked, reply, faults, exchange))
            if len(self._prepared) > PREPARED:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(key)
        return self._prepared[key][1]  # the reply beside it is kept, so that no other can get its id

    def _made(
        self, dialect: Dialect, asked: Asked, reply: Reply, faults: tuple[Fault, ...], exchange: Exchange
    ) -> Answer:
        given = turns(reply, asked)

        def build(streaming: bool) -> Answer:
            return answer(dialect, asked, given, reply, streaming=streaming)

        context = Context(
            dialect=dialect,
            asked=asked,
            headers=exchange.headers,
            body=exchange.body,
            build=build,
            memory=self._memory,
        )
        return spoiled(build(asked.streaming), faults, context)

    def _chosen(self, asked: Asked) -> tuple[Reply, tuple[Fault, ...]]:
        """The reply to a request, and what goes wrong with it."""
        step: Step = self.told.queue.popleft() if self.told.queue else self.told.reply
        if callable(step):
            step = step(asked)
        faults = [step] if isinstance(step, Fault) else []
        if isinstance(step, Fault):
            step = self.told.reply
            step = step(asked) if callable(step) else step
        if isinstance(step, Fault):
            raise TypeError("The backend's reply gives a Fault for a queued Fault: there is no answer to spoil.")
        reply = Reply(text=step) if isinstance(step, str) else step
        if self.told.markers and "[[" in asked.text:
            reply, more = self._marked(asked, reply)
            faults += more
        faults += [*reply.faults, *self._due(lambda _: True)]
        return reply, tuple(faults)

    def _marked(self, asked: Asked, reply: Reply) -> tuple[Reply, list[Fault]]:
        try:
            return marked(asked, reply, plain=self.told.reply is echo)
        except ValueError as error:
            message = f"A marker in the prompt cannot be read: {error}"
            return reply, [Fault(kind="invalid_request", message=message)]

    def _due(self, fits: Callable[[str], bool]) -> list[Fault]:
        """The standing faults that happen now; each is counted."""
        due = []
        standing = self.told.faults  # another thread may put others in their place
        for number, (fault, left) in enumerate(standing):
            if left != 0 and fits(FAULTS[fault.kind].at):
                due.append(fault)
                standing[number] = fault, None if left is None else left - 1
        return due


def _shape(dialect: Dialect, asked: Asked, reply: Reply) -> tuple[Any, ...]:
    """All of a request that an answer can depend on, but for the reply itself."""
    return (
        id(reply),
        dialect.name,
        asked.model,
        asked.streaming,
        asked.stop,
        asked.max_tokens,
        asked.n,
        asked.tool_choice,
        repr(asked.params),
        None if reply.usage else sum(len(said.text.split()) for said in asked.messages),
    )


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None
