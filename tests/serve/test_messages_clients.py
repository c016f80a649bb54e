"""Real clients of the Messages wire: Anthropic's SDK, and LangChain's model on it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from langchain.agents import create_agent
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import TypeAdapter
from tests.serve.messages_client import events_in
from tests.serve.negative_bodies import ADD, USER
from tests.serve.served_models import serving
from tests.serve.written_messages import USAGE, answers

from langplug import ChatModel, Part, Reasoning, Request, ToolCall, Usage
from langplug.serve.deltas import Delta, Ending
from langplug.serve.wires.messages_output import MessageWriter

anthropic = pytest.importorskip("anthropic")
langchain_anthropic = pytest.importorskip("langchain_anthropic")

ENDED = Ending(finish_reason="stop", usage=USAGE)


class Adder(ChatModel):
    """Calls `add` twice at once, says the last sum, and thinks before it speaks."""

    tool_calling = "native"

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        if request.text == "Fail.":
            raise ModelRateLimitError("Slow down.")
        yield Reasoning("Hm.")
        yield Reasoning("", {"signature": "s"})
        results = [message.text for message in request.messages if message.type == "tool"]
        if request.tools and not results:
            yield ToolCall(name="add", id="toolu_1", index=0, args='{"a": 1,')
            yield ToolCall(name="add", id="toolu_2", index=1, args='{"a": 2, ')
            yield ToolCall(index=0, args=' "b": 2}')
            yield ToolCall(index=1, args='"b": 3}')
        else:
            yield "It is "
            yield f"{results[-1] if results else 3}."
        yield Usage(input_tokens=9, output_tokens=4)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving({"adder": Adder()}) as base:
        yield base


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, _strict_response_validation=True) as made:
        yield made


ASKED: dict[str, Any] = {"model": "adder", "max_tokens": 99, "messages": [USER]}


@given(answer=answers())
def test_every_event_and_message_is_of_the_sdks_types(answer: list[Delta]) -> None:
    """However an answer is cut, its message and its events are what the SDK says they are."""
    writer = MessageWriter("msg_1", "m")
    stream = b"".join([writer.begin(), *map(writer.feed, answer), writer.end(ENDED)])
    events: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)
    for event in events_in(stream):
        if event["type"] != "ping":
            events.validate_python(event, strict=True)
    anthropic.types.Message.model_validate(MessageWriter("msg_1", "m").whole(answer, ENDED), strict=True)


def test_the_sdk_reads_an_answer_whole_and_streamed(client: Any) -> None:
    """`create`, and the helper that puts a stream together, give the same message."""
    whole = client.messages.create(**ASKED)
    with client.messages.stream(**ASKED) as stream:
        assert list(stream.text_stream) == ["It is ", "3."]
        put = stream.get_final_message()
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert (whole.content[0].signature, whole.stop_reason) == ("s", "end_turn")
    assert whole.to_dict() | {"id": ""} == put.to_dict() | {"id": ""}


def test_the_sdk_reads_an_answer_in_async_code(url: str) -> None:
    """The asynchronous client reads the same, and may leave in the middle."""

    async def read() -> str:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
            async with client.messages.stream(**ASKED) as stream:
                async for _ in stream.text_stream:
                    break
            async with client.messages.stream(**ASKED) as stream:
                return str(await stream.get_final_text())

    assert asyncio.run(read()) == "It is 3."


def test_an_sdks_agent_takes_its_turns(client: Any) -> None:
    """Calls that come mixed are put together, and their results are answered."""
    with client.messages.stream(**ASKED, tools=[ADD]) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert ([call.input for call in calls], first.stop_reason) == ([{"a": 1, "b": 2}, {"a": 2, "b": 3}], "tool_use")
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": str(call.input["a"] + call.input["b"])}
        for call in calls
    ]
    messages = [USER, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    last = client.messages.create(**{**ASKED, "messages": messages}, tools=[ADD])
    assert last.content[-1].text == "It is 5."


def test_the_sdk_counts_and_lists(client: Any) -> None:
    """Counts, also those of the beta, and models are what the SDK says they are."""
    assert client.messages.count_tokens(model="adder", messages=[USER], tools=[ADD]).input_tokens > 0
    assert client.beta.messages.count_tokens(model="adder", messages=[USER]).input_tokens > 0
    assert [model.id for model in client.models.list()] == ["adder"]
    assert client.models.retrieve("adder").type == "model"


def test_the_sdk_knows_the_errors(client: Any) -> None:
    """Errors are the SDK's classes, with the id of the request."""
    for changes, kind in (
        ({"model": "none"}, anthropic.NotFoundError),
        ({"messages": []}, anthropic.BadRequestError),
        ({"messages": [{"role": "user", "content": "Fail."}]}, anthropic.RateLimitError),
    ):
        with pytest.raises(kind) as raised:
            client.messages.create(**{**ASKED, **changes})
        assert raised.value.request_id.startswith("req_")
        assert raised.value.type == anthropic.types.ErrorResponse.model_validate(raised.value.body).error.type


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_langchains_model_runs_an_agent(url: str, version: str) -> None:
    """An agent on `ChatAnthropic` calls its tools and answers, whole and streamed, with reasoning sent back."""
    model = langchain_anthropic.ChatAnthropic(
        model="adder", base_url=url, api_key="k", max_retries=0, output_version=version
    )
    agent = create_agent(model, [add])
    asked: Any = {"messages": [HumanMessage("What is 2 + 3?")]}
    assert agent.invoke(asked)["messages"][-1].text == "It is 5."
    said: Any = agent.stream(asked, stream_mode="messages")
    assert "".join(piece.text for piece, _ in said if piece.type == "AIMessageChunk") == "It is 5."
    message = model.invoke("Hi")
    assert message.usage_metadata["total_tokens"] == 13
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdks_tool_runner_goes_on_without_a_thread(client: Any, *, stream: bool) -> None:
    """It would have the server keep the conversation; told that this one keeps none, it sends all of it each time."""

    @anthropic.beta_tool  # type: ignore[untyped-decorator]
    def add(a: int, b: int) -> str:
        """Adds two numbers.

        Args:
            a: One.
            b: The other.
        """
        return str(a + b)

    asked = {"model": "adder", "max_tokens": 99, "tools": [add], "messages": [USER], "stream": stream}
    runner = client.beta.messages.tool_runner(**asked)
    last = [one.get_final_message() if stream else one for one in runner][-1]
    assert last.content[-1].text == "It is 5."
