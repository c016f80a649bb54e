"""Many calls of one `ChatTransformers` at once: what each gets is its own, and nobody harms a neighbour."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.exceptions import ContextOverflowError, ModelAPIError, ModelError, ModelInvalidRequestError
from tests.engines.tiny_llama import save_llama, tiny_llama, usage_of

from langplug.models import ChatTransformers
from langplug.models.transformers.batch import Batch, Reading

QUESTION = "What is the capital of Japan?"
STORY = "Tell me a very long story about the sea."
SOON_S = 3.0
"""What a busy machine may need for what takes a few milliseconds on an idle one."""


@pytest.fixture(scope="module")
def model() -> Iterator[ChatTransformers]:
    """In float64, so that no rounding depends on the company, and with chunks that are shorter than most prompts."""
    sampled: dict[str, Any] = {"temperature": 1, "seed": 3, "max_tokens": 16, "prefill_chunk": 24}
    model = ChatTransformers(model=str(tiny_llama()), dtype="float64", **sampled)
    model.engine.load()
    yield model
    model.close()


PARAMETERS: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 0.7, "top_k": 5},
    {"temperature": 1.5, "top_p": 0.8},
    {"temperature": 2, "min_p": 0.1},
    {"temperature": 1, "repetition_penalty": 1.3, "frequency_penalty": 0.5},
    {"max_tokens": 1},
    {"max_tokens": 40},
    {"top_logprobs": 2},
    {"stop": ["e", "\N{HIRAGANA LETTER NO}"]},
]

CALLS = st.lists(
    st.tuples(st.sampled_from(PARAMETERS), st.integers(0, 9), st.text(min_size=1, max_size=60)), min_size=1, max_size=8
)


@given(calls=CALLS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_gets_what_it_gets_alone(model: ChatTransformers, calls: list[tuple[dict[str, Any], int, str]]) -> None:
    """Whatever others ask at the same time, each call gets the answer that it gets alone, with its own parameters."""

    def ask(call: tuple[dict[str, Any], int, str]) -> Any:
        parameters, seed, question = call
        answer = model.invoke(question, seed=seed, **parameters)
        return answer.text, answer.response_metadata["finish_reason"], answer.usage_metadata

    with ThreadPoolExecutor(len(calls)) as pool:
        together = list(pool.map(ask, calls))
    assert [ask(call) for call in calls] == together


def test_all_inputs_of_a_batch_run_at_once(model: ChatTransformers, monkeypatch: pytest.MonkeyPatch) -> None:
    """`batch` hands over all its inputs, and they share the network's steps."""
    sizes: list[int] = []
    original = Batch.step

    def step(self: Batch) -> None:
        sizes.append(len(self.rows))
        original(self)

    monkeypatch.setattr(Batch, "step", step)
    model.batch([STORY] * 16, max_tokens=100, temperature=0)
    assert max(sizes) == 16
    sizes.clear()
    model.batch([STORY] * 16, config={"max_concurrency": 2}, max_tokens=10)
    assert max(sizes) <= 2


async def test_late_calls_join(model: ChatTransformers) -> None:
    """A call that comes while a long one is answered begins at once, and ends before it."""
    long = model.astream(STORY, max_tokens=900, temperature=0)
    assert await anext(long)
    answer = await model.ainvoke(QUESTION, max_tokens=3)
    assert usage_of(answer)["output_tokens"] == 3
    ended = [chunk async for chunk in long]
    assert len(ended) > 3


async def test_callers_of_threads_and_loops_share(model: ChatTransformers) -> None:
    """Calls from several threads, each with its own event loop or none, are answered by one engine."""
    expected = model.invoke(QUESTION).text

    def in_a_loop() -> list[str]:
        async def ask() -> list[str]:
            answers = await asyncio.gather(*(model.ainvoke(QUESTION) for _ in range(4)))
            return [answer.text for answer in answers]

        return asyncio.run(ask())

    jobs = [asyncio.to_thread(in_a_loop) for _ in range(4)]
    jobs += [asyncio.to_thread(lambda: [model.invoke(QUESTION).text]) for _ in range(4)]
    answers = await asyncio.gather(*jobs)
    assert {expected} == {text for some in answers for text in some}


