"""What OpenVINO lacks and `ChatGGUF` adds, on the real engine. `tests/models/test_gguf*.py` say the rest of it.

`make test-engines` runs this, in an environment that has OpenVINO.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from langchain_core.exceptions import ContextOverflowError, ModelAPIError, ModelInvalidRequestError
from langchain_core.messages import HumanMessage
from tests.models.test_gguf_ebnf import CASES, SCHEMAS
from tests.waiting import until

from langplug import UnsupportedError
from langplug.models import ChatGGUF
from langplug.models.gguf import openvino
from langplug.models.gguf.ebnf import ebnf_of
from langplug.models.gguf.engine import Asked
from langplug.models.gguf.vocabulary import encode_all
from langplug.models.gguf.weights import SMOLLM2, find, pull

pytest.importorskip("openvino_genai", reason="engines that are large are tested by `make test-engines`")

STORY = "Write a very long story about the sea."
QUESTION = "What is the capital of Japan?"
WILD: dict[str, Any] = {"temperature": 2, "top_p": 1, "min_p": 0, "top_k": 0}
BROKEN = "root ::= nowhere"
"""A grammar that OpenVINO cannot compile, and that no schema makes."""


@pytest.fixture(scope="module")
def model() -> Iterator[ChatGGUF]:
    """Greedy, with room for many at once."""
    if find(SMOLLM2) is None:
        pull(SMOLLM2)
    model = ChatGGUF(engine="openvino", temperature=0, n_ctx=512, parallel=64, max_tokens=12)
    model.invoke("hi", max_tokens=1)
    yield model
    model.close()


def asked(question: str, **more: Any) -> Asked:
    """A question as the engine takes it."""
    schema = more.pop("schema", None)
    prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    return Asked(body={"temperature": 0, "max_tokens": 12, **more}, prompt=lambda: prompt, schema=schema)


def begins(text: object) -> list[str]:
    """How an answer begins, or what it is instead. Further on, near ties fall with what else is in the batch."""
    return str(text).split()[:4]


async def text_of(model: ChatGGUF, request: Asked) -> str:
    """The text of an answer of the engine itself."""
    async with aclosing(model.runtime.chat(request)) as parts:
        return "".join([part async for part in parts if isinstance(part, str)])


async def test_one_bad_request_harms_no_other(model: ChatGGUF) -> None:
    """Of fifty requests none is harmed by a bad schema, a prompt that is too long and a broken text among them."""
    questions = [f"What is the capital of {place}?" for place in ("Japan", "France", "Italy", "Spain", "Peru")] * 10
    bad = {"title": "T", "type": "object", "properties": {"a": {"$ref": "#/nowhere"}}, "required": ["a"]}
    poison: list[Any] = [
        model.with_structured_output(bad).ainvoke("Hello!"),
        model.ainvoke("word " * 3000),
        model.ainvoke([HumanMessage("lone surrogate: \ud800")]),
    ]
    alone = dict(zip(questions[:5], await model.abatch(questions[:5]), strict=True))  # type: ignore[arg-type]
    answers = await asyncio.gather(*map(model.ainvoke, questions), *poison, return_exceptions=True)
    expected = [begins(alone[question].text) for question in questions]
    assert expected == [begins(getattr(one, "text", one)) for one in answers[:50]]
    assert [ValueError, ContextOverflowError, ModelInvalidRequestError] == [
        next(kind for kind in type(one).__mro__ if kind in (ContextOverflowError, ModelInvalidRequestError, ValueError))
        for one in answers[50:]
    ]


async def test_a_break_harms_no_other(model: ChatGGUF, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a request breaks the engine all the same, it alone fails: the others go on where they were, none twice."""
    monkeypatch.setattr(openvino, "ebnf_of", lambda schema: BROKEN)
    places = ["Japan", "France", "Italy", "Spain", "Peru"] * 10
    running = [asyncio.ensure_future(model.ainvoke(f"What is the capital of {place}?")) for place in places]
    await asyncio.sleep(0.2)  # some have begun by then, or all wait: either must do
    with pytest.raises(ModelInvalidRequestError, match="OpenVINO refuses the request"):
        await text_of(model, asked("Hello!", schema={"type": "integer"}))
    answers = await asyncio.gather(*running)
    assert [] == [answer.text for answer, place in zip(answers, places, strict=True) if place not in answer.text]
    assert all(0 < answer.usage_metadata["output_tokens"] <= 12 for answer in answers if answer.usage_metadata)
    monkeypatch.undo()
    assert (await text_of(model, asked("A number:", schema={"type": "integer"}))).lstrip("-").isdigit()


