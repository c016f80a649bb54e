"""Models for the tests of the command line, each reached by a reference to this file."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, SystemMessage
from pydantic import Field

from langplug import ChatModel, Finish, Part, Reasoning, Request, ToolCall, Usage, chat_model


@chat_model
def echo(request: Request, *, mark: str = "") -> Iterator[Part]:
    """Says the last message again, word by word."""
    for word in request.text.split(" "):
        yield f"{word}{mark} "
    yield Usage(input_tokens=3, output_tokens=5)
    yield Finish(reason="stop")


@chat_model
def listing(request: Request) -> Iterator[Part]:
    """Says what it was sent: the system prompt, then each other message in brackets."""
    for message in request.messages:
        yield f"<{message.text}>" if isinstance(message, SystemMessage) else f"[{message.text}]"


@chat_model
def plain(request: Request) -> str:
    """Reports no usage."""
    return request.text


@chat_model
def thinking(request: Request) -> Iterator[Part]:
    """Thinks before it speaks."""
    yield Reasoning("Let me ")
    yield Reasoning("see.")
    yield "Yes."


@chat_model
def calling(request: Request) -> Iterator[Part]:
    """Calls a tool."""
    yield "Adding. "
    yield ToolCall(name="add", args={"a": 1})


@chat_model
def failing(request: Request) -> Iterator[Part]:
    """Breaks in the middle, unless asked to behave."""
    yield "half "
    if "behave" not in request.text:
        raise RuntimeError("the wire\nis cut")
    yield "and whole"


@chat_model
def endless(request: Request) -> Iterator[Part]:
    """Talks until it is stopped, and then says so in the file that STOPPED names."""
    try:
        while True:
            yield "on and "
            time.sleep(0.02)
    finally:
        Path(os.environ["STOPPED"]).write_text("stopped", encoding="utf-8")


@chat_model
def slow_end(request: Request) -> Iterator[Part]:
    """Says its first word at once and its last one when a line comes on the pipe named by RELEASE."""
    yield "first "
    Path(os.environ["RELEASE"]).read_text(encoding="utf-8")
    yield "last"


@chat_model
def rude(request: Request) -> str:
    """Tries to command the terminal, in more than ASCII."""
    return "\x1b]0;owned\x07é€"


class Strict(ChatModel):
    """Has one parameter."""

    temperature: float = 1.0

    def respond(self, request: Request, /) -> str:
        """Say the parameter, and the stop strings backwards, as forwards they would end the answer."""
        return f"temperature {self.temperature} stop {[stop[::-1] for stop in request.stop]}"


class Needy(ChatModel):
    """Cannot be made without a word."""

    word: str

    def respond(self, request: Request, /) -> str:
        """Say the word."""
        return self.word


@chat_model
def leaving(request: Request) -> str:
    """Ends the program instead of answering."""
    sys.exit(0)


@chat_model
def abandoning(request: Request) -> str:
    """Raises what is no `Exception`."""
    raise GeneratorExit("gone")


@chat_model
def late(request: Request) -> Iterator[Part]:
    """Answers when a line comes on the pipe named by RELEASE."""
    Path(os.environ["RELEASE"]).read_text(encoding="utf-8")
    yield "here I am"


class Foreign(GenericFakeChatModel):
    """Another package's model, which takes any parameter."""

    messages: Iterator[AIMessage | str] = Field(default_factory=lambda: iter(["foreign"]))
    size: int = 1
