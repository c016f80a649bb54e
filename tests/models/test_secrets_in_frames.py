"""No variable of a frame shows a key: error trackers, `rich.traceback` and `pytest -l` show them all."""

import asyncio
import base64
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

import pytest
from pydantic import Field, SecretStr
from tests.frames import leaks, printed
from tests.paths import PATHS, Path

from langplug import ChatModel, Request, env
from langplug.models import ChatCommand, ChatEndpoint, ChatHTTP

KEY = "sk-PLANTED-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ"
"""Longer than what `rich` shows of a text: it cuts, which takes a text out of what hides it."""


class Repeater:
    """A server that repeats all that it is asked, in an answer of one kind."""

    def __init__(self, kind: str) -> None:
        self.received = b""
        self._kind = kind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        asked = connection.recv(65536)
        head, _, body = asked.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        self.received = said = head + b"\r\n\r\n" + body
        text = said.replace(b"\r\n", b" ").replace(b'"', b"'")
        status, kind, lines, answer = {
            "401": (401, "application/json", b"", b'{"error": {"message": "Who is this? %s"}}' % text),
            "500": (500, "text/plain", b"", b"I failed at " + text),
            "redirect": (307, "text/plain", b"Location: http://h/?asked=" + text.replace(b" ", b"+") + b"\r\n", b""),
            "malformed": (200, "application/json", b"", b'{"choices": [ %s' % text),
            "error": (200, "application/json", b"", b'{"error": {"message": "no: %s", "code": 401}}' % text),
            "event": (200, "text/event-stream", b"", b'data: {"error": {"message": "no: %s"}}\n\n' % text),
            "bad event": (200, "text/event-stream", b"", b"data: {%s\n\n" % text),
            "cut": (200, "application/json", b"Content-Length: 99999\r\n", b'{"a": "%s' % text),
            "not HTTP": (0, "", b"", said),
            "silence": (0, "", b"", b""),
        }[self._kind]
        if self._kind == "silence":
            connection.recv(1)
            return
        lead = b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Type: %s\r\n%s\r\n" % (status, kind.encode(), lines)
        connection.sendall((lead if status else b"") + answer)


KINDS = ["401", "500", "redirect", "malformed", "error", "event", "bad event", "cut", "not HTTP", "silence", "refused"]

ENDPOINT: dict[str, dict[str, Any]] = {
    "api_key": {"api_key": KEY},
    "auth": {"auth": lambda: KEY},
    "a header by its name": {"headers": {"X-Api-Key": KEY}},
    "a header as a secret": {"headers": {"X-Plain": SecretStr(KEY)}},
    "a scheme": {"headers": {"Authorization": "Basic " + base64.b64encode(f"ann:{KEY}".encode()).decode()}},
    "extra_body": {"extra_body": {"a": [{"b": SecretStr(KEY)}]}},
    "extra_body by its name": {"extra_body": {"user": {"password": KEY}}},
}

HTTP: dict[str, dict[str, Any]] = {
    "header template": {"api_key": KEY, "headers": {"X-Key": "key {api_key}"}},
    "query": {"query": {"key": SecretStr(KEY)}},
    "query by its name": {"query": {"api_key": KEY}},
    "key in the query": {"api_key": KEY, "query": {"key": "$api_key"}},
    "auth in the query": {"auth": lambda: KEY, "query": {"key": "$api_key"}},
    "body": {"body": {"prompt": "$prompt", "user": {"id": SecretStr(KEY)}}},
    "params": {"params": {"a": SecretStr(KEY)}, "body": {"prompt": "$prompt", "a": "$params.a"}},
    "form": {
        "body": {"prompt": "$prompt", "a": SecretStr(KEY)},
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    },
    "the whole body": {"body": SecretStr(KEY)},
    "field in the path": {"url": "/{door}/say", "door": KEY},
    "field in a header": {"headers": {"X-Door": "door {door}"}, "door": KEY},
    "field in the body": {"body": {"door": "$door"}, "door": KEY},
}


class ChatDoor(ChatHTTP):
    """Has a secret of its own for templates."""

    door: SecretStr | None = None


