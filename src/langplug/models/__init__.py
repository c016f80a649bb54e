"""Ready-made models: ordinary `ChatModel` classes, each in a file of its own, imported when it is used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langplug.models.command.model import ChatCommand
    from langplug.models.echo import CustomChatModelAdvanced
    from langplug.models.endpoint import ChatEndpoint
    from langplug.models.gguf.model import ChatGGUF
    from langplug.models.http import ChatHTTP
    from langplug.models.scripted import ChatScripted

_HOMES = {
    "ChatCommand": "command.model",
    "ChatEndpoint": "endpoint",
    "ChatGGUF": "gguf.model",
    "ChatHTTP": "http",
    "ChatScripted": "scripted",
    "CustomChatModelAdvanced": "echo",
}

__all__ = ["ChatCommand", "ChatEndpoint", "ChatGGUF", "ChatHTTP", "ChatScripted", "CustomChatModelAdvanced"]


def __getattr__(name: str) -> Any:
    """Import a model's file when the model is first used: it may need what is not installed."""
    if name not in _HOMES:
        raise AttributeError(f"module 'langplug.models' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"langplug.models.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
