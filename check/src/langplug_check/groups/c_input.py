"""Group C: what every input has to survive: its form, its text, its length, and that it is the caller's own."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.exceptions import ContextOverflowError, ModelError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue

from langplug_backend import Fault, Reply
from langplug_check.paths import BUGS, PATHS, PathName, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotObserved

_MESSAGES = "https://docs.langchain.com/oss/python/langchain/messages"

CHECK_HINT = """
def _checked(self, messages: list[BaseMessage]) -> list[BaseMessage]:   # first thing in `_generate` and `_stream`
    known = (SystemMessage, HumanMessage, AIMessage, ToolMessage, FunctionMessage, ChatMessage)
    sendable = ("text", "reasoning", "thinking", "tool_call", "tool_use")   # and "image", ... where you send them on
    if not messages:
        raise ValueError("AcmeChat was given no message: give it at least one.")
    for n, message in enumerate(messages):
        if not isinstance(message, known):
            raise ValueError(f"AcmeChat cannot take messages[{n}], a {type(message).__name__}.")
        for block in message.content if isinstance(message.content, list) else []:
            if isinstance(block, dict) and block.get("type") not in sendable:
                raise ValueError(f"AcmeChat cannot take the {block.get('type')!r} block in messages[{n}].")
    return messages
"""
"""Lines that mend C07, C12 and C13."""

# --- forms of input ---


@statement(
    "C05",
    "Every form of input works: text, messages, tuples, dicts, and prompt values.",
    why="They are what LangChain calls `LanguageModelInput`; chains, agents and users each give another of them.",
    hint="Leave `invoke` and `stream` to langchain-core, and work on the messages that `_generate` gets.",
    link=_MESSAGES,
    needs=("answer",),
)
def forms_of_input(subject: Subject) -> None:
    """Say the same in each form, and compare what arrives or, where that cannot be seen, what is answered."""
    expected = subject.answer()
    model, problems = subject.model(), []
    for name, given in _forms(subject.prompt).items():
        outcome = subject.ask(model, given)
        if outcome.error is not None:
            problems.append(f"{name} raised {shown(outcome.error)}")
        elif outcome.text != expected:
            problems.append(f"{name} was answered with {outcome.text!r:.60}")
        elif not subject.lacks("requests") and subject.exchanges[-1].text != subject.prompt:
            problems.append(f"of {name} arrived {subject.exchanges[-1].text!r:.60}")
    if problems:
        raise Failed("; ".join(problems), f"the same as for text, {expected!r:.60}")


def _forms(prompt: str) -> Mapping[str, Any]:
    message = HumanMessage(prompt)
    return {
        "text": prompt,
        "a list of messages": [message],
        "a tuple of messages": (message,),
        "a list of tuples": [("human", prompt)],
        "a list of dicts": [{"role": "user", "content": prompt}],
        "a list of texts": [prompt],
        "a StringPromptValue": StringPromptValue(text=prompt),
        "a ChatPromptValue": ChatPromptValue(messages=[message]),
    }


@statement(
    "C06",
    "The messages that a call is given are never changed.",
    why="Callers keep their history, and share it between calls and threads.",
    hint="""
    messages = [message.model_copy() for message in messages]   # before anything in them is set
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def input_unchanged(subject: Subject) -> str:
    """Copy a history, ask by each path, and compare."""
    model, answered = subject.model(), 0
    for history in (_talk(subject.prompt), _tool_talk(subject.prompt)):
        for path in PATHS:
            given = list(history)
            before = copy.deepcopy(given)
            outcome = subject.ask(model, given, path)
            answered += outcome.error is None
            if given != before:
                raise Failed(f"{path} changed what it was given: {_changed(before, given)}", "the same as before")
    if not answered:
        raise NotObserved("no history was answered: see C11")
    return f"unchanged by {answered} calls"


def _talk(prompt: str) -> list[BaseMessage]:
    return [
        SystemMessage("Be kind.", name="root"),
        HumanMessage(["Good ", {"type": "text", "text": "morning."}]),
        AIMessage(" Good morning. ", response_metadata={"a": [1]}, additional_kwargs={"b": {"c": "d"}}),
        HumanMessage(prompt),
    ]


def _tool_talk(prompt: str) -> list[BaseMessage]:
    return [
        HumanMessage("Add."),
        AIMessage(
            "", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "call_1"}], additional_kwargs={"b": {"c": "d"}}
        ),
        ToolMessage("3", tool_call_id="call_1", artifact={"e": [1]}),
        AIMessage("It is three."),
        HumanMessage(prompt),
    ]


def _changed(before: Sequence[BaseMessage], after: Sequence[BaseMessage]) -> str:
    if len(before) != len(after):
        return f"{len(after)} messages instead of {len(before)}"
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        was, now = dict(one), dict(other)
        for name in [*was, *(set(now) - set(was))]:
            if was.get(name) != now.get(name):
                return f"messages[{number}].{name} is {now.get(name)!r:.80} and was {was.get(name)!r:.80}"
    return "their types"


@statement(
    "C07",
    "An empty list of messages is a clear error, of which `on_llm_error` is told.",
    why="Agents that trim their history too far get there, and an `IndexError` tells nobody why.",
    hint=CHECK_HINT,
    link=_MESSAGES,
)
def no_messages(subject: Subject) -> str:
    """Give it no message, on each path."""
    model, errors = subject.model(), []
    for outcome in subject.each_path(lambda: model, []):
        call = f"{outcome.path} of no messages"
        if outcome.error is None:
            raise Failed(f"{call} was answered with {outcome.text!r:.60}", "an error")
        if isinstance(outcome.error, (*BUGS, TypeError)) or not str(outcome.error).strip():
            raise Failed(f"{call} raised {shown(outcome.error)}", "a ValueError, say, that tells what is missing")
        if outcome.recorder.kinds != ["start", "error"]:
            raise Failed(
                f"{call} raised {type(outcome.error).__name__}, and callbacks saw {outcome.recorder.kinds}",
                "['start', 'error']",
            )
        errors.append(shown(outcome.error))
    return errors[0]


