"""The formats, found by themselves, and which of them a model writes in."""

import importlib
import pkgutil
from collections.abc import Mapping

from langplug._suggest import did_you_mean
from langplug._tools.tool_format import Speakers, ToolFormat

_FOLDER = importlib.import_module("langplug._tools.formats")
_MODULES = [
    importlib.import_module(f"{_FOLDER.__name__}.{name}")
    for name in sorted(module.name for module in pkgutil.iter_modules(_FOLDER.__path__))
]

TOOL_FORMATS: Mapping[str, ToolFormat] = {module.FORMAT.name: module.FORMAT for module in _MODULES}
"""The formats by name; `"default"` is for unknown models."""

_SPOKEN: list[tuple[Speakers, ToolFormat]] = sorted(
    ((module.SPOKEN_BY, module.FORMAT) for module in _MODULES if module.SPOKEN_BY is not None),
    key=lambda pair: (pair[0].rank, pair[1].name),
)


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


def format_for(hint: str) -> ToolFormat:
    """The format that a model writes calls in, by its name or by its chat template.

    Where several fit, the most special counts: `"Hermes-3-Llama-3.1-8B"` is a Hermes. `TOOL_FORMATS["default"]` where
    none does.
    """
    for speakers, tool_format in _SPOKEN:
        if any(all(marker in hint for marker in markers) for markers in speakers.templates):
            return tool_format
    for speakers, tool_format in _SPOKEN:
        if any(marker in hint for marker in speakers.families):
            return tool_format
    if "{%" not in hint and "{{" not in hint:  # a template may mention other models
        name = hint.casefold().replace("-", "").replace("_", "").replace(" ", "")
        for speakers, tool_format in _SPOKEN:
            if any(part in name for part in speakers.names):
                return tool_format
    return TOOL_FORMATS["default"]
