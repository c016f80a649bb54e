"""llama.cpp within this process: only this file and `compiled.py` know `xllamacpp`.

One `LlamaEngine` holds one model's weights and answers up to `parallel` requests at once by continuous batching. What
llama.cpp's server lacks is added here:

* A request that waits for one of its slots cannot be cancelled. Requests wait in a fair queue of our own instead.
* An exception raised in its callback is swallowed. None leaves ours.
* It reports errors by exception and by dict. Both become langchain-core's typed errors.
* It always opens a port on 127.0.0.1. Ours needs a key that nobody else knows.
* It gives no reason when it cannot load a file. The file is checked first.
* A call that still runs when the interpreter exits aborts the process, and a fork cannot use it. See `process.py`.
"""

import http.client
import json
import secrets
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from langchain_core.exceptions import ContextOverflowError, ModelInvalidRequestError

from langplug import Part
from langplug._answer.server_errors import error_of
from langplug._bridge.channel import Channel
from langplug._bridge.slots import Slots
from langplug._bridge.threads import spawn
from langplug._errors import advised
from langplug.models.gguf.compiled import import_compiled
from langplug.models.gguf.engine import Asked, Settings, closed_error, locate, request_tokens, usable_threads
from langplug.models.gguf.grammar import grammar_of
from langplug.models.gguf.header import (
    BadWeightsError,
    FileWatch,
    Header,
    check_file,
    read_chat_template,
    read_header,
)
from langplug.models.gguf.process import begin_use, enlist, in_flight, leak, refuse_in_fork
from langplug.models.gguf.trial import try_template

Chunk = dict[str, Any]

NAME: Final = "llama.cpp"

_HTTP_S: Final = 60.0
"""Seconds for a count of tokens. It waits while the server reads a prompt."""

_KEPT: Final = ("choices", "usage", "timings")
"""What is passed on of a chunk. The rest is the same in every chunk."""


class LlamaEngine:
    """One model in memory, loaded when it is first used. It may be used by any number of threads and event loops."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()  # the last model that uses it may be garbage-collected at any point
        self._server: LlamaServer | None = None
        self._closed = False
        self._slots = Slots(settings.parallel)
        self._open: set[Channel[Chunk]] = set()
        enlist(self)

    async def chat(self, asked: Asked) -> AsyncGenerator[Part, None]:
        """Answer with llama.cpp's own chunks.

        Closing the generator frees its slot: with the next token, or while the prompt is read, after `n_batch` tokens.

        Raises:
            ModelError: If the model cannot be loaded, or the request cannot be answered.
            ImportError: If llama.cpp cannot be imported.
        """
        body = dict(asked.body)
        if asked.schema is not None:
            body["grammar"] = grammar_of(asked.schema)
        try:
            async with aclosing(self._stream(body)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ModelInvalidRequestError as error:
            # llama.cpp makes a grammar of the tools and a parser of the template, and not every schema or template is
            # such that it can. With "none" it does neither; what calls it then leaves in the text, langplug reads.
            if "Unable to generate parser" not in str(error) or body.get("tool_choice") in (None, "none"):
                raise
        else:
            return
        async with aclosing(self._stream(body | {"tool_choice": "none"})) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _stream(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        await self._slots.acquire()
        if self._closed:  # while it waited: at the end of the process nobody has long to tell the reader so
            self._slots.release()
            raise closed_error()
        channel: Channel[Chunk] = Channel()
        try:
            spawn(lambda: self._answer(body, channel))
        except BaseException:
            self._slots.release()
            raise
        # From here on the thread releases the slot, and not before llama.cpp has left it: the next request would else
        # wait inside llama.cpp, where it cannot be cancelled.
        try:
            while (batch := await channel.atake()) is not None:
                for chunk in batch:
                    yield chunk
        finally:
            channel.close()

    def token_ids(self, text: str) -> list[int]:
        """`text` in the model's own tokens."""
        with in_flight():
            return list(self.load().post("/tokenize", {"content": text})["tokens"])

    def count_tokens(self, asked: Asked) -> int:
        """How many tokens the messages and tools of a request make as a prompt, by the chat template."""
        with in_flight():
            body = dict(asked.body)
            turns = body["messages"]
            if turns[-1]["role"] == "assistant":
                # llama.cpp would take it for the beginning of its own answer, which must be one, and without calls.
                body["messages"] = [*turns, {"role": "user", "content": ""}]
            return int(self.load().post("/v1/chat/completions/input_tokens", body)["input_tokens"])

    def load(self) -> "LlamaServer":
        """The loaded model; loading it takes seconds, once.

        Raises:
            UnsupportedError: If this process was forked from one that had used llama.cpp.
            ModelError: If the engine was closed, or the model cannot be loaded.
        """
        refuse_in_fork(NAME)
        with self._lock:
            if self._closed:
                raise closed_error()
            if self._server is None:
                server = LlamaServer(self._settings)
                if self._closed:  # meanwhile, by a garbage collection in this very thread, which holds the lock
                    raise closed_error()
                self._server = server
            return self._server

    def close(self) -> None:
        """Break off the running calls, and free the memory as soon as they have ended."""
        with self._lock:
            self._closed = True
            self._server = None
            running = list(self._open)
        for channel in running:
            channel.close()

    def disown(self) -> None:
        """In a forked child: never tear down the server, whose threads exist in the parent alone."""
        if self._server is not None:
            leak(self._server)

    def _answer(self, body: Mapping[str, Any], channel: Channel[Chunk]) -> None:
        """Run one call to its end, in a thread. It must not raise: nobody would see it there."""
        error: BaseException | None = None
        try:
            with in_flight():
                self._open.add(channel)
                if not channel.closed:  # else the reader has left while this thread was starting
                    self.load().chat(body, channel)
                if self._closed and channel.closed:
                    error = closed_error()
        except BaseException as raised:  # noqa: BLE001 - the reader raises it
            error = raised
        finally:
            self._open.discard(channel)
            self._slots.release()
            channel.finish(error)


