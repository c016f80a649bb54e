"""The contract of a chat model, on one behind a server: identity, callbacks, caches, histories, standard content."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, RemoveMessage, trim_messages
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_core.tools import tool
from tests.models.endpoint.conftest import MakeEndpoint
from tests.paths import STREAMED, Answered, Path, achunks, beta_allowed, by_astream, by_invoke, by_stream, chunks
from tests.recording import RecordingHandler

from langplug import IncompleteAnswerError
from langplug_backend import Backend, Call, Fault, Reply, Thought, Tokens

SAID = Reply(
    pieces=(Thought("h"), Thought("m"), "One", " two", ", drei."),
    usage=Tokens(input=7, output=5, cached=2, reasoning=2),
    fingerprint="fp-1",
)


@pytest.fixture(autouse=True)
def said(backend: Backend) -> None:
    """What the server says here."""
    backend.reply = SAID


# --- the answer ---


def told(answered: Answered) -> tuple[Any, ...]:
    """All that an answer tells, except what differs from call to call."""
    message = answered.message
    metadata = {name: value for name, value in message.response_metadata.items() if name != "output_version"}
    thoughts = "".join(str(block.get("reasoning", "")) for block in message.content_blocks)
    return (answered.text, message.text, thoughts, message.usage_metadata, metadata, message.tool_calls)


def test_parity(make: MakeEndpoint, call: Path) -> None:
    """Each path gives the same text, thoughts, usage and metadata as `invoke`, each of them once."""
    answered = call(make(), "x")
    assert told(by_invoke(make(), "x")) == told(answered)
    assert {
        "model_name": "m-1",
        "model_provider": "endpoint",
        "finish_reason": "stop",
        "system_fingerprint": "fp-1",
    } == {name: value for name, value in answered.message.response_metadata.items() if name != "output_version"}
    assert {
        "input_tokens": 7,
        "output_tokens": 5,
        "total_tokens": 12,
        "input_token_details": {"cache_read": 2},
        "output_token_details": {"reasoning": 2},
    } == answered.message.usage_metadata


@pytest.mark.parametrize("mode", ["final", "last", "finish", "running", "each"])
def test_usage_is_right_however_it_is_reported(backend: Backend, make: MakeEndpoint, call: Path, mode: Any) -> None:
    """Reported at the end, with the finish, as running totals or chunk by chunk: usage is the same on every path."""
    usage = Tokens(input=7, output=5)
    backend.reply = Reply(pieces=("a", "b", "c", "d", "e"), usage=usage, usage_mode=mode)
    assert {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12} == call(make(), "x").message.usage_metadata


def test_no_usage_is_none(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """Where the server reports no usage, there is none; with a counter, it is an estimate and marked as one."""
    backend.reply = Reply(text="one two", usage_mode="none")
    assert call(make(), "x y").message.usage_metadata is None
    message = call(make(token_counter=lambda text: len(text.split())), "x y").message
    assert message.response_metadata["usage_estimated"] is True
    assert {"input_tokens": 2, "output_tokens": 2, "total_tokens": 4} == message.usage_metadata


@pytest.mark.parametrize("place", ["reasoning_content", "reasoning", "tags"])
def test_thoughts_are_blocks(backend: Backend, make: MakeEndpoint, call: Path, place: Any) -> None:
    """Reasoning is a block of its own, wherever the server puts it, and never in the text."""
    backend.reply = Reply(pieces=SAID.pieces, thoughts=place)
    answered = call(make(), "x")
    assert "One two, drei." == answered.text == answered.message.text
    (thought,) = [block for block in answered.message.content_blocks if block["type"] == "reasoning"]
    assert "hm" == thought["reasoning"]


def test_an_empty_answer_is_one(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A server that says nothing, and says that it is done, has answered; an empty prompt is a prompt."""
    backend.reply = Reply(text="")
    answered = call(make(), "")
    assert ("", "stop") == (answered.text, answered.message.response_metadata["finish_reason"])


