"""langchain-tests' own cases, as a group of the report."""

import pytest

from langplug_check import Report, check
from langplug_check.session import select_checks


@pytest.mark.timeout(300)  # it is somebody else's whole test suite
def test_its_cases_are_a_group_of_the_report() -> None:
    """Each case has its verdict, and each skip says whether it matters."""
    report = check("tests.check.subjects:Echo", only=["T"])
    found = {one.check.id: one for one in report.found}
    assert "pass" == found["T:test_invoke"].result.verdict
    assert "Test to verify that `model.invoke(simple_message)` works." == found["T:test_invoke"].check.statement
    assert "not applicable" == found["T:test_tool_calling_async"].result.verdict
    assert "It does not matter: the model does not claim it." in found["T:test_tool_calling_async"].result.observed
    assert ["T"] == [group.letter for group, _ in report.groups()]
    assert isinstance(report, Report)


@pytest.mark.timeout(300)  # as above
def test_the_cases_fit_what_the_model_is_and_was_made_with() -> None:
    """No case fails for a way to get objects that the model refuses, or for an argument that it was made with."""
    report = check("tests.check.subjects:make_limited", only=["T"])
    found = {one.check.id: one.result for one in report.found}
    assert [] == report.with_verdict("fail")
    assert "pass" == found["T:test_standard_params"].verdict
    assert "pass" == found["T:test_structured_output[pydantic]"].verdict
    refused = found["T:test_with_structured_output[PersonA]"]
    assert "not applicable" == refused.verdict
    assert "the model calls no tools" in refused.observed


def test_they_are_no_checks_of_ours() -> None:
    """They are chosen and left out by their letter."""
    assert [] == select_checks(["T"])
    assert 0 < len(select_checks(["A08"]))


@pytest.mark.timeout(300)  # as above
def test_what_became_of_them_cannot_be_forged() -> None:
    """What a model writes into any file of its process is not taken for what became of the cases."""
    report = check("tests.check.hostile:ForgesCases", only=["T"])
    assert "T:test_forged" not in {one.check.id for one in report.found}
    assert not [one for one in report.with_verdict("pass") if "invoke" in one.check.id]
    assert not report.ready
