"""Any model, plugged into LangChain as a first-class chat model.

A chat model is one function from a `Request` to text: write it as `ChatModel.respond`, or decorate it with
`chat_model`. Everything else that LangChain asks of a chat model is derived.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langplug._env import env
    from langplug._errors import (
        IgnoredParameterWarning,
        IncompleteAnswerError,
        MissingSecretError,
        RefusalError,
        UnmetDemandError,
        UnsupportedError,
    )
    from langplug._model.chat_model import ChatModel
    from langplug._model.decorator import chat_model
    from langplug._parts import Answer, Finish, Part, Reasoning, ToolCall, Usage
    from langplug._references import load
    from langplug._request import Request
    from langplug._resources import resource
    from langplug._secrets import Public, is_secret_name
    from langplug._tools import TOOL_FORMATS, ToolFormat
    from langplug.models.adopted.model import adopt

__version__ = "0.1.0"

_HOMES = {
    "Answer": "_parts",
    "ChatModel": "_model.chat_model",
    "Finish": "_parts",
    "IgnoredParameterWarning": "_errors",
    "IncompleteAnswerError": "_errors",
    "MissingSecretError": "_errors",
    "Part": "_parts",
    "Public": "_secrets",
    "Reasoning": "_parts",
    "RefusalError": "_errors",
    "TOOL_FORMATS": "_tools",
    "Request": "_request",
    "ToolCall": "_parts",
    "ToolFormat": "_tools",
    "UnmetDemandError": "_errors",
    "UnsupportedError": "_errors",
    "Usage": "_parts",
    "adopt": "models.adopted.model",
    "chat_model": "_model.decorator",
    "env": "_env",
    "is_secret_name": "_secrets",
    "load": "_references",
    "resource": "_resources",
}

__all__ = [
    "TOOL_FORMATS",
    "Answer",
    "ChatModel",
    "Finish",
    "IgnoredParameterWarning",
    "IncompleteAnswerError",
    "MissingSecretError",
    "Part",
    "Public",
    "Reasoning",
    "RefusalError",
    "Request",
    "ToolCall",
    "ToolFormat",
    "UnmetDemandError",
    "UnsupportedError",
    "Usage",
    "adopt",
    "chat_model",
    "env",
    "is_secret_name",
    "load",
    "resource",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line's help must not wait for langchain-core."""
    if name not in _HOMES:
        raise AttributeError(f"module 'langplug' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"langplug.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
