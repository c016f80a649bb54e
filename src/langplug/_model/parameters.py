"""Which parameters a model has, and what becomes of those that it is given."""

import enum
import inspect
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from operator import is_
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from weakref import WeakKeyDictionary

from langchain_core.language_models import BaseChatModel
from pydantic import AliasChoices, AliasPath, Field, Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from langplug._env import EnvironmentValue
from langplug._errors import IgnoredParameterWarning
from langplug._log import WARNED, log
from langplug._model.annotations import annotations_of
from langplug._redaction import conceal
from langplug._secrets import is_public, is_secret_name
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
Concurrency = Annotated[int | None, Field(gt=0)]
"""The type of `max_retries` where it is langplug's own setting; one of an author's with this name has another."""

NAME_FIELDS = ("model", "model_name", "model_id")
"""The fields under which models say which one they are."""

TRACED = ("temperature", "max_tokens")
"""Parameters that LangSmith shows by themselves."""

SECRET_NAMES = frozenset({"api_key"})
"""Standard parameters that are secret whether or not a model declares them."""

TOOL_KEYWORDS = frozenset({"tools", "tool_choice", "response_format", "strict", "parallel_tool_calls"})
"""What `bind_tools`, `with_structured_output` and `create_agent` send along with a call."""

_NOT_IDENTITY = frozenset(
    {*BaseChatModel.model_fields, "concurrency", "ignored_params", "streaming", "token_counter"} - {"output_version"}
)
"""Fields that do not change what a model answers."""

_NOT_PER_CALL = frozenset({*BaseChatModel.model_fields, "concurrency", "ignored_params", "stop", "streaming"})
"""Fields that one call cannot change: they set up the machinery around it, or have a door of their own."""

_NAMED_HERE = {
    "openai_api_base": "base_url",
    "api_base": "base_url",
    "azure_endpoint": "base_url",
    "openai_api_key": "api_key",
    "token": "api_key",
    "model_kwargs": "extra_body",
    "request_timeout": "timeout",
    "max_completion_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_length": "max_tokens",
    "stop_sequences": "stop",
    "context_length": "context_window",
    "repetition_penalty": "repeat_penalty",
    "model_path": "path",
    "deployment_name": "model",
    "azure_deployment": "model",
    "engine": "model",
    "openai_proxy": "proxy",
    "http_client": "session",
    "http_async_client": "session",
    "default_headers": "headers",
    "extra_headers": "headers",
    "max_concurrency": "max_connections",
}
"""What other libraries call a parameter, and what the models here that have it call it."""

_SAID_ELSEWHERE = {
    "stream_usage": "Usage is always asked for, and reported where the server knows it.",
    "stream_options": "Usage is always asked for, and reported where the server knows it.",
    "organization": "Send it as a header: `headers={'OpenAI-Organization': ...}`.",
    "openai_organization": "Send it as a header: `headers={'OpenAI-Organization': ...}`.",
    "project": "Send it as a header: `headers={'OpenAI-Project': ...}`.",
    "openai_api_version": "Give the address that is versioned, as in `base_url='https://host/openai/v1'`.",
    "api_version": "Give the address that is versioned, as in `base_url='https://host/openai/v1'`.",
    "default_query": "Parameters in the URL are not supported: send `headers`, or fields of `extra_body`.",
    "use_responses_api": 'Only `ChatEndpoint` speaks it: with `api="responses"`.',
    "azure_ad_token": "Give a function that returns it, which may expire: `auth=...`.",
    "azure_ad_token_provider": "Give it as `auth=...`.",
    "tiktoken_model_name": "Give a function that counts: `token_counter=...`.",
}
"""What `ChatOpenAI` and its kin take, and what to do instead with a model of the same wire."""

