"""What the backend answers: a `Reply`, in the same terms for every dialect."""

import json
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias

from langplug_backend.faults.fault import Fault

UsageMode = Literal["asked", "final", "last", "finish", "groq", "running", "each", "none"]
"""When a stream of the OpenAI dialect reports usage.

* `asked`: like `final`, and null in every other chunk, if the client asked for it with `stream_options`: this is what
  the API documents;
* `final`: in a chunk of its own after the finish reason, with `choices: []`;
* `last`: in a chunk of its own after the finish reason, with an empty delta;
* `finish`: on the chunk with the finish reason, as Mistral does;
* `groq`: on the chunk with the finish reason, inside its `x_groq`, as Groq does;
* `running`: in every chunk, the total so far, as vLLM does with `continuous_usage_stats`;
* `each`: in every chunk, what was added since the one before;
* `none`: nowhere, not even in a whole answer.

The other dialects have one place for usage, and know `none` and everything else; in Anthropic's, `final` leaves the
input tokens out of the last event, as some servers do.
"""

StopMode = Literal["cut", "include", "report", "report_word", "ignore"]
"""What happens at a stop string that the request names.

* `cut`: the answer ends before it, as with most servers;
* `include`: the answer ends after it;
* `report`: cut, and `stop_reason` names it, as with vLLM;
* `report_word`: cut, and `__verbose.stopping_word` names it, as with llama.cpp's server when it is verbose;
* `ignore`: the answer goes on, as with servers that know no stop strings.

A request with `include_stop_str_in_output` gets `include` in place of the three that cut.
"""

ThoughtPlace = Literal["reasoning_content", "reasoning", "tags"]
"""Where the OpenAI dialect puts reasoning: in one of two fields of the delta, or in `<think>` tags in the text."""

Body = Literal["auto", "chunked", "close", "length"]
"""How a body ends: by a last chunk, by closing, or by its length. `auto`: only streams are chunked."""

Writes = Literal["auto", "event", "joined"]
"""How events go to the socket: one write each, or all in one. `auto`: one each if the reply has a pace."""


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """A piece of what a model says as it declines. Dialects that know no refusals send it as text.

    Attributes:
        text: The piece.
        category: Why it declines, in Anthropic's dialect, such as `cyber`; None: it does not say.
    """

    text: str
    _: KW_ONLY
    category: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call.

    Attributes:
        name: The tool.
        args: The arguments; a string is sent as it is, whether it is JSON or not.
        id: The call's id; None: one is made up.
        cut: How the arguments are cut in a stream: characters per fragment, or the lengths of the fragments (the rest
            is one more); 0: not at all.
    """

    name: str
    args: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None
    cut: int | tuple[int, ...] = 8

    @property
    def json_args(self) -> str:
        """The arguments as JSON text; a string as it is."""
        return self.args if isinstance(self.args, str) else json.dumps(dict(self.args), ensure_ascii=False)

    @property
    def parsed_args(self) -> Any:
        """The arguments as a JSON value, for dialects that send objects; a string that is not JSON as it is."""
        try:
            return json.loads(self.json_args)
        except ValueError:
            return self.args

    @property
    def fragments(self) -> list[str]:
        """`json_args`, cut as `cut` says; joined, they are the whole."""
        text = self.json_args
        if not self.cut:
            return [text]
        if isinstance(self.cut, int):
            return [text[at : at + self.cut] for at in range(0, len(text), self.cut)]
        fragments = []
        for length in self.cut:
            fragments.append(text[:length])
            text = text[length:]
        return [*fragments, text] if text else fragments


ContentPiece: TypeAlias = str | Thought | Call
"""A piece of an answer that is part of its content."""

Piece: TypeAlias = ContentPiece | Refusal
"""A piece of an answer. A call counts as one token for each of its fragments, any other piece as one."""


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

    def __sub__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            input=self.input - other.input,
            output=self.output - other.output,
            cached=self.cached - other.cached,
            reasoning=self.reasoning - other.reasoning,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, and how it is sent.

    Give either `pieces`, exactly as they are to come, or any of `thinking`, `text`, `refusal` and `calls`, which come
    in this order; texts are cut before each word, so that a space belongs to the word after it.

    Attributes:
        text: The text.
        thinking: The reasoning before it.
        refusal: With what words the model declines.
        calls: The tool calls.
        pieces: The pieces, in order.
        others: Texts of further answers, for requests with `n`; missing ones repeat the first answer.
        finish: The finish reason, in OpenAI's terms (`stop`, `length`, `tool_calls`, `content_filter`, or any other),
            translated for the other dialects; None: the one that fits.
        usage: What to report; None: an input token for each word of the history, an output token for each piece.
        usage_mode: When usage is reported.
        stop: What happens at a stop string.
        thoughts: Where reasoning goes in the OpenAI dialect.
        model: The model's name in the answer; None: the one in the request.
        fingerprint: The `system_fingerprint`, if the dialect has one.
        extra: More fields for every event, and for a whole answer.
        pace: Seconds between two events.
        first: Seconds before the first event; the headers are sent before.
        writes: How events go to the socket.
        body: How the body ends.
        faults: What goes wrong with this answer.

    Raises:
        ValueError: If `pieces` is given beside `text`, `thinking`, `refusal` or `calls`.
    """

    text: str = ""
    thinking: str = ""
    refusal: str = ""
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
        if self.pieces and (self.text or self.thinking or self.refusal or self.calls):
            raise ValueError("Reply() got pieces beside text, thinking, refusal or calls. Put everything into pieces.")

    def in_pieces(self) -> tuple[Piece, ...]:
        """The whole answer, in the order in which it is sent."""
        return self.pieces or (
            *map(Thought, split_words(self.thinking)),
            *split_words(self.text),
            *map(Refusal, split_words(self.refusal)),
            *self.calls,
        )


def split_words(text: str) -> list[str]:
    """A text cut before each word: a space belongs to the word after it, as with most tokenizers."""
    return re.findall(r"\s*\S+|\s+\Z", text)
