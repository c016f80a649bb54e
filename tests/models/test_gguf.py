"""The embedded model, on a real engine with real weights: on OpenVINO where it is installed, else on llama.cpp.

`make test` runs this on llama.cpp, and `make test-engines` on OpenVINO. What is said of one of them names it.
"""

import asyncio
import copy
import gc
import http.client
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ContextOverflowError, ModelAPIError, ModelInvalidRequestError
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    trim_messages,
)
from tests.waiting import until

from langplug._bridge.slots import Slots
from langplug.models.gguf.engine import Engine, usable_threads
from langplug.models.gguf.model import BadWeightsError, ChatGGUF, WeightsNotFoundError
from langplug.models.gguf.weights import SMOLLM2, find, pull

QUESTION = "What is the capital of Japan?"
STORY = "Write a very long story about the sea."
ENDLESS = "What is the capital of France?"
"""At temperature 0 and without a repeat penalty the model finds no end to this."""
LONG = 400
"""Tokens of an answer that takes seconds."""
AT_ONCE_S = 3.0
"""What a busy machine may need to do next to nothing; whoever waits for a `LONG` answer waits longer."""


@pytest.fixture(scope="module")
def weights() -> Path:
    return find(SMOLLM2) or pull(SMOLLM2)


@pytest.fixture(scope="module")
def model(weights: Path) -> Iterator[ChatGGUF]:
    """Answers the same each time, four requests at once, in a small context."""
    model = ChatGGUF(temperature=0, n_ctx=512, max_tokens=16)
    yield model
    model.close()


@pytest.fixture
def lone(weights: Path) -> Iterator[ChatGGUF]:
    """Answers one request at a time, at length."""
    model = ChatGGUF(temperature=0, n_ctx=512, parallel=1, max_tokens=LONG)
    yield model
    model.close()


def python(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `code` in a process of its own, which has to end by itself."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=150, check=False
    )


ON_OPENVINO = ChatGGUF().runs_on.engine == "openvino"


def slots_of(model: ChatGGUF) -> Slots:
    """The queue in front of the model's engine."""
    engine: Any = model.runtime
    return getattr(engine, "first", engine)._slots  # type: ignore[no-any-return]


def added(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


# --- answers ---


def test_it_answers(model: ChatGGUF) -> None:
    """A real model says something true, with its usage, its finish reason and its name."""
    answer = model.invoke(QUESTION)
    assert "Tokyo" in answer.text
    assert "stop" == answer.response_metadata["finish_reason"]
    assert "SmolLM2-135M-Instruct.Q4_1" == answer.response_metadata["model_name"]
    usage = answer.usage_metadata
    assert usage is not None
    assert usage["input_tokens"] > 10
    assert 0 < usage["output_tokens"] <= 16


def test_it_streams(model: ChatGGUF) -> None:
    """A stream comes token by token and adds up to what `invoke` gives."""
    chunks = list(model.stream(QUESTION))
    answer = model.invoke(QUESTION)
    assert len([chunk for chunk in chunks if chunk.text]) > 3
    assert answer.text == added(chunks).text
    assert answer.response_metadata == added(chunks).response_metadata


async def test_it_answers_async(model: ChatGGUF) -> None:
    """`ainvoke` and `astream` give the same as `invoke`."""
    answer = await asyncio.to_thread(model.invoke, QUESTION)
    assert answer.text == (await model.ainvoke(QUESTION)).text
    assert answer.text == added([chunk async for chunk in model.astream(QUESTION)]).text


def test_it_follows_the_conversation(model: ChatGGUF) -> None:
    """The whole conversation is read, the system message too."""
    alone = model.invoke([HumanMessage("Who are you?")])
    told = model.invoke([SystemMessage("You are a pirate."), HumanMessage("Who are you?")])
    assert alone.text != told.text


def test_max_tokens(model: ChatGGUF) -> None:
    """An answer that reaches `max_tokens` ends there, with finish reason `length`."""
    answer = model.invoke(STORY, max_tokens=5)
    assert "length" == answer.response_metadata["finish_reason"]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 5


def test_an_answer_ends_with_the_context(weights: Path) -> None:
    """Without `max_tokens` an answer ends where its context does, with finish reason `length`."""
    model = ChatGGUF(temperature=0, n_ctx=256, parallel=1)
    answer = model.invoke(STORY if ON_OPENVINO else ENDLESS, repeat_penalty=1)
    model.close()
    assert answer.usage_metadata is not None
    assert ("length", 256) == (answer.response_metadata["finish_reason"], answer.usage_metadata["total_tokens"])


def test_seed(model: ChatGGUF) -> None:
    """The same seed gives the same answer, alone and among others; without one, answers differ."""
    settings: dict[str, Any] = {"temperature": 1.5, "top_p": 1, "min_p": 0}
    alone = model.invoke(STORY, seed=7, **settings).text
    others = model.bind(**settings).batch([STORY] * 3)
    seeded = model.bind(seed=7, **settings).batch([STORY] * 3)
    assert {alone} == {answer.text for answer in seeded}
    assert len({answer.text for answer in others}) == 3


def test_temperature_can_be_given_per_call(model: ChatGGUF) -> None:
    """A parameter given for one call takes effect in it, and needs no second engine."""
    engine = model.runtime
    answers = {model.invoke(STORY, temperature=2.0, top_p=1, min_p=0).text for _ in range(3)}
    assert len(answers) == 3
    assert engine is model.runtime


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 2}, {"max_tokens": 0}, {"seed": -1}, {"top_k": -1}])
def test_bounds(model: ChatGGUF, wrong: dict[str, Any]) -> None:
    """A value that makes no sense is refused, by the constructor and for a call."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ChatGGUF(**wrong)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        model.invoke("hi", **wrong)


def test_logprobs(model: ChatGGUF) -> None:
    """With `logprobs`, each token's probability is told once, streamed or not; `top_logprobs` adds the runners-up."""
    answer = model.invoke(QUESTION, logprobs=True, top_logprobs=2)
    told = answer.response_metadata["logprobs"]["content"]
    assert answer.text == "".join(token["token"] for token in told)[: len(answer.text)]
    assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) == 2 for token in told)
    streamed = added(list(model.stream(QUESTION, top_logprobs=2))).response_metadata["logprobs"]["content"]
    assert [token["id"] for token in told] == [token["id"] for token in streamed]
    assert "logprobs" not in model.invoke(QUESTION).response_metadata


