"""`respond_batch`: one function from many requests to many answers, asked by anybody at any time."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelTimeoutError
from tests.waiting import until

from langplug import ChatModel, Finish, Reasoning, Request, Usage, chat_model
from langplug_check import check


class Gate:
    """A function from many requests to many answers that answers a batch once it may."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.opened = threading.Semaphore(0)

    def answer(self, requests: Sequence[Request]) -> list[str]:
        self.batches.append([request.text for request in requests])
        self.entered.release()
        assert self.opened.acquire(timeout=30)
        return [f"<{request.text}>" for request in requests]


def gated(**options: Any) -> tuple[ChatModel, Gate]:
    gate = Gate()

    @chat_model(batch=True, **options)
    def model(requests: Sequence[Request]) -> list[str]:
        return gate.answer(requests)

    return model(), gate


def waiting(model: ChatModel) -> int:
    """How many calls wait for the next batch."""
    return len(model.__langplug_batches__._queue)


def listed(requests: Sequence[Request]) -> list[str]:
    return [request.text.upper() for request in requests]


async def alisted(requests: Sequence[Request]) -> list[str]:
    await asyncio.sleep(0)
    return listed(requests)


def numbered(requests: Sequence[Request]) -> Iterator[tuple[int, Any]]:
    for letter in range(max(len(request.text) for request in requests)):
        for index, request in enumerate(requests):
            if letter < len(request.text):
                yield index, request.text[letter].upper()


async def anumbered(requests: Sequence[Request]) -> AsyncIterator[tuple[int, Any]]:
    for pair in numbered(requests):
        await asyncio.sleep(0)
        yield pair


FORMS = pytest.mark.parametrize("form", [listed, alisted, numbered, anumbered])


@FORMS
def test_every_form_answers_every_call(form: Any) -> None:
    """A list or pairs, sync or async: each call, by whichever door, gets the answer to its own request."""
    model = chat_model(batch=True)(form)()
    assert model.invoke("one").content == "ONE"
    assert "".join(chunk.text for chunk in model.stream("two")) == "TWO"
    words = [f"word{number}" for number in range(20)]
    assert [answer.content for answer in model.batch(words)] == [word.upper() for word in words]

    async def on_loop() -> None:
        assert (await model.ainvoke("three")).content == "THREE"
        assert "".join([chunk.text async for chunk in model.astream("four")]) == "FOUR"
        assert [answer.content for answer in await model.abatch(words)] == [word.upper() for word in words]

    asyncio.run(on_loop())


@given(st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=30), st.integers(1, 7))
def test_answers_are_never_mixed_up(words: list[str], most: int) -> None:
    """Whatever batches are made, each caller gets the answer to what it asked, and no batch is larger than it may."""
    sizes: list[int] = []

    @chat_model(batch=True, max_batch=most)
    def model(requests: Sequence[Request]) -> list[str]:
        sizes.append(len(requests))
        return listed(requests)

    assert [one.content for one in model().batch(words)] == [word.upper() for word in words]
    assert max(sizes) <= most
    assert sum(sizes) == len(words)


def test_an_idle_model_is_asked_at_once_and_what_comes_meanwhile_is_the_next_batch() -> None:
    """No timer: the first call is a batch of its own, and all that arrive while it runs are the next, in order."""
    model, gate = gated()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.invoke, "first")
        assert gate.entered.acquire(timeout=30)
        others = []
        for number in range(5):  # one after the other, so that their order is known
            others.append(pool.submit(model.invoke, f"{number}"))
            until(lambda: waiting(model) == len(others))
        gate.opened.release(2)
        assert first.result().content == "<first>"
        assert [other.result().content for other in others] == [f"<{number}>" for number in range(5)]
    assert gate.batches == [["first"], ["0", "1", "2", "3", "4"]]


def test_threads_and_event_loops_share_one_queue() -> None:
    """Calls of threads, of event loops and of copies of the model go into the same batch."""
    model, gate = gated()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.invoke, "first")
        assert gate.entered.acquire(timeout=30)
        calls: list[Future[Any]] = [
            pool.submit(model.invoke, "thread"),
            pool.submit(lambda: asyncio.run(model.ainvoke("loop"))),
            pool.submit(lambda: asyncio.run(model.ainvoke("another loop"))),
            pool.submit(model.model_copy().invoke, "copy"),
            pool.submit(lambda: next(iter(model.stream("stream")))),
        ]
        until(lambda: waiting(model) == 5)
        gate.opened.release(2)
        for call in [first, *calls]:
            call.result()
    assert sorted(gate.batches[1]) == ["another loop", "copy", "loop", "stream", "thread"]


