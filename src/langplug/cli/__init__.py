"""The command line: `langplug VERB ...`, one module a verb.

A new verb of langplug is one new file here, without an underscore at the beginning of its name. Another package adds a
verb by an entry point of the group `langplug.verbs`, which names a module that fits `Verb`. What such a module needs of
the command line is exported here.
"""

from langplug.cli._exit import FAILED, OK, OutputError, ReaderGone, UsageError, error_text
from langplug.cli._main import main
from langplug.cli._parameters import parse_value, split_assignment
from langplug.cli._progress import ProgressLine, draw_bar
from langplug.cli._terminal import Terminal, abandon_stdout, wants_colour
from langplug.cli._verbs import Verb

__all__ = [
    "FAILED",
    "OK",
    "OutputError",
    "ProgressLine",
    "ReaderGone",
    "Terminal",
    "UsageError",
    "Verb",
    "abandon_stdout",
    "draw_bar",
    "error_text",
    "main",
    "parse_value",
    "split_assignment",
    "wants_colour",
]