@statement(
    "C08",
    "An empty prompt works on each path.",
    why="A user presses Enter; it must not crash on one path where it works on another.",
    hint="""
    token = ""   # before a loop over pieces: with an empty prompt or answer it may have no round
    """,
    needs=("answer",),
)
def empty_prompt(subject: Subject) -> None:
    """Ask with an empty text."""
    model = subject.model()
    problems = [
        f"{outcome.path} raised {shown(outcome.error)}"
        for outcome in subject.each_path(lambda: model, "")
        if outcome.error is not None
    ]
    if problems:
        raise Failed("; ".join(problems), "an answer on each path")


# --- text ---

TEXTS: Mapping[str, str] = {
    "ZWJ emoji": "👩\u200d👩\u200d👧\u200d👦 👍🏽",
    "right to left": "שלום \u202bعليكم\u202c",
    "CJK": "你好\uff0c世界 こんにちは",
    "combining marks": "e\u0301 a\u0308\u0323",
    "NUL": "a\x00b",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x1cf",
}


@statement(
    "C09",
    "Unicode survives: joined emoji, right to left, CJK, combining marks, NUL, line separators; in one piece and "
    "across the borders of chunks.",
    why="Who decodes bytes piece by piece, splits at `str.splitlines` or normalises, spoils other people's languages.",
    hint="""
    decoder = codecs.getincrementaldecoder("utf-8")()   # text = decoder.decode(piece), for bytes that come in pieces
    lines = body.split("\\n")                            # and no splitlines(), which also splits inside of JSON text
    """,
    needs=("text",),
)
def unicode_survives(subject: Subject) -> None:
    """Have it say them, cut between any two characters and, on a wire, anywhere; look at what arrives, too."""
    everything = " | ".join(TEXTS.values())
    for path in PATHS:
        if _spoilt(subject, path, everything):
            alone = {name: _spoilt(subject, path, text) for name, text in TEXTS.items()}
            spoilt = {name: how for name, how in alone.items() if how} or {
                "all of them": "spoilt together, though not alone"
            }
            told = "; ".join(f"{name}: {how}" for name, how in spoilt.items())
            raise Failed(f"by {path}, {told}", "the text as it is")


def _spoilt(subject: Subject, path: PathName, text: str) -> str:
    """What becomes of a text that is said, and of one that is asked; nothing if it stays as it is."""
    sees = not subject.lacks("requests")
    outcome = subject.ask(subject.says(_cut_up(subject, text)), text if sees else None, path)
    if outcome.error is not None:
        return f"{text!a} raised {shown(outcome.error)}"
    if outcome.text != text:
        return f"{text!a} is said as {outcome.text!a}"
    if sees and subject.exchanges[-1].text != text:
        return f"{text!a} arrives as {subject.exchanges[-1].text!a}"
    return ""


def _cut_up(subject: Subject, text: str) -> Any:
    if subject.lacks("replies"):
        return text
    faults = () if subject.lacks("backend") else (Fault(kind="split", size=3),)
    return Reply(pieces=tuple(text), faults=faults)


@statement(
    "C09b",
    "A lone surrogate is taken, or refused with a `ModelError` or a `ValueError` that says why, and no bare "
    "`UnicodeEncodeError`.",
    why="Names of files and text from JavaScript hold them; the encoder's error names a position, not the message.",
    hint="""
    for n, message in enumerate(messages):
        if any("\\ud800" <= one <= "\\udfff" for one in message.text):
            raise ValueError(f"messages[{n}] holds a lone surrogate, which cannot be sent.")
    """,
    needs=("answer",),
)
def lone_surrogate(subject: Subject) -> str:
    """Ask with one in the prompt."""
    refused = ""
    for path in ("invoke", "ainvoke", "stream", "astream"):
        error = subject.ask(subject.model(), "a\ud800b", path).error
        if error is not None and not _is_told(error):
            raise Failed(f"{path} raised {shown(error)}", "an answer, or a ModelError or ValueError that says why not")
        refused = refused or (f"refused: {shown(error)}" if error else "")
    return refused or "taken"


def _is_told(error: BaseException) -> bool:
    return isinstance(error, ModelError) or (isinstance(error, ValueError) and not isinstance(error, UnicodeError))


LONG = "word " * 200_000
"""A megabyte of words."""

PROMPT_S = 10.0
"""Seconds within which a long prompt must be answered or refused: most take a tenth of one."""


@statement(
    "C10",
    "A prompt of a megabyte works or raises `ContextOverflowError`, promptly.",
    why="Agents' histories overflow, and the middleware that shortens them waits for this type.",
    hint="""
    raise ContextOverflowError(str(error)) from error   # langchain_core.exceptions; and nothing quadratic in the text
    """,
    needs=("answer",),
    limit_s=60.0,
)
def long_prompt(subject: Subject) -> str:
    """Ask with one, with a clock."""
    slowest = 0.0
    for path in ("invoke", "ainvoke"):
        outcome = subject.ask(subject.model(), LONG, path)
        if outcome.error is not None and not isinstance(outcome.error, ContextOverflowError):
            raise Failed(f"{path} of 1 MB raised {shown(outcome.error)}", "an answer, or ContextOverflowError")
        if outcome.seconds > PROMPT_S:
            raise Failed(f"{path} of 1 MB took {outcome.seconds:.1f} s", f"less than {PROMPT_S:g} s")
        slowest = max(slowest, outcome.seconds)
    return f"{slowest:.2f} s"
