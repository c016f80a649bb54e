"""A model that declines: a refusal block in its message, and an error only where the answer has to be an object."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRefusalMiddleware
from langchain_core.exceptions import ModelInvalidRequestError, ModelRefusalError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from tests.models.http.canned import Canned, CannedServer
from tests.paths import PATHS, STREAMED

from langplug import ChatModel, Finish, RefusalError, Request, chat_model
from langplug.models import ChatEndpoint, ChatHTTP, ChatScripted

WORDS = "I can't help with that."


def block(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text, **more}


SOURCES: dict[str, list[Any]] = {
    "block": [block(WORDS)],
    "pieces of a block": [block("I can't "), block("help "), block("with that.")],
    "OpenAI, whole": [{"choices": [{"message": {"content": None, "refusal": WORDS}, "finish_reason": "stop"}]}],
    "OpenAI, streamed": [
        {"choices": [{"delta": {"content": "", "refusal": "I can't help "}}]},
        {"choices": [{"delta": {"refusal": "with that."}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    ],
    "a message of langchain-openai": [AIMessage("", additional_kwargs={"refusal": WORDS})],
    "its chunks": [
        AIMessageChunk("", additional_kwargs={"refusal": "I can't "}),
        AIMessageChunk("", additional_kwargs={"refusal": "help with that."}),
    ],
    "a message of langchain-anthropic": [
        AIMessage(
            "",
            response_metadata={
                "model_provider": "anthropic",
                "stop_reason": "refusal",
                "stop_details": {"type": "refusal", "category": "cyber", "explanation": WORDS},
            },
        )
    ],
}


def declining(source: str, asked: list[Request] | None = None) -> ChatModel:
    """A model that declines, in one of the ways that sources have."""

    @chat_model
    def model(request: Request) -> Iterator[Any]:
        if asked is not None:
            asked.append(request)
        yield from SOURCES[source]

    return model()


class Answer(BaseModel):
    """An answer."""

    text: str


@tool
def lookup(word: str) -> str:
    """Looks a word up."""
    return word


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_refusal_is_one_block(source: str, path: str) -> None:
    """However it comes, the message holds one refusal block with all of its words, and no text."""
    message = PATHS[path](declining(source), "x").message
    refusals = [one for one in message.content_blocks if one["type"] == "refusal"]
    assert [one["refusal"] for one in refusals] == [WORDS]  # type: ignore[typeddict-item]
    assert message.text == ""


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("call", ["invoke", "stream"])
def test_structured_output_raises_at_once(source: str, method: Any, call: str) -> None:
    """The model is asked once, and the error holds its message and its words."""
    asked: list[Request] = []
    chain = declining(source, asked).with_structured_output(Answer, method=method)
    with pytest.raises(ModelRefusalError, match=WORDS) as caught:
        list(chain.stream("x")) if call == "stream" else chain.invoke("x")
    assert len(asked) == 1
    assert isinstance(caught.value.raw_message, AIMessage)


async def test_structured_output_raises_at_once_async() -> None:
    """The same on an event loop."""
    asked: list[Request] = []
    chain = declining("block", asked).with_structured_output(Answer)
    with pytest.raises(ModelRefusalError):
        await chain.ainvoke("x")
    with pytest.raises(ModelRefusalError):
        [value async for value in chain.astream("x")]
    assert len(asked) == 2


def test_include_raw_gives_the_error() -> None:
    """With `include_raw` the refusal is the `parsing_error`, as of langchain-core's own models."""
    given = declining("block").with_structured_output(Answer, include_raw=True).invoke("x")
    assert given["parsed"] is None
    assert isinstance(given["parsing_error"], ModelRefusalError)


@pytest.mark.parametrize("path", PATHS)
def test_a_forced_call_may_be_declined(path: str) -> None:
    """A model that must call a tool and declines is not asked again; its refusal is the answer."""
    asked: list[Request] = []
    bound = declining("block", asked).bind_tools([lookup], tool_choice="any")
    message = PATHS[path](bound, "x").message
    assert [one["type"] for one in message.content_blocks] == ["refusal"]
    assert len(asked) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_langchain_s_middleware_sees_it(source: str) -> None:
    """`ModelRefusalMiddleware` makes an error of it, and `ModelFallbackMiddleware` goes on to another model."""
    agent: Any = create_agent(declining(source), [lookup], middleware=[ModelRefusalMiddleware()])
    with pytest.raises(ModelRefusalError, match=WORDS):
        agent.invoke({"messages": [("user", "x")]})
    other = ChatScripted(replies=["Gladly."])
    middleware: list[Any] = [ModelFallbackMiddleware(other), ModelRefusalMiddleware()]
    agent = create_agent(declining(source), [lookup], middleware=middleware)
    assert agent.invoke({"messages": [("user", "x")]})["messages"][-1].text == "Gladly."


