"""Links lead somewhere: in every page, to files and to headings of theirs."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it.token import Token
from tests.docs.pages import ROOT, UNTRANSLATED, all_pages, name_of, slug, source_of, tokens_of


def links_of(page: str) -> Iterator[str]:
    """Where the links and the pictures of a page lead, as they are written."""
    for token in tokens_of(page):
        for part in [token, *(token.children or ())]:
            yield from (str(part.attrs[name]) for name in ("href", "src") if name in part.attrs)
            if part.type in ("html_block", "html_inline"):
                yield from re.findall(r"""\b(?:href|src)=["']([^"']*)["']""", part.content)


def anchors_of(page: str) -> set[str]:
    """The names of the headings of a page, as the site and GitHub make them.

    Of two headings that are called alike, only the first can be led to: the second is `name_1` on the site and `name-1`
    on GitHub.
    """
    tokens = tokens_of(page)
    headings = [below for token, below in pairwise(tokens) if token.type == "heading_open"]
    return {slug("".join(map(text_of, heading.children or ()))) for heading in headings}


def text_of(part: Token) -> str:
    return part.content if part.type in ("text", "code_inline") else " " * (part.type == "softbreak")


@cache
def anchors_in(path: Path) -> set[str]:
    return anchors_of(path.read_text(encoding="utf-8"))


def broken_links(page: Path) -> Iterator[str]:
    """The links of a page that lead nowhere, with the reason."""
    for link in links_of(page.read_text(encoding="utf-8")):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if "docs/zh" in name_of(target) and name_of(source_of(target)) in UNTRANSLATED:
            continue
        if not target.is_file():
            yield f"{link}: there is no such file"
        elif page.is_relative_to(ROOT / "docs") and not target.is_relative_to(ROOT / "docs"):
            yield f"{link}: it is none of the site, which is made of docs/ alone"
        elif parts.fragment and unquote(parts.fragment) not in anchors_in(target):
            yield f"{link}: {name_of(target)} has no such heading"


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file, and a heading in it."""
    assert [] == list(broken_links(page))


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("Write a model", "write-a-model"),
        ("`ChatEndpoint`: any server", "chatendpoint-any-server"),
        ("写一个模型", "写一个模型"),
        ("用 `ChatHTTP` 接入 HTTP 服务：从零开始", "用-chathttp-接入-http-服务从零开始"),
        ("Tools, *structured* output & more", "tools-structured-output--more"),
    ],
)
def test_a_heading_has_a_name(heading: str, name: str) -> None:
    """Headings are named as on GitHub and on the site, in Chinese as well."""
    assert {name} == anchors_of(f"## {heading}\n")


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a file, a folder or a heading that is not there, by Markdown or by HTML, and out of the site."""
    monkeypatch.setattr("tests.docs.test_links.ROOT", tmp_path)
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    (tmp_path / "outside.md").touch()
    page.write_text(
        "# Here\n[a](nowhere.md) [b](#there) [c](#here) ![d](d.svg) [e](../docs) [f](../outside.md) [g](https://h.test)\n\n"
        '<a href="i.md">i</a>\n',
        encoding="utf-8",
    )
    assert [link.partition(":")[0] for link in broken_links(page)] == [
        *("nowhere.md", "#there", "d.svg", "../docs", "../outside.md", "i.md")
    ]
