"""`/openapi.json` is true: what it allows is read, what it forbids is a 400, and nothing that is served is left out."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.client import ask, send
from tests.serve.negative_bodies import CHAT, MESSAGES
from tests.serve.served_models import serving
from tests.serve.shaped_bodies import BROKEN, allowed, forbidden

from langplug import Reasoning, ToolCall
from langplug._tools.json_schema_check import problem_with
from langplug.models import ChatScripted
from langplug.serve import app
from langplug.serve.errors import ApiError
from langplug.serve.openapi import document
from langplug.serve.wires import WIRES
from langplug.serve.wires.wire import Wire

BY_NAME = {wire.name: wire for wire in WIRES}

SEMANTIC = (
    "each tool needs a name of its own",
    "there is no",
    "no call with the id",
    "needs a function",
    "needs a tool",
    "none of its items",
    "expected a data URL",
)
"""What is wrong with a body that has its shape: how its parts go together, which no schema says."""


def described(**options: Any) -> dict[str, Any]:
    """The document of a server with these options, as a client gets it."""
    key = {"Authorization": f"Bearer {options['api_key']}"} if "api_key" in options else {}
    with serving({"m": ChatScripted(replies=[])}, **options) as base:
        status, _, text = send(base, path="/openapi.json", method="GET", **key)
    assert status == 200
    read: dict[str, Any] = json.loads(text)
    return read


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    return described()


def schema_of(published: dict[str, Any], wire: Wire) -> dict[str, Any]:
    """The schema of a wire's bodies, with what it refers to."""
    body = published["paths"][wire.paths[0]]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return {**body, "components": published["components"]}


def problem_of(wire: Wire, body: Any) -> str:
    """What the wire says against a body's shape; empty if nothing."""
    refused: list[ApiError] = []
    try:
        wire.read(body, {})
    except ApiError as error:
        refused.append(error)
    assert all(error.status == 400 and error.param for error in refused)
    return "".join(error.message for error in refused if not any(word in error.message for word in SEMANTIC))


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_allowed_is_read(name: str, published: dict[str, Any]) -> None:
    """A body with each thing in it that the published schema allows, one at a time, is not refused for its shape."""
    wire, schema = BY_NAME[name], schema_of(published, BY_NAME[name])
    bodies = [*allowed(wire.body.shape)]
    assert [problem for body in bodies if (problem := problem_with(body, schema))] == []
    assert [(problem, body) for body in bodies if (problem := problem_of(wire, copy.deepcopy(body)))] == []


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_forbidden_is_refused(name: str, published: dict[str, Any]) -> None:
    """A body that is wrong in any one place does not fit the published schema, and is refused with that place."""
    wire, schema = BY_NAME[name], schema_of(published, BY_NAME[name])
    bodies = [*forbidden(wire.body.shape)]
    assert [body for body in bodies if problem_with(body, schema) is None] == []
    objects = [body for body in bodies if isinstance(body, dict)]
    assert [body for body in objects if not problem_of(wire, copy.deepcopy(body))] == []


WRITTEN = [
    (name, body)
    for name, known in (("chat", CHAT), ("messages", MESSAGES))
    for body, _ in known.values()
    if isinstance(body, dict)
]


@pytest.mark.parametrize(("name", "body"), WRITTEN)
def test_wrong_bodies_are_judged_alike(name: str, body: dict[str, Any], published: dict[str, Any]) -> None:
    """Bodies that are wrong in one way each are forbidden by the schema where they are refused for their shape."""
    wire = BY_NAME[name]
    not_allowed = problem_with(body, schema_of(published, wire))
    assert bool(problem_of(wire, copy.deepcopy(body))) == (not_allowed is not None), not_allowed


@pytest.mark.parametrize("schema", BROKEN)
def test_a_schema_that_is_none_is_refused(schema: Any) -> None:
    """What is no JSON schema is refused as such, wherever a client gives one, and not first when a model answers."""
    named = {"name": "n", "schema": schema}
    tool = {"name": "add", "description": "Adds."}
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    for name, fields in (
        ("chat", {"tools": [{"type": "function", "function": {**tool, "parameters": schema}}]}),
        ("chat", {"response_format": {"type": "json_schema", "json_schema": named}}),
        ("responses", {"input": "hi", "tools": [{"type": "function", **tool, "parameters": schema}]}),
        ("responses", {"input": "hi", "text": {"format": {"type": "json_schema", **named}}}),
        ("messages", {"max_tokens": 9, "tools": [{**tool, "input_schema": schema}]}),
        ("messages", {"max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": schema}}}),
    ):
        assert "expected" in problem_of(BY_NAME[name], copy.deepcopy({**asked, **fields}))


