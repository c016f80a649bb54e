# mypy: disable-error-code="override, misc"
"""Chat models as people write them by hand, one of each kind that public repositories hold. Each is an echo.

They are written anew, with clients that are fake: a `requests` session, OpenAI's SDK, a pipeline. What they do wrong is
left as it is: most ignore `stop`, tell tokens by hand, take what they do not know and drop it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

from langchain_core.language_models import LLM, BaseChatModel, SimpleChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, GenerationChunk
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

AI = "\nAI:"

ARGS = {"add": '{"a": 1, "b": 2}'}
"""What a call of a tool is given; of any other, a city."""

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def whole(text: str, **more: Any) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=AIMessage(**{"content": text, **more}))])


def said(messages: list[BaseMessage]) -> str:
    return f"You said {messages[-1].text}"


class Session:
    """What `requests.Session` is to a hand-written class."""

    def post(self, url: str, json: dict[str, Any], timeout: float | None = None) -> Any:
        text = f"You said {json['messages'][-1]['content']}"
        return SimpleNamespace(json=lambda: {"choices": [{"message": {"content": text}}], "usage": USAGE})


class ChatRequests(BaseChatModel):
    """Posts by a session that is a field, and reports its usage beside the message."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    endpoint: str = "http://localhost:1"
    session: Any = Field(default_factory=Session, exclude=True)
    temperature: float = 0.7

    @property
    def _llm_type(self) -> str:
        return "chat-requests"

    @property
    def _default_params(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        roles = {"human": "user", "ai": "assistant"}
        sent = [{"role": roles.get(one.type, one.type), "content": one.text} for one in messages]
        body = {"messages": sent, "stop": stop, **self._default_params, **kwargs}
        answer = self.session.post(self.endpoint, json=body).json()
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage(answer["choices"][0]["message"]["content"]))],
            llm_output={"token_usage": answer["usage"], "model_name": "requests-1"},
        )


class Completions:
    """What `openai.OpenAI().chat.completions` is to a hand-written class."""

    def create(self, *, messages: Any, stream: bool = False, stop: Any = None, tools: Any = None, **_: Any) -> Any:
        text = f"You said {messages[-1]['content']}"
        calls: Any = None
        if tools and messages[-1]["role"] != "tool":
            name = tools[0]["function"]["name"]
            function = SimpleNamespace(name=name, arguments=ARGS.get(name, '{"city": "Oslo"}'))
            calls, text = [SimpleNamespace(index=0, id="call_1", type="function", function=function)], ""
        usage = SimpleNamespace(**USAGE)
        if not stream:
            message = SimpleNamespace(content=text, tool_calls=calls)
            return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")], usage=usage)
        words = [f"{word} " for word in text.split()]
        deltas = [
            SimpleNamespace(content=word, tool_calls=None) for word in [*words[:-1], *(w.strip() for w in words[-1:])]
        ]
        deltas += [SimpleNamespace(content=None, tool_calls=calls)] if calls else []
        return iter([SimpleNamespace(choices=[SimpleNamespace(delta=delta)], usage=None) for delta in deltas])


class Client:
    """What `openai.OpenAI` is to a hand-written class."""

    def __init__(self) -> None:
        self.chat = SimpleNamespace(completions=Completions())


class ChatSdk(BaseChatModel):
    """OpenAI's SDK by hand: a client made in a validator, a `bind_tools` that binds, calls in fragments."""

    model_name: str = Field(default="sdk-1", alias="model")
    client: Any = None
    max_tokens: int | None = None

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="after")
    def make_client(self) -> "ChatSdk":
        self.client = self.client or Client()
        return self

    @property
    def _llm_type(self) -> str:
        return "chat-sdk"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        formatted = [convert_to_openai_tool(one) for one in tools]
        if tool_choice:
            kwargs["tool_choice"] = tool_choice
        return super().bind(tools=formatted, **kwargs)

    def _send(self, messages: Any, **kwargs: Any) -> Any:
        sent = [{"role": "tool" if one.type == "tool" else "user", "content": one.text} for one in messages]
        return self.client.chat.completions.create(model=self.model_name, messages=sent, **kwargs)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        answer = self._send(messages, stop=stop, **kwargs)
        message = answer.choices[0].message
        calls = [
            {"name": one.function.name, "args": json.loads(one.function.arguments), "id": one.id}
            for one in message.tool_calls or []
        ]
        usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        return whole(message.content, tool_calls=calls, usage_metadata=usage)

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for chunk in self._send(messages, stop=stop, stream=True, **kwargs):
            delta = chunk.choices[0].delta
            fragments: Any = [
                {"name": one.function.name, "args": one.function.arguments, "id": one.id, "index": one.index}
                for one in delta.tool_calls or []
            ]
            made = ChatGenerationChunk(message=AIMessageChunk(content=delta.content or "", tool_call_chunks=fragments))
            if run_manager:
                run_manager.on_llm_new_token(delta.content or "", chunk=made)
            yield made


