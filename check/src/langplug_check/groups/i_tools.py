"""Group I: tools: how they are bound, and how they are described to the backend."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langplug_check.groups._runs import CHUNKED
from langplug_check.groups._tools import (
    BIND_TOOLS,
    NO_CALL,
    OFFERED,
    function_of,
    last_exchange,
    last_request,
    request_in,
    tool_model,
    tool_names,
)
from langplug_check.paths import BUGS, allow_beta, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed

# --- binding ---


class _Forecast(BaseModel):
    """Tells tomorrow's weather."""

    city: str = Field(description="Where.")


class _ForecastDict(TypedDict):
    """Tells tomorrow's weather."""

    city: str


def _forecast(city: str) -> str:
    """Tells tomorrow's weather."""
    return city


_SCHEMA: Mapping[str, Any] = {
    "title": "forecast",
    "description": "Tells tomorrow's weather.",
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where."}},
    "required": ["city"],
}


_BIND_HINT = """
def bind_tools(self, tools, *, tool_choice=None, **kwargs):
    if not tools:
        return self.bind(**kwargs)
    formatted = [convert_to_openai_tool(tool) for tool in tools]   # langchain_core.utils.function_calling
    return self.bind(tools=formatted, tool_choice=tool_choice, **kwargs)   # and send both in _generate and _stream
"""


@statement(
    "I01",
    "`bind_tools` takes a BaseTool, a function, a Pydantic class, a TypedDict, a JSON schema, an OpenAI dict, "
    "`Runnable.as_tool()` and `[]`, returns a Runnable, and leaves the model as it was.",
    why="Agents bind what their users have; a model that binding changes offers one agent's tools to another.",
    hint=_BIND_HINT,
    link=BIND_TOOLS,
    needs=("tools", "answer"),
)
def binds_every_kind(subject: Subject) -> str:
    """Bind a tool of each kind and ask; where requests are seen, look for its name and its argument in them."""
    # The kinds that the signature of `BaseChatModel.bind_tools` names; `convert_to_openai_tool` takes them all.
    with allow_beta():
        runnable: Any = RunnableLambda(str)
        as_tool = runnable.as_tool(arg_types={"city": str}, name="forecast")
    kinds: list[tuple[str, str, Any]] = [
        ("a BaseTool", "forecast", StructuredTool.from_function(_forecast, name="forecast")),
        ("a function", "_forecast", _forecast),
        ("a Pydantic class", "_Forecast", _Forecast),
        ("a TypedDict", "_ForecastDict", _ForecastDict),
        ("a JSON schema", "forecast", dict(_SCHEMA)),
        ("an OpenAI tool dict", "_forecast", convert_to_openai_tool(_forecast)),
        ("a Runnable.as_tool()", "forecast", as_tool),
    ]
    problems = [problem for kind, name, tool in kinds if (problem := _bind_problem(subject, kind, name, tool))]
    problems += _side_effects(subject)
    if problems:
        raise Failed("; ".join(problems))
    return "all are taken; the requests cannot be seen" if subject.lacks("requests") else ""


def _bind_problem(subject: Subject, kind: str, name: str, tool: Any) -> str:
    """What goes wrong when this tool is bound; empty if nothing does."""
    given = copy.deepcopy(tool) if isinstance(tool, dict) else tool
    try:
        bound = tool_model(subject).bind_tools([given])
    except Exception as error:  # noqa: BLE001 - it is part of the report
        return f"{kind} is refused ({error_text(error)})"
    outcome = subject.ask(bound)
    if outcome.error is not None:
        return f"with {kind}, invoke raised {error_text(outcome.error)}"
    if not subject.lacks("requests"):
        request = last_request(subject)
        if tool_names(request) != [name]:
            return f"of {kind}, the tools {tool_names(request)} arrive instead of ['{name}']"
        if "city" not in (_parameters(request.tools[0]).get("properties") or {}):
            return f"of {kind}, the argument 'city' does not arrive"
    return f"{kind} itself is changed" if given != tool else ""


def _side_effects(subject: Subject) -> Iterator[str]:
    """What `bind_tools` does to the model, and with no tools at all."""
    model = tool_model(subject)
    before = repr(vars(model))
    try:
        # `create_agent` binds an empty list for an agent with a response format and no tools.
        bound, empty = model.bind_tools([OFFERED[0]]), model.bind_tools([])
    except Exception as error:  # noqa: BLE001 - it is part of the report
        yield f"an empty list of tools is refused ({error_text(error)})"
        return
    if bound is model or not isinstance(bound, Runnable):
        yield f"bind_tools returns {'the model itself' if bound is model else type(bound).__name__}, not a new Runnable"
    if repr(vars(model)) != before:
        yield "bind_tools changes the model itself"
    for which, runnable in (("after a bind_tools, the model itself", model), ("bind_tools([])", empty)):
        outcome = subject.ask(runnable)
        if outcome.error is not None:
            yield f"{which} raised {error_text(outcome.error)}"
        elif not subject.lacks("requests") and (names := tool_names(last_request(subject))):
            yield f"{which} offers the tools {names}"


