"""`langplug completion`: what the Tab key completes, for bash, zsh and fish.

The scripts hold nothing of their own: they send the line as far as it is typed, and show what this verb answers. So
verbs, options and models that packages bring later are completed, too.
"""

import argparse
import ast
import shlex
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from langplug.cli._exit import OK, UsageError, exit_codes
from langplug.cli._terminal import Terminal
from langplug.cli._verbs import describe_verbs, find_verb

HELP: Final = "print a script that completes langplug's words in a shell"

_BASH: Final = r"""
_langplug() {
    local IFS=$'\n'
    COMPREPLY=($(langplug completion bash --line="${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
    [[ ${COMPREPLY[0]-} == *[/:=] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _langplug langplug
"""

_ZSH: Final = r"""
_langplug() {
    local -a found
    found=(${(f)"$(langplug completion zsh --line="$LBUFFER" 2>/dev/null)"})
    compadd -S '' -- ${(M)found:#*[\/:=]}
    compadd -- ${found:#*[\/:=]}
}
compdef _langplug langplug
"""

_FISH: Final = r"""
complete -c langplug -f -a '(langplug completion fish --line=(commandline -cp | string collect) 2>/dev/null)'
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug completion` takes."""
    parser.description = "Print a script that completes langplug's verbs, options, files and models in a shell."
    parser.epilog = f"""\
Switch it on:
  bash    echo 'eval "$(langplug completion bash)"' >> ~/.bashrc
  zsh     echo 'eval "$(langplug completion zsh)"' >> ~/.zshrc
  fish    langplug completion fish > ~/.config/fish/completions/langplug.fish

{exit_codes()}"""
    parser.add_argument("shell", choices=list(SCRIPTS), help="which shell")
    parser.add_argument("--line", metavar="TEXT", help="print what may follow this line; the scripts ask so")


def run(args: argparse.Namespace) -> int:
    """Print the script, or what may follow a line. Returns the exit code."""
    if args.line is None:
        Terminal().answer(SCRIPTS[args.shell].lstrip())
        return OK
    *before, current = _split(args.line)
    found = sorted({word for word in _following(before, current) if word.startswith(current)})
    # To bash, a colon ends a word, and so it replaces only what stands after the last one.
    cut = max(current.rfind(":"), current.rfind("=")) + 1 if args.shell == "bash" else 0
    Terminal().answer("".join(f"{word[cut:]}\n" for word in found))
    return OK


def _split(line: str) -> list[str]:
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


def _following(before: list[str], current: str) -> Iterator[str]:
    """What may stand in the place of `current`; some of it may not begin with it."""
    if not before:
        yield from (*describe_verbs(), "--help", "--version")
        return
    from langplug.cli._main import parser_of  # which finds verbs, this one among them

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
    if argument.choices is not None:
        yield from map(str, argument.choices)
    elif argument.metavar == "REF":
        yield from _references(current)
    elif argument.metavar in ("FILE", "MODULE"):
        yield from _files(current)


def _references(current: str) -> Iterator[str]:
    """Names of installed models, files and folders, and after a Python file's colon what is defined in it."""
    source, colon, _ = current.rpartition(":")
    if colon and source.endswith(".py"):
        try:
            statements = ast.parse(Path(source).expanduser().read_bytes()).body  # read, and not run
        except (OSError, SyntaxError, ValueError):
            return
        for one in statements:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names = [one.name]
            else:
                targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            yield from (f"{source}:{name}" for name in names if not name.startswith("_"))
        return
    yield from (entry.name for entry in entry_points(group="langplug.models"))
    for name in _files(current):
        if name.endswith(".py"):
            yield f"{name}:"
        elif name.endswith(("/", ".gguf")):
            yield name


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
