"""What an OpenAI-shaped message holds besides text, reasoning and calls, as LangChain's standard content blocks.

Images and audio that a model made, the sources that it cites, and parts of content. What is not understood is kept as a
`non_standard` block. The blocks: https://docs.langchain.com/oss/python/langchain/messages#content-block-reference.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages.content import KNOWN_BLOCK_TYPES
from pydantic import BaseModel

from langplug._answer.from_message import part_of_block, texts_in
from langplug._answer.json_data import a, to_json_data
from langplug._messages.blocks import BLOCK_KINDS
from langplug._messages.carried import THOUGHTS
from langplug._parts import Part, Reasoning

Block = dict[str, Any]

_STARTS = {
    "iVBOR": "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklG": "image/webp", "PHN2": "image/svg+xml"
}  # fmt: skip
_AUDIO_STARTS = {
    "UklG": "audio/wav", "SUQz": "audio/mpeg", "//": "audio/mpeg", "T2dn": "audio/ogg", "ZkxhQ": "audio/flac"
}  # fmt: skip
"""How the base64 of a file of each type begins: no server says the type of the data that it sends apart from a URL."""

_URLS = ("url", "uri", "link")
_QUOTES = ("cited_text", "content", "quote", "snippet")
_PLACES = {"start_index": ("start_index", "start"), "end_index": ("end_index", "end")}


def blocks_of_images(images: Any) -> Iterator[Block]:
    """The images of a message's `images` (OpenRouter, LiteLLM): a list of parts, objects or addresses."""
    for image in images if isinstance(images, list | tuple) else [images]:
        yield _image(image) or _unknown({"type": "image_url", "image_url": image})


def block_of_audio(audio: Mapping[str, Any]) -> Block | None:
    """The audio of a message, or the first that a stream brings, as a block; None if there is no sound in it.

    The transcript is in its `extras`: https://platform.openai.com/docs/guides/audio.
    """
    data = audio.get("data")
    if not isinstance(data, str) or not data:
        return None
    extras = {key: audio[key] for key in ("transcript", "expires_at") if audio.get(key)}
    mime_type = str(audio.get("mime_type") or _type_of(data, _AUDIO_STARTS, "audio/pcm"))
    given_id = {"id": str(audio["id"])} if audio.get("id") else {}
    return {
        "type": "audio",
        "base64": data,
        "mime_type": mime_type,
        **given_id,
        **({"extras": extras} if extras else {}),
    }


def join_base64(pieces: Sequence[str]) -> str:
    """The data of a stream's pieces, each of which is base64 by itself, as one."""
    if not any(piece.endswith("=") or len(piece) % 4 for piece in pieces[:-1]):
        return "".join(pieces)
    try:
        return b64encode(b"".join(map(b64decode, pieces))).decode()
    except binascii.Error:
        return "".join(pieces)


def cited_text_block(citations: Any, text: str = "") -> Block | None:
    """`text` with the sources that are given for it; None if there are none. Without text, it is for that before it."""
    given = citations if isinstance(citations, list | tuple) else [citations]
    annotations = [citation_of(one) for one in given if one]
    return {"type": "text", "text": text, "annotations": annotations} if annotations else None


def citation_of(source: Any) -> Block:
    """One source as LangChain's `citation`; `non_standard_annotation` if it is not clear what it cites.

    OpenAI and OpenRouter nest a `url_citation`, Perplexity and xAI list addresses, Cohere and Anthropic name documents.
    """
    if isinstance(source, str):
        is_url = "://" in source
        return {"type": "citation", "url": source} if is_url else {"type": "citation", "title": source}
    if not isinstance(source, Mapping):
        return {"type": "non_standard_annotation", "value": {"annotation": source}}
    kind = source.get("type")
    if kind in ("citation", "non_standard_annotation"):
        return dict(source)
    nested = source.get(kind) if isinstance(kind, str) else None
    facts: dict[str, Any] = dict(nested if isinstance(nested, Mapping) else source)
    found: dict[str, Any] = {}
    for name, places, wanted in (
        ("url", _URLS, str),
        ("title", ("title", "document_title", "filename"), str),
        ("cited_text", _QUOTES, str),
        *((name, places, int) for name, places in _PLACES.items()),
    ):
        place = next((place for place in places if isinstance(facts.get(place), wanted)), None)
        if place is not None:
            found[name] = facts.pop(place)
    if not found:
        return {"type": "non_standard_annotation", "value": dict(source)}
    extras = {key: value for key, value in facts.items() if key != "type" and value is not None}
    return {"type": "citation", **found, **({"extras": extras} if extras else {})}


