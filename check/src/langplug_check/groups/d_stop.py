"""Group D: stop sequences."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from re import finditer
from typing import Any

from langplug_backend import Reply
from langplug_check.groups.e_streaming import streaming
from langplug_check.paths import Outcome, PathName, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An answer, and where it is to be cut.

    Attributes:
        text: The whole answer.
        stop: A string in it, with text before it and behind it.
        earlier: Another one, before `stop`; None where there is none.
        said: How it is had; None where the model says it by itself.
    """

    text: str
    stop: str
    earlier: str | None
    said: Any = None

    def cut(self, stop: str) -> list[str]:
        """What an answer may be that is stopped: the text before the stop string, or right behind it."""
        at = self.text.index(stop)
        return [self.text[:at], self.text[: at + len(stop)]]

    def model(self, subject: Subject, **overrides: Any) -> Any:
        """A model that says it."""
        return subject.model(**overrides) if self.said is None else subject.says(self.said, **overrides)


_STOP = "<|end|>"
_TEXT = f"one < two {_STOP} > three"
_PIECES = ("one < tw", "o <", "|e", "nd|>", " > thr", "ee")

_NEVER_COMES = "<|never|>"

_HINT = """
def _generate(self, messages, stop=None, run_manager=None, **kwargs):
    stops = self.stop or [] if stop is None else stop
    text = self._ask(messages, stop=stops)      # what answers may end there by itself
    # where it does not, cut here: the one that comes first in the text counts
    hits = [at for one in stops if (at := text.find(one)) >= 0]
    text = text[:min(hits)] if hits else text
"""


@statement(
    "D01",
    "`invoke(stop=[...])` ends the text at the first of the stop strings that comes.",
    why="Parsers and ReAct agents read an answer up to their own marker; what a model says behind it is made up.",
    hint=_HINT,
    needs=("answer",),
)
def stops(subject: Subject) -> None:
    """Have it say a text with a stop string in it; give that as the second of two, synchronously and asynchronously."""
    case = _case(subject)
    for path in ("invoke", "ainvoke"):
        outcome = subject.ask(case.model(subject), None, path, stop=[_NEVER_COMES, case.stop])
        _expect(outcome, f"stop=['{_NEVER_COMES}', {case.stop!r}]", case.cut(case.stop))
        _left_out(subject, case, path)


@statement(
    "D02",
    "A stream ends at the stop string too, even where that spans chunks; nothing behind it is given, and no text that "
    "only began like it is lost.",
    why="What was shown to a user, or parsed, as it came cannot be taken back.",
    hint="""
    # in `_stream` and `_astream`: hold back what may be the beginning of a stop string
    held = ""
    for piece in pieces:
        held += piece
        hits = [at for one in stops if (at := held.find(one)) >= 0]
        if hits:
            yield chunk(held[:min(hits)])
            return
        begun = [n for one in stops for n in range(1, len(one)) if held.endswith(one[:n])]
        keep = max(begun, default=0)
        out, held = held[:len(held) - keep], held[len(held) - keep:]
        if out:
            yield chunk(out)
    if held:
        yield chunk(held)
    """,
    needs=("answer",),
)
def streams_stop(subject: Subject) -> None:
    """Have it say a text with a stop string that is cut over chunks, by each streaming path; then such as begin so."""
    case = _case(subject, spread=True)
    for path in streaming(subject):
        outcome = subject.ask(case.model(subject), None, path, stop=[case.stop])
        _expect(outcome, f"stop=[{case.stop!r}]", case.cut(case.stop))
        _left_out(subject, case, path)
    if not subject.lacks("text"):
        _check_beginnings(subject)


def _check_beginnings(subject: Subject) -> None:
    for text in ("one <|en two", "one two <|en"):
        for outcome in subject.each_path(partial(subject.says, text), paths=streaming(subject), stop=[_STOP]):
            _expect(outcome, f"stop=[{_STOP!r}]", [text])


@statement(
    "D03",
    "Stop strings of the constructor count; those of a call take their place or are added, and `stop=[]` is harmless.",
    why="Applications set their stop strings once, and agents add their own at each call.",
    hint="""
    stop: list[str] | None = None
    # in `_generate` and `_stream`
    stops = self.stop or [] if stop is None else stop
    """,
    needs=("answer",),
)
def constructor_stop(subject: Subject) -> str:
    """Make a model with a stop string, and ask it with none, with others, and with an empty list."""
    case = _case(subject)
    for path in ("invoke", "stream"):
        _expect(subject.ask(case.model(subject), None, path, stop=[]), "stop=[]", [case.text])
        for told, outcome, allowed in _asked_again(subject, case, path):
            _expect(outcome, told, allowed)
    return "" if case.earlier else f"with one stop string alone: the answer, {case.text!r}, is short"


