"""A served model on a real socket: who may ask, what is answered, and what happens when the client leaves."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from tests.serve import served_models
from tests.serve.client import JSON, ask, chunks_of, send
from tests.serve.served_models import Endless, EndlessInThread, serving
from tests.serve.written_messages import answers

from langplug import Finish, Reasoning, Request, ToolCall, Usage, chat_model
from langplug.models import ChatScripted
from langplug.models.scripted import Cut
from langplug.serve import app
from langplug.serve.deltas import Delta, Ending
from langplug.serve.wires.chat import WIRE

KEY = "s3cret"
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


PIECES = ["Hé", "llo ", '"\n\u2028', " 🎉"]


@pytest.fixture(scope="module")
def talker() -> Iterator[str]:
    usage = Usage(input_tokens=3, output_tokens=4)
    model = ChatScripted(replies=[[Reasoning("hm"), *PIECES, usage]], when_exhausted="repeat")
    with serving({"m": model}) as base:
        yield base


def test_a_plain_answer_is_whole(talker: str) -> None:
    """A completion has its text, its reasoning, its usage, a finish reason, and all that the API requires."""
    status, headers, text = send(talker, ask())
    body = json.loads(text)
    assert status == 200
    assert headers["X-Request-Id"].startswith("req_")
    assert body["id"].startswith("chatcmpl-")
    assert body["object"] == "chat.completion"
    assert body["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "".join(PIECES),
                "refusal": None,
                "reasoning_content": "hm",
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize("with_usage", [True, False])
def test_a_stream_is_the_same_answer(talker: str, *, with_usage: bool) -> None:
    """A stream has one id, tells the role once, ends with a finish reason, and tells usage only where asked to."""
    _, headers, text = send(talker, ask(stream=True, stream_options={"include_usage": with_usage}))
    chunks = chunks_of(text)
    assert headers["Content-Type"].startswith("text/event-stream")
    assert len({(chunk["id"], chunk["created"], chunk["object"]) for chunk in chunks}) == 1
    if with_usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 7
        assert all(chunk["usage"] is None for chunk in chunks)
    else:
        assert not any("usage" in chunk for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta["role"] for delta in deltas if "role" in delta] == ["assistant"]
    assert "".join(delta.get("content") or "" for delta in deltas) == "".join(PIECES)
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "hm"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


@pytest.mark.parametrize("stream", [True, False])
def test_calls_are_told(*, stream: bool) -> None:
    """A call of a tool comes with its id, its name and its arguments as JSON text, and ends with `tool_calls`."""
    replies = [[ToolCall(name="weather", args={"city": "Köln"}), Finish(reason="tool_calls")]]
    with serving({"m": ChatScripted(replies=replies)}) as base:
        _, _, text = send(base, ask(tools=[WEATHER], stream=stream))
    if stream:
        choices = [chunk["choices"][0] for chunk in chunks_of(text)]
        pieces = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
        name = next(piece["function"]["name"] for piece in pieces if "name" in piece["function"])
        arguments = "".join(piece["function"]["arguments"] for piece in pieces)
        reason = choices[-1]["finish_reason"]
    else:
        choice = json.loads(text)["choices"][0]
        (call,) = choice["message"]["tool_calls"]
        name, arguments, reason = call["function"]["name"], call["function"]["arguments"], choice["finish_reason"]
    assert (name, json.loads(arguments), reason) == ("weather", {"city": "Köln"}, "tool_calls")


def test_anybodys_model_is_served_with_stop_strings() -> None:
    """A model that is not langplug's is served by its reported name, or as it is called, and keeps to `stop`."""
    with serving({"m": FakeListChatModel(responses=["one two three"])}) as base:
        _, _, text = send(base, ask(stop="two"))
        _, _, listed = send(base, path="/v1/models", method="GET")
        status, _, card = send(base, path="/v1/models/m", method="GET")
    assert json.loads(text)["choices"][0]["message"]["content"] == "one "
    assert json.loads(listed) == {"object": "list", "data": [json.loads(card)]}
    assert status == 200
    assert json.loads(card)["capabilities"]["tool_calling"] is True


def test_an_error_before_the_answer_has_its_status() -> None:
    """What fails before the first piece is answered with its status and four fields, streamed or not."""
    model = ChatScripted(replies=[ModelRateLimitError("slow down"), RuntimeError("password 1234")], max_retries=0)
    with serving({"m": model}) as base:
        status, _, text = send(base, ask(stream=True))
        hidden, _, other = send(base, ask())
    assert status == 429
    assert json.loads(text)["error"].keys() == {"message", "type", "param", "code"}
    assert hidden == 500
    assert "1234" not in other