_SERVERS_OWN = frozenset(
    {
        "top_k",
        "min_p",
        "top_a",
        "typical_p",
        "repetition_penalty",
        "repeat_penalty",
        "length_penalty",
        "no_repeat_ngram_size",
    }
    | {
        "min_tokens",
        "ignore_eos",
        "skip_special_tokens",
        "best_of",
        "use_beam_search",
        "logit_bias",
        "mirostat",
        "tfs_z",
    }
    | {"guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "grammar", "regex"}
    | {"chat_template_kwargs", "enable_thinking", "thinking", "thinking_budget", "reasoning", "include_reasoning"}
    | {"num_ctx", "num_predict", "keep_alive", "options", "cache_prompt", "id_slot", "user", "store", "service_tier"}
    | {"web_search_options", "modalities", "audio", "prediction", "verbosity", "safe_prompt", "priority", "provider"}
)
"""What some servers take in a body besides OpenAI's parameters."""

_NO_CALLER = frozenset(
    {"langplug", "langplug_check", "langchain", "langchain_core", "langchain_classic", "langgraph", "pydantic"}
    | {"asyncio", "concurrent", "threading", "contextlib", "contextvars"}
)
"""Packages whose code hands on what somebody else gave."""

_STANDARD_TESTS = "langchain_tests"
"""They give every model the standard parameters, which no author asked for and none can leave out."""

_NOT_READING = ("langchain_core.", "pydantic.", "builtins", "abc", "typing")
"""Where classes are from that read no setting of an author's."""

_warned: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()

_OURS = ("langplug._", "langchain_core.")
"""Where the modules of classes begin that are no author's."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a class of models declares.

    Attributes:
        identity: The fields that change what it answers, and that traces show; no secrets.
        excluded: The fields that its author declares with `exclude=True`: part of the key, and shown in no trace.
        secrets: Its secret fields, and the environment variable of each.
        environment: The fields that come from the environment.
        fields: The field of each name that the constructor knows.
        per_call: The field of each name that a call may set.
        hidden: All names under which a secret may be given.
        masked: The other fields whose names sound like secrets: part of the key, and shown nowhere.
        shown: The fields that a repr shows.
        named_by: The attributes that may hold the model's name, the first that does counting.
        traced: The attribute of each parameter that LangSmith shows by itself, as far as the model has it.
    """

    identity: tuple[str, ...]
    excluded: tuple[str, ...]
    secrets: dict[str, str]
    environment: dict[str, EnvironmentValue]
    fields: dict[str, str]
    per_call: dict[str, str]
    hidden: frozenset[str]
    masked: frozenset[str]
    shown: frozenset[str]
    named_by: tuple[str, ...]
    traced: dict[str, str]


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
    secret = {name for name, field in fields.items() if holds_secret(field.annotation)}
    # What authors declare, mixins included, such as a `name` of their own, and not langplug or langchain-core alone.
    authors = [base for base in cls.__mro__ if not base.__module__.startswith(_OURS)]
    # `concurrency = 1` in a class body is langplug's setting still, by the annotation that it was given there.
    redeclared = {name for base in authors for name, hint in annotations_of(base).items() if hint is not Concurrency}
    telling = [name for name in fields if name not in _NOT_IDENTITY - redeclared and name not in secret]
    # Of those that are hidden, ours say how to reach the model: `auth` and `session`.
    ours = {name for base in cls.__mro__ if base not in authors for name in annotations_of(base)} - redeclared
    # A field may be set under its own name as well as under its alias (`populate_by_name`).
    names = {name: name for name in fields} | {
        alias: name for name, field in fields.items() for alias in _aliases(field)
    }
    if "model" not in names and (named := [name for name in NAME_FIELDS if name in fields]):
        names["model"] = named[0]  # as LangChain's other models let themselves be named
    return Parameters(
        identity=tuple(name for name in telling if not fields[name].exclude),
        excluded=tuple(name for name in telling if fields[name].exclude and name not in ours),
        secrets={name: environment[name].name if name in environment else "" for name in secret},
        environment=environment,
        fields=names,
        per_call={
            name: field
            for name, field in names.items()
            if field not in _NOT_PER_CALL - redeclared and field not in _fixed_in(cls)
        },
        hidden=SECRET_NAMES | {name for name, field in names.items() if field in secret},
        masked=frozenset(
            name
            for name, field in fields.items()
            if name not in secret
            and any(map(is_secret_name, names_of(name, field)))
            and not is_public(field.metadata)
            and not _is_choice(field.annotation)
        ),
        shown=frozenset(name for name, field in fields.items() if field.repr) - {"metadata", "profile"},
        named_by=tuple(dict.fromkeys(held for name in NAME_FIELDS if (held := _attribute(cls, names, name)))),
        traced={name: held for name in TRACED if (held := _attribute(cls, names, name))},
    )


def check_aliases(cls: type[BaseChatModel]) -> None:
    """Check the names under which the fields of a class may be given.

    Raises:
        TypeError: If one is a path into another argument.
    """
    for name, field in cls.model_fields.items():
        alias = field.validation_alias
        if any(isinstance(one, AliasPath) for one in (alias.choices if isinstance(alias, AliasChoices) else [alias])):
            raise TypeError(
                f"{cls.__qualname__}.{name}: an AliasPath takes the value out of another argument, which a parameter "
                "of a call cannot. Give names alone: `validation_alias=AliasChoices('one_name', 'another')`."
            )


def _fixed_in(cls: type) -> frozenset[str]:
    """The fields that are settled when a model of this class is made."""
    fixed: frozenset[str] = getattr(cls, "__langplug_fixed__", frozenset())
    return fixed


def _aliases(field: FieldInfo) -> Iterable[str]:
    """The names besides its own under which a field may be given."""
    for alias in (field.alias, field.validation_alias):
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        yield from (choice for choice in choices if isinstance(choice, str))


def _attribute(cls: type, fields: Mapping[str, str], name: str) -> str | None:
    """The attribute that holds what goes by `name`: a field, by its name or an alias, a property or a constant."""
    if name in fields:
        return fields[name]
    known = inspect.getattr_static(cls, name, None)
    if isinstance(known, property | cached_property):
        getter = known.fget if isinstance(known, property) else known.func
        # `model` may as well be the weights, which a mere look at the name must not load.
        says = getattr(getter, "__annotations__", {}).get("return")
        says_text = says == "str" or (isinstance(says, type) and issubclass(says, str | enum.Enum))
        return name if name != "model" or says_text else None
    return name if isinstance(known, str | int | float | enum.Enum) else None


def name_text(value: Any) -> str | None:
    """A model's name as plain text, of an enumeration's member its value; None if there is none in it.

    Checkpointers and tracing tools write it down, and would write `<Model.SMALL: 'acme-1'>`.
    """
    if issubclass(type(value), enum.Enum):
        value = value._value_
    return str.__str__(value) if isinstance(value, str) and value else None


def read_attribute(model: BaseChatModel, name: str) -> Any:
    """What `model` holds as `name`, or None if its author's property fails: a trace is never worth an error."""
    try:
        return getattr(model, name)
    except Exception:  # noqa: BLE001 - see above
        return None


def names_of(name: str, field: FieldInfo) -> set[str]:
    """All that a field is called: its name, its aliases, and the environment variable that it comes from."""
    variable = {field.default_factory.name} if isinstance(field.default_factory, EnvironmentValue) else set[str]()
    return {name, *_aliases(field)} | variable


def _is_choice(annotation: Any) -> bool:
    """Whether a value of this type is one of some that the class names, and so no secret."""
    if get_origin(annotation) in (Union, UnionType):
        return all(map(_is_choice, get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, bool | NoneType | enum.Enum):
        return True
    return get_origin(annotation) is Literal


def holds_secret(annotation: Any) -> bool:
    """Whether values of this type hide themselves, or hold some that do."""
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes | Secret):
        return True
    return any(holds_secret(inner) for inner in get_args(annotation))


@cache
def retries_itself(cls: type[BaseChatModel]) -> bool:
    """Whether an author has declared a `max_retries` of their own, which mostly goes to a client that tries again.

    Retries of retries would be many. `max_retries = 3`, without a type, only sets langplug's. That of LangChain's page
    on custom models goes nowhere: where hooks answer and no code of theirs reads it, it is langplug's as well.
    """
    declared = [hints["max_retries"] for base in cls.__mro__ if "max_retries" in (hints := annotations_of(base))]
    # The last is that of every model. A subclass of a model that has given its own to langplug may write any type.
    if len(declared) < 2 or declared[-2] is MaxRetries:
        return False
    if getattr(cls, "__langplug_source__", "respond") == "respond":
        return True
    bodies = [
        vars(base).values() for base in cls.__mro__ if not base.__module__.startswith(("langplug.", *_NOT_READING))
    ]
    waiting = [getattr(inspect.unwrap(getattr(one, "fget", one)), "__code__", None) for body in bodies for one in body]
    while waiting:
        code = waiting.pop()
        if code is not None:
            if not {"max_retries", "model_dump", "dict", "__dict__"}.isdisjoint(
                {*code.co_names, *map(str, code.co_consts)}
            ):
                return True
            waiting += filter(inspect.iscode, code.co_consts)
    return False


def sort_call_arguments(
    cls: type[BaseChatModel], given: Mapping[str, Any], takes: Callable[[str], bool]
) -> tuple[dict[str, Any], list[str], dict[str, Any], dict[str, Any]]:
    """Sort the keyword arguments of a call.

    Args:
        cls: The class of models.
        given: The arguments, by name.
        takes: Tells of a name that no field has whether the model takes it all the same.

    Returns:
        Values for fields of the model, by field; standard parameters that it has no use for; what concerns tools and
        structured output; what it takes besides.

    Raises:
        TypeError: If the model has no such parameter; the nearest one is named.
    """
    known = parameters_of(cls).per_call
    overrides: dict[str, Any] = {}
    ignored: list[str] = []
    tooling: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in given.items():
        # A field of the author's own may be called `tools` or `top_p`: it comes first.
        if name in known:
            overrides[known[name]] = value
        elif name in TOOL_KEYWORDS:
            tooling[name] = value
        elif name in _fixed_in(cls):
            raise TypeError(
                f"{cls.__name__}: no call can change {name!r}. Give it to the constructor of a model of its own."
            )
        elif takes(name):
            others[name] = value
        elif name in STANDARD:
            ignored.append(name)
        else:
            raise unknown_parameter(cls, name, "a call", {*known, *TOOL_KEYWORDS})
    return overrides, ignored, tooling, others


def conceal_arguments(
    cls: type[BaseChatModel], given: Mapping[str, Any], *, is_plain: Callable[[str], bool] = lambda _: False
) -> dict[str, Any]:
    """What is given to a constructor or a call, with secrets as texts that no repr shows.

    It is done in the first frame of ours, as error trackers show what variables hold. Of what a class declares, the
    declaration counts (`Public`, `SecretStr`), of all else the name.

    Args:
        cls: The class of models.
        given: The arguments, by name.
        is_plain: Tells which texts are no secrets although their names say so.
    """
    declared = parameters_of(cls)
    concealed: dict[str, Any] = {}
    for name, value in given.items():
        if name == "tools" and type(value) is list:
            # Functions are described by schemas, full of names; what runs at a provider has URLs and headers.
            runs_there = [type(tool) is dict and tool.get("type") != "function" for tool in value]
            kept = [
                conceal(tool, is_plain=is_plain) if there else tool
                for tool, there in zip(value, runs_there, strict=True)
            ]
            concealed[name] = value if all(map(is_, kept, value)) else kept
        elif name in TOOL_KEYWORDS:
            concealed[name] = value
        else:
            field = declared.fields.get(name)
            secret = is_secret_name(name) if field is None else field in declared.masked or field in declared.secrets
            concealed[name] = conceal(value, secret=secret, is_plain=is_plain)
    return concealed


def unknown_parameter(cls: type[BaseChatModel], name: str, where: str, known: Iterable[str]) -> TypeError:
    """The error for a parameter that the model does not have; `where` is the subject, such as "a call"."""
    names = sorted(set(known))
    hint = _better_place(name, names)
    better = _NAMED_HERE.get(name)
    if not hint and better in parameters_of(cls).fields:
        hint = f" It is called `{better}` here, and is set when the model is made."
    if not hint and name not in _SERVERS_OWN:  # no slips of the pen: `repetition_penalty` is not `presence_penalty`
        hint = did_you_mean(name, [*names, *STANDARD])
    hint = hint or f" What it takes: {', '.join(names) or 'none'}."
    return TypeError(f"{cls.__name__} has no parameter {name!r} that {where} could set.{hint}")


def _better_place(name: str, known: Collection[str]) -> str:
    """Where the value of a parameter that is not among those `known` may go all the same, with a space before it."""
    better = _NAMED_HERE.get(name)
    if better in known:
        return f" It is called `{better}` here."
    if "extra_body" in known and name in _SAID_ELSEWHERE:
        return f" {_SAID_ELSEWHERE[name]}"
    if "extra_body" in known and name in _SERVERS_OWN:
        return f" If the server knows it, send it along: `extra_body={{{name!r}: ...}}`."
    return ""


def warn_of_ignored(cls: type[BaseChatModel], names: Iterable[str], why: str = "it has no such parameter") -> None:
    """Warn that `cls` has no use for these standard parameters, of each once, at the line that gave them.

    The log has it too: a warning is for whoever writes the call, and a log for whoever runs it.
    """
    warned = _warned.setdefault(cls, set())
    for name in names:
        if name in warned:
            continue
        level, package = _caller()
        if package == _STANDARD_TESTS:
            continue
        told = f"{cls.__name__} ignores {name!r}: {why}.{_better_place(name, parameters_of(cls).fields)}"
        warnings.warn(
            f"{told} `adaptations='silent'` turns this warning off.", IgnoredParameterWarning, stacklevel=level
        )
        warned.add(name)  # only now: where warnings are errors, each try is one
        log.warning(told, extra=WARNED)


def _caller() -> tuple[int, str]:
    """Where the code begins that is not ours nor LangChain's: frames above whoever calls this, and its package."""
    level, frame = 0, inspect.currentframe()  # `skip_file_prefixes` of `warnings.warn` needs Python 3.12
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in _NO_CALLER:
            return level, package
        level, frame = level + 1, frame.f_back
    return 2, ""  # a thread that does not say who began it
