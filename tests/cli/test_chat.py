"""`langplug chat` with one question."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from langplug.cli import main

MODELS = Path(__file__).parent / "models.py"
LIMIT_S = 30


def ref(talker: str) -> str:
    return f"{MODELS}:{talker}"


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "langplug", "chat", *args]


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, **variables}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_stdout_holds_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer goes to stdout with a newline at its end, and nothing goes to stderr."""
    assert main(["chat", ref("echo"), "-p", "good day"]) == 0
    assert ("good day \n", "") == tuple(capsys.readouterr())


def test_an_answer_that_ends_its_line_gets_no_second_newline(capsys: pytest.CaptureFixture[str]) -> None:
    """The newline at the end is added only where there is none."""
    assert main(["chat", ref("plain"), "-p", "line\n"]) == 0
    assert "line\n" == capsys.readouterr().out


def test_the_answer_streams(tmp_path: Path) -> None:
    """What has been said can be read from a pipe while the model still thinks about the rest."""
    release = tmp_path / "release"
    os.mkfifo(release)
    process = subprocess.Popen(
        command(ref("slow_end"), "-p", "x"), stdout=subprocess.PIPE, env=environment(RELEASE=str(release))
    )
    assert process.stdout
    assert b"first " == os.read(process.stdout.fileno(), 100)
    release.write_text("go", encoding="utf-8")
    rest, _ = process.communicate(timeout=LIMIT_S)
    assert (0, b"last\n") == (process.returncode, rest)


def test_the_prompt_comes_from_stdin() -> None:
    """A piped text is the prompt, without a byte order mark and the newline at its end; the answer is UTF-8 too."""
    done = subprocess.run(
        command(ref("listing")),
        input="\ufeffüber\nalles\n".encode(),
        capture_output=True,
        check=True,
        env=environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    )
    assert ("[über\nalles]\n".encode(), b"") == (done.stdout, done.stderr)


