"""The command line: `langplug VERB ...`, one module a verb.

Another package adds a verb by an entry point of the group `langplug.verbs`, which names a module that fits `Verb`; what
such a module needs of the command line is exported here.
"""

from langplug.cli._exit import FAILED, OK, OutputError, ReaderGone, UsageError, sentence
from langplug.cli._main import Verb, main
from langplug.cli._parameters import parse_value
from langplug.cli._terminal import Terminal, abandon_stdout, wants_colour

__all__ = [
    "FAILED",
    "OK",
    "OutputError",
    "ReaderGone",
    "Terminal",
    "UsageError",
    "Verb",
    "abandon_stdout",
    "main",
    "parse_value",
    "sentence",
    "wants_colour",
]
