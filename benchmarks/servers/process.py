"""The process of a server, and the one of its clients."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import psutil

from servers.contestants import Server
from servers.said import COUNT, KEY

HERE = Path(__file__).parent.parent
Figures = dict[str, float]

_OFFLINE = {
    "LANGPLUG_SERVE_API_KEY": KEY,
    "LITELLM_MASTER_KEY": KEY,  # the proxy does not start without one
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
_STARTS_WITHIN_S = 120


class ServerProcess:
    """A server that answers, pinned to the last core; its clients are in a process that is pinned to the first.

    Raises:
        RuntimeError: If it ends before it answers, with what it said last.
    """

    def __init__(self, server: Server) -> None:
        port = _free_port()
        path = filter(None, (server.source, str(HERE), os.environ.get("PYTHONPATH")))
        env = {**os.environ, **_OFFLINE, "PYTHONPATH": os.pathsep.join(path)}
        command = [sys.executable, *(part.format(port=port) for part in server.command)]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process is
        self._server = subprocess.Popen(_pinned(-1, command), cwd=HERE, env=env, stdout=self._said, stderr=self._said)
        clients = [sys.executable, "-m", "servers.load", str(port)]
        self._clients = subprocess.Popen(
            _pinned(0, clients), cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self._wait(port)
        except BaseException:
            self.stop()
            raise

    def figures(self, count: int) -> Figures:
        """Have `count` streams at once.

        Returns:
            `us`: CPU time a token, children included; `p50` and `p99`: milliseconds to the first word; `mb`: resident
            memory afterwards; `failed`: streams that were not whole.
        """
        before = self._cpu_s()
        found = self._ask(count)
        used_s = self._cpu_s() - before
        memory = sum(process.memory_info().rss for process in self._family()) / 2**20
        return {"us": used_s / (count * COUNT) * 1e6, "mb": memory, **found}

    def stop(self) -> None:
        """End both processes, and those that the server has started."""
        family = self._family() if self._server.poll() is None else []
        for process in (self._clients, *family):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._server.wait()
        self._clients.communicate()
        self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self, port: int) -> None:
        """Wait for a port that listens, and for a stream that is whole: some listen before their models are there."""
        limit = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < limit and self._server.poll() is None:
            time.sleep(0.2)
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                if not self._ask(1)["failed"]:
                    return
        self._said.seek(0)
        raise RuntimeError(
            "The server does not answer. It said:\n" + self._said.read().decode(errors="replace")[-2000:]
        )

    def _ask(self, count: int) -> Figures:
        assert self._clients.stdin
        assert self._clients.stdout
        print(count, file=self._clients.stdin, flush=True)
        found: Figures = json.loads(self._clients.stdout.readline())
        return found

    def _family(self) -> list[psutil.Process]:
        server = psutil.Process(self._server.pid)
        return [server, *server.children(recursive=True)]

    def _cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._family())


def _pinned(place: int, command: list[str]) -> list[str]:
    """`command` on one core of those that there are, where the system has them."""
    if not shutil.which("taskset") or not hasattr(os, "sched_getaffinity"):
        return command
    return ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[place]), *command]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
