"""`langplug.bench`: what is measured, by its definitions. How near to the truth it is, benchmarks measure."""

import asyncio
import itertools
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel

from langplug import Part, Reasoning, Request, ToolCall, Usage, adopt, bench, chat_model
from langplug.bench.call import CallTimes
from langplug.bench.figures import distribution, figures_of
from langplug.models import ChatEndpoint
from langplug_backend import Backend, Fault, Reply


@chat_model
async def words(request: Request, *, count: int = 5, reported: int = 0, thoughts: int = 0) -> AsyncIterator[Part]:
    """Says so many words after so many thoughts."""
    for _ in range(thoughts):
        yield Reasoning("hm ")
        await asyncio.sleep(0)
    for _ in range(count):
        yield "word "
        await asyncio.sleep(0)
    if reported:
        yield Usage(input_tokens=3, output_tokens=reported)


def figures(model: Any, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = bench.run(model, until=bench.Until(calls=4), **options)["stages"][0]["figures"]
    return found


def test_reported_tokens_are_taken() -> None:
    """Tokens are the usage that a model reports, however many pieces there are."""
    found = figures(words(count=5, reported=23))
    assert found["token_source"] == {"reported": 4}
    assert found["output_tokens"]["mean"] == 23
    assert found["input_tokens"]["mean"] == 3
    assert found["pieces"]["mean"] == 5


def test_tokens_are_counted_otherwise() -> None:
    """Where nothing is reported, the model's own counting of the text stands in, and is named."""
    found = figures(words(count=5))
    assert found["token_source"] == {"counted": 4}
    assert found["output_tokens"]["mean"] == words().get_num_tokens("word " * 5)
    assert found["input_tokens"] is None


def test_first_piece_and_first_text() -> None:
    """Reasoning is a first piece, and no first text."""
    found = figures(words(thoughts=3))
    assert found["ttft"]["mean"] < found["ttft_text"]["mean"]
    assert found["pieces"]["mean"] == 8


def test_an_answer_of_calls_alone() -> None:
    """An answer that only calls tools has a first piece and no first text."""

    @chat_model(tool_calling="native")
    def calling(request: Request) -> Iterator[Part]:
        yield ToolCall(name="find", args={"what": "it"}, id="1")

    found = figures(calling())
    assert found["calls"]["complete"] == 4
    assert found["ttft"] is not None
    assert found["ttft_text"] is None


def test_failed_and_incomplete_calls() -> None:
    """Calls that fail before and within an answer are counted apart, with their errors, and are in no latency."""
    turn = 0

    @chat_model
    async def breaking(request: Request) -> AsyncIterator[Part]:
        nonlocal turn
        turn += 1
        if turn % 3 == 1:
            raise ValueError("broken before")
        yield "some"
        if turn % 3 == 2:
            raise ValueError("broken within")

    found: dict[str, Any] = bench.run(breaking(), until=bench.Until(calls=9), warmup=0)["stages"][0]["figures"]
    assert found["calls"] == {"measured": 9, "complete": 3, "failed": 3, "incomplete": 3, "beside_them": 0}
    assert found["errors"] == {"ValueError: broken before": 3, "ValueError: broken within": 3}
    assert found["e2e"]["count"] == 3


def test_an_empty_answer_is_a_failure() -> None:
    """An answer without a piece is no answer that was quick."""
    found = figures(words(count=0))
    assert found["calls"]["failed"] == 4
    assert found["e2e"] is None


def test_what_is_no_text_is_a_piece(tmp_path: Path) -> None:
    """Blocks that are neither text nor reasoning, such as an image, are pieces, and empty ones are none."""

    @chat_model
    def showing(request: Request) -> Iterator[Any]:
        yield {"type": "text", "text": ""}
        yield {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}

    found = figures(showing())
    assert found["pieces"]["mean"] == 1
    assert found["ttft_text"] is None


def test_a_load_has_four_calls_for_each_at_once() -> None:
    """If nothing is said of the end, each load has as many calls that its beginning does not weigh much."""
    until = bench.Until()
    loads = (bench.Load(concurrency=1), bench.Load(concurrency=100), bench.Load(rate=1))
    assert [until.calls_of(load) for load in loads] == [50, 400, 50]
    assert bench.Until(seconds=1).calls_of(loads[0]) is None


async def test_a_sweep_ends_where_more_at_once_bring_no_more() -> None:
    """A sweep doubles the calls at once, and ends with the first load that is hardly faster than the one before."""
    room = asyncio.Semaphore(2)

    @chat_model
    async def pair(request: Request) -> str:
        async with room:
            await asyncio.sleep(0.01)
        return "done"

    report = await bench.arun(pair(), bench.Sweep(), until=bench.Until(calls=24))
    at_once = [stage["concurrency"] for stage in report["stages"]]
    assert at_once[:2] == [1, 2]
    assert len(at_once) < 6
    assert "TTFT p50" in bench.to_text(report)
    assert [load.concurrency for load in bench.Sweep(most=4).loads([1.0, 2.0, 4.0, 8.0])] == [1, 2, 4]


async def test_a_measurement_that_is_cancelled_has_a_report() -> None:
    """What was measured until a measurement is cancelled is reported, and the answer that nobody waited for is not."""
    hanging = asyncio.Event()
    turn = 0

    @chat_model
    async def third_hangs(request: Request) -> str:
        nonlocal turn
        turn += 1
        if turn == 3:
            hanging.set()
            await asyncio.Event().wait()
        return "done"

    measurement = bench.Measurement(third_hangs(), warmup=0)
    measuring = asyncio.create_task(measurement.arun())
    await hanging.wait()
    measuring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await measuring
    report = measurement.report()
    assert report["was_ended"]
    assert report["stages"][0]["figures"]["calls"] == {
        "measured": 2, "complete": 2, "failed": 0, "incomplete": 0, "beside_them": 1,
    }  # fmt: skip
    assert "Ended before its time." in bench.to_text(report)


async def test_prompts_that_run_out_are_an_error() -> None:
    """A measurement needs prompts without end, and says so."""
    with pytest.raises(ValueError, match=r"prompts ran out after 8: .*itertools\.cycle"):
        await bench.arun(words(), prompts=lambda: itertools.islice(bench.built_in(), 8))


@pytest.mark.parametrize("blocks", [True, False])
def test_it_says_when_its_own_loop_was_late(blocks: bool) -> None:
    """A model that blocks the event loop makes the figures wrong, which is said; one that waits does not."""

    @chat_model
    async def waiting(request: Request) -> AsyncIterator[str]:
        for _ in range(4):
            if blocks:
                time.sleep(0.05)  # noqa: ASYNC251 - what is said of it
            await asyncio.sleep(0.05)
            yield "x"

    report = bench.run(waiting(), [bench.Load(concurrency=2)], until=bench.Until(calls=6))
    stage = report["stages"][0]
    assert any("ms late" in warning for warning in stage["warnings"]) or not blocks
    assert stage["client"]["loop_share"] < 0.5


def test_it_says_when_calls_are_too_few() -> None:
    """Of fewer calls than run at once, only the beginning is measured, which is said."""
    report = bench.run(words(), [bench.Load(concurrency=8)], until=bench.Until(calls=2))
    assert any("Fewer calls" in warning for warning in report["stages"][0]["warnings"])


def test_it_says_when_its_own_cpu_was_all_used() -> None:
    """Where the loop has a whole core to do, it is the bottleneck, and that is said."""
    report = bench.run(words(count=2000), [bench.Load(concurrency=20)], until=bench.Until(calls=20))
    stage = report["stages"][0]
    assert stage["client"]["loop_share"] + stage["client"]["waited_share"] > 0.9
    assert any("no time to spare" in warning for warning in stage["warnings"])


def test_nothing_is_imported_for_figures() -> None:
    """Measuring needs no tokenizer, no tensors, no web server and no reader of tables."""
    code = (
        "import sys; from langplug import bench; from langplug.models import CustomChatModelAdvanced as Echo; "
        "bench.to_html(bench.run(Echo(model='x', n=9), until=bench.Until(calls=2))); print(*sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "langplug.bench" in told
    unwanted = ("torch", "transformers", "tokenizers", "tiktoken", "numpy", "pandas", "pyarrow", "aiohttp")
    assert not {*unwanted, "langplug.batch", "langplug.serve"} & set(told)


def test_errors_end_a_load() -> None:
    """A model that only fails is not asked to the end."""

    @chat_model
    def failing(request: Request) -> str:
        raise ValueError("no")

    report = bench.run(failing(), until=bench.Until(calls=1000, errors=5), warmup=0)
    assert report["stages"][0]["figures"]["calls"]["failed"] == 5


async def test_concurrency_is_kept_up() -> None:
    """So many calls run at once, no more, until the last measured one has ended."""
    running = most = 0
    seen: list[int] = []

    @chat_model
    async def watched(request: Request) -> AsyncIterator[Part]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            for _ in range(5):
                yield "x"
                await asyncio.sleep(0)
                seen.append(running)
        finally:
            running -= 1

    report = await bench.arun(watched(), [bench.Load(concurrency=3)], until=bench.Until(calls=9), warmup=3)
    assert most == 3
    assert report["stages"][0]["figures"]["calls"]["measured"] == 9
    assert report["stages"][0]["figures"]["calls"]["beside_them"] >= 3
    await asyncio.sleep(0)
    assert running == 0


@pytest.mark.parametrize("poisson", [False, True])
def test_rates(poisson: bool) -> None:
    """At a rate, calls begin whether others have ended or not."""
    load = bench.Load(rate=2000, poisson=poisson)
    report = bench.run(FakeListChatModel(responses=["one two"]), [load], until=bench.Until(calls=20))
    assert report["stages"][0]["figures"]["calls"]["complete"] == 20


def test_the_rate_is_found_of_few_calls() -> None:
    """At a rate, the measured span ends when the next call would begin: few calls do not seem to come more often."""
    report = bench.run(words(count=1), [bench.Load(rate=40)], until=bench.Until(calls=2))
    assert report["stages"][0]["figures"]["requests_per_s"] <= 40 * (1 + 1e-6)


def test_seconds_end_a_load() -> None:
    """A time ends a load, as a number of calls does."""
    report = bench.run(words(), until=bench.Until(calls=None, seconds=0.2))
    assert report["stages"][0]["figures"]["calls"]["complete"] > 0


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50))
def test_percentiles(values: list[float]) -> None:
    """Percentiles are those of the standard library's inclusive method, and the histogram counts each value once."""
    told = distribution(values)
    assert told is not None
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    for percent in (50, 90, 95, 99):
        assert told[f"p{percent}"] == pytest.approx(cuts[percent - 1])
    assert sum(told["histogram"]) == len(values)
    assert told["min"] <= told["mean"] * (1 + 1e-9) + 1e-9


