"""What a body on the Responses wire says, as LangChain's messages and as functions.

Messages are made so that any model can read them, not OpenAI's alone: text is one string wherever it can be, other
content stands in LangChain's standard blocks, and the items of one answer (its reasoning, its text, its calls) become
one `AIMessage` again.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langplug._wires import responses as wire
from langplug.serve.errors import refused
from langplug.serve.json_text import dump

Item = Mapping[str, Any]
Block = dict[str, Any]

_SEAL = "langplug."
"""How `encrypted_content` begins that holds what a served model wants back with its reasoning."""

LOGPROBS_INCLUDE = "message.output_text.logprobs"
"""What `include` holds if it is to be told how likely each token was."""

_STORED = {"item_reference": "send the item itself", "compaction": "send the conversation itself"}
"""Items that speak of what only a server that stores answers, or has made them, can read."""


def seal(extras: Mapping[str, Any]) -> str:
    """What a model wants back with its reasoning, such as a signature, as one opaque string."""
    if set(extras) == {"encrypted_content"}:  # it came from this wire in the first place
        return str(extras["encrypted_content"])
    return _SEAL + urlsafe_b64encode(dump(dict(extras))).decode()


def unseal(sealed: str) -> dict[str, Any]:
    """The reverse of `seal`. What another server has encrypted stays as it is."""
    if sealed.startswith(_SEAL):
        try:
            extras = json.loads(urlsafe_b64decode(sealed.removeprefix(_SEAL)))
        except ValueError:
            extras = None
        if isinstance(extras, dict):
            return extras
    return {"encrypted_content": sealed}


_CALL_KEYS = {"tool_call": ("name", "args", "id"), "invalid_tool_call": ("name", "args", "id", "error")}


class Conversation:
    """The messages that items make, and what was skipped on the way.

    Attributes:
        messages: What is complete; `close` adds the answer that items are still being added to.
        tools: Tools that came among the items.
        notes: Items that were skipped, each by its place and its type.
    """

    def __init__(self) -> None:
        self.messages: list[BaseMessage] = []
        self.tools: list[tuple[str, Any]] = []
        self.notes: list[str] = []
        self._said: list[Block] = []
        self._names: dict[str, str] = {}

    def add(self, item: Any, path: str) -> None:
        """Read one item of the input.

        Raises:
            ApiError: If it lacks something, or speaks of what is not kept here.
        """
        if not isinstance(item, Mapping):
            raise refused(path, f"expected an object, not {item!r:.80}.")
        kind = need(item, "type", str, path) if item.get("type") is not None else wire.MESSAGE
        if kind == wire.MESSAGE:
            self._add_message(item, path)
        elif kind == wire.REASONING:
            self._said += read_reasoning(item, path)
        elif kind in wire.CALL_ITEMS:
            self._said.append(self._call_block(item, kind, path))
        elif kind in wire.CALL_ITEMS.values():
            self.close()
            call_id = need(item, "call_id", str, path)
            if call_id not in self._names:
                raise refused(
                    f"{path}.call_id", f"no call with the id {call_id!r:.80} is before it; send that item, too."
                )
            output = _blocks(need(item, "output", (str, list), path), f"{path}.output", _OF_INPUT)
            self.messages.append(ToolMessage(_as_content(output), tool_call_id=call_id, name=self._names[call_id]))
        elif kind == "additional_tools":
            self.tools += [(f"{path}.tools[{n}]", tool) for n, tool in enumerate(need(item, "tools", list, path))]
        elif kind in _STORED:
            raise refused(path, f"nothing is stored here, so {kind!r} says nothing; {_STORED[kind]}.")
        else:
            self.notes.append(f"{path} ({kind})")

    def close(self) -> None:
        """End the answer that items were added to, if there is one."""
        if not self._said:
            return
        said, self._said = self._said, []
        of_kind = {kind: [one for one in said if one["type"] == kind] for kind in ("text", *_CALL_KEYS)}
        calls, invalid = (
            [{key: one[key] for key in keys} for one in of_kind[kind]] for kind, keys in _CALL_KEYS.items()
        )
        is_plain = len(said) == sum(map(len, of_kind.values()))
        content: Any = [one for one in said if one["type"] != "invalid_tool_call"]
        if is_plain:
            content = "".join(one["text"] for one in of_kind["text"])
        metadata = {} if is_plain else {"output_version": "v1"}
        answer = AIMessage(content, tool_calls=calls, invalid_tool_calls=invalid, response_metadata=metadata)
        self.messages.append(answer)

    def _add_message(self, item: Item, path: str) -> None:
        content = need(item, "content", (str, list), path)
        match need(item, "role", str, path):
            case "assistant":
                self._said += _blocks(content, f"{path}.content", _OF_ANSWER)
            case "user":
                self.close()
                self.messages.append(HumanMessage(_as_content(_blocks(content, f"{path}.content", _OF_INPUT))))
            case "system" | "developer" as role:
                self.close()
                mark = {"__openai_role__": role} if role == "developer" else {}  # as langchain-openai marks it
                blocks = _blocks(content, f"{path}.content", _OF_INPUT)
                self.messages.append(SystemMessage(_as_content(blocks), additional_kwargs=mark))
            case role:
                raise refused(f"{path}.role", f"expected user, assistant, system or developer, not {role!r:.50}.")

    def _call_block(self, item: Item, kind: str, path: str) -> Block:
        call_id, name = need(item, "call_id", str, path), need(item, "name", str, path)
        self._names[call_id] = name
        if kind == wire.CUSTOM_CALL:
            args = {"input": need(item, "input", str, path)}
            return {"type": "tool_call", "name": name, "args": args, "id": call_id}
        written = need(item, "arguments", str, path)
        try:
            args = json.loads(written or "{}")
            if not isinstance(args, dict):
                raise ValueError("not a JSON object")  # noqa: TRY301 - one wrong form among others
        except ValueError as error:
            known = {"name": name, "args": written, "id": call_id}
            return {"type": "invalid_tool_call", **known, "error": str(error)}
        return {"type": "tool_call", "name": name, "args": args, "id": call_id}


def read_conversation(body: Item) -> Conversation:
    """The instructions and the input of `body`, oldest first.

    Raises:
        ApiError: If there is no input, or an item cannot be read.
    """
    read = Conversation()
    if instructions := body.get("instructions"):
        read.messages.append(SystemMessage(instructions))
    given = body.get("input")
    if not given:
        raise refused("input", "required: a text, or a list of at least one item.")
    for number, item in enumerate([{"role": "user", "content": given}] if isinstance(given, str) else given):
        read.add(item, f"input[{number}]" if isinstance(given, list) else "input")
    read.close()
    if not read.messages:
        raise refused("input", "none of its items is one that a model here can read.")
    return read


def need(holder: Any, key: str, kind: type | tuple[type, ...], path: str) -> Any:
    """The member `key` of the object at `path`.

    Raises:
        ApiError: If it is missing, or of another type.
    """
    if not isinstance(holder, Mapping):
        raise refused(path, f"expected an object, not {holder!r:.80}.")
    value = holder.get(key)
    if not isinstance(value, kind):
        kinds: tuple[Any, ...] = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join({str: "a string", list: "a list", dict: "an object"}[one] for one in kinds)
        found = f"expected {expected}, not {value!r:.80}" if key in holder else f"required: {expected}"
        raise refused(f"{path}.{key}", f"{found}.")
    return value


# --- content ---


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _as_content(blocks: list[Block]) -> Any:
    """Blocks as the content of a message: text alone is one string, as the plainest of models takes it."""
    return "\n".join(one["text"] for one in blocks) if all(one["type"] == "text" for one in blocks) else blocks


_TEXTS = ("input_text", "output_text", "text")
_OF_INPUT = (*_TEXTS, "input_image", "input_file")
_OF_ANSWER = (*_TEXTS, "refusal")


def _blocks(content: str | Sequence[Any], path: str, accepted: Sequence[str]) -> list[Block]:
    """What a user says, a tool gives, or the model has said in an earlier answer."""
    if isinstance(content, str):
        return [_text(content)]
    blocks: list[Block] = []
    for number, part in enumerate(content):
        where = f"{path}[{number}]"
        kind = need(part, "type", str, where)
        if kind not in accepted:
            raise refused(f"{where}.type", f"expected {', '.join(accepted)}, not {kind!r:.50}.")
        if kind in _TEXTS:
            blocks.append(_text(need(part, "text", str, where)))
        elif kind == "refusal":
            blocks.append({"type": "refusal", "refusal": need(part, "refusal", str, where)})
        else:
            blocks.append(_media_block(part, kind, where))
    return blocks


def _media_block(part: Item, kind: str, path: str) -> Block:
    """An image or a file; what else is said of it is in its `extras`."""
    if part.get("file_id"):
        raise refused(f"{path}.file_id", "this server keeps no files; send the data, or an address.")
    if kind == "input_image":
        detail = part.get("detail")
        extras = {} if detail in (None, "auto") else {"detail": detail}
        block = {"type": "image", **_address(need(part, "image_url", str, path), path, "image/png")}
    else:
        extras = {"filename": part["filename"]} if part.get("filename") else {}
        member = "file_url" if part.get("file_url") else "file_data"
        given = need(part, member, str, path)
        is_bare = member == "file_data" and not given.startswith("data:")
        block = {"type": "file", **_address(f"data:;base64,{given}" if is_bare else given, path, "application/pdf")}
    return {**block, "extras": extras} if extras else block


def _address(address: str, path: str, default_type: str) -> Block:
    """The data of a `data:` URL. Any other address is passed on as it is, and never opened here."""
    if not address.startswith("data:"):
        return {"url": address}
    head, comma, data = address.removeprefix("data:").partition(",")
    mime_type, _, encoding = head.rpartition(";")
    if not comma or encoding != "base64":
        raise refused(path, "expected a data URL in base64, as in data:image/png;base64,iVBOR....")
    return {"base64": data, "mime_type": mime_type or default_type}


def read_reasoning(item: Item, path: str) -> list[Block]:
    """Reasoning as a standard block, with what its provider wants back in `extras`; none if it holds neither."""
    name = "content" if item.get("content") else "summary"
    parts = need(item, name, list, path) if item.get(name) else []
    texts = [need(part, "text", str, f"{path}.{name}[{number}]") for number, part in enumerate(parts)]
    sealed = item.get("encrypted_content")
    extras = {"extras": unseal(need(item, "encrypted_content", str, path))} if sealed else {}
    return [{"type": "reasoning", "reasoning": "\n\n".join(texts), **extras}] if texts or extras else []


# --- tools ---


def read_tools(tools: Sequence[tuple[str, Any]], notes: list[str]) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """The functions among `tools`, as chat completions have them, and the names of those that take a text.

    A tool that takes a text is a function with one argument, `input`. Tools that run at OpenAI's, and whatever else is
    no function, are left out.

    Args:
        tools: Each with its place in the body.
        notes: What is left out is said here.

    Raises:
        ApiError: If a function has no name, or a name that another has.
    """
    functions: dict[str, dict[str, Any]] = {}
    customs: set[str] = set()
    for path, tool in tools:
        kind = need(tool, "type", str, path)
        if kind not in ("function", "custom"):
            notes.append(f"{path} ({kind})")
            continue
        name = need(tool, "name", str, path)
        if not name or name in functions:
            raise refused(f"{path}.name", f"each tool needs a name of its own, not {name!r:.80}.")
        function = {key: tool[key] for key in wire.FUNCTION_KEYS if tool.get(key) is not None}
        if kind == "custom":
            customs.add(name)
            function |= {"parameters": _TEXT_ARGUMENT}
        elif not isinstance(function.setdefault("parameters", {"type": "object", "properties": {}}), dict):
            raise refused(f"{path}.parameters", "expected a JSON schema, which is an object.")
        functions[name] = {"type": "function", "function": function}
    return list(functions.values()), frozenset(customs)


_TEXT_ARGUMENT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def read_choice(choice: Any, tools: list[dict[str, Any]]) -> tuple[str | dict[str, Any] | None, list[dict[str, Any]]]:
    """`tool_choice` in the words of chat completions, and the tools that it leaves.

    Raises:
        ApiError: If it asks for a call that no function here can answer.
    """
    names = [tool["function"]["name"] for tool in tools]
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = [one.get("name") for one in need(choice, "tools", list, "tool_choice") if isinstance(one, Mapping)]
        tools = [tool for tool in tools if tool["function"]["name"] in allowed]
        names, choice = [name for name in names if name in allowed], need(choice, "mode", str, "tool_choice")
    if choice is None or choice in ("auto", "none"):
        return (choice if names else None), tools
    if choice == "required":
        if not names:
            raise refused("tool_choice", "'required' needs a function, and `tools` has none.")
        return "required", tools
    kind = need(choice, "type", str, "tool_choice") if isinstance(choice, Mapping) else choice
    if kind not in ("function", "custom"):
        raise refused("tool_choice", f"expected auto, none, required, or the name of a function, not {kind!r:.50}.")
    name = need(choice, "name", str, "tool_choice") if isinstance(choice, Mapping) else None
    if name not in names:
        raise refused("tool_choice.name", f"there is no function {name!r:.80} among the tools.")
    return {"type": "function", "function": {"name": name}}, tools


# --- how it is to be answered ---


def read_parameters(body: Mapping[str, Any], include: frozenset[str]) -> dict[str, Any]:
    """The parameters of the model, by LangChain's names."""
    given = {
        "temperature": body.get("temperature"),
        "top_p": body.get("top_p"),
        "max_tokens": body.get("max_output_tokens"),
        "top_logprobs": body.get("top_logprobs") or None,
        "logprobs": True if LOGPROBS_INCLUDE in include or body.get("top_logprobs") else None,
        "parallel_tool_calls": body.get("parallel_tool_calls") if body.get("tools") else None,
        "reasoning_effort": (body.get("reasoning") or {}).get("effort"),
        "verbosity": (body.get("text") or {}).get("verbosity"),
    }
    return {name: value for name, value in given.items() if value is not None}


def read_format(form: Any) -> dict[str, Any] | None:
    """`text.format` as chat completions have it, nested; None for plain text.

    Raises:
        ApiError: If it is of an unknown type, or has no name or no schema.
    """
    match (form or {}).get("type"):
        case None | "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            need(form, "name", str, "text.format")
            need(form, "schema", dict, "text.format")
            members = {key: form[key] for key in wire.FORMAT_KEYS if form.get(key) is not None}
            return {"type": "json_schema", "json_schema": members}
        case kind:
            raise refused("text.format.type", f"expected text, json_object or json_schema, not {kind!r:.50}.")
