"""The key: where it comes from, how it is renewed, and that nobody ever sees it."""

import asyncio
import json
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelAuthenticationError, ModelError
from langchain_core.load import dumpd, dumps
from pydantic import SecretStr
from tests.models.endpoint.conftest import MakeEndpoint
from tests.paths import STREAMED, Path

from langplug import MissingSecretError
from langplug.models import ChatEndpoint
from langplug_backend import Backend, Fault, Reply

KEY = "sk-MARKER-0123456789"


def shown_key(backend: Backend) -> str:
    return backend.last.headers.get("authorization", "")


# --- where it comes from ---


@pytest.mark.parametrize("given", [{"api_key": KEY}, {"api_key": SecretStr(KEY)}, {"auth": KEY}])
def test_a_key_is_sent(backend: Backend, make: MakeEndpoint, call: Path, given: dict[str, Any]) -> None:
    """A key goes as `Authorization: Bearer`."""
    backend.key = KEY
    assert "x" == call(make(**given), "x").text
    assert f"Bearer {KEY}" == shown_key(backend)


def test_the_key_is_read_from_the_environment(
    backend: Backend, make: MakeEndpoint, call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`LANGPLUG_API_KEY` is the key where none is given; without either, none is sent."""
    monkeypatch.setenv("LANGPLUG_API_KEY", KEY)
    call(make(), "x")
    assert f"Bearer {KEY}" == shown_key(backend)
    monkeypatch.delenv("LANGPLUG_API_KEY")
    call(make(), "x")
    assert "" == shown_key(backend)


class Keys:
    """Gives a key after the other, and counts how often it is asked."""

    def __init__(self, *keys: str) -> None:
        self._keys = keys
        self._lock = threading.Lock()
        self.asked = 0

    def give(self) -> str:
        with self._lock:
            self.asked += 1
            return self._keys[min(self.asked, len(self._keys)) - 1]


def sync_source(keys: Keys) -> Callable[[], Any]:
    def source() -> str:
        time.sleep(0.02)
        return keys.give()

    return source


def async_source(keys: Keys) -> Callable[[], Any]:
    async def source() -> SecretStr:
        await asyncio.sleep(0.02)
        return SecretStr(keys.give())

    return source


class Source:
    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def __call__(self) -> str:
        return self._keys.give()


SOURCES: dict[str, Callable[[Keys], Any]] = {
    "sync": sync_source,
    "async": async_source,
    "object": Source,
    "method": lambda keys: keys.give,
    "gives an awaitable": lambda keys: partial(async_source(keys)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_function_gives_the_key(backend: Backend, make: MakeEndpoint, call: Path, source: str) -> None:
    """`auth` may be any function, sync or async; it is asked once for a loop, and not before it is needed."""
    keys = Keys(KEY)
    model = make(auth=SOURCES[source](keys))
    assert 0 == keys.asked
    backend.key = KEY
    assert "x" == call(model, "x").text
    assert 1 == keys.asked


@pytest.mark.usefixtures("no_blocking")
@pytest.mark.parametrize("source", SOURCES)
async def test_the_key_is_renewed_once_for_all(backend: Backend, make: MakeEndpoint, source: str) -> None:
    """When the server refuses the key of 50 calls at once, it is asked for once, and all are answered with the new."""
    keys = Keys("sk-old", KEY)
    backend.reply = Reply(text="ok", first=0.02)
    model = make(auth=SOURCES[source](keys))
    backend.key = "sk-old"
    await model.ainvoke("x")
    backend.key = KEY
    answers = await asyncio.gather(*(model.ainvoke("x") for _ in range(50)))
    assert {"ok"} == {answer.text for answer in answers}
    assert 2 == keys.asked
    await model.aclose()


def test_sync_calls_renew_it_once_too(backend: Backend, make: MakeEndpoint) -> None:
    """The same from threads: `batch` of 20 after the key has expired asks for one new key."""
    keys = Keys("sk-old", KEY)
    model = make(auth=sync_source(keys))
    backend.key = "sk-old"
    model.invoke("x")
    backend.key = KEY
    assert {"x"} == {answer.text for answer in model.batch(["x"] * 20, config={"max_concurrency": 20})}
    assert 2 == keys.asked


def test_a_second_refusal_is_an_error(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A new key that is refused as well is a `ModelAuthenticationError`: two requests, and no third."""
    backend.key = "sk-another"
    keys = Keys("sk-1", "sk-2", "sk-3")
    with pytest.raises(ModelAuthenticationError) as caught:
        call(make(auth=keys.give, max_retries=3), "x")
    assert (2, 2) == (keys.asked, len(backend.requests))
    assert not caught.value.is_retryable


def test_the_same_key_again_is_an_error_at_once(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A function that has no new key does not make a second request; nor does a fixed key."""
    backend.key = "sk-another"
    for given in ({"auth": lambda: "sk-1"}, {"api_key": "sk-1"}):
        backend.forget()
        with pytest.raises(ModelAuthenticationError):
            call(make(**given, max_retries=3), "x")
        assert 1 == len(backend.requests)


@pytest.mark.parametrize("gives", ["", None, 7])
def test_a_source_must_give_a_key(backend: Backend, make: MakeEndpoint, call: Path, gives: Any) -> None:
    """A function that gives no key is an error that says so, and nothing is sent."""
    with pytest.raises(TypeError, match="auth"):
        call(make(auth=lambda: gives), "x")
    assert [] == backend.requests


def test_what_a_source_raises_is_raised(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """An error of the function that gives the key is what the caller sees."""

    def source() -> str:
        raise LookupError("the vault is shut")

    with pytest.raises(LookupError, match="the vault is shut"):
        call(make(auth=source), "x")
    assert [] == backend.requests


def test_a_key_and_a_source_are_one_too_many(make: MakeEndpoint) -> None:
    """`api_key` and `auth` together are refused, without showing either."""
    with pytest.raises(TypeError, match="auth") as caught:
        make(api_key=KEY, auth=lambda: "x")
    assert KEY not in str(caught.value)


# --- where it must not be ---

SECRETS: dict[str, dict[str, Any]] = {
    "api_key": {"api_key": KEY},
    "auth": {"auth": lambda: KEY},
    "header": {"headers": {"X-Api-Key": KEY}},
    "header with a scheme": {"headers": {"authorization": f"Bearer {KEY}"}},
    "header as a secret": {"headers": {"X-Plain": SecretStr(KEY)}},
}

RENDERINGS: dict[str, Callable[[Any], Any]] = {
    "repr": repr,
    "str": str,
    "dumps": dumps,
    "dumpd": dumpd,
    "model_dump": lambda model: model.model_dump(),
    "model_dump_json": lambda model: model.model_dump_json(),
    "asdict": lambda model: json.dumps(model.asdict()),
    "vars": vars,
    "cache key": lambda model: model._get_llm_string(),
    "identity": lambda model: model._identifying_params,
    "ls params": lambda model: model._get_ls_params(),
    "profile": lambda model: model.profile,
    "binding": lambda model: repr(model.bind(stop=["x"])),
    "headers": lambda model: model.headers,
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("rendering", RENDERINGS)
def test_a_secret_shows_nowhere(make: MakeEndpoint, secret: str, rendering: str) -> None:
    """No rendering of a model holds its key, nor a header whose name or type says that it is secret."""
    assert KEY not in repr(RENDERINGS[rendering](make(**SECRETS[secret])))


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_sent_all_the_same(backend: Backend, make: MakeEndpoint, call: Path, secret: str) -> None:
    """Hidden or not, the server gets it."""
    call(make(**SECRETS[secret]), "x")
    assert KEY in repr(backend.last.headers)


class Recorder(BaseCallbackHandler):
    """Keeps all that a run tells its callbacks."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.told.append((args, kwargs))

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.told.append((args, kwargs))

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.told.append((everything_of(error), kwargs))


def everything_of(error: BaseException | None) -> str:
    """All that a log could show of an error, its causes included."""
    shown = ""
    while error is not None:
        lines = traceback.format_exception(error, chain=False)
        shown += "".join([repr(error), str(error), repr(error.args), repr(vars(error)), lines[-1]])
        error = error.__cause__ or error.__context__
    return shown


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "kind", ["auth_echo", "echo as text", "echo in an event", "echo behind text", "echo in an object", "no HTTP"]
)
def test_a_server_that_repeats_the_key_is_not_quoted(
    backend: Backend, make: MakeEndpoint, call: Path, kind: str, secret: str
) -> None:
    """What a server says of a wrong key is in the error, and in what tracers are told, without the key."""
    words = f"I do not know the key {KEY!r}."
    backend.fault = {
        "auth_echo": Fault(kind="auth_echo"),
        "echo as text": Fault(kind="status_text", code=403, message=words),
        "echo in an event": Fault(kind="error_event", message=words),
        "echo behind text": Fault(kind="error_event", after=1, message=words),
        "echo in an object": Fault(kind="error_object", message=words),
        "no HTTP": Fault(kind="reset_before_headers"),
    }[kind]
    recorder = Recorder()
    with pytest.raises(ModelError) as caught:
        call(make(**SECRETS[secret]), "x y z", config={"callbacks": [recorder]})
    shown = everything_of(caught.value)
    assert KEY not in shown
    assert KEY not in repr(recorder.told)
    if kind.startswith("echo"):
        assert "I do not know the key '***'." in shown


@pytest.mark.parametrize("answer", [b"NOT HTTP AT ALL\r\n\r\n", b"HTTP/1.1 200 OK\r\nBad\x00Header: \r\n\r\n"])
def test_an_answer_that_is_no_http_shows_no_key(make: MakeEndpoint, call: Path, answer: bytes) -> None:
    """An answer that is none of HTTP is a typed error, and neither it nor its causes hold what was sent."""
    with RawServer(answer) as port, pytest.raises(ModelError) as caught:
        call(make(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY), "x")
    assert KEY not in everything_of(caught.value)


class RawServer:
    """Answers each connection with these bytes and closes it."""

    def __init__(self, answer: bytes) -> None:

        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(5)

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._listener.getsockname()[1])

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(self._answer)
        except OSError:
            return

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def test_a_call_with_its_own_key_shows_it_nowhere(backend: Backend, make: MakeEndpoint) -> None:
    """`api_key` and secret headers of one call reach the server, and neither callbacks nor errors show them."""
    recorder = Recorder()
    given: dict[str, Any] = {"api_key": KEY, "headers": {"X-Api-Key": f"{KEY}2"}}
    make().invoke("x", config={"callbacks": [recorder]}, **given)
    assert (f"Bearer {KEY}", f"{KEY}2") == (shown_key(backend), backend.last.headers["x-api-key"])
    backend.fault = Fault(kind="auth_echo")
    with pytest.raises(ModelAuthenticationError) as caught:
        make().invoke("x", config={"callbacks": [recorder]}, **given)
    assert KEY not in everything_of(caught.value)
    assert KEY not in repr(recorder.told)


