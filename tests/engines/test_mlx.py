"""`ChatMLX` with a tiny random Llama, on the real engine; on Linux that is mlx-cpu."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("mlx_lm")
pytest.importorskip("torch")  # which makes the weights

from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests
from pytest_benchmark.fixture import BenchmarkFixture
from tests.engines.tiny_llama import CONTEXT, tiny_llama
from tests.paths import PATHS
from tests.paths import Path as CallPath

from langplug.models import ChatMLX
from langplug.models.gguf.header import BadWeightsError, WeightsNotFoundError
from langplug_check import ContractTests

QUESTION = "What is the capital of Japan?"


@pytest.fixture(scope="module")
def model() -> Iterator[ChatMLX]:
    """Answers the same each time, and yet by chance."""
    model = ChatMLX(model=str(tiny_llama()), temperature=1, seed=3, max_tokens=12)
    yield model
    model.close()


@pytest.mark.parametrize("call", list(PATHS.values()), ids=list(PATHS))
def test_parity(model: ChatMLX, call: CallPath) -> None:
    """Each path gives the same text, finish reason and usage."""
    expected, answered = model.invoke(QUESTION), call(model, QUESTION)
    assert expected.text == answered.text == answered.message.text
    assert expected.usage_metadata == answered.message.usage_metadata
    for name in ("finish_reason", "model_name", "model_provider"):
        assert expected.response_metadata[name] == answered.message.response_metadata[name]


def test_neighbours_change_no_answer(model: ChatMLX) -> None:
    """A seed gives the same answer alone and among others, each of which has a chance of its own."""
    questions = [f"{QUESTION} {number}" for number in range(5)]
    alone = [model.invoke(question).text for question in questions]
    assert alone == [answer.text for answer in model.batch(questions)]

    async def at_once() -> list[str]:
        return [answer.text for answer in await asyncio.gather(*map(model.ainvoke, questions))]

    assert alone == asyncio.run(at_once())


def test_usage_and_the_end_are_told(model: ChatMLX) -> None:
    """Tokens are counted by the model's own tokenizer, and an answer that the limit ends says so."""
    answer = model.invoke(QUESTION, max_tokens=3)
    assert "length" == answer.response_metadata["finish_reason"]
    assert answer.usage_metadata is not None
    assert 3 == answer.usage_metadata["output_tokens"]
    assert len(model.get_token_ids(QUESTION)) < answer.usage_metadata["input_tokens"]


def test_a_stop_string_ends_one_answer_alone(model: ChatMLX) -> None:
    """Who stops leaves the batch, and the others go on to their ends."""
    whole = model.invoke(QUESTION).text
    stopped, other = model.batch([QUESTION, f"{QUESTION} 1"], stop=[whole[2]])
    assert whole[: whole.index(whole[2]) + 1] == stopped.text
    assert other.text


def test_penalties_are_of_the_answer() -> None:
    """What was said becomes less likely, the more often the less; the prompt does not count, as at OpenAI."""
    import mlx.core as mx

    model = ChatMLX(model=str(tiny_llama()), temperature=0, max_tokens=20)
    weights = model.weights
    asked = [{"role": "user", "content": QUESTION}]
    prompt = weights.tokenizer.apply_chat_template(asked, add_generation_prompt=True)
    said: list[int] = []
    for _ in range(20):
        logits = weights.network(mx.array([[*prompt, *said]]))[0, -1]
        for token in set(said):
            logits[token] -= 2.0 * said.count(token) + 1.5
        said.append(int(logits.argmax()))
    answer = model.invoke(QUESTION, frequency_penalty=2, presence_penalty=1.5).text
    assert weights.tokenizer.decode(said) == answer
    assert answer != model.invoke(QUESTION).text
    model.close()


def test_a_prompt_without_room_fails_alone(model: ChatMLX) -> None:
    """It is its caller's error, with both numbers, and its neighbours are answered."""
    answers = model.batch([QUESTION, "word " * CONTEXT, QUESTION], return_exceptions=True)
    assert isinstance(answers[1], ContextOverflowError)
    assert str(CONTEXT) in str(answers[1])
    assert answers[0].text == answers[2].text == model.invoke(QUESTION).text  # type: ignore[union-attr]


def test_who_leaves_frees_the_model(model: ChatMLX) -> None:
    """A stream that is left half-way ends its row, and the next call is answered."""
    stream = model.stream(QUESTION, max_tokens=CONTEXT // 2)
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(model.invoke, QUESTION).result(60).text


def test_what_cannot_be_loaded_is_a_sentence(tmp_path: Any) -> None:
    """A folder without a model, and one that is none, say what was wrong."""
    with pytest.raises((WeightsNotFoundError, BadWeightsError), match="nothing"):
        ChatMLX(model=str(tmp_path / "nothing")).invoke(QUESTION)
    with pytest.raises(ValueError, match="ChatGGUF"):
        ChatMLX(model="weights.gguf")


def tiny_model() -> ChatMLX:
    """The model, made in the process in which it is checked."""
    return ChatMLX(model=str(tiny_llama()), temperature=0, max_tokens=8)


class TestContract(ContractTests):
    factory = staticmethod(tiny_model)


@pytest.fixture
def benchmark(benchmark: BenchmarkFixture) -> BenchmarkFixture:
    """What `test_init_time` measures need not be measured here; it only has to work."""
    benchmark.disabled = True
    return benchmark


class TestUnit(ChatModelUnitTests):
    """langchain-tests' unit tests."""

    supports_model_override = False

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatMLX

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": str(tiny_llama())}
