"""`langplug new`: the packages that it makes, and what it refuses. `tests/new/installed.py` installs them, too."""

import ast
import json
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import langplug.cli
from langplug.new import TEMPLATES, Answers, check_name, read_answers, render

LONGEST = "langplug-" + "long-" * 6 + "x"
"""A name of 40 characters."""

ONE_OF_EACH = [
    template if template == "function" else pytest.param(template, marks=pytest.mark.thorough("function says the same"))
    for template in TEMPLATES
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test makes its packages in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def make(*args: str, code: int = 0) -> None:
    assert code == langplug.cli.main(["new", *args])


def python(*args: str, inside: Path) -> str:
    """What Python prints, in a package's folder and with its sources on the path, as if it were installed."""
    path = os.pathsep.join([str(inside.resolve() / "src"), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, *args],
        cwd=inside,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- what is made ---


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_package_is_whole(template: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It has everything that a package is published with, and the next three commands are printed."""
    make("acme", "--template", template, "--author", "Ada", "--description", 'A "model".')
    files = {path.relative_to("acme").as_posix() for path in Path("acme").rglob("*") if path.is_file()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", ".gitignore", ".github/workflows/test.yml"}
    wanted |= {f"src/acme/{name}" for name in ("__init__.py", "model.py", "py.typed")}
    wanted |= {f"tests/test_{name}.py" for name in ("contract", "langchain", "model")}
    assert wanted == files - {"src/acme/program.py"}
    project = tomllib.loads(Path("acme/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert 'A "model".' == project["description"]
    assert [{"name": "Ada"}] == project["authors"]
    assert ["acme"] == list(project["entry-points"]["langplug.models"])
    assert "Copyright (c) Ada" in Path("acme/LICENSE").read_text(encoding="utf-8")
    steps = yaml.safe_load(Path("acme/.github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]["test"]["steps"]
    assert "${{ matrix.python }}" in [step["with"]["python-version"] for step in steps if "with" in step]
    runs = [step["run"] for step in steps if "run" in step]
    assert ["pip install -e '.[lint,test]'", "pytest"] == [runs[0], runs[-1]]
    assert ("langplug pull smollm2" in runs) == (template == "weights")
    commands = capsys.readouterr().out.splitlines()
    assert ["cd acme && pip", "langplug check acme", "langplug chat acme"] == [commands[0][:14], *commands[1:]]


@pytest.mark.parametrize("name", ["a", "acme", "langchain-acme", LONGEST])
def test_generated_code_keeps_its_own_style(name: str) -> None:
    """Whatever the name, ruff finds nothing to complain of or to format, with the package's own settings."""
    for template in TEMPLATES:
        make(name, "--template", template, "--dir", template)
        python("-m", "ruff", "check", "--quiet", inside=Path(template))
        python("-m", "ruff", "format", "--quiet", "--check", inside=Path(template))


@pytest.mark.parametrize("template", ONE_OF_EACH)
def test_generated_code_is_typed(template: str) -> None:
    """`mypy --strict` finds nothing, with the package's own settings."""
    make("acme", "--template", template)
    python("-m", "mypy", inside=Path("acme"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_package_passes_its_own_tests(template: str) -> None:
    """Its tests pass at once: its own, and those that LangChain has for every integration."""
    make("acme", "--template", template)
    python("-m", "pytest", "-q", "tests/test_model.py", "tests/test_langchain.py", inside=Path("acme"))


@pytest.mark.parametrize("template", ONE_OF_EACH)
def test_a_package_is_ready(template: str) -> None:
    """`langplug check` finds nothing that its model has to mend."""
    make("acme", "--template", template)
    symbol = "acme:chat_acme" if template == "function" else "acme:ChatAcme"
    report = json.loads(python("-m", "langplug", "check", symbol, "--json", inside=Path("acme")))
    assert report["ready"]


@given(
    name=st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,40}[A-Za-z0-9])?", fullmatch=True),
    text=st.text(min_size=1).filter(lambda text: text.isprintable() and bool(text.strip())),
    template=st.sampled_from(list(TEMPLATES)),
)
def test_whatever_it_is_told(name: str, text: str, template: str) -> None:
    """A name is refused, or leads to Python and TOML that can be read; what people write comes back to the letter."""
    try:
        normal = check_name(name)
    except ValueError:
        return
    answers = Answers(name=normal, template=template, author=text, description=text)
    files = render(answers)
    for path, content in files.items():
        if path.endswith(".py"):
            ast.parse(content)
            assert 120 >= max(map(len, content.splitlines()), default=0)
    project = tomllib.loads(files["pyproject.toml"])
    assert (normal, text) == (project["project"]["name"], project["project"]["description"])
    assert {"name": normal, "template": template, "author": text, "description": text} == project["tool"][
        "langplug-new"
    ]


# --- what is asked and refused ---


def typed(answers: bytes, folder: Path) -> subprocess.CompletedProcess[str]:
    """What `langplug new` does on a terminal on which this is typed."""
    master, slave = pty.openpty()
    os.write(master, answers)
    command = [sys.executable, "-m", "langplug", "new"]
    done = subprocess.run(command, stdin=slave, capture_output=True, text=True, cwd=folder, timeout=60, check=False)
    os.close(slave)
    os.close(master)
    return done


def test_whoever_leaves_has_no_package(tmp_path: Path) -> None:
    """At Ctrl-D nothing is written, and that is said."""
    done = typed(b"acme\n\x04", tmp_path)
    assert 2 == done.returncode
    assert "the input has ended, and no package was made" in done.stderr
    assert [] == list(tmp_path.iterdir())


def test_on_a_terminal_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    """An empty answer takes the default, which the question shows; one that cannot be is asked for again."""
    done = typed(b"class\nAcme_Chat\ncomand\ncommand\n\nA model of mine.\n", tmp_path)
    assert 0 == done.returncode, done.stderr
    assert "Author [acme-chat contributors]: " in done.stderr
    assert "'class' is a keyword of Python" in done.stderr
    assert "unknown template 'comand', did you mean 'command'?" in done.stderr
    told = Answers(
        name="acme-chat", template="command", author="acme-chat contributors", description="A model of mine."
    )
    assert told == read_answers(tmp_path / "acme-chat")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is not a name for a package"),
        ("acme/chat", "is not a name for a package"),
        ("-acme", "unknown option"),
        ("acme-", "is not a name for a package"),
        ("größe", "is not a name for a package"),
        ("3cpo", "begins with a digit"),
        ("class", "is a keyword of Python"),
        ("json", "is a module of Python's standard library: choose another, such as 'langchain-json'"),
        ("LangChain.Core", "is a package that a chat model needs itself"),
        ("a" * 41, "41 characters: expected 40 at most"),
    ],
)
def test_a_name_that_cannot_be(name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that PyPI or Python would not take, or that hides another module, is refused with the reason."""
    make(name, code=2)
    assert reason in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--author", "--description"])
@pytest.mark.parametrize("text", ["", " ", "two\nlines", "a bell \a"])
def test_a_text_that_cannot_be(option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An author and a description are one line of text."""
    make("acme", option, text, code=2)
    assert "is not one line of text" in capsys.readouterr().err


def test_without_a_name_and_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked who is not there."""
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        make(code=2)
    assert "the NAME of the package is missing" in capsys.readouterr().err


@pytest.mark.parametrize("there", ["LICENSE", "src/acme/model.py"])
def test_nothing_is_overwritten(there: str, capsys: pytest.CaptureFixture[str]) -> None:
    """If one of the files is there, it is named, and nothing is written; other files in the folder do no harm."""
    mine = Path("acme") / there
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    make("acme", code=2)
    assert f"holds {there} already" in capsys.readouterr().err
    assert ("mine", [mine]) == (mine.read_text(), [path for path in Path("acme").rglob("*") if path.is_file()])
    mine.rename(mine.with_name("other.txt"))
    make("acme")


def test_a_file_is_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """A file in the place of the folder, or of one around it, is named, and left alone."""
    Path("acme").write_text("mine")
    for more in ([], ["--dir", "acme/inside"]):
        make("acme", *more, code=2)
        assert "'acme' is a file, and not a folder" in capsys.readouterr().err
    assert "mine" == Path("acme").read_text()


# --- a newer template ---


def test_a_new_package_does_not_differ(capsys: pytest.CaptureFixture[str]) -> None:
    """`--diff` finds nothing in what was just made."""
    make("acme", "--author", 'Ada "A" \\ 北京', "--dir", "here")
    capsys.readouterr()
    make("--diff", "--dir", "here")
    assert "" == capsys.readouterr().out


def test_what_a_template_would_change_is_a_patch(capsys: pytest.CaptureFixture[str]) -> None:
    """What `--diff` prints makes the files what the template says: changed, missing and unended ones."""
    make("acme", "--template", "command")
    before = {path: path.read_text() for path in Path("acme").rglob("*") if path.is_file()}
    Path("acme/README.md").write_text("# Mine")
    Path("acme/LICENSE").unlink()
    model = Path("acme/src/acme/model.py")
    model.write_text(model.read_text().replace('"messages"', '"prompt"'))
    capsys.readouterr()
    make("acme", "--diff", code=1)
    patch = capsys.readouterr().out
    assert '+    input: Literal["auto", "prompt", "text", "messages", "request"] | None = "messages"\n' in patch
    subprocess.run(["git", "apply", "-p1", "-"], cwd="acme", input=patch, text=True, check=True)
    assert before == {path: path.read_text() for path in Path("acme").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (None, "there is no"),
        ("[project", "is not TOML"),
        ("[project]\nname = 'x'", "expected a table [tool.langplug-new]"),
        ("tool = 3", "expected a table [tool.langplug-new]"),
    ],
)
def test_a_package_that_was_not_made_so(written: str | None, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without what `langplug new` was told, nothing can be compared, and the reason is said."""
    if written is not None:
        Path("pyproject.toml").write_text(written)
    make("--diff", code=2)
    assert reason in capsys.readouterr().err
