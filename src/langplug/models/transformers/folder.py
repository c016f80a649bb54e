"""What lies beside a model's weights, read without torch: its configuration and its chat template.

A model is a folder, or a name on the Hugging Face Hub, of which something lies in the Hub's cache once it was used. The
files are described at https://huggingface.co/docs/transformers/chat_templating_writing.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

_TEMPLATE: Final = "chat_template.jinja"
_TOKENIZER: Final = "tokenizer_config.json"
_WITH_TOOLS: Final = "tool_use"

_LENGTHS: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""Where configurations say how long a text may be."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What is known of a model by its files.

    Attributes:
        config: Its `config.json`; empty if there is none.
        template: Its chat template; empty if it has none.
        template_with_tools: The template of a request with tools, of a model that has another one for them.
    """

    config: dict[str, Any] = field(default_factory=dict)
    template: str = ""
    template_with_tools: str = ""

    @property
    def context_length(self) -> int | None:
        """Tokens that a prompt and its answer may have together."""
        for config in (self.config, self.config.get("text_config") or {}):
            for name in _LENGTHS:
                if isinstance(length := config.get(name), int):
                    return length
        return None


def read_folder(model: str) -> Folder:
    """What the files of `model` say; of what is missing or broken, nothing."""
    templates = _templates_of(model)
    plain = templates.get("default") or next(iter(templates.values()), "")
    config = _read_json(_find(model, "config.json"))
    return Folder(config, plain, templates.get(_WITH_TOOLS, plain))


def _templates_of(model: str) -> dict[str, str]:
    """The chat templates by their names; the one that most models have alone is called "default"."""
    given = _read_json(_find(model, _TOKENIZER)).get("chat_template")
    if isinstance(given, list):
        templates = {str(one.get("name")): str(one.get("template")) for one in given if isinstance(one, dict)}
    else:
        templates = {"default": given} if isinstance(given, str) else {}
    if (file := _find(model, _TEMPLATE)) is not None:  # the newer place, which counts where there are both
        with suppress(OSError, UnicodeDecodeError):
            templates["default"] = file.read_text(encoding="utf-8")
        for more in file.parent.glob("additional_chat_templates/*.jinja"):
            with suppress(OSError, UnicodeDecodeError):
                templates[more.stem] = more.read_text(encoding="utf-8")
    return templates


def _find(model: str, name: str) -> Path | None:
    """A file of the model, if it is on this machine."""
    with suppress(OSError):  # a name that is too long to be a path
        if (folder := Path(model).expanduser()).is_dir():
            return file if (file := folder / name).is_file() else None
    try:
        hub, errors = (import_module(name) for name in ("huggingface_hub", "huggingface_hub.errors"))
    except ImportError:
        return None
    try:
        cached = hub.try_to_load_from_cache(model, name)
    except errors.HFValidationError:
        return None
    return Path(cached) if isinstance(cached, str) else None


def _read_json(file: Path | None) -> dict[str, Any]:
    if file is not None:
        with suppress(OSError, ValueError):
            read = json.loads(file.read_text(encoding="utf-8"))
            return read if isinstance(read, dict) else {}
    return {}
