"""A report as text for a terminal: a table of the groups, one screen wide, then each failure and how to mend it."""

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from langplug_check.findings import Findings, Found
from langplug_check.verdicts import Verdict

MARKS: Mapping[Verdict, str] = {"pass": "✓", "fail": "✗", "advisory": "~", "not applicable": "–", "not observed": "?"}
"""A sign for each verdict."""

_PICTURES = {**{code: 0x2400 + code for code in range(0x20) if code != 0x0A}, 0x7F: 0x2421}
"""What a model said must not command the terminal: control characters are shown as their pictures."""

OTHERS_FAULT = "!"
"""The sign for a failure that is not the model's own."""

WORST_FIRST: Sequence[Verdict] = ("fail", "advisory", "not observed", "pass", "not applicable")

_COLOURS: Mapping[str, str] = {"✓": "32", "✗": "31", "!": "33", "~": "33", "–": "2", "?": "36", "dim": "2", "bold": "1"}

_LABEL = 10
"""Columns of the words before what is told of a failure."""


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours a text, where it is to be coloured."""

    on: bool

    def __call__(self, text: str, colour: str) -> str:
        """The text, coloured by a sign or a style."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.on and colour in _COLOURS else text


def render_text(report: Findings, *, width: int = 100, colour: bool = False, verbose: bool = False) -> str:
    """The report, at most `width` columns wide."""
    paint = Paint(colour)
    lines = [
        *_head(report, paint, width),
        "",
        *_table(report, paint, width),
        *(_passed(report, paint, width) if verbose else ()),
    ]
    mended: dict[str, str] = {}
    for found in [*report.failures, *report.with_verdict("advisory")]:
        first = mended.setdefault(found.check.hint, found.check.id)
        lines += ["", *_failure(found, paint, width, verbose=verbose, mended_by=first)]
    if reasons := _reasons(report, paint, width):
        lines += ["", *reasons, *(paint(line, "dim") for line in _advice(report, width))]
    lines += ["", *(paint(line, "bold") for line in textwrap.wrap(report.summary(), width))]
    return "\n".join(lines) + "\n"


def mark(found: Found) -> str:
    """The sign for what was found."""
    result = found.result
    return OTHERS_FAULT if result.verdict == "fail" and not result.counts_against else MARKS[result.verdict]


def worst(found: Sequence[Found]) -> Found:
    """The one by which its group is judged: the model's own failures before those of others."""
    return min(found, key=lambda one: (WORST_FIRST.index(one.result.verdict), not one.result.counts_against))


def _head(report: Findings, paint: Paint, width: int) -> Iterator[str]:
    yield paint(report.reference, "bold")
    versions = " · ".join(f"{name} {version}" for name, version in report.versions.items())
    ran = f"{len(report.found)} checks {report.where}, {report.seconds:.1f} s"
    named = [] if report.model == report.reference else [report.model]
    for line in (*named, versions, ran):
        yield from (paint(part, "dim") for part in textwrap.wrap(line, width))


def _table(report: Findings, paint: Paint, width: int) -> Iterator[str]:
    room = max(20, width - 34)
    for group, found in report.groups():
        marks = mark(worst(found))
        counts: dict[str, int] = defaultdict(int)
        for one in found:
            counts[mark(one)] += 1
        shown = "  ".join(paint(f"{sign} {counts[sign]}", sign) for sign in "✓✗!~?–" if counts[sign])
        title = textwrap.shorten(group.title, room, placeholder="…")
        yield f"{paint(marks, marks)} {group.letter}  {title:<{min(room, 46)}}  {shown}"


def _passed(report: Findings, paint: Paint, width: int) -> Iterator[str]:
    yield ""
    for found in report.with_verdict("pass"):
        seen = f": {found.result.observed}" if found.result.observed else ""
        line = _tame(f"{found.check.id:<5}{found.check.statement.rstrip('.')}{seen}")
        first, *rest = textwrap.wrap(line, width - 2, subsequent_indent=" " * 5)
        yield f"{paint('✓', '✓')} {first}"
        yield from (f"  {more}" for more in rest)


def _failure(found: Found, paint: Paint, width: int, *, verbose: bool, mended_by: str) -> Iterator[str]:
    """What is told of a failure; of a hint that was given before, only where."""
    check, result = found.check, found.result
    sign = mark(found)
    blame = "" if result.blame == "model" else f"  (the fault is {_whose(found)})"
    named = f"{check.id:<5} {check.statement}{blame}"
    first, *more = textwrap.wrap(named, width - 2, subsequent_indent=" " * 6, break_on_hyphens=False)
    yield f"{paint(sign, sign)} {first.replace(check.id, paint(check.id, 'bold'), 1)}"
    yield from (f"  {line}" for line in more)
    told = [("observed", result.observed), ("expected", "" if result.expected == check.statement else result.expected)]
    for label, value in (*told, ("why", check.why)):
        yield from _labelled(label, value, paint, width)
    mend = check.hint.splitlines() if mended_by == check.id else [f"as for {mended_by}"]
    yield from (f"  {paint(f'{label:<{_LABEL}}', 'dim')}{line}".rstrip() for label, line in _first("mend", mend))
    if check.link:
        yield f"  {paint('see'.ljust(_LABEL), 'dim')}{check.link}"
    if verbose and result.noise:
        yield from (
            f"  {paint(f'{label:<{_LABEL}}', 'dim')}{line}"
            for label, line in _first("printed", _tame(result.noise).splitlines())
        )


def _tame(text: str) -> str:
    return "".join("\ufffd" if "\x80" <= char < "\xa0" else char for char in text.translate(_PICTURES))


def _whose(found: Found) -> str:
    return {"langchain-core": "langchain-core's", "backend": "the backend's", "model": "the model's"}[
        found.result.blame
    ]


def _first(label: str, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        yield ("" if number else label), line


def _labelled(label: str, value: str, paint: Paint, width: int) -> Iterator[str]:
    wrapped = textwrap.wrap(_tame(value), width - _LABEL - 2, break_on_hyphens=False) if value else []
    yield from (f"  {paint(f'{name:<{_LABEL}}', 'dim')}{line}" for name, line in _first(label, wrapped))


def _advice(report: Findings, width: int) -> list[str]:
    """How more of a model may be seen, of which nothing is known."""
    if report.driver not in ("plain", "echo"):
        return []
    text = (
        "If the model speaks to a server, have it speak to the test kit's own, and nearly all is observed: "
        "--dialect openai --set base_url={url} (or a Recipe, in Python)."
    )
    return ["", *textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)]


def _reasons(report: Findings, paint: Paint, width: int) -> list[str]:
    """What was not observed, by its reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for found in report.with_verdict("not observed"):
        by_reason[found.result.observed].append(found.check.id)
    lines: list[str] = []
    for reason, ids in by_reason.items():
        wrapped = textwrap.wrap(_tame(f"{', '.join(ids)}: {reason}"), width - 2)
        lines += [f"{paint('?', '?')} {wrapped[0]}", *(f"  {line}" for line in wrapped[1:])]
    return lines
