"""`langplug completion`: what the Tab key completes, for bash, zsh and fish.

The scripts hold nothing of their own: they send the line as far as it is typed, and show what this verb answers. So
verbs, options and models that packages bring later are completed, too.
"""

import argparse
from typing import Final

from langplug.cli._completion import following_words, split_line
from langplug.cli._exit import OK, exit_codes
from langplug.cli._terminal import Terminal

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
    *before, current = split_line(args.line)
    found = sorted({word for word in following_words(before, current) if word.startswith(current)})
    # To bash, a colon ends a word, and so it replaces only what stands after the last one.
    cut = max(current.rfind(":"), current.rfind("=")) + 1 if args.shell == "bash" else 0
    Terminal().answer("".join(f"{word[cut:]}\n" for word in found))
    return OK
