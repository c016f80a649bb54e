"""The house's own rules: what a reviewer would otherwise have to say again and again.

A rule is a function from modules to complaints, so that each is shown below to complain of what it forbids.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from packaging.requirements import Requirement
from packaging.version import Version

import langplug
import langplug.cli

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"

FLOORS = (
    ("_parts", "_errors", "_wires", "_families", "_secrets", "_redaction", "_tracebacks", "_suggest", "_log"),
    ("_messages",),
    ("_request", "_env"),
    ("_tools",),
    ("_bridge",),
    ("_answer", "_lifetimes", "_resources"),
    ("_stream",),
    ("_model",),
    ("_references",),
    ("_http",),
    ("http", "models"),
    ("serve",),
    ("batch",),
    ("bench",),
    ("new",),
    ("cli", "__main__"),
)
"""The rooms, ground floor first. A module imports from its own floor and from those below."""

FRONT_DOOR = "_references"
"""The highest room that offers something through `langplug` itself: importing from there is importing from it."""

HOOKS = frozenset(
    {"_generate", "_agenerate", "_stream", "_astream", "_llm_type", "_identifying_params", "_get_ls_params"}
    | {"_resolve_model_profile", "_add_version"}
)
"""The private names that langchain-core documents as what a chat model writes."""

CORE_PRIVATE = frozenset(
    name
    for cls in BaseChatModel.__mro__
    if cls.__module__.startswith("langchain_core")
    for name in vars(cls)
    if name.startswith("_") and not name.startswith("__") and name not in HOOKS
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    """Dotted, as it is imported; a package by its own name."""
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.name.partition(".")[2].partition(".")[0]

    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(self.tree)

    def functions(self) -> Iterator[Function]:
        return (node for node in self.nodes() if isinstance(node, Function))


def modules_under(folder: Path) -> list[Module]:
    return [module_at(path, folder) for path in sorted(folder.rglob("*.py"))]


def module_at(path: Path, folder: Path) -> Module:
    parts = path.relative_to(folder).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return Module(".".join(parts[:-1] if is_package else parts), path.read_text(encoding="utf-8"), is_package)


HOUSE = modules_under(SRC)
KIT = modules_under(ROOT / "check" / "src")
TESTS = modules_under(ROOT / "tests")


# --- the rules ---


def length(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    doc = function.body[0] if ast.get_docstring(function) else None
    return span(function) - (span(doc) if doc else 0)


def span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def long_files(modules: list[Module]) -> list[str]:
    return [f"{m.name}: {lines} lines" for m in modules if (lines := len(m.text.splitlines())) > 700]


def long_functions(modules: list[Module]) -> list[str]:
    return [f"{m.name}.{f.name}: {length(f)} lines" for m in modules for f in m.functions() if length(f) > 60]


def undocumented(modules: list[Module]) -> list[str]:
    return [f"{m.name}.{name}" for m in modules for name, node in public(m.tree) if not ast.get_docstring(node)]


def public(parent: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """What others may use, with its name: classes, their methods, functions."""
    for node in parent.body:
        if not isinstance(node, Definition) or node.name.startswith("_") or is_repeated(node):
            continue
        yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from public(node, f"{prefix}{node.name}.")


def is_repeated(node: Definition) -> bool:
    """Whether it only says again what another definition documents: an overload, a property's setter."""
    return any(
        ast.unparse(decorator).endswith(("overload", ".setter", ".deleter")) for decorator in node.decorator_list
    )


def upward_imports(modules: list[Module]) -> list[str]:
    return [
        f"{m.name} imports {target}"
        for m in modules
        if m.room  # `langplug/__init__.py` is the front door, and opens every room
        for target in imported(m)
        if floor(target) > floor(m.name)
    ]


def imported(module: Module) -> Iterator[str]:
    """The modules of langplug that it imports, wherever in the file."""
    for node in module.nodes():
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and is_ours(source := origin(node, module)):
            yield from [f"langplug.{alias.name}" for alias in node.names] if source == "langplug" else [source]


