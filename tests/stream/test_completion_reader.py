"""The bodies of OpenAI-wire answers, as servers send them, read as parts."""

import itertools
import json
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelError,
    ModelInvalidRequestError,
    ModelRateLimitError,
)

from langplug import Finish, IncompleteAnswerError, Part, Reasoning, ToolCall, Usage
from langplug._answer.parser import AnswerParser
from langplug._stream.completion_reader import CompletionReader

USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "model": "m-1", "choices": [choice], **more}


def sse(*values: Any, done: bool = True) -> bytes:
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    return "".join(f"data: {text}\n\n" for text in [*texts, *(["[DONE]"] if done else [])]).encode()


def completion(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps({"object": "chat.completion", "model": "m-1", "choices": [choice], **more}).encode()


HELLO = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo é👩‍🚀"}),
    chunk({}, "stop"),
    {"choices": [], "usage": USAGE},
)


def read(body: bytes, *, pieces: Sequence[bytes] | None = None, reader: CompletionReader | None = None) -> list[Part]:
    reader = reader or CompletionReader()
    parts: list[Part] = []
    for piece in [body] if pieces is None else pieces:
        parts.extend(reader.feed(piece))
    return [*parts, *reader.end()]


def text_of(parts: list[Part]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def settled(parts: list[Part]) -> tuple[str, str, Any, Any]:
    """What a whole answer comes to: text, reason, usage and metadata."""
    turn = AnswerParser(owner="test")
    pieces = [piece for part in parts for piece in turn.feed(part)] + turn.end()
    return "".join(map(str, pieces)), turn.reason, turn.usage(), turn.metadata


# --- what is an answer ---


def test_a_stream_is_read() -> None:
    """Text comes chunk by chunk; usage, the reason and the model's name once."""
    parts = read(sse(*HELLO))
    assert ["Hel", "lo é👩‍🚀"] == [part for part in parts if isinstance(part, str)]
    text, reason, usage, metadata = settled(parts)
    assert ("Hello é👩‍🚀", "stop", {"model_name": "m-1"}) == (text, reason, metadata)
    assert {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8} == usage


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/html", ""])
def test_a_whole_answer_is_read_whatever_it_is_called(content_type: str) -> None:
    """A completion is read where a stream was asked for, too, under any content type."""
    parts = read(completion({"content": "Hello"}, usage=USAGE), reader=CompletionReader(content_type))
    assert ("Hello", "stop") == settled(parts)[:2]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_a_stream_is_read_whatever_it_is_called(content_type: str) -> None:
    """A stream is read where a completion was asked for, too, under any content type."""
    assert "Hello é👩‍🚀" == text_of(read(sse(*HELLO), reader=CompletionReader(content_type)))


def test_lines_of_json_are_read_if_they_are_called_so() -> None:
    """Chunks that come as JSON lines are read."""
    body = "\n".join(json.dumps(value) for value in HELLO).encode()
    assert "Hello é👩‍🚀" == text_of(read(body, reader=CompletionReader("application/x-ndjson")))


BODIES = {
    "stream": sse(*HELLO),
    "CRLF": sse(*HELLO).replace(b"\n", b"\r\n"),
    "pings": sse(*HELLO).replace(b"data", b": ping\n\ndata"),
    "unterminated": sse(*HELLO).rstrip(),
    "no [DONE]": sse(*HELLO, done=False),
    "whole": completion({"content": "Hello é👩‍🚀"}, usage=USAGE),
    "whole, pretty": json.dumps(json.loads(completion({"content": "Hello é👩‍🚀"}, usage=USAGE)), indent=2).encode(),
}


@given(cuts=st.lists(st.integers(0, 900)), coalesce=st.booleans())
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_answer_does_not_depend_on_how_its_bytes_come(body: bytes, cuts: list[int], coalesce: bool) -> None:
    """Any cut of the body gives the same answer, coalesced or not."""
    places = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    pieces = [body[start:end] for start, end in itertools.pairwise(places)]
    reader = CompletionReader(coalesce=coalesce)
    assert settled(read(sse(*HELLO))) == settled(read(body, pieces=pieces, reader=reader))


def test_text_of_one_read_is_one_part_if_wanted() -> None:
    """With `coalesce`, the text that came together is one part; calls and reasoning around it keep their places."""
    body = sse(
        chunk({"role": "assistant"}),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "a"}, usage={**USAGE, "completion_tokens": 2}),
        chunk({"content": "b"}, usage=USAGE),
        chunk({}, "stop"),
    )
    parts = read(body, reader=CompletionReader(coalesce=True))
    assert [Reasoning("hm"), "ab"] == [part for part in parts if isinstance(part, str | Reasoning)]
    assert 1 == sum(isinstance(part, Usage) and part.output_tokens == 3 for part in parts)


