"""Verbs are found by themselves: those of langplug, and those of other packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import langplug
from langplug.cli import Verb
from langplug.cli import chat as chat_verb

SRC = Path(langplug.__file__).parent.parent

SINGING = """
HELP = "sing a song"

def add_arguments(parser):
    parser.add_argument("song")

def run(args):
    print(f"la la {args.song}")
    return 3
"""


def langplug_alone(*args: str, beside: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `langplug` where no package is installed but langplug itself, and what is in the folder `beside`."""
    path = os.pathsep.join(map(str, [SRC, *([beside] if beside else [])]))
    return subprocess.run(
        [sys.executable, "-S", "-m", "langplug", *args],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def install(folder: Path, verb: str, source: str) -> Path:
    """A package that brings a verb, as an installer leaves it."""
    info = folder / f"{verb}_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {verb}-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[langplug.verbs]\n{verb} = {verb}_verb\n")
    (folder / f"{verb}_verb.py").write_text(source)
    return folder


def test_another_package_adds_a_verb(tmp_path: Path) -> None:
    """A verb of another package is listed with its help, and runs with its arguments and its exit code."""
    install(tmp_path, "sing", SINGING)
    assert "\n  sing     sing a song\n" in langplug_alone("--help", beside=tmp_path).stdout
    done = langplug_alone("sing", "hey jude", beside=tmp_path)
    assert (3, "la la hey jude\n", "") == (done.returncode, done.stdout, done.stderr)


def test_no_package_replaces_a_verb_of_langplug(tmp_path: Path) -> None:
    """`langplug chat` is langplug's, whatever else is installed."""
    install(tmp_path, "chat", SINGING)
    listed = langplug_alone("--help", beside=tmp_path).stdout
    assert "talk to a model" in listed
    assert "sing a song" not in listed


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import no_such_library", "cannot be imported: ModuleNotFoundError: No module named 'no_such_library'"),
        ("HELP = 'half a verb'", "lacks one of HELP, add_arguments and run"),
    ],
)
def test_a_broken_verb_harms_no_other(source: str, complaint: str, tmp_path: Path) -> None:
    """A verb that cannot be used says why, in the list and when it is run; the other verbs stay."""
    install(tmp_path, "sing", source)
    told = f"the verb 'sing' (sing_verb) {complaint}"
    listed = langplug_alone("--help", beside=tmp_path)
    assert (0, "") == (listed.returncode, listed.stderr)
    assert f"\n  sing     {told}\n" in listed.stdout
    assert "\n  chat     talk to a model" in listed.stdout
    done = langplug_alone("sing", beside=tmp_path)
    assert (2, f"langplug: {told}\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize("verb", ["check", "explain"])
def test_the_verbs_of_the_kit_say_what_to_install(verb: str) -> None:
    """Without langplug-check, its verbs are listed and named with the command that installs them."""
    hint = "comes with the test kit: pip install 'langplug[check]'"
    assert f"\n  {verb:<8} {hint}\n" in langplug_alone("--help").stdout
    for args in ((verb,), (verb, "--help")):
        done = langplug_alone(*args)
        assert (2, "", f"langplug: '{verb}' {hint}\n") == (done.returncode, done.stdout, done.stderr)


def test_a_module_of_the_command_line_is_a_verb_or_private() -> None:
    """Each file of `langplug.cli` without an underscore is listed as a verb, and so is a new one."""
    files = [path.stem for path in Path(chat_verb.__file__).parent.glob("*.py") if not path.stem.startswith("_")]
    listed = langplug_alone("--help").stdout
    assert {"chat", "pull"} <= set(files)
    assert all(f"\n  {name:<8} " in listed for name in files)
    assert isinstance(chat_verb, Verb)