def test_stop(model: ChatGGUF) -> None:
    """An answer ends right behind a stop string, or right before it, and its usage is known all the same."""
    whole = model.invoke(QUESTION)
    cut = model.invoke(QUESTION, stop=["capital"])
    assert whole.text.partition("capital")[0] + "capital" == cut.text
    assert ("stop", "capital") == (cut.response_metadata["finish_reason"], cut.response_metadata["stop_sequence"])
    assert whole.usage_metadata is not None
    assert cut.usage_metadata is not None
    assert whole.usage_metadata["input_tokens"] == cut.usage_metadata["input_tokens"]
    assert 0 < cut.usage_metadata["output_tokens"] < whole.usage_metadata["output_tokens"]
    assert whole.text.partition("capital")[0] == model.invoke(QUESTION, stop=["capital"], include_stop=False).text


# --- many at once ---


def test_requests_run_side_by_side(model: ChatGGUF) -> None:
    """Four requests run at once in four slots: each has said something before any has said all."""
    order: list[int] = []

    async def read(number: int) -> None:
        seed = None if ON_OPENVINO else number  # with one it would run alone there
        async for chunk in model.astream(STORY, temperature=1, seed=seed):
            order.extend([number] * bool(chunk.text))

    async def read_all() -> None:
        await asyncio.gather(*(read(number) for number in range(4)))

    asyncio.run(read_all())
    ends = [len(order) - 1 - order[::-1].index(number) for number in range(4)]
    assert max(order.index(number) for number in range(4)) < min(ends)


