"""`langplug completion`: what the Tab key completes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from langplug.cli import main

SOURCE = """
import os

class Mine: ...
def make(): ...
async def answer(request): ...
ready = 1
typed: int = 2
_hidden = 3
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "small.gguf").touch()
    (tmp_path / ".hidden.gguf").touch()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "big.gguf").touch()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("langplug che", ["check"]),
        ("langplug --v", ["--version"]),
        ("langplug chat --st", ["--stats"]),
        ("langplug check --dialect o", ["ollama", "openai"]),
        ("langplug completion ", ["bash", "fish", "zsh"]),
        ("langplug chat ", ["broken.py:", "mine.py:", "models/", "small.gguf", "smollm2"]),
        ("langplug chat ./m", ["./mine.py:", "./models/"]),
        ("langplug chat models/", ["models/big.gguf"]),
        ("langplug chat .h", [".hidden.gguf"]),
        ("langplug chat mine.py:", [f"mine.py:{name}" for name in ("Mine", "answer", "make", "ready", "typed")]),
        ("langplug chat mine.py:m", ["mine.py:make"]),
        ("langplug chat broken.py:", []),
        ("langplug chat missing.py:", []),
        ("langplug chat nowhere/", []),
        ("langplug chat -p hi mine.py:r", ["mine.py:ready"]),
        ("langplug chat -p 'an open quote m", []),
        ("langplug chat --continue n", ["notes.txt"]),
        ("langplug chat --prompt ", []),
        ("langplug check --only A mine.py:r", ["mine.py:ready"]),
        ("langplug nonsense ", []),
        ("X=1 true && ./bin/langplug chat small", ["small.gguf"]),
        ("langplug", []),
    ],
)  # fmt: skip
def test_what_is_completed(line: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Verbs, options, their values, files and what is in them, by what has been typed so far."""
    assert main(["completion", "zsh", f"--line={line}"]) == 0
    shown = capsys.readouterr()
    assert (words, "") == (shown.out.splitlines(), shown.err)


def test_a_file_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who presses Tab does not run the file."""
    (tmp_path / "loud.py").write_text("raise SystemExit\nmodel = 1\n")
    assert main(["completion", "zsh", "--line=langplug chat loud.py:"]) == 0
    assert "loud.py:model\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "replies"),
    [("langplug ch", ["chat", "check"]), ("langplug chat mine.py:m", ["make"]), ("langplug chat mi", ["mine.py:"])],
)
def test_bash(line: str, replies: list[str], tmp_path: Path) -> None:
    """The script works in a real bash, to which a colon ends a word."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "langplug"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m langplug "$@"\n')
    command.chmod(0o755)
    script = (
        f'PATH="{tmp_path}/bin:$PATH"; eval "$(langplug completion bash)"; COMP_LINE="{line}"; '
        'COMP_POINT=${#COMP_LINE}; _langplug; printf "%s\\n" "${COMPREPLY[@]}"; complete -p langplug'
    )
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True)
    assert [*replies, "complete -F _langplug langplug"] == done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each script asks langplug itself; the shell, if it is here, takes the script for well-formed."""
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"langplug completion {shell} --line=" in script
    if path := shutil.which(shell):
        subprocess.run([path, "-n"], input=script, text=True, check=True)


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    """Another shell is wrong use, and those that there are are named."""
    assert main(["completion", "tcsh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
