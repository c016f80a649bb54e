"""A script for models that answer in this process: the backend's replies and faults, played by a langplug model.

The class under check stays as it is, but for `respond`, which is overridden by one of the same shape. So all that
langplug does around it is seen at work, and a check need not know whether there is a server behind the model.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias

from langchain_core.messages import BaseMessage, ChatMessage

from langplug import TOOL_FORMATS, ChatModel, Finish, Part, Reasoning, Request, ToolCall, ToolFormat, Usage
from langplug_backend import Call, Exchange, Fault, Reply, Thought
from langplug_backend.completion import Completion, complete
from langplug_backend.log import Log
from langplug_backend.request import ChatRequest, RequestMessage, last_text
from langplug_check.prompts import find_choice, find_tools
from langplug_check.script_faults import ScriptFault, to_script_fault

Step: TypeAlias = Any
"""What is said to one request: a `Reply`, a `Fault`, text, an exception, or a function of what was asked to one."""

IN_TROUBLE = "One two three four five six."
"""What a model is saying when it meets a fault that is not part of a reply."""

HANGS_S = 600.0
"""Seconds that a fault waits which waits for ever."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds in which nothing is said; `stuck` where nothing comes any more until the caller goes."""

    seconds: float


Move: TypeAlias = "Part | Pause | BaseException"
"""What an author does next: gives a part, waits, or raises."""


@dataclass(slots=True)
class Script:
    """What is said, request by request, the last step again and again; and the log of what was asked.

    Attributes:
        steps: What is said.
        log: What was asked, and how it ended.
    """

    steps: Sequence[Step] = ("Hello.",)
    log: Log = field(default_factory=Log)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def opened(self, model: ChatModel, request: Request) -> "Performance":
        """The answer to one request."""
        asked = asked_of(model, request)
        with self._lock:
            number = len(self.log.exchanges)
            exchange = Exchange(
                number=number,
                connection=0,
                method="",
                path="",
                headers={},
                raw=b"",
                body=_body(request, asked),
                request=asked,
                at=time.monotonic(),
            )
            self.log.exchanges.append(exchange)
        self.log.changed()
        step = self.steps[min(number, len(self.steps) - 1)]
        return Performance(self.log, exchange, list(moves(model, request, asked, step)))


@dataclass(slots=True)
class Performance:
    """One answer as it is given: its moves, and how it ended."""

    log: Log
    exchange: Exchange
    moves: Sequence[Move]

    def __iter__(self) -> Iterator[Part | Pause]:
        """The parts and pauses; errors are raised. However it ends is written down."""
        try:
            for move in self.moves:
                if isinstance(move, BaseException):
                    self.log.end(self.exchange, "fault")
                    raise move
                yield move
                self.exchange.pieces_sent += not isinstance(move, Pause | Usage | Finish)
                self.exchange.events_sent += not isinstance(move, Pause)
            self.log.end(self.exchange, "complete")
        finally:
            if self.exchange.outcome is None:
                self.log.end(self.exchange, "client_gone")


# --- what is asked ---


def asked_of(model: ChatModel, request: Request) -> ChatRequest:
    """The request, in the words of the backend.

    Raises:
        NotObserved: If the model is told of tools in a way that cannot be read.
    """
    messages = tuple(map(_said, request.messages))
    choice = request.tool_choice
    asked = ChatRequest(
        dialect="openai",
        path="",
        model=model.reported_name,
        messages=messages,
        text=last_text(messages),
        streaming=request.streaming,
        tools=request.tools,
        tool_choice=choice["function"]["name"] if isinstance(choice, dict) else choice,
        stop=request.stop,
        params={**request.params, **_format(request)},
    )
    return asked if request.tools else _with_told_tools(model, request, asked)


def _with_told_tools(model: ChatModel, request: Request, asked: ChatRequest) -> ChatRequest:
    """The request of a model that reads its tools, and the results of its calls, as text."""
    prompt = "\n".join(said.text for said in asked.messages if said.role == "system")
    tools = find_tools(prompt)
    if not tools:
        return asked
    tool_format = _format_of(model)
    # A model that keeps to schemas is forced to call by a schema of the call: an answer's own never comes with tools.
    choice = "required" if request.schema is not None else find_choice(prompt, tools, tool_format)
    messages = list(asked.messages)
    for n, (before, said) in enumerate(pairwise(asked.messages), start=1):
        if said.role == "user" and before.role == "assistant" and _holds_call(tool_format, tools, before.text):
            messages[n] = replace(said, result=True)
    return replace(asked, tools=tools, tool_choice=choice, messages=tuple(messages), text=last_text(tuple(messages)))


