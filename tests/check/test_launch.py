"""Programs are forks of a process that has imported LangChain, or fresh ones; and nobody sees which."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from langplug_check.process import launch as launching
from langplug_check.process.launch import Fork, Process, Program, kill, launch

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="programs are forked on Linux alone")

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program that is given as text; what it writes is in the file `output`."""
    processes: list[Process] = []

    def start_program(text: str, *arguments: str, **environment: str) -> Process:
        (tmp_path / "program.py").write_text(text)
        program = Program(
            module="program",
            arguments=arguments,
            environment={**os.environ, **environment},
            path=[str(tmp_path), *sys.path],
            folder=str(tmp_path),
        )
        with (tmp_path / "output").open("wb") as output, Path(os.devnull).open("rb") as nothing:
            process = launch(program, stdin=nothing.fileno(), stdout=output.fileno(), stderr=output.fileno())
        processes.append(process)
        return process

    yield start_program
    for process in processes:
        kill(process)


@pytest.fixture(params=["forked", "fresh"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to start a program."""
    if request.param == "fresh":
        monkeypatch.setattr(sys, "platform", "somewhere else")
    elif sys.platform != "linux":
        pytest.skip("programs are forked on Linux alone")
    return str(request.param)


ABOUT = """
import json, os, sys
json.dump({
    "name": __name__, "arguments": sys.argv[1:], "variable": os.environ.get("MINE"), "folder": os.getcwd(),
    "first": sys.path[0], "input": sys.stdin.read(), "leads": os.getpgid(0) == os.getpid(),
    "open": sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")),
}, sys.stdout)
"""


def test_a_program_runs_as_it_would_by_itself(way: str, start: Start, tmp_path: Path) -> None:
    """Its name, command line, variables, folder and path are as asked for; its streams are its only open files."""
    assert 0 == start(ABOUT, "one", "two", MINE="yes").wait(60)
    told = json.loads((tmp_path / "output").read_text())
    expected: dict[str, Any] = {"name": "__main__", "arguments": ["one", "two"], "variable": "yes", "input": ""}
    assert expected == {name: told[name] for name in expected}
    assert (str(tmp_path), str(tmp_path)) == (os.path.realpath(told["folder"]), os.path.realpath(told["first"]))
    assert [0, 1, 2] == told["open"]
    assert told["leads"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('no')", 1),
        ("raise ValueError('no')", 1),
        ("import os; os._exit(4)", 4),
        ("import os; os.abort()", -signal.SIGABRT),
    ],
)
def test_how_a_program_ended_is_told(text: str, code: int, way: str, start: Start, tmp_path: Path) -> None:
    """The exit code, or minus the number of the signal; and a traceback stands where it would."""
    process = start(text)
    assert code == process.wait(60) == process.wait(0)
    assert ("no" in (tmp_path / "output").read_text()) is ("no" in text)


def test_waiting_has_a_limit(way: str, start: Start) -> None:
    """Whoever waits for a program that goes on has an error, and can end it."""
    process = start("import time; time.sleep(600)")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    kill(process)
    assert -signal.SIGKILL == process.wait(0)


def test_what_a_program_started_ends_with_it(way: str, start: Start, tmp_path: Path) -> None:
    """A process that a model left behind does not outlive its worker."""
    process = start(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    child = int(eventually(lambda: (tmp_path / "output").read_text().strip()))
    kill(process)
    eventually(lambda: not is_running(child))


@LINUX
def test_a_fork_has_langchain_already(start: Start, tmp_path: Path) -> None:
    """A forked program need not import LangChain and the checks; what it changes, the next one does not see."""
    text = (
        "import sys; modules = set(sys.modules); import langchain_core\n"
        "print('langplug_check.groups.a_construction' in modules, hasattr(langchain_core, 'mine'))\n"
        "langchain_core.mine = 1"
    )
    for _ in range(2):
        process = start(text)
        assert isinstance(process, Fork)
        assert 0 == process.wait(60)
        assert "True False" == (tmp_path / "output").read_text().strip()


@LINUX
def test_when_the_fork_server_is_gone_another_takes_its_place(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the process that forks is gone, another one forks: no model is a child of ours, which it might kill."""
    monkeypatch.setattr(launching, "_servers", [])
    forked = start("import time; time.sleep(600)")
    (server,) = launching._servers
    kill(server._process)
    assert -signal.SIGKILL == forked.wait(60)
    another = start("import os; print('here', os.getppid())")
    assert isinstance(another, Fork)
    assert 0 == another.wait(60)
    assert f"here {launching._servers[-1]._process.pid}" == (tmp_path / "output").read_text().strip()
    launching._servers[-1].close()


def test_what_left_its_group_ends_too(way: str, start: Start, tmp_path: Path) -> None:
    """A process in a session of its own, and one that it started, do not outlive the worker either."""
    process = start(
        "import subprocess, sys, time\n"
        'inner = \'import subprocess, sys, time; p = subprocess.Popen([sys.executable, "-c", "import time; \''
        "'time.sleep(600)\"], start_new_session=True); print(p.pid, flush=True); time.sleep(600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', inner], start_new_session=True)\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    output = tmp_path / "output"
    eventually(lambda: len(output.read_text().split()) == 2)
    pids = [int(pid) for pid in output.read_text().split()]
    kill(process)
    eventually(lambda: not any(map(is_running, pids)))


@LINUX
def test_a_fork_server_with_threads_forks_nothing(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process with a second thread is not forked: the locks that this one holds would stay locked."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, threading, time\n"
        "if any('forkserver' in one for one in sys.orig_argv):\n"
        "    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    monkeypatch.setattr(launching, "_servers", [])
    monkeypatch.syspath_prepend(str(tmp_path))
    fresh = start("print('here')")
    assert isinstance(fresh, subprocess.Popen)
    assert 0 == fresh.wait(60)
    launching._servers[0].close()


@LINUX
def test_the_fork_server_ends_with_its_owner(tmp_path: Path) -> None:
    """When the process that started them is killed, neither the process that forks nor an idle worker is left."""
    text = (
        "from langplug_check.job import Job\n"
        "from langplug_check.process import launch\n"
        "from langplug_check.process.pool import Worker\n"
        "worker = Worker(Job(reference='tests.check.subjects:Foreign'))\n"
        "print(launch._servers[0]._process.pid, worker._process.pid, flush=True)\n"
        "import time; time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    left = [int(pid) for pid in owner.stdout.readline().split()]
    assert 2 == len(left)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not any(map(is_running, left)))


def eventually(condition: Callable[[], Any], limit_s: float = 60.0) -> Any:
    """What a condition gives as soon as that is true."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def is_running(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
