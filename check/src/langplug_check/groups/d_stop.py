"""Group D: stop sequences."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from re import finditer
from typing import Any

from langplug_backend import Reply
from langplug_check.groups._streams import streaming_paths
from langplug_check.paths import Outcome, PathName, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An answer, and where it is to be cut.

    Attributes:
        text: The whole answer.
        stop: A string in it, with text before and after it.
        earlier: Another such string, before `stop`; None if there is none.
        reply: What makes the model give this answer; None if it does so by itself.
    """

    text: str
    stop: str
    earlier: str | None
    reply: Any = None

    def cut(self, stop: str) -> list[str]:
        """The two texts that a stopped answer may have: up to the stop string, and including it.

        langchain-core's `generate` documents that output is cut off at the first stop string, LangChain's template of a
        custom model that the stop string "SHOULD BE INCLUDED": either is right.
        """
        at = self.text.index(stop)
        return [self.text[:at], self.text[: at + len(stop)]]

    def model(self, subject: Subject, **overrides: Any) -> Any:
        """A model that gives this answer."""
        return subject.model(**overrides) if self.reply is None else subject.says(self.reply, **overrides)


_STOP = "<|end|>"
_TEXT = f"one < two {_STOP} > three"
_PIECES = ("one < tw", "o <", "|e", "nd|>", " > thr", "ee")
"""`_TEXT`, cut in the middle of the stop string; its first `<` begins like one and is none."""

_NEVER_COMES = "<|never|>"

_HINT = """
def _generate(self, messages, stop=None, run_manager=None, **kwargs):
    stops = self.stop or [] if stop is None else stop
    text = self._ask(messages, stop=stops)      # the backend may stop there by itself
    # if it does not, cut here: at the stop string that comes first in the text
    hits = [at for one in stops if (at := text.find(one)) >= 0]
    text = text[:min(hits)] if hits else text
"""


@statement(
    "D01",
    "`invoke(stop=[...])` ends the text at the first of the stop strings that occurs.",
    rank="must",
    why="Parsers and ReAct agents read an answer up to their own marker; what a model says after it is made up.",
    hint=_HINT,
    needs=("answer",),
)
def stops(subject: Subject) -> None:
    """Have it give a text with a stop string in it; pass that as the second of two, to `invoke` and `ainvoke`."""
    # The second: a cut at `stop[0]` alone would pass otherwise. And literal text with characters that mean something in
    # a regex: lc#13397 cuts at any `<`, since `|` is an alternative there.
    case = _case(subject)
    for path in ("invoke", "ainvoke"):
        outcome = subject.ask(case.model(subject), None, path, stop=[_NEVER_COMES, case.stop])
        _check_text(outcome, f"with stop=['{_NEVER_COMES}', {case.stop!r}]", case.cut(case.stop))
        _check_left_out(subject, case, path)


