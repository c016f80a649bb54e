"""The conversation as Anthropic's Messages API takes it: https://docs.anthropic.com/en/api/messages."""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langplug._http.dialects.openai_parts import (
    SYSTEM_ROLES,
    arguments_of,
    content_parts,
    openai_messages_of,
    split_data_url,
    unsupported_part,
)
from langplug._messages.blocks import (
    BLOCK_KINDS,
    CACHE_KEYS,
    DOCUMENT_KEYS,
    ContentPart,
    Holder,
    extras_of,
    keys_of_caller,
    unwrap_block,
    write_block,
)
from langplug._messages.carried import carried_in, is_from_elsewhere, put_in_place
from langplug._messages.kept_reasoning import drop_old_reasoning
from langplug._request import Request
from langplug._wires.messages import CHOICE_BY_WORD, REDACTED, THINKING, THOUGHTS

Block = dict[str, Any]

_ROLES = {"user": "user", "tool": "user", "assistant": "assistant"}
_NOTHING: Block = {"type": "text", "text": "(nothing)"}
"""What a user says who says nothing: the API refuses a conversation without text of a user, and one that ends with an
answer would have the model go on with that."""


def system(request: Request) -> str | list[Block] | None:
    """All instructions: as one text with a blank line between two, or as blocks where one bears a key of its own."""
    blocks: list[Block] = []
    for _, _, message, _ in openai_messages_of(request.messages, partial(_write, keeps_reasoning=False)):
        if message["role"] not in SYSTEM_ROLES:
            continue
        texts = [part for part in content_parts(message) if part["type"] == "text" and part["text"].strip()]
        if texts:
            texts[-1] = {**texts[-1], **_keys_of_message(message)}
        blocks += texts
    if any(len(block) > 2 for block in blocks):  # type and text
        return blocks
    return "\n\n".join(block["text"] for block in blocks) or None


def messages(request: Request) -> list[dict[str, Any]]:
    """The messages without the instructions, which `system` has. Messages of one role in a row are one.

    * Earlier reasoning is sent back, as far as the model's policy keeps it, where it has the signature that the API
      checks: in its place among the blocks.
    * Keys of a caller's, such as `cache_control`, stay on their blocks. Those of what a tool gave go onto its
      `tool_result`: the API takes no `cache_control` within. A message's own goes onto its last block.
    * Blank text is left out, and so is space at the end of an answer that the model is to go on with: the API refuses
      both. Where a user then says nothing, "(nothing)" is sent.

    Raises:
        ValueError: If a message has a role, or content, that the API has no place for.
    """
    merged: list[dict[str, Any]] = []
    kept = drop_old_reasoning(request.messages, request.keep_reasoning)
    keeps_reasoning = request.keep_reasoning != "never"
    for _, source, message, path in openai_messages_of(kept, partial(_write, keeps_reasoning=keeps_reasoning)):
        if message["role"] in SYSTEM_ROLES:
            continue
        if message["role"] not in _ROLES:
            expected = ", ".join([*_ROLES, *SYSTEM_ROLES])
            raise ValueError(f"{path} has the role {message['role']!r}; expected one of {expected}.")
        role = _ROLES[message["role"]]
        content = _content(message, source, path, request.origin, keeps_reasoning=keeps_reasoning)
        if not content and role == "user" and (not merged or merged[-1]["role"] != role):
            content = [_NOTHING]
        if merged and merged[-1]["role"] == role:
            previous = merged[-1]["content"]
            merged[-1]["content"] = content if previous == [_NOTHING] and content else [*previous, *content]
        elif content:
            merged.append({"role": role, "content": content})
    if merged and merged[-1]["role"] == "assistant" and (last := merged[-1]["content"])[-1]["type"] == "text":
        last[-1] = {**last[-1], "text": last[-1]["text"].rstrip()}
    return merged or [{"role": "user", "content": [_NOTHING]}]


