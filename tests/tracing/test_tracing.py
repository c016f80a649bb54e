"""What tracing tools report of a model of ours and of `ChatOpenAI`, on one server: the same, field by field.

Their packages live in an environment of their own: `make test-tracing`. Nothing leaves the machine.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("langfuse", reason="tracing tools are tested by `make test-tracing`")

from langchain_core.tracers import LangChainTracer
from langchain_openai import ChatOpenAI
from langfuse import Langfuse
from langfuse.langchain import CallbackHandler
from langsmith import Client
from openinference.instrumentation.langchain import LangChainInstrumentor as OpenInference
from opentelemetry.instrumentation.langchain import LangchainInstrumentor as OpenTelemetry
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.paths import PATHS, Path, by_av3, by_v3

from langplug.models import ChatEndpoint
from langplug_backend import Backend, Call, Reply, Tokens

Spans = Callable[[], list[dict[str, Any]]]
"""What was reported since it was last asked: the fields of each call."""

TELLING = ("model", "finish_reason", "usage", "token", "temperature", "max_tokens")
"""Words in the names of the fields that are compared."""

OF_THE_PROVIDER = ("ls_provider", "llm.provider", "llm.system", "gen_ai.provider.name", "gen_ai.system")
"""Which say who runs the model: there, the two differ by right."""

REPLIES = {
    "text": Reply(text="one two three", usage=Tokens(input=5, output=3)),
    "a call": Reply(calls=(Call(name="f", args={"a": 1}, id="call_1"),), usage=Tokens(input=5, output=3)),
    "cut off": Reply(text="one two", finish="length", usage=Tokens(input=7, output=2)),
}

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


class Offline(Client):
    """A client of LangSmith that keeps what it would send."""

    def __init__(self) -> None:
        super().__init__(api_url="http://127.0.0.1:9", api_key="x", auto_batch_tracing=False)
        self.kept: dict[Any, dict[str, Any]] = {}

    def create_run(self, name: str, inputs: Any, run_type: Any, **more: Any) -> None:
        self.kept[more["id"]] = dict(more)

    def update_run(self, run_id: Any, **more: Any) -> None:
        self.kept[run_id] |= more

    def reports(self) -> list[dict[str, Any]]:
        """What LangSmith shows of each run: its metadata, and of its answer the usage and why it ended."""
        kept, self.kept = list(self.kept.values()), {}
        reports = []
        for run in kept:
            (((generation,),),) = (run["outputs"]["generations"],)
            message = generation["message"]["kwargs"]
            reports.append(
                {
                    **{name: value for name, value in run["extra"]["metadata"].items() if name.startswith("ls_")},
                    "usage": {key: message["usage_metadata"][f"{key}_tokens"] for key in ("input", "output", "total")},
                    "finish_reason": message["response_metadata"].get("finish_reason"),
                    "model_name": message["response_metadata"].get("model_name"),
                }
            )
        return reports


@pytest.fixture
def backend() -> Iterator[Backend]:
    """A server of the OpenAI wire."""
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="module", params=["OpenTelemetry", "OpenInference", "Langfuse", "LangSmith"])
def tool(request: pytest.FixtureRequest) -> tuple[dict[str, Any], Spans]:
    """Each tool in turn: the configuration of a call that it hears, and what it reports."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def spans() -> list[dict[str, Any]]:
        finished = exporter.get_finished_spans()
        exporter.clear()
        return [dict(span.attributes or {}) for span in finished]

    if request.param == "LangSmith":
        client = Offline()
        return {"callbacks": [LangChainTracer(client=client)]}, client.reports
    if request.param == "Langfuse":
        # What it would send away goes nowhere.
        Langfuse(
            public_key="pk-lf-x",
            secret_key="sk-lf-x",
            tracer_provider=provider,
            span_exporter=InMemorySpanExporter(),
        )
        return {"callbacks": [CallbackHandler(public_key="pk-lf-x")]}, spans
    # For the rest of the process: an instrumentation that was taken off cannot be put on again.
    {"OpenTelemetry": OpenTelemetry, "OpenInference": OpenInference}[request.param]().instrument(
        tracer_provider=provider
    )
    return {}, spans


def told(spans: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of the one call that say something about the model, its end and its usage."""
    (fields,) = spans
    return {
        name: value
        for name, value in fields.items()
        if any(word in name for word in TELLING) and not any(name.endswith(own) for own in OF_THE_PROVIDER)
    }


@pytest.mark.parametrize("said", REPLIES)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_tool_reports_the_same(tool: tuple[dict[str, Any], Spans], backend: Backend, path: Path, said: str) -> None:
    """Model, finish reason, usage and parameters are what the tool says of `ChatOpenAI`, on each path."""
    config, spans = tool
    backend.reply = REPLIES[said]
    settings: dict[str, Any] = {
        "model": "m-1", "base_url": backend.openai_url, "api_key": "k", "temperature": 0.5, "max_retries": 0
    }  # fmt: skip
    reports = []
    for model in (ChatEndpoint(**settings), ChatOpenAI(**settings, stream_usage=True)):
        path(model.bind_tools([TOOL]) if said == "a call" else model, "?", config=config)
        reports.append(told(spans()))
    ours, theirs = reports
    assert theirs == {name: value for name, value in ours.items() if name in theirs}
    more = ours.keys() - theirs.keys()
    # Under version 3 of the events, a message has no `generation_info` but ours.
    assert not more or (path in (by_v3, by_av3) and all("finish_reason" in name for name in more))
    assert "m-1" in json.dumps(ours)
