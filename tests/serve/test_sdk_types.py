"""Whatever a model gives, each body and each event is what the openai and anthropic SDKs say it is."""

import importlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import TypeAdapter
from tests.serve.client import chunks_of, send
from tests.serve.messages_client import events_in
from tests.serve.served_models import serving
from typing_extensions import is_typeddict

from langplug import Finish, Reasoning, ToolCall, Usage
from langplug.models import ChatScripted
from langplug.models.scripted import Cut
from langplug.serve.wires import WIRES
from langplug.serve.wires.wire import Wire

NOTE = {"type": "citation", "url": "https://example.test/", "title": "T", "cited_text": "c"}
TOKEN = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": [98]}]}
IMAGE = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}

ANSWERS: Mapping[str, list[Any]] = {
    "nothing": [""],
    "text in pieces": ["Hé", "llo ", '"\n\u2028', " 🎉"],
    "reasoning": [Reasoning("Hm"), Reasoning("."), "Yes."],
    "signed reasoning": [Reasoning("Hm.", {"signature": "s"}), "Yes."],
    "a call": [ToolCall(name="weather", args={"place": "Köln"}, id="call_1")],
    "a call in pieces": [
        "I look.",
        ToolCall(name="weather", id="call_1", index=0, args='{"pla'),
        ToolCall(index=0, args='ce": "Rome"}'),
    ],
    "two calls": [ToolCall(name="weather", args={}, id="call_1"), ToolCall(name="weather", args={}, id="call_2")],
    "a call of a tool that takes a text": [ToolCall(name="note", args={"input": "Hi"}, id="call_1")],
    "a refusal": [{"type": "refusal", "refusal": "I won't."}],
    "sources": [{"type": "text", "text": "There.", "annotations": [NOTE]}],
    "an image": ["Here: ", IMAGE],
    "usage": [
        "Yes.",
        Usage(input_tokens=9, output_tokens=4, input_token_details={"cache_read": 3}),
        Usage(output_token_details={"reasoning": 1}),
    ],
    "its limit": ["Yes and", Finish(reason="length")],
    "a filter": ["Yes and", Finish(reason="content_filter")],
    "log probabilities": ["a", Finish(metadata={"logprobs": {"content": [TOKEN], "refusal": None}})],
    "more than is wanted": ["one two three four five six seven eight nine ten"] * 9,
}

WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather at a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
}
USER = [{"role": "user", "content": "hi"}]

ASKED: Mapping[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": USER,
        "tools": [{"type": "function", "function": WEATHER}],
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "max_tokens": 60,
    },
    "/v1/responses": {
        "input": "hi",
        "tools": [{"type": "function", **WEATHER}, {"type": "custom", "name": "note"}],
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low"},
        "max_output_tokens": 60,
    },
    "/v1/messages": {
        "messages": USER,
        "tools": [{"name": "weather", "input_schema": WEATHER["parameters"]}],
        "max_tokens": 60,
    },
}

TYPES: Mapping[str, tuple[str, str, str]] = {
    "/v1/chat/completions": ("openai.types.chat", "ChatCompletion", "ChatCompletionChunk"),
    "/v1/responses": ("openai.types.responses", "Response", "ResponseStreamEvent"),
    "/v1/messages": ("anthropic.types", "Message", "RawMessageStreamEvent"),
}
"""What the SDK of each wire calls a whole answer, and an event of a stream."""


def types_of(path: str) -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
    """The SDK's types of a whole answer and of an event."""
    package, answer, event = TYPES[path]
    module = pytest.importorskip(package, reason="SDKs are tested by `make test-clients`")
    return TypeAdapter(getattr(module, answer)), TypeAdapter(getattr(module, event))


def told(path: str, answer: list[Any], *, stream: bool, **options: Any) -> str:
    """What a served model's answer is on the wire."""
    model = ChatScripted(replies=[answer], tool_calling="native", max_retries=0, **options)
    with serving({"m": model}) as base:
        status, _, text = send(base, {"model": "m", "stream": stream, **ASKED[path]}, path)
    assert status == 200, text
    return text


