"""At least one wrong server for each statement."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

from tests.check.servers import wrong_servers as w
from tests.check.servers.wrong_servers import Edit, Handle, Reply

from langplug.serve.exchange import Request


def drop(name: str) -> Callable[[Any], Any]:
    return lambda body: body.pop(name, None)


def put(**fields: Any) -> Callable[[Any], Any]:
    return lambda body: body.update(fields)


def calls(change: Callable[[Any], Any]) -> Edit:
    return w.choice(lambda one: [change(call) for call in one["message"].get("tool_calls") or ()])


def call_pieces(change: Callable[[Any], Any]) -> Edit:
    return w.deltas(lambda one: [change(piece) for piece in one["delta"].get("tool_calls") or ()])


def content(change: Callable[[str], str]) -> Edit:
    return w.choice(lambda one: one["message"].update(content=change(one["message"]["content"] or "")))


def delta_content(change: Callable[[str], str]) -> Edit:
    def edit(one: Any) -> None:
        if one["delta"].get("content"):
            one["delta"]["content"] = change(one["delta"]["content"])

    return w.deltas(edit)


def has_role(role: str) -> Callable[[Any], bool]:
    return lambda body: any(message["role"] == role for message in body["messages"])


def has_parts(role: str) -> Callable[[Any], bool]:
    return lambda body: any(isinstance(one["content"], list) for one in body["messages"] if one["role"] == role)


def say_paris(body: Any) -> None:
    """Drop a form that is asked for, and have the model say something else than JSON."""
    if body.pop("response_format", None):
        body["messages"] = [{"role": "user", "content": "Say exactly: Paris."}]


def default_messages(body: Any) -> None:
    if not body.get("messages"):
        body["messages"] = [{"role": "user", "content": "Hi"}]


async def breaks_off(pieces: bytes) -> AsyncGenerator[bytes]:
    yield pieces
    raise ConnectionError("the connection broke")


def broken_off(status: int) -> Edit:
    """Bodies of answers with a status break off at their end: the last chunk of their framing is missing."""

    async def edit(handle: Handle, request: Request) -> Reply:
        reply = await handle(request)
        if reply.status != status or request.method != "POST":
            return reply
        kept = {name: value for name, value in reply.headers.items() if name != "content-length"}
        return Reply(status, kept, breaks_off(await w.whole_of(reply)))

    return edit


async def without_a_list(handle: Handle, request: Request) -> Reply:
    if request.path.startswith("/v1/models"):
        return w.of_json(404, {"error": {"message": "no"}})
    return await w.shown(host="localhost", origin="")(handle, request)


async def lets_any_page_read(handle: Handle, request: Request) -> Reply:
    """No origin is refused, and each may read."""
    inner = w.shown(origin="")
    reply = await inner(handle, request)
    return replace(reply, headers={**reply.headers, "access-control-allow-origin": "*"})


async def wants_its_content_type(handle: Handle, request: Request) -> Reply:
    """A content type with parameters is refused."""
    if ";" in request.headers.get("content-type", ""):
        return w.of_json(415, {"error": "no"})
    return await handle(request)


async def breaks_on_wrong_json(handle: Handle, request: Request) -> Reply:
    data = b"".join([piece async for piece in request.body])
    if request.method == "POST" and not data.startswith(b'{"'):
        return w.of_json(500, {})
    return await handle(replace(request, body=w.in_pieces(data)))


async def as_a_stream(handle: Handle, request: Request) -> Reply:
    """Refusals are told in a stream, where one was asked for."""
    data = b"".join([piece async for piece in request.body])
    reply = await handle(replace(request, body=w.in_pieces(data)))
    if b'"stream": true' not in data:
        return reply
    if reply.status != 400 or not isinstance(reply.body, bytes):
        return reply
    sent = {"content-type": "text/event-stream"}
    return Reply(200, sent, w.in_pieces(), b"data: " + reply.body + b"\n\n")


async def repeats_the_key(handle: Handle, request: Request) -> Reply:
    reply = await handle(request)
    if reply.status != 401:
        return reply
    return w.of_json(401, {"error": {"message": request.headers.get("authorization")}})


async def slow_and_mixed(handle: Handle, request: Request) -> Reply:
    """Whoever asks while another answer is made gets that one's words."""
    data = b"".join([piece async for piece in request.body])
    LAST[0] = data or LAST[0]
    await asyncio.sleep(0.05)
    return await handle(replace(request, body=w.in_pieces(LAST[0])))


LAST = [b""]


async def counts_bytes(handle: Handle, request: Request) -> Reply:
    data = b"".join([piece async for piece in request.body])
    reply = await handle(replace(request, body=w.in_pieces(data)))
    if reply.status != 200 or not isinstance(reply.body, bytes) or not data:
        return reply
    body = json.loads(reply.body)
    body["usage"]["prompt_tokens"] = len(data)
    return w.of_json(200, body)


