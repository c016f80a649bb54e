"""Jinja with an end: a template that loops, calls itself or grows without end is an error, not a hang.

Jinja's sandbox keeps a template from Python's objects, but not from time and memory. Here each iteration of a loop and
each call of a macro looks at the clock, and what operators, filters, methods and blocks produce is counted.

Only what uses Jinja imports this file.
"""

import re
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import reduce, wraps
from typing import Any, Final, cast

from jinja2 import Template, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

_MOST_S: Final = 2.0
"""Seconds of the processor. Published templates take some milliseconds for a thousand messages."""

_LONGEST: Final = 20_000_000
"""Characters or items of one value."""

_MOST_HANDLED: Final = 200_000_000
"""Characters and items of all values of one rendering together: a prompt that is built by pieces is copied often."""

_GROWING: Final = frozenset({
    "center", "expandtabs", "format", "format_map", "indent", "join", "ljust", "replace", "rjust", "tojson",
    "translate", "wordwrap", "zfill",
})  # fmt: skip
"""Filters and methods whose result may be as long as the product of what they are given."""

_WIDTH: Final = re.compile(r"\d{5}")


class EndlessTemplateError(Exception):
    """A template does more than any conversation needs."""

    def __init__(self, what: str) -> None:
        super().__init__(f"it {what}. Published templates need a thousandth of that: get the model's own")


class _Spent:
    """What one rendering has used up."""

    def __init__(self) -> None:
        self.steps = 0
        self.handled = 0  # characters and items
        self.deadline = time.thread_time() + _MOST_S

    def step(self) -> None:
        """Look at the clock, which is not cheap, now and then."""
        self.steps += 1
        if self.steps % 64 == 0 and time.thread_time() > self.deadline:
            raise EndlessTemplateError(f"takes more than {_MOST_S:g} seconds of the processor")


_spent: ContextVar[_Spent] = ContextVar("langplug_template_spent")


def _count(value: Any) -> Any:
    """Count a value that is made or gone through; it is handed on."""
    if isinstance(value, str | list | tuple | range):
        length = len(cast("Any", value))
        _allow(length)
        spent = _spent.get()
        spent.step()
        spent.handled += length
        if spent.handled > _MOST_HANDLED:
            raise EndlessTemplateError(f"handles more than {_MOST_HANDLED:,} characters")
    return value


def _allow(length: int) -> None:
    if length > _LONGEST:
        raise EndlessTemplateError(f"makes a value of more than {_LONGEST:,} characters")


def _size(value: Any) -> int:
    """What it multiplies the length of a result by."""
    if isinstance(value, int):
        return max(1, abs(value))
    return max(1, len(value)) if isinstance(value, str | list | tuple) else 1


def _allow_call(name: str, values: Iterable[Any]) -> None:
    """Refuse, before it is made, what a filter or method would make too long."""
    given = [*values]
    if given and name not in ("length", "count"):  # which do not go through what they are given
        _count(given[0])
    if name in _GROWING:
        if name == "replace" and len(given) > 2 and all(isinstance(one, str) for one in given[:3]):
            text, old, new = given[:3]
            return _allow(text.count(old) * len(new))
        if name.startswith("format") and isinstance(given[0], str) and _WIDTH.search(given[0]):
            raise EndlessTemplateError("formats a value to a width of more than 9,999 characters")
        _allow(reduce(lambda product, one: product * _size(one), given, 1))
    return None


class _Counting(NodeTransformer):
    """Has each loop and macro count its rounds, and `~` be an operator like `+`, whose results are counted."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - Jinja's way
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_step()))
        if node.test is not None:  # it is asked of items that the body never sees
            node.test = nodes.And(nodes.Not(_step()), node.test)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:  # noqa: N802
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_step()))
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.CallBlock:  # noqa: N802
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_step()))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        texts: list[nodes.Expr] = [nodes.Filter(one, "string", [], [], None, None) for one in node.nodes]
        return reduce(nodes.Add, texts)


def _step() -> nodes.Expr:
    return nodes.EnvironmentAttribute("langplug_step")  # a property: calls are what the sandbox makes expensive


class _BoundedTemplate(Template):
    def render(self, *args: Any, **kwargs: Any) -> str:
        token = _spent.set(_Spent())
        try:
            return super().render(*args, **kwargs)
        finally:
            _spent.reset(token)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with limits of time and memory."""

    template_class = _BoundedTemplate
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    @property
    def langplug_step(self) -> None:
        """Count a round of a loop, or a call of a macro."""
        _spent.get().step()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, function in self.filters.items():
            self.filters[name] = _bounded_filter(name, function)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        return cast("nodes.Template", _Counting().visit(tree))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Work an operator out, unless its result would be too large."""
        if operator in ("*", "**"):
            numbers = isinstance(left, int) and isinstance(right, int)
            if operator == "**":
                _allow(_size(right) * (left.bit_length() if isinstance(left, int) else 1))
            elif not numbers:
                _allow(_size(left) * _size(right))
        elif operator == "%" and isinstance(left, str):
            _allow_call("format", [left])
        return _count(super().call_binop(context, operator, left, right))

    def call(self, context: Any, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls."""
        method = getattr(called, "__wrapped__", called)  # of `format`, which the sandbox wraps
        if isinstance(bound := getattr(method, "__self__", None), str):
            _allow_call(str(method.__name__), [bound, *args, *kwargs.values()])
        return _count(super().call(context, called, *args, **kwargs))

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """Join what a block, a macro or the whole template has written."""
        kept: list[str] = []
        length = 0
        for piece in pieces:
            kept.append(piece)
            length += len(piece)
            _allow(length)
        return cast("str", _count("".join(kept)))


def _bounded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        _allow_call(name, [*args, *kwargs.values()])
        return _count(function(*args, **kwargs))

    return bounded
