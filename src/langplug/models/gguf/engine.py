"""llama.cpp within this process: all that knows of `xllamacpp` is here.

One `Engine` holds one model's weights and answers up to `parallel` requests at once by continuous batching. What
llama.cpp's server does not do, and is done here:

* A request that waits for one of its slots cannot be cancelled. Requests wait in a fair queue of our own instead.
* An exception raised in its callback is swallowed. None leaves ours.
* It reports errors by exception and by dict. Both become langchain-core's typed errors.
* It always opens a port on 127.0.0.1. Ours is closed by a key that nobody else knows.
* It gives no reason when it cannot load a file. The file is looked at first.
* A process forked from one that has used it can neither use it nor leave cleanly. See `_after_fork`.
* A call that still runs when the interpreter ends aborts the process. Calls are ended before. See `_at_exit`.
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
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from langchain_core.exceptions import ContextOverflowError, ModelAPIError, ModelInvalidRequestError

from langplug import UnsupportedError
from langplug._answer.server_errors import error_of
from langplug._bridge.channel import Channel
from langplug._bridge.slots import Slots
from langplug._bridge.threads import spawn
from langplug.models.gguf import weights
from langplug.models.gguf.header import BadWeightsError, Header, WeightsNotFoundError, check_file, read_header

Chunk = dict[str, Any]

LONGEST_DEFAULT: Final = 4096
"""Tokens that a request may hold unless it is said otherwise; many models could take more than memory can."""

_EXIT_S: Final = 10.0
"""Seconds that a call gets to end when the interpreter does. It ends with its next token."""

_HTTP_S: Final = 60.0

_KEPT: Final = ("choices", "usage", "timings")
"""What is passed on of a chunk. The rest says the same in every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an engine is made from; `ChatGGUF` says what each means."""

    path: str | None
    n_ctx: int | None
    parallel: int
    kv_unified: bool
    threads: int | None
    gpu_layers: int
    n_batch: int
    chat_template: str | None
    engine_log: bool


# --- weights ---


def locate(path: str | None) -> Path:
    """The weights file: `path`, or where none is given, what `langplug pull` brought.

    Raises:
        WeightsNotFoundError: If it was not pulled.
    """
    if path is not None:
        return Path(path).expanduser()
    if (pulled := weights.find(weights.SMOLLM2)) is not None:
        return pulled
    raise WeightsNotFoundError(
        "ChatGGUF was given no `path`, and the weights that it then uses are not on this machine. "
        "Run: langplug pull smollm2"
    )


def request_tokens(n_ctx: int | None, header: Header) -> int:
    """How many tokens one request may hold."""
    return n_ctx or min(header.context_length or LONGEST_DEFAULT, LONGEST_DEFAULT)


def usable_threads() -> int:
    """All cores that this process may use but one: with all of them, llama.cpp crawls as soon as anything else runs."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores - 1)


# --- the engine ---


class Engine:
    """One model in memory, loaded when first used. For any number of threads and event loops at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()  # the last model that uses it may be garbage-collected at any point
        self._llama: Llama | None = None
        self._closed = False
        self._slots = Slots(settings.parallel)
        self._open: set[Channel[Chunk]] = set()
        _engines.add(self)

    async def chat(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """Answer an OpenAI-shaped request body, chunk by chunk.

        Closing the generator frees its slot: with the next token, or while the prompt is read, after `n_batch` tokens.

        Raises:
            ModelError: If the model cannot be loaded, or the request cannot be answered.
        """
        await self._slots.acquire()
        channel: Channel[Chunk] = Channel()
        try:
            spawn(lambda: self._answer(body, channel))
        except BaseException:
            self._slots.release()
            raise
        try:
            while (batch := await channel.atake()) is not None:
                for chunk in batch:
                    yield chunk
        finally:
            channel.close()

    def token_ids(self, text: str) -> list[int]:
        """`text` in the model's own tokens."""
        with _calls:
            return list(self._loaded().post("/tokenize", {"content": text})["tokens"])

    def count_tokens(self, messages: list[dict[str, Any]]) -> int:
        """How many tokens the conversation has, its template included."""
        with _calls:
            return int(self._loaded().post("/v1/chat/completions/input_tokens", {"messages": messages})["input_tokens"])

    def close(self) -> None:
        """Break off the calls that run, and free the memory as soon as they have ended."""
        with self._lock:
            self._closed = True
            self._llama = None
            running = list(self._open)
        for channel in running:
            channel.close()

    def disown(self) -> None:
        """In a forked child: never tear down the server, whose threads are the parent's."""
        if self._llama is not None:
            self._llama.leak()

    def _answer(self, body: Mapping[str, Any], channel: Channel[Chunk]) -> None:
        """Run one call to its end, in a thread. It must not raise."""
        error: BaseException | None = None
        try:
            with _calls:
                self._open.add(channel)
                if not channel.closed:
                    self._loaded().chat(body, channel)
                if self._closed and channel.closed:
                    error = _closed_error()
        except BaseException as raised:  # noqa: BLE001 - whatever it is, the reader must see it
            error = raised
        finally:
            self._open.discard(channel)
            self._slots.release()
            channel.finish(error)

    def _loaded(self) -> "Llama":
        _refuse_after_fork()
        with self._lock:
            if self._closed:
                raise _closed_error()
            if self._llama is None:
                llama = Llama(self._settings)
                if self._closed:  # meanwhile
                    raise _closed_error()
                self._llama = llama
            return self._llama


