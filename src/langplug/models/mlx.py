"""`ChatMLX`: Hugging Face models on Apple silicon, in this process. Install it with `pip install 'langplug[mlx]'`."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import Field

from langplug import Finish, Part, Request, Usage, resource
from langplug.models.gguf.header import BadWeightsError, WeightsNotFoundError
from langplug.models.transformers.folder_model import FolderModel

__all__ = ["ChatMLX"]


class ChatMLX(FolderModel):
    """A Hugging Face model, run by Apple's MLX (mlx-lm) within this process: on the GPU of a Mac, or on a CPU.

    The weights are loaded when the model is first used, and all `ChatMLX` of the same `model` share them. Calls with
    the same parameters are answered together, up to `max_batch` of them; those that come meanwhile are the next batch.
    A call that is left leaves its batch with the next token. A schema is asked for in words, and checked.

    Example:
        >>> model = ChatMLX(model="./SmolLM2-135M-Instruct")  # doctest: +SKIP
        >>> model.invoke("What is the capital of Japan?").content  # doctest: +SKIP
        'The capital of Japan is Tokyo.'

    Raises, when it is used:
        WeightsNotFoundError: There is no such model. Also a `FileNotFoundError`.
        BadWeightsError: It cannot be loaded. Also a `ValueError`.
        ContextOverflowError: The prompt does not fit into the model's context.
        ImportError: mlx-lm is not installed. The message says what to do.
    """

    max_batch: int = Field(default=16, ge=1)
    """How many calls are answered at once; more wait their turn."""

    @resource(uses=("model",), shared=True)
    def weights(self) -> "_Weights":
        """The loaded model."""
        mlx_lm = _import("mlx_lm")
        try:
            return _Weights(*mlx_lm.load(self.model))
        except FileNotFoundError as error:
            raise WeightsNotFoundError(f"The folder {self.model!r} holds no whole model: {error}") from error
        except Exception as error:  # foreign code reads foreign files, or asks the Hub, and may fail in any way
            if type(error).__module__.startswith(("huggingface_hub", "httpx", "requests")):
                raise WeightsNotFoundError(
                    f"The model {self.model!r} is neither a folder nor in the cache of the Hugging Face Hub, and could "
                    f"not be downloaded ({str(error).strip().splitlines()[0]}). Give the path of a folder, or correct "
                    "the name."
                ) from error
            raise BadWeightsError(f"mlx-lm cannot load {self.model!r}: {error}") from error

    def respond_batch(self, requests: Sequence[Request]) -> Iterator[tuple[int, Part | Exception]]:
        """Answer all at once, token by token."""
        weights = self.weights
        generate = _import("mlx_lm.generate")
        batch = generate.BatchGenerator(
            weights.network,
            stop_tokens=[[token] for token in weights.tokenizer.eos_token_ids],
            completion_batch_size=self.max_batch,
            prefill_batch_size=self.max_batch,
        )
        rows: dict[int, _Row] = {}
        for index, request in enumerate(requests):
            try:
                prompt = weights.tokens_of(self.prompt_of(request, weights.tokenizer))
                room = self.room_after(prompt)
            except Exception as error:  # noqa: BLE001 - it is this caller's, and no other's
                yield index, error
                continue
            penalties = [[self._penalty(len(prompt))]] if self.frequency_penalty or self.presence_penalty else None
            (number,) = batch.insert(
                [prompt], max_tokens=[room], samplers=[self._sampler()], logits_processors=penalties
            )
            rows[number] = _Row(index, request, len(prompt), weights.tokenizer.detokenizer)
        try:
            while rows:
                for one in batch.next_generated():
                    yield from ((rows[one.uid].index, part) for part in rows[one.uid].parts_of(one))
                    if one.finish_reason is not None:
                        del rows[one.uid]
                for number in [number for number, row in rows.items() if row.request.cancelled]:
                    batch.remove([number])
                    yield rows.pop(number).index, Finish()
        finally:
            batch.close()

    def _sampler(self) -> Callable[[Any], Any]:
        """What chooses a row's tokens, by a chance of its own: neighbours do not change what a seed gives."""
        choosing = _import("mlx_lm.sample_utils")
        if not self.temperature:
            greedy: Callable[[Any], Any] = choosing.make_sampler(temp=0)
            return greedy
        random: Any = _import("mlx.core").random
        key = random.key(self.seed if self.seed is not None else secrets.randbits(63))
        temperature, top_p, top_k, min_p = self.temperature, self.top_p, self.top_k, self.min_p

        def sample(logprobs: Any) -> Any:
            nonlocal key
            key, now = random.split(key)
            if top_p is not None and top_p < 1:
                logprobs = choosing.apply_top_p(logprobs, top_p)
            if min_p:
                logprobs = choosing.apply_min_p(logprobs, min_p)
            if top_k:
                logprobs = choosing.apply_top_k(logprobs, top_k)
            return random.categorical(logprobs / temperature, key=now)

        return sample

    def _penalty(self, prompt_tokens: int) -> Callable[[Any, Any], Any]:
        """What makes tokens of the answer less likely, as OpenAI does; mlx-lm's own counts the prompt's, too."""
        mx = _import("mlx.core")
        frequency, presence = self.frequency_penalty or 0.0, self.presence_penalty or 0.0

        def penalize(tokens: Any, logits: Any) -> Any:
            counts = mx.zeros(logits.shape[-1]).at[tokens[prompt_tokens:]].add(1)
            return logits - frequency * counts - presence * (counts > 0)

        return penalize

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of `text`, by the model's own tokenizer."""
        return super().get_token_ids(text) if self.custom_get_token_ids else self.weights.tokens_of(text)


@dataclass(frozen=True, slots=True)
class _Row:
    """One request in a batch: its place, and what makes text of its tokens."""

    index: int
    request: Request
    prompt_tokens: int
    detokenizer: Any

    def parts_of(self, given: Any) -> Iterator[Part]:
        """What a token brings; a token that ends the answer is none of its text."""
        if given.finish_reason != "stop":
            self.detokenizer.add_token(given.token)
        if given.finish_reason is None:
            yield self.detokenizer.last_segment
            return
        self.detokenizer.finalize()
        yield self.detokenizer.last_segment
        written = len(given.all_tokens) - self.prompt_tokens
        yield Usage(input_tokens=self.prompt_tokens, output_tokens=written)
        yield Finish(reason=given.finish_reason)


@dataclass(frozen=True, slots=True)
class _Weights:
    """A model in memory."""

    network: Any
    tokenizer: Any

    def tokens_of(self, prompt: str) -> list[int]:
        """A prompt's tokens; it holds the special ones that the model wants, as the template has written them."""
        ids: list[int] = self.tokenizer.encode(prompt, add_special_tokens=False)
        return ids


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"ChatMLX needs {name}, which cannot be imported ({error}). Install it with: pip install 'langplug[mlx]'. "
            "On Linux, where it is for tests, add mlx-cpu.",
            name=name,
        ) from error
