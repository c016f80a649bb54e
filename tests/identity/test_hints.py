"""The types of a decorated function's parameters, each resolved by itself."""

import enum
import functools
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from langplug import chat_model

HEADER = """
from __future__ import annotations
from typing import TYPE_CHECKING, Annotated
from pydantic import Field
from langplug import chat_model
if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal
    from langplug import Request
"""


def decorated(signature: str, decorator: Callable[..., Any] = chat_model) -> Any:
    """The class that an author's module would make of a function with this signature."""
    module: dict[str, Any] = {"__name__": "authors_module"}
    exec(f"{HEADER}\ndef shout({signature}) -> Iterator[str]:\n    yield repr(volume)", module)
    return decorator(module["shout"])


@pytest.mark.parametrize("hint", ["int", "'int'", "int | None", "Annotated[int, Field(gt=0)]", "Annotated['int', 1]"])
def test_a_written_type_is_converted_and_validated(hint: str) -> None:
    """Types that are text count, though the request's exists for type checkers alone."""
    shout = decorated(f"request: Request, *, volume: {hint} = 1")
    assert "3" == shout(volume="3").invoke("x").text == shout().invoke("x", volume="3").text
    with pytest.raises(ValidationError):
        shout(volume="loud")


@pytest.mark.parametrize("hint", ["Decimal", "list[Decimal]", "int | Decimal", "'Decimal'", "Annotated[Decimal, 1]"])
@pytest.mark.parametrize("other", ["", ", pitch: int = 1"])
def test_a_type_that_is_not_there_is_refused(hint: str, other: str) -> None:
    """It never becomes Any: the function, the parameter, the type and what to write are named."""
    with pytest.raises(TypeError, match=r"^authors_module\.shout: the type .*Decimal.* of the parameter 'volume'") as e:
        decorated(f"request: Request, *, volume: {hint} = 1{other}")
    assert "Decimal" in str(e.value)
    assert "if TYPE_CHECKING:`, move the import out" in str(e.value)


@pytest.mark.parametrize("hint", ["1 +", "int.nothing", "Field[3]", "(1).x"])
def test_a_type_that_cannot_be_evaluated_is_refused(hint: str) -> None:
    """Whatever goes wrong, the error is about the parameter."""
    scope: dict[str, Any] = {}
    exec("def shout(request, *, volume=1): return ''", scope)
    scope["shout"].__annotations__ = {"volume": hint}
    with pytest.raises(TypeError, match="of the parameter 'volume' cannot be resolved"):
        chat_model(scope["shout"])


def test_local_types_are_found() -> None:
    """A type may be defined in the function around, as pydantic finds it for a class."""

    class Color(enum.Enum):
        RED = "red"

    @chat_model(tool_calling="off")
    def paint(request: Any, *, color: "Color" = Color.RED) -> str:
        return color.name

    @chat_model
    def mix(request: Any, *, colors: "list[Color] | None" = None) -> str:
        return str(colors)

    painting: Any = paint(color="red")  # type: ignore[arg-type]
    mixing: Any = mix(colors=["red"])  # type: ignore[list-item]
    assert (Color.RED, [Color.RED]) == (painting.color, mixing.colors)


def test_types_of_other_callables_are_found() -> None:
    """A partial, a method, an object and a decorated function have types as well."""

    class Shouting:
        def __call__(self, request: Any, *, volume: "int" = 1) -> str:
            return ""

        def method(self, request: Any, *, volume: "int" = 1) -> str:
            return ""

    def plain(request: Any, *, volume: "int" = 1, pitch: float = 1) -> str:
        return ""

    @functools.wraps(plain)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **kwargs)

    for function in (Shouting(), Shouting().method, functools.partial(plain, pitch=2), plain, wrapper):
        assert 3 == chat_model(function)(volume="3").volume  # type: ignore[arg-type,attr-defined]
