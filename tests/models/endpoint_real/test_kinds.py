"""What ChatEndpoint does in each kind of server's own way, on a server that keeps what it is sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from tests.models.endpoint_real.conftest import MakeModel

from langplug_backend import Backend, Fault


class Person(BaseModel):
    """A person."""

    name: str


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend(key="right") as running:
        yield running


def test_a_server_that_takes_no_schemas(backend: Backend, make: MakeModel) -> None:
    """DeepSeek's API takes no schema, so the model is told it in words; a schema of anything is left to the caller."""
    backend.reply = '{"name": "Ann"}'
    model = make(backend.url, server="deepseek", api_key="right")
    assert Person(name="Ann") == model.with_structured_output(Person).invoke("Who is it?")
    system, asked = backend.last.body["messages"]
    assert "JSON alone" in system["content"]
    assert '"properties": {"name": {"type": "string"}}' in system["content"]
    assert "Who is it?" == asked["content"]
    assert {"type": "json_object"} == backend.last.body["response_format"]

    model.invoke("Who is it? Answer in JSON.", response_format={"type": "json_object"})
    assert ["user"] == [message["role"] for message in backend.last.body["messages"]]

    make(backend.url, api_key="right").with_structured_output(Person).invoke("Who is it?")
    assert "json_schema" == backend.last.body["response_format"]["type"]
    assert ["user"] == [message["role"] for message in backend.last.body["messages"]]


def test_a_server_that_finishes_what_nobody_waits_for(backend: Backend, make: MakeModel) -> None:
    """llama.cpp only notices while it streams that its caller has left, so whole answers are streams, too."""
    assert "Hello" == make(backend.url, server="llama.cpp", api_key="right").invoke("Hello").text
    assert backend.last.streaming
    assert "Hello" == make(backend.url, api_key="right").invoke("Hello").text
    assert not backend.last.streaming


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({}, "Give the key as `api_key`, or in LANGPLUG_API_KEY."),
        ({"api_key": "wrong"}, "Is the key right?"),
        ({"api_key": "right", "fault": Fault.status(404, body={"detail": "Not Found"})}, "Is base_url="),
        ({"api_key": "right", "fault": Fault.status(405, body="no")}, "It mostly ends in /v1."),
        (
            {"api_key": "right", "fault": Fault(kind="not_found")},
            "`served_models()` lists the models that the server has.",
        ),
    ],
    ids=["no key", "wrong key", "wrong address", "no API there", "wrong model"],
)
def test_what_to_do_next(backend: Backend, make: MakeModel, settings: dict[str, Any], advice: str) -> None:
    """What a wrong setting may be the cause of says which, behind what the server said."""
    backend.fault = settings.pop("fault", None)
    model = make(backend.url, **settings)
    with pytest.raises(Exception, match=r"^HTTP 4\d\d: .+\. \S") as caught:
        model.invoke("Hello")
    assert advice in str(caught.value)
