"""`BaseChatModel`, healed: the only module that touches langchain-core's private names.

Written against langchain-core 1.8.0 to 1.8.3; `tests/test_langchain.py` fails when a name used here changes, and when
core fixes one of the faults. What is fixed:

* a cancelled `ainvoke` never ended its run in the callbacks;
* in `generate` of several prompts, one that failed left the runs of the others open;
* `stream` yielded an `AIMessage`, which does not add up, where streaming is disabled;
* a stream that its reader left closed the source only when it was garbage-collected;
* the cache key was frozen at first use, or held nothing but the model's type (langchain #39598);
* a cache hit invented usage where none had been reported;
* all hits of a cache entry were one message: changed by one who got it, changed for all, and with one id;
* version 3 of the events left blocks such as a refusal out of its message, and closed an async source late or never.

And there is a fast path: a call without callback handlers goes past langchain-core's callbacks, which cost most of what
a short call and a chunk cost. It gives the same chunks, messages, ids and errors; `tests/test_fast_path.py` compares.
"""

import asyncio
import inspect
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar
from functools import cache, reduce
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

from langchain_core.callbacks import (
    AsyncCallbackManager,
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManager,
    Callbacks,
)
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models._compat_bridge import (  # pyright: ignore[reportPrivateUsage]
    achunks_to_events,
    chunks_to_events,
)
from langchain_core.language_models._utils import _normalize_messages  # pyright: ignore[reportPrivateUsage]
from langchain_core.language_models.chat_models import _format_for_tracing  # pyright: ignore[reportPrivateUsage]
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_usage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tracers import context as tracers_context
from langchain_core.tracers._streaming import (
    _StreamingCallbackHandler,  # pyright: ignore[reportPrivateUsage]
    _V2StreamingCallbackHandler,  # pyright: ignore[reportPrivateUsage]
)
from langchain_core.utils.utils import LC_ID_PREFIX
from langchain_core.utils.uuid import uuid7

from langplug._answer.fast_chunks import generation_info
from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._model.keywords import CALL, CORES_OWN, OPENED, RUNS, held_for_a_parser, parameters_in

F = TypeVar("F", bound=Callable[..., Any])

TO_AN_ANSWER = ("generate_prompt", "generate", "_generate_with_cache", "_generate")
TO_AN_ANSWER_ASYNC = ("agenerate_prompt", "agenerate", "_agenerate_with_cache", "_agenerate")
TO_A_STREAM = ("_stream",)
TO_A_STREAM_ASYNC = ("_astream",)
"""The methods through which langchain-core comes to a call. A model with one of its own takes no fast path."""

STREAMS_OR_NOT = ("_should_stream", "_should_use_protocol_streaming")
"""The methods by which langchain-core decides whether a run that is heard is read as a stream."""


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
    # An author's hook has a door before it, which leads to langplug's.
    found = {name: getattr(cls, name) for name in methods}
    return all(getattr(one, "__langplug_door__", one) is getattr(opener, name) for name, one in found.items())


@cache
def _lc_id(cls: type[BaseChatModel]) -> list[str]:
    """Where langchain-core's serialization finds a class."""
    return cls.lc_id()


def with_signature(method: F) -> F:
    """Keep `method`'s signature ready: core reads that of `_generate` at each call, a tenth of an `invoke`."""
    setattr(method, "__signature__", inspect.signature(method))  # noqa: B010 - type checkers know no such attribute
    return method


# --- the call and its listeners ---


