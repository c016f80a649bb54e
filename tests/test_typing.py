"""Typing is part of the API: mypy and pyright find what is illegal in `typing/api.py`, and nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

API = Path(__file__).parent / "typing" / "api.py"
ROOT = API.parent.parent.parent

Errors = dict[int, set[str]]
"""The codes of the errors in each line."""

COMMENTS = {"mypy": r"# type: ignore\[(.*?)\]", "pyright": r"# pyright: ignore\[(.*?)\]"}


def expected(checker: str) -> Errors:
    """The errors that the comments announce."""
    lines = enumerate(API.read_text().splitlines(), start=1)
    found = {number: re.search(COMMENTS[checker], line) for number, line in lines}
    return {number: set(match[1].split(", ")) for number, match in found.items() if match}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The file without the comments that make a checker pass over its errors."""
    text = API.read_text()
    for comment in COMMENTS.values():
        text = re.sub(comment, "", text)
    path = tmp_path / "api.py"
    path.write_text(text)
    return path


def run(*command: str) -> list[str]:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "" == done.stderr
    return done.stdout.splitlines()


def by_mypy(path: Path) -> Errors:
    errors: Errors = {}
    for line in run("mypy", "--strict", "--output", "json", "--no-error-summary", str(path)):
        error = json.loads(line)
        if error["severity"] == "error":
            errors.setdefault(error["line"], set()).add(error["code"])
    return errors


def by_pyright(path: Path) -> Errors:
    errors: Errors = {}
    project = path.with_name("pyrightconfig.json")  # else the one of this repository would name an environment
    project.write_text(json.dumps({"include": [path.name], "extraPaths": [str(ROOT / "src")], "pythonVersion": "3.11"}))
    command = ("pyright", "--project", str(project), "--pythonpath", sys.executable, "--outputjson")
    report = json.loads("\n".join(run(*command)))
    for error in report["generalDiagnostics"]:
        line = error["range"]["start"]["line"] + 1
        errors.setdefault(line, set()).add(error.get("rule", error["message"]))
    return errors


def test_there_are_illegal_uses_to_find() -> None:
    """Every illegal line announces an error of each checker."""
    assert len(expected("mypy")) > 25
    assert set(expected("pyright")) <= set(expected("mypy"))


def test_mypy_finds_what_is_illegal(bare: Path) -> None:
    """`mypy --strict`, without a plugin, reports exactly the announced errors."""
    assert expected("mypy") == by_mypy(bare)


@pytest.mark.timeout(120)
def test_pyright_finds_what_is_illegal(bare: Path) -> None:
    """pyright in strict mode reports exactly the announced errors."""
    assert expected("pyright") == by_pyright(bare)
