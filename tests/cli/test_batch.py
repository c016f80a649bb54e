"""`langplug batch` at the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import langplug.cli
from langplug_backend import Backend

MODEL = """
import asyncio
from langplug import chat_model

@chat_model
async def loud(request, *, wait_s: float = 0.0):
    await asyncio.sleep(wait_s)
    if "fail" in request.text:
        raise ValueError("it must fail here")
    return request.text.upper()
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A reference to a model in a file, in a folder of rows."""
    (tmp_path / "mine.py").write_text(MODEL)
    (tmp_path / "in.csv").write_text("id,city\na,Rome\nb,Oslo\n")
    (tmp_path / "wide.csv").write_text("id,city\n", encoding="utf-16")
    (tmp_path / "binary.csv").write_bytes(b"\x00\rid\x01\n\xff")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return "./mine.py:loud"


def test_a_table_is_answered(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of rows becomes a file of answers; the figures go to stderr, and with --json to stdout."""
    given = [
        "batch",
        model,
        "in.csv",
        "-o",
        "out.csv",
        "--prompt",
        "In {city}",
        "--keep",
        "city",
        "--ordered",
        "--json",
    ]
    assert langplug.cli.main(given) == 0
    told = capsys.readouterr()
    assert "2 rows answered, 0 failed" in told.err
    assert json.loads(told.out)["answered"] == 2
    assert "IN ROME" in Path("out.csv").read_text().splitlines()[1]


def test_stdin_and_stdout(model: str) -> None:
    """Rows come from a pipe, and go into one."""
    command = [sys.executable, "-m", "langplug", "batch", model, "-", "-o", "-"]
    asked = '{"prompt": "one"}\n{"prompt": "two"}\n'
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {json.loads(line)["answer"] for line in done.stdout.splitlines()} == {"ONE", "TWO"}


