"""`langplug check` and `langplug explain`: what they print, where, and how they end."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from langplug.cli import main
from langplug_check import Step
from langplug_check.cli.progress import Progress

FOREIGN = "tests.check.subjects:Foreign"
REFERENCE = "tests.check.bench:Reference"


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(args)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_model_that_is_not_ready(capsys: pytest.CaptureFixture[str]) -> None:
    """The report goes to stdout, how far it is to stderr, and the exit code is 1."""
    code, out, err = run(capsys, "check", FOREIGN, "--only", "A01", "A08", "--here")
    assert 1 == code
    assert out.startswith(f"{FOREIGN}\n")
    assert "✗ A01" in out
    assert out.endswith("not ready: 1 failed, 1 pass\n")
    assert "2 of 2 checks, 1 failed\n" == err


def test_a_model_that_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a failure the exit code is 0; without --here, the checks run in a process of their own."""
    code, out, _ = run(capsys, "check", FOREIGN, "--only", "A08", "B12", "--skip", "B12")
    assert (0, True) == (code, out.endswith("ready: 1 pass\n"))
    assert "1 checks in a process of their own" in out


SPEAKS = """
from langplug.models import ChatEndpoint

class Speaks(ChatEndpoint):
    base_url: str = "http://127.0.0.1:9/v1"
"""

OWN = """
from langplug_check import Failed, statement

@statement("X01", "It says please.", why="We are polite.", hint="Say it.", needs=("answer",))
def polite(subject):
    "Ask it."
    raise Failed(subject.answer(), "please")
"""


def test_a_model_is_pointed_at_the_backend(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--dialect and --with say how a model is made that speaks to a server."""
    (tmp_path / "speaks.py").write_text(SPEAKS)
    how = ("--dialect", "openai", "--with", "base_url={url}", "--with", "model=stub")
    code, out, _ = run(capsys, "check", f"{tmp_path}/speaks.py:Speaks", *how, "--only", "C15", "--json")
    report = json.loads(out)
    assert (0, True, "wire") == (code, report["ready"], report["driver"])


def test_statements_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--statements names modules that register statements, which are listed, explained and checked like the others."""
    (tmp_path / "polite_statements.py").write_text(OWN)
    option = ("--statements", f"{tmp_path}/polite_statements.py")
    script = "import sys; from langplug.cli import main; sys.exit(main(sys.argv[1:]))"
    for args, code, told in (
        (("--list",), 0, "X. Statements of your own\n  X01  It says please.\n"),
        (("--explain", "X01"), 0, "fix\n          Say it.\n"),
        ((FOREIGN, "--only", "X01"), 1, "expected  please"),
    ):
        done = subprocess.run(  # in a process of its own: what is registered stays
            [sys.executable, "-c", script, "check", *args, *option], capture_output=True, text=True, check=False
        )
        assert (code, True) == (done.returncode, told in done.stdout), done.stdout + done.stderr


def test_the_report_is_written_in_every_form(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """JUnit, Markdown and HTML, each into its file."""
    forms = {"junit": "r.xml", "markdown": "r.md", "html": "r.html"}
    files = [part for form, name in forms.items() for part in (f"--{form}", str(tmp_path / name))]
    code, _, _ = run(capsys, "check", FOREIGN, "--only", "A08", "--here", *files)
    assert 0 == code
    assert "1" == ET.parse(tmp_path / "r.xml").getroot().get("tests")
    assert (tmp_path / "r.md").read_text().startswith(f"# `{FOREIGN}`")
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(("form", "name"), [("html", "no/r.html"), ("junit", ""), ("markdown", ".")])
def test_a_report_that_cannot_be_written(
    form: str, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file that cannot be written is wrong use, and is said before anything is checked."""
    code, out, err = run(capsys, "check", FOREIGN, "--only", "A08", "--here", f"--{form}", str(tmp_path / name))
    assert (2, "") == (code, out)
    assert f"langplug: --{form}: " in err
    assert str(tmp_path) in err


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["--only", "A08", FOREIGN, "--here"], id="after the ids"),
        pytest.param(["--only", "A08", "B12", "--skip", "B12", FOREIGN, "--here"], id="after the ids of the last"),
        pytest.param(["--only", "A08", "--here", FOREIGN], id="after another option"),
        pytest.param(["--only", "A08,B12", "--skip=B12", FOREIGN, "--here"], id="lists with commas"),
        pytest.param(["--here", FOREIGN, "--only", "A08"], id="between options"),
    ],
)
def test_a_reference_is_found_beside_ids(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The reference may stand anywhere: `--only` takes ids, one after another or with commas, and nothing else."""
    code, out, _ = run(capsys, "check", *args)
    assert (0, True) == (code, out.startswith(f"{FOREIGN}\n"))
    assert out.endswith("ready: 1 pass\n")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "which model? Give a reference"),
        ([FOREIGN, "--only", "A1"], "unknown check 'A1', did you mean A01? (--list"),
        ([FOREIGN, "--skip", "zzz"], "unknown check 'zzz' (--list shows them all)"),
        (["--explain", "A6b"], "did you mean A06b"),
        ([FOREIGN, "--only", "A01", "--skip", "A"], "no check is left: of A01, A is skipped"),
        ([FOREIGN, "--with", "base_url={url}"], "{url} needs --dialect"),
        ([FOREIGN, "--dialect", "openai"], "--dialect needs to know where the URL goes"),
        ([FOREIGN, "--dialect", "openai", "--with", "{url}"], "'{url}' is not NAME=VALUE, such as base_url={url}"),
        ([FOREIGN, "--dialect", "french"], "invalid choice: 'french'"),
        ([FOREIGN, "--statements", "no_such_module"], "cannot import 'no_such_module' (--statements)"),
        (["--list", "--only", "T"], "are known once they run"),
        ([FOREIGN, "--onyl", "A01"], "unknown option '--onyl', did you mean '--only'?"),
    ],
)
def test_wrong_use(capsys: pytest.CaptureFixture[str], args: list[str], told: str) -> None:
    """What is unknown is an error that suggests what was meant, with exit code 2."""
    code, out, err = run(capsys, "check", *args)
    assert (2, "") == (code, out)
    assert told in err


