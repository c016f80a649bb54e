"""Version 3 of the events: blocks begin and end where they truly do, however the parts of an answer are cut."""

import asyncio
import gc
import inspect
import json
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from tests.paths import PATHS, beta_allowed, by_av3, by_invoke, by_v3

from langplug import ChatModel, Finish, IncompleteAnswerError, Reasoning, Request, ToolCall, Usage
from langplug._parts import Part

TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": "", "parameters": {"type": "object", "properties": {}}},
    }
    for name in "fgh"
]


class ChatSaying(ChatModel):
    """Says the parts that it is made of."""

    tool_calling = "native"
    said: Sequence[Any] = ()

    def respond(self, request: Request, /) -> Iterator[Part]:
        """Say them."""
        yield from self.said


class ChatSayingAsync(ChatSaying):
    """The same on an event loop."""

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:  # type: ignore[override]  # another shape
        """Say them."""
        for part in self.said:
            await asyncio.sleep(0)
            yield part


def sync_events(model: Any, given: Any = "?", **kwargs: Any) -> list[Any]:
    """All events of one call."""
    with beta_allowed():
        return list(model.stream_events(given, version="v3", **kwargs))


def async_events(model: Any, given: Any = "?", **kwargs: Any) -> list[Any]:
    """All events of one call on an event loop."""

    async def read() -> list[Any]:
        async with await model.astream_events(given, version="v3", **kwargs) as stream:
            return [event async for event in stream]

    with beta_allowed():
        return asyncio.run(read())


def finished(events: Sequence[Any]) -> list[dict[str, Any]]:
    """The blocks as they ended, without the numbers that langchain-core writes into them."""
    blocks = [event["content"] for event in events if event["event"] == "content-block-finish"]
    return [{name: value for name, value in block.items() if name != "index"} for block in blocks]


def kinds(events: Sequence[Any]) -> list[str]:
    """What happens to which block, in order; deltas of one block that follow each other are one."""
    marks = {"start": "(", "delta": ".", "finish": ")"}
    told = [f"{marks[event['event'].split('-')[-1]]}{event['index']}" for event in events if "index" in event]
    return [mark for mark, before in zip(told, [None, *told], strict=False) if mark != before]


# --- blocks ---


TEXT, THOUGHT = st.text("ab <tk>é", min_size=1, max_size=6), st.text("xyz ", min_size=1, max_size=6)
ARGS = st.dictionaries(st.sampled_from("pq"), st.integers(0, 9) | st.text('ab"\\é', max_size=3), min_size=1, max_size=2)
WHOLE = st.one_of(
    st.tuples(st.just("text"), TEXT),
    st.tuples(st.just("reasoning"), THOUGHT),
    st.tuples(st.just("call"), ARGS),
    st.tuples(st.just("image"), st.sampled_from(["aaaa", "bbbb"])),
)


@st.composite
def cut_answers(draw: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """The blocks of an answer, and its parts, cut anywhere."""
    blocks: list[dict[str, Any]] = []
    parts: list[Any] = []

    def pieces(text: str) -> list[str]:
        cuts = sorted(draw(st.sets(st.integers(1, max(len(text) - 1, 1)), max_size=4)))
        return [piece for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True) if (piece := text[i:j])]

    for number, (kind, value) in enumerate(draw(st.lists(WHOLE, max_size=6))):
        if kind == "text":
            parts += pieces(value)
            if blocks and blocks[-1]["type"] == "text":
                blocks[-1]["text"] += value
            else:
                blocks.append({"type": "text", "text": value})
        elif kind == "reasoning":
            parts += [Reasoning(piece) for piece in pieces(value)]
            if blocks and blocks[-1]["type"] == "reasoning":
                blocks[-1]["reasoning"] += value
            else:
                blocks.append({"type": "reasoning", "reasoning": value})
        elif kind == "call":
            name, call_id = "fgh"[number % 3], f"id-{number}"
            first, *rest = pieces(json.dumps(value))
            parts.append(ToolCall(name=name, id=call_id, args=first, index=number))
            parts += [ToolCall(args=piece, index=number) for piece in rest]
            blocks.append({"type": "tool_call", "name": name, "args": value, "id": call_id})
        else:
            block = {"type": "image", "base64": value, "mime_type": "image/png"}
            parts.append(block)
            blocks.append(dict(block))
    return blocks, parts


