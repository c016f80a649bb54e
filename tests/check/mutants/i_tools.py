"""Mutants of group I: binding, telling and choosing tools."""

from collections.abc import Iterator
from typing import Any

from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr
from tests.check.bench import Reference, mutant
from typing_extensions import is_typeddict


def function_dicts(bound: Any) -> list[Any]:
    return [tool["function"] for tool in bound.kwargs["tools"]]


# --- I01 ---


@mutant("I01", "knows no TypedDict")
class NoTypedDict(Reference):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        if any(map(is_typeddict, tools)):
            raise ValueError("Unsupported tool")
        return super().bind_tools(tools, **kwargs)


@mutant("I01", "takes an empty list of tools for a mistake")
class SomeTools(Reference):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        if not tools:
            raise IndexError("list index out of range")
        return super().bind_tools(tools, **kwargs)


@mutant("I01", "offers the tools that were bound last, also where none are")
class StickyTools(Reference):
    _bound: Any = PrivateAttr(default=None)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        bound: Any = super().bind_tools(tools, **kwargs)
        self._bound = bound.kwargs.get("tools") or self._bound
        return bound

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return super()._generate(messages, stop, run_manager, **{"tools": self._bound, **kwargs})


@mutant("I01", "is itself changed by bind_tools")
class ChangedByTools(Reference):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        self.metadata = {"tools": len(tools)}
        return super().bind_tools(tools, **kwargs)


@mutant("I01", "changes the tools that it is given")
class ChangesTools(Reference):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        bound = super().bind_tools(tools, **kwargs)
        for tool in tools:
            if isinstance(tool, dict):
                tool.pop("description", None)
        return bound


@mutant("I01", "loses the arguments of a JSON schema")
class NoSchemas(Reference):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        tools = [{**tool, "properties": {}} if isinstance(tool, dict) and "title" in tool else tool for tool in tools]
        return super().bind_tools(tools, **kwargs)


# --- I02, I12 ---


@mutant("I02", "drops tool_choice")
class DeafToChoice(Reference):
    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return super().bind_tools(tools, **kwargs)


@mutant("I02", "takes the name of a tool that there is not")
class AnyName(Reference):
    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return super().bind_tools(tools, tool_choice=None if tool_choice == "no_such_tool" else tool_choice, **kwargs)


@mutant("I02", "fails with a KeyError where a choice is a dict")
class NoDicts(Reference):
    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        if isinstance(tool_choice, dict):
            raise KeyError("name")
        return super().bind_tools(tools, tool_choice=tool_choice, **kwargs)


@mutant("I02", "takes a name for 'any'")
@mutant("I12", "calls any tool where one was named")
class NoNames(Reference):
    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return super().bind_tools(tools, tool_choice="any" if tool_choice == "clock" else tool_choice, **kwargs)


@mutant("I02", "takes 'none' for 'auto'")
@mutant("I12", "calls tools where that is forbidden")
class Unforbidden(Reference):
    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return super().bind_tools(tools, tool_choice=None if tool_choice == "none" else tool_choice, **kwargs)


@mutant("I12", "calls nothing where it must, in a stream")
class UnforcedStream(Reference):
    def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        choice = "none" if kwargs.get("tool_choice") == "none" else None
        return super()._astream(messages, stop, run_manager, **{**kwargs, "tool_choice": choice})


# --- I11 ---


@mutant("I11", "streams, whatever disable_streaming says")
class AlwaysStreams(Reference):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("disable_streaming", None)
        super().__init__(**kwargs)


@mutant("I11", "never streams, where it should not with tools")
class NeverStreams(Reference):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "disable_streaming": True})


# --- I13 ---


@mutant("I13", "loses the description of a tool")
class NoDescription(Reference):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        bound = super().bind_tools(tools, **kwargs)
        for function in function_dicts(bound):
            function["description"] = ""
        return bound


@mutant("I13", "knows no nested schemas")
class Flat(Reference):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        bound = super().bind_tools(tools, **kwargs)
        for function in function_dicts(bound):
            for schema in function["parameters"]["properties"].values():
                schema.pop("properties", None)
        return bound


@mutant("I13", "makes all arguments required")
class AllRequired(Reference):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        bound = super().bind_tools(tools, **kwargs)
        for function in function_dicts(bound):
            function["parameters"]["required"] = list(function["parameters"]["properties"])
        return bound


@mutant("I13", "drops strict")
class NotStrict(Reference):
    def bind_tools(self, tools: Any, *, strict: Any = None, **kwargs: Any) -> Any:
        return super().bind_tools(tools, **kwargs)


# --- I15 ---


@mutant("I15", "asks again where a forced call is declined")
class ForcesAgain(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        return super()._generate(*args, **kwargs) if "tool_choice" in kwargs else result


@mutant("I15", "raises where a forced call is declined in a stream")
class RaisesForRefusal(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in super()._stream(*args, **kwargs):
            if "tool_choice" in kwargs and "refusal" in str(chunk.message.content):
                raise ValueError("the model must call a tool")
            yield chunk


@mutant("I15", "loses the refusal of a forced call")
class DeclinesInSilence(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        if "tool_choice" in kwargs:
            result.generations[0].message.content = ""
        return result
