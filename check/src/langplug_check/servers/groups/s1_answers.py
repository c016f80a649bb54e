"""S1: an answer that comes as a whole."""

import re
import time

from langplug_check.servers.server import Server
from langplug_check.servers.shapes import REASONS, brief, choice_of, message_of, require, stream_text, text_of
from langplug_check.servers.statement import statement
from langplug_check.verdicts import Failed, NotObserved

ASTRAL = "🎉 😀 é 漢"
"""Text with characters beyond the first 65,536, which need two escapes in JSON and four bytes in UTF-8."""

REPEAT = [{"role": "user", "content": f"Say exactly: {ASTRAL}"}]


@statement(
    "S10",
    "A plain question is answered with status 200, as `application/json`.",
    why="Nothing works without it.",
    mend="Answer POST /v1/chat/completions with `model` and `messages`, and say the content type.",
    rank="must",
)
def answers(server: Server) -> str:
    """Asks for a few words."""
    if server.first.status != 200 or server.first.kind != "application/json":
        raise Failed(f"{server.first.kind!r}: {server.first.shown}", "status 200, application/json")
    return repr(text_of(server.whole)[:60])


@statement(
    "S11",
    "An answer has `id`, `object` (`chat.completion`), `created`, `model` and `choices`.",
    why="The SDKs' types require them; clients written in typed languages refuse what lacks one.",
    mend="Add what is missing.",
    rank="must",
)
def is_a_completion(server: Server) -> None:
    """Looks at the plain answer."""
    fields: dict[str, type] = {"id": str, "object": str, "created": int, "model": str, "choices": list}
    require(server.whole, fields, "the answer")
    if server.whole["object"] != "chat.completion" or not server.whole["id"]:
        raise Failed(brief(server.whole), 'an id, and "object": "chat.completion"')


@statement(
    "S12",
    "A choice has `index` 0, `message` and `finish_reason`.",
    why="The SDKs' types require them.",
    mend='Write {"index": 0, "message": {...}, "logprobs": null, "finish_reason": "stop"}.',
    rank="must",
)
def has_a_choice(server: Server) -> None:
    """Looks at the plain answer."""
    choice = choice_of(server.whole)
    require(choice, {"index": int, "message": dict, "finish_reason": str}, "the choice")
    if choice["index"] != 0:
        raise Failed(brief(choice), '"index": 0')


@statement(
    "S13",
    "The message has the role `assistant`, and a `content` that is a text or null.",
    why="Clients put the message into their history as it is, and send it back.",
    mend='Write {"role": "assistant", "content": "...", "refusal": null}.',
    rank="must",
)
def has_a_message(server: Server) -> None:
    """Looks at the plain answer."""
    message = message_of(server.whole)
    require(message, {"role": str, "content": (str, type(None))}, "the message")
    if message["role"] != "assistant":
        raise Failed(brief(message), '"role": "assistant"')


@statement(
    "S14",
    "`finish_reason` is one that the API has.",
    why="Clients decide by it what to do next; strict ones fail at an unknown or empty one.",
    mend="Translate the engine's own word: its end of text is `stop`, its limit is `length`.",
    rank="must",
)
def says_why_it_ended(server: Server) -> str:
    """Looks at the plain answer."""
    reason = choice_of(server.whole).get("finish_reason")
    if reason not in REASONS:
        raise Failed(repr(reason), f"one of {', '.join(REASONS)}")
    return str(reason)


@statement(
    "S15",
    "Each answer has an id of its own.",
    why="Logs, caches and traces tell answers apart by it.",
    mend='Make one for each request, such as f"chatcmpl-{uuid4().hex}".',
    calls=1,
)
def names_each_answer(server: Server) -> None:
    """Asks the plain question a second time."""
    first, second = server.whole.get("id"), server.answered().get("id")
    if first == second:
        raise Failed(f"two answers are called {first!r}")


@statement(
    "S16",
    "`created` is the time of the answer, in seconds since 1970.",
    why="Milliseconds are a date in the year 58,000 to whoever reads it.",
    mend="created = int(time.time())",
    rank="could",
)
def says_when(server: Server) -> None:
    """Compares with this machine's clock, a day's difference allowed."""
    created = server.whole.get("created")
    if not isinstance(created, int) or abs(created - time.time()) > 86_400:
        raise Failed(repr(created), f"about {int(time.time())}")


@statement(
    "S17",
    "Each answer has a header `X-Request-Id`.",
    why="It is what a user can quote, and an operator can look for; the SDKs show it in errors.",
    mend="Set the header on every answer, refusals included, and log it.",
    rank="could",
)
def names_the_request(server: Server) -> None:
    """Looks at the headers of the plain answer."""
    server.require_answers()
    if not server.first.headers.get("x-request-id"):
        raise Failed(f"the headers are {', '.join(server.first.headers)}", "X-Request-Id")


@statement(
    "S18",
    "An answer's text is whole Unicode: no half characters, none replaced.",
    why="A character that falls between two tokens or two reads comes out as � or as half a pair.",
    mend="Decode bytes incrementally, and hold back those that do not make a character yet.",
    calls=1,
)
def speaks_unicode(server: Server) -> str:
    """Asks for a few characters to be repeated. What else a model says, or a limit cuts, is no fault."""
    return _same(text_of(server.answered(messages=REPEAT)))


@statement(
    "S19",
    "A stream's text is whole Unicode, too: no character is cut in two.",
    why="Most engines give pieces of bytes, and most characters beyond ASCII are two tokens or more.",
    mend="Decode bytes incrementally, and hold back those that do not make a character yet.",
    calls=1,
)
def streams_unicode(server: Server) -> str:
    """As S18, by a stream."""
    reply = server.ask(messages=REPEAT, stream=True)
    if reply.status != 200:
        raise NotObserved(f"no stream: {reply.shown}")
    return _same(stream_text(reply))


REPLACED = " ".join(rf"({one}|\ufffd+)" for one in ASTRAL.split())
"""What becomes of `ASTRAL` where characters are cut in two. Another `\ufffd` may be the model's own, or the limit's."""


def _same(text: str) -> str:
    if any("\ud800" <= one <= "\udfff" for one in text) or (ASTRAL not in text and re.search(REPLACED, text)):
        raise Failed(f"{text!r} of {ASTRAL!r}")
    if ASTRAL not in text:
        raise NotObserved(f"the model did not repeat {ASTRAL!r}: it said {text[:100]!r}")
    return repr(text[:60])
