"""A report, in each of its forms."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from langplug_check import Found, Report, Result, all_checks

HOSTILE = "<script>alert('x')</script> | \x1b[2J\x07 &amp; ``` \x85"
"""What a model may say: nobody's page, table or terminal is to obey it."""


def found(name: str, **result: str) -> Found:
    return Found(all_checks()[name], Result(id=name, **result))  # type: ignore[arg-type]


REPORT = Report(
    model="acme.ChatAcme",
    reference="acme:model",
    versions={"langchain-core": "1.7.2"},
    driver="plain",
    where="in a process of their own",
    found=[
        found("A01", verdict="fail", observed=HOSTILE, expected="an error", noise=HOSTILE),
        found("A02", verdict="pass", observed="kept"),
        found("A07", verdict="not applicable", observed="it has no secrets"),
        found("B06", verdict="fail", observed="the old key", blame="langchain-core"),
        found("B11", verdict="advisory", observed="one is not mapped"),
        found("B12", verdict="not observed", observed="out of sight"),
    ],
    seconds=1.25,
)
READY = replace(REPORT, found=REPORT.found[1:])


def test_a_report_is_ready_without_failures_of_the_model() -> None:
    """A failure of the model's own makes it not ready; one of langchain-core's does not, and is counted apart."""
    assert (False, True) == (REPORT.ready, READY.ready)
    assert (
        "not ready: 1 failed, 1 not its own, 1 pass, 1 advisory, 1 not applicable, 1 not observed" == REPORT.summary()
    )
    assert (
        "ready, as far as could be seen: 1 pass, 1 advisory, 1 not applicable, 1 not observed, 1 not its own"
        == READY.summary()
    )


def test_a_model_that_does_not_answer_is_not_ready() -> None:
    """Without an answer, hardly anything was observed: that is no pass, and a CI server sees an error."""
    mute = replace(READY, error="ConnectionError: no server there")
    assert (False, True) == (mute.ready, replace(mute, found=mute.found[:2]).ready)
    assert mute.summary().startswith("not ready: it does not answer here (ConnectionError: no server there), 1 not its")
    suite = ET.fromstring(mute.to_junit())
    assert ("6", "0", "1") == (suite.get("tests"), suite.get("failures"), suite.get("errors"))
    assert ["ConnectionError: no server there"] == [error.get("message") for error in suite.findall(".//error")]


def test_a_hint_is_shown_once() -> None:
    """If two failures have the same fix, the second names the first."""
    twins = replace(REPORT, found=[found(name, verdict="fail", observed="?") for name in ("C07", "C12")])
    text = twins.to_text()
    first_line = all_checks()["C07"].hint.splitlines()[0]
    assert (1, 1) == (text.count(first_line), text.count("fix       as for C07"))


def test_a_model_of_which_nothing_is_known_is_advised() -> None:
    """Where much could not be observed, the text says how more can be; not where the model is known."""
    assert "--dialect openai --with base_url={url}" in " ".join(REPORT.to_text().split())
    assert "--dialect" not in replace(REPORT, driver="wire").to_text()


def test_the_text_shows_each_failure_and_how_to_fix_it() -> None:
    """Observed, expected, why, the lines that fix it, and a link; the model's own failures first."""
    text = REPORT.to_text(width=80)
    check = all_checks()["A01"]
    for told in ("expected  an error", "why       LangChain's base class", check.hint.splitlines()[0], check.link):
        assert told in text
    assert text.index("A01") < text.index("B06") < text.index("B11")
    assert "(the fault is langchain-core's)" in " ".join(text.split())
    assert "? B12: out of sight" in text
    assert " ".join(text.split()).endswith(REPORT.summary())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_screen(width: int) -> None:
    """No line is wider than the screen but for code and links, which can be copied."""
    code = [*all_checks()["A01"].hint.splitlines(), *all_checks()["B06"].hint.splitlines()]
    code += all_checks()["B11"].hint.splitlines()
    prose = [line for line in REPORT.to_text(width=width).splitlines() if not any(one and one in line for one in code)]
    prose = [line for line in prose if "https://" not in line]
    assert [] == [line for line in prose if len(line) > width]


def test_what_a_model_said_does_not_command_the_terminal() -> None:
    """Control characters of a model are shown; the only ones are those that colour."""
    for verbose in (False, True):
        plain = REPORT.to_text(verbose=verbose)
        coloured = REPORT.to_text(colour=True, verbose=verbose)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", plain)
        assert plain == re.sub(r"\x1b\[\d+m", "", coloured)


def test_more_is_shown_when_asked() -> None:
    """`verbose` shows what passed, with what was seen, and what the model printed."""
    assert "kept: kept" not in REPORT.to_text(width=200)
    assert "kept: kept" in REPORT.to_text(width=200, verbose=True)
    assert "printed" in REPORT.to_text(verbose=True)


