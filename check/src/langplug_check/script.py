"""A script for models that answer in this process: the backend's replies and faults, given by a langplug model.

The class under check stays as it is, except for `respond`, which is overridden by one of the same shape. So everything
that langplug does around it is at work, and a check need not know whether there is a server behind the model.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias

from langchain_core.messages import ChatMessage

from langplug import TOOL_FORMATS, ChatModel, Finish, Part, Reasoning, Request, ToolCall, ToolFormat, Usage
from langplug_backend import Call, Exchange, Fault, Refusal, Reply, Thought, Tokens
from langplug_backend.completion import Completion, complete
from langplug_backend.dialects.openai import usage_fields
from langplug_backend.log import Log
from langplug_backend.request import ChatRequest, RequestMessage, last_text
from langplug_check.prompts import find_choice, find_tools
from langplug_check.script_faults import ScriptFault, to_script_fault

AnyReply: TypeAlias = Any
"""What a model says to a request: a `Reply`, `Fault`, text, exception, or a function of a `ChatRequest`."""

UNTIL_FAULT = "One two three four five six."
"""What a model is saying when it meets a fault that is not part of a reply."""

HANGS_S = 600.0
"""Seconds that a fault waits that waits forever: longer than any check."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds in which the model says nothing."""

    seconds: float


Action: TypeAlias = "Part | Pause | BaseException"
"""What an author's `respond` does next: gives a part, waits, or raises."""


@dataclass(slots=True)
class Script:
    """What a model says, request by request, the last reply again and again; and the log of what was asked.

    Attributes:
        replies: What it says.
        log: What was asked, and how each answer ended.
    """

    replies: Sequence[AnyReply] = ("Hello.",)
    log: Log = field(default_factory=Log)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, model: ChatModel, request: Request) -> "ScriptedAnswer":
        """The answer to one request."""
        asked = read_request(model, request)
        with self._lock:  # threads share a model, and each request gets a reply of its own
            number = len(self.log.exchanges)
            exchange = Exchange(
                number=number,
                connection=0,
                method="",
                path="",
                headers={},
                raw=b"",
                body=_openai_body(request, asked),
                request=asked,
                at=time.monotonic(),
            )
            self.log.exchanges.append(exchange)
        self.log.changed()
        reply = self.replies[min(number, len(self.replies) - 1)]
        return ScriptedAnswer(self.log, exchange, list(to_actions(model, request, asked, reply)))


@dataclass(slots=True)
class ScriptedAnswer:
    """One answer: its actions, and how it ended."""

    log: Log
    exchange: Exchange
    actions: Sequence[Action]

    def play(self) -> Generator[Part | Pause, None, None]:
        """The parts and pauses; errors are raised. The log says how it ended, which closing this early is, too."""
        try:
            for action in self.actions:
                if isinstance(action, BaseException):
                    self.log.end(self.exchange, "fault")
                    raise action
                yield action
                # Counted after the yield: a piece that nobody came back from was not received.
                self.exchange.pieces_sent += not isinstance(action, Pause | Usage | Finish)
                self.exchange.events_sent += not isinstance(action, Pause)
            self.log.end(self.exchange, "complete")
        finally:
            if self.exchange.outcome is None:
                self.log.end(self.exchange, "client_gone")


# --- what the model is asked ---

_ROLES: Mapping[str, str] = {"human": "user", "ai": "assistant", "function": "tool"}


def read_request(model: ChatModel, request: Request) -> ChatRequest:
    """The request, in the words of the backend.

    Raises:
        NotObserved: If the model is told of tools in a way that cannot be read.
    """
    said: list[RequestMessage] = []
    for message in request.messages:
        kind = message.type.removesuffix("MessageChunk").lower()
        role = message.role if isinstance(message, ChatMessage) else _ROLES.get(kind, kind)
        said.append(RequestMessage(role=role, text=str(message.text), result=role == "tool", raw=message))
    messages = tuple(said)
    choice = request.tool_choice
    params = dict(request.params)
    if request.schema is not None:
        params["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.schema},
        }
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
        params=params,
    )
    return asked if request.tools else read_prompt(model, asked, keeps_schema=request.schema is not None)


