"""Chains and graphs: what they are given, and what of what they give is the answer."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from functools import reduce
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_usage
from langchain_core.runnables import Runnable

from langplug._parts import Part
from langplug._request import Request


def read_parts(runnable: Runnable[Any, Any], request: Request) -> Iterator[Part]:
    """The parts of what a chain or graph answers."""
    given, whole = _input_for(runnable, request)
    if whole or not request.streaming:
        yield from _answer_in(runnable.invoke(given, request.run.config), given)
        return
    for item in runnable.stream(given, request.run.config):
        yield from _answer_in(item, given)


async def aread_parts(runnable: Runnable[Any, Any], request: Request) -> AsyncIterator[Part]:
    """As `read_parts`, for an event loop."""
    given, whole = _input_for(runnable, request)
    if whole or not request.streaming:
        for part in _answer_in(await runnable.ainvoke(given, request.run.config), given):
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


def _input_for(runnable: Runnable[Any, Any], request: Request) -> tuple[Any, bool]:
    """What a chain or graph is given, by the schema of its input; and whether it answers with a state.

    Raises:
        TypeError: If it wants something else than messages.
    """
    messages = [*request.messages]
    schemas: list[dict[str, Any]] = []
    for read in (runnable.get_input_jsonschema, runnable.get_output_jsonschema):
        try:
            schemas.append(read())
        except Exception:  # noqa: BLE001 - of types that no schema can say: then it is asked as a model is
            schemas.append({})
    wanted, given = schemas
    answers_state = "messages" in given.get("properties", {})
    if "messages" in wanted.get("properties", {}):
        return {"messages": messages}, answers_state
    if wanted.get("type") == "string":
        return request.text if len(messages) == 1 else request.prompt(), answers_state
    if wanted.get("type") == "object" and wanted.get("required"):
        raise TypeError(
            f"{runnable.get_name()} wants {', '.join(map(repr, wanted['required']))}, not messages. Put a function "
            "before it that makes that of messages: `adopt(RunnableLambda(lambda messages: {...}) | chain)`."
        )
    return messages, answers_state


def _answer_in(output: Any, given: Any) -> Iterator[Part]:
    """The answer in what a chain or graph gives: the last message of a state, with the tokens that all of it took.

    Raises:
        TypeError: If there is none.
    """
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
