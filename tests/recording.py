"""A callback handler that keeps what runs tell, for the tests of every model."""

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult


class RecordingHandler(BaseCallbackHandler):
    """Keeps what runs tell their handlers.

    Attributes:
        seen: `"start"`, `"end"`, and of each error the name of its type, in order.
        run_ids: The runs, as they started.
        tokens: All tokens together.
        started: What the last start was told with, `serialized` included.
        result: What the last run ended with.
        error: The last error.
        streamed: What its run had streamed until then.
    """

    run_inline = True  # else langchain-core may leave version 3 of the events before the handler's thread has begun

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.run_ids: list[UUID] = []
        self.tokens = ""
        self.started: dict[str, Any] = {}
        self.result: LLMResult | None = None
        self.error: BaseException | None = None
        self.streamed: LLMResult | None = None

    @property
    def partial(self) -> Any:
        """What the last error holds of its answer."""
        return getattr(self.error, "partial", None)

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.seen.append("start")
        self.run_ids.append(run_id)
        self.started = {"serialized": serialized, "run_id": run_id, **kwargs}

    def on_llm_new_token(self, token: str | list[Any], **_: Any) -> None:
        self.tokens += str(token)

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self.seen.append("end")
        self.result = response

    def on_llm_error(self, error: BaseException, *, response: LLMResult | None = None, **_: Any) -> None:
        self.seen.append(type(error).__name__)
        self.error, self.streamed = error, response
