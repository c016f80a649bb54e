"""The bench of the checks: a reference that keeps the whole contract, and mutants that break one statement each.

A mutant is a class, or a function without arguments that makes a model, that is wrong in exactly one way. It is
registered in one of the files of `mutants/`, and found by itself.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import Field, SecretStr

from langplug import ChatModel, Part, Request, env
from langplug_check import Recipe, Verdict

T = TypeVar("T")

KEY_VARIABLE = "REFERENCE_API_KEY"


class Reference(ChatModel):
    """Keeps the contract, and has whatever a statement may be about: a secret, an alias, options."""

    tool_calling = "native"
    structured_output = "native"
    model_name: str = Field("reference-1", alias="model")
    temperature: float = Field(0.5, ge=0, le=2)
    options: dict[str, int] = Field(default_factory=dict)
    api_key: SecretStr = env(KEY_VARIABLE)

    def respond(self, request: Request, /) -> Iterator[Part]:
        """Repeats what it is told."""
        yield from request.text


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A model that is wrong in one way.

    Attributes:
        id: The check that has to see it.
        wrong: What is wrong, in a few words that follow "a model that".
        target: What makes it.
        recipe: How it is pointed at the backend.
        verdict: What the check has to say of it.
    """

    id: str
    wrong: str
    target: Any
    recipe: Recipe | None = None
    verdict: Verdict = "fail"

    @property
    def name(self) -> str:
        return f"{self.id} {self.target.__name__}"


_mutants: list[Mutant] = []


def mutant(check_id: str, wrong: str, *, recipe: Recipe | None = None, verdict: Verdict = "fail") -> Callable[[T], T]:
    """Register the decorated class or factory as a mutant that the check has to kill."""

    def register(target: T) -> T:
        _mutants.append(Mutant(id=check_id, wrong=wrong, target=target, recipe=recipe, verdict=verdict))
        return target

    return register


def all_mutants() -> list[Mutant]:
    """Every mutant there is."""
    package = importlib.import_module("tests.check.mutants")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return sorted(_mutants, key=lambda mutant: mutant.id)
