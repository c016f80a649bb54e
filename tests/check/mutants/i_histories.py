"""Mutants of group I: calls and results in the conversation, and agents."""

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from tests.check.bench import Reference, mutant


class Misread(Reference):
    """Reads the history its own way."""

    def history(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        return list(messages)

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._generate(self.history(messages), *args, **kwargs)


def _with_ids(messages: Sequence[BaseMessage], ids: dict[str, str]) -> list[BaseMessage]:
    return [
        message.model_copy(update={"tool_call_id": ids[message.tool_call_id]})
        if isinstance(message, ToolMessage)
        else message
        for message in messages
    ]


def _called(messages: Sequence[BaseMessage]) -> list[str]:
    return [str(call["id"]) for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]


# --- I09 ---


@mutant("I09", "links results to calls by their order")
class ByOrder(Misread):
    def history(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        results = [message.tool_call_id for message in messages if isinstance(message, ToolMessage)]
        return _with_ids(messages, dict(zip(results, _called(messages), strict=True)))


@mutant("I09", "links each result to the other call")
class Crossed(Misread):
    def history(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        ids = _called(messages)
        return _with_ids(messages, dict(zip(ids, reversed(ids), strict=True)))


@mutant("I09", "does not say that a tool failed")
class AllWell(Misread):
    def history(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        return [
            message.model_copy(update={"status": "success"}) if isinstance(message, ToolMessage) else message
            for message in messages
        ]


# --- I10 ---


@mutant("I10", "never reads a result")
class Forgetful(Misread):
    def history(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        read = messages[: next((at for at, one in enumerate(messages) if isinstance(one, AIMessage)), len(messages))]
        return list(read)


@mutant("I10", "streams its answer in one piece")
class AtOnce(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        yield reduce(add, list(super()._stream(*args, **kwargs)))


# --- I14 ---


@mutant("I14", "takes calls only where tools are bound")
class NeedsTools(Misread):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        if _called(messages) and not kwargs.get("tools"):
            raise ValueError("Tools are required where the history has calls")
        return super()._generate(messages, *args, **kwargs)


@mutant("I14", "leaves out calls where no tools are bound")
class LosesCalls(Misread):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        if not kwargs.get("tools"):
            messages = [message for message in messages if not _called([message]) and message.type != "tool"]
        return super()._generate(messages, *args, **kwargs)


@mutant("I14", "drops parallel_tool_calls")
class AlwaysParallel(Reference):
    def bind_tools(self, tools: Any, *, parallel_tool_calls: Any = None, **kwargs: Any) -> Any:
        return super().bind_tools(tools, **kwargs)
