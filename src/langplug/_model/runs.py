"""The `Run` of a call: what an author is told of it, and what models that are called within it do to it.

A model that passes on another model is one model to its callers. Whoever streams it or counts its tokens must hear it
once, so while `respond` runs, the models that it calls are heard by tracers alone, as children of its run. Tools and
chains are heard by all, but for those who pass on tokens.
"""

import contextvars
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer

from langplug._model.langchain import CallConfig, handler_variables, passes_on_tokens
from langplug._request import Run

_VERSIONS = "lc_versions"
"""The entry of a model's metadata in which langchain-core collects the versions of packages, for traces."""

_INHERITED = ("tags", "metadata", "configurable")
"""The entries of a configuration that a model hands on to what it calls, besides its listeners."""


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
    # What is called within the run is told of it only where it does not know as much already: that takes a context.
    is_heard = listeners is not None and bool(listeners.handlers)
    around = {} if is_heard else var_child_runnable_config.get() or {}
    is_news = is_heard or any(child.get(name) and child.get(name) != around.get(name) for name in _INHERITED)
    context = None
    if is_news:  # the author's function runs in it: `child` is what it calls other runnables with by itself
        context = contextvars.copy_context()
        context.run(var_child_runnable_config.set, child)
        for variable in handler_variables():  # such as that of `get_usage_metadata_callback`
            handler = context.get(variable)
            if handler is not None and not _is_tracer(handler):
                context.run(variable.set, None)
    return Run(
        id=run_id,
        parent_id=None if listeners is None else listeners.parent_run_id,
        name=config.get("run_name") or model.get_name(),
        tags=tuple(dict.fromkeys([*(config.get("tags") or ()), *(model.tags or ())])),
        metadata={name: value for name, value in metadata.items() if name != _VERSIONS},
        # Without what LangGraph keeps there for itself, which no gateway could be sent.
        configurable={key: value for key, value in (config.get("configurable") or {}).items() if key[:2] != "__"},
        config=child,
        context=context,
    )


def _config_within(config: RunnableConfig, listeners: Any, run_id: UUID | None) -> RunnableConfig:
    """The configuration of what is called within a run, without the listeners that are to hear the run alone."""
    within: dict[str, Any] = {name: value for name, value in config.items() if name not in ("run_name", "run_id")}
    if listeners is not None:
        # What langchain-core's `get_child` makes in several steps.
        heard: list[BaseCallbackHandler] = [
            handler if _is_tracer(handler) else _WithoutModels(handler) for handler in listeners.inheritable_handlers
        ]
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


def _is_tracer(handler: BaseCallbackHandler) -> bool:
    """Whether `handler` records runs as a tree, and does not pass on or add up what models say."""
    return isinstance(handler, BaseTracer | AsyncBaseTracer) and not passes_on_tokens(handler)


_OTHER_EVENTS = (
    *("on_chain_start", "on_chain_end", "on_chain_error", "on_agent_action", "on_agent_finish"),
    *("on_tool_start", "on_tool_end", "on_tool_error", "on_text", "on_retry", "on_custom_event"),
    *("on_retriever_start", "on_retriever_end", "on_retriever_error"),
)


class _WithoutModels(BaseCallbackHandler):
    """Hears for `handler` what happens within a model's run, but for the models in it: their answer is its own.

    Whoever passes on tokens hears no more than the author's own events: a graph within a model shows messages, too.
    """

    def __init__(self, handler: BaseCallbackHandler) -> None:
        self._handler = handler
        self.raise_error = handler.raise_error
        self.run_inline = handler.run_inline
        for name in ("on_custom_event",) if passes_on_tokens(handler) else _OTHER_EVENTS:
            # The handler's own method, which may be a coroutine function: langchain-core looks which it is.
            setattr(self, name, getattr(handler, name))

    @property
    def ignore_llm(self) -> bool:
        return True

    @property
    def ignore_chat_model(self) -> bool:
        return True

    @property
    def ignore_chain(self) -> bool:
        return self._handler.ignore_chain

    @property
    def ignore_agent(self) -> bool:
        return self._handler.ignore_agent

    @property
    def ignore_retriever(self) -> bool:
        return self._handler.ignore_retriever

    @property
    def ignore_retry(self) -> bool:
        return self._handler.ignore_retry

    @property
    def ignore_custom_event(self) -> bool:
        return self._handler.ignore_custom_event
