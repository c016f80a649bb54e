"""LangChain messages as OpenAI chat-completion messages.

The shapes are those of https://platform.openai.com/docs/api-reference/chat/create and of the local servers that follow
it (llama.cpp, vLLM, SGLang, Ollama). The content blocks are in `blocks`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langplug._messages.blocks import (
    CACHE_KEYS,
    Block,
    ContentPart,
    Holder,
    join_texts,
    keys_of_caller,
    need,
    text_part,
    write_block,
)
from langplug._messages.carried import CARRIED, add_carried, carried_in
from langplug._messages.kept_reasoning import KeepReasoning, ReasoningAs, add_reasoning, first_kept, select_reasoning
from langplug._messages.media import MediaIn, move_media_to_user
from langplug._messages.results import WriteBlock, write_result_block

Content: TypeAlias = str | list[ContentPart]
OpenAIMessage: TypeAlias = dict[str, Any]
Role: TypeAlias = Holder | Literal["tool"]


def to_openai_messages(
    messages: Sequence[BaseMessage],
    keep: KeepReasoning = "never",
    *,
    reasoning_as: ReasoningAs = "reasoning_content",
    media_in: MediaIn = "any",
    origin: str = "",
) -> list[OpenAIMessage]:
    """Return `messages` as OpenAI chat-completion message dicts; the messages stay as they are.

    * Content of text alone becomes one string: an `AIMessage`'s with nothing between the pieces, as they are pieces of
      one text; that of other messages with a newline between them, as langchain-core does it. Where a part bears a key
      of the caller's, such as `cache_control`, the parts stay apart: the key is sent on that very part.
    * `cache_control` in a message's `additional_kwargs` is sent on the message, as LiteLLM reads it.
    * An `AIMessage` without text has the content `""`: every server takes it, while templates trip over None. Its tool
      calls are those of `tool_calls`, `invalid_tool_calls` (their arguments as they came) and its content blocks,
      each id once. What the provider's own tools did has no counterpart and is left out; so is reasoning, except
      what is to `keep`: that goes where `reasoning_as` says. A turn with calls then has the field even if nothing was
      thought: DeepSeek's API and Moonshot refuse it without.
    * What an earlier answer carries for its server (signatures, encrypted reasoning; see `carried`) goes back to that
      server, the `origin`, as it came. Only `keep="current"` leaves out what belongs to the reasoning of older turns.
    * A `ToolMessage` with `status="error"` says so: its text begins with "Error: ", unless it does with "error" anyway.
    * `tool_result` blocks of a `HumanMessage` (Anthropic's way) become tool messages before it, as OpenAI wants them.
    * What has no counterpart in the result of a tool is said in words there: it must not end an agent.
    * With `media_in="user"`, images, audio and files of results and answers move into a message of the user after them.
    * A `FunctionMessage`, and the `function_call` that it answers, become a tool message and a tool call: the role
      "function" is deprecated, and chat templates do not know it.

    Raises:
        ValueError: If a message or a content block has no counterpart, or lacks what it needs. The error gives its
            path, such as `$.messages[2].content[0]`, its type, and what is accepted.
    """
    kept, start = select_reasoning(messages, keep), first_kept(messages, keep)
    turns: list[OpenAIMessage] = []
    for n, message in enumerate(messages):
        for turn in openai_turns(message, f"$.messages[{n}]"):
            if CARRIED in message.additional_kwargs and turn["role"] == "assistant":
                record = carried_in(message, origin)
                add_carried(turn, record, with_reasoning=keep != "current" or n >= start)
            if turn["role"] == "assistant" and (n in kept or (n >= start and "tool_calls" in turn)):
                add_reasoning(turn, kept.get(n, ""), reasoning_as)
            turns.append(turn)
    return move_media_to_user(turns) if media_in == "user" else turns


def openai_turns(  # noqa: C901 - a table of kinds
    message: BaseMessage, path: str, write: WriteBlock = write_block
) -> Iterator[OpenAIMessage]:
    """Yield the OpenAI messages of one message: as a rule one, but several for the results that a user's message holds.

    Args:
        message: The message; it stays as it is.
        path: Its place in the conversation, for errors.
        write: Writes the blocks, for wires that take more of them than OpenAI's.

    Raises:
        ValueError: As `to_openai_messages` does.
    """
    common: dict[str, Any] = {"name": message.name} if message.name else {}
    common |= {key: given for key in CACHE_KEYS if (given := message.additional_kwargs.get(key)) is not None}
    if isinstance(message, SystemMessage):
        is_developer = message.additional_kwargs.get("__openai_role__") == "developer"  # langchain-openai's mark
        yield {
            "role": "developer" if is_developer else "system",
            **common,
            "content": _content(message.content, path, None, write),
        }
    elif isinstance(message, HumanMessage):
        has_results = False
        for block, where in _blocks(message.content, path):
            if block.get("type") == "tool_result":
                has_results = True
                result = _content(block.get("content") or "", where, "tool", write)
                call_id = need(block, "tool_use_id", str, where)
                result = _mark_as_error(result) if block.get("is_error") else result
                keys = keys_of_caller(block, None)
                yield {"role": "tool", **keys, "content": result, "tool_call_id": call_id}
        content = _content(message.content, path, "user", write)
        if content or not has_results:  # of a message of results alone nothing is left
            yield {"role": "user", **common, "content": content}
    elif isinstance(message, AIMessage):
        turn: OpenAIMessage = {
            "role": "assistant",
            **common,
            "content": _content(message.content, path, "assistant", write),
        }
        if refusal := message.additional_kwargs.get("refusal"):
            turn["refusal"] = refusal
        if calls := _tool_calls(message, path):
            turn["tool_calls"] = calls
        yield turn
    elif isinstance(message, ToolMessage):
        content = _content(message.content, path, "tool", write)
        content = _mark_as_error(content) if message.status == "error" else content
        yield {"role": "tool", **common, "content": content, "tool_call_id": message.tool_call_id}
    elif isinstance(message, FunctionMessage):
        content = _content(message.content, path, "tool", write)
        yield {"role": "tool", **common, "content": content, "tool_call_id": _function_id(message.name)}
    elif isinstance(message, ChatMessage):
        role = {"human": "user", "ai": "assistant"}.get(message.role, message.role)
        yield {"role": role, **common, "content": _content(message.content, path, None, write)}
    else:
        accepted = "SystemMessage, HumanMessage, AIMessage, ToolMessage, FunctionMessage, ChatMessage"
        raise ValueError(
            f"{path} is a {type(message).__name__}, which OpenAI messages cannot hold; accepted: {accepted}."
        )


def _content(content: object, path: str, role: Role | None, write: WriteBlock) -> Content:
    """The content of a message: one string where all of it is text, else its parts."""
    if isinstance(content, str):
        return content
    parts: list[ContentPart] = []
    for block, where in _blocks(content, path):
        written = write_result_block(block, where, write) if role == "tool" else write(block, where, role)
        if written is not None:
            parts.append(written)
    return join_texts(parts, role)


def _blocks(content: object, path: str) -> Iterator[tuple[Block, str]]:
    """Yield the blocks of a message's content, each with its path; strings as text blocks."""
    for n, block in enumerate(cast("list[object]", content) if isinstance(content, list) else [content]):
        where = f"{path}.content[{n}]"
        if isinstance(block, str):
            yield text_part(block), where
        elif isinstance(block, dict):
            yield cast("Block", block), where
        else:
            raise ValueError(f"{where} is {block!r}; expected a string or a dict with a 'type'.")


def _mark_as_error(content: Content) -> Content:
    """Say that a tool failed: OpenAI's wire has no other way to show it to the model."""
    text = content if isinstance(content, str) else str(content[0].get("text", ""))
    if text.lstrip().casefold().startswith("error"):
        return content
    return f"Error: {content}" if isinstance(content, str) else [text_part("Error:"), *content]


def _tool_calls(message: AIMessage, path: str) -> list[ContentPart]:
    """The calls of a message, in all the places where it may hold them; of two with one id, the first."""
    calls = [_call(call["id"], call["name"], call["args"]) for call in message.tool_calls]
    calls += [_call(call["id"], call["name"], call["args"]) for call in message.invalid_tool_calls]
    if (function := message.additional_kwargs.get("function_call")) and not message.tool_calls:
        calls.append(_call(_function_id(function["name"]), function["name"], function["arguments"]))
    for block, where in _blocks(message.content, path):
        match block["type"]:
            case "tool_call" | "invalid_tool_call":  # LangChain's
                calls.append(_call(block.get("id"), block.get("name"), block.get("args")))
            case "tool_use":  # Anthropic's
                calls.append(_call(block.get("id"), need(block, "name", str, where), block.get("input")))
            case "function_call":  # of OpenAI's Responses API
                calls.append(_call(block.get("call_id"), need(block, "name", str, where), block.get("arguments")))
            case _:
                pass
    first = {call["id"]: call for call in reversed(calls)}
    return [call for call in calls if not call["id"] or call is first[call["id"]]]


def _call(call_id: str | None, name: str | None, args: object) -> ContentPart:
    arguments = args if isinstance(args, str) else json.dumps(args or {}, ensure_ascii=False)
    return {"id": call_id or "", "type": "function", "function": {"name": name or "", "arguments": arguments or "{}"}}


def _function_id(name: str | None) -> str:
    """An id that links a deprecated function call, which has none, to its result."""
    return f"function_{name}"
