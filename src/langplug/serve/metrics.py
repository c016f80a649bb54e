"""What the server has done so far, in Prometheus's text format.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any, Final

log = logging.getLogger("langplug.serve")

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

LEFT: Final = 499
"""The status under which a client is counted that left before its answer was complete; it has not been sent one."""

_UP_TO_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels = Mapping[str, object]


class Metrics:
    """Counts requests, tokens and times.

    Attributes:
        labels: What each sample is labelled with besides its own.
        gather: Gives the texts of all servers that answer at the same port, this one's included; None if it is alone.
    """

    def __init__(self) -> None:
        self.labels: Labels = {}
        self.gather: Callable[[], Awaitable[list[bytes]]] | None = None
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], _Histogram] = {}
        self._whole: dict[tuple[str, str], _Histogram] = {}

    def watch(self, wire: str, name: str = "") -> "Watch":
        """What follows a request that begins now; `name` is what the log calls it."""
        return Watch(self, wire, name)

    def count_tokens(self, model: str, usage: Mapping[str, Any]) -> None:
        """Add what an answer has used, as LangChain's usage metadata."""
        self._tokens[model, "input"] += usage["input_tokens"]
        self._tokens[model, "output"] += usage["output_tokens"]

    def count_first(self, wire: str, model: str, seconds: float) -> None:
        """Add how long a stream's first piece took."""
        self._first.setdefault((wire, model), _Histogram()).add(seconds)

    def count_request(self, wire: str, model: str, status: int, seconds: float) -> None:
        """Add a request that is over."""
        self._requests[wire, model, status] += 1
        self._whole.setdefault((wire, model), _Histogram()).add(seconds)

    def text(self, *, running: int, waiting: int) -> bytes:
        """All of it, with how many calls run and wait now."""
        own = self.labels
        requests = (
            ({**own, "wire": wire, "model": model, "status": status}, count)
            for (wire, model, status), count in self._requests.items()
        )
        tokens = (({**own, "model": model, "direction": way}, count) for (model, way), count in self._tokens.items())
        lines = [
            *_family("requests_total", "counter", "Requests that are over; 499: the client left.", requests),
            *_family("requests_running", "gauge", "Calls that run.", [(own, running)]),
            *_family("requests_queued", "gauge", "Calls that wait for their turn.", [(own, waiting)]),
            *_family("tokens_total", "counter", "Tokens, as models tell them, or else counted.", tokens),
            *_histograms("time_to_first_token_seconds", "Until a stream's first piece.", self._first, own),
            *_histograms("request_duration_seconds", "Until a request was over.", self._whole, own),
        ]
        return "".join(f"{line}\n" for line in lines).encode()


def merged(texts: Iterable[bytes]) -> bytes:
    """The texts of several servers as one: the format has all samples of a name together, after what it means."""
    families: dict[bytes, list[bytes]] = {}
    for text in texts:
        samples: list[bytes] = []
        for line in text.splitlines(keepends=True):
            if line.startswith(b"#"):
                samples = families.setdefault(line, [])
            else:
                samples.append(line)
    return b"".join(line for head, samples in families.items() for line in (head, *samples))


class Watch:
    """Follows one request. When it is over, the log says so, on the level INFO.

    Attributes:
        model: The id of the served model, once it is known; whatever else a client asks for is not counted by name.
        has_first: Whether a piece has come.
    """

    __slots__ = ("_began", "_is_over", "_metrics", "_name", "_wire", "has_first", "model")

    def __init__(self, metrics: Metrics, wire: str, name: str) -> None:
        self.model = ""
        self._name = name
        self._metrics = metrics
        self._wire = wire
        self._began = time.monotonic()
        self.has_first = False
        self._is_over = False

    def first(self) -> None:
        """A piece of a stream is there; only the first counts."""
        if not self.has_first:
            self.has_first = True
            self._metrics.count_first(self._wire, self.model, time.monotonic() - self._began)

    def used(self, usage: Mapping[str, Any] | None) -> None:
        """The answer is complete."""
        if usage is not None:
            self._metrics.count_tokens(self.model, usage)

    def end(self, status: int) -> None:
        """The request is over; only the first status counts."""
        if not self._is_over:
            self._is_over = True
            seconds = time.monotonic() - self._began
            self._metrics.count_request(self._wire, self.model, status, seconds)
            log.info("%s %s: %d in %.3f s", self._name, self.model or "-", status, seconds)


class _Histogram:
    def __init__(self) -> None:
        self.sum = 0.0
        self._counts = [0] * (len(_UP_TO_S) + 1)

    def add(self, seconds: float) -> None:
        self.sum += seconds
        self._counts[bisect_left(_UP_TO_S, seconds)] += 1

    def buckets(self) -> Iterable[tuple[str, int]]:
        """Each limit, and how many were not above it."""
        return zip((*map(str, _UP_TO_S), "+Inf"), accumulate(self._counts), strict=True)


def _family(name: str, kind: str, told: str, samples: Iterable[tuple[Labels, float]]) -> list[str]:
    head = [f"# HELP langplug_{name} {told}", f"# TYPE langplug_{name} {kind}"]
    return head + [_sample(name, labels, value) for labels, value in samples]


def _histograms(name: str, told: str, found: Mapping[tuple[str, str], _Histogram], own: Labels) -> Iterable[str]:
    yield from _family(name, "histogram", told, ())
    for (wire, model), histogram in found.items():
        labels = {**own, "wire": wire, "model": model}
        count = 0
        for limit, count in histogram.buckets():
            yield _sample(f"{name}_bucket", {**labels, "le": limit}, count)
        yield _sample(f"{name}_sum", labels, histogram.sum)
        yield _sample(f"{name}_count", labels, count)


def _sample(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{label}="{str(text).translate(_ESCAPES)}"' for label, text in labels.items())
    return f"langplug_{name}{{{told}}} {value}" if told else f"langplug_{name} {value}"
