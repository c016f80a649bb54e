"""Answers that are mutated in every way: whatever a server sends, what is raised is a `ModelError`."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.exceptions import ModelError

from langplug.models import ChatEndpoint, ChatHTTP

ROUNDS = 400
"""Of each wire and path: a few seconds. A run of minutes, with seeds of its own, is to be made by hand."""

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1.5, "", "x", "1", "²", "9" * 5000, "\ud83d", [], [[]], {}, [None], ["x"], [1], [{}]),
    *({"text": "x"}, {"type": "text", "text": 5}, float("nan"), float("-inf"), 10**30, -(10**19), 10**300),
    *({"type": None}, "error", "length", "tool_calls", {"error": {"message": "no"}}, [{"type": "image_url"}]),
    *([{"type": "reasoning", "summary": [{}]}], "null", "{", "[1]", '{"a": 1}'),
]
NAMES = (
    "content tool_calls function name arguments id index delta message finish_reason usage logprobs error text type "
    "item output response status output_index summary call_id"
)

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}, "index": 0}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}}
MESSAGE = {"role": "assistant", "content": "Hello", "reasoning_content": "hm", "tool_calls": [CALL]}
LOGPROBS = {"content": [{"token": "H", "logprob": -0.1, "bytes": [72], "top_logprobs": []}]}
COMPLETION = {
    "id": "i",
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "logprobs": LOGPROBS, "finish_reason": "tool_calls"}],
    "usage": USAGE,
}
CHUNKS: list[Any] = [
    *({"id": "i", "model": "m", "choices": [{"index": 0, "delta": one}]} for one in (
        {"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {"content": "Hel"}, {"content": "lo"},
        {"tool_calls": [{**CALL, "function": {"name": "add", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1}'}}]},
    )),
    {"id": "i", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"id": "i", "choices": [], "usage": USAGE},
]  # fmt: skip
OLLAMA: list[Any] = [
    {"model": "m", "message": {"role": "assistant", "content": "Hel", "thinking": "hm"}, "done": False},
    {"model": "m", "message": {"content": "lo", "tool_calls": [CALL]}, "done": False},
    {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 4},
]

ITEMS: list[Any] = [
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "e"},
    {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "message", "id": "m", "role": "assistant", "content": [
        {"type": "output_text", "text": "Hello", "annotations": [{"type": "url_citation", "url": "http://a.b"}]},
        {"type": "refusal", "refusal": "no"},
    ]},
    {"type": "function_call", "id": "f", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
    {"type": "custom_tool_call", "id": "t", "call_id": "c2", "name": "add", "input": "text"},
]  # fmt: skip
RESPONSE = {
    "id": "i", "object": "response", "model": "m", "status": "completed", "output": ITEMS, "error": None,
    "incomplete_details": None,
    "usage": {"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}},
}  # fmt: skip
EVENTS: list[Any] = [
    {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
    *({"type": f"response.{kind}", "output_index": place, "item_id": ITEMS[place]["id"], "delta": text} for (
        kind, place, text) in (
        ("reasoning_summary_text.delta", 0, "hm"), ("output_text.delta", 2, "Hel"), ("refusal.delta", 2, "n"),
        ("function_call_arguments.delta", 3, '{"a"'),
    )),
    *({"type": "response.output_item.done", "output_index": place, "item": item} for place, item in enumerate(ITEMS)),
    {"type": "response.completed", "response": RESPONSE},
]  # fmt: skip


class Session:
    """In the place of aiohttp's: says what it is told to, without a socket."""

    closed = False
    auto_decompress = True

    def __init__(self) -> None:
        self.says: tuple[str, list[bytes]] = ("", [])

    async def request(self, *_: Any, **__: Any) -> "Said":
        return Said(*self.says)