async def test_two_that_break_it_at_once(model: ChatGGUF, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that could be to blame each is tried alone, and only those that are fail."""
    good, grammar = {"type": "boolean"}, ebnf_of
    monkeypatch.setattr(openvino, "ebnf_of", lambda schema: grammar(schema) if "boolean" in schema else BROKEN)
    requests = [asked("Is it?", schema=schema) for schema in (good, {"type": "integer"}, good, {"type": "null"})]
    answers = await asyncio.gather(*(text_of(model, one) for one in requests), return_exceptions=True)
    assert [True, False, True, False] == [answer in ("true", "false") for answer in answers]
    assert all(isinstance(answer, ModelInvalidRequestError) for answer in answers[1::2])


@pytest.mark.parametrize(("schema", "good"), [case[:2] for case in CASES], ids=lambda value: json.dumps(value)[:40])
async def test_grammars_compile(model: ChatGGUF, schema: Any, good: list[str]) -> None:
    """OpenVINO takes every form of grammar that schemas make, and keeps to it."""
    if not isinstance(schema, dict):
        return
    try:
        text = await text_of(model, asked("Answer in JSON.", schema=schema, max_tokens=60, **WILD))
    except ValueError as error:  # refused before it reached the engine
        assert "cannot be turned into a grammar" in str(error)  # noqa: PT017 - most schemas raise nothing
        return
    assert text
    if good == [text] or "enum" in schema or "const" in schema:
        assert text in good


async def test_a_cancelled_answer_ends_at_once(model: ChatGGUF, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever leaves is gone within 0.1 s, and the engine has cleared the answer away with its next step but one."""
    pipeline = model.runtime.load().batcher.pipeline  # type: ignore[attr-defined]
    step, steps = pipeline.step, 0

    def counting() -> None:
        nonlocal steps
        step()
        steps += 1

    monkeypatch.setattr(pipeline, "step", counting)
    for _ in range(5):
        stream = model.astream(STORY, max_tokens=400)
        async for chunk in stream:
            if chunk.text:
                break
        started = time.perf_counter()
        await stream.aclose()  # type: ignore[attr-defined]
        assert time.perf_counter() - started < 0.1
        before = steps
        await asyncio.to_thread(until, lambda: not pipeline.has_work())
        assert steps - before <= 2


async def test_leaving_with_a_bad_request(model: ChatGGUF, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that breaks the engine, and whose caller has left by then, is not blamed on one with a grammar."""
    grammar = ebnf_of
    monkeypatch.setattr(openvino, "ebnf_of", lambda schema: grammar(schema) if "boolean" in schema else BROKEN)
    for turns in range(4):
        bad = asyncio.ensure_future(text_of(model, asked("Hello!", schema={"type": "null"})))
        good = asyncio.ensure_future(text_of(model, asked("Is it?", schema={"type": "boolean"})))
        for _ in range(turns):
            await asyncio.sleep(0.01)
        bad.cancel()
        assert await good in ("true", "false")


async def test_an_engine_that_cannot_be_loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the engine breaks and cannot be loaded at once, its requests are told so, and the next one tries again."""
    other = ChatGGUF(engine="openvino", temperature=0, n_ctx=256, max_tokens=12)
    await other.ainvoke("hi", max_tokens=1)
    batcher = other.runtime.load().batcher  # type: ignore[attr-defined]

    def fails() -> None:
        raise RuntimeError("no memory for this")

    with monkeypatch.context() as broken:
        broken.setattr(openvino, "ebnf_of", lambda schema: BROKEN)
        broken.setattr(batcher, "_make", fails)
        with pytest.raises(ModelAPIError, match="could not be loaded anew: no memory for this"):
            await text_of(other, asked("Hello!", schema={"type": "null"}))
    assert "Tokyo" in (await other.ainvoke(QUESTION)).text
    other.close()


@given(SCHEMAS)
def test_any_grammar_compiles(model: ChatGGUF, schema: Any) -> None:
    """Whatever schema is made a grammar, OpenVINO takes it: what it cannot compile is refused before it gets there."""
    try:
        asyncio.run(text_of(model, asked("Answer in JSON.", schema=schema, max_tokens=2)))
    except ModelInvalidRequestError:
        raise
    except ValueError as error:
        assert "cannot be turned into a grammar" in str(error)  # noqa: PT017 - most schemas raise nothing


def test_a_seed_among_others(model: ChatGGUF) -> None:
    """A request with a seed runs alone, so that it is answered alike whatever else is asked."""
    alone = model.invoke(STORY, seed=7, **WILD).text
    others = model.bind(**WILD)
    answers = asyncio.run(_gathered(others, model.bind(seed=7, **WILD)))
    assert [alone] * 3 == [answer.text for answer in answers[1::2]]
    assert 3 == len({answer.text for answer in answers[::2]})


async def _gathered(free: Any, seeded: Any) -> list[Any]:
    return list(await asyncio.gather(*(one.ainvoke(STORY) for _ in range(3) for one in (free, seeded))))


def test_a_prompt_beyond_its_tokenizer(model: ChatGGUF) -> None:
    """A text of more tokens than OpenVINO's tokenizer gives at once is counted whole."""
    words = "word " * 20_000
    assert len(model.get_token_ids(words)) == 20_000 + 1 * words.endswith(" ")
    with pytest.raises(ContextOverflowError, match=r"The prompt has 20\d\d\d tokens, but a request holds 512"):
        model.invoke(words)


def test_parts_have_the_tokens_of_the_whole(model: ChatGGUF) -> None:
    """Cutting a text to tokenize it changes no token, in any script."""
    loaded = model.runtime.load()  # type: ignore[attr-defined]
    text = "The sea, 12 ships; <|im_start|> naïve 日本語の文章 и слова\n\n  x = f(1)\n" * 400
    whole = loaded.encode(text[:9000])
    tokenizer = loaded._tokenizer

    def in_small_pieces(piece: str) -> list[int]:
        return [int(one) for one in tokenizer.encode(piece, add_special_tokens=False).input_ids.data[0]][-600:]

    assert whole == encode_all(text[:9000], in_small_pieces, 600)


def test_what_it_cannot_do(model: ChatGGUF) -> None:
    """Asked by name for what it cannot do, it says so, and what to use."""
    with pytest.raises(UnsupportedError, match=r"engine='llama\.cpp'"):
        model.invoke(QUESTION, top_logprobs=2)


def test_logprobs(model: ChatGGUF) -> None:
    """The probability of each token is told, and makes up the text."""
    told = model.invoke(QUESTION, logprobs=True).response_metadata["logprobs"]["content"]
    assert model.invoke(QUESTION).text == "".join(token["token"] for token in told)
    assert all(token["logprob"] <= 0 for token in told)


def test_another_engine_stands_in(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """If OpenVINO cannot load a file that it should read, llama.cpp answers, and the log says so."""
    import openvino_genai

    def fails(*_: object) -> None:
        raise RuntimeError("no memory for this")

    monkeypatch.setattr(openvino_genai, "Tokenizer", fails)
    model = ChatGGUF(temperature=0, n_ctx=300, max_tokens=8)
    assert "openvino" == model.runs_on.engine
    assert "Tokyo" in model.invoke(QUESTION).text
    assert "llama.cpp" == model.runtime.name
    assert "no memory for this" in caplog.text
    model.close()
    by_name = ChatGGUF(engine="openvino", n_ctx=300)
    with pytest.raises(ValueError, match=r"OpenVINO .* cannot load .*no memory for this"):
        by_name.invoke(QUESTION)


@pytest.fixture
def unloaded() -> Iterator[ChatGGUF]:
    """A model of an engine of its own, made before anybody watches the event loop."""
    model = ChatGGUF(engine="openvino", n_ctx=300, max_tokens=1, temperature=0)
    yield model
    model.close()


async def test_loading_leaves_the_event_loop_free(unloaded: ChatGGUF, no_blocking: object) -> None:
    """While weights are loaded, which takes seconds, the event loop does other things."""
    model = unloaded
    task = asyncio.ensure_future(model.ainvoke(QUESTION))
    turns = 0
    while not task.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert turns > 20
    assert (await task).usage_metadata


def test_a_closed_engine_says_so(model: ChatGGUF) -> None:
    """An answer whose engine is closed under it ends with an error; used again, the model loads anew."""
    other = ChatGGUF(engine="openvino", temperature=0, n_ctx=256, max_tokens=200)
    stream = other.stream(STORY)
    assert next(chunk.text for chunk in stream if chunk.text)
    other.runtime.close()
    with pytest.raises(ModelAPIError, match="The engine was closed"):
        list(stream)
    other.close()
    assert "Tokyo" in other.invoke(QUESTION, max_tokens=12).text
    other.close()
