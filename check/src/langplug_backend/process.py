"""The backend in a process of its own, so that a client's time can be measured alone."""

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
            None: the text of the last message of a user.
        port: The port; 0: the system chooses one.
        key: The key that clients have to send; None: none is looked at.
        before: What stands before the command, such as `("taskset", "-c", "1")`.

    Example:
        >>> with BackendProcess(reply="[[words 100]] [[pace 0.02]]") as backend:
        ...     ...  # a client of backend.openai_url
        ...     backend.state()["connections_open"]
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
            RuntimeError: If it does not; the process's own words are on stderr.
        """
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        said = self._process.stdout.readline()
        if not said:
            self.stop()
            raise RuntimeError(f"The backend's process ended before it listened: {' '.join(self._command)}")
        self._port = json.loads(said)["port"]

    def stop(self) -> None:
        """End the process: it is asked first, and killed where it does not listen."""
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
            RuntimeError: If it does not run.
        """
        if self._process is None:
            raise RuntimeError("The backend's process does not run. Enter it: `with BackendProcess() as backend:`.")
        return self._process.pid

    def state(self) -> Mapping[str, Any]:
        """What it saw: `connections_open`, `connections_made`, `exchanges` (as of `Exchange`), `cpu_s`, `now`."""
        return self._call("GET", None)

    def script(self, reply: str | None) -> None:
        """Begin anew with other words: the log is empty, and every request gets `reply`."""
        self._call("POST", {"reply": reply})

    def _call(self, method: str, body: Any) -> Mapping[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + PATH, data, {"content-type": "application/json"}, method=method)  # noqa: S310
        with build_opener(ProxyHandler({})).open(request, timeout=10) as response:
            answer: Mapping[str, Any] = json.load(response)
        return answer

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
