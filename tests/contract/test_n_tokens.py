"""Group N of the contract: token counting."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    get_buffer_string,
)
from langchain_core.tools import tool
from tests.echo_models import MakeModel

from langplug import Request, chat_model

TEXT = "Three wise monkeys sat on a branch, and said nothing at all."


def test_n01_an_estimate_is_near(make_model: MakeModel) -> None:
    """Without a tokenizer the count is an estimate: a little more than the words, and none for nothing."""
    model = make_model()
    words = len(TEXT.split())
    assert words <= model.get_num_tokens(TEXT) <= 2 * words
    assert 0 == model.get_num_tokens("")
    assert model.get_num_tokens(TEXT) == len(model.get_token_ids(TEXT))


@pytest.mark.parametrize("text", ["你好，世界", "👩‍👩‍👧‍👦", "a\ud800b", "  \n\t ", "x" * 100_000])
def test_n01_every_text_can_be_counted(make_model: MakeModel, text: str) -> None:
    """Any text has a count, and a longer one has no lower."""
    model = make_model()
    assert 0 < model.get_num_tokens(text) <= model.get_num_tokens(text * 2) <= 2 * len(text) * 2


def test_n01_messages_are_counted(make_model: MakeModel) -> None:
    """Messages count with their roles; a longer conversation has more."""
    model = make_model()
    one = model.get_num_tokens_from_messages([HumanMessage(TEXT)])
    assert model.get_num_tokens(TEXT) < one
    assert one < model.get_num_tokens_from_messages([HumanMessage(TEXT), AIMessage("Yes.")])


@pytest.mark.parametrize("count", [len, lambda text: len(text.split())], ids=["characters", "words"])
def test_n01_the_author_or_user_can_count(make_model: MakeModel, count: Callable[[str], int]) -> None:
    """A `token_counter` is what counts."""
    model = make_model(token_counter=count)
    assert count(TEXT) == model.get_num_tokens(TEXT)
    assert count(f"Human: {TEXT}") == model.get_num_tokens_from_messages([HumanMessage(TEXT)])


def test_n01_langchains_own_counter_counts(make_model: MakeModel) -> None:
    """`custom_get_token_ids`, which every LangChain model has, is used too."""
    model = make_model(custom_get_token_ids=lambda text: list(range(len(text))))
    assert (len(TEXT), list(range(len(TEXT)))) == (model.get_num_tokens(TEXT), model.get_token_ids(TEXT))


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return city


@pytest.mark.parametrize("tool_calling", ["prompted", "native", "off"])
def test_n01_tools_add_to_the_count(make_model: MakeModel, tool_calling: str) -> None:
    """Tools are counted with what is sent of them; without a warning, and never fewer tokens for more tools."""
    model = make_model(tool_calling=tool_calling)
    messages: list[BaseMessage] = [HumanMessage(TEXT)]
    without, with_one = (model.get_num_tokens_from_messages(messages, tools=tools) for tools in ([], [weather]))
    assert without == model.get_num_tokens_from_messages(messages)
    assert without <= with_one
    if tool_calling != "off":
        assert with_one - without >= model.get_num_tokens("weather The weather in a city. city")


def test_n01_a_prompted_model_counts_the_very_text_that_it_is_given() -> None:
    """The count with tools is that of the messages that `respond` gets."""
    seen: list[Request] = []

    @chat_model
    def model(request: Request) -> str:
        seen.append(request)
        return "hi"

    counted = model(token_counter=len)
    counted.bind_tools([weather]).invoke(TEXT)
    assert counted.get_num_tokens_from_messages([HumanMessage(TEXT)], tools=[weather]) == len(
        "".join(get_buffer_string([message]) for message in seen[0].messages)
    )


@pytest.mark.parametrize(
    "history",
    [
        [],
        [AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])],
        [AIMessage("a"), AIMessage("b")],
        [ToolMessage("r", tool_call_id="1")],
        [HumanMessage([{"type": "image", "url": "http://localhost/a.png"}])],
        [HumanMessage([{"type": "unheard_of", "x": 1}])],
    ],
)
def test_n01_every_history_has_a_count(make_model: MakeModel, history: list[BaseMessage]) -> None:
    """No history is refused, as a part of it may be counted to find out what to leave out; a longer one has more."""
    model = make_model()
    assert model.get_num_tokens_from_messages(history) < model.get_num_tokens_from_messages(
        [*history, HumanMessage(TEXT)]
    )


def test_n01_bound_tools_are_counted(make_model: MakeModel) -> None:
    """A model with bound tools counts them, as `trim_messages(token_counter=model.bind_tools(tools))` wants it."""
    model = make_model()
    messages: list[BaseMessage] = [HumanMessage(TEXT)]
    bound: Any = model.bind_tools([weather])
    with_tools = model.get_num_tokens_from_messages(messages, tools=[weather])
    assert with_tools == bound.get_num_tokens_from_messages(messages)
    assert with_tools == bound.with_config(tags=["a"]).get_num_tokens_from_messages(messages)
    refused = [HumanMessage([{"type": "unheard_of"}])]
    assert model.get_num_tokens_from_messages(refused) < model.get_num_tokens_from_messages(refused, tools=[weather])
