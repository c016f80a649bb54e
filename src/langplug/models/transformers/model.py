"""`ChatTransformers`: Hugging Face models, in this process. Install it with `pip install 'langplug[transformers]'`."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import fields
from typing import Any

from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import BaseMessage
from pydantic import Field, field_validator, model_validator

from langplug import Part, Request, resource
from langplug._messages.blocks import modality_of
from langplug._model.capabilities import StructuredOutput
from langplug._model.tokens import request_to_count
from langplug.models.gguf.grammar import grammar_of
from langplug.models.transformers.engine import Engine
from langplug.models.transformers.folder_model import FolderModel, folder_of
from langplug.models.transformers.images import images_of
from langplug.models.transformers.row import Question
from langplug.models.transformers.sampling import Sampling
from langplug.models.transformers.weights import Settings, Weights, import_package

__all__ = ["ChatTransformers"]

_ENGINE_FIELDS = tuple(field.name for field in fields(Settings))

_SAMPLING = tuple(field.name for field in fields(Sampling))


class ChatTransformers(FolderModel):
    """A Hugging Face model, run by transformers within this process, on a CPU or a GPU.

    The weights are loaded when the model is first used, and all `ChatTransformers` with the same weights and engine
    settings share them. Calls are answered together, up to `max_batch` of them, whatever their parameters: a call
    begins with the next token of those that run, and leaves when it has ended.

    The model is one that generates text from text (`AutoModelForCausalLM`), or from text and images
    (`AutoModelForImageTextToText`).

    Example:
        >>> model = ChatTransformers(model="./SmolLM2-135M-Instruct")  # doctest: +SKIP
        >>> model.invoke("What is the capital of Japan?").content  # doctest: +SKIP
        'The capital of Japan is Tokyo.'

    Raises, when it is used:
        WeightsNotFoundError: There is no such model. Also a `FileNotFoundError`.
        BadWeightsError: It cannot be loaded. Also a `ValueError`.
        ContextOverflowError: The prompt does not fit into the model's context.
        ImportError: torch or transformers is not installed. The message says what to do.
    """

    __langplug_gathers__ = True

    # Annotated again, or type checkers would not let a subclass set another value.
    structured_output: StructuredOutput = "native"

    # --- sampling: each can be given for one call. Default: as the model's generation_config.json has it ---

    repetition_penalty: float | None = Field(default=None, gt=0)
    """What the odds of tokens that stand in the prompt or the answer are divided by; 1 changes nothing."""

    stop_token_ids: tuple[int, ...] = ()
    """Tokens that end an answer, besides those that the model ends it with by itself."""

    logprobs: bool = False
    """Whether `response_metadata["logprobs"]` tells how likely each token was, as OpenAI does: by the network, before
    temperature, penalties and schemas."""

    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """How many of the likeliest tokens in each place are told, too. Implies `logprobs`."""

    # --- the engine: another value means another engine ---

    adapter: str | None = None
    """A folder with a LoRA adapter, or its name on the Hub; needs `peft`. It is merged into the weights."""

    device_map: str | dict[str, Any] | None = None
    """Where the network runs: `"cpu"`, `"cuda:1"`, `"auto"`, or a map of its layers. Default: on the GPUs, if there are
    any, else on the CPU."""

    dtype: str = "auto"
    """In what numbers it computes, such as `"float32"` or `"bfloat16"`. `"auto"`: as the weights are saved."""

    max_batch: int = Field(default=16, ge=1)
    """How many calls are answered at once; more wait their turn."""

    prefill_chunk: int = Field(default=64, ge=1)
    """Tokens of prompts that are read in one step while others wait for their next token; while nobody does, sixteen
    times as many. On a GPU, 512 and more read faster."""

    threads: int | None = Field(default=None, ge=1)
    """CPU threads. Default: one fewer than there are cores. It is torch's own setting, for the whole process."""

    trust_remote_code: bool = False
    """Whether Python code that comes with the model may be run. Only for a model whose code you have read."""

    load_options: dict[str, Any] = Field(default_factory=dict)
    """More arguments of transformers' `from_pretrained`, such as `revision` or `quantization_config`."""

    @field_validator("adapter", mode="before")
    @classmethod
    def _adapter_as_text(cls, path: Any) -> Any:
        return os.fspath(path) if isinstance(path, os.PathLike) else path

    @model_validator(mode="before")
    @classmethod
    def _look_at_the_folder(cls, given: Any) -> Any:
        """Read it now, as calls on an event loop must not wait for a disk; and take images if the model does."""
        named = given.get("model") if isinstance(given, dict) else None
        if isinstance(named, str | os.PathLike):
            folder = folder_of(os.fspath(named))
            if folder.takes_images and not cls.model_fields["accepts"].default:
                return {"accepts": frozenset({"image"}), **given}
        return given

    @resource(uses=_ENGINE_FIELDS, shared=True)
    def engine(self) -> Iterator[Engine]:
        """The loaded model and its queue; `load` and `aload` wait until it is loaded, which the first call does."""
        engine = Engine(Settings(**{name: getattr(self, name) for name in _ENGINE_FIELDS}))
        yield engine
        engine.close()

    async def respond(self, request: Request) -> AsyncIterator[Part]:
        """Answer together with whoever else asks the same weights."""
        async with aclosing(self.engine.answer(lambda weights: self._question(request, weights))) as parts:
            async for part in parts:
                yield part

    def _question(self, request: Request, weights: Weights) -> Question:
        """What the engine is asked.

        Raises:
            ModelInvalidRequestError: If the chat template or the grammar cannot hold the request.
            ContextOverflowError: If the prompt leaves no room for an answer.
        """
        weights.check_files()
        try:
            prompt, media = self._tokens(request, weights)
            if request.schema is not None:
                import_package("llguidance")  # which says which extra it belongs to
            matcher = None if request.schema is None else weights.matcher(grammar_of(request.schema))
        except ValueError as error:
            raise ModelInvalidRequestError(str(error)) from error
        return Question(
            prompt=prompt,
            media=media,
            sampling=self._sampling(weights),
            max_tokens=self.room_after(prompt),
            stop_ids=weights.stop_ids.union(self.stop_token_ids),
            seed=self.seed,
            matcher=matcher,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs or self.top_logprobs is not None else None,
            # langplug leaves at the stop string, and so never reads the usage, which comes last.
            counts=bool(request.stop),
        )

    def _sampling(self, weights: Weights) -> Sampling:
        """This model's parameters, in place of those that its weights come with."""
        chosen: dict[str, Any] = {}
        for name in _SAMPLING:
            value = getattr(self, name)
            if value is None and (name != "temperature" or weights.defaults.do_sample):
                value = getattr(weights.defaults, name, None)
            chosen |= {} if value is None else {name: value}
        if self.temperature is None and weights.defaults.do_sample:
            chosen.setdefault("temperature", 1.0)
        return Sampling(**chosen)

    def _tokens(self, request: Request, weights: Weights) -> tuple[list[int], dict[str, Any]]:
        """The prompt's tokens, and what the network is given of its images."""
        if not self.accepts:
            return weights.tokens_of(self.prompt_of(request, weights.tokenizer)), {}
        images = images_of(request.openai_messages())
        prompt = self.prompt_of(request, weights.tokenizer)
        return weights.read_images(prompt, images) if images else (weights.tokens_of(prompt), {})

    # --- tokens ---

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of `text`, by the model's own tokenizer; by an estimate where transformers is not installed."""
        if self.custom_get_token_ids or (weights := self._weights_to_count()) is None:
            return super().get_token_ids(text)
        return weights.tokens_of(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """How many tokens the messages make as a prompt, with `tools`, by the model's own template and tokenizer.

        A history that the template refuses, or with what the model does not take, is counted message by message,
        without the template.
        """
        blocks = (block for message in messages if isinstance(message.content, list) for block in message.content)
        kinds = {modality_of(block) for block in blocks if isinstance(block, dict)}
        own = not self.token_counter and not self.custom_get_token_ids
        if not kinds.intersection(_MEDIA) - self.accepts and own and (weights := self._weights_to_count()) is not None:
            with suppress(ValueError, ModelInvalidRequestError):
                return len(self._tokens(request_to_count(self, messages, tools), weights)[0])
        return super().get_num_tokens_from_messages(messages, tools)

    def _weights_to_count(self) -> Weights | None:
        with suppress(ImportError):
            return self.engine.load()
        return None


_MEDIA = ("image", "audio", "video", "file")
