"""The kinds of references, and `load`, which finds the one that a reference is of."""

from typing import Any, Final

from langchain_core.language_models import BaseChatModel

from langplug._references import folders, installed, modules, providers, recordings, servers, weights
from langplug._references.kind import FormError, Kind

KINDS: Final[tuple[Kind, ...]] = (
    recordings,
    servers,
    weights,
    folders,
    installed,
    providers,
    modules,
)
"""In the order in which they are asked: the first that fits has the word. A new kind is one entry. Errors list
them from the end: the most common first."""


def load(reference: str, **settings: Any) -> BaseChatModel:
    """The chat model that `reference` leads to, langplug's own or another package's.

    Args:
        reference: One of these:

            * `package.module:attribute` or `./file.py:attribute`, where the attribute may be dotted. Modules are looked
              for in the current directory first, as `python -m` does, and a file's own directory is importable from it;
              both stay on `sys.path`. The attribute is a model; a class of models; a chain or a graph that answers
              messages, which is adopted; a function whose first argument is called `request` or annotated as `Request`,
              which becomes a model as with `@chat_model`; a function of one text, or of a list of messages; or a
              factory, any other callable that returns one of these;
            * `http://host:port/v1`, a server with an OpenAI-compatible API. It is asked what it serves; if that is
              more than one model, `http://host:port/v1#name` says which;
            * `./weights.gguf`, a file of weights;
            * a folder with a Hugging Face model, for `ChatTransformers`;
            * `replay:./talk.yaml`, a cassette of `ChatReplay`; the settings `model` and `mode` say what is recorded;
            * `provider:model`, such as `openai:gpt-4o`, through `init_chat_model` of LangChain;
            * a name that an installed package gives to its model, by an entry point of the group `langplug.models`.
        settings: Constructor arguments of the model: of the class, the function or the factory. A name that is
            unknown is refused. A model of langplug's that was made already is copied with them; one of another
            package's cannot be changed.

    Raises:
        ValueError: If `reference` is of no such form.
        ModuleNotFoundError: If the module does not exist.
        FileNotFoundError: If the file or the folder does not exist.
        ImportError: If the module is there and fails as it is imported (the cause is its own error), or if a package
            is not installed.
        AttributeError: If the module does not have the attribute.
        TypeError: If the attribute is not a model and does not lead to one, or cannot be made with these settings.
        ModelError: If a server does not answer, or does not have the model.
        Exception: What the class or the factory raises, with a note that names the reference.
    """
    kind = next((kind for kind in KINDS if kind.fits(reference)), None)
    more = ""
    try:
        if kind is not None:
            return kind.load(reference, settings)
    except FormError as error:
        more = f"; {error}" if str(error) else ""
    *forms, last = (kind.FORM for kind in reversed(KINDS))
    raise ValueError(f"{reference!r} is not a reference to a model: expected {', '.join(forms)} or {last}{more}")
