"""Legal and illegal uses of langplug, for type checkers alone: never run, never imported.

An illegal line says in its comments which errors mypy and pyright must find in it, so that they pass over it.
`tests/test_typing.py` takes the comments away, and finds exactly these errors and no other.
"""

# pyright: strict

from asyncio import Lock
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import assert_type

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from pydantic import Field, SecretStr

from langplug import (
    Answer,
    ChatModel,
    Finish,
    Part,
    Reasoning,
    Request,
    ToolCall,
    Usage,
    chat_model,
    env,
    load,
    resource,
)
from langplug.models import ChatScripted, CustomChatModelAdvanced

# --- the four shapes, as classes ---


class Client:
    """Something with a lifetime."""

    def complete(self, text: str) -> str:
        return text


class ChatReturns(ChatModel):
    tool_calling = "native"
    structured_output = "native"
    provider = "acme"
    accepts = frozenset({"image"})

    model: str = "acme-1"
    temperature: float = Field(default=0.7, ge=0, le=2)
    api_key: SecretStr = env("ACME_API_KEY")
    account: str

    def respond(self, request: Request, /) -> str:
        return request.text


class ChatYields(ChatModel):
    def respond(self, request: Request, /) -> Iterator[str | Reasoning | Usage]:
        yield Reasoning("hm")
        yield request.text
        yield Usage(input_tokens=1, output_tokens=2)


class ChatAwaits(ChatModel):
    async def respond(self, request: Request, /) -> AIMessage:
        return AIMessage(request.text)


class ChatYieldsLater(ChatModel):
    async def respond(self, request: Request, /) -> AsyncIterator[str | ToolCall | Finish]:
        yield ToolCall(name="add", args={"a": 1})
        yield Finish(reason="length")


class ChatYieldsAnything(ChatModel):
    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        yield {"type": "image", "url": "https://pictures.example/1"}
        yield AIMessageChunk(content="hi")


class ChatByRequestByName(ChatModel):
    def respond(self, request: Request) -> Iterator[str]:
        yield request.text


class ChatChild(ChatReturns):
    extra: int = 0


# --- the four shapes, as functions ---


@chat_model
def returns(request: Request, *, volume: int = 1, word: str) -> str:
    return request.text * volume + word


@chat_model
def yields(request: Request, *, volume: int = 1) -> Iterator[str | Usage]:
    yield request.text * volume
    yield Usage(output_tokens=1)


@chat_model
async def awaits(request: Request) -> str:
    return request.text


@chat_model
async def yields_later(request: Request, *, api_key: SecretStr = env("ACME_API_KEY")) -> AsyncIterator[Part]:
    yield request.text


@chat_model(tool_calling="off", accepts=frozenset({"image"}), provider="acme")
def configured(request: Request, *, volume: int = 1) -> Iterator[str]:
    yield request.text * volume


@chat_model
def untyped(request: Request, *, volume: int = 1):  # type: ignore[no-untyped-def]  # noqa: ANN201
    yield request.text * volume


# --- legal uses ---

model: BaseChatModel = ChatReturns(account="a", temperature=0.1, api_key=SecretStr("sk"), stop=["END"])
ChatReturns(account="a", timeout=1.5, adaptations="refuse", cache=False, tags=["a"], metadata={"b": 1})
ChatChild(account="a", extra=1)
ChatYields(reasoning_tags=None, token_counter=len)
CustomChatModelAdvanced(n=3)
CustomChatModelAdvanced(model_name="mine", n=3)
ChatScripted(replies=["hi", ["a", "b"]], when_exhausted="cycle")

assert_type(ChatReturns(account="a").account, str)
assert_type(ChatReturns(account="a").api_key, SecretStr)
assert_type(ChatYields().invoke("hi"), AIMessage)
as_chunks: Iterator[AIMessageChunk] = ChatYields().stream("hi")
as_text: str = ChatYields().invoke("hi").text