def test_the_json_has_a_version_and_everything() -> None:
    """The JSON names its schema, the verdict on the whole, and each result with its statement."""
    told = json.loads(REPORT.to_json())
    assert (1, False, "acme:model") == (told["schema"], told["ready"], told["reference"])
    assert ["A01", "A02", "A07", "B06", "B11", "B12"] == [one["id"] for one in told["results"]]
    assert HOSTILE == told["results"][0]["observed"]
    assert all_checks()["A01"].hint == told["results"][0]["hint"]
    assert 6 == sum(told["counts"].values())


def test_the_junit_counts_only_failures_of_the_model() -> None:
    """A CI server sees one failure, and the rest that did not pass as skipped, each with its reason."""
    suite = ET.fromstring(REPORT.to_junit())
    assert ("6", "1", "4") == (suite.get("tests"), suite.get("failures"), suite.get("skipped"))
    failures = suite.findall(".//failure")
    assert 1 == len(failures)
    assert "an error" in str(failures[0].text)
    skipped = [str(one.get("message")) for one in suite.findall(".//skipped")]
    assert "fail (langchain-core): the old key" in skipped


def test_the_markdown_shows_what_a_model_said_as_text() -> None:
    """No tag and no bar of a model's becomes part of the page."""
    rendered = MarkdownIt("commonmark").enable("table").render(REPORT.to_markdown())
    assert "<script>" not in rendered
    rows = re.findall(r"<tr>(.*?)</tr>", rendered, re.DOTALL)
    assert {4} == {row.count("<t") for row in rows}


def test_the_html_needs_nothing_else() -> None:
    """One page: no script, no file, no address but links; what a model said is text in it."""
    page = REPORT.to_html()
    assert "<script" not in page
    assert not re.search(r"<(link|img|iframe)|url\(|@import|src=", page)
    assert "&lt;script&gt;" in page
    assert 6 == page.count("<details")
    assert ["A01", "B06"] == re.findall(r'<details id="(\w+)" open>', page)


def many(count: int, **result: str) -> list[Found]:
    """This many failures, of all ranks."""
    names = [name for name, check in all_checks().items() if check.in_contract][:count]
    return [found(name, **{"verdict": "fail", "observed": "x" * 200, **result}) for name in names]


@pytest.mark.parametrize("count", [0, 1, 3, 10, 40, 150])
@pytest.mark.parametrize("origin", ["langplug", "hand-written"])
def test_the_text_fits_on_two_screens(count: int, origin: str) -> None:
    """However much failed or could not be seen, the report has at most 48 lines of 80 columns; `whole` shows it all."""
    report = replace(REPORT, found=[*many(count), *many(150, verdict="not observed")[count:]], origin=origin)
    lines = report.to_text(width=80).splitlines()
    assert 48 >= sum(max(1, -(-len(line) // 80)) for line in lines)
    assert " ".join(lines).rstrip().endswith(report.summary().split()[-1])
    whole = report.to_text(width=80, whole=True)
    assert count == whole.count("\n  observed  ")
    assert lines == report.to_text(width=80).splitlines()
    if count >= 40:
        assert "--all shows each" in "\n".join(lines)


def test_the_worst_comes_first() -> None:
    """Failures are in the order of how much they matter: must, should, could; those of others come last."""
    ranks = [failure.check.rank for failure in replace(REPORT, found=many(150)).failures]
    assert {"must", "should", "could"} == set(ranks)
    assert ranks == sorted(ranks, key=["must", "should", "could"].index)
    entries = json.loads(REPORT.to_json())["results"]
    assert {"must", "should", "could"} >= {entry["rank"] for entry in entries}


@pytest.mark.parametrize(
    ("origin", "count", "advised"),
    [
        ("hand-written", 9, "change the base class: `class ChatAcme(langplug.ChatModel)`"),
        ("hand-written", 9, "`langplug.adopt(model)`"),
        ("installed", 9, "`langplug.adopt(model)`"),
        ("hand-written", 1, ""),
        ("langplug", 9, ""),
    ],
)
def test_the_cheapest_fix_comes_first(origin: str, count: int, advised: str) -> None:
    """Of many failures of somebody else's class, the report says first what fixes most of them at once."""
    report = replace(REPORT, found=many(count), origin=origin)
    assert bool(advised) is bool(report.advice)
    assert advised in report.advice
    text = " ".join(report.to_text(width=100).split())
    assert bool(advised) is ("The cheapest fix: " in text)
    assert not advised or text.index("The cheapest fix: ") < text.index("observed")


def test_what_was_seen_in_part_is_said() -> None:
    """A statement that was partly observed is no failure, has a sign of its own, and qualifies "ready"."""
    report = replace(READY, found=[found("M01", verdict="partly observed", observed="its answers are all the same")])
    assert report.ready
    assert "ready, as far as could be seen: 1 partly observed" == report.summary()
    assert "◐ M01: its answers are all the same" in report.to_text()
    assert "its answers are all the same" in report.to_html()
    assert "0" == ET.fromstring(report.to_junit()).get("failures")
