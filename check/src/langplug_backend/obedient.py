"""A model that does what it is told, so that it can be seen whether a server passes on what was asked for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from langplug_backend.reply import Call, Reply, split_words
from langplug_backend.request import ChatRequest

COUNTED = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"

SIMPLE: Final[Mapping[str, Any]] = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "string": "Paris"}
"""A value of each type that is no object; of null, and of what is unknown, null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obedient:
    """A reply that does what its request says: `Backend(reply=Obedient())`.

    It repeats what it is to "say exactly: ...", counts, calls the tool that it is shown, writes JSON by a schema or
    where the prompt speaks of JSON, and says "Hello." to all else.

    Attributes:
        pace: Seconds that each word takes, in a stream or not.
        most: How many words the answer has where it is to count to 1000.
    """

    pace: float = 0.0
    most: int = 150

    def __call__(self, request: ChatRequest) -> Reply:
        """The reply to a request."""
        answered = request.messages and request.messages[-1].result
        if request.tools and request.tool_choice != "none" and not answered:
            return Reply(calls=(called(request),))
        text = self._text(request)
        words = min(len(split_words(text)), request.max_tokens or self.most)
        return Reply(text=text, pace=self.pace, first=0.0 if request.streaming else self.pace * words)

    def _text(self, request: ChatRequest) -> str:
        form = request.params.get("response_format")
        schema = form.get("json_schema") if isinstance(form, dict) else None
        if isinstance(schema, dict) or "JSON" in request.text:
            wanted = (schema or {}).get("schema")
            return json.dumps(example_of(wanted) if isinstance(wanted, dict) else {"answer": "Paris"})
        if "1000" in request.text:
            return "more " * self.most
        if "Count" in request.text:
            return COUNTED
        return request.text.partition("exactly: ")[2] or "Hello."


def called(request: ChatRequest) -> Call:
    """A call of the tool that is named, or else of the first."""
    functions = [tool["function"] for tool in request.tools]
    chosen = [function for function in functions if function.get("name") == request.tool_choice] or functions
    return Call(name=chosen[0]["name"], args=example_of(chosen[0].get("parameters") or {}))


def example_of(schema: Mapping[str, Any]) -> Any:
    """A value that fits a plain schema: an object with all of its properties; of what is left open, the first."""
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("anyOf"):
        return example_of(schema["anyOf"][0])
    kinds = schema.get("type", "object")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "object":
        return {name: example_of(value) for name, value in (schema.get("properties") or {}).items()}
    return SIMPLE.get(kind)
