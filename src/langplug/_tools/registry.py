"""The formats that there are, and which of them a model speaks."""

from collections.abc import Mapping

from langplug._tools import default, hermes, llama3, mistral, plain_json, pythonic, qwen_coder
from langplug._tools.formats import ToolFormat

TOOL_FORMATS: Mapping[str, ToolFormat] = {
    each.FORMAT.name: each.FORMAT for each in (default, hermes, qwen_coder, llama3, mistral, plain_json, pythonic)
}
"""The formats by name; `"default"` is for a model of which nothing is known."""

_IN_TEMPLATES = (
    (("<tool_call>", "<function="), "qwen_coder"),
    (("<tool_call>",), "hermes"),
    (("<|python_start|>",), "pythonic"),
    (("<|tool_call_start|>",), "pythonic"),
    (("<|python_tag|>",), "llama3"),
    (("[TOOL_CALLS]",), "mistral"),
    (("<|start_header_id|>",), "llama3"),
)
_IN_NAMES = (
    ("qwen3coder", "qwen_coder"),
    ("qwen3.5", "qwen_coder"),
    ("hermes", "hermes"),
    ("qwen", "hermes"),
    ("qwq", "hermes"),
    ("smollm", "hermes"),
    ("llama4", "pythonic"),
    ("toolace", "pythonic"),
    ("lfm2", "pythonic"),
    ("llama3", "llama3"),
    ("mistral", "mistral"),
    ("mixtral", "mistral"),
    ("ministral", "mistral"),
    ("magistral", "mistral"),
    ("devstral", "mistral"),
    ("codestral", "mistral"),
    ("pixtral", "mistral"),
)


def format_named(name: str) -> ToolFormat:
    """The format of that name.

    Raises:
        ValueError: If there is none; those that there are are named.
    """
    if name not in TOOL_FORMATS:
        raise ValueError(f"tool_format={name!r} is none that there is. Choose from {', '.join(sorted(TOOL_FORMATS))}.")
    return TOOL_FORMATS[name]


def format_for(hint: str) -> ToolFormat:
    """The format that a model speaks, by its name or by its chat template; `TOOL_FORMATS["default"]` if neither tells.

    The first that fits counts, from the most special to the most general: `"Hermes-3-Llama-3.1-8B"` is a Hermes.
    """
    for markers, name in _IN_TEMPLATES:
        if all(marker in hint for marker in markers):
            return TOOL_FORMATS[name]
    is_template = "{%" in hint or "{{" in hint  # which may mention other models
    plain = "" if is_template else hint.casefold().replace("-", "").replace("_", "").replace(" ", "")
    return TOOL_FORMATS[next((name for word, name in _IN_NAMES if word in plain), "default")]
