"""A reply as a real server would give it to one request: stop strings, token limits and tool choices are respected."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from langplug_backend.reply import Call, ContentPiece, Piece, Refusal, Reply, StopMode, Tokens
from langplug_backend.request import ChatRequest, RequestMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer to one request.

    Attributes:
        pieces: The pieces of the answer.
        finish: Why it ends, in OpenAI's terms.
        stopped_by: The stop string that ended it.
        usage: The tokens to report.
    """

    pieces: tuple[Piece, ...]
    finish: str
    stopped_by: str | None
    usage: Tokens

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    @property
    def refusals(self) -> list[Refusal]:
        """The pieces with which the model declines."""
        return [piece for piece in self.pieces if isinstance(piece, Refusal)]

    @property
    def calls(self) -> list[Call]:
        """The tool calls."""
        return [piece for piece in self.pieces if isinstance(piece, Call)]

    def blocks(self) -> Iterator[list[ContentPiece]]:
        """The content in blocks: texts in a row are one, and so are thoughts; each call is one."""
        content = [piece for piece in self.pieces if not isinstance(piece, Refusal)]
        for kind, run in groupby(content, type):
            if kind is Call:
                yield from ([call] for call in run)
            else:
                yield list(run)


def complete(reply: Reply, request: ChatRequest) -> list[Completion]:
    """The answers to a request, as many as its `n` says."""
    completions = []
    for text in [None, *reply.others, *[None] * request.n][: request.n]:
        one = reply if text is None else replace(reply, text=text, thinking="", refusal="", calls=(), pieces=())
        pieces = one.in_pieces()
        if request.tool_choice == "none":
            pieces = tuple(piece for piece in pieces if not isinstance(piece, Call))
        pieces, stopped_by = _cut_at_stop(pieces, reply.stop, request)
        # All but calls count against the limit, so that a test can say "two words"; a call that follows the
        # cut is never begun.
        spoken = [number for number, piece in enumerate(pieces) if not isinstance(piece, Call)]
        limit = len(spoken) if request.max_tokens is None else request.max_tokens
        limited = len(spoken) > limit
        if limited:
            pieces = pieces[: spoken[limit]]
        calls = any(isinstance(piece, Call) for piece in pieces)
        output = sum(len(piece.fragments) if isinstance(piece, Call) else 1 for piece in pieces)
        completions.append(
            Completion(
                pieces=pieces,
                finish=reply.finish or ("length" if limited else "tool_calls" if calls else "stop"),
                stopped_by=None if limited else stopped_by,
                usage=reply.usage or Tokens(input=input_tokens(request.messages), output=output),
            )
        )
    return completions


def _cut_at_stop(
    pieces: tuple[Piece, ...], mode: StopMode, request: ChatRequest
) -> tuple[tuple[Piece, ...], str | None]:
    """The pieces up to the first stop string in the text, wherever pieces cut it, and the stop string."""
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    hits = [(text.find(stop), stop) for stop in request.stop if stop and stop in text]
    if not hits or mode == "ignore":
        return pieces, None
    left, stop = min(hits)
    if mode == "include" or request.params.get("include_stop_str_in_output") is True:  # the field is vLLM's
        left += len(stop)
    kept: list[Piece] = []
    for piece in pieces:
        if not isinstance(piece, str):
            kept.append(piece)
            continue
        if left:
            kept.append(piece[:left])
        left -= min(len(piece), left)
        if not left:
            break  # thoughts and calls after the stop string are not sent either
    return tuple(kept), stop


def input_tokens(messages: tuple[RequestMessage, ...]) -> int:
    """What counts as the tokens of a history: its words."""
    # The length of `split_words`, for which white space at the end is one more word, without making the list.
    return sum(len(message.text.split()) + message.text[-1:].isspace() for message in messages)
