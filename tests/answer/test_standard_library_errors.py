"""Limits and connections of the standard library, and groups of exceptions, are read like any client's errors."""

import asyncio
import concurrent.futures
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from pydantic import Field
from tests.paths import PATHS, Path

from langplug import ChatModel, IncompleteAnswerError, Request
from langplug.http import error_of_exception


@pytest.fixture(params=list(PATHS))
def call(request: pytest.FixtureRequest) -> Path:
    return PATHS[request.param]


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# --- limits ---


async def by_wait_for() -> None:
    await asyncio.wait_for(asyncio.sleep(9), 0.01)


async def by_timeout() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(9)


async def by_timeout_at() -> None:
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + 0.01):
        await asyncio.sleep(9)


async def by_anyio() -> None:
    with anyio.fail_after(0.01):
        await anyio.sleep(9)


async def by_task_group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(by_timeout())


def by_socket() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname(), timeout=0.01) as silent:
            silent.recv(1)


def by_future() -> None:
    concurrent.futures.Future[None]().result(timeout=0.01)


def by_program() -> None:
    subprocess.run([sys.executable, "-c", "import time; time.sleep(9)"], timeout=0.01, check=False)


# --- connections ---


async def to_closed_port() -> None:
    await asyncio.open_connection("127.0.0.1", closed_port())


async def to_all_addresses() -> None:
    await asyncio.open_connection("localhost", closed_port())


async def to_nobody() -> None:
    await asyncio.open_connection("host.invalid", 80)


async def cut_off() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            await reader.readexactly(5)
        finally:
            writer.close()


def by_create_connection() -> None:
    socket.create_connection(("127.0.0.1", closed_port()))


def by_connect() -> None:
    with socket.socket() as mine:
        mine.connect(("127.0.0.1", closed_port()))


def to_nobody_sync() -> None:
    socket.create_connection(("host.invalid", 80))


async def two_fail() -> None:
    async with httpx.AsyncClient() as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(client.get(f"http://127.0.0.1:{closed_port()}"))
        tasks.create_task(client.get(f"http://127.0.0.1:{closed_port()}"))


TIMEOUTS: list[Callable[[], Any]] = [
    by_wait_for, by_timeout, by_timeout_at, by_anyio, by_task_group, by_socket, by_future, by_program
]  # fmt: skip
CONNECTIONS: list[Callable[[], Any]] = [
    to_closed_port, to_all_addresses, to_nobody, cut_off, by_create_connection, by_connect, to_nobody_sync, two_fail
]  # fmt: skip


class ChatVia(ChatModel):
    """Asks by what it is given."""

    way: Callable[[], Any]
    asked: list[int] = Field(default_factory=list)

    async def respond(self, request: Request, /) -> str:
        """Ask."""
        self.asked.append(1)
        if isinstance(found := self.way(), Awaitable):
            await found
        return "never"


@pytest.mark.parametrize("way", [*TIMEOUTS, *CONNECTIONS])
def test_a_limit_or_connection_of_the_standard_library(call: Path, way: Callable[[], Any]) -> None:
    """A timeout of any kind is a `ModelTimeoutError`, no connection a `ModelConnectionError`; both are tried again."""
    expected = ModelTimeoutError if way in TIMEOUTS else ModelConnectionError
    model = ChatVia(way=way, max_retries=1)
    with pytest.raises(expected) as caught:
        call(model, "x")
    assert caught.value.is_retryable
    assert caught.value.__cause__ is not None
    assert not isinstance(caught.value.__cause__, ModelError)
    assert 2 == len(model.asked)


def test_a_limit_in_the_middle_of_an_answer() -> None:
    """What had come is `partial`, and nothing is tried again."""

    class ChatSlow(ChatModel):
        """Falls silent."""

        async def respond(self, request: Request, /) -> AsyncIterator[str]:
            yield "one"
            await by_timeout()

    with pytest.raises(ModelTimeoutError) as caught:
        ChatSlow(max_retries=3).invoke("x")
    assert "one" == vars(caught.value)["partial"].text


class ChatBroken(ChatModel):
    """Loses its connection."""

    def respond(self, request: Request, /) -> Iterator[str]:
        """Begin."""
        yield "one"
        by_connect()