def tools(request: Request) -> list[dict[str, Any]] | None:
    """The tools, with their schemas as `input_schema`, and what else was written into them, such as `cache_control`."""
    described = []
    for tool in request.tools:
        if "function" not in tool:  # it runs at the provider, in whose own words it is
            described.append(dict(tool))
            continue
        function = tool["function"]
        description = {"description": text} if (text := function.get("description")) else {}
        schema = function.get("parameters") or {"type": "object", "properties": {}}  # it is required
        strict = {"strict": function["strict"]} if isinstance(function.get("strict"), bool) else {}
        own = ("name", "description", "parameters", "strict")
        more = {key: value for key, value in function.items() if key not in own}
        more |= {key: value for key, value in tool.items() if key not in ("type", "function")}
        described.append({"name": function["name"], **description, "input_schema": schema, **strict, **more})
    return described or None


def tool_choice(request: Request) -> dict[str, Any] | None:
    """Which tool must be called, and whether several may be called at once."""
    if not request.tools or (request.tool_choice is None and request.parallel_tool_calls is None):
        return None
    choice = request.tool_choice or "auto"  # without which the API does not take the word on parallel calls
    written: dict[str, Any] = (
        {"type": "tool", "name": choice["function"]["name"]}
        if isinstance(choice, Mapping)
        else {"type": CHOICE_BY_WORD[choice]}
    )
    if request.parallel_tool_calls is not None and written["type"] != "none":
        written["disable_parallel_tool_use"] = not request.parallel_tool_calls
    return written


def _content(  # noqa: C901 - an `if` a kind of block
    message: Mapping[str, Any], source: BaseMessage, path: str, origin: str, *, keeps_reasoning: bool
) -> list[Block]:
    """The blocks of one message, with its calls, or with the result that it is."""
    content = [_block(part, path) for part in content_parts(dict(message))]
    if message["role"] != "assistant":
        content = [block for block in content if not _is_blank(block)]
    if message["role"] == "tool":
        call_id, given = message["tool_call_id"], source.content if isinstance(source.content, list) else ()
        failed = (isinstance(source, ToolMessage) and source.status == "error") or any(
            isinstance(block, dict) and block.get("tool_use_id") == call_id and block.get("is_error") for block in given
        )
        result: Block = {"type": "tool_result", "tool_use_id": _call_id(call_id), "content": content}
        result |= {"is_error": True} if failed else {}
        result |= {key: message[key] for key in message if key not in ("role", "name", "content", "tool_call_id")}
        for block in content:  # within a result the API refuses them
            result |= {key: block.pop(key) for key in CACHE_KEYS if key in block}
        return [result]
    calls: list[Block] = []
    for call in message.get("tool_calls", ()):
        keys = {key: call[key] for key in CACHE_KEYS if key in call}
        use = {"id": _call_id(call["id"]), "name": call["function"]["name"], "input": arguments_of(call)}
        calls.append({"type": "tool_use", **use, **keys})
    others = [block for block in content if not _is_thought(block)]
    came = carried_in(source, origin).get("reasoning") or [] if keeps_reasoning else []
    if is_from_elsewhere(source, origin):  # whose signatures this API would refuse
        content = others
    elif came and ("after" in came[-1] or len(came) > len(content) - len(others)):
        # Better than the blocks of the message: there, several in a row are one, which has one signature.
        thoughts: list[tuple[Block | None, Mapping[str, Any]]] = []
        for one in came:
            place = one.get("after") or {}
            place = {**place, "calls": [_call_id(call_id) for call_id in place.get("calls", ())]}
            thoughts.append((_thought({"thinking": one["text"]}, one["extras"]), place))
        content, calls = put_in_place(thoughts, others, calls), []
    elif keeps_reasoning and isinstance(source, AIMessage) and len(others) == len(content):
        beside = source.additional_kwargs
        held = {"thinking": beside.get("reasoning_content")}
        if thought := _thought(held, beside.get("reasoning_extras") or {}):
            content.insert(0, thought)  # the API wants it first
    content = [block for block in [*content, *calls] if not _is_blank(block)]
    if (keys := _keys_of_message(message)) and content and not _is_thought(content[-1]):
        content[-1] = {**content[-1], **keys}
    return content


