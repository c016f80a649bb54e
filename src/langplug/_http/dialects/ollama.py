"""The conversation as Ollama's own API takes it: https://github.com/ollama/ollama/blob/main/docs/api.md."""

from typing import Any

from langplug._http.dialects.openai_parts import (
    arguments_of,
    content_parts,
    openai_messages_of,
    split_data_url,
    unsupported_part,
)
from langplug._messages.kept_reasoning import select_reasoning
from langplug._request import Request


def messages(request: Request) -> list[dict[str, Any]]:
    """The messages: text as one string, images beside it in base64, arguments of calls as objects.

    Raises:
        ValueError: If there is another medium, or an image by its address, which Ollama does not download.
    """
    reasoning = select_reasoning(request.messages, request.keep_reasoning)
    tool_names: dict[str, str] = {}
    written: list[dict[str, Any]] = []
    for number, _, source, path in openai_messages_of(request.messages):
        texts: list[str] = []
        images: list[str] = []
        for part in content_parts(source):
            if part["type"] == "text":
                texts.append(part["text"])
                continue
            data = split_data_url(part["image_url"]["url"]) if part["type"] == "image_url" else None
            if data is None:
                raise unsupported_part(path, part, "Ollama", "text, and images as base64 data (none by their address)")
            images.append(data[1])
        role = "system" if source["role"] == "developer" else source["role"]
        content = ("" if role == "assistant" else "\n").join(texts)
        message = {"role": role, "content": content, **({"images": images} if images else {})}
        if calls := source.get("tool_calls"):
            functions = [
                (call["id"], {"name": call["function"]["name"], "arguments": arguments_of(call)}) for call in calls
            ]
            tool_names |= {call_id: function["name"] for call_id, function in functions}
            message["tool_calls"] = [{"id": call_id, "function": function} for call_id, function in functions]
        if number in reasoning and role == "assistant":
            message["thinking"] = reasoning[number]
        if role == "tool":
            message["tool_call_id"] = source["tool_call_id"]
            # Ollama's templates know a result by the tool's name, which LangChain's messages often leave out.
            if name := source.get("name") or tool_names.get(source["tool_call_id"]):
                message["tool_name"] = name
        written.append(message)
    return written
