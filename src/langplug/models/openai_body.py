"""The body of a chat-completions request, written as one kind of server takes it.

What is asked for stands in a `Request`; what a server takes in a `Server`. Where the two differ, the nearest that the
server takes is sent, and what was done is noted.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from langplug import Request
from langplug._answer.carried import is_carried_field
from langplug._messages.call_ids import fit_call_ids, fit_names
from langplug._messages.media import move_media_to_user
from langplug._messages.role_order import RoleOrder, arrange_roles, split_calls
from langplug._model.plan import ANSWER_IN_JSON
from langplug._tools import with_instructions
from langplug._tools.schema import ANY_JSON
from langplug.models.servers import Server

OpenAIMessage = dict[str, Any]

_UNNOTED = frozenset(
    {"stream_options", "limit", "strict", "call_ids", "names", "developer_role", "text_parts", "one_call_a_turn"}
    | {"reasoning", "reasoning_as", "include"}
)
"""What loses nothing, and is noted only if the server had to refuse it first."""

_CALL_KEYS = frozenset({"id", "type", "function", "custom"})
_FUNCTION_KEYS = frozenset({"name", "arguments"})


@dataclass(slots=True)
class Body:
    """The body of a request.

    Attributes:
        fields: What is sent.
        done: What langplug did because the server takes no other: by a key, the feature and what was done.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    done: dict[str, tuple[str, str]] = field(default_factory=dict)

    def notes(self, learnt: AbstractSet[str]) -> list[dict[str, Any]]:
        """What is to be noted of it; `learnt` are the keys of what the server had to refuse first."""
        return [
            {"feature": feature, "action": action}
            for key, (feature, action) in self.done.items()
            if key in learnt or key not in _UNNOTED
        ]


def write_messages(request: Request, server: Server, roles: RoleOrder, body: Body) -> None:
    """The conversation, by https://platform.openai.com/docs/api-reference/chat/create."""
    turns = request.openai_messages(reasoning_as=server.reasoning_as, media_in="any")
    if server.reasoning_as == "think_tags" and request.keep_reasoning != "never":
        body.done["reasoning_as"] = ("messages", "earlier reasoning sent in <think> tags")

    steps: tuple[tuple[bool, str, str, Callable[[list[OpenAIMessage]], list[OpenAIMessage]]], ...] = (
        (
            server.call_ids != "",
            "call_ids",
            "ids of calls shortened",
            lambda turns: fit_call_ids(turns, server.call_ids),
        ),
        (True, "", "", move_media_to_user),  # its sentences name the ids that are sent
        (not server.developer_role, "developer_role", "the developer's sent as the system's", rename_developer),
        (not server.extra_call_keys, "extra_call_keys", "unknown keys of calls left out", drop_extra_call_keys),
        (not server.carried_fields, "carried_fields", "fields of earlier answers left out", drop_carried_fields),
        (server.one_call_a_turn, "one_call_a_turn", "earlier calls sent one a turn", split_calls),
        (roles != "as given", "roles", f"roles arranged: {roles}", lambda turns: arrange_roles(turns, roles)),
        # What no server takes, in a form that all do.
        (True, "", "", lambda turns: fit_names(turns, keep=True)),
        (not server.names_messages, "names", "names left out", lambda turns: fit_names(turns, keep=False)),
        (not server.text_parts, "text_parts", "text sent as one string", join_text_parts),
    )
    for is_needed, key, action, change in steps:
        if not is_needed:
            continue
        changed = change(turns)
        if key and changed != turns:  # cheap: what is unchanged is the very same object
            body.done[key] = ("messages", action)
        turns = changed
    body.fields["messages"] = turns


def rename_developer(turns: Iterable[OpenAIMessage]) -> list[OpenAIMessage]:
    """The messages, those of the developer as the system's."""
    return [{**turn, "role": "system"} if turn["role"] == "developer" else turn for turn in turns]


def join_text_parts(turns: Iterable[OpenAIMessage]) -> list[OpenAIMessage]:
    """The messages, of which those with parts of text alone have one string."""
    return [
        # What a model said came in pieces of one text.
        {**turn, "content": ("" if turn["role"] == "assistant" else "\n").join(part["text"] for part in content)}
        if isinstance(content := turn["content"], list) and all(part["type"] == "text" for part in content)
        else turn
        for turn in turns
    ]


def extra_call_keys(turns: Iterable[OpenAIMessage]) -> set[str]:
    """The keys of calls in these messages that OpenAI does not document."""
    calls = [call for turn in turns for call in turn.get("tool_calls") or ()]
    return {
        key
        for call in calls
        for known, keys in ((_CALL_KEYS, call), (_FUNCTION_KEYS, call.get("function", {})))
        for key in keys
        if key not in known
    }


