"""The command line: `langplug VERB ...`, one module a verb."""

from langplug.cli._main import main

__all__ = ["main"]