# --- describing ---


class _Street(BaseModel):
    """A place in a town."""

    name: str = Field(description="Its name.")
    number: int | None = Field(description="The house.")


class Visit(BaseModel):
    """Plans a visit: every part of this must arrive."""

    who: str = Field(description="Whom to visit.")
    when: Literal["morning", "evening"] = Field(description="The time of day.")
    street: _Street
    gifts: list[str] = Field(default_factory=list, description="What to bring.")


@statement(
    "I13",
    "A tool's description, required arguments, enums, nested schemas and `strict` reach the backend unchanged.",
    why="A model has to guess whatever it does not learn about a tool.",
    hint="""
    convert_to_openai_tool(tool, strict=strict)   # langchain_core.utils.function_calling; and send "parameters" whole
    # a backend that does not support `strict`: raise ValueError if strict is not None
    """,
    link=BIND_TOOLS,
    needs=("tools", "replies", "requests"),
)
def tools_arrive_whole(subject: Subject) -> str:
    """Bind a tool that has it all, and compare what arrives with what `convert_to_openai_tool` makes of it."""
    wanted = convert_to_openai_tool(Visit)["function"]
    subject.ask(subject.says(NO_CALL).bind_tools([Visit])).answer  # noqa: B018 - an error here is a failure
    tools = last_request(subject).tools
    if len(tools) != 1:
        raise Failed(f"{len(tools)} tools arrive", "1")
    found = function_of(tools[0])
    flat = {"name": found.get("name"), "description": found.get("description"), "parameters": _parameters(tools[0])}
    if lost := list(_losses(wanted, flat)):
        raise Failed("; ".join(lost), "the tool as convert_to_openai_tool() describes it")
    if subject.tool_calling == "prompted":
        return "`strict` means nothing to a model that reads its tools as text"
    for strict in (True, False):
        try:
            bound: Any = subject.says(NO_CALL).bind_tools([Visit], strict=strict)
            bound.invoke(subject.prompt)
        except BUGS:
            raise
        except Exception as error:  # noqa: BLE001 - a refusal is an answer here
            return f"strict={strict} is refused: {error_text(error)}"
        exchange = last_exchange(subject)
        tool = request_in(exchange).tools[0]
        # OpenAI's API has it inside of "function", others beside the name, which is the same level there.
        if function_of(tool).get("strict", tool.get("strict")) is not strict:
            # `self.bind(tools=..., strict=strict)` puts it next to `tools` in the request.
            is_beside = isinstance(exchange.body, Mapping) and "strict" in exchange.body
            fate = "is sent beside the tools, where no API looks for it" if is_beside else "is lost"
            raise Failed(f"bind_tools(strict={strict}) {fate}", f"strict={strict} in the tool")
    return ""


def _parameters(tool: Any) -> Mapping[str, Any]:
    """The JSON schema of a tool's arguments, by the name that OpenAI's API has for it, or Anthropic's."""
    found = function_of(tool)
    return found.get("parameters") or found.get("input_schema") or {}


def _losses(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """What is missing or different in `found`, with its path. More than what is wanted does no harm."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name, value in wanted.items():
            where = f"{path}.{name}".lstrip(".")
            if name in found:
                yield from _losses(value, found[name], where)
            else:
                yield f"{where} is lost"
    elif wanted != found:
        yield f"{path} arrives as {found!r}, not as {wanted!r}"


@statement(
    "I11",
    "`disable_streaming='tool_calling'` bypasses streaming if tools are bound, and only then.",
    why="It is LangChain's switch for backends whose streamed calls are broken.",
    hint="""
    # bind the tools under the name `tools`, where langchain-core looks for them
    return self.bind(tools=formatted, tool_choice=tool_choice, **kwargs)
    """,
    needs=("tools", "replies", "requests", "streaming"),
)
def no_streaming_with_tools(subject: Subject) -> None:
    """Stream with tools and without, and see whether the backend is asked to stream."""
    # `BaseChatModel._streaming_disabled` looks into `kwargs["tools"]`: a class that binds them under another name
    # streams on.
    for path in CHUNKED:
        for tools in (False, True):
            model: Any = subject.says(NO_CALL, disable_streaming="tool_calling")
            subject.ask(model.bind_tools(list(OFFERED)) if tools else model, None, path).answer  # noqa: B018
            if last_request(subject).streaming is tools:
                fault = "is asked to stream" if tools else "is not asked to stream"
                raise Failed(f"by {path} {'with' if tools else 'without'} tools, the backend {fault}")
