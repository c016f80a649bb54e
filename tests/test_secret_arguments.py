"""A key that is given as plain text shows in no variable, in no request's repr, and in nothing that is bound."""

import asyncio
import copy
import json
import pickle
from collections.abc import Callable
from typing import Any, Literal

import pytest
from langchain_core.load import dumps
from langchain_core.runnables import ConfigurableField, Runnable, RunnableLambda
from pydantic import Field, SecretStr, field_validator
from tests.frames import leaks
from tests.paths import PATHS

from langplug import ChatModel, MissingSecretError, Public, Request
from langplug.models import ChatCommand, ChatEndpoint, ChatHTTP

KEY = "k-PLANTED-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ"
URL = "http://127.0.0.1:9/v1"

PLACES: dict[str, dict[str, Any]] = {
    "a field": {"token": KEY},
    "bytes": {"cookie": KEY.encode()},
    "an alias": {"ApiKey": KEY},
    "an entry": {"options": {"api_key": KEY}},
    "deep": {"options": {"a": [{"b": ({"authorization_token": KEY},)}]}},
    "a dict of them": {"options": {"credentials": {"user": "me", "word": KEY}}},
    "a header": {"options": {"headers": {"Authorization": f"Bearer {KEY}"}}},
    "a pair": {"options": {"headers": [("X-Api-Key", KEY)]}},
    "a record": {"options": {"env": [{"name": "API_KEY", "value": KEY}]}},
    "a URL": {"options": {"url": f"https://me:{KEY}@h/?n=1"}},
    "a token in a URL": {"options": {"url": f"https://{KEY}@h/"}},
    "an option": {"options": {"command": ["x", "--api-key", KEY, f"--password={KEY}"]}},
}


class ChatFailing(ChatModel):
    """Has plain fields for secrets, checks what it got, and fails."""

    token: str = ""
    cookie: bytes = b""
    secret: SecretStr | None = Field(default=None, alias="ApiKey")
    options: Any = None
    number: int = 0
    auth: Literal["basic", "bearer"] = "basic"
    key: Public[str] = ""

    def respond(self, request: Request, /) -> str:
        held = f"{self.token}{self.cookie!r}{self.secret and self.secret.get_secret_value()}{self.options}"
        assert KEY in held
        raise RuntimeError("no")


def check(error: BaseException) -> None:
    """What variables show: their reprs. What a model itself holds is behind its own."""
    assert [] == [where for where in leaks(error, KEY[:20]) if not where.startswith("self.")]


def failure_of(action: Callable[[], Any]) -> BaseException:
    """What `action` raises."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    pytest.fail("nothing was raised")


WRONG: dict[str, dict[str, Any]] = {"a typo": {"temprature": 1}, "a bad value": {"number": "many"}}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("place", PLACES)
def test_no_frame_of_a_constructor_shows_a_key(place: str, wrong: str) -> None:
    """An argument that is wrong shows none of the others, whatever says that they are secret."""
    check(failure_of(lambda: ChatFailing(**PLACES[place], **WRONG[wrong])))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ChatEndpoint(model="m", base_url=URL, api_key=KEY, typo=1),  # type: ignore[call-arg]
        lambda: ChatEndpoint(model="m", base_url="nowhere", api_key=KEY),  # type: ignore[arg-type]
        lambda: ChatEndpoint(model="m", base_url=URL, timeout="x", headers={"Authorization": KEY}),  # type: ignore[arg-type]
        lambda: ChatEndpoint(model="m", base_url=URL, api_key=KEY, auth=lambda: KEY),  # type: ignore[arg-type]
        lambda: ChatHTTP(url=URL, text="t", query={"api_key": KEY}, timeout="x"),  # type: ignore[arg-type]
        lambda: ChatCommand(command=["x"], params={"api_key": KEY}, timeout="x"),  # type: ignore[arg-type]
        lambda: ChatCommand(command="x", environment={"API_KEY": KEY}),  # type: ignore[arg-type]
    ],
)
def test_no_frame_of_a_ready_made_models_constructor_shows_a_key(make: Callable[[], Any]) -> None:
    """Typos, bad values and bad addresses beside a key."""
    check(failure_of(make))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("place", PLACES)
def test_no_frame_of_a_call_shows_a_key(place: str, path: str) -> None:
    """Neither what is given for one call, nor what is bound, nor what is given to what binds."""
    call = PATHS[path]
    for model in (ChatFailing(), ChatFailing().bind(number=1), ChatFailing().with_retry(stop_after_attempt=1)):
        check(failure_of(lambda: call(model, "x", **PLACES[place])))  # noqa: B023 - called at once
    check(failure_of(lambda: call(ChatFailing().bind(**PLACES[place]), "x")))


def test_no_frame_of_a_batch_shows_a_key() -> None:
    """Batches go through frames of langchain-core that hold the same keywords."""
    for model in (ChatFailing(), ChatFailing().bind(number=1)):
        for action in (
            lambda model: model.batch(["x", "y"], token=KEY),
            lambda model: [*model.batch_as_completed(["x", "y"], token=KEY)],
            lambda model: asyncio.run(model.abatch(["x", "y"], token=KEY)),
        ):
            check(failure_of(lambda: action(model)))  # noqa: B023 - called at once


def test_no_frame_of_an_assignment_shows_a_key() -> None:
    """`model.api_key = ...` where the class declares no such field says so, and shows nothing."""
    model: Any = ChatFailing()
    check(failure_of(lambda: setattr(model, "api_key", KEY)))


class ChatOwnInit(ChatModel):
    """Has an `__init__` of its author's."""

    options: Any = None
    token: str = ""

    def __init__(self, api_key: str, options: Any = None, **fields: Any) -> None:
        assert api_key.startswith("k-")
        assert f"Bearer {api_key}" == f"Bearer {KEY}"
        assert KEY == api_key == json.loads(json.dumps(api_key)) == api_key.encode().decode()
        assert isinstance(api_key, str)
        super().__init__(options=options, **fields)
        self._key = api_key

    def respond(self, request: Request, /) -> str:
        return self._key


