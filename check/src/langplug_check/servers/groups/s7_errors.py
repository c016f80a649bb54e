"""S7: requests that are wrong."""

from typing import Any

from langplug_check.servers.groups.s0_models import ABSENT
from langplug_check.servers.server import Server, told
from langplug_check.servers.shapes import four_fields, refused
from langplug_check.servers.statement import statement
from langplug_check.verdicts import Failed, NotObserved


def each_refused(server: Server, *wrongs: dict[str, Any], leave_out: str = "") -> str:
    """Send requests that are wrong in one field each, and look whether each is refused.

    Raises:
        Failed: For the first that is not.
    """
    for wrong in wrongs or ({},):
        body = {name: value for name, value in server.body(**wrong).items() if name != leave_out}
        refused(server.refuse(body), what=told(wrong) if wrong else f"a body without `{leave_out}`")
    return f"{len(wrongs) or 1} refused"


def wrong_bodies(server: Server) -> tuple[dict[str, Any], ...]:
    """Requests that are to be refused, whether a stream is asked for or not."""
    return server.body(messages=[]), server.body(messages=[{"role": "langplug_check", "content": "x"}])


@statement(
    "S70",
    "A model that does not exist is a 404.",
    why="An answer by another model than was asked for is billed, cached and compared under a wrong name.",
    mend="Compare `model` with the ids of /v1/models; answer 404 with the code `model_not_found`.",
    calls=1,
)
def has_no_other_model(server: Server) -> None:
    """Asks a model that no server has."""
    refused(server.refuse(server.body(model=ABSENT)), (404,))


@statement(
    "S71",
    "An error has `message`, `type`, `param` and `code`: texts, the last two maybe null.",
    why="SDKs read all four; an integer as a code breaks typed clients.",
    mend='{"error": {"message": "...", "type": "invalid_request_error", "param": "messages", "code": null}}',
    calls=3,
)
def has_four_fields(server: Server) -> str:
    """Looks at the refusals of what is no JSON, of no messages, and of an unknown role, those that are refused."""
    replies = [server.refuse(body) for body in (b"{", *wrong_bodies(server))]
    errors = [reply for reply in replies if reply.status >= 400]
    if not errors:
        raise NotObserved("nothing is refused (see S72, S74, S77)")
    for error in errors:
        four_fields(error)
    return f"{len(errors)} errors"


@statement(
    "S72",
    "A request without `messages`, or with none in it, is refused with a status from 400 to 499.",
    why="A 5xx says that the server is broken, and is tried again; a 200 is an answer to nothing.",
    mend="Answer 400 with `param: messages`.",
    calls=2,
)
def wants_messages(server: Server) -> str:
    """Leaves `messages` out; then sends an empty list."""
    each_refused(server, leave_out="messages")
    return each_refused(server, {"messages": []})


@statement(
    "S73",
    "`messages` of another type, or with something else in it than messages, are refused with 400 to 499.",
    why="A 5xx hides a client's mistake behind a server's.",
    mend="Look at the types before anything else; name the place, as in `messages[0].content`.",
    calls=6,
)
def wants_real_messages(server: Server) -> str:
    """Sends six lists that are none."""
    wrongs: list[Any] = ["hi", {"role": "user"}, ["hi"], [None], [{}], [{"role": "user", "content": 5}]]
    return each_refused(server, *({"messages": wrong} for wrong in wrongs))


@statement(
    "S74",
    "A role that does not exist is refused with a status from 400 to 499.",
    why="What the model is shown of such a message is anybody's guess.",
    mend="Answer 400, and name the roles that there are.",
    calls=1,
)
def knows_its_roles(server: Server) -> str:
    """Sends a message by a role that no API has."""
    return each_refused(server, {"messages": [{"role": "langplug_check", "content": "hi"}]})


@statement(
    "S75",
    "Parameters of a wrong type are refused with a status from 400 to 499.",
    why="An answer hides the mistake, and a 5xx blames the server for it.",
    mend="Look at the types; answer 400, and name the field in `param`.",
    calls=6,
)
def checks_types(server: Server) -> str:
    """Sends wrong types, a field at a time."""
    wrongs: tuple[dict[str, Any], ...] = (
        {"temperature": "hot"},
        {"max_tokens": "few"},
        {"stop": {"a": 1}},
        {"tools": "all"},
        {"top_p": []},
        {"model": 5},
    )
    return each_refused(server, *wrongs)


@statement(
    "S76",
    "Parameters that are out of range are refused with a status from 400 to 499.",
    why="A limit of -1 tokens is a mistake, which an answer without a limit makes expensive.",
    mend="Look at the ranges; answer 400, and name the field in `param`.",
    rank="could",
    calls=4,
)
def checks_ranges(server: Server) -> str:
    """Sends values that mean nothing, a field at a time."""
    return each_refused(server, {"max_tokens": -5}, {"temperature": -1}, {"top_p": 7}, {"n": 0})


@statement(
    "S77",
    "A body that is no JSON object is refused with a status from 400 to 499.",
    why="It is the client's mistake; a 5xx, or a closed connection, is tried again.",
    mend="Catch what the parser raises; answer 400.",
    calls=6,
)
def wants_json(server: Server) -> str:
    """Sends broken JSON, nothing, a list, and bytes that are no UTF-8."""
    bodies = (b'{"model": ', b"", b"[1, 2]", b'"text"', b"null", b"\xff\xfe{}")
    for body in bodies:
        refused(server.refuse(body), what=repr(body))
    return f"{len(bodies)} refused"


@statement(
    "S78",
    "A request for a stream that is wrong is refused by its status, as JSON, and not inside of a stream.",
    why="Clients look at the status, and take a stream with an error in it for an empty answer.",
    mend="Check the request before the stream begins.",
    calls=3,
)
def refuses_streams(server: Server) -> None:
    """Asks for a stream by what is refused where none is asked for."""
    wrong = next((body for body in wrong_bodies(server) if server.refuse(body).status >= 400), None)
    if wrong is None:
        raise NotObserved("nothing is refused (see S72, S74)")
    reply = server.refuse({**wrong, "stream": True})
    refused(reply, range(400, 600))
    if reply.kind != "application/json":
        raise Failed(f"{reply.kind!r}", "application/json")


@statement(
    "S79",
    "A request without `model` is answered by the only model, or refused with a status from 400 to 499.",
    why="A 5xx is tried again.",
    mend="Take the only model that there is, or answer 400 with `param: model`.",
    calls=1,
)
def wants_a_model(server: Server) -> str:
    """Leaves `model` out."""
    reply = server.ask(model=None)
    if reply.status != 200:
        refused(reply, what="a body without a model")
    return str(reply.status)
