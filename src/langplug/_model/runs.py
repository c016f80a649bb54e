"""The `Run` of a call: what an author is told of it, and what models that are called within it do to it.

A model that passes on another model is one model to its callers. Whoever streams it or counts its tokens must hear it
once, so while `respond` runs, such listeners are out of reach of what it calls. Tracers still see the runs within, as
children of this one.
"""

import contextvars
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, CallbackManager
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer

from langplug._model.langchain import CallConfig, handler_variables, passes_on_tokens
from langplug._request import Run


def run_of(model: BaseChatModel, call: CallConfig, manager: BaseRunManager | None) -> Run:
    """The run of one call of `model`.

    Args:
        model: The model that is called.
        call: The call's configuration.
        manager: What langchain-core reports the run to, where it says so.
    """
    listeners = manager or call.manager
    config = call.config
    metadata = {**(model.metadata or {}), **(config.get("metadata") or {})}
    run_id = call.run_id if manager is None else manager.run_id
    child = _config_within(config, listeners, run_id)
    return Run(
        id=run_id,
        name=config.get("run_name") or model.get_name(),
        tags=tuple(dict.fromkeys([*(config.get("tags") or ()), *(model.tags or ())])),
        # Without what langchain-core tells LangSmith of the model, as it is there only while somebody listens.
        metadata={name: value for name, value in metadata.items() if not name.startswith("ls_")},
        configurable=config.get("configurable") or {},
        config=child,
        context=_context_within(child) if _is_news(child, listeners) else None,
    )


def _is_news(config: RunnableConfig, listeners: Any) -> bool:
    """Whether what is called within a run has to be told its configuration, and does not know it already."""
    if listeners is not None and listeners.handlers:
        return True
    around = var_child_runnable_config.get() or {}
    return any(
        config.get(name) and config.get(name) != around.get(name) for name in ("tags", "metadata", "configurable")
    )


def _config_within(config: RunnableConfig, listeners: Any, run_id: UUID | None) -> RunnableConfig:
    """The configuration of what is called within a run, without the listeners that are to hear the run alone."""
    within: dict[str, Any] = {name: value for name, value in config.items() if name not in ("run_name", "run_id")}
    if listeners is not None:
        # What langchain-core's `get_child` makes in several steps.
        heard = [_heard_within(handler) for handler in listeners.inheritable_handlers]
        tags, metadata = listeners.inheritable_tags, listeners.inheritable_metadata
        within["callbacks"] = CallbackManager(
            heard,
            heard.copy(),
            run_id,
            tags=tags.copy(),
            inheritable_tags=tags.copy(),
            metadata=metadata.copy(),
            inheritable_metadata=metadata.copy(),
        )
    return cast("RunnableConfig", within)


def _context_within(config: RunnableConfig) -> contextvars.Context:
    """The context in which an author's function runs: `config` is what it calls other runnables with by itself."""
    context = contextvars.copy_context()
    context.run(var_child_runnable_config.set, config)
    for variable in handler_variables():  # such as that of `get_usage_metadata_callback`
        handler = context.get(variable)
        if handler is not None and not _is_tracer(handler):
            context.run(variable.set, None)
    return context


def _heard_within(handler: BaseCallbackHandler) -> BaseCallbackHandler:
    if _is_tracer(handler):
        return handler
    return _AsyncOwnEvents(handler) if isinstance(handler, AsyncCallbackHandler) else _OwnEvents(handler)


def _is_tracer(handler: BaseCallbackHandler) -> bool:
    """Whether `handler` records runs as a tree, and does not pass on or add up what models say."""
    return isinstance(handler, BaseTracer | AsyncBaseTracer) and not passes_on_tokens(handler)


class _OwnEvents(BaseCallbackHandler):
    """Passes on the author's own events (`dispatch_custom_event`) alone: they are the model's, not a nested run's."""

    def __init__(self, handler: BaseCallbackHandler) -> None:
        self._handler = handler
        self.raise_error = handler.raise_error
        self.run_inline = handler.run_inline

    @property
    def ignore_custom_event(self) -> bool:
        return self._handler.ignore_custom_event

    def on_custom_event(self, *args: Any, **kwargs: Any) -> Any:
        return self._handler.on_custom_event(*args, **kwargs)


class _AsyncOwnEvents(AsyncCallbackHandler):
    """As `_OwnEvents`, for a handler whose methods are coroutines."""

    def __init__(self, handler: AsyncCallbackHandler) -> None:
        self._handler = handler
        self.raise_error = handler.raise_error
        self.run_inline = handler.run_inline

    @property
    def ignore_custom_event(self) -> bool:
        return self._handler.ignore_custom_event

    async def on_custom_event(self, *args: Any, **kwargs: Any) -> None:
        await self._handler.on_custom_event(*args, **kwargs)
