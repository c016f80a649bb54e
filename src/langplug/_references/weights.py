"""References to files of weights: `./weights.gguf`."""

import os
from typing import Final

from langchain_core.language_models import BaseChatModel

from langplug._references.kind import Settings, user_path
from langplug._references.making import make_ready_made
from langplug._suggest import did_you_mean

FORM: Final = "./weights.gguf"

_OTHER_FORMATS: Final = (".safetensors", ".bin", ".pt", ".pth", ".onnx")


def fits(reference: str) -> bool:
    """Whether it is written so."""
    return reference.lower().endswith((".gguf", *_OTHER_FORMATS))


def load(reference: str, settings: Settings) -> BaseChatModel:
    """A `ChatGGUF` with the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is in another format.
    """
    path = user_path(reference)
    if path.suffix.lower() in _OTHER_FORMATS:
        raise ValueError(
            f"{reference!r} is not a GGUF file, and weights in another format need what lies beside them: refer to "
            f"their folder, {str(path.parent)!r}"
        )
    if os.path.isdir(path):  # noqa: PTH112 - that of pathlib raises for names that are too long
        raise ValueError(f"{reference!r} is a folder: refer to the GGUF file in it")
    if not os.path.isfile(path):  # noqa: PTH113 - likewise
        # Said now and not at the first question, as `ChatGGUF` would: its weights may be downloaded later.
        near = did_you_mean(path.name, (one.name for one in path.parent.glob("*.gguf")), inline=True)
        raise FileNotFoundError(f"no file {str(path.absolute())!r}{near}")
    if "path" in settings:
        raise TypeError(f"{reference!r} says which file it is: leave out path={str(settings['path'])!r}")
    return make_ready_made("ChatGGUF", reference, {**settings, "path": str(path)})
