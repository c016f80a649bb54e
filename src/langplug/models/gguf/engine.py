"""llama.cpp within this process: only this file and `compiled.py` know `xllamacpp`.

One `Engine` holds one model's weights and answers up to `parallel` requests at once by continuous batching. What
llama.cpp's server lacks is added here:

* A request that waits for one of its slots cannot be cancelled. Requests wait in a fair queue of our own instead.
* An exception raised in its callback is swallowed. None leaves ours.
* It reports errors by exception and by dict. Both become langchain-core's typed errors.
* It always opens a port on 127.0.0.1. Ours needs a key that nobody else knows.
* It gives no reason when it cannot load a file. The file is checked first.
* A process forked from one that has used it can neither use it nor exit cleanly. See `_after_fork`.
* A call that still runs when the interpreter exits aborts the process. Calls are ended before. See `_at_exit`.
"""

import atexit
import ctypes
import http.client
import json
import os
import secrets
import threading
import weakref
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from langchain_core.exceptions import ContextOverflowError, ModelAPIError, ModelInvalidRequestError

from langplug import UnsupportedError
from langplug._answer.server_errors import error_of
from langplug._bridge.channel import Channel
from langplug._bridge.forks import in_forked_child
from langplug._bridge.slots import Slots
from langplug._bridge.threads import spawn, usable_cores
from langplug.models.gguf import weights
from langplug.models.gguf.compiled import import_compiled
from langplug.models.gguf.header import BadWeightsError, Header, WeightsNotFoundError, check_file, read_header

Chunk = dict[str, Any]

LONGEST_DEFAULT: Final = 4096
"""Tokens that a request may hold by default; many models could take more than memory can."""

_EXIT_S: Final = 10.0
"""Seconds that calls get to end when the interpreter exits. Each ends with its next token."""

_HTTP_S: Final = 60.0
"""Seconds for a count of tokens. It waits while the server reads a prompt."""

_KEPT: Final = ("choices", "usage", "timings")
"""What is passed on of a chunk. The rest is the same in every chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an engine is made from; `ChatGGUF` says what each setting means."""

    path: str | None
    n_ctx: int | None
    parallel: int
    kv_unified: bool
    threads: int | None
    gpu_layers: int
    n_batch: int
    chat_template: str | None
    engine_log: bool


# --- defaults ---


def locate(path: str | None) -> Path:
    """The weights file: `path`, or by default what `langplug pull` downloaded.

    Raises:
        WeightsNotFoundError: If nothing was downloaded.
    """
    if path is not None:
        return Path(path).expanduser()
    if (pulled := weights.find(weights.SMOLLM2)) is not None:
        return pulled
    raise WeightsNotFoundError(
        "ChatGGUF was given no `path`, and the weights that it uses by default are not on this machine. "
        "Run: langplug pull smollm2"
    )


def request_tokens(n_ctx: int | None, header: Header) -> int:
    """How many tokens one request may hold."""
    return n_ctx or min(header.context_length or LONGEST_DEFAULT, LONGEST_DEFAULT)


def usable_threads() -> int:
    """All cores that this process may use but one."""
    # With all of them, llama.cpp crawls as soon as anything else runs: its threads spin at barriers and wait for the
    # one that has lost its core.
    return max(1, usable_cores() - 1)


# --- the engine ---