def test_a_given_prompt_does_not_wait_for_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `-p`, a pipe at stdin that nobody closes keeps nobody waiting."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as stdin, os.fdopen(writing, "w"):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["chat", ref("echo"), "-p", "hi"]) == 0
    assert "hi \n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        pytest.param(b" \n", "the prompt is empty: give one with -p TEXT or on stdin", id="empty"),
        pytest.param(
            b"ab\xff", "stdin is not UTF-8 text (invalid start byte at byte 2): convert it first", id="binary"
        ),
    ],
)
def test_an_unusable_prompt_is_refused(
    stdin: bytes,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An empty prompt and one that is not text are wrong use, and no model is made for them."""
    (tmp_path / "stdin").write_bytes(stdin)
    with (tmp_path / "stdin").open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["chat", "no.such:model"]) == 2
    assert f"langplug: {message}\n" == capsys.readouterr().err


def test_reasoning_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """What the model thinks is shown on stderr, on lines of its own."""
    assert main(["chat", ref("thinking"), "-p", "x"]) == 0
    assert ("Yes.\n", "thinking: Let me see.\n") == tuple(capsys.readouterr())


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        pytest.param({}, False, id="no terminal"),
        pytest.param({"FORCE_COLOR": "1"}, True, id="FORCE_COLOR"),
        pytest.param({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, id="NO_COLOR wins"),
    ],
)
def test_colour(
    variables: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Notes are coloured at a terminal and where FORCE_COLOR is set, never where NO_COLOR is; the answer never is."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["chat", ref("thinking"), "-p", "x"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "Yes.\n"
    assert ("\x1b[2mLet me \x1b[0m" in shown.err) is coloured
    assert ("\x1b" in shown.err) is coloured


def test_tool_calls_are_shown_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A tool call is shown whole, with its arguments."""
    assert main(["chat", ref("calling"), "-p", "x"]) == 0
    assert ("Adding. \n", '→ add({"a": 1})\n') == tuple(capsys.readouterr())


def test_stats(capsys: pytest.CaptureFixture[str]) -> None:
    """`--stats` shows reported tokens, times and finish reason on stderr."""
    assert main(["chat", ref("echo"), "-p", "a b c", "--stats"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "a b c \n"
    assert re.fullmatch(
        r"3 tokens in, 5 out \(\d+\.\d tokens/s\) · first after 0\.\d\d s · total 0\.\d\d s · finish: stop\n", shown.err
    )


def test_stats_never_invents_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the model reports no usage, no tokens are counted."""
    assert main(["chat", ref("plain"), "-p", "a b c", "--stats"]) == 0
    assert capsys.readouterr().err.startswith("tokens not reported · ")


def test_stats_of_a_failed_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """The figures of an answer that broke say that it was cut short."""
    assert main(["chat", ref("failing"), "-p", "x", "--stats"]) == 1
    assert "finish: cut short\n" in capsys.readouterr().err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one line of JSON that names its schema, and holds text, reasoning, usage and times."""
    assert main(["chat", ref("thinking"), "-p", "x", "--json"]) == 0
    shown = capsys.readouterr()
    assert (1, "") == (shown.out.count("\n"), shown.err)
    report = json.loads(shown.out)
    assert report.pop("total_s") >= report.pop("first_s") >= 0
    assert ["reasoning", "text"] == [block["type"] for block in report.pop("content_blocks")]
    assert {
        "schema": "langplug.chat/1",
        "text": "Yes.",
        "finish_reason": None,
        "usage": None,
        "adaptations": [],
        "error": None,
    } == report


def test_json_of_a_failed_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that breaks is still reported as JSON, as far as it came, with the error; the exit code is 1."""
    assert main(["chat", ref("failing"), "-p", "x", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert ("half ", "RuntimeError: the wire is cut") == (report["text"], report["error"])


def test_a_failed_answer_is_shown_as_far_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """What was said before an error stays on stdout, on a line that is ended."""
    assert main(["chat", ref("failing"), "-p", "x"]) == 1
    assert "half \n" == capsys.readouterr().out


def test_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    """`--set` sets parameters of the model, as JSON or as text; `stop` takes one string or a list."""
    assert main(["chat", ref("Strict"), "-p", "x", "--set", "temperature=0.5", "--set", "stop=END"]) == 0
    assert main(["chat", ref("Strict"), "-p", "x", "--set", 'stop=["X1", "X2"]']) == 0
    assert main(["chat", ref("echo"), "-p", "x", "--set", "mark=#"]) == 0
    assert "temperature 0.5 stop ['DNE']\ntemperature 1.0 stop ['1X', '2X']\nx# \n" == capsys.readouterr().out


def test_a_misspelt_parameter_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """What the model says of a parameter that it does not have reaches the person."""
    assert main(["chat", ref("Strict"), "-p", "x", "--set", "temprature=0"]) == 1
    err = capsys.readouterr().err
    assert "temprature" in err
    assert "temperature" in err


def test_a_parameter_out_of_bounds_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """What pydantic says of a value is shortened to what is wrong with it."""
    assert main(["chat", ref("Strict"), "-p", "x", "--set", "temperature=cold"]) == 1
    message = "temperature: Input should be a valid number, unable to parse string as a number"
    assert f"langplug: {message}\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        pytest.param("temperature", "'temperature' is not NAME=VALUE, such as temperature=0", id="no value"),
        pytest.param("a.b=1", "'a.b=1' is not NAME=VALUE, such as temperature=0", id="name"),
        pytest.param(
            "config=1", "'config' cannot be a parameter of a model, expected a name such as temperature", id="reserved"
        ),
    ],
)
def test_a_wrong_assignment_is_refused(assignment: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A parameter that cannot be one is wrong use."""
    assert main(["chat", ref("echo"), "-p", "x", "--set", assignment]) == 2
    assert f"langplug: {message}\n" == capsys.readouterr().err


def test_flag_before_environment_before_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Model and system prompt come from the flag, else from the environment."""
    monkeypatch.setenv("LANGPLUG_MODEL", ref("listing"))
    monkeypatch.setenv("LANGPLUG_SYSTEM", "env")
    assert main(["chat", "-p", "x"]) == 0
    assert main(["chat", "-p", "x", "--system", "flag"]) == 0
    assert main(["chat", "-p", "x", "--system", ""]) == 0
    assert main(["chat", "-p", "x", ref("plain")]) == 0
    assert "<env>[x]\n<flag>[x]\n[x]\nx\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        pytest.param("What is a cat?", "(a question goes with -p)", id="a question"),
        pytest.param("no_such_module:model", "no module 'no_such_module'", id="no module"),
        pytest.param(f"{MODELS}:ehco", "did you mean 'echo'?", id="misspelt"),
    ],
)
def test_a_reference_that_leads_nowhere_is_wrong_use(
    reference: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reference that leads to no model exits with 2 and says why."""
    assert main(["chat", reference, "-p", "x"]) == 2
    err = capsys.readouterr().err
    assert hint in err
    assert err.count("\n") == 1


def test_a_reader_that_leaves_stops_the_model_quietly(tmp_path: Path) -> None:
    """`langplug chat ... | head -c 3` stops the model, complains of nothing and exits with 0."""
    stopped = tmp_path / "stopped"
    process = subprocess.Popen(
        command(ref("endless"), "-p", "x"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(STOPPED=str(stopped)),
    )
    assert process.stdout
    assert b"on " == os.read(process.stdout.fileno(), 3)
    process.stdout.close()
    _, err = process.communicate(timeout=LIMIT_S)
    assert (0, b"") == (process.returncode, err)
    assert stopped.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_an_error() -> None:
    """An answer that cannot be written exits with 1 and says why."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command(ref("echo"), "-p", "x"), stdout=full, stderr=subprocess.PIPE, check=False)
    message = "langplug: the answer cannot be written to stdout: No space left on device\n"
    assert (1, message) == (done.returncode, done.stderr.decode())


def test_ctrl_c_stops_the_answer_and_the_model(tmp_path: Path) -> None:
    """Ctrl-C closes the model's stream, ends the line, and exits with 130 without a word."""
    stopped = tmp_path / "stopped"
    process = subprocess.Popen(
        command(ref("endless"), "-p", "x"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(STOPPED=str(stopped)),
    )
    assert process.stdout
    first = os.read(process.stdout.fileno(), 3)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=LIMIT_S)
    assert (130, b"") == (process.returncode, err)
    assert re.fullmatch(rb"(on and )+\n", first + rest)
    assert stopped.exists()
