"""What SDKs and LangChain's own hooks give, passed on as it is."""

import dataclasses
import uuid
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    InvalidToolCall,
    ToolCallChunk,
)
from langchain_core.messages import ToolCall as LangChainToolCall
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
)
from pydantic import BaseModel, ConfigDict
from tests.paths import PATHS

from langplug import ChatModel, IncompleteAnswerError, Request, chat_model
from langplug.models import ChatScripted


class Sdk(BaseModel):
    """As OpenAI's SDK makes its own: what the server sends beyond the declared stays."""

    model_config = ConfigDict(extra="allow")


def as_model(value: Any) -> Any:
    if isinstance(value, dict):
        return Sdk(**{name: as_model(item) for name, item in value.items()})
    return [as_model(item) for item in value] if isinstance(value, list) else value


def as_namespace(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{name: as_namespace(item) for name, item in value.items()})
    return [as_namespace(item) for item in value] if isinstance(value, list) else value


def as_slots(value: Any) -> Any:
    if isinstance(value, dict):
        cls = dataclasses.make_dataclass("Slots", list(value), slots=True)
        return cls(**{name: as_slots(item) for name, item in value.items()})
    return [as_slots(item) for item in value] if isinstance(value, list) else value


def as_proxy(value: Any) -> Any:
    """As instrumentation wraps what a client gives."""

    class Proxy:
        def __init__(self, wrapped: Any) -> None:
            self._wrapped = wrapped

        def __getattr__(self, name: str) -> Any:
            return getattr(self._wrapped, name)

    return Proxy(as_model(value)) if isinstance(value, dict) else as_model(value)


def as_mapping(value: Any) -> Any:
    """A dict that is not a `dict`."""

    class Own(Mapping[str, Any]):
        def __init__(self, items: dict[str, Any]) -> None:
            self._items = items

        def __getitem__(self, key: str) -> Any:
            return self._items[key]

        def __iter__(self) -> Iterator[str]:
            return iter(self._items)

        def __len__(self) -> int:
            return len(self._items)

    if isinstance(value, dict):
        return Own({name: as_mapping(item) for name, item in value.items()})
    return [as_mapping(item) for item in value] if isinstance(value, list) else value


def as_mixture(value: dict[str, Any]) -> Any:
    """A dict around the SDK's objects."""
    return {name: as_model(item) for name, item in value.items()}


MAKES: list[Callable[[Any], Any]] = [dict, as_model, as_namespace, as_slots, as_proxy, as_mapping, as_mixture]

USAGE = {
    "prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": None},
}  # fmt: skip
CALL = {"id": "c1", "type": "function", "index": 0, "function": {"name": "add", "arguments": '{"a": 1}'}}
COMPLETION = {
    "id": "x",
    "model": "acme-1",
    "system_fingerprint": "fp",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "hi", "logprob": -0.5}]},
            "message": {"role": "assistant", "content": "hi", "reasoning_content": "hm", "tool_calls": [CALL]},
        }
    ],
    "usage": USAGE,
}


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    whole = {"role": None, "content": None, "tool_calls": None, **delta}
    choice = {"index": 0, "delta": whole, "finish_reason": reason, "logprobs": None}
    return {"id": "x", "model": "acme-1", "choices": [choice], "usage": None}


CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "h"}),
    chunk({"content": "i", "reasoning_content": "hm"}),
    chunk({"tool_calls": [{**CALL, "function": {"name": "add", "arguments": '{"a"'}}]}),
    chunk({"tool_calls": [{"index": 0, "id": None, "function": {"name": None, "arguments": ": 1}"}}]}),
    chunk({}, "tool_calls"),
    {"id": "x", "model": "acme-1", "choices": [], "usage": USAGE},
]


class ChatSays(ChatModel):
    """Yields what it was given."""

    tool_calling = "native"
    parts: Any

    def respond(self, request: Request, /) -> Iterator[Any]:
        yield from self.parts


def seen(message: AIMessage) -> Any:
    calls = [(call["name"], call["args"], call["id"]) for call in message.tool_calls]
    metadata = {key: value for key, value in message.response_metadata.items() if key != "output_version"}
    return message.text, message.additional_kwargs, calls, message.usage_metadata, metadata


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("path", PATHS)
def test_an_object_is_as_good_as_a_dict(make: Callable[[Any], Any], path: str) -> None:
    """Whatever has `choices` is read, be it a dict or an object of any make, and nothing of it is lost."""
    for parts in ([COMPLETION], CHUNKS):
        expected = seen(ChatSays(parts=parts).invoke("?"))
        assert ("hi", [("add", {"a": 1}, "c1")]) == (expected[0], expected[2])
        assert expected == seen(PATHS[path](ChatSays(parts=[make(part) for part in parts]), "?").message)


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("path", PATHS)
def test_a_piece_of_a_completion_will_do(make: Callable[[Any], Any], path: str) -> None:
    """A choice, a delta, a message or a tool call may be passed on by itself."""
    choices = [make(each["choices"][0]) for each in CHUNKS if each["choices"]]
    deltas = [make(each["choices"][0]["delta"]) for each in CHUNKS if each["choices"]]
    message = COMPLETION["choices"][0]["message"]  # type: ignore[index] # a dict of anything
    for parts in (choices, deltas, [make(COMPLETION["choices"][0])], [make(message)]):  # type: ignore[index] # likewise
        answer = PATHS[path](ChatSays(parts=parts), "?").message
        assert ("hi", [("add", {"a": 1}, "c1")]) == (seen(answer)[0], seen(answer)[2])
        assert "tool_calls" == answer.response_metadata["finish_reason"]
    answer = PATHS[path](ChatSays(parts=["hi", make(CALL)]), "?").message
    assert ("hi", [("add", {"a": 1}, "c1")]) == (seen(answer)[0], seen(answer)[2])


