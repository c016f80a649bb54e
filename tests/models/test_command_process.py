"""`ChatCommand`'s programs are ended when nobody wants their answer, and leave nothing behind, whatever they do."""

import asyncio
import gc
import logging
import os
import random
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster
from langchain_core.exceptions import ModelTimeoutError
from tests import paths as ways
from tests.paths import beta_allowed

from langplug.models import ChatCommand

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")

_numbers = count()


@pytest.fixture
def marker() -> str:
    """What stands in the command line of every process of one test, and of no other."""
    return f"langplug-test-{os.getpid()}-{next(_numbers)}"


def program(marker: str, script: str, **settings: Any) -> ChatCommand:
    """A few lines of shell with `marker` as `$0`, which what it starts in the background has, too."""
    settings = {"linger": 0.3, "max_parallel": 100, **settings}
    return ChatCommand(command=["sh", "-c", "{script}", marker], params={"script": script}, input="text", **settings)


def alive(marker: str) -> list[int]:
    """The processes that live and have `marker` in their command line; the dead have none any more."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def nobody_left(marker: str, within: float = 10) -> bool:
    """Whether all are gone; killing is not over when the signal is sent."""
    until = time.monotonic() + within
    while alive(marker):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def zombies() -> list[str]:
    """This process's children that have ended and that nobody has waited for."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [pid for file in children for pid in file.read_text().split()]
    return [pid for pid in pids if _state(pid) == "Z"]


