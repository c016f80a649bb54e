"""Proxies, TLS, redirects, sessions of one's own, and the connections that are kept."""

import asyncio
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import aiohttp
import pytest
from langchain_core.exceptions import ModelConnectionError, ModelInvalidRequestError
from tests.models.endpoint.certificates import server_context
from tests.models.endpoint.conftest import MakeEndpoint
from tests.models.endpoint.relays import Proxy, Relay, To
from tests.models.endpoint.test_credentials import KEY, everything_of
from tests.paths import Path

from langplug_backend import Backend, Fault, Reply

# --- proxies ---


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy that lets everybody in."""
    with Proxy() as proxy:
        yield proxy


def test_a_proxy_is_asked(backend: Backend, make: MakeEndpoint, call: Path, proxy: Proxy) -> None:
    """Requests go by the proxy that is given."""
    assert "x" == call(make(proxy=f"http://127.0.0.1:{proxy.port}"), "x").text
    assert [f"POST {backend.openai_url}/chat/completions"] == proxy.asked


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.usefixtures("backend")
def test_a_proxy_of_the_environment_is_asked(
    make: MakeEndpoint, call: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without one, the environment's is; and not for hosts that `NO_PROXY` names."""
    monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert "x" == call(make(), "x").text
    assert 1 == len(proxy.asked)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert "x" == call(make(), "x").text
    assert 1 == len(proxy.asked)