def test_unicode_survives(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """Every character comes back as it was sent, however it is cut on the way."""
    backend.forget()
    text = "👩‍👩‍👧 שלום 漢字 e\u0301 \x00 \u2028 \\u00e9 \"'"
    backend.fault = Fault(kind="split", size=1)
    assert text == call(make(), text).text


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls", "a_word_of_its_own"])
def test_the_finish_reason_is_the_servers(backend: Backend, make: MakeEndpoint, call: Path, reason: str) -> None:
    """Why the answer ended is said in the server's own word."""
    backend.reply = Reply(text="x", finish=reason)
    assert reason == call(make(), "x").message.response_metadata["finish_reason"]


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource", "cancelled", "timeout"])
def test_a_finish_reason_may_say_that_the_answer_failed(
    backend: Backend, make: MakeEndpoint, call: Path, reason: str
) -> None:
    """An answer that the server has given up is an error that is worth a retry, with what had come as its `partial`."""
    backend.reply = Reply(text="Half an", finish=reason)
    with pytest.raises(IncompleteAnswerError, match=reason) as caught:
        call(make(), "x")
    assert caught.value.is_retryable
    assert caught.value.partial is not None
    assert "Half an" == caught.value.partial.text


def test_several_answers(backend: Backend, make: MakeEndpoint) -> None:
    """`n` answers are all in `generate`, with ids of their own; `invoke` gives the first."""
    backend.reply = Reply(text="one", others=("two", "three"))
    result = make(n=3).generate([[HumanMessage("x")]])
    assert ["one", "two", "three"] == [one.text for one in result.generations[0]]
    assert "one" == make(n=3).invoke("x").text


def test_messages_are_plain_data(make: MakeEndpoint, call: Path) -> None:
    """An answer survives being dumped and loaded, and its metadata is JSON."""
    message = call(make(logprobs=True), "x").message
    json.dumps(message.response_metadata)
    with beta_allowed():
        assert message == loads(dumps(message), allowed_objects="messages")


# --- streams ---


@pytest.mark.parametrize("read", [chunks, achunks], ids=["stream", "astream"])
def test_chunks_keep_the_rules(make: MakeEndpoint, read: Any) -> None:
    """Chunks have one id, the last alone is marked so and holds usage and reason, and more than one holds text."""
    given = read(make(), "x")
    assert {AIMessageChunk} == set(map(type, given))
    assert 1 == len({chunk.id for chunk in given})
    assert ["last"] == [chunk.chunk_position for chunk in given if chunk.chunk_position]
    assert "last" == given[-1].chunk_position
    assert 3 == len([chunk for chunk in given if chunk.text])
    assert 1 == len([chunk for chunk in given if chunk.usage_metadata])
    first, *rest = given
    assert first + rest == sum(rest[1:], first + rest[0])


def test_coalesced_text_is_the_same_text(backend: Backend, make: MakeEndpoint) -> None:
    """With `coalesce`, what comes in one read is one chunk, and the sum of them is the same."""
    backend.reply = Reply(pieces=("a",) * 100, writes="joined")
    plain, coalesced = (list(make(coalesce=flag).stream("x")) for flag in (False, True))
    assert 100 == len([chunk for chunk in plain if chunk.text])
    assert len([chunk for chunk in coalesced if chunk.text]) < 20
    one, other = (by_stream(make(coalesce=flag), "x") for flag in (False, True))
    assert told(one) == told(other)


def test_the_first_chunk_does_not_wait(backend: Backend, make: MakeEndpoint) -> None:
    """The first token is there while the server still writes."""
    backend.reply = Reply(pieces=("word ",) * 50, pace=0.02)
    stream = make().stream("x")
    assert "word " == next(chunk.text for chunk in stream if chunk.text)
    assert backend.last.outcome is None
    stream.close()  # type: ignore[attr-defined]


def test_streaming_can_be_turned_off(backend: Backend, make: MakeEndpoint) -> None:
    """With `disable_streaming`, nobody asks the server to stream, and `stream` still yields chunks."""
    for path in (by_stream, by_astream):
        assert "One two, drei." == path(make(disable_streaming=True), "x").text
        assert not backend.last.streaming
    assert {AIMessageChunk} == set(map(type, make(disable_streaming=True).stream("x")))


# --- callbacks ---


def test_callbacks_hear_of_an_answer(make: MakeEndpoint, call: Path) -> None:
    """Each run starts and ends once, a stream's tokens make its text, and the end tells usage and model."""
    recorded, usage = RecordingHandler(), UsageMetadataCallbackHandler()
    run_id = uuid.uuid4()
    config = {"callbacks": [recorded, usage], "tags": ["t"], "metadata": {"a": 1}, "run_id": run_id}
    answered = call(make(temperature=0.5, stop=["never"]), "x", config=config)
    assert ["start", "end"] == recorded.seen
    assert (answered.text if call in (by_stream, by_astream) else "") == recorded.tokens
    assert recorded.result is not None
    assert answered.text == recorded.result.generations[0][0].text
    assert 12 == usage.usage_metadata["m-1"]["total_tokens"]
    assert (run_id, ["t"]) == (recorded.started["run_id"], recorded.started["tags"])
    parameters = recorded.started["invocation_params"]
    json.dumps(parameters)
    assert ("m-1", 0.5, ["never"]) == (parameters["model"], parameters["temperature"], parameters["stop"])
    told_of = recorded.started["metadata"]
    expected = {
        "ls_provider": "endpoint",
        "ls_model_name": "m-1",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "a": 1,
    }
    assert expected.items() <= told_of.items()


@pytest.mark.parametrize("fault", [Fault.status(503), Fault.reset(after=4)], ids=["refused", "broken off"])
def test_callbacks_hear_of_an_error(backend: Backend, make: MakeEndpoint, call: Path, fault: Fault) -> None:
    """An error is told once, with what had come, and no end."""
    backend.fault = fault
    recorded = RecordingHandler()
    with pytest.raises(Exception, match=r"503|broke off") as caught:
        call(make(), "x", config={"callbacks": [recorded]})
    assert ["start", type(caught.value).__name__] == recorded.seen
    if fault.after and call in STREAMED.values():
        assert isinstance(caught.value, IncompleteAnswerError)
        assert "One two" == recorded.partial.text


def test_events_in_a_chain_are_of_one_stream(make: MakeEndpoint) -> None:
    """A model that is only invoked in a chain is read as a stream by who listens to events, usage and all."""
    model = make()
    chain = RunnableLambda(model.invoke)
    events = [event for event in chain_events(chain) if event["event"].startswith("on_chat_model")]
    assert "on_chat_model_start" == events[0]["event"]
    assert "on_chat_model_end" == events[-1]["event"]
    assert "One two, drei." == "".join(one["data"]["chunk"].text for one in events[1:-1])
    assert 12 == events[-1]["data"]["output"].usage_metadata["total_tokens"]
    assert 1 == len({event["run_id"] for event in events})


def chain_events(chain: Any) -> list[Any]:
    async def read() -> list[Any]:
        return [event async for event in chain.astream_events("x", version="v2")]

    return asyncio.run(read())


# --- caches and limiters ---


def test_a_cached_answer_is_not_asked_for(backend: Backend, make: MakeEndpoint) -> None:
    """The same question is asked once, sync or async; another setting, stop string or tool is another question."""
    cache = InMemoryCache()

    @tool
    def now() -> str:
        """Tells the time."""
        return "noon"

    for path in (by_invoke, by_invoke):
        assert "One two, drei." == path(make(cache=cache), "x").text
    assert 1 == len(backend.requests)
    by_invoke(make(cache=cache, temperature=0.1), "x")
    by_invoke(make(cache=cache), "x", stop=["y"])
    by_invoke(make(cache=cache).bind_tools([now]), "x")
    by_invoke(make(cache=cache, base_url=f"{backend.url}/v1/"), "x")
    assert 4 == len(backend.requests)


class Counting(BaseRateLimiter):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.acquired = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.acquired += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.acquired += 1
        return True


def test_a_rate_limiter_is_asked_once_a_call(make: MakeEndpoint, call: Path) -> None:
    """The rate limiter is asked once for each call, on every path."""
    limiter = Counting()
    call(make(rate_limiter=limiter), "x")
    assert 1 == limiter.acquired


# --- histories ---


def test_its_own_answer_goes_back(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """An answer, fed back, reaches the server with its text, once, and without its thoughts."""
    for version in ("v0", "v1"):
        message = call(make(output_version=version), "x").message
        call(make(), [HumanMessage("x"), message, HumanMessage("y")])
        sent = backend.last.body["messages"]
        assert ["user", "assistant", "user"] == [one["role"] for one in sent]
        assert 1 == json.dumps(sent).count("One two, drei.")
        assert "hm" not in json.dumps(sent)


def test_its_thoughts_go_back_if_wanted(backend: Backend, make: MakeEndpoint) -> None:
    """With `keep_reasoning`, its thoughts go back in the field in which servers read them."""
    message = make().invoke("x")
    make(keep_reasoning="all").invoke([HumanMessage("x"), message, HumanMessage("y")])
    assert "hm" in json.dumps(backend.last.body["messages"][1])


def test_messages_are_not_changed(make: MakeEndpoint, call: Path) -> None:
    """What the caller gives stays as it was."""
    given: list[BaseMessage] = [HumanMessage("x"), AIMessage([{"type": "text", "text": "y"}]), HumanMessage(["a", "b"])]
    before = dumps(given)
    call(make(), given)
    assert before == dumps(given)


@pytest.mark.parametrize("given", [[], [RemoveMessage(id="1")]], ids=["nothing", "a control message"])
def test_what_is_no_conversation_is_refused(backend: Backend, make: MakeEndpoint, call: Path, given: Any) -> None:
    """An empty conversation, or a message that is none, is a clear error, and nothing is sent."""
    with pytest.raises(ValueError, match="message"):
        call(make(), given)
    assert [] == backend.requests


@pytest.mark.parametrize("given", ["x", [("user", "x")], [{"role": "user", "content": "x"}], [HumanMessage("x")]])
def test_each_form_of_input_is_taken(backend: Backend, make: MakeEndpoint, call: Path, given: Any) -> None:
    """A string, tuples, dicts and messages are the same conversation."""
    call(make(), given)
    assert [{"role": "user", "content": "x"}] == backend.last.body["messages"]


def test_a_prompt_of_a_megabyte(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A long prompt arrives whole."""
    call(make(), "word " * 200_000)
    assert 1_000_000 == len(backend.last.text)


# --- composition ---


def test_settings_of_a_configuration(backend: Backend, make: MakeEndpoint) -> None:
    """`configurable_fields` reach the server."""
    model = make().configurable_fields(temperature=ConfigurableField(id="heat"))
    model.with_config(configurable={"heat": 0.25}).invoke("x")
    assert 0.25 == backend.last.body["temperature"]


def test_tokens_are_counted_without_a_server(backend: Backend, make: MakeEndpoint) -> None:
    """Counting tokens and trimming a history ask nobody."""
    model = make()
    assert model.get_num_tokens("one two three") > 0
    trimmed = trim_messages([HumanMessage("a " * 500), HumanMessage("b")], max_tokens=50, token_counter=model)
    assert ["b"] == [message.text for message in trimmed]
    assert [] == backend.requests


# --- standard content ---


def test_standard_content(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """With `output_version="v1"` the content is typed blocks in order, those that `content_blocks` gives without."""
    backend.reply = Reply(pieces=(*SAID.pieces, Call(name="add", args={"a": 1}, id="c1")))
    answered = call(make(output_version="v1"), "x")
    blocks: list[Any] = list(answered.message.content)
    assert ["reasoning", "text", "tool_call"] == [block["type"] for block in blocks]
    assert ("hm", "One two, drei.", {"a": 1}) == (blocks[0]["reasoning"], blocks[1]["text"], blocks[2]["args"])
    plain: list[Any] = list(call(make(), "x").message.content_blocks)
    assert [without_ids(block) for block in plain] == [without_ids(block) for block in blocks]


def without_ids(block: dict[str, Any]) -> dict[str, Any]:
    """What a block says."""
    return {key: block.get(key) for key in ("type", "reasoning", "text", "name", "args")}
