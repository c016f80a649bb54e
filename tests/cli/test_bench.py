"""`langplug bench` at the command line."""

import json
from pathlib import Path

import pytest

import langplug.cli

MODEL = """
import asyncio
import signal
from langplug import chat_model

@chat_model
def quick(request, *, words: int = 3):
    for _ in range(words):
        yield "word "

@chat_model
def failing(request):
    raise ValueError("it fails here")

@chat_model
async def stopping(request):
    stopping.calls = getattr(stopping, "calls", 0) + 1
    if stopping.calls == 5:
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()
    return "done"

@chat_model
async def stopping_at_once(request):
    signal.raise_signal(signal.SIGINT)
    await asyncio.Event().wait()
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A reference to a file of models, in a folder of its own."""
    (tmp_path / "mine.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return "./mine.py:quick"


def test_a_model_is_measured(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures go to stdout, and the reports into files; two of them are compared."""
    options = ["--concurrency", "1,2", "--calls", "4", "--set", "words=7", "--json", "a.json", "--html", "a.html"]
    assert langplug.cli.main(["bench", model, *options]) == 0
    told = capsys.readouterr().out
    assert "one by one: 4 calls" in told
    assert "2 at once: 4 calls" in told
    report = json.loads(Path("a.json").read_text())
    assert report["stages"][0]["figures"]["pieces"]["mean"] == 7
    assert Path("a.html").read_text().startswith("<!doctype html>")
    assert langplug.cli.main(["bench", "compare", "a.json", "a.json"]) == 0
    assert "0 of 12 figures became worse by more than 10 %." in capsys.readouterr().out
    report["stages"][0]["figures"]["e2e"]["p50"] *= 2
    Path("b.json").write_text(json.dumps(report))
    assert langplug.cli.main(["bench", "compare", "a.json", "b.json"]) == 1
    assert "1 of 12 figures became worse" in capsys.readouterr().out
    assert langplug.cli.main(["bench", "compare", "a.json", "b.json", "--allow", "150"]) == 0


def test_ctrl_c_ends_it_with_a_report(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends a measurement: what was measured until then is told and written, with exit code 130."""
    assert langplug.cli.main(["bench", "./mine.py:stopping", "--json", "a.json"]) == 130
    told = capsys.readouterr().out
    assert "one by one: 3 calls" in told
    assert "Ended before its time." in told
    assert json.loads(Path("a.json").read_text())["was_ended"]


def test_json_to_stdout(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json -, stdout holds the report alone."""
    assert langplug.cli.main(["bench", model, "--calls", "2", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 1


def test_against_raw(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the model costs beyond its own function is told in microseconds, of so many calls as were asked for."""
    assert langplug.cli.main(["bench", model, "--against", "raw", "--calls", "7", "--json", "a.json"]) == 0
    told = capsys.readouterr().out
    assert "µs a piece" in told
    assert told.count(" pieces, 7 calls") == 2
    assert json.loads(Path("a.json").read_text())["model"]["calls"] == 7


def test_ctrl_c_ends_against_raw(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends a comparison with the function, too, and says what it has."""
    assert langplug.cli.main(["bench", "./mine.py:stopping", "--against", "raw", "--calls", "5"]) == 130
    assert "Ended before its time.\nraw " in capsys.readouterr().out
    assert langplug.cli.main(["bench", "./mine.py:stopping_at_once", "--against", "raw"]) == 130
    assert "before anything was measured" in capsys.readouterr().err


def test_a_gate_that_measured_nothing_is_shut(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A report without measured calls, or without a load that was measured before, has exit code 1, and it is said."""
    assert langplug.cli.main(["bench", model, "--concurrency", "1,2", "--calls", "2", "--json", "a.json"]) == 0
    report = json.loads(Path("a.json").read_text())
    Path("b.json").write_text(json.dumps(report | {"stages": report["stages"][:1], "was_ended": True}))
    capsys.readouterr()
    assert langplug.cli.main(["bench", "compare", "a.json", "b.json"]) == 1
    told = capsys.readouterr()
    assert "Measured in the first report, and not in the second: 2 at once." in told.out
    assert "the second was ended before its time" in told.err
    assert langplug.cli.main(["bench", "compare", "b.json", "a.json"]) == 0
    for stage in report["stages"]:
        stage["figures"] = {"calls": {"measured": 0}}
    Path("b.json").write_text(json.dumps(report))
    for before in ("a.json", "b.json"):
        assert langplug.cli.main(["bench", "compare", before, "b.json"]) == 1
    assert capsys.readouterr().out.count("There is nothing to compare") == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full is Linux's")
def test_what_can_be_written_is(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One output that fails takes no other with it, and the exit code says so."""
    assert langplug.cli.main(["bench", model, "--calls", "2", "--json", "/dev/full", "--html", "a.html"]) == 1
    told = capsys.readouterr()
    assert "one by one: 2 calls" in told.out
    assert "the report cannot be written" in told.err
    assert Path("a.html").read_text().startswith("<!doctype html>")


def test_failures_are_the_exit_code(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that fails is told of, with its error, and the exit code says so."""
    assert langplug.cli.main(["bench", "./mine.py:failing", "--calls", "3"]) == 1
    assert "3 × ValueError: it fails here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--concurrency", "two"], "--concurrency takes numbers"),
        (["--concurrency", "0"], "must be above 0"),
        (["--rate", "0"], "must be above 0"),
        (["--rate", "inf"], "have an end"),
        (["--slo-ttft", "0"], "the limit of ttft is 0"),
        (["--poisson"], "--poisson is about --rate"),
        (["--calls", "0"], "calls is 0"),
        (["--concurrency", "2", "--rate", "2"], "not allowed with"),
        (["--sweep", "--rate", "2"], "not allowed with"),
        (["--warmup", "-1"], "warmup is -1"),
        (["--against", "raw", "--concurrency", "4"], "leave out --concurrency"),
        (["--against", "raw", "--set", "words=4"], "leave out --set"),
        (["--against", "raw", "--poisson"], "leave out --poisson"),
        (["--against", "raw", "--warmup", "0"], "leave out --warmup"),
        (["--against", "raw", "--slo-ttft", "5"], "leave out --slo-ttft"),
        (["--against", "raw", "--calls", "0"], "calls is 0"),
        (["--allow", "5"], "leave out --allow"),
        (["--prompts", "none.jsonl"], "none.jsonl"),
        (["--prompts", "mine.py"], "must end in .jsonl"),
        (["--prompt-tokens", "1"], "the shortest prompt has"),
        (["more.json"], "unexpected argument"),
        (["--json", "no/such/folder.json", "--calls", "1"], "cannot be written"),
        (["--json", "."], "is a folder, and --json takes a file"),
        (["--html", "-"], "--html takes a file"),
        (["--json", "a.json", "--html", "./a.json"], "--json and --html are the same file"),
        (["--prompts", "a.jsonl", "--json", "a.jsonl"], "--prompts and --json are the same file"),
    ],
)
def test_wrong_use(arguments: list[str], said: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is said in one sentence, with exit code 2."""
    assert langplug.cli.main(["bench", model, *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["a.json"], "compare two reports"),
        (["a.json", "b.json", "--html", "a.html"], "leave out --html"),
        (["a.json", "b.json", "--concurrency", "2"], "leave out --concurrency"),
        (["a.json", "b.json", "--with", "words=2"], "leave out --with"),
        (["a.json", "b.json"], "a.json cannot be read as a report: "),
        (["mine.py", "mine.py"], "mine.py cannot be read as a report: JSON"),
    ],
)
def test_wrong_comparison(files: list[str], said: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be compared is said, with exit code 2."""
    assert langplug.cli.main(["bench", "compare", *files]) == 2
    assert said in capsys.readouterr().err