def parts_of_content(content: Sequence[Any]) -> Iterator[Part]:
    """The parts that content in parts holds: strings, parts of OpenAI's, or blocks of LangChain's and of others."""
    for part in content:
        if isinstance(part, str):
            yield part
            continue
        if isinstance(part, BaseModel):
            part = {**part.__dict__, **(part.__pydantic_extra__ or {})}  # noqa: PLW2901 - the same, readable
        if not isinstance(part, Mapping):
            raise TypeError(f"{part!r} ({a(part)}) stands where a content block should")
        yield _part_of(part)


def _part_of(part: Mapping[str, Any]) -> Part:
    kind = part.get("type")
    if kind is None and isinstance(part.get("text"), str):  # of some gateways, an object without a type
        kind = "text"
    if kind in ("text", "output_text", "input_text"):
        text = texts_in(part.get("text"))  # Assistants' API has an object there, with the text as `value`
        return cited_text_block([*(part.get("annotations") or ()), *(part.get("citations") or ())], text) or text
    if kind in ("image_url", "output_image", "input_image") and (image := _image(part)) is not None:
        return image
    if kind in ("audio", "output_audio", "input_audio") and isinstance(held := part.get(kind), Mapping):
        given = {"mime_type": f"audio/{held['format']}"} if held.get("format") else {}
        if (audio := block_of_audio({**held, **given})) is not None:
            return audio
    if kind in ("summary_text", "reasoning_text"):
        return Reasoning(texts_in(part.get("text")))
    if kind == "reasoning" and not part.get("extras"):
        held = [part, *(one for one in part.get("summary") or () if isinstance(one, Mapping))]
        signature = next((one["signature"] for one in reversed(held) if one.get("signature")), None)
        return Reasoning(reasoning_text(part), {"signature": signature} if signature else None)
    if isinstance(kind, str) and (kind in KNOWN_BLOCK_TYPES or kind in BLOCK_KINDS):
        return part_of_block(part)
    return _unknown(part)


def reasoning_text(part: Mapping[str, Any]) -> str:
    """The text of a block of reasoning: in itself, or in a list of summaries or texts, as Databricks has it."""
    return next(
        (text for key in ("reasoning", "text", "thinking", "summary", "content") if (text := texts_in(part.get(key)))),
        "",
    )


def is_signed(part: Any) -> bool:
    """Whether a block of reasoning holds what only its server understands, so that it must go back as it came."""
    if not isinstance(part, Mapping) or part.get("type") not in THOUGHTS:
        return False
    held = [part, *(one for one in part.values() if isinstance(one, list | tuple) for one in one)]
    names = {key for one in held if isinstance(one, Mapping) for key, value in one.items() if value is not None}
    return bool(names & {"data", "id"}) or any("signature" in name or "encrypted" in name for name in names)


def _image(image: Any) -> Block | None:
    """An image by its address or its data; None if neither is there."""
    facts: Mapping[str, Any] = image if isinstance(image, Mapping) else {"url": image}
    inner = facts.get("image_url")
    url = inner.get("url") if isinstance(inner, Mapping) else inner or facts.get("url")
    data = next((facts[key] for key in ("b64_json", "base64", "data") if isinstance(facts.get(key), str)), None)
    if isinstance(url, str) and url.startswith("data:"):
        head, _, data = url.partition(",")
        mime_type = head.removeprefix("data:").partition(";")[0] or _type_of(data, _STARTS, "image/png")
        return {"type": "image", "base64": data, "mime_type": mime_type}
    if isinstance(url, str) and url:
        return {"type": "image", "url": url}
    if data:
        mime_type = str(facts.get("mime_type") or facts.get("media_type") or _type_of(data, _STARTS, "image/png"))
        return {"type": "image", "base64": data, "mime_type": mime_type}
    return None


def _type_of(data: str, starts: Mapping[str, str], otherwise: str) -> str:
    return next((mime_type for start, mime_type in starts.items() if data.startswith(start)), otherwise)


def _unknown(value: Any) -> Block:
    return {"type": "non_standard", "value": to_json_data(value, "content")}
