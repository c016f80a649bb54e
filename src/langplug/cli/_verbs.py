"""The verbs of the command line: one module each, in this package or in another one."""

import argparse
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import Final, Protocol, runtime_checkable

from langplug._suggest import did_you_mean
from langplug.cli._exit import UsageError, error_text

_GROUP: Final = "langplug.verbs"
"""The entry points by which other packages add verbs: a name, and the module that fits `Verb`."""

_KIT_VERBS: Final = ("check", "explain")
"""The verbs of langplug-check: whoever has not installed it is told how to."""

_KIT_HINT: Final = "comes with the test kit: pip install 'langplug[check]'"


@runtime_checkable
class Verb(Protocol):
    """What the module of a verb defines. It must not import langchain-core before `run`: help must come at once."""

    HELP: str
    """What the verb does, in a few words, for the list of verbs."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    """Declares the verb's arguments."""

    run: Callable[[argparse.Namespace], int]
    """Does the work and returns the exit code."""


def find_verb(name: str) -> Verb:
    """The module of a verb.

    Raises:
        UsageError: If no package brings such a verb, or if its module cannot be imported or does not fit `Verb`.
    """
    verbs = _installed()
    if name in verbs:
        return _load(verbs[name])
    if name in _KIT_VERBS:
        raise UsageError(f"{name!r} {_KIT_HINT}")
    near = did_you_mean(name, verbs, inline=True) or f", expected {' or '.join(verbs)}"
    raise UsageError(f"unknown verb {name!r}{near}")


def describe_verbs() -> dict[str, str]:
    """What each verb does, by name, in alphabetical order."""
    described: dict[str, str] = dict.fromkeys(_KIT_VERBS, _KIT_HINT)
    for name, verb in _installed().items():
        try:
            described[name] = _load(verb).HELP
        except UsageError as error:  # one package's broken verb must not take away the help of all others
            described[name] = str(error)
    return dict(sorted(described.items()))


def _installed() -> dict[str, EntryPoint]:
    """Every verb that can be found, in alphabetical order."""
    modules = [found.name for found in iter_modules([str(Path(__file__).parent)])]
    own = [EntryPoint(name, f"{__package__}.{name}", _GROUP) for name in modules if not name.startswith("_")]
    # langplug's own come last and so win: no other package can replace `langplug chat` unnoticed.
    return {verb.name: verb for verb in sorted([*entry_points(group=_GROUP), *own], key=lambda verb: verb.name)}


def _load(verb: EntryPoint) -> Verb:
    try:
        module = verb.load()
    except Exception as error:
        raise UsageError(f"the verb {verb.name!r} ({verb.value}) cannot be imported: {error_text(error)}") from error
    if not isinstance(module, Verb):
        raise UsageError(f"the verb {verb.name!r} ({verb.value}) lacks one of HELP, add_arguments and run")
    return module