def test_a_proxy_may_ask_for_a_password(
    backend: Backend, make: MakeEndpoint, call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and password of the environment's proxy are sent to it alone."""
    with Proxy(user=f"ann:{KEY}") as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://ann:{KEY}@127.0.0.1:{proxy.port}")
        assert "x" == call(make(), "x").text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxys_password_shows_nowhere(
    make: MakeEndpoint, call: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """When a proxy refuses, the error does not hold the password that the environment has for it."""
    with Proxy(user="another") as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://ann:{KEY}@127.0.0.1:{proxy.port}")
        with pytest.raises(Exception, match=r"407|Proxy Authentication") as caught:
            call(make(base_url=f"{scheme}://127.0.0.1:1/v1"), "x")
    assert 1 == len(proxy.asked)
    assert KEY not in everything_of(caught.value)


def test_a_proxy_that_is_not_there(make: MakeEndpoint, call: Path, closed_port: int) -> None:
    """A proxy that does not listen is a `ModelConnectionError` that names it."""
    with pytest.raises(ModelConnectionError, match=str(closed_port)):
        call(make(proxy=f"http://127.0.0.1:{closed_port}"), "x")


# --- TLS ---


def test_a_certificate_is_checked(backend: Backend, make: MakeEndpoint, call: Path, certificates: File) -> None:
    """A server of an unknown authority is refused, unless `verify` names that, or is False."""
    with To(backend.port, server_context(certificates)) as relay:
        url = f"https://127.0.0.1:{relay.port}/v1"
        with pytest.raises(ModelConnectionError, match=r"(?i)certificate.*`verify`") as caught:
            call(make(base_url=url), "x")
        assert not caught.value.is_retryable
        assert [] == backend.requests
        assert "x" == call(make(base_url=url, verify=str(certificates / "ca.pem")), "x").text
        assert "x" == call(make(base_url=url, verify=False), "x").text
        with pytest.raises(ModelConnectionError, match=r"(?i)certificate|hostname|mismatch"):
            call(make(base_url=f"https://localhost:{relay.port}/v1", verify=str(certificates / "ca.pem")), "x")


@pytest.mark.parametrize("form", ["one file", "two files"])
def test_a_client_may_have_a_certificate(
    backend: Backend, make: MakeEndpoint, call: Path, certificates: File, form: str
) -> None:
    """`client_cert`, as one file or two, is shown to a server that wants it."""
    files: Any = str(certificates / "both.pem")
    if form == "two files":
        files = (str(certificates / "client.pem"), str(certificates / "client.key"))
    with To(backend.port, server_context(certificates, wants_client=True)) as relay:
        settings: dict[str, Any] = {
            "base_url": f"https://127.0.0.1:{relay.port}/v1",
            "verify": str(certificates / "ca.pem"),
        }
        with pytest.raises(ModelConnectionError):
            call(make(**settings), "x")
        assert "x" == call(make(**settings, client_cert=files), "x").text


def test_tls_through_a_proxy(
    backend: Backend, make: MakeEndpoint, call: Path, certificates: File, proxy: Proxy
) -> None:
    """An address with TLS goes by `CONNECT`, so that the proxy sees neither key nor prompt."""
    with To(backend.port, server_context(certificates)) as relay:
        model = make(
            base_url=f"https://127.0.0.1:{relay.port}/v1",
            verify=str(certificates / "ca.pem"),
            proxy=f"http://127.0.0.1:{proxy.port}",
        )
        assert "x" == call(model, "x").text
    assert [f"CONNECT 127.0.0.1:{relay.port}"] == proxy.asked


def test_a_stream_that_is_left_is_closed_under_tls(backend: Backend, make: MakeEndpoint, certificates: File) -> None:
    """Leaving a stream closes the connection at once under TLS as well."""
    backend.reply = Reply(pieces=("word ",) * 2000, pace=0.01)
    with To(backend.port, server_context(certificates)) as relay:
        stream = make(base_url=f"https://127.0.0.1:{relay.port}/v1", verify=False).stream("x")
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert backend.all_ended(5)
    assert "client_gone" == backend.last.outcome


def test_certificates_that_are_not_there(make: MakeEndpoint, call: Path, tmp_path: File) -> None:
    """A file of certificates that is not there is an error that tells so."""
    with pytest.raises(OSError, match="No such file"):
        call(make(base_url="https://127.0.0.1:1/v1", verify=str(tmp_path / "ca.pem")), "x")


# --- redirects ---


class Elsewhere(Relay):
    """Sends everybody to another address."""

    def __init__(self, status: int, target: str) -> None:
        super().__init__()
        self._head = f"HTTP/1.1 {status} -\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._head)
        await reader.read()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(backend: Backend, make: MakeEndpoint, call: Path, status: int) -> None:
    """A redirect is an error that names the address, and neither prompt nor key goes there."""
    said = rf"redirects to .*{backend.port}.*base_url"
    with (
        Elsewhere(status, f"{backend.openai_url}/chat/completions") as server,
        pytest.raises(ModelInvalidRequestError, match=said),
    ):
        call(make(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY), "x")
    assert [] == backend.requests


# --- a session of one's own ---


async def test_a_session_of_ones_own(backend: Backend, make: MakeEndpoint) -> None:
    """A session that is given is used, with its headers, and is not closed."""
    async with aiohttp.ClientSession(headers={"X-Mine": "yes"}) as session:
        model = make(session=session)
        assert "x" == (await model.ainvoke("x")).text
        assert "yes" == backend.last.headers["x-mine"]
        await model.aclose()
        assert not session.closed


def test_a_session_of_another_loop(backend: Backend, make: MakeEndpoint) -> None:
    """A session is of one loop: elsewhere, and when it is closed, the error says to pass a function that makes one."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            model = make(session=session)
            with pytest.raises(ModelInvalidRequestError, match=r"another event loop.*function"):
                await asyncio.to_thread(model.invoke, "x")
        with pytest.raises(ModelInvalidRequestError, match="closed"):
            await make(session=session).ainvoke("x")

    asyncio.run(main())
    assert [] == backend.requests


def test_a_function_makes_the_session(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A function is called once for each loop, and what it makes is closed with the model."""
    made: list[aiohttp.ClientSession] = []

    def new() -> aiohttp.ClientSession:
        made.append(aiohttp.ClientSession(headers={"X-Mine": "yes"}))
        return made[-1]

    model = make(session=new)
    assert [] == made
    assert "x" == call(model, "x").text
    assert "yes" == backend.last.headers["x-mine"]
    assert 1 == len(made)
    model.close()
    assert backend.all_closed()
    assert [True] == [session.closed for session in made]


# --- connections that are kept ---


def test_connections_are_kept_alive(backend: Backend, make: MakeEndpoint) -> None:
    """One call after the other takes the same connection, streamed or not, whatever the answer."""
    model = make()
    before = backend.connections_made
    for number in range(20):
        if number % 5 == 4:
            backend.queue(Fault.status(500))
            with pytest.raises(Exception, match="500"):
                model.invoke("x")
        elif number % 2:
            assert "x" == "".join(chunk.text for chunk in model.stream("x"))
        else:
            assert "x" == model.invoke("x").text
    assert 1 == backend.connections_made - before


def test_a_connection_is_kept_though_its_end_comes_late(backend: Backend, make: MakeEndpoint) -> None:
    """Where the end of the body comes behind the wire's own, it is read too, and the connection taken again."""
    backend.fault = Fault(kind="one_byte")
    model = make()
    before = backend.connections_made
    for _ in range(5):
        assert "x" == "".join(chunk.text for chunk in model.stream("x"))
    assert 1 == backend.connections_made - before


async def test_async_connections_are_kept_alive(backend: Backend, make: MakeEndpoint) -> None:
    """The same on a loop of one's own; ten at a time take ten."""
    model = make()
    before = backend.connections_made
    backend.reply = Reply(text="x", first=0.02)
    for _ in range(5):
        await asyncio.gather(*(model.ainvoke("x") for _ in range(10)))
    assert 10 == backend.connections_made - before
    await model.aclose()
    assert await asyncio.to_thread(backend.all_closed)


async def test_connections_are_limited(backend: Backend, make: MakeEndpoint) -> None:
    """No more than `max_connections` are open at once; what waits for one is not lost."""
    model = make(max_connections=3)
    before = backend.connections_made
    backend.reply = Reply(text="x", first=0.01)
    answers = await asyncio.gather(*(model.ainvoke("x") for _ in range(20)))
    assert 20 == len(answers)
    assert backend.connections_made - before <= 3
    await model.aclose()


def test_close_closes_the_connections(backend: Backend, make: MakeEndpoint) -> None:
    """`close` closes what is open, and the model can be used after."""
    model = make()
    model.invoke("x")
    model.close()
    assert backend.all_closed()
    assert "x" == model.invoke("x").text


def test_copies_share_connections(backend: Backend, make: MakeEndpoint) -> None:
    """Parameters of a call, `bind` and copies with other settings use the same connections."""
    model = make()
    before = backend.connections_made
    for one in (model, model.bind(temperature=0), model.model_copy(update={"temperature": 1.0})):
        one.invoke("x")
        one.invoke("x", seed=1)
    assert 1 == backend.connections_made - before


# --- connections that the server closes ---

COMPLETION = b'{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(COMPLETION),
    COMPLETION,
)


class Closing(Relay):
    """Answers a connection's first request, and closes it, sooner or later, without having announced it.

    Args:
        after_s: Seconds that the next request of the connection is worked on, before it is closed; None to close it
            right after the answer.
        said: What is said to that request before.
        news: How many connections answer their first request; the others treat it as a next one.
    """

    def __init__(self, after_s: float | None, said: bytes = b"", news: int = 1000) -> None:
        super().__init__()
        self._after_s = after_s
        self._said = said
        self._news = news
        self.connections = 0
        self.requests = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.connections <= self._news:
            await self.take(reader)
            writer.write(ANSWER)
        if self._after_s is not None:
            await self.take(reader)
            await asyncio.sleep(self._after_s)
            writer.write(self._said)

    async def take(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        self.requests += 1


async def test_a_server_may_close_after_each_answer(make: MakeEndpoint) -> None:
    """A kept connection that the server has closed without a word is not used: each request is sent once."""
    with Closing(after_s=None) as server:
        model = make(base_url=f"http://127.0.0.1:{server.port}/v1")
        for _ in range(10):
            assert "x" == (await model.ainvoke("x")).text
            await asyncio.sleep(0.05)
        assert (10, 10) == (server.requests, server.connections)


@pytest.mark.parametrize("kept", [1, 3])
async def test_a_request_that_meets_the_end_of_its_connection_is_sent_once_more(make: MakeEndpoint, kept: int) -> None:
    """Where a kept connection ends at once, with nothing of an answer, the request goes over a new one."""
    with Closing(after_s=0) as server:
        model = make(base_url=f"http://127.0.0.1:{server.port}/v1")
        await asyncio.gather(*(model.ainvoke("x") for _ in range(kept)))
        assert (kept, kept) == (server.requests, server.connections)
        assert "x" == (await model.ainvoke("x")).text
        assert (kept + 2, kept + 1) == (server.requests, server.connections)


async def test_a_request_that_kills_its_server_is_sent_once(make: MakeEndpoint) -> None:
    """However many connections are kept, a request whose server gives up after a while is sent once."""
    with Closing(after_s=0.5) as server:
        model = make(base_url=f"http://127.0.0.1:{server.port}/v1")
        await asyncio.gather(*(model.ainvoke("x") for _ in range(12)))
        with pytest.raises(ModelConnectionError):
            await model.ainvoke("x")
        assert (13, 12) == (server.requests, server.connections)


async def test_a_request_is_sent_no_third_time(make: MakeEndpoint) -> None:
    """If the new connection ends as well, that is an error, which only `max_retries` may try again."""
    with Closing(after_s=0, news=1) as server:
        model = make(base_url=f"http://127.0.0.1:{server.port}/v1")
        await model.ainvoke("x")
        with pytest.raises(ModelConnectionError):
            await model.ainvoke("x")
        assert (3, 2) == (server.requests, server.connections)


@pytest.mark.parametrize(
    ("after_s", "said"), [(0.5, b""), (0.0, b"HTTP/1.1 200 OK\r\nContent-Type: app")], ids=["at work", "half a head"]
)
async def test_a_request_that_was_taken_up_is_not_sent_again(make: MakeEndpoint, after_s: float, said: bytes) -> None:
    """A request whose connection ends after a while, or within an answer, may be billed: it is not sent unasked."""
    with Closing(after_s=after_s, said=said) as server:
        model = make(base_url=f"http://127.0.0.1:{server.port}/v1")
        await model.ainvoke("x")
        with pytest.raises(ModelConnectionError):
            await model.ainvoke("x")
        assert 2 == server.requests
