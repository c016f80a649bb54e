"""Identity and traces never raise and never leak, whatever an author has put into a model."""

import functools
import importlib.util
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, dumps
from pydantic import Field, PrivateAttr
from tests.identity.strangers import INSTALLED, KEY, SEPARATE, STANDARD
from tests.recording import RecordingHandler

from langplug import ChatModel, Request, chat_model
from langplug_check.explain import explain

STRANGERS = {**STANDARD, **INSTALLED, **SEPARATE}


class Holder:
    """Holds what it is given."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def method(self, text: str) -> str:
        return text


def use(held: Any, text: str) -> str:
    return text


class ChatHolder(ChatModel):
    """Has a field for anything, and private state."""

    client: Any = None
    settings: dict[str, Any] = Field(default_factory=dict)
    items: list[Any] = Field(default_factory=list)
    _private: Any = PrivateAttr(None)

    def __init__(self, private: Any = None, **fields: Any) -> None:
        super().__init__(**fields)
        self._private = private
        self._undeclared = private

    def respond(self, request: Request) -> Iterator[str]:
        yield "a"
        yield "b"


def closing_over(held: Any) -> ChatModel:
    @chat_model
    def closed(request: Request, *, n: int = 1) -> Iterator[str]:
        yield "ab" if held is not None else ""

    return closed()


PLACES: dict[str, Callable[[Any], ChatModel]] = {
    "a field": lambda held: ChatHolder(client=held),
    "private state": lambda held: ChatHolder(private=held),
    "a dict": lambda held: ChatHolder(settings={"a": {"b": held}, "api_key": held}),
    "a list": lambda held: ChatHolder(items=[held, (held, [held])]),
    "a closure": closing_over,
    "a partial": lambda held: ChatHolder(client=functools.partial(use, held)),
    "a bound object": lambda held: ChatHolder(client=Holder(held).method),
}


def make(name: str) -> Any:
    """The stranger of this name, if its package is there."""
    package = name.partition(",")[0]
    if name not in STANDARD and importlib.util.find_spec(package.partition(".")[0]) is None:
        pytest.skip(f"{package} is not installed here; see `make test-clients`")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return STRANGERS[name]()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", STRANGERS)
async def test_nothing_raises_and_nothing_leaks(name: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that holds anything anywhere is invoked, streamed, traced, cached, shown and dumped like any other."""
    held = make(name)
    model = PLACES[place](held)
    model.cache = InMemoryCache()
    handler = RecordingHandler()
    config: Any = {"callbacks": [handler]}
    assert ["ab", "ab"] == [model.invoke("x", config).text for _ in range(2)]
    shown = [str(handler.started)]
    assert "ab" == (await model.ainvoke("y", config)).text
    assert "ab" == "".join(chunk.text for chunk in model.stream("x", config))
    assert "ab" == "".join([chunk.text async for chunk in model.astream("x", config)])
    shown += [str(handler.started), repr(model), str(model), str(dumpd(model)), dumps(model), str(model.asdict())]
    shown += [str(model._identifying_params), str(model._get_ls_params()), str(model.__langplug_unshared__())]
    assert model.cache_key() == model.cache_key() or model.__langplug_unshared__()
    shown += [model.cache_key(), *(str(key) for key in model.cache._cache)]
    module = types.ModuleType("tests_identity_subject")
    module.make = lambda: model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    shown.append(explain(f"{module.__name__}:make").to_json())
    assert [] == [text[max(0, text.index(KEY) - 80) :][:120] for text in shown if KEY in text]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["a client", "a hostile object", "a generator", "a queue", "a generic fake model"])
def test_what_cannot_be_told_apart_is_not_shared(name: str, place: str) -> None:
    """Two models that hold different clients have different keys; one and the same client, the same key."""
    one, other = make(name), make(name)
    keys = [PLACES[place](held).cache_key() for held in (one, other)]
    assert keys[0] != keys[1]
    if (
        place in ("a field", "private state", "a list") and name != "a generic fake model"
    ):  # an iterator has no identity
        assert keys[0] == PLACES[place](one).cache_key()
    assert PLACES[place](one).__langplug_unshared__()


def test_numbers_that_cannot_be_written_down_are_told_apart() -> None:
    """An integer of thousands of digits is shown by its size, and still counts exactly."""
    one, same, other = (ChatHolder(items=[number]) for number in (16**4000, 16**4000, 16**4000 + 1))
    assert one.cache_key() == same.cache_key() != other.cache_key()
    assert ["<int of 16001 bits>"] == one._identifying_params["items"]
    assert "<int of 16001 bits>" in repr(one)


@pytest.mark.parametrize("name", ["a lock", "an rlock", "a condition", "an event"])
def test_a_lock_makes_no_difference(name: str) -> None:
    """What changes no answer does not keep two models from sharing theirs."""
    assert ChatHolder(private=make(name)).cache_key() == ChatHolder(private=make(name)).cache_key()


def test_strangers_are_not_touched_by_pickles_of_plain_models() -> None:
    """A model without strangers pickles as before."""
    assert pickle.loads(pickle.dumps(ChatHolder(items=[1]))).cache_key() == ChatHolder(items=[1]).cache_key()