async def test_a_leave_frees_the_row(model: ChatTransformers) -> None:
    """A caller who leaves frees its row with the next token, also while its prompt is read or it waits."""
    lone = ChatTransformers(model=model.model, temperature=0, max_batch=1, max_tokens=900, prefill_chunk=8)
    await lone.engine.aload()
    stream = lone.astream(STORY)
    await anext(stream)
    waiting = asyncio.create_task(lone.ainvoke(STORY))
    await asyncio.sleep(0)
    began = time.monotonic()
    waiting.cancel()
    await stream.aclose()
    answer = await lone.ainvoke(QUESTION, max_tokens=2)
    assert time.monotonic() - began < SOON_S
    assert usage_of(answer)["output_tokens"] <= 2
    with pytest.raises(asyncio.CancelledError):
        await waiting
    lone.close()


@pytest.mark.parametrize("where", ["prompt", "answer"])
async def test_a_leave_breaks_the_network_off(model: ChatTransformers, where: str) -> None:
    """When the last caller has left, the layer that runs is the last one, of a prompt as of an answer."""
    lone = ChatTransformers(model=model.model, temperature=0, max_tokens=900, max_batch=4)
    first, second = (await lone.engine.aload()).network.model.layers
    entered, has_left, ran = threading.Event(), threading.Event(), 0
    tokens = 1 if where == "answer" else 64

    def stop_in_the_first(_: Any, given: tuple[Any, ...]) -> None:
        if not has_left.is_set() and (given[0].shape[1] == 1) is (tokens == 1):
            entered.set()
            has_left.wait(30)

    def count_the_second(*_: Any) -> None:
        nonlocal ran
        ran += has_left.is_set()

    first.register_forward_pre_hook(stop_in_the_first)
    second.register_forward_pre_hook(count_the_second)
    asking = asyncio.create_task(lone.ainvoke(STORY * 5))
    await asyncio.to_thread(entered.wait, 30)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    has_left.set()
    await asyncio.to_thread(lone.engine.wait_idle, 30)
    assert ran == 0
    assert usage_of(await lone.ainvoke(QUESTION, max_tokens=3))["output_tokens"] <= 3
    lone.close()


