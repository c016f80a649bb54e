"""S8: who may ask, and how."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from langplug_check.servers.groups.s0_models import one_model
from langplug_check.servers.server import Reply, Server, encode
from langplug_check.servers.shapes import four_fields, refused
from langplug_check.servers.statement import REBINDING, statement
from langplug_check.verdicts import Advisory, Failed, NotApplicable

WRONG = "langplug-check-wrong-key"


def need_key(server: Server) -> None:
    """Go on if the server has a key.

    Raises:
        NotApplicable: If it has none.
    """
    if not server.key:
        raise NotApplicable("no key was given (--api-key env:VARIABLE)")


def need_loopback(server: Server) -> None:
    """Go on if the server is asked as one of this machine's.

    Raises:
        NotApplicable: If it has a name of its own, behind which there may be others.
    """
    host = urlsplit(server.url).hostname or ""
    try:
        is_local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise NotApplicable(f"{host} is not this machine, and no page can be made to point at it")


def shown_to(server: Server, headers: Mapping[str, str], key: str | None = None) -> Reply:
    """What is answered to whoever sends these headers, where others are answered."""
    if server.request("GET", "/models").status == 200:
        return server.request("GET", "/models", headers=headers, key=key)
    server.require_answers()
    return server.refuse(server.body(limit=1), headers=headers, key=key)


def harm(server: Server, found: Failed, without_key: Callable[[], Reply]) -> Exception:
    """What it means that a page of another's is answered: a page has no key, so that a server with one is guarded."""
    if server.key and without_key().status >= 400:
        return Advisory(f"{found.observed}; whoever has no key, such as a page, is refused")
    return found


@statement(
    "S80",
    "Without a key, every route is a 401: the list of models, one model, and answers.",
    why="A route that was forgotten is open to everybody; that has happened to most servers.",
    mend="Guard all routes by default, and name those that are open.",
    rank="must",
    calls=1,
)
def wants_its_key(server: Server) -> str:
    """Asks each route without the key."""
    need_key(server)
    routes = (("GET", "/models"), ("GET", one_model(server)), ("POST", "/chat/completions"))
    for method, path in routes:
        body = server.body() if method == "POST" else None
        refused(server.request(method, path, body, key=""), (401,), f"{method} {path}")
    return f"{len(routes)} routes"


@statement(
    "S81",
    "A wrong key is a 401.",
    why="Any other status sends the user looking for another mistake.",
    mend="Compare the key in constant time; answer 401 with the code `invalid_api_key`.",
    rank="must",
    calls=2,
)
def refuses_wrong_keys(server: Server) -> None:
    """Asks with another key, and with the beginning of the right one."""
    need_key(server)
    for key in (WRONG, server.key[:-1] or "x"):
        refused(server.refuse(server.body(), key=key), (401,))


@statement(
    "S82",
    "The refusal of a key has the four fields of an error.",
    why="It is the first error that a user meets.",
    mend="Have the guard answer in the same form as everything else.",
    calls=1,
)
def refuses_keys_in_form(server: Server) -> None:
    """Looks at the refusal of a wrong key, whatever its status is."""
    need_key(server)
    reply = server.refuse(server.body(), key=WRONG)
    refused(reply, range(400, 600))
    four_fields(reply)


@statement(
    "S83",
    "A refusal does not repeat the key that was sent.",
    why="Errors end in logs and in reports of bugs; a key with a typo in it is nearly a key.",
    mend="Say that the key is wrong, not what it was.",
    calls=1,
)
def keeps_keys_to_itself(server: Server) -> None:
    """Looks for a wrong key in its refusal."""
    need_key(server)
    reply = server.refuse(server.body(), key=WRONG)
    if WRONG.encode() in reply.data:
        raise Failed(reply.shown, "a refusal without the key")


@statement(
    "S84",
    "A server on this machine refuses a foreign `Host`.",
    why="A page can point a name of its own at 127.0.0.1, and then use the server as its own (DNS rebinding).",
    mend="Compare `Host` with the names that the server is known under; answer 421.",
    calls=2,
    link=REBINDING,
)
def refuses_foreign_hosts(server: Server) -> None:
    """Asks for the models as another host, or a plain question, if there is no list of models.

    Where a key is needed, which no page has, an answer could be better, and is no failure; so in S85 and S86.
    """
    need_loopback(server)
    foreign = {"Host": "langplug-check.example"}
    try:
        refused(shown_to(server, foreign), what="a foreign Host")
    except Failed as found:
        raise harm(server, found, lambda: shown_to(server, foreign, key="")) from None


@statement(
    "S85",
    "A page of a foreign origin is refused, or not allowed to read the answer.",
    why="Any page that the user opens could use the model, and read what it says.",
    mend="Answer 403 to a foreign `Origin`, or send no Access-Control-Allow-Origin for it.",
    calls=2,
    link=REBINDING,
)
def refuses_foreign_origins(server: Server) -> str:
    """Asks for the models, or a plain question, as a page of another origin."""
    need_loopback(server)
    origin = "https://langplug-check.example"
    reply = shown_to(server, {"Origin": origin})
    allowed = reply.headers.get("access-control-allow-origin", "")
    if reply.status == 200 and allowed in ("*", origin):
        found = Failed(f"200, with Access-Control-Allow-Origin: {allowed}", "a refusal, or no such header")
        raise harm(server, found, lambda: shown_to(server, {"Origin": origin}, key=""))
    return str(reply.status)


@statement(
    "S86",
    "A body that is not said to be JSON is refused with a status from 400 to 499.",
    why="A page of any origin may post text/plain without asking first, and so set the model to work.",
    mend="Answer 415 to any content type but application/json.",
    link=REBINDING,
    calls=2,
)
def wants_json_by_name(server: Server) -> None:
    """Sends a plain question as text/plain."""
    data, kind = encode(server.body(limit=1)), {"Content-Type": "text/plain"}
    try:
        refused(server.refuse(data, headers=kind), what="text/plain")
    except Failed as found:
        raise harm(server, found, lambda: server.refuse(data, headers=kind, key="")) from None


@statement(
    "S87",
    "JSON with a charset is taken.",
    why="Many clients write `application/json; charset=utf-8`.",
    mend="Compare the content type without its parameters.",
    rank="must",
    calls=1,
)
def takes_a_charset(server: Server) -> None:
    """Asks the plain question with this content type."""
    server.require_answers()
    reply = server.refuse(server.body(), headers={"Content-Type": "application/json; charset=utf-8"})
    if reply.status != 200:
        raise Failed(reply.shown, "an answer")
