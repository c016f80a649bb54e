"""The pages that are written by a program, from a mark on: `python -m tests.docs.generated` writes them anew.

What stands before the mark is written by hand, in both languages. What follows it comes from the code, with headings
and titles of columns in the language of the page; docstrings, help and statements are in English in both.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.docs.pages import MARK, ROOT
from tests.docs.reference import api, command_line, formats, servers, statements, wires
from tests.docs.reference.writing import Language

GENERATED: Mapping[str, Callable[[Language], str]] = {
    "reference/command-line.md": command_line.verbs,
    "reference/formats.md": formats.formats,
    "reference/servers.md": servers.servers,
    "reference/statements.md": statements.statements,
    "reference/wires.md": wires.fields,
    **{f"reference/api/{name}.md": api.page_of(package) for package, name in api.PACKAGES.items()},
}
"""What follows the mark of each page."""


def path_of(page: str, language: Language) -> Path:
    """Where a page lies."""
    return ROOT / "docs" / language / page


def text_of(page: str, language: Language) -> str:
    """What has to stand in a page: what somebody wrote before the mark, and what the code says."""
    text = path_of(page, language).read_text(encoding="utf-8")
    mark = MARK.search(text)
    assert mark, f"{path_of(page, language)} lacks the mark behind which it is generated"
    return text[: mark.end()] + "\n" + GENERATED[page](language)


def main() -> None:
    """Write all pages that there are in either language."""
    for page in GENERATED:
        for language in ("en", "zh"):
            path = path_of(page, language)
            if path.exists() and (text := text_of(page, language)) != path.read_text(encoding="utf-8"):
                path.write_text(text, encoding="utf-8")
                sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
