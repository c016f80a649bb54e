"""The choice of the next token, for rows that each have parameters of their own."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

_FEW: Final = 128
"""How many of the likeliest tokens are looked at first where a row asks for no number of them: they nearly always hold
the probability that `top_p` wants, and sorting a whole vocabulary takes longer than a small model's step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a row's tokens are chosen; `ChatTransformers` says what each parameter means."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0

    @property
    def penalizes(self) -> bool:
        """Whether what was said before counts."""
        return (self.repetition_penalty, self.frequency_penalty, self.presence_penalty) != (1, 0, 0)

    @property
    def narrows(self) -> bool:
        """Whether only some of the tokens may be chosen."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0


class Said:
    """What a row has said, for its penalties: how often each token stands in the answer, and which in the prompt."""

    def __init__(self, torch: Any, sampling: Sampling, prompt: Sequence[int], vocabulary: int, device: Any) -> None:
        self._torch = torch
        self._sampling = sampling
        self._counts = torch.zeros(vocabulary, device=device)
        self._known = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._known[torch.tensor(prompt, device=device)] = True

    def add(self, token: int) -> None:
        """Count a token of the answer."""
        self._counts[token] += 1
        self._known[token] = True

    def penalize(self, logits: Any) -> None:
        """Make what was said less likely, in place.

        `repetition_penalty` counts the prompt, too, as in transformers; the others only the answer, as at OpenAI:
        https://platform.openai.com/docs/api-reference/chat/create.
        """
        sampling, known = self._sampling, self._known[: logits.shape[0]]
        if (penalty := sampling.repetition_penalty) != 1:
            lower = self._torch.where(logits < 0, logits * penalty, logits / penalty)
            logits.copy_(self._torch.where(known, lower, logits))
        counts = self._counts[: logits.shape[0]]
        logits -= sampling.frequency_penalty * counts + sampling.presence_penalty * (counts > 0)


def allow_only(torch: Any, logits: Any, matcher: Any) -> None:
    """Leave a row, in place, only the tokens that its grammar allows."""
    allowed = torch.frombuffer(bytearray(matcher.compute_logit_bias()), dtype=torch.uint8).to(logits.device)
    logits[: len(allowed)].masked_fill_(allowed == 0, -math.inf)
    logits[len(allowed) :] = -math.inf


def choose(torch: Any, logits: Any, samplings: Sequence[Sampling], chances: Sequence[random.Random]) -> list[int]:
    """The next token of each row.

    Args:
        torch: The module.
        logits: Of each row, one for each token, as float32.
        samplings: The parameters of each row.
        chances: The row's own chance, so that the same seed gives the same token whoever its neighbours are.
    """
    chosen: list[int] = logits.argmax(-1).tolist()
    by_chance = [row for row, sampling in enumerate(samplings) if sampling.temperature > 0]
    for narrows in (False, True):
        rows = [row for row in by_chance if samplings[row].narrows is narrows]
        if not rows:
            continue
        temperatures = torch.tensor([[samplings[row].temperature] for row in rows], device=logits.device)
        scaled = logits[rows] / temperatures
        probabilities = torch.softmax(scaled, -1)
        tokens = None
        if narrows:
            probabilities, tokens = _narrow(torch, probabilities, [samplings[row] for row in rows])
        reached = probabilities.cumsum(-1)
        whole = reached[:, -1:]
        draws = torch.tensor([[chances[row].random()] for row in rows], device=logits.device) * whole
        # The first at which the sum exceeds the draw: never one of probability 0, unless rounding makes the draw whole.
        draws = torch.minimum(draws, torch.nextafter(whole, torch.zeros_like(whole)))
        places = torch.searchsorted(reached, draws, right=True)
        picked = places if tokens is None else tokens.gather(-1, places)
        for row, token in zip(rows, picked[:, 0].tolist(), strict=True):
            chosen[row] = token
    return chosen


def _narrow(torch: Any, probabilities: Any, samplings: Sequence[Sampling]) -> tuple[Any, Any]:
    """The tokens among which rows choose, the likeliest first, and their probabilities; 0 where a row has fewer."""
    vocabulary = probabilities.shape[-1]
    device = probabilities.device

    def column(values: Sequence[float]) -> Any:
        return torch.tensor([[value] for value in values], device=device)

    tops = column([min(one.top_k or vocabulary, vocabulary) for one in samplings])
    wanted = column([one.top_p for one in samplings])
    least = column([one.min_p for one in samplings])
    width = min(vocabulary, max(one.top_k or _FEW for one in samplings))
    while True:
        sorted_, tokens = probabilities.topk(width)
        kept = sorted_.masked_fill(torch.arange(width, device=device) >= tops, 0)
        # of those that `top_k` leaves, which together have all the probability that there is
        total = kept.sum(-1, keepdim=True).where(tops <= width, torch.ones_like(wanted))
        before = kept.cumsum(-1) - kept
        kept = kept.masked_fill((before >= wanted * total) | (kept < least * sorted_[:, :1]), 0)
        if width == vocabulary or bool(((kept[:, -1:] == 0) | (tops <= width)).all()):
            return kept, tokens
        width = vocabulary
