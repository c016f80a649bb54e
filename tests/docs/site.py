"""Whether the built site is right: `python -m tests.docs.site FOLDER`, at the end of `make docs`.

A browser must ask no other host for anything; every link must lead to a page, and to something in it; and the site must
show what GitHub shows of the same page: its Markdown is read by another program, with other rules for lists, tables and
emphasis.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from tests.docs.pages import ROOT, UNTRANSLATED, name_of, text_of_page

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}
"""What a browser loads without being asked, by the attribute that names it."""

COMPARED = ("h1", "h2", "h3", "h4", "li", "table", "tr", "pre", "blockquote", "p", "code", "strong", "em", "a", "img")
"""What the site and GitHub must have the same number of."""

VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")


class Page(HTMLParser):
    """One HTML page: what it loads, where it leads, what can be led to, and how many of which its text has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.shape: Counter[str] = Counter()
        self._open: list[str] = []
        self._has_article = "<article" in html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element is and names."""
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if LOADED.get(tag) in given and given.get("rel") != "alternate":
            self.loads.append(given[LOADED[tag]])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        is_text = "article" in self._open or not self._has_article
        if is_text and "pre" not in self._open and given.get("class") != "headerlink" and given.get("id") != "__skip":
            self.shape[tag] += 1
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element, and all in it that was not closed."""
        while tag in self._open and self._open.pop() != tag:
            pass


def complaints(site: Path) -> Iterator[str]:
    """What is wrong with a built site."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        yield from (f"{where} loads {address}" for address in page.loads if urlsplit(address).netloc)
        if where.name != "404.html":  # it is shown at any address
            broken = (link for link in page.links if is_broken(link, path, pages) and not is_awaited(link, where))
            yield from (f"{where} leads to {link}, where nothing is" for link in broken)
    for style in site.rglob("*.css"):
        foreign = re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^)'\"]+)", style.read_text(encoding="utf-8"))
        yield from (f"{style.relative_to(site)} loads {address}" for address in foreign)


def is_broken(link: str, path: Path, pages: dict[Path, Page]) -> bool:
    """Whether a link of the page at `path` leads to nothing in the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return False
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if target not in pages:
        return not target.is_file()
    return bool(parts.fragment) and unquote(parts.fragment) not in pages[target].ids


def is_awaited(link: str, where: Path) -> bool:
    """Whether a link of the page `where` leads to one that somebody is about to translate."""
    to = Path(os.path.normpath(where.parent / urlsplit(link).path))
    return to.parts[:1] == ("zh",) and f"docs/en/{to.relative_to('zh')}.md" in UNTRANSLATED


def differences(site: Path) -> Iterator[str]:
    """Where the site shows of a page what GitHub would not."""
    for source in sorted((ROOT / "docs").rglob("*.md")):
        place = site / source.relative_to(ROOT / "docs").with_suffix("")
        html = (place.parent if place.name == "index" else place) / "index.html"
        theirs = Page(MarkdownIt().enable("table").render(text_of_page(source.read_text(encoding="utf-8")))).shape
        ours = Page(html.read_text(encoding="utf-8")).shape
        for tag in COMPARED:
            if ours[tag] != theirs[tag]:
                yield f"{name_of(source)} has {theirs[tag]} <{tag}> and on the site {ours[tag]}"


if __name__ == "__main__":
    found = [*complaints(Path(sys.argv[1])), *differences(Path(sys.argv[1]))]
    sys.exit("\n".join(found) or 0)