def _write(block: Mapping[str, Any], path: str, holder: Holder | None, *, keeps_reasoning: bool) -> ContentPart | None:
    """A block of LangChain's as one of Anthropic's, where its API takes more than OpenAI's; else as OpenAI's part."""
    block = unwrap_block(block)
    kind = block.get("type")
    if kind in ("reasoning", *THOUGHTS) and holder == "assistant":
        return _thought(block, block if kind in THOUGHTS else block.get("extras") or {}) if keeps_reasoning else None
    if kind not in BLOCK_KINDS:  # a model is given only those that its `accepts` names: they are the API's own
        return {key: value for key, value in block.items() if key != "index" and value is not None}
    if kind not in ("image", "document", "file", "text-plain"):
        return write_block(block, path, holder)
    extras = {**extras_of(block), **block}
    about = {key: extras[key] for key in DOCUMENT_KEYS if extras.get(key) is not None}
    if (source := _source_in(block, as_document=bool(about.keys() - {"cache_control"}))) is None:
        part = write_block(block, path, holder)
        return {**part, **about} if part is not None else None
    name = "image" if kind == "image" else "document"
    return {"type": name, "source": source, **about, **keys_of_caller(block, holder)}


def _source_in(block: Mapping[str, Any], *, as_document: bool) -> Block | None:
    """The source of an image or a document, if OpenAI's wire has no such source; text is one only `as_document`."""
    if isinstance(block.get("source"), Mapping):  # Anthropic's own
        return dict(block["source"])
    kind, text, url = block["type"], block.get("text"), block.get("url")
    file_id = block.get("file_id") or (block.get("id") if block.get("source_type") == "id" else None)
    if isinstance(file_id, str):
        return {"type": "file", "file_id": file_id}
    if kind == "file" and isinstance(url, str) and not url.startswith("data:"):
        return {"type": "url", "url": url}
    if kind in ("file", "text-plain") and isinstance(text, str) and as_document:
        return {"type": "text", "media_type": "text/plain", "data": text}
    return None


def _block(part: Mapping[str, Any], path: str) -> Block:
    kind = part["type"]
    keys = {key: part[key] for key in part if key not in ("type", kind)}
    if kind == "text":
        return {"type": "text", "text": part["text"], **keys}
    if kind == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"]), **keys}
    if kind == "file" and "file_data" in part["file"]:
        source = _source(part["file"]["file_data"])
        return {"type": "document", "source": source, "title": part["file"]["filename"], **keys}
    if kind == "file":
        return {"type": "document", "source": {"type": "file", "file_id": part["file"]["file_id"]}, **keys}
    if kind not in BLOCK_KINDS or "source" in part or kind in THOUGHTS:  # as `_write` wrote it
        return dict(part)
    raise unsupported_part(path, part, "Anthropic's API", "text, images and files")


def _source(url: str) -> dict[str, Any]:
    """The source of an image or a document. Text in base64 is decoded: of documents, the API takes PDF alone in it."""
    data = split_data_url(url)
    if data is None:
        return {"type": "url", "url": url}
    if data[0].startswith("text/"):
        text = base64.b64decode(data[1]).decode("utf-8", "replace")
        return {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "base64", "media_type": data[0], "data": data[1]}


def _call_id(call_id: str) -> str:
    """The id of a call, of the characters that the API takes; another provider's may have more of them."""
    if re.fullmatch(r"[a-zA-Z0-9_-]+", call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"call_{digest[:24]}"  # a hash, so that two ids stay two


def _keys_of_message(message: Mapping[str, Any]) -> Block:
    return {key: message[key] for key in CACHE_KEYS if key in message}


def _is_blank(block: Mapping[str, Any]) -> bool:
    return block["type"] == "text" and not block["text"].strip()


def _is_thought(block: Mapping[str, Any]) -> bool:
    return block["type"] in THOUGHTS


def _thought(held: Mapping[str, Any], extras: Mapping[str, Any]) -> Block | None:
    """Reasoning as the API gave it; None without what it checks. Some of it the API keeps to itself, encrypted."""
    if signature := extras.get("signature"):
        text = held.get("thinking") or held.get("reasoning") or ""
        return {"type": THINKING, "thinking": str(text), "signature": signature}
    return {"type": REDACTED, "data": data} if (data := extras.get("data")) else None
