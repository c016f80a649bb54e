"""Mutants of group F: what handlers are told."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from functools import partial
from typing import Any

from langchain_core.callbacks.base import BaseCallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables.config import ensure_config
from tests.check.bench import Reference, mutant


class Streamer(Reference):
    """Does something to the chunks of `_stream` and `_astream`."""

    def meddle(self, chunk: ChatGenerationChunk, run_manager: Any) -> Iterator[ChatGenerationChunk]:
        raise NotImplementedError

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(messages, stop, run_manager, **kwargs):
            yield from self.meddle(chunk, run_manager)

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
            for one in self.meddle(chunk, run_manager.get_sync() if run_manager else None):
                yield one


# --- starts, ends and tokens ---


@mutant("F01", "answers past the callbacks")
class Unheard(Reference):
    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return self._generate(self._convert_input(input).to_messages(), **kwargs).generations[0].message


@mutant("F01", "asks twice to be sure")
class AsksTwice(Reference):
    async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
        await super().ainvoke(*args, **kwargs)
        return await super().ainvoke(*args, **kwargs)


@mutant("F01", "tidies the answer up behind the callbacks")
class TidiesUp(Reference):
    def invoke(self, *args: Any, **kwargs: Any) -> AIMessage:
        answer = super().invoke(*args, **kwargs)
        return answer.model_copy(update={"content": str(answer.text).upper()})


@mutant("F02", "puts two chunks into one on their way to the caller")
class Coalescing(Reference):
    def stream(self, *args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        kept = None
        for chunk in super().stream(*args, **kwargs):
            if kept is None:
                kept = chunk
            else:
                yield kept + chunk
                kept = None
        if kept is not None:
            yield kept


@mutant("F02", "tells handlers of other chunks than it yields")
class OtherChunks(Reference):
    async def astream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        async for chunk in super().astream(*args, **kwargs):
            yield chunk.model_copy(update={"content": str(chunk.text).upper()})


@mutant("F02", "tells handlers of each chunk once more")
class TellsTwice(Reference):
    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Generator[Any, None, None]:
        handlers = [one for one in ensure_config(config)["callbacks"] or () if hasattr(one, "events")]  # type: ignore[union-attr]
        for chunk in super().stream(input, config, **kwargs):
            for handler in handlers:
                start = handler.events[0]
                handler.on_llm_new_token(chunk.text, run_id=start.run_id, chunk=ChatGenerationChunk(message=chunk))
            yield chunk


@mutant("F03", "tells handlers of the last token once more, as the page's example does")
class LastTokenTwice(Streamer):
    def meddle(self, chunk: ChatGenerationChunk, run_manager: Any) -> Iterator[ChatGenerationChunk]:
        if run_manager:
            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            if chunk.message.chunk_position == "last":  # type: ignore[attr-defined]
                run_manager.on_llm_new_token("you?")
        yield chunk


@mutant("F03", "tells handlers of each token twice")
class EachTokenTwice(Streamer):
    def meddle(self, chunk: ChatGenerationChunk, run_manager: Any) -> Iterator[ChatGenerationChunk]:
        for _ in range(2 if run_manager else 0):
            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
        yield chunk


@mutant("F03", "breaks on an empty answer if there is somebody to tell of it")
class TokenBehindTheLoop(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(messages, stop, run_manager, **kwargs):
            if chunk.text:
                token = chunk.text
            yield chunk
        if run_manager:
            str(token)


# --- what a run is told of ---


class Params(Reference):
    """Says something else of its calls than it should."""

    def told(self, params: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _get_invocation_params(self, stop: Any = None, **kwargs: Any) -> dict[str, Any]:
        return self.told(super()._get_invocation_params(stop, **kwargs))


@mutant("F08", "shows tracers an object")
class ObjectInParams(Params):
    def told(self, params: dict[str, Any]) -> dict[str, Any]:
        return {**params, "client": object()}


@mutant("F08", "does not tell tracers of what kind it is")
class NoKind(Params):
    def told(self, params: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in params.items() if name != "_type"}


@mutant("F08", "does not tell tracers where the answer stops")
class NoStop(Params):
    def told(self, params: dict[str, Any]) -> dict[str, Any]:
        return {**params, "stop": None}


@mutant("F08", "shows tracers its key")
class KeyInParams(Params):
    def told(self, params: dict[str, Any]) -> dict[str, Any]:
        return {**params, "headers": {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}}


@mutant("F08", "does not tell tracers which class it is")
class NoId(Reference):
    @property
    def _serialized(self) -> dict[str, Any]:
        return {"name": self.get_name()}


class Labelled(Reference):
    """Loses one label of a call."""

    def _without(self, config: Any, name: str) -> Any:
        return {key: value for key, value in (config or {}).items() if key != name}


@mutant("F09", "loses the tags of a call")
class NoTags(Labelled):
    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return super().invoke(input, self._without(config, "tags"), **kwargs)


@mutant("F09", "loses the metadata of a call")
class NoMetadata(Labelled):
    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return await super().ainvoke(input, self._without(config, "metadata"), **kwargs)


@mutant("F09", "loses the name of a run")
class NoRunName(Labelled):
    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return super().stream(input, self._without(config, "run_name"), **kwargs)


@mutant("F09", "loses the id of a run")
class NoRunId(Labelled):
    def astream(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return super().astream(input, self._without(config, "run_id"), **kwargs)


@mutant("F09", "takes out what langchain-core tells tracers of the model")
class NoLangSmith(Reference):
    def _get_ls_params_with_defaults(self, *args: Any, **kwargs: Any) -> Any:
        return {}


# --- usage ---


@mutant("F10", "reports no usage in streams")
class UnpaidStreams(Streamer):
    def meddle(self, chunk: ChatGenerationChunk, run_manager: Any) -> Iterator[ChatGenerationChunk]:
        chunk.message.usage_metadata = None  # type: ignore[attr-defined]
        yield chunk


@mutant("F10", "reports usage on two chunks")
class PaidTwice(Streamer):
    def meddle(self, chunk: ChatGenerationChunk, run_manager: Any) -> Iterator[ChatGenerationChunk]:
        yield chunk
        if used := chunk.message.usage_metadata:  # type: ignore[attr-defined]
            yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=used))


@mutant("F10", "does not say whose usage it is")
class NobodysUsage(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        generation: Any = result.generations[0]
        # langchain-core adds `generation_info` to the metadata.
        for said in (generation.message.response_metadata, generation.generation_info):
            said.pop("model_name", None)
        return result


@mutant("F10", "names the model on two chunks, which makes one name of both")
class NamedTwice(Streamer):
    def meddle(self, chunk: ChatGenerationChunk, run_manager: Any) -> Iterator[ChatGenerationChunk]:
        if "model_name" in chunk.message.response_metadata:
            yield ChatGenerationChunk(
                message=AIMessageChunk(content="", response_metadata={"model_name": self.model_name})
            )
        yield chunk


# --- contexts ---


@mutant("F16", "answers on a thread that knows nothing of the caller")
class Contextless(Reference):
    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        answer = asyncio.get_running_loop().run_in_executor(None, partial(self._generate, messages, stop, **kwargs))
        return await answer


@mutant("F16", "is called, with all its handlers, on a thread that knows nothing of the caller")
class ContextlessRun(BaseChatModel):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("A fixed answer."))])

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, lambda: self.invoke(input, config, **kwargs))

    @property
    def _llm_type(self) -> str:
        return "contextless"


@mutant("F16", "is nobody's child")
class Orphan(Reference):
    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        callbacks = ensure_config(config)["callbacks"]
        handlers = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks
        return super().invoke(input, {"callbacks": handlers}, **kwargs)
