"""Programs that serve, for the time of a test."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LLAMA = Path(__file__).with_name("llama_server.py")


@dataclass(frozen=True)
class Llama:
    """llama.cpp's server, as it runs."""

    url: str
    process: "subprocess.Popen[str]"

    @property
    def busy(self) -> bool:
        """Whether it is at work on any request."""
        return any(slot["is_processing"] for slot in got(f"{self.url}/slots"))


@contextmanager
def llama(weights: Path, *, parallel: int = 4, context: int = 512) -> Iterator[Llama]:
    command = [sys.executable, str(LLAMA), str(weights), str(parallel), str(context)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http://"), f"it ended with {process.wait(5)}"
            yield Llama(url, process)
        finally:
            process.kill()


@contextmanager
def das(program: Path, weights: Path) -> Iterator[str]:
    """dasLLAMA's server; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(program), "-m", str(weights), "-p", str(port), "--ctx", "512", "-s", "2", "-t", "1", "--gpu", "off"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, cwd=weights.parent) as process:
        try:
            assert wait_until(lambda: answers(f"http://127.0.0.1:{port}/v1/models") or process.poll() is not None, 40)
            assert process.poll() is None, f"it ended with {process.poll()}"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return bool(got(url))
    except (urllib.error.URLError, OSError):
        return False


def got(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
