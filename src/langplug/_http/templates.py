"""Templates of requests: JSON values whose strings may be JMESPath expressions over what is known about the call.

A string that begins with `$` is an expression; `$$` begins a string with a plain `$`. An expression that finds nothing
vanishes from the mapping or list that it stands in, and so does a mapping or list that this leaves empty.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from string import Formatter
from typing import Any

from pydantic import SecretStr

from langplug._redaction import reveal, secrets_in
from langplug._stream.expressions import ExpressionError, compile_expression, roots
from langplug._suggest import did_you_mean

_NOTHING: Any = object()
"""What is left of an expression that found nothing; None may stand in a template, and is sent as null."""

KnownNames = Mapping[str, Collection[str]]
"""The names that an expression may look up, each with the names below it; with none if it may look up any there."""


class LazyMapping(Mapping[str, Any]):
    """Values that are made when they are first looked up: most templates need few of the things that they may use."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers = makers
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


# --- templates ---


def fill_template(template: Any, facts: Mapping[str, Any]) -> Any:
    """The template with its expressions replaced by what they find in `facts`; None if nothing is left of it.

    Raises:
        ExpressionError: If a function in an expression is given what it cannot take.
    """
    filled = _fill(template, facts)
    return None if filled is _NOTHING else filled


def _fill(template: Any, facts: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        expression = expression_in(template)
        if expression is None:
            return template.removeprefix("$")
        found = compile_expression(expression)(facts)
        return _NOTHING if found is None else found
    if isinstance(template, Mapping):
        entries = {key: _fill(value, facts) for key, value in template.items()}
        kept = {key: value for key, value in entries.items() if value is not _NOTHING}
        return kept if kept or not template else _NOTHING
    if isinstance(template, list | tuple):
        items = [item for one in template if (item := _fill(one, facts)) is not _NOTHING]
        return items if items or not template else _NOTHING
    return template


def expression_in(text: str) -> str | None:
    """The expression that a string of a template stands for; None if it is plain text."""
    return text[1:] if text.startswith("$") and not text.startswith("$$") else None


def expressions_in(template: Any, place: str) -> Iterator[tuple[str, str]]:
    """All expressions of a template, each with its place, such as `body.options.stop`."""
    if isinstance(template, str):
        if (expression := expression_in(template)) is not None:
            yield place, expression
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from expressions_in(value, f"{place}.{key}")
    elif isinstance(template, list | tuple):
        for number, value in enumerate(template):
            yield from expressions_in(value, f"{place}[{number}]")


def names_in(template: Any) -> set[str]:
    """The names that a template looks up, such as `stop`, or `anthropic` and `anthropic.tools`."""
    found = {pair for _, expression in expressions_in(template, "") for pair in roots(expression)}
    return {name for name, _ in found} | {f"{name}.{below}" for name, below in found if below}


def check_template(template: Any, place: str, known: KnownNames, *, in_braces: bool = False) -> None:
    """Check a template before it is used.

    Args:
        template: The template.
        place: Where it stands, for errors.
        known: What its expressions may look up.
        in_braces: Whether names are written `{name}` there, and not `$name`.

    Raises:
        ValueError: If an expression cannot be read, or looks up an unknown name. The error says where.
    """
    before, after = ("{{", "}}") if in_braces else ("$", "")
    for where, expression in expressions_in(template, place):
        try:
            compile_expression(expression)
        except ExpressionError as error:
            raise ValueError(f"{where}: {error}") from None
        for name, below in sorted(roots(expression)):
            _check_name(name, known, where, f"{before}{{}}{after}")
            if known[name]:
                _check_name(below, known[name], where, f"{before}{name}.{{}}{after}")


def _check_name(name: str, known: Collection[str], where: str, form: str) -> None:
    if name in known:
        return
    if name == "api_key":  # a body is shown in traces of gateways, and repeated in errors
        raise ValueError(
            f"{where}: the key is never part of a template. Send it in `headers`, as '{{api_key}}'. "
            "For an API that wants it in the query: query={'key': '$api_key'}."
        )
    hint = did_you_mean(name, known, form=form)
    names = ", ".join(form.format(one) for one in sorted(known))
    wrong = (
        f"there is no {form.format(name)}" if name else f"{form.format('').replace('.', '')} is not a value by itself"
    )
    raise ValueError(f"{where}: {wrong}.{hint} There are: {names}.")


# --- texts with placeholders ---


def placeholders(text: str, place: str) -> list[str]:
    """The names in braces, plain or dotted.

    Raises:
        ValueError: If the braces do not pair, or hold more than a name.
    """
    try:
        fields = [field for field in Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise ValueError(
            f"{place} is {text!r}: {error}. Write {{{{ and }}}} for braces that stand for themselves."
        ) from None
    for _, name, spec, conversion in fields:
        if not all(map(str.isidentifier, str(name).split("."))) or spec or conversion:
            raise ValueError(
                f"{place} is {text!r}; expected a name in its braces, such as {{model}} or {{metadata.user}}."
            )
    return [str(name) for _, name, _, _ in fields]


def interpolate(text: str, facts: Mapping[str, Any], quote: Callable[[str], str] = str) -> str | SecretStr | None:
    """The text with each `{name}` replaced by its value, quoted; None if one of them is None.

    With a secret in it, all of it is one.
    """
    pieces: list[str | SecretStr] = []
    for literal, name, _, _ in Formatter().parse(text):
        pieces.append(literal)
        if name is not None:
            value = compile_expression(name)(facts) if "." in name else facts[name]
            if value is None:
                return None
            if isinstance(value, SecretStr):
                pieces.append(SecretStr(quote(value.get_secret_value())))
            else:
                pieces.append(quote(str(value).lower() if isinstance(value, bool) else str(value)))
    if any(secrets_in(pieces)):
        return SecretStr("".join(reveal(pieces)))
    return "".join(map(str, pieces))
