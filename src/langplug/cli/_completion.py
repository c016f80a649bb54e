"""What may follow a line that is typed as far as the cursor."""

import argparse
import ast
import shlex
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

from langplug.cli._exit import UsageError
from langplug.cli._verbs import describe_verbs, find_verb


def split_line(line: str) -> list[str]:
    """The words after `langplug`, the last of them as far as it is typed."""
    words: list[str] = []
    for closing in ("", "'", '"'):  # a quote may still be open
        with suppress(ValueError):
            words = shlex.split(line + closing)
            if not closing and (not line or line[-1].isspace()):
                words.append("")
            break
    else:
        return [""]
    # As it is called: by a path, after other commands and variables on the same line.
    called = [at for at, word in enumerate(words[:-1]) if Path(word).name == "langplug"]
    return words[called[-1] + 1 :] if called else words[-1:]


def following_words(before: list[str], current: str) -> Iterator[str]:
    """What may stand in the place of `current`; some of it may not begin with it."""
    if not before:
        yield from (*describe_verbs(), "--help", "--version")
        return
    from langplug.cli._main import parser_of  # which finds verbs, `completion` among them

    verb, *words = before
    try:
        parser = parser_of(verb, find_verb(verb))
    except UsageError:
        return
    option = next((one for one in parser.declared if words and words[-1] in one.option_strings), None)
    if option is not None and option.nargs != 0:  # its value
        yield from _values_of(option, current)
        if option.nargs != "+":
            return
    if current.startswith("-"):
        yield from (flag for flag in parser.flags if flag.startswith("--"))
        return
    for argument in parser.declared:
        if not argument.option_strings:
            yield from _values_of(argument, current)


def _values_of(argument: argparse.Action, current: str) -> Iterator[str]:
    """Values of an argument: choices, files, or references, in which a Python file is followed by what it defines."""
    if argument.choices is not None:
        yield from map(str, argument.choices)
    elif argument.metavar in ("FILE", "MODULE"):
        yield from _files(current)
    elif argument.metavar == "REF" and ".py:" in current:
        source, _, _ = current.rpartition(":")
        with suppress(OSError, SyntaxError, ValueError):
            tree = ast.parse(Path(source).expanduser().read_bytes())  # read, and not run
            for one in tree.body:
                targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
                names = [getattr(one, "name", ""), *(getattr(target, "id", "") for target in targets)]
                yield from (f"{source}:{name}" for name in names if name and not name.startswith("_"))
    elif argument.metavar == "REF":
        yield from (entry.name for entry in entry_points(group="langplug.models"))
        for name in _files(current):
            if name.endswith((".py", "/", ".gguf")):
                yield f"{name}:" if name.endswith(".py") else name


def _files(current: str) -> Iterator[str]:
    """Files and folders, written as `current` begins; folders end in a slash. Hidden ones must be asked for."""
    folder, slash, begun = current.rpartition("/")
    place = Path(f"{folder}{slash}" or ".").expanduser()
    try:
        found = list(place.iterdir())
    except OSError:
        return
    for path in found:
        if begun.startswith(".") or not path.name.startswith("."):
            yield f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}"