def drop_extra_call_keys(turns: Sequence[OpenAIMessage]) -> list[OpenAIMessage]:
    """The messages without the keys of calls that OpenAI does not document."""
    if not extra_call_keys(turns):
        return list(turns)
    plain: list[OpenAIMessage] = []
    for turn in turns:
        calls = [
            {key: value for key, value in call.items() if key in _CALL_KEYS} for call in turn.get("tool_calls") or ()
        ]
        for call in calls:
            if "function" not in call:  # of a custom tool
                continue
            call["function"] = {key: value for key, value in call["function"].items() if key in _FUNCTION_KEYS}
        plain.append({**turn, "tool_calls": calls} if calls else turn)
    return plain


def carried_fields(turns: Iterable[OpenAIMessage]) -> set[str]:
    """The fields of the model's own messages that its server sent, and OpenAI does not document."""
    return {name for turn in turns if turn["role"] == "assistant" for name in turn if is_carried_field(name)}


def drop_carried_fields(turns: Sequence[OpenAIMessage]) -> list[OpenAIMessage]:
    """The messages without those fields."""
    if not (dropped := carried_fields(turns)):
        return list(turns)
    return [
        {name: value for name, value in turn.items() if name not in dropped} if turn["role"] == "assistant" else turn
        for turn in turns
    ]


def write_tools(request: Request, server: Server, body: Body) -> None:
    """The tools, and which must be called, in a form of `tool_choice` that the server takes.

    Where it takes none that forces a call, langplug's own check of the answer is what is left of the force.
    """
    tools, asked = request.openai_tools(), request.tool_choice
    if not tools:
        return
    choice: Any = asked
    if isinstance(choice, Mapping) and "named" not in server.choices:
        tools = [tool for tool in tools if _names(tool) == choice["function"]["name"]]
        choice = "required"
    if choice == "required" and "required" not in server.choices:
        can_name = "named" in server.choices and len(tools) == 1 and _names(tools[0])
        choice = {"type": "function", "function": {"name": _names(tools[0])}} if can_name else "auto"
    if choice == "none" and "none" not in server.choices:
        body.done["choices"] = ("tool_choice", "'none' sent as no tools at all")
        return
    if choice == "auto" and "auto" not in server.choices:
        choice = None
    if choice != asked:
        told = "left out" if choice is None else f"sent as {choice!r}" if isinstance(choice, str) else "sent by name"
        alone = ", with this tool alone" if isinstance(asked, Mapping) else ""
        body.done["choices"] = ("tool_choice", f"{told}{alone}")
    if not server.strict and any("strict" in tool.get("function", ()) for tool in tools):
        tools = [
            {**tool, "function": {name: value for name, value in tool["function"].items() if name != "strict"}}
            if "function" in tool
            else tool
            for tool in tools
        ]
        body.done["strict"] = ("tools", "'strict' left out")
    body.fields["tools"] = tools
    body.fields["tool_choice"] = server.required if choice == "required" else choice
    body.fields["parallel_tool_calls"] = request.parallel_tool_calls


def write_schema(request: Request, server: Server, body: Body) -> Request:
    """The schema that the answer must fit; the request, with the schema in words if the server takes it not otherwise.

    By https://platform.openai.com/docs/guides/structured-outputs, or the JSON mode that came before it.
    """
    schema = request.schema
    if schema is None:
        return request
    if schema == ANY_JSON and server.json_mode:
        body.fields["response_format"] = {"type": "json_object"}
        return request
    if server.schema == "json_schema":
        name = re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title") or "answer"))[:64]  # what OpenAI allows in it
        described: dict[str, Any] = {"name": name, "schema": schema}
        if request.strict is not None:
            if server.strict:
                described["strict"] = request.strict
            else:
                body.done["strict"] = ("structured_output", "'strict' left out")
        body.fields["response_format"] = {"type": "json_schema", "json_schema": described}
        return request
    words = ANSWER_IN_JSON.format(lead="Answer", schema=json.dumps(schema, ensure_ascii=False))
    in_json_mode = server.schema == "json_object" and server.json_mode
    if in_json_mode:
        body.fields["response_format"] = {"type": "json_object"}
    body.done["schema"] = ("structured_output", f"prompted{', in JSON mode' if in_json_mode else ''}")
    return replace(request, messages=tuple(with_instructions(request.messages, words)))


def rename_fields(server: Server, body: Body) -> None:
    """Fields under the server's names; those that it refuses, or that are None, left out."""
    renamed: dict[str, Any] = {}
    for name, value in body.fields.items():
        if value is None:
            continue
        if name in server.drops:
            body.done[name] = (name, "not sent: the server does not take it")
            continue
        renamed[server.names.get(name, name)] = value
        if server.names.get(name) == "max_completion_tokens":
            body.done["limit"] = (name, "sent as max_completion_tokens")
    body.fields = renamed


def _names(tool: Mapping[str, Any]) -> str:
    """The name of a function; of a provider's own tool, nothing."""
    return str(tool.get("function", {}).get("name", ""))
