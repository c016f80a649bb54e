"""Mutants of what goes along with messages and answers, of long answers, and of errors."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from langchain_core.exceptions import ModelAPIError
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import SecretStr
from tests.check.bench import Reference, mutant
from tests.check.mutants.i_wire import HERE, PlainWire


class Changes(Reference):
    """Changes what a whole answer is."""

    def change(self, result: ChatResult) -> None:
        raise NotImplementedError

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        self.change(result)
        return result


@mutant("C26", "sends names as they are", recipe=HERE)
@mutant("C31", "looks at no finish reason", recipe=HERE)
class Careless(PlainWire):
    pass


@mutant("C27", "makes one text of a message's parts")
class JoinsParts(Reference):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        joined = [message.model_copy(update={"content": str(message.text)}) for message in messages]
        return super()._generate(joined, *args, **kwargs)


@mutant("C28", "leaves the older fields of a result empty")
class NewFieldsOnly(Changes):
    def change(self, result: ChatResult) -> None:
        result.llm_output = None
        result.generations[0].generation_info = None


@mutant("C29", "ends each answer by `stop`")
class AlwaysWhole(Changes):
    def change(self, result: ChatResult) -> None:
        result.generations[0].message.response_metadata["finish_reason"] = "stop"


@mutant("C30", "throws answers away whose usage makes no sense", recipe=HERE)
class CountsStrictly(PlainWire):
    def _send(self, body: dict[str, Any]) -> Any:
        answer = super()._send(body)
        if answer.get("usage", {}).get("prompt_tokens", 0) < 0:
            raise ValueError("prompt_tokens must be 0 or more")
        return answer


@mutant("D06", "starts over behind a false beginning of a stop string")
class StartsOver(Reference):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        result = super()._generate(messages, None, run_manager, **kwargs)
        message, matched = result.generations[0].message, 0
        for at, char in enumerate(str(message.text)):
            matched = matched + 1 if stop and char == stop[0][matched] else 0
            if stop and matched == len(stop[0]):
                message.content = str(message.text)[: at + 1 - matched]
                break
        return result


@mutant("E17", "reads all that it has said again at each piece")
class ReadsAgain(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        said: list[str] = []
        for chunk in super()._stream(*args, **kwargs):
            said.append(chunk.text)
            json.dumps(said * 25)
            yield chunk


class StatusError(ModelAPIError):
    """Cannot be made of its text alone."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@mutant("F18", "raises errors that no other process can read")
class RaisesOwn(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        try:
            return super()._generate(*args, **kwargs)
        except ModelAPIError as error:
            raise StatusError(str(error), status=500) from error


@mutant("F19", "raises what the server said, word for word", recipe=HERE)
class RepeatsTheServer(PlainWire):
    api_key: SecretStr = SecretStr("sk-nothing")

    def _send(self, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key.get_secret_value()}"}
        request = urllib.request.Request(f"{self.base_url}/chat/completions", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error
