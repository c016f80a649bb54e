"""Mutants of group C: the messages of a conversation."""

from typing import Any

from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from tests.check.bench import mutant
from tests.check.mutants.c_input import Reader

from langplug.models.endpoint import ChatEndpoint


@mutant("C11", "does not know messages of functions")
class NoFunctions(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        roles = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool", "chat": "user"}
        return [message for message in messages if roles[type(message).__name__.split("Message")[0].lower()]]


@mutant("C11", "loses the strings in a list of content")
class BlocksAlone(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [self.blocks_of(message) for message in messages]

    def blocks_of(self, message: Any) -> Any:
        if isinstance(message.content, str):
            return message
        return message.model_copy(update={"content": [one for one in message.content if isinstance(one, dict)]})


@mutant("C11", "puts a late system message first, before those that it follows")
class LastWords(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [*messages[::-1][:1], *messages[:-1]]


@mutant("C11", "wants its last message from a human")
class HumanLast(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        if messages and isinstance(messages[-1], AIMessage):
            raise ValueError("The last message must be a human one.")
        return messages


KNOWN = (SystemMessage, HumanMessage, AIMessage, ToolMessage, FunctionMessage, ChatMessage)


@mutant("C12", "skips messages that it does not know")
class Skips(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [message for message in messages if isinstance(message, KNOWN)]


@mutant("C12", "fails on messages that it does not know without saying so")
class UnknownRole(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        roles = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool", "function": "tool", "chat": ""}
        return [message for message in messages if roles[message.type] is not None]


@mutant("C12", "takes messages of any type")
class AsHuman(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        if any(isinstance(message, RemoveMessage) for message in messages):
            raise ValueError("A RemoveMessage cannot be sent.")
        return [message if isinstance(message, KNOWN) else HumanMessage(message.text) for message in messages]


def text_alone(messages: list[Any]) -> list[Any]:
    return [message.model_copy(update={"content": str(message.text)}) for message in messages]


@mutant("C13", "keeps the text of a message, and nothing else")
class TextAlone(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return text_alone(messages)


@mutant("C13", "sends text alone to its server")
class SendsTextAlone(ChatEndpoint):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._generate(text_alone(messages), *args, **kwargs)


@mutant("C20", "is told the last message alone")
class ShortMemory(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return messages[-1:]


@mutant("C20", "is not told the system's text")
class NoSystem(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [message for message in messages if not isinstance(message, SystemMessage)]


@mutant("C20", "takes its own words for the human's")
class NoRoles(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [HumanMessage(message.text) if message.type == "ai" else message for message in messages]


@mutant("C20", "reads the history backwards")
class Backwards(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return messages[::-1]


@mutant("C14", "knows answers that are a string, and no others")
class NoBlocks(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [
            message.model_copy(update={"content": message.content if isinstance(message.content, str) else ""})
            for message in messages
        ]


@mutant("C14", "trims what it said before")
class TrimsAnswers(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [
            AIMessage(message.text.rstrip(".")) if isinstance(message, AIMessage) else message for message in messages
        ]