def test_a_connection_in_the_middle_of_an_answer() -> None:
    """A connection that fails after the first part leaves an incomplete answer."""
    with pytest.raises(IncompleteAnswerError) as caught:
        ChatBroken().invoke("x")
    assert caught.value.partial is not None


# --- groups ---


def limited(wait_s: float) -> ModelRateLimitError:
    error = ModelRateLimitError(f"in {wait_s:g}")
    vars(error)["retry_after"] = wait_s
    return error


GROUPS: dict[str, tuple[list[Exception], type[ModelError], str]] = {
    "one": ([ModelRateLimitError("a")], ModelRateLimitError, "a"),
    "several": ([ModelRateLimitError("a"), ModelConnectionError("b")], ModelRateLimitError, "a"),
    "mixed with a client's": ([httpx.ConnectError("a"), ModelRateLimitError("b")], ModelConnectionError, "a"),
    "one that stays": ([ModelRateLimitError("a"), ModelAuthenticationError("b")], ModelAuthenticationError, "b"),
    "the longest wait": ([limited(0.01), limited(0.02)], ModelRateLimitError, "in 0.02"),
    "nested": ([ExceptionGroup("", [httpx.ReadTimeout("a")]), ModelTimeoutError("b")], ModelTimeoutError, "a"),
}


@pytest.mark.parametrize("case", GROUPS)
def test_a_group_of_requests_that_failed(call: Path, case: str) -> None:
    """It is the error that no retry cures, or that asks for the longest wait, or the first; and it is tried again."""
    within, expected, words = GROUPS[case]
    group = ExceptionGroup("group", within)

    def fail() -> None:
        raise group

    model = ChatVia(way=fail, max_retries=1)
    with pytest.raises(expected, match=words) as caught:
        call(model, "x")
    assert caught.value.__cause__ is group
    assert (2 if caught.value.is_retryable else 1) == len(model.asked)
    assert all(one.__cause__ is None for one in within)


def test_a_nested_model_in_a_task_group() -> None:
    """The error of a model that another asks in a task keeps its own cause, below the group."""

    async def ask() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ChatVia(way=to_closed_port).ainvoke("x"))

    with pytest.raises(ModelConnectionError) as caught:
        ChatVia(way=ask).invoke("x")
    group = caught.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert isinstance(group.exceptions[0].__cause__, ConnectionRefusedError)


def with_mine() -> ExceptionGroup:
    return ExceptionGroup("mine", [ModelRateLimitError("a"), LookupError("mine")])


def raising(error: Exception) -> Callable[[], None]:
    def mine() -> None:
        raise error

    return mine


async def set_on_a_future() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(TimeoutError("mine"))
    await future


def set_on_a_threads_future() -> None:
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.set_exception(TimeoutError("mine"))
    future.result()


async def in_a_thread() -> None:
    await asyncio.to_thread(raising(TimeoutError("mine")))


async def limited_but_mine() -> None:
    async with asyncio.timeout(9):
        await asyncio.sleep(0)
        raise ConnectionError("mine")


MINE = [
    raising(with_mine()), raising(TimeoutError("mine")), raising(ConnectionRefusedError("mine")), set_on_a_future,
    set_on_a_threads_future, in_a_thread, limited_but_mine, raising(ExceptionGroup("mine", [TimeoutError("mine")])),
    raising(FileNotFoundError(2, "mine")), raising(PermissionError(13, "mine")),
]  # fmt: skip


@pytest.mark.parametrize("way", MINE, ids=range(len(MINE)))
def test_an_authors_own_stays(call: Path, way: Callable[[], Any]) -> None:
    """What the author's code raises itself stays what it is, though it runs below the standard library's."""
    model = ChatVia(way=way, max_retries=1)
    with pytest.raises(Exception, match="mine") as caught:
        call(model, "x")
    assert not isinstance(caught.value, ModelError)
    assert 1 == len(model.asked)


def test_error_of_exception_reads_them_too() -> None:
    """An author who catches one gets the same error."""
    with pytest.raises(urllib.error.URLError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{closed_port()}")
    assert type(error_of_exception(caught.value)) is ModelConnectionError
    with pytest.raises(ConnectionRefusedError) as refused:
        by_connect()
    assert type(error_of_exception(refused.value)) is ModelConnectionError
    assert type(error_of_exception(ExceptionGroup("", [refused.value, refused.value]))) is ModelConnectionError
