"""A conversation as one string, for models that only complete text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from langchain_core.messages import BaseMessage

from langplug._messages.openai import openai_turns

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

_CALL_TAGS = ("<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>")


def _tool_list(call: str) -> tuple[str, str, str]:
    """Return the text around the tools, with `call` as the example of how to call one."""
    return ("You can call these tools:\n<tools>\n", "\n", f"\n</tools>\nTo call one, write:\n{call}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    r"""How a conversation becomes one string. Each text goes in as it is; nothing in it is escaped.

    The begin-of-text token (`<s>`, `<|begin_of_text|>`) belongs to no template: tokenizers add it.

    Attributes:
        user: The texts before and behind what the user said.
        assistant: The same for the model's answers.
        system: The same for instructions. None: they are said by the user.
        tool: The same for the result of a tool. None: it is said by the user.
        generation: What the prompt ends with, so that the model goes on as the assistant.
        merge: Whether turns of one role in a row become one, with a blank line between them.
        tools: The texts before, between and behind the tools, each one line of JSON. They stand at the end of the
            first instructions.
        calls: The texts before, between and behind the calls of an answer, each `{"name": ..., "arguments": ...}`.
        arguments: The name of the arguments in a call.
    """

    user: tuple[str, str]
    assistant: tuple[str, str]
    system: tuple[str, str] | None = None
    tool: tuple[str, str] | None = None
    generation: str = ""
    merge: bool = False
    tools: tuple[str, str, str] = _tool_list('<tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call>')
    calls: tuple[str, str, str] = _CALL_TAGS
    arguments: str = "arguments"


_TEMPLATES: Mapping[str, PromptTemplate] = {
    "plain": PromptTemplate(
        system=("System: ", "\n"),
        user=("Human: ", "\n"),
        assistant=("AI: ", "\n"),
        tool=("Tool: ", "\n"),
        generation="AI:",
    ),
    # ChatML, with tools as Hermes and Qwen2.5 have them
    "chatml": PromptTemplate(
        system=("<|im_start|>system\n", "<|im_end|>\n"),
        user=("<|im_start|>user\n", "<|im_end|>\n"),
        assistant=("<|im_start|>assistant\n", "<|im_end|>\n"),
        tool=("<|im_start|>user\n<tool_response>\n", "\n</tool_response><|im_end|>\n"),
        generation="<|im_start|>assistant\n",
    ),
    # https://www.llama.com/docs/model-cards-and-prompt-formats/meta-llama-3/ and, for tools, llama3_1
    "llama3": PromptTemplate(
        system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
        user=("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        assistant=("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
        tool=("<|start_header_id|>ipython<|end_header_id|>\n\n", "<|eot_id|>"),
        generation="<|start_header_id|>assistant<|end_header_id|>\n\n",
        tools=_tool_list('{"name": "...", "parameters": {...}}'),
        calls=("", "\n", ""),
        arguments="parameters",
    ),
    # https://docs.mistral.ai/guides/tokenization/ (the v3 form)
    "mistral": PromptTemplate(
        user=("[INST] ", " [/INST]"),
        assistant=(" ", "</s>"),
        tool=("[TOOL_RESULTS] ", "[/TOOL_RESULTS]"),
        merge=True,
        tools=_tool_list('[TOOL_CALLS] [{"name": "...", "arguments": {...}}]'),
        calls=("[TOOL_CALLS] [", ", ", "]"),
    ),
}

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


@dataclass(frozen=True, slots=True)
class _Line:
    role: Role
    text: str


def render_prompt(
    messages: Sequence[BaseMessage], template: str | PromptTemplate, *, tools: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Return the conversation as one string, which ends where the model's answer begins.

    Args:
        messages: The conversation. Reasoning is left out.
        template: `"plain"`, `"chatml"`, `"llama3"`, `"mistral"`, a `PromptTemplate`, or the text of a Jinja chat
            template as Hugging Face models ship them (see `langplug._messages.jinja.render_jinja`).
        tools: The tools that may be called, as OpenAI tool dicts.

    Raises:
        ValueError: If there is no such template, or it cannot hold a message, such as one with an image; also if a
            Jinja template is broken or refuses the conversation.
        ImportError: If it is a Jinja template and jinja2 is not installed.
    """
    if isinstance(template, str) and ("{%" in template or "{{" in template):
        from langplug._messages.jinja import render_jinja

        return render_jinja(messages, template, tools=tools)
    return _render(messages, _named(template), tools)


