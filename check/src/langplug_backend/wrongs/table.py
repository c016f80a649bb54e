"""The ways in which a server can be wrong, each of which breaks a promise that clients rely on.

A new one is a row of `WRONGS`, or a function with `@wrong` where it takes more than an edit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from langplug_backend.http import HttpRequest
from langplug_backend.log import Log
from langplug_backend.response import Event, FakeResponse
from langplug_backend.wrongs import edits as e
from langplug_backend.wrongs.edits import Edit, Handle, drop, drop_if, put


@dataclass(frozen=True, slots=True)
class Wrong:
    """One way to be wrong.

    Attributes:
        does: What such a server does, in a few words.
        edit: What is changed of a right server.
    """

    does: str
    edit: Edit


WRONGS: dict[str, Wrong] = {}
"""Every way to be wrong by its name."""


def wrong(edit: Edit) -> Edit:
    """Put a function into `WRONGS`, under its name; its docstring says what such a server does."""
    WRONGS[edit.__name__] = Wrong((edit.__doc__ or "").strip().rstrip("."), edit)
    return edit


def find_wrong(name: str) -> Edit:
    """The way to be wrong of this name.

    Raises:
        ValueError: If there is none.
    """
    if name not in WRONGS:
        near = get_close_matches(name, WRONGS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "`langplug_backend.WRONGS` has them all."
        raise ValueError(f"wrong={name!r}: there is no such way to be wrong. {hint}")
    return WRONGS[name].edit


def wrong_table() -> str:
    """All ways to be wrong, one per line: the list in `docs/en/guides/backend.md` and of `--wrongs`."""
    width = max(map(len, WRONGS))
    return "\n".join(f"{name:<{width}}  {one.does}" for name, one in WRONGS.items())


# --- kinds of requests ---


def has_role(role: str) -> Callable[[Any], bool]:
    """Requests with a message by a role."""
    return lambda body: any(message["role"] == role for message in body["messages"])


def has_parts(role: str) -> Callable[[Any], bool]:
    """Requests with a message in parts by a role."""
    return lambda body: any(isinstance(one["content"], list) for one in body["messages"] if one["role"] == role)


def is_streamed(body: Any) -> bool:
    """Requests for a stream."""
    return body.get("stream") is True


def requires(body: Any) -> bool:
    """Requests that want a call of any tool."""
    return bool(body.get("tool_choice") == "required")


def names_a_tool(body: Any) -> bool:
    """Requests that want a call of one tool."""
    return isinstance(body.get("tool_choice"), dict)


# --- changes that take a line or two ---


def without_tools(when: Callable[[Any], bool]) -> e.Change:
    """Takes the tools and their choice out of some requests."""
    return lambda body: when(body) and (body.pop("tools"), body.pop("tool_choice"))


def say_paris(body: Any) -> None:
    """Drop a form that is asked for, and have the model say something other than JSON."""
    if body.pop("response_format", None):
        body["messages"] = [{"role": "user", "content": "Say exactly: Paris."}]


def default_messages(body: Any) -> None:
    """Ask something in the place of nothing."""
    if not body.get("messages"):
        body["messages"] = [{"role": "user", "content": "Hi"}]


def in_milliseconds(body: Any) -> None:
    """Tell the time of an answer in milliseconds."""
    body["created"] *= 1000


def numbered(name: str, form: Callable[[int], Any]) -> Edit:
    """A field of each chunk is another."""

    def edit(told: list[Event]) -> list[Event]:
        return [
            event if event.raw is not None else replace(event, data={**event.data, name: form(number)})
            for number, event in enumerate(told)
        ]

    return e.events(edit)


def usage_of(total: int) -> dict[str, int]:
    """A usage that counts nothing, or one that adds up to the total."""
    return {"prompt_tokens": max(total - 1, 0), "completion_tokens": min(total, 1), "total_tokens": total}


def adds_up_wrongly(body: Any) -> None:
    """Tell another total."""
    if body.get("usage"):
        body["usage"]["total_tokens"] = 1


def without_header(name: str) -> Edit:
    """Responses lack a header."""
    return e.responses(
        lambda response: replace(response, headers=tuple(one for one in response.headers if one[0] != name))
    )


def of_type(kind: str) -> Edit:
    """Answers have another content type."""
    return e.responses(lambda response: replace(response, content_type=kind), lambda one: one.status == 200)


def broken_off(when: Callable[[FakeResponse], bool]) -> Edit:
    """Some bodies end by a connection that is closed, without the last chunk of their framing."""
    return e.responses(lambda response: replace(response, body="chunked", ending="close"), when)


def done_before_the_last(told: list[Event]) -> list[Event]:
    """Put the mark of a stream's end before its last chunk."""
    return [*told[:-2], told[-1], told[-2]]


