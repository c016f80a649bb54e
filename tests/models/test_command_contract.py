"""Statements of the contract, and langchain-tests' own classes, on programs: one of text, one of JSON lines."""

import asyncio
import json
import pickle
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumpd, dumps
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel
from pytest_benchmark.fixture import BenchmarkFixture
from tests.callers import add
from tests.paths import PATHS, STREAMED, by_astream, by_invoke, by_stream
from tests.paths import Path as CallPath
from tests.recording import RecordingHandler

from langplug.models import ChatCommand

PROGRAM = Path(__file__).parent / "stub_program.py"


class ChatProgram(ChatCommand):
    """A program that calls tools and keeps to schemas by itself, as its author would describe it."""

    tool_calling = "native"
    structured_output = "native"

    command: list[str | list[str]] = [sys.executable, "-I", "-S", str(PROGRAM)]  # noqa: RUF012 - pydantic copies it
    model: str | None = "stub-1"
    input: Any = "request"
    output: Any = "jsonl"
    paths: Any = {  # noqa: RUF012 - pydantic copies it
        "text": "text",
        "tool_calls": "call",
        "usage": "usage",
        "finish": "end",
        "reasons": {"done": "stop"},
        "response_metadata": "{model_name: name}",
    }


@pytest.fixture(params=list(PATHS))
def call(request: pytest.FixtureRequest) -> CallPath:
    """Each path to an answer in turn."""
    return PATHS[request.param]


@pytest.fixture
def model() -> ChatProgram:
    """The program of JSON lines."""
    return ChatProgram()


def counting(tmp_path: Path, **settings: Any) -> tuple[ChatCommand, Path]:
    """A program that echoes, and the file that grows by a line each time it is started."""
    record = tmp_path / "starts"
    command = ["sh", "-c", f"echo once >> {record}; cat"]
    return ChatCommand(command=command, input="text", **settings), record


# --- parity ---


def test_parity(model: ChatProgram, call: CallPath) -> None:
    """Each path gives the text, finish, name and usage that `invoke` gives."""
    invoked, answered = by_invoke(model, "one two  three"), call(model, "one two  three")
    assert "You said: one two  three" == invoked.text == answered.text == answered.message.text
    metadata = answered.message.response_metadata
    metadata.pop("output_version", None)  # version 3 of the events always makes standard messages, and notes it
    assert invoked.message.response_metadata == metadata
    assert {"model_name": "stub-1", "model_provider": "program", "finish_reason": "stop"} == metadata
    assert invoked.message.usage_metadata == answered.message.usage_metadata


@pytest.mark.parametrize("path", list(STREAMED))
def test_calls_are_parted_from_text(model: ChatProgram, path: str) -> None:
    """A call in fragments is one call on each path, with an id and whole arguments."""
    (made,) = STREAMED[path](model.bind_tools([add]), "What is 3 and 4?").message.tool_calls
    assert ("add", {"a": 3, "b": 3}) == (made["name"], made["args"])
    assert made["id"]


class Point(BaseModel):
    """A point."""

    x: int
    label: str


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(model: ChatProgram, method: Any) -> None:
    """An object of a schema, by the program's own doing or by a forced call of a tool."""
    assert Point(x=5, label="here") == model.with_structured_output(Point, method=method).invoke("5 and 'here'")


def test_standard_content(model: ChatProgram, call: CallPath) -> None:
    """With `output_version="v1"` the content is one text block."""
    (block,) = list(call(model.model_copy(update={"output_version": "v1"}), "hello").message.content)
    assert isinstance(block, dict)
    assert ("text", "You said: hello") == (block["type"], block["text"])


# --- identity, copies, caches ---


def test_copies_answer(model: ChatProgram) -> None:
    """A deep copy and a pickle answer, fresh or used, and so does a pickled binding."""
    for _ in range(2):
        for copy in (deepcopy(model), pickle.loads(pickle.dumps(model)), model.model_copy()):
            assert "You said: hi" == copy.invoke("hi").text
            assert copy == model
    bound = pickle.loads(pickle.dumps(ChatCommand(command=["cat"], input="text").bind(stop=["b"])))
    assert "ab" == bound.invoke("abc").text


def test_traces_are_json(model: ChatProgram) -> None:
    """The parameters are JSON data, and the dump is honest: it says that it cannot be loaded."""
    json.dumps([model.asdict(), model._get_ls_params(), model.get_input_jsonschema()])
    assert "not_implemented" == dumpd(model)["type"]
    params = model._get_ls_params(model="stub-2", stop=["x"])
    assert ("program", "stub-2", ["x"]) == (params["ls_provider"], params["ls_model_name"], params.get("ls_stop"))


