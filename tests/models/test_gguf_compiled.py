"""On a machine where llama.cpp cannot be imported, one sentence says what is missing and what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from langplug.models.gguf.compiled import import_compiled

GLIBC = "libgomp.so.1: cannot open shared object file: No such file or directory"
MUSL = "Error loading shared library {}: No such file or directory (needed by /lib/xllamacpp.abi3.so)"


def install(folder: Path, name: str, message: str) -> Path:
    """A package whose compiled part the system's loader refuses with `message`."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(f"raise ImportError({message!r})")
    return folder


def chat(site: Path, *settings: str) -> "subprocess.CompletedProcess[str]":
    """`langplug chat` with the embedded model, where the packages in `site` are found first, and no weights are."""
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-m", "langplug", "chat", "-p", "hi", *settings],
        env={**os.environ, "PYTHONPATH": path, "LANGPLUG_CACHE": str(site / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_chat_on_a_slim_machine(tmp_path: Path) -> None:
    """Without `libgomp.so.1`, `langplug chat` names the system package to install, in one sentence and at once."""
    done = chat(install(tmp_path, "xllamacpp", GLIBC))
    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert done.stderr.startswith(f"langplug: xllamacpp is installed, but it cannot be imported: {GLIBC}. ")
    assert (
        "libgomp.so.1 is missing: apt-get install libgomp1 (Debian, Ubuntu) or dnf install libgomp (Fedora"
        in done.stderr
    )
    assert "--debug" not in done.stderr


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (MUSL.format("libgomp.so.1"), "The system library libgomp.so.1 is missing: apt-get install libgomp1 "),
        (
            GLIBC.replace("gomp.so.1", "stdc++.so.6"),
            r"libstdc\+\+.so.6 is missing: apt-get install libstdc\+\+6 ",
        ),
        (
            GLIBC.replace("gomp", "odd-name"),
            r"apt-file search libodd-name.so.1 .* dnf provides '\*/libodd-name",
        ),
        ("/lib/libc.so.6: version `GLIBC_2.38' not found (required by x.so)", "too old: it lacks GLIBC_2.38.*Endpoint"),
        ("DLL load failed while importing x: The specified module could not be found.", "Visual C[+][+] Redistr"),
        ("x.so: undefined symbol: ggml_init", "pip install --force-reinstall broken_engine"),
    ],
    ids=["musl", "another library", "unknown library", "version", "Windows", "anything else"],
)
def test_a_missing_library_is_named(message: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the loader complains of is repeated, with what to do about it, as an `ImportError` with its cause."""
    monkeypatch.syspath_prepend(install(tmp_path, "broken_engine", message))
    with pytest.raises(ImportError, match=remedy) as caught:
        import_compiled("broken_engine")
    assert message in str(caught.value)
    assert "broken_engine" == caught.value.name
    assert message == str(caught.value.__cause__)


@pytest.mark.parametrize("package", ["xllamacpp", "llguidance"])
def test_a_missing_package_says_how_to_install_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not installed, the sentence has the command that installs it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"^ChatGGUF needs {package}. Install it with: pip install 'langplug.gguf.'"):
        import_compiled(package)


def test_a_missing_wheel_says_what_to_use_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where xllamacpp has no wheel, and so pip cannot install it, the sentence names another way to the same model."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ImportError, match=r"wheels for Linux with glibc .* Alpine, start a llama\.cpp server"):
        import_compiled("xllamacpp")


def test_what_the_package_itself_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed and lacks one of its own is not taken for one that is not installed."""
    (tmp_path / "broken_engine.py").write_text("import no_such_part")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"broken_engine is installed, .* No module named 'no_such_part'"):
        import_compiled("broken_engine")
