"""How many tokens a prompt has: of what is really sent, and by an estimate where no tokenizer was given."""

import re
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from langchain_core.exceptions import ModelError
from langchain_core.messages import BaseMessage, get_buffer_string

from langplug._messages.blocks import modality_of
from langplug._model.fields import ModelFields
from langplug._model.plan import Plan
from langplug._request import Request, Run
from langplug._tools.provider_tools import split_tools
from langplug._tools.toolbox import signature_of, tool_dicts

_PIECE = re.compile(r"\s*[^\W\d_]{1,5}|\s*\d{1,3}|\s*[^\w\s]|_|\s+")


def estimate_ids(text: str) -> list[int]:
    """One number for each piece of `text` that a tokenizer would hardly cut further.

    Pieces are up to five letters, three digits, or one mark, with the space before them: near what today's
    tokenizers do with English, and too few rather than too many for other scripts. langchain-core's default would
    download GPT-2's vocabulary instead.
    """
    return [crc32(piece.encode("utf-8", "surrogatepass")) for piece in _PIECE.findall(text)]


_TOKENS_PER_IMAGE = 85
"""Of an image, an audio or another file: what langchain-core's `count_tokens_approximately` takes for an image."""


def request_to_count(model: ModelFields, messages: Sequence[BaseMessage], tools: Sequence[Any] | None) -> Request:
    """The request that `model.respond` would get for `messages`, with what langplug says of `tools` in the prompt.

    A conversation that the model would refuse is counted as it stands: `trim_messages` counts parts of it, such as the
    result of a tool without its call, and may be about to take out what is refused.
    """
    given = {"tools": tools} if tools else {}
    try:
        return Plan(model, messages, None, given, streaming=False, run=Run()).request
    except (ValueError, ModelError):
        functions, _ = split_tools(tools or ())
        return Request(messages=tuple(messages), tools=tool_dicts(functions))


def estimate_prompt(request: Request, count: Callable[[str], int]) -> int:
    """How many tokens `request` makes, each message with its role before it, and tools as the JSON that is sent."""
    texts = [get_buffer_string([message]) for message in request.messages]
    texts += [signature_of(tool) for tool in request.tools]
    blocks = (block for message in request.messages if isinstance(message.content, list) for block in message.content)
    files = sum(isinstance(block, dict) and modality_of(block) != "text" for block in blocks)
    return sum(map(count, texts)) + files * _TOKENS_PER_IMAGE
