"""The application in other people's servers: it streams there, and a client that leaves stops its model."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path

import pytest

MODULE = """
import asyncio
from langplug import chat_model
from langplug.serve import app

@chat_model
async def slow(request):
    try:
        while True:
            print("asked", flush=True)
            yield "word "
            await asyncio.sleep(0.02)
    finally:
        print("stopped", flush=True)

application = app({"m": slow()})
"""

MOUNTED = """
from fastapi import FastAPI

api = FastAPI()
api.mount("/llm", application)
"""

SERVERS: dict[str, tuple[tuple[str, ...], list[str], str]] = {
    "uvicorn": (("uvicorn",), ["uvicorn", "served:application", "--log-level=warning"], ""),
    "granian": (("granian",), ["granian", "--interface=asgi", "--no-log", "served:application"], ""),
    "fastapi": (("uvicorn", "fastapi"), ["uvicorn", "served:api", "--log-level=warning"], "/llm"),
}
"""What has to be installed, the command, and under which path the application is."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def until(condition: Callable[[], bool]) -> None:
    """Wait for the server's process to have got somewhere."""
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def answers(port: int, path: str) -> bool:
    client = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        client.request("GET", path)
        return client.getresponse().status == 200
    except OSError:
        return False
    finally:
        client.close()


@pytest.fixture(params=SERVERS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, str, Path]]:
    """The port, the path, and what the model says of its calls."""
    needed, command, path = SERVERS[request.param]
    if not all(map(find_spec, needed)):
        pytest.skip(f"{' and '.join(needed)} are not installed: make test-clients")
    (tmp_path / "served.py").write_text(MODULE + (MOUNTED if path else ""))
    said, port = tmp_path / "said", free_port()
    started = [sys.executable, "-m", *command, f"--port={port}"]
    with said.open("w") as log, subprocess.Popen(started, stdout=log, cwd=tmp_path) as process:
        try:
            until(lambda: answers(port, f"{path}/health/ready"))
            yield port, path, said
        finally:
            process.terminate()
            assert process.wait(60) in (0, -15)  # uvicorn ends by the signal that it was told to end by


@pytest.mark.parametrize("stream", [True, False])
def test_it_streams_and_stops(served: tuple[int, str, Path], *, stream: bool) -> None:
    """Each piece comes when the model gives it, and the model stops when the client leaves, streamed or not."""
    port, path, said = served
    body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("POST", f"{path}/v1/chat/completions", body, {"Content-Type": "application/json"})
    connection = client.sock
    if stream:  # the model never ends, so what comes here is not kept until it does
        response = client.getresponse()
        pieces = 0
        while pieces < 5:
            pieces += b'"word "' in response.readline()
        response.close()
    else:
        until(lambda: said.read_text().count("asked") > 5)
    connection.close()
    client.close()
    until(lambda: "stopped" in said.read_text())
