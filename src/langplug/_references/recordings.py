"""References to cassettes, `replay:FILE`: answers that a model gave before, by `ChatReplay`."""

import os
from typing import Final

from langchain_core.language_models import BaseChatModel

from langplug._references.kind import Settings, user_path
from langplug._references.making import make_ready_made
from langplug._suggest import did_you_mean

FORM: Final = "replay:./talk.yaml"

_PREFIX: Final = "replay:"


def fits(reference: str) -> bool:
    """Whether it is written so."""
    return reference.startswith(_PREFIX)


def load(reference: str, settings: Settings) -> BaseChatModel:
    """A `ChatReplay` with the file.

    Raises:
        ValueError: If no file is named.
        FileNotFoundError: If there is no such file, and no `model` that could be recorded.
    """
    named = reference.removeprefix(_PREFIX)
    if not named:
        raise ValueError(f"{reference!r} does not name a cassette: write replay:FILE, such as replay:./talk.yaml")
    if "cassette" in settings:
        raise TypeError(f"{reference!r} says which cassette it is: leave out cassette={str(settings['cassette'])!r}")
    path = user_path(named)
    if "model" not in settings and not os.path.isfile(path):  # noqa: PTH113 - that of pathlib raises for long names
        near = did_you_mean(path.name, (one.name for one in path.parent.glob("*.y*ml")), inline=True)
        raise FileNotFoundError(f"no cassette {str(path.absolute())!r}{near}")
    return make_ready_made("ChatReplay", reference, {**settings, "cassette": path})