@statement(
    "D02",
    "A stream ends at the stop string too, even if that spans chunks; nothing after it is yielded, and no text that "
    "only begins like it is lost.",
    rank="must",
    why="Text that was shown to a user, or parsed, as it arrived cannot be taken back.",
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
    """Stream a text whose stop string spans chunks, by each streaming path; then texts that only begin like it."""
    case = _case(subject, spread=True)
    for path in streaming_paths(subject):
        outcome = subject.ask(case.model(subject), None, path, stop=[case.stop])
        _check_text(outcome, f"with stop=[{case.stop!r}]", case.cut(case.stop))
        _check_left_out(subject, case, path)
    if subject.lacks("text"):
        return
    # What is held back must come out: where the text goes on otherwise, and where it ends.
    for text in ("one <|en two", "one two <|en"):
        for outcome in subject.each_path(partial(subject.says, text), paths=streaming_paths(subject), stop=[_STOP]):
            _check_text(outcome, f"with stop=[{_STOP!r}]", [text])


@statement(
    "D03",
    "Stop strings of the constructor take effect; those of a call replace them or are added to them, and `stop=[]` is "
    "harmless.",
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
        _check_text(subject.ask(case.model(subject), None, path, stop=[]), "with stop=[]", [case.text])
        for call, outcome, allowed in _calls_with_constructor_stop(subject, case, path):
            _check_text(outcome, call, allowed)
    return "" if case.earlier else f"with one stop string only: the answer, {case.text!r}, is short"


def _calls_with_constructor_stop(
    subject: Subject, case: Case, path: PathName
) -> Iterator[tuple[str, Outcome, list[str]]]:
    """Calls of models that have a stop string: each in words, its outcome, and the texts that are allowed."""

    def made_with(stop: str) -> tuple[str, Any]:
        try:
            return f"of {subject.cls.__name__}(stop=[{stop!r}])", case.model(subject, stop=[stop])
        except NotObserved:
            raise
        except Exception as error:
            raise NotApplicable(f"its constructor takes no stop strings, see A02: {error_text(error)}") from error

    at_stop = case.cut(case.stop)
    of_model, model = made_with(case.stop)
    yield of_model, subject.ask(model, None, path), at_stop
    # Whether an empty list overrides the constructor's is the class's choice.
    yield f"{of_model}, with stop=[]", subject.ask(model, None, path, stop=[]), [*at_stop, case.text]
    if case.earlier is None:
        return
    at_earlier = case.cut(case.earlier)
    yield f"{of_model}, with stop=[{case.earlier!r}]", subject.ask(model, None, path, stop=[case.earlier]), at_earlier
    yield f"{of_model}, after a call with stop=[{case.earlier!r}]", subject.ask(model, None, path), at_stop
    # The other way round both are right: the later string replaces the earlier one, or is added to it.
    of_model, model = made_with(case.earlier)
    later = subject.ask(model, None, path, stop=[case.stop])
    yield f"{of_model}, with stop=[{case.stop!r}]", later, [*at_stop, *at_earlier]


@statement(
    "D05",
    "A stop that is one text is one stop string, or is refused; its letters are none.",
    rank="could",
    why="`stop='END'` is easily written, and cuts the answer at the first E.",
    hint="""
    stops = [stop] if isinstance(stop, str) else list(stop or ())
    """,
    needs=("answer",),
)
def stop_of_one_text(subject: Subject) -> str:
    """Invoke with one text, whose letters the answer has and which it has not, as a whole, and with one that it has."""
    case = _case(subject)
    letters = "".join(dict.fromkeys(case.text[:8]))[::-1] + "|"
    for stop, allowed in ((letters, [case.text]), (case.stop, case.cut(case.stop))):
        outcome = subject.ask(case.model(subject), None, "invoke", stop=stop)
        if outcome.error is not None:
            return f"refused: {error_text(outcome.error)}"
        _check_text(outcome, f"with stop={stop!r}", [*allowed])
    return "one stop string"


@statement(
    "D04",
    "`bind(stop=[...])` works, and leaves the model itself as it was.",
    why="Chains bind their stop strings this way, and share the model with others.",
    hint=_HINT,
    needs=("answer",),
)
def bound_stop(subject: Subject) -> None:
    """Bind a stop string, ask the bound model by four paths, and then the model itself."""
    case = _case(subject)
    for path in ("invoke", "ainvoke", "stream", "astream"):
        model = case.model(subject)
        outcome = subject.ask(model.bind(stop=[case.stop]), None, path)
        _check_text(outcome, f"of bind(stop=[{case.stop!r}])", case.cut(case.stop))
        _check_text(subject.ask(model, None, path), "of the model that it was bound to", [case.text])


# --- answers to cut ---


def _case(subject: Subject, *, spread: bool = False) -> Case:
    """A text of ours, its stop string spread over pieces where that is possible; otherwise the model's own answer.

    Raises:
        NotObserved: If the model's own answer is too short to be cut.
    """
    if not subject.lacks("text"):
        in_pieces = spread and not subject.lacks("replies")
        return Case(text=_TEXT, stop=_STOP, earlier="two", reply=Reply(pieces=_PIECES) if in_pieces else _TEXT)
    answer = subject.answer()
    # Words of the answer as stop strings; characters, if it has too few words.
    found = _inner_matches(answer, r"\S+") or _inner_matches(answer, r"\S")
    if not found:
        raise NotObserved(f"the model's own answer, {answer[:40]!r}, has nothing in it to stop at")
    first, *more = found
    return Case(text=answer, stop=more[0] if more else first, earlier=first if more else None)


def _inner_matches(answer: str, pattern: str) -> list[str]:
    """What matches the pattern with text before and after it, each where it first occurs in the answer."""
    hits = finditer(pattern, answer)
    return [hit[0] for hit in hits if 0 < answer.find(hit[0]) == hit.start() and hit.end() < len(answer)]


# --- verdicts ---


def _check_text(outcome: Outcome, call: str, allowed: Collection[str]) -> None:
    """Fail unless the answer, both as it arrived and as a whole, is one of the allowed texts."""
    expected = " or ".join(repr(text) for text in dict.fromkeys(allowed))
    if outcome.error is not None:
        raise Failed(f"{outcome.path} {call} raised {error_text(outcome.error)}", expected)
    for text in (outcome.text, str(outcome.answer.text)):
        if text not in allowed:
            raise Failed(f"{outcome.path} {call} gave {text!r}", expected)


def _check_left_out(subject: Subject, case: Case, path: PathName) -> None:
    """With `include_stop=False`, for a model that has it (langplug's do), the text ends before the stop string."""
    if subject.takes("include_stop"):
        outcome = subject.ask(case.model(subject, include_stop=False), None, path, stop=[case.stop])
        _check_text(outcome, f"with include_stop=False, stop=[{case.stop!r}]", case.cut(case.stop)[:1])