assert_type(returns(word="!"), ChatModel)
assert_type(returns(volume=2, word="!"), ChatModel)
assert_type(yields(volume=3).invoke("hi"), AIMessage)
assert_type(awaits(), ChatModel)
assert_type(yields_later(api_key=SecretStr("sk")), ChatModel)
assert_type(configured(volume=2), ChatModel)
assert_type(untyped(volume=2), ChatModel)
assert_type(load("langplug.models.echo:CustomChatModelAdvanced"), BaseChatModel)

parts: list[Part] = ["a", Reasoning("b"), ToolCall(name="c", args="{"), Usage(), Finish(), AIMessage("d")]
answers: list[Answer] = ["a", iter(["a"])]


def look(request: Request) -> None:
    assert_type(request.text, str)
    assert_type(request.stop, tuple[str, ...])
    assert_type(request.cancelled, bool)
    assert_type(request.prompt("chatml"), str)


# --- env and resource ---


class ChatResourceful(ChatModel):
    token: SecretStr | None = env("ACME_TOKEN", default=None, description="A token.")
    url: str = env("ACME_URL", default="https://llm.acme.example")

    @resource
    def client(self) -> Client:
        return Client()

    @resource
    def closing(self) -> Iterator[Client]:
        yield Client()

    @resource(uses=("url",), shared=True)
    def weights(self) -> Iterator[bytes]:
        yield b""

    @resource
    async def session(self) -> AsyncIterator[Client]:
        yield Client()

    @resource
    @contextmanager
    def managed(self) -> Generator[Client]:
        yield Client()

    @resource
    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Client]:
        yield Client()

    @resource
    def lock(self) -> Lock:
        return Lock()

    async def respond(self, request: Request, /) -> str:
        assert_type(self.managed, Client)
        assert_type(self.connected, Awaitable[Client])
        assert_type(self.lock, Lock)
        assert_type(self.client, Client)
        assert_type(self.closing, Client)
        assert_type(self.weights, bytes)
        assert_type(self.session, Awaitable[Client])
        session = await self.session
        assert_type(session, Client)
        self.client.complete(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return session.complete(self.url)


# --- illegal: constructor arguments ---

ChatReturns(acount="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChatReturns()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChatReturns(account=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatReturns(account="a", temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChatReturns(account="a", api_key="sk")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatReturns(account="a", adaptations="maybe")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatChild(account="a", extra="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
CustomChatModelAdvanced(m=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChatScripted(when_exhausted="stop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatReturns(account="a").acount  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # noqa: B018

# --- illegal: arguments of decorated functions ---

returns()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
returns(word="!", volum=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
returns(word=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
configured(volume="loud")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
awaits(volume=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# --- illegal: what `respond` gives back ---


class ChatReturnsNumber(ChatModel):
    def respond(self, request: Request, /) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return 3


class ChatReturnsList(ChatModel):
    def respond(self, request: Request, /) -> list[str]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return ["a"]


class ChatYieldsBytes(ChatModel):
    def respond(self, request: Request, /) -> Iterator[bytes]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        yield b"a"


class ChatAwaitsNothing(ChatModel):
    async def respond(self, request: Request, /) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return None


class ChatTakesText(ChatModel):
    def respond(self, request: str, /) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return request


class ChatTakesMore(ChatModel):
    def respond(self, request: Request, volume: int, /) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return request.text * volume


@chat_model  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def returns_number(request: Request) -> int:
    return 3


@chat_model  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def takes_text(request: str) -> str:
    return request


@chat_model(provider="acme")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def yields_number(request: Request) -> AsyncIterator[int]:
    yield 3


# --- illegal: capabilities ---


class ChatMisdeclared(ChatModel):
    tool_calling = "naitive"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    structured_output = "native?"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    accepts = {"image"}  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # noqa: RUF012

    def respond(self, request: Request, /) -> str:
        return request.text


chat_model(tool_calling="naitive")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
chat_model(structured_output=True)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
chat_model(tool_caling="off")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]

# --- illegal: parts ---

Usage(tokens=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ToolCall("add")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
wrong: list[Part] = [3]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]
Finish().reason = "stop"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