def test_callers_of_one_batch_go_on_together() -> None:
    """Whoever comes back first waits for the others and is not asked alone, round after round."""
    model, gate = gated()

    async def caller() -> None:
        for _ in range(6):
            await model.ainvoke("again")

    async def on_loop() -> None:
        callers = [asyncio.create_task(caller()) for _ in range(8)]
        asked = 0
        while asked < 48:
            await asyncio.to_thread(gate.entered.acquire)
            await asyncio.sleep(0.3)  # a tenth of this is what callers have, to come back
            asked += len(gate.batches[-1])
            gate.opened.release()
        await asyncio.gather(*callers)

    asyncio.run(on_loop())
    sizes = [len(batch) for batch in gate.batches]
    assert sizes.count(8) >= 3, sizes


def test_max_wait_lets_a_batch_fill() -> None:
    """With `max_wait`, a batch that is not full waits; a full one does not wait any longer."""
    model, gate = gated(max_batch=3, max_wait=30.0)
    gate.opened.release(1)
    assert [answer.content for answer in model.batch(["a", "b", "c"])] == ["<a>", "<b>", "<c>"]
    assert [len(batch) for batch in gate.batches] == [3]


def test_max_wait_ends() -> None:
    """A batch that stays short is answered after `max_wait`."""
    model, gate = gated(max_batch=3, max_wait=0.01)
    gate.opened.release(1)
    assert model.invoke("alone").content == "<alone>"


def test_only_calls_that_go_together_share_a_batch() -> None:
    """Calls with other parameters, or another `batch_key`, are answered in batches of their own, in their order."""
    batches: list[tuple[int, list[str]]] = []
    entered, opened = threading.Semaphore(0), threading.Semaphore(0)

    class Model(ChatModel):
        scale: int = 1

        def batch_key(self, request: Request) -> int:
            return len(request.text)

        def respond_batch(self, requests: Sequence[Request]) -> list[str]:
            batches.append((self.scale, [request.text for request in requests]))
            entered.release()
            assert opened.acquire(timeout=30)
            return [request.text * self.scale for request in requests]

    model = Model()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.invoke, "first")
        assert entered.acquire(timeout=30)
        calls = []
        for text, scale in [("aa", 1), ("bb", 2), ("cc", 1), ("ddd", 1), ("ee", 2)]:
            calls.append(pool.submit(model.invoke, text, scale=scale))
            until(lambda: waiting(model) == len(calls))
        opened.release(9)
        first.result()
        assert [call.result().content for call in calls] == ["aa", "bbbb", "cc", "ddd", "eeee"]
    assert batches[1:] == [(1, ["aa", "cc"]), (2, ["bb", "ee"]), (1, ["ddd"])]


def test_a_decorated_function_may_have_a_key() -> None:
    """`batch_key` of the decorator is a function of a request."""
    model, gate = gated(batch_key=lambda request: request.text[0])
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.invoke, "first")
        assert gate.entered.acquire(timeout=30)
        calls = []
        for text in ("a1", "b1", "a2"):
            calls.append(pool.submit(model.invoke, text))
            until(lambda: waiting(model) == len(calls))
        gate.opened.release(3)
        for call in [first, *calls]:
            call.result()
    assert gate.batches[1:] == [["a1", "a2"], ["b1"]]


