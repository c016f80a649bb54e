"""One model in memory, and the queue before it, for threads and event loops of any number."""

import atexit
import copy
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from langchain_core.exceptions import ModelAPIError

from langplug import Part
from langplug._bridge.channel import Channel
from langplug._bridge.forks import in_forked_child
from langplug._bridge.threads import in_thread, spawn
from langplug.models.transformers.batch import Batch, Reading
from langplug.models.transformers.row import Question, Row
from langplug.models.transformers.weights import Settings, UnwantedError, Weights

_UNLIMITED: Final = sys.maxsize
"""Parts that a slow reader may leave unread: it must not hold up its neighbours."""

_EXIT_S: Final = 10.0
"""Seconds that the step that runs when the interpreter exits gets to end."""

_ARRIVAL_S: Final = 0.05
"""Seconds that an idle engine waits for calls whose prompts are just being made. Nobody waits for one that may come."""

_CHUNKS_FOR_MANY: Final = 4
"""Chunks of prompts that are read in one step for many, while few wait for their next token."""

_CHUNKS_WHEN_IDLE: Final = 16
"""Chunks that are read in one step while nobody waits for a token: a CPU reads them in two thirds of the time. When the
last one leaves, the network is broken off within a layer."""

_MOST_PADDING: Final = 2
"""Prompts are read together that padding makes at most so many times as long."""