def test_a_stream_that_fails_says_so_and_ends() -> None:
    """What fails in the middle is an error event, and then `[DONE]`; no finish reason says that it went well."""
    with serving({"m": ChatScripted(replies=[["one ", Cut()]], max_retries=0)}) as base:
        _, _, text = send(base, ask(stream=True))
    *before, last = chunks_of(text)
    assert last["error"].keys() == {"message", "type", "param", "code"}
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in before)


# --- the gate ---


def test_every_route_but_health_needs_the_key() -> None:
    """Without the key, each route but health and static pages answers 401; so does a path that is not there."""
    application = app({"m": ChatScripted(replies=["hi"])}, api_key=KEY)
    routes = {path.replace("{id}", "m"): method for path, method in application.exchange.routes.items()}
    with serving({"m": ChatScripted(replies=["hi"])}, api_key=KEY) as base:
        for path, method in {**routes, "/nowhere": "GET"}.items():
            body = ask() if method == "POST" else None
            expected = 200 if path.startswith("/health/") or path in application.exchange.pages else 401
            assert send(base, body, path, method)[0] == expected, path
            assert send(base, body, path, method, Authorization="Bearer é")[0] == expected, path
        assert send(base, ask(), Authorization=f"Bearer {KEY}")[0] == 200


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (421, {"Host": "evil.example"}),
        (421, {"Host": "["}),
        (403, {"Origin": "https://evil.example"}),
        (403, {"Origin": "null"}),
        (415, {"Content_Type": "text/plain"}),
        (415, {"Content_Type": "application/x-www-form-urlencoded"}),
    ],
)
def test_the_gate_is_shut(talker: str, status: int, headers: dict[str, str]) -> None:
    """Foreign hosts, pages of other origins and what is not JSON are refused with their own statuses."""
    answered, _, text = send(talker, ask(), **headers)
    assert answered == status
    assert json.loads(text)["error"]["message"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_whoever_may_ask_for_health(path: str) -> None:
    """Probes and balancers ask by whatever address they have, without a key."""
    with serving({"m": ChatScripted(replies=[])}, api_key=KEY) as base:
        assert send(base, path=path, method="GET", Host="10.1.2.3:8000")[0] == 200


ORIGIN = "http://localhost:3000"


def test_pages_of_allowed_origins_may_ask() -> None:
    """A browser is told that a page of an allowed origin may ask with a key, and read answers, streams and errors."""
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization,content-type"}
    with serving({"m": ChatScripted(replies=["hi", "hi"])}, api_key=KEY, origins=[ORIGIN]) as base:
        status, told, text = send(base, method="OPTIONS", Origin=ORIGIN, **asks)
        assert (status, text) == (204, "")
        assert told["Access-Control-Allow-Headers"] == asks["Access_Control_Request_Headers"]
        assert "POST" in told["Access-Control-Allow-Methods"]
        key = {"Authorization": f"Bearer {KEY}"}
        answers = [send(base, ask(stream=stream), Origin=ORIGIN, **key) for stream in (False, True)]
        answers += [send(base, ask(), Origin=ORIGIN), send(base, ask(model="x"), Origin=ORIGIN, **key)]
        assert [status for status, _, _ in answers] == [200, 200, 401, 404]
        for headers in (told, *(headers for _, headers, _ in answers)):
            assert (headers["Access-Control-Allow-Origin"], headers["Vary"]) == (ORIGIN, "Origin")
            assert "x-request-id" in headers["Access-Control-Expose-Headers"]
            assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize(
    "origin", ["http://localhost:3001", "https://localhost:3000", "http://localhost:3000.evil", "null"]
)
@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
def test_an_allowed_origin_allows_no_other(origin: str, method: str) -> None:
    """Another port, scheme or ending is another origin; and the server's own page and other programs ask as before."""
    asks = {"Access_Control_Request_Method": "POST"} if method == "OPTIONS" else {}
    with serving({"m": ChatScripted(replies=["hi"])}, origins=[ORIGIN]) as base:
        status, headers, _ = send(base, ask(), method=method, Origin=origin, **asks)
        assert (status, "Access-Control-Allow-Origin" in headers) == (403, False)
        status, headers, _ = send(base, ask(), Origin=base)
        assert (status, "Access-Control-Allow-Origin" in headers) == (200, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"origins": ["http://localhost:3000/"]},
        {"origins": ["localhost:3000"]},
        {"origins": ["HTTP://LOCALHOST"]},
        {"origins": ["*"]},
        {"origins": ["null"]},
        {"hosts": ["models.example:8000"]},
        {"hosts": ["https://models.example"]},
        {"hosts": [""]},
    ],
)
def test_what_no_request_could_match_is_refused(wrong: dict[str, Any]) -> None:
    """An origin with a path, or a host with a port, would never be what a browser sends: a sentence says what would."""
    with pytest.raises(ValueError, match="such as"):
        app({"m": ChatScripted(replies=[])}, **wrong)


