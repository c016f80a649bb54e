"""What langplug adds to langchain-core, and what it saves: ratios against peers in the same run.

    python benchmarks/framework.py [--rounds 7] [--json FILE]

Every row is measured in `rounds` rounds, each timing all of its contestants one after the other, so that a busy machine
slows all alike. Times are CPU time of the process, threads included, in microseconds; what is printed is the median,
the spread (lowest and highest round) and the ratio of medians to the row's peer. "With callbacks" is a call with
a callback handler, as tracing and LangGraph add one; without one, langplug bypasses langchain-core's callbacks.
"""

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core._api import LangChainBetaWarning
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig

from langplug import ChatModel, Request

CHUNKS = 1000
TOKENS = ["tok "] * CHUNKS


class Listener(BaseCallbackHandler):
    """Hears of every call and does nothing."""

    run_inline = True


WITHOUT_CALLBACKS = RunnableConfig()
WITH_CALLBACKS = RunnableConfig(callbacks=[Listener()])


# --- contestants: what one writes by hand against langchain-core, and with langplug ---


class CoreModel(BaseChatModel):
    """The least that langchain-core asks for, all four doors native: "core alone"."""

    @property
    def _llm_type(self) -> str:
        return "core"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content="hello"))])

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return self._generate(messages)

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for token in TOKENS:
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for token in TOKENS:
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))


class CoreSyncModel(CoreModel):
    """The same with sync doors only: async callers go through langchain-core's executor."""

    _agenerate = BaseChatModel._agenerate
    _astream = BaseChatModel._astream


class PlugFunction(ChatModel):
    """langplug over a plain function."""

    def respond(self, request: Request, /) -> str:
        """Answer at once."""
        return "hello"


class PlugNative(PlugFunction):
    """The same, for a model that calls tools by itself."""

    tool_calling = "native"


class PlugCoroutine(ChatModel):
    """langplug over an async function."""

    async def respond(self, request: Request, /) -> str:
        """Answer at once."""
        return "hello"


class PlugGenerator(ChatModel):
    """langplug over a generator."""

    def respond(self, request: Request, /) -> Iterator[str]:
        """Stream the tokens."""
        yield from TOKENS


class PlugAsyncGenerator(ChatModel):
    """langplug over an async generator."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        """Stream the tokens."""
        for token in TOKENS:
            yield token


class BridgedGenerator(PlugGenerator):
    """langplug with core's bridge in place of its own events."""


class BridgedAsyncGenerator(PlugAsyncGenerator):
    """The same on an event loop."""


for _bridged in (BridgedGenerator, BridgedAsyncGenerator):
    for _hook in ("_stream_chat_model_events", "_astream_chat_model_events"):
        setattr(_bridged, _hook, None)


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": "Does something useful.",
            "parameters": {
                "type": "object",
                "properties": {f"field_{n}": {"type": "string", "description": "A field."} for n in range(20)},
                "required": ["field_0", "field_1"],
            },
        },
    }
    for number in range(50)
]
"""As many tools as an agent with a few servers of tools has: 50 of 20 fields."""


# --- what is done with them ---


def invoke(model: Runnable[Any, Any], config: RunnableConfig = WITHOUT_CALLBACKS, times: int = 300) -> float:
    """Microseconds per `invoke`."""
    return _per(times, lambda: [model.invoke("hi", config) for _ in range(times)])


def ainvoke(model: BaseChatModel, config: RunnableConfig = WITHOUT_CALLBACKS, times: int = 300) -> float:
    """Microseconds per `ainvoke`, one after the other on one loop."""

    async def calls() -> None:
        for _ in range(times):
            await model.ainvoke("hi", config)

    return _per(times, lambda: asyncio.run(calls()))


def stream(model: BaseChatModel, config: RunnableConfig = WITHOUT_CALLBACKS, times: int = 3) -> float:
    """Microseconds per chunk of `stream`."""
    return _per(times * CHUNKS, lambda: [sum(1 for _ in model.stream("hi", config)) for _ in range(times)])


