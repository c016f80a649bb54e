"""Group H: the rate limiter."""

from typing import Any

from langchain_core.caches import InMemoryCache
from langchain_core.rate_limiters import BaseRateLimiter

from langplug_check.groups.f_callbacks import FOUR, ways
from langplug_check.paths import PathName
from langplug_check.recorder import global_cache
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed


class _Counter(BaseRateLimiter):
    """Lets everybody through, and counts."""

    def __init__(self) -> None:
        self.acquired = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.acquired += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.acquired += 1
        return True


@statement(
    "H01",
    "The rate limiter is acquired exactly once for each call of what answers, on every path, and not for a cache hit.",
    why="Quotas are kept by it: acquired twice, it halves them; not acquired, the provider refuses.",
    hint="""
    # langchain-core acquires `self.rate_limiter` in invoke, stream and their twins, once: acquire it nowhere else,
    # and let each of them lead to one request
    """,
    needs=("answer",),
)
def acquired_once(subject: Subject) -> None:
    """Count by each path, with streaming disabled too, for a batch, and for a hit."""
    for path in ways(subject):
        _check(path, _acquired(subject, path), 1)
    for path in FOUR[2:]:
        _check(f"{path} with disable_streaming=True", _acquired(subject, path, disable_streaming=True), 1)
    limiter = _Counter()
    model = subject.model(rate_limiter=limiter)
    model.batch([subject.prompt] * 2)
    run(model.abatch([subject.prompt] * 2), alone=False)
    _check("batch of two and abatch of two", limiter.acquired, 4)
    for path in FOUR[:2]:
        _check_hit(subject, path)


def _acquired(subject: Subject, path: PathName, **overrides: Any) -> int:
    limiter = _Counter()
    subject.ask(subject.model(rate_limiter=limiter, **overrides), None, path).answer  # noqa: B018 - an error fails
    return limiter.acquired


def _check_hit(subject: Subject, path: PathName) -> None:
    limiter = _Counter()
    with global_cache(InMemoryCache()):
        model = subject.model(rate_limiter=limiter, cache=True)
        for _ in range(2):
            subject.ask(model, None, path).answer  # noqa: B018 - an error here is a failure
    _check(f"{path} twice, the second time a cache hit", limiter.acquired, 1)


def _check(which: str, acquired: int, expected: int) -> None:
    if acquired != expected:
        raise Failed(f"{which}: the limiter was acquired {_times(acquired)}", _times(expected))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
