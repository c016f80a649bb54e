"""The figures as tables, and what was aimed at."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from peers.report import NONE, Aim, Middle, aims_rows, middle, ratio, shown, table

from servers.contestants import LITELLM, OURS, READY, SERVERS

Samples = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]
"""The figures of every round, by how many streams there were and by the server's title."""

MANY, MOST = "200", "1000"


def aims(samples: Samples) -> Iterator[Aim]:
    """What `langplug serve` is to reach, and what it does."""
    cpu = f"{MANY} streams, CPU per token"

    def ours(streams: str, unit: str) -> float | None:
        found = middle(samples, streams, OURS, unit)
        return found.median if found else None

    yield Aim(cpu, 45, ours(MANY, "us"), " µs")
    yield Aim(f"{cpu}, as a share of LiteLLM's proxy", 0.08, ratio(samples, MANY, OURS, LITELLM, "us"))
    yield Aim(f"{cpu}, as a multiple of aiohttp with ready bytes", 2, ratio(samples, MANY, OURS, READY, "us"))
    yield Aim(f"{MANY} streams at once, 99 of 100 first tokens within", 80, ours(MANY, "p99"), " ms")
    yield Aim(f"{MANY} streams, memory", 110, ours(MANY, "mb"), " MB")
    yield Aim("1,000 streams, CPU per token", 50, ours(MOST, "us"), " µs")
    yield Aim("1,000 streams, those that failed", 0, ours(MOST, "failed"))


def servers_table(samples: Samples, streams: str) -> list[str]:
    """A row for each server that was asked for so many streams at once."""
    units = {"us": "CPU per token, µs", "p50": "first token, median, ms", "p99": "99 of 100, ms", "mb": "memory, MB"}
    rows = []
    for title in SERVERS:
        cells: list[Middle | None] = [middle(samples, streams, title, unit) for unit in units]
        if any(cells):
            name = f"**{title}**" if title == OURS else title
            share = ratio(samples, streams, title, OURS, "us")
            rows.append([name, *(str(cell or NONE) for cell in cells), NONE if share is None else shown(share)])
    return table(["", *units.values(), f"CPU, {OURS} = 1"], rows)


def page(record: Mapping[str, Any]) -> str:
    """All of it as Markdown, between the markers of the page."""
    samples: Samples = record["samples"]
    parts = [
        [f"{record['date']}; {record['machine']}; {record['versions']}."],
        ["### Aims", "", *table(["figure", "aim", "measured", ""], aims_rows(aims(samples)))],
    ]
    for streams, found in samples.items():
        rounds = max(len(one) for one in found.values())
        head = f"### {int(streams):,} streams at once"
        told = f"{rounds} rounds, at load {record['load'][streams]}."
        parts.append([head, "", told, "", *servers_table(samples, streams)])
    return "\n\n".join("\n".join(lines) for lines in parts)