def test_many_prompts_are_read_at_once(model: ChatTransformers, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody waits for a token, prompts are read in few large pieces, and in small ones while somebody does."""
    sizes: list[tuple[int, int]] = []
    original = Reading.read

    def read(self: Reading, tokens: int) -> bool:
        sizes.append((len(self.rows), tokens))
        return original(self, tokens)

    monkeypatch.setattr(Reading, "read", read)
    model.batch([STORY] * 8, temperature=0, max_tokens=2)
    assert max(tokens for _, tokens in sizes) == 16 * 24
    stream = model.stream(STORY, max_tokens=900, temperature=0)
    next(stream)
    sizes.clear()
    model.invoke(STORY, max_tokens=2)
    assert {(1, 24)} == set(sizes)
    list(stream)


BAD_SCHEMA = {"title": "x", "type": "object", "properties": {"a": {"type": "string", "pattern": "(?<=x)y"}}}


@pytest.mark.parametrize(
    ("poison", "error"),
    [
        ({"input": "many words " * 300}, ContextOverflowError),
        ({"input": QUESTION, "chat_template": "{{ raise_exception('no') }}"}, ModelInvalidRequestError),
        ({"input": QUESTION, "chat_template": "{% for x in %}"}, ModelInvalidRequestError),
        (
            {"input": QUESTION, "response_format": {"type": "json_schema", "json_schema": {"schema": BAD_SCHEMA}}},
            ModelError,
        ),
    ],
    ids=["overlong", "refused", "broken", "schema"],
)
def test_poison_harms_no_neighbour(model: ChatTransformers, poison: dict[str, Any], error: type[Exception]) -> None:
    """A request that cannot be answered fails alone: of fifty neighbours none fails or gets another answer."""
    expected = [model.invoke(QUESTION, seed=seed, max_tokens=6).text for seed in range(50)]
    failures: list[BaseException] = []

    def ask(number: int) -> str:
        if number % 5 == 0:
            try:
                model.invoke(**poison)
            except Exception as raised:  # noqa: BLE001 - looked at below
                failures.append(raised)
        return model.invoke(QUESTION, seed=number, max_tokens=6).text

    with ThreadPoolExecutor(16) as pool:
        assert expected == list(pool.map(ask, range(50)))
    assert 10 == len(failures)
    assert all(isinstance(one, error | ValueError) for one in failures), failures


def test_a_token_that_the_network_does_not_know(tmp_path: Any) -> None:
    """Where tokenizer and weights do not belong together, the call fails, and the next is answered."""
    torch = pytest.importorskip("torch")
    made = ChatTransformers(model=str(save_llama(tmp_path)), max_tokens=4, temperature=0)
    weights = made.engine.load()
    weights.tokenizer.add_tokens(["STRANGE"])
    with pytest.raises(ModelInvalidRequestError, match="belong to different models"):
        made.invoke("a STRANGE word")
    assert made.invoke("a word").text is not None
    with torch.no_grad():
        weights.network.lm_head.weight.fill_(float("nan"))
    with pytest.raises(ModelAPIError, match="gave no numbers"):
        made.invoke("a word")
    made.close()


def test_prompts_that_fail_together_are_read_alone(model: ChatTransformers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reading several prompts at once fails, each is read again by itself, and only the one at fault fails."""
    original = Reading.read

    def read(self: Reading, tokens: int) -> bool:
        if any(row.question.seed == 666 for row in self.rows):
            raise MemoryError("too long")
        return original(self, tokens)

    expected = [model.invoke(QUESTION, seed=seed).text for seed in range(6)]
    monkeypatch.setattr(Reading, "read", read)
    with ThreadPoolExecutor(7) as pool:
        bad = pool.submit(model.invoke, QUESTION, seed=666)
        good = list(pool.map(lambda seed: model.invoke(QUESTION, seed=seed).text, range(6)))
    assert expected == good
    with pytest.raises(ModelAPIError, match="too long"):
        bad.result()


def test_closing_ends_what_runs(model: ChatTransformers) -> None:
    """Closing the model ends answers with an error; used again, it loads anew."""
    lone = ChatTransformers(model=model.model, temperature=0, max_batch=2, max_tokens=900)
    stream = lone.stream(STORY)
    next(stream)
    lone.engine.close()
    with pytest.raises(ModelAPIError, match="was closed"):
        list(stream)
    lone.close()
    assert lone.invoke(QUESTION, max_tokens=2).text is not None
    lone.close()


def test_models_of_other_kinds_of_memory_take_turns(monkeypatch: pytest.MonkeyPatch, model: ChatTransformers) -> None:
    """Where rows cannot share a cache, as with recurrent layers, calls are answered one by one, each rightly."""
    expected = [model.invoke(QUESTION, seed=seed).text for seed in range(4)]
    lone = ChatTransformers(model=model.model, temperature=1, max_tokens=16, max_batch=7)
    monkeypatch.setattr(lone.engine.load(), "joins", False)
    with ThreadPoolExecutor(4) as pool:
        assert expected == list(pool.map(lambda seed: lone.invoke(QUESTION, seed=seed).text, range(4)))
    lone.close()


@pytest.mark.parametrize("window", [8])
def test_sliding_windows(tmp_path: Any, window: int) -> None:
    """Layers with a sliding window give the same alone, in a batch, and as `generate`, beyond the window too."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    folder = save_llama(tmp_path)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = MistralConfig(
        **sizes, num_key_value_heads=2, vocab_size=300, sliding_window=window, initializer_range=0.5, eos_token_id=2
    )
    MistralForCausalLM(config).save_pretrained(folder)
    made = ChatTransformers(model=str(folder), temperature=0, max_tokens=30)
    weights = made.engine.load()
    assert weights.joins
    asked = [QUESTION, "hi", STORY]
    alone = [made.invoke(one).text for one in asked]
    assert alone == [answer.text for answer in made.batch(asked)]
    for question, text in zip(asked, alone, strict=True):
        inputs = weights.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        ids = weights.network.generate(**inputs, max_new_tokens=30, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert weights.text_of([one for one in ids.tolist() if one not in weights.stop_ids]) == text
    made.close()


def test_the_caller_may_be_slow(model: ChatTransformers) -> None:
    """A reader who does not read holds up nobody."""
    slow = model.stream(STORY, max_tokens=200)
    next(slow)
    done = threading.Event()

    def ask() -> None:
        model.invoke(QUESTION)
        done.set()

    threading.Thread(target=ask).start()
    assert done.wait(30)
    assert list(slow)
