"""The backend's OpenAI dialect, as the API documents it."""

import json
from typing import Any

import pytest
from tests.backend.raw_client import Raw, ask, get, payload, send

from langplug_backend import Backend, Call, Refusal, Reply, Thought, Tokens

ID = "chatcmpl-0000000000000000"

STRICT = {"host": "localhost", "content-type": "application/json", "connection": "close"}
"""Headers that a strict server wants to see."""


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    frame = {
        "id": ID,
        "object": "chat.completion.chunk",
        "created": 1_750_000_000,
        "model": "m",
        "system_fingerprint": None,
    }
    return {**frame, "choices": [choice], **more}


def deltas(raw: Raw) -> list[dict[str, Any]]:
    return [event["choices"][0]["delta"] for event in raw.events if event["choices"]]


def streamed_text(raw: Raw) -> str:
    return "".join(delta.get("content") or "" for delta in deltas(raw))


def finish(raw: Raw) -> Any:
    return [event["choices"][0]["finish_reason"] for event in raw.events if event["choices"]][-1]


def test_a_whole_answer(backend: Backend) -> None:
    """A whole answer is a `chat.completion`; by default it repeats what the user said last."""
    raw = ask(backend, "openai", "Hello big world", stream=False)
    assert (200, "application/json") == (raw.status, raw.headers["content-type"])
    assert raw.json == {
        "id": ID,
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": "m",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello big world", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
    }


def test_a_stream(backend: Backend) -> None:
    """A stream has the role first, a chunk for each word, the finish reason, and `[DONE]`."""
    raw = ask(backend, "openai", "Hello big world")
    assert "text/event-stream; charset=utf-8" == raw.headers["content-type"]
    assert raw.events == [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hello"}),
        chunk({"content": " big"}),
        chunk({"content": " world"}),
        chunk({}, "stop"),
    ]
    assert raw.body.endswith(b"data: [DONE]\n\n")
    assert raw.whole


def test_azures_paths_name_the_model(backend: Backend) -> None:
    """Where a body has no model, as Azure's clients send it, the path names it; elsewhere it is missing."""
    path, close = "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21", {"connection": "close"}
    for named in ({}, {"model": None}):
        body = {"messages": [{"role": "user", "content": "Hello"}], **named}
        raw = send(backend, payload("POST", path, body, close))
        assert (200, "my gpt", "Hello") == (raw.status, raw.json["model"], raw.json["choices"][0]["message"]["content"])
        assert 400 == send(backend, payload("POST", "/openai/chat/completions", body, close)).status


def test_usage_comes_when_it_is_asked_for(backend: Backend) -> None:
    """With `include_usage` there is one more chunk, without choices; the usage of all others is null."""
    events = ask(backend, "openai", "a b", stream_options={"include_usage": True}).events
    assert [None] * (len(events) - 1) == [event["usage"] for event in events[:-1]]
    usage = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert ([], usage) == (events[-1]["choices"], events[-1]["usage"])


