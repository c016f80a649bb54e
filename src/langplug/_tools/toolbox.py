"""Tools, as callers bind them: OpenAI tool dicts, and which of them must or may be called, and how many."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langplug._errors import UnsupportedError, advised
from langplug._tools.class_schema import class_schema
from langplug._tools.json_schema_check import Problem, problem_with
from langplug._tools.provider_tools import names_one_of, provider_kind, split_tools
from langplug._tools.references import Schema
from langplug._tools.schema import checker_of, dump, function_of

Tool: TypeAlias = Mapping[str, Any]
"""An OpenAI tool dict: `{"type": "function", "function": {"name", "description", "parameters"}}`."""

ToolChoice: TypeAlias = str | Mapping[str, Any] | None
"""`"auto"` (or None), `"none"`, `"required"` (or `"any"`), a tool's name, or an OpenAI tool-choice dict."""

Choice: TypeAlias = str | dict[str, Any]
"""`"auto"`, `"none"`, `"required"`, or `{"type": "function", "function": {"name": ...}}`."""


class ToolDict(dict[str, Any]):
    """An OpenAI tool dict that was converted and checked: a call that is given it does neither again.

    It is not to be changed: what is made of it is remembered.

    Args:
        tool: The tool in OpenAI's form.
        source: What it was made of; None after pickling, since a class may not be found again.
    """

    def __init__(self, tool: Mapping[str, Any], source: Any = None) -> None:
        super().__init__(tool)
        self._source = source

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    @cached_property
    def check(self) -> Callable[[Any], Problem]:
        """What tells whether arguments fit: the class that it was made of, if it was one, else its JSON schema."""
        if class_schema(self._source) is not None:
            return checker_of(self._source)
        parameters: Schema = self["function"].get("parameters") or {}
        return lambda arguments: problem_with(arguments, parameters)

    @cached_property
    def shown(self) -> dict[Callable[[str], bool], Any]:
        """What traces show of it, by the function that finds the texts that only stand for a secret.

        All traces share it, as with other models they share the tools themselves.
        """
        return {}

    @cached_property
    def signature(self) -> str:
        """What a model is told of it, as one line of JSON."""
        return _dump_signature(self)


# --- what a tool dict says ---


def name_of(tool: Tool) -> str:
    """The name of a tool."""
    return str(_function(tool)["name"])


def schemas_of(tools: Sequence[Tool]) -> dict[str, Schema]:
    """The JSON schemas of the tools' arguments, by the tools' names."""
    return {name_of(tool): _function(tool).get("parameters") or {} for tool in tools}


def signature_of(tool: Tool) -> str:
    """Name, description and parameters of a tool, as one line of JSON."""
    return tool.signature if isinstance(tool, ToolDict) else _dump_signature(tool)


def _dump_signature(tool: Tool) -> str:
    return dump({key: value for key, value in _function(tool).items() if key in ("name", "description", "parameters")})


def _function(tool: Tool) -> Mapping[str, Any]:
    function: Mapping[str, Any] = tool.get("function", tool)
    return function


# --- the tools of one call ---


