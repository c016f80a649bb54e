"""Tools that are offered, the requests in which they arrive, and models that call them."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langplug_backend import Call, ChatRequest, Exchange, Reply
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotObserved

BIND_TOOLS = (
    "https://reference.langchain.com/python/langchain-core/language_models/chat_models/BaseChatModel/bind_tools"
)

NO_CALL = "No tool is needed."
"""The answer of a model that calls no tool."""

DECLINED = "I cannot help with that."
"""With what words a model declines."""


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


@tool
def clock() -> str:
    """Tells the time."""
    return "noon"


@tool
def look(what: str) -> str:
    """Looks something up."""
    return what


OFFERED: Sequence[Any] = [convert_to_openai_tool(one) for one in (add, clock, look)]
"""Tools as OpenAI's API describes them, a form that every model's `bind_tools` takes."""


def function_of(tool: Any) -> Mapping[str, Any]:
    """The description of a tool in a request: OpenAI's API nests it one level deeper than others."""
    found: Mapping[str, Any] = tool.get("function") or tool
    return found


def tool_names(request: ChatRequest) -> list[str]:
    """The names of the tools that a request offers."""
    return [str(function_of(tool)["name"]) for tool in request.tools]


def whole_call(name: str, args: Any) -> Call:
    """A call that a stream does not cut up: only I04 is about pieces that fit together."""
    return Call(name=name, args=args, cut=0)


def last_exchange(subject: Subject) -> Exchange:
    """The last request that arrived.

    Raises:
        Failed: If none did.
    """
    if not subject.exchanges:
        raise Failed("no request reached the backend")
    return subject.exchanges[-1]


def request_in(exchange: Exchange) -> ChatRequest:
    """What a request asked for.

    Raises:
        NotObserved: If it asked for no answer.
    """
    if exchange.request is None:
        raise NotObserved(f"the request to {exchange.path} asked for no answer")
    return exchange.request


def last_request(subject: Subject) -> ChatRequest:
    """What the last request that arrived asked for; see `last_exchange` and `request_in` for the errors."""
    return request_in(last_exchange(subject))


def call_if_forced(request: ChatRequest) -> Reply:
    """A model that calls a tool only where it must."""
    names = tool_names(request)
    if request.tool_choice in (None, "auto", "none") or not names:
        return Reply(text=NO_CALL)
    return _calling(names, request.tool_choice)


def call_if_allowed(request: ChatRequest) -> Reply:
    """A model that calls a tool wherever it may."""
    names = tool_names(request)
    return _calling(names, request.tool_choice) if names and request.tool_choice != "none" else Reply(text=NO_CALL)


def _calling(names: Sequence[str], choice: str | None) -> Reply:
    name = str(choice if choice in names else names[0])
    known: Mapping[str, Any] = {"add": {"a": 1, "b": 2}, "look": {"what": "?"}}
    return Reply(calls=(whole_call(name, known.get(name, {})),))


def tool_model(subject: Subject) -> Any:
    """A model to bind tools to; one that calls them only where it must, if its answers can be chosen."""
    return subject.model() if subject.lacks("replies") else subject.says(call_if_forced)
