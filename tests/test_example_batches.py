"""The examples of the batch door, on weights that were converted for them, where both are there."""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NEEDS = {
    "ctranslate2_batches.py": ("ctranslate2", "transformers"),
    "onnx_batches.py": ("onnxruntime_genai",),
    "transformers_batches.py": ("transformers", "torch"),
}


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_answers(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It answers four questions that came at once. LANGPLUG_EXAMPLE_WEIGHTS is the folder with a folder for each."""
    for package in NEEDS[name]:
        pytest.importorskip(package)
    folder = Path(os.environ.get("LANGPLUG_EXAMPLE_WEIGHTS", ""), name.partition("_")[0])
    if not folder.is_dir():
        pytest.skip("there are no converted weights")
    monkeypatch.setattr(sys, "argv", [name, str(folder)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert "Paris" in capsys.readouterr().out


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_is_a_model(name: str) -> None:
    """Without its engine, its class is a chat model all the same, and answers through its batch door."""
    found: dict[str, Any] = runpy.run_path(str(EXAMPLES / name))
    (cls,) = [made for key, made in found.items() if key.startswith("Chat") and key != "ChatModel"]
    assert "respond_batch" == cls.__langplug_source__
    assert "nowhere" == cls(folder="nowhere").folder
