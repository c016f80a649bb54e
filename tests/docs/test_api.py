"""What the reference says of the public names: all of it, and nothing that is not so."""

import doctest
import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from griffe import Class, Function, Object, ParameterKind
from langchain_core.language_models import BaseChatModel
from tests.docs.reference.api import BASE, PACKAGES, members_of, names_in, object_of, plain

NAMES = [(package, name) for package in PACKAGES for name in names_in(package)]

VARIABLE = (ParameterKind.var_keyword, ParameterKind.var_positional)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_page_has_the_names_that_its_package_offers(package: str) -> None:
    """What griffe finds in the source is what can be imported."""
    assert sorted(importlib.import_module(package).__all__) == sorted(names_in(package))


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_each_argument_is_explained(package: str, name: str) -> None:
    """Of each public function, class and method, the docstring, or the class's, says what each argument is."""
    told = object_of(package, name)
    lacking = [f"{one.name}({given})" for one in callables_of(told) for given in unexplained(one, told)]
    assert not lacking, "say in the docstring what these are"


def callables_of(told: Object) -> Iterator[Function]:
    """A function, or the methods of a class, but for those that LangChain explains."""
    if isinstance(told, Function):
        yield told
    base = object_of(*BASE)
    if isinstance(told, Class):
        init = told.members.get("__init__")
        of_langchain = {*dir(BaseChatModel)} if told is base else set()
        methods = members_of(told, without=base if base in told.mro() else None)
        yield from (one for one in [init, *methods] if isinstance(one, Function) and one.name not in of_langchain)


def unexplained(told: Function, owner: Object) -> list[str]:
    """The arguments that neither its docstring nor its owner's names, unless it says whose arguments they are."""
    family = [owner, *owner.mro(), *members_of(owner, None)] if isinstance(owner, Class) else [owner]
    said = "\n".join(one.docstring.value for one in [told, *family] if one.docstring)
    said += " ".join(one.name for one in family if one.docstring)
    if re.search(r"\barguments\s+are\s+those\s+of\s+`", said):
        return []
    given = [one.name for one in told.parameters if one.kind not in VARIABLE and one.name not in ("self", "cls")]
    return [name for name in given if not re.search(rf"\b{name}\b", said)]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_examples_in_docstrings_run(package: str, name: str) -> None:
    """What a docstring shows can be typed, once the names of its package are imported."""
    module = importlib.import_module(package)
    names: dict[str, Any] = {one: getattr(module, one) for one in module.__all__}
    docstring = object_of(package, name).docstring
    examples = doctest.DocTestParser().get_doctest(docstring.value if docstring else "", names, name, None, None)
    assert 0 == doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples).failed


def test_what_is_indented_becomes_a_list() -> None:
    """Definitions and examples in the text of a docstring are shown as such."""
    told = "It has:\n\n    one, two: What they\n        are.\n    three: Another.\n\nExample:\n    >>> 1 + 1\n    2\n"
    assert list(plain(told, {"example": "Example", "default": "default"})) == [
        "It has:",
        "* `one`, `two`: What they\n    are.\n* `three`: Another.",
        "**Example**",
        "```pycon\n>>> 1 + 1\n2\n```",
    ]
