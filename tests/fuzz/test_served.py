"""A served model, asked whatever its own `/openapi.json` allows and forbids, and changed hand-written bodies.

What makes that up lives in an environment of its own: `make test-fuzz`. Nothing leaves the machine.
"""

import copy
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("schemathesis", reason="a served model is fuzzed by `make test-fuzz`")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import Case, GenerationMode
from schemathesis.core.errors import UnsupportedSchema
from tests.serve.client import send
from tests.serve.negative_bodies import CHAT, MESSAGES, NO_JSON
from tests.serve.served_models import serving
from tests.serve.shaped_bodies import OF_KIND, allowed, forbidden

from langplug import ChatModel, Request
from langplug.serve.wires import WIRES

MAKING = 200
"""Requests of each kind that are made up for each wire: right and wrong ones, and changed hand-written ones."""

ROUNDS = 10

RELAXED = settings(
    max_examples=MAKING,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

OF_OPENAI = {"message", "type", "param", "code"}

TALLY: Counter[str] = Counter()
"""How often each status was answered."""


class Obliging(ChatModel):
    """Repeats what it is told. It declines whatever it would be held to, so that a failure is never its own."""

    accepts = frozenset({"image", "audio", "video", "file"})

    def respond(self, request: Request, /) -> Iterator[Any]:
        is_held = request.schema is not None or request.tool_choice not in (None, "auto", "none")
        if is_held or "JSON" in str(request) or "You called no tool" in request.text:
            yield {"type": "refusal", "refusal": "I won't."}
        yield "Yes: "
        yield request.text[:50]


class Native(Obliging):
    """The same, with tools and schemas of its own."""

    tool_calling = "native"
    structured_output = "native"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving({"derived": Obliging(), "native": Native()}) as base:
        yield base


def check_answer(path: str, status: int, headers: Mapping[str, str], text: str) -> None:
    """An answer is one, or a refusal with exactly the members that its wire's errors have."""
    TALLY[f"{status}"] += 1
    assert status < 500, text
    assert headers["x-request-id"]
    if status == 200:
        return
    answer = json.loads(text)
    if path.startswith("/v1/messages"):
        assert {*answer} == {"type", "error", "request_id"}
        assert {*answer["error"]} - {"details"} == {"type", "message"}
        assert ("details" in answer["error"]) == answer["error"]["message"].startswith("thread: ")
    else:
        assert {*answer} == {"error"}
        assert {*answer["error"]} == OF_OPENAI
    assert answer["error"]["message"]


def ask(url: str, path: str, body: Any) -> int:
    """The status for a body; its model is one that is there, so that what else it says is looked at."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and body["model"]:
        body = {**body, "model": "native" if len(str(body)) % 2 else "derived"}
    status, headers, text = send(url, json.dumps(body).encode(), path)
    check_answer(path, status, headers, text)
    return status


def test_the_description_is_valid(url: str) -> None:
    """The document is OpenAPI 3.1."""
    validate(json.loads(send(url, path="/openapi.json", method="GET")[2]))


PATHS = [path for wire in WIRES for path in wire.paths]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", PATHS)
def test_whatever_is_described_is_answered(url: str, path: str, mode: GenerationMode) -> None:
    """Requests of and against the description are answered, or refused with an error in its wire's form."""
    operation = schemathesis.openapi.from_url(f"{url}/openapi.json")[path]["POST"]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(RELAXED, max_examples=MAKING // ROUNDS)
    def run(case: Case) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str) and case.body["model"]:
            case.body["model"] = "derived"
        response = case.call(base_url=url)
        check_answer(path, response.status_code, response.headers, response.text)

    for _ in range(ROUNDS):
        with suppress(UnsupportedSchema):  # now and then it does not know how to go against a schema
            run()


@pytest.mark.timeout(1200)
def test_what_is_read_is_answered(url: str) -> None:
    """Whatever is asked by GET has its answer, or its error."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    for path, operations in schema.raw_schema["paths"].items():
        if "get" not in operations:
            continue

        @given(schema[path]["GET"].as_strategy(generation_mode=GenerationMode.POSITIVE))
        @settings(RELAXED, max_examples=50)
        def run(case: Case) -> None:
            response = case.call(base_url=url)
            TALLY[f"{response.status_code}"] += 1
            assert response.status_code in (200, 404)

        run()


SEEDS = {
    wire.paths[0]: [
        *allowed(wire.body.shape),
        *forbidden(wire.body.shape),
        *(body for body, _ in (MESSAGES if wire.name.startswith("messages") else CHAT).values()),
    ]
    for wire in WIRES
}


@pytest.mark.parametrize("path", PATHS)
def test_each_wrong_body_is_refused(url: str, path: str) -> None:
    """Bodies with each thing that may be there, with each that may not, and those written by hand."""
    for body in SEEDS[path]:
        ask(url, path, body)
    for data in NO_JSON.values():
        status, headers, text = send(url, data, path)
        check_answer(path, status, headers, text)
        assert status == 400


PIECES = st.sampled_from([*OF_KIND.values(), -1, 1e300, 2**63, "\ud800", "\x00", "a" * 9000, {"$ref": "#"}, [[[]]]])


@st.composite
def changed(draw: Any, path: str) -> Any:
    """A body into which up to three pieces of others, or of nothing sensible, have been put."""
    body = copy.deepcopy(draw(st.sampled_from(SEEDS[path])))
    other = draw(st.sampled_from(SEEDS[path]))
    for _ in range(draw(st.integers(1, 3))):
        holder, piece = body, draw(st.sampled_from([*inner(other)]) | PIECES)
        while isinstance(holder, dict | list) and holder:
            keys = [*holder] if isinstance(holder, dict) else [*range(len(holder))]
            key = draw(st.sampled_from(keys))
            if not isinstance(holder[key], dict | list) or not holder[key] or draw(st.booleans()):
                holder[key] = copy.deepcopy(piece)
                break
            holder = holder[key]
    return body


def inner(value: Any) -> Iterator[Any]:
    """A value, and all that is in it."""
    yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inner(one)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", PATHS)
def test_changed_bodies_are_answered(url: str, path: str) -> None:
    """Bodies that have been mixed are answered, or refused with an error in its wire's form."""

    @given(changed(path))
    @RELAXED
    def run(body: Any) -> None:
        ask(url, path, body)

    run()


def test_that_was_enough() -> None:
    """In all, five thousand requests have been asked."""
    print(dict(TALLY))  # noqa: T201 - the job's result, with `-rP`
    assert sum(TALLY.values()) >= 5000, dict(TALLY)