def test_a_batch_fills_the_slots(weights: Path) -> None:
    """`batch` has as many requests answered at once as there are slots, however few cores the machine has."""
    running: set[UUID] = set()
    most = 0

    class Counting(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
            nonlocal most
            running.add(run_id)
            most = max(most, len(running))

        def on_llm_end(self, *_: Any, run_id: UUID, **__: Any) -> None:
            running.discard(run_id)

    with closing(ChatGGUF(n_ctx=256, parallel=48, max_tokens=8, temperature=0)) as many:
        many.batch([QUESTION] * 48, config={"callbacks": [Counting()]})
    assert 48 == most


def test_the_first_requests_may_come_at_once(weights: Path) -> None:
    """Threads that ask a model in a fresh process, all before it is loaded, are all answered."""
    code = f"""
import threading
from langplug.models.gguf.model import ChatGGUF
model = ChatGGUF(n_ctx=256, max_tokens=2, parallel=8)
threads = [threading.Thread(target=lambda: print(bool(model.invoke({QUESTION!r}).text))) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    done = python(code)
    assert ("", 8) == (done.stderr, done.stdout.count("True"))


def test_more_requests_than_slots(model: ChatGGUF) -> None:
    """Sixteen requests through four slots, from threads and from event loops at once, all get their own answer."""
    alone = {place: model.invoke(f"What is the capital of {place}?").text for place in ("Italy", "Japan")}
    questions = [f"What is the capital of {place}?" for place in ("Italy", "Japan")] * 4
    answers: list[list[Any]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(model.batch(questions))),
        threading.Thread(target=lambda: answers.append(asyncio.run(model.abatch(questions)))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [[answer.text for answer in batch] for batch in answers]
    assert [[alone["Italy"], alone["Japan"]] * 4] * 2 == texts


def test_each_request_has_its_own_context(weights: Path) -> None:
    """Requests that fill more than half of their contexts all fit at once: `n_ctx` counts for each."""
    model = ChatGGUF(n_ctx=256, parallel=2, max_tokens=2)
    answers = model.batch(["word " * 150] * 2)
    model.close()
    assert all(answer.usage_metadata and answer.usage_metadata["input_tokens"] > 150 for answer in answers)


def test_a_context_that_was_rounded_up_says_so(weights: Path) -> None:
    """llama.cpp makes 256 tokens of `n_ctx=64`: the error says so."""
    model = ChatGGUF(n_ctx=64, parallel=1, engine="llama.cpp")
    with closing(model), pytest.raises(ContextOverflowError, match=r"holds 256, .*rounds up to a multiple of 256"):
        model.invoke("word " * 400)


@pytest.mark.parametrize("file", ["x.gguf", "X.GGUF", "models/x", "/models/x.gguf", "C:\\models\\x", Path("x.gguf")])
def test_a_file_as_model_is_refused(file: Any) -> None:
    """It would be ignored, and the default weights would answer: the error says where the file goes."""
    told = f"ChatGGUF has no `model`. The file is its `path`: ChatGGUF(path={str(file)!r})."
    with pytest.raises(TypeError, match=re.escape(told)):
        ChatGGUF(model=file)


def test_a_shared_context_can_be_filled(weights: Path) -> None:
    """With llama.cpp's `kv_unified` requests share one context; when they have filled it together, they are told."""
    model = ChatGGUF(temperature=0, n_ctx=256, parallel=2, kv_unified=True, engine="llama.cpp")
    answers = model.batch([ENDLESS] * 2, repeat_penalty=1, return_exceptions=True)
    model.close()
    for answer in answers:
        assert isinstance(answer, ContextOverflowError)
        assert "lower `parallel`, or set `kv_unified=False`" in str(answer)


# --- cancellation ---


async def test_a_cancelled_answer_frees_its_slot(lone: ChatGGUF) -> None:
    """A long answer that is cancelled is left at once, and its slot is free at once."""
    await lone.ainvoke("hi", max_tokens=1)
    began = asyncio.Event()

    async def read() -> None:
        async for _ in lone.astream(STORY):
            began.set()

    task = asyncio.create_task(read())
    await began.wait()
    started = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.perf_counter() - started < AT_ONCE_S
    await slots_of(lone).acquire()
    assert time.perf_counter() - started < AT_ONCE_S
    slots_of(lone).release()


def test_a_broken_off_stream_frees_its_slot(lone: ChatGGUF) -> None:
    """Leaving a sync stream frees the slot; so does dropping it."""
    for _ in range(3):
        for chunk in lone.stream(STORY):
            if chunk.text:
                break
        next(iter(lone.stream(STORY)))
        started = time.perf_counter()
        lone.invoke("hi", max_tokens=1)
        assert time.perf_counter() - started < AT_ONCE_S


async def test_a_waiting_call_can_be_cancelled(lone: ChatGGUF) -> None:
    """A call that waits for a slot is gone at once when cancelled, and does not disturb the one that runs."""
    began = asyncio.Event()

    async def read() -> int:
        texts = 0
        async for chunk in lone.astream(STORY, max_tokens=60):
            began.set()
            texts += bool(chunk.text)
        return texts

    running = asyncio.create_task(read())
    await began.wait()
    waiting = asyncio.create_task(lone.ainvoke(STORY))
    await asyncio.to_thread(until, lambda: slots_of(lone).waiting == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not running.done()  # it did not wait for the slot
    assert slots_of(lone).waiting == 0
    assert await running > 30


async def test_a_call_can_be_left_while_its_prompt_is_read(weights: Path) -> None:
    """Cancelling while a long prompt is read returns at once; the slot is free after one step of `n_batch` tokens."""
    model = ChatGGUF(n_ctx=4096, parallel=1, n_batch=32)
    await model.ainvoke("hi", max_tokens=1)
    task = asyncio.create_task(model.ainvoke("word " * 4000))
    await asyncio.sleep(0.5)
    started = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.perf_counter() - started < AT_ONCE_S
    await slots_of(model).acquire()
    assert time.perf_counter() - started < 5 * AT_ONCE_S  # the whole prompt takes tens of seconds
    slots_of(model).release()
    model.close()


async def test_the_event_loop_stays_free(model: ChatGGUF, no_blocking: object) -> None:
    """Nothing blocks the event loop while the model answers."""
    assert (await model.ainvoke(QUESTION)).text


# --- the engine's life ---


def test_equal_models_share_an_engine(model: ChatGGUF) -> None:
    """Models that differ only in how they sample share the weights; another context means another engine."""
    assert model.runtime is ChatGGUF(temperature=1, n_ctx=512).runtime
    assert model.runtime is not ChatGGUF(n_ctx=256).runtime


def test_copies_and_pickles(model: ChatGGUF) -> None:
    """Copies and pickles, made before or after use, answer alike and share the engine."""
    before = pickle.dumps(ChatGGUF(temperature=0, n_ctx=512, max_tokens=16))
    answer = model.invoke(QUESTION).text
    for other in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model)), pickle.loads(before)):
        assert model == other
        assert model.runtime is other.runtime
        assert answer == other.invoke(QUESTION).text


