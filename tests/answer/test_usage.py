"""The usage meter: totals, running totals, deltas, and nothing."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage

from langplug._answer.usage import UsageMeter
from langplug._parts import Usage

COUNTS = st.none() | st.integers(0, 9)
DETAILS = st.none() | st.dictionaries(st.sampled_from(["cache_read", "audio"]), st.integers(0, 9))


def test_deltas_of_details_add_up_too() -> None:
    """What a delta says of the details is added to what was said before; a total of them replaces it."""
    read, thought = Usage(input_token_details={"cache_read": 2}), {"reasoning": 3}
    deltas = [Usage(output_tokens=4, output_token_details={**thought}, delta=True)] * 2
    usage = measure(read, *deltas)
    assert usage is not None
    assert ({"cache_read": 2}, {"reasoning": 6}) == (usage["input_token_details"], usage["output_token_details"])
    usage = measure(read, *deltas, Usage(output_tokens=9, output_token_details={**thought}))
    assert usage is not None
    assert thought == usage["output_token_details"]


def measure(*reports: Usage) -> UsageMetadata | None:
    meter = UsageMeter()
    for report in reports:
        meter.add(report)
    return meter.result()


def counts(read: int, written: int) -> dict[str, int]:
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        pytest.param([Usage(input_tokens=3, output_tokens=4)], counts(3, 4), id="one final report"),
        pytest.param([Usage(input_tokens=3, output_tokens=4)] * 3, counts(3, 4), id="a repeated final report"),
        pytest.param([Usage(input_tokens=3, output_tokens=n) for n in (1, 2, 9)], counts(3, 9), id="running totals"),
        pytest.param([Usage(input_tokens=n, output_tokens=n) for n in (9, 4)], counts(4, 4), id="totals that fall"),
        pytest.param([Usage(input_tokens=3), Usage(output_tokens=4)], counts(3, 4), id="input first, output last"),
        pytest.param([Usage(output_tokens=2, delta=True)] * 3, counts(0, 6), id="deltas"),
        pytest.param(
            [Usage(input_tokens=3), Usage(output_tokens=2, delta=True), Usage(output_tokens=2, delta=True)],
            counts(3, 4),
            id="a total, then deltas",
        ),
        pytest.param(
            [Usage(output_tokens=2, delta=True), Usage(input_tokens=3, output_tokens=5)],
            counts(3, 5),
            id="a total replaces the deltas before it",
        ),
        pytest.param([Usage(input_tokens=3, total_tokens=9)], counts(3, 6), id="the total gives the output"),
        pytest.param([Usage(output_tokens=3, total_tokens=9)], counts(6, 3), id="the total gives the input"),
        pytest.param([Usage(output_tokens=9, total_tokens=3)], counts(0, 9), id="a total that is too small"),
        pytest.param([Usage(total_tokens=9)], counts(9, 0), id="a total alone"),
        pytest.param([Usage(input_tokens=3, output_tokens=4, total_tokens=99)], counts(3, 4), id="a wrong total"),
        pytest.param([Usage(input_tokens=0, output_tokens=0)], counts(0, 0), id="zero is a figure"),
    ],
)
def test_adds_up(reports: list[Usage], expected: dict[str, int]) -> None:
    """Totals replace, deltas add, and the total is always input plus output."""
    assert expected == measure(*reports)


@pytest.mark.parametrize("reports", [[], [Usage()], [Usage(input_token_details={"cache_read": 3})]])
def test_never_invents(reports: list[Usage]) -> None:
    """Where no count was reported there is no usage."""
    assert measure(*reports) is None


def test_details_are_ints() -> None:
    """Details without a value are left out; whole floats become ints; the last value of each key counts."""
    usage = measure(
        Usage(input_tokens=9, input_token_details={"cache_read": 1, "audio": None}),
        Usage(output_tokens=5.0, input_token_details={"cache_read": 4.0, "cache_creation": None}),  # type: ignore[dict-item, arg-type]
        Usage(output_token_details={"reasoning": 2}),
    )
    expected = counts(9, 5) | {"input_token_details": {"cache_read": 4}, "output_token_details": {"reasoning": 2}}
    assert expected == usage
    assert usage is not None
    assert '"output_tokens": 5,' in json.dumps(usage)
    assert '{"cache_read": 4}' in json.dumps(usage)


@given(st.lists(st.builds(Usage, input_tokens=COUNTS, output_tokens=COUNTS, input_token_details=DETAILS), min_size=1))
def test_the_last_report_of_each_field_counts(reports: list[Usage]) -> None:
    """Of totals, and of each key of the details, the last one counts, be it more or less than those before it."""
    usage = measure(*reports)
    for field in ("input_tokens", "output_tokens"):
        reported = [count for report in reports if (count := getattr(report, field)) is not None]
        assert reported[-1:] == ([usage[field]] if reported and usage else [])  # type: ignore[literal-required]
    details = {key: count for report in reports for key, count in (report.input_token_details or {}).items()}
    assert usage is None or details == usage.get("input_token_details", {})


def test_core_can_add_it() -> None:
    """The figures go through langchain-core's own addition, which fails on None and unequal types."""
    usage = measure(Usage(input_tokens=9, output_tokens=5, input_token_details={"cache_read": 4, "audio": None}))
    added = add_usage(usage, usage)
    assert counts(18, 10) | {"input_token_details": {"cache_read": 8}} == added
    assert (
        added
        == (
            AIMessageChunk(content="", usage_metadata=usage) + AIMessageChunk(content="", usage_metadata=usage)
        ).usage_metadata
    )


@pytest.mark.parametrize("value", [-1, 1.5, float("nan"), "3", True])
@pytest.mark.parametrize("delta", [False, True])
def test_refuses_what_is_no_count(value: Any, delta: bool) -> None:
    """A negative or broken count is a ValueError that names the field and leaves the meter as it was."""
    meter = UsageMeter()
    meter.add(Usage(input_tokens=3, output_tokens=4))
    with pytest.raises(ValueError, match=rf"output_tokens is {re.escape(repr(value))}"):
        meter.add(Usage(input_tokens=8, output_tokens=value, delta=delta))
    with pytest.raises(ValueError, match=r"output_token_details\['reasoning'\]"):
        meter.add(Usage(input_tokens=8, output_token_details={"reasoning": value}, delta=delta))
    assert counts(3, 4) == meter.result()


def test_refuses_details_that_are_no_mapping() -> None:
    """Details of another kind are a ValueError that names the field."""
    with pytest.raises(ValueError, match="input_token_details is 12"):
        measure(Usage(input_tokens=1, input_token_details=12))  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(0, 50))
def test_every_way_of_reporting_gives_the_same(steps: list[int], read: int) -> None:
    """Deltas, running totals and one final report of the same answer give the same figures."""
    deltas = [Usage(input_tokens=read)] + [Usage(output_tokens=step, delta=True) for step in steps]
    running = [Usage(input_tokens=read, output_tokens=sum(steps[: n + 1])) for n in range(len(steps))]
    final = [Usage(input_tokens=read, output_tokens=sum(steps))]
    assert counts(read, sum(steps)) == measure(*deltas) == measure(*running) == measure(*final)