def astream(model: BaseChatModel, config: RunnableConfig = WITHOUT_CALLBACKS, times: int = 3) -> float:
    """Microseconds per chunk of `astream`."""

    async def streams() -> None:
        for _ in range(times):
            async for _chunk in model.astream("hi", config):
                pass

    return _per(times * CHUNKS, lambda: asyncio.run(streams()))


def events(model: BaseChatModel, config: RunnableConfig = WITHOUT_CALLBACKS, times: int = 3) -> float:
    """Microseconds per delta of `stream_events(version="v3")`, whose text is read."""
    return _per(
        times * CHUNKS,
        lambda: [sum(1 for _ in model.stream_events("hi", config, version="v3").text) for _ in range(times)],
    )


def aevents(model: BaseChatModel, config: RunnableConfig = WITHOUT_CALLBACKS, times: int = 3) -> float:
    """Microseconds per delta of `astream_events(version="v3")`, whose text is read."""

    async def streams() -> None:
        for _ in range(times):
            async with await model.astream_events("hi", config, version="v3") as stream:
                async for _delta in stream.text:
                    pass

    return _per(times * CHUNKS, lambda: asyncio.run(streams()))


def open_events_kib(model: BaseChatModel, config: RunnableConfig = WITHOUT_CALLBACKS, streams: int = 200) -> float:
    """KiB that a stream of events holds while it is open, after 100 deltas that nobody kept."""

    def begun() -> Any:
        stream = model.stream_events("hi", config, version="v3")
        deltas = iter(stream.text)
        for _ in range(100):
            next(deltas)
        return stream

    begun()
    return _traced_kib(lambda: [begun() for _ in range(streams)])


def _traced_kib(begin: Callable[[], list[Any]]) -> float:
    gc.collect()
    tracemalloc.start()
    kept = begin()
    gc.collect()
    traced, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return traced / len(kept) / 1024


def open_kib(model: BaseChatModel, config: RunnableConfig = WITHOUT_CALLBACKS, streams: int = 200) -> float:
    """KiB that an `astream` holds while it is open, after 100 chunks that nobody kept."""

    async def begun() -> AsyncIterator[AIMessageChunk]:
        chunks = model.astream("hi", config)
        for _ in range(100):
            await anext(chunks)
        return chunks

    async def held() -> float:
        await begun()
        gc.collect()
        tracemalloc.start()
        kept = [await begun() for _ in range(streams)]
        gc.collect()
        traced, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return traced / len(kept) / 1024

    return asyncio.run(held())


def _per(count: int, work: Callable[[], object]) -> float:
    gc.collect()  # else who comes first pays for what the last one left
    start = time.process_time()
    work()
    return (time.process_time() - start) / count * 1e6


def import_ms(module: str) -> float:
    """Milliseconds of CPU time to start Python and import `module`."""
    code = f"import {module}, time; print(time.process_time() * 1e3)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


# --- rows ---


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: the median of a contestant and its peer, with the spread of each."""

    name: str
    unit: str
    ours: float
    ours_low: float
    ours_high: float
    peer_name: str
    peer: float
    peer_low: float
    peer_high: float

    @property
    def ratio(self) -> float:
        """Ours to the peer's, of medians."""
        return self.ours / self.peer


def row(name: str, unit: str, ours: Callable[[], float], peer_name: str, peer: Callable[[], float], rounds: int) -> Row:
    """Measure both sides in turn; the first round, which warms up, is not counted."""
    pairs = [(ours(), peer()) for _ in range(rounds + 1)][1:]
    mine, theirs = (sorted(side) for side in zip(*pairs, strict=True))
    return Row(
        name, unit,
        statistics.median(mine), mine[0], mine[-1],
        peer_name,
        statistics.median(theirs), theirs[0], theirs[-1],
    )  # fmt: skip


