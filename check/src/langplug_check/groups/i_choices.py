"""Group I: which tool is called: `tool_choice`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.exceptions import ModelError

from langplug_backend import ChatRequest, Exchange, Reply
from langplug_check.groups.i_tools import (
    BIND_TOOLS,
    OFFERED,
    asked_in,
    function_of,
    if_allowed,
    if_forced,
    last_exchange,
    names_of,
    speaker,
)
from langplug_check.paths import BUGS, Outcome, PathName, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_CHOICE_HINT = """
def bind_tools(self, tools, *, tool_choice=None, **kwargs):
    formatted = [convert_to_openai_tool(tool) for tool in tools]
    names = [tool["function"]["name"] for tool in formatted]
    if tool_choice is True:
        tool_choice = names[0] if len(names) == 1 else "required"
    if isinstance(tool_choice, dict):
        tool_choice = tool_choice["function"]["name"]
    if tool_choice == "any":
        tool_choice = "required"
    if tool_choice in names:
        tool_choice = {"type": "function", "function": {"name": tool_choice}}
    elif tool_choice not in (None, "auto", "none", "required"):
        raise ValueError(f"tool_choice={tool_choice!r} names none of the bound tools {names}")
    # a choice that the backend cannot express: raise ValueError, or, for "none", bind no tools
    return self.bind(tools=formatted, tool_choice=tool_choice, **kwargs)
"""

_NAMED: Mapping[str, Any] = {"type": "function", "function": {"name": "clock"}}
_NAMED_ELSEWHERE: Mapping[str, Any] = {"type": "tool", "name": "clock"}

_FORCED = ("required", "any")

_CHOICES: Sequence[tuple[Any, Sequence[Any], Sequence[str]]] = (
    ("any", OFFERED, _FORCED),
    ("required", OFFERED, _FORCED),
    ("auto", OFFERED, ("auto", "nothing")),
    ("none", OFFERED, ("none",)),
    ("clock", OFFERED, ("clock",)),
    (True, [OFFERED[1]], (*_FORCED, "clock")),
)
"""Choices, the tools that are bound, and the words that may arrive for it."""

UNBOUND = "no_such_tool"


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of a choice: the word for it that arrived, or the error that was raised instead."""

    word: str = ""
    error: BaseException | None = None

    def told(self) -> str:
        return f"arrives as {self.word}" if self.error is None else f"ends in {shown(self.error)}"


@statement(
    "I02",
    "`tool_choice` takes any, required, auto, none, a name, True and a dict, and what is chosen reaches what answers "
    "or is refused; a name that is not bound is refused.",
    why="Where a choice is dropped in silence, the model chats instead of acting.",
    hint=_CHOICE_HINT,
    link=BIND_TOOLS,
    needs=("tools", "answer"),
)
def choices_arrive(subject: Subject) -> str:
    """Bind three tools with each choice and look at the request; then with the name of a tool that there is not."""
    sent = _sent(subject, UNBOUND, OFFERED)
    problems = [f"tool_choice={UNBOUND!r}, which is not bound, {sent.told()}"] if _is_no_refusal(sent) else []
    if subject.lacks("requests"):
        return _without_requests(problems)
    refused: list[str] = []
    for choice, tools, words in _CHOICES:
        sent = _sent(subject, choice, tools)
        if sent.error is None and sent.word not in words:
            problems.append(f"tool_choice={choice!r} {sent.told()}")
        elif sent.error is not None:
            (problems if isinstance(sent.error, BUGS) else refused).append(f"tool_choice={choice!r} {sent.told()}")
    problems += _dict_lost(subject)
    if problems:
        raise Failed("; ".join(problems))
    return "; ".join(refused)


def _is_no_refusal(sent: _Sent) -> bool:
    return sent.error is None or isinstance(sent.error, BUGS)


def _without_requests(problems: Sequence[str]) -> str:
    if problems:
        raise Failed(f"tool_choice={UNBOUND!r}, which is not bound, is accepted", "an error that names the bound tools")
    raise NotObserved(
        f"tool_choice={UNBOUND!r} is refused as it should be; whether other choices arrive cannot be seen"
    )


def _dict_lost(subject: Subject) -> Iterator[str]:
    """A dict in OpenAI's words or, where an API has its own, in those."""
    first, second = (_sent(subject, dict(choice), OFFERED) for choice in (_NAMED, _NAMED_ELSEWHERE))
    if "clock" not in (first.word, second.word) and _is_no_refusal(first):
        yield f"tool_choice={_NAMED!r} {first.told()}"