class LlamaServer:
    """One llama.cpp server with its model loaded. Its memory is freed when nothing refers to it any more."""

    def __init__(self, settings: Settings) -> None:
        llama = import_compiled("xllamacpp")  # first: without it, downloading the weights would not help
        path = locate(settings.path)
        check_file(path)
        header = read_header(path)
        if template := settings.chat_template or read_chat_template(path):
            try_template(template)
        self._file = FileWatch(path)
        self._key = secrets.token_hex()
        params = _make_params(llama, settings, path, header, self._key)
        begin_use(NAME)
        try:
            self._server = llama.Server(params)
        except RuntimeError as error:  # it says no more than that it failed
            raise BadWeightsError(
                f"llama.cpp (xllamacpp {llama.__version__}) cannot load {str(path)!r}: the architecture "
                f"{header.architecture!r} may be new to it, the file damaged, the chat template wrong, or memory too "
                f"small for {params.n_ctx:,} tokens of context. Make the model with engine_log=True to see why."
            ) from error
        self.address = urlsplit(self._server.listening_address)

    def chat(self, body: Mapping[str, Any], channel: Channel[Chunk]) -> None:
        """Put the answer's chunks into `channel`, until it ends or nobody reads it any more."""
        self._file.check()
        errors: list[BaseException] = []

        def on_chunk(chunk: Chunk) -> bool:
            """Return whether to stop. It must not raise: llama.cpp would go on, and nobody would learn of it."""
            try:
                if "error" in chunk:
                    errors.append(to_model_error(chunk["error"]))
                    return True
                # Progress is asked for only so that a call can be left while its prompt is read.
                if "prompt_progress" in chunk:
                    return channel.closed
                return not channel.put({name: chunk[name] for name in _KEPT if name in chunk})
            except BaseException as error:  # noqa: BLE001 - raised below, out of llama.cpp's reach
                errors.append(error)
                return True

        try:
            self._server.handle_chat_completions(dict(body), on_chunk)
        except (ValueError, RuntimeError, TypeError) as error:  # before anything is generated: the request is at fault
            raise ModelInvalidRequestError(f"llama.cpp refuses the request: {error}") from error
        if errors:
            raise errors[0]

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Ask for what llama.cpp offers at its port alone."""
        connection = http.client.HTTPConnection(str(self.address.hostname), self.address.port, timeout=_HTTP_S)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise to_model_error(answer["error"])
        return answer


def to_model_error(error: Mapping[str, Any]) -> Exception:
    """langchain-core's error for one of llama.cpp's error objects."""
    if "n_prompt_tokens" in error:
        holds = f"a request holds {error['n_ctx']}, prompt and answer together"
        return advised(
            ContextOverflowError(f"The prompt has {error['n_prompt_tokens']} tokens, but {holds}. Shorten it."),
            "Or make the model with a larger `n_ctx`, which llama.cpp rounds up to a multiple of 256.",
        )
    if "Context size has been exceeded" in str(error.get("message")):
        return advised(
            ContextOverflowError("The requests that run at once have filled the context that they share."),
            "Raise `n_ctx`, lower `parallel`, or set `kv_unified=False` so that each has its own.",
        )
    return error_of(error)


def _make_params(llama: Any, settings: Settings, path: Path, header: Header, key: str) -> Any:
    """The settings in llama.cpp's words: https://github.com/ggml-org/llama.cpp/tree/master/tools/server."""
    params = llama.CommonParams()
    params.model.path = str(path)
    if settings.chat_template is not None:
        params.chat_template = settings.chat_template
    params.verbosity = 3 if settings.engine_log else -1

    # llama.cpp divides `n_ctx` among its slots, unless they share one context.
    tokens = request_tokens(settings.n_ctx, header)
    params.n_parallel = settings.parallel
    params.n_ctx = tokens if settings.kv_unified else tokens * settings.parallel
    params.kv_unified = settings.kv_unified
    params.n_batch = settings.n_batch
    params.n_ubatch = min(settings.n_batch, params.n_ubatch)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads or usable_threads()
    params.cache_ram_mib = 0  # by default it keeps up to 8 GiB of earlier conversations
    params.warmup = False  # it would run the model once, to read the file in: the first request does that too

    # Fitting the layers into a GPU's memory is useful; without a GPU it only doubles the time to load.
    kinds = llama.ggml_backend_dev_type
    gpus = (kinds.GGML_BACKEND_DEVICE_TYPE_GPU, kinds.GGML_BACKEND_DEVICE_TYPE_IGPU)
    params.fit_params = any(device["type"] in gpus for device in llama.get_device_info())
    params.n_gpu_layers = settings.gpu_layers

    # The port cannot be turned off, but it can be of no use to anybody else on this machine.
    params.api_keys = [key]
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False  # it would show what others ask
    params.n_threads_http = 1
    return params
