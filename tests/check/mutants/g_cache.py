"""Mutants of group G: the cache."""

import asyncio
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr
from tests.check.bench import Reference, mutant
from tests.check.mutants.c_invoke import Meddler


@mutant("G01", "has another cache key for every call")
class KeyForEachCall(Reference):
    _calls: int = PrivateAttr(default=0)

    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        self._calls += 1
        return f"{super().cache_key(*args, **kwargs)} {self._calls}"


@mutant("G01", "has another cache key in a loop")
class KeyForLoops(Reference):
    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return super().cache_key(*args, **kwargs)
        return f"{super().cache_key(*args, **kwargs)} asynchronously"


@mutant("G01", "changes the message that it gave away, and the cache's with it")
class WritesIntoTheCache(Reference):
    def generate(self, *args: Any, **kwargs: Any) -> Any:
        result = super().generate(*args, **kwargs)
        answer = AIMessage(result.generations[0][0].text)
        result.generations[0][0].message.content = "changed"  # type: ignore[union-attr]
        return result.model_copy(update={"generations": [[ChatGeneration(message=answer)]]})


@mutant("G01", "does not look into the cache")
class Uncached(BaseChatModel):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("A fixed answer."))])

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return self._generate(input).generations[0].message

    @property
    def _llm_type(self) -> str:
        return "uncached"


@mutant("G02", "leaves an object of its client's in the cache")
class ObjectInCache(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.response_metadata["raw"] = object()
        return message


@mutant("G02", "leaves an object of its client's beside the message")
class ObjectInInfo(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        result.generations[0].generation_info = {"logprobs": {1: -0.5}}
        return result


@mutant("G02", "leaves an object of its client's in the cache where it calls a tool")
class ObjectInCalls(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.additional_kwargs |= {"tool_calls": {1: "as they came"}} if message.tool_calls else {}
        return message


@mutant("G03", "is a plain model, for which langchain-core makes usage of none")
class Plain(BaseChatModel):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("A fixed answer."))])

    @property
    def _llm_type(self) -> str:
        return "plain"


@mutant("G03", "forgets on a hit what was used")
class ForgetfulHit(Reference):
    def _convert_cached_generations(self, cache_val: Any) -> Any:
        hits = super()._convert_cached_generations(cache_val)
        for hit in hits:
            hit.message.usage_metadata = None  # type: ignore[attr-defined]
        return hits


class OneCacheForAll(Reference):
    """Takes another word for the one that it was given for its cache."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "cache": self.taken(kwargs.get("cache"))})

    @staticmethod
    def taken(cache: Any) -> Any:
        raise NotImplementedError


@mutant("G05", "uses the cache for all though it was told to use none")
class CannotDoWithout(OneCacheForAll):
    @staticmethod
    def taken(cache: Any) -> Any:
        return None if cache is False else cache


@mutant("G05", "does not mind that the cache that it was to use is not there")
class CarelessOfCaches(OneCacheForAll):
    @staticmethod
    def taken(cache: Any) -> Any:
        return None if cache is True else cache


@mutant("G04", "has one cache key for all stop strings")
class OneKeyForAllStops(Reference):
    def cache_key(self, stop: Any = None, **kwargs: Any) -> str:
        return super().cache_key(None, **kwargs)
