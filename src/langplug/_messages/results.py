"""What tools give: MCP's blocks as blocks that models know, and words in place of what a model cannot be shown.

A result that cannot be shown must not end an agent, so it is said in the result. What the *user* gives is another
matter: a model that answers about a picture that it never saw is worse than an error.
"""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from langplug._messages.blocks import BLOCK_KINDS, Block, ContentPart, Holder, text_part, write_block

WriteBlock: TypeAlias = Callable[[Block, str, Holder | None], ContentPart | None]
"""`(block, path, holder) -> part`, as `write_block`."""


def read_mcp_block(block: Block) -> Block:
    """A block of the Model Context Protocol as a standard block; any other block as it is.

    https://modelcontextprotocol.io/specification/2025-06-18/server/tools#tool-result. A `resource_link` becomes a line
    of text, as no model follows it by itself; a `resource` its text, or an image, audio, a video or a file. One with
    neither is an address like a link, and one whose text cannot be decoded stays what it is.
    """
    if block.get("type") == "resource_link":
        return text_part(_describe_link(block))
    resource = block.get("resource")
    if block.get("type") != "resource" or not isinstance(resource, Mapping):
        return block
    held = cast("Block", resource)
    uri, mime_type, blob = str(held.get("uri") or ""), held.get("mimeType") or held.get("mime_type"), held.get("blob")
    text = held.get("text")
    if isinstance(blob, str) and not isinstance(text, str):
        family = str(mime_type).partition("/")[0]
        if family != "text":
            kind = family if family in ("image", "audio", "video") else "file"
            name = uri.rstrip("/").rpartition("/")[2]
            named = {"filename": name} if kind == "file" and name else {}
            return {"type": kind, "base64": blob, "mime_type": mime_type or "application/octet-stream", **named}
        try:
            text = base64.b64decode(blob).decode("utf-8", "replace")
        except ValueError:
            return block
    return text_part(_describe_link(held) if text is None else f"Resource {uri}:\n{text}")


def write_result_block(block: Block, path: str, write: WriteBlock = write_block) -> ContentPart | None:
    """A block of a tool's result as `write` does it; in words if this one has no counterpart on that wire.

    Raises:
        ValueError: If it is of an unknown kind. A model is not given those, see `check_messages`.
    """
    try:
        return write(read_mcp_block(block), path, None)
    except ValueError:
        if block.get("type") not in BLOCK_KINDS and "resource" not in block:
            raise
        return text_part(say_unshown(block))


def say_unshown(block: Block) -> str:
    """What is said to a model in place of a block of a result that it cannot be shown."""
    kind = block.get("type")
    if not isinstance(kind, str):  # structured output, in no block
        return json.dumps(block, ensure_ascii=False, default=str, skipkeys=True)
    resource = block.get("resource")
    known = {**block, **(cast("Block", resource) if isinstance(resource, Mapping) else {})}
    if kind == "file" and isinstance(known.get("url"), str):  # as langchain-mcp-adapters writes a `resource_link`
        return _describe_link(known)
    mime_type = known.get("mime_type") or known.get("mimeType")
    named = (kind, mime_type, known.get("filename"), known.get("uri") or known.get("url"))
    details = ", ".join(str(detail) for detail in named if detail)
    return f"[The tool also gave content that cannot be shown here: {details}]"


def _describe_link(link: Block) -> str:
    """An address, and what is said of it, in one line."""
    name = link.get("title") or link.get("name") or link.get("filename")
    mime_type = link.get("mimeType") or link.get("mime_type")
    details: list[Any] = [name, mime_type, link.get("description")]
    said = "; ".join(str(detail) for detail in details if detail)
    return f"Resource link: {link.get('uri') or link.get('url')}{f' ({said})' if said else ''}"
