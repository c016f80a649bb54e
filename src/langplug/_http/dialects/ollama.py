"""The conversation as Ollama's own API has it: https://github.com/ollama/ollama/blob/main/docs/api.md."""

from collections.abc import Mapping
from typing import Any

from langplug._http.dialects.turns import Conversation, arguments_of, blocks_of, data_of, turns_of, unfit
from langplug._messages.kept_reasoning import select_reasoning


def messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The messages: text as one string, images beside it in base64, arguments of calls as objects.

    Raises:
        ValueError: If there is an image by its address, which Ollama does not fetch, or another medium.
    """
    thoughts = select_reasoning(conversation.messages, conversation.keep_reasoning)
    names: dict[str, str] = {}
    said: list[dict[str, Any]] = []
    for number, _, turn, path in turns_of(conversation.messages):
        message = {"role": "system" if turn["role"] == "developer" else turn["role"], **_content(turn, path)}
        calls = turn.get("tool_calls", ())
        names |= {call["id"]: call["function"]["name"] for call in calls}
        if calls:
            message["tool_calls"] = [_call(call) for call in calls]
        if number in thoughts and turn["role"] == "assistant":
            message["thinking"] = thoughts[number]
        if turn["role"] == "tool":
            message["tool_call_id"] = turn["tool_call_id"]
            if name := turn.get("name") or names.get(turn["tool_call_id"]):
                message["tool_name"] = name
        said.append(message)
    return said


def _content(turn: Mapping[str, Any], path: str) -> dict[str, Any]:
    parts = blocks_of(dict(turn))
    texts = [part["text"] for part in parts if part["type"] == "text"]
    images = [_image(part, path) for part in parts if part["type"] != "text"]
    return {"content": "\n".join(texts), **({"images": images} if images else {})}


def _image(part: Mapping[str, Any], path: str) -> str:
    data = data_of(part["image_url"]["url"]) if part["type"] == "image_url" else None
    if data is None:
        raise unfit(path, part, "Ollama", "text, and images as base64 data (it fetches none by their address)")
    return data[1]


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": call["id"], "function": {"name": call["function"]["name"], "arguments": arguments_of(call)}}
