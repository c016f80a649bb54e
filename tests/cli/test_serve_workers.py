"""`langplug serve --workers N`: several processes behind one port."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from tests.cli.test_serve import served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes cannot share a port there")

MODEL = """
import asyncio, os
from langplug import chat_model

@chat_model
async def who(request):
    yield f"{os.getpid()}"
    for n in range(20):
        await asyncio.sleep(0.02)
        yield f" {n}"
"""


def stream(port: int) -> tuple[HTTPConnection, HTTPResponse, int]:
    """A stream that has begun, and the process that it is of."""
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    response = client.getresponse()
    while True:
        line = response.readline()
        assert line
        text = json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"].get("content") if line.strip() else ""
        if text:
            return client, response, int(text)


def status(port: int, path: str) -> tuple[int, str]:
    """What is answered at a path, and its text."""
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("GET", path)
    response = client.getresponse()
    text = response.read().decode()
    client.close()
    return response.status, text


def until(condition: Callable[[], bool]) -> None:
    """Wait for processes to have got somewhere."""
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def workers_in(port: int) -> set[str]:
    """The workers that `/metrics` tells of."""
    lines = status(port, "/metrics")[1].splitlines()
    return {line for line in lines if line.startswith("langplug_requests_running{worker=")}


def lives(process: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MODEL)
    return f"m={tmp_path}/mine.py:who"


def test_workers_share_a_port_and_end_together(model: str) -> None:
    """Whoever is free answers; `/metrics` tells of each; SIGTERM lets every stream end, and then all are gone."""
    with served("--workers", "2", "--alias", model) as (process, port):
        until(lambda: len(workers_in(port)) == 2)
        streams = [stream(port) for _ in range(2)]
        while len({pid for _, _, pid in streams}) < 2:
            streams.append(stream(port))
        process.send_signal(signal.SIGTERM)
        for client, response, _ in streams:
            assert response.read().endswith(b"data: [DONE]\n\n")
            client.close()
        assert process.wait(60) == 0
        assert not any(lives(pid) for _, _, pid in streams)


def test_a_worker_that_dies_is_replaced(model: str) -> None:
    """The others go on answering, and it is said which has ended, how, and when the next starts."""
    with served("--workers", "2", "--alias", model) as (process, port):
        until(lambda: len(workers_in(port)) == 2)
        client, _, pid = stream(port)
        os.kill(pid, signal.SIGKILL)
        client.close()
        assert status(port, "/health/ready")[0] == 200
        assert process.stderr is not None
        line = process.stderr.readline()
        assert f"(process {pid}) was killed by SIGKILL; another starts in 1 s" in line
        until(lambda: len(workers_in(port)) == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_workers_leave_with_their_supervisor(model: str) -> None:
    """Even if it is killed: nobody is left behind that holds the port."""
    with served("--workers", "2", "--alias", model) as (process, port):
        client, response, pid = stream(port)
        process.kill()
        assert response.read().endswith(b"data: [DONE]\n\n")
        client.close()
        until(lambda: not lives(pid))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a model that waits needs a named pipe")
def test_it_is_ready_when_a_worker_is(tmp_path: Path) -> None:
    """While the first worker loads, what is asked is answered 503; SIGTERM ends it then, too."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'pipe')!r}).read()\n{MODEL}")
    with served("--workers", "2", "--alias", f"m={tmp_path}/mine.py:who", is_loaded=False) as (process, port):
        assert [status(port, f"/health/{kind}")[0] for kind in ("live", "ready")] == [200, 503]
        (tmp_path / "pipe").write_text("")
        assert process.stderr is not None
        assert process.stderr.readline().startswith("m at ")
        assert status(port, "/health/ready")[0] == 200
        process.send_signal(signal.SIGTERM)  # the second worker waits for the pipe
        assert process.wait(60) == 0


def test_models_that_cannot_be_loaded_end_it_at_once() -> None:
    """It is said once what is wrong, and the exit code is that of the command without workers."""
    command = [sys.executable, "-m", "langplug", "serve", "--port", "0", "--workers", "3", "no_such_module:model"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("no_such_module") == 1


def test_a_worker_that_is_killed_while_it_loads_is_named(tmp_path: Path) -> None:
    """It cannot say itself that it had too little memory, say."""
    (tmp_path / "mine.py").write_text("import os\nimport signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    command = [sys.executable, "-m", "langplug", "serve", "--port", "0", "--workers", "2", f"{tmp_path}/mine.py:model"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 128 + signal.SIGKILL
    assert "was killed by SIGKILL before it had its models" in ended.stderr
