"""The site: the two configurations, and what `make docs` would notice in what is built by them."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import ROOT
from tests.docs.site import Page, complaints


def settings(language: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / f"zensical.{language}.toml").read_text(encoding="utf-8"))["project"]
    return found


def pages_in(nav: Any) -> Iterator[str]:
    """The pages that a navigation leads to, from top to bottom."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_in(entry)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_navigation_leads_to_every_page(language: str) -> None:
    """Each page is in the navigation of its site once, and both navigations have one order."""
    folder = ROOT / "docs" / language
    there = {page.relative_to(folder).as_posix() for page in folder.rglob("*.md")}
    in_english = list(pages_in(settings("en")["nav"]))
    assert there == {*pages_in(settings(language)["nav"])}, f"change `nav` in zensical.{language}.toml"
    assert [page for page in in_english if page in there] == list(pages_in(settings(language)["nav"]))


def test_the_sites_differ_in_words_alone() -> None:
    """Whatever is set for one site is set for the other, but for its language and what its reader reads."""
    english, chinese = settings("en"), settings("zh")
    for site in (english, chinese):
        del site["nav"], site["site_description"]
        for palette in site["theme"]["palette"]:
            del palette["toggle"]["name"]
    assert english == {
        **chinese,
        "docs_dir": "docs/en",
        "site_dir": "site/en",
        "theme": {**chinese["theme"], "language": "en"},
    }


GOOD = """<link rel="stylesheet" href="a.css">
<a href="b/#there">b</a> <a href="https://other.test">other</a> <img src="c.svg">
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    (tmp_path / "index.html").write_text(GOOD, encoding="utf-8")
    (tmp_path / "b" / "index.html").write_text('<h2 id="there">There</h2>', encoding="utf-8")
    (tmp_path / "a.css").write_text("p { background: url(data:image/png;base64,AA) }", encoding="utf-8")
    return tmp_path


def test_a_site_that_asks_nobody_and_leads_somewhere_is_right(site: Path) -> None:
    """It may lead to other hosts, and load what it has itself."""
    assert [] == list(complaints(site))


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ('href="a.css"', 'href="https://fonts.test/a.css"', "index.html loads https://fonts.test/a.css"),
        ('src="c.svg"', 'src="//cdn.test/c.svg"', "index.html loads //cdn.test/c.svg"),
        ("<a", '<script src="http://cdn.test/s.js"></script><a', "index.html loads http://cdn.test/s.js"),
        ("b/#there", "b/#here", "index.html leads to b/#here, where nothing is"),
        ("b/#there", "c/", "index.html leads to c/, where nothing is"),
    ],
)
def test_a_site_that_is_wrong_is_noticed(site: Path, right: str, wrong: str, complaint: str) -> None:
    """What is loaded from elsewhere and what leads nowhere is named, with its page."""
    (site / "index.html").write_text(GOOD.replace(right, wrong, 1), encoding="utf-8")
    assert [complaint] == list(complaints(site))


def test_a_font_from_elsewhere_is_noticed(site: Path) -> None:
    """What a stylesheet loads is loaded, too."""
    (site / "a.css").write_text("@font-face { src: url('https://fonts.test/f.woff2') }", encoding="utf-8")
    assert ["a.css loads https://fonts.test/f.woff2"] == list(complaints(site))


def test_what_a_page_is_made_of_is_counted() -> None:
    """The text alone counts: neither what the theme puts around it, nor what colours code."""
    text = '<a id="__skip"></a><p><code>x</code></p><pre><code><a>1</a></code></pre>'
    assert {"p": 1, "code": 1, "pre": 1} == Page(f"<ul><li>no</li></ul><article>{text}</article>").shape
