"""The format for unknown models: they are told to write as Hermes does, and are read with more patience.

Small models drift: asked for tags they write bare JSON, or fence it.
"""

from langplug._tools.formats.plain_json import BareJson, FencedJson
from langplug._tools.formats.tagged_json import QWEN_CODER, RESPONSE, TOOL_CALL
from langplug._tools.shapes import format_of

# of two markups with the same opener the first counts: bare JSON is read with more doubt than JSON in a tag
FORMATS = (format_of("default", TOOL_CALL, RESPONSE, reads=[BareJson(), FencedJson(), QWEN_CODER]),)
