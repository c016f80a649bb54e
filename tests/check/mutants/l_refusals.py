"""Mutants of refusals, processes and profiles."""

import os
import urllib.error
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatResult
from pydantic import Field, PrivateAttr
from tests.check.bench import Reference, mutant
from tests.check.mutants.c_carried import Changes
from tests.check.mutants.i_wire import HERE, PlainWire
from tests.check.subjects import Foreign


@mutant("L06", "gives its refusals as text in standard content")
class DeclinesInText(Changes):
    def change(self, result: ChatResult) -> None:
        content: Any = result.generations[0].message.content
        for block in content if isinstance(content, list) else ():
            if block.get("type") == "refusal":
                block.update(type="text", text=block.pop("refusal"))


@mutant("L07", "forgets that it declined")
class ForgetsRefusals(Reference):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        told = [
            message.model_copy(update={"content": str(message.text)}) if isinstance(message, AIMessage) else message
            for message in messages
        ]
        return super()._generate(told, *args, **kwargs)


@mutant("L08", "thinks aloud in standard content")
class ThinksInText(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        message = result.generations[0].message
        if self.output_version == "v1":
            thought = message.additional_kwargs.pop("reasoning_content", "")
            message.content = [{"type": "text", "text": f"{thought}{message.text}"}]
        return result


@mutant("M12", "tries again at once", recipe=HERE)
class Impatient(PlainWire):
    max_retries: int = 2

    def _send(self, body: dict[str, Any]) -> Any:
        for _ in range(self.max_retries):
            try:
                return super()._send(body)
            except urllib.error.HTTPError:
                continue
        return super()._send(body)


@mutant("M13", "keeps a connection that its process made")
class BoundToProcess(Reference):
    _process: int = PrivateAttr(default_factory=os.getpid)

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self._process != os.getpid():
            raise RuntimeError("the connection is another process's")
        return super()._generate(*args, **kwargs)


@mutant("N06", "says in its profile that it calls tools, and does not")
class CallsNothing(Foreign):
    profile: Any = Field(default_factory=lambda: {"tool_calling": True})


@mutant("N07", "has a limit in words in its profile")
class LimitInWords(Reference):
    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self.profile = {"max_input_tokens": "8k"}  # type: ignore[assignment]


@mutant("N08", "counts the letters of an image")
class CountsLetters(Reference):
    def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
        return sum(len(str(message.content)) // 4 for message in messages)
