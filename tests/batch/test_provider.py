"""`via="provider"`: a server's batch API asks the rows, and the output is that of asking them one by one."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from operator import not_
from pathlib import Path
from typing import Any, get_args
from urllib.request import urlopen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.batch.asked import upper
from tests.batch.test_run import answers, records

from langplug import batch
from langplug.models import ChatEndpoint
from langplug_backend import Backend, BatchFate, ChatRequest, Fault, Reply
from langplug_backend.batches import BatchStep

SCHEMA = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}

ROWS = [{"id": f"row {number}", "prompt": f"city {number}"} for number in range(10)]


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


def model_at(backend: Backend, **options: Any) -> ChatEndpoint:
    return ChatEndpoint(model="m", base_url=backend.openai_url, **options)


def without_times(file: Path) -> list[dict[str, Any]]:
    """The records, without how long they took, and without ids, which are new each time."""
    told = [{name: value for name, value in record.items() if name != "latency_s"} for record in records(file)]
    for record in told:
        for call in record.get("tool_calls") or ():
            call["id"] = ""
    return told


def paths(backend: Backend, method: str, end: str) -> int:
    """How many requests of a method there were to such a path."""
    return sum(one.method == method and one.path.endswith(end) for one in backend.requests)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.lists(
        st.sampled_from(
            [
                "say this",
                '{"name": "Rome"}',
                "[[status 400]]",
                "[[status 403]]",
                "[[status 500]]",
                "[[refuse I will not]]",
                "[[think Hm.]] [[say Look.]]",
                '[[call find {"what": "it"}]]',
                "[[error_object]]",
                "[[empty]]",
                "[[finish length]] [[say cut]]",
                "half \ud800",
            ]
        ),
        max_size=8,
    ),
    how=st.tuples(
        st.sampled_from(["shuffled", "reversed", "as sent"]), st.integers(1, 9), st.sampled_from(["chat", "responses"])
    ),
    schema=st.sampled_from([None, SCHEMA]),
)
def test_the_output_is_the_local_one(
    backend: Backend, tmp_path: Path, prompts: list[str], how: tuple[Any, ...], schema: Any
) -> None:
    """In whatever order answers come, and whichever rows fail, the output is that of asking row by row."""
    backend.batches.order, rows_per_batch, api = how
    rows = [{"id": number, "prompt": prompt} for number, prompt in enumerate(prompts)]
    told: list[list[dict[str, Any]]] = []
    for via in ("provider", None):
        out = tmp_path / f"{via}.jsonl"
        Path(f"{out}.journal").unlink(missing_ok=True)
        batch.run(
            model_at(backend, api=api),
            rows,
            out,
            via=via,
            rows_per_batch=rows_per_batch,
            ordered=True,
            schema=schema,
            parameters={"temperature": 0.5},
            system="Be brief.",
            max_attempts=1,
        )
        told.append(without_times(out))
    assert told[0] == told[1]


def test_the_body_is_the_models_own(backend: Backend, tmp_path: Path) -> None:
    """A row of a batch is asked with the very body that it would be asked with by itself, but never streamed."""
    model = model_at(backend, max_tokens=7, stop=["x"], extra_body={"top_k": 4}, streaming=True)
    bodies: list[Any] = []
    for via in ("provider", None):
        backend.forget()
        batch.run(model, ["hi"], tmp_path / f"{via}.jsonl", via=via, schema=SCHEMA)
        bodies.append(backend.chats[0].body)
    assert bodies[0] == {name: value for name, value in bodies[1].items() if name not in ("stream", "stream_options")}
    assert bodies[0]["response_format"]["type"] == "json_schema"


def test_rows_become_batches(backend: Backend, tmp_path: Path) -> None:
    """There are as many batches as the limits ask for; rows that are equal are asked once, and the figures say all."""
    rows = [*ROWS, {"id": "row 3", "prompt": "city 3"}, {"id": "no prompt"}]
    out = tmp_path / "out.csv"
    summary = batch.run(model_at(backend), rows, out, via="provider", rows_per_batch=4, keep=["prompt"])
    assert paths(backend, "POST", "/batches") == 3
    assert (summary.rows, summary.answered, summary.failed, summary.calls, summary.resumed) == (12, 11, 1, 10, 0)
    assert (summary.input_tokens, summary.output_tokens) == (20, 20)
    assert "city 9" in out.read_text()
    again = batch.run(model_at(backend), rows, out, via="provider", keep=["prompt"])
    assert (again.resumed, again.calls, len(backend.chats)) == (11, 0, 10)


def test_openai_batch_format(backend: Backend, tmp_path: Path) -> None:
    """Rows in OpenAI's batch format are sent as they are, each to its place, and answered as the server says."""
    message = {"role": "user", "content": "hi"}
    rows = [
        {"custom_id": "chat", "url": "/v1/chat/completions", "body": {"messages": [message]}},
        {"custom_id": "responses", "url": "/v1/responses", "body": {"input": "hi"}},
        {"custom_id": "wrong", "url": "/v1/chat/completions", "body": {"messages": "hi"}},
        {
            "custom_id": "half",
            "url": "/v1/chat/completions",
            "body": {"messages": [{"role": "user", "content": "\ud800"}]},
        },
        {"custom_id": "no url"},
    ]
    summary = batch.run(model_at(backend), rows, tmp_path / "out.jsonl", via="provider")
    told = {record["custom_id"]: record for record in records(tmp_path / "out.jsonl")}
    assert told["chat"]["response"]["body"]["choices"][0]["message"]["content"] == "hi"
    assert told["responses"]["response"]["body"]["output"][0]["content"][0]["text"] == "hi"
    assert told["wrong"]["response"]["status_code"] == 400
    assert told["no url"]["error"]["message"]
    assert (summary.answered, summary.failed) == (3, 2)