class Engine:
    """One model in memory, loaded when it is first used. It may be used by any number of threads and event loops."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()  # the last model that uses it may be garbage-collected at any point
        self._server: LlamaServer | None = None
        self._closed = False
        self._slots = Slots(settings.parallel)
        self._open: set[Channel[Chunk]] = set()
        _engines.add(self)

    async def chat(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """Answer an OpenAI-shaped request body, chunk by chunk.

        Closing the generator frees its slot: with the next token, or while the prompt is read, after `n_batch` tokens.

        Raises:
            ModelError: If the model cannot be loaded, or the request cannot be answered.
            ImportError: If llama.cpp cannot be imported.
        """
        await self._slots.acquire()
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
        with _in_flight:
            return list(self.load().post("/tokenize", {"content": text})["tokens"])

    def count_tokens(self, body: Mapping[str, Any]) -> int:
        """How many tokens the messages and tools of a request make as a prompt, by the chat template."""
        with _in_flight:
            return int(self.load().post("/v1/chat/completions/input_tokens", body)["input_tokens"])

    def load(self) -> "LlamaServer":
        """The loaded model; loading it takes seconds, once.

        Raises:
            UnsupportedError: If this process was forked from one that had used llama.cpp.
            ModelError: If the engine was closed, or the model cannot be loaded.
        """
        if _first_user not in (None, os.getpid()):
            raise UnsupportedError(
                "This process was forked from one that had already used llama.cpp, and llama.cpp cannot be used in "
                "both. Start workers by 'spawn' or 'forkserver' (multiprocessing.set_start_method), or use the model "
                "in the parent only after forking."
            )
        with self._lock:
            if self._closed:
                raise _closed_error()
            if self._server is None:
                server = LlamaServer(self._settings)
                if self._closed:  # meanwhile, by a garbage collection in this very thread, which holds the lock
                    raise _closed_error()
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
            self._server.leak()

    def _answer(self, body: Mapping[str, Any], channel: Channel[Chunk]) -> None:
        """Run one call to its end, in a thread. It must not raise: nobody would see it there."""
        error: BaseException | None = None
        try:
            with _in_flight:
                self._open.add(channel)
                if not channel.closed:  # else the reader has left while this thread was starting
                    self.load().chat(body, channel)
                if self._closed and channel.closed:
                    error = _closed_error()
        except BaseException as raised:  # noqa: BLE001 - the reader raises it
            error = raised
        finally:
            self._open.discard(channel)
            self._slots.release()
            channel.finish(error)


def _closed_error() -> ModelAPIError:
    return ModelAPIError("The engine was closed while it was answering. Use the model again to load it anew.")


class LlamaServer:
    """One llama.cpp server with its model loaded. Its memory is freed when nothing refers to it any more."""

    def __init__(self, settings: Settings) -> None:
        global _first_user  # noqa: PLW0603 - llama.cpp's own state belongs to the process, too
        llama = import_compiled("xllamacpp")  # first: without it, downloading the weights would not help
        path = locate(settings.path)
        check_file(path)
        header = read_header(path)
        self._key = secrets.token_hex()
        params = _make_params(llama, settings, path, header, self._key)
        _first_user = os.getpid()
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

    def leak(self) -> None:
        """Keep the server from ever being torn down."""
        # A reference that nobody holds and nobody can drop, not even the interpreter when it clears all modules.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._server))


def to_model_error(error: Mapping[str, Any]) -> Exception:
    """langchain-core's error for one of llama.cpp's error objects."""
    if "n_prompt_tokens" in error:
        return ContextOverflowError(
            f"The prompt has {error['n_prompt_tokens']} tokens, but a request holds {error['n_ctx']}, prompt and "
            "answer together (`n_ctx`, which llama.cpp rounds up to a multiple of 256). Shorten it, or make the model "
            "with a larger `n_ctx`."
        )
    if "Context size has been exceeded" in str(error.get("message")):
        return ContextOverflowError(
            "The requests that run at once have filled the context that they share. "
            "Raise `n_ctx`, lower `parallel`, or set `kv_unified=False` so that each has its own."
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


# --- the end of the process, and forks of it ---


class _InFlight:
    """Counts the calls into llama.cpp that run now."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0

    def __enter__(self) -> None:
        with self._changed:
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until no call runs, for at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, seconds)


_in_flight = _InFlight()
_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()
_first_user: int | None = None
"""The id of the process that first used llama.cpp; a fork inherits it."""


@atexit.register
def _at_exit() -> None:
    """End all calls: a thread that comes back from llama.cpp into a dead interpreter would abort the process."""
    for engine in list(_engines):
        engine.close()
    _in_flight.wait(_EXIT_S)


@in_forked_child
def _after_fork() -> None:
    """In a forked child: it has none of llama.cpp's threads, so tearing llama.cpp down would wait for them forever."""
    global _in_flight, _engines  # the present ones belong to the parent
    engines, _engines, _in_flight = list(_engines), weakref.WeakSet(), _InFlight()
    for engine in engines:
        engine.disown()
    if _first_user is not None:
        # Leave the process with its exit code right after Python has ended, before C++ tears down its globals. This
        # needs glibc's `on_exit`: what is registered last runs first, and `_exit` takes the status as its first
        # argument: https://man7.org/linux/man-pages/man3/on_exit.3.html.
        libc = ctypes.CDLL(None)
        if hasattr(libc, "on_exit"):
            libc.on_exit(libc["_exit"], None)