def read_prompt(model: ChatModel, asked: ChatRequest, *, keeps_schema: bool) -> ChatRequest:
    """The request, if its prompt tells the model of tools, with what it tells.

    Args:
        model: The model, which may say how calls stand in its text.
        asked: The request, as it was sent.
        keeps_schema: Whether the model is given a schema for its answer besides the prompt.
    """
    prompt = "\n".join(said.text for said in asked.messages if said.role == "system")
    tools = find_tools(prompt)
    if not tools:
        return asked
    tool_format = format_of(model)
    # A model that keeps to schemas by itself is forced to call by a schema of the call. There is no other way to get
    # both: beside tools in a prompt, the schema of an answer stands in the prompt too.
    choice = "required" if keeps_schema else find_choice(prompt, tools, tool_format)
    messages = list(asked.messages)
    for n, (before, said) in enumerate(pairwise(asked.messages), start=1):
        if said.role == "user" and before.role == "assistant":
            # What comes after a call is its result, though it comes in the user's name.
            parser = tool_format.parser(tools)
            parts = [*parser.feed(before.text), *parser.flush()]
            messages[n] = replace(said, result=any(not isinstance(part, str) for part in parts))
    text = last_text(tuple(messages))
    return replace(asked, tools=tools, tool_choice=choice, messages=tuple(messages), text=text)


def format_of(model: ChatModel) -> ToolFormat:
    """How a model that reads its tools as text writes its calls."""
    chosen = model.tool_format or "hermes"
    return chosen if isinstance(chosen, ToolFormat) else TOOL_FORMATS[chosen]


def _openai_body(request: Request, asked: ChatRequest) -> Any:
    """The request as an OpenAI client would send it; None if the history cannot be sent so."""
    try:
        messages = request.openai_messages()
    except ValueError:
        return None
    choice = {} if asked.tool_choice is None else {"tool_choice": request.tool_choice or asked.tool_choice}
    tools = {"tools": list(asked.tools)} if asked.tools else {}
    stop = {"stop": list(request.stop)} if request.stop else {}
    stream = request.streaming
    return {"model": asked.model, "messages": messages, "stream": stream, **stop, **tools, **choice, **asked.params}


# --- what the model says ---


def to_actions(model: ChatModel, request: Request, asked: ChatRequest, reply: AnyReply) -> Iterator[Action]:
    """What `respond` does to give a reply."""
    if isinstance(reply, BaseException):
        yield reply
    elif callable(reply):
        yield from to_actions(model, request, asked, reply(asked))
    elif isinstance(reply, Fault):
        yield from _break_off(_speak(model, request, asked, Reply(text=UNTIL_FAULT)), to_script_fault(reply))
    else:
        reply = reply if isinstance(reply, Reply) else Reply(text=reply)
        actions = _speak(model, request, asked, reply)
        yield from _break_off(actions, to_script_fault(reply.faults[0])) if reply.faults else actions


def _break_off(actions: Iterator[Action], fault: ScriptFault) -> Iterator[Action]:
    """The actions, as far as the fault lets them come."""
    given = 0
    for action in actions:
        if given >= fault.after:
            break
        yield action
        given += not isinstance(action, Pause)
    yield Pause(HANGS_S) if fault.error is None else fault.error


def _speak(model: ChatModel, request: Request, asked: ChatRequest, reply: Reply) -> Iterator[Action]:
    # An author need not look at stop strings: langplug cuts the answer there.
    turn = complete(replace(reply, stop="ignore"), asked)[0]
    if reply.first:
        yield Pause(reply.first)
    for number, part in enumerate(_to_parts(model, request, turn)):
        if number and reply.pace:
            yield Pause(reply.pace)
        yield part
    # Usage comes last, as servers send it; if a reply breaks off, it does not come at all.
    if reply.usage_mode != "none":
        used = turn.usage
        yield Usage(
            input_tokens=used.input,
            output_tokens=used.output,
            input_token_details={"cache_read": used.cached} if used.cached else None,
            output_token_details={"reasoning": used.reasoning} if used.reasoning else None,
        )
    yield Finish(reason=turn.finish, metadata={"model_name": reply.model} if reply.model else {})


