"""What an answer is held to whatever the model does: its limit of tokens, JSON, a count of what was used."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from tests.serve import served_models
from tests.serve.client import chunks_of, send
from tests.serve.messages_client import events_in
from tests.serve.served_models import Endless, held, serving, until

from langplug import ChatModel, Finish, Reasoning, Request, ToolCall, Usage
from langplug._model.tokens import estimate_ids
from langplug.models import ChatScripted
from langplug.serve.terms import TokenLimit

USER = [{"role": "user", "content": "Count!"}]

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}

NUMBERS = [f"{number} " for number in range(1, 21)]

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

NAMED = {"name": "place", "schema": SCHEMA, "strict": True}


def ask(wire: str, *, limit: int | None = None, form: str | None = None, **fields: Any) -> dict[str, Any]:
    """A body of each wire that asks for the same."""
    if wire == "chat":
        forms = {
            "json_object": {"type": "json_object"},
            "json_schema": {"type": "json_schema", "json_schema": NAMED},
            "loose": {"type": "json_schema", "json_schema": {**NAMED, "strict": False}},
        }
        more: dict[str, Any] = {"messages": USER, "max_tokens": limit, "response_format": forms.get(form or "")}
    elif wire == "responses":
        forms = {
            "json_object": {"type": "json_object"},
            "json_schema": {"type": "json_schema", **NAMED},
            "loose": {"type": "json_schema", **NAMED, "strict": False},
        }
        more = {"input": "Count!", "max_output_tokens": limit, "text": {"format": forms.get(form or "")}}
    else:
        known = {"format": {"type": "json_schema", "schema": SCHEMA}} if form else None
        more = {"messages": USER, "max_tokens": limit or 4096, "output_config": known}
    return {"model": "m", **more, **fields}


def asked(base: str, wire: str, **fields: Any) -> dict[str, Any]:
    """The answer, which is not streamed, as its wire has it."""
    status, _, text = send(base, ask(wire, **fields), PATHS[wire])
    assert status == 200, text
    answer: dict[str, Any] = json.loads(text)
    return answer


def told(wire: str, answer: dict[str, Any]) -> tuple[str, str]:
    """The text of an answer, and why it ended, in the words of chat completions."""
    if wire == "chat":
        return answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]
    if wire == "responses":
        parts = [part for item in answer["output"] for part in item.get("content", ())]
        reason = (answer["incomplete_details"] or {}).get("reason", "stop")
        return "".join(part["text"] for part in parts), {"max_output_tokens": "length"}.get(reason, reason)
    text = "".join(block["text"] for block in answer["content"])
    return text, {"max_tokens": "length", "end_turn": "stop"}[answer["stop_reason"]]


# --- the limit ---


@given(st.lists(st.text("ab 1.é🎉\n", max_size=30), max_size=20), st.integers(1, 12))
def test_any_text_is_cut_where_its_tokens_end(pieces: list[str], limit: int) -> None:
    """However a text comes, what is given of it is its longest beginning that is within the limit."""
    tokens = TokenLimit(limit, lambda text: len(estimate_ids(text)))
    whole, given_out = "".join(pieces), ""
    for piece in pieces:
        room = tokens.room_for(piece)
        given_out += piece[:room]
        if room is not None:
            break
    assert whole.startswith(given_out)
    assert len(estimate_ids(given_out)) <= limit
    assert given_out == whole or len(estimate_ids(whole[: len(given_out) + 1])) > limit


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("reply", [NUMBERS, ["".join(NUMBERS)]], ids=["in pieces", "at once"])
def test_an_answer_ends_at_its_limit(wire: str, reply: list[str]) -> None:
    """A model without a parameter for it is kept to so many tokens, and says so; what is shorter ends by itself."""
    with serving({"m": ChatScripted(replies=[reply, reply])}) as base:
        assert told(wire, asked(base, wire, limit=4)) == ("1 2 3 4", "length")
        assert told(wire, asked(base, wire, limit=64)) == ("".join(NUMBERS), "stop")


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("stream", [True, False])
def test_the_limit_stops_the_model(wire: str, *, stream: bool) -> None:
    """An endless answer ends at its limit, streamed or not, and its model has been stopped then."""
    served_models.HAS_STOPPED.clear()
    with serving({"m": Endless()}) as base:
        status, headers, text = send(base, ask(wire, limit=3, stream=stream), PATHS[wire])
    assert status == 200
    assert text.count('x "') + text.count('x x x"') >= 1
    assert "X-Langplug-Ignored" not in headers
    assert served_models.HAS_STOPPED.is_set()


def test_a_stream_says_that_it_was_cut() -> None:
    """A stream that was cut has what there was room for, and ends with `length`."""
    with serving({"m": ChatScripted(replies=[[Reasoning("one two"), *NUMBERS]])}) as base:
        _, _, text = send(base, ask("chat", limit=4, stream=True), PATHS["chat"])
    choices = [chunk["choices"][0] for chunk in chunks_of(text)]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "1 2"
    assert choices[-1]["finish_reason"] == "length"


def test_calls_have_tokens_too() -> None:
    """The limit counts the arguments of calls; a call that it cuts ends with `length`."""
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    model = ChatScripted(replies=[[ToolCall(name="add", args={"numbers": [*range(99)]})]], tool_calling="native")
    with serving({"m": model}) as base:
        choice = asked(base, "chat", limit=9, tools=[tool])["choices"][0]
    assert choice["finish_reason"] == "length"
    assert len(choice["message"]["tool_calls"][0]["function"]["arguments"]) < 40


def test_a_model_that_has_a_limit_keeps_it_itself() -> None:
    """A model with such a parameter is given it, and nothing is counted in its place."""

    class Limited(ChatModel):
        max_tokens: int = 100

        def respond(self, request: Request, /) -> str:
            return f"as many as {self.max_tokens}, if I like"

    with serving({"m": Limited()}) as base:
        assert told("chat", asked(base, "chat", limit=2)) == ("as many as 2, if I like", "stop")


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ([], "stop"),
        ([Usage(input_tokens=1, output_tokens=5)], "stop"),
        ([Usage(input_tokens=1, output_tokens=6)], "length"),
        ([Usage(input_tokens=1, output_tokens=6), Finish(reason="stop")], "stop"),
        ([Finish(reason="length")], "length"),
    ],
    ids=["says nothing", "used less", "used all", "used all and says that it ended", "says that it was cut"],
)
def test_why_an_answer_of_a_model_with_a_limit_ended(wire: str, end: list[Any], reason: str, *, stream: bool) -> None:
    """As the model says; else `length` where by its own count it used all that it might, and `stop` where not."""

    class Limited(ChatModel):
        max_tokens: int = 100

        def respond(self, request: Request, /) -> Iterator[Any]:
            yield from ("one two three", *end)

    with serving({"m": Limited()}) as base:
        if not stream:
            assert told(wire, asked(base, wire, limit=6)) == ("one two three", reason)
            return
        _, _, text = send(base, ask(wire, limit=6, stream=True), PATHS[wire])
    words = {"chat": "finish_reason", "responses": "incomplete_details", "messages": "stop_reason"}
    cut = {"chat": "length", "responses": "max_output_tokens", "messages": "max_tokens"}
    assert words[wire] in text
    assert (f'"{cut[wire]}"' in text.replace('"max_output_tokens":', "")) is (reason == "length")


# --- JSON ---


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("wire", "form"), [(wire, form) for wire in PATHS for form in ("json_object", "json_schema")])
def test_prose_in_place_of_json_is_an_error(wire: str, form: str, *, stream: bool) -> None:
    """A model that gives prose for JSON is shown the schema and asked three times; then the call has failed."""
    model = ChatScripted(replies=["Paris, of course."], when_exhausted="repeat")
    with serving({"m": model}) as base:
        status, headers, text = send(base, ask(wire, form=form, stream=stream), PATHS[wire])
    assert (status, headers["X-Should-Retry"]) == (502, "false")
    error = json.loads(text)["error"]
    assert "Paris, of course." in error["message"]
    assert error.get("code", "invalid_structured_output") == "invalid_structured_output"
    assert len(model.requests) == 3
    assert "JSON" in model.requests[0].text or "JSON" in str(model.requests[0].messages)


@pytest.mark.parametrize("wire", PATHS)
def test_json_is_given_alone(wire: str) -> None:
    """JSON that fits comes without the prose around it, though the first answer did not fit."""
    replies = ['{"town": "Paris"}', 'Here:\n```json\n{"city": "Paris"}\n```']
    with serving({"m": FakeListChatModel(responses=replies)}) as base:
        assert told(wire, asked(base, wire, form="json_schema")) == ('{"city": "Paris"}', "stop")


@pytest.mark.parametrize("wire", ["chat", "responses"])
def test_a_schema_that_is_not_strict_asks_for_json_alone(wire: str) -> None:
    """By `strict: false`, JSON that does not fit is an answer; prose is none."""
    for reply, expected in (('{"town": "Paris"}', 200), ("Paris", 502)):
        model = ChatScripted(replies=[reply], when_exhausted="repeat")
        with serving({"m": model}) as base:
            assert send(base, ask(wire, form="loose"), PATHS[wire])[0] == expected


@pytest.mark.parametrize("wire", PATHS)
def test_a_stream_that_turns_out_to_be_prose_fails_at_its_end(wire: str) -> None:
    """What a model that keeps to schemas says is told as it comes; if it is no JSON, the stream ends with the error."""
    model = ChatScripted(replies=[["Paris, ", "of course."]], structured_output="native")
    with serving({"m": model}) as base:
        status, _, text = send(base, ask(wire, form="json_schema", stream=True), PATHS[wire])
    assert status == 200
    last = chunks_of(text)[-1] if wire == "chat" else [*events_in(text.encode())][-1]
    error = last["response"]["error"] if wire == "responses" else last["error"]
    assert "not JSON" in error["message"]
    assert "of course." in text


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ([ToolCall(name="add", args={})], "tool_calls"),
        ([{"type": "refusal", "refusal": "I won't."}], "stop"),
        (['{"city": "a name that goes on and on and on and on"}'], "length"),
    ],
    ids=["calls", "declines", "is cut"],
)
def test_who_gives_something_else_need_not_give_json(reply: list[Any], reason: str) -> None:
    """A call of a tool, a refusal, or an answer that was cut is no failure to give JSON."""
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    model = ChatScripted(replies=[reply], tool_calling="native", structured_output="native")
    with serving({"m": model}) as base:
        choice = asked(base, "chat", form="json_schema", limit=9, tools=[tool])["choices"][0]
    assert choice["finish_reason"] == reason


# --- usage ---


def count_words(text: str) -> int:
    """A tokenizer that tests can follow, and that says in which thread it is asked."""
    THREADS.append(threading.current_thread())
    return len(text.split())


THREADS: list[threading.Thread] = []


class Talker(ChatModel):
    """Tells what it was told to, and what it used if it knows."""

    known: bool = False

    def respond(self, request: Request, /) -> Iterator[Any]:
        yield from ("one ", "two ", "three")
        if self.known:
            yield Usage(input_tokens=70, output_tokens=7)

    def get_num_tokens(self, text: str) -> int:
        return count_words(text)


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_usage_is_told(wire: str, *, stream: bool, known: bool) -> None:
    """Each answer tells what was used: as the model says, else as it counts, and then in a thread of its own."""
    THREADS.clear()
    body = ask(wire, stream=stream, **({"stream_options": {"include_usage": True}} if wire == "chat" else {}))
    model = Talker(known=known)
    with serving({"m": model}) as base:
        _, _, text = send(base, body, PATHS[wire])
        if not stream:
            usage = json.loads(text)["usage"]
        elif wire == "chat":
            usage = chunks_of(text)[-1]["usage"]
        elif wire == "responses":
            usage = [*events_in(text.encode())][-1]["response"]["usage"]
        else:
            usage = [*events_in(text.encode())][-2]["usage"]
        is_counted_on_loop = any(thread.name.startswith("Thread-") for thread in THREADS)
    read, wrote = (
        usage[f"{name}_tokens"] for name in (("prompt", "completion") if wire == "chat" else ("input", "output"))
    )
    assert (read, wrote) == ((70, 7) if known else (2, 3))
    assert not is_counted_on_loop
    assert bool(THREADS) is not known


def test_what_is_not_told_is_not_counted() -> None:
    """A stream that is not asked for its usage counts nothing."""
    THREADS.clear()
    with serving({"m": Talker()}) as base:
        send(base, ask("chat", stream=True), PATHS["chat"])
    assert not THREADS


def test_an_answer_whose_tokens_cannot_be_counted_is_given() -> None:
    """A tokenizer that fails costs the usage, and not the answer."""

    class Uncounted(Talker):
        def get_num_tokens(self, text: str) -> int:
            raise ImportError("no tokenizer here")

    with serving({"m": Uncounted()}) as base:
        answer = asked(base, "chat")
    assert (told("chat", answer)[0], answer["usage"]) == ("one two three", None)


def test_a_count_takes_its_turn() -> None:
    """`count_tokens` waits for the calls that came before it."""
    model = held()
    with serving({"m": model, "t": Talker()}, max_concurrency=1, max_queue=1) as base, ThreadPoolExecutor(2) as pool:
        call = pool.submit(send, base, ask("chat"), PATHS["chat"])
        assert model.begun.acquire(timeout=30)
        count = pool.submit(send, base, {"model": "t", "messages": USER}, "/v1/messages/count_tokens")
        until(lambda: b"langplug_requests_queued 1" in send(base, path="/metrics", method="GET")[2].encode())
        assert not count.done()
        model.let_go.release()
        assert json.loads(count.result(30)[2])["input_tokens"] == 2
        assert call.result(30)[0] == 200
