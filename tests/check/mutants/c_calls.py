"""Mutants of group C: the parameters of one call, and `generate`."""

from typing import Any, cast

from langchain_core.outputs import ChatResult, LLMResult
from tests.check.bench import Reference, mutant

from langplug.models.endpoint import ChatEndpoint


@mutant("C15", "does not hear the temperature of a call")
class DeafToTemperature(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        kwargs.pop("temperature", None)
        return super()._generate(*args, **kwargs)


@mutant("C15", "keeps the temperature of a call for good")
class StickyTemperature(ChatEndpoint):
    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        self.temperature = kwargs.get("temperature", self.temperature)
        return super()._stream(*args, **kwargs)


@mutant("C15", "sends the temperature twice")
class TwiceTheTemperature(ChatEndpoint):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if "temperature" in kwargs:
            kwargs["extra_body"] = {"options": {"temperature": kwargs["temperature"]}}
        return super()._generate(*args, **kwargs)


@mutant("C15", "refuses parameters of a call")
class NoParameters(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None) -> ChatResult:  # type: ignore[override]
        return super()._generate(messages, stop, run_manager)


@mutant("C16", "asks for its own model, whatever the call's")
class DeafToModel(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        kwargs.pop("model", None)
        return super()._generate(*args, **kwargs)


@mutant("C16", "says that its own model answered, whatever the call's")
class OwnName(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        for chunk in super()._stream(*args, **kwargs):
            if "model_name" in chunk.message.response_metadata:
                chunk.message.response_metadata["model_name"] = self.model_name
            yield chunk


@mutant("C17", "gives one answer, however many are asked for")
class OneForAll(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        kwargs.pop("n", None)
        return super()._generate(*args, **kwargs)


@mutant("C17", "gives the same message twice")
class Twice(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        count = kwargs.pop("n", 1)
        return ChatResult(generations=super()._generate(*args, **kwargs).generations * count)


@mutant("C17", "trips over the number of answers")
class TripsOverN(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if "n" in kwargs:
            raise KeyError("n")
        return super()._generate(*args, **kwargs)


@mutant("C18", "does not add the usage up")
class NoTotal(Reference):
    def generate(self, *args: Any, **kwargs: Any) -> LLMResult:
        result = super().generate(*args, **kwargs)
        result.llm_output = {}
        return result


@mutant("C18", "cannot add usage up that has details")
class NoDetails(Reference):
    def generate(self, *args: Any, **kwargs: Any) -> LLMResult:
        result = super().generate(*args, **kwargs)
        # As ChatMistralAI does it: every entry is taken for a number.
        total: dict[str, Any] = {}
        for generation in (cast("Any", generations[0]) for generations in result.generations):
            for name, used in (generation.message.usage_metadata or {}).items():
                total[name] = total[name] + used if name in total else used
        result.llm_output = {"token_usage": total}
        return result


@mutant("C18", "reports the usage of the first prompt for both")
class FirstAlone(Reference):
    async def agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
        result = await super().agenerate(*args, **kwargs)
        result.llm_output = {"token_usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}}
        return result


@mutant("C18", "does not say which runs there were")
class NoRuns(Reference):
    async def agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
        return LLMResult(**{**dict(await super().agenerate(*args, **kwargs)), "run": None})


@mutant("C18", "puts all answers into one list")
class OneList(Reference):
    def generate(self, *args: Any, **kwargs: Any) -> LLMResult:
        result = super().generate(*args, **kwargs)
        result.generations = [[one for generations in result.generations for one in generations]]
        return result


@mutant("C18", "answers the prompts in another order")
class OtherOrder(Reference):
    def generate(self, messages: Any, *args: Any, **kwargs: Any) -> LLMResult:
        return super().generate(messages[::-1], *args, **kwargs)


@mutant("C23", "does not ask for the log probabilities that it is to give")
class NeverAsks(ChatEndpoint):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("logprobs", None)
        super().__init__(**kwargs)


@mutant("C23", "loses log probabilities as it streams")
class LosesLogprobs(ChatEndpoint):
    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        async for chunk in super()._astream(*args, **kwargs):
            chunk.message.response_metadata.pop("logprobs", None)
            yield chunk

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        for chunk in super()._stream(*args, **kwargs):
            chunk.message.response_metadata.pop("logprobs", None)
            yield chunk