def back_doors(modules: list[Module]) -> list[str]:
    """What the kit imports of langplug, or of its own backend, that these do not offer to everybody."""
    offered = {"langplug": langplug.__all__, "langplug.cli": langplug.cli.__all__}
    complaints: list[str] = []
    for module in modules:
        names = [f"{node.module}.{alias.name}" for node in froms(module) for alias in node.names]
        plain = [alias.name for node in module.nodes() if isinstance(node, ast.Import) for alias in node.names]
        for dotted in [*names, *plain]:
            source, _, name = dotted.rpartition(".")
            is_public = name in offered.get(source, ()) or source.startswith(("langplug.models", "langplug_backend"))
            if dotted.startswith("langplug") and not dotted.startswith("langplug_check"):
                complaints += [] if is_public and not is_private(dotted) else [f"{module.name} imports {dotted}"]
    return complaints


SERVE_SHARES = {
    "langplug._wires": "the words of a wire, which its client's side and its server's side both speak",
    "langplug._errors": "what of an error is for who has made the model, and not for who asks it",
    "langplug._suggest": "the house says in one way what was probably meant",
    "langplug._tools.schema": "and has one checker of JSON schemas",
    "langplug._bridge.slots": "and one fair queue",
    "langplug._bridge.threads": "and one pool of threads, for which nobody waits who leaves before",
}
"""What `serve` imports of private rooms, and why: tables, and code of which the house has one. It knows no model from
inside, so that anybody could have written it."""


def private_imports_of_serve(modules: list[Module]) -> list[str]:
    return [
        f"{m.name} imports {target}"
        for m in modules
        if m.room == "serve"
        for target in imported(m)
        if is_private(target) and not any(f"{target}.".startswith(f"{shared}.") for shared in SERVE_SHARES)
    ]


def froms(module: Module) -> list[ast.ImportFrom]:
    return [node for node in module.nodes() if isinstance(node, ast.ImportFrom)]


def is_ours(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] == "langplug"


