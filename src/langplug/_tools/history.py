"""A conversation with tool calls, for a model that knows only text."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langplug._messages.blocks import CACHE_KEYS, CALL_BLOCKS, CALL_PIECES, keys_of_caller
from langplug._messages.openai import openai_turns
from langplug._parts import ToolCall
from langplug._tools.schema import dump
from langplug._tools.tool_format import ToolFormat

Block: TypeAlias = dict[str, Any]
Content: TypeAlias = str | list[str | Block]


def rewrite_history(messages: Sequence[BaseMessage], format: ToolFormat) -> list[BaseMessage]:  # noqa: A002
    """Return `messages` with calls and results written as text.

    * The calls of an `AIMessage`, broken ones too, stand after its text.
    * The results that follow one another become one `HumanMessage`, in their order: of a `ToolMessage`, a
      `FunctionMessage`, or the `tool_result` blocks of a `HumanMessage` (Anthropic's way). Content in blocks becomes
      text; what is not text stays a block.
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
            extended = message.model_copy(update={"content": _append(message.content, text, "\n\n")})
            return [*messages[:n], extended, *messages[n + 1 :]]
    return [SystemMessage(text), *messages]


class _Rewriter:
    """Rewrites one conversation, message by message."""

    def __init__(self, tool_format: ToolFormat) -> None:
        self._format = tool_format
        self._names: dict[str, str] = {}  # of the tools that were called, by the calls' ids
        self._shown_ids: set[str] = set()  # those of calls that their name does not tell apart
        self._results: list[str | Block] = []  # that follow one another, and are not in a message yet
        self._rewritten: list[BaseMessage] = []

    def rewrite(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        for n, message in enumerate(messages):
            if isinstance(message, ToolMessage):
                is_error = message.status == "error"
                keys = message.additional_kwargs
                self._add_result(message.name, message.tool_call_id, message.content, is_error=is_error, keys=keys)
            elif isinstance(message, FunctionMessage):
                self._add_result(message.name, "", message.content)
            elif isinstance(message, HumanMessage):
                self._add_human(message)
            else:
                self._add(self._write_calls(message, f"$.messages[{n}]") if isinstance(message, AIMessage) else message)
        self._end_results()
        return self._rewritten

    def _add(self, message: BaseMessage) -> None:
        self._end_results()
        self._rewritten.append(message)

    def _add_human(self, message: HumanMessage) -> None:
        """Add the results that a human message holds, and then what else it holds."""
        blocks = _blocks(message.content)
        rest: list[str | Block] = []
        for block in blocks:
            if isinstance(block, dict) and block.get("type") == "tool_result":
                is_error, call_id = bool(block.get("is_error")), str(block.get("tool_use_id") or "")
                self._add_result(None, call_id, block.get("content"), is_error=is_error, keys=block)
            else:
                rest.append(block)
        if len(rest) == len(blocks):
            self._add(message)  # the very same
        elif rest:
            self._add(message.model_copy(update={"content": rest}))

    def _add_result(
        self, name: str | None, call_id: str, content: object, *, is_error: bool = False, keys: Block | None = None
    ) -> None:
        """Add a result in words. Keys of its texts, such as `cache_control`, and those for caching in `keys`, stay."""
        name = name or self._names.get(call_id, "")
        texts: list[str] = []
        media: list[Block] = []
        kept = {key: value for key, value in (keys or {}).items() if key in CACHE_KEYS and value is not None}
        for block in _blocks(content):
            if (text := _text(block)) is not None:
                texts.append(text)
                kept |= keys_of_caller(block, None) if isinstance(block, dict) else {}
            elif isinstance(block, dict):
                media.append(block)
        shown_id = call_id if not name or call_id in self._shown_ids else ""
        result = self._format.result(name, "\n".join(texts), shown_id, is_error)
        self._results.append({**_text_block(result), **kept} if kept else result)
        self._results.extend(media)

    def _end_results(self) -> None:
        """Put the results that were collected into one message."""
        results, self._results = self._results, []
        if not results:
            return
        if any(isinstance(result, dict) for result in results):
            blocks = [_text_block(result) if isinstance(result, str) else result for result in results]
            self._rewritten.append(HumanMessage(cast("list[str | Block]", blocks)))
        else:
            self._rewritten.append(HumanMessage("\n".join(map(str, results))))

    def _write_calls(self, message: AIMessage, path: str) -> AIMessage:
        """The message with its calls in its text; the very same if it has none."""
        calls = _calls_of(message, path)
        if not calls:
            return message
        times = Counter(call.name for call in calls)
        self._names.update((str(call.id), str(call.name)) for call in calls)
        self._shown_ids.update(str(call.id) for call in calls if times[call.name] > 1)
        shown = [
            (str(call.name), call.args or {}, str(call.id) if call.id in self._shown_ids else "") for call in calls
        ]
        if self._format.calls is not None:
            written = self._format.calls(shown)
        else:
            written = "\n".join(self._format.call(*each) for each in shown)
        blocks = [block for block in _blocks(message.content) if not _is_call(block)]
        texts = [text for block in blocks if (text := _text(block)) is not None]
        keyed = any(isinstance(block, dict) and keys_of_caller(block, "assistant") for block in blocks)
        content = "".join(texts) if len(texts) == len(blocks) and not keyed else blocks
        kwargs = message.additional_kwargs
        return AIMessage(
            content=cast("Any", _append(content, written, "\n")),
            # the provider's own copy of the calls would be sent on by some
            additional_kwargs={key: kwargs[key] for key in kwargs if key not in ("tool_calls", "function_call")},
            response_metadata=message.response_metadata,
            name=message.name,
            id=message.id,
        )


def _calls_of(message: AIMessage, path: str) -> list[ToolCall]:
    """The calls of a message, in all the places where it may hold them, each once."""
    blocks = [block for block in _blocks(message.content) if _is_call(block)]
    if not (message.tool_calls or message.invalid_tool_calls or blocks or "function_call" in message.additional_kwargs):
        return []
    bare = message.model_copy(update={"content": blocks})
    calls: list[ToolCall] = []
    for call in (call for turn in openai_turns(bare, path) for call in turn.get("tool_calls", ())):
        args: Any = call["function"]["arguments"]
        try:
            parsed = json.loads(args)
        except (ValueError, RecursionError):
            parsed = None
        args = parsed if isinstance(parsed, dict) else args  # broken ones are shown as they were
        calls.append(ToolCall(name=call["function"]["name"], args=args, id=call["id"]))
    return calls


def _is_call(block: str | Block) -> bool:
    return isinstance(block, dict) and block.get("type") in (*CALL_BLOCKS, *CALL_PIECES)


def _append(content: str | Sequence[str | Block], text: str, separator: str) -> Content:
    if isinstance(content, str):
        return f"{content}{separator}{text}" if content else text
    return [*content, _text_block(text)]


def _blocks(content: object) -> list[str | Block]:
    if isinstance(content, list):
        return [cast("str | Block", block) for block in content]
    return [str(content)] if content else []


def _text(block: str | Block) -> str | None:
    """The text of a block, if it is one of text or of JSON."""
    if isinstance(block, str):
        return block
    if block.get("type") == "json":
        return dump(block.get("json"))
    return str(block.get("text") or "") if block.get("type") == "text" else None


def _text_block(text: str) -> Block:
    return {"type": "text", "text": text}
