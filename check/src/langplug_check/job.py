"""What goes to a worker, and comes back: the job, which is a model to make, and what that turned out to be."""

import os
import pickle
import pkgutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, cast, get_args

from langchain_core.language_models import BaseChatModel

from langplug import ChatModel, load
from langplug_check.drivers import DriverName
from langplug_check.factory import Target
from langplug_check.recipes import Recipe, recipe_for
from langplug_check.statement import own_modules
from langplug_check.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The model to make, in whatever process.

    Attributes:
        reference: Where it is found, such as `"package.module:attribute"`.
        pickled: What makes it, pickled, if there is no reference.
        recipe: How to point it at the backend.
        probe: Whether it may be asked, to learn what it says.
        path: Where modules are looked for.
        modules: Those that register users' own statements.
    """

    reference: str | None = None
    pickled: bytes | None = None
    recipe: Recipe | None = None
    probe: bool = True
    # An empty entry of `sys.path` is the working directory of this process, and not of the other one.
    path: Sequence[str] = field(default_factory=lambda: tuple(entry or str(Path.cwd()) for entry in sys.path))
    modules: Sequence[str] = field(default_factory=own_modules)

    def target(self) -> Target:
        """What makes the model.

        Raises:
            Exception: What importing or unpickling raises.
        """
        if self.pickled is not None:
            return cast("Target", pickle.loads(self.pickled))  # noqa: S301 - from the process that started this one
        assert self.reference is not None
        return resolve(self.reference, self.recipe)

    def subject(self, target: Target | None = None) -> Subject:
        """The model as checks see it; of `target`, if that was made already."""
        return Subject(self.target() if target is None else target, recipe=self.recipe, probe=self.probe)


def make_job(target: Target | str, recipe: Recipe | None = None) -> tuple[Job | None, str]:
    """The job for a target; or None, and why it cannot be made in another process."""
    if isinstance(target, str):
        return Job(reference=target, recipe=recipe), ""
    try:
        return Job(pickled=pickle.dumps(target), recipe=recipe), ""
    except Exception as error:  # noqa: BLE001 - classes refuse to be pickled in every way
        return None, f"it cannot be pickled ({type(error).__name__}: {error})"


def resolve(reference: str, recipe: Recipe | None = None) -> Target:
    """What a reference leads to: a class as it is, if a recipe says how to build it; else a model of it.

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
        # It may be a class in a file that cannot be made without arguments, which the recipe has. `load` has imported
        # the file under a name of its own, so its module is found by its path.
        source, _, attribute = reference.rpartition(":")
        path = os.path.realpath(Path(source).expanduser())
        files = [(getattr(module, "__file__", None) or "", module) for module in list(sys.modules.values())]
        module = next((one for file, one in files if file.endswith(".py") and os.path.realpath(file) == path), None)
        found = reduce(lambda holder, name: getattr(holder, name, None), attribute.split("."), cast("Any", module))
        if _is_built_by(recipe, found):
            return cast("Target", found)
        raise


def _is_built_by(recipe: Recipe | None, found: Any) -> bool:
    """Whether it is a class, and a recipe says how to build it."""
    is_class = isinstance(found, type) and issubclass(found, BaseChatModel)
    return is_class and (recipe is not None or recipe_for(found) is not None)


Origin: TypeAlias = Literal["langplug", "installed", "hand-written"]
"""Whose class a model is of, which decides about the cheapest fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a model turned out to be.

    Attributes:
        name: The class.
        driver: How it is made to say something.
        origin: Whose class it is: langplug's or derived from that, a package's that is installed, or written by hand.
        error: What it raised when it was asked; empty if it answered, or was not asked.
        versions: Packages and their versions.
    """

    name: str
    driver: DriverName
    origin: Origin = "installed"
    error: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The identity that `dataclasses.asdict` made this data of, or as much of it as can be read."""
        driver: Any = data.get("driver")
        versions = data.get("versions")
        return cls(
            name=str(data.get("name")),
            driver=driver if driver in get_args(DriverName) else "plain",
            origin=data["origin"] if data.get("origin") in get_args(Origin) else "installed",
            error=str(data.get("error") or ""),
            versions={str(name): str(one) for name, one in versions.items()} if isinstance(versions, dict) else {},
        )


def identify(subject: Subject) -> Identity:
    """What `subject` is."""
    cls = subject.cls
    versions = {"python": sys.version.split()[0]}
    for package in ("langplug", "langchain-core", cls.__module__.partition(".")[0].replace("_", "-")):
        with suppress(PackageNotFoundError):  # a model in a file of one's own has none
            versions[package] = version(package)
    return Identity(
        name=f"{cls.__module__}.{cls.__qualname__}",
        driver=subject.driver.name,
        origin=_origin(cls),
        error=subject.driver.error,
        versions=versions,
    )


def _origin(cls: type[BaseChatModel]) -> Origin:
    """Whose class it is."""
    if issubclass(cls, ChatModel):
        return "langplug"
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    places = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return "installed" if any(file.startswith(place + os.sep) for place in places) else "hand-written"
