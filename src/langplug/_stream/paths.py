"""JSON values from any source, read as parts by a few JMESPath expressions.

paths = Paths(text="message.content", finish="done && done_reason", error="error")
parser = ValueParser(paths)
for value in values:  # the events of a stream, the lines of a program, or one whole answer
    parts = parser.feed(value)
parser.end()
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from langchain_core.exceptions import ModelError

from langplug._answer.openai_blocks import cited_text_block
from langplug._answer.server_errors import error_of
from langplug._errors import IncompleteAnswerError
from langplug._parts import Finish, Part, Reasoning, ToolCall, Usage
from langplug._stream.expressions import ExpressionError, compile_expression
from langplug._suggest import did_you_mean


class UnreadableAnswerError(ModelError):
    """The paths found nothing in an answer, or something of another kind than they should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the parts of an answer are in the JSON values that it is made of: JMESPath expressions, for the most part.

    A path that gives null or false has found nothing; one that gives an empty string has found empty text.

    Attributes:
        each: A list, whose items are read one after the other in place of the value: the other paths are applied to
            each. For values that hold blocks in order, `[content, @][]` reads each block, then the value.
        text: A string, or a list of them.
        reasoning: A string; or a mapping with the string as `text`, whose other entries, such as a signature, must be
            sent back in the next request; or a list of these.
        tool_calls: A mapping with `name`, `args` (a mapping, JSON text, or the next piece of it), `id` and `index`, and
            with `extras` (a mapping) for what must be sent back with the call; or a list of them. One with nothing but
            an `index` is left out. If `provider` is true, the provider runs the call itself, which becomes a
            `server_tool_call` block.
        blocks: A LangChain content block (a mapping with a `type`, such as an image), or a list of them. Of the type
            `text`, it may have `citations`, in any API's words: sources, of its text or else of the text before it.
        usage: A mapping with the fields of `langplug.Usage`. A list of counts is added up.
        usage_kind: Whether each report counts from the start of the answer, or from the report before.
        finish: Why the answer ended; `true` says that it did. An answer in which it is not found is not complete.
        reasons: LangChain's word (`"stop"`, `"length"`, `"tool_calls"`, `"content_filter"`) for the source's.
        stop_sequence: The stop string that ended the answer.
        done: Found in the last value of an answer alone; what comes after that is not read. Where there is no
            `finish`, an answer without it is not complete. With neither, an answer ends where its source does.
        response_metadata: A mapping with more for `response_metadata`, such as `{model_name: model}`.
        error: The error, as a string or a mapping with a `message`.
        may_be_empty: Whether an answer in which no text, reasoning, call or block is found is an empty answer. By
            default it is an error, since with wrong paths every answer looks like that.
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
            expression = getattr(self, name)
            if expression is None:
                continue
            if not isinstance(expression, str):
                raise ValueError(f"The path {name!r} is {expression!r}; expected a JMESPath expression as a string.")
            try:
                compile_expression(expression)
            except ExpressionError as error:
                raise ValueError(f"The path {name!r}: {error}") from None
        if not any(getattr(self, name) for name in CONTENT):
            raise ValueError(f"No path finds any content. Give at least one of {', '.join(map(repr, CONTENT))}.")
        if self.usage_kind not in ("total", "delta"):
            raise ValueError(f"usage_kind is {self.usage_kind!r}; expected 'total' or 'delta'.")

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Paths from a mapping, such as a part of a file.

        Raises:
            ValueError: If a name is unknown (a near one is named), or a path is not a JMESPath expression.
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
"""The paths to the content of an answer: at least one must be given."""

NAMES = tuple(one.name for one in fields(Paths))

EXPRESSIONS = tuple(name for name in NAMES if name not in ("usage_kind", "reasons", "may_be_empty"))
"""The names that stand for JMESPath expressions."""


