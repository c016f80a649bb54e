"""Where a text is code or a quotation: what looks like a call there is an example of one.

https://spec.commonmark.org/0.31.2/, as far as answers of models hold it.
"""

import re

_RUNS = re.compile(r"`+|[^`]+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(?!\w)")
_OPEN_FENCE = re.compile(r"\s*`+\w*\s*")
_TILDES = re.compile(r" {0,3}(~{3,})")
_QUOTE = re.compile(r" {0,3}>(?!>>)")  # `>>>name` is a call of functionary's
_BEGINNING = 80


class MarkdownState:
    """Follows a text that comes in pieces.

    A piece is only remembered when it comes, and looked at when somebody asks: most answers never come to that.

    Attributes:
        line: How the current line begins.
        has_text: Whether an earlier line held more than blanks and fences.
    """

    __slots__ = ("_fence", "_is_whole", "_said", "_span", "_ticks", "has_text", "line")

    def __init__(self) -> None:
        self._said: list[str] = []
        self._fence = ""  # the marks that opened the fence that is open
        self._is_whole = False  # whether the answer began with it
        self._span = 0  # how many backticks opened the span that is open
        self._ticks = 0  # backticks at the very end, which may become more
        self.line = ""
        self.has_text = False

    def add(self, text: str) -> None:
        """Take the next piece."""
        self._said.append(text)

    def is_code(self) -> bool:
        """Whether what comes next is in a fence, in backticks, or in a block quote.

        A fence with which the answer begins does not count: models wrap whole calls in one.
        """
        text = "".join(self._said)
        self._said.clear()
        for n, line in enumerate(text.split("\n")):
            if n:
                self._end_line()
            self.line = (self.line + line[:_BEGINNING])[:_BEGINNING]
            for run in _RUNS.findall(line):
                if run[0] == "`":
                    self._ticks += len(run)
                else:
                    self._span, self._ticks = self._span_after_ticks(), 0
        if self._fence:
            return not self._is_whole or bool(self.line.strip())
        span = self._span_after_ticks()
        if span >= 3:  # a fence without a newline after it
            return self.has_text or not _OPEN_FENCE.fullmatch(self.line)
        return span > 0 or _QUOTE.match(self.line) is not None

    def _span_after_ticks(self) -> int:
        """A span ends at as many backticks as it began with; others within it are text."""
        if not self._ticks or (self._span and self._span != self._ticks):
            return self._span
        return 0 if self._span else self._ticks

    def _end_line(self) -> None:
        line, self.line = self.line, ""
        self._span, self._ticks = self._span_after_ticks(), 0
        if self._fence:
            closing = _FENCE.match(line)
            if closing and closing[1].startswith(self._fence):
                self._fence = ""
            self._span = 0
            self._is_whole = self._is_whole and not line.strip()
            return
        tildes = _TILDES.match(line)
        if tildes or self._span >= 3:
            # backticks that are open at the end of a line are a fence, wherever in it they stand: `Write: ```xml`
            self._fence = tildes[1] if tildes else "`" * self._span
            self._is_whole = not self.has_text and line.lstrip()[:1] in ("`", "~")
        if self._fence or not line.strip():
            self._span = 0  # else it goes on: a paragraph is one text
        self.has_text = self.has_text or bool(line.strip() and not self._is_whole)
