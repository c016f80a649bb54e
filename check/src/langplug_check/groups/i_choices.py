"""Group I: which tool is called: `tool_choice`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.exceptions import ModelError

from langplug_backend import Exchange, Reply
from langplug_check.groups._runs import FOUR
from langplug_check.groups._tools import (
    BIND_TOOLS,
    DECLINED,
    OFFERED,
    call_if_allowed,
    call_if_forced,
    function_of,
    last_exchange,
    request_in,
    tool_model,
    tool_names,
)
from langplug_check.paths import BUGS, PathName, error_text
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

_FORCED = ("required", "any")

_CHOICES: Sequence[tuple[Any, Sequence[Any], Sequence[str]]] = (
    ("any", OFFERED, _FORCED),
    ("required", OFFERED, _FORCED),
    ("auto", OFFERED, ("auto", "nothing")),
    ("none", OFFERED, ("none",)),
    ("clock", OFFERED, ("clock",)),
    (True, [OFFERED[1]], (*_FORCED, "clock")),
)
"""Choices, the tools that are bound, and the words in which the choice may arrive."""

_DICT: Mapping[str, Any] = {"type": "function", "function": {"name": "clock"}}
_DICT_ELSEWHERE: Mapping[str, Any] = {"type": "tool", "name": "clock"}
"""A dict that chooses `clock`: as OpenAI's API has it, and as Anthropic's has it."""

UNBOUND = "no_such_tool"


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of a choice: the word in which it arrived, or the error that was raised instead."""

    word: str = ""
    error: BaseException | None = None

    @property
    def is_refused(self) -> bool:
        return self.error is not None and not isinstance(self.error, BUGS)

    @property
    def text(self) -> str:
        return f"arrives as {self.word}" if self.error is None else f"ends in {error_text(self.error)}"


@statement(
    "I02",
    "`tool_choice` takes any, required, auto, none, a name, True and a dict, and each choice reaches the backend or is "
    "refused; a name that is not bound is refused.",
    why="If a choice is dropped in silence, the model chats instead of acting.",
    hint=_CHOICE_HINT,
    link=BIND_TOOLS,
    needs=("tools", "answer"),
)
def choices_arrive(subject: Subject) -> str:
    """Bind three tools with each choice and look at the request; then with the name of an unknown tool."""
    # Of the known integrations only ChatLiteLLM refuses such a name, and ChatOllama ignores `tool_choice` altogether.
    unbound = _send(subject, UNBOUND, OFFERED)
    if subject.lacks("requests"):
        if not unbound.is_refused:
            raise Failed(
                f"tool_choice={UNBOUND!r}, which is not bound, is accepted", "an error that names the bound tools"
            )
        raise NotObserved(
            f"tool_choice={UNBOUND!r} is refused as it should be; whether other choices arrive cannot be seen"
        )
    problems = [] if unbound.is_refused else [f"tool_choice={UNBOUND!r}, which is not bound, {unbound.text}"]
    refused = []
    for choice, tools, words in _CHOICES:
        sent = _send(subject, choice, tools)
        if sent.is_refused:
            refused.append(f"tool_choice={choice!r} {sent.text}")
        elif sent.word not in words:
            problems.append(f"tool_choice={choice!r} {sent.text}")
    # A dict is in the API's own words, so either will do.
    first, second = (_send(subject, dict(choice), OFFERED) for choice in (_DICT, _DICT_ELSEWHERE))
    if "clock" not in (first.word, second.word) and not first.is_refused:
        problems.append(f"tool_choice={_DICT!r} {first.text}")
    if problems:
        raise Failed("; ".join(problems))
    return "; ".join(refused)


def _send(subject: Subject, choice: Any, tools: Sequence[Any]) -> _Sent:
    """Bind the tools with this choice, ask, and read the choice in the request, in OpenAI's words."""
    try:
        bound: Any = tool_model(subject).bind_tools(list(tools), tool_choice=choice)
    except Exception as error:  # noqa: BLE001 - a refusal is an answer here
        return _Sent(error=error)
    outcome = subject.ask(bound)
    if subject.lacks("requests") or outcome.error is not None:
        return _Sent(error=outcome.error)
    request = request_in(subject.exchanges[0])
    word, names = request.tool_choice, tool_names(request)
    if not names:
        return _Sent("none")
    if _forces_a_tool_named_none(subject.exchanges[0]):
        return _Sent("the forced call of a tool named 'none'")
    # An API that knows no names is understood: to offer one tool of several, and force a call, is to name it.
    if word in _FORCED and len(names) == 1 < len(tools):
        return _Sent(names[0])
    return _Sent(word or "nothing")


