"""Markers in the prompt: what goes wrong, for models that can be given nothing but a prompt.

The user's last message may hold markers, `[[name]]` or `[[name argument]]`. Every fault is one; the others say what the
reply is. Whatever is not a marker stays text.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from re import finditer
from typing import Any

from langplug_backend.faults.fault import Fault
from langplug_backend.faults.table import FAULTS
from langplug_backend.reply import Call, Piece, Refusal, Reply, Thought, Tokens, split_words
from langplug_backend.request import RequestMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A marker that says something about the reply.

    Attributes:
        usage: How it is written.
        does: What it does, in a sentence.
        pieces: The pieces that it adds, from its argument; None: it adds none.
        fields: The fields of the reply that it sets, from its argument; None: it sets none.
    """

    usage: str
    does: str
    pieces: Callable[[str], list[Piece]] | None = None
    fields: Callable[[str], dict[str, Any]] | None = None


def _read_call(text: str) -> list[Piece]:
    name, _, args = text.partition(" ")
    return [Call(name=name, args=args.strip() or "{}")]


def _read_usage(text: str) -> dict[str, Any]:
    read, _, written = text.partition(" ")
    return {"usage": Tokens(input=int(read), output=int(written))}


MARKERS: Mapping[str, Marker] = {
    "say": Marker(usage="[[say some words]]", does="Says the words.", pieces=lambda text: [*split_words(text)]),
    "think": Marker(
        usage="[[think some words]]",
        does="Thinks the words.",
        pieces=lambda text: [*map(Thought, split_words(text))],
    ),
    "refuse": Marker(
        usage="[[refuse some words]]",
        does="Declines with the words.",
        pieces=lambda text: [*map(Refusal, split_words(text))],
    ),
    "call": Marker(
        usage='[[call add {"a": 1}]]',
        does="Calls the tool, unless the history ends with its result, which is then said.",
        pieces=_read_call,
    ),
    "empty": Marker(usage="[[empty]]", does="Says nothing.", pieces=lambda _: []),
    "words": Marker(
        usage="[[words 50]]",
        does="Says N words.",
        pieces=lambda text: [*split_words(" ".join(f"word{number}" for number in range(int(text))))],
    ),
    "pace": Marker(
        usage="[[pace 0.02]]", does="Waits N seconds between the events.", fields=lambda text: {"pace": float(text)}
    ),
    "finish": Marker(usage="[[finish length]]", does="Sets the finish reason.", fields=lambda text: {"finish": text}),
    "usage": Marker(usage="[[usage 12 34]]", does="Sets the tokens read and written.", fields=_read_usage),
    "usage_mode": Marker(
        usage="[[usage_mode running]]",
        does="Sets when usage is reported: `Reply.usage_mode`.",
        fields=lambda text: {"usage_mode": text},
    ),
    "stop_mode": Marker(
        usage="[[stop_mode ignore]]",
        does="Sets what happens at a stop string: `Reply.stop`.",
        fields=lambda text: {"stop": text},
    ),
    "thoughts": Marker(
        usage="[[thoughts tags]]",
        does="Sets where OpenAI's dialect puts reasoning: `Reply.thoughts`.",
        fields=lambda text: {"thoughts": text},
    ),
}
"""Every marker but the faults, by its name."""


def marker_table() -> str:
    """All markers and what they do, one per line: the list in `docs/en/guides/backend.md` and of `--markers`."""
    rows = [(marker.usage, marker.does) for marker in MARKERS.values()]
    for name, kind in FAULTS.items():
        argument = kind.argument
        usage = f"[[{name} {argument.example}]]" if argument else f"[[{name}]]"
        default = (
            "" if argument is None or argument.default is None else f" Default: {argument.default} {argument.unit}"
        )
        rows.append((usage, kind.does + (f"{default.rstrip()}." if default else "")))
    width = max(len(usage) for usage, _ in rows)
    return "\n".join(f"{usage:<{width}}  {does}" for usage, does in rows)


def apply_markers(
    text: str, reply: Reply, *, history: tuple[RequestMessage, ...] = (), echo: bool
) -> tuple[Reply, list[Fault]]:
    """The reply that the markers in a text ask for, and the faults.

    Args:
        text: The text, such as `"[[words 100]] [[pace 0.02]]"`.
        reply: The reply where the markers say nothing else.
        history: The messages of the request: a call whose result is among them is not made again.
        echo: Whether the reply repeats the text, which it then does without the markers.

    Raises:
        ValueError: If the argument of a marker cannot be read.
    """
    pieces: list[Piece] | None = None
    fields: dict[str, Any] = {}
    faults: list[Fault] = []
    rest, at = "", 0
    for start, end, name, argument in _find_markers(text):
        rest, at = rest + text[at:start], end
        if name in FAULTS:
            faults.append(Fault.from_marker(name, argument))
            continue
        marker = MARKERS[name]
        if marker.fields:
            fields |= marker.fields(argument)
        if marker.pieces:
            pieces = [*(pieces or ()), *marker.pieces(argument)]
    if pieces is None:
        said: dict[str, Any] = {"text": (rest + text[at:]).strip()} if echo else {}
        return replace(reply, **said, **fields), faults
    results = trailing_results(history)
    if results:
        # The tool has answered. An agent asks with the same prompt again, and would call it forever.
        pieces = [piece for piece in pieces if not isinstance(piece, Call)] or [*split_words(" ".join(results))]
    return replace(reply, text="", thinking="", refusal="", calls=(), pieces=tuple(pieces), **fields), faults


def trailing_results(messages: tuple[RequestMessage, ...]) -> list[str]:
    """The tool results that the history ends with, oldest first."""
    results: list[str] = []
    for message in reversed(messages):
        if not message.result:
            break
        results.insert(0, message.text)
    return results


def _find_markers(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Where each marker starts and ends, its name and its argument."""
    end = 0
    for opening in finditer(r"\[\[\s*(\w+)", text):
        name, start = opening[1], opening.end()
        if opening.start() < end or not (name in MARKERS or name in FAULTS):
            continue
        if name == "call" and (brace := text.find("{", start, text.find("]]", start))) >= 0:
            # The arguments may hold `]]` too, so the marker closes after them. With broken JSON, which is worth a test
            # as well, it closes at the first brackets.
            with suppress(ValueError):
                start = json.JSONDecoder().raw_decode(text, brace)[1]
        closing = text.find("]]", start)
        if closing >= 0:
            end = closing + 2
            yield opening.start(), end, name, text[opening.end() : closing].strip()
