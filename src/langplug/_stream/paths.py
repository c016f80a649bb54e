"""JSON values from any source, read as parts by a few JMESPath expressions.

paths = Paths(text="message.content", finish="done && done_reason", error="error")
reader = ValueParser(paths)
for value in values:  # the events of a stream, the lines of a program, or one whole answer
    parts = reader.feed(value)
reader.end()
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from langchain_core.exceptions import ModelError

from langplug._answer.server_errors import error_of
from langplug._errors import IncompleteAnswerError
from langplug._parts import Finish, Part, Reasoning, ToolCall, Usage
from langplug._stream.expressions import ExpressionError, Search, compiled
from langplug._suggest import did_you_mean

_COUNTS = ("input_tokens", "output_tokens", "total_tokens")
_DETAILS = ("input_token_details", "output_token_details")

_DEEP = 4
"""How many levels of keys an error shows."""


class UnreadableAnswerError(ModelError):
    """An answer came in which the paths found nothing, or something of another kind than they should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the parts of an answer are in the JSON values that it comes as. All but `reasons` are JMESPath.

    What a path does not find (null, or false) is not there; an empty string is there, and says nothing.

    Attributes:
        each: What to read one after the other instead of the value: a list, whose items the other paths are then
            applied to. For values that hold blocks in an order, `[content, @][]` reads each block, then the value.
        text: A string, or a list of them.
        reasoning: A string; or a mapping with the string as `text`, whose other entries have to come back on the next
            turn, such as a signature; or a list of these.
        tool_calls: A mapping with `name`, `args` (a mapping, JSON text, or the next piece of it), `id` and `index`; or
            a list of them. One with nothing but an `index` is none.
        blocks: A LangChain content block (a mapping with a `type`, such as an image), or a list of them.
        usage: A mapping with the fields of `langplug.Usage`. A list of counts is added up.
        usage_kind: Whether each report counts from the start of the answer, or from the report before.
        finish: Why the answer ended; `true` says that it did. An answer in which it is not found is not complete.
        reasons: LangChain's word (`"stop"`, `"length"`, `"tool_calls"`, `"content_filter"`) for the source's.
        stop_sequence: The stop string that ended it.
        done: Something that is there in the last value of an answer; what comes behind it is not read. Where there is
            no `finish`, an answer without it is not complete. With neither, the source's end is the end.
        response_metadata: A mapping with more for `response_metadata`, such as `{model_name: model}`.
        error: The error, as a string or a mapping with a `message`.
        may_be_empty: Whether an answer in which no text, reasoning, call or block is found is an empty answer. Else
            it is an error, since paths that fit no value look the same.
    """

    each: str | None = None
    text: str | None = None
    reasoning: str | None = None
    tool_calls: str | None = None
    blocks: str | None = None
    usage: str | None = None
    usage_kind: Literal["total", "delta"] = "total"
    finish: str | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    stop_sequence: str | None = None
    done: str | None = None
    response_metadata: str | None = None
    error: str | None = None
    may_be_empty: bool = False

    def __post_init__(self) -> None:
        for name in EXPRESSIONS:
            _check_expression(name, getattr(self, name))
        if not any(getattr(self, name) for name in CONTENT):
            raise ValueError(f"No path to what is said. Give at least one of {', '.join(map(repr, CONTENT))}.")
        if self.usage_kind not in ("total", "delta"):
            raise ValueError(f"usage_kind is {self.usage_kind!r}; expected 'total' or 'delta'.")

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Paths from a mapping, such as a part of a file.

        Raises:
            ValueError: If a name is unknown (a near one is named), or a path is no JMESPath expression.
        """
        for name in given:
            if name not in NAMES:
                hint = did_you_mean(str(name), NAMES) or f" There are: {', '.join(NAMES)}."
                raise ValueError(f"There is no path {name!r}.{hint}")
        return cls(**given)

    @property
    def tells_end(self) -> bool:
        """Whether an answer says itself that it is complete."""
        return bool(self.finish or self.done)


CONTENT = ("text", "reasoning", "tool_calls", "blocks")
"""The paths to what is said; one at least has to be given."""

NAMES = tuple(one.name for one in fields(Paths))

EXPRESSIONS = tuple(name for name in NAMES if name not in ("usage_kind", "reasons", "may_be_empty"))
"""The names that stand for JMESPath expressions."""


