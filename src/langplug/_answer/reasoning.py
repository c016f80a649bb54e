"""Reasoning that a model writes into its answer between tags, such as `<think>` and `</think>`."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from langplug._answer.stop import partial_start
from langplug._parts import Reasoning, ToolCall

_NEWLINES = "\r\n"
_BLANKS = " \t\r\n"
_NEWLINE_RUN = re.compile(r"[\r\n]*")
_INDENT_RUN = re.compile(r"[ \t]*")
_SPECIAL = re.compile(r"<\|\w+\|?>")  # of one token, which the tokenizer makes of no prose

_Parts: TypeAlias = list[str | Reasoning]
Tags: TypeAlias = tuple[str, str]
_Search: TypeAlias = Callable[..., re.Match[str] | None]
Opened: TypeAlias = bool | Literal["perhaps"]


class ReasoningSplitter:
    r"""Splits an answer that comes in pieces into text and reasoning.

    What comes out, joined by kind, does not depend on how the answer is cut. Tags may be cut anywhere; text is held
    back only while it can still become a tag, or is a blank that goes with one.

    The opener counts only at the start of a line, after blanks at most, so prose that mentions the tag stays
    text. The place right after a closer is the start of a line too. An opener with a special token in it, such as
    `<|channel|>`, counts anywhere: no prose holds one. The closer counts anywhere while inside; elsewhere it is text.
    Reasoning that is never closed stays reasoning.

    The tags go, and with them exactly this:

    * spaces, tabs and newlines between the start of the answer and an opener (blanks before a later opener are text);
    * newlines (`\n`, `\r`) right after the opener, right before the closer and right after the closer.

    Args:
        opener: The tag that starts reasoning.
        closer: The tag that ends it.
        opened: Whether the answer begins inside, because the prompt already ended with the opener, as the chat
            templates of DeepSeek-R1 and Qwen3-Thinking have it. An opener that the model then repeats at once is
            dropped; newlines at the start are those after the opener. `"perhaps"`: the answer is held back until its
            closer comes, which says that it did; if none comes, it was text. A closer in a code span is not one
            then. A function is asked when text comes.
        others: More tags around reasoning.
        answers: Tags around the text that follows the reasoning, such as Hunyuan's `<answer>`. They are dropped, too,
            where they directly follow reasoning, or begin the answer. The opener may be the closer of the reasoning.

    Raises:
        ValueError: If a tag is empty, holds a newline, or begins or ends with a blank.
    """

    __slots__ = (
        "_ahead",
        "_answers",
        "_blanks",
        "_closer",
        "_closers",
        "_first",
        "_fresh",
        "_held",
        "_in_code",
        "_is_text",
        "_opened",
        "_openers",
        "_place",
        "_said",
        "_search",
        "_special",
    )

    def __init__(
        self,
        opener: str = "<think>",
        closer: str = "</think>",
        *,
        opened: Opened | Callable[[], Opened] = False,
        others: Sequence[Tags] = (),
        answers: Sequence[Tags] = (),
    ) -> None:
        self._openers, self._special, self._answers, self._closers, self._first, self._search = _prepare(
            ((opener, closer), *others), tuple(answers)
        )
        self._closer = closer  # of what is open
        self._is_text = False  # whether that is the text after the reasoning
        self._opened: Opened | Callable[[], Opened] = opened
        self._place: Literal["start", "perhaps", "text", "after opener", "inside", "after closer"] = "start"
        self._held = ""  # what may become a tag
        self._blanks: list[str] = []  # the blanks before _held that go with that tag
        self._ahead: list[str] = []  # what is reasoning if its closer comes, and text if not
        self._said: list[str] | None = []  # the reasoning, while nothing but it has come
        self._in_code = False  # whether an odd number of backticks has come since the last line of that began
        self._fresh = True  # whether only blanks have come since the line of text began

    def feed(self, text: str) -> _Parts:  # noqa: C901, PLR0912, PLR0915 - a case a place
        """Take the next piece; return what is known now."""
        # Most pieces of most answers: text that cannot have anything to do with a tag.
        if self._place == "text" and not self._held and not self._first(text):
            if self._fresh or "\n" in text:
                self._fresh = self._is_fresh(text)
            return [text] if text else []
        text, self._held = self._held + text, ""
        parts: _Parts = []
        at = 0
        while at < len(text):
            match self._place:
                case "start":
                    at = self._read_start(text, parts)
                case "perhaps" | "inside":
                    end = text.find(self._closer, at)
                    known = end if end >= 0 else at + partial_start(text[at:], self._closer)
                    if self._place == "perhaps":
                        self._ahead.append(text[at:known])
                        piece = text[at:known]
                        line = piece[
                            piece.rfind("\n") + 1 :
                        ]  # a span of code may reach over lines; its ticks are counted in each
                        self._in_code = (self._in_code and line == piece) ^ bool(line.count("`") % 2)
                    else:
                        self._add(text[at:known], parts)
                    after = end + len(self._closer)
                    if end < 0 or (self._in_code and after == len(text)):
                        self._held = text[known:]
                        return parts
                    if self._in_code and text[after] == "`":
                        self._ahead.append(text[end:after])  # an answer that speaks of the tag
                        at = after
                        continue
                    if self._place == "perhaps":
                        self._add("".join(self._ahead).lstrip(_NEWLINES), parts)
                        self._ahead, self._in_code = [], False
                    self._blanks.clear()  # the newlines right before the closer
                    self._said = None
                    if self._closer in self._answers and not self._is_text:
                        at = self._open(self._closer, end)  # one tag does both, as Apriel's
                        continue
                    self._place = "after closer"
                    at = after
                case "text":
                    at = self._read_text(text, at, parts)
                case "after opener":
                    at = _run_end(_NEWLINE_RUN, text, at)
                    if at < len(text):
                        self._place = "inside"
                case "after closer":
                    at = _run_end(_NEWLINE_RUN, text, at)
                    if opener := next((each for each in self._answers if text.startswith(each, at)), ""):
                        at = self._open(opener, at)
                    elif at < len(text) and any(each.startswith(text[at:]) for each in self._answers):
                        self._held = text[at:]
                        return parts
                    elif at < len(text):
                        self._place, self._fresh = "text", True
        return parts

    def flush(self) -> _Parts:
        """Say that the answer is over; return what was held back."""
        if self._place == "perhaps":
            rest = "".join(self._ahead) + self._held
            self._ahead, self._held, self._place = [], "", "text"
            return [*self.feed(rest), *self.flush()]
        rest = self._take_blanks() + self._held
        is_inside = self._place == "inside" and not self._is_text
        if self._place == "start" and self._is_opened() is True:
            rest, is_inside = rest.lstrip(_NEWLINES), True
        # If the answer goes on, it is after something that is not text: it cannot begin inside any more.
        self._held, self._opened = "", False
        if not rest:
            return []
        return [Reasoning(rest) if is_inside else rest]

    @property
    def unclosed(self) -> str:
        """The reasoning of an answer that is nothing else, as it was never closed; empty for any other."""
        return "".join(self._said or ())

    # Each reads on in one place, adds to `parts` what is certain, and returns how far it went.

    def _read_start(self, text: str, parts: _Parts) -> int:
        body = text.lstrip(_BLANKS)
        at = len(text) - len(body)
        self._blanks.append(text[:at])
        openers = (*self._openers, *self._answers)
        for opener in openers:
            if body.startswith(opener):
                self._blanks.clear()
                return self._open(opener, at)
        if any(opener.startswith(body) for opener in openers):  # with an empty body, too: only blanks so far
            self._held = body
            return len(text)
        opened = self._is_opened()
        blanks = self._take_blanks()
        if opened == "perhaps":
            self._place = "perhaps"
            self._ahead.append(blanks)
        elif opened:
            self._place = "inside"
            self._add(blanks.lstrip(_NEWLINES), parts)
        else:
            self._place, self._said = "text", None
            if blanks:
                parts.append(blanks)
        return at

    def _read_text(self, text: str, at: int, parts: _Parts) -> int:
        if self._first(text, at):
            # An opener counts at the start of a line: of this one, if only blanks came before it, or of a later one.
            body = _run_end(_INDENT_RUN, text, at)
            found = next((each for each in self._openers if self._fresh and text.startswith(each, body)), "")
            if not found and (found := next((each for each in self._special if text.startswith(each, at)), "")):
                body = at
            # From `at + 1`, as `^` matches at the beginning of `text` even where that is the middle of a line.
            if not found and (match := self._search(text, at + 1)):
                found, body = match[match.lastindex or 0], match.start(match.lastindex or 0)
            if found:
                if before := text[at:body]:
                    parts.append(before)
                return self._open(found, body)
        rest = text[at:]
        line = rest[rest.rfind("\n") + 1 :].lstrip(" \t")
        starts_line = (self._fresh or "\n" in rest) and line
        self._held = line if starts_line and any(opener.startswith(line) for opener in self._openers) else ""
        if self._special and (held := min(partial_start(rest, each) for each in self._special)) < len(rest):
            self._held = max(self._held, rest[held:], key=len)
        known = rest[: len(rest) - len(self._held)]
        self._fresh = self._is_fresh(known)
        if known:
            parts.append(known)
        return len(text)

    def _open(self, opener: str, at: int) -> int:
        """Begin what `opener`, which stands at `at`, opens; return where that begins."""
        self._is_text = opener in self._answers
        if self._is_text:
            self._said = None
        self._closer = self._closers[opener]
        self._place = "after opener"
        return at + len(opener)

    def _is_opened(self) -> Opened:
        return self._opened() if callable(self._opened) else self._opened

    def _add(self, text: str, parts: _Parts) -> None:
        """Give `text` of what is open on, but hold its last newlines back: a closer may follow."""
        said = text.rstrip(_NEWLINES)
        if said:
            whole = self._take_blanks() + said
            parts.append(whole if self._is_text else Reasoning(whole))
            if self._said is not None:
                self._said.append(whole)
        self._blanks.append(text[len(said) :])

    def _is_fresh(self, text: str) -> bool:
        """Whether, after `text`, only blanks have come since the line began."""
        line = text[text.rfind("\n") + 1 :]
        return (self._fresh or len(line) < len(text)) and not line.strip(" \t")

    def _take_blanks(self) -> str:
        blanks = "".join(self._blanks)
        self._blanks.clear()
        return blanks


def calls_at_the_end(reasoning: str, found: Sequence[str | ToolCall]) -> list[ToolCall]:
    """The calls with which reasoning that was never closed ends, of what was found in it.

    A model whose template opens the reasoning may call a tool without closing it, as Qwen3.5 and Kimi K2 Thinking do:
    the call ends the reasoning for vLLM and llama.cpp, too. Calls that it only thinks of have text after them, or
    before them in their line.
    """
    texts = [n for n, one in enumerate(found) if isinstance(one, str) and one.strip()]
    if texts:
        before = str(found[texts[-1]])
        gap = reasoning[reasoning.rfind(before) + len(before) :]
        if "\n" not in before[len(before.rstrip()) :] + gap[: len(gap) - len(gap.lstrip())]:
            return []
    return [one for one in found[texts[-1] + 1 if texts else 0 :] if isinstance(one, ToolCall)]


@lru_cache(maxsize=64)  # each answer has its splitter, and most have the same tags
def _prepare(
    reasoning: tuple[Tags, ...], answers: tuple[Tags, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], Mapping[str, str], _Search, _Search]:
    """The openers of reasoning, those of them with a special token, those of text, the closer of each, two searches.

    One is for the first character of what opens reasoning, the other for an opener of it where it counts.
    """
    for tags in (*reasoning, *answers):
        for which, tag in zip(("opener", "closer"), tags, strict=True):
            if not tag or tag != tag.strip() or "\n" in tag:
                raise ValueError(
                    f"{which} is {tag!r}; expected a tag on one line without blanks around it. "
                    "Write one such as '<think>'."
                )
    openers = tuple(opener for opener, _ in reasoning)
    firsts = "".join(sorted({re.escape(opener[0]) for opener in openers}))
    special = tuple(opener for opener in openers if _SPECIAL.search(opener))
    anywhere = "|".join(map(re.escape, special)) or r"\b\B"  # without any: what matches nowhere
    search = re.compile(rf"^[ \t]*({'|'.join(map(re.escape, openers))})|({anywhere})", re.MULTILINE).search
    closers = dict([*answers, *reversed(reasoning)])
    first = re.compile(f"[{firsts}]").search
    return openers, special, tuple(opener for opener, _ in answers), closers, first, search


def _run_end(run: re.Pattern[str], text: str, at: int) -> int:
    found = run.match(text, at)
    return found.end() if found else at
