"""Chains and what else runs: what they are given, and what of what they give is the answer."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from functools import reduce
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import add_usage
from langchain_core.output_parsers import BaseLLMOutputParser, StrOutputParser
from langchain_core.runnables import Runnable
from pydantic_core import to_json

from langplug._model.structured import StructuredOutputReader
from langplug._parts import Part
from langplug._request import Request
from langplug.models.adopted.graphs import (
    INTERRUPT,
    Place,
    aread_graph,
    check_graph,
    check_interrupts,
    is_function,
    is_graph,
    question_of,
    read_graph,
)


def read_parts(runnable: Runnable[Any, Any], request: Request, *, show_steps: bool) -> Iterator[Part]:
    """The parts of what a chain or graph answers; of a graph also its steps, if they are to be shown."""
    if is_graph(runnable):
        yield from read_graph(runnable, request, show_steps=show_steps)
        return
    given, whole = _input_for(runnable, request)
    if is_function(runnable):
        place = Place(runnable, request)
        output = place.graph.invoke(place.enter(given), request.run.config)
        yield from _answer_in(output, given, in_thread=place.in_thread)
        return
    if whole or not request.streaming:
        output = runnable.invoke(given, request.run.config)
        yield from _answer_in(_as_json(output) if _is_parsed(runnable) else output, given)
        return
    for item in runnable.stream(given, request.run.config):
        yield from _answer_in(item, given)


async def aread_parts(runnable: Runnable[Any, Any], request: Request, *, show_steps: bool) -> AsyncIterator[Part]:
    """As `read_parts`, for an event loop."""
    if is_graph(runnable):
        async with aclosing(aread_graph(runnable, request, show_steps=show_steps)) as parts:
            async for part in parts:
                yield part
        return
    given, whole = _input_for(runnable, request)
    if is_function(runnable):
        place = Place(runnable, request)
        output = await place.graph.ainvoke(await place.aenter(given), request.run.config)
        for part in _answer_in(output, given, in_thread=place.in_thread):
            yield part
        return
    if whole or not request.streaming:
        output = await runnable.ainvoke(given, request.run.config)
        for part in _answer_in(_as_json(output) if _is_parsed(runnable) else output, given):
            yield part
        return
    stream = runnable.astream(given, request.run.config)
    try:
        async for item in stream:
            for part in _answer_in(item, given):
                yield part
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


def check_input(runnable: Runnable[Any, Any]) -> None:
    """Refuse what cannot be asked with messages.

    Raises:
        TypeError: If it wants something else, or is a graph without a conversation.
    """
    if is_graph(runnable):
        check_graph(runnable)
    else:
        _form_of(runnable)


def _input_for(runnable: Runnable[Any, Any], request: Request) -> tuple[Any, bool]:
    """What a chain or function is given; and whether it answers with a state, or has to be asked for all at once."""
    form, whole = _form_of(runnable)
    messages = [*request.messages]
    if form == "text":
        return request.text if len(messages) == 1 else request.prompt(), whole
    return {"messages": messages} if form == "state" else messages, whole


def _form_of(runnable: Runnable[Any, Any]) -> tuple[Literal["state", "text", "messages"], bool]:
    """What a chain or function wants, by the schema of its input; and whether it answers in one piece."""
    schemas: list[dict[str, Any]] = []
    for read in (runnable.get_input_jsonschema, runnable.get_output_jsonschema):
        try:
            schemas.append(_resolved(read()))
        except Exception:  # noqa: BLE001 - of types that no schema can say: then it is asked as a model is
            schemas.append({})
    wanted, given = schemas
    whole = "messages" in given.get("properties", {}) or _is_parsed(runnable)
    if "messages" in wanted.get("properties", {}):
        return "state", whole
    if wanted.get("type") == "string":
        return "text", whole
    if wanted.get("type") == "object" and wanted.get("required"):
        raise TypeError(
            f"{runnable.get_name()} wants {', '.join(map(repr, wanted['required']))}, not messages. Put a function "
            "before it that makes that of messages: `adopt(RunnableLambda(lambda messages: {...}) | chain)`."
        )
    return "messages", whole


def _is_parsed(runnable: Any) -> bool:
    """Whether a chain ends with a parser, whose stream would tell more and more of an object, each time anew."""
    last = getattr(runnable, "last", None)
    return isinstance(last, BaseLLMOutputParser | StructuredOutputReader) and not isinstance(last, StrOutputParser)


def _as_json(output: Any) -> Any:
    """What a parser has made of an answer, as the JSON that it was."""
    return output if output is None or isinstance(output, str | BaseMessage) else to_json(output).decode()


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that is no more than the name of one of its own definitions, as that."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    return cast("dict[str, Any]", schema.get("$defs", {}).get(name, schema))


def _answer_in(output: Any, given: Any, *, in_thread: bool = False) -> Iterator[Part]:
    """The answer in what a chain or graph gives: the last message of a state, with the tokens that all of it took.

    Raises:
        TypeError: If there is none.
    """
    if isinstance(output, Mapping) and (asked := output.get(INTERRUPT)):
        if not in_thread or len(asked) > 1:
            check_interrupts(output)
        yield question_of(asked[0])
        return
    if not (isinstance(output, Mapping) and isinstance(output.get("messages"), list | tuple)):
        yield cast("Part", output)
        return
    said = [*output["messages"]]
    if not said or not isinstance(said[-1], AIMessage):
        last = type(said[-1]).__name__ if said else "no message"
        raise TypeError(f"The state ends with {last}, not with the answer of a model (an AIMessage).")
    # What it was given stands first, unless it has forgotten some of that.
    before = len(given["messages"]) if isinstance(given, dict) else 0
    new = said[before:] if len(said) > before else said[-1:]
    used = [one.usage_metadata for one in new if isinstance(one, AIMessage) and one.usage_metadata is not None]
    yield said[-1].model_copy(update={"usage_metadata": reduce(add_usage, used) if used else None})
