"""Recipes: how to build models of known classes, and point them at the backend of the test kit."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from langchain_core.language_models import BaseChatModel

from langplug_backend import Backend
from langplug_backend.request import DialectName

KEY = "sk-langplug-check"
"""The key that models are given. It is not a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to build models of a class and point them at the backend.

    Attributes:
        dialect: What they speak.
        arguments: Constructor arguments. `{url}` in a text becomes the backend's URL for the dialect, `{root}` the one
            without a path, `{key}` a key. A function is called with a mapping of these three to their values.
        fills: Arguments of the same kind, used if the user gave no others.
        reply: Fields for each `Reply` that leaves them at their defaults, for clients whose own service reports
            things in another way than the dialect does.
        refusals: Whether the service says in a field of its own that the model declines, as the dialects of OpenAI and
            Anthropic do.
        whole_calls: Whether the service streams each tool call in one piece, as Mistral's does: its clients need not
            put fragments together.
        package: What to install for the class.
        replies: For a model that asks no server but something that it holds, a client or a function: the constructor
            arguments with which that says what checks want. It is given a function of no or any arguments, which
            returns the next text; `Recipe(replies=lambda say: {"client": FakeClient(say)})`.
    """

    dialect: DialectName = "openai"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fills: Mapping[str, Any] = field(default_factory=dict)
    reply: Mapping[str, Any] = field(default_factory=dict)
    refusals: bool = True
    whole_calls: bool = False
    package: str = ""
    replies: Callable[[Callable[..., str]], Mapping[str, Any]] | None = None

    @property
    def tells_refusals(self) -> bool:
        """Whether clients can tell a refusal from an answer."""
        return self.refusals and self.dialect in ("openai", "responses", "anthropic")

    def point_at(self, backend: Backend) -> dict[str, Any]:
        """The arguments that point a model at `backend`."""
        urls = {"ollama": backend.ollama_url, "anthropic": backend.anthropic_url}
        urls |= dict.fromkeys(("openai", "responses"), backend.openai_url)
        known = {"url": urls[self.dialect], "root": backend.url, "key": KEY}
        return {name: _fill(value, known) for name, value in self.arguments.items()}

    def adopted(self, cls: type[BaseChatModel]) -> "Recipe":
        """The recipe for `langplug.adopt` of a model of the class that this one is for."""
        return replace(self, arguments={"adopted": partial(_make, cls, {**self.fills, **self.arguments})}, fills={})

    def default_arguments(self) -> dict[str, Any]:
        """The arguments to use if the user gave no others."""
        return {name: _fill(value, {"key": KEY}) for name, value in self.fills.items()}


def _make(cls: type[BaseChatModel], arguments: Mapping[str, Any], known: Mapping[str, str]) -> BaseChatModel:
    return cls(**{name: _fill(value, known) for name, value in arguments.items()})


def _fill(value: Any, known: Mapping[str, str]) -> Any:
    if callable(value):
        return value(known)
    if not isinstance(value, str):
        return value
    for name, text in known.items():
        value = value.replace(f"{{{name}}}", text)
    return value


def _huggingface_endpoint(known: Mapping[str, str]) -> Any:
    """The inner model through which ChatHuggingFace speaks."""
    module = importlib.import_module("langchain_huggingface")
    return module.HuggingFaceEndpoint(endpoint_url=known["root"], huggingfacehub_api_token=known["key"])


# Without retries, for a check counts the requests, and a fault should end the call at once.
_OPENAI_LIKE: Mapping[str, Any] = {"api_key": "{key}", "max_retries": 0}

RECIPES: Mapping[str, Recipe] = {
    "langplug.models.endpoint.ChatEndpoint": Recipe(arguments={"base_url": "{url}"}, fills={"model": "stub"}),
    "langchain_openai.chat_models.base.ChatOpenAI": Recipe(
        arguments={"base_url": "{url}"},
        fills={"model": "stub", **_OPENAI_LIKE},
        package="langchain-openai",
    ),
    "langchain_openai.chat_models.azure.AzureChatOpenAI": Recipe(
        arguments={"azure_endpoint": "{root}"},
        fills={"azure_deployment": "stub", "api_version": "2024-10-21", **_OPENAI_LIKE},
        package="langchain-openai",
    ),
    "langchain_deepseek.chat_models.ChatDeepSeek": Recipe(
        arguments={"api_base": "{url}"},
        fills={"model": "stub", **_OPENAI_LIKE},
        refusals=False,
        package="langchain-deepseek",
    ),
    "langchain_xai.chat_models.ChatXAI": Recipe(
        arguments={"xai_api_base": "{url}"}, fills={"model": "stub", **_OPENAI_LIKE}, package="langchain-xai"
    ),
    "langchain_groq.chat_models.ChatGroq": Recipe(
        arguments={"base_url": "{root}"},
        fills={"model": "stub", **_OPENAI_LIKE},
        reply={"usage_mode": "groq"},  # Groq reports usage under `x_groq`
        refusals=False,
        package="langchain-groq",
    ),
    "langchain_mistralai.chat_models.ChatMistralAI": Recipe(
        arguments={"base_url": "{url}"},
        fills={"model": "stub", "api_key": "{key}"},
        reply={"usage_mode": "finish"},  # Mistral reports usage on the chunk with the finish reason
        refusals=False,
        whole_calls=True,
        package="langchain-mistralai",
    ),
    "langchain_anthropic.chat_models.ChatAnthropic": Recipe(
        dialect="anthropic",
        arguments={"base_url": "{url}"},
        fills={"model": "stub", **_OPENAI_LIKE},
        package="langchain-anthropic",
    ),
    "langchain_ollama.chat_models.ChatOllama": Recipe(
        dialect="ollama", arguments={"base_url": "{url}"}, fills={"model": "stub"}, package="langchain-ollama"
    ),
    "langchain_litellm.chat_models.litellm.ChatLiteLLM": Recipe(
        arguments={"api_base": "{url}"},
        fills={"model": "openai/stub", "api_key": "{key}"},
        package="langchain-litellm litellm",
    ),
    "langchain_openrouter.chat_models.ChatOpenRouter": Recipe(
        arguments={"base_url": "{url}"},
        fills={"model": "stub", "api_key": "{key}"},
        reply={"fingerprint": "fp_langplug"},  # its client insists on one
        package="langchain-openrouter",
    ),
    "langchain_huggingface.chat_models.huggingface.ChatHuggingFace": Recipe(
        arguments={"llm": _huggingface_endpoint, "model_id": "stub"},
        refusals=False,
        package="langchain-huggingface huggingface-hub",
    ),
}
"""By the full name of the class. A subclass is built as its base class is."""


def recipe_for(cls: type) -> Recipe | None:
    """The recipe for a class, or for the nearest of its base classes that has one."""
    names = (f"{one.__module__}.{one.__qualname__}" for one in cls.__mro__)
    return next((RECIPES[name] for name in names if name in RECIPES), None)


def complete_recipe(reference: str, settings: Mapping[str, Any]) -> Recipe | None:
    """The recipe for the class that a reference leads to, with more arguments, if these alone cannot make a model.

    None if they can, or if no recipe knows the class.
    """
    found: Any = None
    with suppress(ValueError, ImportError, AttributeError):  # a file, or wrong: `load` says what
        found = pkgutil.resolve_name(reference)
    if not settings or not isinstance(found, type) or not issubclass(found, BaseChatModel):
        return None
    recipe = recipe_for(found)
    needed = (name for name, known in found.model_fields.items() if known.is_required())
    if recipe is None or all(name in settings for name in needed):
        return None
    return replace(recipe, fills={**recipe.fills, **settings})
