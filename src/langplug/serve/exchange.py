"""The one handler of requests, whatever the server: a request in, a reply out. It opens no socket."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from langplug._wires.messages import VERSION_HEADER
from langplug.serve.answering import answer, answers, fit
from langplug.serve.deltas import Ending
from langplug.serve.errors import ApiError, api_error_of
from langplug.serve.gate import Gate
from langplug.serve.json_text import dump, load
from langplug.serve.metrics import CONTENT_TYPE, LEFT, Metrics, Watch, merged
from langplug.serve.openapi import PATH as OPENAPI
from langplug.serve.openapi import document
from langplug.serve.playground import Page, playground
from langplug.serve.queue import Queue
from langplug.serve.served import Catalog
from langplug.serve.streams import Outlet, Stream
from langplug.serve.wires import WIRES
from langplug.serve.wires.chat import WIRE as CHAT
from langplug.serve.wires.messages import WIRE as MESSAGES
from langplug.serve.wires.messages import model_body, models_body
from langplug.serve.wires.wire import Wire

log = logging.getLogger("langplug.serve")

_READY: Final = "/health/ready"

OPEN: Final = frozenset({"/health/live", _READY})
"""The paths that need no key. Neither do static pages, which know no secret."""

_MODELS: Final = "/v1/models"
_METRICS: Final = "/metrics"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sends.

    Attributes:
        method: In capitals.
        path: Decoded, without the query.
        headers: By their names in lower case.
        body: Its bytes as they come; read after the gate has let the request pass.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back in one piece: the HTTP status, headers by their names in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


OpenStream = Callable[[dict[str, str], bytes], Awaitable[Outlet]]
"""Sends status 200 with headers, and the first bytes of a stream; gives where the others go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Answers requests.

    Attributes:
        catalog: The models.
        gate: What a request has to show.
        strict: Whether fields and parameters that would be ignored are refused.
        queue: What calls wait in for their turn.
        ping_interval: Seconds after which a stream in which nothing comes says that it lives; None for never.
        write_timeout: Seconds after which a client that takes nothing of its stream is given up; None for never.
        wires: What is spoken.
        pages: Static pages by their paths.
        metrics: What is counted.
    """

    catalog: Catalog
    gate: Gate = field(default_factory=Gate)
    strict: bool = False
    queue: Queue = field(default_factory=Queue)
    ping_interval: float | None = None
    write_timeout: float | None = None
    wires: tuple[Wire, ...] = WIRES
    pages: Mapping[str, Page] = field(default_factory=playground)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def routes(self) -> dict[str, str]:
        """Every path that is answered, with its method. `{id}` stands for a model's id."""
        posts = {path: "POST" for wire in self.wires for path in wire.paths}
        return (
            dict.fromkeys((*sorted(OPEN), *self.pages, OPENAPI, _METRICS, _MODELS, f"{_MODELS}/{{id}}"), "GET") | posts
        )

    def measured(self) -> bytes:
        """What this server says of itself at `/metrics`."""
        return self.metrics.text(running=self.queue.running, waiting=self.queue.waiting)

    async def handle(self, request: Request, open_stream: OpenStream | None = None) -> Reply | None:
        """The reply to a request; None when it was a stream, and has been sent. Cancelling this stops the model.

        Without `open_stream` every answer is given whole.
        """
        given = request.headers.get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        headers = {"x-request-id": request_id, "request-id": request_id}  # as OpenAI and as Anthropic call it
        route = f"{_MODELS}/{{id}}" if request.path.startswith(f"{_MODELS}/") else request.path
        wire = next((wire for wire in self.wires if request.path in wire.paths), None)
        watch = self.metrics.watch("none" if wire is None else wire.name)
        try:
            self.gate.check(request.headers, is_open=request.path in OPEN or request.path in self.pages)
            self._check_route(route, request)
            if wire is not None:
                return await self._ask(wire, request, headers, watch, open_stream)
            reply = await self._tell(request, headers)
            watch.end(reply.status)
        except asyncio.CancelledError:
            watch.end(LEFT)
            raise
        except Exception as error:
            told = api_error_of(error)
            watch.end(told.status)
            if told.status >= 500 and told is not error:  # else the server itself has said it
                log.warning("%s: %s %s", request_id, request.method, request.path, exc_info=error)
            elif told.message != str(error):  # what only the model's author can mend
                log.warning("%s: %s %s: %s", request_id, request.method, request.path, error)
            if told.retry_after is not None:
                headers["retry-after"] = str(max(1, round(told.retry_after)))
            if told.is_final:  # both SDKs read it
                headers["x-should-retry"] = "false"
            if told.status == 405:
                headers["allow"] = self.routes[route]
            speaks = wire or (MESSAGES if VERSION_HEADER in request.headers else CHAT)
            return _json(told.status, speaks.error(told, request_id), headers)
        else:
            return reply

    def _check_route(self, route: str, request: Request) -> None:
        method = self.routes.get(route)
        if method is None:
            raise ApiError(
                404, "invalid_request_error", f"There is nothing at {request.path!r:.200}.", code="not_found"
            )
        if request.method != method and (request.method, method) != ("HEAD", "GET"):  # drivers leave out its body
            raise ApiError(405, "invalid_request_error", f"Ask {route} by {method}.", code="method_not_allowed")

    async def _tell(self, request: Request, headers: dict[str, str]) -> Reply:
        """What is asked by GET; models as Anthropic describes them where a client speaks its wire."""
        path = request.path
        if page := self.pages.get(path):
            return Reply(200, {**headers, **page.headers, "content-length": str(len(page.data))}, page.data)
        if path == _METRICS:
            gather = self.metrics.gather
            figures = merged(await gather()) if gather is not None else self.measured()
            return Reply(200, {**headers, "content-type": CONTENT_TYPE, "content-length": str(len(figures))}, figures)
        if path == OPENAPI:
            is_open, has_key = {*OPEN, *self.pages}, self.gate.key is not None
            told = document(self.routes, self.wires, open_paths=is_open, has_key=has_key, strict=self.strict)
            return _json(200, told, headers)
        if path in OPEN:
            is_waiting = path == _READY and self.catalog.is_loading
            return _json(503 if is_waiting else 200, {"status": "loading" if is_waiting else "ok"}, headers)
        is_list = path == _MODELS
        found = self.catalog.all() if is_list else [self.catalog.find(path.removeprefix(f"{_MODELS}/"))]
        if VERSION_HEADER not in request.headers:
            cards = [served.card for served in found]
            return _json(200, {"object": "list", "data": cards} if is_list else cards[0], headers)
        bodies = [model_body(served.id, served.created, served.model.profile or {}) for served in found]
        return _json(200, models_body(bodies) if is_list else bodies[0], headers)

    async def _ask(
        self, wire: Wire, request: Request, headers: dict[str, str], watch: Watch, open_stream: OpenStream | None
    ) -> Reply | None:
        """Have a model answer. What fails before the first delta has a status of its own, streamed or not."""
        self.catalog.all()  # nobody sends a long body for a 503
        call = wire.read(await self._read_body(request), request.headers)
        served = self.catalog.find(call.model)
        watch.model = served.id
        fit(served, call)
        if call.notes:
            if self.strict:
                named = ", ".join(call.notes)
                raise ApiError(400, "invalid_request_error", f"Not used here: {named:.500}.", call.notes[0])
            headers["x-langplug-ignored"] = re.sub(r"[^ -~]", "?", ", ".join(call.notes))[:1000]
        call.thread = served.thread_of(call)
        answer_id = call.thread.answer if call.thread is not None else uuid.uuid4().hex
        writer = wire.writer(call, f"{wire.id_prefix}{answer_id}", int(time.time()))
        if call.counts_only:
            count = served.model.get_num_tokens_from_messages
            async with self.queue.turn():
                tokens = await asyncio.to_thread(count, call.messages, call.tools or None)  # tokenizers take their time
            watch.end(200)
            usage = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
            return _json(200, writer.whole((), Ending(usage=usage)), headers)
        is_one = call.n == 1
        deltas = answer(served, call) if is_one else answers(served, call, self.queue.turn)
        turn = self.queue.turn() if is_one else nullcontext()  # of several, each has its own
        if not call.stream or open_stream is None:
            async with turn, aclosing(deltas):
                *said, ending = [delta async for delta in deltas]
            watch.used(ending.usage)  # type: ignore[union-attr]  # the ending is the last
            watch.end(200)
            return _json(200, writer.whole(said, ending), headers)  # type: ignore[arg-type]
        headers |= {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        limits = {"ping_interval": self.ping_interval, "write_timeout": self.write_timeout}
        stream = Stream(writer, watch, partial(open_stream, headers), **limits)
        await stream.send(deltas, turn, headers["x-request-id"])
        return None

    async def _read_body(self, request: Request) -> dict[str, Any]:
        self.gate.check_body(request.headers)
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in request.body:
                size += len(piece)
                self.gate.check_size(size)
                pieces.append(piece)
        except ApiError:
            raise
        except Exception as error:
            said = "The body cannot be read: it is not encoded as its headers say."
            raise ApiError(400, "invalid_request_error", said) from error
        try:
            body = load(b"".join(pieces))
        except ValueError as error:
            raise ApiError(400, "invalid_request_error", f"The body is not JSON: {error}.") from error
        if not isinstance(body, dict):
            raise ApiError(400, "invalid_request_error", "The body must be a JSON object.")
        return body


def _json(status: int, body: dict[str, Any], headers: dict[str, str]) -> Reply:
    data = dump(body)
    return Reply(status, {**headers, "content-type": "application/json", "content-length": str(len(data))}, data)