def test_a_host_may_be_written_in_capitals() -> None:
    """Names of hosts have no case."""
    with serving({"m": ChatScripted(replies=[])}, hosts={"Models.Example"}) as base:
        assert send(base, path="/v1/models", method="GET", Host="models.EXAMPLE:80")[0] == 200


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/v1/chat/completion", "/v1/chat/completions"),
        ("/v1/response", "/v1/responses"),
        ("/models", "/v1/models"),
    ],
)
def test_a_path_that_is_nearly_right(talker: str, asked: str, meant: str) -> None:
    """A base address without `/v1`, or with two, is what most people get wrong: the path that was meant is named."""
    status, _, text = send(talker, ask(), asked)
    assert status == 404
    assert f"Did you mean '{meant}'?" in json.loads(text)["error"]["message"]


def test_a_body_has_a_limit() -> None:
    """A body that is too large is refused with 413, whether its length is said before or not."""

    async def pieces() -> Any:
        for _ in range(3):
            yield b" " * 600

    async def unannounced(base: str) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base}/v1/chat/completions", data=pieces(), headers=JSON) as response,
        ):
            return response.status

    with serving({"m": ChatScripted(replies=[])}, max_body=1000) as base:
        assert send(base, b" " * 1001)[0] == 413
        assert asyncio.run(unannounced(base)) == 413


WRONG = [
    ({"model": "mm"}, 404, "model"),
    ({"model": 3}, 400, "model"),
    ({"messages": []}, 400, "messages"),
    ({"messages": [{"role": "nobody", "content": ""}]}, 400, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": ""}]}, 400, "messages[0].tool_call_id"),
    ({"messages": [{"role": "user", "content": [3]}]}, 400, "messages[0].content[0]"),
    ({"temperature": "hot"}, 400, "temperature"),
    ({"temperature": 3}, 400, "temperature"),
    ({"n": 0}, 400, "n"),
    ({"stop": [1]}, 400, "stop[0]"),
    ({"tool_choice": "required"}, 400, "tool_choice"),
    ({"tool_choice": {"type": "custom", "custom": {"name": "x"}}}, 400, "tool_choice.custom.name"),
    ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, 400, "tool_choice.function.name"),
    ({"tools": [{"type": "function", "function": {}}]}, 400, "tools[0].function.name"),
    ({"response_format": {"type": "xml"}}, 400, "response_format.type"),
    ({"functions": []}, 400, "functions"),
]


@pytest.mark.parametrize(("fields", "status", "param"), WRONG)
def test_wrong_bodies_are_named(talker: str, fields: dict[str, Any], status: int, param: str) -> None:
    """What is wrong with a body is answered with the place where it is."""
    answered, _, text = send(talker, ask(**fields))
    assert (answered, json.loads(text)["error"]["param"]) == (status, param)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_what_is_no_object_is_refused(talker: str, body: bytes) -> None:
    """A body that is no JSON object is a client's mistake, however it is wrong."""
    assert send(talker, body)[0] == 400


DATA = "data:application/pdf;base64,JVBERg=="

MEDIA: list[dict[str, Any]] = [
    {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    {"type": "file", "file": {"file_data": DATA, "filename": "a.pdf"}},
    {"type": "file", "file": {"file_id": "file_1"}},
    {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}},
]
"""Parts of Chat Completions, as they are read."""

MORE: list[dict[str, Any]] = [
    {},
    *({name: "x"} for name in ("id", "url", "base64", "mime_type", "file_id", "filename", "extras", "index")),
    {"cache_control": {"type": "ephemeral"}},
]
"""What a client may put beside, though the API has it not."""


