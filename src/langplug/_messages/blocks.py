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
        members: The keys that it is made of. What else a block holds is its caller's, and goes along with it.
    """

    modality: str | None
    to_openai: Writer
    only_in: Holder | None = None
    members: frozenset[str] = frozenset()


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
    part = kind.to_openai(block, path)
    if part is None or len(block) == len(part) == 2:  # type and text: nothing else to look for
        return part
    return {**part, **keys_of_caller(block, holder), **part}  # a key of the caller's never changes what a part says


_BOOKKEEPING = frozenset({"type", "id", "index", "annotations", "extras", "_meta"})
"""What LangChain and MCP write into any block for themselves; `extras` is opened, see `keys_of_caller`."""

_RECEIVED = frozenset({"citations", "logprobs", "phase", "signature", "thought_signature", "caller", "partial_json"})
"""What providers write into the text of an answer. Others refuse it in a conversation."""

CACHE_KEYS = ("cache_control", "prompt_cache_breakpoint")
"""Where a provider is to cache the prompt up to: Anthropic's (OpenRouter, LiteLLM and DashScope, too), and OpenAI's."""


def keys_of_caller(block: Block, holder: Holder | None) -> ContentPart:
    """What a caller has written into a block for the server, such as `cache_control`: it goes out with the block.

    Standard blocks have it in `extras`, and those of LangChain's v0 in `metadata`. What has the value None counts as
    not given: servers refuse `"cache_control": null`.

    Args:
        block: The block.
        holder: The role of the message. In an answer, `extras` is what the provider said of it, such as a signature:
            of that, only what concerns caching is the caller's.
    """
    kind = BLOCK_KINDS.get(str(block.get("type")))
    extras = extras_of(block)
    if holder == "assistant":
        extras = {key: extras[key] for key in CACHE_KEYS if key in extras}
    left_out = _BOOKKEEPING | (kind.members if kind else frozenset())
    left_out = left_out | _RECEIVED if holder == "assistant" else left_out
    return {key: value for key, value in {**extras, **block}.items() if key not in left_out and value is not None}


def extras_of(block: Block) -> Block:
    """What a standard block has in `extras`, and one with data in `metadata`, as LangChain's v0 wrote it.

    langchain-core turns blocks of v0 into such of v1 before a model is given them; what it does not know of them, it
    puts whole into `extras`.
    """
    extras = _mapping(block.get("extras"))
    kind = BLOCK_KINDS.get(str(block.get("type")))
    metadata: Block = {}
    if kind is not None and "metadata" in kind.members:
        metadata = {**_mapping(block.get("metadata")), **_mapping(extras.get("metadata"))}
        metadata = {key: metadata[key] for key in (*DOCUMENT_KEYS, "filename") if key in metadata}
    return {**metadata, **_mapping(extras.get("extras")), **extras}


DOCUMENT_KEYS = ("cache_control", "citations", "title", "context")
"""What Anthropic's API takes beside a document."""


def join_texts(parts: list[ContentPart], role: str | None, *, drop_keys: bool = False) -> str | list[ContentPart]:
    """Parts of text as one string; the very same where one is not text, or bears a key of its own.

    Servers with text-only templates take nothing but a string, and a key can only stand on a part.

    Args:
        parts: The content of a message.
        role: The message's role.
        drop_keys: Join all the same: for prompts and APIs that have no place for keys.
    """
    if not all(part["type"] == "text" and (drop_keys or len(part) == 2) for part in parts):
        return parts
    # what a model said came in pieces of one text; elsewhere each block is a text of its own
    return ("" if role == "assistant" else "\n").join(part["text"] for part in parts)


def unwrap_block(block: Block) -> Block:
    """A provider's own block out of the standard one that wraps it, `non_standard`; any other block as it is."""
    value = block.get("value") if block.get("type") == "non_standard" else None
    return cast("Block", value) if isinstance(value, Mapping) else block


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


def _writes(
    *names: str, modality: str | None, only_in: Holder | None = None, members: str = ""
) -> Callable[[Writer], Writer]:
    """Enter the kinds `names`, which the decorated function writes, and which are made of `members`."""
    made_of = frozenset(members.split())

    def enter(writer: Writer) -> Writer:
        BLOCK_KINDS.update(dict.fromkeys(names, BlockKind(modality, writer, only_in, made_of)))
        return writer

    return enter


_DATA = "url base64 data mime_type media_type mimeType source source_type file_id file_uri filename metadata detail "
"""The members of blocks with data or an address: LangChain's v1 and v0, Anthropic's, Google's and MCP's."""

_CALL = "name args input arguments call_id partial_json error status"
"""The members of blocks with a call."""

# --- LangChain's standard blocks: https://docs.langchain.com/oss/python/langchain/messages#content-block-reference ---


@_writes("text", modality="text", members="text")
@_writes("input_text", "output_text", modality="text", members="text")  # of OpenAI's Responses API
def _text(block: Block, path: str) -> ContentPart:
    return text_part(need(block, "text", str, path))


@_writes("image", modality="image", members=_DATA)
def _image(block: Block, path: str) -> ContentPart:
    detail = block.get("detail") or extras_of(block).get("detail")
    return {"type": "image_url", "image_url": {"url": _url(block, path)} | ({"detail": detail} if detail else {})}


