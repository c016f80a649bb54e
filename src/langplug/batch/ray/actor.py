"""What runs in a process of the cluster: it asks the rows that it is given, and hands back what came of them."""

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import replace
from typing import Final

from langplug.batch.asking import Asker, Outcome
from langplug.batch.ray.engine import import_ray
from langplug.batch.rows import Row

_GATHERED_S: Final = 0.002
"""Seconds for which answers are gathered after the first: a call of an actor costs as much CPU as ten rows."""


class Actor:
    """Asks rows, as many at once as it is given; its model stays loaded.

    Args:
        packed: A pickle of what makes its asker.
        folder: Where the job runs: if there is such a folder here too, files are looked for from there.
    """

    def __init__(self, packed: bytes, folder: str) -> None:
        with suppress(OSError):
            os.chdir(folder)
        self._packed = packed
        self._asker: Asker | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._ended: list[tuple[int, Outcome | str]] = []
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Make the model.

        Raises:
            Exception: What making it raises.
        """
        make = await asyncio.to_thread(import_ray().cloudpickle.loads, self._packed)
        self._asker = await asyncio.to_thread(make)

    async def begin(self, rows: list[tuple[int, Row]]) -> None:
        """Ask rows, each under the number by which `ended` tells of it."""
        for number, row in rows:
            task = asyncio.create_task(self._ask(number, row))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def ended(self) -> list[tuple[int, Outcome | str]]:
        """What has been answered since the last call, once there is something; a text is why the job has to end."""
        await self._changed.wait()
        await asyncio.sleep(_GATHERED_S)
        self._changed.clear()
        ended, self._ended = self._ended, []
        return ended

    async def _ask(self, number: int, row: Row) -> None:
        assert self._asker is not None
        outcome: Outcome | str
        began = time.monotonic()
        try:
            outcome = replace(await self._asker.ask(row), seconds=time.monotonic() - began)
        except BaseException as error:  # noqa: BLE001 - as where the model's code calls `exit`
            outcome = f"{type(error).__name__}: {error}"
        self._ended.append((number, outcome))  # not in one expression with `await`: the list may be another by then
        self._changed.set()
