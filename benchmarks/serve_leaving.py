"""How soon a model stops when the client of `langplug serve` leaves.

    make servers && .venv-others/bin/python benchmarks/serve_leaving.py [--times N] [--who …]

Each client asks, and leaves when the model has begun. A model writes down when it has stopped; both times are of the
clock that all processes of a machine share. SmolLM2 has to be there: `langplug pull smollm2`. Told are how many models
stopped within 50 ms, the median and the longest, streamed and not; and how soon a call that still waits for its turn
has left the queue.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from peers.report import shown, table

HERE = Path(__file__).parent
MODELS = {
    "an async function": "awaited",
    "a plain function": "in_thread",
    "ChatCommand": "command",
    "ChatGGUF (SmolLM2)": "gguf",
}
WITHIN_MS = 50
_GIVES_UP_S = 30


class Server:
    """`langplug serve` with one of the models, under the id `m`."""

    def __init__(self, model: str, *, max_concurrency: int = 1024) -> None:
        self._log = Path(tempfile.mkdtemp()) / "log"
        self._log.touch()
        path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
        options = ("--port", "0", "--max-concurrency", str(max_concurrency))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "langplug", "serve", "--alias", f"m=servers.leaving:{model}", *options],
            env={**os.environ, "PYTHONPATH": path, "LEAVING_LOG": str(self._log)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr
        for line in self._process.stderr:  # once while it loads, and once when the model is there
            if line.startswith("m at "):
                self.port = int(re.findall(r":(\d+)/v1", line)[0])
                break

    def ask(self, text: str, *, stream: bool) -> socket.socket:
        """Send a request; its answer can be read from what is returned."""
        body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}
        data = json.dumps(body).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        return client

    def when(self, word: str, text: str) -> float | None:
        """When the model `began` or `stopped` for the request that asked `text`; None if it never did."""
        limit = time.monotonic() + _GIVES_UP_S
        while time.monotonic() < limit:
            for line in self._log.read_text(encoding="utf-8").splitlines():
                said, asked, at = line.split(" ")
                if (said, asked) == (word, text):
                    return float(at)
            time.sleep(0.002)
        return None

    def queued(self) -> int:
        """How many calls wait, as `/metrics` says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as told:
            return int(re.findall(rb"^langplug_requests_queued (\d+)", told.read(), re.MULTILINE)[0])

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def serving(model: str, **options: int) -> Iterator[Server]:
    """A server until the block ends."""
    server = Server(model, **options)
    try:
        yield server
    finally:
        server.stop()


def stops_ms(model: str, times: int, *, stream: bool) -> list[float]:
    """How long after its client left the model stopped, each time."""
    found = []
    with serving(model) as server:
        for number in range(times):
            text = f"question-{number}"
            client = server.ask(text, stream=stream)
            server.when("began", text)
            left = time.monotonic()
            client.close()
            stopped = server.when("stopped", text)
            found.append(float("inf") if stopped is None else (stopped - left) * 1e3)
    return found


def leaves_queue_ms(times: int, *, stream: bool) -> list[float]:
    """How long after its client left a call was out of the queue, by a metric that is asked for each time."""
    found = []
    with serving("awaited", max_concurrency=1) as server:
        first = server.ask("first", stream=True)
        server.when("began", "first")
        for number in range(times):
            client = server.ask(f"waits-{number}", stream=stream)
            while not server.queued():
                pass
            left = time.monotonic()
            client.close()
            while server.queued():
                pass
            found.append((time.monotonic() - left) * 1e3)
        first.close()
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100, help="how often each client leaves (default: 100)")
    parser.add_argument("--who", nargs="+", choices=[*MODELS, "queue"], default=[*MODELS, "queue"], help="these alone")
    given = parser.parse_args()
    rows = []
    for who in given.who:
        for stream in (True, False):
            waits = (
                leaves_queue_ms(given.times, stream=stream)
                if who == "queue"
                else stops_ms(MODELS[who], given.times, stream=stream)
            )
            row = [
                "a call that waits for its turn" if who == "queue" else who,
                "streamed" if stream else "whole",
                f"{sum(wait <= WITHIN_MS for wait in waits)} of {len(waits)}",
                shown(statistics.median(waits)),
                shown(max(waits)),
            ]
            print(*row, sep=", ", file=sys.stderr, flush=True)
            rows.append(row)
    print(*table(["model", "answer", f"within {WITHIN_MS} ms", "median, ms", "longest, ms"], rows), sep="\n")


if __name__ == "__main__":
    main()