def test_nothing_is_read_behind_the_end() -> None:
    """What comes after [DONE] is not read."""
    reader = CompletionReader()
    assert "Hello é👩‍🚀" == text_of(read(sse(*HELLO) + sse(chunk({"content": "more"})), reader=reader))
    assert reader.finished


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([chunk({"content": "a"}, ""), chunk({}, "length")], id="an empty one first"),
        pytest.param([chunk({"content": "a", "finish_reason": "length"})], id="in the delta"),
        pytest.param([chunk({"content": "a"}), {"choices": [], "finish_reason": "length"}], id="at the top"),
        pytest.param([chunk({"content": "a"}, finish_reason="length")], id="at the top, beside the text"),
        pytest.param([chunk({"content": "a"}), chunk({}, "length", usage=USAGE)], id="with the usage"),
        pytest.param([chunk({"content": "a"}, "length"), chunk({}, "length")], id="twice"),
        pytest.param([chunk({"content": "a"}, "length")], id="with the text"),
        pytest.param([{"choices": [{"finish_reason": "length", "delta": {"content": "a"}}]}], id="no index"),
    ],
)
def test_the_reason_is_found_wherever_it_stands(values: list[Any]) -> None:
    """Servers put the finish reason in odd places."""
    assert ("a", "length") == settled(read(sse(*values)))[:2]


@pytest.mark.parametrize("name", ["stop_reason", "matched_stop"])
def test_the_stop_string_is_kept_where_the_server_names_it(name: str) -> None:
    """vLLM and SGLang say which stop string they met; a token's number is none."""
    finish = {"index": 0, "delta": {}, "finish_reason": "stop", name: "END"}
    ends = [part for part in read(sse(chunk({"content": "a"}), {"choices": [finish]})) if isinstance(part, Finish)]
    assert "END" in [end.stop_sequence for end in ends]
    finish[name] = 128009
    assert {None} == {part.stop_sequence for part in read(sse({"choices": [finish]})) if isinstance(part, Finish)}


def test_the_reader_keeps_nothing_of_what_it_has_given() -> None:
    """A stream that began with much text at once does not hold that text until its end."""
    event = sse(chunk({"content": "word"}), done=False)
    reader = CompletionReader()
    tracemalloc.start()
    try:
        reader.feed(event * 2000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 20_000


# --- usage, however it is reported ---


def counted(*outputs: int | None, final: int | None = None, prompt: int | None = 5) -> list[Any]:
    """A stream with a report on each chunk of text."""

    def usage(count: int | None) -> dict[str, Any]:
        return {} if count is None else {"usage": {"prompt_tokens": prompt, "completion_tokens": count}}

    texts = [chunk({"content": "x"}, **usage(count)) for count in outputs]
    last = [] if final is None else [{"choices": [], **usage(final)}]
    return [chunk({"role": "assistant", "content": ""}), *texts, chunk({}, "stop"), *last]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(counted(None, None, None, final=3), 3, id="final"),
        pytest.param(counted(1, 2, 3), 3, id="running totals"),
        pytest.param(counted(1, 2, 3, final=3), 3, id="running totals and final"),
        pytest.param(counted(2, 5, 6, final=7), 7, id="running totals in steps"),
        pytest.param(counted(1, 1, 1), 3, id="each chunk's own"),
        pytest.param(counted(1, 1, 1, final=3), 3, id="each chunk's own and final"),
        pytest.param(counted(1, 1, 1, final=0), 3, id="each chunk's own, and none for the last"),
        pytest.param(counted(2, 1, 3), 6, id="each chunk's own, of several tokens"),
        pytest.param(counted(7, final=7), 7, id="one chunk"),
    ],
)
def test_usage_is_right_however_it_is_reported(stream: list[Any], expected: int) -> None:
    """A final figure, running totals and the chunks' own counts all come to the same."""
    usage = settled(read(sse(*stream)))[2]
    assert (5, expected) == (usage["input_tokens"], usage["output_tokens"])


def test_no_usage_is_none() -> None:
    """Where the server reports none, none is invented."""
    assert settled(read(sse(*counted(None, None))))[2] is None


def test_the_timings_of_llama_cpp_are_usage_so_far() -> None:
    """What llama.cpp says with each chunk is the usage until there."""
    timings = {"cache_n": 3, "prompt_n": 2, "predicted_n": 2}
    parts = read(sse(chunk({"role": "assistant"}), chunk({"content": "a"}, timings=timings), chunk({}, "stop")))
    assert Usage(input_tokens=5, output_tokens=2, input_token_details={"cache_read": 3}) in parts


# --- what is none ---

