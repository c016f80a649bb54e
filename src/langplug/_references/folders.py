"""References to folders with a Hugging Face model."""

import os
from typing import Final

from langchain_core.language_models import BaseChatModel

from langplug._references.kind import Settings, user_path
from langplug._references.making import make_ready_made
from langplug._suggest import did_you_mean

FORM: Final = "a folder with a Hugging Face model"


def fits(reference: str) -> bool:
    """Whether it is written so."""
    if not reference:
        return False
    if reference.startswith(("~", ".")) or "/" in reference or os.sep in reference:
        return ":" not in reference or os.path.isdir(user_path(reference))  # noqa: PTH112 - pathlib's may raise
    # a bare name may be an installed model's, beside a folder of that name with its sources
    return os.path.isfile(user_path(reference) / "config.json")  # noqa: PTH113 - likewise


def load(reference: str, settings: Settings) -> BaseChatModel:
    """A `ChatTransformers` with the folder's model.

    Raises:
        FileNotFoundError: If there is no such folder, or no model in it.
        ValueError: If it is a file.
        TypeError: If the settings name another model.
    """
    folder = user_path(reference)
    if folder.suffix == ".py":
        raise ValueError(f"{reference!r} does not say what in the file is the model: write {reference}:NAME")
    if not os.path.isdir(folder):  # noqa: PTH112 - likewise
        if os.path.exists(folder):  # noqa: PTH110 - likewise
            raise ValueError(f"{reference!r} is neither a GGUF file, nor a Python file, nor a folder with a model")
        near = did_you_mean(folder.name, (one.name for one in folder.absolute().parent.glob("*")), inline=True)
        raise FileNotFoundError(f"no file or folder {str(folder.absolute())!r}{near}")
    if not (folder / "config.json").is_file():
        weights = sorted(one.name for one in folder.glob("*.gguf"))
        there = f"; it has GGUF files, of which you can name one: {', '.join(weights)}" if weights else ""
        raise FileNotFoundError(
            f"the folder {reference!r} has no config.json, which every Hugging Face model has{there}"
        )
    if "model" in settings:
        raise TypeError(f"{reference!r} says which model it is: leave out model={str(settings['model'])!r}")
    return make_ready_made("ChatTransformers", reference, {**settings, "model": str(folder)})
