"""What goes to a worker, and comes back: the order to make a model, and who it turned out to be."""

import os
import pickle
import pkgutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from langchain_core.language_models import BaseChatModel

from langplug import load
from langplug_check.drivers import DriverName
from langplug_check.factory import Target
from langplug_check.recipes import Recipe, recipe_for
from langplug_check.statement import own_modules
from langplug_check.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The model to make, wherever it is made.

    Attributes:
        reference: Where it is found, such as `"package.module:attribute"`.
        pickled: What makes it, pickled; where there is no reference.
        recipe: How to point it at the backend.
        probe: Whether it may be asked, to learn what it says.
        path: Where modules are looked for.
        modules: Those that register statements of a user's own.
    """

    reference: str | None = None
    pickled: bytes | None = None
    recipe: Recipe | None = None
    probe: bool = True
    path: Sequence[str] = field(default_factory=lambda: tuple(entry or str(Path.cwd()) for entry in sys.path))
    modules: Sequence[str] = field(default_factory=own_modules)

    def target(self) -> Target:
        """What makes the model.

        Raises:
            Exception: What importing or unpickling raises.
        """
        if self.pickled is not None:
            return cast("Target", pickle.loads(self.pickled))  # noqa: S301 - our own, from the process that started this one
        assert self.reference is not None
        return resolve(self.reference, self.recipe)

    def subject(self, target: Target | None = None) -> Subject:
        """The model as checks see it; of `target`, where that was made already."""
        return Subject(self.target() if target is None else target, recipe=self.recipe, probe=self.probe)


def resolve(reference: str, recipe: Recipe | None = None) -> Target:
    """What a reference leads to: a class as it is, where a recipe says how it is built; else a model of it.

    Raises:
        Exception: What `load` raises.
    """
    found: Any = None
    with suppress(ValueError, ImportError, AttributeError):  # a file, or wrong: `load` says what
        found = pkgutil.resolve_name(reference)
    if _is_built_by(recipe, found):
        return cast("Target", found)
    try:
        return load(reference)
    except Exception:
        found = _imported(reference)
        if _is_built_by(recipe, found):  # it cannot be made without arguments, which the recipe has
            return cast("Target", found)
        raise


def _is_built_by(recipe: Recipe | None, found: Any) -> bool:
    is_class = isinstance(found, type) and issubclass(found, BaseChatModel)
    return is_class and (recipe is not None or recipe_for(found) is not None)


def _imported(reference: str) -> Any:
    """What a reference to a file leads to, once that was imported; None if there is no such thing."""
    source, _, attribute = reference.rpartition(":")
    path = os.path.realpath(Path(source).expanduser())
    files = ((getattr(module, "__file__", None) or "", module) for module in list(sys.modules.values()))
    module = next((module for file, module in files if file.endswith(".py") and os.path.realpath(file) == path), None)
    return reduce(lambda found, name: getattr(found, name, None), attribute.split("."), module)


def make_job(target: Target | str, recipe: Recipe | None = None) -> tuple[Job | None, str]:
    """The order for a target; or None, and why it cannot be made in another process."""
    if isinstance(target, str):
        return Job(reference=target, recipe=recipe), ""
    try:
        return Job(pickled=pickle.dumps(target), recipe=recipe), ""
    except Exception as error:  # noqa: BLE001 - classes refuse to be pickled in every way
        return None, f"it cannot be pickled ({type(error).__name__}: {error})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is checked.

    Attributes:
        name: The class.
        driver: How it is made to say something.
        error: What it raised when it was asked; empty if it answered, and where it was not asked.
        versions: Packages and their versions.
    """

    name: str
    driver: DriverName
    error: str = ""
    versions: dict[str, str] = field(default_factory=dict)


def identify(subject: Subject) -> Identity:
    """Who `subject` is."""
    cls = subject.cls
    package = cls.__module__.partition(".")[0].replace("_", "-")
    packages = ["langplug", "langchain-core", *([package] if package != "langplug" else [])]
    versions = {"python": sys.version.split()[0], **{name: found for name in packages if (found := _version(name))}}
    return Identity(
        name=f"{cls.__module__}.{cls.__qualname__}",
        driver=subject.driver.name,
        error=subject.driver.error,
        versions=versions,
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