class Incomparable:
    """Raises when it is compared, as arrays do when the result is asked whether it is true."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = None  # type: ignore[assignment]


def test_what_cannot_be_compared_shares_no_batch() -> None:
    """Keys or settings whose comparison fails make batches of their own, and end the queue for nobody."""
    model, gate = gated(batch_key=lambda request: Incomparable() if request.text != "first" else "first")
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.invoke, "first")
        assert gate.entered.acquire(timeout=30)
        calls = [pool.submit(model.invoke, text) for text in ("a", "b")]
        until(lambda: waiting(model) == 2)
        gate.opened.release(3)
        assert {call.result(30).content for call in [first, *calls]} == {"<first>", "<a>", "<b>"}
    assert [len(batch) for batch in gate.batches] == [1, 1, 1]


def test_who_leaves_while_waiting_is_not_asked_for() -> None:
    """A call that is cancelled before its batch begins leaves the queue."""
    model, gate = gated()

    async def calls() -> str:
        first = asyncio.create_task(model.ainvoke("first"))
        await asyncio.to_thread(gate.entered.acquire)
        left, stays = asyncio.create_task(model.ainvoke("left")), asyncio.create_task(model.ainvoke("stays"))
        await asyncio.to_thread(until, lambda: waiting(model) == 2)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        gate.opened.release(2)
        await first
        return str((await stays).content)

    assert asyncio.run(calls()) == "<stays>"
    assert gate.batches == [["first"], ["stays"]]


def test_a_timeout_is_of_one_call() -> None:
    """A call that runs out of time while it waits leaves the queue, and its neighbours do not."""
    model, gate = gated()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.invoke, "first")
        assert gate.entered.acquire(timeout=30)
        with pytest.raises(ModelTimeoutError):
            model.invoke("late", timeout=0.01)
        stays = pool.submit(model.invoke, "stays")
        until(lambda: waiting(model) >= 1)
        gate.opened.release(2)
        first.result()
        assert stays.result().content == "<stays>"
    assert "late" not in [text for batch in gate.batches for text in batch]


def test_the_last_who_leaves_ends_what_runs_on_a_loop() -> None:
    """A batch that nobody waits for any more is cancelled; one that somebody waits for goes on."""
    began, ended = threading.Event(), threading.Event()

    @chat_model(batch=True)
    async def endless(requests: Sequence[Request]) -> list[str]:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return []

    async def leave() -> None:
        task = asyncio.create_task(endless().ainvoke("x"))
        await asyncio.to_thread(began.wait, 30)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(leave())
    assert ended.wait(30)


def test_the_last_who_leaves_closes_a_generator() -> None:
    """A reader who leaves half-way ends the generator; one who stays gets the rest."""
    closed = threading.Event()

    @chat_model(batch=True)
    def counting(requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        try:
            number = 0
            while True:
                yield 0, f"{number} "
                number += 1
        finally:
            closed.set()

    stream = counting().stream("count")
    assert next(stream).content == "0 "
    stream.close()
    assert closed.wait(30)


def test_a_stop_string_ends_one_answer_alone() -> None:
    """A stop string, like all that langplug derives, is of each call by itself."""
    model, gate = gated()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.invoke, "first")
        assert gate.entered.acquire(timeout=30)
        cut = pool.submit(model.invoke, "one two", stop=["two"])
        until(lambda: waiting(model) == 1)
        whole = pool.submit(model.invoke, "one two three")
        until(lambda: waiting(model) == 2)
        gate.opened.release(2)
        first.result()
        assert cut.result().content == "<one two"
        assert whole.result().content == "<one two three>"


def test_an_exception_among_the_answers_is_of_one_call() -> None:
    """An exception in the place of an answer is raised by that call, in a list as among pairs."""

    @chat_model(batch=True)
    def in_a_list(requests: Sequence[Request]) -> list[Any]:
        return [ValueError(request.text) if "bad" in request.text else request.text for request in requests]

    @chat_model(batch=True)
    def in_pairs(requests: Sequence[Request]) -> Iterator[tuple[int, Any]]:
        yield from enumerate(ValueError(one.text) if "bad" in one.text else one.text for one in requests)

    for made in (in_a_list(), in_pairs()):
        good, bad, other = made.batch(["good", "bad", "other"], return_exceptions=True)
        assert (good.content, other.content) == ("good", "other")
        assert isinstance(bad, ValueError)


def failing(**options: Any) -> tuple[ChatModel, list[list[str]]]:
    batches: list[list[str]] = []

    @chat_model(batch=True, max_batch=8, max_wait=30.0, **options)
    def model(requests: Sequence[Request]) -> list[str]:
        batches.append([request.text for request in requests])
        if any("bad" in request.text for request in requests):
            raise ValueError("one of these is bad")
        return listed(requests)

    return model(), batches


WORDS = ["a", "b", "c", "bad", "d", "e", "f", "g"]


def test_a_batch_that_raises_fails_all_its_calls() -> None:
    """Each call of a batch that failed raises, an exception of its own."""
    model, batches = failing()
    errors = model.batch(WORDS, return_exceptions=True)
    assert all(isinstance(error, ValueError) for error in errors)
    assert len(set(map(id, errors))) == len(WORDS)
    assert len(batches) == 1


def test_a_bad_request_can_be_made_to_fail_alone() -> None:
    """With `split_on_error`, halves are tried again until the bad request is alone."""
    model, batches = failing(split_on_error=True)
    answers = model.batch(WORDS, return_exceptions=True)
    assert isinstance(answers[3], ValueError)
    assert [one.content for one in answers if not isinstance(one, ValueError)] == ["A", "B", "C", "D", "E", "F", "G"]
    assert len(batches) == 7  # 8; 4, 4; 2, 2; 1, 1


@pytest.mark.parametrize(
    ("given_back", "said"),
    [
        (["only one"], "1 answers to 2 requests"),
        ("text", "'text' (str) to 2 requests"),
        (None, "None (NoneType) to 2 requests"),
        ({0: "a", 1: "b"}, "(dict) to 2 requests"),
        (iter([(2, "x")]), "an index (0 to 1 here"),
        (iter(["x"]), "yielded 'x'"),
    ],
    ids=["too few", "text", "nothing", "a dict", "no such index", "no pair"],
)
def test_what_is_no_list_of_answers_is_a_clear_error(given_back: Any, said: str) -> None:
    """An answer that cannot be given to the callers says what came, how many were asked for, and what to return."""

    @chat_model(batch=True, max_batch=2, max_wait=30.0)
    def model(requests: Sequence[Request]) -> Any:
        return given_back

    for error in model().batch(["a", "b"], return_exceptions=True):
        assert isinstance(error, TypeError)
        assert said in str(error)
        assert "model.respond_batch" in str(error)


def test_parts_of_every_kind_come_through() -> None:
    """Usage, reasoning and a finish reason are each answer's own; an answer ends with its `Finish`."""

    @chat_model(batch=True)
    def model(requests: Sequence[Request]) -> Iterator[tuple[int, Any]]:
        for index, request in enumerate(requests):
            yield index, Reasoning("hm")
            yield index, request.text
            yield index, Usage(input_tokens=1, output_tokens=index + 1)
            yield index, Finish(reason="length")

    answer = model().invoke("hello")
    assert answer.content == "hello"
    assert answer.response_metadata["finish_reason"] == "length"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 1
    assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]