def _holds_call(tool_format: ToolFormat, tools: Sequence[Mapping[str, Any]], text: str) -> bool:
    parser = tool_format.parser(tools)
    return any(not isinstance(part, str) for part in (*parser.feed(text), *parser.flush()))


def _format_of(model: ChatModel) -> ToolFormat:
    chosen = model.tool_format or "hermes"
    return chosen if isinstance(chosen, ToolFormat) else TOOL_FORMATS[chosen]


_ROLES: Mapping[str, str] = {"human": "user", "ai": "assistant", "function": "tool"}


def _said(message: BaseMessage) -> RequestMessage:
    kind = message.type.removesuffix("MessageChunk").lower()
    role = message.role if isinstance(message, ChatMessage) else _ROLES.get(kind, kind)
    return RequestMessage(role=role, text=str(message.text), result=role == "tool", raw=message)


def _format(request: Request) -> dict[str, Any]:
    """The schema that the answer must fit, as OpenAI's API has it."""
    if request.schema is None:
        return {}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": request.schema}}}


def _body(request: Request, asked: ChatRequest) -> Any:
    """The request as an OpenAI client would send it; None where the history cannot be told so."""
    try:
        messages = request.openai_messages()
    except ValueError:
        return None
    choice = {} if asked.tool_choice is None else {"tool_choice": request.tool_choice or asked.tool_choice}
    tools = {"tools": list(asked.tools)} if asked.tools else {}
    stop = {"stop": list(request.stop)} if request.stop else {}
    stream = request.streaming
    return {"model": asked.model, "messages": messages, "stream": stream, **stop, **tools, **choice, **asked.params}


# --- what is said ---


def moves(model: ChatModel, request: Request, asked: ChatRequest, step: Step) -> Iterator[Move]:
    """What the author does, for one step of the script."""
    if isinstance(step, BaseException):
        yield step
        return
    if callable(step):
        yield from moves(model, request, asked, step(asked))
        return
    reply = step if isinstance(step, Reply) else Reply(text=IN_TROUBLE if isinstance(step, Fault) else step)
    fault = step if isinstance(step, Fault) else next(iter(reply.faults), None)
    yield from _troubled(_told(model, request, asked, reply), None if fault is None else to_script_fault(fault))


def _told(model: ChatModel, request: Request, asked: ChatRequest, reply: Reply) -> Iterator[Move]:
    turn = complete(_unstopped(reply), asked)[0]
    if reply.first:
        yield Pause(reply.first)
    for number, part in enumerate(_parts(model, request, turn)):
        if number and reply.pace:
            yield Pause(reply.pace)
        yield part
    if reply.usage_mode != "none":
        yield _usage(turn)
    if turn.finish not in ("stop", "tool_calls") or reply.finish or reply.model:
        yield Finish(reason=turn.finish, metadata={"model_name": reply.model} if reply.model else {})


def _unstopped(reply: Reply) -> Reply:
    """An author need not look at stop strings: langplug cuts."""
    return replace(reply, stop="ignore")


def _parts(model: ChatModel, request: Request, turn: Completion) -> Iterator[Part]:
    written = model.tool_calling == "prompted"
    calls = 0
    for piece in turn.pieces:
        if isinstance(piece, str):
            yield piece
        elif isinstance(piece, Thought):
            yield Reasoning(piece.text)
        elif written:
            text = _written(model, request, piece)
            yield from _cut(_cut_off(text, piece.json_args) if turn.finish == "length" else text)
        else:
            yield from _fragments(piece, calls)
            calls += 1


def _fragments(call: Call, index: int) -> Iterator[ToolCall]:
    yield ToolCall(name=call.name, id=call.id, index=index)
    for fragment in call.fragments:
        yield ToolCall(args=fragment, index=index)


def _written(model: ChatModel, request: Request, call: Call) -> str:
    written = _format_of(model) if request.schema is None else TOOL_FORMATS["json"]
    return "\n" + written.call(call.name, call.args, call.id or "")


def _cut_off(text: str, args: str) -> str:
    """A call in text that ends with its arguments, as it does where the tokens ran out in them."""
    return text[: text.index(args) + len(args)] if args in text else text


def _cut(text: str, size: int = 8) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def _usage(turn: Completion) -> Usage:
    used = turn.usage
    return Usage(
        input_tokens=used.input,
        output_tokens=used.output,
        input_token_details={"cache_read": used.cached} if used.cached else None,
        output_token_details={"reasoning": used.reasoning} if used.reasoning else None,
    )


