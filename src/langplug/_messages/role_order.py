"""OpenAI messages in the order of roles that a strict chat template wants.

Many open models come with a template that raises where the conversation is not such as the model was trained on: Qwen's
wants its one system message first, Mistral's and Gemma 3's want user and assistant to alternate, Gemma 2's knows
neither a system nor a tool role. What is rearranged here loses nothing: all text stays, in its order.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, get_args

from langplug._messages.blocks import text_part

OpenAIMessage = dict[str, Any]

RoleOrder = Literal["as given", "system first", "alternating", "user and assistant"]
"""What a template takes, from the most lenient to the strictest:

* `"as given"`: any order;
* `"system first"`: one system message, at the beginning. Those at the beginning become one, and a later one a message
  of the user, between `<system>` and `</system>`;
* `"alternating"`: besides, user and assistant in turn, with the results of tools right after their calls. Messages of
  one role that follow each other become one, and what must stand between two others is put in;
* `"user and assistant"`: besides, no other role. Instructions, calls and results become text.
"""

ROLE_ORDERS: tuple[RoleOrder, ...] = get_args(RoleOrder)

_SYSTEM = ("system", "developer")

# What is joined where two messages become one. Other texts are what a provider wants back, such as a signature: of two
# of them, the last is sent, for one made of both is neither.
_TEXTS = ("reasoning_content", "reasoning", "refusal")

# What stands for a turn that nobody took. Mistral's API, for one, refuses a user right after a tool's result.
_STAND_INS = {"user": "(Go on.)", "assistant": "(I have seen the results.)"}


def arrange_roles(messages: Sequence[OpenAIMessage], order: RoleOrder) -> list[OpenAIMessage]:
    """The messages with their roles in `order`; the messages that are given stay as they are.

    Args:
        messages: OpenAI messages, oldest first.
        order: What the template takes.
    """
    if order == "as given":
        return list(messages)
    if order == "user and assistant":
        return _alternate(_without_other_roles(messages))
    first = list(takewhile(_is_system, messages))
    later = [_as_user(turn, turn["role"]) if _is_system(turn) else turn for turn in messages[len(first) :]]
    # Templates that want an order do not know the developer's role.
    arranged = [{**_join(first), "role": "system"}, *later] if first else later
    return _alternate(arranged) if order == "alternating" else arranged


def split_calls(turns: Sequence[OpenAIMessage]) -> list[OpenAIMessage]:
    """Each call in a turn of its own, with its result after it; the messages that are given stay as they are."""
    split: list[OpenAIMessage] = []
    number = 0
    while number < len(turns):
        turn = turns[number]
        number += 1
        calls = turn.get("tool_calls") or ()
        if len(calls) < 2:
            split.append(turn)
            continue
        # Those of this turn alone: some servers give the ids of an earlier turn once more.
        results = list(takewhile(lambda one: one["role"] == "tool", turns[number:]))
        number += len(results)
        for place, call in enumerate(calls):
            split.append({**turn, "content": "" if place else turn["content"], "tool_calls": [call]})
            split += [result for result in results if result["tool_call_id"] == call["id"]]
        known = {call["id"] for call in calls}
        split += [result for result in results if result["tool_call_id"] not in known]
    return split


def _alternate(messages: Sequence[OpenAIMessage]) -> list[OpenAIMessage]:
    """User and assistant in turn, after a system message if there is one."""
    arranged: list[OpenAIMessage] = []
    for given in messages:
        before, message = arranged[-1] if arranged else {"role": "system"}, given
        follows_call = before["role"] == "tool" or bool(before.get("tool_calls"))
        if given["role"] == "tool" and not follows_call:  # its call was trimmed away
            message = _result_as_user(given, {})
        elif given["role"] not in ("system", "user", "assistant", "tool"):
            message = _as_user(given, given["role"])
        role = message["role"]
        if role == before["role"] and role in ("user", "assistant"):
            arranged[-1] = _join([before, message])
            continue
        if role == "user" and before["role"] == "tool":
            arranged.append({"role": "assistant", "content": _STAND_INS["assistant"]})
        elif role == "assistant" and before["role"] == "system":
            arranged.append({"role": "user", "content": _STAND_INS["user"]})
        arranged.append(message)
    if arranged and arranged[-1]["role"] == "system":  # there is nothing else
        arranged.append({"role": "user", "content": _STAND_INS["user"]})
    return arranged


def _without_other_roles(messages: Sequence[OpenAIMessage]) -> list[OpenAIMessage]:
    """The same with messages of user and assistant alone: the rest is written into their text."""
    written: list[OpenAIMessage] = []
    names: dict[str, str] = {}  # of the tools, by the ids of their calls
    for message in messages:
        role = message["role"]
        if role == "assistant" and message.get("tool_calls"):
            calls = [call["function"] for call in message["tool_calls"]]
            names |= {call["id"]: call["function"]["name"] for call in message["tool_calls"]}
            told = "\n".join(f"(I call {call['name']} with {call['arguments']})" for call in calls)
            rest = {name: value for name, value in message.items() if name != "tool_calls"}
            written.append({**rest, "content": _join_contents(message["content"], told)})
        elif role == "tool":
            written.append(_result_as_user(message, names))
        elif _is_system(message) and not written:
            written.append({**message, "role": "user"})  # where Gemma's own examples have instructions
        elif role in ("user", "assistant"):
            written.append(message)
        else:
            written.append(_as_user(message, role))
    return written


def _is_system(message: OpenAIMessage) -> bool:
    return message["role"] in _SYSTEM


def _as_user(message: OpenAIMessage, mark: str) -> OpenAIMessage:
    """A message of the user that says who really speaks."""
    content = message["content"]
    before, after = f"<{mark}>\n", f"\n</{mark}>"
    marked = (
        f"{before}{content}{after}" if isinstance(content, str) else [text_part(before), *content, text_part(after)]
    )
    return {**message, "role": "user", "content": marked}


def _result_as_user(message: OpenAIMessage, names: Mapping[str, str]) -> OpenAIMessage:
    """A tool's result as a message of the user."""
    call_id = message.get("tool_call_id", "")
    name = names.get(call_id) or message.get("name")
    told = f"The result of {name}:" if name else "The result of a tool:"
    rest = {key: value for key, value in message.items() if key not in ("tool_call_id", "name")}
    return {**rest, "role": "user", "content": _join_contents(told, message["content"], "\n")}


