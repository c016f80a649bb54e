"""What lies beside a model's weights, read without torch: its configuration and its chat template.

A model is a folder, or a name on the Hugging Face Hub, of which something lies in the Hub's cache once it was used. The
files are described at https://huggingface.co/docs/transformers/chat_templating_writing.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

_TEMPLATE: Final = "chat_template.jinja"
_TEMPLATE_OF_PROCESSOR: Final = "chat_template.json"  # of older models that take images
_PROCESSORS: Final = ("processor_config.json", "preprocessor_config.json")
_TOKENIZER: Final = "tokenizer_config.json"
_WITH_TOOLS: Final = "tool_use"

_ADDED_TOKENS: Final = re.compile(r'"added_tokens"\s*:\s*(?=\[)')

_LENGTHS: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""Where configurations say how long a text may be."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What is known of a model by its files.

    Attributes:
        config: Its `config.json`; empty if there is none.
        template: Its chat template; empty if it has none.
        template_with_tools: The template of a request with tools, of a model that has another one for them.
        control_tokens: The texts of its special tokens, such as those that begin and end turns.
        takes_images: Whether it is a model of text and images, and what reads images for it lies there, too.
    """

    config: dict[str, Any] = field(default_factory=dict)
    template: str = ""
    template_with_tools: str = ""
    control_tokens: frozenset[str] = frozenset()
    takes_images: bool = False

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
    sees = "vision_config" in config and any(_find(model, name) is not None for name in _PROCESSORS)
    return Folder(config, plain, templates.get(_WITH_TOOLS, plain), read_control_tokens(model), sees)


def _templates_of(model: str) -> dict[str, str]:
    """The chat templates by their names; the one that most models have alone is called "default"."""
    given = _read_json(_find(model, _TOKENIZER)).get("chat_template")
    if isinstance(given, list):
        templates = {str(one.get("name")): str(one.get("template")) for one in given if isinstance(one, dict)}
    else:
        templates = {"default": given} if isinstance(given, str) else {}
    of_processor = _read_json(_find(model, _TEMPLATE_OF_PROCESSOR)).get("chat_template")
    if isinstance(of_processor, str):
        templates["default"] = of_processor
    if (file := _find(model, _TEMPLATE)) is not None:  # the newer place, which counts where there are both
        with suppress(OSError, UnicodeDecodeError):
            templates["default"] = file.read_text(encoding="utf-8")
        for more in file.parent.glob("additional_chat_templates/*.jinja"):
            with suppress(OSError, UnicodeDecodeError):
                templates[more.stem] = more.read_text(encoding="utf-8")
    return templates


def read_control_tokens(model: str) -> frozenset[str]:
    """The texts of the tokens that the model's tokenizer calls special."""
    config = _read_json(_find(model, _TOKENIZER))
    decoder = config.get("added_tokens_decoder")
    added: list[Any] = list(decoder.values()) if isinstance(decoder, dict) else []
    if (file := _find(model, "tokenizer.json")) is not None:
        with suppress(OSError, ValueError):
            text = file.read_text(encoding="utf-8")
            if found := _ADDED_TOKENS.search(text):  # the vocabulary behind it, of megabytes, is not parsed
                added += json.JSONDecoder().raw_decode(text, found.end())[0]
    named = [value for key, value in config.items() if key.endswith("_token")]
    texts = [one.get("content") for one in added if isinstance(one, dict) and one.get("special")]
    texts += [one.get("content") if isinstance(one, dict) else one for one in named]
    return frozenset(one for one in texts if isinstance(one, str))


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