@given(cut_answers(), st.sampled_from(["v0", "v1"]))
def test_blocks_are_the_same_however_they_are_cut(answer: Any, version: str) -> None:
    """Text, reasoning, calls and images are the same blocks in any pieces, in the order in which they came."""
    blocks, parts = answer
    events = sync_events(ChatSaying(said=parts, output_version=version, reasoning_tags=None))
    assert_valid_event_stream(events)
    assert blocks == finished(events)


@given(cut_answers(), st.sampled_from(["v0", "v1"]))
def test_the_output_is_the_message_of_invoke(answer: Any, version: str) -> None:
    """What the events add up to has the blocks, calls, metadata and reasoning of `invoke`."""
    model = ChatSaying(said=[*answer[1], Usage(input_tokens=1, output_tokens=2)], output_version=version)
    expected, output = by_invoke(model, "?").message, by_v3(model, "?").message
    assert expected.text == output.text
    assert by_v3(model, "?").text == output.text
    assert expected.tool_calls == output.tool_calls
    assert expected.usage_metadata == output.usage_metadata
    assert expected.additional_kwargs == output.additional_kwargs
    assert {**expected.response_metadata, "output_version": "v1"} == output.response_metadata
    if version == "v1" and expected.content:
        without = [{name: value for name, value in b.items() if name != "index"} for b in expected.content_blocks]
        assert without == [{n: v for n, v in b.items() if n != "index"} for b in output.content_blocks]


@pytest.mark.parametrize("read", [sync_events, async_events])
def test_blocks_close_where_they_end(read: Any) -> None:
    """Text, then reasoning, then text again are three blocks, each closed before the next one begins."""
    said = ["a", "b", Reasoning("h"), Reasoning("m"), "c"]
    events = read(ChatSayingAsync(said=said))
    assert "(0 .0 )0 (1 .1 )1 (2 .2 )2" == " ".join(kinds(events))
    assert ["ab", "hm", "c"] == [block.get("text") or block.get("reasoning") for block in finished(events)]


@pytest.mark.parametrize("read", [sync_events, async_events])
def test_calls_stream_as_they_come(read: Any) -> None:
    """The arguments of a native call are shown piece by piece, two calls at once each in its own block."""
    said = [
        "so",
        ToolCall(name="f", id="i", args='{"a"', index=0),
        ToolCall(name="g", id="j", args="", index=1),
        ToolCall(args='{"b": 2', index=1),
        ToolCall(args=": 1}", index=0),
        ToolCall(args="}", index=1),
    ]
    events = read(ChatSayingAsync(said=said).bind_tools(TOOLS))
    assert "(0 .0 )0 (1 .1 (2 .2 .1 .2 )1 )2" == " ".join(kinds(events))
    starts = [event["content"] for event in events if event["event"] == "content-block-start"][1:]
    assert [("f", "i", 0), ("g", "j", 1)] == [(start["name"], start["id"], start["index"]) for start in starts]
    assert [{"a": 1}, {"b": 2}] == [block["args"] for block in finished(events)[1:]]


def test_a_reader_of_calls_sees_their_pieces() -> None:
    """`.tool_calls` of the stream yields the pieces of each call, with its name, id and number."""
    model = ChatSaying(said=[ToolCall(name="f", id="i", args='{"a"'), ToolCall(args=": 1}")])
    bound: Any = model.bind_tools(TOOLS)
    with beta_allowed():
        stream = bound.stream_events("?", version="v3")
        pieces = list(stream.tool_calls)
    assert ['{"a"', ": 1}"] == [piece["args"] for piece in pieces]
    assert {("f", "i", 0)} == {(piece["name"], piece["id"], piece["index"]) for piece in pieces}
    assert [{"a": 1}] == [call["args"] for call in stream.tool_calls.get()]


@pytest.mark.parametrize("args", ['{"a": 1', '{"a": "x', "nonsense", "[1]", '{"a": 1}}'])
@pytest.mark.parametrize("path", [by_v3, by_av3])
def test_a_broken_call_ends_as_invalid(path: Any, args: str) -> None:
    """A call whose arguments break off was shown as far as it came, and its block ends as an invalid call."""
    model = ChatSaying(said=["x", ToolCall(name="f", id="i", args=args), Finish(reason="length")])
    output, expected = path(model, "?").message, by_invoke(model, "?").message
    assert [] == output.tool_calls
    assert expected.invalid_tool_calls == output.invalid_tool_calls
    assert "length" == output.response_metadata["finish_reason"]


