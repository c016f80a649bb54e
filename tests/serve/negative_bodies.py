"""Bodies that are wrong in one way each: a server says what is wrong with a 4xx, and never answers or fails itself.

They are the seeds of fuzzing, too. Each has a name, which says what is wrong, and a word that the error must have.
"""

from collections.abc import Mapping
from typing import Any

USER = {"role": "user", "content": "Hi"}

ADD = {"name": "add", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}

ADD_FUNCTION = {"type": "function", "function": {"name": "add", "parameters": ADD["input_schema"]}}

SEARCH = {"type": "web_search_20250305", "name": "web_search"}

MISSING: Any = object()
"""In place of a field that a body lacks."""


def a_body(**changes: Any) -> dict[str, Any]:
    """A body that both wires take, but for what is changed."""
    body = {"model": "scripted", "max_tokens": 4096, "messages": [USER], **changes}
    return {name: value for name, value in body.items() if value is not MISSING}


def said(*content: Any, role: str = "user") -> list[Any]:
    """The messages of a body: one, with these blocks."""
    return [{"role": role, "content": [*content]}]


def _with_source(source: Any) -> list[Any]:
    return said({"type": "image", "source": source})


def _called(**changes: Any) -> list[Any]:
    """A conversation with a call on Anthropic's wire, but for what is changed."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}, **changes}
    call = {name: value for name, value in call.items() if value is not MISSING}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"}
    return [USER, *said(call, role="assistant"), *said(result)]


MESSAGES: Mapping[str, tuple[Any, str]] = {
    "a list": ([], "object"),
    "a string": ("Hi", "object"),
    "null": (None, "object"),
    "nothing in it": ({}, "model"),
    "no model": (a_body(model=MISSING), "model"),
    "model null": (a_body(model=None), "model"),
    "model a number": (a_body(model=7), "model"),
    "model unknown": (a_body(model="gpt-none"), "gpt-none"),
    "no max_tokens": (a_body(max_tokens=MISSING), "max_tokens"),
    "max_tokens null": (a_body(max_tokens=None), "max_tokens"),
    "max_tokens a string": (a_body(max_tokens="16"), "max_tokens"),
    "max_tokens a half": (a_body(max_tokens=1.5), "max_tokens"),
    "max_tokens true": (a_body(max_tokens=True), "max_tokens"),
    "max_tokens zero": (a_body(max_tokens=0), "max_tokens"),
    "max_tokens negative": (a_body(max_tokens=-1), "max_tokens"),
    "no messages": (a_body(messages=MISSING), "messages"),
    "messages null": (a_body(messages=None), "messages"),
    "messages a string": (a_body(messages="Hi"), "messages"),
    "messages an object": (a_body(messages=USER), "messages"),
    "messages empty": (a_body(messages=[]), "messages"),
    "a message null": (a_body(messages=[None]), "messages.0"),
    "a message a string": (a_body(messages=["Hi"]), "messages.0"),
    "a message a list": (a_body(messages=[[USER]]), "messages.0"),
    "no role": (a_body(messages=[{"content": "Hi"}]), "messages.0.role"),
    "role unknown": (a_body(messages=[{"role": "tool", "content": "Hi"}]), "messages.0.role"),
    "role a list": (a_body(messages=[{"role": ["user"], "content": "Hi"}]), "messages.0.role"),
    "no content": (a_body(messages=[{"role": "user"}]), "messages.0.content"),
    "content null": (a_body(messages=[{"role": "user", "content": None}]), "messages.0.content"),
    "content a number": (a_body(messages=[{"role": "user", "content": 7}]), "messages.0.content"),
    "content an object": (
        a_body(messages=[{"role": "user", "content": {"type": "text", "text": "Hi"}}]),
        "messages.0.content",
    ),
    "a later message wrong": (a_body(messages=[USER, {"role": "assistant"}]), "messages.1.content"),
    "a block a string": (a_body(messages=said("Hi")), "messages.0.content.0"),
    "a block null": (a_body(messages=said(None)), "messages.0.content.0"),
    "a block without a type": (a_body(messages=said({"text": "Hi"})), "messages.0.content.0.type"),
    "a block of no known type": (a_body(messages=said({"type": "smell"})), "smell"),
    "a block's type a list": (a_body(messages=said({"type": ["text"]})), "messages.0.content.0.type"),
    "text without text": (a_body(messages=said({"type": "text"})), "messages.0.content.0.text"),
    "text a number": (a_body(messages=said({"type": "text", "text": 7})), "messages.0.content.0.text"),
    "an image of chat completions": (
        a_body(messages=said({"type": "image_url", "image_url": {"url": "https://example.test/a.png"}})),
        "image_url",
    ),
    "an image without a source": (a_body(messages=said({"type": "image"})), "source"),
    "an image's source a string": (a_body(messages=_with_source("https://example.test/a.png")), "source"),
    "an image's source of no known type": (a_body(messages=_with_source({"type": "path", "path": "/x"})), "path"),
    "an image in base64 without data": (
        a_body(messages=_with_source({"type": "base64", "media_type": "image/png"})),
        "data",
    ),
    "an image in base64 without a type": (
        a_body(messages=_with_source({"type": "base64", "data": "iVBORw0KGgo="})),
        "media_type",
    ),
    "an image's data a number": (
        a_body(messages=_with_source({"type": "base64", "media_type": "image/png", "data": 7})),
        "data",
    ),
    "an image by a URL that is missing": (a_body(messages=_with_source({"type": "url"})), "url"),
    "an image from a file kept elsewhere": (
        a_body(messages=_with_source({"type": "file", "file_id": "file_1"})),
        "files",
    ),
    "a document without a source": (a_body(messages=said({"type": "document"})), "source"),
    "a document of text without text": (
        a_body(messages=said({"type": "document", "source": {"type": "text", "media_type": "text/plain"}})),
        "data",
    ),
    "a result without its call's id": (a_body(messages=said({"type": "tool_result", "content": "3"})), "tool_use_id"),
    "a result with a number for content": (
        a_body(messages=said({"type": "tool_result", "tool_use_id": "toolu_1", "content": 3})),
        "content",
    ),
    "a call by the user": (a_body(messages=said({**ADD, "type": "tool_use", "id": "1", "input": {}})), "tool_use"),
    "a call without a name": (a_body(messages=_called(name=MISSING)), "messages.1.content.0.name"),
    "a call without an id": (a_body(messages=_called(id=MISSING)), "messages.1.content.0.id"),
    "a call without input": (a_body(messages=_called(input=MISSING)), "messages.1.content.0.input"),
    "a call with input as text": (a_body(messages=_called(input='{"a": 1}')), "messages.1.content.0.input"),
    "a result in an answer": (
        a_body(messages=said({"type": "tool_result", "tool_use_id": "toolu_1"}, role="assistant")),
        "tool_result",
    ),
    "thinking without text": (
        a_body(messages=[USER, *said({"type": "thinking", "signature": "s"}, role="assistant"), USER]),
        "thinking",
    ),
    "redacted thinking without data": (
        a_body(messages=[USER, *said({"type": "redacted_thinking"}, role="assistant"), USER]),
        "data",
    ),
    "system a number": (a_body(system=7), "system"),
    "system an object": (a_body(system={"type": "text", "text": "Be brief."}), "system"),
    "system with an image": (a_body(system=[{"type": "image"}]), "system.0"),
    "system with a block without text": (a_body(system=[{"type": "text"}]), "system.0.text"),
    "system with a string in a list": (a_body(system=["Be brief."]), "system.0"),
    "tools an object": (a_body(tools=ADD), "tools"),
    "tools a string": (a_body(tools="add"), "tools"),
    "a tool a string": (a_body(tools=["add"]), "tools.0"),
    "a tool null": (a_body(tools=[None]), "tools.0"),
    "a tool without a name": (a_body(tools=[{"input_schema": {"type": "object"}}]), "tools.0.name"),
    "a tool with an empty name": (a_body(tools=[{**ADD, "name": ""}]), "tools.0.name"),
    "a tool without a schema": (a_body(tools=[{"name": "add"}]), "tools.0.input_schema"),
    "a tool with a schema as text": (a_body(tools=[{**ADD, "input_schema": "{}"}]), "tools.0.input_schema"),
    "a tool of chat completions": (a_body(tools=[{**ADD_FUNCTION, "type": "custom"}]), "tools.0.name"),
    "two tools with one name": (a_body(tools=[ADD, ADD]), "tools.1.name"),
    "tool_choice a string": (a_body(tools=[ADD], tool_choice="auto"), "tool_choice"),
    "tool_choice without a type": (a_body(tools=[ADD], tool_choice={}), "tool_choice.type"),
    "tool_choice of no known type": (a_body(tools=[ADD], tool_choice={"type": "maybe"}), "tool_choice.type"),
    "tool_choice without a name": (a_body(tools=[ADD], tool_choice={"type": "tool"}), "tool_choice.name"),
    "tool_choice of another tool": (a_body(tools=[ADD], tool_choice={"type": "tool", "name": "mul"}), "mul"),
    "tool_choice of a tool that runs at Anthropic's": (
        a_body(tools=[ADD, SEARCH], tool_choice={"type": "tool", "name": "web_search"}),
        "web_search",
    ),
    "tool_choice any among tools that all run at Anthropic's": (
        a_body(tools=[SEARCH], tool_choice={"type": "any"}),
        "tool_choice",
    ),
    "tool_choice any without tools": (a_body(tool_choice={"type": "any"}), "tool_choice"),
    "stop_sequences a string": (a_body(stop_sequences="x"), "stop_sequences"),
    "stop_sequences with a number": (a_body(stop_sequences=["x", 7]), "stop_sequences"),
    "stop_sequences with an empty one": (a_body(stop_sequences=[""]), "stop_sequences"),
    "temperature a string": (a_body(temperature="hot"), "temperature"),
    "temperature negative": (a_body(temperature=-0.1), "temperature"),
    "temperature above one": (a_body(temperature=1.1), "temperature"),
    "top_p a string": (a_body(top_p="0.5"), "top_p"),
    "top_p above one": (a_body(top_p=1.5), "top_p"),
    "top_k a half": (a_body(top_k=1.5), "top_k"),
    "top_k negative": (a_body(top_k=-1), "top_k"),
    "stream a string": (a_body(stream="yes"), "stream"),
    "stream a number": (a_body(stream=1), "stream"),
    "metadata a string": (a_body(metadata="me"), "metadata"),
    "thinking a boolean": (a_body(thinking=True), "thinking"),
    "thinking of no known type": (a_body(thinking={"type": "hard"}), "thinking"),
}
"""On Anthropic's wire."""