@given(
    first=st.floats(0.001, 2), gap=st.floats(0.0001, 0.1), pieces=st.integers(1, 30), in_piece=st.integers(1, 5),
    calls=st.integers(1, 5),
)  # fmt: skip
def test_definitions(first: float, gap: float, pieces: int, in_piece: int, calls: int) -> None:
    """From known moments come the figures that the definitions say, however many tokens a piece has."""
    made: list[CallTimes] = []
    now = 100.0
    tokens = pieces * in_piece
    for _ in range(calls):
        moments = [now + first + gap * place for place in range(pieces)]
        call = CallTimes(began=now, first_text=moments[0], pieces=moments, ended=moments[-1], output_tokens=tokens)
        made.append(call)
        now = moments[-1]
    found = figures_of(made)
    e2e = first + gap * (pieces - 1)
    assert found["ttft"]["p50"] == pytest.approx(first)
    assert found["e2e"]["p50"] == pytest.approx(e2e)
    if tokens > 1:
        assert found["tpot"]["p50"] == pytest.approx((e2e - first) / (tokens - 1), abs=1e-9)
    else:
        assert found["tpot"] is None
    if pieces > 1:
        assert found["itl"]["p99"] == pytest.approx(gap, rel=1e-3, abs=1e-7)
    assert found["window_s"] == pytest.approx(e2e * calls)
    assert found["output_tokens_per_s"] == pytest.approx(tokens * calls / (e2e * calls))
    assert found["requests_per_s"] == pytest.approx(1 / e2e)


