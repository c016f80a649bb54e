"""Group I: tools: how they are bound, chosen, and told to what answers."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langplug_backend import Call, ChatRequest, Exchange, Reply
from langplug_check.paths import BUGS, PathName, beta_allowed, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject, tool_calling_of
from langplug_check.verdicts import Failed, NotObserved

BIND_TOOLS = (
    "https://reference.langchain.com/python/langchain-core/language_models/chat_models/BaseChatModel/bind_tools"
)

SAID = "No tool is needed."
"""What is said where no tool is called."""


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def clock() -> str:
    """Tells the time."""
    return "noon"


def look(what: str) -> str:
    """Looks something up."""
    return what


OFFERED: Sequence[Any] = [convert_to_openai_tool(tool) for tool in (add, clock, look)]
"""Tools in the form that every model takes, which are those of OpenAI's API."""


def function_of(tool: Any) -> Mapping[str, Any]:
    """What a tool on the wire says of itself: OpenAI's API puts it a level deeper than others."""
    found: Mapping[str, Any] = tool.get("function") or tool
    return found


def names_of(asked: ChatRequest) -> list[str]:
    """The names of the tools that are offered."""
    return [str(function_of(tool)["name"]) for tool in asked.tools]


def whole_call(name: str, args: Any) -> Call:
    """A call that is not cut up in a stream: whether pieces fit is the business of one statement alone."""
    return Call(name=name, args=args, cut=0)


def last_exchange(subject: Subject) -> Exchange:
    """The last request.

    Raises:
        Failed: If nothing arrived.
    """
    if not subject.exchanges:
        raise Failed("nothing reached what answers")
    return subject.exchanges[-1]


def asked_in(exchange: Exchange) -> ChatRequest:
    """What a request asked.

    Raises:
        NotObserved: If it asked for no answer.
    """
    if exchange.request is None:
        raise NotObserved(f"what arrived asked for no answer: {exchange.path}")
    return exchange.request


# --- what is said where tools are offered ---


def if_forced(asked: ChatRequest) -> Reply:
    """A model that calls only where it must."""
    names = names_of(asked)
    if asked.tool_choice in (None, "auto", "none") or not names:
        return Reply(text=SAID)
    return _calling(names, asked.tool_choice)


def if_allowed(asked: ChatRequest) -> Reply:
    """A model that calls wherever it may."""
    names = names_of(asked)
    return _calling(names, asked.tool_choice) if names and asked.tool_choice != "none" else Reply(text=SAID)


def _calling(names: Sequence[str], choice: str | None) -> Reply:
    name = choice if choice in names else names[0]
    known: Mapping[str, Any] = {"add": {"a": 1, "b": 2}, "look": {"what": "?"}}
    args = known.get(str(name), {})
    return Reply(calls=(whole_call(str(name), args),))


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


def _kinds() -> Iterator[tuple[str, str, Any]]:
    """What may be bound as a tool: what it is, its name, and the tool."""
    yield "a BaseTool", "forecast", StructuredTool.from_function(_forecast, name="forecast")
    yield "a function", "_forecast", _forecast
    yield "a Pydantic class", "_Forecast", _Forecast
    yield "a TypedDict", "_ForecastDict", _ForecastDict
    yield "a JSON schema", "forecast", dict(_SCHEMA)
    yield "an OpenAI tool dict", "_forecast", convert_to_openai_tool(_forecast)
    with beta_allowed():
        runnable: Any = RunnableLambda(str)
        yield "a Runnable.as_tool()", "forecast", runnable.as_tool(arg_types={"city": str}, name="forecast")


_BIND_HINT = """
def bind_tools(self, tools, *, tool_choice=None, **kwargs):
    if not tools:
        return self.bind(**kwargs)
    formatted = [convert_to_openai_tool(tool) for tool in tools]   # langchain_core.utils.function_calling
    return self.bind(tools=formatted, tool_choice=tool_choice, **kwargs)   # and pass both on in _generate and _stream
"""


@statement(
    "I01",
    "`bind_tools` takes a BaseTool, a function, a Pydantic class, a TypedDict, a JSON schema, an OpenAI dict, "
    "`Runnable.as_tool()` and `[]`, gives a Runnable, and leaves the model as it was.",
    why="Agents bind what their users have; a model that is changed by binding offers one agent's tools to another.",
    hint=_BIND_HINT,
    link=BIND_TOOLS,
    needs=("tools", "answer"),
)
def binds_every_kind(subject: Subject) -> str:
    """Bind a tool of each kind and ask; where requests are seen, look for its name and its argument in them."""
    problems = [problem for what, name, tool in _kinds() for problem in _bound_badly(subject, what, name, tool)]
    problems += _changed(subject)
    if problems:
        raise Failed("; ".join(problems))
    return "" if not subject.lacks("requests") else "all are taken; what reaches that which answers cannot be seen"


def speaker(subject: Subject) -> Any:
    """A model that can have tools bound, and calls them where it must, as far as that can be had."""
    return subject.model() if subject.lacks("replies") else subject.says(if_forced)


def _bound_badly(subject: Subject, what: str, name: str, tool: Any) -> Iterator[str]:
    given = copy.deepcopy(tool) if isinstance(tool, dict) else tool
    try:
        bound = speaker(subject).bind_tools([given])
    except Exception as error:  # noqa: BLE001 - it is what is to be told
        yield f"{what} is refused ({shown(error)})"
        return
    outcome = subject.ask(bound)
    if outcome.error is not None:
        yield f"with {what}, invoke raised {shown(outcome.error)}"
    elif not subject.lacks("requests"):
        yield from _told_badly(asked_in(last_exchange(subject)), what, name)
    if given != tool:
        yield f"{what} is itself changed"