def test_calls_that_are_not_allowed_are_not_shown() -> None:
    """With `parallel_tool_calls=False` no piece of a second call is shown, whether or not the first is whole yet."""
    said = [ToolCall(name="f", id="i", args='{"a', index=0), ToolCall(name="g", id="j", args='{"b": 1}', index=1),
            ToolCall(args='": 1}', index=0)]  # fmt: skip
    events = sync_events(ChatSaying(said=said).bind_tools(TOOLS, parallel_tool_calls=False))
    assert "(0 .0 )0" == " ".join(kinds(events))
    assert ["f"] == [block["name"] for block in finished(events)]


@pytest.mark.parametrize("again", [{"id": "i"}, {"index": 0}, {"name": "f", "id": "i", "index": 0, "args": " "}])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_what_is_said_again_of_a_call_is_no_other_call(path: Any, again: dict[str, Any]) -> None:
    """A call is whole once something follows its arguments; its name or id that a server repeats then adds nothing."""
    said = ["x", ToolCall(name="f", id="i", args='{"a": 1}', index=0), "y", ToolCall(**again), "z"]
    message = path(ChatSaying(said=said, output_version="v1"), "?").message
    assert [("f", {"a": 1}, "i")] == [(call["name"], call["args"], call["id"]) for call in message.tool_calls]
    assert ["text", "tool_call", "text"] == [block["type"] for block in message.content_blocks]


def test_a_listener_that_fails_closes_the_source() -> None:
    """A handler that raises ends the run, and the author's `finally` has run when the error arrives."""
    closed: list[str] = []

    class ChatOpen(ChatSaying):
        def respond(self, request: Request, /) -> Iterator[Part]:
            """Speak."""
            try:
                yield from ["a", "b"]
            finally:
                closed.append("closed")

    class Failing(BaseCallbackHandler):
        raise_error = run_inline = True

        def on_stream_event(self, event: Any, **kwargs: Any) -> None:
            if event["event"] == "content-block-delta":
                raise ValueError("deaf")

    with pytest.raises(ValueError, match="deaf"):
        by_v3(ChatOpen(), "?", config={"callbacks": [Failing()]})
    assert ["closed"] == closed


def test_an_authors_own_hook_may_give_any_iterator() -> None:
    """A class with hooks of its own is driven by them, whatever kind of iterator they give."""

    class ChatHooked(ChatSaying):
        def _stream_chat_model_events(self, *args: Any, **kwargs: Any) -> Any:
            delta = {"type": "text-delta", "text": "mine"}
            return iter(
                [
                    {"event": "message-start", "role": "ai", "id": ""},
                    {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}},
                    {"event": "content-block-delta", "index": 0, "delta": delta},
                    {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": "mine"}},
                    {"event": "message-finish"},
                ]
            )

    assert "mine" == by_v3(ChatHooked(), "?").text


def test_calls_read_out_of_text_come_whole() -> None:
    """A call that a model writes into its text is shown when it can be read, in one piece."""
    words = ['<tool_call>{"name": "f", ', '"arguments": {"a": 1}}', "</tool_call>"]
    events = sync_events(ChatSaying(said=words, tool_calling="prompted").bind_tools(TOOLS))
    assert [{"a": 1}] == [block["args"] for block in finished(events)]
    assert 1 == sum(event["event"] == "content-block-delta" for event in events)


@pytest.mark.parametrize("path", [by_v3, by_av3])
def test_blocks_that_core_does_not_keep_are_kept(path: Any) -> None:
    """A refusal is in the output as in `invoke`'s message, and a block of no known kind as `non_standard`."""
    refusal = [{"type": "refusal", "refusal": piece} for piece in ("I ", "can't.")]
    model = ChatSaying(said=[*refusal, {"type": "odd", "value": 1}])
    kept = [{n: v for n, v in block.items() if n != "index"} for block in path(model, "?").message.content_blocks]
    assert {"type": "refusal", "refusal": "I can't."} == kept[0]
    assert ["refusal", "non_standard"] == [block["type"] for block in kept]


