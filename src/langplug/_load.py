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
    """The chat model that `reference` leads to, langplug's or anybody else's.

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
        ModuleNotFoundError: If there is no such module; `FileNotFoundError`, if there is no such file.
        ImportError: If the module is there and fails as it is imported. The cause is its own error.
        AttributeError: If the module has no such attribute.
        TypeError: If the attribute is no model and leads to none.
        Exception: What the class or the factory raises, with a note that names the reference.
    """
    source, attribute = _split(reference)
    module = _import_file(Path(source)) if _is_file(source) else _import_module(source)
    return _to_model(_find(module, attribute, source), reference)


def _split(reference: str) -> tuple[str, str]:
    source, _, attribute = reference.rpartition(":")
    named = _is_file(source) or _is_dotted_name(source)
    if not named or not _is_dotted_name(attribute):
        raise ValueError(f"{reference!r} is no reference to a model: {_EXPECTED}")
    return source, attribute


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _is_file(source: str) -> bool:
    return source.endswith(".py") or "/" in source or os.sep in source


def _import_module(name: str) -> ModuleType:
    _make_importable(Path.cwd())
    importlib.invalidate_caches()  # the file may be younger than what the import system has seen
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            near = did_you_mean(error.name, (path.stem for path in Path.cwd().glob("*.py")), inline=True)
            raise ModuleNotFoundError(
                f"no module {error.name!r} in the current directory or among the installed packages{near}",
                name=error.name,
            ) from None
        raise _failed_import(name, error) from error
    except (Exception, SystemExit) as error:
        raise _failed_import(name, error) from error


def _import_file(path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        near = did_you_mean(path.stem, (file.stem for file in path.parent.glob("*.py")), inline=True)
        raise FileNotFoundError(f"no file {str(path)!r}{near}")
    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    _make_importable(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(path)!r} is no Python file: {_EXPECTED}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # first, as for any import: pickle, dataclasses and cycles look there
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception | SystemExit):
            raise _failed_import(str(path), error) from error
        raise
    return module


def _module_name(path: Path) -> str:
    """The file's own name, unless another module goes by it."""
    if path.stem.isidentifier() and _may_be_called(path.stem, path):
        return path.stem
    return f"{path.stem}_{zlib.crc32(str(path).encode()):08x}"


def _may_be_called(name: str, path: Path) -> bool:
    if name in sys.modules:
        return os.path.realpath(getattr(sys.modules[name], "__file__", None) or "") == str(path)
    spec = importlib.util.find_spec(name)
    return spec is None or os.path.realpath(spec.origin or "") == str(path)


def _make_importable(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _failed_import(name: str, error: BaseException) -> ImportError:
    return ImportError(f"{name!r} was found, but importing it failed with {type(error).__name__}: {error}")


def _find(module: ModuleType, attribute: str, source: str) -> object:
    found: object = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            public = [known for known in dir(found) if not known.startswith("_")]
            raise AttributeError(f"{source!r} has no {attribute!r}{did_you_mean(name, public, inline=True)}") from None
    return found


def _to_model(found: object, reference: str) -> BaseChatModel:
    if isinstance(found, BaseChatModel):
        return found
    made = _make(found, reference)
    if not isinstance(made, BaseChatModel):
        raise TypeError(f"{reference!r} was called as a factory and returned {_a(made)}, {_EXPECTED_MODEL}")
    return made


def _make(found: object, reference: str) -> object:
    maker = _maker(found)
    if maker is None:
        raise TypeError(f"{reference!r} is {_a(found)}, {_EXPECTED_MODEL}")
    try:
        return maker()
    except ValidationError as error:
        needs = "; ".join(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in error.errors())
        raise TypeError(
            f"{reference!r} cannot be made without arguments ({needs}): refer to an instance, "
            "or to a function without arguments that returns one"
        ) from error
    except Exception as error:
        error.add_note(f"while making the model {reference!r}")
        raise


def _maker(found: object) -> Callable[[], object] | None:
    """What to call, without arguments, for the model that `found` leads to; None if it leads to none."""
    if isinstance(found, type):
        return found if issubclass(found, BaseChatModel) else None
    parameters = _parameters(found) if callable(found) else None
    if parameters is None or not callable(found):
        return None
    if parameters and _is_request(parameters[0]):
        from langplug import chat_model

        return chat_model(cast("Callable[[Request], Answer]", found))  # which it checks itself
    is_factory = not any(_is_required(parameter) for parameter in parameters)
    return found if is_factory and not inspect.iscoroutinefunction(found) else None


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C, without a signature
        return None


def _is_request(parameter: inspect.Parameter) -> bool:
    if parameter.kind not in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
        return False
    annotation = parameter.annotation
    is_annotated = annotation.split(".")[-1] == "Request" if isinstance(annotation, str) else annotation is Request
    return is_annotated or parameter.name == "request"


def _is_required(parameter: inspect.Parameter) -> bool:
    variadic = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and not variadic


def _a(found: object) -> str:
    """What `found` is, in words."""
    if isinstance(found, type):
        return f"the class {found.__name__}, which is no chat model"
    if inspect.isroutine(found):
        kind = "an async function" if inspect.iscoroutinefunction(found) else "a function"
        return f"{kind} of ({', '.join(parameter.name for parameter in _parameters(found) or ())})"
    return f"an instance of {type(found).__name__}"
