"""The one handler of requests, whatever the server: a request in, a reply out. It opens no socket."""

import asyncio
import logging
import re
import time
import uuid
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from langplug._suggest import did_you_mean
from langplug._wires.messages import VERSION_HEADER
from langplug.serve.answering import answer, answers, fit
from langplug.serve.deltas import Ending
from langplug.serve.errors import ApiError, api_error_of
from langplug.serve.gate import INFLATED, Gate
from langplug.serve.json_text import dump, load
from langplug.serve.metrics import CONTENT_TYPE, LEFT, Metrics, Watch, merged
from langplug.serve.openapi import PATH as OPENAPI
from langplug.serve.openapi import document
from langplug.serve.playground import Page, playground
from langplug.serve.queue import Queue
from langplug.serve.served import LOADING_S, Catalog
from langplug.serve.streams import Outlet, Stream
from langplug.serve.wires import WIRES
from langplug.serve.wires.chat import WIRE as CHAT
from langplug.serve.wires.messages import WIRE as MESSAGES
from langplug.serve.wires.messages import model_body, models_body
from langplug.serve.wires.wire import Wire

log = logging.getLogger("langplug.serve")

_READY: Final = "/health/ready"

OPEN: Final = frozenset({"/health/live", _READY})
"""The paths that anybody may ask, under any name. Static pages, which know no secret, need no key either."""

_MOST_INFLATED: Final = 1024 * 1024
"""Bytes that are made of a compressed body at once: it may say very much in a few."""

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


def headers_of(sent: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by their names in lower case. Two of one name are one with both values, as HTTP has it."""
    headers: dict[str, str] = {}
    for name, value in sent:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


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
        write_timeout: Seconds after which a client that takes nothing of its stream, or sends nothing of its body, is
            given up; None for never.
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
        headers |= self.gate.sharing(request.headers)
        preflight = self.gate.preflight(request.method, request.headers)
        wire = next((wire for wire in self.wires if request.path in wire.paths), None)
        name = f"{request_id}: {request.method} {request.path!r}"
        watch = self.metrics.watch("none" if wire is None else wire.name, name)
        try:
            self._admit(request, is_open=request.path in self.pages or preflight is not None)
            if preflight is not None:
                watch.end(204)
                return Reply(204, headers | preflight, b"")
            self._check_route(request)
            if wire is not None:
                return await self._ask(wire, request, headers, watch, open_stream)
            reply = await self._tell(request, headers)
            watch.end(reply.status)
        except asyncio.CancelledError:
            watch.end(LEFT)
            raise
        except Exception as error:  # noqa: BLE001 - it is told, and logged
            told = api_error_of(error)
            watch.end(told.status)
            self._log(error, told, name)
            speaks = wire or (MESSAGES if VERSION_HEADER in request.headers else CHAT)
            return _json(told.status, speaks.error(told, request_id), headers | self._headers_of(told, request))
        else:
            return reply

    @staticmethod
    def _log(error: Exception, told: ApiError, name: str) -> None:
        """Say what a client is not told of the request that is called `name`."""
        if told.status >= 500 and told is not error:  # else the server itself has said it
            log.warning("%s", name, exc_info=error)
        elif told.message != str(error):  # what only the model's author can mend
            log.warning("%s: %s", name, error)

    def _headers_of(self, told: ApiError, request: Request) -> dict[str, str]:
        headers = {}
        if told.retry_after is not None:
            headers["retry-after"] = str(max(1, round(told.retry_after)))
        if told.is_final:  # both SDKs read it
            headers["x-should-retry"] = "false"
        if told.status == 405:
            headers["allow"] = self.routes[_route_of(request.path)]
        return headers

    def _admit(self, request: Request, *, is_open: bool) -> None:
        if request.path not in OPEN:  # probes and balancers ask that by an address, and learn nothing else
            self.gate.check(request.headers, is_open=is_open)

    def _check_route(self, request: Request) -> None:
        route = _route_of(request.path)
        method = self.routes.get(route)
        if method is None:
            hint = did_you_mean(request.path[:200], self.routes)
            said = f"There is nothing at {request.path!r:.200}.{hint}"
            raise ApiError(404, "invalid_request_error", said, code="not_found")
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
        if path == _READY and self.catalog.is_loading:
            return _json(503, {"status": "loading"}, headers | {"retry-after": str(LOADING_S)})
        if path in OPEN:
            return _json(200, {"status": "ok"}, headers)
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
                named, first = ", ".join(call.notes), call.notes[0].partition(" ")[0]
                raise ApiError(400, "invalid_request_error", f"Not used here: {named:.500}.", first)
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
        turn = self.queue.turn(served.line_of(call)) if is_one else nullcontext()  # of several, each has its own
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
        is_compressed = request.headers.get("content-encoding", "").strip().lower() in INFLATED
        patience_s = self.write_timeout
        try:
            async with asyncio.timeout(patience_s) as limit:
                async for piece in inflated(request.body) if is_compressed else request.body:
                    size += len(piece)
                    self.gate.check_size(size)
                    pieces.append(piece)
                    if patience_s is not None:
                        limit.reschedule(asyncio.get_running_loop().time() + patience_s)
        except ApiError:
            raise
        except TimeoutError as error:
            said = f"Nothing has come of the body for {patience_s:g} s."
            raise ApiError(408, "invalid_request_error", said, code="timeout") from error
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


def _route_of(path: str) -> str:
    return f"{_MODELS}/{{id}}" if path.startswith(f"{_MODELS}/") else path


async def inflated(body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """A body that is compressed by gzip or deflate, piece by piece.

    Raises:
        zlib.error: If it is not, or not as a whole.
    """
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # it finds out which
    async for piece in body:
        while piece and not inflate.eof:
            yield inflate.decompress(piece, _MOST_INFLATED)
            piece = inflate.unconsumed_tail  # noqa: PLW2901 - what is left of it
    yield inflate.flush()
    if not inflate.eof:
        raise zlib.error("the end is missing")


def _json(status: int, body: dict[str, Any], headers: dict[str, str]) -> Reply:
    data = dump(body)
    return Reply(status, {**headers, "content-type": "application/json", "content-length": str(len(data))}, data)
