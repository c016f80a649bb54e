"""The libraries of the extra `langplug[http]`, imported when a model that needs them is first used.

`extra.aiohttp` is the module aiohttp, to type checkers as at run time; `import aiohttp` at the top of a file would make
every import of `langplug.models` need the extra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp
    import orjson
else:

    def __getattr__(name: str) -> Any:
        """Import `name`, or say what to install."""
        if name not in ("aiohttp", "orjson"):
            raise AttributeError(name)
        try:
            module = globals()[name] = import_module(name)  # kept: each call of a model looks it up three times
        except ImportError as error:
            raise ImportError(
                f"Models behind HTTP need {name}, which is not installed. Install it with: pip install 'langplug[http]'"
            ) from error
        return module


__all__ = ["aiohttp", "orjson"]
