"""What the log prints of data is what a repr of the same data shows: secrets are struck out by one table."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug import is_secret_name
from langplug._log import strike_out
from langplug._model.identity import to_plain
from langplug.models import ChatEndpoint, ChatHTTP
from langplug_backend import Backend, Call, Reply

SECRET = "MARKER0123456789"

HIDDEN: dict[str, Any] = {
    "text": {"password": SECRET},
    "list": {"password": [SECRET]},
    "object": {"credentials": {"value": SECRET}},
    "list of objects": {"api_keys": [{"of": "a", "is": SECRET}]},
    "plural": {"keys": [SECRET, SECRET]},
    "record": {"env": [{"name": "API_KEY", "value": SECRET}]},
    "record, backwards": {"env": [{"value": SECRET, "name": "API_KEY"}]},
    "header as a record": {"headers": [{"key": "X-Api-Key", "value": SECRET}]},
    "header as a pair": {"headers": [["X-Api-Key", SECRET]]},
    "password of an address": {"url": f"http://me:{SECRET}@host/x"},
    "password with an @": {"url": f"http://me:a@{SECRET}@host/x"},
    "query of an address": {"url": f"http://host/x?api_key={SECRET}&alt=sse"},
    "option of a program": {"command": f"serve --api-key={SECRET}"},
    "deep": {"a": [{"b": [[{"c": {"client_secret": [[SECRET]]}}]]}]},
    "in a string": {"arguments": json.dumps({"api_key": SECRET})},
    "list in a string": {"arguments": json.dumps({"keys": [SECRET]})},
    "string in a string": {"arguments": json.dumps({"body": json.dumps({"token": SECRET})})},
    "in a text": {"message": 'not taken: {"api_key": "' + SECRET + '"}'},
    "in a string cut off": {"arguments": '{"api_key": "' + SECRET},
    "quotes in it": {"password": f'a"{SECRET}\\"{SECRET}'},
}

WRITTEN: dict[str, Callable[[Any], str]] = {
    "JSON": json.dumps,
    "compact": lambda data: json.dumps(data, separators=(",", ":")),
    "indented": lambda data: json.dumps(data, indent=2),
    "after a sign": lambda data: f"> {json.dumps(data)}",
    "an event": lambda data: f"< event: delta {json.dumps(data)}",
    "in an error": lambda data: f"HTTP 400: {json.dumps(data)}",
    "lines": lambda data: f"{json.dumps(data)}\n{json.dumps(data)}\n",
    "events": lambda data: f"data: {json.dumps(data)}\n\ndata: {json.dumps(data)}\n\ndata: [DONE]\n\n",
    "JSON in JSON": lambda data: json.dumps({"body": json.dumps(data)}),
}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("case", HIDDEN)
def test_what_reprs_hide_the_log_hides(case: str, how: str) -> None:
    """However data is written: lists and objects under a secret's name, records, addresses, JSON in strings."""
    shown = strike_out(WRITTEN[how](HIDDEN[case]))
    assert "MARKER" not in shown
    assert "***" in shown


CUT = [case for case in HIDDEN if case not in ("record, backwards", "header as a pair")]


@pytest.mark.parametrize("case", CUT)
def test_a_body_that_is_cut_off(case: str) -> None:
    """Where a body is no JSON, since its end or its beginning is missing, its entries are found one by one."""
    text = json.dumps(HIDDEN[case])
    for broken in (text[:-1], f"{{{text}", text.replace("{", "", 1), f"{text[:-1]}, ...}}"):
        assert "MARKER" not in strike_out(broken), broken


@pytest.mark.parametrize("case", [case for case in CUT if "string" not in case and "quotes" not in case])
def test_a_dict_as_python_writes_it(case: str) -> None:
    """The same with single quotes, as in an error that quotes what was sent."""
    assert "MARKER" not in strike_out(f"refused: {HIDDEN[case]!r}")


