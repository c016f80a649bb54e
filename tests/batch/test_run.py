"""`langplug.batch.run`: rows in, records out, in every form."""

import asyncio
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.exceptions import ModelConnectionError, ModelRateLimitError
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from tests.batch.asked import upper

from langplug import ChatModel, Part, Reasoning, Request, ToolCall, batch, chat_model
from langplug.models import ChatScripted


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def answers(file: Path) -> dict[str, Any]:
    return {record["id"]: record.get("answer") for record in records(file)}


CITIES = [{"id": "a", "city": "Rome", "size": 3}, {"id": "b", "city": "Oslo, N.", "size": 1}]


def write_cities(file: Path) -> None:
    if file.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pa.Table.from_pylist(CITIES), file)
    elif file.suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, CITIES)))
    else:
        with file.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(CITIES[0]), delimiter="\t" if file.suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(CITIES)


def read_table(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".parquet":
        found: list[dict[str, Any]] = pytest.importorskip("pyarrow.parquet").read_table(file).to_pylist()
        return found
    if file.suffix == ".jsonl":
        return records(file)
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t" if file.suffix == ".tsv" else ","))


@pytest.mark.parametrize("read", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("written", ["jsonl", "csv", "tsv", "parquet"])
def test_formats(read: str, written: str, tmp_path: Path) -> None:
    """Every format is read, and every format is written, with the columns that are kept."""
    write_cities(source := tmp_path / f"cities.{read}")
    out = tmp_path / f"answers.{written}"
    summary = batch.run(upper(), source, out, prompt="{city} has {size}", keep=["city"], ordered=True)
    assert (summary.rows, summary.answered, summary.failed) == (2, 2, 0)
    told = [(str(row["index"]), row["id"], row["answer"], row["city"]) for row in read_table(out)]
    assert told == [("0", "a", "ROME HAS 3", "Rome"), ("1", "b", "OSLO, N. HAS 1", "Oslo, N.")]
    assert not Path(f"{out}.part").exists()


@pytest.mark.parametrize(
    "row",
    [
        "hello",
        {"prompt": "hello"},
        {"messages": [{"role": "user", "content": "hello"}]},
        {"messages": '[{"role": "user", "content": "hello"}]'},
        {"messages": [HumanMessage("hello")]},
    ],
)
def test_kinds_of_rows(row: Any, tmp_path: Path) -> None:
    """A row is a text, has a prompt, or has messages: as OpenAI writes them, as JSON text, or LangChain's."""
    batch.run(upper(), [row], tmp_path / "out.jsonl")
    assert answers(tmp_path / "out.jsonl") == {"0": "HELLO"}


def test_system(tmp_path: Path) -> None:
    """A system prompt comes before each row's messages, and is a template, too."""

    @chat_model
    def told(request: Request) -> str:
        return " / ".join(f"{message.type}: {message.content}" for message in request.messages)

    batch.run(told(), [{"prompt": "go", "tone": "kind"}], tmp_path / "out.jsonl", system="Be {tone}. {{x}}")
    assert answers(tmp_path / "out.jsonl") == {"0": "system: Be kind. {x} / human: go"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"city": "Rome"}, "neither `prompt` nor `messages`, but city"),
        ({"messages": []}, "at least one message"),
        ({"messages": "not JSON"}, "`messages` is not JSON"),
        ({"prompt": " "}, "nothing to ask"),
        ({"messages": [{"content": "no role"}]}, "'role'"),
        ({"prompt": "please fail"}, "ValueError: please fail it must"),
        (ValueError("Line 3 is not JSON."), "Line 3 is not JSON."),
    ],
)
def test_row_that_fails(row: Any, said: str, tmp_path: Path) -> None:
    """A row that cannot be asked or answered is a record with an error, and the others are answered."""
    summary = batch.run(upper(), ["one", row, "two"], out := tmp_path / "out.jsonl", ordered=True)
    first, failed, last = records(out)
    assert (first["answer"], last["answer"]) == ("ONE", "TWO")
    assert said in failed["error"]
    assert "answer" not in failed
    assert (summary.answered, summary.failed) == (2, 1)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=6))
