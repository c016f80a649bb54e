"""Mutants of statements that are about what applications do with answers, schemas and models."""

import os
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableLambda
from tests.check.bench import Reference, mutant

# --- B13 ---


@mutant("B13", "has a cache key of its fields alone")
class KeyOfFields(Reference):
    def _get_llm_string(self, stop: Any = None, **kwargs: Any) -> str:
        return f"{self.model_name} {self.temperature} {stop} {kwargs}"


# --- C24 ---


@mutant("C24", "keeps an object of its client in the message")
class KeepsObjects(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        result.generations[0].message.additional_kwargs["raw"] = object()
        return result


# --- C25, I16 ---


def _told(messages: Sequence[BaseMessage], said: dict[int, str]) -> list[BaseMessage]:
    """The messages, with more said at some places."""
    return [
        message.model_copy(update={"content": f"{message.text}{said.get(number, '')}"})
        for number, message in enumerate(messages)
    ]


@mutant("C25", "sends what it kept about earlier answers")
class SendsBookkeeping(Reference):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        said = {n: str(one.response_metadata) for n, one in enumerate(messages) if one.response_metadata}
        return super()._generate(_told(messages, said), *args, **kwargs)


@mutant("I16", "sends the artifacts of tools")
class SendsArtifacts(Reference):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        said = {n: str(one.artifact) for n, one in enumerate(messages) if isinstance(one, ToolMessage)}
        return super()._generate(_told(messages, said), *args, **kwargs)


# --- D05 ---


@mutant("D05", "takes a text for a list of its letters")
class StopsAtLetters(Reference):
    def invoke(self, input: Any, config: Any = None, *, stop: Any = None, **kwargs: Any) -> Any:
        return super().invoke(input, config, stop=None if stop is None else list(stop), **kwargs)


# --- J08, J09, J10 ---


class Changes(Reference):
    """Changes what structured output gives."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        return super().with_structured_output(schema, **kwargs) | RunnableLambda(self.change)

    def change(self, value: Any) -> Any:
        return value


@mutant("J08", "wants all keys")
class WantsAllKeys(Changes):
    def change(self, value: Any) -> Any:
        if isinstance(value, dict) and "arrival" not in value:
            raise ValueError("arrival: Field required")
        return value


@mutant("J09", "loses what is deep inside")
class LosesDepth(Changes):
    def change(self, value: Any) -> Any:
        if hasattr(value, "children"):
            value.children[0].children.clear()
        return value


@mutant("J10", "has no usage in the raw message")
class RawWithoutUsage(Changes):
    def change(self, value: Any) -> Any:
        return {**value, "raw": value["raw"].model_copy(update={"usage_metadata": None})}


@mutant("J10", "has no metadata in the raw message")
class RawWithoutMetadata(Changes):
    def change(self, value: Any) -> Any:
        return {**value, "raw": value["raw"].model_copy(update={"response_metadata": {}})}


# --- M11 ---


@mutant("M11", "opens a file for each instance, and never closes it")
class OpensFiles(Reference):
    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        _open.append(open(os.devnull))  # noqa: PTH123, SIM115 - that is the point


_open: list[Any] = []


# --- N05 ---


@mutant("N05", "overwrites the profile that it is given")
class OverwritesProfile(Reference):
    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self.profile = {"max_input_tokens": 10}
