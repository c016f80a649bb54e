"""A callback handler that notes what a run tells, for the tests of every model."""

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult


class Witness(BaseCallbackHandler):
    """Notes what a run tells its callbacks."""

    run_inline = True  # else langchain-core may leave version 3 of the events before the handler's thread has begun

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.tokens = ""
        self.started: dict[str, Any] = {}
        self.result: LLMResult | None = None
        self.partial: Any = None

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.seen.append("start")
        self.started = kwargs

    def on_llm_new_token(self, token: str | list[Any], **_: Any) -> None:
        self.tokens += str(token)

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self.seen.append("end")
        self.result = response

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.seen.append(type(error).__name__)
        self.partial = getattr(error, "partial", None)
