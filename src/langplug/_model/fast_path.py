"""Whether anybody hears of a call: if not, langplug goes past langchain-core's callbacks, and keeps nothing for them.

`_core.py` takes the short way. It gives the same chunks, messages, ids and errors; `tests/test_fast_path.py` compares.
Only public names of langchain-core are used here.
"""

from collections.abc import AsyncGenerator, Generator
from typing import Protocol, cast

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager, CallbackManager, Callbacks
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.utils.utils import LC_ID_PREFIX
from langchain_core.utils.uuid import uuid7


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
    """The id that messages of this run have, if no callback handler would hear of it; None where one does.

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