_ROWS: tuple[tuple[str, str, Edit], ...] = (
    # models and routes
    ("list_without_object", "lists the models without `object`", e.whole(drop("object"), "/models")),
    (
        "models_without_created",
        "lists models without `created`",
        e.whole(lambda body: [drop("created")(one) for one in body.get("data", ())], "/models"),
    ),
    ("no_page_of_a_model", "has no page for one model", e.status({200: 404}, "/models/")),
    ("page_of_any_model", "has a page for any model", e.status({404: 200}, "/models/")),
    ("missing_path_500", "answers a missing path by 500", e.status({404: 500})),
    ("other_method_500", "answers another method by 500", e.status({405: 500})),
    # whole answers
    ("answers_as_text", "says that its answers and streams are text", of_type("text/plain")),
    ("answer_without_id", "answers without an id", e.whole(drop("id"))),
    ("choice_without_index", "has choices without an index", e.choice(drop("index"))),
    ("role_model", "answers as `model`", e.message(put(role="model"))),
    ("finish_eos", "ends with `eos`", e.choice(put(finish_reason="eos"))),
    ("finish_stop_always", "says `stop`, whatever ended the answer", e.choice(put(finish_reason="stop"))),
    ("one_id_for_all", "gives all answers one id", e.whole(put(id="chatcmpl-1"))),
    ("created_in_milliseconds", "tells the time in milliseconds", e.whole(in_milliseconds)),
    ("no_request_id", "names no request", without_header("x-request-id")),
    ("cuts_characters", "cuts characters in two", e.content(lambda text: text.replace("🎉", "\ufffd"))),
    (
        "cuts_characters_of_streams",
        "cuts characters of streams in two",
        e.delta_content(lambda text: text.replace("🎉", "\ufffd\ufffd")),
    ),
    # streams
    ("stream_of_no_json", "streams what is no JSON", e.events(lambda told: [Event(raw=b"{'a': 1}"), *told])),
    ("no_done", "ends streams without [DONE]", e.events(lambda told: told[:-1])),
    ("more_behind_done", "tells more behind [DONE]", e.events(done_before_the_last)),
    ("id_for_each_chunk", "gives each chunk an id of its own", numbered("id", lambda number: f"chatcmpl-{number}")),
    ("time_for_each_chunk", "gives each chunk a time of its own", numbered("created", lambda number: number)),
    ("chunks_as_completions", "calls its chunks completions", e.chunks(put(object="chat.completion"))),
    ("role_in_each_chunk", "tells the role in each chunk", e.deltas(lambda one: one["delta"].update(role="assistant"))),
    ("stream_without_finish", "ends streams without a reason", e.deltas(put(finish_reason=None))),
    (
        "finish_first",
        "tells the reason of a stream first",
        e.events(lambda told: [told[-3], *told[:-3], *told[-2:]]),
    ),
    (
        "finish_empty",
        "gives an empty reason until a stream's end",
        e.deltas(lambda one: put(finish_reason=one["finish_reason"] or "")(one)),
    ),
    (
        "finish_left_out",
        "leaves `finish_reason` out until a stream's end",
        e.deltas(drop_if("finish_reason", lambda one: one["finish_reason"] is None)),
    ),
    ("silent_streams", "says nothing in streams", e.deltas(lambda one: one["delta"].pop("content", None))),
    ("streams_break_off", "breaks streams off behind [DONE]", broken_off(e.is_stream)),
    # usage
    ("usage_adds_up_wrongly", "adds usage up wrongly", e.whole(adds_up_wrongly)),
    ("usage_of_zeros", "counts nothing", e.whole(put(usage=usage_of(0)))),
    ("no_usage_in_streams", "tells no usage in streams", e.asks(drop("stream_options"))),
    (
        "no_null_usage",
        "has no usage in the other chunks",
        e.chunks(lambda chunk: chunk["choices"] and chunk.pop("usage", None)),
    ),
    (
        "usage_unasked",
        "tells usage unasked",
        e.asks(lambda body: is_streamed(body) and put(stream_options={"include_usage": True})(body)),
    ),
    ("counts_streams_otherwise", "counts another prompt in streams", e.whole(put(usage=usage_of(100)))),
    ("stream_usage_adds_up_wrongly", "adds usage of streams up wrongly", e.chunks(adds_up_wrongly)),
    # limits and parameters
    ("ignores_max_tokens", "ignores max_tokens", e.asks(drop("max_tokens"))),
    ("ignores_max_completion_tokens", "ignores max_completion_tokens", e.asks(drop("max_completion_tokens"))),
    ("streams_without_limit", "ignores max_tokens in streams", e.asks(drop_if("max_tokens", is_streamed))),
    (
        "ignores_stop_text",
        "ignores stop strings that are texts",
        e.asks(drop_if("stop", lambda body: isinstance(body.get("stop"), str))),
    ),
    (
        "ignores_stop_list",
        "ignores lists of stop strings",
        e.asks(drop_if("stop", lambda body: isinstance(body.get("stop"), list))),
    ),
    ("streams_past_stop", "ignores stop strings in streams", e.asks(drop_if("stop", is_streamed))),
    ("one_choice", "gives one choice where two are asked for", e.asks(drop("n"))),
    ("refuses_user", "refuses `user`", e.refuses(lambda body: body.get("user"), 400)),
    ("refuses_null", "refuses null", e.refuses(lambda body: "stop" in body and body["stop"] is None, 400)),
    (
        "unknown_field_500",
        "breaks on unknown fields",
        e.refuses(lambda body: any("unknown" in name for name in body)),
    ),
    # tools and forms
    (
        "arguments_as_object",
        "gives arguments as an object",
        e.calls(lambda call: call["function"].update(arguments={})),
    ),
    ("call_pieces_without_index", "streams calls without an index", e.call_pieces(drop("index"))),
    ("call_pieces_without_id", "streams calls without an id", e.call_pieces(drop("id"))),
    ("ignores_tool_choice", "ignores `tool_choice`", e.asks(drop("tool_choice"))),
    (
        "ignores_required",
        "ignores `tool_choice: required`, and talks",
        e.asks(without_tools(requires)),
    ),
    ("ignores_named_tool", "ignores the function in `tool_choice`, and talks", e.asks(without_tools(names_a_tool))),
    ("prose_for_json", "answers in prose where JSON is asked for", e.asks(say_paris)),
    ("fenced_json", "puts its JSON between fences", e.content(lambda text: f"```json\n{text}\n```")),
    ("json_of_another_form", "answers in JSON of another form", e.content(lambda _: '{"town": 1}')),
    ("ignores_response_format", "takes any response_format", e.asks(drop("response_format"))),
    # conversations
    ("refuses_system", "knows no system", e.refuses(has_role("system"), 400)),
    ("refuses_developer", "knows no developer", e.refuses(has_role("developer"), 400)),
    ("tool_result_500", "takes no result of a tool", e.refuses(has_role("tool"))),
    (
        "refuses_two_results",
        "takes one result at most",
        e.refuses(lambda body: sum(one["role"] == "tool" for one in body["messages"]) > 1, 400),
    ),
    ("refuses_parts", "takes no parts", e.refuses(has_parts("user"), 400)),
    ("refuses_parts_of_results", "takes no parts of results", e.refuses(has_parts("tool"), 400)),
    ("refuses_names", "refuses names", e.refuses(lambda body: body["messages"][0].get("name"), 400)),
    ("image_500", "breaks on images", e.refuses(lambda body: "image_url" in str(body))),
    # wrong requests
    ("numeric_codes", "has numbers for codes", e.errors(put(code=400))),
    ("errors_without_param", "has errors without `param`", e.errors(drop("param"))),
    ("errors_without_message", "has errors without `message`", e.errors(drop("message"))),
    ("answers_nothing", "answers where nothing is asked", e.asks(default_messages)),
    ("null_message_500", "breaks on messages of another type", e.refuses(lambda body: body["messages"] == [None])),
    ("any_role", "takes any role", e.asks(lambda body: [put(role="user")(one) for one in body["messages"]])),
    ("any_temperature", "takes any temperature", e.asks(drop("temperature"))),
    ("no_model_500", "breaks without a model", e.refuses(lambda body: "model" not in body)),
    # keys, hosts, content types
    ("open_list_of_models", "guards no list of models", e.status({401: 200}, "/models")),
    ("wrong_key_403", "answers a wrong key by 403", e.status({401: 403})),
    ("any_host", "answers to any host", e.shown(host="localhost", origin="")),
    ("any_content_type", "takes any content type", e.shown(content_type="application/json")),
    # clients
    (
        "refusals_break_off",
        "breaks the connection behind a refusal",
        broken_off(lambda response: response.status == 400),
    ),
    ("goes_on", "goes on when a client leaves", e.responses(lambda response: replace(response, goes_on=True))),
)