class CallConfig(NamedTuple):
    """The configuration of one call, and what the call's run is reported to.

    Attributes:
        config: All of the configuration, with that of the run around the call.
        given: Whether the caller gave one.
        run_id: The run's id, where the caller gave one or langplug has chosen it.
        manager: What langchain-core reports the run to, or makes that of; None if nobody listens.
    """

    config: RunnableConfig
    given: bool = False
    run_id: uuid.UUID | None = None
    manager: BaseRunManager | BaseCallbackManager | None = None

    @classmethod
    def of(cls, config: RunnableConfig | None) -> "CallConfig":
        """That of a call with `config`, where it is made."""
        ensured = ensure_config(config)
        return cls(ensured, bool(config), ensured.get("run_id"))

    def with_listeners(self, manager: type[CallbackManager] | type[AsyncCallbackManager]) -> "CallConfig":
        """The call with all that listens to it and what runs within it, by which langchain-core then goes.

        Where it streams, it does not tell a model whom it reports to.
        """
        run_id = self.run_id or uuid7()
        configured = manager.configure(self.config.get("callbacks"))
        config = self.config.copy()
        config["callbacks"], config["run_id"] = configured, run_id
        return CallConfig(config, self.given, run_id, configured)


def passes_on_tokens(handler: BaseCallbackHandler) -> bool:
    """Whether `handler` streams what models say, as `astream_events` and LangGraph's `stream_mode="messages"` do."""
    # A protocol looks its names up by slow ways, and each listener of each call is asked.
    return hasattr(handler, "tap_output_iter") and isinstance(handler, _StreamingCallbackHandler)


def handler_variables() -> Iterator[ContextVar[Any]]:
    """The context variables from which langchain-core adds handlers to every run."""
    for variable, *_ in tracers_context._configure_hooks:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        yield variable


# --- the fast path: may it be taken, and what it gives ---


class Streaming(Protocol):
    """One call of a model, ready to be answered in chunks that all have one id."""

    def messages(self, message_id: str | None = None) -> Generator[AIMessageChunk, None, None]:
        """The answer chunk by chunk."""
        ...

    def amessages(self, message_id: str | None = None) -> AsyncGenerator[AIMessageChunk, None]:
        """As `messages`, for an event loop."""
        ...

    def events(self, message_id: str = "") -> Generator[dict[str, Any], None, None]:
        """The answer as events of version 3."""
        ...

    def aevents(self, message_id: str = "") -> AsyncGenerator[dict[str, Any], None]:
        """As `events`, for an event loop."""
        ...


def on_fast_path(
    model: BaseChatModel, call: CallConfig, manager: type[CallbackManager] | type[AsyncCallbackManager]
) -> CallConfig | None:
    """The call with the id of its run if no callback handler is attached to it, and the fast path may be taken.

    The decision is langchain-core's own: the call's configuration, also that of a run around it, the model's
    callbacks, `verbose` and `set_debug`, tracing by environment, and hooks such as `get_usage_metadata_callback`.

    Raises:
        RuntimeError: As langchain-core does, if the environment asks for the tracer that it has no more.
    """
    if is_heard(model, call):  # what else there is need not be looked up
        return None
    if manager.configure(call.config.get("callbacks"), model.callbacks, model.verbose).handlers:
        return None
    return call if call.run_id is not None else call._replace(run_id=uuid7())


def is_heard(model: BaseChatModel, call: CallConfig) -> bool:
    """Whether the call or the model names callback handlers; if not, there may be some all the same."""
    return _has_handlers(call.config.get("callbacks")) or _has_handlers(model.callbacks)


def _reported_to(manager: BaseRunManager | None, kwargs: dict[str, Any]) -> CallConfig:
    """The call among the keywords of one of langchain-core's hooks, with the manager of its run."""
    call: CallConfig | None = kwargs.get(CALL)
    if call is None:  # of `generate`, which is given tags and metadata, and no configuration
        call = CallConfig.of(None)
        if manager is not None:
            # Without what langchain-core tells LangSmith of the model, which a call of `invoke` knows nothing of.
            own = {name: value for name, value in manager.metadata.items() if not name.startswith("ls_")}
            call.config["tags"], call.config["metadata"] = manager.tags, own
    return call if manager is None else CallConfig(call.config, call.given, manager.run_id, manager)


