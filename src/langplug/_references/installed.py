"""References that are names: models of installed packages, which declare them as entry points.

A package writes in its pyproject.toml:

    [project.entry-points."langplug.models"]
    acme = "langchain_acme.chat:ChatAcme"
"""

import re
from importlib.metadata import entry_points
from typing import Final

from langchain_core.language_models import BaseChatModel

from langplug._references.importing import import_problem
from langplug._references.kind import FormError, Settings
from langplug._references.making import make_model
from langplug._suggest import did_you_mean

FORM: Final = "the name of an installed package's model"

GROUP: Final = "langplug.models"

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*")


def fits(reference: str) -> bool:
    """Whether it is written so."""
    return bool(_NAME.fullmatch(reference))


def load(name: str, settings: Settings) -> BaseChatModel:
    """The model that a package has named so.

    Raises:
        ImportError: If the package's own code fails.
    """
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        near = did_you_mean(name, found, inline=True) or (f"; there are {', '.join(sorted(found))}" if found else "")
        raise FormError(f"no model of that name is installed{near}")
    try:
        model = found[name].load()
    except Exception as error:
        raise import_problem(f"{name!r} ({found[name].value})", error) from error
    return make_model(model, name, settings)