def test_goodput() -> None:
    """Goodput is of the calls that kept to every limit."""
    made = [CallTimes(began=n, pieces=[n + 0.1 * (n + 1)], ended=n + 1, output_tokens=1) for n in range(4)]
    assert figures_of(made, bench.Slo(ttft=0.25))["goodput_share"] == 0.5
    assert figures_of(made, bench.Slo(ttft=0.25, e2e=0.5))["goodput_share"] == 0


@pytest.mark.parametrize("tokens", [20, 200])
def test_synthetic_prompts(tokens: int) -> None:
    """Made-up prompts have the tokens that are asked for, nearly, and none is as another."""
    prompts = bench.synthetic(words(), tokens)
    some = [next(prompts) for _ in range(5)]
    assert len({str(one) for one in some}) == 5
    assert all(abs(words().get_num_tokens_from_messages(one) - tokens) <= max(4, tokens * 0.1) for one in some)


def test_prompts_of_a_file(tmp_path: Path) -> None:
    """Rows of a file are asked again and again; a wrong one is said."""
    (tmp_path / "a.jsonl").write_text('{"prompt": "one"}\n{"messages": [{"role": "user", "content": "two"}]}\n')
    prompts = bench.from_file(str(tmp_path / "a.jsonl"))
    assert [next(prompts)[0].content for _ in range(3)] == ["one", "two", "one"]
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n')
    with pytest.raises(ValueError, match=r"Row 1 .* neither"):
        bench.from_file(str(tmp_path / "b.jsonl"))