@dataclass(frozen=True)
class Toolbox:
    """The tools of one call.

    Attributes:
        tools: OpenAI tool dicts.
        choice: Which must be called; None without tools.
        parallel: Whether several may be called at once; None: as the model likes.
        provider_tools: Tools that run at the provider, which the model passes on to it.
        left_out: The kinds of those that it cannot pass on.
    """

    tools: tuple[ToolDict, ...] = ()
    choice: Choice | None = None
    parallel: bool | None = None
    provider_tools: tuple[dict[str, Any], ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def forced(self) -> bool:
        """Whether the answer must hold a call."""
        return isinstance(self.choice, dict) or self.choice == "required"

    @property
    def forbidden(self) -> bool:
        """Whether the answer must not hold a call."""
        return self.choice == "none"

    @cached_property
    def callable_tools(self) -> tuple[ToolDict, ...]:
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


def toolbox_of(given: Mapping[str, Any], owner: str, accepts: Collection[str] = ()) -> Toolbox:
    """The toolbox that a call's `tools`, `tool_choice`, `strict` and `parallel_tool_calls` stand for.

    Args:
        given: The keywords of the call.
        owner: The model's class, for errors.
        accepts: The kinds of tools that run at the model's provider, among what else it accepts.

    Raises:
        ValueError: If a tool cannot be described, or the choice names none of them.
    """
    functions, others = split_tools(given.get("tools") or ())
    tools, choice = tool_dicts(functions, given.get("strict")), given.get("tool_choice")
    passed_on = tuple(tool for tool in others if provider_kind(tool) in accepts)
    left_out = tuple(dict.fromkeys(str(provider_kind(tool)) for tool in others if tool not in passed_on))
    if not tools:
        if is_forcing(choice) and not passed_on:
            theirs = f" Those that are bound run at their provider: {', '.join(left_out)}." if left_out else ""
            raise ValueError(f"{owner}: tool_choice={choice!r} without tools. Bind at least one.{theirs}")
        return Toolbox(provider_tools=passed_on, left_out=left_out)
    choice = "auto" if names_one_of(choice, others) else choice_of(choice, tools, owner)
    return Toolbox(tools, choice, given.get("parallel_tool_calls"), passed_on, left_out)


def tool_dicts(tools: Sequence[Any], strict: bool | None = None) -> tuple[ToolDict, ...]:
    """Tools of every kind that LangChain knows as OpenAI tool dicts.

    One that is given twice counts once, be it as a class and as its JSON schema, as long as that has no `$ref`.

    Raises:
        ValueError: If one is of another kind or has no name, or two have one name.
    """
    described: dict[str, ToolDict] = {}
    for tool in tools:
        # Of `bind_tools`; langchain-core, too, leaves an OpenAI dict as it is, whatever `strict` is.
        if isinstance(tool, ToolDict):
            found = tool
        else:
            function = function_of(tool)
            if function is None and not isinstance(tool, Mapping | BaseTool):  # an Enum, a lambda, a partial
                raise ValueError(
                    f"{tool!r} is not a tool. Give a function with a name, a LangChain tool, a pydantic class, a "
                    "dataclass, a TypedDict, or the dict of one."
                )
            try:
                converted = convert_to_openai_tool(function or tool, strict=strict)
                found = ToolDict({**converted, **_keys_beside_function(tool, converted)}, tool)
            except (AttributeError, KeyError, TypeError) as error:
                raise ValueError(f"{tool!r} cannot be described as a tool: {error!r}") from error
            if not found.get("function", {}).get("name"):
                raise ValueError(f"The tool {found!r} has no name. Give its function one.")
        known = described.setdefault(name_of(found), found)
        if known is not found and _undecorated(known) != _undecorated(found):
            raise ValueError(f"Two tools are named {name_of(found)!r}: a call of it would be ambiguous. Rename one.")
    return tuple(described.values())


_EXTRAS = ("cache_control", "defer_loading", "allowed_callers", "input_examples", "eager_input_streaming")
"""What Anthropic's API takes beside a function. LangChain's tools have it in `extras`, with what other APIs take."""

_DESCRIBED = frozenset({"type", "function", "name", "description", "parameters", "input_schema", "strict"})


def _keys_beside_function(tool: Any, converted: Tool) -> dict[str, Any]:
    """What a caller has written into a tool for the server, such as `cache_control` or `strict`.

    langchain-core leaves it out where it writes a tool of another form as OpenAI's.
    """
    if isinstance(tool, BaseTool):
        extras = tool.extras or {}
        return {key: extras[key] for key in _EXTRAS if extras.get(key) is not None}
    # a JSON schema, the other form of a dict, has keywords of its own
    is_tool = isinstance(tool, Mapping) and ("input_schema" in tool or ("name" in tool and "parameters" in tool))
    if not is_tool:
        return {}
    keys = {key: value for key, value in tool.items() if key not in _DESCRIBED and value is not None}
    if isinstance(tool.get("strict"), bool) and "function" in converted:
        keys["function"] = {**converted["function"], "strict": tool["strict"]}
    return keys


def _undecorated(schema: Any) -> Any:
    """The schema without titles and empty descriptions, which a class gets or loses on its way here."""
    if isinstance(schema, list):
        return [_undecorated(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: _undecorated(value)
        for key, value in schema.items()
        # an argument may be called "title": then its value is a schema
        if not (key == "title" and isinstance(value, str)) and not (key == "description" and not value)
    }


# --- which must be called ---


def is_forcing(choice: Any) -> bool:
    """Whether a caller's `tool_choice` asks for a call."""
    return choice not in (None, False, "auto", "none")


def choice_of(choice: Any, tools: Sequence[Tool], owner: str) -> Choice:
    """A caller's `tool_choice` (None, a bool, a word, a tool's name, a dict) in OpenAI's form.

    Raises:
        ValueError: If it names a tool that is not there, or is none of these.
    """
    if choice is None or choice is False or choice == "auto":
        return "auto"
    if choice in ("none", "required", "any"):
        return "required" if choice == "any" else str(choice)
    names = [name_of(tool) for tool in tools]
    if choice is True:
        if len(names) != 1:
            raise ValueError(f"{owner}: tool_choice=True is for one tool, and there are {len(names)}: name one.")
        name = names[0]
    else:
        name = chosen_name(choice)
    if name not in names:
        raise ValueError(f"{owner}: tool_choice={choice!r} names no bound tool. Bound are: {', '.join(names)}.")
    return {"type": "function", "function": {"name": name}}


def chosen_name(choice: Any) -> str:
    """The tool that a choice names, in OpenAI's form, Anthropic's (`{"type": "tool", "name": ...}`) or a bare string.

    Empty if it names none.
    """
    if isinstance(choice, Mapping):
        function = choice.get("function")
        holder = function if isinstance(function, Mapping) else choice
        return str(holder.get("name") or "")
    return choice if isinstance(choice, str) and choice not in ("auto", "none", "required", "any") else ""


def refuse_tools(owner: str) -> UnsupportedError:
    """The error for tools at a model that has turned them off."""
    return advised(
        UnsupportedError(f"{owner} does not call tools."),
        'Its tool_calling is "off". Write `tool_calling = "prompted"` to have langplug ask for calls in the prompt, or '
        '`tool_calling = "native"` and yield a `ToolCall` for each.',
    )