def test_the_memory_is_freed(weights: Path) -> None:
    """An engine goes with the last model that uses it, and the server's threads with it."""
    model = ChatGGUF(temperature=0, n_ctx=256, parallel=3, max_tokens=2)
    model.invoke("hi")
    engine: weakref.ref[Engine] = weakref.ref(model.runtime)
    threads = native_threads()
    del model
    gc.collect()
    assert engine() is None
    deadline = time.monotonic() + 5
    while native_threads() >= threads:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def native_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir())) if Path("/proc").exists() else threading.active_count()


def test_close(weights: Path) -> None:
    """A closed model loads anew when it is used again."""
    model = ChatGGUF(temperature=0, n_ctx=256, max_tokens=8)
    answer = model.invoke(QUESTION).text
    model.close()
    assert answer == model.invoke(QUESTION).text
    model.close()


def test_closing_breaks_off_what_runs(lone: ChatGGUF) -> None:
    """An answer whose engine is closed under it ends with an error that holds what was said."""
    stream = lone.stream(STORY)
    text = next(chunk.text for chunk in stream if chunk.text)
    lone.runtime.close()
    with pytest.raises(ModelAPIError, match="The engine was closed") as caught:
        list(stream)
    assert caught.value.partial.text.startswith(text)  # type: ignore[attr-defined]


def test_leaving_with_a_request_in_flight(weights: Path) -> None:
    """A program that ends while an answer comes ends at once, in order, and with nothing on stderr."""
    code = f"""
import threading, time
from langplug.models.gguf.model import ChatGGUF
model = ChatGGUF(n_ctx=512, max_tokens=400)
began = threading.Event()
def read():
    try:
        for chunk in model.stream({STORY!r}):
            began.set()
    except Exception:
        pass
for _ in range(6):
    threading.Thread(target=read, daemon=True).start()
began.wait()
print(time.time())
"""
    done = python(code)
    assert (0, "") == (done.returncode, done.stderr)
    assert time.time() - float(done.stdout) < 12  # the answers would take much longer


def test_it_is_quiet(weights: Path) -> None:
    """Neither loading nor answering nor leaving writes a byte to stderr, unless `engine_log` is set."""
    code = (
        "from langplug.models.gguf.model import ChatGGUF; print(ChatGGUF(n_ctx=256, max_tokens=2{}).invoke('hi').text)"
    )
    assert python(code.format("")).stderr == ""
    assert "llama" in python(code.format(", engine_log=True, engine='llama.cpp'")).stderr


