"""The statements as tests of pytest."""

import os
import re
import sys
from pathlib import Path

import pytest
from tests.check import subjects

from langplug_check import Check, ContractTests, Result, all_checks
from langplug_check.in_pytest import report_outcome
from langplug_check.process.launch import Program, launch

ROOT = Path(__file__).parents[2]


def outcomes(folder: Path, *args: str) -> dict[str, str]:
    """What became of each test, in a pytest of its own."""
    program = Program(
        module="pytest",
        arguments=["-vv", "-rA", "-p", "no:cacheprovider", *args],
        path=[str(ROOT), *sys.path],
        folder=str(folder),
    )
    with (folder / "output").open("w+b") as output, Path(os.devnull).open("rb") as nothing:
        launch(program, stdin=nothing.fileno(), stdout=output.fileno(), stderr=output.fileno()).wait(60)
        output.seek(0)
        told = output.read().decode()
    lines = re.findall(r"(?m)^(PASSED|FAILED|SKIPPED|XFAIL|ERROR) (?:\[\d+\] )?(.*)$", told)
    assert lines, told
    return {rest: outcome for outcome, rest in lines}


MODULE = """
from langplug_check import ContractTests
from tests.check.subjects import Foreign

class TestMine(ContractTests):
    factory = Foreign
    isolated = False
    expected_failures = {"A01": "the base class ignores them", "A08": "wrongly expected"}
"""


def test_a_class_is_a_test_for_each_statement(tmp_path: Path) -> None:
    """A class that inherits has a test for each: passed, failed, skipped with its reason, or failing as expected."""
    (tmp_path / "test_mine.py").write_text(MODULE)
    told = outcomes(tmp_path, "-k", "A01 or A02 or A07 or A08 or A09")
    by_id = {name: outcome for rest, outcome in told.items() for name in re.findall(r"\[(\w+)\]", rest)}
    assert {"A01": "XFAIL", "A02": "FAILED", "A08": "FAILED", "A09": "PASSED"} == by_id
    assert any("it has no secrets" in rest for rest, outcome in told.items() if outcome == "SKIPPED")


def test_an_option_is_a_test_for_each_statement(tmp_path: Path) -> None:
    """`--langplug-check=REF` adds a test for each statement, which options choose."""
    option = "--langplug-check=tests.check.subjects:Foreign"
    told = outcomes(tmp_path, option, "--langplug-only=A02,A08,B12", "--langplug-skip=B")
    assert {"A02": "FAILED", "A08": "PASSED"} == {
        rest.split(" - ")[0].rsplit("::", 1)[1]: outcome for rest, outcome in told.items()
    }


OWN = """
from langplug_check import ContractTests, Failed, statement
from tests.check.subjects import Foreign

@statement("X01", "It says please.", why="We are polite.", hint="Say it.", needs=("answer",))
def polite(subject):
    '''Ask it.'''
    raise Failed(subject.answer(), "please")

@statement("X02", "It says something.", why="We are curious.", hint="Say it.", needs=("answer",))
def talkative(subject):
    '''Ask it.'''
    return subject.answer()

class TestMine(ContractTests):
    factory = Foreign
"""


def test_statements_of_ones_own_are_checked(tmp_path: Path) -> None:
    """A statement that a test file registers is a test like the others, in a process of its own too."""
    (tmp_path / "test_own.py").write_text(OWN)
    told = outcomes(tmp_path, "-k", "X01 or X02 or A08")
    by_id = {name: outcome for rest, outcome in told.items() for name in re.findall(r"\[(\w+)\]", rest)}
    assert {"X01": "FAILED", "X02": "PASSED", "A08": "PASSED"} == by_id


def test_no_statement_is_taken_out_in_silence() -> None:
    """Overriding what a class inherits, or expecting a failure of no check, is an error as the class is made."""
    with pytest.raises(TypeError, match="TestLess overrides test_statement: no statement can be left out like that"):
        type("TestLess", (ContractTests,), {"factory": subjects.Foreign, "test_statement": None})
    with pytest.raises(TypeError, match="overrides runner"):
        type("TestLess", (ContractTests,), {"runner": None})
    with pytest.raises(ValueError, match="names no check: A99"):
        type("TestOdd", (ContractTests,), {"expected_failures": {"A99": "?"}})


def test_what_a_result_is_to_pytest() -> None:
    """The model's failures fail with how to fix them; others' are expected; what was not seen is skipped."""
    check: Check = all_checks()["A01"]

    def settled(**result: str) -> str:
        try:
            report_outcome(check, Result(id="A01", **result))  # type: ignore[arg-type]
        except BaseException as outcome:  # noqa: BLE001 - pytest's outcomes are none of Exception
            return f"{type(outcome).__name__} {outcome}"
        return "passed"

    failed = settled(verdict="fail", observed="gone", expected="an error", noise="hum")
    assert failed.startswith("Failed A01 An unknown constructor keyword")
    for told in ("observed  gone", "expected  an error", check.hint.splitlines()[0], check.link, "hum"):
        assert told in failed
    assert settled(verdict="fail", observed="gone", blame="langchain-core").startswith("XFailed langchain-core's fault")
    assert settled(verdict="not observed", observed="out of sight") == "Skipped not observed: out of sight"
    assert settled(verdict="pass") == settled(verdict="advisory", observed="could be better") == "passed"
