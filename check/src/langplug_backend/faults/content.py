"""Faults of what a response holds: the end is missing, an event is wrong, or it is another kind of response."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from langplug_backend.dialects.routes import DIALECTS
from langplug_backend.faults.connection import events_before
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Argument, Fault
from langplug_backend.faults.kind import AFTER_PIECES, fault_kind
from langplug_backend.response import Event, FakeResponse

wrong_content = partial(fault_kind, error=True)

WITH_END_MARKER = tuple(name for name, dialect in DIALECTS.items() if dialect.has_end_marker)
"""The dialects whose streams end with an event that says nothing else."""


@wrong_content(AFTER_PIECES)
def truncate(response: FakeResponse, fault: Fault, context: Context) -> FakeResponse:
    """A clean end after N pieces, without finish reason and end marker."""
    # Gateways that lose their upstream end the stream so. HTTP calls it complete, and a client that does too returns
    # half an answer as if it were the whole one (pydantic/pydantic-ai#6610, earendil-works/pi#8460).
    if response.framing == "whole":
        return no_finish(response, fault, context)
    return replace(response, events=events_before(response.events, fault.after))


@wrong_content(AFTER_PIECES, dialects=WITH_END_MARKER)
def truncate_done(response: FakeResponse, fault: Fault, context: Context) -> FakeResponse:
    """A clean end after N pieces, without finish reason, but with the end marker."""
    if response.framing == "whole":
        return no_finish(response, fault, context)
    markers = [event for event in response.events if event.end_marker]
    return replace(response, events=(*events_before(response.events, fault.after), *markers))


@wrong_content()
def no_finish(response: FakeResponse, _: Fault, context: Context) -> FakeResponse:
    """No finish reason, but the end marker."""
    if response.framing == "whole":
        empty = context.dialect.finish_fields
        return edit_json(response, lambda fields: {key: empty.get(key, value) for key, value in fields.items()})
    return replace(response, events=tuple(event for event in response.events if not event.finish))


@fault_kind(streams=True, dialects=WITH_END_MARKER)
def no_done(response: FakeResponse, *_: object) -> FakeResponse:
    """No end marker (`[DONE]`, `message_stop`) after the finish reason."""
    # ik_llama.cpp (ikawrakow/ik_llama.cpp#467), Perplexity (perplexityai/api-discussion#209), and TGI before
    # huggingface/text-generation-inference#2221. The answer is complete, so this is not an error.
    return replace(response, events=tuple(event for event in response.events if not event.end_marker))


@wrong_content(AFTER_PIECES)
def malformed(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
    """An event with broken JSON after N pieces; the rest follows."""
    before = 0
    if response.framing != "whole":
        # Another fault may have left fewer events than that; then the last one is broken.
        before = min(len(events_before(response.events, fault.after)), len(response.events) - 1)
    event = response.events[before]
    raw = event.bytes()
    broken = Event(raw=raw[: len(raw) // 2], name=event.name, piece=response.framing == "whole")
    rest = () if response.framing == "whole" else response.events[before:]
    return replace(response, events=(*response.events[:before], broken, *rest))


@wrong_content(AFTER_PIECES)
def error_event(response: FakeResponse, fault: Fault, context: Context) -> FakeResponse:
    """An error event after N pieces, and then the end; an error object in place of a whole answer."""
    # The status has been sent by then, so the stream is the only place left for an error: vLLM's
    # `create_streaming_error_response` (vllm-project/guidellm#743), llama.cpp's server (ggml-org/llama.cpp#14566), and
    # Anthropic's API, which documents it for overload.
    if response.framing == "whole":
        return error_object(response, fault, context)
    error = context.error(context.dialect.stream_error, fault.message)
    return replace(response, events=(*events_before(response.events, fault.after), context.dialect.error_event(error)))


@wrong_content()
def error_object(_: FakeResponse, fault: Fault, context: Context) -> FakeResponse:
    """HTTP status 200 with an error object."""
    # Gateways pass on what their upstream said, but not its status: OpenRouter (deeterbleater/deertick#13).
    error = context.error("server_error", fault.message)
    return FakeResponse(events=(Event(data=context.dialect.error_body(error)),))


@wrong_content()
def empty_body(response: FakeResponse, *_: object) -> FakeResponse:
    """HTTP status 200 with an empty body."""
    # DeepSeek under load (bespokelabsai/curator#463).
    return replace(response, events=())


@fault_kind(streams=True)
def json_for_stream(_: FakeResponse, _fault: Fault, context: Context) -> FakeResponse:
    """A whole JSON answer where a stream was requested."""
    # Servers that cannot stream, or not with tools, ignore the flag (mistralai/mistral-vibe#84).
    return context.build(False)


@fault_kind()
def stream_for_json(_: FakeResponse, _fault: Fault, context: Context) -> FakeResponse:
    """A stream where a whole JSON answer was requested."""
    # Servers that can only stream: sgl-project/mini-sglang#51, unslothai/unsloth#6570.
    return context.build(True)


@fault_kind()
def wrong_type(response: FakeResponse, *_: object) -> FakeResponse:
    """The content type is text/plain."""
    # RamaLama's proxy (containers/ramalama#2837). The type alone cannot say how to read a body.
    return replace(response, content_type="text/plain; charset=utf-8")


@fault_kind()
def extra_fields(response: FakeResponse, *_: object) -> FakeResponse:
    """Unknown fields on every level."""
    return edit_json(response, lambda fields: {**fields, "x_unheard_of": {"nested": [None, 1.5]}})


@fault_kind(Argument("size", int, "500", default=1_000_000, unit="bytes"), streams=True)
def huge_event(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
    """The first piece comes in an event of more than N bytes."""
    # Far above the buffer of one read (64 KiB in asyncio) and the line limits that readers set themselves.
    at = len(events_before(response.events, 0))
    events = list(response.events)
    if at < len(events) and isinstance(events[at].data, dict):
        events[at] = replace(events[at], data={**events[at].data, "x_padding": "x" * fault.size})
    return replace(response, events=tuple(events))


_ARGUMENTS = {"arguments", "input"}
"""What a tool is called with: the model's own JSON, which no server adds fields to."""


def edit_json(response: FakeResponse, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> FakeResponse:
    """The response with every JSON object in it edited, the inner ones first."""

    def edited(value: Any) -> Any:
        if isinstance(value, list):
            return [edited(item) for item in value]
        if isinstance(value, dict):
            return edit({key: item if key in _ARGUMENTS else edited(item) for key, item in value.items()})
        return value

    return replace(
        response,
        events=tuple(
            event if event.raw is not None else replace(event, data=edited(event.data)) for event in response.events
        ),
    )
