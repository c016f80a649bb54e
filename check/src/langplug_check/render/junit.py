"""A report as JUnit XML, which CI servers read: a group is a class, a check is a test."""

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from langplug_check.findings import Findings

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no place for: https://www.w3.org/TR/xml/#charsets."""


def render_junit(report: Findings) -> str:
    """The report. What is not the model's own failure, or was not observed, is a skipped test with its reason."""
    failures = sum(result.counts_against for result in report.results)
    passed = sum(result.verdict == "pass" for result in report.results)
    suite = Element(
        "testsuite",
        name=f"langplug check {report.reference}",
        tests=str(len(report.found) + report.is_mute),
        failures=str(failures),
        errors=str(int(report.is_mute)),
        skipped=str(len(report.found) - passed - failures),
        time=f"{report.seconds:.3f}",
    )
    for found in report.found:
        check, result = found.check, found.result
        case = SubElement(
            suite,
            "testcase",
            classname=f"{report.model}.{check.group.letter}",
            name=f"{check.id} {check.statement}",
            time=f"{result.seconds:.3f}",
        )
        if result.counts_against:
            parts = (f"observed: {result.observed}", f"expected: {result.expected}", f"why: {check.why}")
            failure = SubElement(case, "failure", message=_clean(result.observed), type="Failed")
            failure.text = _clean("\n\n".join([*parts, check.hint, check.link]))
        elif result.verdict != "pass":
            whose = f" ({result.blame})" if result.verdict == "fail" else ""
            SubElement(case, "skipped", message=_clean(f"{result.verdict}{whose}: {result.observed}"))
        if result.noise:
            SubElement(case, "system-out").text = _clean(result.noise)
    if report.is_mute:  # otherwise a CI server would take a model that never answered for ready
        case = SubElement(suite, "testcase", classname=report.model, name="The model answers.", time="0.000")
        SubElement(case, "error", message=_clean(report.error), type="DoesNotAnswer")
    indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(suite, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
