"""Stop strings: told to the server where it may cut, enforced here, and the connection closed at the hit."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from tests.models.endpoint.conftest import MakeEndpoint
from tests.paths import PATHS, STREAMED, Path

from langplug.models.servers import SERVERS
from langplug_backend import Backend, Reply

SAID = Reply(pieces=("one ", "two ST", "OP", " three", " four"), stop="ignore")

INCLUDED_BY = {"vllm": "include_stop_str_in_output", "sglang": "no_stop_trim"}


@pytest.mark.parametrize("include_stop", [True, False])
@pytest.mark.parametrize("stop_mode", ["cut", "include", "report", "report_word", "ignore"])
def test_the_stop_text_is_there_or_not_whatever_the_server_does(
    backend: Backend, make: MakeEndpoint, call: Path, stop_mode: Any, include_stop: bool
) -> None:
    """However a server treats stop strings, the answer ends right behind the stop text, or right before it."""
    backend.reply = Reply(pieces=SAID.pieces, stop=stop_mode)
    answered = call(make(include_stop=include_stop), "x", stop=["STOP", "never"])
    assert ("one two STOP" if include_stop else "one two ") == answered.text == answered.message.text
    metadata = answered.message.response_metadata
    assert "stop" == metadata["finish_reason"]
    if include_stop or stop_mode in ("include", "report", "ignore"):
        assert "STOP" == metadata["stop_sequence"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("server", SERVERS)
def test_what_is_told_to_which_server(backend: Backend, make: MakeEndpoint, server: str, path: str) -> None:
    """A server that can give the stop text is told where to stop, and to do that; any other is not, and is read."""
    streams = path in STREAMED or SERVERS[server].streams_always
    backend.reply = Reply(pieces=("one ", "two"))
    PATHS[path](make(server=server), "x", stop=["STOP"])
    body = backend.last.body
    if server in INCLUDED_BY:
        assert (["STOP"], True) == (body["stop"], body[INCLUDED_BY[server]])
        assert streams == body.get("stream", False)
    else:
        assert "stop" not in body
        assert body["stream"] is True
    PATHS[path](make(server=server, include_stop=False), "x", stop=["STOP"])
    body = backend.last.body
    assert ["STOP"] == body["stop"]
    assert not set(INCLUDED_BY.values()) & body.keys()
    assert streams == body.get("stream", False)


@pytest.mark.parametrize("server", ["any", "openai"])
def test_the_connection_is_closed_at_the_hit(backend: Backend, make: MakeEndpoint, call: Path, server: str) -> None:
    """At the stop text the server sees its client go, long before it has said all."""
    backend.reply = Reply(pieces=("one ", "STOP", *["more "] * 500), stop="ignore", pace=0.01)
    assert "one STOP" == call(make(server=server), "x", stop=["STOP"]).text
    assert backend.all_ended()
    assert "client_gone" == backend.last.outcome
    assert backend.last.pieces_sent < 400


def test_a_call_may_choose(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """`stop` and `include_stop` of one call count before those of the model; `stop=[]` takes them back."""
    backend.reply = SAID
    model = make(stop=["two"])
    assert "one two" == call(model, "x").text
    assert "one " == call(model, "x", include_stop=False).text
    assert "one two STOP" == call(model, "x", stop=["STOP"]).text
    assert "one two STOP three four" == call(model, "x", stop=[]).text
    assert "one two STOP" == call(model.bind(stop=["STOP"]), "x").text


def test_nothing_behind_the_stop_text_is_shown(backend: Backend, make: MakeEndpoint) -> None:
    """No chunk holds a character of what stands behind the stop text, nor half of it when it is left out."""
    backend.reply = SAID
    chunks = [chunk.text for chunk in make(include_stop=False).stream("x", stop=["STOP"])]
    assert "one two " == "".join(chunks)
    assert not [chunk for chunk in chunks if "S" in chunk]


@pytest.mark.parametrize("make_stop", [lambda: "STOP", lambda: ["STOP"], lambda: ("STOP",)])
def test_a_stop_may_be_one_string(backend: Backend, make: MakeEndpoint, make_stop: Callable[[], Any]) -> None:
    """One string is as good as a list of one."""
    backend.reply = SAID
    assert "one two STOP" == make().invoke("x", stop=make_stop()).text


def test_a_server_that_stops_by_itself_leaves_its_usage(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """Where the server stops by itself, its usage is whole."""
    backend.reply = Reply(pieces=SAID.pieces, stop="report")
    message = call(make(server="vllm"), "x", stop=["STOP"]).message
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 0


def test_the_last_chunk_tells_the_end(backend: Backend, make: MakeEndpoint) -> None:
    """Exactly the last chunk of a stopped stream tells the reason and the stop string."""
    backend.reply = SAID
    *others, last = make().stream("x", stop=["STOP"])
    assert isinstance(last, AIMessageChunk)
    assert ("stop", "STOP", "last") == (
        last.response_metadata["finish_reason"],
        last.response_metadata["stop_sequence"],
        last.chunk_position,
    )
    assert not [one for one in others if "finish_reason" in one.response_metadata]
