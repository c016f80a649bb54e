"""S4: how far an answer goes, and what else a request may ask for."""

from typing import Any

from langplug_check.servers.server import LIMITS, Reply, Server, as_object, told
from langplug_check.servers.shapes import (
    choice_of,
    refused,
    stream_reasons,
    stream_text,
    text_of,
)
from langplug_check.servers.statement import statement
from langplug_check.verdicts import Advisory, Failed, NotObserved

COUNT = [{"role": "user", "content": "Count from one to twenty in words, separated by spaces."}]
FEW = 4
"""Tokens that do not suffice to count so far."""


def limited(text: str, reason: Any) -> str:
    """Whether an answer of at most `FEW` tokens is one, and says so.

    Raises:
        Failed: If it has more words than tokens were allowed, or says that it was complete.
        NotObserved: If the model had no more to say.
    """
    words = len(text.split())
    if words > FEW + 1:
        raise Failed(f"{words} words, {text[:80]!r}, with the finish reason {reason!r}", f"at most {FEW} tokens")
    if reason == "length":
        return repr(text)
    if words < FEW:
        raise NotObserved(f"the model said {text!r}, and {reason!r}, which may have been all")
    raise Failed(f"the finish reason of {text!r} is {reason!r}", "length")


@statement(
    "S40",
    "`max_tokens` ends an answer, with the finish reason `length`.",
    why="It bounds the cost; and who is not told takes half an answer for a whole one.",
    mend="Stop the engine at that many tokens, and say `length`.",
    calls=1,
)
def keeps_to_max_tokens(server: Server) -> str:
    """Asks to count to twenty in 4 tokens. To refuse the older name is allowed to a server that takes the newer one."""
    reply = server.ask(messages=COUNT, max_tokens=FEW)
    if reply.status in (400, 422) and "max_completion_tokens" in server.usual:
        raise Advisory(f"only max_completion_tokens is taken: {reply.shown}")
    body = server.require_answered(reply, {"max_tokens": FEW})
    return limited(text_of(body), choice_of(body).get("finish_reason"))


@statement(
    "S41",
    "`max_completion_tokens` does what `max_tokens` does.",
    why="It is the newer name; newer clients send only this one.",
    mend="Read either.",
    calls=1,
)
def keeps_to_max_completion_tokens(server: Server) -> str:
    """As S40, by the other name."""
    body = server.answered(messages=COUNT, max_completion_tokens=FEW)
    return limited(text_of(body), choice_of(body).get("finish_reason"))


@statement(
    "S42",
    "The limit of tokens ends a stream, too, with the finish reason `length`.",
    why="A stream without it looks complete.",
    mend="Pass the engine's reason on to the last chunk.",
    calls=1,
)
def keeps_to_max_tokens_in_streams(server: Server) -> str:
    """As S40, by a stream, and by the newer name where the older is refused."""
    name = next((one for one in LIMITS if one in server.usual), LIMITS[0])
    reply = streamed(server, messages=COUNT, **{name: FEW})
    return limited(stream_text(reply), (stream_reasons(reply) or [None])[-1])


def streamed(server: Server, **fields: Any) -> Reply:
    """A stream.

    Raises:
        Failed: If these fields are refused, and a plain stream is not.
    """
    reply = server.ask(stream=True, **fields)
    if reply.status != 200:
        server.require_streams()
        raise Failed(f"{reply.shown} to {told(fields)}", "an answer")
    return reply


def stop_of(text: str) -> str:
    """A word inside of an answer, which can end it.

    Raises:
        NotObserved: If it is too short.
    """
    words = text.split()
    if len(words) < 3 or words[2] in "".join(words[:2]):
        raise NotObserved(f"the plain answer, {text[:60]!r}, has no third word to stop at")
    return words[2]


def stopped(text: str, whole: str, stop: str) -> str:
    """Whether an answer ends before a stop string.

    Raises:
        Failed: If it holds it.
        NotObserved: If the model said something else this time.
    """
    if stop in text:
        raise Failed(f"{text[:100]!r}", f"an end before {stop!r}")
    if not whole.startswith(text.rstrip()):
        raise NotObserved(f"the model gave another answer this time: {text[:60]!r}")
    return repr(text)