# --- pickles and copies ---


def test_a_pickle_reads_the_key_anew(backend: Backend, make: MakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle holds no key; where it is loaded, one that came from the environment comes from there again."""
    monkeypatch.setenv("LANGPLUG_API_KEY", KEY)
    model = make()
    model.invoke("x")
    pickled = pickle.dumps(model)
    assert KEY.encode() not in pickled
    monkeypatch.setenv("LANGPLUG_API_KEY", "sk-there")
    loaded = pickle.loads(pickle.dumps(pickle.loads(pickled)))
    assert "x" == loaded.invoke("x").text
    assert "Bearer sk-there" == shown_key(backend)
    loaded.close()


def test_a_secret_header_is_not_in_a_pickle(make: MakeEndpoint) -> None:
    """A secret header is not in a pickle, and loading one says what to do instead."""
    pickled = pickle.dumps(make(headers={"X-Api-Key": KEY, "X-Team": "blue"}))
    assert KEY.encode() not in pickled
    with pytest.raises(MissingSecretError, match=r"'X-Api-Key'.*api_key"):
        pickle.loads(pickled)
    loaded = pickle.loads(pickle.dumps(make(headers={"X-Team": "blue"})))
    assert {"X-Team": "blue"} == loaded.headers


def test_copies_work_after_use(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """Deep copies, copies with changes and pickles of a used model answer."""
    model = make(api_key=KEY)
    call(model, "x")
    for copied in (model.model_copy(deep=True), model.model_copy(update={"temperature": 0}), model.bind(stop=["y"])):
        assert "x" == call(copied, "x").text
        assert f"Bearer {KEY}" == shown_key(backend)


def test_the_key_is_no_part_of_the_cache_key(make: MakeEndpoint) -> None:
    """Two keys share answers; two servers, models or settings do not."""
    one = make(api_key=KEY)
    assert one._get_llm_string() == make(api_key="sk-other")._get_llm_string()
    variants: list[dict[str, Any]] = [
        {"base_url": "http://localhost:1/v1"},
        {"model": "m-2"},
        {"temperature": 0.5},
        {"extra_body": {"top_k": 1}},
        {"server": "vllm"},
        {"n": 2},
        {"headers": {"X-Team": "blue"}},
    ]
    keys = [make(**variant)._get_llm_string() for variant in [{}, *variants]]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("field", ["base_url", "proxy"])
def test_an_address_with_a_password_is_refused(make: MakeEndpoint, field: str) -> None:
    """A password in an address would show in traces: it is refused, without showing it."""
    with pytest.raises(TypeError, match="password") as caught:
        make(**{field: f"http://ann:{KEY}@127.0.0.1:1/v1"})
    assert KEY not in everything_of(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://localhost/v1", "http://", "", "/v1"])
def test_an_address_that_is_none_is_refused(make: MakeEndpoint, url: str) -> None:
    """What is no address of a server is refused when the model is made, with an example."""
    with pytest.raises(ValueError, match="http://localhost:8000/v1"):
        make(base_url=url)


def test_making_a_model_sends_nothing(backend: Backend) -> None:
    """The constructor asks neither the server nor the function that gives the key."""
    keys = Keys(KEY)
    ChatEndpoint(model="m", base_url=backend.openai_url, auth=keys.give)
    assert (0, []) == (keys.asked, backend.requests)


def test_streams_renew_the_key_too(backend: Backend, make: MakeEndpoint) -> None:
    """A stream that is refused with 401 begins with the new key."""
    for path in STREAMED.values():
        keys = Keys("sk-old", KEY)
        backend.key = KEY
        assert "one two" == path(make(auth=keys.give), "one two").text
        assert 2 == keys.asked


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"headers": {"X-Api-Key": KEY, "a b": "c"}}, id="another header"),
        pytest.param({"headers": {"X-Api-Key": f"{KEY}\n"}}, id="the header itself"),
        pytest.param({"auth": [KEY]}, id="a key of the wrong type"),
        pytest.param({"api_key": KEY, "temperature": -1}, id="another field"),
        pytest.param({"headers": {"X-Api-Key": KEY}, "model": None}, id="no name"),
    ],
)
def test_no_error_of_the_constructor_shows_a_key(backend: Backend, wrong: dict[str, Any]) -> None:
    """Whatever is wrong with the arguments, the error does not say again what was given."""
    with pytest.raises(ValueError, match="ChatEndpoint") as caught:
        ChatEndpoint(**{"model": "m", "base_url": backend.openai_url, **wrong})
    assert KEY not in f"{caught.value}{caught.value!r}"