@pytest.mark.parametrize("positional", [False, True])
def test_an_authors_constructor_gets_what_was_given(positional: bool) -> None:
    """It is a text like any other, and no variable of the author's `__init__` shows it."""

    def make(**more: Any) -> ChatOwnInit:
        return ChatOwnInit(KEY, **more) if positional else ChatOwnInit(api_key=KEY, **more)

    model = make()
    assert KEY == model.invoke("x").text
    assert model.cache_key() == make().cache_key() == copy.deepcopy(model).cache_key()
    assert KEY == pickle.loads(pickle.dumps(model)).invoke("x").text
    check(failure_of(lambda: make(typo=1)))


@pytest.mark.parametrize("place", PLACES)
def test_a_model_holds_exactly_what_was_given(place: str) -> None:
    """Fields hold plain texts, by a constructor as by a call; a key of the cache does not tell how they came."""
    kept: list[ChatFailing] = []

    class ChatKeeping(ChatFailing):
        def respond(self, request: Request, /) -> str:
            kept.append(self)
            return "x"

    given = ChatKeeping(**PLACES[place])
    ChatKeeping().invoke("x", **PLACES[place])
    ChatKeeping().bind(**PLACES[place]).invoke("x")
    for model in (given, *kept):
        assert (given.token, given.cookie, given.options) == (model.token, model.cookie, model.options)
        assert KEY in f"{model.secret and model.secret.get_secret_value()} {model.__dict__}"
        assert {str, bytes} >= {type(model.token), type(model.cookie)}
    keys = {given.cache_key(), ChatKeeping().cache_key(**PLACES[place])}
    assert 1 == len({key.partition('"exact"')[2] for key in keys})


def test_what_is_no_secret_is_handed_on_as_it_is() -> None:
    """The very object where nothing is hidden in it; choices and public fields are as they were."""
    options = {"a": [1, {"b": "c"}]}
    model = ChatFailing(options=options, auth="bearer", key="C major")
    assert model.options is options
    assert ("bearer", str, "C major") == (model.auth, type(model.auth), model.key)
    assert "C major" in repr(model.bind(key="C major"))


def test_what_holds_itself_is_walked_once() -> None:
    """Data with cycles is an argument as any other."""
    loop: list[Any] = []
    loop += [loop, loop, {"token": KEY, "loop": loop}]
    assert 3 == len(ChatFailing(options=loop).options)
    with pytest.raises(RuntimeError, match="no"):
        ChatFailing().bind(options=loop).invoke("x")
    with pytest.raises(RuntimeError, match="no"):
        ChatFailing().invoke("x", options=loop)


