"""Bodies as coding agents send them on the Messages wire: what stands in them, with shorter words."""

from collections.abc import Mapping
from typing import Any

CACHED = {"cache_control": {"type": "ephemeral"}}

HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14",
    "x-app": "cli",
    "user-agent": "claude-cli/2.1.0 (external, cli)",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
}

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

SYSTEM = [
    {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.0; cc_entrypoint=cli;"},
    {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude.", **CACHED},
    {"type": "text", "text": "# Environment\nWorking directory: /repo\nPlatform: linux", **CACHED},
]

BASH = {
    "name": "Bash",
    "description": "Runs a command in a shell.",
    "input_schema": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "The command."},
            "timeout": {"type": "number", "description": "Milliseconds."},
            "run_in_background": {"type": "boolean"},
        },
        "required": ["command"],
        "additionalProperties": False,
    },
}

TODO = {
    "name": "TodoWrite",
    "description": "Keeps a list of what is to do.",
    "input_schema": {
        "type": "object",
        "properties": {
            "todos": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "content": {"type": "string", "minLength": 1},
                        "status": {"type": "string", "enum": ["pending", "in_progress", "completed"]},
                    },
                    "required": ["content", "status"],
                },
            }
        },
        "required": ["todos"],
    },
    **CACHED,
}

NOW = {"name": "mcp__clock__now", "description": "", "input_schema": {"type": "object"}, "eager_input_streaming": True}

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}

METADATA = {"user_id": "user_0f1e_account_5d2c_session_7b3a"}

REMINDER = "<system-reminder>\nThe list of what is to do is empty.\n</system-reminder>"


def _body(*messages: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "model": "scripted",
        "max_tokens": 32_000,
        "system": SYSTEM,
        "tools": [BASH, TODO, NOW],
        "metadata": METADATA,
        "stream": True,
        "messages": [*messages],
        **more,
    }


def _says(role: str, *blocks: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": [*blocks]}


def _text(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


def _call(number: int, name: str = "Bash", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number:02}", "name": name, "input": given}


def _result(number: int, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"toolu_{number:02}", "content": content, **more}


ASKED = _says("user", _text(REMINDER), _text("What is in this folder?", **CACHED))

THOUGHT = {"type": "thinking", "thinking": "I should look.", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}

BODIES: Mapping[str, dict[str, Any]] = {
    "the first turn": _body(ASKED, temperature=1),
    "with thinking": _body(ASKED, thinking={"type": "enabled", "budget_tokens": 31_999}),
    "with adaptive thinking, effort and edits of the context": _body(
        ASKED,
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={"effort": "high"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    ),
    "after a call with thinking": _body(
        ASKED,
        _says("assistant", THOUGHT, _text("I'll look."), _call(1, command="ls")),
        _says("user", _result(1, "a.py\nb.py", is_error=False, **CACHED)),
        thinking={"type": "enabled", "budget_tokens": 4_000},
    ),
    "after two calls at once, one of which failed": _body(
        ASKED,
        _says("assistant", _call(1, command="ls"), _call(2, command="cat nothing")),
        _says("user", _result(1, [_text("a.py")]), _result(2, "Error: no such file", is_error=True), _text(REMINDER)),
    ),
    "after a call that the user has turned down": _body(
        ASKED,
        _says("assistant", _text("I'll look."), _call(1, command="rm -rf build")),
        _says(
            "user",
            _result(1, "The user doesn't want to proceed with this tool use.", is_error=True),
            _text("[Request interrupted by user for tool use]"),
            _text("Only look, please."),
        ),
    ),
    "after a screenshot": _body(
        ASKED,
        _says("assistant", _call(1, command="screenshot")),
        _says(
            "user",
            _result(
                1, [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}], **CACHED
            ),
        ),
    ),
    "with a web search, which runs at Anthropic's, among the tools": _body(
        ASKED, tools=[BASH, SEARCH], tool_choice={"type": "auto", "disable_parallel_tool_use": True}
    ),
    "for a title, whole and with a schema": _body(
        _says("user", _text("What is in this folder?")),
        system=[_text("Write a title of at most six words.")],
        tools=[],
        max_tokens=512,
        stream=False,
        temperature=0,
        output_config={
            "format": {
                "type": "json_schema",
                "schema": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
            }
        },
    ),
    "for a look at the account, one token long": {
        "model": "scripted",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "quota"}],
        "metadata": METADATA,
    },
}
"""Ten bodies, each of which has a 200."""