def _closed_error() -> ModelAPIError:
    return ModelAPIError("The engine was closed while it was answering. Use the model again to load it anew.")


class Llama:
    """One loaded llama.cpp server. Its memory is freed when nothing refers to it any more."""

    def __init__(self, settings: Settings) -> None:
        path = locate(settings.path)
        check_file(path)
        self._key = secrets.token_hex()
        self._server = _served(path, settings, self._key)
        self._address = urlsplit(self._server.listening_address)

    def chat(self, body: Mapping[str, Any], channel: Channel[Chunk]) -> None:
        """Put the answer's chunks into `channel`, until it ends or nobody reads it any more."""
        errors: list[BaseException] = []

        def on_chunk(chunk: Chunk) -> bool:
            """Return whether to stop. It must not raise: llama.cpp would go on, and nobody would learn of it."""
            try:
                return _pass_on(chunk, channel)
            except BaseException as error:  # noqa: BLE001
                errors.append(error)
                return True

        try:
            self._server.handle_chat_completions(dict(body), on_chunk)
        except (ValueError, RuntimeError, TypeError) as error:  # before anything is generated: the request is at fault
            raise ModelInvalidRequestError(f"llama.cpp refuses the request: {error}") from error
        if errors:
            raise errors[0]

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Ask what can only be asked through the port."""
        connection = http.client.HTTPConnection(str(self._address.hostname), self._address.port, timeout=_HTTP_S)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise typed_error(answer["error"])
        return answer

    def leak(self) -> None:
        """Keep the server from ever being torn down."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._server))


def _pass_on(chunk: Chunk, channel: Channel[Chunk]) -> bool:
    """Put `chunk` into `channel`; return whether to stop."""
    if "error" in chunk:
        raise typed_error(chunk["error"])
    if "prompt_progress" in chunk:  # asked for only so that a call can be left while its prompt is read
        return channel.closed
    return not channel.put({name: chunk[name] for name in _KEPT if name in chunk})


def typed_error(error: Mapping[str, Any]) -> Exception:
    """langchain-core's error for one of llama.cpp's error objects."""
    if "n_prompt_tokens" in error:
        return ContextOverflowError(
            f"The prompt has {error['n_prompt_tokens']} tokens, but a request holds {error['n_ctx']}, prompt and "
            "answer together. Shorten it, or make the model with a larger `n_ctx`."
        )
    if "Context size has been exceeded" in str(error.get("message")):
        return ContextOverflowError(
            "The requests that run at once have filled the context that they share. "
            "Raise `n_ctx`, lower `parallel`, or set `kv_unified=False` so that each has its own."
        )
    return error_of(error)


# --- loading ---


