"""A reply that is clever enough for agents and standard tests, and always the same: made of what is asked."""

import json
import re
from collections.abc import Mapping
from typing import Any

from langplug_backend import ChatRequest, Call, Reply
from langplug_check.prompts import find_schema

SAID = "Hello, nice to meet you."
"""What is said where nothing else is asked for."""


def stub_reply(asked: ChatRequest) -> Reply:
    """Calls a tool that is offered, until there is a result; fills in a schema that is asked for; else speaks."""
    tools = [tool.get("function") or tool for tool in asked.tools] if asked.tool_choice != "none" else []
    forced = asked.tool_choice not in (None, "auto", "none")
    if tools and (forced or not _has_result(asked)):
        tool = next((one for one in tools if one["name"] == asked.tool_choice), tools[0])
        schema = tool.get("parameters") or tool.get("input_schema") or {}
        return Reply(calls=(Call(name=tool["name"], args=_object(schema, schema, asked.text)),))
    schema = _schema(asked)
    if schema is not None:
        return Reply(text=json.dumps(_object(schema, schema, asked.text)))
    return Reply(text=SAID)


def _has_result(asked: ChatRequest) -> bool:
    last = asked.messages[-1]
    return last.role == "tool" or last.result


def _schema(asked: ChatRequest) -> Mapping[str, Any] | None:
    """The schema of the answer: in the request, or told in the prompt."""
    wanted = asked.params.get("response_format") or asked.params.get("format") or asked.params.get("output_config")
    if isinstance(wanted, Mapping):
        found = wanted.get("json_schema", wanted.get("format", wanted))
        return found.get("schema", found) if "properties" in str(found) else {}
    told = find_schema("\n".join(said.text for said in asked.messages if said.role == "system"))
    if told is not None:
        return told
    return {} if wanted or "JSON" in asked.text else None  # so langchain-tests ask for JSON mode: no API takes a flag


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    named = schema.get("properties")
    if named is None:
        return dict.fromkeys(re.findall(r"'(\w+)'", prompt), SAID)
    return {name: _value(inner, root, prompt) for name, inner in named.items()}


def _value(schema: Mapping[str, Any], root: Mapping[str, Any], prompt: str) -> Any:
    """A value that fits: a number is the first of the prompt, a text what the prompt quotes."""
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
            return _object(schema, root, prompt)
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
