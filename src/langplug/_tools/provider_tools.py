"""Tools that run at a provider, such as a web search: who lists them with functions means one provider's model.

They are no reason to fail: an agent hands its tools to whatever model it falls back to. A model that knows them passes
them on, and another one leaves them out, with a note.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.tools import BaseTool

_ARGUMENTS = ("parameters", "input_schema", "toolSpec", "properties")
"""Where the arguments of a function stand: at OpenAI, Anthropic and Bedrock, and in a JSON schema."""

_DECLARATIONS = ("function_declarations", "functionDeclarations")
"""Where Google has functions, several in one tool and perhaps beside tools of its own."""


def provider_kind(tool: Any) -> str | None:
    """The kind of a tool that runs at its provider, such as `"web_search"`; None for a function.

    A provider's tool is a dict that describes no arguments, and has a type, as at OpenAI (`{"type": "web_search"}`)
    and Anthropic (`{"type": "web_search_20250305", "name": "web_search"}`), or one key with its settings, as at Google
    (`{"google_search": {}}`).
    """
    if not isinstance(tool, Mapping) or not tool or any(tool.get(name) for name in _ARGUMENTS):
        return None
    if isinstance(kind := tool.get("type"), str):
        return None if kind in ("function", "object") else kind
    is_described = "function" in tool or not all(isinstance(settings, Mapping) for settings in tool.values())
    return None if is_described else ", ".join(map(str, tool))


def split_tools(tools: Iterable[Any]) -> tuple[list[Any], list[dict[str, Any]]]:
    """Functions, and tools that run at a provider.

    Raises:
        ValueError: If the tools are not a list.
    """
    if isinstance(tools, str | Mapping | BaseTool) or not isinstance(tools, Iterable):
        raise ValueError(f"The tools are {tools!r}; expected a list of tools. Put brackets around it: [...].")
    functions: list[Any] = []
    others: list[dict[str, Any]] = []
    for tool in tools:
        if isinstance(tool, Mapping) and (declared := [one for name in _DECLARATIONS for one in tool.get(name) or ()]):
            functions += map(_in_json_schema, declared)
            if rest := {key: settings for key, settings in tool.items() if key not in _DECLARATIONS}:
                others.append(rest)
        elif provider_kind(tool):
            others.append(dict(tool))
        else:
            functions.append(tool)
    return functions, others


def _in_json_schema(declared: Any) -> Any:
    """A function as Google declares it, with the types of its arguments in lower case, as JSON schema has them."""
    if isinstance(declared, Mapping):
        return {
            key: value.lower() if key == "type" and isinstance(value, str) else _in_json_schema(value)
            for key, value in declared.items()
        }
    return [_in_json_schema(item) for item in declared] if isinstance(declared, list) else declared


def names_one_of(choice: Any, tools: Iterable[dict[str, Any]]) -> bool:
    """Whether a `tool_choice` names one of a provider's tools, by its kind or its name."""
    names = [choice.get("type"), choice.get("name")] if isinstance(choice, Mapping) else [choice]
    return any(name in names for tool in tools for name in (provider_kind(tool), tool.get("name")) if name)
