"""The two packages as others install them: what is in them, what they say of themselves, what they bring along."""

import configparser
import email
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import langplug

ROOT: Final = Path(__file__).parents[1]
PROJECTS: Final = {"langplug": ROOT, "langplug-check": ROOT / "check"}
PACKAGES: Final = {"langplug": {"langplug"}, "langplug-check": {"langplug_check", "langplug_backend"}}
BOTH = pytest.mark.parametrize("project", PROJECTS)

DATA: Final = {".yaml", ".toml", ".tmpl", ".css", ".html", ".js", ".typed"}
"""What there is in a package beside Python."""


class Built:
    """A built package: where its wheel and its source distribution are, and what is in them."""

    def __init__(self, folder: Path) -> None:
        (self.wheel,) = folder.glob("*.whl")
        (sdist,) = folder.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            self.sdist = {name.partition("/")[2] for name in archive.getnames()}
        with zipfile.ZipFile(self.wheel) as archive:
            texts = {name: archive.read(name) for name in archive.namelist()}
        self.files = {name for name in texts if ".dist-info/" not in name}
        self.about = {name.partition(".dist-info/")[2]: text.decode() for name, text in texts.items()}

    @property
    def metadata(self) -> Message:
        return email.message_from_string(self.about["METADATA"])

    def requirements(self, extra: str = "") -> set[str]:
        """The names, with their versions, of what the package asks for: always, or for an `extra` alone."""
        wishes = [Requirement(text) for text in self.metadata.get_all("Requires-Dist", [])]
        always = {str(wish) for wish in wishes if wish.marker is None}
        if not extra:
            return always
        return {f"{w.name}{w.specifier}" for w in wishes if w.marker and w.marker.evaluate({"extra": extra})}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Both packages, built without network by the hatchling that is installed here."""
    folder = tmp_path_factory.mktemp("dist")
    for name, root in PROJECTS.items():
        build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder / name)]
        subprocess.run(build, cwd=root, check=True, capture_output=True, timeout=60)
    return {name: Built(folder / name) for name in PROJECTS}


# --- what is in them ---


@BOTH
def test_a_wheel_holds_its_packages_and_nothing_else(project: str, built: dict[str, Built]) -> None:
    """Each file of the packages in the repository is in the wheel, and nothing beside them."""
    source = PROJECTS[project] / "src"
    here = {
        file.relative_to(source).as_posix()
        for package in PACKAGES[project]
        for file in (source / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert here == built[project].files
    assert {".py", ".typed"} <= {Path(name).suffix for name in here} <= {".py", *DATA}
    assert {f"{package}/py.typed" for package in PACKAGES[project]} <= here


@BOTH
def test_a_source_distribution_holds_what_the_wheel_is_made_of(project: str, built: dict[str, Built]) -> None:
    """A source distribution holds the wheel's files, what the build reads, and nothing else."""
    more = {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    more |= {"CHANGELOG.md"} if project == "langplug" else set()
    assert {f"src/{name}" for name in built[project].files} | more == built[project].sdist


def test_langplug_alone_brings_no_test_code(built: dict[str, Built]) -> None:
    """The wheel that applications install imports nothing of pytest's, and has no tests."""
    with zipfile.ZipFile(built["langplug"].wheel) as archive:
        texts = {name: archive.read(name).decode() for name in built["langplug"].files if name.endswith(".py")}
    assert [] == [name for name, text in texts.items() if "import pytest" in text or "from pytest" in text]
    assert [] == [name for name in texts if "test" in Path(name).stem]


# --- what they say of themselves ---


@BOTH
def test_a_wheel_says_what_it_is(project: str, built: dict[str, Built]) -> None:
    """Licence, Python versions, typing and a description that PyPI can show."""
    about, metadata = built[project].about, built[project].metadata
    assert ("MIT", "LICENSE") == (metadata["License-Expression"], metadata["License-File"])
    assert about["licenses/LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"Typing :: Typed", *(f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13))} <= {
        *metadata.get_all("Classifier", [])
    }
    assert "text/markdown" == metadata["Description-Content-Type"]
    assert str(metadata.get_payload()).startswith("# ")


def test_both_have_the_same_version(built: dict[str, Built]) -> None:
    """langplug, `langplug.__version__`, langplug-check, what it asks for, and the extra `check`: one version."""
    version = langplug.__version__
    assert {version} == {package.metadata["Version"] for package in built.values()}
    assert {f"langplug=={version}"} == built["langplug-check"].requirements()
    assert {f"langplug-check=={version}"} == built["langplug"].requirements("check")


def test_what_langplug_asks_for(built: dict[str, Built]) -> None:
    """Always langchain-core alone; each extra brings what some models or verbs need; `all` has those that are small."""
    asked = built["langplug"].requirements
    assert ["langchain-core"] == [Requirement(wish).name for wish in asked()]
    extras = {"all", "batch", "check", "gguf", "http", "hub", "mlx", "openvino", "ray", "transformers"}
    assert extras == set(built["langplug"].metadata.get_all("Provides-Extra", []))
    assert asked("all") == asked("batch") | asked("gguf") | asked("http")
    assert {"llguidance", "xllamacpp"} == {Requirement(wish).name for wish in asked("gguf")}


@pytest.mark.parametrize(
    ("project", "entry_points"),
    [
        (
            "langplug",
            {
                "console_scripts": {"langplug": "langplug.cli:main"},
                "langplug.models": {"smollm2": "langplug.models:ChatGGUF"},
            },
        ),
        (
            "langplug-check",
            {
                "langplug.verbs": {"check": "langplug_check.cli.check", "explain": "langplug_check.cli.explain"},
                "pytest11": {"langplug": "langplug_check.pytest_plugin"},
            },
        ),
    ],
)
def test_entry_points(project: str, entry_points: dict[str, Any], built: dict[str, Built]) -> None:
    """langplug brings the command; langplug-check its verbs and the pytest plugin, which langplug alone does not."""
    parser = configparser.ConfigParser(delimiters="=")
    parser.read_string(built[project].about["entry_points.txt"])
    found = {group: dict(parser[group]) for group in parser.sections()}
    assert entry_points == found


# --- installed ---


class Environment:
    """A fresh environment, filled from uv's cache in the versions of the lock."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / ("Scripts" if sys.platform == "win32" else "bin")
        self.python = self.bin / "python"
        run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(folder))

    def install(self, *wheels: Path) -> None:
        options = ("--quiet", "--offline", "--constraint", str(ROOT / "requirements" / "dev.txt"))
        done = self._uv("install", *options, *map(str, wheels))
        if done.returncode and ("network was disabled" in done.stderr or "cache" in done.stderr):
            pytest.skip(f"uv's cache does not hold what langplug asks for: {done.stderr}")
        assert not done.returncode, done.stderr

    def packages(self) -> set[str]:
        """The names of what is installed."""
        listed: list[dict[str, str]] = json.loads(self._uv("list", "--format", "json").stdout)
        return {canonicalize_name(package["name"]) for package in listed}

    def _uv(self, verb: str, *args: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "uv", "pip", verb, "--python", str(self.python), *args]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def run(*command: str | Path, code: int = 0) -> str:
    """What `command` prints, once it has ended with `code`."""
    # PYTHONPATH may name this checkout, which would then be imported instead of what was installed.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*command], env=outside, cwd="/", capture_output=True, text=True, check=False, timeout=120)
    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_in_a_fresh_environment(built: dict[str, Built], tmp_path: Path) -> None:
    """langplug brings langchain-core and no other package of ours or pytest's; the kit's wheel adds its verbs alone."""
    fresh = Environment(tmp_path / "venv")
    command = fresh.bin / "langplug"

    fresh.install(built["langplug"].wheel)
    assert {"langplug", "langchain-core"} <= fresh.packages()
    assert not {"langplug-check", "pytest", "aiohttp", "xllamacpp", "langchain"} & fresh.packages()
    help_text = run(command, "--help")
    assert "  chat     talk to" in help_text
    assert "  check    comes with the test kit: pip install 'langplug[check]'" in help_text
    assert "langplug[check]" in run(command, "check", code=2)
    code = "from langplug.models import ChatScripted; print(ChatScripted(replies=['Hello']).invoke('Hi').text)"
    assert "Hello\n" == run(fresh.python, "-c", code)

    before = fresh.packages()
    fresh.install(built["langplug"].wheel, built["langplug-check"].wheel)
    assert {"langplug-check"} == fresh.packages() - before
    assert "comes with the test kit" not in run(command, "--help")
    assert "A01" in run(command, "check", "--list")
