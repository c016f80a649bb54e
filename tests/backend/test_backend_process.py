"""The backend in a process of its own."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from tests.backend.raw_client import ask, connected

from langplug_backend import BackendProcess


def alive(pid: int) -> bool:
    """Whether it runs; one that has ended and is not yet reaped does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def gone_in_time(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def test_it_is_told_and_says_what_it_saw() -> None:
    """It says what its markers say, can be given another reply, and reports its exchanges."""
    with BackendProcess(reply="[[words 3]]", key="sk-1") as backend:
        pid = backend.pid
        port: Any = backend  # has a port, which is all that a raw client wants
        raw = ask(port, "openai", "x", stream=False, headers={"authorization": "Bearer sk-1"})
        assert "word0 word1 word2" == raw.json["choices"][0]["message"]["content"]
        assert 401 == ask(port, "openai", "x").status
        before = backend.state()
        assert ["complete"] == [exchange["outcome"] for exchange in before["exchanges"]]
        assert before["exchanges"][0]["ended_at"] <= before["now"] <= time.monotonic()
        assert before["cpu_s"] > 0
        backend.script(None)
        echo = ask(port, "ollama", "hello", stream=False, headers={"authorization": "Bearer sk-1"})
        assert "hello" == echo.json["message"]["content"]
        assert ["hello"] == [exchange["text"] for exchange in backend.state()["exchanges"]]
    assert not alive(pid)
    with pytest.raises(ConnectionRefusedError):
        connected(port)
    with pytest.raises(RuntimeError, match="is not running"):
        _ = backend.pid


def test_it_ends_with_its_parent() -> None:
    """When the process that started it is killed, it ends."""
    code = """
        import time
        from langplug_backend import BackendProcess
        with BackendProcess() as backend:
            print(backend.pid, flush=True)
            time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
        assert gone_in_time(pid)


def test_it_runs_by_hand() -> None:
    """From a shell, it prints its port and serves until it is interrupted."""
    command = [sys.executable, "-m", "langplug_backend", "--reply", "hi"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith('{"port": ')
        assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        assert 0 == process.wait(10)


@pytest.mark.parametrize(("option", "shows"), [("--help", "--with-parent"), ("--markers", "[[reset 3]]")])
def test_it_explains_itself(option: str, shows: str) -> None:
    """`--help` shows the options, `--markers` the markers; neither starts a server."""
    command = [sys.executable, "-m", "langplug_backend", option]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert shows in done.stdout
    assert '{"port"' not in done.stdout


def test_a_process_that_does_not_start() -> None:
    """One that ends before it listens is an error that shows the command."""
    with pytest.raises(RuntimeError, match="ended before it listened"):
        BackendProcess(before=("true",)).start()
