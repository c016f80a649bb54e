"""From what a program writes to the parts of its answer: push parsers, bytes in, parts out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, Protocol, TypeAlias

from langchain_core.exceptions import ModelError

from langplug import Part
from langplug._stream.framing import FRAMINGS
from langplug._stream.paths import Paths, UnreadableAnswerError, ValueParser
from langplug.models.command.ansi import AnsiStripper

Output: TypeAlias = Literal["text", "lines", "jsonl", "json"]

_SHOWN = 200
"""Characters that an error shows of what cannot be read."""


class OutputReader(Protocol):
    """Bytes in, parts out; the same however the bytes are cut."""

    @property
    def finished(self) -> bool:
        """Whether the answer has said that it is over. What comes after that is ignored."""
        ...

    def feed(self, data: bytes) -> Iterable[Part]:
        """Take the next bytes, and return the parts that they complete. Parts before an error come before it."""
        ...

    def rest(self, *, failed: bool = False) -> Iterable[Part]:
        """The output has ended: return what was held back, as far as it can be read if the program `failed`."""
        ...

    def end(self) -> None:
        """Check that the answer is complete."""
        ...


class TextOutputReader:
    """Text, as it comes or line by line.

    Args:
        lines: Whether each line is a part by itself.
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
        """Take the next bytes, and return the text that they complete."""
        return self._read("".join(str(frame.data) for frame in self._decoder.feed(data)))

    def rest(self, *, failed: bool = False) -> list[Part]:
        """Return the last line, or the rest of a character that was cut off."""
        parts = self._read("".join(str(frame.data) for frame in self._decoder.flush()))
        line, self._line = "".join(self._line), []
        return [*parts, *self._without_last_newlines(line)]

    def end(self) -> None:
        """Text never says that it is complete."""

    def _read(self, text: str) -> list[Part]:
        if self._ansi is not None:
            text = self._ansi.feed(text)
        if not self._lines:
            return self._without_last_newlines(text)
        *whole, last = text.split("\n")
        parts: list[Part] = []
        for line in whole:
            parts += self._without_last_newlines("".join([*self._line, line, "\n"]))
            self._line = []
        # Kept as a list: adding to one string would copy a line without end again and again.
        self._line.append(last)
        return parts

    def _without_last_newlines(self, text: str) -> list[Part]:
        """What of `text` can be shown now. Newlines at its end may turn out to be the last: they wait for more text."""
        if not self._strips:
            return [text] if text else []
        text = self._newlines + text
        body = text.rstrip("\r\n")
        self._newlines = text[len(body) :]
        return [body] if body else []


class JsonOutputReader:
    """JSON values, one per line (`jsonl`) or one that is the whole output (`json`), read by paths.

    Args:
        paths: Where the parts of the answer are in a value.
        whole: Whether the whole output is one value.
        owner: What an error calls the program.
        scrub: Takes secrets out of what an error shows.
    """

    def __init__(self, paths: Paths, *, whole: bool, owner: str, scrub: Callable[[str], str]) -> None:
        self._frames = FRAMINGS["json" if whole else "ndjson"]()
        self._parser = ValueParser(paths, owner=owner)
        self._owner = owner
        self._scrub = scrub
        self._number = 0
        self._whole = whole

    @property
    def finished(self) -> bool:
        """Whether a value matched `paths.done`."""
        return self._parser.finished

    def feed(self, data: bytes) -> Iterator[Part]:
        """Take the next bytes, and yield the parts of the values that they complete, each before the next is read.

        Raises:
            UnreadableAnswerError: If a line is not valid JSON; the message shows it.
            ModelError: If the value says that there was an error.
        """
        for frame in self._frames.feed(data):
            if not self.finished:  # what comes after the end need not be JSON
                yield from self._read(frame.data)

    def rest(self, *, failed: bool = False) -> list[Part]:
        """Return the parts of the last line, if it was not ended.

        Raises:
            UnreadableAnswerError: If it is not valid JSON, unless the program `failed`: then this is what a failure
                looks like, and not an error of its own.
        """
        frames = [] if self.finished else self._frames.flush()
        try:
            return [part for frame in frames for part in self._read(frame.data)]
        except UnreadableAnswerError:
            if failed:
                return []
            raise

    def end(self) -> None:
        """Check that the answer said that it is complete, if the paths tell how it does."""
        self._parser.end()

    def _read(self, frame: bytes | str) -> list[Part]:
        self._number += 1
        try:
            value = json.loads(frame)
        except (ValueError, RecursionError) as error:
            text = self._scrub(frame.decode(errors="replace") if isinstance(frame, bytes) else frame)
            where = "the output" if self._whole else f"line {self._number} of the output"
            raise UnreadableAnswerError(
                f"{self._owner}: {where} is not valid JSON ({error}): "
                f"{text if len(text) <= _SHOWN else text[:_SHOWN] + '…'!r}. "
                "Have the program write JSON alone to its stdout, or set output='text'."
            ) from None
        try:
            return self._parser.feed(value)
        except ModelError as error:  # it quotes the value, and a program may print the key that it was given
            error.args = tuple(self._scrub(one) if isinstance(one, str) else one for one in error.args)
            raise


def read_paths(given: object) -> Paths | None:
    """Paths from a mapping of their names; anything else is left to pydantic, which refuses it.

    Raises:
        ValueError: If a name is unknown or a path cannot be read.
    """
    return Paths.read(given) if isinstance(given, Mapping) else given  # type: ignore[return-value] # see above