def _join(messages: Sequence[OpenAIMessage]) -> OpenAIMessage:
    """One message of several of one role."""
    names = {message.get("name") for message in messages}
    if len(names) > 1:  # who said what is in the text then
        spoken = [f"{message['name']}:" if message.get("name") else "" for message in messages]
        messages = [
            {**message, "name": "", "content": _join_contents(name, message["content"], " ")}
            for name, message in zip(spoken, messages, strict=True)
        ]
    joined: OpenAIMessage = {}
    for key, value in (item for message in messages for item in message.items()):
        known = joined.get(key)
        if key == "content" and known is not None:
            joined[key] = _join_contents(known, value)
        elif isinstance(known, list) and isinstance(value, list):  # calls, and what a provider wants back
            joined[key] = [*known, *value]
        elif key in _TEXTS and isinstance(known, str) and isinstance(value, str) and known != value:
            joined[key] = "\n\n".join(filter(None, [known, value]))
        else:
            joined[key] = value
    if not joined.get("name"):
        joined.pop("name", None)
    return joined


def _join_contents(one: Any, other: Any, between: str = "\n\n") -> Any:
    """Two contents as one: text if both are, else parts."""
    if isinstance(one, str) and isinstance(other, str):
        return between.join(filter(None, [one, other]))
    return [
        part
        for content in (one, other)
        for part in (content if isinstance(content, list) else [text_part(content)] if content else [])
    ]