@statement(
    "S43",
    "`stop` as a text ends the answer before it, with the finish reason `stop`.",
    why="Agents read an answer up to their own marker; what comes after it is made up.",
    mend="Cut the text before the stop string, and stop the engine.",
    calls=1,
)
def stops_at_a_text(server: Server) -> str:
    """Asks the plain question with the third word of its answer as the stop string, at temperature 0."""
    stop = stop_of(text_of(server.whole))
    body = server.answered(stop=stop)
    seen = stopped(text_of(body), text_of(server.whole), stop)
    if choice_of(body).get("finish_reason") != "stop":
        raise Failed(f"the finish reason is {choice_of(body).get('finish_reason')!r}", "stop")
    return seen


@statement(
    "S44",
    "`stop` as a list ends the answer at the first of them.",
    why="Most clients send a list.",
    mend="Read a text as a list with one text.",
    calls=1,
)
def stops_at_one_of_a_list(server: Server) -> str:
    """As S43, with a list of two."""
    stop = stop_of(text_of(server.whole))
    return stopped(text_of(server.answered(stop=["<|never|>", stop])), text_of(server.whole), stop)


@statement(
    "S45",
    "`stop` ends a stream before it: no part of the stop string is told.",
    why="What was told cannot be taken back.",
    mend="Hold text back while it may be the beginning of a stop string.",
    calls=1,
)
def stops_in_streams(server: Server) -> str:
    """As S43, by a stream."""
    stop = stop_of(text_of(server.whole))
    return stopped(stream_text(streamed(server, stop=[stop])), text_of(server.whole), stop)


@statement(
    "S46",
    "`n: 2` gives two choices, or is refused.",
    why="Who asks for two and silently gets one compares an answer with nothing.",
    mend="Give as many choices as are asked for, each with its index, or answer 400.",
    calls=2,
)
def gives_as_many_choices(server: Server) -> str:
    """Asks for two answers to the plain question."""
    reply = server.ask(n=2)
    if reply.status != 200:
        refused(reply)
        return f"refused: {reply.shown[:100]}"
    found = [choice.get("index") for choice in as_object(reply).get("choices") or ()]
    if sorted(found, key=str) != [0, 1]:
        raise Failed(f"choices with the indexes {found}", "[0, 1], or a refusal")
    return "two choices"


@statement(
    "S47",
    "The usual parameters are taken: `temperature`, `top_p`, `seed`, the penalties, `user`.",
    why="Most clients send them whether they matter or not; one that is refused locks these clients out.",
    mend="Take what the API has; ignore what the engine cannot do.",
    calls=1,
)
def takes_parameters(server: Server) -> None:
    """Asks the plain question with all of them."""
    server.answered(temperature=0.5, top_p=0.9, seed=1, frequency_penalty=0.1, presence_penalty=0.1, user="u")


@statement(
    "S48",
    "Fields whose value is null count as not given.",
    why="Typed clients write every field that they know, null where nothing is set.",
    mend="Treat null as absent before looking at types.",
    calls=1,
)
def takes_null(server: Server) -> None:
    """Asks the plain question with null in fields for which the API's description says that they may be null."""
    names = ("stop", "n", "stream_options", "top_p", "frequency_penalty", "presence_penalty", "seed")
    fields: dict[str, Any] = dict.fromkeys(names)
    server.require_answered(server.refuse({**server.body(), **fields}), fields)


@statement(
    "S49",
    "A field that is unknown does not hurt: it is ignored, or refused with a status below 500.",
    why="Clients of newer versions send what this server has not heard of.",
    mend="Ignore it, and say so in a header or a log; or answer 400, and name it.",
    calls=1,
)
def survives_unknown_fields(server: Server) -> str:
    """Asks the plain question with a field that no API has."""
    reply = server.ask(langplug_check_unknown={"a": [1]})
    if reply.status != 200:
        refused(reply)
    return f"{reply.status}"
