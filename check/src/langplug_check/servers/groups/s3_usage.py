"""S3: what an answer cost."""

from collections.abc import Mapping
from typing import Any

from langplug_check.servers.server import Server
from langplug_check.servers.shapes import brief, chunks_of, require, text_of
from langplug_check.servers.statement import STREAMS, statement
from langplug_check.verdicts import Failed, NotObserved


def usage_of(body: Mapping[str, Any]) -> dict[str, int]:
    """The usage that a body tells.

    Raises:
        Failed: If it has none, or not all of it.
    """
    usage = body.get("usage")
    if not isinstance(usage, dict):
        raise Failed(f"`usage` is {usage!r}")
    require(usage, {"prompt_tokens": int, "completion_tokens": int, "total_tokens": int}, "the usage")
    return usage


def told_in_stream(server: Server) -> dict[str, int]:
    """The usage that the plain stream tells.

    Raises:
        NotObserved: If it tells none.
    """
    found = [chunk for chunk in chunks_of(server.streamed) if chunk.get("usage")]
    if not found:
        raise NotObserved("the stream tells no usage (see S32)")
    return usage_of(found[-1])


@statement(
    "S30",
    "A whole answer has `usage`: `prompt_tokens`, `completion_tokens` and their sum, `total_tokens`.",
    why="Costs, limits and context windows are reckoned by it.",
    mend="Count the prompt's tokens and the answer's, and add them up.",
)
def tells_usage(server: Server) -> str:
    """Looks at the plain answer."""
    usage = usage_of(server.whole)
    if usage["total_tokens"] != usage["prompt_tokens"] + usage["completion_tokens"]:
        raise Failed(brief(usage), "a total that is the sum of both")
    return brief(usage)


@statement(
    "S31",
    "Usage is counted: no zero for a prompt or an answer that has text.",
    why="Zeros look as if the answer had cost nothing; a missing usage would be honest.",
    mend="Report what the engine counted, or leave `usage` out.",
)
def counts_usage(server: Server) -> None:
    """Looks at the plain answer. A server without usage is told so by S30."""
    if not server.whole.get("usage"):
        raise NotObserved("there is no usage (see S30)")
    usage = usage_of(server.whole)
    if usage["prompt_tokens"] < 1 or (text_of(server.whole) and usage["completion_tokens"] < 1):
        raise Failed(f"{brief(usage)} for {text_of(server.whole)[:60]!r}")


@statement(
    "S32",
    "With `stream_options.include_usage`, a chunk with `choices: []` tells the usage before `[DONE]`.",
    why="It is the only way to know what a stream cost.",
    mend='Send {..., "choices": [], "usage": {...}} behind the finish reason, if the request asks for it.',
    link=STREAMS,
)
def tells_usage_in_streams(server: Server) -> str:
    """Reads the plain stream, which asks for it."""
    last = chunks_of(server.streamed)[-1]
    if last.get("choices") != []:
        raise Failed(f"the last chunk is {brief(last)}", "choices: [], and usage")
    return brief(usage_of(last))


@statement(
    "S33",
    "With `include_usage`, every other chunk has `usage: null`.",
    why="It is what the API's description says, and what SDKs generated from it read.",
    mend='Add "usage": null to the other chunks of such a stream.',
    rank="could",
    link=STREAMS,
)
def has_null_elsewhere(server: Server) -> None:
    """Reads the plain stream."""
    others = [chunk for chunk in chunks_of(server.streamed) if chunk.get("choices")]
    wrong = [chunk for chunk in others if "usage" not in chunk or chunk["usage"] is not None]
    if wrong:
        raise Failed(f"{len(wrong)} of {len(others)} chunks, such as {brief(wrong[0])}", '"usage": null')


@statement(
    "S34",
    "Who does not ask for usage gets no chunk without a choice.",
    why="Clients that have not asked take `choices[0]` of every chunk, and fail.",
    mend="Send the chunk with the usage only where `stream_options.include_usage` is true.",
    rank="must",
    calls=1,
    link=STREAMS,
)
def tells_no_usage_unasked(server: Server) -> None:
    """Asks the plain question by a stream, without options. What a filter says of the prompt, as Azure's, may come."""
    reply = server.ask(stream=True)
    if reply.status != 200:
        raise NotObserved(f"no stream: {reply.shown}")
    empty = [chunk for chunk in chunks_of(reply) if not chunk.get("choices") and "prompt_filter_results" not in chunk]
    if empty:
        raise Failed(brief(empty[0]), "a choice in each chunk")


@statement(
    "S35",
    "The same prompt has as many `prompt_tokens` in a stream as in a whole answer.",
    why="Whoever switches streaming on should not see another bill.",
    mend="Count the prompt once, in one place, for both.",
    rank="could",
)
def counts_the_same(server: Server) -> str:
    """Compares the plain answers. The answers' own tokens may differ, as the answers may."""
    stream = told_in_stream(server)["prompt_tokens"]
    whole = usage_of(server.whole)["prompt_tokens"]
    if whole != stream:
        raise Failed(f"{whole} in the whole answer, {stream} in the stream")
    return f"{whole} tokens"


@statement(
    "S36",
    "A stream's `total_tokens` is the sum of both.",
    why="Costs are reckoned by it, too.",
    mend="Add them up in one place for both.",
)
def adds_up(server: Server) -> None:
    """Reads the plain stream."""
    usage = told_in_stream(server)
    if usage["total_tokens"] != usage["prompt_tokens"] + usage["completion_tokens"]:
        raise Failed(brief(usage), "a total that is the sum of both")
