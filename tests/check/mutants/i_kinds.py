"""Mutants of tools as applications have them, and of the arguments of calls."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import ChatResult
from tests.check.bench import Reference, mutant
from tests.check.mutants.c_carried import Changes


@mutant("I17", "reads the first block of a tool's result")
class FirstBlock(Reference):
    def _generate(self, messages: Sequence[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        told = [
            message.model_copy(update={"content": message.content[:1]}) if isinstance(message, ToolMessage) else message
            for message in messages
        ]
        return super()._generate(told, *args, **kwargs)


class Offers(Reference):
    """Offers what `offer` makes of each tool."""

    def offer(self, tool: Any) -> Any:
        raise NotImplementedError

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return super().bind_tools([self.offer(tool) for tool in tools], **kwargs)


def _described(name: str, properties: Any) -> dict[str, Any]:
    return {"title": name, "description": "A tool.", "type": "object", "properties": properties}


@mutant("I18", "knows arguments as classes alone")
class ClassesOnly(Offers):
    def offer(self, tool: Any) -> Any:
        return _described(tool.name, {}) if isinstance(tool.args_schema, dict) else tool


@mutant("I19", "offers all that a tool's function takes")
class OffersAll(Offers):
    def offer(self, tool: Any) -> Any:
        return _described(tool.name, tool.args_schema.model_json_schema()["properties"])


@mutant("I20", "takes every dict for a function")
class EveryDict(Offers):
    def offer(self, tool: Any) -> Any:
        return _described(tool["name"], {}) if isinstance(tool, dict) else tool


@mutant("I21", "gives tools names without dashes")
class NoDashes(Offers):
    def offer(self, tool: Any) -> Any:
        return tool.model_copy(update={"name": tool.name.replace("-", "_")})


def _calls(result: ChatResult) -> list[Any]:
    message: Any = result.generations[0].message
    return list(message.tool_calls)


def _in_calls(result: ChatResult, change: Callable[[Any], Any]) -> None:
    for call in _calls(result):
        call["args"] = {name: change(value) for name, value in call["args"].items()}


@mutant("I22", "reads numbers as floats")
class Floats(Changes):
    def change(self, result: ChatResult) -> None:
        _in_calls(result, lambda value: float(value) if type(value) is int else value)


@mutant("I22", "leaves out what is null")
class NoNulls(Changes):
    def change(self, result: ChatResult) -> None:
        _in_calls(result, lambda value: "" if value is None else value)


@mutant("I23", "sorts its calls by their texts")
class SortsByText(Changes):
    def change(self, result: ChatResult) -> None:
        message: Any = result.generations[0].message
        message.tool_calls = sorted(_calls(result), key=lambda call: str(call["args"]))
