"""S2: an answer that comes as a stream."""

from langplug_check.servers.server import Server
from langplug_check.servers.shapes import (
    REASONS,
    brief,
    choices_of,
    chunks_of,
    deltas_of,
    events_of,
    require,
    stream_reasons,
    stream_text,
    text_of,
)
from langplug_check.servers.statement import SSE, statement
from langplug_check.verdicts import Failed, NotObserved


@statement(
    "S20",
    "A stream is `text/event-stream`.",
    why="Browsers and strict clients read events from nothing else.",
    mend="Content-Type: text/event-stream; charset=utf-8",
    rank="must",
    link=SSE,
)
def says_that_it_is_a_stream(server: Server) -> None:
    """Asks the plain question with `stream: true`."""
    if server.streamed.kind != "text/event-stream":
        raise Failed(repr(server.streamed.headers.get("content-type")), "text/event-stream")


@statement(
    "S21",
    "A stream is made of server-sent events, each a JSON object in `data:`.",
    why="One line of another kind, and the client's parser gives up in the middle of an answer.",
    mend='Write f"data: {json.dumps(chunk)}\\n\\n" for each chunk, and nothing else but comments (": ping").',
    rank="must",
    link=SSE,
)
def is_made_of_events(server: Server) -> str:
    """Reads the plain stream, comments left out."""
    return f"{len(chunks_of(server.streamed))} chunks"


@statement(
    "S22",
    "A stream ends with `data: [DONE]`, once, and nothing comes behind it.",
    why="It is how a client knows that nothing was cut off; some wait for it forever.",
    mend='Write "data: [DONE]\\n\\n" at the end, behind the usage, and then end the body.',
    rank="must",
)
def says_that_it_is_done(server: Server) -> None:
    """Reads the plain stream."""
    events = events_of(server.streamed)
    if events[-1] != "[DONE]" or events.count("[DONE]") != 1:
        raise Failed(f"the last events are {events[-2:]!r:.300}", "[DONE], once, at the end")


@statement(
    "S23",
    "All chunks of a stream have one `id`.",
    why="Clients put chunks together by it; with an id for each, every word is an answer of its own.",
    mend="Make the id before the first chunk, and keep it.",
    rank="must",
)
def keeps_its_id(server: Server) -> None:
    """Reads the plain stream."""
    ids = {str(chunk.get("id") or "") for chunk in chunks_of(server.streamed)}
    if len(ids) != 1 or "" in ids:
        raise Failed(f"{len(ids)} ids: {', '.join(sorted(ids)[:3])}", "one id")


@statement(
    "S24",
    "All chunks of a stream have one `created` and one `model`.",
    why="They describe the answer, not the chunk.",
    mend="Take both once, before the first chunk.",
    rank="could",
)
def keeps_its_time(server: Server) -> None:
    """Reads the plain stream."""
    for name, kind in (("created", int), ("model", str)):
        found = {chunk.get(name) for chunk in chunks_of(server.streamed)}
        if len(found) != 1 or not all(isinstance(one, kind) for one in found):
            raise Failed(f"`{name}` is {found}", "one value")


@statement(
    "S25",
    "Each chunk is a `chat.completion.chunk`.",
    why="Clients tell chunks from whole answers and errors by it.",
    mend='"object": "chat.completion.chunk"',
)
def are_chunks(server: Server) -> None:
    """Reads the plain stream."""
    strange = [chunk for chunk in chunks_of(server.streamed) if chunk.get("object") != "chat.completion.chunk"]
    if strange:
        raise Failed(brief(strange[0]), '"object": "chat.completion.chunk"')


@statement(
    "S26",
    "The role is told once, in the first delta.",
    why="Clients that add up deltas get `assistantassistantassistant`, or start a new message at each.",
    mend='Send {"role": "assistant", "content": ""} first, and no role after it.',
)
def says_its_role_once(server: Server) -> None:
    """Reads the plain stream."""
    deltas = deltas_of(server.streamed)
    places = [number for number, delta in enumerate(deltas) if delta.get("role")]
    if places != [0] or deltas[0]["role"] != "assistant":
        raise Failed(f"a role in the deltas {places[:5]} of {len(deltas)}", "the role `assistant` in the first delta")


@statement(
    "S27",
    "A stream tells its finish reason once, and neither text nor calls after it.",
    why="Without one, an answer that was cut off looks as if it were complete.",
    mend='End with {"delta": {}, "finish_reason": "stop"}, and null in every chunk before.',
    rank="must",
)
def says_why_it_ended(server: Server) -> str:
    """Reads the plain stream."""
    found, choices = stream_reasons(server.streamed), choices_of(server.streamed)
    if len(found) != 1 or found[0] not in REASONS:
        raise Failed(f"finish reasons {found}", f"one of {', '.join(REASONS)}, once")
    behind = choices[[choice.get("finish_reason") for choice in choices].index(found[0]) + 1 :]
    if any((choice.get("delta") or {}).get(name) for choice in behind for name in ("content", "tool_calls")):
        raise Failed(f"behind the finish reason comes {brief(behind)}", "nothing")
    return str(found[0])


@statement(
    "S28",
    "Each choice in a chunk has `index`, `delta` and `finish_reason`.",
    why="The SDKs' types require all three; `finish_reason` is null until the end, and not left out.",
    mend='{"index": 0, "delta": {"content": "..."}, "finish_reason": null}',
)
def has_whole_choices(server: Server) -> None:
    """Reads the plain stream."""
    for choice in choices_of(server.streamed):
        require(choice, {"index": int, "delta": dict, "finish_reason": (str, type(None))}, "a chunk's choice")


@statement(
    "S29",
    "A stream's body ends as its framing promises, and not by a connection that breaks.",
    why="A proxy in between reports a broken answer, and a client cannot tell it from a crash.",
    mend="Send the last chunk of a chunked body (or close, where the body has no length) after [DONE].",
)
def ends_whole(server: Server) -> None:
    """Reads the plain stream to its end."""
    if not server.streamed.is_whole:
        raise Failed(f"the body broke off after {server.streamed.data[-100:]!r}", "the end of a chunked body")


@statement(
    "S28b",
    "A stream says what a whole answer to the same question says.",
    why="What is lost on one of two ways is found by users, and not by tests on the other.",
    mend="Build both from one sequence of deltas.",
)
def says_the_same(server: Server) -> str:
    """Compares the plain answers, at temperature 0. Models that answer in another way each time are not observed."""
    whole, stream = text_of(server.whole), stream_text(server.streamed)
    if whole and not stream:
        raise Failed(f"no text in the stream, where the whole answer is {whole[:100]!r}")
    if whole != stream:
        raise NotObserved(f"the model gave two answers to one question: {whole[:60]!r}, {stream[:60]!r}")
    return repr(stream[:60])
