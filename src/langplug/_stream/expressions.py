"""JMESPath expressions, checked before they are used: https://jmespath.org/specification.html."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from langplug._suggest import did_you_mean

Search: TypeAlias = Callable[[Any], Any]
"""From a JSON value to what an expression finds in it."""

_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


class ExpressionError(ValueError):
    """An expression that JMESPath cannot read, or that does not fit the value that it is applied to."""


@lru_cache(maxsize=1024)
def compile_expression(expression: str) -> Search:
    """The function that finds `expression` in a value.

    Raises:
        ExpressionError: If it is not a JMESPath expression, with a mark under the place; or, when it is used, if a
            function in it is given what it cannot take.
        ImportError: If jmespath is not installed.
    """
    if not expression.strip():
        raise ExpressionError(
            "An empty string is not a JMESPath expression. Leave it out, or write a path such as 'message.content'."
        )
    jmespath = _jmespath()
    try:
        parsed = jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        place = min(getattr(error, "lex_position", 0) or 0, len(expression))
        what = str(getattr(error, "message", "") or str(error).partition(":")[0] or "cannot be read")
        if getattr(error, "token_value", None) is None:
            what = "it ends too early"
        shown = expression.replace("\n", " ")
        raise ExpressionError(f"{what} (JMESPath, see https://jmespath.org):\n  {shown}\n  {' ' * place}^") from None
    _check_functions(expression, parsed.parsed)

    if _PLAIN_PATH.fullmatch(expression):
        # Most paths are names with dots between them. By hand they take a tenth of the interpreter's time.
        names = expression.split(".")

        def walk(value: Any) -> Any:
            for name in names:
                if not isinstance(value, Mapping):
                    return None
                value = value.get(name)
            return value

        return walk

    visit = jmespath.visitor.TreeInterpreter().visit  # one for all values; `parsed.search` makes one for each

    def search(value: Any) -> Any:
        try:
            return visit(parsed.parsed, value)
        except jmespath.exceptions.JMESPathError as error:
            raise ExpressionError(f"{expression!r} does not fit what it was given: {error}") from None

    return search


def _jmespath() -> Any:
    from importlib import import_module

    try:
        # `import jmespath` alone does not import its parts, and type checkers do not know it.
        for part in ("jmespath.exceptions", "jmespath.functions", "jmespath.visitor"):
            import_module(part)
        return import_module("jmespath")
    except ImportError:
        raise ImportError("Paths need jmespath. Install it with: pip install 'langplug[http]'") from None


def _check_functions(expression: str, node: Any) -> None:
    """Raise for unknown functions and wrong numbers of arguments, which JMESPath itself would notice only in use."""
    table = _jmespath().functions.Functions.FUNCTION_TABLE
    for name, given in _functions(node):
        if name not in table:
            hint = did_you_mean(name, table, form="{}()") or f" There are: {', '.join(sorted(table))}."
            raise ExpressionError(f"JMESPath has no function {name}(), as in {expression!r}.{hint}")
        signature = table[name]["signature"]
        more = bool(signature) and signature[-1].get("variadic")
        if given < len(signature) or (given > len(signature) and not more):
            wanted = f"{len(signature)}{' or more' if more else ''}"
            raise ExpressionError(f"{name}() takes {wanted} arguments, not {given}, as in {expression!r}.")


@lru_cache(maxsize=1024)
def roots(expression: str) -> frozenset[tuple[str, str]]:
    """The names that `expression` looks up in its value, each with the name after it, or `""`.

    Example: of `a.b || c` these are `("a", "b")` and `("c", "")`.
    """
    return frozenset(_roots(_jmespath().compile(expression).parsed))


_ON_THE_FIRST = frozenset(
    {"subexpression", "index_expression", "projection", "value_projection", "filter_projection", "flatten", "pipe"}
    | {"slice", "index"}
)
"""Kinds of nodes whose first child alone is applied to the value; the others are applied to what that finds."""


def _roots(node: Any) -> Iterator[tuple[str, str]]:
    names = _lead(node)
    if names:
        yield (names[0], names[1] if len(names) > 1 else "")
    elif isinstance(node, dict) and node["type"] != "expref":  # `&name` is for the items of a list, as in `sort_by`
        for child in node["children"][: 1 if node["type"] in _ON_THE_FIRST else None]:
            yield from _roots(child)


def _lead(node: Any) -> list[str]:
    """The first one or two names of a path; none if it does not begin with a name."""
    if not isinstance(node, dict):
        return []
    if node["type"] == "field":
        return [str(node["value"])]
    if node["type"] not in _ON_THE_FIRST or not node["children"]:
        return []
    names = _lead(node["children"][0])
    if len(names) == 1 and node["type"] == "subexpression":
        names += _lead(node["children"][1])[:1]
    return names


def _functions(node: Any) -> Iterator[tuple[str, int]]:
    if isinstance(node, dict):
        children = node.get("children") or []
        if node.get("type") == "function_expression":
            yield str(node["value"]), len(children)
        for child in children:
            yield from _functions(child)