def test_agents_with_a_response_format_hear_of_it() -> None:
    """`create_agent(response_format=...)` ends with the error after one call of the model."""
    asked: list[Request] = []
    agent: Any = create_agent(
        declining("block", asked), [], response_format=Answer, middleware=[ModelRefusalMiddleware()]
    )
    with pytest.raises(ModelRefusalError):
        agent.invoke({"messages": [("user", "x")]})
    assert len(asked) == 1


@pytest.mark.parametrize("path", STREAMED)
def test_text_before_it_stays(path: str) -> None:
    """A model may begin to answer before it declines: both are in the message, in order."""

    @chat_model
    def model(request: Request) -> Iterator[Any]:
        yield "Well, "
        yield block(WORDS, extras={"category": "cyber"})
        yield Finish(reason="content_filter")

    message = PATHS[path](model(), "x").message
    assert [one["type"] for one in message.content_blocks] == ["text", "refusal"]
    assert message.text == "Well, "
    assert message.content_blocks[1]["extras"] == {"category": "cyber"}  # type: ignore[typeddict-item]
    assert message.response_metadata["finish_reason"] == "content_filter"


def test_a_history_with_a_refusal_can_be_sent_on() -> None:
    """Other models are shown what was said; an empty refusal, as core makes of Anthropic's, is left out."""
    history = [HumanMessage("x"), AIMessage([block(WORDS)]), AIMessage([block("")]), HumanMessage("y")]
    sent = Request(messages=tuple(history)).openai_messages()
    assert [turn["content"] for turn in sent] == ["x", WORDS, "", "y"]


def test_the_provider_s_refusal_is_one_of_core_s_tree() -> None:
    """`RefusalError`, for a request that is refused as such, is caught as either of langchain-core's errors."""
    assert issubclass(RefusalError, ModelRefusalError)
    assert issubclass(RefusalError, ModelInvalidRequestError)
    assert not RefusalError("no").is_retryable


# --- on the wire ---

DETAILS = {"type": "refusal", "category": "cyber", "explanation": WORDS}
ANTHROPIC_WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [],
    "stop_reason": "refusal",
    "stop_details": DETAILS,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
ANTHROPIC_STREAM = [
    {"type": "message_start", "message": {**ANTHROPIC_WHOLE, "stop_reason": None, "stop_details": None}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "refusal", "stop_details": DETAILS},
        "usage": {"output_tokens": 1},
    },
    {"type": "message_stop"},
]
OPENAI_WHOLE = {"choices": [{"index": 0, "message": {"content": None, "refusal": WORDS}, "finish_reason": "stop"}]}
OPENAI_STREAM = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "refusal": None}}]},
    {"choices": [{"index": 0, "delta": {"refusal": "I can't help "}}]},
    {"choices": [{"index": 0, "delta": {"refusal": "with that."}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]


def sent(values: list[Any]) -> Canned:
    """Values as server-sent events."""
    return Canned(pieces=[f"data: {json.dumps(value)}\n\n".encode() for value in values], type="text/event-stream")


@pytest.mark.parametrize("call", ["invoke", "stream", "structured"])
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_servers_that_decline(wire: str, call: str) -> None:
    """OpenAI's and Anthropic's refusals are read as such, whole and streamed, and asked for once."""
    whole, stream = (OPENAI_WHOLE, OPENAI_STREAM) if wire == "openai" else (ANTHROPIC_WHOLE, ANTHROPIC_STREAM)
    with CannedServer() as server:
        server.answer = sent(stream) if call == "stream" else Canned(pieces=[json.dumps(whole).encode()])
        model: ChatModel
        if wire == "openai":
            model = ChatEndpoint(base_url=server.url, model="m", api_key="sk-planted-0123")
        else:
            model = ChatHTTP.from_file("anthropic", base_url=server.url, model="m", api_key="sk-planted-0123")
        if call == "structured":
            with pytest.raises(ModelRefusalError, match=WORDS):
                model.with_structured_output(Answer).invoke("x")
        else:
            message = PATHS[call](model, "x").message
            (refusal,) = message.content_blocks
            assert (refusal["type"], refusal["refusal"]) == ("refusal", WORDS)  # type: ignore[typeddict-item]
            if wire == "anthropic":
                assert refusal["extras"] == {"category": "cyber"}  # type: ignore[typeddict-item]
        assert len(server.received) == 1
        model.close()


# --- the provider's filter ---


@pytest.mark.parametrize("reason", ["content_filter", "refusal"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_an_answer_that_a_filter_ended_is_not_asked_for_again(reason: str, method: Any) -> None:
    """A filter would end the next answer, too: the model is asked once, and the error says why."""
    asked: list[Request] = []

    @chat_model
    def model(request: Request) -> Iterator[Any]:
        asked.append(request)
        yield '{"te'
        yield Finish(reason=reason)

    with pytest.raises(ModelRefusalError, match=reason):
        model().with_structured_output(Answer, method=method).invoke("x")
    with pytest.raises(ModelRefusalError, match=reason):
        model().bind_tools([lookup], tool_choice="any").invoke("x")
    assert len(asked) == 2
