"""`langplug.http`: what an author uses with a client of their own."""

import asyncio
import base64
import copy
import json
import pickle
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any, cast
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from pydantic import SecretStr
from tests.frames import leaks

from langplug import MissingSecretError
from langplug.http import Event, client_credentials, error_of, retry_after_of, sse
from langplug.models import ChatEndpoint, ChatHTTP
from langplug_backend import Backend

SECRET = "s3cret/MARKER+0123456789"

# --- errors ---


def message(headers: dict[str, str]) -> Message:
    """Headers as `http.client` has them."""
    found = Message()
    for name, value in headers.items():
        found[name] = value
    return found


@pytest.mark.parametrize(
    "body", [b'{"error": {"message": "too many tokens"}}', '{"error": "too many tokens"}', {"error": "too many tokens"}]
)
def test_a_response_is_an_error(body: Any) -> None:
    """The body may be bytes, text or JSON data; status, wait and request id are the error's attributes."""
    error = error_of(400, body, {"Retry-After": "3", "X-Request-Id": "r-1"})
    assert (ContextOverflowError, "HTTP 400: too many tokens") == (type(error), str(error))
    assert {"status_code": 400, "retry_after": 3.0, "request_id": "r-1"} == vars(error)
    assert type(error_of(429)) is ModelRateLimitError
    assert [3.0, None] == [retry_after_of(one) for one in (error, error_of(429))]


def test_an_integrations_error_says_how_long_to_wait() -> None:
    """By the response that it carries, where it has no `retry_after` of langplug's."""
    error: Any = ModelRateLimitError("slow down")
    error.response = httpx.Response(429, headers={"Retry-After": "7"})
    assert 7.0 == retry_after_of(error)


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "5"}, {"Retry-After": 5}, [("Retry-After", "5")], [(b"retry-after", b"5")],
        (("RETRY-AFTER", 5),),
        httpx.Headers({"Retry-After": "5"}), message({"Retry-After": "5"}), zip(["Retry-After"], ["5"], strict=True),
    ],
    ids=range(8),
)  # fmt: skip
def test_headers_as_clients_have_them(headers: Any) -> None:
    """A mapping of any kind, or pairs, of text, bytes or numbers."""
    error: Any = error_of(429, b"x", headers)
    assert (429, 5.0, None) == (error.status_code, error.retry_after, error.request_id)
    assert error.is_retryable
    assert "HTTP 429: x" == str(error_of(429, memoryview(b"x"))) == str(error_of(429, bytearray(b"x")))


# --- events ---

BLOCKS = r"""
data: a|data:b|data: c\ndata: d|event: ping\ndata: {}|: comment|id: 7\ndata: x|id: 9|id|retry: 5\ndata: é|data
event: e\nid: 8\ndata: y|other: z\ndata: q|data: 𝄞
"""
LINES = st.sampled_from([line.replace("\\n", "\n") for line in BLOCKS.strip().replace("\n", "|").split("|")])


@given(st.lists(LINES), st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 200)), st.booleans())
def test_events_do_not_depend_on_the_pieces(blocks: list[str], end: str, cuts: list[int], ended: bool) -> None:
    """However a body is cut, and sync or async, the events are those of the whole body."""
    body = "".join(block.replace("\n", end) + end * 2 for block in blocks)
    data = (body if ended else body.removesuffix(end)).encode()
    at = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:stop] for start, stop in pairwise(at)]
    expected = list(sse([data]))
    assert expected == list(sse(pieces)) == asyncio.run(read(pieces))


async def read(pieces: Iterable[bytes]) -> list[Event]:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [event async for event in sse(chunks())]


def test_events_have_names_and_ids() -> None:
    """By the standard: an event is a message unless it is named, and the last id holds until there is another."""
    body = (
        "\ufeff: hello\n\ndata: 1\n\nevent: delta\nid: a\ndata: 2\ndata: 3\n\ndata: 4\n\nid: b\n\ndata: 5\n\n"
        'id\ndata: {"x": 6}'
    )
    events = list(sse([body]))
    assert [
        Event("1"),
        Event("2\n3", "delta", "a"),
        Event("4", id="a"),
        Event("5", id="b"),
        Event('{"x": 6}'),
    ] == events
    assert {"x": 6} == events[-1].json()


