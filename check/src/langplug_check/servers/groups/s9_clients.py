"""S9: many clients, and clients that leave."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import inf
from typing import Any, Final

from langplug_check.servers.server import BUSY, COMPLETIONS, Connection, Hung, Server, encode
from langplug_check.servers.shapes import text_of
from langplug_check.servers.statement import statement
from langplug_check.verdicts import Failed, NotObserved, PartlyObserved

LEAVERS: Final = 4
"""Clients that ask for a long answer, and leave."""

LONG: Final = [{"role": "user", "content": "Count from 1 to 1000 in words, separated by spaces."}]
LONGEST: Final = 1000
"""Tokens of the answers that are left."""

NOTICED_S: Final = 0.3
"""Seconds in which a server is to have noticed that a connection is closed."""

HELD_UP: Final = 10
HELD_UP_PART: Final = 1 / 15
"""An answer is held up if it takes so many times as long as an idle server's, and this part of the limit of time."""

ROUNDS: Final = 2
"""Times in a row that an answer has to be held up by what was left, before that is a failure."""

FREE: Final = 0.75
"""The part of that time that a free server's answer takes at most: some look once a second who has left."""


@statement(
    "S90",
    "Four questions at once get four answers, each with its own id; or some get a 429 or 503.",
    why="Agents ask several things at once; answers that are mixed up are found late.",
    mend="Keep nothing of a request in what requests share; where one must wait, queue it.",
    rank="must",
    calls=8,
)
def answers_many(server: Server) -> str:
    """Asks four times at once for a different word each, and looks whose word comes back.

    Another's word is a failure if the model says the right one when it is asked alone.
    """
    server.require_answers()
    words = ("apple", "river", "stone", "cloud")

    def ask(word: str) -> tuple[int, str, str]:
        reply = server.ask(messages=for_word(word), patience_s=0)
        body = reply.json if reply.status == 200 else {}
        return reply.status, str(body.get("id")), text_of(body) if body else reply.shown

    with ThreadPoolExecutor(len(words)) as threads:
        found = list(threads.map(ask, words))
    for word, (status, _, text) in zip(words, found, strict=True):
        others = [other for other in words if other != word and other in text.lower()]
        if status not in (200, *BUSY) or (others and word not in text.lower() and word in alone(server, word)):
            raise Failed(f"{status} {text[:100]!r} to {word!r}")
    ids = [name for status, name, _ in found if status == 200]
    if len(set(ids)) != len(ids):
        raise Failed(f"the ids are {', '.join(ids)}", "an id for each answer")
    if len(ids) < len(words):
        raise PartlyObserved(f"{len(words) - len(ids)} of {len(words)} were told to come back later")
    return "4 answers"


def for_word(word: str) -> list[dict[str, str]]:
    """A question for one word."""
    return [{"role": "user", "content": f"Say exactly: {word}"}]


def alone(server: Server, word: str) -> str:
    """What is said to a question for a word when nothing else is asked, in small letters."""
    return text_of(server.answered(messages=for_word(word))).lower()


@statement(
    "S91",
    "When a stream was left after its first piece, the next question is answered, and not with the rest of it.",
    why="People press stop; a server that breaks then is restarted by hand, one that mixes up answers tells secrets.",
    mend="Take a write to a connection that is closed as the end of the request, and close the model's stream.",
    rank="must",
    calls=6,
)
def survives_leaving(server: Server) -> str:
    """Leaves a stream, then asks the plain question, twice: an answer that comes only behind a stream is another's."""
    server.require_answers()
    behind = later = ""
    for _ in range(2):
        with ExitStack() as stack:
            begin_stream(leave_open(server, stack, stream=True))
        time.sleep(NOTICED_S)
        behind, later = (text_of(still_answered(server)) for _ in range(2))
        if behind == later or later != text_of(server.whole):
            return repr(behind[:60])
    raise Failed(f"{behind[:100]!r} behind a stream that was left, twice", repr(later[:100]))


@statement(
    "S92",
    "A client that leaves a stream frees the server.",
    why="The model goes on for nobody, and everybody else waits for it, or pays for it.",
    mend="Cancel what makes the answer as soon as the connection is closed, also while it is queued.",
    calls=3 * LEAVERS + 9,
)
def is_freed_by_leaving_a_stream(server: Server) -> str:
    """Looks whether a short answer waits for four long streams, and then, whether it waits for four that were left.

    Where it waits for none that runs, as on a server with room for many, nothing can be seen; nor where an idle server
    answers as late afterwards.
    """
    return freed(server, stream=True)


@statement(
    "S93",
    "A client that leaves before a whole answer has come frees the server.",
    why="Clients with a time limit ask again, and each attempt makes the model slower.",
    mend="Watch the connection while the answer is made, although nothing is written to it yet.",
    calls=3 * LEAVERS + 9,
)
def is_freed_by_leaving(server: Server) -> str:
    """As S92, with answers that come as a whole."""
    return freed(server, stream=False)


@statement(
    "S94",
    "A client that leaves in the middle of its own request does no harm.",
    why="Phones lose their connection while they send an image.",
    mend="Take a body that ends early as the end of the request.",
    calls=2,
)
def survives_half_requests(server: Server) -> None:
    """Sends half a body, leaves, and asks the plain question."""
    server.require_answers()
    connection = server.connect()
    headers = server.headers({"Content-Length": "100000"}, None, b"")
    connection.send("POST", server.path(COMPLETIONS), headers, None)
    connection.write(encode(server.body()) or b"")
    connection.close()
    time.sleep(NOTICED_S)
    still_answered(server)


