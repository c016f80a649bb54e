"""`BaseChatModel`, healed: the only module that touches langchain-core's private names.

Written against langchain-core 1.8.0 to 1.8.3; `tests/test_langchain.py` fails when a name used here changes, and when
core mends one of the faults. What is healed:

* a cancelled `ainvoke` never ended its run in the callbacks;
* in `generate` of several prompts, one that failed left the runs of the others open;
* `stream` yielded an `AIMessage`, which does not add up, where streaming is disabled;
* a stream that its reader left closed the source only when it was garbage-collected;
* the cache key was frozen at first use, or held nothing but the model's type (langchain #39598);
* a cache hit invented usage where none had been reported;
* all hits of a cache entry were one message: changed by one who got it, changed for all, and with one id.

And there is a fast path: a call without callback handlers goes past langchain-core's callbacks, which cost most of what
a short call and a chunk cost. It gives the same chunks, messages, ids and errors; `tests/test_fast_path.py` compares.
"""

import asyncio
import inspect
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import cache
from typing import Any, Protocol, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager, CallbackManager, Callbacks
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models._utils import _normalize_messages  # pyright: ignore[reportPrivateUsage]
from langchain_core.language_models.chat_models import _format_for_tracing  # pyright: ignore[reportPrivateUsage]
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.utils.utils import LC_ID_PREFIX
from langchain_core.utils.uuid import uuid7

from langplug._bridge.async_generators import DetachedAsyncGenerator

F = TypeVar("F", bound=Callable[..., Any])

OPENED = "langplug_opened"
"""The keyword under which `stream` and `astream` learn which sources `_stream` and `_astream` opened."""

RUNS = "langplug_runs"
"""The keyword under which `agenerate` learns the run of each prompt, and whether its answer is there."""

FOR_A_PARSER = "langplug_for_a_parser"
"""The keyword by which `with_structured_output` says that it judges the answer itself, however bad it is."""

TRACING_ONLY = frozenset(
    {OPENED, RUNS, FOR_A_PARSER, "ls_structured_output_format", "structured_output_format", "stream"}
)
"""Keywords of a call that say how to run or trace it, and are no parameters of the model."""


CORES_OWN = frozenset(
    {"messages", "prompts", "callbacks", "tags", "metadata", "run_name", "run_id", "run_manager", "async_api"}
    | {OPENED, RUNS, "output_version"}
)
"""Keywords of a call of which langchain-core makes something of its own, or an error: they go by its way."""

TO_AN_ANSWER = ("generate_prompt", "generate", "_generate_with_cache", "_generate")
TO_AN_ANSWER_ASYNC = ("agenerate_prompt", "agenerate", "_agenerate_with_cache", "_agenerate")
TO_A_STREAM = ("_stream",)
TO_A_STREAM_ASYNC = ("_astream",)
"""The methods through which langchain-core comes to a call. A model with one of its own takes no fast path."""


