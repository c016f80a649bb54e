"""The parts of messages as chat templates want them: transformers' forms are not all OpenAI's."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from langplug._messages.blocks import text_part

_LOOPS_OVER_PARTS: Final = re.compile(r"""\bfor\s+\w+\s+in\s+\w+(?:\.content\b|\[['"]content['"]\])""")
_KNOWS_TEXTS: Final = re.compile(r"\bis\s+(?:not\s+)?(?:string|iterable|sequence)\b")


def fit_parts(turns: Iterable[Mapping[str, Any]], template: str) -> list[dict[str, Any]]:
    """OpenAI messages for a chat template; they stay as they are.

    A template puts a token where a part of the type `image` stands; what that is of, transformers is given beside the
    prompt. One that writes part by part, and nothing otherwise, would take a text for a list of characters,
    and gets a part of text. See https://huggingface.co/docs/transformers/chat_templating_multimodal.
    """
    wants_parts = _LOOPS_OVER_PARTS.search(template) and not _KNOWS_TEXTS.search(template)
    fitted: list[dict[str, Any]] = []
    for turn in turns:
        content = turn["content"]
        if isinstance(content, list):
            content = [{"type": "image"} if part["type"] == "image_url" else part for part in content]
        elif wants_parts and isinstance(content, str):
            content = [text_part(content)]
        fitted.append({**turn, "content": content})
    return fitted
