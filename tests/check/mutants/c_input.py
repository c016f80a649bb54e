"""Mutants of group C: what goes into a call."""

import unicodedata
from typing import Any

from langchain_core.messages import HumanMessage
from tests.check.bench import Reference, mutant

from langplug.models.endpoint import ChatEndpoint


@mutant("C05", "takes text and messages, and nothing else")
class Choosy(Reference):
    def invoke(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(input, str | list):
            raise TypeError(f"a {type(input).__name__} is no input")
        return super().invoke(input, *args, **kwargs)


@mutant("C05", "takes a list of dicts for a text")
class Literal(Reference):
    def invoke(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        literal = isinstance(input, list) and isinstance(input[0], dict)
        return super().invoke(str(input) if literal else input, *args, **kwargs)


class Reader(Reference):
    """Does something with the messages before it answers."""

    def read(self, messages: list[Any]) -> list[Any]:
        raise NotImplementedError

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._generate(self.read(messages), *args, **kwargs)

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return await super()._agenerate(self.read(messages), *args, **kwargs)

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._stream(self.read(messages), *args, **kwargs)

    def _astream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._astream(self.read(messages), *args, **kwargs)


@mutant("C06", "trims the caller's messages")
class Trims(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        for message in messages:
            if isinstance(message.content, str):
                message.content = message.content.strip()
        return messages


@mutant("C06", "takes out of the caller's messages what it does not need, as it streams")
class Consumes(Reference):
    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        for message in messages:
            message.additional_kwargs.clear()
        return super()._stream(messages, *args, **kwargs)


@mutant("C06", "adds to the list of whoever calls it")
class Appends(Reference):
    def invoke(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(input, list):
            input.append(HumanMessage("Please."))
        return super().invoke(input, *args, **kwargs)


@mutant("C07", "looks for the last message where there is none")
class LastMessage(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [*messages[:-1], messages[-1]]


@mutant("C07", "answers to nothing")
class Talkative(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return messages or [HumanMessage("")]


@mutant("C07", "refuses to answer before callbacks know of the call")
class EarlyRefusal(Reference):
    def invoke(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        if input == []:
            raise ValueError("There is no message.")
        return super().invoke(input, *args, **kwargs)


@mutant("C08", "crashes on an empty prompt as it streams")
class NeedsAPrompt(Reference):
    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        _ = messages[-1].text[0]
        return super()._stream(messages, *args, **kwargs)


class Spoils(Reference):
    """Does something to each piece that it streams."""

    def spoiled(self, text: str) -> str:
        raise NotImplementedError

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        for chunk in super()._stream(*args, **kwargs):
            chunk.message.content = self.spoiled(str(chunk.message.content))
            yield chunk


@mutant("C09", "normalises what it says")
class Normalises(Reader):
    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        result = super(Reader, self)._generate(*args, **kwargs)
        message = result.generations[0].message
        message.content = unicodedata.normalize("NFC", str(message.content))
        return result


@mutant("C09", "streams by UTF-16 units, and loses what needs two")
class NoAstral(Spoils):
    def spoiled(self, text: str) -> str:
        return "".join("" if ord(one) > 0xFFFF else one for one in text)


@mutant("C09", "splits what it streams into lines")
class SplitsLines(Spoils):
    def spoiled(self, text: str) -> str:
        return "".join(text.splitlines())


@mutant("C09", "ends its prompt at a NUL")
class EndsAtNul(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [message.model_copy(update={"content": message.text.partition("\0")[0]}) for message in messages]


@mutant("C09b", "encodes its prompt without a thought")
class Encodes(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        return [message for message in messages if message.text.encode()]


@mutant("C09b", "fails at its serialiser")
class OddSerialiser(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        if any("\ud800" in message.text for message in messages):
            raise TypeError("str is not valid UTF-8: surrogates not allowed")
        return messages


@mutant("C10", "says of a long prompt that it is no good")
class ShortOfBreath(Reader):
    def read(self, messages: list[Any]) -> list[Any]:
        if sum(len(message.text) for message in messages) > 100_000:
            raise ValueError("The prompt is too long.")
        return messages


@mutant("C10", "is asked for too much by its server, and says it in general words")
class NoOverflow(ChatEndpoint):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        if len(messages[-1].text) > 8192:
            raise RuntimeError("HTTP error 400")
        return super()._generate(messages, *args, **kwargs)
