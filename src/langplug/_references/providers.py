"""References to models of providers, `provider:model`, through LangChain's `init_chat_model`."""

from typing import Final

from langchain_core.language_models import BaseChatModel

from langplug._references.kind import Settings
from langplug._references.making import check_names

FORM: Final = "provider:model (openai:gpt-4o)"

PROVIDERS: Final = (
    "anthropic", "anthropic_bedrock", "azure_ai", "azure_openai", "baseten", "bedrock", "bedrock_converse",
    "bedrock_mantle_anthropic", "bedrock_mantle_openai", "cohere", "deepseek", "fireworks", "google_anthropic_vertex",
    "google_genai", "google_vertexai", "groq", "huggingface", "ibm", "langsmith", "litellm", "meta", "mistralai",
    "nvidia", "ollama", "openai", "openrouter", "perplexity", "together", "upstage", "xai",
)  # fmt: skip
"""What `init_chat_model` knows. Written down here, because `langchain` is not there for everybody, and a reference must
mean the same with it and without it; a test compares the two.

A reference that begins with one of these is never a module: `./openai.py:model` refers to a file of that name.
"""


def fits(reference: str) -> bool:
    """Whether it is written so."""
    return reference.partition(":")[0].lower().replace("-", "_") in PROVIDERS and ":" in reference


def load(reference: str, settings: Settings) -> BaseChatModel:
    """The model, by `init_chat_model`.

    Raises:
        ImportError: If `langchain`, or the provider's package, is not installed.
    """
    provider, _, name = reference.partition(":")  # the name may hold colons: `ollama:llama3.2:1b`
    if not name:
        raise ValueError(f"{reference!r} does not name a model: write {reference}NAME, such as openai:gpt-4o")
    provider = provider.lower().replace("-", "_")
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise ImportError(
            f"{reference!r} is made by LangChain's init_chat_model, which is not installed. Install it with: "
            f"pip install langchain, and the provider's package, such as langchain-{provider.replace('_', '-')}"
        ) from error
    if taken := {"model", "model_provider"} & settings.keys():
        raise TypeError(f"{reference!r} says which model it is: leave out {min(taken)}")
    try:
        model: BaseChatModel = init_chat_model(name, model_provider=provider, **settings)
    except ImportError as error:  # its message names the provider's package
        raise ImportError(f"{reference!r} cannot be made: {error}") from error
    except Exception as error:
        error.add_note(f"while making the model {reference!r}")
        raise
    # Only now is its class known. Most classes drop what they do not know, or send it to the server as it is.
    check_names(type(model), settings, reference)
    return model
