"""The format for unknown models: they are told to write as Hermes does, and are read with more patience.

Small models drift: asked for tags they write bare JSON, or fence it.
"""

from collections.abc import Sequence
from dataclasses import replace

from langplug._tools.formats.hermes import FORMAT as HERMES
from langplug._tools.json_calls import BARE, FENCED
from langplug._tools.markup import CallParser, Grammar, MarkupParser
from langplug._tools.tags import FUNCTIONS, TAGGED
from langplug._tools.toolbox import Tool, schemas_of

# of two markups with the same opener the first counts: bare JSON is read with more doubt than JSON in a tag
GRAMMAR = Grammar(*BARE, *FENCED, *TAGGED, *FUNCTIONS)


def make_parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of calls in tags, as JSON or XML, and of JSON that is fenced or bare."""
    return MarkupParser(GRAMMAR, schemas_of(tools))


FORMAT = replace(HERMES, name="default", parser=make_parser)
