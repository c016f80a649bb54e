"""Mutants of group E: how a stream ends."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessageChunk
from tests.check.bench import Reference, mutant

from langplug import IncompleteAnswerError, Part, Request
from langplug.models.endpoint import ChatEndpoint

_KEPT: list[Any] = []
"""What is never closed. Streams that are kept here are not collected, so that nothing ends them by chance."""

_OPENED = "langplug_opened"


# --- E08 ---


@mutant("E08", "reads on to the end when a stream is closed")
class Drains(Reference):
    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:  # type: ignore[override]
        source = super().stream(*args, **kwargs)
        try:
            yield from (chunk for chunk in source)
        finally:
            for _ in source:
                pass


@mutant("E08", "leaves the run open when a stream is closed")
class LeavesRun(Reference):
    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:  # type: ignore[override]
        source = super().stream(*args, **kwargs)
        _KEPT.append(source)
        for chunk in source:  # noqa: UP028 - `yield from` would close it
            yield chunk


@mutant("E08", "leaves what answers talking when a stream is closed")
class LeavesSource(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        kwargs.pop(_OPENED, None)
        source = super()._stream(*args, **kwargs)
        _KEPT.append(source)
        for chunk in source:  # noqa: UP028 - `yield from` would close it
            yield chunk


# --- E09 ---


@mutant("E09", "reads on to the end when an asynchronous stream is closed")
class DrainsAsync(Reference):
    async def astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        source = super().astream(*args, **kwargs)
        try:
            async for chunk in source:
                yield chunk
        finally:
            async for _ in source:
                pass


@mutant("E09", "leaves what answers talking when an asynchronous stream is closed")
class LeavesAsyncSource(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        kwargs.pop(_OPENED, None)
        source = super()._astream(*args, **kwargs)
        _KEPT.append(source)
        async for chunk in source:
            yield chunk


# --- E10 ---


@mutant("E10", "takes what broke off for a whole answer")
class Swallows(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            yield from super()._stream(*args, **kwargs)
        except IncompleteAnswerError:
            return


@mutant("E10", "takes what broke off in an asynchronous stream for a whole answer")
class SwallowsAsync(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        try:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
        except IncompleteAnswerError:
            return


@mutant("E10", "does not tell callbacks of the error")
class Untold(Reference):
    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:  # type: ignore[override]
        yield from super().stream(input, None, **kwargs)


@mutant("E10", "tells callbacks of less than it said")
class ToldLess(Reference):
    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:  # type: ignore[override]
        yield AIMessageChunk("So: ")
        yield from super().stream(*args, **kwargs)


@mutant("E10", "needs no end marker of its server's")
class NeedsNoEnd(ChatEndpoint):
    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        try:
            async for part in super().respond(request):
                yield part
        except IncompleteAnswerError as error:
            if "reset" in str(error):
                raise


# --- E11 ---


@mutant("E11", "streams by itself what is asked for as a whole")
class AlwaysStreams(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        return generate_from_stream(self._stream(*args, **kwargs))


@mutant("E11", "streams by itself what is asked for as a whole, asynchronously")
class AlwaysStreamsAsync(Reference):
    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        return await agenerate_from_stream(self._astream(*args, **kwargs))


@mutant("E11", "cannot be told not to stream")
class CannotStop(Reference):
    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:  # type: ignore[override]
        yield from Reference.stream(self.model_copy(update={"disable_streaming": False}), *args, **kwargs)


@mutant("E11b", "gives a message where it does not stream")
class GivesMessage(Reference):
    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:  # type: ignore[override]
        yield self.invoke(*args, **kwargs)


@mutant("E11b", "gives a message where it does not stream, asynchronously")
class GivesAsyncMessage(Reference):
    async def astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        yield await self.ainvoke(*args, **kwargs)
