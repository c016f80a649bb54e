"""How fast a model answers, under load, by definitions that stand beside the figures."""

from langplug.bench.compare import Change, compare
from langplug.bench.figures import DEFINITIONS, Slo
from langplug.bench.load import Load
from langplug.bench.overhead import arun_against_raw
from langplug.bench.page import to_html
from langplug.bench.prompts import built_in, from_file, synthetic
from langplug.bench.running import Until, arun, run
from langplug.bench.table import to_text

__all__ = [
    "DEFINITIONS",
    "Change",
    "Load",
    "Slo",
    "Until",
    "arun",
    "arun_against_raw",
    "built_in",
    "compare",
    "from_file",
    "run",
    "synthetic",
    "to_html",
    "to_text",
]