def _state(pid: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


ENDLESS = "sh -c 'while :; do echo word; sleep 0.002; done' $0 & while :; do sleep 5; done"
"""Ends at SIGTERM; a grandchild writes, and a great-grandchild sleeps."""

STUBBORN = """trap '' TERM
(while :; do sleep 0.05; done) >/dev/null 2>&1 &
while :; do echo word; sleep 0.01; done"""
"""Neither the program nor what it has started heeds SIGTERM."""

# --- the ways to leave ---

Leave = Callable[[ChatCommand, float], Awaitable[None]]


async def read_all(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


async def cancelled(answering: Awaitable[Any], after: float) -> None:
    task = asyncio.ensure_future(answering)
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_ainvoke(model: ChatCommand, after: float) -> None:
    await cancelled(model.ainvoke("x"), after)


async def cancel_abatch(model: ChatCommand, after: float) -> None:
    await cancelled(model.abatch(["x", "y", "z"]), after)


async def cancel_astream(model: ChatCommand, after: float) -> None:
    await cancelled(read_all(model.astream("x")), after)


async def break_astream(model: ChatCommand, after: float) -> None:
    until = time.monotonic() + after
    async with aclosing(model.astream("x")) as stream:  # type: ignore[type-var]
        async for _ in stream:
            if time.monotonic() > until:
                break


async def close_v3(model: ChatCommand, after: float) -> None:
    with beta_allowed():
        async with await model.astream_events("x", version="v3") as stream:
            reading = asyncio.ensure_future(read_all(stream.text))
            await asyncio.sleep(after)
        with suppress(asyncio.CancelledError):
            await reading


async def stop_string(model: ChatCommand, after: float) -> None:
    await model.ainvoke("x", stop=["rd\n"])


async def total_timeout(model: ChatCommand, after: float) -> None:
    with pytest.raises(ModelTimeoutError, match="timeout"):
        await model.ainvoke("x", timeout=after + 0.001)


async def break_stream(model: ChatCommand, after: float) -> None:
    await asyncio.to_thread(read_for, model, after)


def read_for(model: ChatCommand, seconds: float) -> None:
    until = time.monotonic() + seconds
    for _ in model.stream("x"):
        if time.monotonic() > until:
            break


LEAVES: dict[str, Leave] = {
    "ainvoke cancelled": cancel_ainvoke,
    "abatch cancelled": cancel_abatch,
    "astream cancelled": cancel_astream,
    "astream left": break_astream,
    "v3 closed": close_v3,
    "stop string": stop_string,
    "timed out": total_timeout,
    "stream left": break_stream,
}


@pytest.mark.parametrize("leave", list(LEAVES.values()), ids=list(LEAVES))
def test_whoever_leaves_at_any_moment_leaves_no_process(leave: Leave, marker: str) -> None:
    """Each way to leave, 20 times at a random moment, ends the program and all that it has started."""
    model = program(marker, ENDLESS)
    moments = random.Random(5)

    async def leave_again_and_again() -> None:
        for _ in range(5):
            await asyncio.gather(*(leave(model, moments.random() * 0.03) for _ in range(4)))

    asyncio.run(leave_again_and_again())
    assert nobody_left(marker)
    assert [] == zombies()


@pytest.mark.parametrize(
    "leave", [cancel_ainvoke, break_astream, break_stream], ids=["cancelled", "left", "left, sync"]
)
def test_what_ignores_sigterm_is_killed(leave: Leave, marker: str) -> None:
    """A group that does not heed SIGTERM is killed after `kill_after` seconds, and gone when the call is over."""
    asyncio.run(leave(program(marker, STUBBORN, kill_after=0.2), 0.15))
    assert nobody_left(marker, within=2)


def test_sigterm_gives_time_to_clean_up(marker: str, tmp_path: Path) -> None:
    """The program is asked to end first, so that it can clean up."""
    script = "trap 'touch $DONE; exit' TERM; echo on; while :; do sleep 0.01; done"
    model = program(marker, script, environment={"DONE": tmp_path / "done"}, kill_after=10)
    assert "on" == model.invoke("x", stop=["on"]).text
    assert nobody_left(marker)
    assert (tmp_path / "done").exists()


def test_a_second_cancel_does_not_wait(marker: str) -> None:
    """Who is cancelled again while the program gets its time to end does not wait for that any more."""

    async def cancel_twice() -> float:
        task = asyncio.ensure_future(program(marker, STUBBORN, kill_after=30).ainvoke("x"))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.sleep(0.1)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(cancel_twice()) < 10
    assert nobody_left(marker)


@pytest.mark.parametrize("name", ["first_output_timeout", "idle_timeout"])
def test_silence_has_its_limits(name: str, marker: str) -> None:
    """A program that is silent for too long, at first or later, is ended, and the error says what it said on stderr."""
    script = (
        "echo thinking >&2; sleep 100; echo so"
        if name == "first_output_timeout"
        else "echo so; echo thinking >&2; sleep 100"
    )
    for call in ways.PATHS.values():
        with pytest.raises(ModelTimeoutError, match=rf"(?s)wrote nothing for {name}=0.2 .*thinking") as caught:
            call(program(marker, script, **{name: 0.2}), "x")
        partial = caught.value.partial  # type: ignore[attr-defined]
        assert (partial.text if partial else "") == ("" if name == "first_output_timeout" else "so")
    assert nobody_left(marker)


def test_a_slow_reader_is_no_silence(marker: str) -> None:
    """Time in which the reader does not read counts for no limit."""
    stream = program(marker, "for i in 1 2 3; do echo $i; done", idle_timeout=0.2, output="lines").stream("x")
    first = next(stream).text
    time.sleep(0.5)
    assert "1\n2\n3" == first + "".join(chunk.text for chunk in stream)


# --- programs that do as they like ---


def test_what_holds_the_output_after_the_program_is_ended(marker: str) -> None:
    """The answer ends with the program, though something that it has started holds its output; that is ended."""
    answer = program(marker, "(trap '' TERM; while :; do sleep 0.05; done) & echo yes").invoke("x")
    assert "yes" == answer.text
    assert nobody_left(marker, within=2)


def test_what_has_left_the_group_is_given_up(marker: str) -> None:
    """Who has left the group cannot be ended; the answer ends all the same, and the pipes are closed on our side."""
    answer = asyncio.run(
        program(marker, "exec 3<&0; setsid sleep 3 <&3 & sleep 0.1; echo yes").ainvoke("x" * 5_000_000)
    )
    gc.collect()
    assert "yes" == answer.text


def test_last_words_are_heard(marker: str) -> None:
    """What comes on stderr shortly after the program's end is still in the error."""
    with pytest.raises(Exception, match="late"):
        program(marker, "(sleep 0.1; echo late >&2) >&- & exit 3").invoke("x")


def test_what_speaks_on_after_the_program_is_heard(marker: str) -> None:
    """What a program's child writes shortly after its end still belongs to the answer."""
    assert "one\ntwo" == program(marker, "(sleep 0.1; echo two) & echo one", linger=5).invoke("x").text


def test_a_program_that_closes_its_output_and_lives_on_is_ended(marker: str) -> None:
    """The answer is over with the output; the program is ended after `linger` seconds, and its answer counts."""
    assert "yes" == program(marker, "echo yes; exec >&- 2>&-; sleep 100").invoke("x").text
    assert nobody_left(marker, within=2)


def test_the_status_counts_though_the_output_is_closed(marker: str) -> None:
    """A program that fails after it has closed its output has failed."""
    with pytest.raises(Exception, match="status 7"):
        program(marker, "echo yes; exec >&-; sleep 0.1; exit 7", linger=20).invoke("x")


def test_what_is_said_after_the_end_is_not_waited_for(marker: str) -> None:
    """With `done` in the paths, the program is ended after `linger` seconds, whatever it still writes."""
    script = """echo '{"t": "yes", "d": true}'; while :; do echo noise; done"""
    paths = {"text": "t", "done": "d"}
    assert "yes" == program(marker, script, output="jsonl", paths=paths).invoke("x").text
    assert nobody_left(marker)


def test_a_prompt_that_is_not_read_does_no_harm(marker: str) -> None:
    """A program need not read its 5 MB of stdin: it may close it, end, or go on."""
    prompt = "x" * 5_000_000
    for script in ("echo yes", "exec <&-; sleep 0.05; echo yes", "echo yes; sleep 0.05"):
        assert "yes" == program(marker, script).invoke(prompt).text


def test_much_goes_in_while_much_comes_out(marker: str) -> None:
    """5 MB go in while they come out: neither pipe waits for the other."""
    prompt = "0123456789" * 500_000
    assert prompt == program(marker, "cat").invoke(prompt).text


async def test_a_fast_program_waits_for_a_slow_reader(marker: str) -> None:
    """An endless answer does not fill the memory: the program waits until its reader reads on."""
    async with aclosing(program(marker, "yes $0").astream("x")) as stream:  # type: ignore[type-var]
        await anext(stream)
        await asyncio.sleep(0.2)
        assert len((await anext(stream)).text) < 1_000_000
    assert nobody_left(marker)


# --- loops, threads and limits ---


def test_it_never_blocks_the_loop(no_blocking: BlockBuster, marker: str) -> None:
    """Starting, reading, writing, waiting and ending block no event loop."""

    async def use() -> None:
        model = program(marker, "cat")
        assert ["a", "b"] == [answer.text for answer in await model.abatch(["a", "b"])]
        with pytest.raises(FileNotFoundError):
            await ChatCommand(command=["no-such-program"]).ainvoke("x")
        await break_astream(program(marker, ENDLESS), 0.02)
        await cancel_ainvoke(program(marker, STUBBORN, kill_after=0.1), 0.1)

    asyncio.run(use())
    assert nobody_left(marker)


def test_loop_after_loop(marker: str, caplog: pytest.LogCaptureFixture) -> None:
    """One instance answers on one event loop after the other, also when streams were abandoned on those before."""
    model = program(marker, "cat")
    endless = program(marker, ENDLESS)

    async def ask(number: int) -> str:
        await anext(endless.astream("x"))
        return (await model.ainvoke(str(number))).text

    with caplog.at_level(logging.WARNING):
        assert [str(number) for number in range(6)] == [asyncio.run(ask(number)) for number in range(6)]
    gc.collect()
    assert nobody_left(marker)
    assert [] == caplog.records


def test_a_loop_that_is_closed_under_an_answer(marker: str) -> None:
    """An answer whose loop was closed without a word ends its program when it is let go of."""
    loop = asyncio.new_event_loop()
    stream = program(marker, ENDLESS).astream("x")
    loop.run_until_complete(anext(stream))
    assert alive(marker)
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a loop that is closed so says that it had pipes open
        del stream
        gc.collect()
        assert nobody_left(marker)
        gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_answer_that_is_let_go_of_on_another_loop(marker: str) -> None:
    """An answer whose loop was closed ends its program also where it is let go of while another loop runs."""
    loop = asyncio.new_event_loop()
    streams = [program(marker, STUBBORN).astream("x")]
    loop.run_until_complete(anext(streams[0]))
    loop.close()

    async def let_go() -> None:
        streams.clear()
        gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python says that neither the generator nor the pipes could be closed there
        asyncio.run(let_go())
        gc.collect()
        assert nobody_left(marker)
        gc.collect()


def test_four_threads_with_a_loop_each(marker: str) -> None:
    """One instance answers on the loops of four threads at once, and in sync calls beside them."""
    model = program(marker, "cat")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        async def ask() -> None:
            asked = [f"{number}-{n}" for n in range(5)]
            assert asked == [answer.text for answer in await model.abatch(asked)]

        try:
            asyncio.run(ask())
            assert "sync" == model.invoke("sync").text
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == failures
    assert [] == zombies()


async def test_fifty_at_once(marker: str) -> None:
    """Fifty calls at once are each answered with what they asked."""
    asked = [f"question {n}" for n in range(50)]
    assert asked == [answer.text for answer in await program(marker, "cat").abatch(asked)]


def test_no_more_than_max_parallel_run_at_once(marker: str, tmp_path: Path) -> None:
    """The programs that run at once never outnumber `max_parallel`, and reach it; copies for one call count, too."""
    script = "mkdir $D/$$; ls $D | wc -l; sleep 0.1; rmdir $D/$$"
    model = program(marker, script, environment={"D": tmp_path}, max_parallel=2)

    async def ask() -> list[int]:
        calls = [model.ainvoke("x", **({"idle_timeout": 9} if n % 2 else {})) for n in range(6)]
        return [int(answer.text) for answer in await asyncio.gather(*calls)]

    assert {1, 2} >= set(asyncio.run(ask())) >= {2}


def test_who_waits_for_a_place_can_leave(marker: str, tmp_path: Path) -> None:
    """Whoever is cancelled while it waits for its turn starts no program, and those behind it get their turn."""
    script = "echo $$ >> $RECORD; sleep 0.2"
    model = program(marker, script, environment={"RECORD": tmp_path / "record"}, max_parallel=1)

    async def ask() -> None:
        first, second, third = (asyncio.ensure_future(model.ainvoke("x")) for _ in range(3))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.gather(first, third)

    asyncio.run(ask())
    assert 2 == len((tmp_path / "record").read_text().splitlines())


# --- the end of the interpreter ---

EVERYWHERE = """
import asyncio, threading, time
stream = model.stream("x")
next(stream)
threading.Thread(target=model.invoke, args=("x",), daemon=True).start()
loop = asyncio.new_event_loop()
astream = model.astream("x")
loop.run_until_complete(anext(astream))
time.sleep(0.2)
import ctypes
ctypes.pythonapi.Py_IncRef(ctypes.py_object(astream))  # held by somebody to the end
raise SystemExit(3)
"""
"""An open stream, a thread that asks, a loop that is never closed, and then an exception."""

LEFT_TASK = """
import asyncio
async def main():
    task = asyncio.ensure_future(model.ainvoke("x"))
    await asyncio.sleep(0.2)
asyncio.run(main())
raise SystemExit(3)
"""


@pytest.mark.parametrize(
    ("code", "script"),
    [
        pytest.param(EVERYWHERE, STUBBORN, id="everywhere, stubborn"),
        pytest.param(LEFT_TASK, ENDLESS, id="a task that asyncio.run has left"),
    ],
)
def test_no_program_outlives_the_interpreter(code: str, script: str, marker: str) -> None:
    """However the interpreter ends by itself, its programs end with it."""
    made = f"""
from langplug.models import ChatCommand
model = ChatCommand(command=["sh", "-c", "{{script}}", {marker!r}], params={{"script": {script!r}}})
"""
    done = subprocess.run([sys.executable, "-c", made + code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 3, done.stderr
    assert nobody_left(marker, within=3), done.stderr


UNBURIED = """
import asyncio, ctypes, time
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans become our children, and we bury none
began = time.monotonic()
assert asyncio.run(model.ainvoke("x", stop=["word"])).text == "word"
assert time.monotonic() - began < 15
raise SystemExit(3)
"""


def test_the_dead_are_not_waited_for(marker: str) -> None:
    """Where nobody buries orphans, as in many containers, the end of a call does not wait for the dead."""
    made = f"""
from langplug.models import ChatCommand
model = ChatCommand(command=["sh", "-c", "{{script}}", {marker!r}], params={{"script": {ENDLESS!r}}}, kill_after=30)
"""
    done = subprocess.run(
        [sys.executable, "-c", made + UNBURIED], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 3, done.stderr
    assert nobody_left(marker)