TOKENS = Tokens(input=9, output=7, cached=4, reasoning=2)
TOTAL = {
    "prompt_tokens": 9,
    "completion_tokens": 7,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


@pytest.mark.parametrize(
    ("mode", "outputs"),
    [
        ("none", []),
        ("final", [7]),
        ("last", [7]),
        ("finish", [7]),
        ("running", [0, 1, 2, 7]),
        ("each", [0, 1, 1, 5]),
    ],
)
def test_usage_comes_where_the_reply_says(mode: Any, outputs: list[int], backend: Backend) -> None:
    """Usage is final, on the finish, a running total, or what came since the chunk before; its sum is right."""
    backend.reply = Reply(text="a b", usage=TOKENS, usage_mode=mode)
    events = ask(backend, "openai", "x").events
    reported = [event["usage"] for event in events if event.get("usage")]
    assert outputs == [usage["completion_tokens"] for usage in reported]
    if mode == "each":
        assert 9 == sum(usage["prompt_tokens"] for usage in reported)
    elif mode != "none":
        assert TOTAL == reported[-1]
    assert (mode == "final") == (events[-1]["choices"] == [])
    assert (mode == "last") == (events[-1]["choices"] != [] and events[-1]["choices"][0]["finish_reason"] is None)


def test_a_whole_answer_can_lack_usage(backend: Backend) -> None:
    """With the mode `none`, a whole answer has no usage; with every other, it has all."""
    backend.queue(Reply(text="a", usage=TOKENS, usage_mode="none"), Reply(text="a", usage=TOKENS, usage_mode="each"))
    assert "usage" not in ask(backend, "openai", "x", stream=False).json
    assert TOTAL == ask(backend, "openai", "x", stream=False).json["usage"]


def test_calls_come_in_fragments(backend: Backend) -> None:
    """A call begins with id, type and name; its arguments follow, cut as the reply says."""
    backend.reply = Reply(
        calls=(Call(name="add", args={"a": 1}, cut=3), Call(name="sub", args='{"b": 2}', id="c2", cut=(1, 2)))
    )
    raw = ask(backend, "openai", "x")
    calls = [delta["tool_calls"][0] for delta in deltas(raw) if "tool_calls" in delta]
    first = {"index": 0, "id": f"call_{'0' * 18}", "type": "function"}
    assert calls == [
        {**first, "function": {"name": "add", "arguments": ""}},
        *[{"index": 0, "function": {"arguments": cut}} for cut in ('{"a', '": ', "1}")],
        {"index": 1, "id": "c2", "type": "function", "function": {"name": "sub", "arguments": ""}},
        *[{"index": 1, "function": {"arguments": cut}} for cut in ("{", '"b', '": 2}')],
    ]
    assert "tool_calls" == finish(raw)


def test_a_call_can_come_whole(backend: Backend) -> None:
    """A call that is not cut comes in one chunk, as from vLLM."""
    backend.reply = Reply(calls=(Call(name="add", args={"a": 1}, cut=0),))
    calls = [delta["tool_calls"][0] for delta in deltas(ask(backend, "openai", "x")) if "tool_calls" in delta]
    assert [{"name": "add", "arguments": '{"a": 1}'}] == [call["function"] for call in calls]


def test_calls_in_a_whole_answer(backend: Backend) -> None:
    """A whole answer holds its calls whole, and null for content."""
    backend.reply = Reply(calls=(Call(name="add", args={"a": 1}, id="c1"),))
    choice = ask(backend, "openai", "x", stream=False).json["choices"][0]
    function = {"name": "add", "arguments": '{"a": 1}'}
    assert [{"id": "c1", "type": "function", "function": function}] == choice["message"]["tool_calls"]
    assert (None, "tool_calls") == (choice["message"]["content"], choice["finish_reason"])


def test_no_calls_where_none_may_be(backend: Backend) -> None:
    """With `tool_choice: none` the reply's calls are left out."""
    backend.reply = Reply(text="no", calls=(Call(name="add"),))
    assert "tool_calls" == finish(ask(backend, "openai", "x"))
    raw = ask(backend, "openai", "x", tool_choice="none")
    assert ("no", "stop") == (streamed_text(raw), finish(raw))
    assert all("tool_calls" not in delta for delta in deltas(raw))


@pytest.mark.parametrize("place", ["reasoning_content", "reasoning"])
def test_reasoning_in_a_field(place: Any, backend: Backend) -> None:
    """Reasoning is in a field of its own, streamed and whole."""
    backend.reply = Reply(thinking="hm hm", text="yes", thoughts=place)
    assert ["hm", " hm"] == [delta[place] for delta in deltas(ask(backend, "openai", "x")) if place in delta]
    message = ask(backend, "openai", "x", stream=False).json["choices"][0]["message"]
    assert ("hm hm", "yes") == (message[place], message["content"])


def test_reasoning_in_tags(backend: Backend) -> None:
    """Reasoning is in the text between tags, streamed and whole."""
    backend.reply = Reply(pieces=(Thought("hm"), Thought(" hm"), "yes"), thoughts="tags")
    assert "<think>hm hm</think>yes" == streamed_text(ask(backend, "openai", "x"))
    message = ask(backend, "openai", "x", stream=False).json["choices"][0]["message"]
    assert "<think>hm hm</think>yes" == message["content"]


def test_a_refusal(backend: Backend) -> None:
    """A model that declines says so in a field of its own, streamed and whole, beside what it said before."""
    backend.reply = Reply(refusal="I will not.")
    raw = ask(backend, "openai", "x")
    assert ["I", " will", " not."] == [delta["refusal"] for delta in deltas(raw) if "refusal" in delta]
    assert ("", "stop") == (streamed_text(raw), raw.events[-1]["choices"][0]["finish_reason"])
    choice = ask(backend, "openai", "x", stream=False).json["choices"][0]
    assert (None, "I will not.", "stop") == (
        choice["message"]["content"],
        choice["message"]["refusal"],
        choice["finish_reason"],
    )
    backend.reply = Reply(pieces=("Well, ", Refusal("no.")))
    message = ask(backend, "openai", "x", stream=False).json["choices"][0]["message"]
    assert ("Well, ", "no.") == (message["content"], message["refusal"])


@pytest.mark.parametrize(
    ("mode", "more", "text"),
    [
        ("cut", {}, "one "),
        ("include", {}, "one END"),
        ("cut", {"include_stop_str_in_output": True}, "one END"),
        ("report", {}, "one "),
        ("ignore", {}, "one END two"),
        ("ignore", {"include_stop_str_in_output": True}, "one END two"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_stop_strings(mode: Any, more: dict[str, Any], text: str, streaming: bool, backend: Backend) -> None:
    """The answer ends at the first stop string, with or without it, wherever the pieces are cut."""
    backend.reply = Reply(pieces=("one E", "N", "D two"), stop=mode)
    raw = ask(backend, "openai", "x", stop=["two", "END"], stream=streaming, **more)
    choices = [event["choices"][0] for event in raw.events] if streaming else raw.json["choices"]
    said = streamed_text(raw) if streaming else choices[0]["message"]["content"]
    assert (text, "stop") == (said, choices[-1]["finish_reason"])
    assert choices[-1].get("stop_reason") == ("END" if mode == "report" else None)


def test_nothing_is_called_after_a_stop_string(backend: Backend) -> None:
    """Nothing of a reply is sent after the stop string: no text, no thought and no call."""
    backend.reply = Reply(pieces=(Call(name="first"), "one END", Thought("hm"), Call(name="second")))
    message = ask(backend, "openai", "x", stop="END", stream=False).json["choices"][0]["message"]
    assert ["first"] == [call["function"]["name"] for call in message["tool_calls"]]
    assert ("one ", False) == (message["content"], "reasoning_content" in message)


def test_llama_cpp_reports_the_stopping_word(backend: Backend) -> None:
    """A reply may name the stop string as llama.cpp's server does, and say where there was none."""
    backend.reply = Reply(text="one END", stop="report_word")
    assert {"stop_type": "word", "stopping_word": "END"} == ask(backend, "openai", "x", stop="END").events[-1][
        "__verbose"
    ]
    whole = ask(backend, "openai", "x", stop="no", stream=False).json
    assert {"stop_type": "eos", "stopping_word": ""} == whole["__verbose"]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_limit_ends_the_answer(field: str, backend: Backend) -> None:
    """An answer longer than the limit is cut there and ends in `length`, without the calls that follow."""
    backend.reply = Reply(text="one two three", calls=(Call(name="add"),))
    raw = ask(backend, "openai", "x", **{field: 2})
    assert ("one two", "length") == (streamed_text(raw), finish(raw))
    assert "tool_calls" == finish(ask(backend, "openai", "x", **{field: 3}))
    backend.reply = Reply(pieces=(Call(name="add"), "one", " two"))
    raw = ask(backend, "openai", "x", **{field: 1})
    assert ("one", "length") == (streamed_text(raw), finish(raw))


def test_several_answers(backend: Backend) -> None:
    """`n` answers come in turn, with usage of all together; what is not scripted is said like the first."""
    backend.reply = Reply(text="one two", others=("second",))
    raw = ask(backend, "openai", "x", n=3, stream_options={"include_usage": True})
    texts = ["", "", ""]
    for event in raw.events:
        for choice in event["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert ["one two", "second", "one two"] == texts
    assert {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6} == raw.events[-1]["usage"]
    whole = ask(backend, "openai", "x", n=2, stream=False).json["choices"]
    assert ["one two", "second"] == [choice["message"]["content"] for choice in whole]


def test_logprobs_where_they_are_asked_for(backend: Backend) -> None:
    """Requested logprobs come for each piece of text."""
    entry = {"token": "é", "logprob": -0.25, "bytes": [195, 169], "top_logprobs": []}
    raw = ask(backend, "openai", "é", logprobs=True)
    assert [{"content": [entry], "refusal": None}] == [
        event["choices"][0]["logprobs"] for event in raw.events if event["choices"][0]["logprobs"]
    ]
    whole = ask(backend, "openai", "é", logprobs=True, stream=False).json["choices"][0]
    assert [entry] == whole["logprobs"]["content"]


def test_a_reply_names_its_model_and_more(backend: Backend) -> None:
    """A reply sets model, fingerprint, finish reason and fields that the wire does not know."""
    backend.reply = Reply(text="x", model="other", fingerprint="fp", finish="eos", extra={"service_tier": "flex"})
    for raw in (ask(backend, "openai", "x").events[-1], ask(backend, "openai", "x", stream=False).json):
        known = raw["model"], raw["system_fingerprint"], raw["service_tier"], raw["choices"][0]["finish_reason"]
        assert ("other", "fp", "flex", "eos") == known


@pytest.mark.parametrize("path", ["/chat/completions", "/api/v1/chat/completions", "/openai/x/chat/completions?v=1"])
def test_any_base_url_will_do(path: str, backend: Backend) -> None:
    """Gateways have base URLs of their own."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    raw = send(backend, payload("POST", path, body, {"connection": "close"}))
    assert "hi" == raw.json["choices"][0]["message"]["content"]


def test_models(backend: Backend) -> None:
    """The list of models has their names and their context, in vLLM's word and in llama.cpp's."""
    listed = get(backend, "/v1/models").json
    assert ("list", ["backend-1"]) == (listed["object"], [model["id"] for model in listed["data"]])
    assert (8192, 8192) == (listed["data"][0]["max_model_len"], listed["data"][0]["meta"]["n_ctx_train"])


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/chat/completions", {"model": "m"}, 400, "Missing required parameter: 'messages'."),
        ("/v1/chat/completions", {"messages": [{}]}, 400, "Missing required parameter: 'model'."),
        ("/v1/chat/completions", b"{", 400, "The body is not a JSON object."),
        ("/v1/chat/completions", [1], 400, "The body is not a JSON object."),
        ("/v1/embeddings", {}, 404, "Nothing is at /v1/embeddings"),
        ("/v1/models", {}, 405, "Method not allowed: POST /v1/models"),
    ],
)
def test_refuses_what_no_server_takes(path: str, body: Any, status: int, message: str, backend: Backend) -> None:
    """A request that is wrong gets the documented error, in the dialect's shape."""
    raw = send(backend, payload("POST", path, body, {"connection": "close"}))
    assert (status, message) == (raw.status, raw.json["error"]["message"])
    assert {"message", "type", "param", "code"} == set(raw.json["error"])


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": ["m"]}, "model"),
        ({"messages": [None]}, "messages[0]"),
        ({"temperature": True}, "temperature"),
        ({"tools": [{"type": "function", "function": {"name": "add", "parameters": 5}}]}, "tools"),
        ({"tool_choice": {"function": "add"}}, "tool_choice"),
        ({"tool_choice": {"function": {"name": "add"}}}, "tool_choice"),
        ({"tool_choice": 5}, "tool_choice"),
    ],
)
def test_a_strict_server_refuses_what_the_api_does_not_have(more: dict[str, Any], param: str) -> None:
    """Whatever is wrong of a body, it is 400, and the place is named."""
    body = {"model": "backend-1", "messages": [{"role": "user", "content": "hi"}], **more}
    with Backend(strict=True) as backend:
        raw = send(backend, payload("POST", "/v1/chat/completions", body, STRICT))
    assert (400, param) == (raw.status, raw.json["error"]["param"])


def test_a_strict_server_calls_tools_as_pydantic_describes_them() -> None:
    """Arguments fit a schema whose properties may be null, too."""
    town = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    parameters = {"type": "object", "properties": {"town": town, "days": {"type": ["integer", "null"]}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    body = {"model": "backend-1", "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    with Backend(strict=True) as backend:
        raw = send(backend, payload("POST", "/v1/chat/completions", body, STRICT))
    (call,) = raw.json["choices"][0]["message"]["tool_calls"]
    assert {"town": "Paris", "days": 1} == json.loads(call["function"]["arguments"])


def test_reads_the_request(backend: Backend) -> None:
    """The log holds the request in neutral words."""
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    messages = [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": [{"type": "text", "text": "add "}, {"type": "text", "text": "it"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "3", "tool_call_id": "c1"},
    ]
    choice = {"type": "function", "function": {"name": "add"}}
    ask(backend, "openai", "", messages=messages, tools=tools, tool_choice=choice, stop="E", temperature=0.5, n=2)
    asked = backend.last.request
    assert asked is not None
    assert ["be short", "add it", "", "3"] == [said.text for said in asked.messages]
    assert [False, False, False, True] == [said.result for said in asked.messages]
    assert ("openai", "m", "add it", True) == (asked.dialect, asked.model, asked.text, asked.streaming)
    assert (tuple(tools), "add", ("E",), 2) == (asked.tools, asked.tool_choice, asked.stop, asked.n)
    assert {"temperature": 0.5} == asked.params
