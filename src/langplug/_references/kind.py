"""`Kind`: what the module of one kind of reference defines."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from langchain_core.language_models import BaseChatModel

Settings: TypeAlias = Mapping[str, Any]
"""Constructor arguments, by name."""


def user_path(text: str) -> Path:
    """The path that a person wrote, with a home directory in the place of `~`, if there is one."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - that of pathlib raises for `~nobody`


class FormError(ValueError):
    """A text is of no form that references have; its message says more, if more can be said. `load` adds the forms."""


class Kind(Protocol):
    """One way to refer to a model; a module that defines these three is one."""

    @property
    def FORM(self) -> str:  # noqa: N802 - a constant of the module
        """How such a reference is written, for errors."""
        ...

    @property
    def fits(self) -> Callable[[str], bool]:
        """Whether a text is such a reference, right or wrong: what is wrong with it, `load` says."""
        ...

    @property
    def load(self) -> Callable[[str, Settings], BaseChatModel]:
        """Makes the model, with settings."""
        ...
