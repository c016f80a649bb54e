"""Mutants of group H: the rate limiter."""

from collections.abc import Iterator
from typing import Any

from langchain_core.outputs import ChatGenerationChunk, ChatResult
from tests.check.bench import Reference, mutant
from tests.check.mutants.f_callbacks import Streamer


@mutant("H01", "acquires once more by itself")
class AcquiresTwice(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self.rate_limiter:
            self.rate_limiter.acquire()
        return super()._generate(*args, **kwargs)


@mutant("H01", "acquires for each chunk of a stream")
class AcquiresForChunks(Streamer):
    def meddle(self, chunk: ChatGenerationChunk, run_manager: Any) -> Iterator[ChatGenerationChunk]:
        if self.rate_limiter:
            self.rate_limiter.acquire()
        yield chunk


@mutant("H01", "acquires before it looks into the cache")
class AcquiresForHits(Reference):
    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        limiter, self.rate_limiter = self.rate_limiter, None
        try:
            if limiter:
                limiter.acquire()
            return super().invoke(*args, **kwargs)
        finally:
            self.rate_limiter = limiter


@mutant("H01", "does not use the limiter that it is given")
class Unlimited(Reference):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "rate_limiter": None})


@mutant("H01", "does a batch in one go, past the limiter")
class BatchInOneGo(Reference):
    def batch(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return [self._generate(self._convert_input(one).to_messages()).generations[0].message for one in inputs]
