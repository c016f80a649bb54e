"""What every engine for GGUF files is made from, is asked, and can do.

`llama_cpp.py` and `openvino.py` hold one each; `choice.py` says which of them a model gets.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from langchain_core.exceptions import ModelAPIError

from langplug import Part
from langplug._bridge.threads import usable_cores
from langplug.models.gguf import weights
from langplug.models.gguf.header import Header, WeightsNotFoundError

LONGEST_DEFAULT: Final = 4096
"""Tokens that a request may hold by default; many models could take more than memory can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an engine is made from; `ChatGGUF` says what each setting means."""

    path: str | None
    n_ctx: int | None
    parallel: int
    kv_unified: bool
    threads: int | None
    gpu_layers: int
    n_batch: int
    chat_template: str | None
    engine_log: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an engine is to answer, in the forms that engines take.

    Attributes:
        body: The request as llama.cpp's server takes it, with messages, tools and how to choose tokens.
        prompt: The same messages and tools as one text, by the chat template. It is foreign code, and may take long.
        schema: The JSON schema that the answer must fit, or None.
    """

    body: Mapping[str, Any]
    prompt: Callable[[], str]
    schema: Mapping[str, Any] | None = None


class Engine(Protocol):
    """One model in memory, loaded when it is first used. It may be used by any number of threads and event loops."""

    @property
    def name(self) -> str:
        """What it is called: `"llama.cpp"` or `"openvino"`."""
        ...

    def chat(self, asked: Asked) -> AsyncGenerator[Part, None]:
        """Answer, part by part. Closing the generator frees its slot.

        Raises:
            ModelError: If the model cannot be loaded, or the request cannot be answered.
            ImportError: If the engine cannot be imported.
        """
        ...

    def token_ids(self, text: str) -> list[int]:
        """`text` in the model's own tokens."""
        ...

    def count_tokens(self, asked: Asked) -> int:
        """How many tokens the messages and tools of a request make as a prompt, by the chat template."""
        ...

    def close(self) -> None:
        """Break off the running calls, and free the memory as soon as they have ended."""
        ...

    def disown(self) -> None:
        """In a forked child: never tear down what belongs to the parent, whose threads the child has not."""
        ...


class LoadableEngine(Engine, Protocol):
    """An engine that can be loaded before it is asked."""

    def load(self) -> object:
        """Load the model; that takes seconds, once.

        Raises:
            UnsupportedError: If this process was forked from one that had used the engine.
            ModelError: If the engine was closed, or the model cannot be loaded.
            ImportError: If the engine cannot be imported.
        """
        ...


# --- defaults ---


def locate(path: str | None) -> Path:
    """The weights file: `path`, or by default what `langplug pull` downloaded.

    Raises:
        WeightsNotFoundError: If nothing was downloaded.
    """
    if path is not None:
        return Path(path).expanduser()
    if (pulled := weights.find(weights.SMOLLM2)) is not None:
        return pulled
    raise WeightsNotFoundError(
        "ChatGGUF was given no `path`, and the weights that it uses by default are not on this machine. "
        "Run: langplug pull smollm2"
    )


def request_tokens(n_ctx: int | None, header: Header) -> int:
    """How many tokens one request may hold."""
    return n_ctx or min(header.context_length or LONGEST_DEFAULT, LONGEST_DEFAULT)


def usable_threads() -> int:
    """All cores that this process may use but one."""
    # With all of them, engines crawl as soon as anything else runs: their threads spin at barriers and wait for
    # the one that has lost its core.
    return max(1, usable_cores() - 1)


def closed_error() -> ModelAPIError:
    """What a call gets whose engine was closed under it."""
    return ModelAPIError("The engine was closed while it was answering. Use the model again to load it anew.")
