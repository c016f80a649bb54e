"""`docs/en/reference/scoreboard-servers.md`, as last generated: whole, and langplug's servers without a failure."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from langplug_check.servers.statement import all_server_checks

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "en" / "reference" / "scoreboard-servers.md"

OURS = ["langplug serve", "langplug serve, SmolLM2"]
OF_A_WEAK_MODEL = ("S50", "S51", "S52", "S53", "S54", "S55", "S57", "S58")
"""Statements that a model which calls no tools and writes no JSON shows nothing of."""


def cells(line: str) -> list[str]:
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split(" | ")]


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    """The rows of the table of all statements, by their ids; the head's under an empty one."""
    table = PAGE.read_text(encoding="utf-8").partition("## Statement by statement")[2].splitlines()
    head = next(line for line in table if line.startswith("| |"))
    return {"": cells(head)} | {cells(line)[0]: cells(line) for line in table if re.match(r"\| S\d", line)}


def test_every_statement_has_its_row(rows: dict[str, list[str]]) -> None:
    """There is a row for each statement, a sign in each column, and their number at the top."""
    statements = all_server_checks()
    assert [*statements] == [name for name in rows if name]
    assert {len(rows[""])} == {len(row) for row in rows.values()}
    assert all(all(row[1:]) for row in rows.values())
    assert f"\nThe {len(statements)} statements " in PAGE.read_text(encoding="utf-8")


def test_our_servers_fail_nothing(rows: dict[str, list[str]]) -> None:
    """langplug's server stands there without a failure, before a model that does what it is told and a real one."""
    assert OURS == rows[""][2:4]
    assert [] == [name for name, row in rows.items() if "✗" in row[2:4]]


def test_a_weak_model_is_no_fault(rows: dict[str, list[str]]) -> None:
    """Where a server serves SmolLM2, what that model cannot do is not laid at the server's door."""
    page = PAGE.read_text(encoding="utf-8")
    weak = [cells(line)[0] for line in page.splitlines() if "| SmolLM2" in line]
    assert len(weak) >= 3
    columns = [rows[""].index(name) for name in weak]
    assert [] == [name for name in OF_A_WEAK_MODEL if "✗" in [rows[name][column] for column in columns]]


def test_others_stand_beside_them(rows: dict[str, list[str]]) -> None:
    """At least five servers of others are compared, with their versions."""
    versions = [cells(line)[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| [\w*]", line)]
    assert len(rows[""]) - 4 >= 5
    assert len([one for one in versions if re.fullmatch(r"\d+\.\d[\w.]*", one)]) >= 7


@pytest.fixture
def script() -> ModuleType:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("scoreboard_of_servers", ROOT / "scoreboard" / "servers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_server_is_started_checked_and_stopped(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The script starts a server as a program of its own, with a key, and gives what was found, and the version."""
    found = script.checked("langplug serve", only=["S10", "S22", "S81"])
    assert {"S10": "pass", "S22": "pass", "S81": "pass"} == {one["id"]: one["verdict"] for one in found["results"]}
    assert re.fullmatch(r"\d+\.\d[\w.]*", found["version"])
    assert capsys.readouterr().err.startswith("langplug serve: 0 not kept")
    assert script.KEY not in json.dumps(found)
    page = script.page({"langplug serve": found})
    assert "| **langplug serve** |" in page
    assert "| S22 | A stream ends with `data: [DONE]`, once, and nothing comes behind it. | ✓ |" in page
