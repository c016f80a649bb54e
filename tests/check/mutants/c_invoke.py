"""Mutants of group C: what comes back of a call."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from tests.check.bench import Reference, mutant

from langplug.models.endpoint import ChatEndpoint


class Meddler(Reference):
    """Does something to the message of `_generate` and `_agenerate`."""

    def meddle(self, message: Any) -> Any:
        raise NotImplementedError

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return self._meddled(super()._generate(*args, **kwargs))

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return self._meddled(await super()._agenerate(*args, **kwargs))

    def _meddled(self, result: ChatResult) -> ChatResult:
        messages = [self.meddle(generation.message) for generation in result.generations]
        return ChatResult(generations=[ChatGeneration(message=message) for message in messages])


@mutant("C01", "gives every answer one id")
class OneId(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.id = "answer"
        return message


@mutant("C01", "returns a chunk")
class WholeChunk(Meddler):
    def meddle(self, message: AIMessage) -> AIMessageChunk:
        return AIMessageChunk(content=message.content)


@mutant("C01", "hands back the message that it was given")
class Parrot(BaseChatModel):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=messages[-1])])

    @property
    def _llm_type(self) -> str:
        return "parrot"


@mutant("C01", "takes the id of the message that it was given")
class BorrowedId(Parrot):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        message = AIMessage(messages[-1].text, id=messages[-1].id)
        return ChatResult(generations=[ChatGeneration(message=message)])


class PlainEcho(BaseChatModel):
    """Repeats the text that it is told, and is none of langplug's."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.answer(messages[-1]))])

    def answer(self, message: Any) -> AIMessage:
        return AIMessage(str(message.text))

    @property
    def _llm_type(self) -> str:
        return "plain-echo"


mutant("C12", "repeats messages of whatever kind")(PlainEcho)
mutant("C13", "repeats the text, and says nothing of the picture beside it")(PlainEcho)
mutant("C17", "repeats once, however often it is to")(PlainEcho)


@mutant("C02", "counts a total that is not the sum, and is none of langplug's")
class OddEcho(PlainEcho):
    def answer(self, message: Any) -> AIMessage:
        usage = UsageMetadata(input_tokens=3, output_tokens=3, total_tokens=3)
        return AIMessage(str(message.text), usage_metadata=usage)


@mutant("C02", "counts a total that is not the sum")
class OddTotal(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        if message.usage_metadata:
            message.usage_metadata["total_tokens"] += 1
        return message


@mutant("C02", "has None where it knows no detail")
class NullDetails(Meddler):
    def meddle(self, message: Any) -> Any:
        if message.usage_metadata:
            message.usage_metadata["input_token_details"] = {"cache_read": None}
        return message


@mutant("C02", "counts in floats")
class FloatUsage(Meddler):
    def meddle(self, message: Any) -> Any:
        if message.usage_metadata:
            message.usage_metadata = {
                name: float(value) for name, value in message.usage_metadata.items() if "_d" not in name
            }
        return message


@mutant("C02", "loses the usage that was reported")
class NoUsage(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.usage_metadata = None
        return message


@mutant("C02", "counts what it read as what it wrote")
class SwappedUsage(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        if used := message.usage_metadata:
            used["input_tokens"], used["output_tokens"] = used["output_tokens"], used["input_tokens"]
        return message


class Silent(Meddler):
    """Leaves things out of the metadata."""

    def without(self, message: AIMessage, *names: str) -> AIMessage:
        kept = {name: value for name, value in message.response_metadata.items() if name not in names}
        message.response_metadata = kept
        return message


@mutant("C03", "does not say which model answered")
class NamelessAnswer(Silent):
    def meddle(self, message: AIMessage) -> AIMessage:
        return self.without(message, "model_name")


@mutant("C03", "does not say whose model answered")
class NoProvider(Silent):
    def meddle(self, message: AIMessage) -> AIMessage:
        return self.without(message, "model_provider")


@mutant("C03", "does not say why the answer ended")
class NoReason(Silent):
    def meddle(self, message: AIMessage) -> AIMessage:
        return self.without(message, "finish_reason")


@mutant("C21", "goes by the name of a provider whose format it does not send")
class FalseProvider(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.response_metadata["model_provider"] = "anthropic"
        return message


@mutant("C21", "sends blocks that the translator of its provider does not know")
class FalseBlocks(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.content = [str(message.text), {"type": "text"}]
        message.response_metadata["model_provider"] = "google_genai"
        return message


@mutant("C04", "keeps an object of its client's in the metadata")
class ObjectInMetadata(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.response_metadata["raw"] = object()
        return message


@mutant("C04", "keeps numbers as the keys of a dict, which come back as text")
class NumberedMetadata(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.response_metadata["scores"] = {1: 0.5}
        return message


@mutant("C19", "streams nothing where it says nothing")
class NothingToStream(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return (chunk for chunk in super()._stream(*args, **kwargs) if chunk.text)


@mutant("C19", "says something where it has nothing to say")
class Filler(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.content = message.content or "(no answer)"
        return message


@mutant("C22", "speaks its thoughts")
class ThinksAloud(Meddler):
    def meddle(self, message: AIMessage) -> AIMessage:
        message.content = message.additional_kwargs.pop("reasoning_content", "") + str(message.text)
        return message


@mutant("C22", "loses its thoughts as it streams")
class ForgetfulStream(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            chunk.message.additional_kwargs.pop("reasoning_content", None)
            yield chunk


@mutant("C22", "drops its thoughts", verdict="advisory")
class Thoughtless(ForgetfulStream, Meddler):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in super()._astream(*args, **kwargs):
            chunk.message.additional_kwargs.pop("reasoning_content", None)
            yield chunk

    def meddle(self, message: AIMessage) -> AIMessage:
        message.additional_kwargs.pop("reasoning_content", None)
        return message


@mutant("C22", "leaves thoughts in tags in the text", verdict="advisory")
class Tagged(ChatEndpoint):
    reasoning_tags: tuple[str, str] | None = None