def test_the_port_is_closed(weights: Path) -> None:
    """Whoever finds llama.cpp's port on this machine gets 401 without the key, and no other site may ask it."""
    model = ChatGGUF(n_ctx=256, engine="llama.cpp")
    address = model.runtime.load().address  # type: ignore[attr-defined]
    for method, path in [("POST", "/v1/chat/completions"), ("POST", "/tokenize"), ("GET", "/props"), ("GET", "/slots")]:
        connection = http.client.HTTPConnection("127.0.0.1", address.port)
        connection.request(method, path, "{}", {"Content-Type": "application/json", "Origin": "http://evil.example"})
        response = connection.getresponse()
        assert 401 == response.status, path
        assert not response.headers["Access-Control-Allow-Origin"]
        connection.close()
    model.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_refused(weights: Path) -> None:
    """After a fork the child is told what to do instead and ends in order; the parent goes on."""
    code = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what this is about
from langplug.models.gguf.model import ChatGGUF
model = ChatGGUF(n_ctx=256, max_tokens=2)
model.invoke("hi")
child = os.fork()
if child == 0:
    try:
        model.invoke("hi")
    except NotImplementedError as error:
        print(error, flush=True)
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
print(bool(model.invoke("hi").usage_metadata))
"""
    done = python(code)
    assert done.stderr == ""
    refusal, status, answered = done.stdout.splitlines()
    assert "Start workers by 'spawn' or 'forkserver'" in refusal
    assert ("7", "True") == (status, answered)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forking_before_use(weights: Path) -> None:
    """A model that is made before a fork and used only after it works in parent and children alike."""
    code = """
import os, sys
from langplug.models.gguf.model import ChatGGUF
model = ChatGGUF(n_ctx=256, max_tokens=2)
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        sys.exit(0 if model.invoke("hi").usage_metadata else 1)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
print(bool(model.invoke("hi").usage_metadata))
"""
    done = python(code)
    assert ("", "[0, 0]\nTrue\n") == (done.stderr, done.stdout)


def test_threads_leave_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default one core is left to others, of those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        for cores, threads in [({0}, 1), ({0, 1}, 1), ({1, 2, 3, 7}, 3)]:
            monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores)
            assert threads == usable_threads()
    assert usable_threads() >= 1


# --- errors ---


def test_no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a path and without pulled weights, the error says what to run; making the model is no error."""
    monkeypatch.setenv("LANGPLUG_CACHE", str(tmp_path))
    model = ChatGGUF(n_ctx=300)
    with pytest.raises(WeightsNotFoundError, match="langplug pull smollm2"):
        model.invoke("hi")
    assert "max_input_tokens" not in (model.profile or {})