@pytest.mark.parametrize("make", MAKES)
def test_a_stream_of_objects_owes_its_end(make: Callable[[Any], Any]) -> None:
    """A stream of objects that ends without a finish reason is as incomplete as one of dicts."""
    with pytest.raises(IncompleteAnswerError):
        ChatSays(parts=[make(chunk({"content": "ha"}))]).invoke("?")


@pytest.mark.parametrize("path", PATHS)
def test_none_is_an_empty_delta(path: str) -> None:
    """`chunk.choices[0].delta.content` is None where a chunk has no text, and adds nothing."""
    assert "hi" == PATHS[path](ChatSays(parts=[None, "h", None, "i", None]), "?").text
    assert "" == PATHS[path](ChatSays(parts=[None, "", None]), "?").text
    assert "" == PATHS[path](ChatSays(parts=[]), "?").text


@pytest.mark.parametrize(
    "given", [lambda request: None, lambda request: iter([None]), lambda request: iter([None] * 3)]
)
@pytest.mark.parametrize("path", PATHS)
def test_nothing_but_none_is_an_error(given: Any, path: str) -> None:
    """A function that gives None and nothing else has probably forgotten a `return` or a `yield`."""
    with pytest.raises(TypeError, match=r"gave None \(a NoneType\).*Is a `return` or a `yield` missing"):
        PATHS[path](chat_model(given)(), "?")


def test_text_of_any_kind_is_a_plain_string() -> None:
    """A subclass of `str` is text by its value, and does not stay in the message."""

    class Word(str, Enum):  # noqa: UP042 - `str(Word.HI)` is "Word.HI", as in what SDKs generate
        HI = "hi"

    for version in ("v0", "v1"):
        for part in (Word.HI, np.str_("hi"), type("Own", (str,), {"__str__": lambda self: "?"})("hi")):
            for path in PATHS.values():
                message = path(ChatSays(parts=["oh ", part], output_version=version), "?").message
                assert "oh hi" == message.text
                content = message.content
                texts = [content] if isinstance(content, str) else [block["text"] for block in content]  # type: ignore[index] # blocks
                assert [str] * len(texts) == [type(text) for text in texts]


# --- LangChain's own ---

CALLED: list[Any] = [
    LangChainToolCall(name="add", args={"a": 1}, id="c1"),
    LangChainToolCall(name="add", args={"a": 1}, id="c1", type="tool_call"),
    ToolCallChunk(name="add", args='{"a": 1}', id="c1", index=0),
    {"name": "add", "args": {"a": 1}},
]


@pytest.mark.parametrize("call", CALLED)
@pytest.mark.parametrize("path", PATHS)
def test_langchains_tool_calls_are_calls(call: Any, path: str) -> None:
    """LangChain's `ToolCall` is a dict whose type may be left out."""
    (made,) = PATHS[path](ChatSays(parts=["hi", call]), "?").message.tool_calls
    assert ("add", {"a": 1}) == (made["name"], made["args"])


@pytest.mark.parametrize("typed", [True, False])
def test_langchains_invalid_tool_calls_are_invalid(typed: bool) -> None:
    """An `InvalidToolCall` stays one, with and without its type."""
    given: Any = InvalidToolCall(name="add", args='{"a"', id="c1", error="cut off", type="invalid_tool_call")
    if not typed:
        del given["type"]
    message = ChatSays(parts=[given]).invoke("?")
    assert ([], [("add", '{"a"')]) == (
        message.tool_calls, [(one["name"], (one["args"] or "")[:4]) for one in message.invalid_tool_calls]
    )  # fmt: skip


