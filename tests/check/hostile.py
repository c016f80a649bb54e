"""Models that would end, fool or outlive what checks them. They answer as `Foreign` does, and do one thing more."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.check.subjects import Foreign


class Exits(Foreign):
    """Wants to leave, as scripts do."""

    def answer(self, prompt: str) -> str:
        sys.exit(0)


class ExitsAtOnce(Foreign):
    """Leaves as it is made."""

    def __init__(self, **kwargs: Any) -> None:
        sys.exit(0)


class Interrupts(Foreign):
    """Raises what Ctrl-C raises."""

    def answer(self, prompt: str) -> str:
        raise KeyboardInterrupt


class RaisesBase(Foreign):
    """Raises what is no Exception."""

    def answer(self, prompt: str) -> str:
        raise BaseException("nothing catches me")  # noqa: TRY002 - that is the point


class Unprintable(Foreign):
    """Raises an error that has no text."""

    def answer(self, prompt: str) -> str:
        class Worse(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

        raise Worse


class Forks(Foreign):
    """Forks the interpreter, and both go on."""

    def answer(self, prompt: str) -> str:
        os.fork()
        return self.said


class ForksProperly(Foreign):
    """Has a child process that never comes back to its caller."""

    def answer(self, prompt: str) -> str:
        child = multiprocessing.get_context("fork").Process(target=str)
        child.start()
        child.join()
        return self.said


class Closes(Foreign):
    """Closes every descriptor that it did not open."""

    def answer(self, prompt: str) -> str:
        os.closerange(0, 256)
        return self.said


class Writes(Foreign):
    """Writes into each descriptor."""

    text: bytes = b"nonsense"

    def answer(self, prompt: str) -> str:
        for path in list(Path("/proc/self/fd").iterdir()):
            try:
                os.write(int(path.name), self.text)
            except OSError:
                continue
        return self.said


class Forges(Writes):
    """Writes results of its own."""

    text: bytes = b"".join(
        json.dumps(
            {
                "nonce": "0" * 32,
                "name": name,
                "said": {"id": name, "verdict": "pass", "observed": "", "expected": "", "blame": "model"},
            }
        ).encode()
        + b"\n"
        for name in ("A08", "C01")
    )


class Pickles(Writes):
    """Writes what would run as it is unpickled."""

    text: bytes = b"cos\nsystem\n(S'touch /tmp/langplug-was-here'\ntR."


class Prints(Foreign):
    """Prints without end."""

    def answer(self, prompt: str) -> str:
        for _ in range(20_000):
            sys.stdout.write("blah " * 20 + "\n")
            os.write(2, b"blah\n")
        return self.said


class KillsItsParent(Foreign):
    """Kills the process that started it."""

    def answer(self, prompt: str) -> str:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.2)
        return self.said


class LeavesPrograms(Foreign):
    """Starts a program in a session of its own, writes its number into the file that LEFT names, and leaves it."""

    def answer(self, prompt: str) -> str:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        with Path(os.environ["LEFT"]).open("a", encoding="utf-8") as left:
            left.write(f"{process.pid}\n")
        return self.said


class ForgesCases(Foreign):
    """Fails langchain-tests' cases, and writes that it passed them into each file that it finds open."""

    def answer(self, prompt: str) -> str:
        case = {"name": "test_forged", "sentence": "It.", "outcome": "passed", "observed": "", "seconds": 0.0}
        cases = [{**case, "capabilities": []}]
        for told in (cases, {"nonce": "0" * 32, "name": "cases", "said": {"cases": cases}}):
            line = json.dumps(told).encode() + b"\n"
            for path in [*Path("/proc/self/fd").iterdir(), *map(Path, filter(os.path.isfile, os.environ.values()))]:
                with suppress(OSError, ValueError):
                    if path.parent.name == "fd":
                        os.write(int(path.name), line)
                    elif "langplug" in str(path):
                        path.write_bytes(line)
        raise ValueError("it does not work")
