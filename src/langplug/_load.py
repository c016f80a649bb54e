"""From a reference, `package.module:attribute`, to a model."""

import importlib
import importlib.util
import inspect
import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from pydantic import ValidationError

from langplug._model.decorator import chat_model
from langplug._parts import Answer
from langplug._request import Request
from langplug._suggest import did_you_mean

_EXPECTED = (
    "expected 'package.module:attribute' or './file.py:attribute', such as 'langplug.models.gguf.model:ChatGGUF'"
)

_EXPECTED_MODEL = (
    "expected a chat model (an instance or a class of LangChain's BaseChatModel), a function whose first argument "
    "is called 'request', or a function without required arguments that returns a chat model"
)


def load(reference: str) -> BaseChatModel:
    """The chat model that `reference` leads to, langplug's own or another package's.

    Args:
        reference: `package.module:attribute` or `./file.py:attribute`, where the attribute may be dotted. Modules
            are looked for in the current directory first, as `python -m` does, and a file's own directory
            is importable from it; both stay on `sys.path`. The attribute is

            * a model, taken as it is;
            * a class of models, made without arguments;
            * langplug's rule, a function whose first argument is called `request` or annotated as `Request`: it
              becomes a model as with `@chat_model`;
            * a factory, any other callable that needs no argument: what it returns must be a model.

    Raises:
        ValueError: If `reference` is not of that form.
        ModuleNotFoundError: If the module does not exist.
        FileNotFoundError: If the file does not exist.
        ImportError: If the module is there and fails as it is imported. The cause is its own error.
        AttributeError: If the module does not have the attribute.
        TypeError: If the attribute is not a model and does not lead to one.
        Exception: What the class or the factory raises, with a note that names the reference.
    """
    source, _, attribute = reference.rpartition(":")
    is_file = source.endswith(".py") or "/" in source or os.sep in source
    dotted_names = [attribute] if is_file else [source, attribute]
    if not all(part.isidentifier() for name in dotted_names for part in name.split(".")):
        raise ValueError(f"{reference!r} is not a reference to a model: {_EXPECTED}")
    found: object = _import_file(Path(source)) if is_file else _import_module(source)
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            near = did_you_mean(name, (known for known in dir(found) if not known.startswith("_")), inline=True)
            raise AttributeError(f"{source!r} has no {attribute!r}{near}") from None
    if isinstance(found, BaseChatModel):
        return found
    make = _maker_of(found, reference)
    try:
        made = make()
    except ValidationError as error:
        needs = "; ".join(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in error.errors())
        raise TypeError(
            f"{reference!r} cannot be made without arguments ({needs}): refer to an instance, "
            "or to a function without arguments that returns one"
        ) from error
    except Exception as error:
        error.add_note(f"while making the model {reference!r}")
        raise
    if not isinstance(made, BaseChatModel):
        raise TypeError(f"{reference!r} was called as a factory and returned {_describe(made)}, {_EXPECTED_MODEL}")
    return made


# --- the module ---


def _import_module(name: str) -> ModuleType:
    _make_importable(Path.cwd())
    importlib.invalidate_caches()  # the file may be younger than what the import system has seen
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        # Missing is the module itself, or a package that it is in; anything else is what it tried to import.
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if not missing or not f"{name}.".startswith(f"{missing}."):
            raise _import_error(name, error) from error
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
        raise ImportError(f"{str(path)!r} is not a Python file: {_EXPECTED}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # first, as for any import: pickle, dataclasses and cycles look there
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception | SystemExit):
            raise _import_error(str(path), error) from error
        raise
    return module


def _make_importable(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _import_error(name: str, error: BaseException) -> ImportError:
    return ImportError(f"{name!r} was found, but importing it failed with {type(error).__name__}: {error}")


# --- what it holds ---


def _maker_of(found: object, reference: str) -> Callable[[], object]:
    """What to call, without arguments, for the model that `found` leads to."""
    if isinstance(found, type):
        if issubclass(found, BaseChatModel):
            return found
    elif callable(found) and (parameters := _parameters_of(found)) is not None:
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        first = parameters[0] if parameters and parameters[0].kind in positional else None
        if first is not None:
            # With `from __future__ import annotations` the annotation is its own source text.
            kind = first.annotation.split(".")[-1] if isinstance(first.annotation, str) else first.annotation
            if first.name == "request" or kind in ("Request", Request):
                return chat_model(cast("Callable[[Request], Answer]", found))  # which checks it
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        required = [one for one in parameters if one.default is one.empty and one.kind not in variadic]
        if not required and not inspect.iscoroutinefunction(found):
            return found
    raise TypeError(f"{reference!r} is {_describe(found)}, {_EXPECTED_MODEL}")


def _parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C, without a signature
        return None


def _describe(found: object) -> str:
    """What `found` is, in words."""
    if isinstance(found, type):
        return f"the class {found.__name__}, which is not a chat model"
    if inspect.isroutine(found):
        kind = "an async function" if inspect.iscoroutinefunction(found) else "a function"
        return f"{kind} of ({', '.join(parameter.name for parameter in _parameters_of(found) or ())})"
    return f"an instance of {type(found).__name__}"