def test_what_may_pass_is_asked_again(backend: Backend, tmp_path: Path) -> None:
    """A row that fails for a reason that may pass is in a later batch again, so often and no oftener."""
    failures = Counter({"city 1": 1, "city 2": 9})

    def answer(request: ChatRequest) -> Any:
        failures[request.text] -= 1
        faults = (Fault.status(500),) if failures[request.text] >= 0 else ()
        return Reply(text=request.text, faults=faults)

    backend.reply = answer
    batch.run(model_at(backend), ROWS[:3], tmp_path / "out.jsonl", via="provider", ordered=True, max_attempts=3)
    told = records(tmp_path / "out.jsonl")
    assert [record["attempts"] for record in told] == [1, 2, 3]
    assert [record.get("answer") for record in told] == ["city 0", "city 1", None]
    assert told[0]["latency_s"] is None


def test_what_the_server_refuses_is_left_out(backend: Backend, tmp_path: Path) -> None:
    """A part of the request that the server does not take is left out in the next batch, as it is row by row."""
    backend.fault = Fault.refuse_field("response_format")
    backend.reply = '{"name": "Rome"}'
    summary = batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider", schema=SCHEMA, max_attempts=1)
    assert (summary.answered, summary.calls) == (10, 30)  # first the schema is refused, and then JSON mode


@pytest.mark.parametrize(("status", "code"), [("expired", "batch_expired"), ("completed", "ended (completed)")])
def test_rows_that_are_left(backend: Backend, tmp_path: Path, status: Any, code: str) -> None:
    """Rows that a batch has not got to when it ends are rows that failed, and `retry_failed` asks those again."""
    backend.batches.fates.append(BatchFate(status=status, answers=6))
    if status == "completed":
        backend.batches.faults["content"].append(Fault.status(404))
        with pytest.raises(Exception, match="404"):
            batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider")
    summary = batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider")
    assert (summary.answered, summary.failed) == (6, 4)
    again = batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider", retry_failed=True)
    assert (again.answered, again.failed, again.calls) == (10, 0, 4)
    assert len(backend.chats) == 10
    assert answers(tmp_path / "out.jsonl") == {row["id"]: row["prompt"] for row in ROWS}


def test_lines_that_are_refused(backend: Backend, tmp_path: Path) -> None:
    """If a batch is refused for some of its lines, these are rows that failed, and the others are sent again."""
    wrong = {"code": "invalid_json_line", "message": "No.", "line": 4}
    backend.batches.fates.append(BatchFate(status="failed", errors=(wrong,)))
    summary = batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider")
    assert (summary.answered, summary.failed, len(backend.chats)) == (9, 1, 9)
    (failed,) = [record for record in records(tmp_path / "out.jsonl") if "error" in record]
    assert failed["error"] == "invalid_json_line: No."


def test_a_batch_that_is_refused(backend: Backend, tmp_path: Path) -> None:
    """If a batch is refused as a whole, the run ends and says why; the same call sends it again."""
    error = {"code": "model_not_found", "message": "There is no such model.", "line": None}
    backend.batches.fates.append(BatchFate(status="failed", errors=(error,)))
    with pytest.raises(batch.ProviderError, match=r"10 rows.*no such model\. \(model_not_found\)"):
        batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider")
    assert not backend.chats
    assert batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider").answered == 10


@pytest.mark.parametrize("places", [[1], [0], [0, 1, 2]], ids=str)
def test_a_server_that_is_full(backend: Backend, tmp_path: Path, places: list[int]) -> None:
    """A batch for which there is no room waits until another has ended; if there is none, the run ends and says so."""
    full = BatchFate(status="failed", errors=({"code": "token_limit_exceeded", "message": "Enqueued token limit."},))
    backend.batches.fates.extend(full if number in places else BatchFate() for number in range(3))
    if len(places) == 3:
        with pytest.raises(batch.ProviderError, match=r"Enqueued token limit.*Once there is room"):
            batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider", rows_per_batch=4)
    summary = batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider", rows_per_batch=4)
    assert (summary.answered, summary.failed, len(backend.chats)) == (10, 0, 10)


