"""langchain-tests' own classes, on a model behind a server that calls tools, keeps to schemas and reports its usage.

Every capability is declared, nothing is overridden, and nothing is expected to fail. What the suite would fetch from
the web to show it to a model comes from here.
"""

import base64
from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, convert_to_messages
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pytest_benchmark.fixture import BenchmarkFixture
from tests.echo_models import PIXEL
from tests.stub_models import answer_natively

from langplug import Request, ToolCall
from langplug.models import ChatEndpoint
from langplug_backend import Backend, Call, Reply, Thought, Tokens
from langplug_backend.request import ChatRequest

USED = Tokens(input=10, output=5, cached=3, reasoning=2)

ADDRESS = {"base_url": "http://127.0.0.1:1/v1"}
"""Where the server is, once it is there."""


def stub_reply(asked: ChatRequest) -> Reply:
    """What the stub model of the other tests says, over the wire."""
    choice = asked.tool_choice
    named: Any = {"type": "function", "function": {"name": choice}}
    request = Request(
        messages=tuple(convert_to_messages([message.raw for message in asked.messages])),
        tools=asked.tools,
        tool_choice=choice or "auto" if choice in (None, "auto", "none", "required") else named,
        schema=schema_in(asked.params.get("response_format")),
    )
    parts = list(answer_natively(request))
    text = "".join(part for part in parts if isinstance(part, str))
    calls = [part for part in parts if isinstance(part, ToolCall)]
    args = "".join(str(part.args) for part in calls if part.args is not None)
    made = (Call(name=str(calls[0].name), args=args),) if calls else ()
    return Reply(pieces=(Thought("hm"), *([text] if text else []), *made), usage=USED)


def schema_in(response_format: Any) -> dict[str, Any] | None:
    if not response_format:
        return None
    if response_format["type"] == "json_object":
        return {"type": "object"}
    return response_format["json_schema"]["schema"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module", autouse=True)
def stub_server(one_backend: Backend) -> Iterator[None]:
    """The server of all tests here."""
    one_backend.forget()
    one_backend.reply = stub_reply
    ADDRESS["base_url"] = one_backend.openai_url
    yield
    one_backend.forget()


@pytest.fixture(autouse=True)
def no_web(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pixel in place of each picture, document and recording."""

    def get(url: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, content=base64.b64decode(PIXEL), request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "langplug")


@pytest.fixture
def benchmark(benchmark: BenchmarkFixture) -> BenchmarkFixture:
    """What `test_init_time` measures is measured in `benchmarks/`; here it only has to work."""
    benchmark.disabled = True
    return benchmark


class OfEndpoint:
    """All that it can do."""

    chat_model_class: type[BaseChatModel] = ChatEndpoint
    model_override_value = "m-2"
    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_pdf_inputs = True
    supports_audio_inputs = True
    supports_image_tool_message = True
    supports_pdf_tool_message = True
    supports_anthropic_inputs = True
    returns_usage_metadata = True
    enable_vcr_tests = False
    init_from_env_params: tuple[dict[str, str], dict[str, Any], dict[str, Any]] = (
        {"LANGPLUG_API_KEY": "sk-env"},
        {"model": "m-1", "base_url": "http://127.0.0.1:1/v1"},
        {"api_key": "sk-env"},
    )
    supported_usage_metadata_details = {  # noqa: RUF012 - a property of langchain-tests', never changed
        "invoke": ["reasoning_output", "cache_read_input"],
        "stream": ["reasoning_output", "cache_read_input"],
    }
    settings: dict[str, Any] = {}  # noqa: RUF012 - see above

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "m-1", **ADDRESS, **self.settings}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        """An answer with reasoning."""
        return self._answer(stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        """An answer whose input was cached in part."""
        return self._answer(stream=stream)

    def _answer(self, *, stream: bool) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)
        return reduce(add, list(model.stream("x"))) if stream else model.invoke("x")


class TestEndpointUnit(OfEndpoint, ChatModelUnitTests):  # type: ignore[misc]
    """A model behind a server, by itself."""


class TestEndpointIntegration(OfEndpoint, ChatModelIntegrationTests):  # type: ignore[misc]
    """A model behind a server: its answers."""


class TestEndpointStandardIntegration(OfEndpoint, ChatModelIntegrationTests):  # type: ignore[misc]
    """The same with standard content."""

    settings = {"output_version": "v1"}  # noqa: RUF012 - see above


class TestEndpointStreamingIntegration(OfEndpoint, ChatModelIntegrationTests):  # type: ignore[misc]
    """The same where `invoke` reads a stream, several parts of it in one."""

    settings = {"streaming": True, "coalesce": True}  # noqa: RUF012 - see above
