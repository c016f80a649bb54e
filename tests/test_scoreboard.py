"""`docs/en/reference/scoreboard.md`, as last generated: whole, langplug's own models without a failure of their own."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from langplug_check.statement import all_checks

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "en" / "reference" / "scoreboard.md").read_text(encoding="utf-8")

OURS = ["@chat_model", "echo", "ChatScripted", "ChatCommand", "ChatGGUF", "ChatEndpoint", "ChatHTTP"]


def cells(line: str) -> list[str]:
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split(" | ")]


def test_every_statement_has_its_row() -> None:
    """There is a row for each statement of the contract, a sign in each column, and their number at the top."""
    rows = {cells(line)[0]: cells(line) for line in PAGE.splitlines() if re.match(r"\| [A-O]\d", line)}
    assert [check.id for check in all_checks().values() if check.in_contract] == list(rows)
    assert f"\nThe {len(rows)} statements " in PAGE
    assert {True} == {all(row) for row in rows.values()}


def test_our_models_fail_nothing_of_their_own() -> None:
    """Each of langplug's models stands there, and what it does not keep is not its fault."""
    summary = {cells(line)[0]: cells(line) for line in PAGE.splitlines() if re.match(r"\| \*\*", line)}
    assert OURS == list(summary)
    assert {"0"} == {row[2] for row in summary.values()}


def test_others_stand_beside_them() -> None:
    """At least six integrations are compared, with their versions."""
    others = [cells(line)[0] for line in PAGE.splitlines() if re.match(r"\| Chat\w+ \| \d", line)]
    assert len(others) >= 6
    assert "langchain-openai 1." in PAGE


def test_what_adoption_makes_of_them_stands_there() -> None:
    """Each model of others, and of hand-written classes, stands as it comes and adopted; of the latter none fails."""
    part = PAGE.partition("## As it comes, and adopted")[2].partition("## Statement")[0]
    rows = {cells(line)[0]: cells(line) for line in part.splitlines() if re.match(r"\| \w", line)}
    by_hand = {name: row for name, row in rows.items() if name.endswith("(by hand)")}
    assert len(by_hand) >= 11
    assert {"0"} == {row[4] for row in by_hand.values()}
    integrations = [row for name, row in rows.items() if name.startswith("Chat") and name not in by_hand]
    assert len(integrations) >= 10
    assert all(int(row[4]) < int(row[2]) for row in integrations)


@pytest.fixture
def scoreboard() -> ModuleType:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("scoreboard_script", ROOT / "scoreboard" / "scoreboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_tells_whose_fault_it_is(scoreboard: ModuleType) -> None:
    """Failures of the model's own are counted apart from langchain-core's, which are listed with their links."""
    verdicts = {"A01": ("fail", "model"), "M06b": ("fail", "langchain-core"), "B01": ("pass", "model")}
    results: list[dict[str, Any]] = [
        {"id": name, "verdict": verdict, "blame": blame} for name, (verdict, blame) in verdicts.items()
    ]
    page = scoreboard.page({"ChatX": {"results": results, "versions": {"x": "1.0"}}}, [])
    assert "| ChatX | 1 | 1 | 1 | 0 | 0 | 0 |" in page
    assert all_checks()["M06b"].link in page
    signs = {cells(line)[0]: cells(line)[-1] for line in page.splitlines() if re.match(r"\| [AMB]0", line)}
    assert ("✗", "✗ᶜ", "✓") == (signs["A01"], signs["M06b"], signs["B01"])
