"""The backend as a package: what it imports, and what it finds by itself."""

import ast
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import langplug_backend
from langplug_backend import FAULTS, Fault
from langplug_backend.dialects.routes import DIALECTS

PACKAGE = Path(langplug_backend.__file__).parent


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." if node.level else (node.module or "").partition(".")[0])
    return names


def test_it_imports_nothing_but_itself_and_the_standard_library() -> None:
    """A server that tests clients shares no code with them: nothing of langplug, LangChain or anybody else."""
    allowed = {*sys.stdlib_module_names, "langplug_backend"}
    strangers = {str(path): imported(path) - allowed for path in PACKAGE.rglob("*.py")}
    assert {} == {path: names for path, names in strangers.items() if names}


PARROT = """
from langplug_backend.dialects.dialect import Route
from langplug_backend.dialects.tgi import TextGenerationInference

class Parrot(TextGenerationInference):
    name = "parrot"
    routes = (Route("POST", "/parrot"),)

DIALECT = Parrot()
"""

LATE = '''
from dataclasses import replace
from langplug_backend.faults.kind import fault_kind

@fault_kind(dialects=("parrot",))
def teapot(response, fault, context):
    """Status 418."""
    return replace(response, status=418)
'''

TRIES_THEM = """
import json, urllib.error, urllib.request
from langplug_backend import FAULTS, Backend, Fault
from langplug_backend.markers import marker_table

def status(backend):
    body = json.dumps({"inputs": "hi"}).encode()
    try:
        with urllib.request.urlopen(backend.url + "/parrot", body) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code

with Backend() as backend:
    backend.reply = "hello"
    print(status(backend), backend.last.dialect)
    backend.fault = Fault(kind="teapot")
    print(status(backend), "[[teapot]]" in marker_table(), FAULTS["teapot"].does)
"""


def test_a_new_dialect_and_a_new_fault_are_one_file_each(tmp_path: Path) -> None:
    """A file in `dialects/` or `faults/` is found by itself: it is served, listed and can be set."""
    copy = tmp_path / "langplug_backend"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "dialects" / "parrot.py").write_text(PARROT)
    (copy / "faults" / "late.py").write_text(LATE)
    command = [sys.executable, "-c", textwrap.dedent(TRIES_THEM)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert ("200 parrot\n418 True Status 418.\n", "") == (done.stdout, done.stderr)


def test_the_table_of_faults_is_sound() -> None:
    """Every fault has a sentence, and belongs to dialects that exist."""
    assert [] == [name for name, kind in FAULTS.items() if not kind.does.endswith(".")]
    assert [] == [name for name, kind in FAULTS.items() if not set(kind.dialects) <= DIALECTS.keys()]
    assert {"openai", "anthropic", "ollama", "cohere", "tgi"} <= DIALECTS.keys()


@pytest.mark.parametrize(
    ("kind", "field", "default", "given"),
    [
        ("reset", "after", 0, 2),
        ("status", "code", 500, 418),
        ("slow", "seconds", 0.05, 1.5),
        ("split", "size", 3, 7),
        ("huge_event", "size", 1_000_000, 500),
        ("refuse_field", "field", "stream_options", "n"),
        ("auth_until", "key", None, "sk-1"),
        ("rate_limit", "retry_after", None, 2.0),
    ],
)
def test_each_kind_has_its_own_default(kind: str, field: str, default: object, given: object) -> None:
    """A field that a kind takes has the kind's default where it is not given, and what is given stays."""
    assert default == getattr(Fault(kind=kind), field)
    assert given == getattr(Fault(kind=kind, **{field: given}), field)
