"""What is done with a contestant, and what is measured of it."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

import psutil
from langchain_core.runnables import RunnableConfig

from peers.contestants import ALL_LISTENERS, Contestant, Listener

PROMPT = "Tell me a few words."

WARM_UP = "[[words 3]] [[pace 0]]"
"""A prompt that our server answers shortly, whatever it was told."""

MANY = 1000
"""As many streams as a server may have to keep up with."""

Kind = Literal["invoke", "ainvoke", "stream", "first", "many", "held"]

Figures: TypeAlias = dict[str, float]
"""By unit: `us` (microseconds of CPU time per call or token), `ms` (to the first token), `rate` (tokens per second) and
`kib` (memory per stream)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One thing to do.

    Attributes:
        title: What it is, as in the tables.
        kind: Which call, and what is measured of it.
        tokens: How many tokens an answer has.
        reply: What the server does besides, in its markers.
        times: How many calls one measurement makes, of many streams: how many there are at once.
        listeners: Those under whom it is done.
        prompt: What is asked.
    """

    title: str
    kind: Kind
    tokens: int
    reply: str
    times: int
    listeners: tuple[Listener, ...] = ("none", "inline")
    prompt: str = PROMPT

    @property
    def is_costly(self) -> bool:
        """Whether slow contestants do it in a few rounds alone."""
        return self.times >= MANY

    @property
    def needs_new_process(self) -> bool:
        """Whether each measurement needs a process that has done nothing yet, as memory does."""
        return self.kind == "held"

    @property
    def needs_warm_up(self) -> bool:
        """Whether a process does it once without being measured: where that is not part of the measurement."""
        return not self.is_costly

    @property
    def script(self) -> str:
        """What the server is told. Usage comes unasked, so that all get the same bytes."""
        return f"[[words {self.tokens}]] [[usage_mode final]] {self.reply}"

    def suits(self, contestant: Contestant) -> bool:
        """Whether it says anything of `contestant`."""
        if contestant.name == "floor" and self.kind == "invoke":
            return False
        if contestant.listener not in self.listeners or (self.kind == "held" and not contestant.holds_many):
            return False
        whole = self.kind in ("invoke", "ainvoke")
        return not (whole and "coalesce" in contestant.name)


SCENARIOS = {
    "invoke": Scenario(title="`invoke`", kind="invoke", tokens=100, reply="", times=100),
    "ainvoke": Scenario(title="`ainvoke`", kind="ainvoke", tokens=100, reply="", times=100),
    "paced": Scenario(title="one stream, paced", kind="stream", tokens=400, reply="[[pace 0.002]]", times=1),
    "burst": Scenario(title="one stream, at once", kind="stream", tokens=1000, reply="[[joined]]", times=3),
    "first": Scenario(title="first token", kind="first", tokens=3, reply="[[joined]]", times=40),
    "200": Scenario(
        title="200 streams", kind="many", tokens=100, reply="[[pace 0.02]]", times=200, listeners=ALL_LISTENERS
    ),
    "1000": Scenario(
        title="1,000 streams", kind="many", tokens=100, reply="[[pace 0.02]]", times=MANY, listeners=ALL_LISTENERS
    ),
    "held": Scenario(
        title="1,000 streams, in the middle",
        kind="held",
        tokens=100,
        reply="[[pace 0.02]]",
        times=MANY,
        prompt=f"{PROMPT} [[stall 50]]",
    ),
}
"""All of them, by name."""


class Measurement:
    """A contestant in its process, with the loop that it uses all the time.

    Args:
        client: What the contestant made.
        config: The configuration of each call, with whoever listens.
    """

    def __init__(self, client: Any, config: RunnableConfig) -> None:
        self._client = client
        self._config = config
        self._runner = asyncio.Runner()

    def figures(self, scenario: Scenario) -> Figures:
        """Do `scenario` and measure it.

        Raises:
            AssertionError: If an answer was not whole.
        """
        measure: dict[Kind, Callable[[Scenario], Awaitable[Figures]]] = {
            "ainvoke": self._ainvoked,
            "stream": self._streamed,
            "first": self._begun,
            "many": self._many,
            "held": self._held,
        }
        if scenario.kind == "invoke":
            return self._invoked(scenario)
        return self._runner.run(measure[scenario.kind](scenario))

    # --- one after the other ---

    def _invoked(self, scenario: Scenario) -> Figures:
        for _ in range(3):
            self._client.invoke(PROMPT, self._config)
        with _Cpu() as cpu:
            for _ in range(scenario.times):
                _check(_text(self._client.invoke(PROMPT, self._config)), scenario)
        return {"us": cpu.us / scenario.times}

    async def _ainvoked(self, scenario: Scenario) -> Figures:
        for _ in range(3):
            await self._client.ainvoke(PROMPT, self._config)
        with _Cpu() as cpu:
            for _ in range(scenario.times):
                _check(_text(await self._client.ainvoke(PROMPT, self._config)), scenario)
        return {"us": cpu.us / scenario.times}

    async def _streamed(self, scenario: Scenario) -> Figures:
        await self._read(scenario)
        with _Cpu() as cpu:
            for _ in range(scenario.times):
                await self._read(scenario)
        return {"us": cpu.us / scenario.times / scenario.tokens}

    async def _begun(self, scenario: Scenario) -> Figures:
        await self._read(scenario)
        waits = []
        for _ in range(scenario.times):
            start = time.perf_counter()
            waits.append(await self._read(scenario) - start)
        return {"ms": min(waits) * 1e3}  # the rest tells how busy the machine is

    async def _read(self, scenario: Scenario) -> float:
        """Read one stream to its end; return when its first text was there."""
        first = 0.0
        texts: list[str] = []
        async for text in self._texts():
            first = first or time.perf_counter()
            texts.append(text)
        _check("".join(texts), scenario)
        return first

    async def _texts(self) -> AsyncIterator[str]:
        async for chunk in self._client.astream(PROMPT, self._config):
            if text := _text(chunk):
                yield text

    # --- all at once ---

    async def _many(self, scenario: Scenario) -> Figures:
        await self._warmed_up()
        came = _Count()
        start = time.perf_counter()
        with _Cpu() as cpu:
            await asyncio.gather(*(self._counted(came, scenario.prompt) for _ in range(scenario.times)))
        seconds = time.perf_counter() - start
        tokens, characters = scenario.times * scenario.tokens, scenario.times * len(said(scenario.tokens))
        assert came.characters == characters, f"{came.characters} characters of {characters}"
        return {"us": cpu.us / tokens, "rate": tokens / seconds}

    async def _held(self, scenario: Scenario) -> Figures:
        """All streams are open, and each has brought half of its text, when the memory is looked at."""
        await self._warmed_up()
        half = scenario.times * len(said(scenario.tokens // 2))
        came = _Count()
        gc.collect()
        before = _rss_kib()
        streams = [asyncio.create_task(self._counted(came, scenario.prompt)) for _ in range(scenario.times)]
        while came.characters < half:
            await asyncio.sleep(0.02)
            assert not any(stream.done() for stream in streams), "A stream ended before its end."
        grown = _rss_kib() - before
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        return {"kib": grown / scenario.times}

    async def _warmed_up(self) -> None:
        await asyncio.gather(*(self._counted(_Count(), WARM_UP) for _ in range(5)))

    async def _counted(self, came: "_Count", prompt: str) -> None:
        async for chunk in self._client.astream(prompt, self._config):
            came.characters += len(chunk if type(chunk) is str else chunk.content)


def said(tokens: int) -> str:
    """The text of the server's answer, up to so many tokens."""
    return " ".join(f"word{number}" for number in range(tokens))


def _check(text: str, scenario: Scenario) -> None:
    assert text == said(scenario.tokens), f"The answer is not whole: {text!r}"


def _text(message: Any) -> str:
    return message if isinstance(message, str) else str(message.content)


class _Count:
    """Characters that have come."""

    characters = 0


def _rss_kib() -> float:
    return float(psutil.Process().memory_info().rss) / 1024


class _Cpu:
    """Microseconds of CPU time of this process, all threads, from entering to leaving."""

    us = 0.0

    def __enter__(self) -> Self:
        gc.collect()  # else who comes first pays for what the last one left
        self._start = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.us = (time.process_time() - self._start) * 1e6
