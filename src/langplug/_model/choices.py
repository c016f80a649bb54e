"""Several answers to one prompt, from a source that gives them together (`n` of the OpenAI wire)."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage

from langplug._answer.from_openai import answer_in, completion_of, numbered_choices
from langplug._bridge.source import Deadline, aparts, parts
from langplug._errors import UnmetDemandError, UnsupportedError
from langplug._model.plan import Plan
from langplug._model.retries import Tries
from langplug._model.run import ModelRun
from langplug._request import Cancellation


class Choices:
    """The answers of one call; of each, what `ModelRun` makes of the only one.

    Raises:
        UnsupportedError: If the call also demands something of an answer, as nobody could say which to ask again.
    """

    def __init__(self, plan: Plan) -> None:
        if plan.requirement is not None:
            raise UnsupportedError(
                f"{type(plan.model).__name__} cannot give several answers that must each hold a call or fit a schema. "
                "Set n=1 and call it several times, with `batch`."
            )
        self._plan = plan
        self._model = plan.model
        self._request = plan.request
        self._begin_anew()

    def messages(self) -> list[AIMessage]:
        """The answers, in order.

        Raises:
            UnmetDemandError: If there are fewer than were asked for.
        """
        model = self._model
        deadline = None if model.timeout is None else Deadline(model.timeout)
        tries = Tries(model, deadline, self._partial)
        queue = model.__langplug_queue__()
        while True:
            source = parts(model.respond, model.__langplug_shape__, self._request, deadline, queue)
            with tries:
                try:
                    for part in source:
                        self._add_part(part)
                    return self._messages()
                finally:
                    source.close()
            self._begin_anew()
            time.sleep(tries.wait_s or 0)
            if model.rate_limiter is not None:
                model.rate_limiter.acquire(blocking=True)

    async def amessages(self) -> list[AIMessage]:
        """As `messages`, for an event loop."""
        model = self._model
        deadline = None if model.timeout is None else Deadline(model.timeout)
        tries = Tries(model, deadline, self._partial)
        queue = model.__langplug_queue__()
        while True:
            source = aparts(*model.__langplug_on_loop__(self._request), self._request, deadline, queue)
            with tries:
                try:
                    async for part in source:
                        self._add_part(part)
                    return self._messages()
                finally:
                    await source.aclose()
            self._begin_anew()
            await asyncio.sleep(tries.wait_s or 0)
            if model.rate_limiter is not None:
                await model.rate_limiter.aacquire(blocking=True)

    def _begin_anew(self) -> None:
        """Ask as if nothing had been asked."""
        self._request = replace(self._request, cancellation=Cancellation())
        self._runs = [ModelRun(self._plan) for _ in range(self._model.answers_per_call)]
        self._seen: set[int] = set()

    def _partial(self) -> AIMessage | None:
        return next(filter(None, [run.partial() for run in self._runs]), None)

    def _add_part(self, part: Any) -> None:
        if (completion := completion_of(part)) is None:  # what has no number belongs to the first answer
            self._runs[0].add_part(part)
            return
        try:
            # A server that does not know `n` sends one choice, and no error.
            self._seen |= {number for number, _ in numbered_choices(completion)}
            answers = [answer_in(completion, index) for index in range(len(self._runs))]
        except (AttributeError, TypeError):
            self._runs[0].add_part(part)  # which says what is malformed
            raise
        for run, answer in zip(self._runs, answers, strict=True):
            run.add_part(answer)

    def _messages(self) -> list[AIMessage]:
        if len(self._seen) < len(self._runs):
            raise UnmetDemandError(
                f"{type(self._model).__name__} was asked for {len(self._runs)} answers, but the server gave "
                f"{len(self._seen)}. It does not know `n`: set n=1, and call it several times, with `batch`."
            )
        return [run.collected_message() for run in self._runs]
