"""What a body on the Responses wire says, once it has its shape, as LangChain's messages and as functions.

Messages are made so that any model can read them, not OpenAI's alone: text is one string wherever it can be, other
content stands in LangChain's standard blocks, and the items of one answer (its reasoning, its text, its calls) become
one `AIMessage` again.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langplug._wires import responses as wire
from langplug.serve.errors import refused
from langplug.serve.json_text import dump, load_object

Item = Mapping[str, Any]
Block = dict[str, Any]

_SEAL = "langplug."
"""How `encrypted_content` begins that holds what a served model wants back with its reasoning."""


def seal(extras: Mapping[str, Any]) -> str:
    """What a model wants back with its reasoning, such as a signature, as one opaque string."""
    if set(extras) == {"encrypted_content"}:  # it came from this wire in the first place
        return str(extras["encrypted_content"])
    return _SEAL + urlsafe_b64encode(dump(dict(extras))).decode()


def unseal(sealed: str) -> dict[str, Any]:
    """The reverse of `seal`. What another server has encrypted stays as it is."""
    if sealed.startswith(_SEAL):
        with suppress(ValueError):
            return load_object(urlsafe_b64decode(sealed.removeprefix(_SEAL)))
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

    def add(self, item: Item, path: str) -> None:
        """Read one item of the input.

        Raises:
            ApiError: If it is the result of a call that is not there.
        """
        kind = wire.MESSAGE if item.get("type") is None else item["type"]
        if kind == wire.MESSAGE:
            self._add_message(item, path)
        elif kind == wire.REASONING:
            self._said += read_reasoning(item)
        elif kind in wire.CALL_ITEMS:
            self._said.append(self._call_block(item, kind))
        elif kind in wire.CALL_ITEMS.values():
            self.close()
            call_id = item["call_id"]
            if call_id not in self._names:
                raise refused(
                    f"{path}.call_id", f"no call with the id {call_id!r:.80} is before it; send that item, too."
                )
            output = _as_content(_blocks(item["output"], f"{path}.output"))
            self.messages.append(ToolMessage(output, tool_call_id=call_id, name=self._names[call_id]))
        elif kind == "additional_tools":
            self.tools += [(f"{path}.tools[{number}]", tool) for number, tool in enumerate(item["tools"])]
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
        role, blocks = item["role"], _blocks(item["content"], f"{path}.content")
        if role == "assistant":
            self._said += blocks
            return
        self.close()
        if role == "user":
            self.messages.append(HumanMessage(_as_content(blocks)))
        else:
            mark = {"__openai_role__": role} if role == "developer" else {}  # as langchain-openai marks it
            self.messages.append(SystemMessage(_as_content(blocks), additional_kwargs=mark))

    def _call_block(self, item: Item, kind: str) -> Block:
        self._names[item["call_id"]] = item["name"]
        known = {"name": item["name"], "id": item["call_id"]}
        if kind == wire.CUSTOM_CALL:
            return {"type": "tool_call", **known, "args": {"input": item["input"]}}
        try:
            return {"type": "tool_call", **known, "args": load_object(item["arguments"] or "{}")}
        except ValueError as error:
            return {"type": "invalid_tool_call", **known, "args": item["arguments"], "error": str(error)}


def read_conversation(body: Item) -> Conversation:
    """The instructions and the input of `body`, oldest first.

    Raises:
        ApiError: If nothing in the input can be read, or a result has no call.
    """
    read = Conversation()
    if instructions := body.get("instructions"):
        read.messages.append(SystemMessage(instructions))
    given = body["input"]
    for number, item in enumerate([{"role": "user", "content": given}] if isinstance(given, str) else given):
        read.add(item, f"input[{number}]" if isinstance(given, list) else "input")
    read.close()
    if not read.messages:
        raise refused("input", "none of its items is one that a model here can read.")
    return read


# --- content ---


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _as_content(blocks: list[Block]) -> Any:
    """Blocks as the content of a message: text alone is one string, as the plainest of models takes it."""
    return "\n".join(one["text"] for one in blocks) if all(one["type"] == "text" for one in blocks) else blocks


def _blocks(content: str | Sequence[Item], path: str) -> list[Block]:
    """What a user says, a tool gives, or the model has said in an earlier answer."""
    if isinstance(content, str):
        return [_text(content)]
    blocks: list[Block] = []
    for number, part in enumerate(content):
        match part["type"]:
            case "refusal":
                blocks.append({"type": "refusal", "refusal": part["refusal"]})
            case "input_image" | "input_file":
                blocks.append(_media_block(part, f"{path}[{number}]"))
            case _:
                blocks.append(_text(part["text"]))
    return blocks


def _media_block(part: Item, path: str) -> Block:
    """An image or a file; what else is said of it is in its `extras`."""
    if part["type"] == "input_image":
        detail = part.get("detail")
        extras = {} if detail in (None, "auto") else {"detail": detail}
        block = {"type": "image", **_address(part["image_url"], path, "image/png")}
    else:
        extras = {"filename": part["filename"]} if part.get("filename") else {}
        url, data = part.get("file_url"), part.get("file_data") or ""
        given = url or (data if data.startswith("data:") else f"data:;base64,{data}")
        block = {"type": "file", **_address(given, path, "application/pdf")}
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


def read_reasoning(item: Item) -> list[Block]:
    """Reasoning as a standard block, with what its provider wants back in `extras`; none if it holds neither."""
    texts = [part["text"] for part in item.get("content") or item.get("summary") or ()]
    sealed = item.get("encrypted_content")
    extras = {"extras": unseal(sealed)} if sealed else {}
    return [{"type": "reasoning", "reasoning": "\n\n".join(texts), **extras}] if texts or extras else []


# --- tools ---


def read_tools(tools: Sequence[tuple[str, Item]], notes: list[str]) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """The functions among `tools`, as chat completions have them, and the names of those that take a text.

    A tool that takes a text is a function with one argument, `input`. Tools that run at OpenAI's, and whatever else is
    no function, are left out.

    Args:
        tools: Each with its place in the body.
        notes: What is left out is said here.

    Raises:
        ApiError: If a function has the name that another has.
    """
    functions: dict[str, dict[str, Any]] = {}
    customs: set[str] = set()
    for path, tool in tools:
        kind = tool["type"]
        if kind not in ("function", "custom"):
            notes.append(f"{path} ({kind})")
            continue
        name = tool["name"]
        if name in functions:
            raise refused(f"{path}.name", f"each tool needs a name of its own, not {name!r:.80}.")
        function = {key: tool[key] for key in wire.FUNCTION_KEYS if tool.get(key) is not None}
        if kind == "custom":
            customs.add(name)
            function |= {"parameters": _TEXT_ARGUMENT}
        else:
            function.setdefault("parameters", {"type": "object", "properties": {}})
        functions[name] = {"type": "function", "function": function}
    return list(functions.values()), frozenset(customs)


_TEXT_ARGUMENT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def read_choice(
    choice: Any, tools: list[dict[str, Any]], place: str = "tool_choice"
) -> tuple[str | dict[str, Any] | None, list[dict[str, Any]]]:
    """`tool_choice` in the words of chat completions, and the tools that it leaves.

    Args:
        choice: A word, or what is chosen.
        tools: The functions, as chat completions have them.
        place: Where the body has what is chosen.

    Raises:
        ApiError: If it asks for a call that no function here can answer.
    """
    names = [tool["function"]["name"] for tool in tools]
    if isinstance(choice, Mapping) and choice["type"] == "allowed_tools":
        allowed = [one.get("name") for one in choice["tools"]]
        tools = [tool for tool in tools if tool["function"]["name"] in allowed]
        names, choice = [name for name in names if name in allowed], choice["mode"]
    if choice is None or choice in ("auto", "none"):
        return (choice if names else None), tools
    if choice == "required":
        if not names:
            raise refused(place, "'required' needs a function, and there is none to choose from.")
        return "required", tools
    name = choice["name"]
    if name not in names:
        raise refused(f"{place}.name", f"there is no function {name!r:.80} among the tools.")
    return {"type": "function", "function": {"name": name}}, tools


# --- how it is to be answered ---


def read_parameters(body: Mapping[str, Any], include: frozenset[str]) -> dict[str, Any]:
    """The parameters of the model, by LangChain's names."""
    given = {
        "temperature": body.get("temperature"),
        "top_p": body.get("top_p"),
        "max_tokens": body.get("max_output_tokens"),
        "top_logprobs": body.get("top_logprobs") or None,
        "logprobs": True if wire.LOGPROBS_INCLUDE in include or body.get("top_logprobs") else None,
        "parallel_tool_calls": body.get("parallel_tool_calls") if body.get("tools") else None,
        "reasoning_effort": (body.get("reasoning") or {}).get("effort"),
        "verbosity": (body.get("text") or {}).get("verbosity"),
    }
    return {name: value for name, value in given.items() if value is not None}


def read_format(form: Item | None) -> dict[str, Any] | None:
    """`text.format` as chat completions have it, nested; None for plain text."""
    kind = (form or {}).get("type") or "text"
    if kind != "json_schema" or form is None:
        return None if kind == "text" else {"type": kind}
    return {"type": kind, kind: {key: form[key] for key in wire.FORMAT_KEYS if form.get(key) is not None}}
