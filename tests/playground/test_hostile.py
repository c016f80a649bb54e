"""What a model writes is text: nothing of it runs, and nobody else is asked, whatever it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from tests.playground.playground import Playground

from langplug import Reasoning, ToolCall
from langplug.models import ChatScripted

expect = pytest.importorskip("playwright.sync_api").expect

Play = Callable[..., Playground]

EVIL = [
    "<script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 1'>",
    "<svg onload='window.owned = 1'></svg>",
    "<iframe srcdoc='<script>parent.owned = 1</script>'></iframe>",
    "<style>body { background: url(http://evil.example/style) }</style>",
    "<link rel=stylesheet href=http://evil.example/link>",
    "<form action=http://evil.example><button>Go</button></form>",
    "![picture](http://evil.example/picture.png)",
    "![picture](//evil.example/picture.png)",
    "![](data:image/svg+xml,<svg onload='window.owned=1'>)",
    "[link](javascript:window.owned=1)",
    "[link](JaVaScRiPt:window.owned=1)",
    "[link](java\tscript:window.owned=1)",
    "[link](\x01javascript:window.owned=1)",
    "[link](data:text/html,<script>window.owned=1</script>)",
    "[link](vbscript:window.owned=1)",
    "[link](blob:http://evil.example/1)",
    "[link](/v1/models)",
    "<javascript:window.owned=1>",
    '[link](http://good.example/" onmouseover="window.owned=1)',
    '[link](http://good.example "title" onclick=window.owned=1)',
    '```"><script>window.owned=1</script>\ncode\n```',
    "| <img src=x onerror=window.owned=1> | b |\n|--|--|\n| [x](javascript:window.owned=1) | `<script>` |",
    "&lt;script&gt;window.owned = 1&lt;/script&gt;",
]


def test_hostile_answers_do_nothing(play: Play, tmp_path: Path) -> None:
    """Markup, scripts, foreign images and odd links in texts, reasoning, calls and imports run and load nothing."""
    evil = "\n\n".join(EVIL)
    call = ToolCall(name="<b>tool</b>", args={"a": evil}, id="c")
    replies = [[Reasoning(evil), evil, call], ValueError(evil)]
    playground = play({"m": ChatScripted(replies=replies, tool_calling="native", max_retries=0)})
    playground.expected = ("Failed to load resource: the server responded with a status of 400",)
    playground.ask(evil)
    playground.page.locator(".reasoning summary").click()
    expect(playground.answers.first.locator(".call")).to_contain_text("<script>")
    playground.ask("Go on")
    expect(playground.page.locator(".error")).to_contain_text("<iframe")
    playground.button("Copy as code").first.click()
    expect(playground.page.locator("dialog code")).to_contain_text("<svg")
    playground.page.keyboard.press("Escape")
    with playground.page.expect_download() as download:
        playground.button("Export").click()
    changed = download.value.path().read_text().replace('"images":[]', '"images":["http://evil.example/1.png","x"]')
    (tmp_path / "file.json").write_text(changed)
    playground.page.locator("#import-file").set_input_files(tmp_path / "file.json")
    expect(playground.page.locator("#status")).to_have_text("Imported conversations: 1.")
    expect(playground.questions.first).to_contain_text("<script>")
    made = (
        "script, style, iframe, object, embed, link, form:not(.results), img, [onerror], [onload], [onclick], [style]"
    )
    assert playground.page.locator(".turns").locator(made).count() == 0
    links = playground.page.locator(".turns a").evaluate_all("(links) => links.map((link) => link.href)")
    assert {link.partition("://")[0] for link in links} == {"http"}
    assert "http://evil.example/picture.png" in links  # named, for who wants to see it
    rels = playground.page.locator(".turns a").evaluate_all("(links) => links.map((link) => [link.target, link.rel])")
    assert {tuple(one) for one in rels} == {("_blank", "noopener noreferrer nofollow")}
    assert playground.page.evaluate("() => window.owned") is None


# --- Markdown ---


def rendered(playground: Playground, text: str, pieces: int = 1) -> str:
    """The HTML of a Markdown text that came in so many pieces."""
    body = """
        const { text, pieces } = argument;
        const box = document.createElement("div");
        const view = new module.MarkdownView(box);
        for (let piece = 1; piece <= pieces; piece += 1) view.render(text.slice(0, (text.length * piece) / pieces));
        box.normalize();
        return box.innerHTML;
    """
    return str(playground.module("markdown", body, {"text": text, "pieces": pieces}))


MARKDOWN = {
    "**a** *b* ***c*** __d__ _e_ ~~f~~": "<p><strong>a</strong> <em>b</em> <em><strong>c</strong></em> "
    "<strong>d</strong> <em>e</em> <del>f</del></p>",
    "snake_case_name 2 * 3 * 4 a*b*c": "<p>snake_case_name 2 * 3 * 4 a<em>b</em>c</p>",
    "中文**「重要」**文字": "<p>中文<strong>「重要」</strong>文字</p>",
    "**open": "<p>**open</p>",
    "`a *b*` `` c`d ``": "<p><code>a *b*</code> <code>c`d</code></p>",
    r"\*no\* a\\b": r"<p>*no* a\b</p>",
    "one\ntwo": "<p>one<br>two</p>",
    "# A\n## B #\nC\n===": '<h3 class="level-1">A</h3><h4 class="level-2">B</h4><h3 class="level-1">C</h3>',
    "- a\n- b\n  - c\n\n1. d\n2. e": "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><ol><li>d</li><li>e</li></ol>",
    "3. a\n\n   b\n4. c": '<ol start="3"><li><p>a</p><p>b</p></li><li><p>c</p></li></ol>',
    "1. a\n   - b\n2. c": "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>",
    "> a\nb\n> - c": "<blockquote><p>a<br>b</p><ul><li>c</li></ul></blockquote>",
    r"so \(a_1*b\), \[c*d*e\] \(f*g*h": "<p>so <code>a_1*b</code>, <code>c*d*e</code> (f<em>g</em>h</p>",
    "- [ ] a\n- [x] b": "<ul><li>☐ a</li><li>☑ b</li></ul>",
    "a\n***\nb": "<p>a</p><hr><p>b</p>",
    "<b>a</b> & &lt;": "<p>&lt;b&gt;a&lt;/b&gt; &amp; &lt;</p>",
}


def test_markdown(play: Play) -> None:
    """What models write in Markdown is shown as what it means."""
    playground = play({"m": ChatScripted(replies=["-"])})
    for text, expected in MARKDOWN.items():
        assert rendered(playground, text) == expected
    code = rendered(playground, "```py\n\tif a:\n  b\n\n```\nafter")
    assert "<code>\tif a:\n  b\n</code>" in code
    assert code.endswith("<p>after</p>")
    for formula in ("$$\n{}\n$$", "so\n\\[\n{}\n\\]"):
        shown = rendered(playground, formula.format("- x_{1} \\\\\n* y*z*"))
        assert "<code>- x_{1} \\\\\n* y*z*</code>" in shown
    table = rendered(playground, "a | b\n:-- | --:\n1 | x \\| y\n2")
    assert '<td class="to-left">1</td><td class="to-right">x | y</td>' in table
    links = rendered(playground, "[a *b*](https://e.example/x_(y) 'T') <mailto:a@b.example> https://e.example/z).")
    assert 'href="https://e.example/x_(y)"' in links
    assert "<em>b</em></a>" in links
    assert 'href="mailto:a@b.example"' in links
    assert ">https://e.example/z</a>)." in links


MARKS = (
    *("\n", "\n\n", " ", "  ", "    ", "\t", "- ", "* ", "1. ", "2. ", "> ", "# ", "```", "~~~", "|", "|--", "---"),
    *("===", "*", "**", "_", "`", "``", "[", "](", ")", "![", "~~", "<", "<a", ">", "&", "\\", "#", "a", "http://"),
    *("$$", "\\(", "\\)", "\\[", "\\]", "\\[\n", "$$\n", "[x] "),
)


def test_pieces_make_no_difference(play: Play) -> None:
    """A text that comes in pieces is shown as one that comes at once."""
    playground = play({"m": ChatScripted(replies=["-"])})

    @hypothesis.given(
        st.lists(st.sampled_from((*MARKS, "b c", "中", "://e.example/", "é😀")), max_size=40).map("".join),
        st.integers(2, 50),
    )
    def check(text: str, pieces: int) -> None:
        assert rendered(playground, text, pieces) == rendered(playground, text)

    check()


def test_no_text_takes_long(play: Play) -> None:
    """100,000 characters of any mark, alone or within a list, are read in time that is linear in them."""
    playground = play({"m": ChatScripted(replies=["-"])})
    body = """
        const begun = performance.now();
        new module.MarkdownView(document.createElement("div")).render(argument);
        return performance.now() - begun;
    """
    for mark in (*MARKS, "![a](", "*a ", "**a", "``a` ", "  - a\n", "a\n", "a|b\n-|-\n"):
        marks = mark * (100_000 // len(mark))
        for text in (marks, f"- a{marks}\n  b"):
            assert playground.module("markdown", body, text) < 3000, mark  # what is quadratic takes minutes


def test_events_come_in_any_pieces(play: Play) -> None:
    """The reader of server-sent events gives the same data however the stream is cut, and whatever ends its lines."""
    playground = play({"m": ChatScripted(replies=["-"])})
    body = """
        const reader = new module.EventReader();
        return argument.flatMap((piece) => reader.feed(piece));
    """
    lines = st.sampled_from(["data: a", "data:b", "data", 'data: {"é": 1}', ": ping", "event: x", "id", "", ""])
    ends = st.sampled_from(["\n", "\r\n", "\r"])

    @hypothesis.given(st.lists(st.tuples(lines, ends), max_size=12), st.data())
    def check(written: list[tuple[str, str]], data: Any) -> None:
        text = "".join(line + end for line, end in written)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        expected, event = [], []
        # a "\r" that the next line's end follows is one end with it, if that line is empty
        for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
            if line.startswith("data"):
                event.append(line[5:].removeprefix(" "))
            elif line == "" and event:
                expected.append("\n".join(event))
                event = []
        assert playground.module("sse", body, pieces) == expected

    check()


def test_python_is_written_as_python_reads_it(play: Play) -> None:
    """Any JSON value, as copied code has it, is the same value in Python."""
    playground = play({"m": ChatScripted(replies=["-"])})
    scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text()
    values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)

    @hypothesis.given(values)
    def check(value: Any) -> None:
        # as text: on its way into the page, playwright loses a key such as "__proto__"
        written = playground.module("copy_as", "return module.python(JSON.parse(argument));", json.dumps(value))
        assert eval(written) == json.loads(json.dumps(value))

    check()