def _check_expression(name: str, expression: Any) -> None:
    if expression is None:
        return
    if not isinstance(expression, str):
        raise ValueError(f"The path {name!r} is {expression!r}; expected a JMESPath expression as a string.")
    try:
        compiled(expression)
    except ExpressionError as error:
        raise ValueError(f"The path {name!r}: {error}") from None


class ValueParser:
    """A push parser: JSON values in, parts out.

    Args:
        paths: Where the parts are.
        owner: Who is said to have answered, in errors.

    Attributes:
        finished: True once `paths.done` was there: what comes after it belongs to no answer.
        complete: True once the answer has said that it is complete, by a finish reason or, without one, by `done`.
    """

    def __init__(self, paths: Paths, *, owner: str = "The source") -> None:
        self.finished = False
        self.complete = False
        self._paths = paths
        self._owner = owner
        self._searches = {name: compiled(given) for name in EXPRESSIONS if (given := getattr(paths, name))}
        self._each = self._searches.pop("each", None)
        self._matched: set[str] = set()
        self._first: Any = None
        self._last: Any = None
        self._values = 0

    def feed(self, value: Any) -> list[Part]:
        """Take the next value; return the parts in it.

        Raises:
            ModelError: The error that the value holds; of the type that fits its code and words.
            UnreadableAnswerError: If a path finds something of another kind than it should.
        """
        if self.finished:
            return []
        if not self._values:
            self._first = value
        self._last = value
        self._values += 1
        if self._each is None:
            return list(self._parts(value))
        return [part for item in self._items(value, self._each) for part in self._parts(item)]

    def end(self) -> None:
        """Say that the source has ended.

        Raises:
            IncompleteAnswerError: If the answer did not say that it is complete, where it should.
            UnreadableAnswerError: If there were values, but nothing that was said was found in any.
        """
        if self._paths.tells_end and not self.complete:
            missing = self._shown_paths(["finish"] if self._paths.finish else ["done"])
            raise IncompleteAnswerError(
                f"{self._owner} ended before the answer did: {missing} found nothing in {self._what_came()}. "
                "What had come is this error's `partial`; asking again may help."
            )
        if self._values and not self._matched & set(CONTENT) and not self._paths.may_be_empty:
            raise UnreadableAnswerError(
                f"{self._owner} answered, but {self._shown_paths(CONTENT)} found nothing in {self._what_came()}. "
                "Correct the paths, or set may_be_empty=True if an answer without any of them is an empty one."
            )

    # --- one value ---

    def _items(self, value: Any, each: Search) -> Iterator[Any]:
        found = self._search("each", each, value)
        if isinstance(found, list):
            yield from (item for item in found if item is not None)
        elif found is not None:
            raise self._mismatch("each", found, "a list")

    def _parts(self, value: Any) -> Iterator[Part]:
        """The error first, for nothing else counts then; what is said; and what is known of it."""
        found = {name: one for name, search in self._searches.items() if (one := self._find(name, search, value))}
        if error := found.get("error"):
            raise error_of(error)
        yield from self._reasoning(found.get("reasoning"))
        yield from self._text(found.get("text"))
        yield from self._blocks(found.get("blocks"))
        yield from self._calls(found.get("tool_calls"))
        if usage := found.get("usage"):
            yield from self._usage(usage)
        yield from self._finish(found)

    def _find(self, name: str, search: Search, value: Any) -> Any:
        found = self._search(name, search, value)
        if found is not None:
            self._matched.add(name)
        return found

    def _search(self, name: str, search: Search, value: Any) -> Any:
        try:
            found = search(value)
        except ExpressionError as error:
            raise UnreadableAnswerError(f"{self._owner}: the path {name!r}: {error}") from None
        return None if found is False else found

    # --- what is said ---

    def _text(self, found: Any) -> Iterator[str]:
        for text in _several(found):
            if not isinstance(text, str):
                raise self._mismatch("text", text, "a string (JMESPath's to_string() makes one)")
            if text:
                yield text

    def _reasoning(self, found: Any) -> Iterator[Reasoning]:
        for thought in _several(found):
            extras: dict[str, Any] = {}
            text = thought
            if isinstance(thought, Mapping):
                extras = {key: item for key, item in thought.items() if key != "text" and item not in (None, False, "")}
                text = thought.get("text") or ""
            if not isinstance(text, str):
                raise self._mismatch("reasoning", thought, "a string, or a mapping with a string as 'text'")
            if text or extras:
                yield Reasoning(text, extras or None)

    def _blocks(self, found: Any) -> Iterator[dict[str, Any]]:
        for block in _several(found):
            if not isinstance(block, dict) or not isinstance(block.get("type"), str):
                raise self._mismatch("blocks", block, "a mapping with a 'type'")
            yield {key: item for key, item in block.items() if item is not None}

    def _calls(self, found: Any) -> Iterator[ToolCall]:
        for call in _several(found):
            if not isinstance(call, Mapping):
                raise self._mismatch("tool_calls", call, "a mapping with 'name', 'args', 'id' and 'index'")
            name, args, given_id, index = (call.get(key) for key in ("name", "args", "id", "index"))
            if name or given_id or args not in (None, ""):
                yield ToolCall(name=_said(name), args=args, id=_said(given_id), index=index)

    # --- what is known of it ---

    def _usage(self, found: Any) -> Iterator[Usage]:
        if not isinstance(found, Mapping):
            raise self._mismatch("usage", found, "a mapping with the fields of langplug.Usage")
        counts = {name: total for name in _COUNTS if (total := self._count(found.get(name))) is not None}
        details = {name: self._details(found[name]) for name in _DETAILS if found.get(name)}
        kept = {name: known for name, known in details.items() if known}
        if counts or kept:
            yield Usage(**counts, **kept, delta=self._paths.usage_kind == "delta")  # type: ignore[arg-type]

    def _details(self, found: Any) -> dict[str, int]:
        if not isinstance(found, Mapping):
            raise self._mismatch("usage", found, "mappings as details")
        return {str(key): count for key, item in found.items() if (count := self._count(item)) is not None}

    def _count(self, found: Any) -> int | None:
        counts = [count for count in _several(found) if count is not None]
        for count in counts:
            if isinstance(count, bool) or not isinstance(count, int | float):
                raise self._mismatch("usage", count, "a number of tokens")
        return int(sum(counts)) if counts else None

    def _finish(self, found: Mapping[str, Any]) -> Iterator[Finish]:
        reason, sequence, metadata = (found.get(name) for name in ("finish", "stop_sequence", "response_metadata"))
        self.finished = self.finished or "done" in found
        self.complete = self.complete or (reason is not None if self._paths.finish else self.finished)
        if metadata is not None and not isinstance(metadata, Mapping):
            raise self._mismatch("response_metadata", metadata, "a mapping")
        kept = {str(key): item for key, item in (metadata or {}).items() if item is not None}
        if reason is not None or sequence or kept:
            yield Finish(reason=self._reason(reason), stop_sequence=_said(sequence), metadata=kept)

    def _reason(self, found: Any) -> str:
        if found is None:
            return ""
        said = "stop" if found is True else str(found)
        return self._paths.reasons.get(said, said)

    # --- errors ---

    def _mismatch(self, name: str, found: Any, expected: str) -> UnreadableAnswerError:
        text = repr(found)
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        path = getattr(self._paths, name)
        return UnreadableAnswerError(
            f"{self._owner}: the path {name}={path!r} found {shown}; expected {expected}. Correct the path."
        )

    def _shown_paths(self, names: Sequence[str]) -> str:
        return ", ".join(f"{name}={path!r}" for name in names if (path := getattr(self._paths, name)))

    def _what_came(self) -> str:
        if not self._values:
            return "it, for nothing came"
        shapes = dict.fromkeys([_shape(self._first), _shape(self._last)])
        return f"{self._values} value{'s' if self._values > 1 else ''} with the keys {' … '.join(shapes)}"


def _several(found: Any) -> Sequence[Any]:
    """What a path found, one or more, as a list."""
    if isinstance(found, list):
        return found
    return () if found is None else (found,)


def _said(value: Any) -> str | None:
    return None if value in (None, "", False) else str(value)


def _shape(value: Any, depth: int = _DEEP) -> str:
    """The keys of `value` without what they hold, which may be private."""
    if isinstance(value, Mapping) and depth:
        items = [f"{key}: {inner}" if (inner := _shape(one, depth - 1)) else str(key) for key, one in value.items()]
        return "{" + ", ".join([*items[:12], *(["…"] if len(items) > 12 else [])]) + "}"
    if isinstance(value, list) and depth:
        return f"[{_shape(value[0], depth - 1) if value else ''}]"
    return "" if depth < _DEEP else type(value).__name__