@pytest.mark.parametrize("role", ["user", "tool"])
def test_no_part_of_a_message_makes_a_model_fail(role: str) -> None:
    """Whatever else is in or beside a part, what it shows reaches the model; empty data is the client's mistake."""
    model = ChatScripted(replies=["ok"], when_exhausted="repeat", accepts=frozenset({"image", "audio", "file"}))
    with serving({"m": model}) as base:
        for part in MEDIA:
            kind = part["type"]
            inner = part[kind]
            changed = [
                *({**more, **part} for more in MORE),
                *({**part, kind: {**more, **inner}} for more in MORE),
                {**part, kind: {"file_id": None, "file_data": None, **inner}},
            ]
            for one in changed:
                message = {"role": role, "content": [one], "tool_call_id": "call_1"}
                assert send(base, ask(messages=[message]))[0] == 200, one
            for name, value in inner.items():
                empty = {**part, kind: {**inner, name: ""}}
                status, _, text = send(base, ask(messages=[{"role": "user", "content": [empty]}]))
                assert status == (200 if name == "filename" else 400), (value, text)


def test_a_tool_may_be_chosen_in_each_form() -> None:
    """A choice may name a function, or allow some; earlier calls of tools that take a text are calls."""
    add = {"type": "function", "function": {"name": "add"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [add]}}
    call = WIRE.read(ask(tools=[WEATHER, add], tool_choice=allowed), {})
    assert ([tool["function"]["name"] for tool in call.tools], call.tool_choice) == (["add"], "required")
    call = WIRE.read(ask(tools=[WEATHER, add], tool_choice={"function": {"name": "add"}}), {})
    assert (len(call.tools), call.tool_choice) == (2, add)
    custom = {"id": "call_1", "type": "custom", "custom": {"name": "note", "input": "Hi"}}
    (said, _) = WIRE.read(
        ask(messages=[{"role": "assistant", "tool_calls": [custom]}, {"role": "user", "content": "And?"}]), {}
    ).messages
    assert isinstance(said, AIMessage)
    assert [(one["name"], one["args"]) for one in said.tool_calls] == [("note", {"input": "Hi"})]


@given(answers())
def test_each_call_has_arguments_that_are_json(answer: list[Delta]) -> None:
    """Whole and streamed, a call has the same arguments, and those of a call without any are an empty object."""
    call = WIRE.read(ask(), {})
    whole = WIRE.writer(call, "chatcmpl-1", 1).whole(answer, Ending())
    writer = WIRE.writer(call, "chatcmpl-1", 1)
    told = writer.begin() + b"".join(map(writer.feed, answer)) + writer.end(Ending())
    streamed: dict[int, str] = {}
    for chunk in chunks_of(told.decode()):
        for piece in chunk["choices"][0]["delta"].get("tool_calls", ()):
            streamed[piece["index"]] = streamed.get(piece["index"], "") + piece["function"]["arguments"]
    calls = whole["choices"][0]["message"].get("tool_calls", [])
    assert [one["function"]["arguments"] for one in calls] == [*streamed.values()]
    assert all(isinstance(json.loads(arguments), dict) for arguments in streamed.values())


def test_what_is_ignored_is_said(talker: str) -> None:
    """Fields and parameters without effect are named in a header; with `strict`, they are refused."""
    status, headers, _ = send(talker, ask(seed=1, unknown_é="x", logit_bias={}))
    assert status == 200
    assert headers["X-Langplug-Ignored"] == "unknown_?, logit_bias, seed"
    options = {"include_usage": True, "include_obfuscation": False, "unheard_of": 1}
    assert WIRE.read(ask(stream_options=options), {}).notes == [
        "stream_options.include_obfuscation",
        "stream_options.unheard_of",
    ]
    with serving({"m": ChatScripted(replies=[])}, strict=True) as base:
        assert send(base, ask(seed=1))[0] == 400
        assert send(base, ask(stream_options=options))[0] == 400


@pytest.mark.parametrize("zero", [0, 0.0])
def test_zero_is_a_value(zero: float) -> None:
    """A temperature of 0 is handed on: it is not the same as none."""
    call = WIRE.read(ask(temperature=zero, top_p=0, seed=0, logprobs=False), {})
    assert call.parameters == {"temperature": 0, "top_p": 0, "seed": 0}


def test_a_request_keeps_its_id(talker: str) -> None:
    """A request's own id is given back if it is sane; else it gets one."""
    assert send(talker, ask(), X_Request_Id="abc-1")[1]["X-Request-Id"] == "abc-1"
    assert send(talker, ask(), X_Request_Id="a b")[1]["X-Request-Id"].startswith("req_")


