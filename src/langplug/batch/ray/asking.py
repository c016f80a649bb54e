"""Asks rows by actors: each row by the one that has least to do, and again by another if its own has died."""

import asyncio
import os
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, Final

from langplug._bridge.threads import in_thread
from langplug.batch.asking import Asker, Outcome
from langplug.batch.ray.actor import Actor
from langplug.batch.ray.engine import Connection, Ray, WorkerError, count_nodes, import_ray, room_for
from langplug.batch.rows import Row

_ROOM_AFTER_S: Final = 30.0
"""Seconds after which an actor is said to wait for room: a process starts in one, and on a busy machine in ten."""

_MOST_STARTS: Final = 3
"""How often an actor may die as it starts, before the job ends."""


class RayAsker:
    """Asks rows by actors on a cluster, of which it is connected with the first row, until `aclose`.

    Args:
        engine: What is asked of the cluster.
        own: An asker of this process: it says how what came of a row is written.
        packed: A pickle of what makes the actors' askers.
    """

    def __init__(self, engine: Ray, own: Asker, packed: bytes) -> None:
        self._ray = import_ray()
        self._engine = engine
        self._own = own
        self._packed = packed
        self._workers: list[_Worker] = []
        self._running: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._failure: Exception | None = None
        self._changed = asyncio.Event()
        self._has_warned = False
        self._deaths = Counter[int]()
        self._alone = asyncio.Lock()

    async def ask(self, row: Row, /) -> Outcome:
        """What came of it. That its actor died is an outcome that may be another the next time.

        Raises:
            WorkerError: If no actor can ask.
        """
        try:
            # twice in an actor that died: it may be why, and would take along whoever is in the same state
            async with self._alone if self._deaths[row.index] > 1 else nullcontext():
                return await (await self._least_busy()).ask(row)
        except _WorkerDied as died:
            self._deaths[row.index] += 1
            return replace(self._own.unasked(str(died)), is_retryable=True)

    def told(self, outcome: Outcome, *, attempts: int, seconds: float | None) -> dict[str, Any]:
        """As of the asker of this process."""
        return self._own.told(outcome, attempts=attempts, seconds=seconds)

    def unasked(self, problem: str, /) -> Outcome:
        """As of the asker of this process."""
        return self._own.unasked(problem)

    def placed(self, row: Row, record: Mapping[str, Any], /) -> dict[str, Any]:
        """As of the asker of this process."""
        return self._own.placed(row, record)

    async def aclose(self) -> None:
        """End the actors, and the cluster if it was started here. One that is only starting ends with the process."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        if self._connection is not None:
            self._connection.leave()
            if self._connection.opened.done():
                await asyncio.wrap_future(self._connection.closed)

    async def _least_busy(self) -> "_Worker":
        if self._running is None:  # as late as that: a job of which all is answered needs no cluster
            self._running = asyncio.create_task(self._run())
        while not self._workers and self._failure is None:
            self._changed.clear()
            await self._changed.wait()
        if self._failure is not None:
            raise self._failure
        return min(self._workers, key=lambda worker: len(worker.asked))

    async def _run(self) -> None:
        """Have as many actors as are wanted, until it is cancelled or that cannot be."""
        try:
            self._connection = Connection(self._engine.address)
            await asyncio.shield(asyncio.wrap_future(self._connection.opened))
            most = await in_thread(count_nodes) if self._engine.actors is None else self._engine.actors
            async with asyncio.TaskGroup() as group:
                for _ in range(most):
                    group.create_task(self._keep_one())
        except Exception as error:  # noqa: BLE001 - raised where rows wait for an actor
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            self._failure = error
        finally:
            self._changed.set()

    async def _keep_one(self) -> None:
        """Have one actor, and another when it has died."""
        remote = self._ray.remote(
            num_cpus=self._engine.cpus, num_gpus=self._engine.gpus, scheduling_strategy="SPREAD", max_restarts=0
        )(Actor)
        errors = self._ray.exceptions
        starts = 0
        while True:
            worker = _Worker(actor := remote.remote(self._packed, os.getcwd()))  # noqa: PTH109 - a text
            starts += 1
            try:
                await self._find_room(actor)
                await actor.open.remote()
                starts = 0
                self._workers.append(worker)
                self._changed.set()
                await worker.serve()
            except errors.RayActorError as error:
                if starts == _MOST_STARTS:
                    raise WorkerError(f"{starts} workers of Ray have died as they started: {_said(error)}") from error
                worker.reason = _said(error)
            except errors.RayTaskError as error:
                failed = "hand back an answer" if worker in self._workers else "make the model"
                raise WorkerError(
                    f"a worker of Ray cannot {failed}: {type(error.cause).__name__}: {error.cause}. What it "
                    "imports has to be installed on every node, and what it reads has to be there."
                ) from error
            finally:
                with suppress(ValueError):
                    self._workers.remove(worker)
                worker.end()
                self._ray.kill(actor)

    async def _find_room(self, actor: Any) -> None:
        """Wait until an actor runs; if that takes long, say once what it waits for."""
        ready = asyncio.ensure_future(actor.__ray_ready__.remote())
        try:
            done, _ = await asyncio.wait({ready}, timeout=_ROOM_AFTER_S)
            if not done and not self._has_warned:
                self._has_warned = True
                room = await in_thread(partial(room_for, self._engine.needed))
                warnings.warn(f"{len(self._workers)} actors run after {_ROOM_AFTER_S:g} s: {room}.", stacklevel=1)
            await ready
        finally:
            ready.cancel()


class _WorkerDied(Exception):
    """The actor of a row has died."""


class _Worker:
    """An actor, and the rows that it is asked.

    Attributes:
        asked: Where what comes of a row is awaited, by the row's number.
        reason: Why it has died.
    """

    def __init__(self, actor: Any) -> None:
        self.asked: dict[int, asyncio.Future[Outcome]] = {}
        self.reason = "it was ended"
        self._actor = actor
        self._numbers = count()
        self._unsent: list[tuple[int, Row]] = []

    def ask(self, row: Row) -> "asyncio.Future[Outcome]":
        """Ask it a row: together with the others that are asked now, as a call costs as much CPU as ten rows."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        number = next(self._numbers)
        self._unsent.append((number, replace(row, kept={})))
        self.asked[number] = asyncio.get_running_loop().create_future()
        return self.asked[number]

    def _send(self) -> None:
        rows, self._unsent = self._unsent, []
        try:
            self._actor.begin.remote(rows)  # that it has died is heard by `serve`
        except Exception as error:  # noqa: BLE001 - what a row holds may refuse to be pickled, in its own way
            for number, _ in rows:
                self._settle(number, error)

    async def serve(self) -> None:
        """Hand out what it answers, until it dies.

        Raises:
            RayActorError: When it has died.
        """
        while True:
            for number, outcome in await self._actor.ended.remote():
                is_told = isinstance(outcome, Outcome)
                self._settle(
                    number, outcome if is_told else WorkerError(f"the model's code ended its worker: {outcome}")
                )

    def end(self) -> None:
        """It has died: whoever waits hears that."""
        for number in list(self.asked):
            self._settle(number, _WorkerDied(f"the worker that asked it died: {self.reason}"))

    def _settle(self, number: int, outcome: Outcome | Exception) -> None:
        waiting = self.asked.pop(number)
        if waiting.done():  # nobody waits any more
            return
        if isinstance(outcome, Outcome):
            waiting.set_result(outcome)
        else:
            waiting.set_exception(outcome)


def _said(error: BaseException) -> str:
    """What Ray says of an error, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
