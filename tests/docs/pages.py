"""The pages of the documentation, in English and in Chinese, and what stands in one.

`python -m tests.docs.pages stale` lists the Chinese pages whose English page has changed since, with what it says now;
`python -m tests.docs.pages renew PAGE…` notes that somebody has looked at it and brought the Chinese page up to date.
"""

import argparse
import hashlib
import re
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]

UNTRANSLATED: frozenset[str] = frozenset()
"""English pages that nobody has translated yet. The list only shrinks: a new page is written in both languages."""


def all_pages() -> list[Path]:
    """Every page that readers are led to."""
    at_the_door = [ROOT / "README.md", ROOT / "README.zh.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"]
    return [*(page for page in at_the_door if page.exists()), *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """How a page is called in lists and in the ids of tests."""
    return page.relative_to(ROOT).as_posix()


# --- translations ---


HEAD = re.compile(r"\A(?:---|<!--)\nsource: (?P<source>\S+)\nsource_sha256: (?P<hash>\S+)\n(?:---|-->)\n")
"""What a Chinese page begins with: as front matter or, where GitHub would show that as a table, in a comment."""


def source_of(chinese: Path) -> Path:
    """The English page of the same name."""
    name = name_of(chinese)
    return ROOT / (name.removesuffix(".zh.md") + ".md" if name.endswith(".zh.md") else name.replace("/zh/", "/en/", 1))


def translation_of(english: Path) -> Path:
    """The Chinese page of the same name."""
    name = name_of(english)
    return ROOT / (name.replace("/en/", "/zh/", 1) if "/en/" in name else name.removesuffix(".md") + ".zh.md")


def chinese_pages() -> list[Path]:
    """Every page that is in Chinese."""
    return [page for page in all_pages() if name_of(page).startswith("docs/zh/") or page.name.endswith(".zh.md")]


MARK = re.compile(r"^<!-- generated: .*-->\n", re.MULTILINE)
"""Behind such a line, a page is written by a program in both languages: see `tests.docs.generated`."""


TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)

MIRRORED = frozenset(
    f"docs/en/reference/{page}.md"
    for page in ("mutants", "overhead", "performance", "scoreboard", "scoreboard-servers")
)
"""Pages with tables that are measured, and that the Chinese page takes over: see `tests.docs.mirrored`."""


def hash_of(page: Path) -> str:
    """What a translation remembers of its source: all of it but what is generated, or taken over."""
    written = MARK.split(page.read_text(encoding="utf-8"))[0]
    written = TABLE.sub("", written) if name_of(page) in MIRRORED else written
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def head_of(chinese: Path) -> re.Match[str]:
    """What a Chinese page says that it translates."""
    found = HEAD.match(chinese.read_text(encoding="utf-8"))
    source = source_of(chinese)
    assert found, (
        f"{name_of(chinese)} has to begin with:\n"
        f"---\nsource: {name_of(source)}\nsource_sha256: {hash_of(source)}\n---\n"
    )
    return found


def is_stale(chinese: Path) -> bool:
    """Whether the English page is no longer the one that was translated."""
    return head_of(chinese)["hash"] != hash_of(source_of(chinese))


def renew(chinese: Path) -> None:
    """Write the hash of the English page into the Chinese one."""
    old = head_of(chinese)["hash"]
    text = chinese.read_text(encoding="utf-8")
    chinese.write_text(text.replace(old, hash_of(source_of(chinese)), 1), encoding="utf-8")


# --- what stands in a page ---


@dataclass(frozen=True)
class Block:
    """A Python block that runs."""

    line: int
    """Of its first line of code in the page, counting from 0."""
    code: str
    prints: str | None
    """What it must print; None: whatever it likes."""


def text_of_page(page: str) -> str:
    """The page without its front matter, whose lines stay, so that those of the text have their numbers."""
    return HEAD.sub(lambda found: "\n" * found[0].count("\n"), page)


def tokens_of(page: str) -> list[Token]:
    """The text of a page, parsed."""
    return MarkdownIt().enable("table").parse(text_of_page(page))


def blocks_of(page: str) -> Iterator[Block]:
    """The Python blocks that run, from top to bottom."""
    tokens = tokens_of(page)
    padded = [None, *tokens, None, None]
    for above, token, below, after in zip(padded, tokens, padded[2:], padded[3:], strict=False):
        if comment(token) == "prints":
            assert language(above) == "python", f"line {line(token)}: `prints` has no Python block above it"
            assert language(below) == "text", f"line {line(token)}: `prints` has no text block below it"
        if language(token) == "python" and not is_only_shown(above):
            expected = after.content if after and comment(below) == "prints" else None
            yield Block(line(token), token.content, expected)


def language(token: Token | None) -> str:
    """The language of a fenced block; of anything else, none."""
    return token.info.split(" ")[0].strip() if token and token.type == "fence" else ""


def comment(token: Token | None) -> str:
    """What a comment on a line of its own says."""
    found = re.match(r"\s*<!--(.*)-->\s*$", token.content, re.DOTALL) if token and token.type == "html_block" else None
    return found[1].strip() if found else ""


def line(token: Token) -> int:
    """The line below the one it starts in: the first line of code, or the comment's own, counting from 1."""
    return token.map[0] + 1 if token.map else 0


def slug(heading: str) -> str:
    """The name of a heading: that of `pymdownx.slugs.slugify(case="lower")`, which is GitHub's."""
    plain = unicodedata.normalize("NFC", heading.replace("`", "")).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def is_only_shown(above: Token | None) -> bool:
    """Whether what stands above a block says that it does not run."""
    words, _, reason = comment(above).partition(":")
    if words != "not run":
        return False
    assert reason.strip(), "`not run` wants its reason: `<!-- not run: reason -->`"
    return True


def main() -> None:
    """Say which translations are stale, or that some are not any longer."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs.pages", description="The Chinese pages.")
    verbs = parser.add_subparsers(required=True, dest="verb")
    verbs.add_parser("stale", help="list the Chinese pages whose English page has changed")
    renewed = verbs.add_parser("renew", help="note that these Chinese pages say what the English ones say now")
    renewed.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help="the Chinese page or the English one")
    given = parser.parse_args()
    if given.verb == "stale":
        sys.stdout.writelines(f"{name_of(page)}\n" for page in chinese_pages() if is_stale(page))
        return
    for page in map(Path.resolve, given.pages):
        renew(page if page in chinese_pages() else translation_of(page))


if __name__ == "__main__":
    main()
