"""Clients of the Responses wire, over real sockets: the openai SDK, an agent on ChatEndpoint."""

import importlib.util
import json
import urllib.request
from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import ModelError
from langchain_core.messages import HumanMessage, ToolMessage
from tests.serve.client import send
from tests.serve.messages_client import events_in
from tests.serve.served_models import serving

from langplug import Finish, Reasoning, ToolCall, Usage
from langplug.models import ChatEndpoint, ChatScripted

needs_langchain_openai = pytest.mark.skipif(
    not importlib.util.find_spec("langchain_openai"), reason="langchain-openai is not installed"
)
needs_openai = pytest.mark.skipif(not importlib.util.find_spec("openai"), reason="the openai SDK is not installed")

ANSWER = [Reasoning("Hm"), Reasoning("."), "Su", "nny", Usage(input_tokens=3, output_tokens=4), Finish(reason="stop")]
LOOK = [Reasoning("I look."), ToolCall(name="weather", args={"place": "Rome"}, id="call_1")]

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather at a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    "strict": False,
}


def weather(place: str) -> str:
    """The weather at a place."""
    return f"{place}: sun"


@pytest.fixture
def sdk() -> Iterator[Any]:
    """Makes the openai SDK's client of a server, and closes it."""
    import openai

    made: list[openai.OpenAI] = []

    def client(url: str) -> openai.OpenAI:
        made.append(openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0))
        return made[-1]

    yield client
    for one in made:
        one.close()


@needs_openai
def test_the_sdk_reads_a_response(sdk: Any) -> None:
    """`responses.create` gives the text, the reasoning and the usage."""
    with serving({"page": ChatScripted(replies=[ANSWER])}) as url:
        response = sdk(url).responses.create(model="page", input="Weather?")
    assert response.output_text == "Sunny"
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert (response.status, response.usage.total_tokens) == ("completed", 7)


@needs_openai
def test_the_sdk_reads_a_stream(sdk: Any) -> None:
    """`responses.stream` gives each piece, and at its end the response that it has put together itself."""
    with (
        serving({"page": ChatScripted(replies=[ANSWER])}) as url,
        sdk(url).responses.stream(model="page", input="Weather?") as stream,
    ):
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        response = stream.get_final_response()
    assert pieces == ["Su", "nny"]
    assert response.output_text == "Sunny"


@needs_openai
def test_the_sdk_goes_on_with_what_it_was_given(sdk: Any) -> None:
    """A loop that sends the output back as it came, with what the tool gave, ends in an answer."""
    model = ChatScripted(replies=[LOOK, "It is sunny."], tool_calling="native")
    with serving({"page": model}) as url:
        client = sdk(url)
        history: list[Any] = [{"role": "user", "content": "Weather?"}]
        with client.responses.stream(model="page", input=history, tools=[WEATHER]) as stream:
            response = stream.until_done().get_final_response()
        history += response.output
        calls = [item for item in response.output if item.type == "function_call"]
        given = weather(**json.loads(calls[0].arguments))
        history.append({"type": "function_call_output", "call_id": calls[0].call_id, "output": given})
        assert client.responses.create(model="page", input=history, tools=[WEATHER]).output_text == "It is sunny."
    asked, answer, result = model.requests[1].messages
    assert (asked.text, answer.tool_calls[0]["id"], result.text) == ("Weather?", "call_1", "Rome: sun")  # type: ignore[attr-defined]


@needs_openai
def test_the_sdk_is_given_an_object(sdk: Any) -> None:
    """`responses.parse` gives an object of the type that was asked for."""
    import pydantic

    class Weather(pydantic.BaseModel):
        place: str
        is_sunny: bool

    model = ChatScripted(replies=['{"place": "Rome", "is_sunny": true}'], structured_output="native")
    with serving({"page": model}) as url:
        response = sdk(url).responses.parse(model="page", input="Weather?", text_format=Weather)
    assert response.output_parsed == Weather(place="Rome", is_sunny=True)
    assert model.requests[0].schema is not None


