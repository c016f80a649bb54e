"""`/metrics`: what is counted of the requests, and how it is told."""

import asyncio
import json
import re
from collections.abc import Iterator

import aiohttp
import pytest
from tests.serve.client import JSON, ask, send
from tests.serve.served_models import Endless, held, serving, serving_exchange, until

from langplug import Usage
from langplug.models import ChatScripted
from langplug.models.scripted import Cut
from langplug.serve import app
from langplug.serve.metrics import Metrics

_SAMPLE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (\d+(?:\.\d+)?(?:e-\d+)?)')


def samples(text: str) -> dict[str, float]:
    """The samples by their names and labels; every line of the format is one, or a comment of a known kind."""
    found = {}
    for line in text.splitlines():
        if not line.startswith(("# HELP ", "# TYPE ")):
            whole = _SAMPLE.fullmatch(line)
            assert whole, line
            found[line.rpartition(" ")[0]] = float(whole[3])
    return found


@pytest.fixture
def talker() -> Iterator[str]:
    usage = Usage(input_tokens=3, output_tokens=4)
    with serving({"m": ChatScripted(replies=[["one", usage], ["two", usage], ["t", Cut()]], max_retries=0)}) as base:
        yield base


def test_requests_tokens_and_times_are_counted(talker: str) -> None:
    """Each request is counted by wire, model and outcome, a stream that failed half-way by its error; tokens add up."""
    send(talker, ask())
    send(talker, ask(stream=True))
    send(talker, ask(stream=True))
    send(talker, ask(model="other"))
    status, headers, text = send(talker, path="/metrics", method="GET")
    told = samples(text)
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert told['langplug_requests_total{wire="chat",model="m",status="200"}'] == 2
    assert told['langplug_requests_total{wire="chat",model="m",status="502"}'] == 1
    assert told['langplug_requests_total{wire="chat",model="",status="404"}'] == 1
    assert told['langplug_tokens_total{model="m",direction="input"}'] == 6
    assert told['langplug_tokens_total{model="m",direction="output"}'] == 8
    assert told['langplug_time_to_first_token_seconds_count{wire="chat",model="m"}'] == 2
    assert told['langplug_request_duration_seconds_bucket{wire="chat",model="m",le="+Inf"}'] == 3
    assert (told["langplug_requests_running"], told["langplug_requests_queued"]) == (0, 0)


def test_running_calls_and_those_that_leave_are_counted() -> None:
    """A call that runs is told while it runs, and one whose client leaves is counted as 499."""

    async def begin_and_leave(base: str) -> None:
        async with aiohttp.ClientSession() as session:
            data = json.dumps(ask(stream=True))
            async with session.post(f"{base}/v1/chat/completions", data=data, headers=JSON):
                metrics = await (await session.get(f"{base}/metrics")).text()
                assert samples(metrics)["langplug_requests_running"] == 1

    exchange = app({"m": Endless()}).exchange
    with serving_exchange(exchange) as base:
        asyncio.run(begin_and_leave(base))
        until(lambda: exchange.queue.running == 0)
        until(lambda: b'{wire="chat",model="m",status="499"} 1' in exchange.metrics.text(running=0, waiting=0))


def test_calls_that_wait_are_told() -> None:
    """A call that waits for its turn is told as such, and one that leaves before its answer began is counted as 499."""

    async def wait_and_leave(base: str) -> None:
        async with aiohttp.ClientSession() as session:
            url, data = f"{base}/v1/chat/completions", json.dumps(ask())
            asking = [asyncio.ensure_future(session.post(url, data=data, headers=JSON)) for _ in range(2)]
            await asyncio.to_thread(until, lambda: exchange.queue.waiting == 1)
            metrics = await (await session.get(f"{base}/metrics")).text()
            assert samples(metrics)["langplug_requests_queued"] == 1
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    model = held()
    exchange = app({"m": model}, max_concurrency=1).exchange
    with serving_exchange(exchange) as base:
        asyncio.run(wait_and_leave(base))
        until(lambda: b'status="499"} 2' in exchange.metrics.text(running=0, waiting=0))
        model.let_go.release()


def test_names_are_escaped() -> None:
    """A model may have any name: quotes, backslashes and line ends in labels are escaped."""
    metrics = Metrics()
    watch = metrics.watch("chat")
    watch.model = 'a"b\\c\nd'
    watch.end(200)
    told = samples(metrics.text(running=0, waiting=0).decode())
    assert told['langplug_requests_total{wire="chat",model="a\\"b\\\\c\\nd",status="200"}'] == 1


def test_each_request_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """On the level INFO: its id, what was asked of which model, status and time; whatever the path is, one line."""
    with caplog.at_level("INFO", "langplug.serve"), serving({"m": ChatScripted(replies=["hi"])}) as base:
        send(base, ask(), X_Request_Id="abc")
        send(base, None, "/no%0Awhere", "GET", X_Request_Id="def")
    first, second = (record.getMessage() for record in caplog.records if record.name == "langplug.serve")
    assert re.fullmatch(r"abc: POST '/v1/chat/completions' m: 200 in \d+\.\d{3} s", first)
    assert re.fullmatch(r"def: GET '/no\\nwhere' -: 404 in \d+\.\d{3} s", second)