def test_validators_of_an_author_get_texts() -> None:
    """Before and after validation, a text is one."""

    class ChatChecked(ChatModel):
        token: str

        @field_validator("token", mode="before")
        @classmethod
        def _read(cls, given: Any) -> Any:
            assert type(given) is str
            return given.strip()

        def respond(self, request: Request, /) -> str:
            return self.token

    assert KEY == ChatChecked(token=f" {KEY} ").invoke("x").text == ChatChecked(token="t").invoke("x", token=KEY).text


@pytest.mark.parametrize("place", PLACES)
def test_the_repr_of_a_request_shows_no_key(place: str) -> None:
    """Whoever prints a request sees which parameters were given, and no secret among them."""
    seen: list[Request] = []

    class ChatPrinting(ChatFailing):
        def respond(self, request: Request, /) -> str:
            seen.append(request)
            return "x"

    ChatPrinting().invoke("x", number=3, **PLACES[place])
    by_hand = Request(messages=seen[0].messages, params={"number": 3, **PLACES[place]})
    for request in (*seen, by_hand):
        assert KEY[:20] not in repr(request)
        assert "'number': 3" in repr(request)
    assert KEY[:20] not in repr(seen[0].params)
    number = Request(messages=seen[0].messages, params={"pin": 47110815, "token": None, "auth": True})
    assert "47110815" not in repr(number)
    assert "'token': None, 'auth': True" in repr(number)


def log_in(token: str, api_key: str = "none") -> None:
    """Log in."""


MCP = {"type": "mcp", "server_url": "https://h/", "headers": {"Authorization": f"Bearer {KEY}"}}

BOUND: dict[str, Callable[[], Runnable[Any, Any]]] = {
    **{place: lambda given=given: ChatFailing().bind(**given) for place, given in PLACES.items()},  # type: ignore[misc]
    "a tool": lambda: ChatEndpoint(model="m", base_url=URL).bind_tools([MCP]),
    "a tool with others": lambda: ChatEndpoint(model="m", base_url=URL).bind_tools([MCP, log_in]),
    "over a binding": lambda: ChatFailing().bind(stop=["x"]).bind(token=KEY),
    "over retries": lambda: ChatFailing().with_retry().bind(options={"api_key": KEY}),
    "in a sequence": lambda: ChatFailing().bind(token=KEY) | RunnableLambda(str),
    "a configuration": lambda: (
        ChatFailing().configurable_fields(token=ConfigurableField("token")).with_config(configurable={"token": KEY})
    ),
    "fall-backs": lambda: ChatFailing().with_fallbacks([ChatFailing().bind(token=KEY)]),
}


@pytest.mark.parametrize("bound", BOUND)
def test_what_is_bound_shows_no_key(bound: str) -> None:
    """What a model hides, a binding hides: in its repr, in what `dumps` writes, and in a pickle, which says so."""
    made = BOUND[bound]()
    for copied in (made, copy.copy(made), copy.deepcopy(made)):
        shown = repr(copied) + str(copied) + dumps(copied)
        assert KEY[:20] not in shown
    if bound == "in a sequence":
        return  # RunnableLambda has a pickle of its own making
    pickled = pickle.dumps(made)
    assert KEY[:20].encode() not in pickled
    with pytest.raises(MissingSecretError, match="bind"):
        pickle.loads(pickled)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_bound_is_used(path: str) -> None:
    """The model gets it as it was given."""

    class ChatSaying(ChatModel):
        token: str = ""
        options: Any = None

        def respond(self, request: Request, /) -> str:
            return json.dumps([self.token, self.options, request.params, [*request.run.configurable.values()]])

    bound = ChatSaying().bind(token=KEY, options={"api_key": KEY}).with_config(configurable={"token": KEY})
    given = {"token": KEY, "options": {"api_key": KEY}}
    assert [KEY, {"api_key": KEY}, given, [KEY]] == json.loads(PATHS[path](bound, "x").text)


def test_a_schema_of_a_tool_is_no_secret() -> None:
    """Parameters of functions may be called anything, and what is bound goes into a pickle."""
    for tool in (log_in, {"type": "function", "function": {"name": "f", "parameters": {"required": ["api_key", "q"]}}}):
        bound = ChatEndpoint(model="m", base_url=URL).bind_tools([tool])
        assert "**" not in repr(bound)
        assert pickle.loads(pickle.dumps(bound)).kwargs == bound.kwargs  # type: ignore[attr-defined]