def parameters_in(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those keywords of a call that say something about the answer itself."""
    return {name: value for name, value in kwargs.items() if name not in TRACING_ONLY}


def llm_string(model: BaseChatModel) -> str | None:
    """What langchain-core's caches take for `model`, or None if it cannot say."""
    try:
        return model._get_llm_string()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - for `identity`
    except Exception:  # noqa: BLE001 - anybody's model, and a cache key is never worth an error
        return None


@cache
def _are_langplugs(cls: type, methods: tuple[str, ...]) -> bool:
    """Whether a class has these methods from langplug, and none of its author's own."""
    opener = next(base for base in cls.__mro__ if "__langplug_open__" in vars(base))
    return all(getattr(cls, name) is getattr(opener, name) for name in methods)


def with_signature(method: F) -> F:
    """Keep `method`'s signature ready: core reads that of `_generate` at each call, a tenth of an `invoke`."""
    setattr(method, "__signature__", inspect.signature(method))  # noqa: B010 - type checkers know no such attribute
    return method


# --- the fast path: may it be taken, and what it gives ---


class Streaming(Protocol):
    """One call of a model, ready to be answered in chunks that all have one id."""

    def messages(self, message_id: str | None = None) -> Generator[AIMessageChunk, None, None]:
        """The answer chunk by chunk."""
        ...

    def amessages(self, message_id: str | None = None) -> AsyncGenerator[AIMessageChunk, None]:
        """As `messages`, for an event loop."""
        ...


def fast_path_run_id(
    model: BaseChatModel,
    config: RunnableConfig | None,
    manager: type[CallbackManager] | type[AsyncCallbackManager],
) -> str | None:
    """The id of this run's messages if no callback handler is attached to it, and the fast path may be taken.

    The decision is langchain-core's own: the call's configuration, also that of a run around it, the model's
    callbacks, `verbose` and `set_debug`, tracing by environment, and hooks such as `get_usage_metadata_callback`.

    Raises:
        RuntimeError: As langchain-core does, if the environment asks for the tracer that it has no more.
    """
    ensured = ensure_config(config)
    callbacks = ensured.get("callbacks")
    if _has_handlers(callbacks) or _has_handlers(model.callbacks):  # what else there is need not be looked up
        return None
    if manager.configure(callbacks, model.callbacks, model.verbose).handlers:
        return None
    run_id = ensured.get("run_id")
    return f"{LC_ID_PREFIX}-{uuid7() if run_id is None else run_id}"


def _has_handlers(callbacks: Callbacks) -> bool:
    return bool(callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks)


def as_generated(result: ChatResult, run: str) -> AIMessage:
    """The first answer of `result`, with the id that langchain-core gives it in `run` unless it has one."""
    message = cast("AIMessage", result.generations[0].message)
    if message.id is None:
        message.id = f"{run}-0"
    return message


class PatchedChatModel(BaseChatModel):
    """`BaseChatModel` without the faults that a subclass can mend."""

    # --- whole answers ---

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """As langchain-core's, and by the fast path without callback handlers."""
        plain = self.__is_plain(TO_AN_ANSWER, kwargs) and self.__answers_itself(kwargs, async_api=False)
        if not plain or (run := fast_path_run_id(self, config, CallbackManager)) is None:
            return super().invoke(input, config, stop=stop, **kwargs)
        return as_generated(self._generate(self.__admitted(input), stop, **kwargs), run)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """As langchain-core's, and by the fast path without callback handlers."""
        plain = self.__is_plain(TO_AN_ANSWER_ASYNC, kwargs) and self.__answers_itself(kwargs, async_api=True)
        if not plain or (run := fast_path_run_id(self, config, AsyncCallbackManager)) is None:
            return await super().ainvoke(input, config, stop=stop, **kwargs)
        return as_generated(await self._agenerate(await self.__aadmitted(input), stop, **kwargs), run)

    # --- runs ---

    def generate(
        self, messages: list[list[BaseMessage]], stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        """As langchain-core's, one prompt after the other, so that each one's run ends before the next begins."""
        if len(messages) <= 1:
            return self.__add_llm_output(super().generate(messages, stop, callbacks, **kwargs))
        results: list[LLMResult] = []
        for prompt in messages:
            results.append(super().generate([prompt], stop, callbacks, **kwargs))
            kwargs.pop("run_id", None)  # it names the first run alone
        return self.__add_llm_output(
            LLMResult(
                generations=[result.generations[0] for result in results],
                run=[run for result in results for run in result.run or ()],
            )
        )

    async def agenerate(
        self, messages: list[list[BaseMessage]], stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        """As langchain-core's, and cancelled, it ends its runs; `llm_output` is filled in."""
        runs: dict[Any, bool] = {}
        asked: dict[str, Any] = {**kwargs, RUNS: runs}
        try:
            result = await super().agenerate(messages, stop, callbacks, **asked)
        except asyncio.CancelledError as error:
            if not all(runs.values()):  # else langchain-core is ending them already
                for run in runs:
                    await run.on_llm_error(error, response=LLMResult(generations=[]))
            raise
        return self.__add_llm_output(result)

    def _agenerate_with_cache(  # pyright: ignore[reportIncompatibleMethodOverride] - a coroutine by its wider name
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, ChatResult]:
        runs: dict[Any, bool] = kwargs.pop(RUNS, {})
        runs[run_manager] = False  # already now: what is cancelled at once never starts to run
        return self.__answer_of_run(runs, messages, stop, run_manager, **kwargs)

    async def __answer_of_run(
        self, runs: dict[Any, bool], messages: list[BaseMessage], stop: list[str] | None, run: Any, **kwargs: Any
    ) -> ChatResult:
        result = await super()._agenerate_with_cache(messages, stop, run, **kwargs)
        runs[run] = True
        return result

    def __add_llm_output(self, result: LLMResult) -> LLMResult:
        """With the usage of all prompts together, where callers of `generate` look for it."""
        usage: UsageMetadata | None = None
        for generations in result.generations:
            for generation in generations:
                message = generation.message if isinstance(generation, ChatGeneration) else None
                if isinstance(message, AIMessage) and message.usage_metadata is not None:
                    usage = add_usage(usage, message.usage_metadata)
        result.llm_output = {**(result.llm_output or {}), **({"token_usage": dict(usage)} if usage else {})}
        return result

    # --- streams ---

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Generator[AIMessageChunk, None, None]:
        """As langchain-core's, and the source is closed as soon as the stream is."""
        asked: dict[str, Any] = {**kwargs, "stream": True}
        if not self._should_stream(async_api=False, **asked):
            yield as_chunk(self.invoke(input, config, stop=stop, **kwargs))
            return
        if self.__is_plain(TO_A_STREAM, kwargs) and (run := fast_path_run_id(self, config, CallbackManager)):
            yield from self.__langplug_open__(self.__admitted(input), stop, kwargs).messages(run)
            return
        opened: list[Generator[Any, None, None]] = []
        try:
            yield from super().stream(input, config, stop=stop, **kwargs, **{OPENED: opened})
        finally:
            for source in opened:
                source.close()

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[AIMessageChunk, None]:
        """As langchain-core's, and the source is closed as soon as the stream is."""
        asked: dict[str, Any] = {**kwargs, "stream": True}
        if not self._should_stream(async_api=True, **asked):
            yield as_chunk(await self.ainvoke(input, config, stop=stop, **kwargs))
            return
        if self.__is_plain(TO_A_STREAM_ASYNC, kwargs) and (run := fast_path_run_id(self, config, AsyncCallbackManager)):
            call = self.__langplug_open__(await self.__aadmitted(input), stop, kwargs)
            messages = DetachedAsyncGenerator(call.amessages(run))
            try:
                async for message in messages:
                    yield message
            finally:
                await messages.aclose()
            return
        opened: list[DetachedAsyncGenerator[Any]] = []
        generator = super().astream(input, config, stop=stop, **kwargs, **{OPENED: opened})
        chunks = DetachedAsyncGenerator(cast("AsyncGenerator[AIMessageChunk, None]", generator))
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            try:
                await chunks.aclose()
            finally:
                for source in opened:
                    await source.aclose()

    # --- the fast path; mangled names, since authors call attributes of theirs as they like ---

    def __langplug_open__(
        self, messages: list[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> Streaming:
        raise NotImplementedError

    def __is_plain(self, methods: tuple[str, ...], kwargs: dict[str, Any]) -> bool:
        """Whether langchain-core's `methods` are those of langplug, and a call with `kwargs` may do without them."""
        # An author who overrides `generate` or `_stream` expects langchain-core to go through it.
        return CORES_OWN.isdisjoint(kwargs) and _are_langplugs(type(self), methods)

    def __answers_itself(self, kwargs: dict[str, Any], *, async_api: bool) -> bool:
        """Whether `invoke` would neither look into a cache nor read a stream."""
        uncached = self.cache is False or (self.cache is None and get_llm_cache() is None)
        return uncached and not self._should_stream(async_api=async_api, **kwargs)

    def __admitted(self, input: LanguageModelInput) -> list[BaseMessage]:
        """What langchain-core would hand to the model, once the rate limiter has let the call through."""
        messages = self.__read_input(input)
        if self.rate_limiter:
            self.rate_limiter.acquire(blocking=True)
        return _normalize_messages(messages)

    async def __aadmitted(self, input: LanguageModelInput) -> list[BaseMessage]:
        messages = self.__read_input(input)
        if self.rate_limiter:
            await self.rate_limiter.aacquire(blocking=True)
        return _normalize_messages(messages)

    def __read_input(self, input: LanguageModelInput) -> list[BaseMessage]:
        messages = self._convert_input(input).to_messages()
        for message in messages:
            if isinstance(message.content, list):
                _format_for_tracing(messages)  # refuses content that no trace can show, traced or not
                break
        return messages

    # --- identity ---

    @property
    def _serialized(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What traces say of this model: which class, and how it is set up now, without secrets."""
        return {
            "lc": 1,
            "type": "not_implemented",
            "id": self.lc_id(),
            "repr": repr(self),
            "name": self.get_name(),
        }

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        return self.cache_key(stop=stop, **kwargs)

    def cache_key(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """The part of a cache entry's key that stands for this model and the parameters of a call."""
        raise NotImplementedError

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return self.call_parameters(stop, parameters_in(kwargs))

    def call_parameters(self, stop: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
        """What traces and the cache key say of one call: the model's parameters under those `given` for the call."""
        raise NotImplementedError

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        hits = [hit.model_copy() for hit in cache_val]  # langchain-core writes into them
        had_usage = [
            isinstance(hit, ChatGeneration) and bool(getattr(hit.message, "usage_metadata", None)) for hit in hits
        ]
        own: list[ChatGeneration] = []
        for hit, has_usage in zip(super()._convert_cached_generations(hits), had_usage, strict=True):
            # LangGraph replaces messages of a history by id: a second hit with the first one's would vanish in it.
            fields: dict[str, Any] = {"id": f"{LC_ID_PREFIX}-{uuid.uuid4()}"}
            if not has_usage and isinstance(hit.message, AIMessage):
                fields["usage_metadata"] = None  # langchain-core wrote zeros, as if they had been counted
            own.append(hit.model_copy(update={"message": hit.message.model_copy(update=fields, deep=True)}))
        return own


def as_chunk(message: AIMessage) -> AIMessageChunk:
    """`message` as the one chunk of a stream."""
    if isinstance(message, AIMessageChunk):
        return message
    fields = message.model_dump(exclude={"type", "tool_calls", "invalid_tool_calls"})
    return AIMessageChunk(
        **fields,
        tool_calls=message.tool_calls,
        invalid_tool_calls=message.invalid_tool_calls,
        chunk_position="last",
    )
