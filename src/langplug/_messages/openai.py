"""LangChain messages as OpenAI chat-completion messages.

The shapes are those of https://platform.openai.com/docs/api-reference/chat/create and of the local servers that follow
it (llama.cpp, vLLM, SGLang, Ollama). One function per kind of message, and one per kind of content block.
"""

import json
import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langplug._messages.kept_reasoning import KeepReasoning, kept_thoughts

Block: TypeAlias = Mapping[str, Any]
ContentPart: TypeAlias = dict[str, Any]
Content: TypeAlias = str | list[ContentPart]
BlockConverters: TypeAlias = Mapping[str, Callable[[Block, str], ContentPart | None]]


def to_openai_messages(messages: Sequence[BaseMessage], keep: KeepReasoning = "never") -> list[dict[str, Any]]:
    """Return `messages` as OpenAI chat-completion message dicts; the messages stay as they are.

    * Content of text alone becomes one string: an `AIMessage`'s with nothing between the pieces, as they are pieces of
      one text; that of other messages with a newline between them, as langchain-core does it.
    * An `AIMessage` without text has the content `""`: every server takes it, while templates trip over None. Its tool
      calls are those of `tool_calls`, `invalid_tool_calls` (their arguments as they came) and its content blocks,
      each id once. What the provider's own tools did has no counterpart and is left out; so is reasoning, except
      what is to `keep`: that goes into `reasoning_content`, as DeepSeek's API, vLLM and llama.cpp have it.
    * A `ToolMessage` with `status="error"` says so: its text begins with "Error: ", unless it does with "error" anyway.
    * `tool_result` blocks of a `HumanMessage` (Anthropic's way) become tool messages before it, as OpenAI wants them.
    * A `FunctionMessage`, and the `function_call` that it answers, become a tool message and a tool call: the role
      "function" is deprecated, and chat templates do not know it.

    Raises:
        ValueError: If a message or a content block has no counterpart, or lacks what it needs. The error gives its
            path, such as `$.messages[2].content[0]`, its type, and what is accepted.
    """
    thoughts = kept_thoughts(messages, keep)
    return [
        {**turn, "reasoning_content": thoughts[n]} if n in thoughts and turn["role"] == "assistant" else turn
        for n, message in enumerate(messages)
        for turn in openai_turns(message, f"$.messages[{n}]")
    ]


def openai_turns(message: BaseMessage, path: str) -> Iterable[dict[str, Any]]:
    """Return the OpenAI messages of one message; `path` is its place for errors."""
    for kind, read in _KINDS.items():
        if isinstance(message, kind):
            return read(message, path)
    accepted = ", ".join(kind.__name__ for kind in _KINDS)
    raise ValueError(f"{path} is a {type(message).__name__}, which OpenAI messages cannot hold; accepted: {accepted}.")


# Messages


def _system(message: SystemMessage, path: str) -> Iterator[dict[str, Any]]:
    developer = message.additional_kwargs.get("__openai_role__") == "developer"
    yield _turn("developer" if developer else "system", message, _content(message.content, path))


def _human(message: HumanMessage, path: str) -> Iterator[dict[str, Any]]:
    results = list(_tool_results(message, path))
    yield from results
    content = _content(message.content, path, _HUMAN_BLOCKS)
    if content or not results:
        yield _turn("user", message, content)


def _ai(message: AIMessage, path: str) -> Iterator[dict[str, Any]]:
    turn = _turn("assistant", message, _content(message.content, path, _AI_BLOCKS, glue=""))
    if refusal := message.additional_kwargs.get("refusal"):
        turn["refusal"] = refusal
    if calls := _unique(_tool_calls(message, path)):
        turn["tool_calls"] = calls
    yield turn


def _tool(message: ToolMessage, path: str) -> Iterator[dict[str, Any]]:
    content = _content(message.content, path)
    if message.status == "error":
        content = _say_error(content)
    yield _turn("tool", message, content) | {"tool_call_id": message.tool_call_id}


def _function(message: FunctionMessage, path: str) -> Iterator[dict[str, Any]]:
    yield _turn("tool", message, _content(message.content, path)) | {"tool_call_id": _function_id(message.name)}


def _chat(message: ChatMessage, path: str) -> Iterator[dict[str, Any]]:
    role = {"human": "user", "ai": "assistant"}.get(message.role, message.role)
    yield _turn(role, message, _content(message.content, path))


_KINDS: Mapping[type[BaseMessage], Callable[[Any, str], Iterable[dict[str, Any]]]] = {
    SystemMessage: _system,
    HumanMessage: _human,
    AIMessage: _ai,
    ToolMessage: _tool,
    FunctionMessage: _function,
    ChatMessage: _chat,
}


def _turn(role: str, message: BaseMessage, content: Content) -> dict[str, Any]:
    named = {"name": message.name} if message.name else {}
    return {"role": role, **named, "content": content}


