"""`ChatGGUF`: local weights, in this process, by llama.cpp or OpenVINO.

Install it with `pip install 'langplug[gguf]'`, and for many answers at once on a CPU with `'langplug[gguf,openvino]'`.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.language_models import ModelProfile
from langchain_core.messages import BaseMessage
from pydantic import Field, field_validator, model_validator

from langplug import ChatModel, Part, Request, resource
from langplug._messages.thinking import say_no_think, switch_values
from langplug._model.capabilities import StructuredOutput, ToolCalling
from langplug._model.sampling import Penalty, Probability, SamplingFields, Temperature
from langplug._model.tokens import request_to_count
from langplug.models.gguf import weights
from langplug.models.gguf.choice import Choice, EngineName, choose, make_engine
from langplug.models.gguf.engine import Asked, Engine, Settings, locate, request_tokens
from langplug.models.gguf.header import (
    BadWeightsError,
    WeightsNotFoundError,
    read_chat_template,
    read_contents,
    read_header,
)

__all__ = ["BadWeightsError", "ChatGGUF", "WeightsNotFoundError"]


_KNOWS_TOOLS = re.compile(r"\{[%{][^}]*\btools\b")
"""What a chat template that writes tools holds: a tag that reads them."""

_SETTINGS = tuple(field.name for field in fields(Settings))


@dataclass(frozen=True, slots=True)
class _File:
    """What is known of a file."""

    template: str
    architecture: str
    choice: Choice
    control_tokens: frozenset[str] = frozenset()


_FILES: dict[str | None, _File] = {}
"""What is known of each `path`, for calls on an event loop, which must not wait for a disk."""

_NO_FILE = _File("", "", Choice("llama.cpp", "There is no file yet that another engine could read."))


class ChatGGUF(SamplingFields, ChatModel):
    """A model in a GGUF file, run within this process: by llama.cpp on the CPU or a GPU, or by OpenVINO on the CPU.

    The file is loaded when the model is first used, and all `ChatGGUF`s with the same file and the same engine
    settings share it. Requests run side by side, up to `parallel` of them; more wait their turn.

    Without a `path` it is SmolLM2-135M-Instruct (Apache-2.0), which `langplug pull smollm2` downloads: small enough for
    any machine, and good for demos and tests only.

    Example:
        >>> model = ChatGGUF(temperature=0)  # doctest: +SKIP
        >>> model.invoke("What is the capital of Japan?").content  # doctest: +SKIP
        'The capital of Japan is Tokyo.'

    Raises, when it is used:
        WeightsNotFoundError: There is no such file. Also a `FileNotFoundError`.
        BadWeightsError: It cannot be loaded. Also a `ValueError`.
        ContextOverflowError: The prompt does not fit into `n_ctx`.
        ImportError: The engine is not installed, or lacks a library of the system. The message says what to do.
    """

    __langplug_gathers__ = True

    # Annotated again, or type checkers would not let a subclass set another value.
    tool_calling: ToolCalling = "native"
    """How the model is told of tools. `"native"`: llama.cpp writes them into the model's chat template and reads the
    calls. `"templated"`: they are written into the template, and langplug reads the calls, as it also does with
    OpenVINO, for a forced call or a schema, since llama.cpp would keep to neither, and where llama.cpp refuses a tool's
    schema or cannot read the template's calls. `"prompted"`: langplug writes and reads, which it also does if the
    template knows no tools."""

    structured_output: StructuredOutput = "native"

    thinking: bool | None = None
    """Whether the model reasons before it answers, where its chat template has a switch for that. Default: as the
    template has it."""

    path: str | None = None
    """The GGUF file; of a split one, the first part. Default: the weights that `langplug pull smollm2` downloads."""

    # --- sampling: each can be given for one call ---

    temperature: Temperature = 0.2
    """How much chance there is in the choice of a token; 0 takes the likeliest. Low, as suits small models."""

    top_p: Probability = 0.9
    """Choose among the likeliest tokens that have this probability together; 1 among all."""

    top_k: int = Field(default=40, ge=0)
    """Choose among this many of the likeliest tokens; 0 among all."""

    min_p: float = Field(default=0.05, ge=0, le=1)
    """Leave out tokens less likely than this fraction of the likeliest; 0 none."""

    repeat_penalty: float = Field(default=1.0, gt=0)
    """What the odds of the last 64 tokens are divided by; 1 changes nothing. A little more keeps small models from
    looping, but also from saying again what the prompt says, such as names and numbers."""

    frequency_penalty: Penalty = 0.0

    presence_penalty: Penalty = 0.0

    seed: int | None = Field(default=None, ge=0, lt=2**32 - 1)
    """The same seed gives the same answer to the same request. Default: another one each time."""

    logprobs: bool = False
    """Whether `response_metadata["logprobs"]` tells how likely each token was, as OpenAI does."""

    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """How many of the likeliest tokens in each place are told, too. Implies `logprobs`."""

    # --- the engine: another value means another engine ---

    engine: EngineName = "auto"
    """What runs the weights: `"llama.cpp"`, `"openvino"`, or `"auto"`, which takes OpenVINO where it is installed (the
    extra `openvino`) and reads the file, else llama.cpp, also if OpenVINO fails to load it. OpenVINO is several times
    faster on a CPU when many requests run at once, and reads few kinds of files; `langplug explain` says which one a
    model gets, and why. With OpenVINO a request that has a `seed` and a `temperature` runs alone, calls of tools are
    read by langplug, and `top_logprobs` cannot be told: `"auto"` has llama.cpp do that."""

    n_ctx: int | None = Field(default=None, ge=1)
    """Tokens that one request may hold, prompt and answer together. Default: what the model was trained for, 4096 at
    most. Memory is taken for `n_ctx` times `parallel` tokens."""

    parallel: int = Field(default=4, ge=1, le=256)
    """How many requests run at once."""

    kv_unified: bool = False
    """Whether all requests share one context of `n_ctx` tokens. It saves memory, but long ones can crowd each other
    out; then all of them fail with `ContextOverflowError`."""

    threads: int | None = Field(default=None, ge=1)
    """CPU threads. Default: one fewer than there are cores, since with all of them an engine all but stops as soon as
    anything else runs. For a batch job on an idle machine, give it all cores."""

    gpu_layers: int = Field(default=-1, ge=-1)
    """How many layers go to a GPU, if llama.cpp was built for one; -1 all that fit, 0 none."""

    n_batch: int = Field(default=128, ge=1)
    """Tokens of prompts that are read in one step. A call is left between steps, and others go on between them. On a
    GPU, 512 to 2048 read faster."""

    chat_template: str | None = None
    """A Jinja template in place of the file's own."""

    escape_control_tokens: bool = True
    """Whether text that names a control token of the model, such as `<|im_end|>`, stays text: a character without
    width is put into it. Else whoever writes or is quoted in a message could end its turn and begin another, as the
    system. False leaves messages as they are, for prompts that are written in the model's own markup."""

    engine_log: bool = False
    """Whether llama.cpp writes its log to stderr."""

    @field_validator("path", mode="before")
    @classmethod
    def _path_as_text(cls, path: Any) -> Any:
        return os.fspath(path) if isinstance(path, os.PathLike) else path

    @model_validator(mode="before")
    @classmethod
    def _refuse_a_file_as_model(cls, given: Any) -> Any:
        """`model="x.gguf"` would be ignored as a standard parameter, and the default weights would answer."""
        named = given.get("model") if isinstance(given, dict) else None
        if isinstance(named, os.PathLike) or (isinstance(named, str) and re.search(r"(?i)[/\\]|\.gguf$", named)):
            raise TypeError(
                f"{cls.__name__} has no `model`. The file is its `path`: {cls.__name__}(path={str(named)!r})."
            )
        return given

    @model_validator(mode="after")
    def _read_ahead(self) -> Self:
        self._read_file()
        return self

    @property
    def runs_on(self) -> Choice:
        """Which engine answers, and why."""
        if self.engine != "auto":
            return Choice(self.engine, f"The model was made with engine={self.engine!r}.")
        if self.top_logprobs:
            return Choice("llama.cpp", "`top_logprobs` asks for what llama.cpp alone tells.")
        if self.gpu_layers > 0:
            return Choice("llama.cpp", "`gpu_layers` asks for a GPU, and OpenVINO is used on the CPU alone.")
        return self._file().choice

    @resource(uses=(*_SETTINGS, "runs_on"), shared=True)
    def runtime(self) -> Iterator[Engine]:
        """The engine with the weights; they are loaded by the first request."""
        engine = make_engine(Settings(**{name: getattr(self, name) for name in _SETTINGS}), self.runs_on)
        yield engine
        engine.close()

    async def respond(self, request: Request) -> AsyncIterator[Part]:
        """Answer with the engine's own parts."""
        # llama.cpp gives reasoning apart: its text never begins inside. For OpenVINO the prompt is rendered, and tells.
        request.run.prompt_end = "nothing that opens reasoning"
        async with aclosing(self.runtime.chat(self._asked(request))) as parts:
            async for part in parts:
                yield part

    def _asked(self, request: Request) -> Asked:
        """The request in the forms that engines take."""
        return Asked(
            body=self._body(request),
            prompt=lambda: request.prompt(self._template() or "chatml"),
            schema=request.schema,
        )

    def _body(self, request: Request) -> dict[str, Any]:
        """The request as llama.cpp's server takes it: https://github.com/ggml-org/llama.cpp/tree/master/tools/server."""
        # Stop strings are left to langplug, which passes the stop text on; llama.cpp would swallow it.
        body: dict[str, Any] = {
            **self._conversation(request),
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,
            # langplug leaves at the stop string, and so never reads the chunk with the usage, which comes last.
            "timings_per_token": bool(request.stop),
            "logprobs": self.logprobs or self.top_logprobs is not None,
        }
        names = (*SamplingFields.model_fields, "top_k", "min_p", "repeat_penalty", "top_logprobs")
        return body | {name: value for name in names if (value := getattr(self, name)) is not None}

    def _conversation(self, request: Request) -> dict[str, Any]:
        """What llama.cpp makes the prompt of."""
        messages = request.openai_messages()
        said: dict[str, Any] = {}
        if self.thinking is not None:
            template = self._template()
            said["chat_template_kwargs"] = switch_values(self.thinking, template)
            messages = messages if self.thinking else say_no_think(messages, template)
        if request.tools:
            # With "none", llama.cpp writes the tools and leaves the calls in the text. It is the only choice beside
            # which it takes a grammar.
            reads = self.tool_calling == "native" and request.schema is None and request.tool_choice == "auto"
            said |= {"tools": request.openai_tools(), "tool_choice": "auto" if reads else "none"}
            if request.parallel_tool_calls is not None:
                said["parallel_tool_calls"] = request.parallel_tool_calls
        return {"messages": messages, **said}

    def __langplug_tool_calling__(self, *, kept: bool = False) -> ToolCalling:
        """As `tool_calling` says, if the template knows tools; what is kept to a grammar is read by langplug."""
        if self.tool_calling in ("native", "templated") and not _KNOWS_TOOLS.search(self._template()):
            return "prompted"
        reads_calls = self.runs_on.engine == "llama.cpp" and not kept
        return "templated" if self.tool_calling == "native" and not reads_calls else self.tool_calling

    def __langplug_control_tokens__(self) -> frozenset[str]:
        return self._file().control_tokens if self.escape_control_tokens else frozenset()

    # --- identity ---

    @property
    def reported_name(self) -> str:
        """The file's name without its suffix."""
        return Path(self.path or weights.SMOLLM2.filename).name.removesuffix(".gguf")

    @property
    def tool_format_hints(self) -> tuple[str, ...]:
        """The chat template, in which calls stand as the model learned to write them; architecture; the file's name."""
        template = self._template()
        return (template, self._file().architecture, self.reported_name)

    def _template(self) -> str:
        return self.chat_template or self._file().template

    def _file(self) -> _File:
        """What is known of the file. No event loop has to wait while it is looked at: it may have changed."""
        try:
            asyncio.get_running_loop()
            is_known = self.path in _FILES
        except RuntimeError:
            is_known = False
        if not is_known:
            self._read_file()
        return _FILES.get(self.path, _NO_FILE)

    def _read_file(self) -> None:
        # Without a file there is no answer either; whoever asks for one is told what is missing.
        with suppress(WeightsNotFoundError, BadWeightsError, OSError):
            file = locate(self.path)
            architecture = read_header(file).architecture or ""
            control_tokens = read_contents(file).control_tokens
            _FILES[self.path] = _File(read_chat_template(file) or "", architecture, choose(file), control_tokens)

    def _resolve_model_profile(self) -> ModelProfile | None:
        profile = super()._resolve_model_profile()
        if profile is not None and "max_input_tokens" not in profile:
            # A profile is made with the model, and weights may be downloaded later: then it simply does not say.
            with suppress(WeightsNotFoundError, BadWeightsError, OSError):
                profile["max_input_tokens"] = request_tokens(self.n_ctx, read_header(locate(self.path)))
        return profile

    # --- tokens ---

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of `text`, by the model's own tokenizer."""
        return self.custom_get_token_ids(text) if self.custom_get_token_ids else self.runtime.token_ids(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """How many tokens the messages make as a prompt, with `tools`, by the model's own template and tokenizer.

        A history that ends with an answer is counted with the frame of the user's message that must follow. One that
        the template refuses (results without calls, in some) is counted message by message, without the template.
        """
        if self.token_counter or self.custom_get_token_ids or not messages:
            return super().get_num_tokens_from_messages(messages, tools)
        try:
            return self.runtime.count_tokens(self._asked(request_to_count(self, messages, tools)))
        except (ValueError, ModelInvalidRequestError):
            return super().get_num_tokens_from_messages(messages, tools)
