"""Several answers to one prompt, from a source that gives them together (`n` of the OpenAI wire)."""

from typing import Any

from langchain_core.messages import AIMessage

from langplug._answer.from_openai import answer_in, completion_of, numbered_choices
from langplug._bridge.source import aparts, parts
from langplug._errors import UnmetDemandError, UnsupportedError, remember_partial
from langplug._model.plan import Plan
from langplug._model.run import ModelRun


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
        self._model = plan.model
        self._request = plan.request
        self._runs = [ModelRun(plan) for _ in range(plan.model.answers_per_call)]
        self._seen: set[int] = set()

    def messages(self) -> list[AIMessage]:
        """The answers, in order.

        Raises:
            UnmetDemandError: If there are fewer than were asked for.
        """
        source = parts(self._model.respond, self._model.__langplug_shape__, self._request, self._model.timeout)
        try:
            for part in source:
                self._add_part(part)
            return self._messages()
        except BaseException as error:
            remember_partial(error, self._runs[0].partial())
            raise
        finally:
            source.close()

    async def amessages(self) -> list[AIMessage]:
        """As `messages`, for an event loop."""
        source = aparts(self._model.respond, self._model.__langplug_shape__, self._request, self._model.timeout)
        try:
            async for part in source:
                self._add_part(part)
            return self._messages()
        except BaseException as error:
            remember_partial(error, self._runs[0].partial())
            raise
        finally:
            await source.aclose()

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
