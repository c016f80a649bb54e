"""The wires, one file or a few each, and the table of them."""

from typing import Final

from langplug.serve.wires.chat import WIRE as CHAT
from langplug.serve.wires.messages import COUNT_WIRE as COUNT
from langplug.serve.wires.messages import WIRE as MESSAGES
from langplug.serve.wires.responses import WIRE as RESPONSES
from langplug.serve.wires.wire import Wire

WIRES: Final[tuple[Wire, ...]] = (CHAT, RESPONSES, MESSAGES, COUNT)
"""Each wire that is served. A new one is a file here, and its line."""
