"""An answer as it is recorded: the model is asked, what it gives is passed on at once, and noted."""

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing, contextmanager
from functools import cache
from typing import Any

from langchain_core.messages import AIMessage

from langplug._bridge.threads import in_thread
from langplug._model.chat_model import ChatModel
from langplug._model.hooks import Hook, openai_schema, openai_tools, parameters_in
from langplug._request import Request
from langplug.models.replay.answers import data_of
from langplug.models.replay.secrets import Striker
from langplug.models.replay.tape import Tape


class Take:
    """One answer on its way into a cassette.

    Args:
        model: Who is asked.
        question: What is asked, without secrets.
        who: What the recording says of the model.
        striker: Strikes secrets out of the answer.
        is_streamed: Whether the answer comes in pieces.
    """

    def __init__(
        self, model: ChatModel, question: dict[str, Any], who: dict[str, Any], striker: Striker, *, is_streamed: bool
    ) -> None:
        self.model = model
        self._question = question
        self._who = who
        self._striker = striker
        self._is_streamed = is_streamed
        self._kept: list[AIMessage] = []
        self._moments: list[float] = []
        self._end: dict[str, Any] = {}
        self._start = time.perf_counter()

    def keep(self, message: AIMessage) -> AIMessage:
        """Note a message, or the next piece of one, and return it."""
        # All that costs something is done once the answer has ended.
        self._kept.append(message)
        self._moments.append(time.perf_counter() - self._start)
        return message

    @contextmanager
    def until_end(self) -> Generator[None]:
        """Note how the answer ends: by an error, or because nobody waits for the rest."""
        try:
            yield
        except Exception as error:
            self._moments.append(time.perf_counter() - self._start)
            self._end = {"error": {"type": type(error).__name__, "message": str(error)}}
            raise
        except BaseException:
            self._end = {"left": True}
            raise

    def recording(self) -> dict[str, Any]:
        """What is to be written."""
        pieces = [data_of(message) for message in self._kept]
        answer = pieces if self._is_streamed or not pieces else pieces[0]
        return {
            **self._question,
            "model": self._who,
            **({"answer": self._striker.answer(answer)} if answer != [] or not self._end.get("error") else {}),
            **self._striker.question(self._end),
            "seconds": [round(moment, 4) for moment in self._moments],
        }


def record(request: Request, take: Take, tape: Tape) -> Generator[AIMessage, None, None]:
    """Ask the model, pass its answer on as it comes, and write it down in the end."""
    model = take.model
    try:
        with take.until_end():
            if model.rate_limiter is not None:
                model.rate_limiter.acquire(blocking=True)
            hook, given = _hook_and_keywords(type(model), request, on_loop=False)
            answer = hook.call(model, request, given)
            if not request.streaming:
                yield take.keep(answer.generations[0].message)
                return
            with closing(answer):
                for chunk in answer:
                    yield take.keep(chunk.message)
    finally:
        tape.add(take.recording())


async def arecord(request: Request, take: Take, tape: Tape) -> AsyncGenerator[AIMessage, None]:
    """As `record`, for an event loop."""
    model = take.model
    try:
        with take.until_end():
            if model.rate_limiter is not None:
                await model.rate_limiter.aacquire(blocking=True)
            hook, given = _hook_and_keywords(type(model), request, on_loop=True)
            answer = hook.call(model, request, given)
            if not request.streaming:
                yield take.keep((await answer).generations[0].message)
                return
            async with aclosing(answer):
                async for chunk in answer:
                    yield take.keep(chunk.message)
    finally:
        await in_thread(lambda: tape.add(take.recording()))


@cache
def _hook(cls: type[ChatModel], name: str) -> Hook:
    return Hook.of(cls, name, getattr(cls, name))


def _hook_and_keywords(cls: type[ChatModel], request: Request, *, on_loop: bool) -> tuple[Hook, dict[str, Any]]:
    """How a model of langplug's is asked within the run that is there: once in traces, each token told once."""
    hook = _hook(cls, f"_{'a' if on_loop else ''}{'stream' if request.streaming else 'generate'}")
    return hook, {**parameters_in(request, hook, ()), **openai_tools(request, hook), **openai_schema(request)}