def test_any_bytes_are_rows(lines: list[bytes], tmp_path: Path) -> None:
    """Whatever the lines of a file hold, each that is not empty is one record, and the run goes to its end."""
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    summary = batch.run(upper(), tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    first, *others = lines or [b""]
    filled = [line for line in [first.removeprefix(b"\xef\xbb\xbf"), *others] if line.strip()]
    assert summary.rows == len(filled) == len(records(tmp_path / "out.jsonl"))


def test_what_an_answer_has(tmp_path: Path) -> None:
    """Reasoning, calls, finish reason, usage, attempts and latency are told."""

    @chat_model(tool_calling="native")
    def full(request: Request) -> Iterator[Part]:
        yield Reasoning("Hm.")
        yield "Look."
        yield ToolCall(name="find", args={"what": "it"}, id="call_1")
        yield {"usage": {"prompt_tokens": 7, "completion_tokens": 2}, "choices": []}

    summary = batch.run(full(), ["x"], tmp_path / "out.jsonl")
    (record,) = records(tmp_path / "out.jsonl")
    assert record["reasoning"] == "Hm."
    assert record["answer"] == "Look."
    assert record["tool_calls"] == [{"id": "call_1", "name": "find", "args": {"what": "it"}}]
    assert (record["input_tokens"], record["output_tokens"], record["attempts"]) == (7, 2, 1)
    assert (summary.input_tokens, summary.output_tokens, summary.calls) == (7, 2, 1)
    assert record["latency_s"] >= 0


def test_schema(tmp_path: Path) -> None:
    """With a schema, what was parsed is told beside the text, and what cannot be parsed is an error."""
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    replies = ['{"name": "Rome"}', *["no"] * 10]
    summary = batch.run(
        ChatScripted(replies=replies), ["a", "b"], out := tmp_path / "out.jsonl", schema=schema, max_concurrency=1
    )
    first, second = sorted(records(out), key=lambda record: record["index"])
    assert first["parsed"] == {"name": "Rome"}
    assert "error" not in first
    assert second["error"]
    assert (summary.answered, summary.failed) == (1, 1)


class Flaky(ChatModel):
    """Fails so often before it answers."""

    failures: int
    error: str = "connection"
    _asked: int = 0

    async def respond(self, request: Request) -> str:
        self._asked += 1
        if self._asked <= self.failures:
            raise (ModelRateLimitError if self.error == "rate" else ModelConnectionError)("not now")
        return "at last"


@pytest.mark.parametrize(("failures", "attempts", "answer"), [(2, 3, "at last"), (3, 3, None)])
def test_attempts(failures: int, attempts: int, answer: str | None, tmp_path: Path) -> None:
    """A row that fails for a reason that may pass is asked again, so often and no oftener."""
    batch.run(Flaky(failures=failures), ["x"], tmp_path / "out.jsonl", max_attempts=attempts)
    (record,) = records(tmp_path / "out.jsonl")
    assert (record.get("answer"), record["attempts"]) == (answer, 3)
    assert ("ModelConnectionError: not now" in record.get("error", "")) == (answer is None)


def test_refusals_are_no_attempts(tmp_path: Path) -> None:
    """A row that is refused because there are too many calls is asked again beyond its attempts."""
    batch.run(Flaky(failures=2, error="rate"), ["x"], tmp_path / "out.jsonl", max_attempts=1)
    assert answers(tmp_path / "out.jsonl") == {"0": "at last"}


def test_max_errors(tmp_path: Path) -> None:
    """A run ends when more rows have failed than may; what was answered is kept."""
    rows = ["one", *["fail"] * 20]
    with pytest.raises(batch.TooManyErrors, match=r"3 of \d+ rows failed.*it must"):
        batch.run(upper(), rows, tmp_path / "out.jsonl", max_errors=2, max_concurrency=1)
    assert not (tmp_path / "out.jsonl").exists()
    assert answers(tmp_path / "out.jsonl.part")["0"] == "ONE"


def test_part_of_errors(tmp_path: Path) -> None:
    """A part of the rows may fail: it is looked at when there are a hundred."""
    rows = ["fail" if n % 10 == 0 else str(n) for n in range(300)]
    assert batch.run(upper(), rows, tmp_path / "a.jsonl", max_errors=0.2).failed == 30
    with pytest.raises(batch.TooManyErrors):
        batch.run(upper(), rows, tmp_path / "b.jsonl", max_errors=0.05)


async def test_rows_are_read_as_needed(tmp_path: Path) -> None:
    """Rows are not read far ahead of those that are asked."""
    read = 0

    def rows() -> Any:
        nonlocal read
        for n in range(100_000):
            read += 1
            yield str(n)

    begun, go_on = asyncio.Event(), asyncio.Event()

    @chat_model
    async def waiting(request: Request) -> str:
        begun.set()
        await go_on.wait()
        return "x"

    running = asyncio.create_task(
        batch.arun(waiting(), rows(), tmp_path / "out.jsonl", max_concurrency=4, identity="waiting")
    )
    await begun.wait()
    assert read <= 512
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(waits=st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_ordered(waits: list[int], tmp_path: Path) -> None:
    """In whatever order answers come, an ordered output is in that of the rows."""

    @chat_model
    async def late(request: Request) -> str:
        for _ in range(int(request.text)):
            await asyncio.sleep(0)
        return request.text

    batch.run(late(), [str(wait) for wait in waits], tmp_path / "out.jsonl", ordered=True, journal=None)
    assert [record["index"] for record in records(tmp_path / "out.jsonl")] == list(range(len(waits)))
    assert [record["answer"] for record in records(tmp_path / "out.jsonl")] == [str(wait) for wait in waits]
    (tmp_path / "out.jsonl.journal").unlink()


def test_anybodys_model(tmp_path: Path) -> None:
    """Any chat model, chain or graph is asked."""
    batch.run(FakeListChatModel(responses=["one"]), ["x"], tmp_path / "model.jsonl")
    batch.run(upper() | (lambda message: message), ["x"], tmp_path / "chain.jsonl", identity="upper")
    assert answers(tmp_path / "model.jsonl") == {"0": "one"}
    assert answers(tmp_path / "chain.jsonl") == {"0": "X"}


def test_openai_batch_format(tmp_path: Path) -> None:
    """Rows in OpenAI's batch format are answered in it, on every wire; a request that is wrong has its status."""
    message = {"role": "user", "content": "hi"}
    rows = [
        {"custom_id": "chat", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [message]}},
        {"custom_id": "responses", "url": "/v1/responses", "body": {"input": "hi"}},
        {"custom_id": "messages", "url": "/v1/messages", "body": {"messages": [message], "max_tokens": 9}},
        {"custom_id": "wrong", "url": "/v1/chat/completions", "body": {"messages": "hi"}},
        {"custom_id": "nowhere", "url": "/v1/nothing", "body": {}},
        {"custom_id": "no body", "url": "/v1/chat/completions", "body": 5},
        {"custom_id": "no url"},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(["no JSON", *map(json.dumps, rows)]))
    summary = batch.run(upper(), tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    told = {record["custom_id"]: record for record in records(tmp_path / "out.jsonl")}
    assert all(list(record) == ["id", "custom_id", "response", "error"] for record in told.values())
    bodies = {name: record["response"]["body"] for name, record in told.items() if record["response"]}
    assert {name for name, record in told.items() if record["error"]} == {"0", "no body", "no url"}
    assert bodies["chat"]["choices"][0]["message"]["content"] == "HI"
    assert bodies["responses"]["output"][0]["content"][0]["text"] == "HI"
    assert bodies["messages"]["content"][0]["text"] == "HI"
    assert told["wrong"]["response"]["status_code"] == 400
    assert set(bodies["wrong"]["error"]) == {"message", "type", "param", "code"}
    assert told["nowhere"]["response"]["status_code"] == 404
    assert (summary.answered, summary.failed) == (3, 5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt": "{x.y}"}, "names of columns"),
        ({"prompt": "{"}, "no template"),
        ({"max_attempts": 0}, "max_attempts is 0; expected 1 or more"),
        ({"rows_per_batch": 0}, "rows_per_batch is 0"),
        ({"max_errors": -1}, "max_errors is -1"),
        ({"schema": {"type": "strin"}}, "no JSON schema: .*type"),
        ({"schema": {"properties": {"a": {"type": "object", "required": "b"}}}}, r"no JSON schema: .*required"),
        ({"rpm": 0}, "rpm is 0"),
        ({"max_concurrency": 0}, "max_concurrency is 0"),
        ({"keep": ["error"]}, "a column 'error' of its own"),
        ({"out_format": "xml"}, "unknown format 'xml'"),
    ],
)
def test_wrong_options(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    """What is wrong is said before anything is asked or written."""
    with pytest.raises(ValueError, match=said):
        batch.run(upper(), ["x"], tmp_path / "out.jsonl", **options)
    assert not list(tmp_path.iterdir())


def test_wrong_files(tmp_path: Path) -> None:
    """An input that would be lost, a name without a format and a table without the column are refused."""
    write_cities(source := tmp_path / "cities.csv")
    for out, options, said in [
        (source, {}, "is the input"),
        (tmp_path / "out.txt", {}, r"must end in \.jsonl"),
        (tmp_path / "out.csv", {"prompt": "{town}"}, "no column 'town', but id, city, size"),
    ]:
        with pytest.raises(ValueError, match=said):
            batch.run(upper(), source, out, **{"prompt": "{city}", **options})
    assert [file.name for file in tmp_path.iterdir()] == ["cities.csv"]


def test_count(tmp_path: Path) -> None:
    """A job is looked at without asking: its rows, its tokens, and what is wrong with them."""
    counted = batch.count(upper(), [{"id": "p", "city": "Rome"}, {"id": "q"}], prompt="{city}")
    assert (counted.rows, counted.wrong) == (2, 1)
    assert "'q'" in counted.problem
    assert counted.tokens


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("id,prompt\na,Z\u00fcrich\n".encode("latin-1"), "line 2 is not UTF-8"),
        (b"prompt,id,prompt\none,a,two\n", "two columns are called 'prompt'"),
    ],
)
def test_tables_that_would_be_misread(table: bytes, said: str, tmp_path: Path) -> None:
    """What a table does not say for certain is asked of nobody."""
    (tmp_path / "in.csv").write_bytes(table)
    model = ChatScripted(replies=["never"])
    with pytest.raises(ValueError, match=said):
        batch.run(model, tmp_path / "in.csv", tmp_path / "out.csv")
    assert [] == model.requests