def test_an_event_comes_as_soon_as_it_is_there() -> None:
    """An event is given with the piece that completes it, and no later piece is asked for."""

    def chunks() -> Iterator[bytes]:
        yield b"data: 1\n\nda"
        raise AssertionError

    assert Event("1") == next(iter(sse(chunks())))


BODY = "event: a\ndata: 1\n\ndata: 2\ndata: 3\n\n: ping\n\nid: 7\ndata: 4\n\ndata: [DONE]\n\n"
FORMS: dict[str, Callable[[], Any]] = {
    "whole": BODY.encode,
    "whole text": lambda: BODY,
    "whole, in a view": lambda: memoryview(BODY.encode()),
    "views": lambda: [memoryview(BODY.encode())[:9], memoryview(BODY.encode())[9:]],
    "bytearrays": lambda: [bytearray(BODY.encode())],
    "lines": BODY.splitlines,
    "lines of bytes": lambda: BODY.encode().splitlines(),
    "lines with their ends": lambda: BODY.splitlines(keepends=True),
    "lines of httpx": lambda: httpx.Response(200, content=BODY.encode()).iter_lines(),
    "bytes of httpx": lambda: httpx.Response(200, content=BODY.encode()).iter_bytes(5),
}


@pytest.mark.parametrize("form", FORMS)
def test_events_in_whatever_a_client_gives(form: str) -> None:
    """A whole body, any kind of bytes, or lines without their ends: the events are the same, sync and async."""
    expected = list(sse([BODY.encode()]))
    assert ["1", "2\n3", "4", "[DONE]"] == [event.data for event in expected]
    assert expected == list(sse(FORMS[form]()))
    if not isinstance(FORMS[form](), bytes | str | memoryview):
        assert expected == asyncio.run(read(FORMS[form]()))


def test_lines_that_cannot_be_read_are_an_error() -> None:
    """Without line breaks and without empty lines, nobody can say where an event ends; nothing is merged silently."""
    lines = [line for line in BODY.splitlines() if line]
    with pytest.raises(ValueError, match="lines without their ends"):
        list(sse(lines))
    with pytest.raises(TypeError, match="chunks of bytes or text, not int"):
        list(sse(cast("Any", [1])))


# --- tokens ---