def _forces_a_tool_named_none(exchange: Exchange) -> bool:
    """Whether `"none"` arrived as the name of a tool, which forces a call instead of forbidding it: ChatAnthropic."""
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
        # "any", "required", a name: into the request, in the backend's own words; otherwise raise ValueError
    """,
    link=BIND_TOOLS,
    needs=("tools", "replies"),
)
def choices_take_effect(subject: Subject) -> str:
    """Forbid calls to a model that calls wherever it may; force them from one that calls only where it must."""
    paths: Sequence[PathName] = ("invoke", "astream")
    choices = ("none", "any", "clock")
    refused = [text for choice in choices for path in paths if (text := _check_effect(subject, choice, path))]
    if len(refused) == len(choices) * len(paths):
        raise NotApplicable(f"it refuses to choose: {refused[0]}")
    return "; ".join(dict.fromkeys(refused))


def _check_effect(subject: Subject, choice: str, path: PathName) -> str:
    """Fail if a choice has no effect; why it is refused, empty if it is not."""
    refusal = ""
    # With one tool, too: a model that cannot choose among several may be able to force the only one.
    for tools in (OFFERED, OFFERED[1:2]):
        model: Any = subject.says(call_if_allowed if choice == "none" else call_if_forced)
        try:
            bound = model.bind_tools(list(tools), tool_choice=choice)
        except BUGS:
            raise
        except Exception as error:  # noqa: BLE001 - a refusal is an answer here
            refusal = refusal or f"tool_choice={choice!r} is refused: {error_text(error)}"
            continue
        outcome = subject.ask(bound, None, path)
        # An error at the call is a refusal if it means to be one: a forced call that did not come, and says so.
        types = ModelError | ValueError | NotImplementedError
        if choice != "none" and isinstance(outcome.error, types) and "tool" in str(outcome.error):
            return f"tool_choice={choice!r} has no effect, and an error says so: {error_text(outcome.error)}"
        called = [str(call["name"]) for call in outcome.answer.tool_calls]
        first = str(function_of(tools[0])["name"])
        expected = {"none": [], "any": [first]}.get(choice, [choice])
        if called != expected:
            raise Failed(f"{outcome.path} with tool_choice={choice!r} gave the calls {called}", f"the calls {expected}")
        if choice == "none" and _forces_a_tool_named_none(last_exchange(subject)):
            raise Failed("tool_choice='none' is sent as the forced call of a tool named 'none'", "no call")
        return ""
    return refusal


@statement(
    "I15",
    "A model that declines a forced call is not asked again: its refusal is the answer, whole and streamed.",
    why="It would decline as often as it is asked, and each time costs money; an error hides what it said.",
    hint="""
    # where you check that a forced call came, let an answer with a refusal through
    if not message.tool_calls and not any(block["type"] == "refusal" for block in message.content_blocks):
        raise ...
    """,
    link=BIND_TOOLS,
    needs=("tools", "refusals", "requests"),
)
def declined_calls(subject: Subject) -> None:
    """Force a call of a model that declines, by each path, and count the requests."""
    for path in FOUR:
        model: Any = subject.says(Reply(refusal=DECLINED))
        try:
            bound = model.bind_tools(list(OFFERED), tool_choice="any")
        except BUGS:
            raise
        except Exception as error:
            raise NotApplicable(f"tool_choice='any' is refused: {error_text(error)}") from error
        message = subject.ask(bound, None, path).answer
        if message.tool_calls or not any(block["type"] == "refusal" for block in message.content_blocks):
            raise Failed(f"{path}: a forced call that is declined gave {message.content_blocks!r:.250}", "the refusal")
        if (times := len(subject.exchanges)) != 1:
            raise Failed(f"{path}: a model that declines a forced call was asked {times} times", "once")
