"""Servers that are wrong in one way each: langplug's own, with one thing changed on its way in or out."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import ClientConnectionResetError, web

from langplug.serve.exchange import Exchange, Request


@dataclass(frozen=True)
class Reply:
    """What is sent back: all of it, or a stream's pieces after the first. Closing these stops the model."""

    status: int
    headers: dict[str, str]
    body: bytes | AsyncGenerator[bytes]
    opening: bytes = b""


Handle = Callable[[Request], Awaitable[Reply]]
Edit = Callable[[Handle, Request], Awaitable[Reply]]
"""What is done in the place of handling a request."""

CHAT = "/v1/chat/completions"
Body = dict[str, Any]


@dataclass(frozen=True)
class WrongServer:
    """A server of aiohttp's that answers as the right one does, after the edit."""

    right: Exchange
    edit: Edit

    def runner(self) -> web.AppRunner:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        return web.AppRunner(application, handler_cancellation=True, access_log=None)

    async def _answer(self, asked: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in asked.headers.items()}
        request = Request(asked.method, asked.path, headers, asked.content.iter_any())
        reply = await self.edit(lambda one: reply_of(self.right, one), request)
        if isinstance(reply.body, bytes):
            return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        async with aclosing(reply.body) as pieces:
            try:
                await response.prepare(asked)
                await response.write(reply.opening)
                async for piece in pieces:
                    await response.write(piece)
            except ClientConnectionResetError:  # the client has left, and the cancellation is on its way
                pass
        return response


async def reply_of(exchange: Exchange, request: Request) -> Reply:
    """The right server's reply, streams as pieces that can be edited."""
    opened: asyncio.Future[tuple[dict[str, str], bytes]] = asyncio.get_running_loop().create_future()
    outlet = Pieces()

    async def open_stream(headers: dict[str, str], first: bytes) -> Pieces:
        opened.set_result((headers, first))
        return outlet

    async def told(task: asyncio.Task[Any]) -> AsyncGenerator[bytes]:
        try:
            while (piece := await outlet.written.get()) is not None:
                yield piece
            task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    task = asyncio.ensure_future(exchange.handle(request, open_stream))
    task.add_done_callback(lambda _: outlet.written.put_nowait(None))
    either: set[asyncio.Future[Any]] = {task, opened}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    if opened.done():
        headers, first = opened.result()
        return Reply(200, headers, told(task), first)
    whole = task.result()
    assert whole is not None
    return Reply(whole.status, whole.headers, whole.body)


class Pieces:
    """Where a stream is written; what is written can be taken."""

    has_room = True

    def __init__(self) -> None:
        self.written: asyncio.Queue[bytes | None] = asyncio.Queue()

    def write(self, data: bytes, /) -> None:
        self.written.put_nowait(data)

    async def drain(self) -> None:
        await asyncio.sleep(0)


async def in_pieces(*pieces: bytes) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


def of_json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    data = json.dumps(body).encode()
    return Reply(
        status, {"content-type": "application/json", **(headers or {}), "content-length": str(len(data))}, data
    )


async def whole_of(reply: Reply) -> bytes:
    if isinstance(reply.body, bytes):
        return reply.body
    return reply.opening + b"".join([piece async for piece in reply.body])


# --- the ways to be wrong ---


def whole(change: Callable[[Body], Any], path: str = CHAT) -> Edit:
    """Whole answers are changed."""

    async def edit(handle: Handle, request: Request) -> Reply:
        reply = await handle(request)
        if reply.status != 200 or not request.path.startswith(path) or not isinstance(reply.body, bytes):
            return reply
        body = json.loads(reply.body)
        change(body)
        return of_json(200, body, reply.headers)

    return edit


def choice(change: Callable[[Body], Any]) -> Edit:
    """The choices of whole answers are changed."""
    return whole(lambda body: [change(one) for one in body["choices"]])


def events(change: Callable[[list[str]], list[str]]) -> Edit:
    """The events of streams are changed."""

    async def edit(handle: Handle, request: Request) -> Reply:
        reply = await handle(request)
        if isinstance(reply.body, bytes):
            return reply
        text = (await whole_of(reply)).decode()
        told = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
        return replace(reply, opening=b": edited\n\n", body=in_pieces(*map(framed, change(told))))

    return edit


def framed(event: str) -> bytes:
    return f"data: {event}\n\n".encode()


def chunks(change: Callable[[Body, int], Any]) -> Edit:
    """Each chunk of a stream is changed, given its number."""

    def edit_all(told: list[str]) -> list[str]:
        edited = []
        for number, event in enumerate(told[:-1]):
            chunk = json.loads(event)
            change(chunk, number)
            edited.append(json.dumps(chunk))
        return [*edited, told[-1]]

    return events(edit_all)


