"""What a body on the Messages wire says, as LangChain's messages and tools.

Messages are made so that any model can read them, not Anthropic's alone: text is one string wherever it can be, other
content stands in LangChain's standard blocks, calls in `tool_calls`, and each result is a `ToolMessage` of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call

from langplug._wires.messages import REDACTED, THINKING, WORD_BY_CHOICE
from langplug.serve.errors import refused

Block = dict[str, Any]
Placed = tuple[Mapping[str, Any], str]
"""A block, and its place in the body, such as `messages.0.content.1`, as Anthropic's own errors say it."""

_OF_SERVER_TOOLS = ("server_tool_use", "mcp_tool_use", "container_upload", "compaction")
"""Blocks of an earlier answer, beside the results, that speak of what ran at Anthropic's."""


def read_conversation(body: Mapping[str, Any], notes: list[str]) -> list[BaseMessage]:
    """The instructions and the messages of `body`, oldest first.

    Args:
        body: It has `messages`, a list, and perhaps `system`.
        notes: What is left out is said here.

    Raises:
        ApiError: If a message or a block lacks something, or cannot be read here.
    """
    given: list[BaseMessage] = []
    system = body.get("system")
    if instructions := _instructions("" if system is None else system, "system"):
        given.append(SystemMessage(instructions))
    names: dict[str, str] = {}
    for number, message in enumerate(body["messages"]):
        path = f"messages.{number}"
        content = _need(message, "content", (str, list), path)
        match message.get("role"):
            case "user":
                given += _of_user(content, f"{path}.content", names)
            case "assistant":
                said = _of_assistant(content, f"{path}.content", notes)
                names |= {call["id"]: call["name"] for call in said.tool_calls if call["id"]}
                given.append(said)
            case "system":
                given.append(SystemMessage(_instructions(content, f"{path}.content")))
            case role:
                raise refused(f"{path}.role", f"expected 'user', 'assistant' or 'system', not {role!r:.50}.")
    return given


def read_tools(body: Mapping[str, Any], notes: list[str]) -> list[dict[str, Any]]:
    """The functions among the tools of `body`, as OpenAI has them, which all of LangChain takes.

    Tools with a type of their own run at Anthropic's, or have a form that its models alone know: they are left out.

    Raises:
        ApiError: If one lacks its name or its schema, or two have one name.
    """
    functions: dict[str, dict[str, Any]] = {}
    for number, tool in enumerate(body.get("tools") or ()):
        path = f"tools.{number}"
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if kind not in (None, "custom"):
            notes.append(f"{path}: {kind}")
            continue
        name, schema = _need(tool, "name", str, path), _need(tool, "input_schema", dict, path)
        if not name or name in functions:
            raise refused(f"{path}.name", f"each tool needs a name of its own, not {name!r:.80}.")
        more = {key: tool[key] for key in ("description", "strict") if tool.get(key) is not None}
        functions[name] = {"type": "function", "function": {"name": name, "parameters": schema, **more}}
    return list(functions.values())


def read_choice(body: Mapping[str, Any], functions: Iterable[Mapping[str, Any]]) -> str | dict[str, Any] | None:
    """`tool_choice` in the words of chat completions; None if it says nothing.

    Raises:
        ApiError: If it asks for a call that no function can answer.
    """
    choice = body.get("tool_choice")
    if choice is None:
        return None
    kind, names = _need(choice, "type", str, "tool_choice"), [one["function"]["name"] for one in functions]
    if kind == "tool":
        name = _need(choice, "name", str, "tool_choice")
        if name not in names:
            raise refused("tool_choice.name", f"there is no tool {name!r:.80} that a model could call.")
        return {"type": "function", "function": {"name": name}}
    if kind not in WORD_BY_CHOICE:
        raise refused("tool_choice.type", f"expected {', '.join(WORD_BY_CHOICE)} or tool, not {kind!r:.50}.")
    if kind == "any" and not names:
        raise refused("tool_choice", "'any' needs a tool that a model can call, and `tools` has none.")
    return WORD_BY_CHOICE[kind] if names else None


def _need(holder: Any, key: str, kind: type | tuple[type, ...], path: str) -> Any:
    """The member `key` of what stands at `path`."""
    if not isinstance(holder, Mapping):
        raise refused(path, f"expected an object, not {holder!r:.80}.")
    value = holder.get(key)
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(_KINDS[one] for one in kinds)
        found = f"expected {expected}, not {value!r:.80}" if key in holder else f"required: {expected}"
        raise refused(f"{path}.{key}", f"{found}.")
    return value


_KINDS: Mapping[type, str] = {str: "a string", list: "a list", dict: "an object"}