class TokenServer:
    """A token server: what it is asked is in `forms` and `headers`."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[dict[str, str], dict[str, str]], tuple[int, Any]] = lambda *_: (200, self.next())
        self.expires_in: Any = 3600
        self.pause_s = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.forms.append(dict(parse_qsl(body)))
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                time.sleep(outer.pause_s)
                status, said = outer.answer(outer.forms[-1], outer.headers[-1])
                data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/oauth/token"

    def next(self) -> dict[str, Any]:
        token = {"access_token": f"tok-MARKER-{len(self.forms)}", "token_type": "Bearer"}
        return token if self.expires_in is None else {**token, "expires_in": self.expires_in}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    server = TokenServer()
    yield server
    server.close()


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


def of(server: TokenServer, **more: Any) -> Any:
    return client_credentials(server.url, "the id", SECRET, **more)


def test_a_model_gets_its_token(tokens: TokenServer, backend: Backend) -> None:
    """Nothing is asked before it is needed, and then once for sync and async calls of all models that share it."""
    auth = of(tokens, scope=["a", "b"], params={"audience": "c"})
    endpoint = ChatEndpoint(model="m", base_url=backend.openai_url, auth=auth)
    described = ChatHTTP.from_file("ollama", base_url=backend.url, model="m", auth=auth)
    assert [] == tokens.forms
    assert "x" == endpoint.invoke("x").text
    assert "y" == asyncio.run(endpoint.ainvoke("y")).text
    assert "z" == described.invoke("z").text
    assert {"Bearer tok-MARKER-1"} == {one.headers["authorization"] for one in backend.requests}
    assert [{"grant_type": "client_credentials", "scope": "a b", "audience": "c"}] == tokens.forms
    scheme, pair = tokens.headers[0]["authorization"].split()
    assert ("Basic", "the+id:s3cret%2FMARKER%2B0123456789") == (scheme, base64.b64decode(pair).decode())
    endpoint.close()
    described.close()


def test_it_is_for_authors_too(tokens: TokenServer) -> None:
    """`token()` in sync code, `atoken()` in async code; a call of the object is the latter."""
    auth = of(tokens)

    async def both() -> list[SecretStr]:
        return [await auth.atoken(), await auth()]

    assert {"tok-MARKER-1"} == {one.get_secret_value() for one in (auth.token(), *asyncio.run(both()))}


def test_it_is_renewed_before_it_expires(tokens: TokenServer) -> None:
    """By `expires_in`, however it is written; without one it is kept until it is refused."""
    for expires_in, renewed in ((0.5, True), ("0.5", True), (60, False), (None, False), ("soon", False), (0, False)):
        tokens.forms.clear()
        tokens.expires_in = expires_in
        auth = of(tokens)
        auth.token()
        time.sleep(0.42)  # four fifths of the short life are over, and not the whole
        auth.token()
        assert (2 if renewed else 1) == len(tokens.forms), expires_in


def test_one_that_is_refused_is_renewed(tokens: TokenServer, backend: Backend) -> None:
    """The model's server answers 401: one new token for all calls, which are answered."""
    backend.key = "tok-MARKER-2"
    model = ChatEndpoint(model="m", base_url=backend.openai_url, auth=of(tokens))
    assert {"x"} == {one.text for one in model.batch(["x"] * 8)}
    assert 2 == len(tokens.forms)
    model.close()


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_an_author_renews_one_that_is_refused(tokens: TokenServer, colour: str) -> None:
    """`refused` asks for another token once, however many were refused that one; then the known one is good again."""
    auth = of(tokens)

    def ask(refused: SecretStr | None = None) -> str:
        token = auth.token(refused=refused) if colour == "sync" else asyncio.run(auth.atoken(refused=refused))
        return str(token.get_secret_value())

    first = SecretStr(ask())
    with ThreadPoolExecutor(4) as threads:
        assert {"tok-MARKER-2"} == set(threads.map(ask, [first] * 8))
    assert "tok-MARKER-2" == ask()
    assert 2 == len(tokens.forms)


