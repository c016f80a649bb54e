"""Mutants of group O: functions that are wrong by themselves, whatever langplug derives from them."""

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from tests.check.bench import mutant

from langplug import ChatModel, Request


class Own(ChatModel):
    """Answers by `answer`, a word at a time."""

    def respond(self, request: Request) -> Iterator[Any]:
        for word in self.answer(request).split(" "):
            yield f"{word} "

    def answer(self, request: Request) -> str:
        return request.text


class OwnAsync(ChatModel):
    """Answers a word at a time, on the loop."""

    async def respond(self, request: Request) -> AsyncIterator[Any]:
        for word in request.text.split(" "):
            await self.rest()
            yield f"{word} "

    async def rest(self) -> None:
        await asyncio.sleep(0.02)


@mutant("O01", "never works")
class NeverWorks(Own):
    def answer(self, request: Request) -> str:
        raise RuntimeError("I never work")


@mutant("O01", "leaves as it is asked")
class WantsToLeave(Own):
    def answer(self, request: Request) -> str:
        sys.exit(0)


@mutant("O01", "is somebody else's, and never works")
class TheirsNeverWorks(BaseChatModel):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise RuntimeError("I never work")

    @property
    def _llm_type(self) -> str:
        return "theirs"


class Theirs(TheirsNeverWorks):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(messages[-1].text))])


@mutant("O02", "works only off a loop")
class OffTheLoop(Own):
    async def respond(self, request: Request) -> AsyncIterator[Any]:  # type: ignore[override] # another shape
        if threading.current_thread().name == "loop of the checks":
            raise RuntimeError("asyncio.run() cannot be called from a running event loop")
        yield request.text


@mutant("O02", "is somebody else's, and its stream is empty")
class EmptyStream(Theirs):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(""))


@mutant("O03", "keeps what it is asked where every call keeps it")
class MixesUp(Own):
    def answer(self, request: Request) -> str:
        _asked["text"] = request.text
        time.sleep(0.02)
        return _asked["text"]


_asked: dict[str, str] = {}


@mutant("O03", "keeps what it is asked over an await")
class MixesUpTasks(OwnAsync):
    async def respond(self, request: Request) -> AsyncIterator[Any]:
        _asked["text"] = request.text
        await asyncio.sleep(0.02)
        yield _asked["text"]


@mutant("O03", "mixes up answers of which no two are the same")
class MixesUpNoise(MixesUp):
    def answer(self, request: Request) -> str:
        return f"{super().answer(request)} {os.urandom(4).hex()}"


@mutant("O03", "is never the same twice, so nothing shows whose an answer is", verdict="not observed")
class NeverTheSame(Own):
    def answer(self, request: Request) -> str:
        return os.urandom(4).hex()


@mutant("O03", "answers always the same", verdict="partly observed")
class AlwaysTheSame(Own):
    def answer(self, request: Request) -> str:
        return "Yes."


@mutant("O03", "cannot do two things at once")
class OneAtATime(Own):
    def answer(self, request: Request) -> str:
        if _asked.get("busy"):
            raise RuntimeError("the engine is busy")
        _asked["busy"] = "yes"
        time.sleep(0.02)
        _asked["busy"] = ""
        return request.text


@mutant("O04", "writes into the messages of its caller")
class WritesIntoMessages(Own):
    def answer(self, request: Request) -> str:
        request.messages[-1].content += "!"  # type: ignore[operator] # it is a text here
        return request.text


@mutant("O04", "is somebody else's, and adds a message to its caller's list")
class Annotates(Theirs):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        messages[0].additional_kwargs["seen"] = True
        return super()._generate(messages)


@mutant("O05", "sleeps on the loop, a little for each word")
class SleepsOnTheLoop(OwnAsync):
    async def rest(self) -> None:
        time.sleep(0.05)  # noqa: ASYNC251 - that is the point


@mutant("O05", "sleeps on the loop once")
class SleepsOnce(OwnAsync):
    async def respond(self, request: Request) -> AsyncIterator[Any]:
        time.sleep(0.4)  # noqa: ASYNC251 - that is the point
        for word in request.text.split(" "):
            await asyncio.sleep(0.2)
            yield word


@mutant("O06", "goes on where its caller has left")
class SwallowsClose(Own):
    def respond(self, request: Request) -> Iterator[Any]:
        closed = 0
        for word in ["one", "two", "three"] * 2:
            try:
                yield word
            except BaseException:
                closed += 1
                if closed > 1:  # by the collector, which would complain
                    raise


@mutant("O06", "goes on in a thread where its caller has left")
class GoesOnInAThread(Own):
    def respond(self, request: Request) -> Iterator[Any]:
        threading.Thread(target=time_passes, args=(8.0,), daemon=True).start()
        yield from ["one ", "two ", "three"]


def time_passes(seconds: float) -> None:
    time.sleep(seconds)


@mutant("O07", "goes on where its caller has cancelled")
class SwallowsCancel(OwnAsync):
    async def respond(self, request: Request) -> AsyncIterator[Any]:
        for word in request.text.split(" "):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)
            yield word


@mutant("O07", "goes on in a task where its caller has cancelled")
class GoesOnInATask(OwnAsync):
    async def rest(self) -> None:
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            _open.append(asyncio.ensure_future(_take_long()))
            raise


async def _take_long() -> None:
    await asyncio.sleep(6)


@mutant("O07", "answers too soon to be cancelled", verdict="not observed")
class AnswersAtOnce(Own):
    pass


@mutant("O08", "leaves a thread with each call")
class LeavesThreads(Own):
    def answer(self, request: Request) -> str:
        threading.Thread(target=time_passes, args=(20.0,), daemon=True).start()
        return request.text


@mutant("O08", "leaves a file open with each call")
class LeavesFiles(Own):
    def answer(self, request: Request) -> str:
        _open.append(open(os.devnull))  # noqa: PTH123, SIM115 - that is the point
        return request.text


_open: list[Any] = []


def end_leftovers() -> None:
    """End what the mutants have left behind, which the tests that follow would find."""
    for left in _open:
        if isinstance(left, subprocess.Popen):
            left.kill()
            left.wait()
        elif isinstance(left, io.IOBase):
            left.close()
    _open.clear()


@mutant("O08", "leaves a program running with each call")
class LeavesPrograms(Own):
    def answer(self, request: Request) -> str:
        _open.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"]))
        return request.text


@mutant("O09", "yields a number")
class YieldsANumber(Own):
    def respond(self, request: Request) -> Iterator[Any]:
        yield 42


@mutant("O09", "is somebody else's, and streams what is no chunk")
class StreamsMessages(Theirs):
    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        yield self.invoke(*args, **kwargs)
