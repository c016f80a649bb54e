"""What a fault may look at: the request, and the response to it in its other form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from langplug_backend.dialects.dialect import Dialect, ErrorObject, Rejection
from langplug_backend.request import ChatRequest
from langplug_backend.response import FakeResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The surroundings of a response.

    Attributes:
        dialect: The wire.
        request: The request.
        headers: Its headers, by lower-case name.
        body: Its JSON.
        build: The response as it should be: as a stream (True) or whole (False).
        memory: What faults keep from request to request, until `Backend.fault` is set anew.
    """

    dialect: Dialect
    request: ChatRequest
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    build: Callable[[bool], FakeResponse]
    memory: dict[str, Any]

    def error(self, refusal: Rejection, message: str | None = None) -> ErrorObject:
        """The dialect's error for a refusal, with a message in place of the dialect's own unless that is None."""
        error = self.dialect.errors[refusal]
        own = error.message.replace("{model}", self.request.model)
        return replace(error, message=own if message is None else message)
