"""S6: what a conversation may be made of."""

import json
from typing import Any

from langplug_check.servers.groups.s1_answers import ASTRAL, REPEAT
from langplug_check.servers.groups.s5_tools import WEATHER
from langplug_check.servers.server import Server
from langplug_check.servers.shapes import text_of
from langplug_check.servers.statement import statement
from langplug_check.verdicts import Failed, PartlyObserved

CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
USER = {"role": "user", "content": "What is the weather in Paris?"}
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAA"
    "DUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""One red pixel."""


def takes(server: Server, *messages: Any, **fields: Any) -> None:
    """Look whether a conversation is answered.

    Raises:
        Failed: If it is refused, and a plain question is not.
    """
    server.answered(messages=[*messages], **fields)


@statement(
    "S60",
    "A message of the system is taken.",
    why="Nearly every application begins with one.",
    mend="Take the role `system`, wherever the model's template has a place for it.",
    rank="must",
    calls=1,
)
def takes_a_system(server: Server) -> None:
    """Asks with a system message first."""
    takes(server, {"role": "system", "content": "Be brief."}, USER)


@statement(
    "S61",
    "The role `developer` is taken, in the middle of a conversation, too.",
    why="Newer clients send it in place of `system`; agents put it between turns.",
    mend="Treat it as `system`; move it where the model's template can have it.",
    calls=1,
)
def takes_a_developer(server: Server) -> None:
    """Asks with a developer's message behind an answer."""
    said = {"role": "assistant", "content": "Hello."}
    takes(server, {"role": "user", "content": "Hi."}, said, {"role": "developer", "content": "Be brief."}, USER)


@statement(
    "S62",
    "A call of a tool (with `content: null`) and its result are taken back.",
    why="It is the second request of every agent.",
    mend="Take `tool_calls` in the assistant's message without a content, and the role `tool`.",
    rank="must",
    calls=1,
)
def takes_results(server: Server) -> None:
    """Asks with a call and its result."""
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    takes(server, USER, called, {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}, tools=[WEATHER])


@statement(
    "S63",
    "The results of two calls at once are taken back.",
    why="Models call several tools at once.",
    mend="Match results to calls by their ids.",
    calls=1,
)
def takes_two_results(server: Server) -> None:
    """Asks with two calls and two results, in the other order."""
    called = {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": "call_2"}]}
    results = [{"role": "tool", "tool_call_id": f"call_{number}", "content": "sunny"} for number in (2, 1)]
    takes(server, USER, called, *results, tools=[WEATHER])


@statement(
    "S64",
    "Content as a list of parts is taken, from the system, the user and the assistant.",
    why="Clients that can send images send all text in this form.",
    mend="Take [{'type': 'text', 'text': '...'}] wherever a text is taken.",
    rank="must",
    calls=1,
)
def takes_parts(server: Server) -> None:
    """Asks with each message in parts."""
    roles = ("system", "user", "assistant", "user")
    takes(server, *({"role": role, "content": [{"type": "text", "text": "Say one."}]} for role in roles))


@statement(
    "S65",
    "A tool's result may be a list of parts.",
    why="The API allows it, and agents' SDKs send it.",
    mend="Take parts there as well.",
    rank="could",
    calls=1,
)
def takes_parts_of_results(server: Server) -> None:
    """As S62, with the result in parts."""
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "sunny"}]}
    takes(server, USER, called, result, tools=[WEATHER])


@statement(
    "S66",
    "A message may have a `name`.",
    why="Applications with several people, and agents with several speakers, send it.",
    mend="Take it; show it to the model if its template can.",
    rank="could",
    calls=1,
)
def takes_names(server: Server) -> None:
    """Asks under a name."""
    takes(server, {**USER, "name": "alice"})


@statement(
    "S67",
    "An image is answered, or refused with a status from 400 to 499.",
    why="A 5xx makes the client send the same image again.",
    mend="Answer 400, and say that this model sees no images.",
    calls=1,
)
def survives_images(server: Server) -> str:
    """Asks what is on an image of one pixel."""
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    reply = server.ask(messages=[{"role": "user", "content": parts}])
    if reply.status >= 500:
        raise Failed(reply.shown, "an answer, or a status from 400 to 499")
    return str(reply.status)


@statement(
    "S68",
    "Text beyond ASCII is read as the same text, escaped or not.",
    why="Half of all clients write `\\ud83c\\udf89`, the other half four bytes.",
    mend="Parse the body as JSON in UTF-8, pairs of escapes included.",
    calls=2,
)
def reads_unicode(server: Server) -> str:
    """Asks for the same words in both spellings, and compares the tokens of the prompt, or else what is repeated."""
    body = server.body(messages=REPEAT)
    counts: list[Any] = []
    texts: list[str] = []
    for escaped in (True, False):
        reply = server.refuse(json.dumps(body, ensure_ascii=escaped).encode())
        answer = server.require_answered(reply, {"messages": REPEAT})
        counts.append((answer.get("usage") or {}).get("prompt_tokens"))
        texts.append(text_of(answer))
    if counts[0] != counts[1]:
        raise Failed(f"{counts[0]} tokens of the prompt escaped, {counts[1]} otherwise", "the same number")
    if counts[0]:
        return f"{counts[0]} tokens both times"
    if all(ASTRAL in text for text in texts):
        return f"{ASTRAL!r} both times"
    raise PartlyObserved("both are taken; without usage, nothing tells whether they are read as the same text")