def test_large_contents_come_once() -> None:
    """The data of an image stands in the end of its block and in no other event."""
    events = sync_events(ChatSaying(said=[{"type": "image", "base64": "a" * 1000, "mime_type": "image/png"}]))
    assert ["content-block-finish"] == [event["event"] for event in events if "aaa" in json.dumps(event)]


def test_signatures_stand_in_the_block_of_their_reasoning() -> None:
    """What must be sent back with reasoning is in its block's `extras`, and in plain content's keyword too."""
    model = ChatSaying(said=[Reasoning("h", {"signature": "s"}), Reasoning("m", {"signature": "s"}), "x"])
    output = by_v3(model, "?").message
    block: Any = output.content_blocks[0]
    assert {"signature": "s"} == block["extras"]
    assert by_invoke(model, "?").message.additional_kwargs == output.additional_kwargs


# --- the message around them ---


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_source_may_give_the_id(path: Any) -> None:
    """The id that the source gives its message is that of the message on every path."""
    assert "mine" == path(ChatSaying(said=[AIMessage("a", id="mine")]), "?").message.id


@pytest.mark.parametrize("read", [sync_events, async_events])
def test_an_empty_answer_is_a_beginning_and_an_end(read: Any) -> None:
    """An answer without a word has no block, and is no error."""
    events = read(ChatSaying())
    assert ["message-start", "message-finish"] == [event["event"] for event in events]


def test_an_answer_that_is_asked_for_again_shows_the_last_one() -> None:
    """Where a call is forced, the attempts before it are not shown: events cannot be taken back."""

    class ChatHesitant(ChatSaying):
        def respond(self, request: Request, /) -> Iterator[Part]:
            """Call the tool when asked again."""
            again = len(request.messages) > 1
            yield from [ToolCall(name="f", id="i", args='{"a"'), ToolCall(args=": 1}")] if again else ["no"]

    events = sync_events(ChatHesitant().bind_tools(TOOLS, tool_choice="any"))
    assert_valid_event_stream(events)
    assert ["tool_call"] == [block["type"] for block in finished(events)]


@pytest.mark.parametrize("path", [by_v3, by_av3])
def test_an_error_keeps_what_had_come(path: Any) -> None:
    """An error half-way is raised as it is, with the answer so far as its `partial`, and ends the run once."""

    class ChatBreaking(ChatSaying):
        def respond(self, request: Request, /) -> Iterator[Part]:
            """Break off."""
            yield "half "
            raise IncompleteAnswerError("gone")

    kinds_seen: list[str] = []

    class Recorder(BaseCallbackHandler):
        run_inline = True

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            kinds_seen.append("start")

        def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
            kinds_seen.append("error")

        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            kinds_seen.append("end")

    with pytest.raises(IncompleteAnswerError, match="gone") as caught:
        path(ChatBreaking(), "?", config={"callbacks": [Recorder()]})
    assert "half " == caught.value.partial.text  # type: ignore[union-attr]  # it is there
    assert ["start", "error"] == kinds_seen


@pytest.mark.parametrize("heard", [False, True])
def test_closing_the_stream_closes_the_source(heard: bool) -> None:
    """`aclose()` of an async stream runs the author's `finally` before it returns, wherever the stream stands."""
    closed: list[str] = []

    class ChatEndless(ChatModel):
        async def respond(self, request: Request, /) -> AsyncIterator[str]:
            """Speak on."""
            try:
                while True:
                    yield "a "
                    await asyncio.sleep(0)
            finally:
                await asyncio.sleep(0)
                closed.append("closed")

    class Slow(BaseCallbackHandler):
        run_inline = True

    async def leave() -> list[str]:
        config: Any = {"callbacks": [Slow()]} if heard else {}
        stream = await ChatEndless().astream_events("?", config, version="v3")
        async for _ in stream.text:
            break
        await stream.aclose()
        return list(closed)

    with beta_allowed():
        assert ["closed"] == asyncio.run(leave())


@pytest.mark.parametrize("shape", [ChatSaying, ChatSayingAsync])
def test_events_never_block_the_loop(no_blocking: Any, shape: type[ChatSaying]) -> None:
    """Reading them on an event loop does nothing there that would hold it up."""
    assert "ab" == by_av3(shape(said=["a", Reasoning("h"), "b", ToolCall(name="f", args="{}")]), "?").text


