"""Group N of the contract: token counting."""

from collections.abc import Callable

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from tests.echo_models import MakeModel

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