def _blocks(content: Any, path: str) -> Iterator[Placed]:
    """The blocks of some content. A string is one block of text."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    elif not isinstance(content, list):
        raise refused(path, f"expected a string or a list of blocks, not {content!r:.80}.")
    for number, block in enumerate(content):
        _need(block, "type", str, f"{path}.{number}")
        yield block, f"{path}.{number}"


def _instructions(content: Any, path: str) -> str:
    """Instructions as one text, with a blank line between two."""
    texts: list[str] = []
    for block, where in _blocks(content, path):
        if block["type"] != "text":
            raise refused(f"{where}.type", f"instructions are of text alone, not {block['type']!r:.50}.")
        texts.append(_need(block, "text", str, where))
    return "\n\n".join(text for text in texts if text)


def _of_user(content: Any, path: str, names: Mapping[str, str]) -> Iterator[BaseMessage]:
    """A message of the user: first the results in it, which answer the calls before, then what the user says."""
    shown: list[Block] = []
    has_results = False
    for block, where in _blocks(content, path):
        if block["type"] != "tool_result":
            shown += _shown(block, where)
            continue
        has_results = True
        call_id = _need(block, "tool_use_id", str, where)
        given = block["content"] if block.get("content") is not None else ""
        yield ToolMessage(
            _as_content(
                [one for placed in _blocks(given, f"{where}.content") for one in _shown(*placed, by_tool=True)]
            ),
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


def _shown(block: Mapping[str, Any], path: str, *, by_tool: bool = False) -> list[Block]:
    """A block as standard blocks. What a tool gave, and no model can be shown, is said in words: it ends no agent."""
    match block["type"]:
        case "text":
            return [_text(_need(block, "text", str, path))]
        case "image":
            return [{"type": "image", **_source(block, f"{path}.source")}]
        case "document":  # one of text as text, which any model can be given
            about = [str(block[key]) for key in ("title", "context") if block.get(key)]
            source, where = _need(block, "source", dict, path), f"{path}.source"
            if source.get("type") == "text":
                return [_text("\n".join([*about, _need(source, "data", str, where)]))]
            if source.get("type") == "content":
                inner = _blocks(_need(source, "content", (str, list), where), f"{where}.content")
                return [*map(_text, about), *(one for placed in inner for one in _shown(*placed))]
            file: Block = {"type": "file", "mime_type": "application/pdf", **_source(block, where)}
            return [{**file, "filename": block["title"]} if block.get("title") else file]
        case "search_result":
            inner = _blocks(_need(block, "content", list, path), f"{path}.content")
            found = [_need(one, "text", str, where) for one, where in inner]
            source = f"{_need(block, 'title', str, path)} ({_need(block, 'source', str, path)})"
            return [_text("\n".join([source, *found]))]
        case kind if by_tool:
            named = f"{kind} {block.get('tool_name') or block.get('title') or ''}".rstrip()
            return [_text(f"[The tool also gave content that cannot be shown here: {named}]")]
        case kind:
            expected = "text, image, document, search_result or tool_result"
            raise refused(f"{path}.type", f"expected {expected}, not {kind!r:.50}.")


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _source(block: Mapping[str, Any], path: str) -> Block:
    """The data of an image or a document, or its address, which is passed on as it is and never opened here."""
    source = _need(block, "source", dict, path.removesuffix(".source"))
    match source.get("type"):
        case "base64":
            return {"base64": _need(source, "data", str, path), "mime_type": _need(source, "media_type", str, path)}
        case "url":
            return {"url": _need(source, "url", str, path)}
        case "file":
            raise refused(path, "this server keeps no files; send the data in base64, or its URL.")
        case kind:
            raise refused(f"{path}.type", f"expected 'base64' or 'url', not {kind!r:.50}.")


def _of_assistant(content: Any, path: str, notes: list[str]) -> AIMessage:
    """An earlier answer. With reasoning, its content is standard blocks; else it is the text."""
    said: list[Block] = []
    for block, where in _blocks(content, path):
        match block["type"]:
            case "text":
                said += [_text(text)] if (text := _need(block, "text", str, where)) else []
            case "thinking":
                signed = {"extras": {"signature": block["signature"]}} if block.get("signature") else {}
                said.append({"type": "reasoning", "reasoning": _need(block, THINKING, str, where), **signed})
            case "redacted_thinking":
                data = _need(block, "data", str, where)
                said.append({"type": "non_standard", "value": {"type": REDACTED, "data": data}})
            case "tool_use":
                name, call_id = _need(block, "name", str, where), _need(block, "id", str, where)
                args = _need(block, "input", dict, where)
                said.append({"type": "tool_call", "name": name, "args": args, "id": call_id})
            case kind if kind in _OF_SERVER_TOOLS or kind.endswith("_tool_result"):
                notes.append(f"{where}: {kind}")
            case kind:
                expected = f"text, {THINKING}, {REDACTED} or tool_use"
                raise refused(f"{where}.type", f"expected {expected}, not {kind!r:.50}.")
    calls = [tool_call(name=one["name"], args=one["args"], id=one["id"]) for one in said if one["type"] == "tool_call"]
    thoughts = [one for one in said if one["type"] in ("reasoning", "non_standard")]
    if not thoughts:
        return AIMessage("".join(one["text"] for one in said if one["type"] == "text"), tool_calls=calls)
    metadata = {"output_version": "v1"}
    if all("extras" in one or "value" in one for one in thoughts):  # else Anthropic's API would refuse them
        metadata["model_provider"] = "anthropic"
    return AIMessage([*said], tool_calls=calls, response_metadata=metadata)
