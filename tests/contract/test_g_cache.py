"""Group G of the contract: the cache."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, PrivateAttr, SecretStr
from tests.contract.conftest import SECRET
from tests.paths import Path, beta_allowed, by_ainvoke, by_invoke
from tests.zoo import ZOO, MakeModel

from langplug import ChatModel, Part, Reasoning, Request, Usage, chat_model
from langplug.models import ChatScripted

Level = Literal["open", "TopSecret"]

WHOLE = pytest.mark.parametrize("path", [by_invoke, by_ainvoke], ids=["invoke", "ainvoke"])


class Counting(InMemoryCache):
    """Counts what it is asked and given."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups: list[str] = []
        self.updates: list[Any] = []

    def lookup(self, prompt: str, llm_string: str) -> Any:
        self.lookups.append(llm_string)
        return super().lookup(prompt, llm_string)

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        self.updates.append(return_val)
        super().update(prompt, llm_string, return_val)


class ChatCounting(ChatModel):
    """Says how often it was asked."""

    model: str = "counter"
    temperature: float = 0.0
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[str]:
        return self._asked

    def respond(self, request: Request, /) -> Iterator[Part]:
        self.asked.append(request.text)
        yield Reasoning("hm")
        yield f"answer {len(self.asked)}"


# --- hits ---


@WHOLE
def test_g01_a_hit_asks_no_model(path: Path) -> None:
    """The second equal call is answered from the cache: same content, no call of the model."""
    model = ChatCounting(cache=Counting())
    first, second = path(model, "x").message, path(model, "x").message
    assert "answer 1" == first.text == second.text
    assert first.content == second.content
    assert first.content_blocks == second.content_blocks
    assert first.response_metadata == second.response_metadata
    assert 1 == len(model.asked)


@WHOLE
def test_g01_every_animal_can_be_cached(make_model: MakeModel, path: Path) -> None:
    """A hit gives what the first call gave, whatever the model's shape."""
    cache = Counting()
    model = make_model(cache=cache)
    first, second = path(model, "/think one two").message, path(model, "/think one two").message
    assert first.content_blocks == second.content_blocks
    assert (2, 1) == (len(cache.lookups), len(cache.updates))


def test_g01_sync_and_async_share_their_hits() -> None:
    """What `invoke` put in, `ainvoke` gets out."""
    model = ChatCounting(cache=Counting())
    assert "answer 1" == by_invoke(model, "x").text == by_ainvoke(model, "x").text


def test_g02_what_is_cached_survives_a_store(make_model: MakeModel) -> None:
    """A cached generation can be dumped and loaded, as caches in databases do."""
    cache = Counting()
    make_model(cache=cache).invoke("/think one two")
    (stored,) = cache.updates
    with beta_allowed():
        (loaded,) = [loads(dumps(generation), allowed_objects="all") for generation in stored]
    assert stored[0].message.content == loaded.message.content
    assert stored[0].message.usage_metadata == loaded.message.usage_metadata


@WHOLE
def test_g03_no_usage_stays_no_usage(path: Path) -> None:
    """A hit of an answer without usage has none either."""
    model = ChatCounting(cache=Counting())
    assert [None] * 3 == [path(model, "x").message.usage_metadata for _ in range(3)]


@WHOLE
def test_g03_usage_stays_what_it_was(path: Path) -> None:
    """A hit has the tokens of the first answer; that it cost nothing is core's note."""
    reply = ["x", Usage(input_tokens=2, output_tokens=1)]
    model = ChatScripted(replies=[reply], cache=Counting())
    first, hit = path(model, "x").message.usage_metadata, path(model, "x").message.usage_metadata
    assert {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3} == first
    assert first is not None
    assert {**first, "total_cost": 0} == hit


def test_a_hit_can_be_changed_by_its_owner() -> None:
    """Whoever changes the message of a hit changes no later hit."""
    model = ChatCounting(cache=Counting())
    model.invoke("x")
    hit = model.invoke("x")
    hit.content = "changed"
    hit.response_metadata["model_name"] = "changed"
    assert "answer 1" == model.invoke("x").text
    assert "counter" == model.invoke("x").response_metadata["model_name"]


