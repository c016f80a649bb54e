"""What langchain-core wraps around a model (`bind`, `with_retry`, `configurable_fields` ...), made one of ours.

langchain-core's wrappers find the model's own methods by `__getattr__`: `model.bind(stop=["x"]).bind_tools(tools)`
calls `bind_tools` of the bare model, and the stop strings are lost. Ours, in `composition.py`, keep them.
"""

from functools import wraps
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableSerializable
from langchain_core.runnables.utils import Input, Output


def _keeping(name: str) -> Any:
    """langchain-core's method of this name, with what it returns made one of ours."""

    @wraps(getattr(RunnableSerializable, name))
    def method(self: "Composable[Any, Any]", *args: Any, **kwargs: Any) -> Any:
        return self.__langplug_keep__(getattr(super(Composable, self), name)(*args, **kwargs))

    return method


def _hiding(name: str) -> Any:
    """langchain-core's method of this name, which hides secrets among its keywords before core holds them."""

    @wraps(getattr(RunnableSerializable, name))
    def method(self: "Composable[Any, Any]", *args: Any, **kwargs: Any) -> Any:
        kwargs = self.__langplug_hide__(kwargs) if kwargs else kwargs
        return getattr(super(Composable, self), name)(*args, **kwargs)

    return method


class Composable(RunnableSerializable[Input, Output]):
    """A model, or a wrapper of models, whose wrappers lose nothing that was said to it before."""

    if not TYPE_CHECKING:  # type checkers know langchain-core's more exact signatures
        batch = _hiding("batch")
        abatch = _hiding("abatch")
        batch_as_completed = _hiding("batch_as_completed")
        abatch_as_completed = _hiding("abatch_as_completed")
        stream_events = _hiding("stream_events")
        astream_events = _hiding("astream_events")

        bind = _keeping("bind")
        with_config = _keeping("with_config")
        with_listeners = _keeping("with_listeners")
        with_alisteners = _keeping("with_alisteners")
        with_types = _keeping("with_types")
        with_retry = _keeping("with_retry")
        with_fallbacks = _keeping("with_fallbacks")
        configurable_fields = _keeping("configurable_fields")
        configurable_alternatives = _keeping("configurable_alternatives")

    def __langplug_keep__(self, made: Any) -> Any:
        """`made`, which langchain-core wrapped around this, as the wrapper of ours that it stands for."""
        raise NotImplementedError

    def __langplug_hide__(self, given: dict[str, Any]) -> dict[str, Any]:
        """What is given for a call, with secrets as values that no repr shows."""
        raise NotImplementedError
