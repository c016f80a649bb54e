"""The figures as tables, and what was aimed at."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peers.contestants import CONTESTANTS
from peers.scenarios import SCENARIOS

Samples = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]
"""The figures of every round, by scenario and by contestant's title."""

OURS = "ChatEndpoint"
PEERS = ("floor", "hand-written", "ChatOpenAI", "ChatLiteLLM")
SINGLE = ("invoke", "ainvoke", "paced", "burst", "first")
UNITS = {"invoke": "us", "ainvoke": "us", "paced": "us", "burst": "us", "first": "ms"}
NONE = "–"


@dataclass(frozen=True, slots=True)
class Middle:
    """The median of some rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """As in a cell of a table."""
        if self.low == self.high:
            return shown(self.median)
        return f"{shown(self.median)} ({shown(self.low)} to {shown(self.high)})"


def shown(number: float) -> str:
    """Three digits of a number, or the whole number."""
    for limit, digits in ((10, 2), (100, 1)):
        if abs(number) < limit:
            return f"{number:.{digits}f}"
    return f"{number:,.0f}"


def middle(samples: Samples, scenario: str, title: str, unit: str) -> Middle | None:
    """The median of a contestant's figures; None where there are none."""
    values = sorted(one[unit] for one in samples.get(scenario, {}).get(title, ()) if unit in one)
    return Middle(statistics.median(values), values[0], values[-1]) if values else None


def ratio(samples: Samples, scenario: str, ours: str, theirs: str, unit: str) -> float | None:
    """Ours to theirs, of medians."""
    mine, other = middle(samples, scenario, ours, unit), middle(samples, scenario, theirs, unit)
    return mine.median / other.median if mine and other else None


# --- tables ---


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of Markdown."""
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def single_table(samples: Samples) -> list[str]:
    """One call at a time: a row for each contestant."""
    units = {"us": "µs", "ms": "ms"}
    per = {"invoke": " per call", "ainvoke": " per call", "paced": " per token", "burst": " per token", "first": ""}
    head = ["", *(f"{SCENARIOS[name].title}, {units[UNITS[name]]}{per[name]}" for name in SINGLE)]
    rows = []
    for title in CONTESTANTS:
        cells = [middle(samples, name, title, UNITS[name]) for name in SINGLE]
        if any(cells):
            rows.append([_row_name(title), *(str(cell or NONE) for cell in cells)])
    return table(head, rows)


def many_table(samples: Samples) -> list[str]:
    """Many streams at a time: a row for each contestant."""
    columns = [
        ("200", "us", "200: µs per token"),
        ("1000", "us", "1,000: µs per token"),
        ("1000", "rate", "1,000: tokens per second"),
        ("held", "kib", "1,000: KiB per stream"),
    ]
    rows = []
    for title in CONTESTANTS:
        cells = [middle(samples, name, title, unit) for name, unit, _ in columns]
        if any(cells):
            rows.append([_row_name(title), *(str(cell or NONE) for cell in cells)])
    return table(["", *(head for _, _, head in columns)], rows)


def ratio_table(samples: Samples) -> list[str]:
    """What ChatEndpoint takes of what each peer takes, with the same listener."""
    columns = [*((name, UNITS[name]) for name in SINGLE), ("200", "us"), ("1000", "us"), ("held", "kib")]
    head = ["ChatEndpoint as a share of", *(_ratio_head(name, unit) for name, unit in columns)]
    rows = []
    for listener in ("", ", with callbacks", ", with async callbacks"):
        for peer in PEERS:
            found = [ratio(samples, name, OURS + listener, peer + listener, unit) for name, unit in columns]
            if any(found):
                rows.append([peer + listener, *(NONE if cell is None else f"{cell:.2f}" for cell in found)])
    return table(head, rows)


def _ratio_head(name: str, unit: str) -> str:
    return "memory of 1,000 streams" if unit == "kib" else SCENARIOS[name].title


def _row_name(title: str) -> str:
    return f"**{title}**" if title.startswith(OURS) else title


# --- aims ---


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure to reach.

    Attributes:
        what: What is measured.
        most: What it may be.
        got: What it is; None: not measured.
        unit: Behind the number.
    """

    what: str
    most: float
    got: float | None
    unit: str = ""

    @property
    def verdict(self) -> str:
        """Whether it is reached."""
        if self.got is None:
            return "not measured"
        return "met" if self.got <= self.most else "**missed**"


def aims(samples: Samples) -> Iterator[Aim]:
    """What `ChatEndpoint` is to reach, and what it does."""
    cpu = "1,000 streams, CPU per token"
    yield Aim(f"{cpu}, as a share of hand-written", 0.20, ratio(samples, "1000", OURS, "hand-written", "us"))
    yield Aim(f"{cpu}, as a share of ChatOpenAI", 0.12, ratio(samples, "1000", OURS, "ChatOpenAI", "us"))
    callbacks = ", with callbacks"
    yield Aim(f"{cpu}{callbacks}, as a share of hand-written{callbacks}", 0.35,
              ratio(samples, "1000", OURS + callbacks, "hand-written" + callbacks, "us"))  # fmt: skip
    yield Aim(f"{cpu}{callbacks}, as a share of hand-written without", 0.35,
              ratio(samples, "1000", OURS + callbacks, "hand-written", "us"))  # fmt: skip
    tasks = ", with async callbacks"
    yield Aim(f"{cpu}{tasks}, as a share of hand-written{tasks}", 0.35,
              ratio(samples, "1000", OURS + tasks, "hand-written" + tasks, "us"))  # fmt: skip
    for listener in ("", callbacks):
        memory = middle(samples, "held", OURS + listener, "kib")
        yield Aim(f"1,000 streams, memory per stream{listener}", 40, memory.median if memory else None, " KiB")


def aims_rows(aims: Iterable[Aim]) -> list[list[str]]:
    """A row for each aim, and whether it is reached."""
    return [
        [aim.what, f"≤ {aim.most:g}{aim.unit}", NONE if aim.got is None else shown(aim.got) + aim.unit, aim.verdict]
        for aim in aims
    ]


def aims_table(samples: Samples) -> list[str]:
    """The aims, and whether they are reached."""
    return table(["figure", "aim", "measured", ""], aims_rows(aims(samples)))


# --- the page ---


def page(record: Mapping[str, Any]) -> str:
    """All of it as Markdown, between the markers of `docs/en/reference/performance.md`."""
    samples: Samples = record["samples"]
    parts = [
        [f"{record['machine']}; {record['versions']}."],
        [f"Rounds: {rounds(samples, record['load'])}."],
        ["### Aims", "", *aims_table(samples)],
        ["### Ratios", "", *ratio_table(samples)],
        ["### One call at a time", "", *single_table(samples)],
        ["### Many streams at once", "", *many_table(samples)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def rounds(samples: Samples, load: Mapping[str, str]) -> str:
    """How many rounds each scenario had, who took part in fewer, and how busy the machine was at its start."""
    told = []
    for name, by_title in samples.items():
        counts = {title: len(found) for title, found in by_title.items()}
        most = max(counts.values(), default=0)
        fewer = "".join(f", {title} {count}" for title, count in counts.items() if count < most)
        told.append(f"{SCENARIOS[name].title} {most}{fewer} (load {load.get(name, 'unknown')})")
    return "; ".join(told)


def between_markers(text: str, begin: str, end: str, new: str) -> str:
    """`text` with `new` between the lines `begin` and `end`.

    Raises:
        ValueError: If a marker is not there.
    """
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"The page lacks a marker: expected {begin!r} and, after it, {end!r}.")
    return f"{before}{begin}\n\n{new}\n\n{end}{after}"