def _troubled(told: Iterator[Move], trouble: ScriptFault | None) -> Iterator[Move]:
    """The answer, as far as the trouble lets it come."""
    if trouble is None:
        yield from told
        return
    said = 0
    for move in told:
        if said >= trouble.after:
            break
        yield move
        said += not isinstance(move, Pause)
    yield Pause(HANGS_S) if trouble.error is None else trouble.error


# --- a class that plays it ---


def make_scripted_class(cls: type[ChatModel], script: Script) -> type[ChatModel]:
    """The class, with a `respond` of the same shape that plays the script."""
    respond = _RESPONDS[cls.__langplug_shape__.name](script)
    body: dict[str, Any] = {"respond": respond, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    metaclass: Any = type(cls)
    made: type[ChatModel] = metaclass(cls.__name__, (cls,), {**body, "__doc__": cls.__doc__})
    return made


def _function(script: Script) -> Callable[..., Any]:
    def respond(self: ChatModel, request: Request, /) -> dict[str, Any]:
        return _whole(_blocking(script.opened(self, request), request))

    return respond


def _generator(script: Script) -> Callable[..., Any]:
    def respond(self: ChatModel, request: Request, /) -> Iterator[Part]:
        yield from _blocking(script.opened(self, request), request)

    return respond


def _coroutine(script: Script) -> Callable[..., Any]:
    async def respond(self: ChatModel, request: Request, /) -> dict[str, Any]:
        return _whole([part async for part in _waiting(script.opened(self, request))])

    return respond


def _async_generator(script: Script) -> Callable[..., Any]:
    async def respond(self: ChatModel, request: Request, /) -> AsyncIterator[Part]:
        async for part in _waiting(script.opened(self, request)):
            yield part

    return respond


_RESPONDS: Mapping[str, Callable[[Script], Callable[..., Any]]] = {
    "FUNCTION": _function,
    "GENERATOR": _generator,
    "COROUTINE": _coroutine,
    "ASYNC_GENERATOR": _async_generator,
}


def _blocking(performance: Performance, request: Request) -> Iterator[Part]:
    """The parts; pauses block, as long as somebody waits for the answer."""
    steps = iter(performance)
    try:
        for step in steps:
            if isinstance(step, Pause):
                if request.cancellation.wait(step.seconds):
                    return
            else:
                yield step
    finally:
        steps.close()  # type: ignore[attr-defined]


async def _waiting(performance: Performance) -> AsyncIterator[Part]:
    steps = iter(performance)
    try:
        for step in steps:
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                yield step
    finally:
        steps.close()  # type: ignore[attr-defined]


def _whole(parts: Iterable[Part]) -> dict[str, Any]:
    """The parts as the one thing that a function returns: an OpenAI completion."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[Any, dict[str, Any]] = {}
    body: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    for part in parts:
        match part:
            case str():
                message["content"] = (message["content"] or "") + part
            case Reasoning():
                message["reasoning_content"] = message.get("reasoning_content", "") + part.text
            case ToolCall():
                called = calls.setdefault(part.index, {"type": "function", "id": None, "function": {"arguments": ""}})
                _joined(called, part)
            case Usage():
                body["usage"] = _usage_dict(part)
            case Finish():
                body["choices"][0]["finish_reason"] = part.reason
                body |= {"model": part.metadata["model_name"]} if "model_name" in part.metadata else {}
            case _:
                raise TypeError(f"a script says no {type(part).__name__}")
    if calls:
        message["tool_calls"] = list(calls.values())
        body["choices"][0]["finish_reason"] = "tool_calls"
    return body


def _joined(called: dict[str, Any], part: ToolCall) -> None:
    called["id"] = part.id or called["id"]
    if part.name:
        called["function"]["name"] = part.name
    called["function"]["arguments"] += part.args or ""


def _usage_dict(used: Usage) -> dict[str, Any]:
    read, wrote = used.input_tokens or 0, used.output_tokens or 0
    return {
        "prompt_tokens": read,
        "completion_tokens": wrote,
        "total_tokens": read + wrote,
        **(
            {"prompt_tokens_details": {"cached_tokens": used.input_token_details["cache_read"]}}
            if used.input_token_details
            else {}
        ),
        **(
            {"completion_tokens_details": {"reasoning_tokens": used.output_token_details["reasoning"]}}
            if used.output_token_details
            else {}
        ),
    }
