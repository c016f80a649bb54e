"""S0: which models there are, and what is at which path."""

from urllib.parse import quote

from langplug_check.servers.server import Reply, Server, as_object
from langplug_check.servers.shapes import brief, four_fields, refused, require
from langplug_check.servers.statement import statement
from langplug_check.verdicts import Failed, NotObserved

ABSENT = "langplug-check-no-such-model"
"""An id that no model has."""


@statement(
    "S01",
    "`GET /v1/models` lists the models: `object` is `list`, `data` has at least one.",
    why="Chat windows fill their menu from it, and show nothing where it is missing or of another form.",
    mend='Answer {"object": "list", "data": [{"id": ..., "object": "model", "created": ..., "owned_by": ...}]}.',
    rank="must",
)
def lists_models(server: Server) -> str:
    """Asks for `/models`."""
    body = as_object(fetched(server, "/models"))
    require(body, {"object": str, "data": list}, "the list")
    if body["object"] != "list" or not body["data"]:
        raise Failed(brief(body), 'an object "list" with at least one model')
    return f"{len(body['data'])} models"


@statement(
    "S02",
    "Each model of the list has `id`, `object`, `created` and `owned_by`.",
    why="The SDKs' types require all four.",
    mend='Add what is missing: `object` is "model", `created` a Unix time in seconds, `owned_by` any text.',
)
def describes_models(server: Server) -> None:
    """Looks at each entry of the list."""
    reply = server.request("GET", "/models")
    models = as_object(reply).get("data") if reply.status == 200 else None
    if not models:
        raise NotObserved("there is no list of models (see S01)")
    for model in models:
        require(model, {"id": str, "object": str, "created": int, "owned_by": str}, "a model")
        if model["object"] != "model":
            raise Failed(brief(model), '"object": "model"')


@statement(
    "S03",
    "`GET /v1/models/{id}` describes one model as the list does.",
    why="Clients look there whether a model exists; a 404 says that it does not.",
    mend="Answer the same object as in the list, for each id that is in it, slashes included.",
)
def tells_one_model(server: Server) -> None:
    """Asks for the model that is checked."""
    body = as_object(fetched(server, one_model(server)))
    if body.get("id") != server.model or body.get("object") != "model":
        raise Failed(brief(body), f"the model {server.model!r}")


@statement(
    "S04",
    "`GET /v1/models/{id}` of a model that does not exist is a 404.",
    why="A client takes any 200 for a model that it may use.",
    mend="Answer 404 with an error whose `code` is `model_not_found`.",
)
def has_no_other_model(server: Server) -> None:
    """Asks for a model that no server has."""
    refused(server.request("GET", f"/models/{ABSENT}"), (404,))


@statement(
    "S05",
    "A path that is not there is a 404 with an error in JSON.",
    why="SDKs show the error's message; of a page of HTML they show its markup, or that it is no JSON.",
    mend="Have the framework's own handler for missing routes answer with the API's error.",
)
def says_what_is_missing(server: Server) -> None:
    """Posts to a path that no server has."""
    reply = server.request("POST", "/langplug-check-no-such-path", {})
    refused(reply, (404,))
    four_fields(reply)


@statement(
    "S06",
    "`GET /v1/chat/completions` is refused with a status from 400 to 499.",
    why="A 5xx makes clients and gateways try again, and raises alarms about a server that is well.",
    mend="Answer 405 with the header `Allow: POST`.",
    rank="could",
)
def refuses_other_methods(server: Server) -> None:
    """Asks by GET; a server that lists stored completions there may answer, if it says so by `object: list`."""
    reply = server.request("GET", "/chat/completions")
    if reply.status == 200 and as_object(reply).get("object") == "list":
        return
    refused(reply)


def one_model(server: Server) -> str:
    """The path of the model that is asked; a slash in its id is one in the path."""
    return f"/models/{quote(server.model, safe='/:@')}"


def fetched(server: Server, path: str) -> Reply:
    """What is answered by GET, which has to be an answer."""
    reply = server.request("GET", path)
    if reply.status != 200:
        raise Failed(reply.shown, "status 200")
    return reply