def rows(rounds: int) -> Iterator[Row]:
    """All figures, one by one."""
    core, core_sync = CoreModel(), CoreSyncModel()
    function, coroutine = PlugFunction(), PlugCoroutine()
    generator, agenerator = PlugGenerator(), PlugAsyncGenerator()
    bridged, abridged = BridgedGenerator(), BridgedAsyncGenerator()
    for handler, config in (("", WITHOUT_CALLBACKS), (", with callbacks", WITH_CALLBACKS)):
        unit, peer = "µs/call", "core alone"
        yield row(f"invoke, a function{handler}", unit, partial(invoke, function, config), peer,
                  partial(invoke, core, config), rounds)  # fmt: skip
        yield row(f"ainvoke, an async function{handler}", unit, partial(ainvoke, coroutine, config), peer,
                  partial(ainvoke, core, config), rounds)  # fmt: skip
        unit = "µs/chunk"
        yield row(f"stream, a generator{handler}", unit, partial(stream, generator, config), peer,
                  partial(stream, core, config), rounds)  # fmt: skip
        yield row(f"astream, an async generator{handler}", unit, partial(astream, agenerator, config), peer,
                  partial(astream, core, config), rounds)  # fmt: skip
        yield row(f"an open astream{handler}", "KiB", partial(open_kib, agenerator, config), peer,
                  partial(open_kib, core, config), 1)  # fmt: skip
        unit, peer = "µs/delta", "core's bridge"
        yield row(f"events v3, a generator{handler}", unit, partial(events, generator, config), peer,
                  partial(events, bridged, config), rounds)  # fmt: skip
        yield row(f"events v3, an async generator{handler}", unit, partial(aevents, agenerator, config), peer,
                  partial(aevents, abridged, config), rounds)  # fmt: skip
        yield row(f"an open stream of events v3{handler}", "KiB", partial(open_events_kib, generator, config), peer,
                  partial(open_events_kib, bridged, config), 1)  # fmt: skip
    yield row("ainvoke, a function", "µs/call", partial(ainvoke, function), "core's executor",
              partial(ainvoke, core_sync), rounds)  # fmt: skip
    yield row("astream, a generator", "µs/chunk", partial(astream, generator), "native async generator, ours",
              partial(astream, agenerator), rounds)  # fmt: skip
    yield row("astream, a generator, with callbacks", "µs/chunk", partial(astream, generator, WITH_CALLBACKS),
              "core's executor", partial(astream, core_sync, WITH_CALLBACKS), rounds)  # fmt: skip
    yield row("astream, a generator", "µs/chunk", partial(astream, generator), "core's executor",
              partial(astream, core_sync), rounds)  # fmt: skip
    for name, tooled in (("50 bound tools", PlugNative()), ("50 bound tools, in the prompt", function)):
        for handler, config in (("", WITHOUT_CALLBACKS), (", with callbacks", WITH_CALLBACKS)):
            yield row(f"{name}{handler}", "µs/call", partial(invoke, tooled.bind_tools(TOOLS), config), "core alone",
                      partial(invoke, core.bind(tools=TOOLS), config), rounds)  # fmt: skip
    yield row("import, a ChatModel", "ms", lambda: import_ms("langplug._model.chat_model"), "core's BaseChatModel",
              lambda: import_ms("langchain_core.language_models.chat_models"), min(rounds, 5))  # fmt: skip


def main() -> None:
    """Measure, print a table, and write the figures as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default: 7)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", LangChainBetaWarning)  # version 3 of the events is one
    figures: list[Row] = []
    print(f"{'figure':34} {'unit':8} {'langplug (spread)':>24}  {'peer':28} {'(spread)':>24} {'ratio':>6}")
    for figure in rows(arguments.rounds):
        figures.append(figure)
        ours = f"{figure.ours:.1f} ({figure.ours_low:.1f} to {figure.ours_high:.1f})"
        peer = f"{figure.peer:.1f} ({figure.peer_low:.1f} to {figure.peer_high:.1f})"
        print(
            f"{figure.name:34} {figure.unit:8} {ours:>24}  {figure.peer_name:28} {peer:>24} {figure.ratio:6.2f}",
            flush=True,
        )
    if arguments.json:
        written = json.dumps([{**asdict(figure), "ratio": figure.ratio} for figure in figures], indent=1)
        Path(arguments.json).write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
