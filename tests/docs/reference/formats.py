"""The formats in which models write calls: `reference/formats.md`."""

import re

from tests.docs.reference.writing import Language, table

from langplug import TOOL_FORMATS
from langplug._families import FAMILIES, Family

TITLES = {"en": ("name", "a call looks like", "written by"), "zh": ("名称", "调用的样子", "使用它的模型")}

ON_LINES = ("functionary", "gemma")
"""Formats whose lines are part of them: in a cell, a space stands for a line's end. From others it is left out."""


def formats(language: Language) -> str:
    """Each format with a call that it reads, and the families for which it is taken, with their sources."""
    rows = [
        (
            f'`"{name}"`',
            code(call_of(name)),
            ", ".join(map(link, families_of(name))),
        )
        for name in TOOL_FORMATS
        if name != "default"
    ]
    return table(TITLES[language], rows)


def families_of(name: str) -> list[Family]:
    return [family for family in FAMILIES if family.tool_format == name and family.names]


def call_of(name: str) -> str:
    """A call of `add`, as the format has it, on one line."""
    return re.sub(r"\n *", " " if name in ON_LINES else "", TOOL_FORMATS[name].call("add", {"a": 1}, ""))


def code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def link(family: Family) -> str:
    address = family.source if "://" in family.source else f"https://huggingface.co/{family.source}"
    return f"[{family.name}]({address})"