CUT = {
    "no reason": (sse(chunk({"content": "a"}), done=False), "without a finish reason"),
    "[DONE] without a reason": (sse(chunk({"content": "a"})), "with \\[DONE\\], but without a finish reason"),
    "in the middle of an event": (sse(chunk({"content": "a"}), chunk({"content": "b"}))[:-40], "not JSON"),
    "no JSON": (sse(chunk({"content": "a"}), "{'content': 1}", chunk({}, "stop")), "not JSON"),
    "nothing": (b"", "is empty"),
    "blanks": (b"\n \n", "is empty"),
    "[DONE] alone": (sse(), "is empty"),
    "half a completion": (completion({"content": "Hello"})[:-20], "not JSON"),
    "no choices": (b'{"choices": []}', "without a finish reason"),
}


@pytest.mark.parametrize(("body", "words"), CUT.values(), ids=CUT)
def test_an_answer_without_its_end_is_an_error(body: bytes, words: str) -> None:
    """What ends early is never taken for an answer."""
    with pytest.raises(IncompleteAnswerError, match=words):
        read(body)


def test_a_server_may_be_known_to_end_with_done() -> None:
    """Of a server that gives no reasons, [DONE] is the end; without it, its answer is cut off."""
    assert "a" == text_of(read(sse(chunk({"content": "a"})), reader=CompletionReader(ends_at="done")))
    with pytest.raises(IncompleteAnswerError):
        read(sse(chunk({"content": "a"}), done=False), reader=CompletionReader(ends_at="done"))


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (sse(chunk({"content": "a"}), {"error": {"message": "Overloaded.", "code": 503}}), ModelAPIError, "Overloaded"),
        (sse({"error": {"message": "Slow down.", "code": 429}}), ModelRateLimitError, "Slow down"),
        (b'event: error\ndata: {"message": "It broke."}\n\n', ModelAPIError, "It broke"),
        (b'event: error\ndata: "It broke."\n\n', ModelAPIError, "It broke"),
        (b'{"error": "prompt is too long"}', ContextOverflowError, "too long"),
        (b'{"object": "error", "message": "No.", "code": 400}', ModelInvalidRequestError, "No."),
        (b'{"detail": "Gone wrong."}', ModelAPIError, "Gone wrong"),
        (b"<html><body>Welcome</body></html>", ModelAPIError, "'Welcome'.*base_url"),
        (b"[1, 2]", ModelAPIError, "1"),
    ],
)
def test_an_error_in_the_body_is_typed(body: bytes, kind: type[ModelError], words: str) -> None:
    """An error that comes with status 200, alone or in the middle of a stream, is of the type that its words tell."""
    with pytest.raises(kind, match=words):
        read(body)


@given(body=st.binary())
def test_no_bytes_are_read_as_an_answer_by_chance(body: bytes) -> None:
    """Whatever comes, it is an answer or a typed error."""
    with pytest.raises(ModelError):
        read(body)


# --- calls, reasoning, several answers ---


def test_calls_and_reasoning_are_parts() -> None:
    """Fragments of calls, and reasoning under either of its names, are given on as they come."""
    function = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ": 1}"}}
    values = [
        chunk({"role": "assistant", "content": None}),
        chunk({"reasoning": "hm"}),
        chunk({"content": "", "tool_calls": [function]}),
        chunk({"tool_calls": [more]}),
        chunk({}, "tool_calls"),
    ]
    parts = [part for part in read(sse(*values)) if isinstance(part, Reasoning | ToolCall)]
    assert [
        Reasoning("hm"),
        ToolCall(name="add", args='{"a"', id="c1", index=0),
        ToolCall(args=": 1}", index=0),
    ] == parts


@pytest.mark.parametrize("key", ["refusal", "tool_calls", "reasoning_content", "annotations"])
def test_text_beside_empty_fields_is_text(key: str) -> None:
    """Servers that repeat empty fields with every chunk cost nothing else."""
    parts = read(
        sse(chunk({"role": "assistant", "content": ""}), chunk({"content": "a", key: None}), chunk({}, "stop"))
    )
    assert "a" == text_of(parts)


def test_several_answers_come_as_chunks() -> None:
    """Of several answers the chunks are given as they are, each time all of it."""
    choices = [{"index": n, "message": {"content": f"no. {n}"}, "finish_reason": "stop"} for n in range(2)]
    body = json.dumps({"choices": choices}).encode()
    assert [{"choices": choices}] == read(body, reader=CompletionReader(whole_chunks=True))


@pytest.mark.parametrize("load", [json.loads, pytest.importorskip("orjson").loads], ids=["json", "orjson"])
def test_either_parser_will_do(load: Callable[[bytes | str], Any]) -> None:
    """Python's own JSON parser and the fast one read the same, and fail at the same."""
    assert "Hello é👩‍🚀" == text_of(read(sse(*HELLO), reader=CompletionReader(load=load)))
    with pytest.raises(IncompleteAnswerError):
        read(sse(chunk({"content": "a"}), "{"), reader=CompletionReader(load=load))
