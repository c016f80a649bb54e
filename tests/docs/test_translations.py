"""Each page is there in English and in Chinese, and the two say the same.

What is in the page but for words – Python, commands, which blocks there are – is compared here. Whether the words say
the same, somebody has to look at: a Chinese page carries the hash of the English one that it translates.
"""

import ast
import re
from pathlib import Path

import pytest
from tests.docs import pages
from tests.docs.pages import (
    UNTRANSLATED,
    all_pages,
    chinese_pages,
    comment,
    head_of,
    is_stale,
    language,
    name_of,
    renew,
    source_of,
    tokens_of,
    translation_of,
)

ENGLISH = [page for page in all_pages() if name_of(page).startswith("docs/en/")]


def test_each_page_is_there_in_both_languages() -> None:
    """Each English page has a Chinese one at the same path, and each Chinese page an English one."""
    lacking = {name_of(page) for page in ENGLISH if not translation_of(page).exists()}
    assert sorted(UNTRANSLATED) == sorted(lacking), "take from UNTRANSLATED what is translated, and translate the rest"
    assert [] == [name_of(page) for page in chinese_pages() if not source_of(page).exists()]


@pytest.mark.parametrize("page", chinese_pages(), ids=name_of)
def test_a_chinese_page_names_what_it_translates(page: Path) -> None:
    """It begins with the path of the English page and the hash that it had when somebody translated it."""
    assert name_of(source_of(page)) == head_of(page)["source"]
    assert not is_stale(page), (
        f"{head_of(page)['source']} has changed. Bring {name_of(page)} up to date, and then run: "
        f"python -m tests.docs.pages renew {name_of(page)}"
    )


@pytest.mark.parametrize("page", chinese_pages(), ids=name_of)
def test_a_chinese_page_has_the_blocks_of_the_english_one(page: Path) -> None:
    """The two pages have the same blocks: code may differ in comments and strings, and output as it likes."""
    assert shape_of(source_of(page).read_text(encoding="utf-8")) == shape_of(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", chinese_pages(), ids=name_of)
def test_no_line_of_chinese_ends_in_the_middle(page: Path) -> None:
    """Where a line ends, browsers show a space: a paragraph of Chinese is one line."""
    texts = [token.content for token in tokens_of(page.read_text(encoding="utf-8")) if token.type == "inline"]
    broken = rf".*{CHINESE_CHARACTER}\n{CHINESE_CHARACTER}.*"
    assert [] == [lines for text in texts for lines in re.findall(broken, text)], "join these lines"


CHINESE_CHARACTER = "[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]"


def shape_of(page: str) -> list[tuple[str, str]]:
    """The blocks of a page, and the comments that say how they run, without what is written in a language."""
    shape = []
    for token in tokens_of(page):
        if words := comment(token).partition(":")[0]:
            shape += [("comment", words)] if words in ("prints", "not run") else []
        elif language(token) == "python":
            shape.append(("python", without_strings(token.content)))
        elif token.type == "fence":
            shape.append((language(token), without_words(token.content) if language(token) == "sh" else ""))
    return shape


def without_strings(code: str) -> str:
    """The program, whatever its strings and comments say."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)


def without_words(commands: str) -> str:
    """The commands, whatever is quoted in them and said behind them."""
    quoted = re.sub(r"'[^']*'|\"[^\"]*\"", "''", commands)
    return "\n".join(re.sub(r"(^|\s)#.*", "", line).rstrip() for line in quoted.splitlines())


PAGE = """# A page

```python
greeting = f"hello {who}"  # politely
```
<!-- prints -->
```text
hello
```

```sh
langplug chat --prompt 'Hello'  # asks once
```
"""

CHINESE = (
    PAGE.replace("hello", "你好").replace("politely", "有礼貌").replace("Hello", "你好").replace("asks once", "问一次")
)


def test_words_may_differ() -> None:
    """Comments, strings and output are in the language of the page."""
    assert shape_of(PAGE) == shape_of(CHINESE)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(CHINESE.replace("{who}", "{name}"), id="other code"),
        pytest.param(CHINESE.replace("--prompt", "-p"), id="other command"),
        pytest.param(CHINESE.replace("<!-- prints -->\n", ""), id="output not compared"),
        pytest.param(CHINESE.replace("```sh", "```text"), id="other language"),
        pytest.param(CHINESE.replace("```text\n你好\n```\n", ""), id="fewer blocks"),
    ],
)
def test_a_page_that_lags_behind_is_noticed(page: str) -> None:
    """Whatever else differs means that one of the two pages is older."""
    assert shape_of(PAGE) != shape_of(page)


@pytest.mark.parametrize(("opened", "closed"), [("---", "---"), ("<!--", "-->")])
def test_a_translation_is_renewed(opened: str, closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is stale as soon as one byte of its source changes, and no longer once it is renewed."""
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    english, chinese = (tmp_path / "docs" / language / "page.md" for language in ("en", "zh"))
    for page in (english, chinese):
        page.parent.mkdir(parents=True)
    english.write_text("# Page\n", encoding="utf-8")
    head = f"{opened}\nsource: docs/en/page.md\nsource_sha256: 0\n{closed}\n# 页面\n"
    chinese.write_text(head, encoding="utf-8")
    assert is_stale(chinese)
    renew(chinese)
    assert not is_stale(chinese)
    english.write_text("# Page!\n", encoding="utf-8")
    assert is_stale(chinese)
    chinese.write_text("# 页面\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"begin with:\n---\nsource: docs/en/page\.md"):
        is_stale(chinese)


@pytest.mark.parametrize("page", chinese_pages(), ids=name_of)
def test_a_chinese_page_has_the_figures_of_the_english_one(page: Path) -> None:
    """What is measured, counted or limited is so in both: every number in the text of one is in that of the other."""
    assert numbers_of(source_of(page)) == numbers_of(page)


def numbers_of(page: Path) -> set[str]:
    """The numbers in the words of a page; what is in code or in an address is compared elsewhere."""
    texts = [token.content for token in tokens_of(page.read_text(encoding="utf-8")) if token.type == "inline"]
    words = re.sub(r"`[^`]*`|\]\([^)]*\)", "", "\n".join(texts))
    return {number.replace(",", "").rstrip(".") for number in re.findall(r"\d[\d,.]*", words)}
