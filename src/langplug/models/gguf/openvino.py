"""OpenVINO GenAI within this process: only this file knows `openvino_genai`.

It reads some GGUF files (`openvino_files.py`), and answers many requests at once several times faster than llama.cpp on
a CPU. What it lacks is added here and in `batching.py`:

* A JSON schema that it cannot compile breaks it for all requests, and others it compiles to a grammar with white space
  without end. Schemas are checked first, and written as grammars of our own.
* It takes a prompt that is too long without a word, and its tokenizer cuts one off at 8,192 tokens. We count.
* It ends at one token, where a model may have several.
"""

import json
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from langchain_core.exceptions import ContextOverflowError, ModelInvalidRequestError

from langplug import Part, UnsupportedError
from langplug._bridge.channel import Channel
from langplug._bridge.slots import Slots
from langplug._bridge.threads import spawn
from langplug._errors import advised
from langplug.models.gguf.batching import Batcher, Turn, last_line
from langplug.models.gguf.compiled import import_compiled
from langplug.models.gguf.ebnf import ebnf_of
from langplug.models.gguf.engine import Asked, Settings, closed_error, locate, request_tokens, usable_threads
from langplug.models.gguf.grammar import close_objects, grammar_of
from langplug.models.gguf.header import BadWeightsError, FileWatch, check_file, read_contents, read_header
from langplug.models.gguf.openvino_files import unreadable_by_openvino
from langplug.models.gguf.process import begin_use, enlist, in_flight, leak, refuse_in_fork
from langplug.models.gguf.vocabulary import Vocabulary, encode_all

NAME: Final = "openvino"

_MOST_ENCODED: Final = 8192
"""Tokens that its tokenizer gives of one text; of a longer one it drops the beginning."""

_UNLIMITED: Final = 2**31
"""Parts that may wait for a reader: one that is slow must not keep the others waiting. There are as many as tokens."""

_BLOCK: Final = 32
"""Tokens in one block of its cache, on a CPU."""

_MEETING: Final = threading.Lock()
"""Held while OpenVINO meets numpy."""

_ENDS: Final = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "<|end|>", "</s>")
"""Tokens with which models of the families that it reads end their turn."""


class OpenVINOEngine:
    """One model in memory, loaded when it is first used. It may be used by any number of threads and event loops."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()  # the last model that uses it may be garbage-collected at any point
        self._model: OpenVINOModel | None = None
        self._closed = False
        self._slots = Slots(settings.parallel)
        self._open: set[Channel[Part]] = set()
        enlist(self)

    async def chat(self, asked: Asked) -> AsyncGenerator[Part, None]:
        """Answer with texts, what is known of their tokens, and the usage at last.

        Closing the generator frees its slot with the next step of the pipeline.

        Raises:
            ModelError: If the model cannot be loaded, or the request cannot be answered.
            ImportError: If OpenVINO cannot be imported.
            UnsupportedError: If it is asked for what OpenVINO cannot do.
        """
        await self._slots.acquire()
        if self._closed:  # while it waited: at the end of the process nobody has long to tell the reader so
            self._slots.release()
            raise closed_error()
        channel: Channel[Part] = Channel(_UNLIMITED)
        try:
            spawn(lambda: self._begin(asked, channel))
        except BaseException:
            self._slots.release()
            raise
        # From here on the slot is released where the turn ends, once the pipeline has cleared it away.
        try:
            while (batch := await channel.atake()) is not None:
                for part in batch:
                    yield part
        finally:
            channel.close()

    def token_ids(self, text: str) -> list[int]:
        """`text` in the model's own tokens."""
        with in_flight():
            return self.load().encode(text)

    def count_tokens(self, asked: Asked) -> int:
        """How many tokens the messages and tools of a request make as a prompt, by the chat template."""
        with in_flight():
            return len(self.load().encode_prompt(asked.prompt()))

    def load(self) -> "OpenVINOModel":
        """The loaded model; loading it takes seconds, once.

        Raises:
            UnsupportedError: If this process was forked from one that had used OpenVINO.
            ModelError: If the engine was closed, or the model cannot be loaded.
            ImportError: If OpenVINO cannot be imported.
        """
        refuse_in_fork(NAME)
        with self._lock:
            if self._closed:
                raise closed_error()
            if self._model is None or self._model.batcher.closed:
                model = OpenVINOModel(self._settings)
                if self._closed:  # meanwhile, by a garbage collection in this very thread, which holds the lock
                    model.batcher.close()
                    raise closed_error()
                self._model = model
            return self._model

    def close(self) -> None:
        """Break off the running calls, and free the memory as soon as they have ended."""
        with self._lock:
            self._closed = True
            model, self._model = self._model, None
        if model is not None:
            model.batcher.close()
        for channel in list(self._open):
            channel.close()

    def disown(self) -> None:
        """In a forked child: never tear down the pipeline, whose threads exist in the parent alone."""
        if self._model is not None:
            leak(self._model)

    def _begin(self, asked: Asked, channel: Channel[Part]) -> None:
        """Start to answer, in a thread: all this takes time. It must not raise: nobody would see it there."""
        try:
            with in_flight():
                self._open.add(channel)
                model = self.load()
                model.batcher.submit(model.new_turn(asked, channel, lambda: self._end(channel)))
        except BaseException as error:  # noqa: BLE001 - the reader raises it
            self._end(channel)
            channel.finish(error)

    def _end(self, channel: Channel[Part]) -> None:
        self._open.discard(channel)
        self._slots.release()


