"""Group C: what every input has to survive: its form, its text, its length, and that it is the caller's own."""

import copy
from collections.abc import Mapping, Sequence

from langchain_core.exceptions import ContextOverflowError, ModelError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue

from langplug_backend import Fault, Reply
from langplug_check.paths import PATHS, PathName, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotObserved

_MESSAGES = "https://docs.langchain.com/oss/python/langchain/messages"

# --- forms of input ---


@statement(
    "C05",
    "Every form of input works: text, messages, tuples, dicts, and prompt values.",
    why="They make up LangChain's type `LanguageModelInput`; chains, agents and users each pass a different one.",
    hint="Leave `invoke` and `stream` to langchain-core, and work on the messages that `_generate` gets.",
    link=_MESSAGES,
    needs=("answer",),
)
def forms_of_input(subject: Subject) -> None:
    """Say the same in each form, and compare what arrives or, where that cannot be seen, the answers."""
    prompt, message = subject.prompt, HumanMessage(subject.prompt)
    # What `BaseChatModel._convert_input` and `convert_to_messages` take: a class that overrides `invoke` loses some.
    forms = {
        "text": prompt,
        "a list of messages": [message],
        "a tuple of messages": (message,),
        "a list of tuples": [("human", prompt)],
        "a list of dicts": [{"role": "user", "content": prompt}],
        "a list of texts": [prompt],
        "a StringPromptValue": StringPromptValue(text=prompt),
        "a ChatPromptValue": ChatPromptValue(messages=[message]),
    }
    expected = subject.answer()
    model, problems = subject.model(), []
    for name, given in forms.items():
        outcome = subject.ask(model, given)
        if outcome.error is not None:
            problems.append(f"{name} raised {error_text(outcome.error)}")
        elif outcome.text != expected:
            problems.append(f"{name} was answered with {outcome.text!r:.60}")
        elif not subject.lacks("requests") and subject.exchanges[-1].text != prompt:
            problems.append(f"{name} arrived as {subject.exchanges[-1].text!r:.60}")
    if problems:
        raise Failed("; ".join(problems), f"the same as for text, {expected!r:.60}")


@statement(
    "C06",
    "The messages passed to a call are never changed.",
    rank="must",
    why="Callers keep their history, and share it between calls and threads.",
    hint="""
    messages = [message.model_copy() for message in messages]   # before anything in them is set
    """,
    link=_MESSAGES,
    needs=("answer",),
)
def input_unchanged(subject: Subject) -> str:
    """Copy a history, ask by each path, and compare."""
    # Everything in these that can be changed in place: lists, nested dicts, and text that somebody may strip.
    talk = [
        SystemMessage("Be kind.", name="root"),
        HumanMessage(["Good ", {"type": "text", "text": "morning."}]),
        AIMessage(" Good morning. ", response_metadata={"a": [1]}, additional_kwargs={"b": {"c": "d"}}),
        HumanMessage(subject.prompt),
    ]
    call = {"name": "add", "args": {"a": 1}, "id": "call_1"}
    tool_talk = [
        HumanMessage("Add."),
        AIMessage("", tool_calls=[call], additional_kwargs={"b": {"c": "d"}}),
        ToolMessage("3", tool_call_id="call_1", artifact={"e": [1]}),
        AIMessage("It is three."),
        HumanMessage(subject.prompt),
    ]
    model, answered = subject.model(), 0
    for history in (talk, tool_talk):
        for path in PATHS:
            given: list[BaseMessage] = list(history)
            before = copy.deepcopy(given)
            outcome = subject.ask(model, given, path)
            answered += outcome.error is None
            if given != before:
                raise Failed(f"{path} changed its input: {_difference(before, given)}", "the same as before")
    if not answered:
        raise NotObserved("no history was answered: see C11")
    return f"unchanged by {answered} calls"


def _difference(before: Sequence[BaseMessage], after: Sequence[BaseMessage]) -> str:
    if len(before) != len(after):
        return f"{len(after)} messages instead of {len(before)}"
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        was, now = dict(one), dict(other)
        for name in [*was, *(set(now) - set(was))]:
            if was.get(name) != now.get(name):
                return f"messages[{number}].{name} is {now.get(name)!r:.80} and was {was.get(name)!r:.80}"
    return "their types"


@statement(
    "C08",
    "An empty prompt works on each path.",
    why="A user presses Enter; it must not crash on one path where it works on another.",
    hint="""
    token = ""   # before a loop over pieces: with an empty prompt or answer the loop may not run at all
    """,
    needs=("answer",),
)
def empty_prompt(subject: Subject) -> None:
    """Ask with an empty text."""
    # The model class of LangChain's how-to page, which people copy, crashes here in version 3 of the events alone:
    # UnboundLocalError, since the loop that binds `token` never runs.
    model = subject.model()
    problems = [
        f"{outcome.path} raised {error_text(outcome.error)}"
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
    # NFC normalisation would join these.
    "combining marks": "e\u0301 a\u0308\u0323",
    # C code ends strings here.
    "NUL": "a\x00b",
    # `str.splitlines` splits at each of these; JSON and SSE do not.
    "line separators": "a\u2028b\u2029c\x85d\x0be\x1cf",
}