def endpoint(url: str, place: str) -> ChatModel:
    return ChatEndpoint(model="m", base_url=f"{url}/v1", max_retries=0, first_token_timeout=0.3, **ENDPOINT[place])


def described(url: str, place: str) -> ChatModel:
    base: dict[str, Any] = {"url": "/say", "text": "choices[0].text", "error": "error", "body": {"prompt": "$prompt"}}
    return ChatDoor(**{**base, "base_url": url, "max_retries": 0, "first_token_timeout": 0.3, **HTTP[place]})


PLACES: list[tuple[Callable[[str, str], ChatModel], str]] = [
    *((endpoint, place) for place in ENDPOINT),
    *((described, place) for place in HTTP),
]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGPLUG_API_KEY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def check(error: BaseException) -> None:
    assert [] == leaks(error, KEY[:20])


def failure_of(action: Callable[[], Any]) -> BaseException:
    """What `action` raises."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    pytest.fail("nothing was raised")


@contextlib.contextmanager
def serving(kind: str) -> Iterator[tuple[str, Repeater | None]]:
    if kind == "refused":
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", None
    else:
        with Repeater(kind) as server:
            yield server.url, server


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("make", "place"), PLACES)
def test_no_frame_of_a_failed_call_shows_a_key(make: Any, place: str, kind: str) -> None:
    """A secret is sent, and neither the error nor a variable shows it, although the server repeats it."""
    for path in (PATHS["invoke"], PATHS["astream"]):
        with serving(kind) as (url, server):
            model = make(url, place)
            check(failure_of(partial(path, model, "x")))
            sent = KEY if place != "a scheme" else base64.b64encode(f"ann:{KEY}".encode()).decode()
            assert server is None or sent in server.received.decode()
            model.close()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["401", "refused", "bad event"])
def test_no_path_shows_a_key(kind: str, path: str) -> None:
    """The same on each path."""
    with serving(kind) as (url, _):
        model = endpoint(url, "api_key")
        error = failure_of(lambda: PATHS[path](model, "x"))
        check(error)
        assert KEY[:20] not in printed(error)
        model.close()


@pytest.mark.parametrize("given", [{"api_key": KEY}, {"headers": {"X-Api-Key": KEY}}, {"extra_body": {"token": KEY}}])
@pytest.mark.parametrize("bound", [False, True])
def test_no_secret_of_one_call_shows(given: dict[str, Any], bound: bool, call: Path) -> None:
    """What is given for a call is hidden at once, and so is what is bound."""
    with serving("401") as (url, server):
        model = ChatEndpoint(model="m", base_url=f"{url}/v1", max_retries=0)
        with pytest.raises(Exception, match="Who is this") as caught:
            call(model.bind(**given), "x") if bound else call(model, "x", **given)
        assert server is not None
        assert KEY in server.received.decode()
        if bound or call not in (PATHS["v3"], PATHS["av3"]):  # there the frames of langchain-core come first
            check(caught.value)
        model.close()


@pytest.mark.parametrize("way", ["batch", "abatch", "served_models"])
def test_neither_batches_nor_questions_show_a_key(way: str) -> None:
    """Nor do the frames of threads and loops."""
    with serving("401") as (url, _):
        model = ChatEndpoint(model="m", base_url=f"{url}/v1", max_retries=0, api_key=KEY)
        ways: dict[str, Callable[[], Any]] = {
            "batch": lambda: model.batch(["x", "y"]),
            "abatch": lambda: asyncio.run(model.abatch(["x", "y"])),
            "served_models": model.served_models,
        }
        with pytest.raises(Exception, match="Who is this") as caught:
            ways[way]()
        check(caught.value)
        model.close()


@pytest.mark.parametrize(("make", "place"), [(endpoint, "api_key"), (described, "query"), (described, "body")])
def test_a_cancelled_call_shows_no_key(make: Any, place: str) -> None:
    """Cancelled, by the caller or by its own time limit, it leaves no frames of what writes to the socket."""

    async def cancel(model: ChatModel) -> None:
        task = asyncio.create_task(model.ainvoke("x"))
        await asyncio.sleep(0.1)
        task.cancel()
        await task

    with serving("silence") as (url, _):
        model = make(url, place).model_copy(update={"first_token_timeout": None})
        with pytest.raises(asyncio.CancelledError) as cancelled:
            asyncio.run(cancel(model))
        check(cancelled.value)
    with serving("silence") as (url, _):
        model = make(url, place).model_copy(update={"first_token_timeout": None, "timeout": 0.1})
        with pytest.raises(Exception, match="timeout") as caught:
            model.invoke("x")
        check(caught.value)
        model.close()


PROXIES = [
    "http://ann:{key}@127.0.0.1:{port}",
    "ann:{key}@127.0.0.1:{port}",
    "http://ann:{key}@[::1",
    "http://ann:{key}@127.0.0.1:99999",
    "http:ann:{key}@127.0.0.1:{port}",
    "http//ann:{key}@127.0.0.1:{port}",
]


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("kind", ["refused", "not HTTP"])
def test_no_password_of_a_proxy_shows(proxy: str, kind: str, monkeypatch: pytest.MonkeyPatch, call: Path) -> None:
    """Neither a proxy that fails nor one whose address is malformed shows its password."""
    with serving(kind) as (url, _):
        monkeypatch.setenv("HTTP_PROXY", proxy.format(key=KEY, port=url.rpartition(":")[2]))
        model = ChatEndpoint(model="m", base_url="http://example.invalid/v1", max_retries=0)
        check(failure_of(lambda: call(model, "x")))
        model.close()


@pytest.mark.parametrize("gives", [KEY.encode(), [KEY], {"key": KEY}])
def test_a_key_of_the_wrong_type_is_not_shown(gives: Any) -> None:
    """What `auth` returns may be a key although it is not a string."""
    model = ChatEndpoint(model="m", base_url="http://127.0.0.1:9/v1", auth=lambda: gives)
    with pytest.raises(TypeError, match="auth") as caught:
        model.invoke("x")
    check(caught.value)


def test_what_auth_raises_says_where_it_is_from(call: Path) -> None:
    """The error of a function that gives the key is raised as it is, and says that it comes from `auth`."""

    def vault() -> str:
        raise LookupError("the vault is shut")

    model = ChatEndpoint(model="m", base_url="http://127.0.0.1:9/v1", auth=vault)
    with pytest.raises(LookupError, match="the vault is shut") as caught:
        call(model, "x")
    assert "auth" in "".join(caught.value.__notes__)


class ChatFailing(ChatModel):
    """Has secrets of all kinds, and fails."""

    token: SecretStr = env("NO_SUCH_TOKEN")
    options: dict[str, Any] = Field(default_factory=dict)

    def respond(self, request: Request, /) -> str:
        assert self.token.get_secret_value() == KEY
        raise RuntimeError("no")


def test_no_frame_of_an_authors_model_shows_a_key(call: Path) -> None:
    """Secret fields, and secrets in other fields, are hidden from the caller down to the author's own function."""
    model = ChatFailing(token=KEY, options={"a": [SecretStr(KEY)], "password": SecretStr(KEY)})
    with pytest.raises(RuntimeError) as caught:
        call(model, "x")
    check(caught.value)


@pytest.mark.parametrize("program", ["no-such-program", "sh"])
@pytest.mark.parametrize(
    "given",
    [
        {"environment": {"MY_KEY": KEY}},
        {"environment": {"PLAIN": SecretStr(KEY)}},
        {"params": {"a": SecretStr(KEY)}},
        {"params": {"deep": {"a": SecretStr(KEY)}}, "input": "request"},
        {"params": {"a": "b", "api_key": KEY}},
        {"params": {"a": "b", "token": KEY}, "input": "request"},
        {"params": {"a": "b", "deep": {"token": KEY}}, "input": "request"},
    ],
)
def test_no_frame_of_a_command_shows_a_key(program: str, given: dict[str, Any], call: Path) -> None:
    """Neither a program that fails, and repeats what it was given, nor one that cannot be started."""
    script = 'cat >&2; echo "$0 $MY_KEY $PLAIN" >&2; exit 1'
    params = given.get("params", {})
    command = [program, "-c", script, *(f"{{{name}}}" for name in ("api_key", "token", "a") if name in params)]
    check(failure_of(lambda: call(ChatCommand(command=command, **given), "x")))
