"""A model's settings and a call's parameters as plain JSON data: for traces, dumps and cache keys.

No secret and no memory address gets in: the first would leak, the second would never be met again.
"""

import dataclasses
import functools
import hashlib
import json
import re
import types
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from langchain_core.load import Serializable
from langchain_core.messages import BaseMessage, message_to_dict
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, SecretBytes, SecretStr

_PLAIN = (str, int, float, bool, type(None))
_DEEPEST = 12
"""How far nested data is followed; what lies deeper is named by its type."""


def is_secret(value: object) -> bool:
    """Whether `value` must not be shown anywhere."""
    return isinstance(value, SecretStr | SecretBytes)


KEY_LIKE = re.compile(r"(^|_)(api_?key|secret|password|access_token|auth_token)$|^authorization$", re.IGNORECASE)
"""Names of what is secret even where it is declared as plain text."""


def _is_hidden(name: object, value: object) -> bool:
    return is_secret(value) or (isinstance(value, str | bytes) and KEY_LIKE.search(str(name)) is not None)


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as JSON data that is the same for equal values in every process."""
    if isinstance(value, _PLAIN):
        return value
    if depth > _DEEPEST:
        return _name_of(type(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items() if not _is_hidden(key, item)}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, AbstractSet):
        return sorted((plain(item, depth + 1) for item in value), key=repr)
    return _object(value, depth + 1)


def stable_text(value: Any) -> str:
    """`value` as one line of JSON with its keys in order."""
    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False)


def _object(value: Any, depth: int) -> Any:
    if isinstance(value, BaseMessage):
        return plain(message_to_dict(value), depth)
    if isinstance(value, type):
        return _class(value)
    if isinstance(value, Serializable | BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return {"class": _name_of(type(value)), **plain(fields, depth)}
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"class": _name_of(type(value)), **plain(fields, depth)}
    if is_secret(value):
        return None
    if callable(value):
        return _function(value, depth)
    return _by_state(value, depth)


def _class(cls: type) -> Any:
    """A class that describes a tool or a schema, by what it describes; any other by its name."""
    if issubclass(cls, BaseModel) or hasattr(cls, "__total__") or hasattr(cls, "parse_obj"):
        return convert_to_openai_tool(cls)
    return _name_of(cls)


def _function(function: Callable[..., Any], depth: int) -> Any:
    """A function by its name, where that tells it from all others; else by what it does, too."""
    if isinstance(function, functools.partial):
        return [_function(function.func, depth), plain(function.args, depth), plain(function.keywords, depth)]
    if not hasattr(function, "__qualname__"):
        return _name_of(type(function))
    if "<" not in function.__qualname__ or not isinstance(function, types.FunctionType):
        return _name_of(function)
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return [_name_of(function), _digest(function.__code__), [value for value in cells if isinstance(value, _PLAIN)]]


def _digest(code: types.CodeType) -> str:
    constants = [_digest(one) if isinstance(one, types.CodeType) else plain(one) for one in code.co_consts]
    return hashlib.sha256(repr((code.co_code, code.co_names, constants)).encode()).hexdigest()[:16]


def _by_state(value: Any, depth: int) -> Any:
    text = repr(value)
    if " at 0x" not in text:
        return text
    return {"class": _name_of(type(value)), **plain(dict(getattr(value, "__dict__", {})), depth)}


def _name_of(thing: Any) -> str:
    return f"{getattr(thing, '__module__', None) or 'builtins'}.{thing.__qualname__}"
