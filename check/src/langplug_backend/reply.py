"""What the backend says: a `Reply`, in the same words for every dialect."""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias

from langplug_backend.faults.fault import Fault

UsageMode = Literal["asked", "final", "last", "finish", "groq", "running", "each", "none"]
"""When a stream of the OpenAI dialect reports usage.

* `asked`: like `final`, and null in every other chunk, if the client asked for it with `stream_options`: this is what
  the API documents;
* `final`: in a chunk of its own behind the finish, with `choices: []`;
* `last`: in a chunk of its own behind the finish, with an empty delta;
* `finish`: on the chunk with the finish reason, as Mistral does;
* `groq`: on the chunk with the finish reason, inside of its `x_groq`, as Groq does;
* `running`: in every chunk, what was used so far;
* `each`: in every chunk, what was used since the one before;
* `none`: nowhere, in a whole answer neither.

The other dialects have one place for usage, and know `none` and everything else; in Anthropic's, `final` leaves the
input tokens out of the last event, as some servers do.
"""

StopMode = Literal["cut", "include", "report", "report_word", "ignore"]
"""What happens at a stop string that the request names.

* `cut`: the answer ends before it, as most servers do;
* `include`: the answer ends behind it;
* `report`: cut, and `stop_reason` holds it, as vLLM does;
* `report_word`: cut, and `__verbose.stopping_word` holds it, as llama.cpp's server does when it is verbose;
* `ignore`: the answer goes on, as with servers that know no stop strings.

A request with `include_stop_str_in_output` gets `include` in place of the three that cut.
"""

ThoughtPlace = Literal["reasoning_content", "reasoning", "tags"]
"""Where the OpenAI dialect puts reasoning: in one of two fields of the delta, or in `<think>` tags in the text."""

Body = Literal["auto", "chunked", "close", "length"]
"""How the end of a body is told: in chunks, by closing, or by length. `auto`: streams in chunks, the rest by length."""

Writes = Literal["auto", "event", "joined"]
"""How events go to the socket: one write each, or all in one. `auto`: one each where the reply is paced."""


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of reasoning.

    Attributes:
        text: The piece.
        signature: What Anthropic's dialect signs the thought with.
    """

    text: str
    _: KW_ONLY
    signature: str = "c2lnbmF0dXJl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call.

    Attributes:
        name: The tool.
        args: The arguments; a string goes out as it is, be it JSON or not.
        id: The call's id; None: one is made.
        cut: How the arguments are cut in a stream: characters in a fragment, or the lengths of the fragments (what is
            left is one more); 0: not at all.
    """

    name: str
    args: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None
    cut: int | tuple[int, ...] = 8


Piece: TypeAlias = str | Thought | Call
"""A piece of an answer. A text or thought counts as one token; a call as one for each of its fragments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Usage to report.

    Attributes:
        input: Tokens of the prompt, those from a cache included.
        output: Tokens of the answer, reasoning included.
        cached: How many of the input came from a cache.
        reasoning: How many of the output were reasoning.
    """

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, and how it is told.

    Give either `pieces`, exactly as they shall come, or any of `thinking`, `text` and `calls`, which come in this
    order; texts are cut at the words, a space belonging to the word behind it.

    Attributes:
        text: What is said.
        thinking: What is thought before.
        calls: The tools that are called.
        pieces: The pieces, in order.
        others: Texts of further answers, where `n` asks for them; what is missing is said like the first.
        finish: The finish reason, in OpenAI's words (`stop`, `length`, `tool_calls`, `content_filter`, or any other),
            translated for the other dialects; None: the one that fits.
        usage: What to report; None: input as many as the history has words, output as many as there are pieces.
        usage_mode: When usage is reported.
        stop: What happens at a stop string.
        thoughts: Where reasoning goes in the OpenAI dialect.
        model: The model's name in the answer; None: the one that was asked for.
        fingerprint: The `system_fingerprint`, where the dialect has one.
        extra: More fields for every event, and for a whole answer.
        pace: Seconds between two events.
        first: Seconds before the first event; the headers go out before.
        writes: How events go to the socket.
        body: How the end of the body is told.
        faults: What goes wrong with this answer.

    Raises:
        ValueError: If `pieces` is given beside `text`, `thinking` or `calls`.
    """

    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    pieces: tuple[Piece, ...] = ()
    others: tuple[str, ...] = ()
    finish: str | None = None
    usage: Tokens | None = None
    usage_mode: UsageMode = "asked"
    stop: StopMode = "cut"
    thoughts: ThoughtPlace = "reasoning_content"
    model: str | None = None
    fingerprint: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    pace: float = 0.0
    first: float = 0.0
    writes: Writes = "auto"
    body: Body = "auto"
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if self.pieces and (self.text or self.thinking or self.calls):
            raise ValueError("Reply() got pieces beside text, thinking or calls. Put everything into pieces.")

    def in_pieces(self) -> tuple[Piece, ...]:
        """Everything that is said, in the order in which it comes."""
        return self.pieces or (*map(Thought, words(self.thinking)), *words(self.text), *self.calls)


def words(text: str) -> list[str]:
    """A text cut at its words, each with the space before it; put together, they are the text."""
    return re.findall(r"\s*\S+|\s+\Z", text)


def in_fragments(text: str, cut: int | tuple[int, ...]) -> list[str]:
    """Arguments, cut as a `Call` says; put together, they are the text."""
    if not cut:
        return [text]
    if isinstance(cut, int):
        return [text[at : at + cut] for at in range(0, len(text), cut)]
    fragments = []
    for length in cut:
        fragments.append(text[:length])
        text = text[length:]
    return [*fragments, text] if text else fragments
