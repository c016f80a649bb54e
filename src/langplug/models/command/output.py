"""From what a program writes to the parts of its answer: push parsers, bytes in, parts out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, Protocol, TypeAlias

from langchain_core.exceptions import ModelError

from langplug import Part
from langplug._stream.framing import FRAMINGS
from langplug._stream.paths import Extractor, Paths, UnreadableAnswerError
from langplug.models.command.ansi import AnsiStripper

Output: TypeAlias = Literal["text", "lines", "jsonl", "json"]


class OutputReader(Protocol):
    """Bytes in, parts out; the same however the bytes are cut."""

    @property
    def finished(self) -> bool:
        """Whether the answer has said that it is over. What comes after that is not looked at."""
        ...

    def feed(self, data: bytes) -> Iterable[Part]:
        """Take the next bytes; give the parts that they complete, and those before an error before it."""
        ...

    def rest(self) -> Iterable[Part]:
        """The output has ended: give what was held back."""
        ...

    def end(self) -> None:
        """Check that the answer is complete."""
        ...


class TextReader:
    """Text, as it comes or line by line.

    Args:
        lines: Whether each line is a piece by itself.
        strip_ansi: Whether terminal control codes are taken out.
        strip_newlines: Whether the newlines at the very end are left out, as a shell's `$(...)` does.
    """

    def __init__(self, *, lines: bool, strip_ansi: bool, strip_newlines: bool) -> None:
        self.finished = False
        self._decoder = FRAMINGS["text"]()
        self._ansi = AnsiStripper() if strip_ansi else None
        self._lines = lines
        self._strips = strip_newlines
        self._line: list[str] = []
        self._newlines = ""

    def feed(self, data: bytes) -> list[Part]:
        """Take the next bytes; return the text that they complete."""
        return self._pieces("".join(str(frame.data) for frame in self._decoder.feed(data)))

    def rest(self) -> list[Part]:
        """Return the last line, or the rest of a character that was cut off."""
        pieces = self._pieces("".join(str(frame.data) for frame in self._decoder.flush()))
        line, self._line = "".join(self._line), []
        return [*pieces, *self._shown(line)]

    def end(self) -> None:
        """Text never says that it is complete."""

    def _pieces(self, text: str) -> list[Part]:
        if self._ansi is not None:
            text = self._ansi.feed(text)
        if not self._lines:
            return self._shown(text)
        *whole, last = text.split("\n")
        pieces: list[Part] = []
        for line in whole:
            pieces += self._shown("".join([*self._line, line, "\n"]))
            self._line = []
        self._line.append(last)
        return pieces

    def _shown(self, text: str) -> list[Part]:
        """What may be shown: newlines may still turn out to be the last."""
        if not self._strips:
            return [text] if text else []
        text = self._newlines + text
        body = text.rstrip("\r\n")
        self._newlines = text[len(body) :]
        return [body] if body else []


class JsonReader:
    """JSON values, one a line (`jsonl`) or one that is the whole output (`json`), read by paths."""

    def __init__(self, paths: Paths, *, whole: bool, owner: str, scrub: Callable[[str], str]) -> None:
        self._frames = FRAMINGS["json" if whole else "ndjson"]()
        self._extractor = Extractor(paths, owner=owner)
        self._owner = owner
        self._scrub = scrub
        self._number = 0
        self._whole = whole

    @property
    def finished(self) -> bool:
        """Whether `paths.done` was there."""
        return self._extractor.finished

    def feed(self, data: bytes) -> Iterator[Part]:
        """Take the next bytes; give the parts of the values that they complete, each before the next is read.

        Raises:
            UnreadableAnswerError: If a line is no JSON; it is shown.
            ModelError: If the value says that there was an error.
        """
        for frame in self._frames.feed(data):
            if not self.finished:  # what comes after the end need not be JSON
                yield from self._read(frame.data)

    def rest(self) -> Iterator[Part]:
        """Give the parts of the last line, if its end never came."""
        for frame in self._frames.flush():
            yield from self._read(frame.data)

    def end(self) -> None:
        """Check that the answer said that it is complete, where it should."""
        self._extractor.end()

    def _read(self, frame: bytes | str) -> list[Part]:
        self._number += 1
        try:
            value = json.loads(frame)
        except (ValueError, RecursionError) as error:
            raise self._unreadable(frame, error) from None
        try:
            return self._extractor.feed(value)
        except ModelError as error:
            error.args = tuple(self._scrub(one) if isinstance(one, str) else one for one in error.args)
            raise

    def _unreadable(self, frame: bytes | str, error: Exception) -> UnreadableAnswerError:
        text = frame.decode(errors="replace") if isinstance(frame, bytes) else frame
        shown = self._scrub(text)
        where = "the output" if self._whole else f"line {self._number} of the output"
        return UnreadableAnswerError(
            f"{self._owner}: {where} is no JSON ({error}): {shown if len(shown) <= 200 else shown[:200] + '…'!r}. "
            "Have the program write JSON alone to its stdout, or set output='text'."
        )


def paths_of(given: object) -> Paths | None:
    """Paths from a mapping of their names.

    Raises:
        ValueError: If they are none.
    """
    return Paths.read(given) if isinstance(given, Mapping) else given  # type: ignore[return-value]