@pytest.mark.parametrize("reference", ["no.such:model", "tests.check.subjects:Unmakeable", "nonsense"])
def test_a_model_that_cannot_be_had(capsys: pytest.CaptureFixture[str], reference: str) -> None:
    """Without a model there is one sentence, and no report."""
    code, out, err = run(capsys, "check", reference, "--here")
    assert (2, "", 1) == (code, out, err.count("\n"))
    code, out, err = run(capsys, "explain", reference)
    assert (2, "", 1) == (code, out, err.count("\n"))


def test_a_sentence_of_the_kit_stands_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What the test kit says is shown as it is, as langplug's own sentences are: no class of an error before it."""
    (tmp_path / "leaves.py").write_text("import os; os._exit(3)")
    code, out, err = run(capsys, "check", f"{tmp_path}/leaves.py:model")
    assert (2, "") == (code, out)
    assert err.startswith("langplug: importing or making the model ended badly: ")


def test_the_checks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Group after group, each with its statement; --only and --skip choose."""
    code, out, _ = run(capsys, "check", "--list", "--only", "A", "N03", "--skip", "A01")
    assert 0 == code
    assert out.startswith("A. Construction, configuration, secrets\n  A02  The standard parameters")
    assert "\n\nN. Token counting, profile\n  N03  `profile` is None" in out


@pytest.mark.parametrize("args", [("--list", "--only", "A"), ("--explain", "a07")], ids=" ".join)
def test_what_is_said_of_checks_as_json(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints JSON that names its schema, and nothing else, whatever is asked for."""
    code, out, err = run(capsys, "check", *args, "--json")
    told = json.loads(out)
    assert (0, "", "langplug.checks/1") == (code, err, told["schema"])
    assert "A07" in [check["id"] for check in told["checks"]]


def test_settings_of_a_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`--with` sets constructor arguments, for `check` and `explain` as for every verb."""
    reference = "tests.cli.models:Needy"
    for verb in (["check", "--only", "A08"], ["explain"]):
        code, _, err = run(capsys, *verb, reference)
        assert (2, True) == (code, "--with word=..." in err)
        code, out, _ = run(capsys, *verb, reference, "--with", "word=hello")
        assert (0, True) == (code, out.startswith(f"{reference}\n"))


def test_a_check_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """What it is about, how it looks, and how to fix what it finds."""
    code, out, _ = run(capsys, "check", "--explain", "a07")
    assert 0 == code
    assert out.startswith("A07  No secret shows")
    for told in ("why       Keys end up", "how       Plant a marked key", "see       https://", "api_key: SecretStr"):
        assert told in out


def test_a_model_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """In plain words, or as JSON."""
    code, out, _ = run(capsys, "explain", FOREIGN)
    assert (0, True) == (code, "stream              The whole answer at once" in out)
    code, out, _ = run(capsys, "explain", FOREIGN, "--json")
    assert (0, FOREIGN) == (code, json.loads(out)["reference"])


def test_colour_is_wanted_or_not(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR colours the report."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, out, _ = run(capsys, "check", FOREIGN, "--only", "A08", "--here")
    assert "\x1b[32m✓\x1b[0m A" in out


def test_a_check_that_is_stopped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it with 130, and what had failed is told."""
    monkeypatch.setattr(Progress, "show", interrupted_after(Progress.show, 2))
    code, out, err = run(capsys, "check", FOREIGN, "--only", "A", "--here")
    assert (130, "") == (code, out)
    assert "stopped after 2 checks; failed: A01, A02\n" == err


def interrupted_after(show: Callable[[Progress, Step], None], checks: int) -> Callable[[Progress, Step], None]:
    def showing(self: Progress, step: Step) -> None:
        show(self, step)
        if step.done == checks:
            raise KeyboardInterrupt

    return showing