def deltas(change: Callable[[Body], Any]) -> Edit:
    """Each choice in the chunks of a stream is changed."""
    return chunks(lambda chunk, _: [change(one) for one in chunk["choices"]])


def asks(change: Callable[[Body], Any]) -> Edit:
    """Bodies are changed before they are read."""

    async def edit(handle: Handle, request: Request) -> Reply:
        data = b"".join([piece async for piece in request.body])
        try:
            body = json.loads(data)
            change(body)
            data = json.dumps(body).encode()
        except (ValueError, TypeError, AttributeError, KeyError, LookupError):
            pass  # no body that could be changed
        headers = {**request.headers, "content-length": str(len(data))}
        return await handle(replace(request, body=in_pieces(data), headers=headers))

    return edit


def refuses(when: Callable[[Body], Any], status: int = 500) -> Edit:
    """Bodies of some kind are answered with a status."""

    async def edit(handle: Handle, request: Request) -> Reply:
        data = b"".join([piece async for piece in request.body])
        try:
            strikes = bool(when(json.loads(data)))
        except (ValueError, TypeError, AttributeError, LookupError):
            strikes = False
        if strikes:
            return of_json(status, {"error": {"message": "no", "type": "x", "param": None, "code": None}})
        return await handle(replace(request, body=in_pieces(data)))

    return edit


def status(change: Mapping[int, int], path: str = "/") -> Edit:
    """Some statuses become others."""

    async def edit(handle: Handle, request: Request) -> Reply:
        reply = await handle(request)
        is_meant = request.path.startswith(path)
        return replace(reply, status=change.get(reply.status, reply.status)) if is_meant else reply

    return edit


def headers(**change: str) -> Edit:
    """Headers of answers are set, or taken away where empty."""

    async def edit(handle: Handle, request: Request) -> Reply:
        reply = await handle(request)
        changed = reply.headers | {name.replace("_", "-"): value for name, value in change.items()}
        return replace(reply, headers={name: value for name, value in changed.items() if value})

    return edit


def errors(change: Callable[[Body], Any]) -> Edit:
    """The objects `error` are changed."""

    async def edit(handle: Handle, request: Request) -> Reply:
        reply = await handle(request)
        if reply.status < 400 or not isinstance(reply.body, bytes):
            return reply
        body = json.loads(reply.body)
        change(body["error"])
        return of_json(reply.status, body, reply.headers)

    return edit


def shown(**given: str) -> Edit:
    """Requests come with other headers than they were sent with."""

    async def edit(handle: Handle, request: Request) -> Reply:
        changed = {**request.headers, **{name.replace("_", "-"): value for name, value in given.items()}}
        return await handle(replace(request, headers={name: value for name, value in changed.items() if value}))

    return edit


async def goes_on(handle: Handle, request: Request) -> Reply:
    """Whoever leaves does not stop the model: the answer is made by a task of its own."""
    task = asyncio.ensure_future(handle(request))
    RUNNING.add(task)
    reply = await asyncio.shield(task)
    if isinstance(reply.body, bytes):
        return reply
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def pump(body: AsyncGenerator[bytes]) -> None:
        async for piece in body:
            pieces.put_nowait(piece)
        pieces.put_nowait(None)

    async def told() -> AsyncGenerator[bytes]:
        while (piece := await pieces.get()) is not None:
            yield piece

    RUNNING.add(asyncio.ensure_future(pump(reply.body)))
    return replace(reply, body=told())


RUNNING: set[asyncio.Future[Any]] = set()
"""Kept from the garbage collector."""


def breaks_when_left() -> Edit:
    """The first connection that breaks ends it: from then on every answer is a 500."""
    broken: list[bool] = []

    async def handle_until_broken(handle: Handle, request: Request) -> Reply:
        if broken:
            return of_json(500, {"error": "broken"})
        try:
            reply = await handle(request)
        except BaseException:
            broken.append(True)
            raise
        if isinstance(reply.body, bytes):
            return reply
        return replace(reply, body=_watched(reply.body, broken))

    return handle_until_broken


async def _watched(body: AsyncGenerator[bytes], broken: list[bool]) -> AsyncGenerator[bytes]:
    try:
        async for piece in body:
            yield piece
    except (GeneratorExit, asyncio.CancelledError):
        broken.append(True)
        raise


def tells_the_rest() -> Edit:
    """Who asks behind a stream that was asked for, streamed itself or not, is told that one's words."""
    streams: list[bool] = []

    async def edit(handle: Handle, request: Request) -> Reply:
        reply = await handle(request)
        if request.method != "POST" or reply.status != 200:
            return reply
        if not isinstance(reply.body, bytes):
            streams.append(True)
            return reply
        body = json.loads(reply.body)
        if streams:
            streams.clear()
            body["choices"][0]["message"]["content"] = "... of the other one's secret"
        return of_json(200, body)

    return edit