def test_a_cached_answer_starts_no_program(tmp_path: Path) -> None:
    """What is in the cache is answered without the program, sync and async, unless a parameter is another."""
    model, record = counting(tmp_path, cache=InMemoryCache())
    first = model.invoke("hi")
    assert first.text == model.invoke("hi").text == asyncio.run(model.ainvoke("hi")).text
    assert 1 == len(record.read_text().splitlines())
    model.invoke("hi", template="chatml")
    assert 2 == len(record.read_text().splitlines())
    assert first.response_metadata == json.loads(dumps(first.response_metadata))


def test_parameters_of_a_call_are_checked_and_do_not_stick(model: ChatProgram) -> None:
    """A call's own parameter reaches the program once; a misspelt one names the right one."""
    answered = model.invoke("hi", model="stub-2")
    assert "stub-2" == answered.response_metadata["model_name"]
    assert "stub-1" == model.invoke("hi").response_metadata["model_name"]
    with pytest.raises(TypeError, match="Did you mean 'command'"):
        model.invoke("hi", comand=["x"])
    configurable = model.configurable_fields(model=ConfigurableField(id="model"))
    configured = configurable.invoke("hi", config={"configurable": {"model": "stub-3"}})
    assert "stub-3" == configured.response_metadata["model_name"]


def test_the_rate_limiter_is_asked_once(call: CallPath) -> None:
    """Each call asks the rate limiter once."""
    limiter = InMemoryRateLimiter(requests_per_second=1e-6, max_bucket_size=1, check_every_n_seconds=0.001)
    limiter.available_tokens = 1
    assert "hi" == call(ChatCommand(command=["cat"], input="text", rate_limiter=limiter), "hi").text
    assert limiter.available_tokens < 1


# --- callbacks ---


def test_callbacks(model: ChatProgram, call: CallPath) -> None:
    """Each run starts and ends once, a stream's tokens make its text, and the usage is told once."""
    recorded, usage = RecordingHandler(), UsageMetadataCallbackHandler()
    answered = call(model, "one two", config={"callbacks": [recorded, usage]})
    assert ["start", "end"] == recorded.seen
    assert (answered.text if call in (by_stream, by_astream) else "") == recorded.tokens
    assert 15 == usage.usage_metadata["stub-1"]["total_tokens"]


def test_a_failure_is_told_once(call: CallPath) -> None:
    """A program that fails ends its run once, with the error."""
    recorded = RecordingHandler()
    with pytest.raises(Exception, match="status 1"):
        call(ChatCommand(command=["sh", "-c", "echo a; exit 1"]), "hi", config={"callbacks": [recorded]})
    assert ["start", "CommandBrokeOffError"] == recorded.seen


def test_messages_are_left_alone_and_batches_in_order(model: ChatProgram) -> None:
    """Input messages stay as they were; a batch keeps its order, and one failure is its own."""
    asked = HumanMessage("hi", additional_kwargs={"a": 1})
    before = deepcopy(asked)
    model.invoke([asked])
    assert before == asked
    bad = "\ud800"
    first, second, third = model.batch(["a", bad, "c"], return_exceptions=True)
    assert ("You said: a", "You said: c") == (first.text, third.text)
    assert isinstance(second, ValueError)


# --- langchain-tests ---


@pytest.fixture
def benchmark(benchmark: BenchmarkFixture) -> BenchmarkFixture:
    """What `test_init_time` measures is measured in `benchmarks/`; here it only has to work."""
    benchmark.disabled = True
    return benchmark


class OfCat:
    """A program of text, which gives back the prompt."""

    chat_model_class: type[BaseChatModel] = ChatCommand
    chat_model_params: dict[str, Any] = {"command": ["cat"]}  # noqa: RUF012 - never changed
    model_override_value = "dog"
    has_tool_calling = False
    has_tool_choice = False
    has_structured_output = False
    supports_json_mode = False
    returns_usage_metadata = False
    enable_vcr_tests = False


class TestCatUnit(OfCat, ChatModelUnitTests):  # type: ignore[misc]
    """A program of text, as langchain-tests looks at a model by itself."""


class TestCatIntegration(OfCat, ChatModelIntegrationTests):  # type: ignore[misc]
    """A program of text, as langchain-tests looks at its answers."""


class OfProgram:
    """A program of JSON lines, with all that it can do."""

    chat_model_class: type[BaseChatModel] = ChatProgram
    chat_model_params: dict[str, Any] = {}  # noqa: RUF012 - never changed
    model_override_value = "stub-2"
    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    supports_json_mode = False
    supports_anthropic_inputs = False  # it brings an image
    enable_vcr_tests = False


class TestProgramUnit(OfProgram, ChatModelUnitTests):  # type: ignore[misc]
    """A program of JSON lines, as langchain-tests looks at a model by itself."""


class TestProgramIntegration(OfProgram, ChatModelIntegrationTests):  # type: ignore[misc]
    """A program of JSON lines, as langchain-tests looks at its answers."""
