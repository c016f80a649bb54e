"""A model that is clever enough for agents, and always says the same: no network, no weights, no luck.

It calls a tool when the prompt is a question and no result has come yet, and answers with the results once they have.
Arguments and objects are made of their JSON schemas: a number is the first in the prompt, a text what the prompt
quotes. It works natively, with `request.tools` and `request.schema`, and from what a prompt tells it, in text.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from tests.callers import pieces

from langplug import ChatModel, Part, Request, ToolCall, Usage, chat_model

WORDS = ("Why did the cat sit?", "It was tired.")


# --- what it makes of a schema ---


def value_for(schema: Mapping[str, Any], root: Mapping[str, Any], prompt: str) -> Any:
    """A value that fits `schema`."""
    schema = resolved(schema, root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", next(iter(schema.get("enum", [None]))))
    match schema.get("type"):
        case "object" | None:
            return object_for(schema, root, prompt)
        case "array":
            return [value_for(schema.get("items") or {"type": "string"}, root, prompt)]
        case "integer" | "number":
            return int(next(iter(re.findall(r"\d+", prompt)), 7))
        case "boolean":
            return True
        case "null":
            return None
    return next(iter(quoted(prompt)), WORDS[0])


def object_for(schema: Mapping[str, Any], root: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    named = schema.get("properties")
    if named is None:  # any object: the one in the prompt, or one whose keys are what the prompt quotes
        shown = re.search(r"{.*}", prompt)
        return json.loads(shown[0]) if shown else dict(zip(quoted(prompt), WORDS, strict=False))
    return {name: value_for(inner, root, prompt) for name, inner in named.items()}


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        return resolved(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return resolved(schema[key][0], root)
    return schema


def quoted(prompt: str) -> list[str]:
    return re.findall(r"'([^']+)'", prompt)


# --- what it says ---


def question_in(request: Request) -> str:
    said = [message.text for message in request.messages if isinstance(message, HumanMessage)]
    return next((text for text in reversed(said) if "<tool_response>" not in text), "")


def has_results(request: Request) -> bool:
    last = request.messages[-1]
    return isinstance(last, ToolMessage) or "<tool_response>" in last.text


def answer_to(request: Request) -> str:
    results = re.findall(r'"content": (.*)}$', request.text, re.MULTILINE) or [request.text]
    return f"The answer is {' and '.join(results)}." if has_results(request) else f"You said: {question_in(request)}"


def chosen(tools: Sequence[Mapping[str, Any]], request: Request) -> Mapping[str, Any]:
    """The tool that must be called, else the first; once there are results, the last, as it stands for the answer."""
    choice = request.tool_choice
    named = choice["function"]["name"] if isinstance(choice, dict) else None
    return next((tool for tool in tools if tool["name"] == named), tools[-1 if has_results(request) else 0])


def wants_tool(request: Request, *, forced: bool) -> bool:
    return forced or not has_results(request)


def answer_natively(request: Request) -> Iterator[Part]:
    """With the tools and the schema that the request holds."""
    yield Usage(input_tokens=10)
    tools = [tool["function"] for tool in request.tools] if request.tool_choice != "none" else []
    if tools and wants_tool(request, forced=request.tool_choice != "auto"):
        tool = chosen(tools, request)
        parameters = tool.get("parameters") or {"properties": {}}
        args = json.dumps(value_for(parameters, parameters, question_in(request)), ensure_ascii=False)
        yield ToolCall(name=tool["name"], index=0)
        yield from (ToolCall(args=piece, index=0) for piece in pieces(args))
    elif request.schema is not None:
        yield from pieces(json.dumps(value_for(request.schema, request.schema, question_in(request))))
    else:
        yield from pieces(answer_to(request))
    yield Usage(output_tokens=5)


def answer_in_text(request: Request) -> Iterator[Part]:
    """With what the system prompt tells: tools, each in a line, and the schema behind the words "JSON schema"."""
    yield Usage(input_tokens=10)
    told = "\n".join(message.text for message in request.messages if isinstance(message, SystemMessage))
    tools = [json.loads(line) for line in told.splitlines() if line.startswith('{"name": ') and "parameters" in line]
    schema = re.search(r"must fit this JSON schema:\n(.*)", told)
    if tools and wants_tool(request, forced="Now you must call" in told):
        tool = chosen(tools, request)
        args = value_for(tool["parameters"], tool["parameters"], question_in(request))
        called = json.dumps({"name": tool["name"], "arguments": args}, ensure_ascii=False)
        yield from pieces(f"<tool_call>\n{called}\n</tool_call>")
    elif schema is not None:
        described = json.loads(schema[1])
        written = json.dumps(value_for(described, described, question_in(request)))
        yield from pieces(f"Here you are:\n```json\n{written}\n```")
    else:
        yield from pieces(answer_to(request))
    yield Usage(output_tokens=5)


# --- the models ---


class ChatStub(ChatModel):
    """Calls tools and keeps to schemas by itself."""

    tool_calling = "native"
    structured_output = "native"
    model: str = "stub-1"

    def respond(self, request: Request, /) -> Iterator[Part]:
        yield from answer_natively(request)


class ChatStubCaller(ChatModel):
    """Calls tools by itself; of schemas it knows what it is told."""

    tool_calling = "native"
    model: str = "stub-1"

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        calls = request.tools and wants_tool(request, forced=request.tool_choice != "auto")
        for part in answer_natively(request) if calls else answer_in_text(request):
            yield part


class ChatStubReader(ChatModel):
    """Knows only text."""

    model: str = "stub-1"

    def respond(self, request: Request, /) -> Iterator[Part]:
        yield from answer_in_text(request)


@chat_model
async def stub_reader(request: Request, *, model: str = "stub-1") -> AIMessage:
    """Knows only text, and says it at once."""
    text = "".join(part for part in answer_in_text(request) if isinstance(part, str))
    return AIMessage(text, usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15})


@chat_model(tool_calling="native", structured_output="native")
def stub(request: Request, *, model: str = "stub-1") -> Iterator[Part]:
    """Calls tools and keeps to schemas by itself."""
    yield from answer_natively(request)


STUB_MODELS: dict[str, type[ChatModel]] = {
    "native": ChatStub,
    "native tools": ChatStubCaller,
    "prompted": ChatStubReader,
    "prompted, decorated": stub_reader,  # type: ignore[dict-item]
    "native, decorated": stub,  # type: ignore[dict-item]
}
