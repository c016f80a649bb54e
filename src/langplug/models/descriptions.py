"""Descriptions of wires in files: YAML, TOML or JSON."""

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from langplug._suggest import did_you_mean

_SUFFIXES = (".yaml", ".yml", ".toml", ".json")


def shipped() -> list[str]:
    """The names of the descriptions that come with langplug."""
    folder = resources.files("langplug.models") / "wires"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file, or the description of that name that comes with langplug, says.

    Raises:
        FileNotFoundError: If there is neither.
        ValueError: If it cannot be read, or holds something else than names and values.
    """
    given = os.fspath(path)
    if given in shipped():
        text = (resources.files("langplug.models") / "wires" / f"{given}.yaml").read_text(encoding="utf-8")
        return _parsed(text, ".yaml", given)
    file = Path(given)
    if not file.is_file():
        raise FileNotFoundError(_nowhere(given))
    if file.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{given} is no description: its name must end in one of {', '.join(_SUFFIXES)}.")
    return _parsed(file.read_text(encoding="utf-8"), file.suffix.lower(), given)


def _parsed(text: str, suffix: str, name: str) -> dict[str, Any]:
    import yaml

    try:
        given = tomllib.loads(text) if suffix == ".toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{name} cannot be read: {error}") from error
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise ValueError(f"{name} holds {type(given).__name__}; expected names and values, such as `url: /chat`.")
    return given


def _nowhere(given: str) -> str:
    names = shipped()
    hint = did_you_mean(given, names)
    return f"There is no file {given!r}, and no description of that name.{hint} There are: {', '.join(names)}."