def test_blank_cells_say_nothing(tmp_path: Path) -> None:
    """A table has a cell in each column: the one with something in it is asked, and a row without any has failed."""
    (tmp_path / "in.csv").write_text("id,prompt,messages\na,Hello,\nb,,\nc,,not JSON\n")
    summary = batch.run(ChatScripted(replies=["Hi."]), tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert (summary.answered, summary.failed) == (1, 2)
    errors = {record["id"]: record.get("error") or "" for record in records(tmp_path / "out.jsonl")}
    assert errors["a"] == ""
    assert "nothing to ask" in errors["b"]
    assert "`messages` is not JSON" in errors["c"]


async def test_a_running_loop_is_told_what_to_await(tmp_path: Path) -> None:
    """In a notebook, `run` and `cancel` name the functions that can be awaited."""
    with pytest.raises(RuntimeError, match=r"await batch\.arun"):
        batch.run(ChatScripted(replies=["Hi."]), ["Hello"], tmp_path / "out.jsonl")
    with pytest.raises(RuntimeError, match=r"await batch\.acancel"):
        batch.cancel(ChatScripted(), tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match="nothing was sent"):
        await batch.acancel(ChatScripted(), tmp_path / "out.jsonl")


def test_time_left(tmp_path: Path) -> None:
    """While a file is asked, the progress says for how long about; at the end, when the rows are known, no more."""
    told: list[str] = []

    @chat_model
    async def slow(request: Request) -> str:
        await asyncio.sleep(0.01)
        return "x"

    (tmp_path / "in.csv").write_text("prompt\n" + "one\n" * 600)
    summary = batch.run(
        slow(), tmp_path / "in.csv", tmp_path / "out.csv", max_concurrency=8, progress=lambda now: told.append(str(now))
    )
    assert any(said.endswith(" left") for said in told)
    assert not str(summary).endswith(" left")
