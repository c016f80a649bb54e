"""Mutants of group M: async and limits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.exceptions import ModelRateLimitError, ModelTimeoutError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr, field_validator
from tests.check.bench import Reference, mutant

from langplug.models.endpoint import ChatEndpoint

_KEPT: list[Any] = []
"""What goes on although nobody waits for it."""

# --- M05 ---


@mutant("M05", "waits for its answer on the loop")
class Blocks(Reference):
    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return self._generate(messages, stop, None, **kwargs)


@mutant("M05", "waits for its chunks on the loop")
class BlocksInStreams(Reference):
    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        for chunk in self._stream(messages, stop, None, **kwargs):
            yield chunk


# --- M06 ---


@mutant("M06", "cannot be cancelled")
class Shielded(Reference):
    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        task = asyncio.ensure_future(super()._agenerate(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            raise


@mutant("M06", "swallows that it was cancelled")
class Swallows(Reference):
    async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().ainvoke(*args, **kwargs)
        except asyncio.CancelledError:
            return None


@mutant("M06", "leaves the run of a cancelled stream open")
class LeavesRun(Reference):
    async def astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        source = super().astream(*args, **kwargs).__aiter__()
        _KEPT.append(source)
        while True:
            step = asyncio.ensure_future(anext(source, None))
            _KEPT.append(step)
            chunk = await asyncio.shield(step)
            if chunk is None:
                return
            yield chunk


@mutant("M06", "does not work after a cancellation")
class BrokenByCancellation(Reference):
    _broken: bool = PrivateAttr(False)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self._broken:
            raise RuntimeError("the connection was closed")
        self._broken = True
        result = await super()._agenerate(*args, **kwargs)
        self._broken = False
        return result


@mutant("M06", "gives what was left of a cancelled answer to the next who asks")
class LeftOver(Reference):
    _left: bool = PrivateAttr(False)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self._left:
            return ChatResult(generations=[ChatGeneration(message=AIMessage("word word word"))])
        self._left = True
        result = await super()._agenerate(*args, **kwargs)
        self._left = False
        return result


# --- M06b ---


@mutant("M06b", "leaves the run of a cancelled call to langchain-core")
class LeftToCore(Reference):
    async def agenerate(self, *args: Any, **kwargs: Any) -> Any:
        return await BaseChatModel.agenerate(self, *args, **kwargs)


# --- M07 ---


@mutant("M07", "drops its timeout")
class Patient(Reference):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "timeout": None})


@mutant("M07", "honours its timeout in synchronous calls alone")
class PatientOnLoops(Reference):
    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return await super(PatientOnLoops, self.model_copy(update={"timeout": None}))._agenerate(*args, **kwargs)


@mutant("M07", "takes whole seconds alone")
class WholeSeconds(Reference):
    @field_validator("timeout")
    @classmethod
    def _is_whole(cls, value: float | None) -> float | None:
        if value is not None and value != int(value):
            raise ValueError("a whole number of seconds is needed")
        return value


@mutant("M07", "raises an error of its own at a timeout")
class OwnTimeout(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        try:
            return super()._generate(*args, **kwargs)
        except ModelTimeoutError as error:
            raise TimeoutError(str(error)) from error


# --- M08 ---


@mutant("M08", "tries again by itself what its client has tried again already")
class Multiplies(ChatEndpoint):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        for _ in range(self.max_retries):
            try:
                return super()._generate(*args, **kwargs)
            except ModelRateLimitError:
                pass
        return super()._generate(*args, **kwargs)


@mutant("M08", "always tries again")
class AlwaysAgain(ChatEndpoint):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "max_retries": max(1, kwargs.get("max_retries", 2))})


@mutant("M08", "never tries again")
class NeverAgain(ChatEndpoint):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "max_retries": 0})


@mutant("M08", "tries again in synchronous calls alone")
class NeverAgainOnLoops(ChatEndpoint):
    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return await super(NeverAgainOnLoops, self.model_copy(update={"max_retries": 0}))._agenerate(*args, **kwargs)


# --- M10 ---


async def _fails() -> None:
    raise RuntimeError("nobody reads any more")


@mutant("M10", "has a task that fails when nobody looks")
class UnreadError(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        task = asyncio.ensure_future(_fails())
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
        await asyncio.wait([task])
        task.exception()


@mutant("M10", "yields when it is closed")
class YieldsAtTheEnd(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        chunk = None
        try:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
        finally:
            if chunk is not None:
                yield chunk.model_copy(update={"message": type(chunk.message)(content="")})


@mutant("M10", "leaves a task that nobody holds")
class LeavesTask(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        done = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(_waits(done))
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
        done.set_result(None)
        await task


async def _waits(done: "asyncio.Future[None]") -> None:
    await done
