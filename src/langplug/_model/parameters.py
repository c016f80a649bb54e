"""Which parameters a model has, and what becomes of those that it is given."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import get_annotations
from typing import Annotated, Any, get_args

from langchain_core.language_models import BaseChatModel
from pydantic import Field, Secret, SecretBytes, SecretStr

from langplug._env import EnvironmentValue
from langplug._suggest import did_you_mean

STANDARD = (
    "model",
    "temperature",
    "max_tokens",
    "timeout",
    "max_retries",
    "stop",
    "api_key",
    "base_url",
    "streaming",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
)
"""LangChain's standard chat-model parameters and the sampling ones that callers pass to any model.

A model without use for one accepts it, so that models can be swapped, and says that it ignores it.
"""

MaxRetries = Annotated[int, Field(ge=0)]
"""The type of `max_retries` where it is langplug's own setting; one of an author's with this name has another."""

NAME_FIELDS = ("model", "model_name", "model_id")
"""The fields under which models say which one they are."""

SECRET_NAMES = frozenset({"api_key"})
"""Standard parameters that are secret whether or not a model declares them."""

TOOL_KEYWORDS = frozenset({"tools", "tool_choice", "response_format", "strict", "parallel_tool_calls"})
"""What `bind_tools`, `with_structured_output` and `create_agent` send along with a call."""

_NOT_IDENTITY = frozenset({*BaseChatModel.model_fields, "ignored_params", "streaming", "token_counter"}) - {
    "output_version"
}
"""Fields that do not change what a model answers."""

_NOT_PER_CALL = frozenset({*BaseChatModel.model_fields, "ignored_params", "stop", "streaming"})
"""Fields that one call cannot change: they set up the machinery around it, or have a door of their own."""

_OURS = ("langplug._", "langchain_core.")
"""Where the modules of classes begin that are no author's."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a class of models declares.

    Attributes:
        identity: The fields that change what it answers; secrets, and those declared with `exclude=True`, left out.
        secrets: Its secret fields, and the environment variable of each.
        environment: The fields that come from the environment.
        fields: The field of each name that the constructor knows.
        per_call: The field of each name that a call may set.
        hidden: All names under which a secret may be given.
        shown: The fields that a repr shows.
    """

    identity: tuple[str, ...]
    secrets: dict[str, str]
    environment: dict[str, EnvironmentValue]
    fields: dict[str, str]
    per_call: dict[str, str]
    hidden: frozenset[str]
    shown: frozenset[str]


@cache
def parameters_of(cls: type[BaseChatModel]) -> Parameters:
    """The parameters of `cls`, read once."""
    fields = cls.model_fields
    environment = {
        name: field.default_factory
        for name, field in fields.items()
        if isinstance(field.default_factory, EnvironmentValue)
    }
    # By the annotation, not by the value: a field of `SecretStr | None` is secret while it is None, too.
    secret = {name for name, field in fields.items() if _holds_secret(field.annotation)}
    # What authors declare, such as a `name` of their own, and not langplug or langchain-core alone.
    authors = [
        base for base in cls.__mro__ if issubclass(base, BaseChatModel) and not base.__module__.startswith(_OURS)
    ]
    redeclared = {name for base in authors for name in get_annotations(base)}
    # A field may be set under its own name as well as under its alias (`populate_by_name`).
    names = {name: name for name in fields} | {
        alias: name
        for name, field in fields.items()
        for alias in (field.alias, field.validation_alias)
        if isinstance(alias, str)
    }
    if "model" not in names and (named := [name for name in NAME_FIELDS if name in fields]):
        names["model"] = named[0]  # as LangChain's other models let themselves be named
    return Parameters(
        identity=tuple(
            name
            for name, field in fields.items()
            if name not in _NOT_IDENTITY - redeclared and name not in secret and not field.exclude
        ),
        secrets={name: environment[name].name if name in environment else "" for name in secret},
        environment=environment,
        fields=names,
        per_call={name: field for name, field in names.items() if field not in _NOT_PER_CALL - redeclared},
        hidden=SECRET_NAMES | {name for name, field in names.items() if field in secret},
        shown=frozenset(name for name, field in fields.items() if field.repr) - {"metadata", "profile"},
    )


def _holds_secret(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes | Secret):
        return True
    return any(_holds_secret(inner) for inner in get_args(annotation))


@cache
def retries_itself(cls: type[BaseChatModel]) -> bool:
    """Whether an author has declared a `max_retries` of their own, which mostly goes to a client that tries again.

    Retries of retries would be many. `max_retries = 3`, without a type, only sets langplug's.
    """
    declared = [hints["max_retries"] for base in cls.__mro__ if "max_retries" in (hints := get_annotations(base))]
    # The last is that of every model. A subclass of a model that has given its own to langplug may write any type.
    return len(declared) > 1 and declared[-2] is not MaxRetries


def sort_call_arguments(
    cls: type[BaseChatModel], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Sort the keyword arguments of a call.

    Returns:
        Values for fields of the model, by field; standard parameters that it has no use for; what concerns tools and
        structured output.

    Raises:
        TypeError: If the model has no such parameter; the nearest one is named.
    """
    known = parameters_of(cls).per_call
    overrides: dict[str, Any] = {}
    ignored: list[str] = []
    tooling: dict[str, Any] = {}
    for name, value in given.items():
        # A field of the author's own may be called `tools` or `top_p`: it comes first.
        if name in known:
            overrides[known[name]] = value
        elif name in TOOL_KEYWORDS:
            tooling[name] = value
        elif name in STANDARD:
            ignored.append(name)
        else:
            raise unknown_parameter(cls, name, "a call", {*known, *TOOL_KEYWORDS})
    return overrides, ignored, tooling


def unknown_parameter(cls: type, name: str, where: str, known: Iterable[str]) -> TypeError:
    """The error for a parameter that the model does not have; `where` is the subject, such as "a call"."""
    names = sorted(set(known))
    hint = did_you_mean(name, [*names, *STANDARD]) or f" What it takes: {', '.join(names) or 'none'}."
    return TypeError(f"{cls.__name__} has no parameter {name!r} that {where} could set.{hint}")