def test_other_methods_and_paths(talker: str) -> None:
    """A path that is not there is 404, and a method that it has not is 405, with the one that it has."""
    assert send(talker, path="/v1/nothing", method="GET")[0] == 404
    status, headers, _ = send(talker, path="/v1/chat/completions", method="GET")
    assert (status, headers["Allow"]) == (405, "POST")


# --- leaving ---


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", [Endless, EndlessInThread])
def test_a_client_that_leaves_stops_the_model(kind: Any, *, stream: bool) -> None:
    """Whether it is streamed or not, on the loop or in a thread: the model stops when its client leaves."""
    served_models.BEGUN.clear()
    served_models.HAS_STOPPED.clear()
    data = json.dumps(ask(stream=stream)).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(data)}\r\n\r\n"

    async def leave(port: int) -> float:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + data)
        assert await asyncio.to_thread(served_models.BEGUN.wait, 30)
        assert not served_models.HAS_STOPPED.is_set()
        left = time.monotonic()
        writer.close()
        assert await asyncio.to_thread(served_models.HAS_STOPPED.wait, 30)
        return served_models.STOPPED[-1] - left

    with serving({"m": kind()}) as base:
        after_s = asyncio.run(leave(int(base.rpartition(":")[2])))
    assert after_s < 5  # milliseconds on a quiet machine; a model that runs on never says that it stopped


def test_a_client_that_leaves_before_the_first_byte_stops_the_model() -> None:
    """A client may leave when the answer has begun and nothing of it has been sent: the model stops then, too."""
    served_models.HAS_STOPPED.clear()
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions"}
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]

    async def leave() -> None:
        messages = [{"type": "http.request", "body": json.dumps(ask(stream=True)).encode()}]
        is_sending = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await is_sending.wait()
            return {"type": "http.disconnect"}

        async def send(_: Any) -> None:
            is_sending.set()
            await asyncio.Event().wait()  # a server whose client reads nothing

        await app({"m": Endless()})({**scope, "headers": headers}, receive, send)
        assert served_models.HAS_STOPPED.is_set()

    asyncio.run(leave())


# --- the writer, without a socket ---


@given(st.lists(st.text()))
def test_any_text_in_any_pieces_is_the_same_answer(pieces: list[str]) -> None:
    """However a text is cut, the stream's pieces make the text that the whole answer has."""
    call = WIRE.read(ask(stream=True), {})
    writer = WIRE.writer(call, "chatcmpl-1", 1)
    told = writer.begin() + b"".join(map(writer.feed, pieces)) + writer.end(Ending(finish_reason="stop"))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(told.decode())]
    whole = writer.whole(pieces, Ending(finish_reason="stop"))
    assert "".join(delta.get("content", "") for delta in deltas) == "".join(pieces)
    assert whole["choices"][0]["message"]["content"] == "".join(pieces)


def told_of(number: int) -> dict[str, dict[str, Any]]:
    """A call with a number among its arguments, and its result, as each wire has them, by its path."""
    args = json.dumps({"id": number})
    question = {"role": "user", "content": "hi"}
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": args}}
    use = {"type": "tool_use", "id": "c", "name": "find", "input": {"id": number}}
    result = {"type": "tool_result", "tool_use_id": "c", "content": "found"}
    return {
        "/v1/chat/completions": ask(
            messages=[
                question,
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "found"},
            ]
        ),
        "/v1/responses": {
            "model": "m",
            "input": [
                question,
                {"type": "function_call", "call_id": "c", "name": "find", "arguments": args},
                {"type": "function_call_output", "call_id": "c", "output": "found"},
            ],
        },
        "/v1/messages": {
            "model": "m",
            "max_tokens": 99,
            "messages": [question, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}],
        },
    }


@pytest.mark.parametrize("path", told_of(0))
def test_a_number_reaches_the_model_as_it_was_sent(path: str) -> None:
    """A whole number among a call's arguments, an id say, may have more than 64 bits."""

    @chat_model(tool_calling="native")
    def repeats(request: Request) -> str:
        [call] = next(message.tool_calls for message in request.messages if isinstance(message, AIMessage))
        return f"it is {call['args']['id']}"

    with serving({"m": repeats()}) as base:
        for number in (7, 2**63 - 1, -(2**63), 2**64, -(2**64) - 1, 10**30 + 7):
            assert f"it is {number}" in send(base, told_of(number)[path], path)[2]
