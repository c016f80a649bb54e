"""Models to be checked that do not answer as models should, and others that nothing is known of."""

import os
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from langplug import ChatModel, Request


class Foreign(BaseChatModel):
    """Somebody else's model, which says the same each time."""

    said: str = "A fixed answer."

    def answer(self, prompt: str) -> str:
        return self.said

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        message = AIMessage(self.answer(messages[-1].text))
        return ChatResult(generations=[ChatGeneration(message=message)])

    @property
    def _llm_type(self) -> str:
        return "foreign"


class Incomplete(Foreign):
    """Needs a package as it is asked."""

    base_url: str = ""

    def answer(self, prompt: str) -> str:
        raise ModuleNotFoundError("It needs acme, which is not installed. Install it with: pip install acme")


class Echo(Foreign):
    """Says what it is told."""

    def answer(self, prompt: str) -> str:
        return prompt

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for char in messages[-1].text:
            yield ChatGenerationChunk(message=AIMessageChunk(char))


class Broken(Foreign):
    """Never answers."""

    def answer(self, prompt: str) -> str:
        raise ConnectionError("no server there")


class Hangs(Foreign):
    """Is made, and hangs as it is asked."""

    def answer(self, prompt: str) -> str:
        time.sleep(3600)
        raise AssertionError


class Aborts(Foreign):
    """Takes the interpreter with it, as a library in C may."""

    def answer(self, prompt: str) -> str:
        sys.stderr.write("GGML_ASSERT: nothing left\n")
        sys.stderr.flush()
        os.abort()


class Leaves(Foreign):
    """Ends the process."""

    def answer(self, prompt: str) -> str:
        os._exit(3)


class LeavesOnEmpty(Foreign):
    """Ends the process as it is told nothing."""

    def answer(self, prompt: str) -> str:
        return self.said if prompt else os._exit(3)


class Eats(Foreign):
    """Takes more and more memory."""

    def answer(self, prompt: str) -> str:
        eaten = []
        while True:
            eaten.append(bytearray(os.urandom(1 << 20)) * 16)


class Noisy(Foreign):
    """Prints and warns as it answers."""

    def answer(self, prompt: str) -> str:
        sys.stdout.write("loading\x1b[2J weights\n")
        warnings.warn("low on memory", stacklevel=2)
        return self.said


class Unmakeable(Foreign):
    """Cannot be made."""

    def __init__(self, **kwargs: Any) -> None:
        raise ValueError("no weights")


class HereOnly(Foreign):
    """Can be made in the process of the tests alone."""

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a socket")


def rule(request: Request) -> str:
    """langplug's rule, undecorated."""
    return request.text


def make_echo() -> Echo:
    """A factory."""
    return Echo()


class Toolless(ChatModel):
    """A model of langplug's that calls no tools, and is limited by what a case of langchain-tests gives too."""

    tool_calling = "off"
    max_tokens: int | None = Field(None, alias="max_completion_tokens")

    def respond(self, request: Request, /) -> Iterator[str]:
        """Repeats what it is told, as far as it may."""
        yield from request.text.split()[: self.max_tokens]


def make_limited() -> Toolless:
    """Such a model, made with arguments that langchain-tests would give, too."""
    return Toolless(max_completion_tokens=16, stop=["###"])