MUTANTS: list[tuple[str, str, Edit]] = [
    ("S01", "lists the models without `object`", w.whole(drop("object"), "/v1/models")),
    (
        "S02",
        "lists models without `created`",
        w.whole(lambda b: [drop("created")(one) for one in b.get("data", ())], "/v1/models"),
    ),
    ("S03", "has no page for one model", w.status({200: 404}, "/v1/models/")),
    ("S04", "has a page for any model", w.status({404: 200}, "/v1/models/")),
    ("S05", "answers a missing path by 500", w.status({404: 500})),
    ("S06", "answers another method by 500", w.status({405: 500})),
    ("S10", "says that its answers are text", w.headers(content_type="text/plain")),
    ("S11", "answers without an id", w.whole(drop("id"))),
    ("S12", "has choices without an index", w.choice(drop("index"))),
    ("S13", "answers as `model`", w.choice(lambda one: one["message"].update(role="model"))),
    ("S14", "ends with `eos`", w.choice(put(finish_reason="eos"))),
    ("S15", "gives all answers one id", w.whole(put(id="chatcmpl-1"))),
    ("S16", "tells the time in milliseconds", w.whole(lambda b: put(created=b["created"] * 1000)(b))),
    ("S17", "names no request", w.headers(x_request_id="")),
    ("S18", "cuts characters in two", content(lambda text: text.replace("🎉", "\ufffd"))),
    ("S19", "cuts characters of streams in two", delta_content(lambda text: text.replace("🎉", "\ufffd\ufffd"))),
    ("S20", "says that its streams are text", w.headers(content_type="text/plain")),
    ("S21", "streams what is no JSON", w.events(lambda told: ["{'a': 1}", *told])),
    ("S22", "ends without [DONE]", w.events(lambda told: told[:-1])),
    ("S22", "tells more behind [DONE]", w.events(lambda told: [*told[:-2], told[-1], told[-2]])),
    ("S23", "gives each chunk an id of its own", w.chunks(lambda one, number: put(id=f"chatcmpl-{number}")(one))),
    ("S24", "gives each chunk a time of its own", w.chunks(lambda one, number: put(created=number)(one))),
    ("S25", "calls its chunks completions", w.chunks(lambda one, _: put(object="chat.completion")(one))),
    ("S26", "tells the role in each chunk", w.deltas(lambda one: one["delta"].update(role="assistant"))),
    ("S27", "ends streams without a reason", w.deltas(put(finish_reason=None))),
    ("S27", "tells its reason first", w.events(lambda told: [told[-3], *told[:-3], *told[-2:]])),
    (
        "S27",
        "gives an empty reason until the end",
        w.deltas(lambda one: put(finish_reason=one["finish_reason"] or "")(one)),
    ),
    (
        "S28",
        "leaves `finish_reason` out until the end",
        w.deltas(lambda one: one["finish_reason"] or drop("finish_reason")(one)),
    ),
    ("S28b", "says nothing in streams", w.deltas(lambda one: one["delta"].pop("content", None))),
    ("S29", "breaks streams off behind [DONE]", broken_off(200)),
    ("S30", "adds usage up wrongly", w.whole(lambda b: b["usage"].update(total_tokens=1))),
    ("S31", "counts nothing", w.whole(put(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}))),
    ("S32", "tells no usage in streams", w.asks(drop("stream_options"))),
    ("S33", "has no usage in the other chunks", w.chunks(lambda one, _: one["choices"] and drop("usage")(one))),
    (
        "S34",
        "tells usage unasked",
        w.asks(lambda b: b.get("stream") and put(stream_options={"include_usage": True})(b)),
    ),
    (
        "S35",
        "counts another prompt in streams",
        w.whole(put(usage={"prompt_tokens": 99, "completion_tokens": 1, "total_tokens": 100})),
    ),
    (
        "S36",
        "adds usage of streams up wrongly",
        w.chunks(lambda one, _: one.get("usage") and one["usage"].update(total_tokens=1)),
    ),
    ("S40", "ignores max_tokens", w.asks(drop("max_tokens"))),
    ("S40", "says `stop` at the limit", w.choice(put(finish_reason="stop"))),
    ("S41", "ignores max_completion_tokens", w.asks(drop("max_completion_tokens"))),
    ("S42", "ignores max_tokens in streams", w.asks(lambda b: b.get("stream") and drop("max_tokens")(b))),
    (
        "S43",
        "ignores stop strings that are texts",
        w.asks(lambda b: isinstance(b.get("stop"), str) and drop("stop")(b)),
    ),
    ("S44", "ignores lists of stop strings", w.asks(lambda b: isinstance(b.get("stop"), list) and drop("stop")(b))),
    ("S45", "ignores stop strings in streams", w.asks(lambda b: b.get("stream") and drop("stop")(b))),
    ("S46", "gives one choice where two are asked for", w.asks(drop("n"))),
    ("S47", "refuses `user`", w.refuses(lambda b: b.get("user"), 400)),
    ("S48", "refuses null", w.refuses(lambda b: "stop" in b and b["stop"] is None, 400)),
    ("S49", "breaks on unknown fields", w.refuses(lambda b: b.get("langplug_check_unknown"))),
    ("S50", "gives arguments as an object", calls(lambda call: call["function"].update(arguments={}))),
    ("S51", "ends calls with `stop`", w.choice(put(finish_reason="stop"))),
    ("S52", "streams calls without an index", call_pieces(drop("index"))),
    ("S52", "streams calls without an id", call_pieces(drop("id"))),
    ("S53", "ignores `tool_choice: none`", w.asks(drop("tool_choice"))),
    (
        "S54",
        "ignores `tool_choice: required`",
        w.asks(lambda b: b.get("tool_choice") == "required" and drop("tools")(b) and drop("tool_choice")(b)),
    ),
    (
        "S55",
        "ignores the function in `tool_choice`",
        w.asks(lambda b: isinstance(b.get("tool_choice"), dict) and drop("tools")(b) and drop("tool_choice")(b)),
    ),
    ("S56", "takes the name of any tool", w.asks(drop("tool_choice"))),
    ("S57", "answers in prose where JSON is asked for", w.asks(say_paris)),
    ("S57", "puts its JSON between fences", content(lambda text: f"```json\n{text}\n```")),
    ("S58", "answers in JSON of another form", content(lambda _: '{"town": 1}')),
    ("S59", "takes any response_format", w.asks(drop("response_format"))),
    ("S60", "knows no system", w.refuses(has_role("system"), 400)),
    ("S61", "knows no developer", w.refuses(has_role("developer"), 400)),
    ("S62", "takes no result of a tool", w.refuses(has_role("tool"))),
    ("S63", "takes one result at most", w.refuses(lambda b: str(b["messages"]).count("'tool_call_id'") > 1, 400)),
    ("S64", "takes no parts", w.refuses(has_parts("user"), 400)),
    ("S65", "takes no parts of results", w.refuses(has_parts("tool"), 400)),
    ("S66", "refuses names", w.refuses(lambda b: b["messages"][0].get("name"), 400)),
    ("S67", "breaks on images", w.refuses(lambda b: "image_url" in str(b))),
    ("S68", "counts the prompt's bytes", counts_bytes),
    ("S70", "answers for any model", w.asks(put(model="m"))),
    ("S71", "has numbers for codes", w.errors(lambda error: error.update(code=400))),
    ("S71", "has no `param`", w.errors(drop("param"))),
    ("S72", "answers nothing", w.asks(default_messages)),
    ("S73", "breaks on messages of another type", w.refuses(lambda b: b["messages"] == [None])),
    ("S74", "takes any role", w.asks(lambda b: [put(role="user")(one) for one in b["messages"]])),
    ("S75", "takes any temperature", w.asks(drop("temperature"))),
    ("S76", "takes any limit", w.asks(drop("max_tokens"))),
    ("S77", "breaks on what is no JSON", breaks_on_wrong_json),
    ("S78", "refuses inside of a stream", as_a_stream),
    ("S79", "breaks without a model", w.refuses(lambda b: "model" not in b)),
    ("S80", "guards no list of models", w.status({401: 200}, "/v1/models")),
    ("S81", "answers a wrong key by 403", w.status({401: 403})),
    ("S82", "refuses keys in a form of its own", w.errors(drop("message"))),
    ("S83", "repeats the key", repeats_the_key),
    ("S84", "answers to any host", w.shown(host="localhost", origin="")),
    ("S84", "has no list of models, and answers to any host", without_a_list),
    ("S85", "lets any page read", lets_any_page_read),
    ("S86", "takes any content type", w.shown(content_type="application/json")),
    ("S87", "wants its content type to the letter", wants_its_content_type),
    ("S90", "mixes questions up", slow_and_mixed),
    ("S90", "gives all answers one id", w.whole(put(id="chatcmpl-1"))),
    ("S91", "breaks when a stream is left", w.breaks_when_left()),
    ("S91", "gives the rest of a stream to the next", w.tells_the_rest()),
    ("S92", "goes on when a stream is left", w.goes_on),
    ("S93", "goes on when an answer is left", w.goes_on),
    ("S94", "breaks when a request is left", w.breaks_when_left()),
    ("S95", "breaks the connection after a refusal", broken_off(400)),
]
"""The statement, in which way the server is wrong, and how it is made."""