def test_compare() -> None:
    """A figure that became worse by more than is allowed is marked, and one that became better is not."""
    before = bench.run(words(reported=5), until=bench.Until(calls=20))
    after = json.loads(json.dumps(before))
    assert not any(change.is_worse for change in bench.compare(before, after))
    assert not list(bench.differences(before, after))
    after["stages"][0]["figures"]["ttft"]["p90"] *= 1.2
    after["stages"][0]["figures"]["e2e"]["p50"] *= 0.5
    after["stages"][0]["figures"]["output_tokens_per_s"] *= 0.5
    after["model"] = "another"
    after["stages"][0]["figures"]["calls"]["failed"] = 2
    worse = [change.name for change in bench.compare(before, after) if change.is_worse]
    assert worse == ["TTFT p90, ms", "tokens/s", "calls that failed, %"]
    assert [line for line in bench.to_table(bench.compare(before, after)).splitlines() if "worse" in line]
    assert list(bench.differences(before, after)) == ["model: words in the first; another in the second"]


def test_few_calls_are_compared_by_their_median() -> None:
    """A high percentile of a few calls is hardly more than the slowest one, and is not compared."""
    report = bench.run(words(reported=5), until=bench.Until(calls=3))
    named = {change.name for change in bench.compare(report, report)}
    assert "TTFT p50, ms" in named
    assert not any("p90" in name or "p99" in name for name in named)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, "the second is no report"),
        ([], "the second is no report"),
        ({"version": 99, "stages": []}, "the second report is of version 99"),
        ({"version": 1, "stages": [{"load": "one by one"}]}, "not whole: KeyError: 'figures'"),
        ({"version": 1, "stages": [{"load": "one by one", "figures": {}}]}, "not whole: KeyError: 'calls'"),
        ({"version": 1, "stages": []}, "no load in common: one by one in the first; none in the second"),
    ],
)
def test_what_cannot_be_compared(other: Any, said: str) -> None:
    """What is no report, is of another version or has other loads is said, and which of the two it is."""
    report = bench.run(words(), until=bench.Until(calls=1))
    with pytest.raises(ValueError, match=said):
        bench.compare(report, other)


async def test_against_raw() -> None:
    """What a model costs beyond its function is told, of each shape, and of adopted models."""

    @chat_model
    def sync(request: Request) -> Iterator[str]:
        yield from ["a", "b"]

    @chat_model
    async def whole(request: Request) -> str:
        return "a"

    for model in (sync(), whole(), words(), FakeListChatModel(responses=["ab"])):
        told = await bench.arun_against_raw(model, calls=2)
        assert told["raw"]["pieces"] >= 1
        assert told["model"]["pieces"] >= told["raw"]["pieces"]
    with pytest.raises(TypeError, match="nothing to compare it with"):
        await bench.arun_against_raw(sync() | (lambda message: message))


async def test_an_adopted_model_is_beside_itself() -> None:
    """A model that is adopted already is compared with what it adopted, and not with itself."""
    plain = FakeListChatModel(responses=["ab"])
    told = [await bench.arun_against_raw(model, calls=2) for model in (plain, adopt(plain))]
    raw, ours = ([one[side]["pieces"] for one in told] for side in ("raw", "model"))
    assert raw == [len([chunk async for chunk in plain.astream("Hello")])] * 2
    assert ours == [len([chunk async for chunk in adopt(plain).astream("Hello")])] * 2
    assert raw != ours  # or this test could not tell one from the other


async def test_a_server_is_not_asked_against_raw() -> None:
    """A model behind a server has no function of its own, and is refused before it is asked."""
    with Backend() as backend:
        model = ChatEndpoint(base_url=backend.openai_url, model="backend-1")
        with pytest.raises(TypeError, match="backend-1 has nothing to compare it with: it is behind a server"):
            await bench.arun_against_raw(model)
        assert not backend.requests


async def test_against_raw_ends_by_time() -> None:
    """A slow model is not asked as often as a quick one: time ends it, too, and both sides have been asked."""

    @chat_model
    async def slow(request: Request) -> str:
        await asyncio.sleep(0.02)
        return "a"

    told = await bench.arun_against_raw(slow(), calls=10_000, seconds=0.5)
    assert 5 <= told["raw"]["calls"] < 100
    assert 5 <= told["model"]["calls"] < 100
    assert not told["was_ended"]
    told = await bench.arun_against_raw(slow(), calls=10_000, seconds=1e-9)
    assert told["raw"]["calls"] == told["model"]["calls"] == 1
    with pytest.raises(ValueError, match="calls is 0; expected more than 0"):
        bench.AgainstRaw(slow(), calls=0)