def _say_error(content: Content) -> Content:
    text = content if isinstance(content, str) else str(content[0].get("text", ""))
    if text.lstrip().casefold().startswith("error"):
        return content
    if isinstance(content, str):
        return f"Error: {content}"
    return [_text_part("Error:"), *content]


# Content


def _content(content: object, path: str, readers: BlockConverters | None = None, *, glue: str = "\n") -> Content:
    parts = list(_parts(content, path, _BLOCKS if readers is None else readers))
    if all(part["type"] == "text" for part in parts):
        return glue.join(part["text"] for part in parts)
    return parts


def _parts(content: object, path: str, readers: BlockConverters) -> Iterator[ContentPart]:
    for block, where in _blocks(content, path):
        part = _reader(block, where, readers)(block, where)
        if part is not None:
            yield part


def _blocks(content: object, path: str) -> Iterator[tuple[Block, str]]:
    """Yield the blocks of a message's content, each with its path; strings as text blocks."""
    blocks = cast("list[object]", content) if isinstance(content, list) else [content]
    for n, block in enumerate(blocks):
        where = f"{path}.content[{n}]"
        if isinstance(block, str):
            yield _text_part(block), where
        elif isinstance(block, dict):
            yield cast("Block", block), where
        else:
            raise ValueError(f"{where} is {block!r}; expected a string or a dict with a 'type'.")


def _reader(block: Block, path: str, readers: BlockConverters) -> Callable[[Block, str], ContentPart | None]:
    kind = block.get("type")
    if isinstance(kind, str) and kind in readers:
        return readers[kind]
    accepted = ", ".join(sorted(readers))
    raise ValueError(f"{path} has the type {kind!r}, which this message cannot hold as OpenAI; accepted: {accepted}.")


def _text(block: Block, path: str) -> ContentPart:
    return _text_part(_need(block, "text", str, path))


def _text_part(text: str) -> ContentPart:
    return {"type": "text", "text": text}


def _json(block: Block, _path: str) -> ContentPart:
    return _text_part(json.dumps(block.get("json"), ensure_ascii=False))


def _refusal(block: Block, path: str) -> ContentPart:
    return {"type": "refusal", "refusal": _need(block, "refusal", str, path)}


def _image_url(block: Block, path: str) -> ContentPart:
    return _url_part("image_url", block, path)


def _video_url(block: Block, path: str) -> ContentPart:
    return _url_part("video_url", block, path)


def _url_part(kind: str, block: Block, path: str) -> ContentPart:
    given = block.get(kind)
    target = {"url": given} if isinstance(given, str) else _mapping(given)
    if not isinstance(target.get("url"), str):
        raise ValueError(f"{path}.{kind} is {given!r}; expected a URL or a dict with a 'url'.")
    return {"type": kind, kind: dict(target)}


def _image(block: Block, path: str) -> ContentPart:
    detail = _mapping(block.get("extras")).get("detail")
    return {"type": "image_url", "image_url": {"url": _url(block, path)} | ({"detail": detail} if detail else {})}


def _video(block: Block, path: str) -> ContentPart:
    # not OpenAI's own: what vLLM and SGLang take
    return {"type": "video_url", "video_url": {"url": _url(block, path)}}


def _input_audio(block: Block, path: str) -> ContentPart:
    audio = _need(block, "input_audio", dict, path)
    for key in ("data", "format"):
        _need(audio, key, str, f"{path}.input_audio")
    return {"type": "input_audio", "input_audio": dict(audio)}


def _audio(block: Block, path: str) -> ContentPart:
    data, mime_type = _base64(block, path)
    subtype = mime_type.split("/")[-1].split(";")[0]
    return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_FORMATS.get(subtype, subtype)}}


_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}


def _file(block: Block, path: str) -> ContentPart:
    if "file" in block:
        return {"type": "file", "file": dict(_need(block, "file", dict, path))}
    file_id = block.get("file_id") or (block.get("id") if block.get("source_type") == "id" else None)
    if file_id:
        return {"type": "file", "file": {"file_id": file_id}}
    if isinstance(block.get("text"), str):
        return _text(block, path)
    data, mime_type = _base64(block, path)
    file = {"filename": _filename(block, mime_type), "file_data": f"data:{mime_type};base64,{data}"}
    return {"type": "file", "file": file}


def _filename(block: Block, mime_type: str) -> str:
    """Return the name that the file was given, or one by its type: OpenAI refuses a file without."""
    for holder in (block, _mapping(block.get("extras")), _mapping(block.get("metadata"))):
        if name := holder.get("filename"):
            return str(name)
    return "file" + (mimetypes.guess_extension(mime_type) or "")


def _url(block: Block, path: str) -> str:
    """Return the URL of a data block: its own, or a `data:` URL of its bytes."""
    for holder in (block, _mapping(block.get("source"))):
        if isinstance(holder.get("url"), str):
            return str(holder["url"])
    data, mime_type = _base64(block, path)
    return f"data:{mime_type};base64,{data}"


