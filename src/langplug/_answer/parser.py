"""One answer, from what its author yields to what LangChain is given: a push parser over all the others."""

import inspect
import json
import re
from collections.abc import AsyncIterable, Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk

from langplug._answer import from_message, from_openai, from_result
from langplug._answer.carried import Carried
from langplug._answer.json_data import PLAIN, a, to_json_data
from langplug._answer.reasoning import ReasoningSplitter, calls_at_the_end
from langplug._answer.stop import StopCutter
from langplug._answer.stream_so_far import StreamSoFar
from langplug._answer.tool_calls import CallAssembler, CallFragment, WholeCall
from langplug._answer.usage import UsageMeter
from langplug._errors import IncompleteAnswerError
from langplug._parts import Finish, Part, Reasoning, ToolCall, Usage, check_fields
from langplug._tools import CallParser, LeakParser

Piece: TypeAlias = str | Reasoning | WholeCall | CallFragment | dict[str, Any]
"""What comes out: text, reasoning, a whole tool call (before it its fragments, if asked for), or another block."""

ALLOWED = (
    "str, Reasoning, ToolCall, Usage, Finish, a content block (a dict with a 'type'), AIMessage, AIMessageChunk, "
    "ChatResult, ChatGeneration, ChatGenerationChunk, LLMResult, or an OpenAI-shaped completion or chunk (a dict or "
    "object with 'choices') or a choice, message or delta of one"
)


_CALLS = ("tool_calls", "tool_call", "tool_use", "function_call")
"""Reasons that say that the answer ends with a call."""

_FAILED = re.compile(
    r"(?<![a-z])(?:error|abort|cancel|time(?:d_)?out|fail|malformed|insufficient_system_resource|out of memory)"
    "|overload",
    re.IGNORECASE,
)
"""Words of reasons that say that the server gave the answer up: vLLM's `abort`, DeepSeek's
`insufficient_system_resource`, Zhipu's `network_error`, OpenRouter's and TGI's `error`, Gemini's
`function_call_filter: MALFORMED_FUNCTION_CALL`, `engine_overloaded`, or an error's message in the reason's place."""

_NO_REASON = ("OTHER", "FINISH_REASON_UNSPECIFIED")
"""Gemini's reasons for what it does not name: without content, they say that the answer failed. In capitals alone, as
a hook may have an `other` of its own."""

_CUT_OFF = frozenset(
    {"length", "max_tokens", "max_output_tokens", "max_length", "model_length", "content_filter"}
).union(
    {"error_limit"}  # of Cohere, for a context that is full
)
"""Reasons after which a call whose arguments have not come is not taken for one without arguments."""

_READ_AS_PARTS = ("reasoning_content", "refusal", "tool_calls")
"""What of a message's `additional_kwargs` is content, and has become parts of the answer. langchain-core makes calls of
the last, of which a stream would hold them twice."""


def is_refusal(piece: Piece) -> bool:
    """Whether it is a refusal, or a piece of one: the model declines, and says so in place of an answer."""
    return isinstance(piece, dict) and piece.get("type") == "refusal"


def is_citation(piece: Piece) -> bool:
    """Whether it is what the text before it cites: a stream says that once the text has come."""
    return isinstance(piece, dict) and piece.get("type") == "text" and not piece.get("text") and "annotations" in piece


def text_of(pieces: Iterable[Piece]) -> str:
    """The text of `pieces`, that which has sources included."""
    return "".join(
        piece if isinstance(piece, str) else str(piece.get("text") or "")
        for piece in pieces
        if isinstance(piece, str) or (isinstance(piece, dict) and piece.get("type") == "text")
    )


_MAY_BE_UNBOUNDED = re.compile(r"\d{19}|NaN|Infinity|\d[eE]\+?\d{3}")
"""What stands in arguments that hold a number beyond 64 bits, or none at all."""


