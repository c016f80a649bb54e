"""Group H: the rate limiter."""

from typing import Any

from langchain_core.caches import InMemoryCache
from langchain_core.rate_limiters import BaseRateLimiter

from langplug_check.groups._runs import CHUNKED, WHOLE
from langplug_check.recorder import global_cache
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed


class _CountingLimiter(BaseRateLimiter):
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
    "The rate limiter is acquired exactly once for each call to the backend, on every path, and not for a cache hit.",
    why="It keeps quotas: acquired twice, it halves them; not acquired, the provider refuses.",
    hint="""
    # langchain-core acquires `self.rate_limiter` once, in invoke, stream and their twins: acquire it nowhere else, and
    # make each of them send one request
    """,
    needs=("answer",),
)
def acquired_once(subject: Subject) -> None:
    """Count by each path, with streaming disabled too, for a batch, and for a hit."""

    def check(call: str, limiter: _CountingLimiter, expected: int = 1) -> None:
        seen, wanted = ("once" if count == 1 else f"{count} times" for count in (limiter.acquired, expected))
        if seen != wanted:
            raise Failed(f"{call}: the limiter was acquired {seen}", wanted)

    for path in subject.paths:
        limiter = _CountingLimiter()
        subject.ask(subject.model(rate_limiter=limiter), None, path).answer  # noqa: B018 - an error fails
        check(path, limiter)
    # `stream` acquires, or hands over to `invoke`, which acquires: an override easily does both.
    for path in CHUNKED:
        limiter = _CountingLimiter()
        model: Any = subject.model(rate_limiter=limiter, disable_streaming=True)
        subject.ask(model, None, path).answer  # noqa: B018 - an error here is a failure
        check(f"{path} with disable_streaming=True", limiter)
    limiter = _CountingLimiter()
    model = subject.model(rate_limiter=limiter)
    model.batch([subject.prompt] * 2)
    run(model.abatch([subject.prompt] * 2), alone=False)
    check("batch of two and abatch of two", limiter, 4)
    # langchain-core acquires after it has looked into the cache.
    for path in WHOLE:
        limiter = _CountingLimiter()
        with global_cache(InMemoryCache()):
            model = subject.model(rate_limiter=limiter, cache=True)
            for _ in range(2):
                subject.ask(model, None, path).answer  # noqa: B018 - an error here is a failure
        check(f"{path} twice, the second time a cache hit", limiter)
