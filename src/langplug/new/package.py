"""A package's files on the disk: written once and never over others, read again, compared with a newer template."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, Final

from langplug.new.answers import Answers
from langplug.new.rendering import render

_NAMED: Final = 3
"""Files that are named, of those that are in the way."""


def write(answers: Answers, folder: Path) -> list[Path]:
    """Write a new package into `folder`, which may be there, and return its files.

    Raises:
        FileExistsError: If one of the files is there, or the folder's name is that of a file. Nothing is written.
        ValueError: If there is no such template.
        OSError: If a file cannot be written.
    """
    if in_the_way := next((one for one in (folder, *folder.parents) if one.is_file()), None):
        raise FileExistsError(f"{str(in_the_way)!r} is a file, and not a folder: choose another folder with --dir")
    files = {folder / path: text for path, text in render(answers).items()}
    there = [path.relative_to(folder).as_posix() for path in files if path.exists() or path.is_symlink()]
    if there:
        more = f" and {len(there) - _NAMED} other files" if len(there) > _NAMED else ""
        raise FileExistsError(
            f"{str(folder)!r} holds {', '.join(there[:_NAMED])}{more} already, and nothing is overwritten: choose "
            "another folder with --dir, or see with --diff what the template would change"
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return list(files)


def read_answers(folder: Path) -> Answers:
    """What the package in `folder` was told when it was made.

    Raises:
        ValueError: If its `pyproject.toml` is not there, or does not say so.
    """
    file = folder / "pyproject.toml"
    try:
        told: Any = tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["langplug-new"]
        return Answers(**{name: str(told[name]) for name in ("name", "template", "author", "description")})
    except FileNotFoundError:
        raise ValueError(f"there is no {str(file)!r}: name the folder of a package with --dir") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{str(file)!r} is not TOML: {error}") from error
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{str(file)!r} does not say what `langplug new` was told: expected a table [tool.langplug-new] with name, "
            "template, author and description"
        ) from error


def difference(answers: Answers, folder: Path) -> str:
    """What the template would change in the files in `folder`, as a unified diff; empty if nothing.

    Raises:
        ValueError: If there is no such template, or if a file is not text.
        OSError: If a file cannot be read.
    """
    shown: list[str] = []
    for path, new in render(answers).items():
        is_there = (folder / path).exists()
        try:
            old = (folder / path).read_text(encoding="utf-8") if is_there else ""
        except UnicodeDecodeError as error:
            raise ValueError(f"{str(folder / path)!r} is not UTF-8 text, and cannot be compared") from error
        source = f"a/{path}" if is_there else "/dev/null"
        lines = (old.splitlines(keepends=True), new.splitlines(keepends=True))
        shown += difflib.unified_diff(*lines, source, f"b/{path}")
    # A last line without a newline is marked as `diff` does, or `patch` would join it to the next.
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in shown)
