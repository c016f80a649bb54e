"""Group G of the contract: the cache."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, PrivateAttr
from tests.contract.conftest import SECRET
from tests.echo_models import MakeModel
from tests.paths import Path, by_ainvoke, by_invoke

from langplug import ChatModel, Part, Reasoning, Request, chat_model

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
