"""From a template and answers to the texts of a package's files."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Template as Text
from typing import Final

from langplug import __version__
from langplug._suggest import did_you_mean
from langplug.new.answers import Answers

_FOLDER: Final = Path(__file__).parent / "templates"

_SUFFIX: Final = ".tmpl"
"""So that nothing takes what is not filled in yet for Python or for tests."""


@dataclass(frozen=True)
class Template:
    """What distinguishes a template from the others, as its `template.toml` says.

    Attributes:
        summary: What the model is, in a few words.
        requirement: The package, with its extras, that the model needs.
        about: What the model does by default, for the package's README.
        prepare: A command that must have run before the model can answer; empty if there is none.
        is_class: Whether the model is a class of its own, and not a decorated function.
    """

    summary: str
    requirement: str
    about: str
    prepare: str
    is_class: bool

    def symbol(self, answers: Answers) -> str:
        """What the model is called in its module: `ChatAcme`, or `chat_acme` if it is a function."""
        if self.is_class:
            return "Chat" + "".join(word.capitalize() for word in answers.words)
        return "_".join(["chat", *answers.words])

    def values(self, answers: Answers) -> dict[str, str]:
        """What the names in the template's files stand for."""
        variable = answers.module.upper()
        symbol = self.symbol(answers)
        return {
            "name": answers.name,
            "module": answers.module,
            "symbol": symbol,
            # What `@chat_model` makes is a class, whose type for type checkers is what it can be called with.
            "class_of": symbol if self.is_class else f"type({symbol}())",
            "variable": variable,
            "template": answers.template,
            "author": answers.author,
            "description": answers.description,
            # A text of JSON is one of TOML too, as long as nothing in it needs to be escaped as two surrogates.
            "author_toml": json.dumps(answers.author, ensure_ascii=False),
            "description_toml": json.dumps(answers.description, ensure_ascii=False),
            "version": __version__,
            "requirement": self.requirement,
            "about": Text(self.about).substitute(variable=variable),
            "prepare": f"\n{self.prepare}" if self.prepare else "",
            "ci_prepare": f"\n      - run: {self.prepare}" if self.prepare else "",
        }


TEMPLATES: Final = {
    name: Template(**tomllib.loads((_FOLDER / name / "template.toml").read_text(encoding="utf-8")))
    for name in ("function", "http", "weights", "command")
}
"""By name, the simplest first."""


def check_template(name: str) -> str:
    """The name of a template, as it is.

    Raises:
        ValueError: If there is no such template.
    """
    if name not in TEMPLATES:
        hint = did_you_mean(name, TEMPLATES, inline=True) or f", expected {' or '.join(TEMPLATES)}"
        raise ValueError(f"unknown template {name!r}{hint}")
    return name


def render(answers: Answers) -> dict[str, str]:
    """The texts of a package's files, by their paths in its folder, in alphabetical order.

    Raises:
        ValueError: If there is no such template.
    """
    template = check_template(answers.template)
    values = TEMPLATES[template].values(answers)
    files: dict[str, str] = {}
    for folder in (_FOLDER / "common", _FOLDER / template):
        for file in sorted(folder.rglob(f"*{_SUFFIX}")):
            parts = file.relative_to(folder).with_suffix("").parts
            path = PurePosixPath(*(answers.module if part == "package" else part for part in parts))
            files[str(path)] = Text(file.read_text(encoding="utf-8")).substitute(values)
    return dict(sorted(files.items()))