def _named(template: str | PromptTemplate) -> PromptTemplate:
    if isinstance(template, PromptTemplate):
        return template
    if template in _TEMPLATES:
        return _TEMPLATES[template]
    near = get_close_matches(template, _TEMPLATES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    known = ", ".join(map(repr, _TEMPLATES))
    raise ValueError(
        f"There is no prompt template {template!r}; expected {known}, a Jinja chat template or a PromptTemplate.{hint}"
    )


def _render(messages: Sequence[BaseMessage], template: PromptTemplate, tools: Sequence[Mapping[str, Any]]) -> str:
    turns = list(_turns(messages, template))
    if tools:
        turns = _with_tools(turns, _tools_text(tools, template))
    turns = [_spoken(turn, template) for turn in turns]
    if template.merge:
        turns = _merged(turns)
    return "".join(_framed(turn, template) for turn in turns) + template.generation


def _turns(messages: Sequence[BaseMessage], template: PromptTemplate) -> Iterator[_Line]:
    for n, message in enumerate(messages):
        path = f"$.messages[{n}]"
        for turn in openai_turns(message, path):
            text = _only_text(turn["content"], path)
            yield _Line(_role(turn["role"], path), _with_calls(text, turn.get("tool_calls", ()), template))


def _only_text(content: str | list[dict[str, Any]], path: str) -> str:
    if isinstance(content, str):
        return content
    kind = next(part["type"] for part in content if part["type"] != "text")
    raise ValueError(f"{path} holds a part of the type {kind!r}; expected text only, as the prompt is one string.")


def _role(role: str, path: str) -> Role:
    if role not in _ROLES:
        raise ValueError(f"{path} has the role {role!r}; expected one of {', '.join(_ROLES)}.")
    return _ROLES[role]


def _with_calls(text: str, calls: Sequence[Mapping[str, Any]], template: PromptTemplate) -> str:
    if not calls:
        return text
    before, between, behind = template.calls
    said = before + between.join(_call(call["function"], template) for call in calls) + behind
    return f"{text}\n{said}" if text else said


def _call(function: Mapping[str, str], template: PromptTemplate) -> str:
    # the arguments are JSON already, and stay as they came where that is broken
    return f'{{"name": {json.dumps(function["name"])}, "{template.arguments}": {function["arguments"]}}}'


def _tools_text(tools: Sequence[Mapping[str, Any]], template: PromptTemplate) -> str:
    before, between, behind = template.tools
    return before + between.join(json.dumps(tool, ensure_ascii=False) for tool in tools) + behind


def _with_tools(turns: list[_Line], tools: str) -> list[_Line]:
    if turns and turns[0].role == "system":
        return [replace(turns[0], text=f"{turns[0].text}\n\n{tools}"), *turns[1:]]
    return [_Line("system", tools), *turns]


def _spoken(turn: _Line, template: PromptTemplate) -> _Line:
    return turn if getattr(template, turn.role) else replace(turn, role="user")


def _merged(turns: Sequence[_Line]) -> list[_Line]:
    merged: list[_Line] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role != "tool":
            merged[-1] = replace(turn, text=f"{merged[-1].text}\n\n{turn.text}")
        else:
            merged.append(turn)
    return merged


def _framed(turn: _Line, template: PromptTemplate) -> str:
    before, behind = getattr(template, turn.role)
    return f"{before}{turn.text}{behind}"