WRONGS.update({name: Wrong(does, edit) for name, does, edit in _ROWS})


# --- those that take more ---


@wrong
def any_host_without_a_list(handle: Handle, request: HttpRequest, log: Log) -> FakeResponse:
    """Has no list of models, and answers to any host."""
    if "/models" in request.path:
        return e.of_json(404, {"error": {"message": "no"}})
    return WRONGS["any_host"].edit(handle, request, log)


@wrong
def any_page_reads(handle: Handle, request: HttpRequest, log: Log) -> FakeResponse:
    """Refuses no origin, and lets each read."""
    response = e.shown(origin="")(handle, request, log)
    return replace(response, headers=(*response.headers, ("access-control-allow-origin", "*")))


@wrong
def any_model(handle: Handle, request: HttpRequest, log: Log) -> FakeResponse:
    """Answers for any model, by its first."""
    listed = handle(replace(request, method="GET", target="/v1/models", body=b""))
    first = listed.events[0].data.get("data", [{"id": "unknown"}])[0]["id"]
    return e.asks(lambda body: "model" in body and put(model=first)(body))(handle, request, log)


@wrong
def content_type_to_the_letter(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
    """Refuses a content type with parameters."""
    if ";" in request.headers.get("content-type", ""):
        return e.of_json(415, {"error": "no"})
    return handle(request)


@wrong
def no_json_500(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
    """Breaks on what is no JSON object."""
    if request.method == "POST" and not request.body.startswith(b'{"'):
        return e.of_json(500, {})
    return handle(request)


@wrong
def refuses_in_a_stream(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
    """Tells refusals in a stream, where one was asked for."""
    response = handle(request)
    if response.status != 400 or b'"stream": true' not in request.body:
        return response
    return replace(response, status=200, content_type="text/event-stream", framing="sse", body="chunked")


@wrong
def repeats_the_key(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
    """Repeats a wrong key in its refusal."""
    response = handle(request)
    if response.status != 401:
        return response
    return e.of_json(401, {"error": {"message": request.headers.get("authorization")}})


@wrong
def counts_bytes(handle: Handle, request: HttpRequest, log: Log) -> FakeResponse:
    """Counts the bytes of a request as tokens of its prompt."""
    count = len(request.body)

    def recount(body: Any) -> None:
        written = body["usage"]["completion_tokens"]
        body["usage"] = {"prompt_tokens": count, "completion_tokens": written, "total_tokens": count + written}

    return e.whole(recount)(handle, request, log)


@wrong
def mixes_questions_up(handle: Handle, request: HttpRequest, log: Log) -> FakeResponse:
    """Tells whoever asks while another answer is made that one's words."""
    others = [one for one in log.exchanges if one.request and one.outcome is None]
    return handle(replace(request, body=others[-1].raw) if others and request.body else request)


@wrong
def breaks_when_left(handle: Handle, request: HttpRequest, log: Log) -> FakeResponse:
    """Breaks, for good, when a client leaves in the middle of an answer or of its own request."""
    if log.requests_left or any(one.outcome == "client_gone" for one in log.exchanges):
        return e.of_json(500, {"error": "broken"})
    return handle(request)


@wrong
def tells_the_rest(handle: Handle, request: HttpRequest, log: Log) -> FakeResponse:
    """Tells whoever asks behind a stream the rest of it."""
    chats = [one for one in log.exchanges if one.request]
    if not chats or not chats[-1].streaming:
        return handle(request)
    return e.message(put(content="... of what the other one was told"))(handle, request, log)