def _told_badly(asked: ChatRequest, what: str, name: str) -> Iterator[str]:
    if names_of(asked) != [name]:
        yield f"of {what}, the tools {names_of(asked)} arrive and not ['{name}']"
    elif "city" not in (_parameters(asked.tools[0]).get("properties") or {}):
        yield f"of {what}, the argument 'city' does not arrive"


def _changed(subject: Subject) -> Iterator[str]:
    model = speaker(subject)
    before = repr(vars(model))
    try:
        bound, empty = model.bind_tools([OFFERED[0]]), model.bind_tools([])
    except Exception as error:  # noqa: BLE001 - it is what is to be told
        yield f"no tools at all, [], are refused ({shown(error)})"
        return
    if bound is model or not isinstance(bound, Runnable):
        yield f"bind_tools gives {'the model itself' if bound is model else type(bound).__name__}, and no new Runnable"
    if repr(vars(model)) != before:
        yield "the model itself is changed by bind_tools"
    for told, which in (("behind a bind_tools, the model itself", model), ("bind_tools([])", empty)):
        outcome = subject.ask(which)
        if outcome.error is not None:
            yield f"{told} raised {shown(outcome.error)}"
        elif not subject.lacks("requests") and asked_in(last_exchange(subject)).tools:
            yield f"{told} offers the tools {names_of(asked_in(last_exchange(subject)))}"


# --- telling ---


class _Street(BaseModel):
    """Where in a town."""

    name: str = Field(description="Its name.")
    number: int | None = Field(description="The house.")


class Visit(BaseModel):
    """Plans a visit: every part of this has to arrive."""

    who: str = Field(description="Whom to visit.")
    when: Literal["morning", "evening"] = Field(description="The time of day.")
    street: _Street
    gifts: list[str] = Field(default_factory=list, description="What to bring.")


@statement(
    "I13",
    "A tool's description, required arguments, enums, nested schemas and `strict` reach what answers unchanged.",
    why="What a model is not told of a tool it has to guess.",
    hint="""
    convert_to_openai_tool(tool, strict=strict)   # langchain_core.utils.function_calling; and send "parameters" whole
    # a backend that does not know `strict`: raise ValueError where strict is not None
    """,
    link=BIND_TOOLS,
    needs=("tools", "replies", "requests"),
)
def tools_arrive_whole(subject: Subject) -> str:
    """Bind a tool that has it all, and compare what arrives with what `convert_to_openai_tool` makes of it."""
    wanted = convert_to_openai_tool(Visit)["function"]
    subject.ask(subject.says(SAID).bind_tools([Visit])).answer  # noqa: B018 - an error here is a failure
    tools = asked_in(last_exchange(subject)).tools
    if len(tools) != 1:
        raise Failed(f"{len(tools)} tools arrive", "1")
    found = function_of(tools[0])
    flat = {"name": found.get("name"), "description": found.get("description"), "parameters": _parameters(tools[0])}
    if lost := list(_lost(wanted, flat)):
        raise Failed("; ".join(lost), "the tool as convert_to_openai_tool() gives it")
    return _strict(subject)


def _parameters(tool: Any) -> Mapping[str, Any]:
    found = function_of(tool)
    return found.get("parameters") or found.get("input_schema") or {}


def _lost(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """What is missing or other in `found`, by its path."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name, value in wanted.items():
            where = f"{path}.{name}".lstrip(".")
            if name in found:
                yield from _lost(value, found[name], where)
            else:
                yield f"{where} is lost"
    elif wanted != found:
        yield f"{path} arrives as {found!r} and not as {wanted!r}"


def _strict(subject: Subject) -> str:
    if tool_calling_of(subject.cls) == "prompted":
        return "`strict` says nothing to a model that reads its tools as text"
    for strict in (True, False):
        try:
            bound: Any = subject.says(SAID).bind_tools([Visit], strict=strict)
            bound.invoke(subject.prompt)
        except BUGS:
            raise
        except Exception as error:  # noqa: BLE001 - a refusal is an answer here
            return f"strict={strict} is refused: {shown(error)}"
        tool = asked_in(last_exchange(subject)).tools[0]
        if function_of(tool).get("strict", tool.get("strict")) is not strict:
            raise Failed(f"bind_tools(strict={strict}) {_instead(subject)}", f"strict={strict} in the tool")
    return ""


def _instead(subject: Subject) -> str:
    body = last_exchange(subject).body
    beside = isinstance(body, Mapping) and "strict" in body
    return "is sent beside the tools, where no API looks for it" if beside else "is lost"


@statement(
    "I11",
    "`disable_streaming='tool_calling'` bypasses streaming where tools are bound, and only there.",
    why="It is LangChain's switch for backends whose streamed calls are broken.",
    hint="""
    # bind the tools under the name `tools`, which is where langchain-core looks for them
    return self.bind(tools=formatted, tool_choice=tool_choice, **kwargs)
    """,
    needs=("tools", "replies", "requests", "streaming"),
)
def streaming_left_out_with_tools(subject: Subject) -> None:
    """Stream with tools and without, and look whether what answers is asked to stream."""
    paths: tuple[PathName, ...] = ("stream", "astream")
    for path in paths:
        for tools in (False, True):
            model: Any = subject.says(SAID, disable_streaming="tool_calling")
            subject.ask(model.bind_tools(list(OFFERED)) if tools else model, None, path).answer  # noqa: B018
            if asked_in(last_exchange(subject)).streaming is tools:
                asked = "asked to stream" if tools else "not asked to stream"
                raise Failed(f"by {path} {'with' if tools else 'without'} tools, what answers is {asked}")
