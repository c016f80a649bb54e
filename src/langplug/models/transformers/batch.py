"""Rows that are answered together, one token of each in a step. The prompts of new rows are read chunk by chunk.

transformers' `generate` takes a batch, too, but with one set of parameters, and nobody may come or leave before its
last row has ended. Here each row has its own parameters, leaves when it has ended, and others join meanwhile.

All rows have one length in the cache: shorter ones have padding on the left, which the mask hides.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from langchain_core.exceptions import ModelAPIError

from langplug.models.transformers.row import Row
from langplug.models.transformers.sampling import allow_only, choose
from langplug.models.transformers.weights import Weights


class Reading:
    """New rows whose prompts are read.

    Attributes:
        rows: The rows.
        cache: What the network has kept of the prompts so far.
        mask: 1 where a row has a token, 0 where it has padding.
        logits: Those of the first token of each answer, once all is read.
    """

    def __init__(self, weights: Weights, rows: Sequence[Row]) -> None:
        torch = weights.torch
        self.rows = list(rows)
        self.cache = weights.new_cache()
        self.logits: Any = None
        self._weights = weights
        self._read = 0
        longest = max(len(row.question.prompt) for row in rows)
        padded = [[0] * (longest - len(row.question.prompt)) + row.question.prompt for row in rows]
        self._ids = torch.tensor(padded, device=weights.device)
        starts = torch.tensor([[longest - len(row.question.prompt)] for row in rows], device=weights.device)
        places = torch.arange(longest, device=weights.device) - starts
        self.mask = (places >= 0).long()
        self._positions = places.clamp(min=0)
        self._media = self.rows[0].question.media  # of the only row, if it has any
        if self._media:
            self._positions, self.rows[0].shift = weights.positions_among(self._media, self._ids, self._positions)

    def read(self, tokens: int) -> bool:
        """Read a chunk of about so many tokens; of a prompt with images, all.

        Returns:
            Whether all is read.

        Raises:
            UnwantedError: If all rows have left meanwhile.
        """
        end = min(self._ids.shape[1], self._read + max(1, tokens // len(self.rows)))
        if self._media:
            end = self._ids.shape[1]  # each image has to be given with all tokens that stand for it
        chunk = slice(self._read, end)
        self.logits = self._weights.forward(
            self._ids[:, chunk],
            self.mask[:, :end],
            self._positions[..., chunk],
            self.cache,
            is_wanted=partial(_any_stays, self.rows),
            media=self._media,
        )
        self._read = end
        return bool(end == self._ids.shape[1])

    def drop_those_who_left(self) -> bool:
        """Go on without the rows that nobody waits for any more. Returns whether there are others."""
        staying = [number for number, row in enumerate(self.rows) if not row.has_left]
        if len(staying) < len(self.rows):
            self.rows = [self.rows[row] for row in staying]
            self._ids, self.mask, self._positions = self._ids[staying], self.mask[staying], self._positions[staying]
            _select(self.cache, staying)
        return bool(staying)


class Batch:
    """Rows that are answered, one token of each in a step.

    Attributes:
        rows: The rows.
    """

    def __init__(self, weights: Weights) -> None:
        self.rows: list[Row] = []
        self._weights = weights
        self._cache: Any = None
        self._mask: Any = None
        self._logits: Any = None

    def join(self, read: Reading) -> None:
        """Take in rows whose prompts were read."""
        if not self.rows:
            self.rows, self._cache, self._mask, self._logits = read.rows, read.cache, read.mask, read.logits
            return
        torch = self._weights.torch
        length = max(self._mask.shape[1], read.mask.shape[1])
        for layer, other in zip(self._cache.layers, read.cache.layers, strict=True):
            layer.keys = torch.cat([_pad(torch, layer.keys, length), _pad(torch, other.keys, length)])
            layer.values = torch.cat([_pad(torch, layer.values, length), _pad(torch, other.values, length)])
        self._mask = torch.cat([_pad_mask(torch, self._mask, length), _pad_mask(torch, read.mask, length)])
        self._logits = torch.cat([self._logits, read.logits])
        self.rows = self.rows + read.rows

    def step(self) -> None:
        """Choose the next token of each row, give it to whom it is for, and go on with the rows that have not ended.

        Raises:
            UnwantedError: If all rows have left meanwhile.
        """
        self._keep([number for number, row in enumerate(self.rows) if not row.has_left])
        if not self.rows:
            return
        chosen = self._choose()
        going_on = [number for number, row in enumerate(self.rows) if not row.has_left]
        self._keep(going_on)
        if not self.rows:
            return
        weights, torch = self._weights, self._weights.torch
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self.rows), 1)], -1)
        ids = torch.tensor([[chosen[number]] for number in going_on], device=weights.device)
        positions = torch.tensor([[row.position] for row in self.rows], device=weights.device)
        is_wanted = partial(_any_stays, self.rows)
        self._logits = weights.forward(ids, self._mask, positions, self._cache, is_wanted=is_wanted)

    def _choose(self) -> list[int]:
        """The next token of each row; each is added to its row. A row that fails fails alone."""
        torch = self._weights.torch
        logits = self._logits.float()  # a copy, but of float32 itself
        likely = {
            number: torch.log_softmax(logits[number], -1)
            for number, row in enumerate(self.rows)
            if row.question.top_logprobs is not None
        }
        if logits is self._logits and any(row.said or row.question.matcher for row in self.rows):
            logits = logits.clone()
        for number, row in enumerate(self.rows):
            if row.said is not None:
                row.said.penalize(logits[number])
            if row.question.matcher is not None:
                allow_only(torch, logits[number], row.question.matcher)
        is_sound = torch.isfinite(logits.amax(-1)).tolist()  # NaN, where half precision was not enough
        if not all(is_sound):
            logits = torch.nan_to_num(logits)
        samplings = [row.question.sampling for row in self.rows]
        chosen = choose(torch, logits, samplings, [row.chance for row in self.rows])
        for number, (row, token) in enumerate(zip(self.rows, chosen, strict=True)):
            if not is_sound[number]:
                row.parts.finish(ModelAPIError(_NOT_SOUND.format(dtype=self._weights.network.dtype)))
                continue
            try:
                row.add(token, likely.get(number))
            except Exception as error:  # noqa: BLE001 - the caller of this row raises it
                row.parts.finish(error)
        return chosen

    def _keep(self, rows: list[int]) -> None:
        """Go on with these rows alone, without the padding that they all have."""
        if len(rows) == len(self.rows):
            return
        self.rows = [self.rows[row] for row in rows]
        if not self.rows:
            self._cache = self._mask = self._logits = None
            return
        _select(self._cache, rows)
        self._mask, self._logits = self._mask[rows], self._logits[rows]
        padding = self._mask.shape[1] - max(int(length) for length in self._mask.sum(-1))
        if padding and self._weights.joins:
            self._mask = self._mask[:, padding:]
            for layer in self._cache.layers:
                layer.keys, layer.values = layer.keys[:, :, padding:], layer.values[:, :, padding:]


_NOT_SOUND = (
    "The network gave no numbers for the next token, as happens where {dtype} does not hold what it computes, or where "
    "the grammar of a schema leaves no token. Load it with dtype='float32', or simplify the schema."
)


def _any_stays(rows: Sequence[Row]) -> bool:
    """Whether anybody waits for the tokens of these rows."""
    return not all(row.has_left for row in rows)


def _select(cache: Any, rows: list[int]) -> None:
    """Keep these rows of a cache."""
    for layer in cache.layers:
        if layer.is_initialized:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]


def _pad(torch: Any, states: Any, length: int) -> Any:
    """Keys or values with padding on the left: they are of the shape (rows, heads, length, size)."""
    missing = length - states.shape[2]
    return torch.nn.functional.pad(states, (0, 0, missing, 0)) if missing else states


def _pad_mask(torch: Any, mask: Any, length: int) -> Any:
    missing = length - mask.shape[1]
    return torch.nn.functional.pad(mask, (missing, 0)) if missing else mask