@pytest.mark.parametrize("step", [step for step in get_args(BatchStep) if step not in ("cancel", "list")])
@pytest.mark.parametrize("kind", ["server_error", "reset_before_headers", "cut_length"])
def test_requests_that_fail(backend: Backend, tmp_path: Path, step: BatchStep, kind: str) -> None:
    """Whatever request to the API fails, before or after it had its effect, no row is asked twice."""
    backend.batches.faults[step].extend([Fault(kind=kind)] * 2)
    told: set[str] = set()
    batch.run(model_at(backend), ROWS, tmp_path / "out.jsonl", via="provider", progress=lambda now: told.add(str(now)))
    assert any(one.startswith("asking the server again: ") for one in told)
    assert "10 rows read" in told
    assert "1 batch at the server (completed): 10 of 10 requests" in told
    assert answers(tmp_path / "out.jsonl") == {row["id"]: row["prompt"] for row in ROWS}
    assert Counter(chat.text for chat in backend.chats) == Counter(row["prompt"] for row in ROWS)
    assert created(backend) == 1


def created(backend: Backend) -> int:
    """How many batches there are, whoever knows of them."""
    with urlopen(f"{backend.openai_url}/batches?limit=100") as told:
        return len(json.load(told)["data"])


def start(backend: Backend, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.batch.sent", backend.openai_url, str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("step", [step for step in get_args(BatchStep) if step != "cancel"])
def test_killed_at_each_step(backend: Backend, tmp_path: Path, step: BatchStep) -> None:
    """Killed when a request had its effect, and no answer yet, a run goes on; no row is paid for twice."""
    stalled: list[BatchStep] = ["create", "list"] if step == "list" else [step]
    for one in stalled:
        waiting = backend.batches.faults[one]
        waiting.append(Fault(kind="stall_before_headers"))
        process = start(backend, tmp_path)
        assert backend.wait_for(partial(not_, waiting), timeout=60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    last = start(backend, tmp_path)
    _, said = last.communicate()
    assert last.returncode == 0, said
    assert Counter(chat.text for chat in backend.chats) == Counter(f"row {number}" for number in range(20))
    assert created(backend) == 3
    assert answers(tmp_path / "out.jsonl") == {str(number): f"row {number}" for number in range(20)}


def test_another_prompt_leaves_what_was_sent(backend: Backend, tmp_path: Path) -> None:
    """A run with other rows waits for its own batches alone; those of the earlier rows can be cancelled."""
    backend.batches.looks = 10**6
    process = start(backend, tmp_path)
    assert backend.wait_for(lambda: paths(backend, "POST", "/batches"), timeout=60)
    assert backend.wait_for(lambda: any("/batches/" in one.path for one in backend.requests), timeout=60)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert batch.cancel(model_at(backend), tmp_path / "out.jsonl") == 3
    backend.batches.looks = 1
    summary = batch.run(model_at(backend), ["other"], tmp_path / "out.jsonl", via="provider")
    assert (summary.answered, len(backend.chats)) == (1, 1)
    assert batch.cancel(model_at(backend), tmp_path / "out.jsonl") == 0
    with pytest.warns(UserWarning, match="3 batches that `via='provider'` has sent were not read"):
        batch.run(model_at(backend), ["asked at once"], tmp_path / "out.jsonl")


def test_cancelled(backend: Backend, tmp_path: Path) -> None:
    """What a cancelled batch has not got to are rows that failed."""
    backend.batches.looks = 10**6
    process = start(backend, tmp_path)
    assert backend.wait_for(lambda: any("/batches/" in one.path for one in backend.requests), timeout=60)
    process.send_signal(signal.SIGINT)
    process.communicate()
    with pytest.raises(ValueError, match="no journal"):
        batch.cancel(model_at(backend), tmp_path / "another.jsonl")
    batch.cancel(model_at(backend), tmp_path / "out.jsonl")
    backend.batches.looks = 1
    last = start(backend, tmp_path)
    last.communicate()
    told = records(tmp_path / "out.jsonl")
    assert len(told) == 20
    assert all("cancelled" in record["error"] for record in told)


def test_wrong_use(backend: Backend, tmp_path: Path) -> None:
    """A model without a server, a server without the API, and a run that cannot be continued are refused."""
    with pytest.raises(ValueError, match="ChatEndpoint, such as https://"):
        batch.run(upper(), ["x"], tmp_path / "out.jsonl", via="provider")
    with pytest.raises(ValueError, match="name a file as the output"):
        batch.run(model_at(backend), ["x"], "-", via="provider")
    backend.batches.exists = False
    with pytest.raises(ValueError, match=r"has no batch API .*404"):
        batch.run(model_at(backend), ["x"], tmp_path / "out.jsonl", via="provider")
