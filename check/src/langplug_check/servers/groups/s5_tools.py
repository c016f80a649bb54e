"""S5: tools and structured output.

The API promises a call where one is required, and JSON where JSON is asked for, and a server can keep both by force.
But a model that never calls a tool, or never writes JSON, looks from outside like a server that takes the demand and
drops it. So a broken promise is a failure where the model was seen to do the thing of its own accord; elsewhere nothing
was observed.
"""

import json
from typing import Any

from langplug_check.servers.groups.s4_limits import streamed
from langplug_check.servers.server import Server, as_object
from langplug_check.servers.shapes import (
    brief,
    calls_of,
    choice_of,
    deltas_of,
    message_of,
    refused,
    require,
    stream_reasons,
    text_of,
)
from langplug_check.servers.statement import statement
from langplug_check.verdicts import Failed, NotObserved

PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather in a city.", "parameters": PLACE},
}
ASK = [{"role": "user", "content": "What is the weather in Paris? Call the tool get_weather."}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}
ROOM = 128
"""Tokens that a call may take."""


def check_call(call: Any) -> None:
    """Look at one call of a tool.

    Raises:
        Failed: If it lacks something.
    """
    if not isinstance(call, dict):
        raise Failed(f"a call is {call!r:.100}")
    require(call, {"id": str, "type": str, "function": dict}, "the call")
    require(call["function"], {"name": str, "arguments": str}, "the call's function")
    if not call["id"] or call["type"] != "function":
        raise Failed(brief(call), 'an id, and "type": "function"')


def asked(server: Server) -> dict[str, Any]:
    """The answer to a question for which there is a tool; asked once, for all who look at it.

    Raises:
        NotObserved: If a plain question is not answered, either.
        Failed: If this one alone is refused.
    """
    if "of a tool" not in server.seen:
        server.seen["of a tool"] = server.ask(messages=ASK, tools=[WEATHER], limit=ROOM)
    return server.require_answered(server.seen["of a tool"], {"tools": [WEATHER]})


def require_caller(server: Server) -> None:
    """Go on only if the model calls a tool where it may.

    Raises:
        NotObserved: If it does not: then nothing tells whether the server drops the demand, or the model.
    """
    if not message_of(asked(server)).get("tool_calls"):
        raise NotObserved("the model calls no tool of its own accord, so that nothing tells who ignored the choice")


@statement(
    "S50",
    "A call of a tool has an `id`, the type `function`, a name, and its arguments as a text.",
    why="The result goes back under that id; arguments that are an object break every SDK.",
    mend='{"id": "call_...", "type": "function", "function": {"name": "...", "arguments": "{...}"}}',
    rank="must",
    calls=1,
)
def calls_tools(server: Server) -> str:
    """Asks for the weather, with a tool for it."""
    calls = calls_of(asked(server))
    for call in calls:
        check_call(call)
    return brief(calls[0])


@statement(
    "S51",
    "An answer that calls tools ends with `tool_calls`.",
    why="Agents decide by it whether to run the tool or to show the text.",
    mend="Say `tool_calls` where the message has some, whatever the engine's reason was.",
    rank="must",
    calls=1,
)
def says_that_it_calls(server: Server) -> None:
    """As S50."""
    body = asked(server)
    calls_of(body)
    reason = choice_of(body).get("finish_reason")
    if reason == "length":
        raise NotObserved(f"the answer was cut at {ROOM} tokens")
    if reason != "tool_calls":
        raise Failed(repr(reason), "tool_calls")


@statement(
    "S52",
    "A stream tells a call by pieces with an `index`: the first has id and name, and the arguments add up to JSON.",
    why="Clients put calls together by `index`; without it parallel calls are mixed up.",
    mend='First {"index": 0, "id": ..., "type": "function", "function": {"name": ..., "arguments": ""}}, then pieces.',
    rank="must",
    calls=1,
)
def streams_calls(server: Server) -> str:
    """As S50, by a stream."""
    reply = streamed(server, messages=ASK, tools=[WEATHER], limit=ROOM)
    pieces = [piece for delta in deltas_of(reply) for piece in delta.get("tool_calls") or ()]
    if not pieces:
        raise NotObserved("the model called no tool")
    arguments: dict[int, str] = {}
    for piece in pieces:
        require(piece, {"index": int}, "a piece of a call")
        if piece["index"] not in arguments:
            check_call(piece)
        written = (piece.get("function") or {}).get("arguments") or ""
        arguments[piece["index"]] = arguments.get(piece["index"], "") + written
    reason = stream_reasons(reply)[-1:]
    if reason == ["length"]:
        raise NotObserved(f"the answer was cut at {ROOM} tokens")
    if reason != ["tool_calls"]:
        raise Failed(f"the finish reason is {reason}", "tool_calls")
    for text in arguments.values():
        try:
            json.loads(text or "{}")
        except ValueError as error:
            raise Failed(f"the arguments add up to {text[:200]!r}", "JSON") from error
    return brief(arguments[0]) if 0 in arguments else ""


