"""From a reference to a model: one file a kind of reference, listed in `kinds.KINDS`; `load` finds the kind."""

from langplug._references.kind import Kind
from langplug._references.kinds import KINDS, load

__all__ = ["KINDS", "Kind", "load"]
