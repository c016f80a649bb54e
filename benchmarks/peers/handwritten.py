"""What one writes by LangChain's page "How to create a custom chat model class", for a server of the OpenAI wire.

All four doors are native, with one httpx client each for sync and async, and no more is done than the page asks for: no
tools, no retries, no errors of its own.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
_TIMEOUT_S = 120.0


class HandWritten(BaseChatModel):
    """A chat model over httpx."""

    model_name: str
    base_url: str

    _client: httpx.Client = PrivateAttr(default_factory=lambda: httpx.Client(limits=_LIMITS, timeout=_TIMEOUT_S))
    _async_client: httpx.AsyncClient = PrivateAttr(
        default_factory=lambda: httpx.AsyncClient(limits=_LIMITS, timeout=_TIMEOUT_S)
    )

    @property
    def _llm_type(self) -> str:
        return "hand-written"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    @property
    def _url(self) -> str:
        return f"{self.base_url}/chat/completions"

    def _body(self, messages: list[BaseMessage], stop: list[str] | None, *, stream: bool) -> dict[str, Any]:
        body = {"model": self.model_name, "messages": convert_to_openai_messages(messages), "stream": stream}
        return {**body, "stop": stop} if stop else body

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        response = self._client.post(self._url, json=self._body(messages, stop, stream=False))
        return _result(response.raise_for_status().json())

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        response = await self._async_client.post(self._url, json=self._body(messages, stop, stream=False))
        return _result(response.raise_for_status().json())

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        body = self._body(messages, stop, stream=True)
        with self._client.stream("POST", self._url, json=body) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if chunk := _chunk(line):
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        body = self._body(messages, stop, stream=True)
        async with self._async_client.stream("POST", self._url, json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if chunk := _chunk(line):
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk


def _result(answer: dict[str, Any]) -> ChatResult:
    usage = answer.get("usage") or {}
    message = AIMessage(
        content=answer["choices"][0]["message"]["content"],
        usage_metadata={
            "input_tokens": usage.get("prompt_tokens", 0),
            "output_tokens": usage.get("completion_tokens", 0),
            "total_tokens": usage.get("total_tokens", 0),
        },
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunk(line: str) -> ChatGenerationChunk | None:
    """The chunk that a line of the stream holds, if it holds text."""
    if not line.startswith("data: ") or line == "data: [DONE]":
        return None
    choices = json.loads(line[6:])["choices"]
    text = choices[0]["delta"].get("content") if choices else None
    return ChatGenerationChunk(message=AIMessageChunk(content=text)) if text else None