@statement(
    "S53",
    "`tool_choice: none` gives no call.",
    why="It is how an agent asks for the final answer.",
    mend="Do not show the tools to the model then, or keep it from calling them.",
    calls=2,
)
def calls_nothing(server: Server) -> None:
    """As S50, with `tool_choice: none`."""
    body = server.answered(messages=ASK, tools=[WEATHER], limit=ROOM, tool_choice="none")
    if calls := message_of(body).get("tool_calls"):
        raise Failed(brief(calls), "no call")
    require_caller(server)


@statement(
    "S54",
    "`tool_choice: required` gives a call, or an error: never a text in its place.",
    why="Structured output and routers ask for it, and read the arguments of a call that is not there.",
    mend="Constrain the engine to a call; where that is impossible, ask again, and then answer with an error.",
    calls=2,
)
def calls_something(server: Server) -> str:
    """As S50, with `tool_choice: required`. Text is a failure if the model calls the tool where it need not."""
    return _made(server, "required")


@statement(
    "S55",
    "`tool_choice` with a function's name gives a call of it, or an error.",
    why="As for S54.",
    mend="Constrain the engine to a call of this function.",
    calls=2,
)
def calls_the_named_one(server: Server) -> str:
    """As S54, with the function named."""
    return _made(server, NAMED)


def _made(server: Server, choice: Any) -> str:
    reply = server.ask(messages=ASK, tools=[WEATHER], limit=ROOM, tool_choice=choice)
    if reply.status != 200:
        server.require_answers()
        return f"refused: {reply.shown[:100]}"
    answer = as_object(reply)
    if calls := message_of(answer).get("tool_calls"):
        return brief(calls)
    if choice_of(answer).get("finish_reason") == "length":
        raise NotObserved(f"the answer was cut at {ROOM} tokens")
    require_caller(server)
    raise Failed(f"it said {text_of(answer)[:100]!r}", "a call of get_weather, or an error")


@statement(
    "S56",
    "`tool_choice` with the name of a tool that is not offered is refused with a status from 400 to 499.",
    why="It is a mistake in the client, which an answer would hide.",
    mend="Compare the name with those of `tools`, and answer 400 with `param: tool_choice`.",
    rank="could",
    calls=1,
)
def refuses_unknown_tools(server: Server) -> None:
    """Asks for a call of a tool that is not there."""
    other = {"type": "function", "function": {"name": "langplug_check_absent"}}
    refused(server.refuse(server.body(tools=[WEATHER], tool_choice=other)))


@statement(
    "S57",
    "`response_format: json_object` gives JSON, or an error.",
    why="Whoever asks for it parses the answer.",
    mend="Constrain the engine to JSON; where that is impossible, answer with an error.",
    calls=2,
)
def answers_in_json(server: Server) -> str:
    """Asks for the capital of France in JSON."""
    messages = [{"role": "user", "content": "Give the capital of France as JSON with the key capital."}]
    return _parsed(server, messages, {"type": "json_object"})


@statement(
    "S58",
    "`response_format: json_schema` gives JSON that fits, or an error.",
    why="Whoever asks for it reads the fields of the schema.",
    mend="Constrain the engine to the schema; where that is impossible, answer with an error.",
    calls=2,
)
def answers_by_a_schema(server: Server) -> str:
    """Asks for a city by a schema that requires the key `city`."""
    messages = [{"role": "user", "content": "Give the capital of France as JSON."}]
    schema = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": PLACE}}
    return _parsed(server, messages, schema, "city")


def _parsed(server: Server, messages: Any, form: Any, key: str = "") -> str:
    reply = server.ask(messages=messages, response_format=form, limit=ROOM)
    if reply.status != 200:
        server.require_answers()
        return f"refused: {reply.shown[:100]}"
    text = text_of(as_object(reply))
    if choice_of(as_object(reply)).get("finish_reason") == "length":
        raise NotObserved(f"the answer was cut at {ROOM} tokens")
    if (found := object_in(text)) is None:
        own = text_of(server.answered(messages=messages, limit=ROOM))
        if not any(object_in(said[said.find("{") : said.rfind("}") + 1]) for said in (text, own)):
            raise NotObserved(f"the model writes no JSON of its own accord: asked without a form, it said {own[:60]!r}")
        raise Failed(f"{text[:200]!r} is no JSON object")
    if key and not isinstance(found.get(key), str):
        raise Failed(f"{text[:200]!r}", f"an object with the text {key!r}")
    return repr(text[:60])


def object_in(text: str) -> dict[str, Any] | None:
    """The object that a text is in JSON, if it is one."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


@statement(
    "S59",
    "A `response_format` of an unknown type is refused with a status from 400 to 499.",
    why="An answer in another form than was asked for fails later, and elsewhere.",
    mend="Answer 400, and name the types that there are.",
    calls=1,
)
def refuses_unknown_forms(server: Server) -> None:
    """Asks for an answer in a form that no API has."""
    refused(server.refuse(server.body(response_format={"type": "langplug_check"})))
