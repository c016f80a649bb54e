"""The models of the scoreboard: what each is called, how it is made, and how it is pointed at the backend."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from tests.model.page import parrot_class
from tests.models.adopted_classes import CLASSES

from langplug import ChatModel, Part, Request, adopt, chat_model
from langplug.models import ChatCommand, ChatHTTP, ChatScripted, CustomChatModelAdvanced
from langplug_check import Recipe
from langplug_check.job import resolve
from langplug_check.recipes import KEY, recipe_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One column.

    Attributes:
        target: What `langplug check` is given: a reference, or what makes the model.
        recipe: How it is pointed at the backend, where that is not known for its class.
        hangs_in: Checks that are run by themselves: a model that hung in three is asked nothing more.
    """

    target: str | Callable[[], Any]
    recipe: Recipe | None = None
    hangs_in: tuple[str, ...] = ()


def echo() -> CustomChatModelAdvanced:
    """The echo of LangChain's page, that repeats all it is told."""
    return CustomChatModelAdvanced(n=10**6)


@chat_model
def decorated(request: Request, *, model: str = "decorated-1", temperature: float = 0.5) -> Iterator[Part]:
    """A decorated function, as most users write one."""
    yield from request.text.split(" ")


def scripted() -> ChatScripted:
    """A script of one reply, again and again."""
    return ChatScripted(replies=["Hello."], when_exhausted="repeat")


def command() -> ChatCommand:
    """A program that repeats what it is told."""
    return ChatCommand(command=["cat"], input="text")


def _described(name: str, **arguments: Any) -> ChatModel:
    return ChatHTTP.from_file(name, model="stub", **arguments)


def _wire(name: str, **fills: Any) -> Entry:
    recipe = Recipe(dialect=name, arguments={"base_url": "{root}"}, fills=fills)  # type: ignore[arg-type]
    return Entry(target=partial(_described, name, **fills), recipe=recipe)


ENTRIES: Mapping[str, Entry] = {
    "@chat_model": Entry(target="entries:decorated"),
    "echo": Entry(target="entries:echo"),
    "ChatScripted": Entry(target="entries:scripted"),
    "ChatCommand": Entry(target="entries:command"),
    "ChatGGUF": Entry(target="langplug.models:ChatGGUF"),
    "ChatEndpoint": Entry(target="langplug.models:ChatEndpoint"),
    "ChatHTTP": _wire("ollama"),
    "ChatOpenAI": Entry(target="langchain_openai:ChatOpenAI"),
    "ChatAnthropic": Entry(target="langchain_anthropic:ChatAnthropic"),
    "ChatOllama": Entry(target="langchain_ollama:ChatOllama"),
    "ChatMistralAI": Entry(target="langchain_mistralai:ChatMistralAI"),
    "ChatDeepSeek": Entry(target="langchain_deepseek:ChatDeepSeek"),
    "ChatGroq": Entry(target="langchain_groq:ChatGroq"),
    "ChatXAI": Entry(target="langchain_xai:ChatXAI"),
    "ChatOpenRouter": Entry(
        target="langchain_openrouter:ChatOpenRouter",
        hangs_in=("F04", "F05", "F07", "M07", "M08"),  # its SDK tries again for an hour, whatever max_retries says
    ),
    "ChatLiteLLM": Entry(target="langchain_litellm:ChatLiteLLM"),
    "ChatHuggingFace": Entry(target="langchain_huggingface:ChatHuggingFace"),
}
"""langplug's first, then other people's."""

OURS = tuple(ENTRIES)[:7]
"""Those that must show no failure of their own."""


# --- as it comes, and adopted ---


ChatParrotLink = parrot_class(BaseChatModel)
ChatParrotLink.__module__, ChatParrotLink.__qualname__ = __name__, "ChatParrotLink"  # as a pickle finds it

BY_HAND: Mapping[str, Callable[[], BaseLanguageModel]] = {
    "LangChain's page": partial(ChatParrotLink, parrot_buffer_length=10**6, model="parrot"),
    **{cls.__name__: cls for cls in CLASSES},
}
"""The page's own class, and those that public repositories hold."""


NOT_CHAT_MODELS = ("CompletingPipeline",)
"""Models of LangChain's other kind, an `LLM`, which are chat models only once they are adopted."""


def by_hand(name: str) -> Any:
    """A model of one of the classes that people write by hand."""
    return BY_HAND[name]()


def adopted_by_hand(name: str) -> ChatModel:
    """The same, adopted."""
    return adopt(by_hand(name))


def integration(reference: str) -> ChatModel:
    """A model of another package, adopted, for a server that it never asks: the recipe says where it is pointed."""
    cls = resolve(reference)
    assert isinstance(cls, type)
    recipe = recipe_for(cls)
    assert recipe is not None
    made = recipe.adopted(cls).arguments["adopted"]
    return adopt(made({"url": "http://127.0.0.1:9/v1", "root": "http://127.0.0.1:9", "key": KEY}))


def adopted_integration(entry: Entry) -> Entry:
    """An integration's column, adopted."""
    reference = str(entry.target)
    cls = resolve(reference)
    assert isinstance(cls, type)
    recipe = recipe_for(cls)
    assert recipe is not None
    return replace(entry, target=partial(integration, reference), recipe=recipe.adopted(cls))


def entry_of(name: str, *, adopts: bool = False) -> Entry:
    """How a model is made and checked."""
    if name in BY_HAND:
        return Entry(target=partial(adopted_by_hand if adopts else by_hand, name))
    entry = ENTRIES[name]
    return adopted_integration(entry) if adopts else entry
