"""The documentation runs: every Python block of every page, as a reader would paste it.

A block runs alone: whatever it needs, it imports, defines or writes. A comment right above a block says what is special
about it:

* `<!-- not run: reason -->`, above a Python block: it is only shown; the reason is not empty;
* `<!-- prints -->`, between a Python block and a text block: what the first prints is the second, to the letter.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import ROOT, Block, all_pages, blocks_of, chinese_pages, language, line, name_of, tokens_of

RUNNER = Path(__file__).parent / "docs" / "run_blocks.py"

TOGETHER: frozenset[str] = frozenset()
"""Pages whose blocks run in one namespace, since some of them need what others define. The list only shrinks."""

END = "\0"
"""What a script prints after each block, so that what the blocks print can be told apart."""

IMPORTED_ONCE = ("langchain", "langgraph", "langplug")
"""What packages begin with that the blocks of a page import once for all."""


def check(page: str, script: Path, *, together: bool = False) -> None:
    """Run the page's blocks as parts of `script`; fail if one raises or prints something else than it should."""
    blocks = list(blocks_of(page))
    printed = run_together(blocks, script) if together else run_alone(blocks, script)
    for block, output in zip(blocks, printed, strict=True):
        if block.prints is not None:
            assert block.prints.removesuffix("\n") == output.removesuffix("\n"), f"line {block.line + 1}"


def run_alone(blocks: list[Block], script: Path) -> list[str]:
    """What each block prints, in a process and a namespace of its own."""
    job = script.with_suffix(".json")
    needed = sorted({name for block in blocks for name in modules_of(block.code)})
    parts = [{"line": block.line, "code": block.code} for block in blocks]
    job.write_text(json.dumps({"page": script.name, "imports": needed, "blocks": parts}), encoding="utf-8")
    done = json.loads(python(RUNNER, job, cwd=script.parent))
    failed = [
        f"line {block.line + 1} (it ended with {told['status']}, running alone):\n{told['errors']}"
        for block, told in zip(blocks, done, strict=True)
        if told["status"] != 0
    ]
    assert not failed, "\n".join(failed)
    return [told["output"] for told in done]


def modules_of(code: str) -> Iterable[str]:
    """What a block imports of LangChain and of this house."""
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name for name in names if name.startswith(IMPORTED_ONCE))


def run_together(blocks: list[Block], script: Path) -> list[str]:
    """What each block prints, all of them being one program."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - len(lines))  # so that a traceback points into the page
        lines += [*block.code.splitlines(), f"print({END!r}, flush=True)"]
    script.write_text("\n".join(lines), encoding="utf-8")
    printed = python(script.name, cwd=script.parent).split(f"{END}\n")[:-1]
    assert len(printed) == len(blocks)
    return printed


def python(*arguments: str | Path, cwd: Path) -> str:
    """What a program prints that must not fail."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="a new interpreter for each block would take an hour")


def pages_alone() -> Iterator[Any]:
    """The pages with blocks that run; of the Chinese ones, whose code is that of the English ones, some."""
    sampled = pytest.mark.some(3, "its code is that of the English page, which is always run")
    for page in all_pages():
        if name_of(page) not in TOGETHER and any(blocks_of(page.read_text(encoding="utf-8"))):
            yield pytest.param(page, id=name_of(page), marks=[sampled] if page in chinese_pages() else [])


@needs_fork
@pytest.mark.parametrize("page", [*pages_alone()])
def test_each_example_of_a_page_can_be_pasted_alone(page: Path, tmp_path: Path) -> None:
    """Every Python block runs with nothing above it, and prints what the page says that it prints."""
    check(page.read_text(encoding="utf-8"), tmp_path / f"{page.stem}.md")


@pytest.mark.parametrize("page", sorted(TOGETHER))
def test_the_examples_of_a_page_run(page: str, tmp_path: Path) -> None:
    """The Python blocks of other pages run one after the other, and print what the page says."""
    path = ROOT / page
    check(path.read_text(encoding="utf-8"), tmp_path / f"{path.stem}.md", together=True)


@needs_fork
@pytest.mark.thorough("the list is looked at when a page is rewritten")
@pytest.mark.parametrize("page", sorted(TOGETHER))
def test_only_pages_that_need_it_run_together(page: str, tmp_path: Path) -> None:
    """A page whose blocks can be pasted alone is no longer in the list of the others."""
    path = ROOT / page
    with pytest.raises(AssertionError):
        check(path.read_text(encoding="utf-8"), tmp_path / f"{path.stem}.md")


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_what_is_only_shown_is_python(page: Path) -> None:
    """A Python block that does not run, for want of a package, is Python all the same."""
    for token in tokens_of(page.read_text(encoding="utf-8")):
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

ALONE = GOOD.replace("def greet():", 'greeting = "hello"\n    def greet():')


def test_blocks_share_a_namespace_and_print_what_is_said(tmp_path: Path) -> None:
    """Blocks run in order and in one namespace, in lists too; one that is not run is not."""
    check(GOOD, tmp_path / "good.md", together=True)


@needs_fork
def test_blocks_that_run_alone_share_nothing(tmp_path: Path) -> None:
    """A block that needs nothing of another runs alone; one that does is noticed, by its line in the page."""
    check(ALONE, tmp_path / "alone.md")
    with pytest.raises(AssertionError, match=r'line 10 (?s:.*)"good.md", line 12, in <module>\n.*line 11, in greet'):
        check(GOOD, tmp_path / "good.md")


@needs_fork
def test_a_block_is_a_program(tmp_path: Path) -> None:
    """It ends as a program does: threads are waited for, `atexit` is called, and its classes have their source."""
    page = """
```python
import atexit, inspect, threading
class Here: ...
atexit.register(print, "last")
threading.Timer(0.05, lambda: print(__name__, inspect.getsource(Here))).start()
```
<!-- prints -->
```text
__main__ class Here: ...

last
```
"""
    check(page, tmp_path / "page.md")


@pytest.mark.parametrize("together", [True, pytest.param(False, marks=needs_fork)], ids=["together", "alone"])
@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        pytest.param(ALONE.replace("hello|", "Hello|"), "line 10", id="other output"),
        pytest.param(ALONE.replace("    greet()\n", ""), "line 10", id="no output"),
        pytest.param(ALONE.replace('"hello"', "hello"), 'line 4, in <module>[^"]*NameError', id="raises"),
        pytest.param(ALONE.replace("<!-- not run: needs a key -->", ""), "never", id="exits"),
        pytest.param(ALONE.replace(": needs a key", ""), "reason", id="not run, no reason"),
        pytest.param(ALONE.replace(": needs a key", ": "), "reason", id="not run, empty reason"),
        pytest.param(ALONE.replace("```text", "```"), "no text block", id="nothing to print"),
        pytest.param("<!-- prints -->\n" + ALONE, "no Python block", id="nothing that prints"),
    ],
)
def test_a_page_that_lies_is_noticed(page: str, complaint: str, together: bool, tmp_path: Path) -> None:
    """A block that raises, exits or prints something else fails, and so does a comment that is wrongly used."""
    with pytest.raises(AssertionError, match=complaint):
        check(page, tmp_path / "bad.md", together=together)
