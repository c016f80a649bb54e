"""The switches with which chat templates and servers turn a model's reasoning on and off.

Each family has its own, and one that a template does not read does no harm. So all the yes-or-no switches are set
together; those that take other values are set where the template names them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

YES_OR_NO = ("enable_thinking", "thinking", "reasoning")
"""Qwen3, GLM, SmolLM3 and most others; DeepSeek V3.1, Granite and Kimi; Command."""

_OFF = ("no_think", "none", "minimal", "low")
"""What `reasoning_effort` is for the least reasoning: in Hunyuan 3, Mistral Small 4, and (the last two) others."""


def switch_values(thinking: bool, template: str = "") -> dict[str, Any]:
    """The variables of a chat template that turn reasoning on or off; an unknown template gets the common ones."""
    values: dict[str, Any] = dict.fromkeys(YES_OR_NO, thinking)
    if "thinking_mode" in template:  # MiniMax M3
        values["thinking_mode"] = "enabled" if thinking else "disabled"
    if "thinking_budget" in template and not thinking:  # Seed-OSS; without it there is no limit
        values["thinking_budget"] = 0
    if "reasoning_effort" in template and "enable_thinking" not in template:
        off = next((word for word in _OFF if re.search(rf"['\"]{word}['\"]", template)), "low")
        if not thinking:
            values["reasoning_effort"] = off
        elif off in ("no_think", "none"):  # which is the default then
            values["reasoning_effort"] = "high"
    return values


def thinking_fields(thinking: bool, off: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that turn reasoning on or off.

    Args:
        thinking: On or off.
        off: The fields by which the server turns it off; empty if it has none but `reasoning_effort`.
    """
    if "chat_template_kwargs" in off:  # the server has templates, each with a switch of its own
        return {"chat_template_kwargs": switch_values(thinking)}
    if not thinking:
        return dict(off) or {"reasoning_effort": "none"}
    return {"thinking": {"type": "enabled"}} if "thinking" in off else dict.fromkeys(off, True)


def say_no_think(turns: Sequence[Mapping[str, Any]], template: str) -> list[dict[str, Any]]:
    """OpenAI messages that say `/no_think`, for a template that has this switch and no other (Nemotron Nano 2)."""
    said = [dict(turn) for turn in turns]
    if "/no_think" in template and "enable_thinking" not in template:
        first = said[0] if said else {}
        if first.get("role") == "system" and isinstance(first["content"], str):
            first["content"] += " /no_think"
        else:
            said.insert(0, {"role": "system", "content": "/no_think"})
    return said
