"""What a body on the Messages wire says, once it has its shape, as LangChain's messages and tools.

Messages are made so that any model can read them, not Anthropic's alone: text is one string wherever it can be, other
content stands in LangChain's standard blocks, calls in `tool_calls`, and each result is a `ToolMessage` of its own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call

from langplug._wires.messages import REDACTED, THINKING, WORD_BY_CHOICE
from langplug.serve.errors import refused
from langplug.serve.wires.messages_fields import LEFT_OUT

Block = dict[str, Any]


def read_conversation(body: Mapping[str, Any], notes: list[str]) -> list[BaseMessage]:
    """The instructions and the messages of `body`, oldest first. What is left out is said in `notes`."""
    given: list[BaseMessage] = []
    if instructions := _instructions(body.get("system") or ""):
        given.append(SystemMessage(instructions))
    names: dict[str, str] = {}
    for number, message in enumerate(body["messages"]):
        blocks = _kept(message.get("content") or "", f"messages.{number}.content", notes)
        match message["role"]:
            case "user":
                given += _of_user(blocks, names)
            case "assistant":
                said = _of_assistant(blocks)
                names |= {call["id"]: call["name"] for call in said.tool_calls if call["id"]}
                given.append(said)
            case _:
                notes += [f"messages.{number}.{name}" for name in ("clear_at", "output_config") if message.get(name)]
                if instructions := _instructions(blocks):
                    given.append(SystemMessage(instructions))
    return given


def read_tools(body: Mapping[str, Any], notes: list[str]) -> list[dict[str, Any]]:
    """The functions among the tools of `body`, as OpenAI has them, which all of LangChain takes.

    Tools with a type of their own run at Anthropic's, or have a form that its models alone know: they are left out.

    Raises:
        ApiError: If two have one name.
    """
    functions: dict[str, dict[str, Any]] = {}
    for number, tool in enumerate(body.get("tools") or ()):
        kind, name = tool.get("type"), tool.get("name")
        if kind not in (None, "custom"):
            notes.append(f"tools.{number}: {kind}")
            continue
        if name in functions:
            raise refused(f"tools.{number}.name", f"each tool needs a name of its own, not {name!r:.80}.")
        more = {key: tool[key] for key in ("description", "strict") if tool.get(key) is not None}
        functions[name] = {"type": "function", "function": {"name": name, "parameters": tool["input_schema"], **more}}
    return list(functions.values())


def read_choice(body: Mapping[str, Any], functions: Iterable[Mapping[str, Any]]) -> str | dict[str, Any] | None:
    """`tool_choice` in the words of chat completions; None if it says nothing.

    Raises:
        ApiError: If it asks for a call that no function can answer.
    """
    choice = body.get("tool_choice")
    if choice is None:
        return None
    kind, names = choice["type"], [one["function"]["name"] for one in functions]
    if kind == "tool":
        name = choice["name"]
        if name not in names:
            raise refused("tool_choice.name", f"there is no tool {name!r:.80} that a model could call.")
        return {"type": "function", "function": {"name": name}}
    if kind == "any" and not names:
        raise refused("tool_choice", "'any' needs a tool that a model can call, and `tools` has none.")
    return WORD_BY_CHOICE[kind] if names else None


def _blocks(content: str | list[Block]) -> list[Block]:
    """The blocks of some content. A string is one block of text."""
    return [_text(content)] if isinstance(content, str) else content


def _kept(content: str | list[Block], path: str, notes: list[str]) -> list[Block]:
    """The blocks of some content, without those that are left out, which `notes` are told."""
    blocks = _blocks(content)
    is_kept = [not re.search(LEFT_OUT, block["type"]) for block in blocks]
    notes += [f"{path}.{number}: {blocks[number]['type']}" for number, kept in enumerate(is_kept) if not kept]
    return [block for block, kept in zip(blocks, is_kept, strict=True) if kept]


def _instructions(content: str | list[Block]) -> str:
    """Instructions as one text, with a blank line between two."""
    return "\n\n".join(block["text"] for block in _blocks(content) if block["text"])


def _of_user(blocks: list[Block], names: Mapping[str, str]) -> Iterator[BaseMessage]:
    """A message of the user: first the results in it, which answer the calls before, then what the user says."""
    shown: list[Block] = []
    has_results = False
    for block in blocks:
        if block["type"] != "tool_result":
            shown += _shown(block)
            continue
        has_results = True
        call_id = block["tool_use_id"]
        yield ToolMessage(
            _as_content([one for given in _blocks(block.get("content") or "") for one in _shown(given)]),
            tool_call_id=call_id,
            name=names.get(call_id),
            status="error" if block.get("is_error") is True else "success",
        )
    if shown or not has_results:
        yield HumanMessage(_as_content(shown))


def _as_content(blocks: list[Block]) -> Any:
    """Blocks as the content of a message: text alone is one string, as the plainest of models takes it."""
    if all(block["type"] == "text" for block in blocks):
        return "\n".join(block["text"] for block in blocks)
    return blocks


def _shown(block: Block) -> list[Block]:
    """A block as standard blocks. What a tool gave, and no model can be shown, is said in words: it ends no agent."""
    match block["type"]:
        case "text":
            return [_text(block["text"])]
        case "image":
            return [{"type": "image", **_data(block["source"])}]
        case "document":  # one of text as text, which any model can be given
            about = [block[key] for key in ("title", "context") if block.get(key)]
            source = block["source"]
            if source["type"] == "text":
                return [_text("\n".join([*about, source["data"]]))]
            if source["type"] == "content":
                return [*map(_text, about), *(one for inner in _blocks(source["content"]) for one in _shown(inner))]
            file: Block = {"type": "file", "mime_type": "application/pdf", **_data(source)}
            return [{**file, "filename": block["title"]} if block.get("title") else file]
        case "search_result":
            found = [inner["text"] for inner in block["content"]]
            return [_text("\n".join([f"{block['title']} ({block['source']})", *found]))]
        case kind:
            named = f"{kind} {block.get('tool_name') or block.get('title') or ''}".rstrip()
            return [_text(f"[The tool also gave content that cannot be shown here: {named}]")]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _data(source: Mapping[str, Any]) -> Block:
    """The data of an image or a document, or its address, which is passed on as it is and never opened here."""
    if source["type"] == "url":
        return {"url": source["url"]}
    return {"base64": source["data"], "mime_type": source["media_type"]}


def _of_assistant(blocks: list[Block]) -> AIMessage:
    """An earlier answer. With reasoning, its content is standard blocks; else it is the text."""
    said: list[Block] = []
    for block in blocks:
        match block["type"]:
            case "text":
                said += [_text(block["text"])] if block["text"] else []
            case "thinking":
                signed = {"extras": {"signature": block["signature"]}} if block.get("signature") else {}
                said.append({"type": "reasoning", "reasoning": block[THINKING], **signed})
            case "redacted_thinking":
                said.append({"type": "non_standard", "value": {"type": REDACTED, "data": block["data"]}})
            case _:
                said.append({"type": "tool_call", "name": block["name"], "args": block["input"], "id": block["id"]})
    calls = [tool_call(name=one["name"], args=one["args"], id=one["id"]) for one in said if one["type"] == "tool_call"]
    thoughts = [one for one in said if one["type"] in ("reasoning", "non_standard")]
    if not thoughts:
        return AIMessage("".join(one["text"] for one in said if one["type"] == "text"), tool_calls=calls)
    metadata = {"output_version": "v1"}
    if all("extras" in one or "value" in one for one in thoughts):  # else Anthropic's API would refuse them
        metadata["model_provider"] = "anthropic"
    return AIMessage([*said], tool_calls=calls, response_metadata=metadata)
