"""The formats, found by themselves, and which of them a model writes in."""

import importlib
import pkgutil
from collections.abc import Mapping

from langplug._families import family_for
from langplug._suggest import did_you_mean
from langplug._tools.tool_format import ToolFormat

_FOLDER = importlib.import_module("langplug._tools.formats")
_MODULES = [
    importlib.import_module(f"{_FOLDER.__name__}.{name}")
    for name in sorted(module.name for module in pkgutil.iter_modules(_FOLDER.__path__))
]

TOOL_FORMATS: Mapping[str, ToolFormat] = {each.name: each for module in _MODULES for each in module.FORMATS}
"""The formats by name; `"default"` is for unknown models."""


def format_named(name: str) -> ToolFormat:
    """The format of that name.

    Raises:
        ValueError: If it is unknown; the error names those that are known.
    """
    if name not in TOOL_FORMATS:
        raise ValueError(
            f"Unknown tool_format={name!r}.{did_you_mean(name, TOOL_FORMATS)} "
            f"Choose from {', '.join(sorted(TOOL_FORMATS))}."
        )
    return TOOL_FORMATS[name]


def format_for(*hints: str) -> ToolFormat:
    """The format that a model writes calls in, by its chat template, its architecture, its name, or some of them.

    `TOOL_FORMATS["default"]` where its family is unknown.
    """
    return TOOL_FORMATS[family_for(*hints).tool_format]
