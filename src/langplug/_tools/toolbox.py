"""Tools, as callers bind them: which there are, which must or may be called, and how many."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langplug._errors import UnsupportedError

Choice = str | dict[str, Any]
"""`"auto"`, `"none"`, `"required"`, or `{"type": "function", "function": {"name": ...}}`."""


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of one call.

    Attributes:
        tools: OpenAI tool dicts.
        choice: Which must be called; None without tools.
        parallel: Whether several may be called at once; None: as the model likes.
    """

    tools: tuple[dict[str, Any], ...] = ()
    choice: Choice | None = None
    parallel: bool | None = None

    @property
    def forced(self) -> bool:
        """Whether the answer must hold a call."""
        return isinstance(self.choice, dict) or self.choice == "required"

    @property
    def forbidden(self) -> bool:
        """Whether the answer must not hold a call."""
        return self.choice == "none"

    @property
    def callable_tools(self) -> tuple[dict[str, Any], ...]:
        """The tools that the choice leaves open: the named one, none, or all."""
        if self.forbidden:
            return ()
        if isinstance(self.choice, dict):
            return tuple(tool for tool in self.tools if name_of(tool) == self.choice["function"]["name"])
        return self.tools

    @property
    def most_calls(self) -> int | None:
        """How many calls the answer may hold; None: any number."""
        if self.forbidden:
            return 0
        return 1 if self.parallel is False else None


def name_of(tool: Mapping[str, Any]) -> str:
    """The name of an OpenAI tool dict."""
    return str(tool["function"]["name"])


def toolbox(given: Mapping[str, Any], owner: str) -> Toolbox:
    """The toolbox that a call's `tools`, `tool_choice`, `strict` and `parallel_tool_calls` stand for.

    Raises:
        ValueError: If a tool cannot be described, or the choice names none of them.
    """
    tools = tool_dicts(given.get("tools") or (), given.get("strict"))
    if not tools:
        if is_forcing(given.get("tool_choice")):
            raise ValueError(f"{owner}: tool_choice={given['tool_choice']!r} without tools. Bind at least one.")
        return Toolbox()
    return Toolbox(tools, choice_of(given.get("tool_choice"), tools, owner), given.get("parallel_tool_calls"))


def tool_dicts(tools: Sequence[Any], strict: bool | None = None) -> tuple[dict[str, Any], ...]:
    """Tools of every kind that LangChain knows as OpenAI tool dicts.

    One that is given twice counts once, be it as a class and as its JSON schema, as long as that has no `$ref`.

    Raises:
        ValueError: If one is of another kind, is a tool that runs at the provider or has no name, or two have one
            name; or if it is no list.
    """
    if isinstance(tools, str | Mapping | BaseTool) or not isinstance(tools, Iterable):
        raise ValueError(f"The tools are {tools!r}; expected a list of tools. Put brackets around it: [...].")
    described: dict[str, dict[str, Any]] = {}
    for tool in (convert_to_openai_tool(tool, strict=strict) for tool in tools):
        if tool.get("type") != "function" or "function" not in tool:
            raise ValueError(f"The tool {tool!r} would run at its provider. langplug's models call functions only.")
        if not tool["function"].get("name"):
            raise ValueError(f"The tool {tool!r} has no name. Give its function one.")
        known = described.setdefault(name_of(tool), tool)
        if _bare(known) != _bare(tool):
            raise ValueError(f"Two tools are named {name_of(tool)!r}: a call of it would be ambiguous. Rename one.")
    return tuple(described.values())


def _bare(schema: Any) -> Any:
    """The schema without titles and empty descriptions, which a class gets or loses on its way here."""
    if isinstance(schema, list):
        return [_bare(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {key: _bare(value) for key, value in schema.items() if not _is_decoration(key, value)}


def _is_decoration(key: str, value: Any) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "description" and not value)


def is_forcing(choice: Any) -> bool:
    """Whether a caller's `tool_choice` asks for a call."""
    return choice not in (None, False, "auto", "none")


def choice_of(choice: Any, tools: Sequence[Mapping[str, Any]], owner: str) -> Choice:
    """A caller's `tool_choice` (None, a bool, a word, a tool's name, a dict) in OpenAI's form.

    Raises:
        ValueError: If it names a tool that is not there, or is none of these.
    """
    names = [name_of(tool) for tool in tools]
    if choice is None or choice is False or choice == "auto":
        return "auto"
    if choice in ("none", "required", "any"):
        return "required" if choice == "any" else str(choice)
    if choice is True:
        if len(names) != 1:
            raise ValueError(f"{owner}: tool_choice=True is for one tool, and there are {len(names)}: name one.")
        return _named(names[0])
    name = _wanted_name(choice)
    if name not in names:
        raise ValueError(f"{owner}: tool_choice={choice!r} names no bound tool. Bound are: {', '.join(names)}.")
    return _named(str(name))


def _named(name: str) -> Choice:
    return {"type": "function", "function": {"name": name}}


def _wanted_name(choice: Any) -> str | None:
    """The name in OpenAI's form, Anthropic's (`{"type": "tool", "name": ...}`), or a bare string."""
    if isinstance(choice, str):
        return choice
    if not isinstance(choice, Mapping):
        return None
    function = choice.get("function")
    return function.get("name") if isinstance(function, Mapping) else choice.get("name")


def refuse_tools(owner: str) -> UnsupportedError:
    """The error for tools at a model that has turned them off."""
    return UnsupportedError(
        f'{owner} does not call tools: its class says `tool_calling = "off"`. Write `tool_calling = "prompted"` to '
        'have langplug ask for calls in the prompt, or `tool_calling = "native"` and yield a `ToolCall` for each.'
    )
