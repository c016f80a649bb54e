"""A reply as a real server would give it to one request: stop strings, token limits and tool choices honoured."""

import json
from dataclasses import dataclass, replace

from langplug_backend.reply import Call, Piece, Reply, Tokens, in_fragments, words
from langplug_backend.request import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer to one request.

    Attributes:
        pieces: What is said.
        finish: Why it ends, in OpenAI's words.
        stopped_by: The stop string that ended it.
        usage: The tokens to report.
    """

    pieces: tuple[Piece, ...]
    finish: str
    stopped_by: str | None
    usage: Tokens

    @property
    def text(self) -> str:
        """All that is said."""
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    @property
    def calls(self) -> list[Call]:
        """The tools that are called."""
        return [piece for piece in self.pieces if isinstance(piece, Call)]


def turns(reply: Reply, asked: Asked) -> list[Turn]:
    """The answers to a request, as many as it asks for."""
    texts = [None, *reply.others, *[None] * asked.n][: asked.n]
    return [_turn(reply if text is None else _instead(reply, text), asked) for text in texts]


def _instead(reply: Reply, text: str) -> Reply:
    return replace(reply, text=text, thinking="", calls=(), pieces=())


def _turn(reply: Reply, asked: Asked) -> Turn:
    pieces = reply.in_pieces()
    if asked.tool_choice == "none":
        pieces = tuple(piece for piece in pieces if not isinstance(piece, Call))
    pieces, stopped_by = _stopped(pieces, reply, asked)
    limited = _limited(pieces, asked.max_tokens)
    fitting = "length" if limited != pieces else "tool_calls" if _calls(pieces) else "stop"
    return Turn(
        pieces=limited,
        finish=reply.finish or fitting,
        stopped_by=None if limited != pieces else stopped_by,
        usage=reply.usage or Tokens(input=input_tokens(asked), output=sum(map(tokens_in, limited))),
    )


def _calls(pieces: tuple[Piece, ...]) -> bool:
    return any(isinstance(piece, Call) for piece in pieces)


def _stopped(pieces: tuple[Piece, ...], reply: Reply, asked: Asked) -> tuple[tuple[Piece, ...], str | None]:
    """Pieces up to the first stop string in the text, and which one it is."""
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    hits = [(text.find(stop), stop) for stop in asked.stop if stop and stop in text]
    if not hits or reply.stop == "ignore":
        return pieces, None
    at, stop = min(hits)
    included = reply.stop == "include" or asked.params.get("include_stop_str_in_output") is True
    return _until(pieces, at + len(stop) * included), stop


def _until(pieces: tuple[Piece, ...], length: int) -> tuple[Piece, ...]:
    """Pieces up to so many characters of text; nothing that comes behind them."""
    kept: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str):
            kept += [piece[:length]] if length else []
            length -= min(len(piece), length)
            if not length:
                break
        else:
            kept.append(piece)
    return tuple(kept)


def _limited(pieces: tuple[Piece, ...], most: int | None) -> tuple[Piece, ...]:
    """As many texts and thoughts as there may be tokens, and no call behind a cut."""
    spoken = [number for number, piece in enumerate(pieces) if not isinstance(piece, Call)]
    if most is None or len(spoken) <= most:
        return pieces
    return pieces[: spoken[most]]


def arguments(call: Call) -> str:
    """A call's arguments as JSON text, or the text that it was given."""
    return call.args if isinstance(call.args, str) else json.dumps(dict(call.args), ensure_ascii=False)


def tokens_in(piece: Piece) -> int:
    """How many tokens a piece counts as."""
    return len(in_fragments(arguments(piece), piece.cut)) if isinstance(piece, Call) else 1


def input_tokens(asked: Asked) -> int:
    """Words of the history: what counts as its tokens."""
    return sum(len(words(said.text)) for said in asked.messages)
