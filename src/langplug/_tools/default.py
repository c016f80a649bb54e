"""The format for a model of which nothing is known: told to write as Hermes does, and read with more patience.

Small models drift: asked for tags they write bare JSON, or fence it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from langplug._tools import hermes
from langplug._tools.formats import Tool, names_of, schemas_of
from langplug._tools.markup import CallParser, Markup, MarkupParser
from langplug._tools.plain_json import bare, fenced
from langplug._tools.schemas import Schema
from langplug._tools.tags import functions, tagged


def combined(names: Collection[str], schemas: Mapping[str, Schema]) -> Sequence[Markup]:
    """Calls in tags, as JSON or XML, and JSON that is fenced or bare."""
    return (*bare(names), *fenced(names), *tagged(names, schemas), *functions(names, schemas))


def parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of all of these."""
    return MarkupParser(combined(names_of(tools), schemas_of(tools)))


FORMAT = replace(hermes.FORMAT, name="default", parser=parser)
