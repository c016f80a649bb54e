"""What watches a model from outside, by the means that LangChain offers to everybody: handlers and a cache."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal
from uuid import UUID

from langchain_core.caches import BaseCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

Kind = Literal["start", "token", "end", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One call of a callback.

    Attributes:
        kind: Which: `on_chat_model_start`, `on_llm_new_token`, `on_llm_end` or `on_llm_error`.
        run_id: The run.
        parent_run_id: The run that it is part of.
        value: The messages, the token, the `LLMResult`, or the exception.
        more: The keyword arguments, and `serialized` at the start.
    """

    kind: Kind
    run_id: UUID
    parent_run_id: UUID | None
    value: Any
    more: dict[str, Any] = field(default_factory=dict)


class Recorder(BaseCallbackHandler):
    """Keeps every callback of chat models, in the order in which they were called."""

    # Asynchronous runs hand other handlers to threads, which mixes up the order.
    run_inline = True

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._lock = Lock()

    def of(self, *kinds: Kind) -> list[Event]:
        """The events of these kinds."""
        return [event for event in self.events if event.kind in kinds]

    @property
    def kinds(self) -> list[Kind]:
        """The events' kinds, tokens left out, such as `["start", "end"]`."""
        return [event.kind for event in self.events if event.kind != "token"]

    def _keep(self, kind: Kind, value: Any, more: dict[str, Any]) -> None:
        run, parent = more.pop("run_id"), more.pop("parent_run_id", None)
        with self._lock:
            self.events.append(Event(kind=kind, run_id=run, parent_run_id=parent, value=value, more=more))

    def on_chat_model_start(self, serialized: dict[str, Any], messages: Any, **kwargs: Any) -> None:
        """Keep a start."""
        self._keep("start", messages, {"serialized": serialized, **kwargs})

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """Keep a token."""
        self._keep("token", token, kwargs)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        """Keep an end."""
        self._keep("end", response, kwargs)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        """Keep an error."""
        self._keep("error", error, kwargs)


class KeyKeeper(BaseCache):
    """A cache that always has an answer, so that the model is never reached, and keeps the keys that were asked for."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation]:
        """An answer, whatever the key."""
        self.keys.append(llm_string)
        return [ChatGeneration(message=AIMessage("from the cache"))]

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Do nothing: there is an answer for everything."""

    def clear(self, **kwargs: Any) -> None:
        """Forget the keys."""
        self.keys.clear()


@contextmanager
def global_cache(cache: BaseCache | None) -> Generator[None, None, None]:
    """Make `cache` the one for all models, while this is open."""
    before = get_llm_cache()
    set_llm_cache(cache)
    try:
        yield
    finally:
        set_llm_cache(before)
