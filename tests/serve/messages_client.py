"""A client of the Messages wire that believes nothing: each event has its form and its place."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

_MEMBER = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


def ask(
    url: str, body: Any, path: str = "/v1/messages", headers: Mapping[str, str] | None = None, method: str = "POST"
) -> tuple[int, dict[str, str], Any]:
    """Status, headers (in lower case) and body of an answer: JSON read, a stream as bytes.

    Args:
        url: Where the server is, without a path.
        body: JSON data, or bytes to be sent as they are; None to send nothing.
        path: The path, with its query.
        headers: More headers.
        method: The HTTP method.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {"content-type": "application/json", **(headers or {})}
        connection.request(method, path, data, given)
        response = connection.getresponse()
        said = response.read()
    finally:
        connection.close()
    found = {name.lower(): value for name, value in response.getheaders()}
    is_json = found.get("content-type", "").startswith("application/json")
    return response.status, found, json.loads(said) if is_json else said


def events_in(stream: bytes) -> Iterator[dict[str, Any]]:
    """The events of a stream, each of which has its type as its name."""
    assert stream.endswith(b"\n\n")
    for event in stream.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        read = json.loads(data.removeprefix("data: "))
        assert name == f"event: {read['type']}"
        yield read


def put_together(stream: bytes) -> dict[str, Any]:
    """The message that a whole stream makes."""
    events = [event for event in events_in(stream) if event["type"] != "ping"]
    message: dict[str, Any] = {}
    last = events.pop()
    assert last == {"type": "message_stop"}
    is_open = False
    arguments: dict[int, str] = {}
    for number, event in enumerate(events):
        match event["type"]:
            case "message_start":
                assert number == 0
                message = event["message"]
                assert (message["content"], message["stop_reason"]) == ([], None)
            case "content_block_start":
                assert (is_open, event["index"]) == (False, len(message["content"]))
                is_open = True
                message["content"].append(event["content_block"])
            case "content_block_delta":
                assert is_open
                assert event["index"] == len(message["content"]) - 1
                _add(message["content"][-1], event["delta"], arguments, event["index"])
            case "content_block_stop":
                assert (is_open, event["index"]) == (True, len(message["content"]) - 1)
                is_open = False
            case "message_delta":
                assert (is_open, number) == (False, len(events) - 1)
                message |= {**event["delta"], "usage": {**message["usage"], **event["usage"]}}
            case kind:
                raise AssertionError(f"an event {kind!r}")
    for number, written in arguments.items():
        message["content"][number]["input"] = json.loads(written)
    return message


def _add(block: dict[str, Any], delta: Mapping[str, Any], arguments: dict[int, str], number: int) -> None:
    if delta["type"] == "citations_delta":
        block.setdefault("citations", []).append(delta["citation"])
    elif delta["type"] == "input_json_delta":
        arguments[number] = arguments.get(number, "") + delta["partial_json"]
    else:
        block[_MEMBER[delta["type"]]] += delta[_MEMBER[delta["type"]]]