class ValueParser:
    """A push parser: JSON values in, parts out.

    Args:
        paths: Where the parts are.
        owner: Who has answered, for errors.

    Attributes:
        finished: True once `paths.done` was found: what comes after that is not of this answer.
        complete: True once the answer has said that it is complete, by a finish reason or, without one, by `done`.
    """

    def __init__(self, paths: Paths, *, owner: str = "The source") -> None:
        self.finished = False
        self.complete = False
        self._paths = paths
        self._owner = owner
        self._searches = {name: compile_expression(given) for name in EXPRESSIONS if (given := getattr(paths, name))}
        self._each = self._searches.pop("each", None)
        self._matched: set[str] = set()
        self._at_provider = ProviderCalls()
        self._extras: dict[str, type] = {}
        self._first: Any = None
        self._last: Any = None
        self._values = 0

    def feed(self, value: Any) -> list[Part]:
        """Take the next value; return the parts in it.

        Raises:
            ModelError: The error that the value holds, of the type that its code and words say.
            UnreadableAnswerError: If a path finds something of another kind than it should.
        """
        if self.finished:
            return []
        if not self._values:
            self._first = value
        self._last = value
        self._values += 1
        if self._each is None:
            return self._read(value)
        items = self._search("each", self._each, value)
        if items is not None and not isinstance(items, list):
            raise self._mismatch("each", Mismatch(items, "a list"))
        return [part for item in items or () if item is not None for part in self._read(item)]

    def end(self) -> None:
        """Say that the source has ended.

        Raises:
            IncompleteAnswerError: If the answer did not say that it is complete, where it should.
            UnreadableAnswerError: If there were values, but no path found content in them.
        """
        if self._paths.tells_end and not self.complete:
            missing = self._quote_paths(["finish"] if self._paths.finish else ["done"])
            raise IncompleteAnswerError(
                f"{self._owner} ended before the answer did: {missing} found nothing in {self._outline()}. "
                "What had come is this error's `partial`; asking again may help."
            )
        if self._values and not self._matched & set(CONTENT) and not self._paths.may_be_empty:
            raise UnreadableAnswerError(
                f"{self._owner} answered, but {self._quote_paths(CONTENT)} found nothing in {self._outline()}. "
                "Correct the paths, or set may_be_empty=True if an answer without any of them is an empty one."
            )

    # --- one value ---

    def _read(self, value: Any) -> list[Part]:
        """The parts in one value, unless it holds an error: then nothing else counts."""
        found: dict[str, Any] = {}
        for name, search in self._searches.items():
            one = self._search(name, search, value)
            if one is not None:
                self._matched.add(name)
                if one:  # what is there and empty, as the text of the last value often is, adds nothing
                    found[name] = one
        if "error" in found:
            raise error_of(found["error"])
        parts: list[Part] = []
        for name, make_part in _CONTENT_PARTS.items():
            if name in found:
                try:
                    given = _as_list(found[name])
                    items = self._at_provider.take(given) if name == "tool_calls" else given
                    made = [part for item in items if (part := make_part(item)) is not None]
                    self._check_extras(made)
                except Mismatch as mismatch:
                    raise self._mismatch(name, mismatch) from None
                parts += made
        # A call that the provider runs is whole once something else follows its pieces.
        parts = self._at_provider.flush() + parts if parts or "finish" in found else parts
        if "usage" in found:
            try:
                usage = read_usage(found["usage"], delta=self._paths.usage_kind == "delta")
            except Mismatch as mismatch:
                raise self._mismatch("usage", mismatch) from None
            parts += [] if usage is None else [usage]
        finish = self._read_finish(found)
        return parts if finish is None else [*parts, finish]

    def _check_extras(self, parts: Sequence[Part]) -> None:
        """What comes with pieces of reasoning is added up, so each entry must stay of one kind."""
        for part in parts:
            extras = part.extras if isinstance(part, Reasoning) else None
            for key, item in (extras or {}).items():
                if self._extras.setdefault(key, type(item)) is not type(item):
                    raise Mismatch(item, f"a {self._extras[key].__name__} as {key!r}, like that before it")

    def _read_finish(self, found: Mapping[str, Any]) -> Finish | None:
        reason, sequence, metadata = (found.get(name) for name in ("finish", "stop_sequence", "response_metadata"))
        self.finished = self.finished or "done" in found
        # `done` may come in a value of its own, after the reason: where there is a path to the reason, that counts.
        self.complete = self.complete or (reason is not None if self._paths.finish else self.finished)
        if metadata is not None and not isinstance(metadata, Mapping):
            raise self._mismatch("response_metadata", Mismatch(metadata, "a mapping"))
        kept = {str(key): item for key, item in (metadata or {}).items() if item is not None}
        if reason is None and not sequence and not kept:
            return None
        word = "" if reason is None else "stop" if reason is True else str(reason)
        return Finish(reason=self._paths.reasons.get(word, word), stop_sequence=_text_or_none(sequence), metadata=kept)

    def _search(self, name: str, search: Callable[[Any], Any], value: Any) -> Any:
        try:
            found = search(value)
        except ExpressionError as error:
            raise UnreadableAnswerError(f"{self._owner}: the path {name!r}: {error}") from None
        return None if found is False else found

    # --- errors ---

    def _mismatch(self, name: str, mismatch: "Mismatch") -> UnreadableAnswerError:
        text = repr(mismatch.found)
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        path = getattr(self._paths, name)
        return UnreadableAnswerError(
            f"{self._owner}: the path {name}={path!r} found {shown}; expected {mismatch.expected}. Correct the path."
        )

    def _quote_paths(self, names: Sequence[str]) -> str:
        return ", ".join(f"{name}={path!r}" for name in names if (path := getattr(self._paths, name)))

    def _outline(self) -> str:
        """What came, by its keys alone: what they hold may be private."""
        if not self._values:
            return "it, for nothing came"
        outlines = dict.fromkeys([_outline_of(self._first), _outline_of(self._last)])
        return f"{self._values} value{'s' if self._values > 1 else ''} with the keys {' … '.join(outlines)}"