def test_a_missing_file(tmp_path: Path) -> None:
    """A path that leads nowhere is a `FileNotFoundError` that names it, on each path."""
    model = ChatGGUF(path=tmp_path / "none.gguf")  # type: ignore[arg-type] # paths are taken too
    with pytest.raises(FileNotFoundError, match=r"none\.gguf"):
        model.invoke("hi")
    with pytest.raises(FileNotFoundError, match=r"none\.gguf"):
        list(model.stream("hi"))
    with pytest.raises(FileNotFoundError, match=r"none\.gguf"):
        asyncio.run(model.ainvoke("hi"))


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        pytest.param(0, "is not a GGUF file", id="empty"),
        pytest.param(100_000, "ends within its header", id="header"),
        pytest.param(5_000_000, "is cut off", id="tensors"),
        pytest.param(-1000, r"llama\.cpp \(xllamacpp .*\) cannot load", id="last tensor"),
    ],
)
def test_a_truncated_file(weights: Path, tmp_path: Path, kept: int, reason: str) -> None:
    """A file that is cut off is said to be broken, wherever it is cut."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(BadWeightsError, match=rf"(?s){reason}") as caught:
        ChatGGUF(path=str(broken)).invoke("hi")
    assert str(broken) in str(caught.value)


def test_an_unknown_architecture(weights: Path, tmp_path: Path) -> None:
    """What llama.cpp refuses to load is reported with what the file says that it is, whatever else is installed."""
    content = weights.read_bytes()
    other = tmp_path / "other.gguf"
    other.write_bytes(content[:4_000_000].replace(b"llama", b"lxama") + content[4_000_000:])
    with pytest.raises(BadWeightsError, match="the architecture 'lxama' may be new to it"):
        ChatGGUF(path=str(other)).invoke("hi")


def test_a_prompt_that_is_too_long(model: ChatGGUF) -> None:
    """A prompt that does not fit raises `ContextOverflowError` with both figures; the next request is fine."""
    with pytest.raises(ContextOverflowError, match=r"The prompt has \d{4} tokens, but a request holds 512"):
        model.invoke("word " * 2000)
    assert model.invoke(QUESTION).text


def test_a_request_that_the_engine_refuses(model: ChatGGUF) -> None:
    """A request that the engine cannot read raises `ModelInvalidRequestError`; the slots are free again."""
    for _ in range(5):  # more than there are slots
        with pytest.raises(ModelInvalidRequestError):
            model.invoke([HumanMessage("lone surrogate: \ud800")])
    assert model.invoke(QUESTION).text


# --- what it says of itself ---


def test_profile(weights: Path) -> None:
    """The profile tells how many tokens fit into a request: as set, else as trained, 4096 at most."""
    profiles = [ChatGGUF().profile, ChatGGUF(n_ctx=1000).profile, ChatGGUF(context_window=77).profile]
    assert [4096, 1000, 77] == [(profile or {}).get("max_input_tokens") for profile in profiles]
    assert "SmolLM2-135M-Instruct.Q4_1" == (ChatGGUF().profile or {}).get("name")


def test_counting_tokens(model: ChatGGUF) -> None:
    """Tokens are counted by the model's own tokenizer, and messages as the prompt that they become."""
    assert 3 == model.get_num_tokens("Hello there world")
    messages = [HumanMessage(QUESTION)]
    usage = model.invoke(messages).usage_metadata
    assert usage is not None
    assert usage["input_tokens"] == model.get_num_tokens_from_messages(messages)


def test_tools_are_counted_as_they_are_sent(model: ChatGGUF) -> None:
    """With tools, the count is that of the prompt that a call with these tools makes, to the token."""
    schema = {"name": "weather", "description": "The weather.", "parameters": {"type": "object", "properties": {}}}
    usage = model.bind_tools([schema]).invoke(QUESTION).usage_metadata
    assert usage is not None
    assert usage["input_tokens"] == model.get_num_tokens_from_messages([HumanMessage(QUESTION)], tools=[schema])


CALLS: list[ToolCall] = [{"name": "f", "args": {"a": 1}, "id": "1", "type": "tool_call"}]


@pytest.mark.parametrize(
    "history",
    [
        [HumanMessage("hi"), AIMessage("", tool_calls=CALLS)],
        [AIMessage("a"), AIMessage("b")],
        [HumanMessage("hi"), AIMessage("", tool_calls=CALLS), ToolMessage("result", tool_call_id="1")],
        [ToolMessage("result", tool_call_id="1")],
        [SystemMessage("Be brief.")],
        [AIMessage("")],
        [HumanMessage([{"type": "image", "url": "http://localhost/a.png"}])],
    ],
    ids=lambda history: "+".join(message.type for message in history),
)
def test_every_history_can_be_counted(model: ChatGGUF, history: list[BaseMessage]) -> None:
    """Counting never raises, and a message more is never fewer tokens."""
    count = model.get_num_tokens_from_messages(history)
    assert 0 < count < model.get_num_tokens_from_messages([*history, HumanMessage(QUESTION)])


def test_nothing_has_no_tokens(model: ChatGGUF) -> None:
    """An empty history, which `trim_messages` may come to, counts nothing."""
    assert 0 == model.get_num_tokens_from_messages([])


def test_a_long_history_of_tools_can_be_trimmed(model: ChatGGUF) -> None:
    """`trim_messages(token_counter=model)` cuts a history with calls and results to what fits."""
    turns: list[BaseMessage] = []
    for number in range(6):
        call: ToolCall = {"name": "f", "args": {"n": number}, "id": str(number), "type": "tool_call"}
        turns += [
            HumanMessage(f"Question {number}"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("r " * 40, tool_call_id=str(number)),
            AIMessage("Done."),
        ]
    trimmed = trim_messages(turns, token_counter=model, max_tokens=200, strategy="last", start_on="human")
    assert isinstance(trimmed[0], HumanMessage)
    assert model.get_num_tokens_from_messages(trimmed) <= 200
