"""An engine that another one stands in for, if it cannot load its model."""

import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from langplug import Part
from langplug._bridge.threads import in_thread
from langplug._log import log
from langplug.models.gguf.engine import Asked, Engine, LoadableEngine, closed_error
from langplug.models.gguf.header import BadWeightsError


class WithFallback:
    """The first engine, or if it cannot load its model, the other one, which is made then.

    Attributes:
        first: The first engine.
    """

    def __init__(self, first: LoadableEngine, make_other: Callable[[], Engine]) -> None:
        self.first = first
        self._make_other = make_other
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """The name of the engine that answers; until one is loaded, of the first."""
        return (self._engine or self.first).name

    async def chat(self, asked: Asked) -> AsyncGenerator[Part, None]:
        """As of an `Engine`."""
        engine = self._engine
        if engine is None:
            engine = await in_thread(self._load)
        async with aclosing(engine.chat(asked)) as parts:
            async for part in parts:
                yield part

    def token_ids(self, text: str) -> list[int]:
        """As of an `Engine`."""
        return self._load().token_ids(text)

    def count_tokens(self, asked: Asked) -> int:
        """As of an `Engine`."""
        return self._load().count_tokens(asked)

    def close(self) -> None:
        """As of an `Engine`."""
        self._closed = True  # without the lock, which is held for as long as the first one loads
        self.first.close()
        if self._engine is not None:
            self._engine.close()

    def disown(self) -> None:
        """As of an `Engine`; in a fork both have been told by themselves."""

    def _load(self) -> Engine:
        with self._lock:
            if self._engine is None:
                try:
                    self.first.load()
                    self._engine = self.first
                except (BadWeightsError, ImportError) as error:
                    if self._closed:
                        raise closed_error() from None
                    other = self._make_other()
                    log.warning("%s cannot run this model, so %s does: %s", self.first.name, other.name, error)
                    self._engine = other
            return self._engine