def origin(node: ast.ImportFrom, module: Module) -> str:
    """What stands after `from`, its dots resolved."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    base = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def floor(name: str) -> int:
    """The floor on which a module of langplug stands; a public name of `langplug` stands at the front door."""
    room = name.partition(".")[2].partition(".")[0] or FRONT_DOOR
    if room in {*langplug.__all__, "__version__"}:
        room = FRONT_DOOR
    floors = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert floors, f"{room!r} stands on no floor yet: add it to FLOORS"
    return floors[0]


def circles(modules: list[Module]) -> list[str]:
    """The circles of files that import each other, imports for type checkers included."""
    names = {module.name for module in modules}
    found: list[str] = []
    below = {module.name: set(files_imported(module, names)) for module in modules}
    while True:
        free = {name for name, others in below.items() if not others & below.keys()}
        if not free:
            break
        below = {name: others for name, others in below.items() if name not in free}
    # What is left imports, or is imported by, some circle; one that nothing left imports is not in one.
    while outside := below.keys() - set().union(*below.values()):
        below = {name: others for name, others in below.items() if name not in outside}
    if below:
        found.append(f"these import each other in a circle: {', '.join(sorted(below))}")
    return found


def files_imported(module: Module, names: set[str]) -> Iterator[str]:
    """The files of `names` that a file imports: the module, and not the package that it lies in."""
    for node in module.nodes():
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom):
            source = origin(node, module)
            inner = {f"{source}.{alias.name}" for alias in node.names}
            yield from (inner & names) or ({source} & names - {module.name})


def core_private(modules: list[Module]) -> list[str]:
    outside = [m for m in modules if m.name != "langplug._model.langchain"]
    return [f"{m.name}:{line} {name}" for m in outside for line, name in private_uses(m)]


def private_uses(module: Module) -> Iterator[tuple[int, str]]:
    """Where it imports, reads, overrides or names (in `getattr`) what langchain-core keeps to itself."""
    for node in module.nodes():
        match node:
            case ast.ImportFrom(module=str(source), names=names) if source.startswith("langchain_core"):
                dotted = [f"{source}.{alias.name}" for alias in names]
            case ast.Import(names=names):
                dotted = [alias.name for alias in names if alias.name.startswith("langchain_core")]
            case ast.Attribute(attr=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                dotted = [name] if name in CORE_PRIVATE else []
            case ast.Constant(value=str(name)):
                dotted = [name] if name in CORE_PRIVATE else []
            case _:
                dotted = []
        yield from ((getattr(node, "lineno", 0), name) for name in dotted if is_private(name))


def is_private(dotted: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in dotted.split("."))


def wordless_tests(modules: list[Module]) -> list[str]:
    return [
        f"{m.name}.{f.name}"
        for m in modules
        for f in m.functions()
        if f.name.startswith("test_") and not ast.get_docstring(f)
    ]


def strangers_in_lock(text: str) -> list[str]:
    """The lines that name a host, a path of some machine or a place to look for packages; versions without a hash."""
    lines = [line for line in text.splitlines() if re.search(STRANGER, line)]
    pins = re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n", "", text).strip())
    return lines + [pin.splitlines()[0] for pin in pins if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", pin)]


STRANGER = (
    r"://"  # any address
    r"|\b[\w-]+\.(?:com|org|net|io|dev)\b"  # a host without one
    r"|(?:^|[\s=@:'\"])(?:/|~/|[A-Za-z]:[\\/])\w"  # an absolute path
    r"|^\s*(?:-i|-f|--(?:extra-)?index-url|--find-links|--index|--default-index|--trusted-host)\b"
)


# --- the house keeps them ---


@pytest.mark.parametrize(
    "rule",
    [long_files, long_functions, undocumented, upward_imports, core_private, circles, private_imports_of_serve],
)
def test_the_house_keeps_its_rules(rule: Callable[[list[Module]], list[str]]) -> None:
    """Files can be read, the public is documented, floors import downwards, one file alone knows core, no circles.

    `serve` uses what langplug offers to all, and what `SERVE_SHARES` names.
    """
    complaints = rule(HOUSE)
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("rule", [long_files, long_functions, undocumented, core_private, circles, back_doors])
def test_the_kit_keeps_the_rules(rule: Callable[[list[Module]], list[str]]) -> None:
    """So does the test kit, which has no floors but those of its packages, and uses what langplug offers to all."""
    complaints = rule(KIT)
    assert not complaints, "\n".join(complaints)


def test_the_map_names_every_room() -> None:
    """CONTRIBUTING's table names the rooms that there are, in the order of their floors."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| room |") : text.index("One answer's way")]
    named = [name for row in re.findall(r"(?m)^\| (`.*?) \|", table) for name in re.findall(r"`(\w+)`", row)]
    there = {module.room for module in HOUSE if module.room} - {"__main__"}
    assert there == set(named)
    assert named == sorted(named, key=lambda name: floor(f"langplug.{name}"))


@pytest.mark.parametrize("module", [m for m in HOUSE if m.is_package and m.room], ids=lambda m: m.name)
def test_each_room_says_what_lives_there(module: Module) -> None:
    """The docstring of a room's `__init__` says what lives there."""
    assert ast.get_docstring(module.tree)


def test_every_test_says_what_it_shows() -> None:
    """Each test's docstring is a sentence of the contract."""
    complaints = wordless_tests(TESTS)
    assert not complaints, "\n".join(complaints)


PUBLIC_NAMES = [
    "TOOL_FORMATS",
    "Answer",
    "ChatModel",
    "Finish",
    "IgnoredParameterWarning",
    "IncompleteAnswerError",
    "MissingSecretError",
    "Part",
    "Public",
    "Reasoning",
    "RefusalError",
    "Request",
    "ToolCall",
    "ToolFormat",
    "UnmetDemandError",
    "UnsupportedError",
    "Usage",
    "adopt",
    "chat_model",
    "env",
    "is_secret_name",
    "load",
    "resource",
]
"""In the order that the linter asks for: constants, classes, functions."""


