"""Agents behind each wire: what is told of their steps, and what happens when their client leaves."""

import asyncio
import json
import threading
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from tests.serve.client import ask, chunks_of, send
from tests.serve.messages_client import put_together
from tests.serve.served_models import serving, serving_exchange, until
from typing_extensions import TypedDict

from langplug import ToolCall, Usage, chat_model
from langplug.models import ChatScripted
from langplug.serve import app
from langplug.serve.exchange import Exchange


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"21 °C in {city}"


def agent(tools: Any = (weather,)) -> Any:
    """One that calls its first tool, and then answers."""
    args = {"city": "Köln"} if tools == (weather,) else {}
    used = Usage(input_tokens=1, output_tokens=1)
    replies = [["Let me look.", ToolCall(name=tools[0].name, args=args), used], ["It is ", "warm.", used]]
    return create_agent(ChatScripted(replies=replies, when_exhausted="repeat"), tools=[*tools])


def of_chat(text: str, *, stream: bool) -> tuple[str, str, int]:
    """The reasoning, the text and the tokens of a chat completion that calls nothing."""
    if not stream:
        completion = json.loads(text)
        message = completion["choices"][0]["message"]
        assert "tool_calls" not in message
        return message.get("reasoning_content", ""), message["content"], completion["usage"]["total_tokens"]
    *chunks, last = chunks_of(text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert not any("tool_calls" in delta for delta in deltas)
    said = ("".join(delta.get(name) or "" for delta in deltas) for name in ("reasoning_content", "content"))
    return (*said, last["usage"]["total_tokens"])  # type: ignore[return-value]


def of_responses(text: str, *, stream: bool) -> tuple[str, str, int]:
    """The same of a response."""
    response = json.loads(text) if not stream else json.loads(text.rpartition("data: ")[2])["response"]
    said = {"reasoning": "", "message": ""}
    for item in response["output"]:
        said[item["type"]] += "".join(part["text"] for part in item["content"])
    return said["reasoning"], said["message"], response["usage"]["total_tokens"]


def of_messages(text: str, *, stream: bool) -> tuple[str, str, int]:
    """The same of a message of Anthropic's."""
    message = put_together(text.encode()) if stream else json.loads(text)
    said = {"thinking": "", "text": ""}
    for block in message["content"]:
        said[block["type"]] += block[block["type"]]
    return said["thinking"], said["text"], message["usage"]["input_tokens"] + message["usage"]["output_tokens"]


WIRES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "chat": ("/v1/chat/completions", ask(stream_options={"include_usage": True}), of_chat),
    "responses": ("/v1/responses", {"model": "m", "input": "hi"}, of_responses),
    "messages": ("/v1/messages", {**ask(), "max_tokens": 100}, of_messages),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("show_steps", [True, False])
def test_steps_are_told_as_reasoning_or_not_at_all(wire: str, *, stream: bool, show_steps: bool) -> None:
    """On each wire the answer's text is the last message's, its usage that of all; steps are reasoning if shown."""
    path, body, read = WIRES[wire]
    with serving({"m": agent()}, show_steps=show_steps) as base:
        status, _, text = send(base, {**body, "stream": stream}, path)
    assert status == 200
    thought, said, tokens = read(text, stream=stream)
    steps = 'Let me look.\nweather(city="Köln")\n\nweather → 21 °C in Köln'
    assert thought.strip() == (steps if show_steps else "")
    assert (said, tokens) == ("It is warm.", 4)


@pytest.mark.parametrize("stream", [True, False])
def test_a_graph_that_waits_for_a_person_is_a_502(*, stream: bool) -> None:
    """An interrupt has no place on a wire without threads: it is an error that says what is asked, and no answer."""

    @tool
    def approve() -> str:
        """Ask a person."""
        return str(interrupt("Delete it all?"))

    with serving({"m": agent((approve,))}) as base:
        status, _, text = send(base, ask(stream=stream))
    assert status == 502
    assert "Delete it all?" in json.loads(text)["error"]["message"]


def test_a_graph_without_a_conversation_is_not_served() -> None:
    """What cannot be asked with messages is refused when it is loaded, not when it is asked."""

    class Question(TypedDict):
        question: str

    graph = StateGraph(Question).add_node("a", lambda state: state).add_edge(START, "a").compile()
    with pytest.raises(TypeError, match="has no `messages`, but question"):
        app({"m": graph})


# --- leaving ---


class Watched:
    """An agent whose tool says when it begins, and whose model is counted."""

    def __init__(self, *, is_async: bool) -> None:
        self.begun, self.may_end, self.is_cancelled = threading.Event(), threading.Event(), threading.Event()
        self.ended = threading.Event()
        self.asked = 0

        @tool
        def wait() -> str:
            """Until it may end."""
            self.begun.set()
            assert self.may_end.wait(30)
            self.ended.set()
            return "over"

        async def await_() -> str:
            try:
                self.begun.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.is_cancelled.set()
                raise
            return "never"

        @chat_model
        def model(request: Any) -> Any:
            self.asked += 1
            yield ToolCall(name="wait", args={})

        if is_async:
            wait.coroutine = await_  # type: ignore[attr-defined]
        self.agent = create_agent(model(tool_calling="native"), tools=[wait])


async def leave(base: str, body: dict[str, Any], begun: threading.Event) -> None:
    """Ask, and close the connection once it has begun."""
    data = json.dumps(body).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    assert await asyncio.to_thread(begun.wait, 30)
    writer.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("show_steps", [True, False])
@pytest.mark.parametrize("is_async", [True, False])
def test_a_client_that_leaves_stops_its_agent(*, is_async: bool, stream: bool, show_steps: bool) -> None:
    """A coroutine of a tool is cancelled; a function runs on in its thread, and what would follow does not happen."""
    watched = Watched(is_async=is_async)
    exchange: Exchange = app({"m": watched.agent}, show_steps=show_steps).exchange
    with serving_exchange(exchange) as base:
        asyncio.run(leave(base, ask(stream=stream), watched.begun))
        until(lambda: exchange.queue.running == 0)  # its place is free although the function may still run
        if is_async:
            assert watched.is_cancelled.wait(30)
        else:
            assert not watched.ended.is_set()
            watched.may_end.set()
            assert watched.ended.wait(30)
        send(base, path="/health/live", method="GET")  # the server has gone on since
    assert watched.asked == 1