def _reporting(call: CallConfig) -> dict[str, Any]:
    """What `generate` is told of a call's configuration."""
    told = {name: call.config.get(name) for name in ("callbacks", "tags", "metadata", "run_name")}
    return {**told, "run_id": call.run_id}


def _first_of(result: LLMResult) -> AIMessage:
    return cast("AIMessage", cast("ChatGeneration", result.generations[0][0]).message)


def message_id(call: CallConfig) -> str:
    """The id that langchain-core gives to the messages of a run."""
    return f"{LC_ID_PREFIX}-{call.run_id}"


def _has_handlers(callbacks: Callbacks) -> bool:
    return bool(callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks)


def with_llm_output(result: ChatResult) -> ChatResult:
    """`result` with the model's name and the tokens used, under OpenAI's names, where tracing tools look for them.

    Not before langchain-core is done with it: it would copy them into `response_metadata`, but not those of a stream.
    """
    messages = [one.message for one in result.generations if isinstance(one.message, AIMessage)]
    reports = [message.usage_metadata for message in messages if message.usage_metadata is not None]
    used = reduce(add_usage, reports) if reports else None
    output: dict[str, Any] = {}
    if messages and (name := messages[0].response_metadata.get("model_name")):
        output["model_name"] = name
    if used is not None:
        output["token_usage"] = {
            "prompt_tokens": used["input_tokens"],
            "completion_tokens": used["output_tokens"],
            "total_tokens": used["total_tokens"],
        }
    result.llm_output = {**output, **(result.llm_output or {})}
    return result


def _complete(stream: Any, event: dict[str, Any]) -> None:
    """Put into langchain-core's `stream` what it leaves out: blocks such as a refusal, and how the answer ended."""
    if event["event"] == "content-block-finish":
        stream._blocks.setdefault(event["index"], event["content"])  # noqa: SLF001
    elif event["event"] == "message-finish":
        ended = AIMessage("", response_metadata=event.get("metadata") or {})
        stream._generation_info.update(generation_info(ended) or {})  # noqa: SLF001


def with_ids(result: ChatResult, call: CallConfig) -> ChatResult:
    """`result`, its messages with the ids that langchain-core gives to those without one."""
    for number, one in enumerate(result.generations):
        if one.message.id is None:
            one.message.id = f"{message_id(call)}-{number}"
    return result


def as_generated(result: ChatResult, call: CallConfig) -> AIMessage:
    """The first answer of `result`, with the id that langchain-core gives it unless it has one."""
    return cast("AIMessage", with_ids(result, call).generations[0].message)


