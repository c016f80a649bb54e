"""Which engine runs a file: OpenVINO where it is installed and reads the file, else llama.cpp."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from langplug.models.gguf.engine import Engine, Settings
from langplug.models.gguf.fallback import WithFallback
from langplug.models.gguf.header import read_contents
from langplug.models.gguf.llama_cpp import LlamaEngine
from langplug.models.gguf.openvino import OpenVINOEngine
from langplug.models.gguf.openvino_files import unreadable_by_openvino

EngineName: TypeAlias = Literal["auto", "llama.cpp", "openvino"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which engine a model runs on, and why.

    Attributes:
        engine: Its name.
        why: The reason, as a sentence.
        has_fallback: Whether llama.cpp takes over if OpenVINO cannot load the file after all.
    """

    engine: Literal["llama.cpp", "openvino"]
    why: str = field(default="", repr=False)  # engines are shared by what makes a difference to them
    has_fallback: bool = False


def choose(path: Path) -> Choice:
    """Which engine suits the file in `path`. Its header is read, if it matters.

    Raises:
        WeightsNotFoundError: If there is no such file.
        BadWeightsError: If it is not a GGUF file, or a damaged one.
    """
    if find_spec("openvino_genai") is None:
        return Choice("llama.cpp", "OpenVINO GenAI, which is faster on a CPU, is not installed (langplug[openvino]).")
    if (problem := unreadable_by_openvino(read_contents(path))) is not None:
        return Choice("llama.cpp", f"OpenVINO is installed, but does not read this file: {problem}.")
    return Choice(
        "openvino", "OpenVINO is installed, reads this file, and is faster than llama.cpp on a CPU.", has_fallback=True
    )


def make_engine(settings: Settings, choice: Choice) -> Engine:
    """The engine of a choice; nothing is loaded yet."""
    if choice.engine == "llama.cpp":
        return LlamaEngine(settings)
    engine = OpenVINOEngine(settings)
    return WithFallback(engine, lambda: LlamaEngine(settings)) if choice.has_fallback else engine