class ProviderCalls:
    """Calls that the provider runs itself, such as a web search: put together until they are blocks."""

    def __init__(self) -> None:
        self._calls: dict[Any, dict[str, Any]] = {}  # by their index

    def take(self, items: Sequence[Any]) -> list[Any]:
        """Take what belongs to such a call; return the other calls, which are the caller's to run."""
        others: list[Any] = []
        for item in items:
            place = item.get("index") if isinstance(item, Mapping) else None
            if isinstance(item, Mapping) and item.get("provider"):
                self._calls[place] = {**item, "pieces": []}
            elif isinstance(item, Mapping) and not item.get("name") and place in self._calls:
                self._calls[place]["pieces"].append(str(item.get("args") or ""))
            else:
                others.append(item)
        return others

    def flush(self) -> list[Part]:
        """The calls as blocks, now that they are whole."""
        parts: list[Part] = []
        for call in self._calls.values():
            args: Any = call.get("args")
            if text := "".join(call["pieces"]):
                with suppress(ValueError):
                    args = json.loads(text)
            args = args if isinstance(args, dict) else {"arguments": text or args} if text or args else {}
            block = {"type": "server_tool_call", "id": str(call.get("id")), "name": str(call.get("name")), "args": args}
            parts.append(block)
        self._calls = {}
        return parts


# --- from one thing that a path finds to a part; None where it says nothing ---


class Mismatch(Exception):
    """A path has found something of another kind than it should."""

    def __init__(self, found: Any, expected: str) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected


def read_text(found: Any) -> str | None:
    """A string."""
    if not isinstance(found, str):
        raise Mismatch(found, "a string (JMESPath's to_string() makes one)")
    return found or None


def read_reasoning(found: Any) -> Reasoning | None:
    """A string, or a mapping with one as `text` and with what has to come back on the next turn."""
    text, extras = found, {}
    if isinstance(found, Mapping):
        text = found.get("text") or ""
        extras = {key: item for key, item in found.items() if key != "text" and item not in (None, False, "")}
    # Calls are never reasoning's: langchain-core would read them out of a message's `additional_kwargs`.
    if not isinstance(text, str) or not extras.keys().isdisjoint(("tool_calls", "function_call")):
        raise Mismatch(found, "a string, or a mapping with a string as 'text'")
    return Reasoning(text, extras or None) if text or extras else None


