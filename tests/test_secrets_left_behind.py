"""A secret stays one wherever it stands; a pickle leaves it behind and says so."""

import copy
import json
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.load import dumps
from pydantic import BaseModel, Field, PrivateAttr, SecretBytes, SecretStr

from langplug import ChatModel, MissingSecretError, Request, chat_model, env
from langplug.models import ChatCommand, ChatEndpoint, ChatHTTP

KEY = "sk-PLANTED-0123456789"
OTHER = "sk-of-the-environment"


class Door(BaseModel):
    """Settings of an author's own."""

    name: str = "front"
    code: SecretStr = SecretStr("")


@dataclass
class Gate:
    """The same, as a dataclass."""

    code: SecretStr


class ChatOwn(ChatModel):
    """Has fields of all kinds in which a secret may stand."""

    token: SecretStr | None = env("OWN_TOKEN", default=None)
    raw: SecretBytes | None = None
    tokens: list[SecretStr] = Field(default_factory=list)
    options: Any = None
    door: Door = Field(default_factory=Door)
    gate: Gate | None = None
    _kept: Any = PrivateAttr(default=None)

    def respond(self, request: Request, /) -> str:
        return "x"


@chat_model
def decorated(
    request: Request, *, token: SecretStr = env("OWN_TOKEN", default="none-given"), options: Any = None
) -> str:
    """As a function."""
    return "x"


def keeping(value: Any) -> ChatOwn:
    model = ChatOwn()
    model._kept = value
    return model


def endpoint(**given: Any) -> ChatEndpoint:
    return ChatEndpoint(**{"model": "m", "base_url": "http://127.0.0.1:9/v1", **given})


def described(**given: Any) -> ChatHTTP:
    return ChatHTTP(**{"url": "http://127.0.0.1:9/x", "text": "t", **given})


HIDDEN = SecretStr(KEY)

PLACES: dict[str, tuple[Callable[[], Any], str]] = {
    "field": (lambda: ChatOwn(token=KEY), "token"),
    "bytes": (lambda: ChatOwn(raw=KEY.encode()), "raw"),
    "list field": (lambda: ChatOwn(tokens=[HIDDEN]), "tokens[0]"),
    "deep": (lambda: ChatOwn(options={"a": [{"b": (1, HIDDEN)}]}), "options['a'][0]['b'][1]"),
    "by its name": (lambda: ChatOwn(options={"a": {"password": KEY}}), "options['a']['password']"),
    "settings": (lambda: ChatOwn(door=Door(code=KEY)), "door.code"),
    "dataclass": (lambda: ChatOwn(gate=Gate(HIDDEN)), "gate.code"),
    "private": (lambda: keeping({"a": HIDDEN}), "_kept['a']"),
    "decorated": (lambda: decorated(token=KEY), "token"),
    "decorated, deep": (lambda: decorated(options={"api_key": KEY}), "options['api_key']"),
    "api_key": (lambda: endpoint(api_key=KEY), "api_key"),
    "header by its name": (lambda: endpoint(headers={"X-Api-Key": KEY}), "headers['X-Api-Key']"),
    "header": (lambda: endpoint(headers={"X-Plain": HIDDEN}), "headers['X-Plain']"),
    "extra_body": (lambda: endpoint(extra_body={"a": [HIDDEN]}), "extra_body['a'][0]"),
    "extra_body by its name": (lambda: endpoint(extra_body={"token": KEY}), "extra_body['token']"),
    "query": (lambda: described(query={"key": HIDDEN}), "query['key']"),
    "body": (lambda: described(body={"a": HIDDEN}), "body['a']"),
    "params": (lambda: described(params={"a": HIDDEN}), "params['a']"),
    "streamed": (lambda: described(streamed={"query": {"token": KEY}}), "streamed['query']['token']"),
    "command": (lambda: ChatCommand(command=["true"], params={"a": HIDDEN}), "params['a']"),
    "auth": (lambda: endpoint(auth=lambda: KEY), "auth"),
}

