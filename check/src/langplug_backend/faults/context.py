"""What a fault may look at: the request, and the answer to it in another form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langplug_backend.dialects.dialect import Dialect
from langplug_backend.request import Asked
from langplug_backend.response import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The surroundings of an answer.

    Attributes:
        dialect: The wire.
        asked: The request.
        headers: Its header lines.
        body: Its JSON.
        build: The answer as it should be, as a stream or whole.
        memory: What a fault keeps from request to request.
    """

    dialect: Dialect
    asked: Asked
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    build: Callable[[bool], Answer]
    memory: dict[Any, Any]
