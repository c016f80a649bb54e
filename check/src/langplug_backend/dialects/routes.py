"""Loads every dialect of this folder, and finds the one that a request speaks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pkgutil import iter_modules

from langplug_backend import dialects as folder
from langplug_backend.dialects.dialect import Dialect, ErrorObject, Page
from langplug_backend.request import DialectName

_modules = [import_module(f"{folder.__name__}.{module.name}") for module in iter_modules(folder.__path__)]

DIALECTS: Mapping[DialectName, Dialect] = {
    dialect.name: dialect
    for dialect in (getattr(module, "DIALECT", None) for module in _modules)
    if isinstance(dialect, Dialect)
}
"""Every dialect by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a request goes.

    Attributes:
        dialect: The wire.
        page: What is there; None: answers of a model.
        error: Why nothing is there.
    """

    dialect: Dialect
    page: Page | None = None
    error: ErrorObject | None = None


def find_route(method: str, path: str, headers: Mapping[str, str]) -> Destination:
    """Where a request goes. Paths are compared from their end, so that any base URL will do."""
    found = [(dialect, it) for dialect in DIALECTS.values() for it in dialect.routes if path.endswith(it.path)]
    # `/v1/models` is OpenAI's and Anthropic's. A client that sends a dialect's own header means that dialect; one that
    # does not means the dialect without such a header.
    signed = [dialect for dialect in DIALECTS.values() if dialect.header and dialect.header in headers]
    found = [(dialect, it) for dialect, it in found if not signed or dialect in signed]
    found.sort(key=lambda pair: bool(pair[0].header))
    for dialect, it in found:
        if it.method == method:
            return Destination(dialect=dialect, page=it.page)
    if found:
        dialect = found[0][0]
        error = replace(dialect.errors["not_found"], status=405, message=f"Method not allowed: {method} {path}")
        return Destination(dialect=dialect, error=error)
    hinted = [dialect for dialect in DIALECTS.values() if dialect.path_hint and dialect.path_hint in path]
    dialect = [*hinted, *signed, DIALECTS["openai"]][0]
    error = replace(dialect.errors["not_found"], message=f"Nothing is at {path}", code=None)
    return Destination(dialect=dialect, error=error)
