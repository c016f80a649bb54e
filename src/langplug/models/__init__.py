"""Ready-made models: ordinary `ChatModel` classes, one file each, or one folder whose `model.py` holds the class.

A new model is one new file: with `class ChatNew(...)` in `new.py`, `langplug.models.ChatNew` is there. The file is
imported when the model is first used, because it may need packages that are not installed.
"""

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langplug._suggest import did_you_mean

if TYPE_CHECKING:  # for type checkers alone; tests/models/test_discovery.py says when a model is missing here
    from langplug.models.adopted.model import ChatAdopted as ChatAdopted
    from langplug.models.command.model import ChatCommand as ChatCommand
    from langplug.models.echo import CustomChatModelAdvanced as CustomChatModelAdvanced
    from langplug.models.endpoint import ChatEndpoint as ChatEndpoint
    from langplug.models.gguf.model import ChatGGUF as ChatGGUF
    from langplug.models.http import ChatHTTP as ChatHTTP
    from langplug.models.mlx import ChatMLX as ChatMLX
    from langplug.models.replay.model import ChatReplay as ChatReplay
    from langplug.models.scripted import ChatScripted as ChatScripted
    from langplug.models.transformers.model import ChatTransformers as ChatTransformers

_MODEL_CLASS = re.compile(r"^class (Chat\w+|[A-Z]\w*(?=\(ChatModel\b))\b", re.MULTILINE)
"""A model's class: it is called `Chat...`, or its first base is `ChatModel` itself."""


@cache
def _modules() -> dict[str, str]:
    """The name of each model's class, and the module that defines it, in alphabetical order."""
    found: dict[str, str] = {}
    for folder in map(Path, __path__):
        for file in [*folder.glob("*.py"), *folder.glob("*/model.py")]:
            module = ".".join([__name__, *file.relative_to(folder).with_suffix("").parts])
            # The source is searched and not imported: importing all models would take seconds, and fail where the
            # packages of one are missing. Nor is it parsed: `ast` takes 40 ms for what this finds in 1 ms.
            found |= dict.fromkeys(_MODEL_CLASS.findall(file.read_text(encoding="utf-8")), module)
    return dict(sorted(found.items()))


def __getattr__(name: str) -> Any:
    """Import the file of a model when the model is first used, and list the models as `__all__`."""
    modules = _modules()
    if name == "__all__":
        return list(modules)
    if name not in modules:
        hint = did_you_mean(name, modules, inline=True) or f"; there are {', '.join(modules)}"
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}", name=name)
    model = globals()[name] = getattr(import_module(modules[name]), name)
    return model


def __dir__() -> list[str]:
    return list(_modules())
