"""Markers in the prompt: what goes wrong for models that can be given nothing else.

The last text of a user may hold markers, `[[name]]` or `[[name argument]]`. Every fault is one; the rest say what
the reply is. What is no marker stays text.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from re import finditer
from typing import TYPE_CHECKING, Any

from langplug_backend.faults.fault import Fault
from langplug_backend.faults.table import FAULTS
from langplug_backend.reply import Call, Piece, Reply, Thought, Tokens, words
from langplug_backend.request import Asked, results

if TYPE_CHECKING:
    from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A marker that says something about the reply.

    Attributes:
        usage: How it is written.
        does: What it does, in a line.
        says: The pieces that it adds, from its argument; None: it adds none.
        sets: The fields of the reply that it sets, from its argument; None: it sets none.
    """

    usage: str
    does: str
    says: Callable[[str], list[Piece]] | None = None
    sets: Callable[[str], dict[str, Any]] | None = None


def _said(text: str) -> list[Piece]:
    return list(words(text))


def _called(text: str) -> list[Piece]:
    name, _, args = text.partition(" ")
    return [Call(name=name, args=args.strip() or "{}")]


def _used(text: str) -> dict[str, Any]:
    given, _, made = text.partition(" ")
    return {"usage": Tokens(input=int(given), output=int(made))}


MARKERS: "Final[Mapping[str, Marker]]" = {
    "say": Marker(usage="[[say some words]]", does="says them", says=_said),
    "think": Marker(
        usage="[[think some words]]", does="thinks them", says=lambda text: [Thought(word) for word in words(text)]
    ),
    "call": Marker(usage='[[call add {"a": 1}]]', does="calls the tool, unless its result is there", says=_called),
    "empty": Marker(usage="[[empty]]", does="says nothing", says=lambda _: []),
    "words": Marker(
        usage="[[words 50]]",
        does="says so many words",
        says=lambda text: _said(" ".join(f"word{number}" for number in range(int(text)))),
    ),
    "pace": Marker(usage="[[pace 0.02]]", does="seconds between the events", sets=lambda text: {"pace": float(text)}),
    "finish": Marker(usage="[[finish length]]", does="the finish reason", sets=lambda text: {"finish": text}),
    "usage": Marker(usage="[[usage 12 34]]", does="tokens read and written", sets=_used),
    "usage_mode": Marker(
        usage="[[usage_mode running]]", does="when usage is reported", sets=lambda text: {"usage_mode": text}
    ),
    "stop_mode": Marker(
        usage="[[stop_mode ignore]]", does="what happens at a stop string", sets=lambda text: {"stop": text}
    ),
    "thoughts": Marker(
        usage="[[thoughts tags]]", does="where reasoning goes (OpenAI)", sets=lambda text: {"thoughts": text}
    ),
}
"""Every marker but the faults, by its name."""

_SAMPLES: Mapping[str, str] = {
    "after": "3",
    "code": "429",
    "field": "stream_options",
    "key": "sk-old",
    "retry_after": "1",
    "seconds": "0.05",
    "size": "7",
}

_READ: Mapping[str, Callable[[str], Any]] = {
    "after": int,
    "code": int,
    "field": str,
    "key": str,
    "retry_after": float,
    "seconds": float,
    "size": int,
}


def table() -> str:
    """All markers, as the table of the package's documentation."""
    rows = [(marker.usage, marker.does) for marker in MARKERS.values()]
    for name, kind in FAULTS.items():
        argument = f" {_SAMPLES[kind.takes]}" if kind.takes else ""
        rows.append((f"[[{name}{argument}]]", kind.does))
    width = max(len(usage) for usage, _ in rows)
    return "\n".join(f"{usage:<{width}}  {does}" for usage, does in rows)


def marked(asked: Asked, reply: Reply, *, plain: bool) -> tuple[Reply, list[Fault]]:
    """The reply that the markers ask for, and the faults.

    Args:
        asked: The request.
        reply: What is said where the markers do not say it.
        plain: Whether that is the prompt itself: its markers are then left out.
    """
    pieces: list[Piece] = []
    sets: dict[str, Any] = {}
    faults: list[Fault] = []
    says = False
    rest, at = "", 0
    for start, end, name, argument in _found(asked.text):
        rest, at = rest + asked.text[at:start], end
        if name in FAULTS:
            faults.append(_fault(name, argument))
            continue
        marker = MARKERS[name]
        sets |= marker.sets(argument) if marker.sets else {}
        pieces += marker.says(argument) if marker.says else []
        says = says or marker.says is not None
    rest = (rest + asked.text[at:]).strip()
    if says:
        return replace(reply, text="", thinking="", calls=(), pieces=_after_results(pieces, asked), **sets), faults
    return replace(reply, **({"text": rest, **sets} if plain else sets)), faults


def _after_results(pieces: list[Piece], asked: Asked) -> tuple[Piece, ...]:
    """No call for a second time: once its result is there, the result is what is said."""
    found = results(asked.messages)
    if not found:
        return tuple(pieces)
    kept = [piece for piece in pieces if not isinstance(piece, Call)]
    return tuple(kept or words(" ".join(found)))


def _found(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Where each marker starts and ends, its name and its argument."""
    end = 0
    for opening in finditer(r"\[\[\s*(\w+)", text):
        name = opening[1]
        if opening.start() < end or not (name in MARKERS or name in FAULTS):
            continue
        closing = _closing(text, opening.end(), name)
        if closing >= 0:
            end = closing + 2
            yield opening.start(), end, name, text[opening.end() : closing].strip()


def _closing(text: str, start: int, name: str) -> int:
    """Where the brackets close; behind the JSON, which may hold brackets too."""
    if name == "call" and (brace := text.find("{", start, text.find("]]", start))) >= 0:
        with suppress(ValueError):  # broken JSON is worth a test too: it ends at the brackets
            start = json.JSONDecoder().raw_decode(text, brace)[1]
    return text.find("]]", start)


def _fault(name: str, argument: str) -> Fault:
    takes = FAULTS[name].takes
    return Fault(kind=name, **({takes: _READ[takes](argument)} if takes and argument else {}))