@statement(
    "S95",
    "A connection can be used again after an answer, a refusal, and a stream.",
    why="A connection for each request costs a handshake, and SDKs keep theirs.",
    mend="Read each body to its end, and frame each answer by its length or in chunks.",
    rank="could",
    calls=3,
)
def keeps_connections(server: Server) -> str:
    """Sends a stream, a refusal and a plain question over one connection."""
    server.require_answers()
    connection = server.connect()
    bodies = (server.body(stream=True), server.body(messages=[]), server.body())
    try:
        for number, body in enumerate(bodies):
            headers = server.headers(None, None, body)
            connection.send("POST", server.path(COMPLETIONS), headers, encode(body))
            reply = connection.receive()
            refuse_to_judge(reply.status)
            if not reply.is_whole:
                raise Failed(f"the body broke off: {reply.shown}", "the end that its framing promises")
            if reply.headers.get("connection", "").lower() == "close" and number < len(bodies) - 1:
                raise PartlyObserved(f"the server closes each connection, and says so, after {reply.status}")
            if number == len(bodies) - 1 and reply.status != 200:
                raise Failed(f"{reply.shown} to the last of three requests", "an answer")
    finally:
        connection.close()
    return "3 requests"


def still_answered(server: Server) -> dict[str, Any]:
    """The answer to a plain question, which was answered before.

    Raises:
        Failed: If there is none, or none in time.
    """
    try:
        return server.answered()
    except Hung as error:
        raise Failed(f"{error}, to a question that was answered before", "an answer") from error


def leave_open(server: Server, stack: ExitStack, *, stream: bool) -> Connection:
    """A request for a long answer, on a connection that the stack closes."""
    connection = server.connect()
    stack.callback(connection.close)
    body = server.body(messages=LONG, limit=LONGEST, stream=stream)
    connection.send("POST", server.path(COMPLETIONS), server.headers(None, None, body), encode(body))
    return connection


def begin_stream(connection: Connection) -> None:
    """Read the first byte of a stream.

    Raises:
        NotObserved: If the server puts it off.
    """
    response = connection.begin()
    refuse_to_judge(response.status)
    response.read(1)


def refuse_to_judge(status: int) -> None:
    """Go on if a status says that something was answered: whoever is put off sees nothing of what runs.

    Raises:
        NotObserved: If it says that the server takes no more, be it of this client's, or at once.
    """
    if status in BUSY:
        raise NotObserved(f"the server takes no more requests at the moment ({status})")


def freed(server: Server, *, stream: bool) -> str:
    """Whether an answer that waits for long ones does not wait for those that were left.

    Times are compared with this server's own in the same minute, and by factors that no busy machine makes.

    Raises:
        Failed: If it waits for them as well.
        NotObserved: If it waits for none, so that nothing can be seen from outside, or if the machine is too slow.
    """
    server.require_answers()
    idle = max(seconds_of_answer(server, server.limit_s) for _ in range(2))
    held_up = max(HELD_UP_PART * server.limit_s, HELD_UP * idle)
    if held_up > server.limit_s / 2:  # infinite, too
        slow = f"{idle:.1f} s" if idle < inf else f"over {server.limit_s:g} s"
        raise NotObserved(f"an idle server takes {slow} for an answer of one token")
    with ExitStack() as stack:
        ask_long(server, stack, stream=stream)
        beside = seconds_of_answer(server, held_up)
    if beside < held_up:
        raise NotObserved(
            f"an answer does not wait for {LEAVERS} long ones ({beside:.2f} s, {idle:.2f} s idle), so that from "
            "outside nothing tells whether they go on"
        )
    seen = f"{idle:.2f} s idle, over {held_up:.1f} s beside {LEAVERS} long ones"
    for _ in range(ROUNDS):
        with ExitStack() as stack:
            ask_long(server, stack, stream=stream)
        after = seconds_of_answer(server, held_up)
        if after <= FREE * held_up:
            return f"{seen}, {after:.2f} s after such were left"
        if after < held_up:
            raise NotObserved(f"{seen}, {after:.2f} s after such were left, which is neither one nor the other")
        over = seconds_of_answer(server, server.limit_s)
        if over < inf and (again := seconds_of_answer(server, server.limit_s)) > FREE * held_up:
            raise NotObserved(f"the machine is too slow: an idle server took {idle:.2f} s, and then {again:.2f} s")
    raise Failed(f"{seen}, and over {held_up:.1f} s after such were left, twice", f"at most {FREE * held_up:.1f} s")


def ask_long(server: Server, stack: ExitStack, *, stream: bool) -> None:
    """Requests for long answers, on connections that the stack closes; on its way when this returns."""
    connections = [leave_open(server, stack, stream=stream) for _ in range(LEAVERS)]
    if stream:
        begin_stream(connections[0])
    else:
        time.sleep(NOTICED_S)


def seconds_of_answer(server: Server, limit_s: float) -> float:
    """How long an answer of one token takes; infinite beyond the limit.

    Raises:
        NotObserved: If the server puts it off.
    """
    began = time.monotonic()
    try:
        reply = server.request("POST", "/chat/completions", server.body(limit=1), limit_s=limit_s, patience_s=0)
    except Hung:
        return inf
    refuse_to_judge(reply.status)
    return time.monotonic() - began