def _asked_again(subject: Subject, case: Case, path: PathName) -> Iterator[tuple[str, Outcome, list[str]]]:
    """Calls of models with a stop string, told in words; what came of each; what it may be."""
    name, at_stop = subject.cls.__name__, case.cut(case.stop)
    model = _made_with(subject, case, case.stop)
    told = f"of {name}(stop=[{case.stop!r}])"
    yield told, subject.ask(model, None, path), at_stop
    yield f"{told}, with stop=[]", subject.ask(model, None, path, stop=[]), [*at_stop, case.text]
    if case.earlier is None:
        return
    at_earlier = case.cut(case.earlier)
    yield f"{told}, with stop=[{case.earlier!r}]", subject.ask(model, None, path, stop=[case.earlier]), at_earlier
    yield f"{told}, behind a call with stop=[{case.earlier!r}]", subject.ask(model, None, path), at_stop
    model = _made_with(subject, case, case.earlier)
    told = f"of {name}(stop=[{case.earlier!r}])"
    later = subject.ask(model, None, path, stop=[case.stop])
    yield f"{told}, with stop=[{case.stop!r}]", later, [*at_stop, *at_earlier]


def _made_with(subject: Subject, case: Case, stop: str) -> Any:
    try:
        return case.model(subject, stop=[stop])
    except NotObserved:
        raise
    except Exception as error:
        raise NotApplicable(f"its constructor takes no stop strings, see A02: {shown(error)}") from error


@statement(
    "D04",
    "`bind(stop=[...])` works, and leaves the model itself as it was.",
    why="Chains bind their stop strings so, and share the model with others.",
    hint=_HINT,
    needs=("answer",),
)
def bound_stop(subject: Subject) -> None:
    """Bind a stop string, ask what is bound by four paths, and then the model itself."""
    case = _case(subject)
    for path in ("invoke", "ainvoke", "stream", "astream"):
        model = case.model(subject)
        outcome = subject.ask(model.bind(stop=[case.stop]), None, path)
        _expect(outcome, f"of bind(stop=[{case.stop!r}])", case.cut(case.stop))
        _expect(subject.ask(model, None, path), "of the model that it was bound to", [case.text])


# --- what is said ---


def _case(subject: Subject, *, spread: bool = False) -> Case:
    """A text of ours, its stop string cut over pieces where that can be had; else the model's own answer."""
    if subject.lacks("text"):
        return _own_case(subject.answer())
    pieces = spread and not subject.lacks("replies")
    return Case(text=_TEXT, stop=_STOP, earlier="two", said=Reply(pieces=_PIECES) if pieces else _TEXT)


def _own_case(answer: str) -> Case:
    """Words of the model's own answer as stop strings; characters, where it has too few.

    Raises:
        NotObserved: If it is too short to be cut.
    """
    found = list(_inside(answer, r"\S+")) or list(_inside(answer, r"\S"))
    if not found:
        raise NotObserved(f"the model's own answer, {answer[:40]!r}, has nothing in it to stop at")
    first, *more = found
    return Case(text=answer, stop=more[0] if more else first, earlier=first if more else None)


def _inside(answer: str, pattern: str) -> Iterator[str]:
    """What in an answer fits the pattern, with text before it and behind it, where it first comes."""
    for hit in finditer(pattern, answer):
        if 0 < answer.find(hit[0]) == hit.start() and hit.end() < len(answer):
            yield hit[0]


# --- what comes of it ---


def _expect(outcome: Outcome, told: str, allowed: Collection[str]) -> None:
    """The answer, as it came and as a whole, is one of those that are allowed."""
    if outcome.error is not None:
        raise Failed(f"{outcome.path} {told} raised {shown(outcome.error)}", _either(allowed))
    for text in (outcome.text, str(outcome.answer.text)):
        if text not in allowed:
            raise Failed(f"{outcome.path} {told} gave {text!r}", _either(allowed))


def _either(allowed: Collection[str]) -> str:
    return " or ".join(repr(text) for text in dict.fromkeys(allowed))


def _left_out(subject: Subject, case: Case, path: PathName) -> None:
    """With `include_stop=False`, for a model that knows it, the stop string itself is not part of the text."""
    if subject.takes("include_stop"):
        outcome = subject.ask(case.model(subject, include_stop=False), None, path, stop=[case.stop])
        _expect(outcome, f"include_stop=False, stop=[{case.stop!r}]", case.cut(case.stop)[:1])