def test_public_names_are_few_and_in_order() -> None:
    """`langplug` offers these names, at most 25 of them, and each is there."""
    assert PUBLIC_NAMES == langplug.__all__
    assert len(langplug.__all__) <= 25
    assert [] == [name for name in langplug.__all__ if not hasattr(langplug, name)]


def test_the_version_is_one() -> None:
    """The package and its metadata name the same version."""
    assert pyproject()["project"]["version"] == langplug.__version__


LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
OF_SERVERS = sorted((ROOT / "requirements" / "servers").glob("*.txt"))
"""Of other people's servers, each by itself: nothing of ours is installed with them."""


@pytest.mark.parametrize("lock", [*LOCKS, *OF_SERVERS], ids=lambda path: path.name)
def test_locks_hold_hashes_and_no_places(lock: Path) -> None:
    """A lock names versions and their hashes: no host, no index and no machine's paths."""
    assert [] == strangers_in_lock(lock.read_text(encoding="utf-8"))


def test_locks_agree() -> None:
    """What two locks both hold, they hold in the same version; but for two, whose tools alone are the same."""
    everything: set[str] = set()
    for name in ("peers.txt", "tracing.txt", "playground.txt", "ray.txt", "engines.txt", "docs.txt"):
        known = {pin.split("==")[0] for pin in everything}
        everything |= {pin for pin in pins(ROOT / "requirements" / name) if pin.split("==")[0] not in known}
    apart = {ROOT / "requirements" / name for name in ("clients.txt", "fuzz.txt", "oldest.txt", "servers.txt")}
    names = {"build.txt", "chat.txt", "clients.txt", "dev.txt", "engines.txt", "fuzz.txt", "oldest.txt", "peers.txt"}
    names |= {"docs.txt", "playground.txt", "ray.txt", "servers.txt", "tracing.txt"}
    assert names == {lock.name for lock in LOCKS}
    assert [] == [f"{lock.name}: {pin}" for lock in {*LOCKS} - apart for pin in sorted(pins(lock) - everything)]
    assert set() == {pin for lock in apart for pin in pins(ROOT / "requirements" / "build.txt") - pins(lock)}


def test_the_oldest_lock_holds_the_lower_end_of_the_range() -> None:
    """`make test-oldest` runs with the lowest version of everything that langplug and its extras ask for."""
    project = pyproject()["project"]
    extras = project["optional-dependencies"]
    asked = [Requirement(wish) for wish in (*project["dependencies"], *extras["gguf"], *extras["http"])]
    floors = {wish.name: spec.version for wish in asked for spec in wish.specifier if spec.operator == ">="}
    locked = dict(pin.split("==", maxsplit=1) for pin in pins(ROOT / "requirements" / "oldest.txt"))
    assert {wish.name for wish in asked} == set(floors)
    assert locked.pop("xllamacpp").startswith(floors.pop("xllamacpp"))  # a month, and then the number of a build
    assert {name: Version(floor) for name, floor in floors.items()} == {name: Version(locked[name]) for name in floors}


def test_locks_hold_what_the_project_asks_for() -> None:
    """Whatever `pyproject.toml` asks for stands in a lock, in a version that it allows: else, `make lock`.

    Not so torch, of which each machine needs another build.
    """
    locks = ("fuzz.txt", "engines.txt", "playground.txt", "ray.txt", "tracing.txt", "peers.txt")
    locked = dict(pin.split("==", maxsplit=1) for lock in locks for pin in pins(ROOT / "requirements" / lock))
    asked = [wish for wish in wishes() if wish.name != "torch"]
    assert [] == [str(wish) for wish in asked if not wish.specifier.contains(locked.get(wish.name, "none"))]
    groups = pyproject()["dependency-groups"]
    for lock in OF_SERVERS:
        locked = dict(pin.split("==", maxsplit=1) for pin in pins(lock))
        wanted = [Requirement(wish) for wish in groups[f"servers-{lock.stem}"]]
        assert [] == [str(wish) for wish in wanted if not wish.specifier.contains(locked.get(wish.name, "none"))]


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


APART = ("oldest", "servers-")
"""Groups with locks that have nothing to do with the others."""


