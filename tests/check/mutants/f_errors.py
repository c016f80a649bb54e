"""Mutants of group F: errors."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelError,
    ModelInvalidRequestError,
    ModelRateLimitError,
)
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from tests.check.bench import Reference, mutant

from langplug.models.endpoint import ChatEndpoint


class Translator(Reference):
    """Raises other errors than it meets."""

    def translated(self, error: Exception) -> Exception:
        raise NotImplementedError

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        try:
            return super()._generate(*args, **kwargs)
        except ModelError as error:
            raise self.translated(error) from error

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        try:
            return await super()._agenerate(*args, **kwargs)
        except ModelError as error:
            raise self.translated(error) from error

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            yield from super()._stream(*args, **kwargs)
        except ModelError as error:
            raise self.translated(error) from error

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        try:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
        except ModelError as error:
            raise self.translated(error) from error


@mutant("F04", "raises another error in streams")
class OtherInStreams(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            yield from super()._stream(*args, **kwargs)
        except ModelError as error:
            raise RuntimeError("The stream broke.") from error


@mutant("F04", "says that it is sorry instead of raising an error")
class Sorry(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        try:
            return super()._generate(*args, **kwargs)
        except ModelError:
            return ChatResult(generations=[ChatGeneration(message=AIMessage("Sorry, something went wrong."))])


@mutant("F04", "tells handlers of its errors by itself, too")
class TellsOfErrors(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        try:
            return super()._generate(messages, stop, run_manager, **kwargs)
        except ModelError as error:
            run_manager.on_llm_error(error)
            raise


@mutant("F04", "raises another error than handlers are told of")
class OtherThanTold(Reference):
    async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().ainvoke(*args, **kwargs)
        except ModelError as error:
            raise RuntimeError(str(error)) from error


@mutant("F05", "raises errors that nobody knows")
class Unknown(Translator):
    def translated(self, error: Exception) -> Exception:
        return RuntimeError(str(error))


@mutant("F05", "takes every error for one of the server's")
class AllTheServers(Translator):
    def translated(self, error: Exception) -> Exception:
        return ModelAPIError(str(error))


class HopelessRateLimitError(ModelRateLimitError):
    is_retryable = False


@mutant("F05", "says that it is of no use to try again after too many requests")
class Hopeless(Translator):
    def translated(self, error: Exception) -> Exception:
        return HopelessRateLimitError(str(error)) if isinstance(error, ModelRateLimitError) else error


@mutant("F06", "takes a prompt that is too long for any wrong request")
class NoOverflow(Translator):
    def translated(self, error: Exception) -> Exception:
        return ModelInvalidRequestError(str(error)) if isinstance(error, ContextOverflowError) else error


@mutant("F06", "takes any wrong request for a prompt that is too long")
class AllOverflow(Translator):
    def translated(self, error: Exception) -> Exception:
        return ContextOverflowError(str(error)) if isinstance(error, ModelInvalidRequestError) else error


@mutant("F07", "raises an error of its client's where there is no server")
class RawConnectionError(ChatEndpoint):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            yield from super()._stream(*args, **kwargs)
        except ModelError as error:
            raise ConnectionRefusedError(str(error)) from error


@mutant("F07", "takes its time to find out that there is no server")
class Patient(ChatEndpoint):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        try:
            return super()._generate(*args, **kwargs)
        except ModelError:
            time.sleep(4.1)
            raise
