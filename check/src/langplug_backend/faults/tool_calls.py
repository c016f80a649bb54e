"""Tool calls as servers send them that only resemble OpenAI's."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain, groupby, zip_longest
from typing import Any

from langplug_backend.faults.kind import fault_kind
from langplug_backend.response import Event, FakeResponse

WireCall = dict[str, Any]
"""A call, or a fragment of one, as the wire has it."""

openai_calls = partial(fault_kind, dialects=("openai",))
openai_stream = partial(fault_kind, streams=True, dialects=("openai",))


@openai_stream()
def calls_interleaved(response: FakeResponse, *_: object) -> FakeResponse:
    """Fragments of parallel calls take turns."""
    # Allowed, as each fragment has its index, and still mixed up by clients that add to the last call they saw
    # (maximhq/bifrost#1829, QwenLM/Qwen-Agent#943).
    events: list[Event] = []
    for is_call, run in groupby(response.events, lambda event: bool(calls_in(event))):
        if is_call:
            calls = [list(call) for _, call in groupby(run, lambda event: calls_in(event)[0].get("index"))]
            events += filter(None, chain.from_iterable(zip_longest(*calls)))
        else:
            events += run
    return replace(response, events=tuple(events))


@openai_stream()
def calls_no_index(response: FakeResponse, *_: object) -> FakeResponse:
    """Fragments of calls have no index."""
    # Gemini's OpenAI endpoint (openai/openai-python#2806), and Ollama's before ollama/ollama#7881.
    return _edit_calls(response, lambda call: {key: value for key, value in call.items() if key != "index"})


@openai_calls()
def calls_no_ids(response: FakeResponse, *_: object) -> FakeResponse:
    """Calls have no id."""
    # Gemini's OpenAI endpoint (openai/openai-dotnet#428).
    return _edit_calls(response, lambda call: {key: value for key, value in call.items() if key != "id"})


@openai_stream()
def calls_name_repeated(response: FakeResponse, *_: object) -> FakeResponse:
    """Each fragment of a call has its name."""
    # MiniMax behind NVIDIA NIM; clients that join the names call `read_fileread_file` (NousResearch/hermes-agent#8259).
    names: dict[Any, str] = {}

    def add_name(call: WireCall) -> WireCall:
        name = names.setdefault(call.get("index"), call["function"].get("name", ""))
        return {**call, "function": {"name": name, **call["function"]}}

    return _edit_calls(response, add_name)


@openai_stream()
def calls_ids_repeated(response: FakeResponse, *_: object) -> FakeResponse:
    """Each fragment of a call has its id."""
    # The same servers do it (AstrBotDevs/AstrBot#7735); so an id does not mean that a new call begins.
    ids: dict[Any, str] = {}
    return _edit_calls(response, lambda call: {"id": ids.setdefault(call.get("index"), call.get("id", "")), **call})


@openai_calls()
def calls_args_object(response: FakeResponse, *_: object) -> FakeResponse:
    """Arguments are an object, not a string."""
    # TGI (huggingface/text-generation-inference#2461), and llama.cpp's server for a while (ggml-org/llama.cpp#20198).

    def parse(args: str) -> Any:
        try:
            return json.loads(args)
        except ValueError:
            return args

    return _edit_arguments(response, parse)


@openai_calls()
def calls_args_double(response: FakeResponse, *_: object) -> FakeResponse:
    """Arguments are JSON in JSON."""
    # Oracle's OCI (oracle/langchain-oracle#70), and vLLM's parsers of some models (vllm-project/vllm#54964).
    return _edit_arguments(response, lambda args: json.dumps(args, ensure_ascii=False))


@openai_calls()
def calls_args_truncated(response: FakeResponse, *_: object) -> FakeResponse:
    """Arguments are cut off."""
    # As where the token limit strikes inside of a call, but the finish reason does not say so.
    return _edit_arguments(response, lambda args: args[: len(args) * 2 // 3])


def calls_in(event: Event) -> list[WireCall]:
    """The calls, or fragments of calls, in an event's choices."""
    choices = (event.data or {}).get("choices") or []
    return [call for choice in choices for call in _message_of(choice).get("tool_calls") or []]


def _edit_arguments(response: FakeResponse, edit: Callable[[str], Any]) -> FakeResponse:
    """Each call in one fragment, with its arguments edited."""

    def identify(event: Event, call: WireCall) -> Any:
        return event.data["choices"][0]["index"], call.get("index", call.get("id"))

    arguments: dict[Any, str] = {}
    for event in response.events:
        for call in calls_in(event):
            key = identify(event, call)
            arguments[key] = arguments.get(key, "") + call["function"]["arguments"]
    events = []
    for event in response.events:
        calls = calls_in(event)
        if calls and not any("id" in call for call in calls):
            continue  # a later fragment, and the first one has everything now

        def with_arguments(call: WireCall, event: Event = event) -> WireCall:
            return {**call, "function": {**call["function"], "arguments": edit(arguments[identify(event, call)])}}

        events.append(_edit_event(event, with_arguments))
    return replace(response, events=tuple(events))


def _edit_calls(response: FakeResponse, edit: Callable[[WireCall], WireCall]) -> FakeResponse:
    return replace(response, events=tuple(_edit_event(event, edit) for event in response.events))


def _edit_event(event: Event, edit: Callable[[WireCall], WireCall]) -> Event:
    if not calls_in(event):
        return event
    choices = []
    for choice in event.data["choices"]:
        calls = [edit(call) for call in _message_of(choice).get("tool_calls") or []]
        choices.append({**choice, _message_key(choice): {**_message_of(choice), "tool_calls": calls}})
    return replace(event, data={**event.data, "choices": choices})


def _message_key(choice: dict[str, Any]) -> str:
    return "delta" if "delta" in choice else "message"


def _message_of(choice: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = choice[_message_key(choice)]
    return message
