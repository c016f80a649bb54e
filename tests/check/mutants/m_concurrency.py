"""Mutants of group M: concurrency."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.outputs import ChatResult
from pydantic import PrivateAttr
from tests.check.bench import Reference, mutant

# --- M01 ---


class Shared(Reference):
    """Keeps on itself what belongs to a call."""

    _messages: Any = PrivateAttr(None)


@mutant("M01", "keeps on itself what it was asked, and answers the last of those who ask at once")
class SharedQuestion(Shared):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        self._messages = messages
        time.sleep(0.01)
        return super()._generate(self._messages, *args, **kwargs)


@mutant("M01", "mixes up the streams of threads")
class SharedStream(Shared):
    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        self._messages = messages
        time.sleep(0.01)
        yield from super()._stream(self._messages, *args, **kwargs)


@mutant("M01", "has an engine that can do one thing at a time, and no lock around it")
class Unlocked(Reference):
    _busy: bool = PrivateAttr(False)

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self._busy:
            raise RuntimeError("the engine is busy")
        self._busy = True
        try:
            return super()._generate(*args, **kwargs)
        finally:
            self._busy = False


# --- M02 ---


@mutant("M02", "keeps on itself what it was asked over an await")
class SharedByTasks(Shared):
    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        self._messages = messages
        await asyncio.sleep(0.01)
        return await super()._agenerate(self._messages, *args, **kwargs)


@mutant("M02", "ends a stream as soon as another one begins")
class OneStream(Reference):
    _source: Any = PrivateAttr(None)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        source = self._source = super()._astream(*args, **kwargs)
        async for chunk in source:
            yield chunk
            if source is not self._source:
                return


@mutant("M02", "cannot do two things at once on a loop")
class Busy(Reference):
    _busy: bool = PrivateAttr(False)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self._busy:
            raise RuntimeError("another coroutine is already waiting for incoming data")
        self._busy = True
        try:
            return await super()._agenerate(*args, **kwargs)
        finally:
            self._busy = False


# --- M03, M04 ---


class Homebody(Reference):
    """Has a client that belongs to the loop that it was first used on."""

    _home: Any = PrivateAttr(None)

    def come_home(self) -> None:
        loop = asyncio.get_running_loop()
        if self._home is None:
            self._home = loop
        if self._home is not loop:
            raise RuntimeError("Event loop is closed")


@mutant("M03", "keeps its client when the loop is closed")
class OneLoop(Homebody):
    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self.come_home()
        return await super()._agenerate(*args, **kwargs)


@mutant("M03", "keeps its client for streams when the loop is closed")
class OneLoopForStreams(Homebody):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self.come_home()
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk


@mutant("M03", "thinks that a stream which was left goes on for ever")
class BusyWithWhatWasLeft(Reference):
    _streams: int = PrivateAttr(0)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self._streams += 1
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
        self._streams -= 1

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self._streams:
            raise RuntimeError("the connection is in use")
        return await super()._agenerate(*args, **kwargs)


@mutant("M04", "can be used on a new loop only when the last one is closed")
class OneLoopAtATime(Homebody):
    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self._home is not None and self._home.is_closed():
            self._home = None
        self.come_home()
        return await super()._agenerate(*args, **kwargs)


@mutant("M04", "is asynchronous only as long as it was not used otherwise")
class SyncForEver(Reference):
    _thread: Any = PrivateAttr(None)

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self._thread = threading.get_ident()
        return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self._thread not in (None, threading.get_ident()):
            raise RuntimeError("There is no current event loop in thread")
        return await super()._agenerate(*args, **kwargs)


# --- M09 ---


@mutant("M09", "starts a loop for a synchronous call")
class StartsLoop(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return asyncio.run(super()._agenerate(messages, stop, None, **kwargs))


@mutant("M09", "starts a loop for a synchronous stream")
class StartsLoopToStream(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        async def read() -> list[Any]:
            return [chunk async for chunk in super(StartsLoopToStream, self)._astream(messages, stop, None, **kwargs)]

        yield from asyncio.run(read())