def test_a_slow_pipe(model: str) -> None:
    """A row from a pipe is answered before hundreds of others have come."""
    command = [sys.executable, "-m", "langplug", "batch", model, "-", "-o", "out.jsonl"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        for _ in range(200):
            if (part := Path("out.jsonl.part")).exists() and part.read_text():
                break
            run.stdin.write('{"prompt": "one"}\n')
            run.stdin.flush()
            time.sleep(0.1)
        else:
            pytest.fail("none of 200 rows was answered")
        run.communicate("")
    assert run.returncode == 0


def test_failed_rows_are_the_exit_code(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A row that failed is in the output, and the exit code says that there is one."""
    Path("in.jsonl").write_text('{"prompt": "fail"}\n{"prompt": "go"}\n')
    assert langplug.cli.main(["batch", model, "in.jsonl", "-o", "out.jsonl"]) == 1
    assert "1 row answered, 1 failed" in capsys.readouterr().err
    assert "it must fail here" in Path("out.jsonl").read_text()


def test_what_was_wrong_is_said(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What was wrong with the first row that failed is said at the end."""
    Path("in.jsonl").write_text('{"prompt": "go"}\n[1, 2]\n{"prompt": "fail"}\n')
    assert langplug.cli.main(["batch", model, "in.jsonl", "-o", "out.jsonl"]) == 1
    assert "the first of those that failed: row '1': Line 2 must be a JSON object" in capsys.readouterr().err


def test_too_many_errors(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that ends by --max-errors says so, and how to go on."""
    Path("in.jsonl").write_text('{"prompt": "fail"}\n' * 5)
    assert langplug.cli.main(["batch", model, "in.jsonl", "-o", "out.jsonl", "--max-errors", "2"]) == 1
    told = capsys.readouterr().err
    assert "rows failed, which is more than may" in told
    assert "The same command goes on from here." in told


def test_dry_run(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run counts, asks nothing and writes nothing."""
    there = {file.name for file in Path().iterdir()}
    assert langplug.cli.main(["batch", model, "in.csv", "--prompt", "{city}", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("2 rows, ")
    assert {file.name for file in Path().iterdir()} - {"__pycache__"} == there


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["in.csv"], "name the output: -o OUT"),
        (["none.csv", "-o", "out.csv"], "none.csv"),
        (["in.csv", "-o", "in.csv"], "is the input"),
        (["in.csv", "-o", "out.txt"], "must end in .jsonl"),
        (["in.csv", "-o", "out.csv"], "neither a column `prompt` nor `messages`, but id, city: give a template"),
        (["folder", "-o", "out.csv", "--from", "csv"], "folder is a folder: name a file"),
        (["wide.csv", "-o", "out.csv"], "wide.csv is UTF-16"),
        (["binary.csv", "-o", "out.csv"], "is it a text file?"),
        (["in.csv", "-o", "out.csv", "--from", "parquet"], "in.csv is not Parquet"),
        (["in.csv", "-o", "folder", "--to", "csv"], "folder is no file: name one for the output"),
        (["in.csv", "-o", "nowhere/out.csv"], "there is no folder nowhere"),
        (["in.csv", "-o", "out.csv", "--via", "provider", "--prompt", "{city}"], "ChatEndpoint, such as https://"),
        (["in.csv", "-o", "out.csv", "--cancel"], "nothing was sent"),
        (["in.csv", "-o", "out.csv", "--prompt", "{town}"], "no column 'town', but id, city"),
        (["in.csv", "-o", "out.csv", "--prompt", "{city"], "is no template"),
        (["in.csv", "-o", "out.csv", "--max-errors", "200%"], "--max-errors takes"),
        (["in.csv", "-o", "out.csv", "--prompt", "{city}", "--rpm", "0"], "rpm is 0"),
        (["in.csv", "-o", "out.csv", "--schema", "in.csv"], "the schema cannot be read"),
        (["in.csv", "-o", "out.csv", "--set", "volume=3"], "no parameter"),
        (["in.csv", "-o", "-", "--json"], "--json prints to stdout"),
        (["in.csv", "-o", "out.csv", "--max-concurency", "3"], "did you mean"),
        (["in.csv", "-o", "out.csv", "--prompt", "{city}", "--keep", "town", "--dry-run"], "no column 'town'"),
        (["in.csv", "-o", "out.csv", "--journal", "out.csv"], "out.csv is the output"),
        (["in.csv", "-o", "out.csv", "--actors", "2"], "--actors is for --engine ray"),
        (["in.csv", "-o", "out.csv", "--engine", "ray", "--actors", "0"], "actors is 0; expected at least 1"),
        (["in.csv", "-o", "-", "--prompt", "{city}", "--engine", "ray"], "name a file"),
    ],
)
def test_wrong_use(arguments: list[str], said: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is said in one sentence, with exit code 2, before anything is written."""
    assert langplug.cli.main(["batch", model, *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not Path("out.csv").exists()
    assert not Path("out.csv.part").exists()


def test_an_engine_that_is_not_installed(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Ray, the extra that brings it is named, and nothing is written."""
    monkeypatch.setitem(sys.modules, "ray", None)
    given = ["batch", model, "in.csv", "-o", "out.csv", "--prompt", "{city}", "--engine", "ray"]
    before = {*Path().iterdir()}
    assert langplug.cli.main(given) == 2
    assert "pip install 'langplug[ray]'" in capsys.readouterr().err
    assert {file.name for file in {*Path().iterdir()} - before} <= {"__pycache__"}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_that_goes_on(sent: signal.Signals, model: str) -> None:
    """Ctrl-C and SIGTERM end a run with 130, and the same command goes on from there."""
    Path("in.jsonl").write_text("".join(f'{{"prompt": "row {n}"}}\n' for n in range(100)))
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from langplug.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "batch", model, "in.jsonl", "-o", "out.jsonl", "--max-concurrency", "4"]
    slow = subprocess.Popen([*command, "--set", "wait_s=0.05"], stderr=subprocess.PIPE, text=True)
    while not Path("out.jsonl.part").exists() or not Path("out.jsonl.part").read_text():
        time.sleep(0.02)
    os.kill(slow.pid, sent)
    _, told = slow.communicate()
    assert slow.returncode == 130, told
    assert "The same command goes on from here." in told
    done = subprocess.run([*command, "--set", "wait_s=0.05"], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "by an earlier run" in done.stderr
    assert len(Path("out.jsonl").read_text().splitlines()) == 100


@pytest.mark.skipif(sys.platform == "win32", reason="nothing says there that a pipe was read")
@pytest.mark.parametrize("given", ["\n", '{"prompt": "one"}\n'], ids=["nothing", "a row"])
def test_ctrl_c_while_a_pipe_is_open(given: str, model: str) -> None:
    """Ctrl-C ends at once a run whose pipe is open and gives no more; the process ends in good order."""
    import fcntl
    import termios

    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from langplug.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "batch", model, "-", "-o", "out.jsonl"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        assert run.stderr is not None
        run.stdin.write(given)
        run.stdin.flush()
        while any(fcntl.ioctl(run.stdin, termios.FIONREAD, bytes(4))):  # bytes that nobody has read yet
            time.sleep(0.02)
        os.kill(run.pid, signal.SIGINT)
        assert run.wait(timeout=30) == 130  # it waited until the pipe was closed
        told = run.stderr.read()
        assert "no rows" in told or "nothing was asked" in told
        assert "Fatal" not in told


def test_via_provider(model: str) -> None:
    """A run by a server's batch API that is ended leaves its batches there, and says so; the same command waits on."""
    with Backend() as backend:
        backend.batches.looks = 10**6
        code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        code += "from langplug.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "batch", f"{backend.openai_url}#backend-1", "in.csv", "-o", "out.csv"]
        command += ["--prompt", "In {city}", "--via", "provider"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
            assert backend.wait_for(lambda: any("/batches/" in one.path for one in backend.requests), timeout=60)
            os.kill(run.pid, signal.SIGINT)
            _, told = run.communicate()
        assert run.returncode == 130
        assert "goes on at the server: the same command waits for it" in told
        done = subprocess.run([*command, "--cancel"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout[:21]) == (0, "batches cancelled: 1."), done.stderr
        backend.batches.looks = 1
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 1
        assert "0 rows answered, 2 failed" in done.stderr
        done = subprocess.run([*command, "--retry-failed"], stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "In Rome" in Path("out.csv").read_text()
        backend.batches.exists = False
        done = subprocess.run([*command, "--journal", "other"], stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 2
        assert "has no batch API" in done.stderr
