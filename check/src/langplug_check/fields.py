"""What can be said of a model's fields without knowing its class: secrets, other values, where a value is kept."""

import re
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from langplug import Public, is_secret_name

MARKED_KEY = "sk-langplug-check-MARKER"
"""A key that is looked for wherever no secret may show."""

MASK = "**********"
"""What is shown in the place of a secret."""

_PUBLIC = get_args(Public[str])[1]

# A field of any other name may change the answer, and so belongs into the cache key. Names are all there is to go by: a
# class that calls its timeout "patience" fails B04, which is the lesser evil beside a cache that serves a wrong answer.
NEVER_IN_ANSWER = re.compile(
    r"(^|_)(streaming|stream_usage|timeout|retries|verbose|client|headers|proxy|proxies|organization|keep_alive|tokenizer"
    r"|token_counter|batch_size|concurrency|ignored_params)$|^(user|http_.*|retry_.*|validate_.*|lc_.*|include_response_headers)$"
)
"""Names of fields that change how an answer is fetched, billed or watched, and not what it says."""


def secret_fields(cls: type[BaseChatModel]) -> list[str]:
    """The fields that are declared as `SecretStr`."""
    return [name for name, field in cls.model_fields.items() if SecretStr in _types(field.annotation)]


def plain_secret_fields(cls: type[BaseChatModel]) -> list[str]:
    """The fields that are certainly named like secrets, and declared as plain text."""
    return [
        name
        for name, field in cls.model_fields.items()
        if is_secret_name(name, certain=True) and str in _types(field.annotation) and _PUBLIC not in field.metadata
    ]


def own_fields(cls: type[BaseChatModel]) -> dict[str, FieldInfo]:
    """The fields that are not langchain-core's."""
    return {name: field for name, field in cls.model_fields.items() if name not in BaseChatModel.model_fields}


def telling_fields(cls: type[BaseChatModel]) -> dict[str, FieldInfo]:
    """The fields that may change what an answer says, as far as their names and types tell."""
    secret = {*secret_fields(cls), *plain_secret_fields(cls)}
    return {
        name: field
        for name, field in own_fields(cls).items()
        if name not in secret and not NEVER_IN_ANSWER.search(name) and not field.exclude
    }


def argument_name(cls: type[BaseChatModel], name: str) -> str:
    """The constructor's name for a field: its alias, unless the class takes the field's own name too."""
    by_name = bool(cls.model_config.get("populate_by_name") or cls.model_config.get("validate_by_name"))
    return name if by_name else cls.model_fields[name].alias or name


def variants(field: FieldInfo, value: Any) -> Iterator[Any]:
    """Other values that a field may take, the most natural first. The class may refuse any of them."""
    if isinstance(value, bool):  # before int, which a bool is
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value + 0.25, value - 1, value / 2)
    elif isinstance(value, str):
        yield from (choice for choice in _choices(field.annotation) if choice != value)
        yield f"{value}-other"
    elif isinstance(value, list | tuple):
        yield [*value, "other"]
    elif isinstance(value, Mapping):
        yield {**value, "other": 1}
    elif value is None:
        yield from _choices(field.annotation)
        # Two ints: 1 is in bounds nearly everywhere, and 137 where a minimum is set.
        examples = ((bool, True), (int, 1), (int, 137), (float, 0.25), (str, "other"), (list, ["other"]))
        for kind, example in (*examples, (dict, {"other": 1})):
            if kind in _types(field.annotation):
                yield example


def _choices(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [one for part in get_args(annotation) for one in _choices(part) if _is_union(annotation)]


def _types(annotation: Any) -> set[Any]:
    """The types that an annotation allows: those of a union, and the plain ones of generics."""
    if _is_union(annotation):
        return {one for part in get_args(annotation) for one in _types(part)}
    return {get_origin(annotation) or annotation}


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def holds(value: Any, wanted: Any, depth: int = 4) -> bool:
    """Whether `wanted` is somewhere in `value`: in its items, `depth` levels down, or inside a `SecretStr`."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    # The type as well: True is 1, and 1 is 1.0.
    if type(value) is type(wanted) and value == wanted:
        return True
    if depth == 0 or isinstance(value, str | bytes):
        return False
    if isinstance(value, Mapping):
        return any(holds(one, wanted, depth - 1) for one in value.values())
    if isinstance(value, list | tuple | set):
        return any(holds(one, wanted, depth - 1) for one in value)
    return False
