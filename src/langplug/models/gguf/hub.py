"""Weights of a Hugging Face repository, by `huggingface_hub` (the extra `hub`).

That package resumes what was broken off, keeps two downloads of one file apart, follows `HF_ENDPOINT` (a mirror, or a
server of one's own), `HF_TOKEN` and the proxies. Added here: the choice of the file, its checksum, which that package
does not compute, and sentences that say what to do.
"""

import errno
import hashlib
import re
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from langplug._suggest import did_you_mean
from langplug.models.gguf.weights import PullError, cache_dir

_REFERENCE: Final = re.compile(
    r"(?:hf:|https?://[^/]+/)(?P<repository>[\w.-]+/[\w.-]+)(?:/(?:resolve|blob)/[^/]+/(?P<file>.+?)(?:\?.*)?)?/?"
)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_BLOCK: Final = 1 << 20
_OF_A_FOLDER: Final = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""What a model in transformers' format needs; not the same weights again in other formats."""


def repository_of(reference: str) -> tuple[str, str | None] | None:
    """The repository, and the file if it is named, of `hf:owner/name` or an address; None if it is neither."""
    found = _REFERENCE.fullmatch(reference)
    return (found["repository"], found["file"]) if found else None


def pull_repository(repository: str, file: str | None = None, *, force: bool = False) -> Path:
    """Download a GGUF file of a repository into langplug's cache, or, where it has none, its folder for transformers.

    Args:
        repository: `owner/name`.
        file: Which of its files. Default: its only GGUF file; of a split one, its first part brings the others.
        force: Whether to download what is there already.

    Returns:
        The file, or the folder.

    Raises:
        PullError: If it cannot be downloaded, is not what it should be, or a choice is needed. It says what to do.
        OSError: If it cannot be written.
    """
    try:
        hub: Any = import_module("huggingface_hub")
    except ImportError:
        raise PullError(
            f"Downloading {repository!r} needs huggingface_hub: pip install 'langplug[hub]'. Without it, download the "
            "file by other means and give its path: langplug chat ./weights.gguf"
        ) from None
    folder = cache_dir() / "weights" / repository.replace("/", "--")
    with _explained(repository, file, folder):
        names = hub.HfApi().list_repo_files(repository)
        chosen = _choose(repository, file, names)
        wanted = [chosen] if chosen else []
        if chosen and (first := re.fullmatch(r"(.*)-00001-of-(\d{5})\.gguf", chosen)):  # the others belong to it
            part = re.compile(re.escape(first[1]) + rf"-\d{{5}}-of-{first[2]}\.gguf")
            wanted = [name for name in sorted(names) if part.fullmatch(name)]
        if not wanted:
            return Path(hub.snapshot_download(repository, local_dir=folder, allow_patterns=[*_OF_A_FOLDER]))
        paths = [Path(hub.hf_hub_download(repository, name, local_dir=folder, force_download=force)) for name in wanted]
        for name, path in zip(wanted, paths, strict=True):
            _verify(hub, repository, name, path)
    return paths[0]


def _choose(repository: str, file: str | None, names: list[str]) -> str | None:
    """The file to download; None for a folder in transformers' format."""
    if file is not None:
        if file not in names:
            raise PullError(f"{repository!r} has no file {file!r}{did_you_mean(file, names, inline=True)}.")
        return file
    whole = [name for name in names if name.endswith(".gguf") and "mmproj" not in name]
    firsts = [name for name in whole if not (part := re.search(r"-(\d{5})-of-\d{5}\.gguf$", name)) or int(part[1]) == 1]
    if len(firsts) == 1:
        return firsts[0]
    if firsts:
        listed = "\n  ".join(sorted(firsts))
        raise PullError(f"{repository!r} has {len(firsts)} GGUF files. Choose one with --file:\n  {listed}")
    if "config.json" in names and any(name.endswith(".safetensors") for name in names):
        return None
    raise PullError(
        f"{repository!r} has neither a GGUF file nor a model in transformers' format (config.json, *.safetensors). "
        "Many models are published as GGUF in a repository of their own."
    )


def _verify(hub: Any, repository: str, name: str, path: Path) -> None:
    """Compare the checksum: for large files, the hub's ETag is their sha256."""
    expected = str(hub.get_hf_file_metadata(hub.hf_hub_url(repository, name)).etag)
    if not _SHA256.fullmatch(expected):
        return
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != expected:
        path.unlink()
        raise PullError(
            f"What came as {name!r} of {repository!r} is something else: its sha256 is {digest.hexdigest()}, and "
            f"{expected} was expected. Nothing was kept. Run the command again, and check HF_ENDPOINT if it is set."
        )


@contextmanager
def _explained(repository: str, file: str | None, folder: Path) -> Generator[None]:
    """What huggingface_hub raises, as a sentence that says what to do."""
    errors: Any = import_module("huggingface_hub.errors")
    target = folder / (file or "weights.gguf")
    try:
        yield
    except PullError:
        raise
    except errors.GatedRepoError:
        raise PullError(
            f"{repository!r} is given only to those who accept its terms: do so on its page, and set HF_TOKEN."
        ) from None
    except errors.RepositoryNotFoundError:
        raise PullError(
            f"There is no repository {repository!r} for you. Check its name; for a private one, set HF_TOKEN."
        ) from None
    except errors.EntryNotFoundError as error:
        if not isinstance(error, errors.LocalEntryNotFoundError):
            raise PullError(f"{repository!r} has lost {file or 'a file'} meanwhile. Run the command again.") from None
        raise _unreachable(repository, error, target) from error
    except OSError as error:
        if isinstance(error, errors.HfHubHTTPError) or "onsistency check" in str(error):
            reason = str(error).strip().splitlines()[0]
            raise PullError(f"{repository!r} could not be downloaded: {reason}. Run the command again.") from error
        if error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS):
            raise
        raise _unreachable(repository, error, target) from error
    except Exception as error:  # of its HTTP client, which has changed, and changes again
        raise _unreachable(repository, error, target) from error


def _unreachable(repository: str, error: Exception, target: Path) -> PullError:
    return PullError(
        f"{repository!r} could not be downloaded ({type(error).__name__}). What has come is kept, and the next pull "
        f"goes on from there. Without the network, copy the file to {str(target)!r} from a machine with it, and name "
        "it by that path; a mirror is set by HF_ENDPOINT."
    )
