"""Ids of calls, and names, in a form that a server takes.

Histories move between models: an id that one provider made may be too long for another, or hold characters that it
refuses. Mistral's API takes nine letters and digits, OpenAI's forty characters.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

OpenAIMessage = dict[str, Any]

_LENGTH = 9  # the strictest form known, Mistral's; it fits all others as well

_UNFIT_FOR_A_NAME = re.compile(r"[\s<|\\/>]+")
"""What OpenAI refuses in the name of a message: it wants `^[^\\s<|\\\\/>]+$`."""

_LONGEST_NAME = 64


def fit_call_ids(messages: Sequence[OpenAIMessage], pattern: str) -> list[OpenAIMessage]:
    """The messages with ids of calls that match `pattern`, in calls and in results alike.

    An id that matches stays. Another one becomes nine letters and digits that depend on it alone, so that it is the
    same in the next request, and servers find the conversation in their cache. Two ids never become one.
    """
    fits = re.compile(pattern).fullmatch
    used = [call["id"] for message in messages for call in message.get("tool_calls") or ()]
    used = list(dict.fromkeys([*used, *(message["tool_call_id"] for message in messages if "tool_call_id" in message)]))
    if all(map(fits, used)):
        return list(messages)
    taken = {call_id for call_id in used if fits(call_id)}
    new: dict[str, str] = {call_id: call_id for call_id in taken}
    for call_id in used:
        tries = 0
        while call_id not in new:
            digest = hashlib.sha256(f"{tries}:{call_id}".encode("utf-8", "surrogatepass"))
            short = digest.hexdigest()[:_LENGTH]
            if short not in taken:
                new[call_id] = short
                taken.add(short)
            tries += 1
    fitted: list[OpenAIMessage] = []
    for message in messages:
        changed = dict(message)
        if "tool_call_id" in message:
            changed["tool_call_id"] = new[message["tool_call_id"]]
        if message.get("tool_calls"):
            changed["tool_calls"] = [{**call, "id": new[call["id"]]} for call in message["tool_calls"]]
        fitted.append(changed)
    return fitted


def fit_names(messages: Sequence[OpenAIMessage], *, keep: bool) -> list[OpenAIMessage]:
    """The messages with names that servers take (`create_agent(name="User Onboarding Agent")` makes others).

    Args:
        messages: OpenAI messages.
        keep: Whether the server takes names at all: else they are left out.
    """
    fitted: list[OpenAIMessage] = []
    for message in messages:
        if "name" not in message:
            fitted.append(message)
            continue
        name = _UNFIT_FOR_A_NAME.sub("_", message["name"]).strip("_")[:_LONGEST_NAME]
        rest = {key: value for key, value in message.items() if key != "name"}
        fitted.append({**rest, "name": name} if keep and name else rest)
    return fitted
