"""The playground: static files of the package, which speak to `/v1` as any client does."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}

_FROM_HERE_ALONE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a page may load and whom it may ask: nothing that a model writes gets it to ask anybody else."""


_PROTECTION: Final = {
    "content-security-policy": _FROM_HERE_ALONE,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # a newer langplug has a newer page
}


@dataclass(frozen=True, slots=True)
class Page:
    """A static file as it is sent: the headers that are its own, and its bytes."""

    headers: Mapping[str, str]
    data: bytes


@cache
def playground() -> Mapping[str, Page]:
    """The files of this package."""
    return MappingProxyType(pages_in(files(__name__)))


def pages_in(folder: Traversable) -> dict[str, Page]:
    """The pages, scripts and styles in a folder by their paths: `/` is its index, the others are in `/playground/`."""
    pages: dict[str, Page] = {}
    for file in folder.iterdir():
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            page = Page({"content-type": kind, **_PROTECTION}, file.read_bytes())
            pages["/" if file.name == "index.html" else f"/playground/{file.name}"] = page
    return pages