def _served(path: Path, settings: Settings, key: str) -> Any:
    llama = _xllamacpp()
    params = _params(llama, path, settings, key)
    try:
        return _started(llama, params)
    except RuntimeError as error:  # it says no more than that it failed
        header = read_header(path)
        raise BadWeightsError(
            f"llama.cpp (xllamacpp {llama.__version__}) cannot load {str(path)!r}: the architecture "
            f"{header.architecture!r} may be new to it, the file damaged, the chat template wrong, or memory too small "
            f"for {params.n_ctx:,} tokens of context. Make the model with engine_log=True to see what it says."
        ) from error


def _started(llama: Any, params: Any) -> Any:
    global _home  # noqa: PLW0603 - llama.cpp's own state is the process's, too
    _home = os.getpid()
    return llama.Server(params)


def _xllamacpp() -> Any:
    try:
        return import_module("xllamacpp")
    except ModuleNotFoundError as error:
        if error.name != "xllamacpp":
            raise
        raise ImportError("ChatGGUF needs llama.cpp. Install it with: pip install 'langplug[gguf]'") from None


def _params(llama: Any, path: Path, settings: Settings, key: str) -> Any:
    params = llama.CommonParams()
    params.model.path = str(path)
    if settings.chat_template is not None:
        params.chat_template = settings.chat_template
    _size(params, settings, request_tokens(settings.n_ctx, read_header(path)))
    params.n_gpu_layers = settings.gpu_layers
    params.fit_params = _has_gpu(llama)  # fits the layers into its memory; on a CPU it only doubles the time to load
    params.warmup = False
    params.verbosity = 3 if settings.engine_log else -1
    _lock_port(params, key)
    return params


def _size(params: Any, settings: Settings, tokens: int) -> None:
    params.n_parallel = settings.parallel
    params.n_ctx = tokens if settings.kv_unified else tokens * settings.parallel
    params.kv_unified = settings.kv_unified
    params.n_batch = settings.n_batch
    params.n_ubatch = min(settings.n_batch, params.n_ubatch)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads or usable_threads()
    params.cache_ram_mib = 0  # else it keeps up to 8 GiB of earlier conversations


def _lock_port(params: Any, key: str) -> None:
    params.api_keys = [key]
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False  # it would show what others ask
    params.n_threads_http = 1


def _has_gpu(llama: Any) -> bool:
    kinds = llama.ggml_backend_dev_type
    gpus = (kinds.GGML_BACKEND_DEVICE_TYPE_GPU, kinds.GGML_BACKEND_DEVICE_TYPE_IGPU)
    return any(device["type"] in gpus for device in llama.get_device_info())


# --- the end of the process, and forks of it ---


class _Calls:
    """Counts the calls into llama.cpp that run now."""

    def __init__(self) -> None:
        self._none_runs = threading.Condition()
        self._running = 0

    def __enter__(self) -> None:
        with self._none_runs:
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._none_runs:
            self._running -= 1
            self._none_runs.notify_all()

    def wait(self, seconds: float) -> None:
        """Until none runs, but not longer than that."""
        with self._none_runs:
            self._none_runs.wait_for(lambda: self._running == 0, seconds)


_calls = _Calls()
_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()
_home: int | None = None
"""The process that llama.cpp was first used in."""


@atexit.register
def _at_exit() -> None:
    """End all calls: a thread that comes back from llama.cpp into a dead interpreter would abort the process."""
    for engine in list(_engines):
        engine.close()
    _calls.wait(_EXIT_S)


def _refuse_after_fork() -> None:
    if _home not in (None, os.getpid()):
        raise UnsupportedError(
            "This process was forked from one that had already used llama.cpp, and llama.cpp cannot be used in both. "
            "Start workers by 'spawn' or 'forkserver' (multiprocessing.set_start_method), or use the model in the "
            "parent only after forking."
        )


def _after_fork() -> None:
    """The child has none of llama.cpp's threads, so whatever tears it down would wait for them for ever."""
    global _calls, _engines  # those that there are belong to the parent
    engines, _engines, _calls = list(_engines), weakref.WeakSet(), _Calls()
    for engine in engines:
        engine.disown()
    if _home is not None:
        _skip_native_exit()


def _skip_native_exit() -> None:
    """Leave the process right after Python has ended, with its exit code, before C++ tears down its globals.

    glibc only: what is registered last runs first, and `_exit` takes the status as its first argument.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):
        libc.on_exit(libc["_exit"], None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