def read_block(found: Any) -> dict[str, Any] | None:
    """A LangChain content block; JMESPath gives null for each key that it does not find, which is left out."""
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise Mismatch(found, "a mapping with a 'type'")
    block = {key: item for key, item in found.items() if item is not None}
    if block["type"] == "text" and (sources := block.pop("citations", None)):
        return cited_text_block(sources, str(block.get("text") or ""))
    return block


def read_call(found: Any) -> ToolCall | None:
    """A call, or a piece of one."""
    if not isinstance(found, Mapping):
        raise Mismatch(found, "a mapping with 'name', 'args', 'id' and 'index'")
    name, args, given_id, index, extras = (found.get(key) for key in ("name", "args", "id", "index", "extras"))
    if extras is not None and not isinstance(extras, Mapping):
        raise Mismatch(extras, "a mapping as 'extras'")
    extras = {key: item for key, item in (extras or {}).items() if item is not None} or None
    if not name and not given_id and args in (None, ""):
        return None  # Anthropic's streams begin a block's arguments with an empty piece
    if args is not None and not isinstance(args, str | Mapping):
        args = json.dumps(args, ensure_ascii=False)  # of another kind than arguments are: an invalid call shows them
    return ToolCall(name=_text_or_none(name), args=args, id=_text_or_none(given_id), index=index, extras=extras)


def read_usage(found: Any, *, delta: bool) -> Usage | None:
    """A mapping with the fields of `Usage`; lists of counts are added up."""
    if not isinstance(found, Mapping):
        raise Mismatch(found, "a mapping with the fields of langplug.Usage")
    fields: dict[str, Any] = {
        name: count
        for name in ("input_tokens", "output_tokens", "total_tokens")
        if (count := _count(found.get(name))) is not None
    }
    for name in ("input_token_details", "output_token_details"):
        if details := found.get(name):
            if not isinstance(details, Mapping):
                raise Mismatch(details, "mappings as details")
            fields[name] = {
                str(key): count for key, item in details.items() if (count := _count(item)) is not None
            } or None
    known = {name: value for name, value in fields.items() if value is not None}
    return Usage(**known, delta=delta) if known else None


_CONTENT_PARTS: Mapping[str, Callable[[Any], Part | None]] = {
    "reasoning": read_reasoning,
    "text": read_text,
    "blocks": read_block,
    "tool_calls": read_call,
}
"""In the order in which models say them."""


def _count(found: Any) -> int | None:
    counts = [count for count in _as_list(found) if count is not None]
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, int | float):
            raise Mismatch(count, "a number of tokens")
    total = sum(counts) if counts else -1
    # What no count can be (negative, NaN, beyond 64 bits) is unknown: it is not worth the answer.
    return int(total) if 0 <= total < 2**63 else None


def _as_list(found: Any) -> Sequence[Any]:
    if isinstance(found, list):
        return found
    return () if found is None else (found,)


def _text_or_none(value: Any) -> str | None:
    return None if value in (None, "", False) else str(value)


_DEEPEST = 4
"""How many levels of keys an error shows."""


def _outline_of(value: Any, depth: int = _DEEPEST) -> str:
    """Such as `{message: {role, calls: [{id}]}, n}`."""
    if isinstance(value, Mapping) and depth:
        items = [
            f"{key}: {inner}" if (inner := _outline_of(one, depth - 1)) else str(key) for key, one in value.items()
        ]
        return "{" + ", ".join([*items[:12], *(["…"] if len(items) > 12 else [])]) + "}"
    if isinstance(value, list) and depth:
        return f"[{_outline_of(value[0], depth - 1) if value else ''}]"
    return "" if depth < _DEEPEST else type(value).__name__
