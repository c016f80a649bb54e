"""A report as text for a terminal: a table of the groups, one screen wide, then each failure and how to fix it."""

import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from langplug_check.findings import Findings, Found
from langplug_check.verdicts import Verdict

MARKS: Mapping[Verdict, str] = {
    "pass": "✓",
    "partly observed": "◐",
    "fail": "✗",
    "advisory": "~",
    "not applicable": "–",
    "not observed": "?",
}
"""A sign for each verdict."""

OTHERS_FAULT = "!"
"""The sign for a failure that is not the model's own."""

WORST_FIRST: Sequence[Verdict] = (
    "fail",
    "advisory",
    "not observed",
    "partly observed",
    "pass",
    "not applicable",
)

_COLOURS: Mapping[str, str] = {
    "✓": "32",
    "✗": "31",
    "!": "33",
    "~": "33",
    "–": "2",
    "?": "36",
    "◐": "36",
    "dim": "2",
    "bold": "1",
}

# What a model said must not command the terminal: control characters are shown as their pictures, from Unicode's block
# for that, and those beyond ASCII, which have none, as a replacement character. Line ends stay.
_PICTURES = {
    **{code: 0x2400 + code for code in range(0x20) if code != 0x0A},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}

_LABEL = 10
"""Columns of the words on the left of what is said about a failure."""

_ADVICE = (
    "If the model speaks to a server, have it speak to the test kit's own, and nearly everything is observed: "
    "--dialect openai --with base_url={url} (or a Recipe, in Python)."
)


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours text, if colours are on."""

    on: bool

    def __call__(self, text: str, colour: str) -> str:
        """The text, coloured by a sign or a style."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.on and colour in _COLOURS else text


SCREENS = 48
"""Lines of two screens of 24, which is what a report has."""

_SOME = 3
"""Lines that a list of ids has, where nothing is to be shown whole."""


def render_text(
    report: Findings, *, width: int = 100, colour: bool = False, verbose: bool = False, whole: bool = False
) -> str:
    """The report, at most `width` columns wide, except for code and links, which can be copied."""
    paint = Paint(colour)
    head = _head(report, paint, width)
    if verbose:
        head += ["", *_passed(report, paint, width)]
    advice: list[str] = []
    if report.advice:
        lines = textwrap.wrap(f"The cheapest fix: {report.advice}", width, break_on_hyphens=False)
        advice = ["", *(paint(line, "bold") for line in lines)]
    blocks: list[list[str]] = []
    fixed_by: dict[str, str] = {}
    shown = [*report.failures, *report.with_verdict("advisory")]
    for found in shown:
        first = fixed_by.setdefault(found.check.hint, found.check.id)
        blocks.append(["", *_failure(found, paint, width, verbose=verbose, fixed_by=first)])
    unseen = _unseen(report, paint, width)
    end: list[str] = []
    if unseen and report.driver in ("plain", "echo") and not report.is_mute:
        end += ["", *(paint(line, "dim") for line in textwrap.wrap(_ADVICE, width, break_on_hyphens=False))]
    end += ["", *(paint(line, "bold") for line in textwrap.wrap(report.summary(), width))]
    room = SCREENS - _height([*head, *advice, *end], width) - 1
    if not (verbose or whole) and sum(_height(block, width) for block in (*blocks, unseen)) > room:
        unseen = _cut(unseen, _SOME)
        blocks = _cut_blocks(shown, blocks, room - _height(unseen, width) - 1, paint, width)
    lines = [*head, *advice, *(line for block in blocks for line in block), *([""] if unseen else []), *unseen, *end]
    return "\n".join(lines) + "\n"


def _head(report: Findings, paint: Paint, width: int) -> list[str]:
    """What was checked, how, and a line for each group."""
    lines = [paint(report.reference, "bold")]
    versions = " · ".join(f"{name} {version}" for name, version in report.versions.items())
    ran = f"{len(report.found)} checks {report.where}, {report.seconds:.1f} s; {report.called}"
    for line in (*([] if report.model == report.reference else [report.model]), versions, ran):
        lines += [paint(part, "dim") for part in textwrap.wrap(line, width)]
    lines.append("")
    room = max(20, width - 34)  # what the sign, the letter and the counts leave for a title
    for group, inside in report.groups():
        sign, counts = mark(worst(inside)), Counter(map(mark, inside))
        shown = "  ".join(paint(f"{one} {counts[one]}", one) for one in "✓◐✗!~?–" if counts[one])
        title = textwrap.shorten(group.title, room, placeholder="…")
        lines.append(f"{paint(sign, sign)} {group.letter}  {title:<{min(room, 46)}}  {shown}")
    return lines


def _passed(report: Findings, paint: Paint, width: int) -> Iterator[str]:
    """What passed, with what was seen."""
    for found in report.with_verdict("pass"):
        seen = f": {found.result.observed}" if found.result.observed else ""
        line = _tame(f"{found.check.id:<5}{found.check.statement.rstrip('.')}{seen}")
        first, *more = textwrap.wrap(line, width - 2, subsequent_indent=" " * 5)
        yield f"{paint('✓', '✓')} {first}"
        yield from (f"  {part}" for part in more)


