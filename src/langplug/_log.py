"""The logger `langplug`, and `LANGPLUG_LOG`, which prints it.

One line for each thing that langplug does on its own: a request tried again, a key renewed, an answer asked for again.
`langplug.wire` holds requests and responses. It stays off, even where the root logger is set to DEBUG, until someone
asks for it by name: it shows what people write to a model.
"""

import logging
import os
import sys
from collections.abc import Iterable

from langplug._redaction import AnySecret, hide_named, scrub

log = logging.getLogger("langplug")
log.addHandler(logging.NullHandler())  # a library prints nothing by itself

wire = logging.getLogger("langplug.wire")
wire.setLevel(logging.CRITICAL + 1)

WARNED = {"langplug_warned": True}
"""The `extra` of a record that Python's `warnings` show as well. `LANGPLUG_LOG` would print it a second time."""

_LEVELS = {"wire": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def set_up_log(setting: str) -> logging.Handler | None:
    """Print the log on stderr, as `LANGPLUG_LOG` says: `"warning"`, `"info"`, `"debug"`, or `"wire"` for all.

    Returns:
        What prints it; None if it is off.
    """
    chosen = setting.strip().lower()
    if chosen in ("", "0", "off"):
        return None
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    handler.addFilter(lambda record: not WARNED.keys() <= vars(record).keys())
    handler.addFilter(lambda record: not _prints_by_itself(record.levelno))
    log.addHandler(handler)
    log.setLevel(_LEVELS.get(chosen, logging.INFO))
    if chosen == "wire":
        wire.setLevel(logging.DEBUG)
    if chosen not in _LEVELS:
        log.warning("LANGPLUG_LOG=%s is unknown; it may be %s. Taken as info.", setting, ", ".join(_LEVELS))
    return handler


def _prints_by_itself(level: int) -> bool:
    """Whether the application prints the log on its terminal anyway, as after `logging.basicConfig()`."""
    consoles = (sys.stderr, sys.__stderr__, sys.stdout, sys.__stdout__)
    for handler in logging.getLogger().handlers if log.propagate else ():
        # `rich`'s handler has a console, which has a file.
        stream = getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
        if stream is not None and stream in consoles and level >= handler.level:
            return True
    return False


# --- without secrets ---


def strike_out(text: str, secrets: Iterable[str | AnySecret] = ()) -> str:
    """`text` without the `secrets`, and without the values of what in it is called like a secret."""
    return hide_named(scrub(text, secrets))


set_up_log(os.environ.get("LANGPLUG_LOG", ""))