@needs_openai
def test_the_sdk_raises_the_error_of_a_wrong_request(sdk: Any) -> None:
    """A wrong request is the SDK's BadRequestError, with the field that is wrong."""
    import openai

    with serving({"page": ChatScripted(replies=["Yes"])}) as url, pytest.raises(openai.BadRequestError) as caught:
        sdk(url).responses.create(model="page", input="Hi", previous_response_id="resp_0")
    assert caught.value.param == "previous_response_id"


def test_events_come_in_the_order_of_their_numbers() -> None:
    """A stream begins with the response, in which nothing is yet, and its events are numbered as they come."""
    with serving({"page": ChatScripted(replies=[ANSWER])}) as url:
        _, _, text = send(url, {"model": "page", "input": "Weather?", "stream": True}, "/v1/responses")
    events = [*events_in(text.encode())]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (events[0]["type"], events[0]["response"]["output"]) == ("response.created", [])


def test_an_agent_uses_a_served_model() -> None:
    """An agent on ChatEndpoint works as it does on the model itself: its call, the result, the answer."""
    model = ChatScripted(replies=[LOOK, ANSWER], tool_calling="native")
    with serving({"page": model}) as url:
        endpoint = ChatEndpoint(base_url=f"{url}/v1", model="page", api="responses")
        state = create_agent(endpoint, [weather]).invoke({"messages": [HumanMessage("Weather?")]})
    answer = state["messages"][-1]
    assert answer.text == "Sunny"
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert isinstance(model.requests[1].messages[-1], ToolMessage)
    assert answer.usage_metadata["total_tokens"] == 7


@pytest.mark.parametrize("is_streamed", [True, False])
def test_the_client_reads_what_the_model_said(is_streamed: bool) -> None:
    """Through both sides of the wire, text, reasoning, finish reason and usage are the model's."""
    with serving({"page": ChatScripted(replies=[ANSWER])}) as url:
        endpoint = ChatEndpoint(base_url=f"{url}/v1", model="page", api="responses")
        chunks: list[Any] = [*endpoint.stream("Weather?")] if is_streamed else [endpoint.invoke("Weather?")]
    message = reduce(add, chunks)
    assert message.text == "Sunny"
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.usage_metadata["input_tokens"] == 3


def test_a_model_that_fails_half_way_is_an_error_of_the_client() -> None:
    """What breaks in the middle of a stream reaches the client as an error, with what had come."""
    model = ChatScripted(replies=[["Su", ValueError("The roof fell in.")]])
    with serving({"page": model}) as url, pytest.raises(ModelError, match=r"The roof fell in\.") as caught:
        list(ChatEndpoint(base_url=f"{url}/v1", model="page", api="responses", max_retries=0).stream("Weather?"))
    assert caught.value.partial.text == "Su"  # type: ignore[attr-defined]


@needs_langchain_openai
def test_an_agent_on_chat_openai_uses_a_served_model() -> None:
    """ChatOpenAI's Responses API works against a served model, with tools, reasoning and usage."""
    from langchain_openai import ChatOpenAI

    model = ChatScripted(replies=[LOOK, ANSWER], tool_calling="native")
    with serving({"page": model}) as url:
        client = ChatOpenAI(
            base_url=f"{url}/v1",
            model="page",
            api_key="none",
            use_responses_api=True,
            reasoning={"summary": "auto"},
            streaming=True,
        )
        state = create_agent(client, [weather]).invoke({"messages": [HumanMessage("Weather?")]})
    answer = state["messages"][-1]
    assert answer.text == "Sunny"
    assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
    assert answer.usage_metadata["total_tokens"] == 7
    assert model.requests[1].messages[-1].text == "Rome: sun"


def test_what_is_left_out_is_told() -> None:
    """What a client sends that no model here can use is named in a header of the answer."""
    body = {"model": "page", "input": "Hi", "tools": [{"type": "web_search"}], "client_metadata": {}}
    with serving({"page": ChatScripted(replies=["Yes"])}) as url:
        request = urllib.request.Request(
            f"{url}/v1/responses", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            assert reply.headers["x-langplug-ignored"] == "client_metadata, tools[0] (web_search)"
            assert json.load(reply)["output"][0]["content"][0]["text"] == "Yes"
