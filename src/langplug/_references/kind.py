"""`Kind`: one way to refer to a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel

Settings: TypeAlias = Mapping[str, Any]
"""Constructor arguments, by name."""


class FormError(ValueError):
    """A text is of no form that references have; its message says more, if more can be said. `load` adds the forms."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to refer to a model.

    Attributes:
        form: How such a reference is written, for errors and help.
        fits: Whether a text is such a reference, right or wrong; what is wrong with it, `load` says.
        load: Makes the model, with settings.
    """

    form: str
    fits: Callable[[str], bool]
    load: Callable[[str, Settings], BaseChatModel]