def test_nulls_in_a_schema_say_nothing() -> None:
    """Null in place of a keyword is taken out of a schema; a null that is a value stays."""
    given_schema = {"type": "object", "properties": {"a": {"title": None, "minimum": None, "default": None}}}
    tool = {"type": "function", "function": {"name": "add", "parameters": given_schema}}
    call = BY_NAME["chat"].read(ask(tools=[tool]), {})
    assert call.tools[0]["function"]["parameters"]["properties"] == {"a": {"default": None}}


def test_a_whole_number_is_an_integer() -> None:
    """JSON has one kind of number: 2.0 is an integer, and reaches the model as one."""
    call = BY_NAME["chat"].read(ask(n=2.0, max_tokens=5.0), {})
    assert (repr(call.n), repr(call.parameters["max_tokens"])) == ("2", "5")


# --- the whole document ---


def test_no_route_is_left_out(published: dict[str, Any]) -> None:
    """Each route is described, with its method, what it answers, and its errors; of each wire the fields, too."""
    routes = app({"m": ChatScripted(replies=[])}).exchange.routes
    assert {path: [*operations] for path, operations in published["paths"].items()} == {
        path: [method.lower()] for path, method in routes.items()
    }
    for operations in published["paths"].values():
        (operation,) = operations.values()
        assert {*operation["responses"]} == {"200", "4XX", "5XX"}
    for wire in WIRES:
        properties = schema_of(published, wire)["properties"]
        assert {field.name.partition(".")[0] for field in wire.body.fields} == {*properties}


def test_every_reference_leads_somewhere(published: dict[str, Any]) -> None:
    """References are to schemas that are there, and each of these is referred to."""

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from references(inner)

    schemas = published["components"]["schemas"]
    assert {*references(published)} == {f"#/components/schemas/{name}" for name in schemas}


def test_a_key_is_told_of() -> None:
    """Where there is a key, every operation says how it is sent, but those that need none."""
    document_with_key = described(api_key="s3cret")
    application = app({"m": ChatScripted(replies=[])})
    for path, operations in document_with_key["paths"].items():
        (operation,) = operations.values()
        is_open = path.startswith("/health/") or path in application.exchange.pages
        assert operation["security"] == ([] if is_open else [{"bearer": []}, {"x-api-key": []}])
    assert all(one["security"] == [] for paths in described()["paths"].values() for one in paths.values())


def test_a_strict_server_says_so() -> None:
    """With `strict`, what would be ignored is not in the schema, which then allows nothing else."""
    for wire in WIRES:
        body = schema_of(described(strict=True), wire)
        assert body["additionalProperties"] is False
        for field in wire.body.fields:
            shown: Any = body
            for name in field.name.split("."):
                shown = next((one for one in shown.get("anyOf", ()) if "properties" in one), shown)  # or null
                shown = shown.get("properties", {}).get(name, {})
            assert bool(shown) == (field.verdict != "ignored"), field.name


WEATHER: Any = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
PARTS = [Reasoning("Hm."), "Sunny.", ToolCall(name="weather", args={"place": "Rome"})]


@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
@pytest.mark.parametrize("fails", [True, False])
def test_answers_are_what_is_published(name: str, published: dict[str, Any], *, fails: bool) -> None:
    """Answers and errors fit their schemas."""
    wire = BY_NAME[name]
    tools = {
        "chat": {"type": "function", "function": WEATHER},
        "responses": {"type": "function", **WEATHER},
        "messages": {"name": "weather", "input_schema": WEATHER["parameters"]},
    }
    asked: dict[str, Any] = {"model": "none" if fails else "m", "tools": [tools[name]], "max_tokens": 99}
    asked |= {"input": "hi"} if name == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    with serving({"m": ChatScripted(replies=[PARTS], tool_calling="native")}) as base:
        status, _, text = send(base, asked, wire.paths[0])
    assert status == (404 if fails else 200)
    responses = published["paths"][wire.paths[0]]["post"]["responses"]
    schema = responses["4XX" if fails else "200"]["content"]["application/json"]["schema"]
    assert problem_with(json.loads(text), {**schema, "components": published["components"]}) is None


def test_a_document_needs_no_server() -> None:
    """The description is made of routes and wires alone."""
    found = document({"/v1/responses": "POST"}, WIRES, open_paths=(), has_key=False, strict=False)
    assert [*found["paths"]] == ["/v1/responses"]