def wishes() -> list[Requirement]:
    """Every direct dependency, of the package, its extras and the groups but those."""
    everything = pyproject()
    groups = [
        everything["project"]["dependencies"],
        *everything["project"]["optional-dependencies"].values(),
        *(group for name, group in everything["dependency-groups"].items() if not name.startswith(APART)),
    ]
    written = [Requirement(wish) for group in groups for wish in group if isinstance(wish, str)]
    return [wish for wish in written if wish.name not in {"langplug", "langplug-check"}]


def pins(lock: Path) -> set[str]:
    return set(re.findall(r"(?m)^[a-z0-9][\w.-]*==[\w.+!-]+", lock.read_text(encoding="utf-8")))


def test_no_stray_files() -> None:
    """What editors and merges leave behind is not part of the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [] == [name for name in done.stdout.split("\0") if name.endswith((".orig", ".rej", ".bak", ".swp", "~"))]


@pytest.mark.parametrize("door", ["argument", "environment"])
@pytest.mark.parametrize("prompt", ["a \"b\" 'c' \\", "$HOME $(HOME) $$ ${x} $(shell id)", "`id` # ; & %", "-x =y\nz"])
def test_make_chat_hands_the_prompt_on_as_it_was_typed(prompt: str, door: str, tmp_path: Path) -> None:
    """`make chat PROMPT=...` gives the command the prompt to the letter, and its stdout holds the answer alone."""
    command = tmp_path / "bin" / "langplug"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nimport sys\nprint(*sys.argv[1:], sep='|', end='')\n")
    command.chmod(0o755)
    for stamp in (".build", ".chat"):
        (tmp_path / stamp).touch()
    given = [f"PROMPT={prompt}"] if door == "argument" else []
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    done = subprocess.run(
        ["make", "chat", f"VENV={tmp_path}", *given],
        cwd=ROOT,
        env={**outside, "PROMPT": prompt},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "pull|smollm2") == (done.returncode, done.stderr)
    assert f"chat|--prompt={prompt}" == done.stdout


# --- and would not let these pass ---


def ring(one: str, other: str) -> list[Module]:
    """Two files of a room, and one that imports the first."""
    return [Module("langplug._a.a", one), Module("langplug._a.b", other), Module("langplug._b", "import langplug._a.a")]


def bad(text: str, name: str = "langplug._messages.some") -> list[Module]:
    return [Module(name, text)]


@pytest.mark.parametrize(
    ("rule", "modules"),
    [
        pytest.param(long_files, bad("x = 1\n" * 701), id="file of 701 lines"),
        pytest.param(long_functions, bad("def f():\n" + "    x = 1\n" * 60), id="function of 61 lines"),
        pytest.param(long_functions, bad("class A:\n  async def f():\n" + "    x = 1\n" * 60), id="method of 61 lines"),
        pytest.param(undocumented, bad("def f(): ..."), id="function"),
        pytest.param(undocumented, bad("class A: ..."), id="class"),
        pytest.param(undocumented, bad("class A:\n  'Doc.'\n  async def f(self): ..."), id="method"),
        pytest.param(upward_imports, bad("import langplug.models.echo"), id="import"),
        pytest.param(upward_imports, bad("from langplug._bridge.loop import x"), id="from"),
        pytest.param(upward_imports, bad("def f():\n  from langplug import _model"), id="from the package, inside"),
        pytest.param(upward_imports, bad("from langplug import ChatModel"), id="from the front door"),
        pytest.param(upward_imports, bad("from .. import _model"), id="relative package"),
        pytest.param(upward_imports, bad("from .._model.call import x"), id="relative module"),
        pytest.param(upward_imports, [Module("langplug._messages", "from .._model import x", True)], id="in a package"),
        pytest.param(core_private, bad("from langchain_core._api import beta"), id="private module"),
        pytest.param(core_private, bad("import langchain_core._api.path"), id="private module, import"),
        pytest.param(core_private, bad("from langchain_core.load.dump import _dump"), id="private function"),
        pytest.param(core_private, bad("self._convert_input(x)"), id="private method"),
        pytest.param(core_private, bad("getattr(self, '_should_stream')"), id="private method, getattr"),
        pytest.param(core_private, bad("class A:\n  def _get_llm_string(self): ..."), id="private override"),
        pytest.param(back_doors, bad("from langplug._tools import TOOL_FORMATS"), id="kit, private module"),
        pytest.param(back_doors, bad("def f():\n  from langplug import _env"), id="kit, private name"),
        pytest.param(back_doors, bad("from langplug.cli import chat"), id="kit, what the command line keeps"),
        pytest.param(back_doors, bad("import langplug._references"), id="kit, import"),
        pytest.param(back_doors, bad("from langplug_backend.server import _Server"), id="kit, the backend's"),
        pytest.param(
            private_imports_of_serve, bad("from langplug._model.plan import x", "langplug.serve.some"), id="serve"
        ),
        pytest.param(
            private_imports_of_serve, bad("from langplug import _model", "langplug.serve.x"), id="serve, room"
        ),
        pytest.param(wordless_tests, bad("async def test_x(): ..."), id="test"),
        pytest.param(circles, ring("from langplug._a import b", "from langplug._a import a"), id="circle"),
        pytest.param(
            circles,
            ring("def f():\n  from langplug._a.b import x", "if C:\n  import langplug._a.a"),
            id="hidden circle",
        ),
    ],
)
def test_a_rule_complains_of_what_it_forbids(rule: Callable[[list[Module]], list[str]], modules: list[Module]) -> None:
    """Each rule has exactly one complaint of what breaks it once."""
    assert len(rule(modules)) == 1


@pytest.mark.parametrize(
    ("rule", "modules"),
    [
        pytest.param(long_functions, bad('def f():\n  """Doc.' + "\n" * 60 + '"""\n  return 1'), id="long docstring"),
        pytest.param(
            private_imports_of_serve,
            bad("from langplug import adopt\nfrom langplug._wires.messages import x", "langplug.serve.some"),
            id="serve, public and shared",
        ),
        pytest.param(undocumented, bad("@typing.overload\ndef f(): ...\ndef _g(): ..."), id="overload, private"),
        pytest.param(
            upward_imports, bad("from langplug._parts import x\nfrom . import stop"), id="downward, same room"
        ),
        pytest.param(upward_imports, bad("from langplug import Request", "langplug.models.x"), id="front door"),
        pytest.param(core_private, bad("class A:\n  def _stream(self): super()._stream()"), id="documented hook"),
        pytest.param(circles, ring("from langplug._a import b", "from langplug._a import c"), id="no circle"),
        pytest.param(
            back_doors,
            bad("from langplug import load\nfrom langplug.cli import OK\nfrom langplug.models import ChatEcho"),
            id="public",
        ),
        pytest.param(core_private, bad("self._convert_input(x)", "langplug._model.langchain"), id="core itself"),
    ],
)
def test_a_rule_has_nothing_against_the_rest(rule: Callable[[list[Module]], list[str]], modules: list[Module]) -> None:
    """No rule complains of what is allowed."""
    assert [] == rule(modules)


def test_a_room_on_no_floor_is_noticed() -> None:
    """A new room has to be given its floor."""
    with pytest.raises(AssertionError, match="'attic' stands on no floor yet"):
        upward_imports(bad("from langplug.attic import x"))


@pytest.mark.parametrize(
    "line",
    [
        "--index-url simple",
        "-f wheels",
        "# from https://example.test/simple",
        "# files.example.org",
        "a @ /tmp/wheel",
        "a @ C:\\wheels",
        "a==1.0",
        "a==1.0 \\\n    --hash=md5:0123",
    ],
)
def test_a_stranger_in_a_lock_is_noticed(line: str) -> None:
    """An address, a host, a path, an index or a missing hash in a lock is noticed."""
    hashed = f"b==1.0 \\\n    --hash=sha256:{'0' * 64}\n    # via\n    #   a\n    #   c (pyproject.toml:build)"
    assert [] == strangers_in_lock(hashed)
    assert [] != strangers_in_lock(f"{line}\n{hashed}")