class Said:
    """A response, and its content."""

    status = 200

    def __init__(self, content_type: str, pieces: list[bytes]) -> None:
        self.headers = {"Content-Type": content_type}
        self.content = self
        self._pieces = list(pieces)
        self._error: Any = None

    async def readany(self) -> bytes:
        if self._error is not None:
            raise self._error
        return self._pieces.pop(0) if self._pieces else b""

    def at_eof(self) -> bool:
        return not self._pieces

    def exception(self) -> Any:
        return self._error

    def set_exception(self, error: Any) -> None:
        self._error = error

    def release(self) -> None:
        """Nothing to release."""

    close = release


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def mutate(dice: random.Random, value: Any) -> Any:
    """A copy of a JSON value in which one to three places are another value, away, or somewhere else."""
    value = copy.deepcopy(value)
    for _ in range(dice.choice([1, 1, 2, 3])):
        path = dice.choice(list(places(value)))
        if not path:
            continue
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        odd = copy.deepcopy(dice.choice(ODD))
        what = dice.random()
        if what < 0.15:
            del holder[path[-1]]
        elif what < 0.3 and isinstance(holder, dict):
            holder[dice.choice(NAMES.split())] = odd
        elif what < 0.4:
            holder[path[-1]] = [holder[path[-1]]]
        else:
            holder[path[-1]] = odd
    return value


def mutate_bytes(dice: random.Random, body: bytes) -> bytes:
    for _ in range(dice.choice([1, 1, 3])):
        at = dice.randrange(len(body) + 1)
        odd = dice.choice([b"\n", b"\r", b"\n\n", b"\0", b"\xff", b"data: ", b":", b"[DONE]", b"{", b"]", b'"', b""])
        body = body[:at] + odd + body[at + dice.choice([0, 0, 1, 15]) :]
    return body


def cut(dice: random.Random, body: bytes) -> list[bytes]:
    ends = sorted(dice.randrange(1, len(body) + 1) for _ in range(dice.choice([0, 5]))) if body else []
    return [piece for start, end in zip([0, *ends], [*ends, len(body)], strict=True) if (piece := body[start:end])]


def answer(dice: random.Random, wire: str) -> tuple[str, list[bytes]]:
    """A mutated answer, by its content type and in pieces."""
    in_values = dice.random() < 0.8
    if wire in ("completion", "response"):
        whole = COMPLETION if wire == "completion" else RESPONSE
        kind, body = "application/json", json.dumps(mutate(dice, whole) if in_values else whole).encode()
    else:
        values = copy.deepcopy({"chunks": CHUNKS, "events": EVENTS}.get(wire, OLLAMA))
        if in_values:
            at = dice.randrange(len(values))
            values[at] = mutate(dice, values[at])
        lines = [json.dumps(value).encode() for value in values]
        kind, body = "application/x-ndjson", b"\n".join(lines)
        if wire in ("chunks", "events"):
            kind, body = "text/event-stream", b"".join(b"data: %s\n\n" % line for line in lines)
    return kind, cut(dice, body if in_values else mutate_bytes(dice, body))


_KINDS = ("plain", "tools", "several", "described")


def add(a: int, b: int = 0) -> int:
    """Adds two numbers."""
    return a + b


@pytest.mark.parametrize("streams", [False, True], ids=["ainvoke", "astream"])
@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        *((wire, kind) for wire in ("completion", "chunks", "ollama") for kind in _KINDS),
        *((wire, kind) for wire in ("response", "events") for kind in ("plain", "tools")),
    ],
)
async def test_whatever_a_server_sends_is_an_answer_or_a_model_error(wire: str, kind: str, streams: bool) -> None:
    """No mutated answer raises anything but a `ModelError`, through the whole model."""
    session = Session()
    settings: dict[str, Any] = {"model": "m", "session": session, "max_retries": 0, "api_key": "k"}
    if wire == "ollama" or kind == "described":
        model: Any = ChatHTTP.from_file("ollama", **settings)
    else:
        more: dict[str, Any] = {"n": 2} if kind == "several" else {}
        more |= {"api": "responses"} if wire in ("response", "events") else {}
        model = ChatEndpoint(base_url="http://localhost/v1", logprobs=True, **more, **settings)
    asked = model.bind_tools([add]) if kind == "tools" else model
    dice = random.Random(f"{wire} {kind} {streams}")
    for _ in range(ROUNDS):
        session.says = answer(dice, wire)
        try:
            if streams and kind != "several":
                async for _chunk in asked.astream("x"):
                    pass
            else:
                await asked.ainvoke("x")
        except ModelError:
            pass
        except Exception as error:  # noqa: BLE001 - which is what must not be
            pytest.fail(f"{error!r} for {b''.join(session.says[1])!r}")