CHAT: Mapping[str, tuple[Any, str]] = {
    "a list": ([], "object"),
    "a string": ("Hi", "object"),
    "null": (None, "object"),
    "nothing in it": ({}, "model"),
    "no model": (a_body(model=MISSING), "model"),
    "model a number": (a_body(model=7), "model"),
    "model unknown": (a_body(model="gpt-none"), "gpt-none"),
    "no messages": (a_body(messages=MISSING), "messages"),
    "messages a string": (a_body(messages="Hi"), "messages"),
    "messages empty": (a_body(messages=[]), "messages"),
    "a message null": (a_body(messages=[None]), "messages"),
    "a message a string": (a_body(messages=["Hi"]), "messages"),
    "no role": (a_body(messages=[{"content": "Hi"}]), "role"),
    "role unknown": (a_body(messages=[{"role": "oracle", "content": "Hi"}]), "role"),
    "no content": (a_body(messages=[{"role": "user"}]), "content"),
    "content a number": (a_body(messages=[{"role": "user", "content": 7}]), "content"),
    "content an object": (a_body(messages=[{"role": "user", "content": {"type": "text", "text": "Hi"}}]), "content"),
    "a part a string": (a_body(messages=said("Hi")), "content"),
    "a part without a type": (a_body(messages=said({"text": "Hi"})), "type"),
    "a part of no known type": (a_body(messages=said({"type": "smell"})), "smell"),
    "a part of text without text": (a_body(messages=said({"type": "text"})), "text"),
    "an image without a URL": (a_body(messages=said({"type": "image_url"})), "image_url"),
    "an image whose URL is a number": (a_body(messages=said({"type": "image_url", "image_url": {"url": 7}})), "url"),
    "a result without its call's id": (a_body(messages=[USER, {"role": "tool", "content": "3"}]), "tool_call_id"),
    "calls that are no list": (
        a_body(messages=[USER, {"role": "assistant", "content": "", "tool_calls": {"id": "1"}}, USER]),
        "tool_calls",
    ),
    "a call without a function": (
        a_body(messages=[USER, {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}, USER]),
        "function",
    ),
    "max_tokens a string": (a_body(max_tokens="16"), "max_tokens"),
    "max_tokens zero": (a_body(max_tokens=0), "max_tokens"),
    "max_tokens negative": (a_body(max_tokens=-1), "max_tokens"),
    "max_completion_tokens a half": (a_body(max_tokens=MISSING, max_completion_tokens=1.5), "max_completion_tokens"),
    "temperature a string": (a_body(temperature="hot"), "temperature"),
    "temperature above two": (a_body(temperature=2.1), "temperature"),
    "top_p above one": (a_body(top_p=1.5), "top_p"),
    "frequency_penalty a string": (a_body(frequency_penalty="x"), "frequency_penalty"),
    "presence_penalty out of bounds": (a_body(presence_penalty=3), "presence_penalty"),
    "seed a string": (a_body(seed="x"), "seed"),
    "n zero": (a_body(n=0), "n"),
    "n a string": (a_body(n="2"), "n"),
    "stop a number": (a_body(stop=7), "stop"),
    "stop with a number": (a_body(stop=["x", 7]), "stop"),
    "stream a string": (a_body(stream="yes"), "stream"),
    "stream_options a string": (a_body(stream=True, stream_options="usage"), "stream_options"),
    "tools an object": (a_body(tools=ADD_FUNCTION), "tools"),
    "a tool a string": (a_body(tools=["add"]), "tools"),
    "a function without a name": (a_body(tools=[{"type": "function", "function": {}}]), "name"),
    "a function that is missing": (a_body(tools=[{"type": "function"}]), "function"),
    "tool_choice of no known word": (a_body(tools=[ADD_FUNCTION], tool_choice="maybe"), "tool_choice"),
    "tool_choice a number": (a_body(tools=[ADD_FUNCTION], tool_choice=7), "tool_choice"),
    "tool_choice of another tool": (
        a_body(tools=[ADD_FUNCTION], tool_choice={"type": "function", "function": {"name": "mul"}}),
        "mul",
    ),
    "response_format a string": (a_body(response_format="json"), "response_format"),
    "response_format of no known type": (a_body(response_format={"type": "xml"}), "response_format"),
    "response_format without its schema": (a_body(response_format={"type": "json_schema"}), "json_schema"),
    "logprobs a string": (a_body(logprobs="yes"), "logprobs"),
    "top_logprobs out of bounds": (a_body(logprobs=True, top_logprobs=99), "top_logprobs"),
}
"""On the wire of chat completions."""

NO_JSON: Mapping[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"model": "scripted", "messages": [',
    "words": b"Hi",
    "not UTF-8": b'{"model": "\xff\xfe"}',
    "two objects": b"{}{}",
    "NaN": b'{"model": "scripted", "max_tokens": NaN, "messages": []}',
    "nested beyond measure": b"[" * 100_000,
}
"""What is not JSON at all, whatever the wire."""
