"""The models that are served, and under which names."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from langplug import ChatModel, adopt
from langplug._suggest import did_you_mean
from langplug.models import ChatAdopted
from langplug.models.adopted.checkpointers import has_checkpointer
from langplug.serve.call import Call, Thread
from langplug.serve.errors import ApiError, refused
from langplug.serve.threads import Threads

LOADING_S = 2
"""Seconds after which a client may ask again whether the models are there."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model, and what clients know it by.

    Attributes:
        id: Its id.
        model: A model of langplug's: stop strings, tools, schemas and cancellation hold for each.
        threads: Its threads, if it is a graph with a checkpointer.
        created: Since when it is served, in seconds since 1970.
    """

    id: str
    model: ChatModel
    threads: Threads | None = None
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def card(self) -> dict[str, Any]:
        """What `/v1/models` says of it: OpenAI's four fields, and its profile as `capabilities`."""
        known = {"id": self.id, "object": "model", "created": self.created, "owned_by": "langplug"}
        return {**known, "capabilities": dict(self.model.profile or {})}

    def thread_of(self, call: Call) -> Thread | None:
        """The thread that a call goes on with, or begins; None if it says everything itself.

        Raises:
            ApiError: If it goes on from an answer that cannot be here.
        """
        if self.threads is not None:
            return self.threads.begin(call)
        if call.previous is not None:
            raise refused("previous_response_id", "this model stores nothing; send the whole conversation as `input`.")
        return None

    def line_of(self, call: Call) -> asyncio.Lock | None:
        """What a call has to hold while it runs, if it is of a thread: calls of one thread take turns."""
        return None if self.threads is None or call.thread is None else self.threads.line(call.thread)

    async def given(self, call: Call) -> tuple[list[BaseMessage], RunnableConfig | None]:
        """What the model is given of a call, and with which configuration."""
        if self.threads is None or call.thread is None:
            return call.messages, None
        return await self.threads.given(call.thread, call.messages)

    async def settle(self, call: Call, config: RunnableConfig | None) -> None:
        """Keep what can be known of a call's answer only when it is complete."""
        if self.threads is not None and call.thread is not None and config is not None:
            await self.threads.settle(call.thread, config)

    def parameters_of(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Those parameters of a call that the model takes, and the names of the others."""
        taken = {name: value for name, value in given.items() if self.model.__langplug_uses__(name)}
        return taken, [name for name in given if name not in taken]


class Catalog:
    """The served models by id.

    Args:
        models: As `fill` takes them; None if they are still being loaded.
        show_steps: Whether the steps of graphs are told as reasoning.
        user_threads: Whether graphs with a checkpointer have a thread for each user.

    Raises:
        ValueError: If there is none.
        TypeError: If one of them is no model.
    """

    def __init__(self, models: Any = None, *, show_steps: bool = False, user_threads: bool = False) -> None:
        self._show_steps = show_steps
        self._user_threads = user_threads
        self._served: dict[str, ServedModel] = {}
        if models is not None:
            self.fill(models)

    def fill(self, models: Any) -> None:
        """Serve `models`.

        Args:
            models: One model, whose id is the name that it reports; or several, each by its id. A chat model, chain or
                graph that is not langplug's is adopted.

        Raises:
            ValueError: If there is none.
            TypeError: If one of them is no model.
        """
        if isinstance(models, Mapping):
            named = {str(name): self._adopt(model) for name, model in models.items()}
        else:
            one = self._adopt(models)
            named = {one.reported_name: one}
        if not named:
            raise ValueError("there is no model to serve: give one, or several as {'id': model}")
        served = {}
        for name, model in named.items():
            graph = model.adopted if isinstance(model, ChatAdopted) else None
            keeps = graph is not None and has_checkpointer(graph)
            threads = Threads(graph, name, of_users=self._user_threads) if keeps else None
            served[name] = ServedModel(name, model, threads)
        self._served = served

    def _adopt(self, model: Any) -> ChatModel:
        adopted = adopt(model)
        shows_steps = self._show_steps and isinstance(adopted, ChatAdopted)
        return adopt(adopted, show_steps=True) if shows_steps else adopted

    @property
    def is_loading(self) -> bool:
        """Whether there is nothing to ask yet."""
        return not self._served

    def all(self) -> list[ServedModel]:
        """Every model.

        Raises:
            ApiError: 503 if they are still being loaded.
        """
        if self.is_loading:
            message = "The models are still being loaded; /health/ready is 200 when they can be asked."
            raise ApiError(503, "server_error", message, code="loading", retry_after=LOADING_S)
        return list(self._served.values())

    def find(self, name: str) -> ServedModel:
        """The model with this id.

        Raises:
            ApiError: If there is none; 404, and the message names the nearest. 503 while they are being loaded.
        """
        known = {served.id: served for served in self.all()}
        if name not in known:
            hint = did_you_mean(name, known)
            message = f"There is no model {name!r:.200} here.{hint} /v1/models lists those that there are."
            raise ApiError(404, "invalid_request_error", message, "model", "model_not_found")
        return known[name]
