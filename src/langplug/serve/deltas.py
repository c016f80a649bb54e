"""What an answer is made of on its way out. A `str` is text: the most frequent kind costs no object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning, or the next piece of it; `extras` is what its provider wants back with it."""

    text: str
    extras: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call begins; `index` tells it from the others of the answer."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next piece of a call's arguments, which are JSON text."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declines, or goes on doing so."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A standard content block of LangChain's that is none of the above, such as an image."""

    block: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the answer ended: the finish reason in the terms of chat completions, and LangChain's usage metadata."""

    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    stop_sequence: str | None = None
    logprobs: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


Delta: TypeAlias = str | Thought | CallStart | CallArguments | Refusal | Block


@dataclass(frozen=True, slots=True)
class OfChoice:
    """A delta or the ending of one of several answers to the same call; `index` counts them from 0.

    Only a writer whose wire has `n` is given these.
    """

    index: int
    delta: "Delta | Ending"
