"""One request in a batch: what it asks for, and its answer so far."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langplug import Finish, Part, Usage
from langplug._bridge.channel import Channel
from langplug.models.transformers.sampling import Said, Sampling
from langplug.models.transformers.weights import Weights

_BROKEN = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are no character yet."""


class TextOfTokens:
    """Tokens as text, piece by piece: together the pieces are what all tokens are at once, and none breaks a character.

    Args:
        decode: The text of some tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        # What a token is depends on the one before it: many tokenizers drop a blank at the beginning of a text. So a
        # piece is decoded together with the one before it.
        self._before = 0
        self._given = 0

    def add(self, token: int) -> str:
        """The text that `token` completes; empty while its last character is not whole."""
        self._ids.append(token)
        piece = self._rest()
        if not piece or piece.endswith(_BROKEN):
            return ""
        self._before, self._given = self._given, len(self._ids)
        return piece

    def end(self) -> str:
        """What is left after the last token."""
        rest = self._rest()
        self._given = len(self._ids)
        return rest

    def _rest(self) -> str:
        known = self._decode(self._ids[self._before : self._given])
        return self._decode(self._ids[self._before :])[len(known) :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a row asks for.

    Attributes:
        prompt: The tokens of the prompt.
        sampling: How tokens are chosen.
        max_tokens: How many tokens the answer may have.
        stop_ids: The tokens that end it.
        seed: Makes the choice repeatable.
        matcher: llguidance's, of an answer that must keep to a grammar.
        top_logprobs: How many tokens' probabilities are told in each place, besides the chosen one's; None: not any.
        media: What the network is given of the prompt's images, beside their tokens.
        counts: Whether usage is told with each token, since the reader may leave before the end.
    """

    prompt: list[int]
    sampling: Sampling
    max_tokens: int
    stop_ids: frozenset[int]
    seed: int | None = None
    matcher: Any = field(default=None, repr=False)
    top_logprobs: int | None = None
    media: Mapping[str, Any] = field(default_factory=dict, repr=False)
    counts: bool = False


class Row:
    """One request and its answer so far; used by the thread alone that runs the batch.

    Attributes:
        question: What is asked for.
        parts: Where the parts of the answer go; its reader may leave at any time.
        chance: The row's own random numbers.
        said: What was said so far, if penalties ask for it.
        tokens: The answer's tokens.
        is_read_alone: Whether its prompt is to be read alone: it has images, or reading it with others has failed.
        shift: How much further its places count than its tokens; negative where an image takes fewer places.
    """

    def __init__(self, weights: Weights, question: Question, parts: Channel[Part]) -> None:
        self.question = question
        self.parts = parts
        self.chance = random.Random(question.seed)  # noqa: S311 - for texts, not for keys
        self.tokens: list[int] = []
        self.is_read_alone = bool(question.media)
        self.shift = 0
        self.said: Said | None = None
        if question.sampling.penalizes:
            self.said = Said(weights.torch, question.sampling, question.prompt, weights.vocabulary, weights.device)
        self._weights = weights
        self._text = TextOfTokens(weights.text_of)

    @property
    def has_left(self) -> bool:
        """Whether nobody reads the answer any more, or it has ended."""
        return self.parts.closed or self.parts.finished

    @property
    def position(self) -> int:
        """The place of its last token, as the network counts."""
        return len(self.question.prompt) + len(self.tokens) - 1 + self.shift

    def add(self, token: int, likely: Any) -> None:
        """Add a token to the answer, and end it if it is the last.

        Args:
            token: The token.
            likely: The logarithms of all tokens' probabilities in its place; None: they are not asked for.
        """
        self.tokens.append(token)
        question = self.question
        if self.said is not None:
            self.said.add(token)
        if token in question.stop_ids:
            self._end("stop")
            return
        if likely is not None and question.top_logprobs is not None:
            values, ids = likely.topk(question.top_logprobs)
            others = [self._token(*one) for one in zip(ids.tolist(), values.tolist(), strict=True)]
            told = {**self._token(token, float(likely[token])), "top_logprobs": others}
            self.parts.put(Finish(metadata={"logprobs": {"content": [told]}}))
        if text := self._text.add(token):
            self.parts.put(text)
        if question.matcher is not None:
            question.matcher.consume_token(token)
            if question.matcher.is_stopped():
                self._end("stop")
                return
        if len(self.tokens) >= question.max_tokens:
            self._end("length")
        elif question.counts:
            self.parts.put(self._usage())

    def _end(self, reason: str) -> None:
        if rest := self._text.end():
            self.parts.put(rest)
        self.parts.put(self._usage())
        self.parts.put(Finish(reason=reason))
        self.parts.finish()

    def _usage(self) -> Usage:
        return Usage(input_tokens=len(self.question.prompt), output_tokens=len(self.tokens))

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text = self._weights.text_of([token])
        return {"id": token, "token": text, "bytes": list(text.encode()), "logprob": logprob}
