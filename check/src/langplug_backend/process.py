"""The backend in a process of its own, so that a client's CPU time can be measured alone."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Self
from urllib.request import ProxyHandler, Request, build_opener

from langplug_backend.control import PATH
from langplug_backend.server import Urls

STOP_S = 2.0
"""Seconds that the process has to end before it is killed."""


class BackendProcess(Urls):
    """A `Backend` in another process, which ends with this one, however this one ends.

    Args:
        reply: What every request gets, as a text that may hold markers, such as `"[[words 100]] [[pace 0.02]]"`;
            None: the text of the user's last message.
        port: The port; 0: the system chooses one.
        key: The key that clients must send; None: any or none.
        before: What to put before the command, such as `("taskset", "-c", "1")`.

    Example:
        >>> with BackendProcess(reply="[[words 100]] [[pace 0.02]]") as backend:
        ...     print(backend.state()["connections_open"])  # that of the question itself, and those of clients
        1
    """

    def __init__(
        self, *, reply: str | None = None, port: int = 0, key: str | None = None, before: tuple[str, ...] = ()
    ) -> None:
        self._port = port
        options = ["--port", str(port), "--with-parent"]
        options += ["--reply", reply] if reply is not None else []
        options += ["--key", key] if key is not None else []
        self._command = [*before, sys.executable, "-m", "langplug_backend", *options]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process, and wait until it listens.

        Raises:
            RuntimeError: If it ends instead; its own message is on stderr.
        """
        # The pipe to its stdin ties its life to ours: when this process ends, even by SIGKILL, the system closes the
        # pipe, and the backend's `sys.stdin.read()` returns.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError(f"The backend's process ended before it listened: {' '.join(self._command)}")
        self._port = json.loads(line)["port"]

    def stop(self) -> None:
        """End the process: it is asked to, and killed if it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    @property
    def pid(self) -> int:
        """The id of the process.

        Raises:
            RuntimeError: If it is not running.
        """
        if self._process is None:
            raise RuntimeError("The backend's process is not running. Enter it: `with BackendProcess() as backend:`.")
        return self._process.pid

    def state(self) -> Mapping[str, Any]:
        """What it saw: `connections_open`, `connections_made`, `exchanges` (fields of `Exchange`), `cpu_s`, `now`."""
        return self._send("GET", None)

    def script(self, reply: str | None) -> None:
        """Start over with another reply: the log is empty, and every request gets `reply`."""
        self._send("POST", {"reply": reply})

    def _send(self, method: str, body: Any) -> Mapping[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + PATH, data, {"content-type": "application/json"}, method=method)  # noqa: S310
        # Without a proxy, whatever the environment says: the backend is on loopback.
        with build_opener(ProxyHandler({})).open(request, timeout=10) as response:
            answer: Mapping[str, Any] = json.load(response)
        return answer

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