def _to_parts(model: ChatModel, request: Request, turn: Completion) -> Iterator[Part]:
    calls = 0
    for piece in turn.pieces:
        if isinstance(piece, str):
            yield piece
        elif isinstance(piece, Thought):
            yield Reasoning(piece.text)
        elif isinstance(piece, Refusal):
            yield {"type": "refusal", "refusal": piece.text}
        elif model.__langplug_tool_calling__() in ("prompted", "templated"):
            yield from write_call(model, piece, turn.finish, keeps_schema=request.schema is not None)
        else:
            yield ToolCall(name=piece.name, id=piece.id, index=calls)
            yield from (ToolCall(args=fragment, index=calls) for fragment in piece.fragments)
            calls += 1


def write_call(model: ChatModel, call: Call, finish: str, *, keeps_schema: bool) -> Iterator[str]:
    """A call as a model writes it that reads its tools in the prompt."""
    written = TOOL_FORMATS["json"] if keeps_schema else format_of(model)
    text, args = "\n" + written.call(call.name, call.args, call.id or ""), call.json_args
    if finish == "length" and args in text:  # a limit of tokens cuts within the arguments: no closing tag
        text = text[: text.index(args) + len(args)]
    # In pieces that fit no tag, as tokens do: parsers have to put tags together.
    yield from (text[at : at + 8] for at in range(0, len(text), 8))


# --- a class that says it ---


def make_scripted_class(cls: type[ChatModel]) -> Any:
    """The class, with a `respond` of the same shape that plays the script in `__check_script__`."""
    body: dict[str, Any] = {"respond": _RESPONDS[cls.__langplug_shape__.name], "__module__": cls.__module__}
    metaclass: Any = type(cls)
    return metaclass(cls.__name__, (cls,), {**body, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__})


def _answer(model: Any, request: Request) -> "ScriptedAnswer":
    # Not in a closure, which is part of a cache key: two models that differ in their scripts alone are equal.
    script: Script = type(model).__check_script__
    return script.answer(model, request)


def _function(self: ChatModel, request: Request, /) -> dict[str, Any]:
    return _to_completion(_play_blocking(_answer(self, request), request))


def _generator(self: ChatModel, request: Request, /) -> Iterator[Part]:
    yield from _play_blocking(_answer(self, request), request)


async def _coroutine(self: ChatModel, request: Request, /) -> dict[str, Any]:
    return _to_completion([part async for part in _play_async(_answer(self, request))])


async def _async_generator(self: ChatModel, request: Request, /) -> AsyncIterator[Part]:
    async for part in _play_async(_answer(self, request)):
        yield part


_RESPONDS: Mapping[str, Callable[..., Any]] = {
    "FUNCTION": _function,
    "GENERATOR": _generator,
    "COROUTINE": _coroutine,
    "ASYNC_GENERATOR": _async_generator,
}


def _play_blocking(answer: ScriptedAnswer, request: Request) -> Iterator[Part]:
    """The parts. Pauses block, as long as somebody waits for the answer."""
    steps = answer.play()
    try:
        for step in steps:
            if not isinstance(step, Pause):
                yield step
            elif request.cancellation.wait(step.seconds):
                return
    finally:
        steps.close()  # now, and not when it is collected: the log is looked at as soon as the caller has gone


async def _play_async(answer: ScriptedAnswer) -> AsyncIterator[Part]:
    """The parts. Pauses leave the event loop to others."""
    steps = answer.play()
    try:
        for step in steps:
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                yield step
    finally:
        steps.close()


def _to_completion(parts: Iterable[Part]) -> dict[str, Any]:
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
                call = calls.setdefault(part.index, {"type": "function", "id": None, "function": {"arguments": ""}})
                call["id"] = part.id or call["id"]
                call["function"] |= {"name": part.name} if part.name else {}
                call["function"]["arguments"] += part.args or ""
            case {"type": "refusal", "refusal": said}:
                message["refusal"] = message.get("refusal", "") + said
            case Usage(input_tokens=read, output_tokens=wrote):
                cached = (part.input_token_details or {}).get("cache_read")
                reasoned = (part.output_token_details or {}).get("reasoning")
                used = Tokens(input=read or 0, output=wrote or 0, cached=cached or 0, reasoning=reasoned or 0)
                body["usage"] = usage_fields(used)
            case Finish():
                body["choices"][0]["finish_reason"] = part.reason
                body |= {"model": part.metadata["model_name"]} if "model_name" in part.metadata else {}
            case _:
                raise TypeError(f"a script has no {type(part).__name__}")
    if calls:
        message["tool_calls"] = list(calls.values())
        body["choices"][0]["finish_reason"] = "tool_calls"
    return body
