"""A program that calls tools and keeps to schemas: one request as JSON on its stdin, JSON lines on its stdout.

It needs the standard library alone, so that it starts fast. It calls a tool when the last message is not a tool's
result, and makes arguments and objects of their JSON schemas, as `tests.stub_models` does.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any


def value_for(schema: Mapping[str, Any], root: Mapping[str, Any], prompt: str) -> Any:
    """A value that fits `schema`: a number is the first in the prompt, a text what the prompt quotes."""
    if "$ref" in schema:
        return value_for(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, prompt)
    if inner := next((schema[key] for key in ("anyOf", "oneOf", "allOf") if key in schema), None):
        return value_for(inner[0], root, prompt)
    if "const" in schema or "enum" in schema:
        return schema.get("const", next(iter(schema.get("enum", [None]))))
    match schema.get("type"):
        case "object" | None:
            named = schema.get("properties") or {}
            return {name: value_for(one, root, prompt) for name, one in named.items()}
        case "array":
            return [value_for(schema.get("items") or {"type": "string"}, root, prompt)]
        case "integer" | "number":
            return int(next(iter(re.findall(r"\d+", prompt)), 7))
        case "boolean":
            return True
        case "null":
            return None
    return next(iter(re.findall(r"'([^']+)'", prompt)), "Why did the cat sit?")


def chosen(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The tool to call: the one that must be called, else the first, unless its result is there."""
    tools: list[Mapping[str, Any]] = [tool["function"] for tool in request.get("tools", ())]
    choice = request.get("tool_choice")
    has_results = request["messages"][-1]["role"] == "tool"
    if not tools or choice == "none" or (choice == "auto" and has_results):
        return None
    named = choice["function"]["name"] if isinstance(choice, dict) else None
    return next((tool for tool in tools if tool["name"] == named), tools[-1 if has_results else 0])


def answer(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    messages = request["messages"]
    asked = [message["content"] for message in messages if message["role"] == "user"]
    prompt = str(asked[-1]) if asked else ""
    tool = chosen(request)
    if tool is not None:
        parameters = tool.get("parameters") or {}
        args = json.dumps(value_for(parameters, parameters, prompt))
        yield {"call": {"name": tool["name"], "index": 0}}
        yield {"call": {"args": args[:5], "index": 0}}
        yield {"call": {"args": args[5:], "index": 0}}
    elif schema := request.get("schema"):
        yield from (
            {"text": piece} for piece in re.findall(r"(?s).{1,7}", json.dumps(value_for(schema, schema, prompt)))
        )
    else:
        yield from ({"text": word} for word in re.findall(r"\s*\S+|\s+$", f"You said: {messages[-1]['content']}"))
    yield {"usage": {"input_tokens": 10, "output_tokens": 5}}
    yield {"end": "done", "name": request["model"]}


def main() -> None:
    for value in answer(json.loads(sys.stdin.buffer.read())):
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
