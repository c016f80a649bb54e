"""The documentation runs: every Python block, file by file, as a reader would type it.

The blocks of a file run in order, in one namespace and in a process of their own. A comment right above a block
says what is special about it:

* `<!-- not run: reason -->`, above a Python block: it is only shown; the reason is not empty;
* `<!-- prints -->`, between a Python block and a text block: what the first prints is the second, to the letter.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

END = "\0"
"""What a script prints after each block, so that what the blocks print can be told apart."""


@dataclass(frozen=True)
class Block:
    """A Python block that runs."""

    line: int
    """Of its first line of code in the page, counting from 0."""
    code: str
    prints: str | None
    """What it must print; None: whatever it likes."""


def blocks_of(page: str) -> Iterator[Block]:
    tokens = MarkdownIt().parse(page)
    padded = [None, *tokens, None, None]
    for above, token, below, after in zip(padded, tokens, padded[2:], padded[3:], strict=False):
        if comment(token) == "prints":
            assert language(above) == "python", f"line {line(token)}: `prints` has no Python block above it"
            assert language(below) == "text", f"line {line(token)}: `prints` has no text block below it"
        if language(token) == "python" and not is_only_shown(above):
            expected = after.content if after and comment(below) == "prints" else None
            yield Block(line(token), token.content, expected)


def language(token: Token | None) -> str:
    return token.info.split(" ")[0].strip() if token and token.type == "fence" else ""


def comment(token: Token | None) -> str:
    found = re.match(r"\s*<!--(.*)-->\s*$", token.content, re.DOTALL) if token and token.type == "html_block" else None
    return found[1].strip() if found else ""


def line(token: Token) -> int:
    """The line below the one it starts in: the first line of code, or the comment's own, counting from 1."""
    return token.map[0] + 1 if token.map else 0


def is_only_shown(above: Token | None) -> bool:
    words, _, reason = comment(above).partition(":")
    if words != "not run":
        return False
    assert reason.strip(), "`not run` wants its reason: `<!-- not run: reason -->`"
    return True


def script_of(blocks: list[Block]) -> str:
    """The blocks as one program, each at its own line of the page, so that a traceback points into the page."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - len(lines))
        lines += [*block.code.splitlines(), f"print({END!r}, flush=True)"]
    return "\n".join(lines)


def check(page: str, script: Path) -> None:
    """Run the page's blocks as `script`; fail if one raises or prints something else than it should."""
    blocks = list(blocks_of(page))
    script.write_text(script_of(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=script.parent,
        env={**os.environ, "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{END}\n")[:-1]
    assert len(printed) == len(blocks)
    for block, output in zip(blocks, printed, strict=True):
        if block.prints is not None:
            assert block.prints.removesuffix("\n") == output.removesuffix("\n"), f"line {block.line + 1}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """Every Python block of a page runs, and prints what the page says that it prints."""
    check(page.read_text(encoding="utf-8"), tmp_path / f"{page.stem}.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_only_shown_is_python(page: Path) -> None:
    """A Python block that does not run, for want of a package, is Python all the same."""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if language(token) == "python":
            compile(token.content, f"{page.name}, line {line(token)}", "exec")


def test_the_readme_shows_something_that_runs() -> None:
    """The first page that anybody reads has an example that runs, and what it prints."""
    assert any(block.prints for block in blocks_of((ROOT / "README.md").read_text(encoding="utf-8")))


GOOD = """# A page

```python
greeting = "hello"
```

1. In a list, with what was said above:

    ```python
    def greet():
        print(greeting, end="|")
    greet()
    ```

    <!-- prints -->
    ```text
    hello|
    ```

<!-- not run: needs a key -->
```python
raise SystemExit("never")
```
"""


def test_blocks_share_a_namespace_and_print_what_is_said(tmp_path: Path) -> None:
    """Blocks run in order and in one namespace, in lists too; one that is not run is not."""
    check(GOOD, tmp_path / "good.md")


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        pytest.param(GOOD.replace("hello|", "Hello|"), "line 10", id="other output"),
        pytest.param(GOOD.replace("    greet()\n", ""), "line 10", id="no output"),
        pytest.param(GOOD.replace('"hello"', "hello"), 'line 4, in <module>[^"]*NameError', id="raises"),
        pytest.param(GOOD.replace("<!-- not run: needs a key -->", ""), "never", id="exits"),
        pytest.param(GOOD.replace(": needs a key", ""), "reason", id="not run, no reason"),
        pytest.param(GOOD.replace(": needs a key", ": "), "reason", id="not run, empty reason"),
        pytest.param(GOOD.replace("```text", "```"), "no text block", id="nothing to print"),
        pytest.param("<!-- prints -->\n" + GOOD, "no Python block", id="nothing that prints"),
    ],
)
def test_a_page_that_lies_is_noticed(page: str, complaint: str, tmp_path: Path) -> None:
    """A block that raises, exits or prints something else fails, and so does a comment that is wrongly used."""
    with pytest.raises(AssertionError, match=complaint):
        check(page, tmp_path / "bad.md")