def test_one_request_for_all(tokens: TokenServer, backend: Backend) -> None:
    """Threads, event loops and models that ask at once wait for one request."""
    tokens.pause_s = 0.2
    auth = of(tokens)
    models = [ChatEndpoint(model="m", base_url=backend.openai_url, auth=auth) for _ in range(2)]
    jobs: list[Callable[[], Any]] = [
        auth.token,
        lambda: asyncio.run(auth.atoken()),
        lambda: models[0].invoke("x"),
        lambda: asyncio.run(models[1].ainvoke("x")),
    ]
    threads = [threading.Thread(target=job) for job in jobs * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == len(tokens.forms)
    for model in models:
        model.close()


def test_who_waits_may_be_cancelled(tokens: TokenServer) -> None:
    """One who is cancelled while all wait takes nothing from the others."""
    tokens.pause_s = 0.3
    auth = of(tokens)

    async def race() -> str:
        first = asyncio.create_task(auth.atoken())
        second = asyncio.create_task(auth.atoken())
        await asyncio.sleep(0.05)
        first.cancel()
        return str((await second).get_secret_value())

    assert "tok-MARKER-1" == asyncio.run(race())
    assert 1 == len(tokens.forms)


def test_a_loop_that_ends_takes_nothing_along(tokens: TokenServer) -> None:
    """The request goes on for those who ask later, though the loop that wanted it first is gone."""
    tokens.pause_s = 0.2
    auth = of(tokens)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(auth.atoken(), 0.05)

    asyncio.run(give_up())
    assert "tok-MARKER-1" == auth.token().get_secret_value()


@pytest.mark.parametrize("client_auth", ["auto", "basic", "post"])
def test_id_and_secret_go_where_the_server_wants_them(tokens: TokenServer, client_auth: Any) -> None:
    """In the header, in the form, or where the server takes them; it is remembered which."""

    def form_alone(form: dict[str, str], headers: dict[str, str]) -> tuple[int, Any]:
        if form.get("client_secret") == SECRET and form.get("client_id") == "the id":
            return 200, tokens.next()
        return 401, {"error": "invalid_client"}

    tokens.answer = form_alone
    tokens.expires_in = 0.01
    auth = of(tokens, client_auth=client_auth)
    if client_auth == "basic":
        with pytest.raises(ModelAuthenticationError):
            auth.token()
        return
    auth.token()
    asked = len(tokens.forms)
    assert (2 if client_auth == "auto" else 1) == asked
    time.sleep(0.02)
    auth.token()
    assert asked + 1 == len(tokens.forms)
    assert "authorization" not in tokens.headers[-1]


REFUSALS: dict[str, tuple[int, Any, type[ModelError], str]] = {
    "client": (401, {"error": "invalid_client", "error_description": "Who?"}, ModelAuthenticationError, "Who"),
    "scope": (400, {"error": "invalid_scope"}, ModelAuthenticationError, "invalid_scope"),
    "address": (404, "not here", ModelAuthenticationError, "not here"),
    "busy": (503, "later", ModelAPIError, "later"),
    "limit": (429, {"error": "slow"}, ModelRateLimitError, "slow"),
    "no token": (200, {"token": "x"}, ModelAuthenticationError, "access_token"),
    "no JSON": (200, "<html>Log in</html>", ModelAuthenticationError, "access_token"),
    "the secret again": (400, {"error": f"I do not know {SECRET}"}, ModelAuthenticationError, "I do not know"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_no_token_is_an_error_that_says_where_it_comes_from(tokens: TokenServer, backend: Backend, case: str) -> None:
    """It names the token server and quotes it, is of the right type, shows no secret, and the model was not asked."""
    status, said, expected, words = REFUSALS[case]
    tokens.answer = lambda *_: (status, said)
    model = ChatEndpoint(model="m", base_url=backend.openai_url, auth=of(tokens), max_retries=0)
    for ask in (model.invoke, lambda text: asyncio.run(model.ainvoke(text))):
        with pytest.raises(expected, match=r"No token from http://127\.0\.0\.1") as caught:
            ask("x")
        assert words in str(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert [] == leaks(caught.value, SECRET)  # nor in the variables of a frame, which error trackers show
    assert [] == backend.requests
    model.close()


def test_a_token_server_that_is_not_there() -> None:
    """Not there, or silent: the error is the connection's, and may be tried again."""
    with pytest.raises(ModelConnectionError, match=r"No token from http://127\.0\.0\.1:9/t") as caught:
        client_credentials("http://127.0.0.1:9/t", "i", SECRET).token()
    assert caught.value.is_retryable
    assert caught.value.__cause__ is not None


ADDRESSES = [
    "http://me:MARKER@{}/t",
    "http://MARKER@{}/t",
    "http://{}/t?client_secret=MARKER&x=1",
    "http://{}/t?key=MARKER",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("status", [200, 401, None])
def test_no_secret_of_the_token_url_is_shown(
    tokens: TokenServer, caplog: pytest.LogCaptureFixture, address: str, status: int | None
) -> None:
    """User, password and keys in its address are in no repr, error or log, whether there is a token or not."""
    tokens.answer = lambda *_: (status or 500, {**tokens.next(), "error": "no"})
    host = tokens.url.removeprefix("http://").removesuffix("/oauth/token") if status else "127.0.0.1:9"
    auth = client_credentials(address.format(host), "i", SECRET)
    shown = repr(auth)
    with caplog.at_level("DEBUG", logger="langplug"), caplog.at_level("DEBUG", logger="langplug.wire"):
        try:
            auth.token()
        except ModelError as error:
            shown += str(error)
    assert shown.count("127.0.0.1") >= (1 if status == 200 and "@" not in address else 2)
    assert "MARKER" not in shown + caplog.text


def test_a_user_in_the_token_url_is_a_mistake(tokens: TokenServer, backend: Backend) -> None:
    """It would be a second login beside id and secret: the error says so, and is not tried again."""
    auth = client_credentials(tokens.url.replace("//", "//me:pw@"), "i", SECRET)
    model = ChatEndpoint(model="m", base_url=backend.openai_url, auth=auth)
    with pytest.raises(ModelInvalidRequestError, match="leave the user and password out of `token_url`") as caught:
        model.invoke("x")
    assert not caught.value.is_retryable
    assert [] == tokens.forms
    model.close()


def test_advice_is_about_the_server_that_refused(tokens: TokenServer, backend: Backend) -> None:
    """Where a token server, or a function given as `auth`, fails, nothing is said of the model's key or address."""
    tokens.answer = lambda *_: (401, {"error": "invalid_client", "error_description": "Who?"})

    def fail() -> str:
        raise ModelAuthenticationError("No key for you.")

    for auth in (of(tokens), fail):
        model = ChatEndpoint(model="m", base_url=backend.openai_url, auth=auth, max_retries=0)
        with pytest.raises(ModelAuthenticationError) as caught:
            model.invoke("x")
        assert str(caught.value).endswith(("`client_id`, `client_secret` and `scope` right?", "No key for you."))
        model.close()


def test_a_file_of_certificates_that_is_not_there(tokens: TokenServer) -> None:
    """The error names the setting and the file, and is a `ModelError`, as all errors of `client_credentials`."""
    with pytest.raises(ModelError, match=r"verify='/nope.pem' cannot be used: No such file") as caught:
        of(tokens, verify="/nope.pem").token()
    assert not caught.value.is_retryable


def test_a_token_server_that_says_nothing(tokens: TokenServer) -> None:
    """Silence is a `ModelTimeoutError`."""
    tokens.pause_s = 0.5
    with pytest.raises(ModelTimeoutError, match="No token from"):
        of(tokens, timeout=0.1).token()


def test_a_failed_renewal_is_tried_again(tokens: TokenServer, backend: Backend) -> None:
    """What may pass at the token server is tried again by the model's `max_retries`."""
    answers = iter([(503, "later"), (200, {"access_token": "tok", "expires_in": 60})])
    tokens.answer = lambda *_: next(answers)
    model = ChatEndpoint(model="m", base_url=backend.openai_url, auth=of(tokens), max_retries=1)
    assert "x" == model.invoke("x").text
    assert 2 == len(tokens.forms)
    model.close()


def test_the_last_token_serves_while_it_is_good(tokens: TokenServer) -> None:
    """If renewing it early fails, the token is used as long as it lives."""
    tokens.expires_in = 1
    auth = of(tokens)
    auth.token()
    tokens.answer = lambda *_: (503, "later")
    time.sleep(0.85)
    assert "tok-MARKER-1" == auth.token().get_secret_value()
    time.sleep(0.2)
    with pytest.raises(ModelAPIError):
        auth.token()


def test_nobody_sees_the_secret(tokens: TokenServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a repr, nor in the log, nor in a pickle, which says what to do instead."""
    auth = of(tokens)
    with caplog.at_level("DEBUG", logger="langplug"), caplog.at_level("DEBUG", logger="langplug.wire"):
        auth.token()
    assert "client_id" in repr(auth) or "the id" in repr(auth)
    with pytest.raises(TypeError, match=r"cannot be pickled.*function at the top of a module") as refused:
        pickle.dumps(auth)
    pickled = pickle.dumps(ChatEndpoint(model="m", base_url=tokens.url, auth=auth))
    shown = f"{auth!r}{auth!s}{caplog.text}{pickled!r}{refused.value}"
    assert tokens.url in caplog.text
    for hidden in (SECRET, "MARKER"):
        assert hidden not in shown
    with pytest.raises(MissingSecretError, match="`auth`"):
        pickle.loads(pickled)
    assert copy.deepcopy(auth) is auth