@WHOLE
def test_c01_each_hit_has_an_id_of_its_own(path: Path) -> None:
    """Hits of one entry are told apart by id, or a history in LangGraph would take the second for the first."""
    model = ChatCounting(cache=Counting())
    ids = [path(model, "x").message.id for _ in range(4)]
    assert 4 == len(set(ids))
    assert all(ids)


# --- which cache ---


@pytest.fixture
def global_cache() -> Iterator[Counting]:
    """A cache for all models."""
    cache, before = Counting(), get_llm_cache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(before)


def test_a_global_cache_is_used(global_cache: Counting) -> None:
    """Without a word of the model's, and with `cache=True`, the global cache is used."""
    for cache in (None, True):
        model = ChatCounting(cache=cache)
        assert by_invoke(model, str(cache)).text == by_invoke(model, str(cache)).text
    assert 4 == len(global_cache.lookups)


def test_a_model_can_do_without(global_cache: Counting) -> None:
    """`cache=False` passes a global cache by."""
    model = ChatCounting(cache=False)
    assert ["answer 1", "answer 2"] == [model.invoke("x").text for _ in range(2)]
    assert [] == global_cache.lookups


@WHOLE
def test_a_cache_that_is_not_there_is_an_error(path: Path) -> None:
    """`cache=True` without a global cache raises."""
    with pytest.raises(ValueError, match="no cache found"):
        path(ChatCounting(cache=True), "x")


# --- what tells entries apart ---


def key(model: ChatModel, /, **kwargs: Any) -> str:
    return model._get_llm_string(**kwargs)


def test_g04_the_key_knows_the_call() -> None:
    """Another stop, parameter or tool for the call is another entry; the same ones are the same."""
    model = ChatCounting()
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    calls: list[dict[str, Any]] = [
        {},
        {"stop": ["a"]},
        {"stop": ["b"]},
        {"temperature": 1.0},
        {"model": "other"},
        {"tools": [tool]},
        {"tools": [{**tool, "function": {"name": "g", "parameters": {}}}]},
        {"tools": [tool], "tool_choice": "any"},
        {"response_format": {"type": "json_object"}},
    ]
    keys = [key(model, **call) for call in calls]
    assert len(calls) == len(set(keys))
    assert keys == [key(ChatCounting(), **call) for call in calls]
    assert not any(" at 0x" in one for one in keys)


@pytest.mark.parametrize("change", ["assignment", "copy", "call", "constructor"])
@WHOLE
def test_b06_a_changed_field_is_a_fresh_key(path: Path, change: str) -> None:
    """However a field is changed after the first use, the old answer is not served."""
    cache = Counting()
    model = ChatCounting(cache=cache)
    assert "answer 1" == path(model, "x").text
    kwargs: dict[str, Any] = {}
    if change == "assignment":
        model.temperature = 1.0
    elif change == "copy":
        model = model.model_copy(update={"temperature": 1.0})
    elif change == "call":
        kwargs["temperature"] = 1.0
    else:
        model = ChatCounting(cache=cache, temperature=1.0)
    assert path(model, "x", **kwargs).text.startswith("answer ")
    assert 2 == len(set(cache.lookups))


@pytest.mark.parametrize(
    "field", [{"model": "zoo-2"}, {"temperature": 0.6}, {"suffix": "!"}, {"mode": "spell"}, {"include_stop": False}]
)
def test_b04_every_field_counts(make_model: MakeModel, field: dict[str, Any]) -> None:
    """Models that differ in any one field have different keys."""
    assert key(make_model()) == key(make_model())
    assert key(make_model()) != key(make_model(**field))


def test_no_two_classes_share_an_entry() -> None:
    """Eight classes of the same fields, eight keys."""
    assert len(ZOO) == len({key(make()) for make in ZOO.values()})


def test_the_key_holds_no_secret(make_model: MakeModel) -> None:
    """No key shows a secret, and the same model with another key has the same entry."""
    assert SECRET not in key(make_model())
    assert key(make_model()) == key(make_model(api_key=SecretStr("another")))


class Options(BaseModel):
    """Settings of settings."""

    top: int = 1