TOKENS = {"token_usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}, "model_name": "acme-1"}
INFO = {"finish_reason": "length", "logprobs": {"content": [{"token": "hi", "logprob": -0.5}]}}
MESSAGE = AIMessage("hi", id="its-own", additional_kwargs={"more": 1}, response_metadata={**INFO})

RESULTS: dict[str, list[Any]] = {
    "ChatResult": [ChatResult(generations=[ChatGeneration(message=MESSAGE, generation_info=INFO)], llm_output=TOKENS)],
    "info alone": [
        ChatResult(generations=[ChatGeneration(message=AIMessage("hi"), generation_info=INFO)], llm_output=TOKENS)
    ],
    "LLMResult of a chat model": [
        LLMResult(generations=[[ChatGeneration(message=AIMessage("hi"), generation_info=INFO)]], llm_output=TOKENS)
    ],
    "LLMResult of a text model": [
        LLMResult(generations=[[Generation(text="hi", generation_info=INFO)]], llm_output=TOKENS)
    ],
    "chunks": [
        ChatGenerationChunk(message=AIMessageChunk("h")),
        ChatGenerationChunk(
            message=AIMessageChunk("i", usage_metadata={"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}),
            generation_info={**INFO, "model_name": "acme-1"},
        ),
    ],
    "chunks of text": [
        GenerationChunk(text="h"), GenerationChunk(text="i", generation_info=INFO),
        LLMResult(generations=[[Generation(text="")]], llm_output=TOKENS),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("path", PATHS)
def test_what_langchains_hooks_give_is_an_answer(kind: str, path: str) -> None:
    """`ChatResult`, `ChatGeneration` and their kin are read whole: the message, its usage, its end and its metadata."""
    message = PATHS[path](ChatSays(parts=RESULTS[kind]), "?").message
    assert "hi" == message.text
    assert {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5} == message.usage_metadata
    assert ("length", "acme-1") == tuple(message.response_metadata[name] for name in ("finish_reason", "model_name"))
    assert INFO["logprobs"] == message.response_metadata["logprobs"]
    if kind == "ChatResult":
        assert {"more": 1} == message.additional_kwargs


def test_the_messages_own_usage_counts() -> None:
    """Usage beside a message counts where the message has none, and never on top of it."""
    message = AIMessage("hi", usage_metadata={"input_tokens": 7, "output_tokens": 8, "total_tokens": 15})
    result = ChatResult(generations=[ChatGeneration(message=message)], llm_output=TOKENS)
    assert {"input_tokens": 7, "output_tokens": 8, "total_tokens": 15} == ChatSays(parts=[result]).invoke(
        "?"
    ).usage_metadata


@pytest.mark.parametrize("path", PATHS)
def test_the_pages_hooks_can_be_passed_on(path: str) -> None:
    """A class with the page's hooks returns from `respond` what they give."""
    inner = ChatScripted(replies=["one two"], when_exhausted="repeat")
    whole = chat_model(lambda request: inner._generate(list(request.messages)))
    streamed = chat_model(lambda request: inner._stream(list(request.messages)))
    assert ["one two"] * 2 == [PATHS[path](make(), "?").text for make in (whole, streamed)]


# --- what is refused ---


class Thing:
    content = b"what httpx's responses have"


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (42, r"gave 42 \(an int\)\."),
        (uuid.UUID(int=0), r"\(a UUID\)\."),
        (b"x", "Decode the bytes"),
        (memoryview(b"x"), "Decode the bytes"),
        (Thing(), r"\(a Thing\)\."),
        (HumanMessage("x"), r"\(a HumanMessage\)\."),
        (ChatGeneration(message=HumanMessage("x")), "its message is a HumanMessage, not an AIMessage"),
        (ChatResult(generations=[]), "it holds 0 answers"),
        (ChatResult(generations=[ChatGeneration(message=AIMessage("x"))] * 2), "it holds 2 answers"),
        ({"role": "user", "content": "x"}, "its role is 'user'"),
        (SimpleNamespace(choices=[3]), r"3 \(an int\) stands where an object should"),
        (SimpleNamespace(choices=[SimpleNamespace(delta="x")]), r"'x' \(a str\) stands where an object should"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_what_is_not_a_part_is_refused_in_one_sentence(part: Any, named: str, path: str) -> None:
    """The error names the model, what it gave, and what it may give."""
    with pytest.raises(TypeError, match=named) as caught:
        PATHS[path](ChatSays(parts=["hi", part]), "?")
    assert str(caught.value).startswith("ChatSays.respond gave ")
    assert "What it may return or yield: str, Reasoning, ToolCall, " in str(caught.value)


@pytest.mark.parametrize("path", PATHS)
def test_a_completion_that_is_no_chat_is_its_text(path: str) -> None:
    """`choices[].text`, as of the completions API, is the answer."""
    whole = {"object": "text_completion", "choices": [{"text": "legacy", "finish_reason": "stop", "index": 0}]}
    pieces = [{"choices": [{"text": "leg", "index": 0}]}, {"choices": [{"text": "acy", "finish_reason": "length"}]}]
    for parts, reason in (([whole], "stop"), (pieces, "length")):
        answered = PATHS[path](chat_model(partial(lambda request, parts: iter(parts), parts=parts))(), "x")
        assert answered.text == "legacy"
        assert answered.message.response_metadata["finish_reason"] == reason


@pytest.mark.parametrize(
    "choices", [5, "text", {"message": {}}, MagicMock()], ids=lambda choices: type(choices).__name__
)
def test_choices_that_are_no_list_are_named(choices: Any) -> None:
    """A mock without a list of choices would otherwise be an empty answer."""

    @chat_model
    def model(request: Request) -> Any:
        return SimpleNamespace(choices=choices)

    with pytest.raises(TypeError, match=r"`choices` is an?"):
        model().invoke("x")
