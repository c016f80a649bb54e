"""What a new package is told: its template, name, author and description; and what names are possible."""

import keyword
import re
import sys
from dataclasses import dataclass
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
"""Source: https://packaging.python.org/en/latest/specifications/name-normalization/."""

_LONGEST: Final = 40
"""Characters of a name: with more, lines of the generated code would be too long."""

_TAKEN: Final = frozenset(
    {"aiohttp", "hatchling", "jmespath", "langchain", "langchain_core", "langchain_tests", "langplug"}
    | {"langplug_backend", "langplug_check", "numpy", "orjson", "pip", "pydantic", "pytest", "tests", "xllamacpp"}
)
"""Modules that a new package itself needs, or has."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a new package is told. It is kept in the package's `pyproject.toml`, under `[tool.langplug-new]`.

    Attributes:
        name: The package's name, normalised: lower-case, with hyphens.
        template: One of `TEMPLATES`.
        author: Who holds the copyright.
        description: What the model is, in a sentence.

    Raises:
        ValueError: If a name is not possible, or an author or a description is not one line of text.
    """

    name: str
    template: str
    author: str
    description: str

    def __post_init__(self) -> None:
        if self.name != check_name(self.name):
            raise ValueError(f"the name {self.name!r} is not normalised: write {check_name(self.name)!r}")
        for what, text in (("author", self.author), ("description", self.description)):
            if not text.strip() or not text.isprintable():
                raise ValueError(f"the {what} {text!r} is not one line of text: write a few words")

    @property
    def module(self) -> str:
        """The name by which the package is imported."""
        return self.name.replace("-", "_")

    @property
    def words(self) -> list[str]:
        """What the model is called, without what every such package has in its name."""
        return re.sub(r"^(langchain|langplug|chat)-(?=[a-z])", "", self.name).split("-")


def check_name(name: str) -> str:
    """The normalised form of a package's name.

    Raises:
        ValueError: If no package can be called so, or if Python could not import it by that name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a name for a package: expected ASCII letters, digits and hyphens, with a letter or a "
            "digit at both ends, such as 'langchain-acme'"
        )
    normal = re.sub(r"[-_.]+", "-", name).lower()
    module = normal.replace("-", "_")
    if len(normal) > _LONGEST:
        raise ValueError(f"the name {name!r} has {len(normal)} characters: expected {_LONGEST} at most")
    if not module.isidentifier():
        raise ValueError(f"Python cannot import {module!r}, as it begins with a digit: begin the name with a letter")
    instead = f"choose another, such as 'langchain-{normal}'"
    if keyword.iskeyword(module):
        raise ValueError(f"{name!r} is a keyword of Python: {instead}")
    if module in sys.stdlib_module_names:
        raise ValueError(f"{name!r} is a module of Python's standard library: {instead}")
    if module in _TAKEN:
        raise ValueError(f"{name!r} is a package that a chat model needs itself: {instead}")
    return normal


def default_author(name: str) -> str:
    """Whom a package names as its author if it is told nothing."""
    return f"{name} contributors"


def default_description(name: str) -> str:
    """How a package describes itself if it is told nothing."""
    return f"{name}: a chat model for LangChain."