def _base64(block: Block, path: str) -> tuple[str, str]:
    """Return data and MIME type of a data block, as LangChain's v1, its v0 or Anthropic writes it."""
    holder = _mapping(block.get("source")) or block
    data = holder.get("base64") or holder.get("data")
    mime_type = holder.get("mime_type") or holder.get("media_type")
    if not isinstance(data, str) or not isinstance(mime_type, str):
        wanted = "'base64' and 'mime_type'" + (" or a 'url'" if block["type"] in ("image", "video") else "")
        found = f"of the type {block['type']!r} and has {sorted(block)}"
        raise ValueError(f"{path} is a block {found}; expected {wanted}.")
    return data, mime_type


def _non_standard(block: Block, path: str) -> ContentPart | None:
    value: Block = _need(block, "value", dict, path)
    return _reader(value, f"{path}.value", _AI_BLOCKS)(value, f"{path}.value")


def _left_out(_block: Block, _path: str) -> None:
    """Read a block that has no counterpart, or is taken care of elsewhere."""


_BLOCKS: BlockConverters = {
    "text": _text,
    "text-plain": _file,
    "json": _json,
    "image_url": _image_url,
    "image": _image,
    "input_audio": _input_audio,
    "audio": _audio,
    "file": _file,
    "video_url": _video_url,
    "video": _video,
}
_HUMAN_BLOCKS: BlockConverters = {**_BLOCKS, "tool_result": _left_out}
_REASONING = ("reasoning", "reasoning_content", "thinking", "redacted_thinking")
_SERVER_TOOLS = ("server_tool_call", "server_tool_call_chunk", "server_tool_result")
_CALL_PIECES = ("tool_call_chunk", "input_json_delta")  # whole in `tool_calls`


# Tool calls and their results


def _tool_calls(message: AIMessage, path: str) -> Iterator[ContentPart]:
    for call in message.tool_calls:
        yield _call(call["id"], call["name"], call["args"])
    for invalid in message.invalid_tool_calls:
        yield _call(invalid["id"], invalid["name"], invalid["args"])
    if (function := message.additional_kwargs.get("function_call")) and not message.tool_calls:
        yield _call(_function_id(function["name"]), function["name"], function["arguments"])
    for block, where in _blocks(message.content, path):
        if read := _CALL_BLOCKS.get(block["type"]):
            yield read(block, where)


def _tool_use(block: Block, path: str) -> ContentPart:
    return _call(block.get("id"), _need(block, "name", str, path), block.get("input"))


def _tool_call(block: Block, _path: str) -> ContentPart:
    return _call(block.get("id"), block.get("name"), block.get("args"))


def _function_call(block: Block, path: str) -> ContentPart:
    return _call(block.get("call_id"), _need(block, "name", str, path), block.get("arguments"))


_CALL_BLOCKS: Mapping[str, Callable[[Block, str], ContentPart]] = {
    "tool_use": _tool_use,
    "tool_call": _tool_call,
    "invalid_tool_call": _tool_call,
    "function_call": _function_call,
}
_AI_BLOCKS: BlockConverters = {
    **_BLOCKS,
    "refusal": _refusal,
    "non_standard": _non_standard,
    **dict.fromkeys((*_REASONING, *_SERVER_TOOLS, *_CALL_PIECES, *_CALL_BLOCKS), _left_out),
}


def _call(call_id: str | None, name: str | None, args: object) -> ContentPart:
    arguments = args if isinstance(args, str) else json.dumps(args or {}, ensure_ascii=False)
    return {"id": call_id or "", "type": "function", "function": {"name": name or "", "arguments": arguments or "{}"}}


def _unique(calls: Iterable[ContentPart]) -> list[ContentPart]:
    """Return the calls without those whose id came before; a call without an id is always kept."""
    kept: list[ContentPart] = []
    seen: set[str] = set()
    for call in calls:
        if call["id"] not in seen:
            kept.append(call)
        seen |= {call["id"]} - {""}
    return kept


def _function_id(name: str | None) -> str:
    return f"function_{name}"


def _tool_results(message: HumanMessage, path: str) -> Iterator[dict[str, Any]]:
    for block, where in _blocks(message.content, path):
        if block.get("type") == "tool_result":
            content = _content(block.get("content") or "", where)
            call_id = _need(block, "tool_use_id", str, where)
            yield {
                "role": "tool",
                "content": _say_error(content) if block.get("is_error") else content,
                "tool_call_id": call_id,
            }


def _mapping(value: object) -> Block:
    return cast("Block", value) if isinstance(value, Mapping) else {}


def _need(block: Block, key: str, kind: type, path: str) -> Any:
    value = block.get(key)
    if not isinstance(value, kind):
        found = f"is {value!r}" if key in block else "is missing"
        raise ValueError(f"{path}.{key} {found}; expected a {kind.__name__}.")
    return value