def _cut_blocks(
    found: Sequence[Found], blocks: Sequence[list[str]], room: int, paint: Paint, width: int
) -> list[list[str]]:
    """As many failures whole as there is room for, after which each has a line, and the last only their ids."""
    for wholes in range(len(blocks), -1, -1):
        rest = [_line_of(one, paint, width) for one in found[wholes:]]
        if sum(_height(block, width) for block in blocks[:wholes]) + len(rest) + 3 <= room:
            return [*blocks[:wholes], ["", *rest, paint(_MORE, "dim")]]
    lines = [_line_of(one, paint, width) for one in found[: max(0, room - 3 - _SOME)]]
    ids = ", ".join(one.check.id for one in found[len(lines) :])
    more = _cut(textwrap.wrap(f"and {ids}", width), _SOME)
    return [["", *lines, *more, paint(_MORE, "dim")]]


_MORE = "--all shows each with how to fix it."


def _line_of(found: Found, paint: Paint, width: int) -> str:
    """A failure in a line: how much it matters, its statement, and what was seen."""
    sign = mark(found)
    matters: str = found.check.rank if found.result.verdict == "fail" else "could"
    if sign == OTHERS_FAULT:
        matters = f"(the fault is {found.result.blame}'s)"
    said = f"{found.check.id:<5} {matters:<6} {found.check.statement.rstrip('.')}: {found.result.observed}"
    return f"{paint(sign, sign)} {_tame(' '.join(said.split(' ')))[: width - 3]}"


def _cut(lines: list[str], most: int) -> list[str]:
    """The first of these lines, and a sign that there were more."""
    return lines if len(lines) <= most else [*lines[: most - 1], f"  … {len(lines) - most + 1} lines more"]


def _height(lines: Sequence[str], width: int) -> int:
    """How many lines of a screen these take: code may be wider than it."""
    return sum(max(1, -(-len(re.sub(r"\x1b\[\d+m", "", line)) // width)) for line in lines)


def mark(found: Found) -> str:
    """The sign for what was found."""
    result = found.result
    return OTHERS_FAULT if result.verdict == "fail" and not result.counts_against else MARKS[result.verdict]


def worst(found: Sequence[Found]) -> Found:
    """The one that decides about its group: the model's own failures come before those of others."""
    return min(found, key=lambda one: (WORST_FIRST.index(one.result.verdict), not one.result.counts_against))


def _failure(found: Found, paint: Paint, width: int, *, verbose: bool, fixed_by: str) -> Iterator[str]:
    """What is said about a failure. A hint that was given before is not repeated: `fixed_by` names its check."""
    check, result = found.check, found.result
    sign = mark(found)
    blame = (
        "" if result.blame == "model" else f"  (the fault is {'the ' * (result.blame == 'backend')}{result.blame}'s)"
    )
    title = f"{check.id:<5} {check.statement}{blame}"
    first, *more = textwrap.wrap(title, width - 2, subsequent_indent=" " * 6, break_on_hyphens=False)
    yield f"{paint(sign, sign)} {first.replace(check.id, paint(check.id, 'bold'), 1)}"
    yield from (f"  {line}" for line in more)

    def wrap(value: str) -> list[str]:
        return textwrap.wrap(_tame(value), width - _LABEL - 2, break_on_hyphens=False)

    expected = "" if result.expected == check.statement else result.expected
    hint = check.hint.splitlines() if fixed_by == check.id else [f"as for {fixed_by}"]
    labelled = {"observed": wrap(result.observed), "expected": wrap(expected), "why": wrap(check.why), "fix": hint}
    labelled["see"] = [check.link] if check.link else []
    labelled["printed"] = _tame(result.noise).splitlines() if verbose else []
    for label, lines in labelled.items():
        for number, line in enumerate(lines):
            named = f"{'' if number else label:<{_LABEL}}"
            yield f"  {paint(named, 'dim')}{line}".rstrip()


def _unseen(report: Findings, paint: Paint, width: int) -> list[str]:
    """What was observed in part only, or not at all, by its reason."""
    lines: list[str] = []
    verdicts: Sequence[Verdict] = ("partly observed", "not observed")
    for verdict in verdicts:
        by_reason: dict[str, list[str]] = defaultdict(list)
        for found in report.with_verdict(verdict):
            by_reason[found.result.observed].append(found.check.id)
        sign = MARKS[verdict]
        for reason, ids in by_reason.items():
            first, *more = textwrap.wrap(_tame(f"{', '.join(ids)}: {reason}"), width - 2)
            lines += [f"{paint(sign, sign)} {first}", *(f"  {part}" for part in more)]
    return lines


def _tame(text: str) -> str:
    return text.translate(_PICTURES)
