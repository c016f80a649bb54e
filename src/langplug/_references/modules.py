"""References to attributes of modules and files: `package.module:attribute` and `./file.py:attribute`."""

import importlib
import importlib.util
import os
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Final

from langchain_core.language_models import BaseChatModel

from langplug._references.kind import FormError, Kind, Settings
from langplug._references.making import import_problem, make_model
from langplug._references.providers import PROVIDERS
from langplug._suggest import did_you_mean


def _load(reference: str, settings: Settings) -> BaseChatModel:
    source, _, attribute = reference.rpartition(":")
    is_file = source.endswith(".py") or "/" in source or os.sep in source
    dotted_names = [attribute] if is_file else [source, attribute]
    if not all(part.isidentifier() for name in dotted_names for part in name.split(".")):
        provider = reference.partition(":")[0]
        if not is_file and (near := did_you_mean(provider, PROVIDERS, inline=True)):
            raise ValueError(f"{reference!r} is not a reference to a model: no provider is called {provider!r}{near}")
        raise FormError
    found: object = _import_file(Path(source)) if is_file else _import_module(source)
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            near = did_you_mean(name, (known for known in dir(found) if not known.startswith("_")), inline=True)
            raise AttributeError(f"{source!r} has no {attribute!r}{near}") from None
    return make_model(found, reference, settings)


def _import_module(name: str) -> ModuleType:
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


def _import_file(path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        near = did_you_mean(path.stem, (file.stem for file in path.parent.glob("*.py")), inline=True)
        raise FileNotFoundError(f"no file {str(path)!r}{near}")
    name = path.stem
    if (loaded := sys.modules.get(name)) is not None:
        owner = getattr(loaded, "__file__", None) or ""
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


KIND: Final = Kind("'package.module:attribute' or './file.py:attribute'", lambda reference: ":" in reference, _load)
