"""The kinds of content blocks: what each one holds, and how it is written for OpenAI's wire.

There is one table, `BLOCK_KINDS`, for both questions: whatever a model may be given can also be sent to it. Each
function below enters the kinds that it writes; LangChain's standard blocks come first, then those of the providers.
"""

import json
import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

Block: TypeAlias = Mapping[str, Any]
ContentPart: TypeAlias = dict[str, Any]
Writer: TypeAlias = Callable[[Block, str], ContentPart | None]
Holder: TypeAlias = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class BlockKind:
    """One kind of content block.

    Attributes:
        modality: `"text"` for what every model can be given; else what a model has to accept to be given it. None: its
            MIME type tells.
        to_openai: `(block, path) -> part`: how it is written as a content part. It returns None for what has no
            counterpart, or stands elsewhere in the message. It raises ValueError for a block that lacks something.
        only_in: The role of the messages that may hold it on OpenAI's wire; None: all of them.
    """

    modality: str | None
    to_openai: Writer
    only_in: Holder | None = None


CALL_BLOCKS = ("tool_call", "invalid_tool_call", "tool_use", "function_call")
"""Blocks that hold a call: LangChain's, Anthropic's, and that of OpenAI's Responses API."""

CALL_PIECES = ("tool_call_chunk", "input_json_delta")
"""Blocks that hold a piece of a call, which stands whole in the message's `tool_calls`."""

BLOCK_KINDS: dict[str, BlockKind] = {}
"""Every kind of block that langplug knows, by the block's `"type"`."""


def modality_of(block: Block) -> str:
    """What a model has to accept to be given `block`; `"text"` is accepted by all, an unknown type is its own."""
    kind = BLOCK_KINDS.get(str(block.get("type")))
    if kind is None:
        return str(block.get("type"))
    if kind.modality is None:
        family = str(block.get("mime_type")).partition("/")[0]
        return family if family in ("image", "audio", "video") else "file"
    return kind.modality


def write_block(block: Block, path: str, holder: Holder | None) -> ContentPart | None:
    """`block` as a content part of an OpenAI message; None if it has no counterpart there.

    Args:
        block: The block; it stays as it is.
        path: Its place in the conversation, for errors.
        holder: The role of the message; None for one that is neither the user's nor the assistant's.

    Raises:
        ValueError: If such a message cannot hold it, or it lacks what it needs.
    """
    name = block.get("type")
    kind = BLOCK_KINDS.get(name) if isinstance(name, str) else None
    if kind is None or kind.only_in not in (None, holder):
        held = sorted(name for name, kind in BLOCK_KINDS.items() if kind.only_in in (None, holder))
        raise ValueError(
            f"{path} has the type {name!r}, which this message cannot hold as OpenAI; accepted: {', '.join(held)}."
        )
    return kind.to_openai(block, path)


def need(block: Block, key: str, kind: type, path: str) -> Any:
    """The member `key` of `block`.

    Raises:
        ValueError: If it is missing, or not a `kind`.
    """
    value = block.get(key)
    if not isinstance(value, kind):
        found = f"is {value!r}" if key in block else "is missing"
        raise ValueError(f"{path}.{key} {found}; expected a {kind.__name__}.")
    return value


def text_part(text: str) -> ContentPart:
    """Text as a content part."""
    return {"type": "text", "text": text}


def _writes(*names: str, modality: str | None, only_in: Holder | None = None) -> Callable[[Writer], Writer]:
    """Enter the kinds `names`, which the decorated function writes."""

    def enter(writer: Writer) -> Writer:
        BLOCK_KINDS.update(dict.fromkeys(names, BlockKind(modality, writer, only_in)))
        return writer

    return enter


# --- LangChain's standard blocks: https://docs.langchain.com/oss/python/langchain/messages#content-block-reference ---


@_writes("text", modality="text")
@_writes("input_text", "output_text", modality="text")  # of OpenAI's Responses API
def _text(block: Block, path: str) -> ContentPart:
    return text_part(need(block, "text", str, path))


@_writes("image", modality="image")
def _image(block: Block, path: str) -> ContentPart:
    detail = _mapping(block.get("extras")).get("detail")
    return {"type": "image_url", "image_url": {"url": _url(block, path)} | ({"detail": detail} if detail else {})}


@_writes("audio", modality="audio")
def _audio(block: Block, path: str) -> ContentPart:
    data, mime_type = _base64(block, path)
    subtype = mime_type.partition(";")[0].rpartition("/")[2]
    aliases = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
    return {"type": "input_audio", "input_audio": {"data": data, "format": aliases.get(subtype, subtype)}}


@_writes("video", modality="video")
def _video(block: Block, path: str) -> ContentPart:
    # not OpenAI's own: what vLLM and SGLang take
    return {"type": "video_url", "video_url": {"url": _url(block, path)}}


@_writes("file", modality="file")
@_writes("text-plain", modality="text")
def _file(block: Block, path: str) -> ContentPart:
    if "file" in block:  # OpenAI's own
        return {"type": "file", "file": dict(need(block, "file", dict, path))}
    file_id = block.get("file_id") or (block.get("id") if block.get("source_type") == "id" else None)
    if file_id:
        return {"type": "file", "file": {"file_id": file_id}}
    if isinstance(block.get("text"), str):
        return text_part(block["text"])
    data, mime_type = _base64(block, path)
    return _file_part(block, f"data:{mime_type};base64,{data}")


@_writes("non_standard", modality="non_standard", only_in="assistant")
def _non_standard(block: Block, path: str) -> ContentPart | None:
    return write_block(need(block, "value", dict, path), f"{path}.value", "assistant")