class ChatSimple(SimpleChatModel):
    """A `SimpleChatModel`."""

    prefix: str = "You said"

    @property
    def _llm_type(self) -> str:
        return "simple"

    def _call(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return f"{self.prefix} {messages[-1].content}"


class Pipeline:
    """What a pipeline of transformers is to a hand-written class."""

    def __call__(self, prompt: str, **_: Any) -> list[dict[str, str]]:
        return [{"generated_text": f"You said {prompt.rpartition('Human: ')[2].removesuffix(AI)}"}]


class CompletingPipeline(LLM):
    """An `LLM` around a pipeline, which tells each token by hand."""

    pipeline: Any = Field(default_factory=Pipeline, exclude=True)

    @property
    def _llm_type(self) -> str:
        return "pipeline"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return str(self.pipeline(prompt)[0]["generated_text"])

    def _stream(
        self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[GenerationChunk]:
        for char in self._call(prompt):
            chunk = GenerationChunk(text=char)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


class ChatWrapped(BaseChatModel):
    """A chat model around an `LLM`, whose run it starts anew."""

    llm: Any = Field(default_factory=CompletingPipeline)

    @property
    def _llm_type(self) -> str:
        return "wrapped"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        config: Any = {"callbacks": run_manager.get_child()} if hasattr(run_manager, "get_child") else None
        return whole(self.llm.invoke(messages[-1].text, config))


class ChatStreaming(BaseChatModel):
    """Only streams; the whole answer is made of that, in both colours."""

    @property
    def _llm_type(self) -> str:
        return "streaming"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop=stop, run_manager=run_manager, **kwargs))

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop=stop, run_manager=run_manager, **kwargs))

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for char in said(messages):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=char))
            if run_manager:
                run_manager.on_llm_new_token(char, chunk=chunk)
            yield chunk
        usage: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        info = {"finish_reason": "stop"}
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=usage), generation_info=info)


class ChatAsync(BaseChatModel):
    """Only awaits; what is not awaited is not implemented."""

    @property
    def _llm_type(self) -> str:
        return "async"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("Use the asynchronous methods.")

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        await asyncio.sleep(0)
        return whole(said(messages))

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        for char in said(messages):
            await asyncio.sleep(0)
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=char))
            if run_manager:
                await run_manager.on_llm_new_token(char, chunk=chunk)
            yield chunk


class ChatStoring(BaseChatModel):
    """A `bind_tools` that keeps the tools in the model, and a hook that puts them into the prompt."""

    _tools: list[Any] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "storing"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        self._tools = list(tools)
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        assert not self._tools
        return whole(said(messages))


class ChatCallsBeside(BaseChatModel):
    """Puts calls where they stood before there was `tool_calls`."""

    @property
    def _llm_type(self) -> str:
        return "beside"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(functions=[convert_to_openai_tool(one)["function"] for one in tools], **kwargs)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if kwargs.get("functions") and isinstance(messages[-1], HumanMessage):
            name = kwargs["functions"][0]["name"]
            function = {"name": name, "arguments": ARGS.get(name, '{"city": "Oslo"}')}
            call = {"id": "call_1", "type": "function", "function": function}
            return whole("", additional_kwargs={"tool_calls": [call]})
        return whole(said(messages))


class Settings(BaseModel):
    """Settings of its own."""

    suffix: str = ""


class ChatPrivate(BaseChatModel):
    """Makes its client in its constructor, and counts its calls."""

    settings: Settings = Field(default_factory=Settings)
    _client: Callable[[str], str] = PrivateAttr()
    _calls: int = PrivateAttr(default=0)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._client = "You said {}".format

    @property
    def _llm_type(self) -> str:
        return "private"

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self._calls += 1
        return whole(self._client(str(messages[-1].content)) + self.settings.suffix)


CLASSES: list[Any] = [
    ChatRequests,
    ChatSdk,
    ChatSimple,
    CompletingPipeline,
    ChatWrapped,
    ChatStreaming,
    ChatAsync,
    ChatStoring,
    ChatCallsBeside,
    ChatPrivate,
]
