"""Images, audio and files that stand where a server does not take them.

OpenAI's API takes them in messages of the user alone ("Image URLs are only allowed for messages with role 'user'"), and
so do most servers that follow it; but tools give screenshots, and models draw. There such a part moves into a message
of the user.
"""

from collections.abc import Iterable
from typing import Any, Literal

from langplug._messages.blocks import ContentPart, join_texts, text_part
from langplug._messages.carried import THOUGHTS

OpenAIMessage = dict[str, Any]

MediaIn = Literal["user", "any"]
"""Which messages may hold images, audio and files: those of the user alone, or any."""

_NAMES = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
    "file": "file",
}
_MOVED_FROM = ("tool", "assistant")


def move_media_to_user(turns: Iterable[OpenAIMessage]) -> list[OpenAIMessage]:
    """The same OpenAI messages, with images, audio and files in messages of the user alone.

    What the results of tools hold, or an answer of the model, moves into one message of the user after it: after the
    *whole* run of results, since servers want all of them right after the calls. A sentence before each says where it
    is from. Text stays where it is; a result of media alone says where they are.

    Args:
        turns: OpenAI messages, oldest first; they stay as they are.
    """
    moved: list[OpenAIMessage] = []
    waiting: list[ContentPart] = []
    called: dict[str, str] = {}  # names of tools, by the ids of their calls
    for turn in turns:
        if waiting and turn["role"] != "tool":
            moved.append({"role": "user", "content": waiting})
            waiting = []
        called.update((call["id"], call["function"]["name"]) for call in turn.get("tool_calls", ()))
        content = turn["content"]
        if turn["role"] not in _MOVED_FROM or isinstance(content, str):
            moved.append(turn)
            continue
        media = [part for part in content if part["type"] not in ("text", *THOUGHTS)]
        texts = [part for part in content if part["type"] in ("text", *THOUGHTS)]
        if media:
            source = "part of your last answer"
            if turn["role"] == "tool":
                call_id = turn["tool_call_id"]
                name = called.get(call_id) or turn.get("name") or "unknown"
                source = f"from the result of the tool {name} (call {call_id})"
            for part in media:
                waiting += [text_part(f"This {_NAMES.get(part['type'], part['type'])} is {source}:"), part]
            content = join_texts(texts, turn["role"])
            if turn["role"] == "tool" and not content:  # most servers refuse a result of nothing
                content = "(It follows in the next message of the user.)"
        moved.append({**turn, "content": content})
    if waiting:
        moved.append({"role": "user", "content": waiting})
    return moved
