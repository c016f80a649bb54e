"""A conversation with tool calls, for a model that knows only text."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langplug._messages.openai import openai_turns
from langplug._tools.formats import ToolFormat
from langplug._tools.schemas import dump

Block: TypeAlias = dict[str, Any]

_CALL_BLOCKS = frozenset(
    {"tool_use", "tool_call", "invalid_tool_call", "function_call", "tool_call_chunk", "input_json_delta"}
)


def rewrite_history(messages: Sequence[BaseMessage], format: ToolFormat) -> list[BaseMessage]:  # noqa: A002
    """Return `messages` with calls and results said in words.

    * The calls of an `AIMessage`, broken ones too, stand behind its text.
    * The results that follow one another become one `HumanMessage`, in their order: of a `ToolMessage`, a
      `FunctionMessage`, or the `tool_result` blocks of a `HumanMessage` (Anthropic's way). Content in blocks becomes
      text; what is no text stays a block.
    * A result bears its tool's name. Where that does not tell which call it answers, the call and the result bear
      the call's id.

    All else is the same object as before, and no message is changed.

    Raises:
        ValueError: If a block that holds a call lacks what it needs; the error gives its path.
    """
    return _Rewriter(format).rewrite(messages)


def with_instructions(messages: Sequence[BaseMessage], text: str) -> list[BaseMessage]:
    """Return `messages` with `text` at the end of the first `SystemMessage`, or in a new one in front.

    An empty text changes nothing.
    """
    if not text:
        return list(messages)
    for n, message in enumerate(messages):
        if isinstance(message, SystemMessage):
            said = message.model_copy(update={"content": _appended(message.content, text, "\n\n")})
            return [*messages[:n], said, *messages[n + 1 :]]
    return [SystemMessage(text), *messages]


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    args: Mapping[str, Any] | str
    id: str


class _Rewriter:
    def __init__(self, tool_format: ToolFormat) -> None:
        self._format = tool_format
        self._names: dict[str, str] = {}  # of the tools that were called, by the calls' ids
        self._shown_ids: set[str] = set()
        self._results: list[str | Block] = []
        self._rewritten: list[BaseMessage] = []

    def rewrite(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        for n, message in enumerate(messages):
            if isinstance(message, ToolMessage):
                is_error = message.status == "error"
                self._result(message.name, message.tool_call_id, message.content, is_error=is_error)
            elif isinstance(message, FunctionMessage):
                self._result(message.name, "", message.content)
            elif isinstance(message, HumanMessage) and _has_block(message, "tool_result"):
                self._human(message)
            else:
                self._say(self._ai(message, f"$.messages[{n}]") if isinstance(message, AIMessage) else message)
        self._close_results()
        return self._rewritten

    def _say(self, message: BaseMessage) -> None:
        self._close_results()
        self._rewritten.append(message)

    def _ai(self, message: AIMessage, path: str) -> AIMessage:
        calls = _calls(message, path)
        if not calls:
            return message
        times = Counter(call.name for call in calls)
        self._names.update((call.id, call.name) for call in calls)
        self._shown_ids.update(call.id for call in calls if times[call.name] > 1)
        said = "\n".join(self._format.call(call.name, call.args, self._shown(call.id)) for call in calls)
        return _without_calls(message, said)

    def _shown(self, call_id: str) -> str:
        return call_id if call_id in self._shown_ids else ""

    def _result(self, name: str | None, call_id: str, content: object, *, is_error: bool = False) -> None:
        name = name or self._names.get(call_id, "")
        text, media = _split(content)
        self._results.append(self._format.result(name, text, self._shown(call_id) if name else call_id, is_error))
        self._results.extend(media)

    def _human(self, message: HumanMessage) -> None:
        rest: list[str | Block] = []
        for block in _blocks(message.content):
            if isinstance(block, dict) and block.get("type") == "tool_result":
                is_error = bool(block.get("is_error"))
                self._result(None, str(block.get("tool_use_id") or ""), block.get("content"), is_error=is_error)
            else:
                rest.append(block)
        if rest:
            self._say(message.model_copy(update={"content": rest}))

    def _close_results(self) -> None:
        results, self._results = self._results, []
        if not results:
            return
        if any(isinstance(result, dict) for result in results):
            blocks = [_text_block(result) if isinstance(result, str) else result for result in results]
            self._rewritten.append(HumanMessage(cast("list[str | Block]", blocks)))
        else:
            self._rewritten.append(HumanMessage("\n".join(map(str, results))))


def _calls(message: AIMessage, path: str) -> list[_Call]:
    """The calls of a message, in all the ways in which it may hold them, each once."""
    blocks = [block for block in _blocks(message.content) if _is_call(block)]
    if not (message.tool_calls or message.invalid_tool_calls or blocks or "function_call" in message.additional_kwargs):
        return []
    bare = message.model_copy(update={"content": blocks})
    calls = [call for turn in openai_turns(bare, path) for call in turn.get("tool_calls", ())]
    return [_Call(call["function"]["name"], _args(call["function"]["arguments"]), call["id"]) for call in calls]


def _args(text: str) -> dict[str, Any] | str:
    try:
        args = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return args if isinstance(args, dict) else text


def _without_calls(message: AIMessage, said: str) -> AIMessage:
    blocks = [block for block in _blocks(message.content) if not _is_call(block)]
    texts = [text for block in blocks if (text := _text(block)) is not None]
    content = "".join(texts) if len(texts) == len(blocks) else blocks
    kept = {
        key: value for key, value in message.additional_kwargs.items() if key not in ("tool_calls", "function_call")
    }
    return AIMessage(
        content=cast("Any", _appended(content, said, "\n")),
        additional_kwargs=kept,
        response_metadata=message.response_metadata,
        name=message.name,
        id=message.id,
    )


def _appended(content: str | Sequence[str | Block], text: str, glue: str) -> str | list[str | Block]:
    if isinstance(content, str):
        return f"{content}{glue}{text}" if content else text
    return [*content, _text_block(text)]


def _split(content: object) -> tuple[str, list[Block]]:
    """The text of a result, and what in it is no text."""
    blocks = _blocks(content)
    texts = [text for block in blocks if (text := _text(block)) is not None]
    return "\n".join(texts), [block for block in blocks if isinstance(block, dict) and _text(block) is None]


def _blocks(content: object) -> list[str | Block]:
    if isinstance(content, list):
        return [cast("str | Block", block) for block in content]
    return [str(content)] if content else []


def _text(block: str | Block) -> str | None:
    """What a block says, if it is one of text or of JSON."""
    if isinstance(block, str):
        return block
    if block.get("type") == "json":
        return dump(block.get("json"))
    return str(block.get("text") or "") if block.get("type") == "text" else None


def _text_block(text: str) -> Block:
    return {"type": "text", "text": text}


def _is_call(block: str | Block) -> bool:
    return isinstance(block, dict) and block.get("type") in _CALL_BLOCKS


def _has_block(message: BaseMessage, kind: str) -> bool:
    return any(isinstance(block, dict) and block.get("type") == kind for block in _blocks(message.content))