class OpenVINOModel:
    """A loaded model: its tokenizer and its pipeline."""

    def __init__(self, settings: Settings) -> None:
        self._genai = import_compiled("openvino_genai")  # first: without it, downloading the weights would not help
        self._settings = settings
        self._path = locate(settings.path)
        check_file(self._path)
        self._values = read_contents(self._path).values
        if (problem := unreadable_by_openvino(read_contents(self._path))) is not None:
            raise BadWeightsError(
                f"OpenVINO does not read {str(self._path)!r}: {problem}. Make the model with engine='llama.cpp', or "
                "leave the choice to it with engine='auto'."
            )
        header = read_header(self._path)
        self._file = FileWatch(self._path)
        asked = request_tokens(settings.n_ctx, header)
        self.request_tokens = min(asked, header.context_length or asked)  # it has no positions beyond
        begin_use(NAME)
        # OpenVINO looks for numpy when it first meets an array. Two threads that have it do so at once stop the whole
        # process: one holds the lock of a C++ static and waits for the interpreter's, the other the other way round.
        # https://pybind11.readthedocs.io/en/stable/advanced/deadlock.html
        with _MEETING:
            import_compiled("openvino").Tensor(import_compiled("numpy").zeros(1)).data  # noqa: B018
        try:
            self._tokenizer = self._genai.Tokenizer(str(self._path))
            self.batcher = Batcher(lambda: _Pipeline(self._path, self._tokenizer, settings, self.request_tokens))
        except Exception as error:
            version = self._genai.__version__.partition("-")[0]
            raise BadWeightsError(
                f"OpenVINO (openvino-genai {version}) cannot load {str(self._path)!r}: {last_line(error)}. "
                "Make the model with engine='llama.cpp'."
            ) from error
        ids = self._tokenizer.get_vocab()
        self._vocabulary = Vocabulary(ids, lambda token: self._tokenizer.decode([token], skip_special_tokens=False))
        self._is_token = range(max(ids.values()) + 1)
        ends = {self._values.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")}
        self._ends = {*ends, *(ids.get(name.encode()) for name in _ENDS)} - {None}

    # --- tokens ---

    def encode(self, text: str) -> list[int]:
        """`text` in tokens, with no token that stands for no text."""

        def encode(piece: str) -> list[int]:
            found = self._tokenizer.encode(piece, add_special_tokens=False)
            return [int(token) for token in found.input_ids.data[0]]

        try:
            return encode_all(text, encode, _MOST_ENCODED) if text else []
        except TypeError:
            raise ModelInvalidRequestError(
                "OpenVINO refuses the request: its text holds half a character (a lone surrogate)."
            ) from None

    def encode_prompt(self, prompt: str) -> list[int]:
        """A prompt in tokens; templates are rendered without the token that begins a text."""
        ids = self.encode(prompt)
        template = self._settings.chat_template or self._values.get("tokenizer.chat_template") or ""
        begins = self._values.get("tokenizer.ggml.add_bos_token", "bos_token" in template)
        first = self._values.get("tokenizer.ggml.bos_token_id")
        return [first, *ids] if begins and first is not None and ids[:1] != [first] else ids

    # --- requests ---

    def new_turn(self, asked: Asked, channel: Channel[Part], on_end: Callable[[], None]) -> Turn:
        """What is asked, ready to be run.

        Raises:
            ContextOverflowError: If the prompt does not fit.
            ValueError: If the template does not take the messages, or the schema cannot be made a grammar.
            UnsupportedError: If OpenVINO cannot do what is asked for.
        """
        self._file.check()
        body = asked.body
        if body.get("top_logprobs"):
            raise advised(
                UnsupportedError("OpenVINO tells the probability of the chosen token alone. Leave out `top_logprobs`."),
                "Or make the model with engine='llama.cpp'.",
            )
        ids = self.encode_prompt(asked.prompt())
        if len(ids) >= self.request_tokens:
            holds = f"a request holds {self.request_tokens}, prompt and answer together"
            raise advised(
                ContextOverflowError(f"The prompt has {len(ids)} tokens, but {holds}. Shorten it."),
                "Or make the model with a larger `n_ctx`.",
            )
        if not ids or not all(token in self._is_token for token in ids):
            raise ModelInvalidRequestError("The prompt is empty, or holds tokens that the model does not have.")
        return Turn(
            ids,
            self._config(asked, self.request_tokens - len(ids)),
            self._vocabulary,
            channel,
            on_end,
            runs_alone=body.get("seed") is not None and body.get("temperature") != 0,
            tells_logprobs=bool(body.get("logprobs")),
            tells_usage=bool(body.get("timings_per_token")),
        )

    def _config(self, asked: Asked, room: int) -> Any:
        """How to choose tokens, in OpenVINO's words."""
        body = asked.body
        config = self._genai.GenerationConfig()
        config.stop_token_ids = self._ends
        config.max_new_tokens = min(room, body.get("max_tokens") or room)
        config.logprobs = int(bool(body.get("logprobs")))
        config.repetition_penalty = body.get("repeat_penalty", 1.0)
        config.frequency_penalty = body.get("frequency_penalty", 0.0)
        config.presence_penalty = body.get("presence_penalty", 0.0)
        if body.get("temperature"):
            config.do_sample = True
            config.temperature = body["temperature"]
            config.top_p = body.get("top_p", 1.0) or 1e-9  # it takes no 0
            config.min_p = min(body.get("min_p", 0.0), 1 - 1e-6)  # nor a 1
            if body.get("top_k"):
                config.top_k = body["top_k"]
            given = body.get("seed")
            config.rng_seed = secrets.randbits(32) if given is None else given
        if asked.schema is not None:
            config.structured_output_config = self._grammar(asked.schema)
        return config

    def _grammar(self, schema: Any) -> Any:
        grammar_of(schema)  # it refuses, and says why
        closed = json.dumps(close_objects(schema), ensure_ascii=False)
        try:
            grammar = ebnf_of(closed)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"The JSON schema {closed} cannot be turned into a grammar: {error}. Simplify the schema."
            ) from None
        config = self._genai.StructuredOutputConfig()
        config.grammar = grammar
        return config


