"""From a reference to a model: one file a kind of reference, listed in `kinds.KINDS`; `load` finds the kind."""

from langplug._references.kinds import load

__all__ = ["load"]
