"""What an author may return or yield: the parts of an answer.

A part is one of

* `str`: text of the answer;
* `Reasoning`: what the model thought before its answer;
* `ToolCall`: a call, whole or a fragment of one;
* `Usage`: tokens read and written; the last report counts;
* `Finish`: why the answer ended;
* a LangChain content block (a `dict` with a `"type"`: image, audio, file, ...);
* an `AIMessage` or `AIMessageChunk`, or LangChain's `ChatResult`, `ChatGeneration(Chunk)` or `LLMResult` around one;
* an OpenAI-shaped completion or chunk (a `dict` or an SDK's object with `choices`), or a choice, a delta or a message
  of one;
* None, which adds nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from types import NoneType
from typing import Any, Protocol, TypeAlias, TypeVar

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatResult, Generation, LLMResult


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought before or between the parts of its answer.

    Attributes:
        text: The reasoning, or the next piece of it. Consecutive pieces make one block.
        extras: Provider data that must be sent back with the reasoning on the next turn (a signature, an id).
    """

    text: str
    extras: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call, whole or in fragments.

    Missing ids and indices are assigned. Fragments are put together by `index`, else by `id`, else in the order in
    which they come.

    Attributes:
        name: The tool's name; may be left out, or repeated, after the first fragment.
        args: The arguments as a mapping (a whole call), or JSON text: all of it or the next piece.
        id: The call's id, which links its result to it.
        index: The call's number within the answer.
        extras: Provider data that must be sent back with the call on the next turn, such as Gemini's thought
            signature. The message keeps it, and `request.openai_messages()` writes it into the call again.
    """

    name: str | None = None
    args: Mapping[str, Any] | str | None = None
    id: str | None = None
    index: int | str | None = None
    extras: Mapping[str, Any] | None = None


# The counts below default to None and not to 0: "not reported here" must not overwrite what an earlier report said.
@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens read and written so far. The last report of each field counts, so totals are never summed by accident.

    Attributes:
        input_tokens: Tokens of the prompt, cached ones included.
        output_tokens: Tokens of the answer, reasoning included.
        total_tokens: Default: input plus output.
        input_token_details: Parts of the input, such as `{"cache_read": 12}`.
        output_token_details: Parts of the output, such as `{"reasoning": 34}`.
        delta: True if this report counts only what came since the previous one; such reports are added up.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_token_details: Mapping[str, int | None] | None = None
    output_token_details: Mapping[str, int | None] | None = None
    delta: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """What is known of the answer's end. Several add up: the last statement about each thing counts.

    Attributes:
        reason: `"stop"`, `"length"`, `"tool_calls"`, `"content_filter"`, or the model's own word. None says nothing
            about it: a reason that was given before stays.
        stop_sequence: The stop string that ended the answer, if one did and the model knows which.
        metadata: More for `response_metadata`, such as a fingerprint or logprobs. JSON data, or what has a plain form
            as such: dates, enums, dataclasses, pydantic models, numpy's scalars and arrays. Else it is a `TypeError`.
    """

    # Not "stop": `Finish(metadata=...)` after `Finish(reason="length")` would take the truncation back.
    reason: str | None = None
    stop_sequence: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


Part: TypeAlias = str | Reasoning | ToolCall | Usage | Finish | AIMessage | dict[str, Any]
"""One thing that an author may return or yield (`AIMessageChunk` is an `AIMessage`)."""


class HasChoices(Protocol):
    """What the SDKs of OpenAI and its kin give: a completion or a chunk."""

    @property
    def choices(self) -> Any:
        """The answers, or their next pieces."""
        ...


_Whole: TypeAlias = Part | ChatResult | LLMResult | Generation | HasChoices
_Stream: TypeAlias = Iterator[_Whole | None] | AsyncIterator[_Whole | None]

Answer: TypeAlias = _Whole | _Stream | Awaitable[_Whole | _Stream]
"""What `respond` may return: one form for each of the four shapes of a Python function.

At run time all of them are followed, in any order: an `async def` may return an iterator, a plain `def` an awaitable.
"""

_Many: TypeAlias = (
    Sequence[_Whole | BaseException]
    | Iterator[tuple[int, _Whole | BaseException | None]]
    | AsyncIterator[tuple[int, _Whole | BaseException | None]]
)

Answers: TypeAlias = _Many | Awaitable[_Many]
"""What `respond_batch` may return: a list with an answer for each request, in their order, or an iterator of pairs of a
request's index and a part of its answer, which ends with its `Finish` or with the iterator.

An exception in the place of an answer is raised by the call that it stands for, and by no other.
"""

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "text": str,
    "extras": (Mapping, NoneType),
    "name": (str, NoneType),
    "id": (str, NoneType),
    "reason": (str, NoneType),
    "stop_sequence": (str, NoneType),
    "metadata": Mapping,
}
# `index` and `args` are missing on purpose: any index serves to tell calls apart, and any JSON may stand for arguments.

Checked = TypeVar("Checked", bound=Reasoning | ToolCall | Finish)


def check_fields(part: Checked) -> Checked:
    """Return `part`, or raise a `TypeError` that names the first of its fields with a value of the wrong type."""
    kind: Any = type(part)  # mypy takes a class for unhashable whose instances are
    for name, expected in _types_in(kind):
        value = getattr(part, name)
        if not isinstance(value, expected):
            raise TypeError(f"its {name} is {value!r}")
    return part


@cache
def _types_in(cls: type[Reasoning | ToolCall | Finish]) -> list[tuple[str, Any]]:
    """The fields of a kind of parts that have a type to be checked; to look them up costs more than the check."""
    return [(each.name, _TYPES[each.name]) for each in fields(cls) if each.name in _TYPES]
