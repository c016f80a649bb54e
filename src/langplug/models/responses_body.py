"""The body of a request to OpenAI's Responses API, made from that of a chat completion.

What a server takes is settled once, for both wires, in `openai_body`; here its result is only written otherwise.
Nothing is stored at the server: each request brings the whole conversation, as items.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from langplug._http.dialects.openai_parts import arguments_of
from langplug._messages.carried import OUTPUT_ITEMS, put_in_place
from langplug._wires import responses as wire
from langplug.models.servers import Server

Item = dict[str, Any]

NOT_TAKEN = frozenset({"seed", "frequency_penalty", "presence_penalty", "stream_options"})
"""Fields of chat completions that the Responses API does not have, nor anything in their place."""

_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}

_TURNED = frozenset(
    {"messages", "tools", "tool_choice", "response_format", "reasoning_effort", "logprobs", "include"}
    | {"max_tokens", "max_completion_tokens", "stream_options"}
)
"""Fields that are written otherwise. All others go out as they are."""


def for_responses(server: Server) -> Server:
    """How `server` is to be asked on this wire: it knows no stop strings, and reports usage unasked."""
    return replace(server, drops=server.drops | NOT_TAKEN, most_stops=0, includes_stop={}, running_usage={})


def stateless_fields(server: Server, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that a request has on this wire alone, as one of a chat completion with `fields` would have them.

    This wire takes functions strictly unless it is told not to; chat completions do not, and this is one model.
    """
    more: dict[str, Any] = {"store": False, "include": [wire.REASONING_INCLUDE]}
    if server.strict and (tools := fields.get("tools")):
        more["tools"] = [
            {**tool, "function": {"strict": False, **tool["function"]}} if "function" in tool else tool
            for tool in tools
        ]
    return more


def to_responses(chat: Mapping[str, Any]) -> dict[str, Any]:
    """The body, by https://platform.openai.com/docs/api-reference/responses/create.

    Args:
        chat: That of a chat completion. What it has besides, such as `reasoning`, is added to what is made of it.
    """
    made: dict[str, Any] = {"input": list(input_items(chat.get("messages") or ()))}
    if tools := chat.get("tools"):
        made["tools"] = [{**({"parameters": _NO_PARAMETERS} if "function" in it else {}), **_flat(it)} for it in tools]
    if (choice := chat.get("tool_choice")) is not None:
        made["tool_choice"] = _flat(choice) if isinstance(choice, Mapping) else choice
    for name in ("max_tokens", "max_completion_tokens"):
        if name in chat:
            made["max_output_tokens"] = chat[name]
    if "reasoning_effort" in chat:
        made["reasoning"] = {"effort": chat["reasoning_effort"]}
    if form := chat.get("response_format"):
        made["text"] = {"format": {"type": form["type"], **form.get("json_schema", {})}}
    if include := [*(chat.get("include") or ()), *([wire.LOGPROBS_INCLUDE] if chat.get("logprobs") else [])]:
        made["include"] = include
    given = {name: value for name, value in chat.items() if name not in _TURNED}
    for name in given.keys() & made.keys():
        both = isinstance(given[name], Mapping) and isinstance(made[name], Mapping)
        made[name] = {**made[name], **given[name]} if both else given[name]
    return {**given, **made}


def input_items(turns: Iterable[Mapping[str, Any]]) -> Iterator[Item]:
    """The conversation as items: messages, calls, what tools gave, and what the server wants back as it came."""
    customs: set[str] = set()
    for number, turn in enumerate(turns):
        keys = {key: turn[key] for key in turn if key not in _OF_A_TURN}
        if turn["role"] == "assistant":
            customs |= {call["id"] for call in turn.get("tool_calls", ()) if call["type"] == "custom"}
            yield from answer_items(turn, f"rs_{number}", keys)
        elif turn["role"] == "tool":
            call_id = turn["tool_call_id"]
            kind = wire.CUSTOM_OUTPUT if call_id in customs else wire.FUNCTION_OUTPUT
            yield {"type": kind, "call_id": call_id, "output": _content(turn["content"]), **keys}
        else:
            yield {"type": wire.MESSAGE, "role": turn["role"], "content": _content(turn["content"]), **keys}


_OF_A_TURN = frozenset(
    {"role", "name", "content", "tool_calls", "tool_call_id", "refusal", "reasoning_content", "reasoning", OUTPUT_ITEMS}
)


def answer_items(turn: Mapping[str, Any], reasoning_id: str, keys: Mapping[str, Any]) -> Iterator[Item]:
    """The items of an answer, in the order in which they came."""
    content = turn["content"]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
    if refusal := turn.get("refusal"):
        parts = [*parts, {"type": "refusal", "refusal": refusal}]
    kept = [(one["item"], one.get("after") or {}) for one in turn.get(OUTPUT_ITEMS) or ()]
    thought = turn.get("reasoning_content") or turn.get("reasoning")
    if thought and not any(item.get("type") == wire.REASONING for item, _ in kept):
        texts = [{"type": "reasoning_text", "text": thought}]
        kept.insert(0, ({"type": wire.REASONING, "id": reasoning_id, "summary": [], "content": texts}, {}))
    said: list[Item] = []
    for one in put_in_place(kept, parts, turn.get("tool_calls", ())):
        if one["type"] in ("text", "refusal"):
            said.append(one)
            continue
        if said:
            yield _message(said, keys)
            said = []
        yield call_item(one) if one["type"] in ("function", "custom") else one
    if said or not (kept or turn.get("tool_calls")):
        yield _message(said, keys)


def _message(said: list[Item], keys: Mapping[str, Any]) -> Item:
    is_plain = all(part.keys() == {"type", "text"} for part in said)
    content: Any = [{**part, "type": "output_text"} if part["type"] == "text" else part for part in said]
    if is_plain:
        content = "".join(part["text"] for part in said)
    return {"type": wire.MESSAGE, "role": "assistant", "content": content, **keys}


def call_item(call: Mapping[str, Any]) -> Item:
    """A call. Of a tool that takes text, `from_responses` has put that under the name `input`."""
    function = call["function"]
    if call["type"] == "custom":
        text = arguments_of(call).get("input", "")
        return {"type": wire.CUSTOM_CALL, "call_id": call["id"], "name": function["name"], "input": text}
    more = {key: call[key] for key in call if key not in ("id", "type", "function")}
    return {"type": wire.FUNCTION_CALL, "call_id": call["id"], **function, **more}


def _content(content: Any) -> Any:
    """A text as it is; parts as this wire has them."""
    return content if isinstance(content, str) else [input_part(part) for part in content]


def input_part(part: Mapping[str, Any]) -> Item:
    """A part of a message's content, or of what a tool gave."""
    kind = part["type"]
    keys = {key: part[key] for key in part if key not in ("type", kind)}
    if kind == "text":
        return {"type": "input_text", "text": part["text"], **keys}
    if kind == "image_url":
        image = part["image_url"]
        return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail", "auto"), **keys}
    if kind == "file":
        return {"type": "input_file", **part["file"], **keys}
    return dict(part)  # audio and video, of which some servers take what chat completions have


def _flat(nested: Mapping[str, Any]) -> Item:
    """A tool, or the choice of one, whose members stand beside its type; what has them there already as it is."""
    kind = str(nested.get("type"))
    inner = nested.get(kind)
    if not isinstance(inner, Mapping):
        return dict(nested)
    return {**{key: value for key, value in nested.items() if key != kind}, **inner}
