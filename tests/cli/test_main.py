"""The command itself: finding verbs, help, errors, exit codes."""

import re
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import langplug
from langplug.cli import main

MODELS = Path(__file__).parent / "models.py"


def langplug_process(*args: str) -> list[str]:
    return [sys.executable, "-m", "langplug", *args]


def imports_after(*args: str) -> set[str]:
    """The modules that a process has imported by the time the command is done."""
    code = (
        "import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from langplug.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


VERBS = ("batch", "bench", "chat", "check", "completion", "explain", "new", "pull", "serve")


@pytest.mark.parametrize("args", [["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_is_quick(args: list[str]) -> None:
    """No help waits for langchain-core or pydantic, and each takes less than 300 ms of CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    modules = imports_after(*args)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert set() == modules & {"langchain_core", "pydantic", "asyncio"}
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.3


def test_help_lists_each_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """`langplug` alone, and `--help`, list the verbs, each with what it is for."""
    assert main([]) == 0
    alone = capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert not left.value.code
    assert alone == capsys.readouterr().out
    assert "chat     talk to a model in the terminal\n" in alone


def test_help_of_chat_names_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of `chat` names each environment variable that it looks at, and the exit codes."""
    with pytest.raises(SystemExit):
        main(["chat", "--help"])
    help_text = capsys.readouterr().out
    for variable in ("LANGPLUG_MODEL", "LANGPLUG_SYSTEM", "LANGPLUG_HISTORY", "LANGPLUG_DEBUG", "NO_COLOR"):
        assert variable in help_text
    assert "130 stopped by Ctrl-C" in help_text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the version."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert f"langplug {langplug.__version__}\n" == capsys.readouterr().out


def test_runs_as_a_module() -> None:
    """`python -m langplug` is the command."""
    done = subprocess.run(langplug_process("--version"), capture_output=True, text=True, check=True)
    assert f"langplug {langplug.__version__}\n" == done.stdout


def test_help_into_a_closed_pipe_is_quiet() -> None:
    """`langplug --help | true` neither complains nor fails."""
    process = subprocess.Popen(langplug_process("--help"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    process.stdout.close()
    _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(["chta"], "unknown verb 'chta', did you mean 'chat'?", id="verb"),
        pytest.param(["sing"], f"unknown verb 'sing', expected {' or '.join(VERBS)}", id="far from any verb"),
        pytest.param(
            ["chat", "--promt", "x"],
            "unknown option '--promt', did you mean '--prompt'? (see 'langplug chat --help')",
            id="option",
        ),
        pytest.param(
            ["chat", "--sys=x"],
            "unknown option '--sys', did you mean '--system'? (see 'langplug chat --help')",
            id="abbreviation",
        ),
        pytest.param(["--halp"], "unknown option '--halp', did you mean '--help'? (see 'langplug --help')", id="top"),
        pytest.param(["chat", "a:b", "c"], "unexpected argument 'c' (see 'langplug chat --help')", id="argument"),
        pytest.param(
            ["chat", "-p"],
            "argument -p/--prompt: expected one argument (see 'langplug chat --help')",
            id="value left out",
        ),
    ],
)
def test_wrong_use(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong use exits with 2 and one sentence on stderr, which suggests what is near."""
    assert main(args) == 2
    shown = capsys.readouterr()
    assert ("", f"langplug: {message}\n") == (shown.out, shown.err)


def test_an_error_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """What a model raises exits with 1 and one line on stderr; where it came from is not shown."""
    assert main(["chat", f"{MODELS}:failing", "-p", "x"]) == 1
    assert "langplug: RuntimeError: the wire is cut (--debug shows where)\n" == capsys.readouterr().err


def test_a_model_that_ends_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    """A model that calls `exit(0)` has not answered: that is a failure, and is said."""
    assert main(["chat", f"{MODELS}:leaving", "-p", "x"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "the model's code ended the program by SystemExit: 0" in shown.err
    assert main(["chat", f"{MODELS}:abandoning", "-p", "x"]) == 1
    assert capsys.readouterr().err


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning is said in one line, without a place in Python's code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["chat", f"{MODELS}:plain", "-p", "x", "--set", "top_p=0.5"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("langplug: IgnoredParameterWarning: plain ignores 'top_p'")
    assert err.count("\n") == 1


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_the_exit_codes(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each verb's help says what its exit codes mean: the same four for all of them. No line is wider than 80."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    told = capsys.readouterr().out
    assert re.search(r"exit codes: 0 .* 1 .* 2 .* 130 stopped by Ctrl-C", " ".join(told.split()))
    assert 80 >= max(map(len, told.splitlines()))


@pytest.mark.parametrize("by", ["flag", "environment"])
def test_debug_shows_the_traceback(
    by: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--debug`, or LANGPLUG_DEBUG, the traceback comes before the sentence."""
    if by == "environment":
        monkeypatch.setenv("LANGPLUG_DEBUG", "1")
    assert main(["chat", f"{MODELS}:failing", "-p", "x", *(["--debug"] if by == "flag" else [])]) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert 'in failing\n    raise RuntimeError("the wire\\nis cut")' in err
    assert err.endswith("langplug: RuntimeError: the wire is cut\n")
