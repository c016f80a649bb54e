"""A conversation as one string, for models that only complete text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from langchain_core.messages import BaseMessage

from langplug._messages.blocks import join_texts
from langplug._messages.kept_reasoning import KeepReasoning, write_reasoning_in_tags
from langplug._messages.openai import openai_turns
from langplug._suggest import did_you_mean

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


def _tool_list(call: str) -> tuple[str, str, str]:
    """The texts around the tools, with `call` as the example of how to call one."""
    return ("You can call these tools:\n<tools>\n", "\n", f"\n</tools>\nTo call one, write:\n{call}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    r"""How a conversation becomes one string. Each text goes in as it is; nothing in it is escaped.

    The begin-of-text token (`<s>`, `<|begin_of_text|>`) belongs to no template: tokenizers add it.

    Attributes:
        user: The texts before and after a message of the user.
        assistant: The same for an answer of the model.
        system: The same for instructions. None: they become messages of the user.
        tool: The same for the result of a tool. None: it becomes a message of the user.
        generation: The end of the prompt, after which the model goes on as the assistant.
        merge: Whether messages of one role in a row become one, with a blank line between them.
        tools: The texts before, between and after the tools, each of which is one line of JSON. They stand at the end
            of the first instructions.
        calls: The texts before, between and after the calls of an answer, each `{"name": ..., "arguments": ...}`.
        arguments: The name of the arguments in a call.
    """

    user: tuple[str, str]
    assistant: tuple[str, str]
    system: tuple[str, str] | None = None
    tool: tuple[str, str] | None = None
    generation: str = ""
    merge: bool = False
    tools: tuple[str, str, str] = _tool_list('<tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call>')
    calls: tuple[str, str, str] = ("<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>")
    arguments: str = "arguments"


_TEMPLATES: Mapping[str, PromptTemplate] = {
    "plain": PromptTemplate(
        system=("System: ", "\n"),
        user=("Human: ", "\n"),
        assistant=("AI: ", "\n"),
        tool=("Tool: ", "\n"),
        generation="AI:",
    ),
    # ChatML, with tools as Hermes and Qwen2.5 write them
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
    # https://docs.mistral.ai/guides/tokenization/ (the v3 form); it knows no system role and wants roles to alternate
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


@dataclass(slots=True)
class _Line:
    """One message of the prompt."""

    role: Role
    text: str


def render_prompt(
    messages: Sequence[BaseMessage],
    template: str | PromptTemplate,
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    keep_reasoning: KeepReasoning = "never",
    thinking: bool | None = None,
) -> str:
    """Return the conversation as one string, which ends where the model's answer begins.

    Args:
        messages: The conversation.
        template: `"plain"`, `"chatml"`, `"llama3"`, `"mistral"`, a `PromptTemplate`, or the text of a Jinja chat
            template as Hugging Face models ship them (see `langplug._messages.jinja.render_jinja`).
        tools: The tools that may be called, as OpenAI tool dicts.
        keep_reasoning: Which reasoning of earlier answers it holds.
        thinking: Sets a Jinja template's own switch of reasoning, if it has one; None leaves it at its default.

    Raises:
        ValueError: If the template is unknown, or cannot hold a message, such as one with an image; also if a
            Jinja template is broken or refuses the conversation.
        ImportError: If it is a Jinja template and jinja2 is not installed.
    """
    # a model is not told what is for its server, such as `cache_control`
    tools = [
        {key: tool[key] for key in ("type", "function") if key in tool} if "function" in tool else tool
        for tool in tools
    ]
    if isinstance(template, str) and ("{%" in template or "{{" in template):
        from langplug._messages.jinja import render_jinja

        return render_jinja(messages, template, tools=tools, keep_reasoning=keep_reasoning, thinking=thinking)
    if isinstance(template, str):
        if template not in _TEMPLATES:
            known = ", ".join(map(repr, _TEMPLATES))
            raise ValueError(
                f"There is no prompt template {template!r}; expected {known}, a Jinja chat template or a "
                f"PromptTemplate.{did_you_mean(template, _TEMPLATES)}"
            )
        template = _TEMPLATES[template]
    messages = write_reasoning_in_tags(messages, keep_reasoning)
    lines = [line for n, message in enumerate(messages) for line in _lines_of(message, f"$.messages[{n}]", template)]
    if tools:
        before, between, after = template.tools
        listed = before + between.join(json.dumps(tool, ensure_ascii=False) for tool in tools) + after
        if lines and lines[0].role == "system":
            lines[0].text += f"\n\n{listed}"
        else:
            lines.insert(0, _Line("system", listed))
    fitted: list[_Line] = []
    for line in lines:
        role: Role = line.role if getattr(template, line.role) else "user"
        # results stay apart even where lines are merged: a model tells by their tags which result is which
        if template.merge and fitted and fitted[-1].role == role != "tool":
            fitted[-1].text += f"\n\n{line.text}"
        else:
            fitted.append(_Line(role, line.text))
    prompt = ""
    for line in fitted:
        before, after = getattr(template, line.role)
        prompt += f"{before}{line.text}{after}"
    return prompt + template.generation


def _lines_of(message: BaseMessage, path: str, template: PromptTemplate) -> list[_Line]:
    """The lines of one message, with its calls as the template writes them."""
    lines: list[_Line] = []
    for turn in openai_turns(message, path):
        role, text = turn["role"], turn["content"]
        if isinstance(text, list):
            text = join_texts(text, role, drop_keys=True)
        if not isinstance(text, str):
            kind = next(part["type"] for part in text if part["type"] != "text")
            raise ValueError(
                f"{path} holds a part of the type {kind!r}; expected text only, as the prompt is one string."
            )
        if role not in _ROLES:
            raise ValueError(f"{path} has the role {role!r}; expected one of {', '.join(_ROLES)}.")
        if calls := turn.get("tool_calls"):
            before, between, after = template.calls
            # the arguments are JSON already, and stay as they came where that is broken
            written = between.join(
                f'{{"name": {json.dumps(function["name"])}, "{template.arguments}": {function["arguments"]}}}'
                for function in (call["function"] for call in calls)
            )
            text = f"{text}\n{before}{written}{after}" if text else f"{before}{written}{after}"
        lines.append(_Line(_ROLES[role], text))
    return lines