def test_a_name_twice_hides_both() -> None:
    """An object may have a name twice; the first value is in the text as well."""
    assert "MARKER" not in strike_out('{"a": {"keys": ["' + SECRET + '"]}, "a": 1}')


def test_numbers_are_secrets_too() -> None:
    """A PIN or an account's key may be a number; true, false and null say nothing."""
    text = '{"api_key": 12345678901, "pin": 4711, "max_tokens": 4711, "token": null, "auth": true}'
    expected = '{"api_key": "***", "pin": "***", "max_tokens": 4711, "token": null, "auth": true}'
    assert expected == strike_out(text) == strike_out(f"{text[:-1]},")[:-1] + "}"


NAMES = st.sampled_from(
    ["a", "api_key", "password", "keys", "name", "value", "token", "max_tokens", "headers", "x-key"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["api_key", "X-Token"])
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, DATA, max_size=4))
def test_one_table_for_reprs_and_the_log(data: dict[str, Any]) -> None:
    """Whatever data is printed, it is the data that a trace shows."""
    shown = json.loads(strike_out(json.dumps(data)))
    assert json.loads(json.dumps(to_plain(data)).replace("*" * 10, "***")) == shown


@given(
    st.dictionaries(NAMES.filter(lambda name: not is_secret_name(name) and name != "name"), st.integers() | st.none())
)
def test_what_hides_nothing_stays_as_it_is(data: dict[str, Any]) -> None:
    """To the last blank, however odd: what is looked for in a log is often how a body was written."""
    for text in (
        json.dumps(data),
        json.dumps(data, indent=1),
        f"> x {json.dumps(data)} ",
        '{"a":1.0, "b" : "\\u00e9"}',
    ):
        assert text == strike_out(text)


def test_a_schema_shows_its_parameters() -> None:
    """A tool's parameter may be called like a secret; what describes it is none."""
    text = '{"parameters": {"type": "object", "properties": {"api_key": {"type": "string"}}, "required": ["api_key"]}}'
    assert text == strike_out(text)


UNITS = [
    '"', '"a":', '"api_key":"', "\\", "a=", '{"token":"\\\\', '"name":[', '"token":[', '\\"token\\":\\"', "[", '{"a":',
    "'token':'", "http://a:", '{"a":"{\\"', '\n{"a":', '"name":"token","value":[', "a='", "://a:b@", "&#?a",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_striking_out_is_linear(unit: str) -> None:
    """A hostile body, of any nesting, costs no time squared, and fails nothing."""
    began = time.monotonic()
    strike_out(unit * (200_000 // len(unit)))
    assert time.monotonic() - began < 2


# --- through the models ---


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture
def wire(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, logger="langplug.wire"):
        yield caplog


@pytest.mark.parametrize("case", HIDDEN)
def test_the_wire_shows_what_the_repr_shows(backend: Backend, wire: pytest.LogCaptureFixture, case: str) -> None:
    """Of what a model was made with, and of a call's arguments, neither shows a secret."""
    backend.reply = Reply(calls=(Call(name="f", args=HIDDEN[case]),))
    model = ChatEndpoint(model="m", base_url=backend.openai_url, extra_body=HIDDEN[case])
    assert "MARKER" in str(model.invoke("x").tool_calls)
    model.close()
    assert "POST" in wire.text
    assert "***" in wire.text
    assert "MARKER" not in wire.text


def test_the_wire_of_a_described_server(backend: Backend, wire: pytest.LogCaptureFixture) -> None:
    """So it is for `ChatHTTP`, whose body is a template."""
    model = ChatHTTP.from_file("ollama", base_url=backend.url, model="m")
    model.body = {**model.body, "keys": [SECRET], "env": [{"name": "API_KEY", "value": SECRET}]}
    model.invoke("x")
    model.close()
    assert "POST" in wire.text
    assert "MARKER" not in wire.text