@_writes("audio", modality="audio", members=_DATA)
def _audio(block: Block, path: str) -> ContentPart:
    data, mime_type = _base64(block, path)
    subtype = mime_type.partition(";")[0].rpartition("/")[2]
    aliases = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
    return {"type": "input_audio", "input_audio": {"data": data, "format": aliases.get(subtype, subtype)}}


@_writes("video", modality="video", members=_DATA)
def _video(block: Block, path: str) -> ContentPart:
    # not OpenAI's own: what vLLM and SGLang take
    return {"type": "video_url", "video_url": {"url": _url(block, path)}}


@_writes("file", modality="file", members=_DATA + "file text")
@_writes("text-plain", modality="text", members=_DATA + "file text title context")
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


@_writes("non_standard", modality="non_standard", only_in="assistant", members="value")
def _non_standard(block: Block, path: str) -> ContentPart | None:
    return write_block(need(block, "value", dict, path), f"{path}.value", "assistant")


@_writes("json", modality="text", members="json")  # what a tool gave
def _json(block: Block, _path: str) -> ContentPart:
    return text_part(json.dumps(block.get("json"), ensure_ascii=False))


@_writes("reasoning", "reasoning_content", "thinking", "redacted_thinking", modality="text", only_in="assistant")
@_writes(*CALL_BLOCKS, *CALL_PIECES, modality="text", only_in="assistant", members=_CALL)
@_writes("citations", modality="text", only_in="assistant")
@_writes("tool_result", modality="text", only_in="user", members="tool_use_id content is_error name")
def _leave_out(_block: Block, _path: str) -> None:
    """Calls and results have a place of their own in an OpenAI message; the others have none."""


@_writes("server_tool_call", "server_tool_call_chunk", modality="server_tool_call", only_in="assistant")
@_writes("server_tool_result", modality="server_tool_result", only_in="assistant")
def _leave_out_steps(_block: Block, _path: str) -> None:
    """What a provider's own tools did: a model that accepts it reads it in the messages; OpenAI's wire has no place."""


# --- OpenAI's own, of both of its APIs, and what follows them ---


@_writes("refusal", modality="text", only_in="assistant", members="refusal")
def _refusal(block: Block, path: str) -> ContentPart | None:
    # As text: most servers know no part "refusal", and none of them an empty one, which core makes of Anthropic's.
    return text_part(said) if (said := need(block, "refusal", str, path)) else None


@_writes("image_url", modality="image", members="image_url detail")
@_writes("audio_url", modality="audio", members="audio_url")  # vLLM's
@_writes("video_url", modality="video", members="video_url")
def _link(block: Block, path: str) -> ContentPart:
    kind = block["type"]
    detail = {"detail": block["detail"]} if kind == "image_url" and block.get("detail") else {}
    return {"type": kind, kind: _target(block, kind, path) | detail}


@_writes("input_image", modality="image", members="image_url detail file_id")
def _input_image(block: Block, path: str) -> ContentPart:
    detail = {"detail": block["detail"]} if block.get("detail") else {}
    return {"type": "image_url", "image_url": _target(block, "image_url", path) | detail}


@_writes("input_video", modality="video", members="input_video video_url")  # of servers that follow the Responses API
def _input_video(block: Block, path: str) -> ContentPart:
    key = "input_video" if "input_video" in block else "video_url"
    return {"type": "video_url", "video_url": _target(block, key, path)}


@_writes("input_audio", modality="audio", members="input_audio")
def _input_audio(block: Block, path: str) -> ContentPart:
    audio = need(block, "input_audio", dict, path)
    for key in ("data", "format"):
        need(audio, key, str, f"{path}.input_audio")
    return {"type": "input_audio", "input_audio": dict(audio)}


@_writes("input_file", modality="file", members="file_id file_data file_url filename")
def _input_file(block: Block, path: str) -> ContentPart:
    if isinstance(block.get("file_id"), str):
        return {"type": "file", "file": {"file_id": block["file_id"]}}
    return _file_part(block, need(block, "file_data", str, path))


# --- Anthropic's and Google's ---


@_writes("document", modality="file", members="source title context citations")
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


@_writes("media", modality=None, members=_DATA)
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
    mime_type = holder.get("mime_type") or holder.get("media_type") or holder.get("mimeType")
    if not isinstance(data, str) or not isinstance(mime_type, str):
        wanted = "'base64' and 'mime_type'" + (" or a 'url'" if block["type"] in ("image", "video") else "")
        found = f"of the type {block['type']!r} and has {sorted(block)}"
        raise ValueError(f"{path} is a block {found}; expected {wanted}.")
    return data, mime_type


def _file_part(block: Block, data_url: str) -> ContentPart:
    """A file, under the name that it was given or one by its type: OpenAI refuses a file without a name."""
    name = block.get("filename") or extras_of(block).get("filename")
    if not name:
        mime_type = data_url.removeprefix("data:").partition(";")[0]
        name = "file" + (mimetypes.guess_extension(mime_type) or "")
    return {"type": "file", "file": {"filename": str(name), "file_data": data_url}}


def _mapping(value: object) -> Block:
    return cast("Block", value) if isinstance(value, Mapping) else {}
