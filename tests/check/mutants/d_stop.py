"""Mutants of group D."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from tests.check.bench import Reference, mutant

# --- D01 ---


@mutant("D01", "ignores the stop strings of a call")
class Deaf(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return super()._generate(messages, None, run_manager, **kwargs)


@mutant("D01", "ignores the stop strings of an asynchronous call")
class DeafAsync(Reference):
    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return await super()._agenerate(messages, None, run_manager, **kwargs)


@mutant("D01", "looks at the first stop string alone")
class FirstOnly(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return super()._generate(messages, stop and stop[:1], run_manager, **kwargs)


@mutant("D01", "takes stop strings for patterns")
class Patterns(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        text = super()._generate(messages, None, run_manager, **kwargs).generations[0].text
        message = AIMessage(re.split("|".join(stop or ["$"]), text)[0])
        return ChatResult(generations=[ChatGeneration(message=message)])


@mutant("D01", "gives the stop string though it is told not to")
class AlwaysIncludes(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return Reference._generate(self.model_copy(update={"include_stop": True}), messages, stop, **kwargs)


# --- D02 ---


@mutant("D02", "ignores stop strings in a stream")
class DeafStream(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        return super()._stream(messages, None, run_manager, **kwargs)


@mutant("D02", "ignores stop strings in an asynchronous stream")
class DeafAsyncStream(Reference):
    def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        return super()._astream(messages, None, run_manager, **kwargs)


@mutant("D02", "looks for stop strings within one chunk alone")
class ChunkByChunk(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(messages, None, run_manager, **kwargs):
            if any(one in chunk.text for one in stop or ()):
                return
            yield chunk


@mutant("D02", "takes the stop string out and goes on")
class GoesOn(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(messages, None, run_manager, **kwargs):
            if not set(chunk.text) & set("<|"):
                yield chunk


@mutant("D02", "loses text that began like a stop string")
class LosesBeginnings(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(messages, stop, run_manager, **kwargs):
            if "<|en" in chunk.text:
                chunk.message.content = ""
            yield chunk


# --- D03 ---


@mutant("D03", "forgets the stop strings of its constructor")
class Forgetful(Reference):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("stop", None)
        super().__init__(**kwargs)


@mutant("D03", "cannot bear a call's stop strings beside its own")
class OneOrTheOther(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        if stop and self.stop:
            raise ValueError("`stop` found in both the input and default params.")
        return super()._generate(messages, stop, run_manager, **kwargs)


@mutant("D03", "says nothing if the list of stop strings is empty")
class EmptyList(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        if stop == []:
            return ChatResult(generations=[ChatGeneration(message=AIMessage(""))])
        return super()._generate(messages, stop, run_manager, **kwargs)


@mutant("D03", "takes a call's stop strings for all calls to come")
class Sticky(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        self.stop = stop or self.stop
        return super()._stream(messages, stop, run_manager, **kwargs)


@mutant("D03", "holds on to its own stop strings, whatever a call says")
class Stubborn(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return super()._generate(messages, self.stop or stop, run_manager, **kwargs)


# --- D04 ---


@mutant("D04", "drops the stop strings that are bound to it")
class Unbound(Reference):
    def bind(self, **kwargs: Any) -> Any:
        kwargs.pop("stop", None)
        return super().bind(**kwargs)


@mutant("D04", "is itself changed by `bind`")
class ChangedByBind(Reference):
    def bind(self, **kwargs: Any) -> Self:  # type: ignore[override]
        self.stop = kwargs["stop"]
        return self