@_writes("json", modality="text")  # what a tool gave
def _json(block: Block, _path: str) -> ContentPart:
    return text_part(json.dumps(block.get("json"), ensure_ascii=False))


@_writes("reasoning", "reasoning_content", "thinking", "redacted_thinking", modality="text", only_in="assistant")
@_writes(*CALL_BLOCKS, *CALL_PIECES, modality="text", only_in="assistant")
@_writes("server_tool_call", "server_tool_call_chunk", "server_tool_result", modality="text", only_in="assistant")
@_writes("citations", modality="text", only_in="assistant")
@_writes("tool_result", modality="text", only_in="user")
def _leave_out(_block: Block, _path: str) -> None:
    """Calls and results have a place of their own in an OpenAI message; the others have none."""


# --- OpenAI's own, of both of its APIs, and what follows them ---


@_writes("refusal", modality="text", only_in="assistant")
def _refusal(block: Block, path: str) -> ContentPart | None:
    # As text: most servers know no part "refusal", and none of them an empty one, which core makes of Anthropic's.
    return text_part(said) if (said := need(block, "refusal", str, path)) else None


@_writes("image_url", modality="image")
@_writes("audio_url", modality="audio")  # vLLM's
@_writes("video_url", modality="video")
def _link(block: Block, path: str) -> ContentPart:
    kind = block["type"]
    return {"type": kind, kind: _target(block, kind, path)}


@_writes("input_image", modality="image")
def _input_image(block: Block, path: str) -> ContentPart:
    detail = {"detail": block["detail"]} if block.get("detail") else {}
    return {"type": "image_url", "image_url": _target(block, "image_url", path) | detail}


@_writes("input_video", modality="video")  # of servers that follow the Responses API
def _input_video(block: Block, path: str) -> ContentPart:
    key = "input_video" if "input_video" in block else "video_url"
    return {"type": "video_url", "video_url": _target(block, key, path)}


@_writes("input_audio", modality="audio")
def _input_audio(block: Block, path: str) -> ContentPart:
    audio = need(block, "input_audio", dict, path)
    for key in ("data", "format"):
        need(audio, key, str, f"{path}.input_audio")
    return {"type": "input_audio", "input_audio": dict(audio)}


@_writes("input_file", modality="file")
def _input_file(block: Block, path: str) -> ContentPart:
    if isinstance(block.get("file_id"), str):
        return {"type": "file", "file": {"file_id": block["file_id"]}}
    return _file_part(block, need(block, "file_data", str, path))


# --- Anthropic's and Google's ---


@_writes("document", modality="file")
def _document(block: Block, path: str) -> ContentPart:
    source = need(block, "source", dict, path)
    if source.get("type") == "text":
        return text_part(need(source, "data", str, f"{path}.source"))
    if source.get("type") == "file":
        return {"type": "file", "file": {"file_id": need(source, "file_id", str, f"{path}.source")}}
    if isinstance(source.get("content"), str):
        return text_part(source["content"])
    data, mime_type = _base64(block, path)
    return _file_part({"filename": block.get("title")}, f"data:{mime_type};base64,{data}")


@_writes("media", modality=None)
def _media(block: Block, path: str) -> ContentPart | None:
    kind = modality_of(block)
    uri = block.get("file_uri")
    return BLOCK_KINDS[kind].to_openai({**block, "type": kind, **({"url": uri} if uri else {})}, path)


# --- what several of them hold ---


def _target(block: Block, key: str, path: str) -> dict[str, Any]:
    """The URL at `key`, which may stand there alone, as a dict that holds it."""
    given = block.get(key)
    target = {"url": given} if isinstance(given, str) else _mapping(given)
    if not isinstance(target.get("url"), str):
        raise ValueError(f"{path}.{key} is {given!r}; expected a URL or a dict with a 'url'.")
    return dict(target)


def _url(block: Block, path: str) -> str:
    """The URL of a data block: its own, or a `data:` URL of its bytes."""
    for holder in (block, _mapping(block.get("source"))):
        if isinstance(holder.get("url"), str):
            return str(holder["url"])
    data, mime_type = _base64(block, path)
    return f"data:{mime_type};base64,{data}"


def _base64(block: Block, path: str) -> tuple[str, str]:
    """Data and MIME type of a data block, as LangChain's v1, its v0, Anthropic or Google writes it."""
    holder = _mapping(block.get("source")) or block
    data = holder.get("base64") or holder.get("data")
    mime_type = holder.get("mime_type") or holder.get("media_type")
    if not isinstance(data, str) or not isinstance(mime_type, str):
        wanted = "'base64' and 'mime_type'" + (" or a 'url'" if block["type"] in ("image", "video") else "")
        found = f"of the type {block['type']!r} and has {sorted(block)}"
        raise ValueError(f"{path} is a block {found}; expected {wanted}.")
    return data, mime_type


def _file_part(block: Block, data_url: str) -> ContentPart:
    """A file, under the name that it was given or one by its type: OpenAI refuses a file without a name."""
    for holder in (block, _mapping(block.get("extras")), _mapping(block.get("metadata"))):
        if name := holder.get("filename"):
            break
    else:
        mime_type = data_url.removeprefix("data:").partition(";")[0]
        name = "file" + (mimetypes.guess_extension(mime_type) or "")
    return {"type": "file", "file": {"filename": str(name), "file_data": data_url}}


def _mapping(value: object) -> Block:
    return cast("Block", value) if isinstance(value, Mapping) else {}
