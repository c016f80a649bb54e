"""References to attributes of modules and files: `package.module:attribute` and `./file.py:attribute`."""

import os
from typing import Final

from langchain_core.language_models import BaseChatModel

from langplug._references.importing import import_file, import_module
from langplug._references.kind import FormError, Settings, user_path
from langplug._references.making import make_model
from langplug._references.providers import PROVIDERS
from langplug._suggest import did_you_mean

FORM: Final = "'package.module:attribute' or './file.py:attribute'"


def fits(reference: str) -> bool:
    """Whether it is written so."""
    return ":" in reference


def load(reference: str, settings: Settings) -> BaseChatModel:
    """The model that an attribute of a module or a file leads to."""
    source, _, attribute = reference.rpartition(":")
    is_file = source.endswith(".py") or "/" in source or os.sep in source
    dotted_names = [attribute] if is_file else [source, attribute]
    if not all(part.isidentifier() for name in dotted_names for part in name.split(".")):
        provider = reference.partition(":")[0]
        if not is_file and (near := did_you_mean(provider, PROVIDERS, inline=True)):
            raise ValueError(f"{reference!r} is not a reference to a model: no provider is called {provider!r}{near}")
        raise FormError
    found: object = import_file(user_path(source)) if is_file else import_module(source)
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            near = did_you_mean(name, (known for known in dir(found) if not known.startswith("_")), inline=True)
            raise AttributeError(f"{source!r} has no {attribute!r}{near}") from None
    return make_model(found, reference, settings)
