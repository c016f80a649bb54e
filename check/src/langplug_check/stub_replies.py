"""A reply that satisfies agents and standard tests, and is always the same: made from what is asked."""

import json
import re
from collections.abc import Mapping
from typing import Any

from langplug_backend import Call, ChatRequest, Reply
from langplug_check.prompts import find_schema

SAID = "Hello, nice to meet you."
"""What is said if nothing else is asked for."""


def stub_reply(asked: ChatRequest) -> Reply:
    """Calls a tool that is offered, until there is a result; fills in a schema that is asked for; else says a text."""
    tools = [tool.get("function") or tool for tool in asked.tools] if asked.tool_choice != "none" else []
    is_forced = asked.tool_choice not in (None, "auto", "none")
    has_result = asked.messages[-1].role == "tool" or asked.messages[-1].result
    if tools and (is_forced or not has_result):
        tool = next((one for one in tools if one["name"] == asked.tool_choice), tools[0])
        schema = tool.get("parameters") or tool.get("input_schema") or {}
        return Reply(calls=(Call(name=tool["name"], args=_fill(schema, schema, asked.text)),))
    schema = _find_schema(asked)
    return Reply(text=SAID if schema is None else json.dumps(_fill(schema, schema, asked.text)))


def _find_schema(asked: ChatRequest) -> Mapping[str, Any] | None:
    """The schema of the answer, in the request or in the prompt; an empty one for any JSON, None for text."""
    # OpenAI's name for it in either of its APIs, Ollama's, and Anthropic's.
    names = ("response_format", "text", "format", "output_config")
    wanted = next((given for name in names if (given := asked.params.get(name))), None)
    if isinstance(wanted, Mapping):
        found = wanted.get("json_schema", wanted.get("format", wanted))
        return found.get("schema", found) if "properties" in str(found) else {}
    schema = find_schema("\n".join(said.text for said in asked.messages if said.role == "system"))
    if schema is not None:
        return schema
    # The second is how langchain-tests ask for JSON, in their own prompt: not every API has a mode for it.
    return {} if wanted or "JSON" in asked.text else None


def _fill(schema: Mapping[str, Any], root: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """An object that fits a schema; one without properties has the keys that the prompt quotes."""
    properties = schema.get("properties")
    if properties is None:
        return dict.fromkeys(re.findall(r"'(\w+)'", prompt), SAID)
    return {name: _value(inner, root, prompt) for name, inner in properties.items()}


def _value(schema: Mapping[str, Any], root: Mapping[str, Any], prompt: str) -> Any:
    """A value that fits: a number is the first in the prompt, a text what the prompt quotes."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[1]
        return _value((root.get("$defs") or root.get("definitions") or {})[name], root, prompt)
    if choices := schema.get("enum"):
        return choices[0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _value(schema[several][0], root, prompt)
    match schema.get("type"):
        case "object":
            return _fill(schema, root, prompt)
        case "array":
            return [_value(schema.get("items") or {"type": "string"}, root, prompt)]
        case "integer" | "number":
            return int(next(iter(re.findall(r"\d+", prompt)), 7))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return next(iter(re.findall(r"['\"]([^'\"]+)['\"]", prompt)), SAID)
