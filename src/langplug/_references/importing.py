"""Imports of users' own modules and files, and what is said when they fail."""

import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
import zlib
from pathlib import Path
from types import ModuleType

from langplug._suggest import did_you_mean


def import_module(name: str) -> ModuleType:
    """The module of this name, looked for in the current directory first.

    Raises:
        ModuleNotFoundError: If there is none.
        ImportError: If it fails as it is imported.
    """
    _make_importable(Path.cwd())
    importlib.invalidate_caches()  # the file may be younger than what the import system has seen
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        # Missing is the module itself, or a package that it is in; anything else is what it tried to import.
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if not missing or not f"{name}.".startswith(f"{missing}."):
            raise import_problem(repr(name), error) from error
    near = did_you_mean(missing, (path.stem for path in Path.cwd().glob("*.py")), inline=True)
    problem = f"no module {missing!r} in the current directory or among the installed packages{near}"
    raise ModuleNotFoundError(problem, name=missing)


def import_file(path: Path) -> ModuleType:
    """The module in a file, under its own name, or one that is the same each time if another module has that.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If it fails as it is imported.
    """
    path = Path(os.path.realpath(path))
    if not os.path.isfile(path):  # noqa: PTH113 - that of pathlib raises for names that are too long
        near = did_you_mean(path.name, (file.name for file in path.parent.glob("*.py")), inline=True)
        raise FileNotFoundError(f"no file {str(path)!r}{near}")
    name = path.stem
    if (loaded := sys.modules.get(name)) is not None:
        owner = getattr(loaded, "__file__", None) or ""
    elif not name.isidentifier():  # not one that can be imported: with a dot, the search would import the rest
        owner = ""
    else:
        spec = importlib.util.find_spec(name)
        owner = str(path) if spec is None else spec.origin or ""
    if not name.isidentifier() or os.path.realpath(owner) != str(path):  # it is the name of another module
        name = f"{name}_{zlib.crc32(str(path).encode()):08x}"  # the same each time: pickles find it by its name
    if name in sys.modules:
        return sys.modules[name]
    _make_importable(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(path)!r} is not a Python file: write ./file.py:attribute")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # first, as for any import: pickle, dataclasses and cycles look there
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception | SystemExit):
            raise import_problem(repr(str(path)), error) from error
        raise
    return module


def _make_importable(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def import_problem(what: str, error: BaseException) -> ImportError:
    """The error for a module that is there and fails as it is imported: with the place in the user's own code."""
    places = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    # All of langplug, in a checkout too: it refuses classes as they are made.
    not_theirs = ("<frozen", str(Path(__file__).parent.parent), *places)
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(not_theirs)]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return ImportError(f"{what} was found, but importing it failed with {type(error).__name__}: {error}{where}")
