"""How fast a model answers, under load, by definitions that stand beside the figures."""

from langplug.bench.compare import Change, compare, differences, missing, to_table
from langplug.bench.figures import DEFINITIONS, Slo
from langplug.bench.load import Load, Sweep
from langplug.bench.overhead import AgainstRaw, arun_against_raw
from langplug.bench.page import to_html
from langplug.bench.prompts import built_in, from_file, synthetic
from langplug.bench.running import Measurement, Until, arun, run
from langplug.bench.table import to_text

__all__ = [
    "DEFINITIONS",
    "AgainstRaw",
    "Change",
    "Load",
    "Measurement",
    "Slo",
    "Sweep",
    "Until",
    "arun",
    "arun_against_raw",
    "built_in",
    "compare",
    "differences",
    "from_file",
    "missing",
    "run",
    "synthetic",
    "to_html",
    "to_table",
    "to_text",
]