class ChatNested(ChatModel):
    """Has fields of every kind, one of them named as one of langchain-core's."""

    name: str = "a"
    options: Options = Options()
    table: dict[str, list[int]] = {}  # noqa: RUF012
    choices: frozenset[str] = frozenset()
    style: str = "plain"
    clean: Callable[[str], str] | None = None

    def respond(self, request: Request, /) -> str:
        return self.name or ""


@pytest.mark.parametrize(
    "field",
    [
        {"name": "b"},
        {"options": Options(top=2)},
        {"table": {"x": [1]}},
        {"choices": frozenset({"x"})},
        {"style": "fancy"},
        {"clean": str.strip},
        {"clean": lambda text: text.upper()},
        {"clean": partial(str.replace, "a")},
    ],
    ids=lambda field: next(iter(field)),
)
def test_b04_fields_of_any_kind_count(field: dict[str, Any]) -> None:
    """Nested models, mappings, sets and functions tell models apart, and so does a field that core has too."""
    assert key(ChatNested()) != key(ChatNested(**field))
    assert key(ChatNested(**field)) == key(ChatNested(**field))
    assert " at 0x" not in key(ChatNested(**field))


def test_functions_without_a_name_of_their_own_are_told_apart() -> None:
    """Two lambdas, two closures and two partials are two settings; the same one made twice is one."""

    def adding(text: str) -> Callable[[str], str]:
        return lambda given: given + text

    upper, lower = ChatNested(clean=lambda given: given.upper()), ChatNested(clean=lambda given: given.lower())
    assert key(upper) != key(lower)
    assert key(ChatNested(clean=adding("a"))) != key(ChatNested(clean=adding("b")))
    assert key(ChatNested(clean=adding("a"))) == key(ChatNested(clean=adding("a")))
    assert key(ChatNested(clean=partial(max, "a"))) != key(ChatNested(clean=partial(max, "b")))


class Client:
    """An object of somebody else's library, with a key in the open."""

    def __init__(self) -> None:
        self.api_key = SECRET
        self.headers = {"Authorization": f"Bearer {SECRET}", "Accept": "text"}
        self.region = "eu"


def test_keys_inside_other_objects_stay_inside() -> None:
    """An object of somebody else's counts as itself: it is not looked into, and another one is another setting."""

    class ChatClient(ChatModel):
        client: Any

        def respond(self, request: Request, /) -> str:
            return "x"

    model = ChatClient(client=Client())
    assert SECRET not in key(model)
    assert key(model) == key(ChatClient(client=model.client))
    assert key(model) != key(ChatClient(client=Client()))


def test_a_key_does_not_depend_on_order() -> None:
    """Mappings and sets filled in another order have the same key."""
    first = ChatNested(table={"a": [1], "b": [2]}, choices=frozenset({"x", "y", "z"}))
    second = ChatNested(table={"b": [2], "a": [1]}, choices=frozenset({"z", "y", "x"}))
    assert key(first) == key(second)


def test_a_field_with_secret_in_its_type_name_is_no_secret() -> None:
    """A choice called secret is a setting like others, and counts."""

    @chat_model
    def keeper(request: Request, *, level: Level = "open") -> str:
        return level

    class ChatKeeper(ChatModel):
        level: Level = "open"

        def respond(self, request: Request, /) -> str:
            return self.level

    assert key(keeper(level="open")) != key(keeper(level="TopSecret"))
    assert key(ChatKeeper(level="open")) != key(ChatKeeper(level="TopSecret"))


# --- many at once ---


async def test_concurrent_calls_do_not_mix_up_entries(make_model: MakeModel) -> None:
    """40 concurrent calls of 10 prompts through one cache each get the answer to their own prompt."""
    model = make_model(cache=Counting())
    prompts = [f"prompt {number % 10}" for number in range(40)]
    answers = await asyncio.gather(*[model.ainvoke(prompt) for prompt in prompts])
    assert prompts == [answer.text for answer in answers]


def test_the_history_counts() -> None:
    """The same last message behind another history is another entry; message ids do not matter."""
    cache = Counting()
    model = ChatCounting(cache=cache)
    short = [HumanMessage("x")]
    long = [HumanMessage("a"), AIMessage("b"), HumanMessage("x")]
    assert "answer 1" == model.invoke(short).text
    assert "answer 2" == model.invoke(long).text
    assert "answer 1" == model.invoke([HumanMessage("x", id="other")]).text
