"""Long lines of an answer, broken between words as they come."""

import shutil
import unicodedata
from typing import Final

_FENCE: Final = "```"
_TAB: Final = 8


class WordWrap:
    """Breaks lines between words at the terminal's edge, without holding anything back.

    A word is shown as its letters come. When it turns out not to fit, it is erased from the end of its line and begins
    the next one. Lines of code between Markdown's fences stay as they are, so that they can be copied.
    """

    def __init__(self) -> None:
        self._column = 0
        self._word = ""  # since the last place where the line can be broken
        self._word_columns = 0
        self._head = ""  # the first characters of the line, as far as they may be a fence
        self._in_code = False

    def feed(self, text: str) -> str:
        """`text` with line breaks, and with the control sequences that take back the beginning of a word."""
        # One column stays free: terminals differ in whether a full line begins the next one.
        limit = max(2, shutil.get_terminal_size((80, 24)).columns - 1)
        out: list[str] = []
        for char in text:
            if char == "\n":
                if self._head.lstrip(" ").startswith(_FENCE):
                    self._in_code = not self._in_code
                self._head = ""
                self._break_line()
            elif len(self._head) < len(_FENCE) + 4:
                self._head += char
            if char != "\n" and not self._in_code:
                out.append(self._place(char, limit))
            if char == "\n" or self._in_code:
                out.append(char)
        return "".join(out)

    def _place(self, char: str, limit: int) -> str:
        """`char`, after what makes room for it."""
        before = ""
        if char in " \t":
            self._word, self._word_columns = "", 0
            if self._column >= limit:  # not shown: the next word begins a line, if there is one
                return ""
            self._column += _TAB - self._column % _TAB if char == "\t" else 1
            return char
        # How many columns a character takes: https://www.unicode.org/reports/tr11/. Accents and joiners take none.
        is_mark = unicodedata.category(char) in ("Mn", "Me", "Cf")
        columns = 0 if is_mark else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if self._column + columns > limit:
            if 0 < self._word_columns < self._column:
                # ECMA-48: as many columns back, and erase to the end of the line.
                before = f"\x1b[{self._word_columns}D\x1b[K\n{self._word}"
                self._column = self._word_columns
            else:  # the word is as long as the line, or it is one ideograph
                self._break_line()
                before = "\n"
        self._column += columns
        if columns == 2:  # between ideographs a line may be broken anywhere
            self._word, self._word_columns = "", 0
        else:
            self._word += char
            self._word_columns += columns
        return before + char

    def _break_line(self) -> None:
        self._column = self._word_columns = 0
        self._word = ""