@statement(
    "C09",
    "Unicode survives: joined emoji, right-to-left text, CJK, combining marks, NUL, line separators; in one piece and "
    "across the borders of chunks.",
    rank="must",
    why="Code that decodes bytes piece by piece, uses `str.splitlines` or normalises text corrupts other people's "
    "languages.",
    hint="""
    decoder = codecs.getincrementaldecoder("utf-8")()   # text = decoder.decode(piece), for bytes that come in pieces
    lines = body.split("\\n")                            # not splitlines(), which also splits inside JSON strings
    """,
    needs=("text",),
)
def unicode_survives(subject: Subject) -> None:
    """Have it say them, cut between any two characters and, on a wire, anywhere; look at what arrives, too."""
    everything = " | ".join(TEXTS.values())
    for path in PATHS:
        # All at once, which is one call for each path; one by one only to name the culprit.
        if _corruption(subject, path, everything):
            found = {name: how for name, text in TEXTS.items() if (how := _corruption(subject, path, text))}
            found = found or {"all of them": "corrupted together, though not alone"}
            raise Failed(
                f"by {path}, {'; '.join(f'{name}: {how}' for name, how in found.items())}", "the text as it is"
            )


def _corruption(subject: Subject, path: PathName, text: str) -> str:
    """How a text is corrupted on its way to the caller or to the backend; empty if it is not."""
    sees = not subject.lacks("requests")
    reply: str | Reply = text
    if not subject.lacks("replies"):
        # Pieces of one character, in writes of three bytes: characters are cut apart, and so are JSON escapes.
        faults = () if subject.lacks("backend") else (Fault(kind="split", size=3),)
        reply = Reply(pieces=tuple(text), faults=faults)
    outcome = subject.ask(subject.says(reply), text if sees else None, path)
    if outcome.error is not None:
        return f"{text!a} raised {error_text(outcome.error)}"
    if outcome.text != text:
        return f"{text!a} is said as {outcome.text!a}"
    if sees and subject.exchanges[-1].text != text:
        return f"{text!a} arrives as {subject.exchanges[-1].text!a}"
    return ""


@statement(
    "C09b",
    "A lone surrogate is taken, or refused with a `ModelError` or a `ValueError` that says why, not a bare "
    "`UnicodeEncodeError`.",
    rank="could",
    why="File names and text from JavaScript contain them; the encoder's error names a position, not the message.",
    hint="""
    for n, message in enumerate(messages):
        if any("\\ud800" <= one <= "\\udfff" for one in message.text):
            raise ValueError(f"messages[{n}] has a lone surrogate, which cannot be sent.")
    """,
    needs=("answer",),
)
def lone_surrogate(subject: Subject) -> str:
    """Ask with one in the prompt."""
    refusal = ""
    for path in ("invoke", "ainvoke", "stream", "astream"):
        error = subject.ask(subject.model(), "a\ud800b", path).error
        # UnicodeEncodeError is a ValueError itself.
        explains = isinstance(error, ModelError) or (
            isinstance(error, ValueError) and not isinstance(error, UnicodeError)
        )
        if error is not None and not explains:
            raise Failed(
                f"{path} raised {error_text(error)}", "an answer, or a ModelError or ValueError that says why not"
            )
        refusal = refusal or (f"refused: {error_text(error)}" if error else "")
    return refusal or "taken"


LONG = "word " * 200_000
"""A megabyte of words."""

PROMPT_S = 10.0
"""Seconds within which a long prompt must be answered or refused. Most models take a tenth of a second."""


@statement(
    "C10",
    "A prompt of a megabyte works or raises `ContextOverflowError`, promptly.",
    why="Agents' histories overflow, and the middleware that shortens them catches this type.",
    hint="""
    raise ContextOverflowError(str(error)) from error   # langchain_core.exceptions; and nothing quadratic in the text
    """,
    needs=("answer",),
    limit_s=60.0,
)
def long_prompt(subject: Subject) -> str:
    """Ask with one, and measure the time."""
    slowest = 0.0
    for path in ("invoke", "ainvoke"):
        outcome = subject.ask(subject.model(), LONG, path)
        # langchain's SummarizationMiddleware catches this type, shortens the history and tries once more.
        if outcome.error is not None and not isinstance(outcome.error, ContextOverflowError):
            raise Failed(f"{path} of 1 MB raised {error_text(outcome.error)}", "an answer, or ContextOverflowError")
        if outcome.seconds > PROMPT_S:
            raise Failed(f"{path} of 1 MB took {outcome.seconds:.1f} s", f"less than {PROMPT_S:g} s")
        slowest = max(slowest, outcome.seconds)
    return f"{slowest:.2f} s"