class PatchedChatModel(BaseChatModel):
    """`BaseChatModel` without the faults that a subclass can fix."""

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
        call = CallConfig.of(config)
        kwargs = self.__langplug_hide__(kwargs) if kwargs else kwargs
        plain = not is_heard(self, call) and self.__is_plain(TO_AN_ANSWER, kwargs)
        plain = plain and self.__answers_itself(kwargs, async_api=False)
        if not plain or (unheard := on_fast_path(self, call, CallbackManager)) is None:
            # As langchain-core does it, but for a configuration that is ready.
            prompts = [self._convert_input(input)]
            asked: dict[str, Any] = {**kwargs, CALL: call}
            return _first_of(self.generate_prompt(prompts, stop=stop, **_reporting(call), **asked))
        asked = {**kwargs, CALL: unheard}
        return as_generated(self._generate(self.__admitted(input), stop, **asked), unheard)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """As langchain-core's, and by the fast path without callback handlers."""
        call = CallConfig.of(config)
        kwargs = self.__langplug_hide__(kwargs) if kwargs else kwargs
        plain = not is_heard(self, call) and self.__is_plain(TO_AN_ANSWER_ASYNC, kwargs)
        plain = plain and self.__answers_itself(kwargs, async_api=True)
        if not plain or (unheard := on_fast_path(self, call, AsyncCallbackManager)) is None:
            prompts = [self._convert_input(input)]
            asked: dict[str, Any] = {**kwargs, CALL: call}
            return _first_of(await self.agenerate_prompt(prompts, stop=stop, **_reporting(call), **asked))
        asked = {**kwargs, CALL: unheard}
        return as_generated(await self._agenerate(await self.__aadmitted(input), stop, **asked), unheard)

    # --- runs ---

    def generate(
        self, messages: list[list[BaseMessage]], stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        """As langchain-core's, one prompt after the other, so that each one's run ends before the next begins."""
        if len(messages) <= 1:
            return super().generate(messages, stop, callbacks, **kwargs)
        results: list[LLMResult] = []
        for prompt in messages:
            results.append(super().generate([prompt], stop, callbacks, **kwargs))
            kwargs.pop("run_id", None)  # it names the first run alone
        return LLMResult(
            generations=[result.generations[0] for result in results],
            llm_output=self._combine_llm_outputs([result.llm_output for result in results]),
            run=[run for result in results for run in result.run or ()],
        )

    async def agenerate(
        self, messages: list[list[BaseMessage]], stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        """As langchain-core's, and cancelled, it ends its runs."""
        runs: dict[Any, bool] = {}
        asked: dict[str, Any] = {**kwargs, RUNS: runs}
        try:
            return await super().agenerate(messages, stop, callbacks, **asked)
        except asyncio.CancelledError as error:
            if not all(runs.values()):  # else langchain-core is ending them already
                for run in runs:
                    await run.on_llm_error(error, response=LLMResult(generations=[]))
            raise

    def _generate_with_cache(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        kwargs[CALL] = call = _reported_to(run_manager, kwargs)
        if not self.__only_reports(run_manager, kwargs, "_generate", async_api=False):
            return with_llm_output(super()._generate_with_cache(messages, stop, run_manager, **kwargs))
        if self.rate_limiter:
            self.rate_limiter.acquire(blocking=True)
        return with_llm_output(with_ids(self._generate(messages, stop, run_manager, **kwargs), call))

    def _agenerate_with_cache(  # pyright: ignore[reportIncompatibleMethodOverride] - a coroutine by its wider name
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, ChatResult]:
        runs: dict[Any, bool] = kwargs.pop(RUNS, {})
        runs[run_manager] = False  # already now: what is cancelled at once never starts to run
        kwargs[CALL] = _reported_to(run_manager, kwargs)
        return self.__answer_of_run(runs, messages, stop, run_manager, **kwargs)

    async def __answer_of_run(
        self, runs: dict[Any, bool], messages: list[BaseMessage], stop: list[str] | None, run: Any, **kwargs: Any
    ) -> ChatResult:
        if not self.__only_reports(run, kwargs, "_agenerate", async_api=True):
            result = await super()._agenerate_with_cache(messages, stop, run, **kwargs)
        else:
            if self.rate_limiter:
                await self.rate_limiter.aacquire(blocking=True)
            result = with_ids(await self._agenerate(messages, stop, run, **kwargs), kwargs[CALL])
        runs[run] = True
        return with_llm_output(result)

    def __only_reports(
        self, run: BaseRunManager | None, kwargs: dict[str, Any], method: str, *, async_api: bool
    ) -> bool:
        """Whether langchain-core would hand a run to `method` as it is, without a cache and without reading a stream.

        What it does besides costs a tenth of a short call: it reads the signature of `method`, asks each handler by
        ways that are slow whether it streams, and adds metadata that our messages have already.
        """
        if run is None or not _are_langplugs(type(self), (method, *STREAMS_OR_NOT)):
            return False
        streams = any(passes_on_tokens(one) or isinstance(one, _V2StreamingCallbackHandler) for one in run.handlers)
        return not streams and self.__answers_itself(kwargs, async_api=async_api)

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        """What `generate` says of all its prompts: the first one's model, and the tokens of all of them."""
        if len(llm_outputs) == 1:
            return llm_outputs[0] or {}
        combined: dict[str, Any] = {}
        tokens: Counter[str] = Counter()
        for output in filter(None, llm_outputs):
            combined = {**output, **combined}
            counted = output.get("token_usage") or {}
            tokens.update({name: count for name, count in counted.items() if isinstance(count, int)})
        return {**combined, "token_usage": dict(tokens)} if tokens else combined

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
        kwargs = self.__langplug_hide__(kwargs) if kwargs else kwargs
        asked: dict[str, Any] = {**kwargs, "stream": True}
        if not self._should_stream(async_api=False, **asked):
            yield as_chunk(self.invoke(input, config, stop=stop, **kwargs))
            return
        call = CallConfig.of(config)
        if self.__is_plain(TO_A_STREAM, kwargs) and (unheard := on_fast_path(self, call, CallbackManager)):
            opening = self.__langplug_open__(self.__admitted(input), stop, {**kwargs, CALL: unheard})
            yield from opening.messages(message_id(unheard))
            return
        opened: list[Generator[Any, None, None]] = []
        call = call.with_listeners(CallbackManager)
        try:
            yield from super().stream(input, call.config, stop=stop, **{**kwargs, OPENED: opened, CALL: call})
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
        kwargs = self.__langplug_hide__(kwargs) if kwargs else kwargs
        asked: dict[str, Any] = {**kwargs, "stream": True}
        if not self._should_stream(async_api=True, **asked):
            yield as_chunk(await self.ainvoke(input, config, stop=stop, **kwargs))
            return
        call = CallConfig.of(config)
        if self.__is_plain(TO_A_STREAM_ASYNC, kwargs) and (unheard := on_fast_path(self, call, AsyncCallbackManager)):
            opening = self.__langplug_open__(await self.__aadmitted(input), stop, {**kwargs, CALL: unheard})
            messages = DetachedAsyncGenerator(opening.amessages(message_id(unheard)))
            try:
                async for message in messages:
                    yield message
            finally:
                await messages.aclose()
            return
        opened: list[DetachedAsyncGenerator[Any]] = []
        call = call.with_listeners(AsyncCallbackManager)
        generator = super().astream(input, call.config, stop=stop, **{**kwargs, OPENED: opened, CALL: call})
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

    if not TYPE_CHECKING:  # type checkers keep langchain-core's overloads

        def stream_events(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
            """As langchain-core's, and the run knows its configuration."""
            if kwargs.get("version") == "v3":  # the others come by `stream`
                kwargs[CALL] = CallConfig.of(config)
            return super().stream_events(input, config, **kwargs)

        def astream_events(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
            """As `stream_events`, for an event loop."""
            if kwargs.get("version") == "v3":
                kwargs[CALL] = CallConfig.of(config)
            return super().astream_events(input, config, **kwargs)

    # --- version 3 of the events: by langchain-core's hooks for models that speak in them ---

    def _stream_chat_model_events(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[Any]:
        call = _reported_to(run_manager, kwargs)
        id_ = message_id(call) if run_manager else ""
        if not _are_langplugs(type(self), TO_A_STREAM):  # an author's own stream: what it says counts
            chunks = self._stream(messages, stop=stop, run_manager=run_manager, **kwargs)
            return chunks_to_events(chunks, message_id=id_)
        return self.__langplug_open__(messages, stop, held_for_a_parser({**kwargs, CALL: call})).events(id_)

    def _astream_chat_model_events(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        call = _reported_to(run_manager, kwargs)
        id_ = message_id(call) if run_manager else ""
        if not _are_langplugs(type(self), TO_A_STREAM_ASYNC):
            chunks = self._astream(messages, stop=stop, run_manager=run_manager, **kwargs)
            return achunks_to_events(chunks, message_id=id_)
        return self.__langplug_open__(messages, stop, held_for_a_parser({**kwargs, CALL: call})).aevents(id_)

    def _iter_v2_events(
        self, messages: list[BaseMessage], *, run_manager: Any, stream: Any, **kwargs: Any
    ) -> Iterator[Any]:
        if getattr(self, "_stream_chat_model_events", None) is None:  # an author's class may do without
            yield from super()._iter_v2_events(messages, run_manager=run_manager, stream=stream, **kwargs)
            return
        events = self._stream_chat_model_events(messages, run_manager=run_manager, **kwargs)
        try:
            for event in events:
                stream.dispatch(event)
                if event["event"] != "content-block-delta":
                    _complete(stream, event)
                if run_manager.handlers:
                    run_manager.on_stream_event(event)
                yield event
        finally:
            if isinstance(events, Generator):  # an author's own hook may give any iterator
                events.close()

    async def _aiter_v2_events(
        self, messages: list[BaseMessage], *, run_manager: Any, stream: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        if getattr(self, "_astream_chat_model_events", None) is None:
            async for event in super()._aiter_v2_events(messages, run_manager=run_manager, stream=stream, **kwargs):
                yield event
            return
        events = self._astream_chat_model_events(messages, run_manager=run_manager, **kwargs)
        if isinstance(events, AsyncGenerator):
            events = DetachedAsyncGenerator(events)
        stream.set_start(None)  # it has started; else each reader asks so, by a coroutine, before each delta
        dispatch, handlers = stream.dispatch, run_manager.handlers
        try:
            async for event in events:
                dispatch(event)
                if handlers:
                    await run_manager.on_stream_event(event)
                if event["event"] != "content-block-delta":
                    _complete(stream, event)
                    yield event  # the others not: langchain-core drives this, and looks at none of them
        finally:
            if isinstance(events, DetachedAsyncGenerator):
                await events.aclose()

    # --- the fast path; mangled names, since authors call attributes of theirs as they like ---

    def __langplug_open__(
        self, messages: list[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> Streaming:
        raise NotImplementedError

    def __langplug_hide__(self, given: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def __is_plain(self, methods: tuple[str, ...], kwargs: dict[str, Any]) -> bool:
        """Whether langchain-core's `methods` are those of langplug, and a call with `kwargs` may do without them."""
        # An author who overrides `generate` or `_stream` expects langchain-core to go through it.
        return CORES_OWN.isdisjoint(kwargs) and _are_langplugs(type(self), methods)

    def __answers_itself(self, kwargs: dict[str, Any], *, async_api: bool) -> bool:
        """Whether `invoke` would neither look into a cache nor read a stream."""
        if self.cache is not False and (self.cache is not None or get_llm_cache() is not None):
            return False
        may_stream = getattr(self, "streaming", False) or "stream" in kwargs
        if not may_stream and _are_langplugs(type(self), STREAMS_OR_NOT):
            return True  # what langchain-core comes to by longer ways
        return not self._should_stream(async_api=async_api, **kwargs)

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

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        """As langchain-core's, which looks a class's name up anew at each call."""
        cls = type(self).__pydantic_generic_metadata__["origin"] or type(self)  # `Model[int]` is called `Model`
        return super().get_name(suffix, name=name or getattr(self, "name", None) or cls.__name__)

    @property
    def _serialized(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What traces say of this model: which class, and how it is set up now, without secrets."""
        told = {"model": getattr(self, "reported_name", None)}
        told |= {
            name: value for name in ("temperature", "max_tokens") if (value := self.__dict__.get(name)) is not None
        }
        return {
            "lc": 1,
            "type": "not_implemented",
            "id": _lc_id(type(self)).copy(),
            "repr": repr(self),
            "name": self.get_name(),
            # Where OpenTelemetry's instrumentation looks for the model that was asked for, as in official integrations.
            "kwargs": told,
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