RENDERINGS: dict[str, Callable[[Any], Any]] = {
    "repr": repr,
    "dumps": dumps,
    "asdict": lambda model: json.dumps(model.asdict()),
    "cache key": lambda model: model.cache_key(),
    "identity": lambda model: model._identifying_params,
    "invocation params": lambda model: model._get_invocation_params(stop=["x"], options={"api_key": KEY, "a": HIDDEN}),
    "binding": lambda model: repr(model.bind(stop=["x"])),
    "pickle": pickle.dumps,
    "reduce": lambda model: model.__reduce_ex__(4),
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds another key for each field."""
    for name in ("LANGPLUG_API_KEY", "OWN_TOKEN"):
        monkeypatch.setenv(name, OTHER)


@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_shows_nowhere(place: str, rendering: str) -> None:
    """Wherever it stands in a model, no rendering of the model holds it."""
    model = PLACES[place][0]()
    assert KEY not in repr(RENDERINGS[rendering](model))


@pytest.mark.parametrize("place", PLACES)
def test_a_pickle_says_which_secret_it_left_behind(place: str) -> None:
    """Loading it is an error that names field, class and a way out; the environment's other key is not taken."""
    make, named = PLACES[place]
    model = make()
    with pytest.raises(MissingSecretError) as caught:
        pickle.loads(pickle.dumps(model))
    assert f"`{named}` of this {type(model).__name__}" in str(caught.value)
    assert "make the model where it is used" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("place", [place for place in PLACES if place != "auth"])
def test_copies_keep_secrets(place: str) -> None:
    """A copy within the process is equal, and holds what the model holds."""
    model = PLACES[place][0]()
    for copied in (copy.copy(model), copy.deepcopy(model), model.model_copy(), model.model_copy(deep=True)):
        assert copied == model


def give_key() -> str:
    """A function that a pickle can hold."""
    return KEY


KEPT: dict[str, Callable[[], Any]] = {
    "from the environment": ChatOwn,
    "decorated": decorated,
    "endpoint": endpoint,
    "described": described,
    "its own variable": lambda: described(api_key_env="OWN_TOKEN"),
    "a function": lambda: endpoint(auth=give_key),
    "none, said so": lambda: endpoint(api_key=None),
    "templates": lambda: described(headers={"X-Key": "{api_key}"}, query={"key": "$api_key"}, api_key_env="OWN_TOKEN"),
}


@pytest.mark.parametrize("kept", KEPT)
def test_a_pickle_without_secrets_of_its_own_is_loaded(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came from the environment comes from there again, pickle after pickle; what was None stays None."""
    model = KEPT[kept]()
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(model))))
    assert again == model
    for name in ("LANGPLUG_API_KEY", "OWN_TOKEN"):
        monkeypatch.setenv(name, "sk-there")
    there = pickle.loads(pickle.dumps(again))
    secrets = {name: getattr(there, name) for name in ("token", "api_key") if hasattr(there, name)}
    expected = None if kept in ("a function", "none, said so") else SecretStr("sk-there")
    assert {expected} == set(secrets.values())
    assert getattr(there, "auth", None) == getattr(model, "auth", None)


def test_a_secret_that_is_bound_stays_behind() -> None:
    """A binding answers here, shows no key, and its pickle says that the key is missing."""
    for given in ({"token": KEY}, {"options": {"a": [HIDDEN]}}):
        bound = ChatOwn().bind(**given)
        assert "x" == bound.invoke("?").text
        assert KEY not in repr(bound) + dumps(bound)
        pickled = pickle.dumps(bound)
        assert KEY.encode() not in pickled
        assert "x" == copy.deepcopy(bound).invoke("?").text
        with pytest.raises(MissingSecretError, match="bind"):
            pickle.loads(pickled)


def ask(model: ChatModel) -> str:
    return model.invoke("?").text


def test_it_is_the_same_over_the_border_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of new processes gets models whose secrets the environment holds."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert "x" == pool.submit(ask, ChatOwn()).result(timeout=60)


def test_a_session_function_is_kept() -> None:
    """As `auth` is; a session itself belongs to its process."""
    assert give_key is pickle.loads(pickle.dumps(endpoint(session=give_key))).session
    assert pickle.loads(pickle.dumps(endpoint(session=object()))).session is None


@pytest.mark.parametrize("given", ["http://h/v1?api_key=" + KEY, "http://h/v1?a=b&key=" + KEY])
def test_an_address_with_a_key_in_its_query_is_refused(given: str) -> None:
    """It would show in traces: the error says where the key belongs, without showing it."""
    for make in (lambda: endpoint(base_url=given), lambda: described(url=given)):
        with pytest.raises(TypeError, match="query=") as caught:
            make()
        assert KEY not in str(caught.value)
