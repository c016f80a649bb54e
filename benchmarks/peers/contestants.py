"""Who takes part, and who listens to them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.runnables import RunnableConfig

Listener = Literal["none", "inline", "async"]
"""Which callback handler a call has, of those that do nothing: none; one that is called in place, as LangGraph's and
LangSmith's are; an `AsyncCallbackHandler`, for each event of which langchain-core makes a task."""

ALL_LISTENERS: tuple[Listener, ...] = get_args(Listener)


class Inline(BaseCallbackHandler):
    """Hears of everything at once, and does nothing."""

    run_inline = True


class Awaited(AsyncCallbackHandler):
    """Hears of everything in a task, and does nothing."""

    async def on_llm_new_token(self, token: str, **_: Any) -> None:  # type: ignore[override]
        """Do nothing."""


CONFIGS: dict[Listener, Callable[[], RunnableConfig]] = {
    "none": RunnableConfig,
    "inline": lambda: RunnableConfig(callbacks=[Inline()]),
    "async": lambda: RunnableConfig(callbacks=[Awaited()]),
}


def _floor(url: str) -> Any:
    from peers.floor import Floor

    return Floor(url)


def _handwritten(url: str) -> Any:
    from peers.handwritten import HandWritten

    return HandWritten(model_name="backend-1", base_url=url)


def _openai(url: str) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="backend-1", base_url=url, api_key="none", max_retries=0)


def _litellm(url: str) -> Any:
    from langchain_litellm import ChatLiteLLM

    return ChatLiteLLM(model="openai/backend-1", api_base=url, api_key="none", max_retries=0)


def _endpoint(url: str) -> Any:
    from langplug.models import ChatEndpoint

    return ChatEndpoint(model="backend-1", base_url=url)


def _coalescing(url: str) -> Any:
    from langplug.models import ChatEndpoint

    return ChatEndpoint(model="backend-1", base_url=url, coalesce=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Somebody who asks the server.

    Attributes:
        name: As in the tables.
        make: Makes the client, of the server's base URL.
        listener: Which callback handler its calls have.
        most_rounds: How many rounds of what is costly it takes part in: who is very slow need not be asked often.
        holds_many: Whether it can have 1,000 streams open at once; else some wait until others have ended.
    """

    name: str
    make: Callable[[str], Any]
    listener: Listener = "none"
    most_rounds: int = 99
    holds_many: bool = True

    @property
    def title(self) -> str:
        """The name, with who listens."""
        return {
            "none": self.name,
            "inline": f"{self.name}, with callbacks",
            "async": f"{self.name}, with async callbacks",
        }[self.listener]


CONTESTANTS = {
    contestant.title: contestant
    for contestant in (
        Contestant(name="floor", make=_floor),
        Contestant(name="hand-written", make=_handwritten),
        Contestant(name="ChatOpenAI", make=_openai),
        Contestant(name="ChatLiteLLM", make=_litellm, most_rounds=1, holds_many=False),
        Contestant(name="ChatEndpoint", make=_endpoint),
        Contestant(name="ChatEndpoint(coalesce=True)", make=_coalescing),
        Contestant(name="hand-written", make=_handwritten, listener="inline"),
        Contestant(name="ChatOpenAI", make=_openai, listener="inline", most_rounds=1),
        Contestant(name="ChatEndpoint", make=_endpoint, listener="inline"),
        Contestant(name="ChatEndpoint(coalesce=True)", make=_coalescing, listener="inline"),
        Contestant(name="hand-written", make=_handwritten, listener="async", most_rounds=1),
        Contestant(name="ChatEndpoint", make=_endpoint, listener="async"),
    )
}
"""All of them, by title, in the order in which they take their turns."""