class Engine:
    """One model in memory, loaded when it is first used. It may be used by any number of threads and event loops.

    One thread runs the network while there is something to answer. An idle engine begins at once; what arrives
    meanwhile joins the rows that are being answered.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loading = threading.RLock()
        self._weights: Weights | None = None
        self._lock = threading.RLock()  # a reader that is garbage-collected may close the engine in any thread
        self._all_arrived = threading.Condition(self._lock)
        self._open: set[Channel[Part]] = set()  # of all that are answered or wait
        self._arriving: set[Channel[Part]] = set()  # of those whose prompts are being made
        self._waiting: list[Row] = []
        self._is_running = False
        self._threads = 0  # that may be within torch
        self._closed = False
        _engines.add(self)

    async def answer(self, ask: Callable[[Weights], Question]) -> AsyncGenerator[Part, None]:
        """The parts of an answer, as they come. Closing the generator frees its row with the next token.

        Args:
            ask: Makes the question, in a thread, once the model is loaded.

        Raises:
            ModelError: If the model cannot be loaded, or the question cannot be answered.
            ImportError: If torch or transformers cannot be imported.
        """
        parts: Channel[Part] = Channel(_UNLIMITED)
        with self._lock:
            self._open.add(parts)
            self._arriving.add(parts)  # before its thread begins: the first of many would not wait for the others
        try:
            spawn(partial(self._within_torch()(self._enter), ask, parts))
            while (some := await parts.atake()) is not None:
                for part in some:
                    yield part
        finally:
            parts.close()
            with self._lock:
                self._open.discard(parts)
                self._arriving.discard(parts)

    def load(self) -> Weights:
        """The loaded model; loading it takes seconds, once.

        Raises:
            ModelError: If the engine was closed, or the model cannot be loaded.
            ImportError: If torch or transformers cannot be imported.
        """
        with self._within_torch(), self._loading:
            if self._closed:
                raise _closed_error()
            if self._weights is None:
                self._weights = Weights(self._settings)
            return self._weights

    async def aload(self) -> Weights:
        """As `load`, from a coroutine."""
        return await in_thread(self.load)

    def close(self) -> None:
        """Break off the answers, and free the memory."""
        with self._lock:
            self._closed = True
            self._weights = None
            self._waiting.clear()
            broken_off = list(self._open)
        for parts in broken_off:
            parts.finish(_closed_error())

    def wait_idle(self, seconds: float) -> None:
        """Wait until nothing runs, for at most `seconds`."""
        with _stopped:
            _stopped.wait_for(lambda: not self._threads, seconds)

    @contextmanager
    def _within_torch(self) -> Generator[None]:
        """Have the end of the process wait for this thread.

        One that comes back from torch into a dead interpreter aborts the process, and be it only to free a tensor. So
        what runs within this has let go of its tensors when it returns.
        """
        with _stopped:
            self._threads += 1
        try:
            yield
        finally:
            with _stopped:
                self._threads -= 1
                _stopped.notify_all()

    def _enter(self, ask: Callable[[Weights], Question], parts: Channel[Part]) -> None:
        """Queue a question, and run the network if nobody does. It must not raise: nobody would see it there."""
        weights, begins = None, False
        try:
            weights = self.load()
            row = Row(weights, ask(weights), parts)
            with self._lock:
                if self._closed:
                    parts.finish(_closed_error())
                else:
                    self._waiting.append(row)
                    begins = not self._is_running
                    self._is_running = True
        except BaseException as error:  # noqa: BLE001 - the reader raises it
            parts.finish(error)
        finally:
            with self._lock:
                self._arriving.discard(parts)
                self._all_arrived.notify_all()
        if weights is not None and begins:
            self._run(weights)

    def _run(self, weights: Weights) -> None:
        """Answer until nobody waits."""
        weights.use_threads()
        batch, reading = Batch(weights), None
        with weights.torch.inference_mode():
            while reading or batch.rows or self._goes_on():
                reading = self._read(batch, reading or self._next_readers(weights, batch))
                try:
                    batch.step()
                except UnwantedError:
                    batch = Batch(weights)
                except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must see it
                    _fail(batch.rows, error)
                    batch = Batch(weights)

    def _goes_on(self) -> bool:
        """Whether anybody waits; if not, this thread has ended."""
        with self._lock:
            self._is_running = bool(self._waiting)
            return self._is_running

    def _next_readers(self, weights: Weights, batch: Batch) -> Reading | None:
        """Those who have waited longest, and whose prompts go together; None: nobody waits, or there is no room."""
        with self._lock:
            if not batch.rows:
                self._all_arrived.wait_for(lambda: not self._arriving, _ARRIVAL_S)
            self._waiting = [row for row in self._waiting if not row.has_left]
            room = self._settings.max_batch - len(batch.rows) if weights.joins else int(not batch.rows)
            chosen: list[Row] = []
            for row in self._waiting[: max(0, room)]:
                lengths = [len(one.question.prompt) for one in (*chosen, row)]
                if row.is_read_alone:
                    chosen = chosen or [row]
                    break
                if max(lengths) * len(lengths) <= _MOST_PADDING * sum(lengths):
                    chosen.append(row)
            taken = set(map(id, chosen))
            self._waiting = [row for row in self._waiting if id(row) not in taken]
        return Reading(weights, chosen) if chosen else None

    def _read(self, batch: Batch, reading: Reading | None) -> Reading | None:
        """Read a chunk of prompts; None: all is read, and the rows have joined the batch, or have left."""
        if reading is None or not reading.drop_those_who_left():
            return None
        chunks = _CHUNKS_FOR_MANY if len(batch.rows) < len(reading.rows) else 1
        if not batch.rows:
            chunks = _CHUNKS_WHEN_IDLE
        try:
            if not reading.read(chunks * self._settings.prefill_chunk):
                return reading
            batch.join(reading)
        except UnwantedError:
            return None
        except BaseException as error:  # noqa: BLE001 - likewise
            if len(reading.rows) == 1 or not isinstance(error, Exception):
                _fail(reading.rows, error)
            else:  # of several, only some may be at fault, such as one that is too long for the memory
                with self._lock:
                    for row in reading.rows:
                        row.is_read_alone = True
                    self._waiting[:0] = reading.rows
        return None


def _fail(rows: Sequence[Row], error: BaseException) -> None:
    """End the answers of rows with an error, each with one of its own: who raises it adds to it."""
    for row in rows:
        own = copy.copy(error) if isinstance(error, ModelAPIError) else ModelAPIError(f"The network failed: {error!r}")
        own.__cause__ = error
        row.parts.finish(own)


def _closed_error() -> ModelAPIError:
    return ModelAPIError("The engine was closed while it was answering. Use the model again to load it anew.")


# --- the end of the process, and forks of it ---

_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()
_stopped = threading.Condition()


@atexit.register
def _at_exit() -> None:
    """End all answers, and wait for their threads."""
    engines = list(_engines)
    for engine in engines:
        engine.close()
    for engine in engines:
        engine.wait_idle(_EXIT_S)


@in_forked_child
def _after_fork() -> None:
    """In a forked child: the threads that run the parent's engines are not there."""
    global _engines, _stopped  # the present ones are the parent's
    _engines, _stopped = weakref.WeakSet(), threading.Condition()