def test_a_model_that_asks_itself_does_not_wait_for_itself() -> None:
    """A `respond_batch` may call its own model, from a thread or on a loop."""

    @chat_model(batch=True)
    def model(requests: Sequence[Request]) -> list[str]:
        return [
            request.text if len(request.text) > 4 else str(made.invoke(request.text + "!").content)
            for request in requests
        ]

    made = model()
    assert made.invoke("hi").content == "hi!!!"

    @chat_model
    async def around(request: Request) -> Any:
        return made.invoke(request.text).content  # a loop that blocks, while the batch needs one

    assert around().invoke("hey").content == "hey!!"


def test_the_time_in_the_queue_is_told() -> None:
    """`response_metadata["queue_time"]` says how many seconds a call waited for its batch."""
    model, gate = gated()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(model.invoke, "first")
        assert gate.entered.acquire(timeout=30)
        began = time.monotonic()
        second = pool.submit(model.invoke, "second")
        until(lambda: waiting(model) == 1)
        gate.opened.release(2)
        first.result()
        assert 0 < second.result().response_metadata["queue_time"] <= time.monotonic() - began


def test_one_batch_runs_at_a_time_unless_more_may() -> None:
    """`concurrency` says how many batches run at once; one if it is not set."""
    model, gate = gated(max_batch=1, concurrency=2)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(model.invoke, "x") for _ in range(3)]
        assert gate.entered.acquire(timeout=30)
        assert gate.entered.acquire(timeout=30)
        until(lambda: waiting(model) == 1)
        assert not gate.entered.acquire(blocking=False)
        gate.opened.release(3)
        for call in calls:
            call.result()


def test_the_cache_key_follows_the_function() -> None:
    """Two functions of many requests are two models to a cache, and one is one."""

    def made(suffix: str) -> ChatModel:
        @chat_model(batch=True)
        def model(requests: Sequence[Request]) -> list[str]:
            return [request.text + suffix for request in requests]

        return model()

    assert made("a").cache_key() == made("a").cache_key()
    assert made("a").cache_key() != made("b").cache_key()


def test_a_class_that_can_be_no_such_model_is_refused() -> None:
    """What is wrong with a `respond_batch` or its limits is said when the class is made."""
    with pytest.raises(TypeError, match=r"has a `respond` and a `respond_batch`"):

        class Both(ChatModel):
            def respond(self, request: Request) -> str:
                return ""

            def respond_batch(self, requests: Sequence[Request]) -> list[str]:
                return []

    with pytest.raises(TypeError, match=r"must take \(self, requests\)"):

        class Bare(ChatModel):
            def respond_batch(self) -> list[str]:
                return []

    with pytest.raises(TypeError, match=r"declared as a Request, but it is a list"):

        @chat_model(batch=True)
        def one(requests: Request) -> list[str]:
            return []

    with pytest.raises(TypeError, match=r"max_batch is 0"):

        @chat_model(batch=True, max_batch=0)
        def none(requests: Sequence[Request]) -> list[str]:
            return []

    with pytest.raises(TypeError, match=r"'max_batch' is for a function of many requests"):

        @chat_model(max_batch=2)  # type: ignore[call-overload, untyped-decorator]
        def single(request: Request) -> str:
            return ""


def test_limits_may_be_fields() -> None:
    """`max_batch` declared as a field is set for one model."""
    sizes: list[int] = []

    class Model(ChatModel):
        max_batch: int = 8
        max_wait: float = 30.0

        def respond_batch(self, requests: Sequence[Request]) -> list[str]:
            sizes.append(len(requests))
            return listed(requests)

    Model(max_batch=2).batch(["a", "b", "c", "d"])
    assert sizes == [2, 2]


@pytest.mark.thorough
def test_it_keeps_the_contract() -> None:
    """A model with a batch door keeps every statement that applies to it."""
    report = check("tests.batch_models:upper")
    assert report.failures == []