class AnswerParser:
    """Parts in, clean pieces out; what is known of the answer's end is kept until then.

    Text passes through three filters, in this order: reasoning is split off, the rest is cut at a stop string, and
    calls are read out of what remains. Each holds text back while it cannot tell yet, and is flushed before anything
    but text goes on, so that the order of the answer stays.

    Attributes:
        stopped: True once a stop string was met; the source is to be closed, and all but its usage is dropped.
        runs_on: True once the source has gone on to speak after the stop string.
        reason: Why the answer ended, as the source or the stop string says; empty while unknown.
        stop_sequence: The stop string that ended it.
        metadata: More for `response_metadata`.
        additional_kwargs: More for the message's `additional_kwargs`.
        carried: Fields of the message that are to go back to the source as they came.
        id: The message's id, if the source gave one.
        dropped_calls: How many calls came beyond those that the request allows.
        leaked_calls: How many were found in the text of a model that calls tools natively.
        shows_fragments: Set it for a reader who can be shown the fragments of calls before these are whole.
    """

    def __init__(
        self,
        *,
        owner: str,
        stop: tuple[str, ...] = (),
        include_stop: bool = True,
        reasoning: ReasoningSplitter | None = None,
        calls_in_text: CallParser | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        most_calls: int | None = None,
    ) -> None:
        self.stopped = False
        self.runs_on = False
        self.reason = ""
        self.stop_sequence: str | None = None
        self.metadata: dict[str, Any] = {}
        self.additional_kwargs: dict[str, Any] = {}
        self.carried: dict[str, Any] = {}
        self.id: str | None = None
        self.dropped_calls = self.leaked_calls = 0
        self.shows_fragments = False
        self._owner = owner
        self._splitter = reasoning
        self._cutter = StopCutter(stop, include=include_stop) if stop else None
        self._call_parser = calls_in_text
        # Made when they are first needed: most answers report usage once or never, and call nothing.
        self._meter: UsageMeter | None = None
        self._assembler: CallAssembler | None = None
        self._tools = tools
        self._calls_left = most_calls
        self._called = False
        self._so_far: StreamSoFar | None = None
        self._owes_finish = False
        self._gave_none = self._gave_part = self._gave_content = False

    def feed(self, part: Any, inside: Any = None) -> Sequence[Piece]:  # noqa: C901, PLR0912 - an `if` a kind of part
        """Take one more part; return what is certain now.

        Args:
            part: The part.
            inside: The message or dict that the part was found in, if any: the one to name in errors.

        Raises:
            TypeError: If it is not a part, or a malformed one.
            ValueError: If it reports a number of tokens that cannot be one.
            ModelError: If it is an OpenAI-shaped error.
        """
        if self.stopped:
            # A source that ends at the stop string by itself still reports its usage after it.
            if isinstance(part, Usage):
                self._add_usage(part)
            elif isinstance(part, Carried):
                self.carried |= part.fields
            elif part is not None and not isinstance(part, Finish):
                self.runs_on = True
            return ()
        if type(part) is str:  # first, as most parts are
            if not self._gave_content:
                self._gave_part = True
                self._gave_content = bool(part.strip())
            if self._assembler is None or not part:
                return self._feed_text(part)
            return [*self._admit(self._assembler.completed()), *self._feed_text(part)]
        if part is None:  # an empty delta: what OpenAI's SDK has as `content` where a chunk has none
            self._gave_none = True
            return ()
        self._gave_part = True
        if isinstance(part, str):
            return self.feed(str.__str__(part), inside)  # numpy's, or an enum's member, which would print as its name
        if isinstance(part, (Reasoning, ToolCall)):
            return self._feed_whole(part, inside)
        if isinstance(part, Usage):
            self._add_usage(part)
            return ()
        if isinstance(part, Finish):
            if isinstance(part, Carried):
                self.carried |= part.fields
            if inside is None:
                self._check(part, inside)
            self._note_finish(part)
            return ()
        # Most chunks of a hook are text; to look through all that they may hold costs 15 µs.
        if type(part) is ChatGenerationChunk and (text := from_result.plain_text(part, self.id)) is not None:
            return self.feed(text, part)
        pieces: list[Piece] = []
        for one in self._split(part):
            if not isinstance(one, dict):
                pieces += self.feed(one, part)
            elif one.get("type") == "text" and one.get("text") and not self.stopped:
                pieces += self._feed_cited(one)
            else:
                pieces += self._feed_whole(one, part)
        return pieces

    def end(self) -> list[Piece]:
        """The source has ended: return what was held back.

        Raises:
            IncompleteAnswerError: If the source owed a finish reason and gave none, or one that says that it failed.
            IncompleteAnswerError: If it says that it called a tool, and there is neither a call nor text.
            TypeError: If it gave None and nothing else, or metadata that is not JSON data.
        """
        if self._gave_none and not self._gave_part:
            raise self._refusal(None)
        if self._owes_finish and not self.reason:
            raise IncompleteAnswerError(
                f"The source of {self._owner} ended without a finish reason, so its answer is not complete. "
                "What had come is this error's `partial`; asking again may help."
            )
        reason = self.reason.casefold()
        has_failed = reason not in _CUT_OFF and _FAILED.search(reason)
        if has_failed or (self.reason in _NO_REASON and not (self._gave_content or self._assembler)):
            raise IncompleteAnswerError(
                f"The answer of {self._owner.partition('.')[0]} failed: its finish reason is {self.reason!r}. "
                "What had come is this error's `partial`; asking again may help."
            )
        pieces: list[Piece] = []
        if self._so_far is not None and not self.stopped:
            pieces += [piece for part in self._so_far.rest() for piece in self.feed(part)]
        is_whole = reason not in _CUT_OFF
        pieces += self.rest(is_whole=is_whole)
        # Reasoning may end at a call, too; but a native model's server has told the two from each other itself.
        thought = self._splitter.unclosed if self._splitter and is_whole and not (self._called or self.stopped) else ""
        if thought and self._call_parser is not None and not isinstance(self._call_parser, LeakParser):
            found = [*self._call_parser.feed(thought), *self._call_parser.flush()]
            pieces += self._gather(calls_at_the_end(thought, found))
            pieces += self.rest(is_whole=True)
        self.make_plain()
        if reason in _CALLS and not (self._called or self._gave_content or self.dropped_calls):
            raise IncompleteAnswerError(
                f"The answer of {self._owner.partition('.')[0]} says that it ends with a tool call "
                f"({self.reason!r}), but it holds none, and no text. Asking again may help."
            )
        if (
            self._called
            and self.reason.casefold() in ("", "stop", "tool_call", "function_call")
            and self.stop_sequence is None
        ):
            self.reason = "tool_calls"  # servers whose calls are read out of the text say "stop"
        return pieces

    def rest(self, *, is_whole: bool = False) -> list[Piece]:
        """What is held back, for when the answer breaks off; or, if it `is_whole`, has ended."""
        pieces = self._flush_text()
        return pieces if self._assembler is None else [*pieces, *self._admit(self._assembler.flush(is_whole=is_whole))]

    def make_plain(self) -> None:
        """Make what is known of the end plain JSON data; done once, as a stream may repeat it with each chunk.

        Raises:
            TypeError: If it cannot be; what cannot is then left out.
        """
        for name in ("metadata", "additional_kwargs"):
            given: dict[str, Any] = getattr(self, name)
            plain: dict[str, Any] = {}
            setattr(self, name, plain)
            for key, value in given.items():
                try:
                    plain |= to_json_data({key: value}, name)
                except TypeError as error:
                    raise TypeError(f"{self._owner} gave metadata that is not JSON data: {error}. {PLAIN}") from error

    # --- text ---

    def _feed_text(self, text: str) -> Sequence[Piece]:
        if self._splitter is None:
            return self._cut(text)
        splits = self._splitter.feed(text)
        if len(splits) == 1:
            return self._cut(splits[0])
        return [piece for split in splits for piece in self._cut(split)]

    def _feed_cited(self, block: dict[str, Any]) -> list[Piece]:
        """Take text that has sources: it passes the filters as any other text, and its sources go with what is left."""
        whole = str(block["text"])
        pieces: list[Piece] = [] if self._assembler is None else [*self._admit(self._assembler.completed())]
        found = [*self._feed_text(whole), *self._flush_text()]
        self._gave_content = True
        after: list[Piece] = []  # calls in the text, or reasoning: the sources are those of the text before
        while found and not isinstance(found[-1], str):
            after.insert(0, found.pop())
        said = ""
        while found and isinstance(last := found[-1], str):
            said = f"{last}{said}"
            found.pop()
        cited = {**block, "text": said}
        if not whole.startswith(said):  # the server counts the places from a beginning that is gone
            cited["annotations"] = [
                {key: value for key, value in note.items() if key not in ("start_index", "end_index")}
                for note in block.get("annotations", ())
            ]
        return [*pieces, *found, cited, *after]

    def _cut(self, split: str | Reasoning) -> Sequence[Piece]:
        """Stop strings count in what the model says, not in its reasoning; and so do calls."""
        if self.stopped:
            return ()
        if isinstance(split, Reasoning):
            return [*self._flush_cutter(), split]
        if self._cutter is not None:
            split = self._cutter.feed(split)
            self._note_stop()
        return self._read_calls(split)

    def _flush_text(self) -> list[Piece]:
        """What all three filters hold back. Without any text held back this is cheap, as each part pays for it."""
        pieces: list[Piece] = []
        if self._splitter is not None and not self.stopped:
            for split in self._splitter.flush():
                pieces += self._cut(split)
        pieces += self._flush_cutter()
        return pieces

    def _flush_cutter(self) -> list[Piece]:
        """What the filters after the splitter hold back."""
        pieces: list[Piece] = []
        if self._cutter is not None and not self.stopped:
            text = self._cutter.flush()
            self._note_stop()
            pieces += self._read_calls(text)
        if self._call_parser is not None:
            pieces += self._gather(self._call_parser.flush())
        return pieces

    def _note_stop(self) -> None:
        if self._cutter is not None and self._cutter.hit is not None:
            self.stopped = True
            self.reason = "stop"
            self.stop_sequence = self._cutter.hit

    # --- what is not text ---

    def _feed_whole(self, part: Reasoning | ToolCall | dict[str, Any], inside: Any) -> list[Piece]:
        """Take reasoning, a call or a content block: it goes after the text that was held back."""
        if isinstance(self._call_parser, LeakParser) and isinstance(part, ToolCall):
            self._call_parser.turn_off()  # a server that has recognised a call has left none in the text
        pieces = self._flush_text()
        if self.stopped:  # at a stop string that could have been a longer one until now
            self.runs_on = True
        elif isinstance(part, ToolCall):
            if part.name or part.id:  # most fragments have neither, and so nothing to check
                self._check(part, inside)
            try:
                pieces += self._assemble(part)
            except TypeError as error:
                raise self._refusal(part, inside, str(error)) from error
        else:
            if isinstance(part, Reasoning) and (type(part.text) is not str or part.extras is not None):
                self._check(part, inside)
                try:
                    extras = None if part.extras is None else to_json_data(part.extras, "extras")
                except TypeError as error:
                    raise self._refusal(part, inside, f"It is malformed: {error}.") from error
                part = Reasoning(str.__str__(part.text), extras)
            if self._assembler is not None:
                pieces += self._admit(self._assembler.completed())
            self._gave_content = self._gave_content or isinstance(part, dict)
            pieces.append(part)
        return pieces

    def _read_calls(self, text: str) -> Sequence[Piece]:
        """Calls that are written in the text, taken out of it."""
        if self._call_parser is None or not text:
            return (text,) if text else ()
        found = self._call_parser.feed(text)
        if len(found) == 1 and isinstance(found[0], str):  # as nearly always
            return (found[0],) if found[0] else ()
        return self._gather(found)

    def _gather(self, found: Iterable[str | ToolCall]) -> list[Piece]:
        """The text and the calls that were found in the text, as pieces."""
        pieces: list[Piece] = []
        for one in found:
            if isinstance(one, ToolCall):
                self.leaked_calls += isinstance(self._call_parser, LeakParser)
                pieces += self._assemble(one)
            elif one:
                pieces.append(one)
        return pieces

    def _assemble(self, call: ToolCall) -> Sequence[WholeCall | CallFragment]:
        if self._assembler is None:
            self._assembler = CallAssembler({str(tool["function"]["name"]) for tool in self._tools})
        whole = self._admit(self._assembler.feed(call))
        return whole or self._assembler.last_fragments(self._calls_left) if self.shows_fragments else whole

    def _admit(self, calls: list[WholeCall]) -> list[WholeCall]:
        """Those of `calls` that the request still allows."""
        admitted = calls = [self._bounded(call) if _MAY_BE_UNBOUNDED.search(call.args) else call for call in calls]
        if self._calls_left is not None:
            admitted = calls[: self._calls_left]
            self.dropped_calls += len(calls) - len(admitted)
            self._calls_left -= len(admitted)
        self._called = self._called or bool(admitted)
        return admitted

    @staticmethod
    def _bounded(call: WholeCall) -> WholeCall:
        """`call` without numbers that no checkpointer could write, as in metadata: huge ones become text, NaN null."""
        try:
            plain = None if call.parsed is None else to_json_data(call.parsed, "args", levels=len(call.args) + 1)
        except RecursionError:
            return call
        return call if plain in (None, call.parsed) else replace(call, args=json.dumps(plain), parsed=plain)

    # --- the end ---

    def _add_usage(self, report: Usage) -> None:
        if self._meter is None:
            self._meter = UsageMeter()
        self._meter.add(report)

    def usage(self) -> UsageMetadata | None:
        """The tokens that the source reported, if it did."""
        return None if self._meter is None else self._meter.result()

    def _note_finish(self, finish: Finish) -> None:
        self.reason = str.__str__(finish.reason) if finish.reason else self.reason
        self.stop_sequence = str.__str__(finish.stop_sequence) if finish.stop_sequence else self.stop_sequence
        for name, value in finish.metadata.items():
            known = self.metadata.get(name)
            if name == "logprobs" and isinstance(known, Mapping) and isinstance(value, Mapping):
                # They come with each piece of the text, as {"content": [...], "refusal": None}.
                joined = dict(known)
                for key, more in value.items():
                    both_lists = isinstance(joined.get(key), list) and isinstance(more, list)
                    joined[key] = [*joined[key], *more] if both_lists else more or joined.get(key)
                self.metadata[name] = joined
            else:
                self.metadata[name] = value

    # --- messages, completions and blocks ---

    def _split(self, part: Any) -> Iterable[Part]:
        """The parts that `part` holds; those that are a `dict` are content blocks without a part of their own."""
        try:
            if isinstance(part, AIMessage):
                self._note_message(part)
                return list(from_message.parts_of(part))
            if isinstance(part, from_result.RESULTS):
                if isinstance(message := getattr(from_result.generation_in(part), "message", None), AIMessage):
                    self._note_message(message)
                return list(from_result.parts_of(part))
            if (completion := from_openai.completion_of(part)) is not None:
                self._so_far = self._so_far or StreamSoFar()
                parts = list(from_openai.parts_of(completion, so_far=self._so_far))
                self._owes_finish = self._owes_finish or from_openai.is_chunk(completion)
                return parts
            if isinstance(part, Mapping):
                if isinstance(part.get("type"), str):
                    return (from_message.part_of_block(part),)
                if {"name", "args"} <= part.keys():  # LangChain's `ToolCall`, of which the type may be left out
                    return (from_message.part_of_block({**part, "type": "tool_call"}),)
        except ModelError:  # an error object of the OpenAI wire, which is raised as what it is
            raise
        # The readers index as if all were well-formed. Checking every level would cost each chunk of a stream as much
        # as reading it does.
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            problem = "not iterable" in str(error) and from_openai.misplaced_in(from_openai.completion_of(part))
            raise self._refusal(part, None, f"It is malformed: {str(problem or error).rstrip('.')}.") from error
        raise self._refusal(part)

    def _note_message(self, message: AIMessage) -> None:
        more = {key: value for key, value in message.additional_kwargs.items() if key not in _READ_AS_PARTS}
        self.additional_kwargs.update(more)
        self.id = self.id or message.id

    # --- what is not a part ---

    def _check(self, part: Finish | Reasoning | ToolCall, inside: Any) -> None:
        try:
            check_fields(part)
        except TypeError as error:
            raise self._refusal(part, inside, f"It is malformed: {error}.") from None

    def _refusal(self, part: Any, inside: Any = None, why: str = "") -> TypeError:
        part = part if inside is None else inside
        try:
            shown = repr(part)
        except Exception:  # noqa: BLE001 - of a foreign object, or of data that are nested too deeply
            shown = "something without a repr"
        shown = shown if len(shown) <= 200 else f"{shown[:200]}…"
        sentences = [f"{self._owner} gave {shown} ({a(part)}).", why]
        sentences.append(f"What it may return or yield: {ALLOWED}.")
        if part is None:
            sentences.append("Is a `return` or a `yield` missing?")
        elif isinstance(part, bytes | bytearray | memoryview):
            sentences.append("Decode the bytes first; an incremental decoder keeps characters whole.")
        elif isinstance(part, list | tuple | set | frozenset | AsyncIterable | Iterator):
            sentences.append("To pass on several parts, yield each: `yield from …`, or `async for … : yield …`.")
        elif isinstance(part, Awaitable):
            sentences.append("To yield what an awaitable gives, make the function `async def` and `await` it.")
            if inspect.iscoroutine(part):
                part.close()  # else Python warns that it was never awaited
        return TypeError(" ".join(filter(None, sentences)))
