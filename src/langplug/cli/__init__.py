"""The command line: `langplug VERB ...`, one module a verb.

A new verb of langplug is one new file here, without an underscore at the beginning of its name. Another package adds a
verb by an entry point of the group `langplug.verbs`, which names a module that fits `Verb`. What such a module needs of
the command line is exported here.
"""

from langplug.cli._exit import FAILED, OK, OutputError, ReaderGone, UsageError, error_text, exit_codes
from langplug.cli._main import main
from langplug.cli._model import ON_REFERENCES, add_model_arguments, load_model
from langplug.cli._parameters import parse_settings, parse_value, split_assignment
from langplug.cli._progress import ProgressLine, draw_bar
from langplug.cli._terminal import Terminal, abandon_stdout, wants_colour
from langplug.cli._verbs import Verb

__all__ = [
    "FAILED",
    "OK",
    "ON_REFERENCES",
    "OutputError",
    "ProgressLine",
    "ReaderGone",
    "Terminal",
    "UsageError",
    "Verb",
    "abandon_stdout",
    "add_model_arguments",
    "draw_bar",
    "error_text",
    "exit_codes",
    "load_model",
    "main",
    "parse_settings",
    "parse_value",
    "split_assignment",
    "wants_colour",
]
