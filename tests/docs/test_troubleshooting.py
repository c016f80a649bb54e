"""The messages by which readers find their trouble are those that langplug writes."""

import ast
import re
from functools import cache

import pytest
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "en" / "guides" / "troubleshooting.md"
MESSAGES = [row.split("|")[1] for row in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| [`…]", row)]


@cache
def texts() -> str:
    """Every string of langplug's own code, one a line."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "src").rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_readers_look_for_is_written_somewhere(message: str) -> None:
    """What the page quotes of a message stands in the code, so that whoever changes it changes the page."""
    quoted = re.findall(r"`([^`]+)`", message)
    assert quoted
    missing = [words for words in quoted if words.strip() not in texts() and words != "pip install"]
    assert [] == missing
