"""The pages that are written by a program, from a mark on: `python -m tests.docs.generated` writes them anew.

What stands before the mark is written by hand, in both languages. What follows it comes from the code, with headings
and titles of columns in the language of the page; docstrings, help and statements are in English in both.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.docs import mirrored
from tests.docs.pages import MARK, ROOT
from tests.docs.reference import api, command_line, formats, pictures, servers, statements, wires
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

PICTURES: Mapping[str, Callable[[Language], str]] = {
    "reference/answer.svg": pictures.answer,
    "reference/house.svg": pictures.house,
}
"""Pictures, which are generated wholly."""


LANGUAGES: tuple[Language, ...] = ("en", "zh")


def path_of(page: str, language: Language) -> Path:
    """Where a page lies."""
    return ROOT / "docs" / language / page


def text_of(page: str, language: Language) -> str:
    """What has to stand in a page: what somebody wrote before the mark, and what the code says; or a picture."""
    if page in PICTURES:
        return PICTURES[page](language)
    text = path_of(page, language).read_text(encoding="utf-8")
    mark = MARK.search(text)
    assert mark, f"{path_of(page, language)} lacks the mark behind which it is generated"
    return text[: mark.end()] + "\n" + GENERATED[page](language)


def main() -> None:
    """Write all that there is in either language."""
    for page in mirrored.pages():
        mirrored.write(page)
    for page in [*GENERATED, *PICTURES]:
        for language in LANGUAGES:
            path = path_of(page, language)
            if (page in PICTURES or path.exists()) and not is_right(page, language):
                path.write_text(text_of(page, language), encoding="utf-8")
                sys.stdout.write(f"{path.relative_to(ROOT)}\n")


def is_right(page: str, language: Language) -> bool:
    """Whether a page, or a picture, is what it has to be."""
    path = path_of(page, language)
    return path.exists() and text_of(page, language) == path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
