"""S9: many clients, and clients that leave."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import inf
from typing import Final

from langplug_check.servers.server import COMPLETIONS, Connection, Server, encode
from langplug_check.servers.shapes import text_of
from langplug_check.servers.statement import statement
from langplug_check.verdicts import Failed, NotObserved, PartlyObserved

LEAVERS: Final = 4
"""Clients that ask for a long answer, and leave."""

LONG: Final = [{"role": "user", "content": "Count from 1 to 1000 in words, separated by spaces."}]
LONGEST: Final = 1000
"""Tokens of the answers that are left."""

QUICK_FACTOR: Final = 3.0
SLACK_S: Final = 0.3
"""An answer is as quick as an idle server's if it takes at most so many times as long, and so many seconds more."""

PATIENCE_S: Final = 1.5
"""Seconds, at least, after which an answer counts as held up."""

BUSY: Final = (429, 503)
"""What a server says that takes no more at the moment."""


@statement(
    "S90",
    "Four questions at once get four answers, each with its own id; or some get a 429 or 503.",
    why="Agents ask several things at once; answers that are mixed up are found late.",
    mend="Keep nothing of a request in what requests share; where one must wait, queue it.",
    rank="must",
    calls=4,
)
def answers_many(server: Server) -> str:
    """Asks four times at once for a different word each, and looks whose word comes back, where one does."""
    server.require_answers()
    words = ("apple", "river", "stone", "cloud")

    def ask(word: str) -> tuple[int, str, str]:
        reply = server.ask(messages=[{"role": "user", "content": f"Say exactly: {word}"}])
        body = reply.json if reply.status == 200 else {}
        return reply.status, str(body.get("id")), text_of(body) if body else reply.shown

    with ThreadPoolExecutor(len(words)) as threads:
        found = list(threads.map(ask, words))
    for word, (status, _, text) in zip(words, found, strict=True):
        others = [other for other in words if other != word and other in text.lower()]
        if status not in (200, *BUSY) or (others and word not in text.lower()):
            raise Failed(f"{status} {text[:100]!r} to {word!r}")
    ids = [name for status, name, _ in found if status == 200]
    if len(set(ids)) != len(ids):
        raise Failed(f"the ids are {', '.join(ids)}", "an id for each answer")
    if len(ids) < len(words):
        raise PartlyObserved(f"{len(words) - len(ids)} of {len(words)} were told to come back later")
    return "4 answers"


@statement(
    "S91",
    "When a stream was left after its first piece, the next question is answered.",
    why="People press stop; a server that breaks then is restarted by hand.",
    mend="Take a write to a connection that is closed as the end of the request, and close the model's stream.",
    rank="must",
    calls=2,
)
def survives_leaving(server: Server) -> None:
    """Leaves a stream, then asks the plain question."""
    server.require_answers()
    with ExitStack() as stack:
        leave_open(server, stack, stream=True).begin().read(1)
    time.sleep(SLACK_S)  # it is to have noticed
    server.answered()


@statement(
    "S92",
    "A client that leaves a stream frees the server at once.",
    why="The model goes on for nobody, and everybody else waits for it, or pays for it.",
    mend="Cancel what makes the answer as soon as the connection is closed, also while it is queued.",
    calls=LEAVERS + 3,
)
def is_freed_by_leaving_a_stream(server: Server) -> str:
    """Compares how long a short answer takes: idle, beside four long streams, and after these were left."""
    return freed(server, stream=True)


@statement(
    "S93",
    "A client that leaves before a whole answer has come frees the server at once.",
    why="Clients with a time limit ask again, and each attempt makes the model slower.",
    mend="Watch the connection while the answer is made, although nothing is written to it yet.",
    calls=LEAVERS + 3,
)
def is_freed_by_leaving(server: Server) -> str:
    """As S92, with answers that come as a whole."""
    return freed(server, stream=False)


@statement(
    "S94",
    "A client that leaves in the middle of its own request does no harm.",
    why="Phones lose their connection while they send an image.",
    mend="Take a body that ends early as the end of the request.",
    calls=1,
)
def survives_half_requests(server: Server) -> None:
    """Sends half a body, leaves, and asks the plain question."""
    server.require_answers()
    connection = server.connect()
    headers = server.headers({"Content-Length": "100000"}, None, b"")
    connection.send("POST", server.path(COMPLETIONS), headers, None)
    connection.write(encode(server.body()) or b"")
    connection.close()
    time.sleep(SLACK_S)  # it is to have noticed
    server.answered()


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
            if not reply.is_whole:
                raise Failed(f"the body broke off: {reply.shown}", "the end that its framing promises")
            if reply.headers.get("connection", "").lower() == "close" and number < len(bodies) - 1:
                raise PartlyObserved(f"the server closes each connection, and says so, after {reply.status}")
            if number == len(bodies) - 1 and reply.status != 200:
                raise Failed(f"{reply.shown} to the last of three requests", "an answer")
    finally:
        connection.close()
    return "3 requests"


def leave_open(server: Server, stack: ExitStack, *, stream: bool) -> Connection:
    """A request for a long answer, on a connection that the stack closes."""
    connection = server.connect()
    stack.callback(connection.close)
    body = server.body(messages=LONG, max_tokens=LONGEST, stream=stream)
    connection.send("POST", server.path(COMPLETIONS), server.headers(None, None, body), encode(body))
    return connection


def freed(server: Server, *, stream: bool) -> str:
    """Whether a short answer is as quick after long ones were left as on an idle server.

    Raises:
        Failed: If it is as slow as beside them.
        NotObserved: If the long ones do not slow it down, so that nothing can be seen from outside.
    """
    server.require_answers()
    idle = seconds_of_answer(server, server.limit_s)
    quick = QUICK_FACTOR * idle + SLACK_S
    patience = max(PATIENCE_S, 2 * quick)
    with ExitStack() as stack:
        connections = [leave_open(server, stack, stream=stream) for _ in range(LEAVERS)]
        if stream:
            connections[0].begin().read(1)
        busy = seconds_of_answer(server, patience)
    if busy <= quick:
        raise NotObserved(
            f"{LEAVERS} long answers do not slow another down ({busy:.2f} s, {idle:.2f} s idle), so that from outside "
            "nothing tells whether they go on"
        )
    time.sleep(SLACK_S)
    after = seconds_of_answer(server, patience)
    seen = f"{idle:.2f} s idle, {shown(busy, patience)} beside {LEAVERS} long ones, {shown(after, patience)} after"
    if after <= quick:
        return seen
    if after >= min(busy, patience) / 2:
        raise Failed(seen, f"at most {quick:.2f} s after they were left")
    raise NotObserved(f"{seen}, which is neither one nor the other")


def seconds_of_answer(server: Server, limit_s: float) -> float:
    """How long an answer of one token takes; infinite beyond the limit."""
    began = time.monotonic()
    try:
        reply = server.request("POST", "/chat/completions", server.body(max_tokens=1), limit_s=limit_s)
    except NotObserved:
        return inf
    if reply.status in BUSY:  # it would have had to wait
        return inf
    return time.monotonic() - began


def shown(seconds: float, patience: float) -> str:
    """A time, for a report."""
    return f"{seconds:.2f} s" if seconds < inf else f"more than {patience:.1f} s"
