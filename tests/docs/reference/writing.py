"""What generated pages are written with."""

from collections.abc import Iterable
from typing import Literal

Language = Literal["en", "zh"]


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table, an empty cell being a dash; cells are Markdown, and a `|` in one is none of the table's."""
    lines = [list(titles), *map(list, rows)]
    cells = [[cell.replace("|", "\\|") or "–" for cell in line] for line in lines]
    head, *rest = (f"| {' | '.join(line)} |" for line in cells)
    return "\n".join([head, "|" + "---|" * len(cells[0]), *rest]) + "\n"
