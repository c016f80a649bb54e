"""What an author may return or yield: the parts of an answer.

A part is one of

* `str`: text of the answer;
* `Reasoning`: text that the model thought but did not say;
* `ToolCall`: a call, whole or a fragment of one;
* `Usage`: tokens read and written; the last report counts;
* `Finish`: why the answer ended;
* a LangChain content block (a `dict` with a `"type"`: image, audio, file, ...);
* an `AIMessage` or `AIMessageChunk`;
* an OpenAI-shaped completion or chunk (a `dict` with `"choices"`).
"""

from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text that the model thought before or between what it said.

    Attributes:
        text: The thought, or the next piece of it. Pieces in a row make one block.
        extras: Provider data that has to come back on the next turn (a signature, an id).
    """

    text: str
    extras: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call, whole or in fragments.

    Ids and indices are assigned where they are missing. Fragments are put together by
    `index`, else by `id`, else in the order in which they come.

    Attributes:
        name: The tool's name; may be left out, or repeated, after the first fragment.
        args: The arguments as a mapping (a whole call), or JSON text: all of it or the next piece.
        id: The call's id, by which its result is linked to it.
        index: The call's number within the answer.
    """

    name: str | None = None
    args: Mapping[str, Any] | str | None = None
    id: str | None = None
    index: int | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens read and written so far. Each field's last report counts, so totals are never summed by accident.

    Attributes:
        input_tokens: Tokens of the prompt, cached ones included.
        output_tokens: Tokens of the answer, reasoning included.
        total_tokens: Default: input plus output.
        input_token_details: Parts of the input, such as `{"cache_read": 12}`.
        output_token_details: Parts of the output, such as `{"reasoning": 34}`.
        delta: True where this report counts only what came since the one before; such reports are added up.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_token_details: Mapping[str, int | None] | None = None
    output_token_details: Mapping[str, int | None] | None = None
    delta: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Why the answer ended. The last one counts.

    Attributes:
        reason: `"stop"`, `"length"`, `"tool_calls"`, `"content_filter"`, or the model's own word.
        stop_sequence: The stop string that ended it, if one did and the model knows which.
        metadata: More for `response_metadata`, such as a fingerprint or logprobs. Must be plain JSON data.
    """

    reason: str = "stop"
    stop_sequence: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


Part: TypeAlias = str | Reasoning | ToolCall | Usage | Finish | AIMessage | dict[str, Any]
"""One thing that an author may return or yield (`AIMessageChunk` is an `AIMessage`)."""

Answer: TypeAlias = Part | Iterator[Part] | Awaitable[Part] | AsyncIterator[Part]
"""What `respond` may give back, one for each of the four shapes of a Python function."""