def _sent(subject: Subject, choice: Any, tools: Sequence[Any]) -> _Sent:
    try:
        bound: Any = speaker(subject).bind_tools(list(tools), tool_choice=choice)
    except Exception as error:  # noqa: BLE001 - a refusal is an answer here
        return _Sent(error=error)
    outcome = subject.ask(bound)
    if subject.lacks("requests") or outcome.error is not None:
        return _Sent(error=outcome.error)
    return _Sent(_word(subject.exchanges[0], len(tools)))


def _word(exchange: Exchange, bound: int) -> str:
    """The choice that arrived, in OpenAI's words. To offer one tool of several and force a call is to name it."""
    asked = asked_in(exchange)
    choice, names = asked.tool_choice, names_of(asked)
    if not names:
        return "none"
    if forces_a_tool_named_none(exchange):
        return "the forced call of a tool named 'none'"
    if choice in _FORCED and len(names) == 1 < bound:
        return names[0]
    return choice or "nothing"


def forces_a_tool_named_none(exchange: Exchange) -> bool:
    """Whether `"none"` arrived as the name of a tool, which forces a call instead of forbidding it."""
    raw = exchange.body.get("tool_choice") if isinstance(exchange.body, Mapping) else None
    return isinstance(raw, Mapping) and function_of(raw).get("name") == "none"


@statement(
    "I12",
    "`tool_choice='none'` gives no call, and a forced choice gives one.",
    why="Agents forbid calls where they want a final answer, and force them where they need one.",
    hint="""
    def bind_tools(self, tools, *, tool_choice=None, **kwargs):
        if tool_choice == "none":
            return self.bind(**kwargs)   # no tools, no calls, whatever the backend knows of choices
        # "any", "required", a name: into the request, in the backend's own words; else raise ValueError
    """,
    link=BIND_TOOLS,
    needs=("tools", "replies"),
)
def choices_take_effect(subject: Subject) -> str:
    """Forbid calls to a model that calls wherever it may; force them from one that calls only where it must."""
    refused = [
        problem
        for choice, says in _EFFECTS
        for path in _TWO_PATHS
        if (problem := _without_effect(subject, choice, says, path))
    ]
    if len(refused) == len(_EFFECTS) * len(_TWO_PATHS):
        raise NotApplicable(f"it refuses to choose: {refused[0]}")
    return "; ".join(dict.fromkeys(refused))


_EFFECTS: Sequence[tuple[str, Callable[[ChatRequest], Reply]]] = (
    ("none", if_allowed),
    ("any", if_forced),
    ("clock", if_forced),
)
_TWO_PATHS: Sequence[PathName] = ("invoke", "astream")


def _without_effect(subject: Subject, choice: str, says: Callable[[ChatRequest], Reply], path: PathName) -> str:
    """Why a choice was refused, with several tools and with one; empty where it took effect."""
    refusal = ""
    for tools in (OFFERED, OFFERED[1:2]):
        try:
            bound: Any = subject.says(says).bind_tools(list(tools), tool_choice=choice)
        except BUGS:
            raise
        except Exception as error:  # noqa: BLE001 - a refusal is an answer here
            refusal = refusal or f"tool_choice={choice!r} is refused: {shown(error)}"
        else:
            outcome = subject.ask(bound, None, path)
            if choice != "none" and _is_refusal(outcome.error):
                return f"tool_choice={choice!r} is not got, and an error says so: {shown(outcome.error)}"
            _expect_effect(subject, outcome, choice, tools)
            return ""
    return refusal


def _is_refusal(error: BaseException | None) -> bool:
    """Whether it is said, and not by accident, that a call which is to be forced did not come."""
    return isinstance(error, ModelError | ValueError | NotImplementedError) and "tool" in str(error)


def _expect_effect(subject: Subject, outcome: Outcome, choice: str, tools: Sequence[Any]) -> None:
    called = [str(call["name"]) for call in outcome.answer.tool_calls]
    first = str(function_of(tools[0])["name"])
    expected = {"none": [], "any": [first]}.get(choice, [choice])
    if called != expected:
        raise Failed(f"{outcome.path} with tool_choice={choice!r} gave the calls {called}", f"the calls {expected}")
    if choice == "none" and forces_a_tool_named_none(last_exchange(subject)):
        raise Failed("tool_choice='none' is sent as the forced call of a tool named 'none'", "no call")