class _Pipeline:
    """OpenVINO's pipeline, with numbers for its requests."""

    def __init__(self, path: Path, tokenizer: Any, settings: Settings, tokens: int) -> None:
        self._openvino, self._numpy = import_compiled("openvino"), import_compiled("numpy")
        genai = import_compiled("openvino_genai")
        scheduler = genai.SchedulerConfig()
        scheduler.max_num_seqs = settings.parallel
        scheduler.max_num_batched_tokens = settings.n_batch + settings.parallel
        scheduler.num_kv_blocks = (tokens // _BLOCK + 2) * (1 if settings.kv_unified else settings.parallel)
        # A prompt that was read before would be read otherwise than one that was not, and answered otherwise.
        scheduler.enable_prefix_caching = False
        # By its own default it computes in bfloat16 where the CPU can, and keeps what it has read in eight bits: no
        # faster for many at once, and what a request is answered then depends on which others run beside it.
        options = {
            "INFERENCE_NUM_THREADS": settings.threads or usable_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f16",
        }
        self._pipeline = genai.ContinuousBatchingPipeline(str(path), tokenizer, scheduler, "CPU", **options)
        self._number = 0

    def add(self, ids: Sequence[int], config: Any) -> Any:
        """As of a `Pipeline`."""
        self._number += 1
        tensor = self._openvino.Tensor(self._numpy.array([ids], dtype=self._numpy.int64))
        return self._pipeline.add_request(self._number, tensor, config)

    def step(self) -> None:
        """As of a `Pipeline`."""
        self._pipeline.step()

    def has_work(self) -> bool:
        """As of a `Pipeline`."""
        return bool(self._pipeline.has_non_finished_requests())