async def test_against_raw_that_is_cancelled_has_a_report() -> None:
    """What was measured beside the function until it is cancelled is reported; before that, there is nothing."""
    hanging = asyncio.Event()

    @chat_model
    async def words_then_none(request: Request) -> str:
        if measurement.report() is not None:
            hanging.set()
            await asyncio.Event().wait()
        return "a"

    measurement = bench.AgainstRaw(words_then_none(), calls=10)
    assert measurement.report() is None
    measuring = asyncio.create_task(measurement.arun())
    await hanging.wait()
    measuring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await measuring
    report = measurement.report()
    assert report is not None
    assert report["was_ended"]
    assert report["raw"]["calls"] == report["model"]["calls"] == 2


@pytest.mark.parametrize(("given", "failed"), [({}, 2), ({"max_retries": 0}, 2), ({"max_retries": 2}, 0)])
def test_no_call_is_tried_again_unless_it_is_said(given: dict[str, Any], failed: int) -> None:
    """A model's default of tries would hide failures; a number that its user gave is kept."""
    with Backend() as backend:
        backend.reply = Reply(text="Hello")
        for _ in range(2):
            backend.queue(Fault.status(503, retry_after=0))
        model = ChatEndpoint(base_url=backend.openai_url, model="backend-1", **given)
        report = bench.run(model, until=bench.Until(calls=4), warmup=0)
        assert report["stages"][0]["figures"]["calls"]["failed"] == failed
        assert len(backend.requests) == 4 + (2 - failed)


def test_what_is_no_measurement() -> None:
    """No load is an error, and so is `run` where an event loop runs already, which names `arun`."""
    with pytest.raises(ValueError, match="no load to measure"):
        bench.run(words(), [])

    async def within() -> None:
        with pytest.raises(RuntimeError, match=r"an event loop runs here already.*await bench\.arun"):
            bench.run(words())

    asyncio.run(within())


def test_what_is_missing() -> None:
    """A load that was measured, and has no measured calls any more, is missing; an end before the time is said."""
    before = bench.run(words(), [bench.Load(concurrency=1), bench.Load(concurrency=2)], until=bench.Until(calls=2))
    after = json.loads(json.dumps(before))
    assert bench.missing(before, after) == []
    after["stages"][0]["figures"] = {"calls": {"measured": 0}}
    after["was_ended"] = True
    assert bench.missing(before, after) == ["one by one"]
    assert list(bench.differences(before, after)) == ["the second was ended before its time"]
    del after["stages"][1]
    assert bench.missing(before, after) == ["one by one", "2 at once"]
    assert bench.missing(after, before) == []


def test_small_figures_are_shown() -> None:
    """A latency of some microseconds is no 0.0 ms, and the client's CPU and loop are told, in text and on the page."""
    report = bench.run(words(reported=1000), until=bench.Until(calls=4))
    found = report["stages"][0]["figures"]["tpot"] = {**distribution([0.00000123] * 4)}  # type: ignore[dict-item]
    assert found["p50"] == pytest.approx(1.23e-6)
    for told in (bench.to_text(report), bench.to_html(report)):
        assert "0.00123" in told
        assert "of a core, " in told


def test_labels_of_many_loads_do_not_overlap() -> None:
    """Of a curve over many loads, so many labels are drawn as there is room for; the last is always one of them."""
    report = bench.run(words(count=1), [bench.Load(concurrency=n) for n in range(1, 17)], until=bench.Until(calls=1))
    curves = re.findall(r'<svg [^>]*aria-label="tokens/s">.*?</svg>', bench.to_html(report))
    assert len(curves) == 1
    places = sorted({float(x) for x in re.findall(r'<text x="([\d.]+)"', curves[0])})
    assert all(right - left >= 40 for left, right in itertools.pairwise(places))
    assert ">16</text>" in curves[0]
    assert curves[0].count("<circle") == 16


def test_reports() -> None:
    """A report becomes text, and a page that asks nobody for anything, whatever a model calls itself."""
    report = bench.run(words(reported=5), [bench.Load(concurrency=1), bench.Load(concurrency=2)])
    report["model"] = "<script>alert(1)</script>"
    text, page = bench.to_text(report), bench.to_html(report)
    assert "TTFT, ms" in text
    assert "2 at once: 50 calls" in text
    assert "<script" not in page
    assert "http" not in page
    assert page.count("<svg") >= 10
