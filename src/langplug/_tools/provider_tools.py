"""Tools that run at a provider, such as a web search: who lists them with functions means one provider's model.

They are no reason to fail: an agent hands its tools to whatever model it falls back to. A model that knows them passes
them on, and another one leaves them out, with a note.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.tools import BaseTool

_OF_A_FUNCTION = frozenset(
    {"function", "parameters", "input_schema", "toolSpec", "properties", "function_declarations"}
)
"""Where the arguments of a function stand: at OpenAI, Anthropic, Bedrock and Google, and in a JSON schema."""


def provider_kind(tool: Any) -> str | None:
    """The kind of a tool that runs at its provider, such as `"web_search"`; None for a function.

    A provider's tool is a dict that describes no arguments, and has a type, as at OpenAI (`{"type": "web_search"}`)
    and Anthropic (`{"type": "web_search_20250305", "name": "web_search"}`), or one key with its settings, as at Google
    (`{"google_search": {}}`).
    """
    if not isinstance(tool, Mapping) or not tool or not _OF_A_FUNCTION.isdisjoint(tool):
        return None
    if isinstance(kind := tool.get("type"), str):
        return None if kind in ("function", "object") else kind
    only, *more = tool
    return None if more or not isinstance(tool[only], Mapping) else str(only)


def split_tools(tools: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """Functions, and tools that run at a provider.

    Raises:
        ValueError: If the tools are not a list.
    """
    if isinstance(tools, str | Mapping | BaseTool) or not isinstance(tools, Iterable):
        raise ValueError(f"The tools are {tools!r}; expected a list of tools. Put brackets around it: [...].")
    functions: list[Any] = []
    others: list[dict[str, Any]] = []
    for tool in tools:
        (others if provider_kind(tool) else functions).append(tool)
    return functions, others


def names_one_of(choice: Any, tools: Iterable[dict[str, Any]]) -> bool:
    """Whether a `tool_choice` names one of a provider's tools, by its kind or its name."""
    names = [choice.get("type"), choice.get("name")] if isinstance(choice, Mapping) else [choice]
    return any(name in names for tool in tools for name in (provider_kind(tool), tool.get("name")) if name)
