"""What a prompt tells a model that reads nothing but text: tools, whether one must be called, a schema.

It is read from the data in the prompt and never from the sentences around them: those may be reworded at any time, and
a check that looked for a sentence would then see nothing, and pass.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langplug import ToolFormat
from langplug_check.verdicts import NotObserved

_TOOL_KEYS = frozenset({"name", "description", "parameters", "strict"})
_SCHEMA_KEYS = frozenset({"properties", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"})
_SCHEMA_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


def find_tools(prompt: str) -> tuple[dict[str, Any], ...]:
    """The tools that a prompt describes in JSON, as OpenAI tool dicts, each name once."""
    tools: dict[str, dict[str, Any]] = {}
    for found in _json_objects(prompt):
        for function in _functions_in(found):
            # The first of a name is the description. Llama writes an example call after it as {"name", "parameters"},
            # which looks just like one.
            tools.setdefault(function["name"], {"type": "function", "function": function})
    return tuple(tools.values())


def find_choice(prompt: str, tools: Sequence[Mapping[str, Any]], tool_format: ToolFormat) -> str:
    """Which of `tools` a prompt says must be called: `"auto"`, `"required"` or the name of one.

    A format writes other instructions for each choice. So it is asked to write them all, and the one that stands in the
    prompt tells the choice. Where two choices read the same, the model was told of neither: that is `"auto"`.

    Raises:
        NotObserved: If the prompt holds none of them, for then the choice cannot be known.
    """
    names = [tool["function"]["name"] for tool in tools]
    choices: dict[str, Any] = {"auto": "auto", "required": "required"}
    choices |= {name: {"type": "function", "function": {"name": name}} for name in names}
    lengths = {
        word: max(
            len(text) if (text := tool_format.instructions(tools, choice, parallel)) in prompt else 0
            for parallel in (None, True, False)
        )
        for word, choice in choices.items()
    }
    told = max(lengths, key=lambda word: lengths[word])  # the longest, for one may begin as another does
    if not lengths[told]:
        raise NotObserved(
            f"the prompt describes the tools {', '.join(names)} in other words than the format {tool_format.name!r} "
            "does, so whether one of them must be called cannot be seen"
        )
    return told


def find_schema(prompt: str) -> dict[str, Any] | None:
    """The JSON schema in a prompt, if there is one; descriptions of tools are none."""
    return next((found for found in _json_objects(prompt) if _is_schema(found)), None)


def _json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, outermost ones only."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield found
        at = text.find("{", end)


def _functions_in(value: Any) -> Iterator[dict[str, Any]]:
    """Descriptions of tools: bare ones, those within OpenAI's tool dicts, and those in lists."""
    if isinstance(value, list):
        for item in value:
            yield from _functions_in(item)
    elif isinstance(value, dict) and not _is_schema(value):  # whose examples may look like anything
        if isinstance(value.get("name"), str) and len(value) > 1 and _TOOL_KEYS.issuperset(value):
            yield value
        else:
            for item in value.values():
                yield from _functions_in(item)


def _is_schema(value: Mapping[str, Any]) -> bool:
    kind = value.get("type")
    return kind in _SCHEMA_TYPES if isinstance(kind, str) else not _SCHEMA_KEYS.isdisjoint(value)