def test_a_cancelled_listener_closes_the_source() -> None:
    """The source is closed at once, too, where the cancellation meets a callback handler that is still at work."""
    closed: list[str] = []
    hearing = asyncio.Event()

    class ChatCounting(ChatModel):
        async def respond(self, request: Request, /) -> AsyncIterator[str]:
            """Speak."""
            try:
                yield "a "
                yield "b "
            finally:
                closed.append("closed")

    class Busy(AsyncCallbackHandler):
        async def on_stream_event(self, event: Any, **kwargs: Any) -> None:
            if event["event"] == "content-block-delta":
                hearing.set()
                await asyncio.sleep(60)

    async def leave() -> list[str]:
        stream = await ChatCounting().astream_events("?", {"callbacks": [Busy()]}, version="v3")
        reading = asyncio.ensure_future(stream.output._await_impl())
        await hearing.wait()
        gc.disable()
        try:
            await stream.aclose()
            return list(closed)
        finally:
            gc.enable()
            reading.cancel()

    with beta_allowed():
        assert ["closed"] == asyncio.run(leave())


def test_the_rate_limiter_waits_once() -> None:
    """A stream of events takes one token of the rate limiter."""
    taken: list[int] = []

    class Counting(InMemoryRateLimiter):
        def acquire(self, *, blocking: bool = True) -> bool:
            taken.append(1)
            return True

    sync_events(ChatSaying(said=["a"], rate_limiter=Counting()))
    assert [1] == taken


async def test_an_agent_passes_the_events_on() -> None:
    """Under version 3 of a graph's events, each message of an agent comes with its blocks and calls as they grow."""

    class ChatAdding(ChatSaying):
        def respond(self, request: Request, /) -> Iterator[Part]:
            """Call the tool, and then say so."""
            called: list[Part] = [ToolCall(name="add", id="i", args='{"a": 1', index=0), ToolCall(args="}", index=0)]
            done: list[Part] = [Reasoning("hm"), "do", "ne"]
            yield from done if any(message.type == "tool" for message in request.messages) else ["so", *called]

    def add(a: int) -> int:
        """Add."""
        return a + 1

    seen: list[list[dict[str, Any]]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a beta, and said so in several places
        agent: Any = create_agent(ChatAdding(), [add])
        stream = await agent.astream_events({"messages": [("user", "?")]}, version="v3")
        async for message in stream.messages:
            events = [event async for event in message]
            assert_valid_event_stream(events)
            seen.append(finished(events))
    assert [["text", "tool_call"], ["reasoning", "text"]] == [[block["type"] for block in one] for one in seen]
    assert ({"a": 1}, "done") == (seen[0][1]["args"], seen[1][1]["text"])


# --- whose stream it is ---


def test_an_authors_own_stream_is_not_passed_by() -> None:
    """A class that overrides `_stream` gets its events from what that yields."""

    class ChatOwn(ChatSaying):
        def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            for chunk in super()._stream(messages, *args, **kwargs):
                yield ChatGenerationChunk(message=AIMessageChunk(chunk.text.upper()))

    assert "MINE" == by_v3(ChatOwn(said=["mine"]), "?").text
    assert "mine" == by_av3(ChatOwn(said=["mine"]), "?").text


@pytest.mark.parametrize("read", [sync_events, async_events])
def test_the_hook_can_be_switched_off(read: Any) -> None:
    """A class without the hooks gets its events by langchain-core's bridge, with the same words."""

    class ChatBridged(ChatSaying):
        pass

    for hook in ("_stream_chat_model_events", "_astream_chat_model_events"):
        setattr(ChatBridged, hook, None)
    assert finished(read(ChatSaying(said=["a", "b"]))) == finished(read(ChatBridged(said=["a", "b"])))


def test_the_hooks_are_those_of_core() -> None:
    """langchain-core still looks for the two hooks by their names, and ignores what it drives through them."""
    for driver, name in (
        (BaseChatModel._iter_v2_events, "_stream_chat_model_events"),
        (BaseChatModel._aiter_v2_events, "_astream_chat_model_events"),
    ):
        assert f'"{name}"' in inspect.getsource(driver)
        assert hasattr(ChatModel, name)
        assert ["self", "messages", "run_manager", "stream", "stop", "kwargs"] == list(
            inspect.signature(driver).parameters
        )