def events(path: str, text: str) -> Iterator[dict[str, Any]]:
    """The events of a stream that mean something."""
    found = chunks_of(text) if path == "/v1/chat/completions" else events_in(text.encode())
    yield from (event for event in found if event.get("type") != "ping")


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("kind", ANSWERS)
def test_a_whole_answer_is_of_the_sdks_type(path: str, kind: str) -> None:
    """An answer in one piece is valid, strictly, whatever it is made of."""
    whole, _ = types_of(path)
    whole.validate_json(told(path, ANSWERS[kind], stream=False), strict=True)


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("kind", ANSWERS)
def test_every_event_is_of_the_sdks_type(path: str, kind: str) -> None:
    """Each event of a stream is valid, strictly, whatever the answer is made of."""
    _, event = types_of(path)
    found = [*events(path, told(path, ANSWERS[kind], stream=True))]
    assert found
    for one in found:
        event.validate_json(json.dumps(one), strict=True)


@pytest.mark.parametrize("path", ASKED)
def test_what_fails_half_way_is_told_in_the_sdks_terms(path: str) -> None:
    """The events before an error are valid, and the error is the one that the SDK looks for."""
    _, event = types_of(path)
    *before, last = events(path, told(path, ["one ", Cut()], stream=True))
    for one in before:
        event.validate_json(json.dumps(one), strict=True)
    if path == "/v1/responses":
        assert event.validate_json(json.dumps(last), strict=True).response.error.message
    elif path == "/v1/messages":
        errors = importlib.import_module("anthropic.types")
        assert errors.ErrorResponse.model_validate({**last, "request_id": None}).error.message
    else:
        assert last["error"]["message"]


ASKED_WITH: Mapping[str, str] = {
    "/v1/chat/completions": "openai.types.chat.completion_create_params",
    "/v1/responses": "openai.types.responses.response_create_params",
    "/v1/messages": "anthropic.types.beta.message_create_params",
    "/v1/messages/count_tokens": "anthropic.types.beta.message_count_tokens_params",
}
"""Where the SDK of each wire types what may be asked."""

HEADERS = {"betas"}
"""What the SDKs send as headers."""


def members_of(kind: Any) -> dict[str, Any]:
    """The members of a typed dictionary, or of all those that a type may be."""
    if is_typeddict(kind):
        return get_type_hints(kind)
    found: dict[str, Any] = {}
    for one in get_args(kind):
        found |= members_of(one)
    return found


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_the_list_of_fields_has_all_that_the_sdk_sends(wire: Wire) -> None:
    """Whatever the SDK can put into a body is listed, and so is what it can put into a field whose parts are listed."""
    module = pytest.importorskip(ASKED_WITH[wire.paths[0]], reason="SDKs are tested by `make test-clients`")
    listed = {field.name: field for field in wire.body.fields}
    (typed,) = [
        getattr(module, name) for name in vars(module) if name.endswith(("ParamsStreaming", "CountTokensParams"))
    ]
    missing = []
    for name, kind in members_of(typed).items():
        parts = [name] if name not in HEADERS else []
        if any(one.startswith(f"{name}.") for one in listed):
            known = {part for option in listed[name].type.get("oneOf", ()) for part in option["properties"]}
            parts += [f"{name}.{part}" for part in members_of(kind) if part not in known]
        missing += [part for part in parts if part not in listed]
    assert missing == []


def test_models_are_of_the_sdks_types() -> None:
    """The list of models, and one of them, are what each SDK says they are."""
    openai = pytest.importorskip("openai", reason="SDKs are tested by `make test-clients`")
    anthropic = pytest.importorskip("anthropic", reason="SDKs are tested by `make test-clients`")
    with serving({"m": ChatScripted(replies=[])}) as base:
        for module, headers in ((openai.types.Model, {}), (anthropic.types.ModelInfo, {"anthropic_version": "1"})):
            listed = json.loads(send(base, path="/v1/models", method="GET", **headers)[2])
            one = json.loads(send(base, path="/v1/models/m", method="GET", **headers)[2])
            assert listed["data"] == [one]
            module.model_validate_json(json.dumps(one), strict=True)
