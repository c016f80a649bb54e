"""Chat templates in Jinja, as Hugging Face models ship them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_core.messages import BaseMessage

from langplug._messages.openai import to_openai_messages

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.ext import Extension


def render_jinja(messages: Sequence[BaseMessage], template: str, *, tools: Sequence[Mapping[str, Any]] = ()) -> str:
    """Render a chat template the way transformers does, in a sandbox.

    The template gets `messages` (OpenAI messages, with the arguments of tool calls as mappings), `tools` (None if there
    are none), `add_generation_prompt=True`, `raise_exception()`, `strftime_now()`, `tojson`, `{% break %}`,
    `{% continue %}` and `{% generation %}`. `bos_token` and `eos_token` are empty, as tokenizers add the first; a
    template that needs the other is given as `"{% set eos_token = '</s>' %}" + template`.
    See https://huggingface.co/docs/transformers/chat_templating_writing.

    Raises:
        ImportError: If jinja2 is not installed.
        ValueError: If the template is broken or refuses the conversation.
    """
    compiled = _compile(template)
    turns = [_with_parsed_arguments(message) for message in to_openai_messages(messages)]
    try:
        return compiled.render(
            messages=turns,
            tools=[dict(tool) for tool in tools] or None,
            documents=None,
            add_generation_prompt=True,
            bos_token="",
            eos_token="",
        )
    except Exception as error:  # a template is foreign code and may fail in any way
        raise ValueError(f"The chat template does not take this conversation: {error}") from error


@lru_cache(maxsize=32)
def _compile(template: str) -> Template:
    try:
        from jinja2 import TemplateSyntaxError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise ImportError("A Jinja chat template needs jinja2, which is not installed: pip install jinja2") from error
    extensions = [loopcontrols, _generation_block()]
    environment: Any = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.filters["tojson"] = _tojson  # Jinja's own escapes for HTML
    functions = {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
    try:
        compiled: Template = environment.from_string(template, globals=functions)
    except TemplateSyntaxError as error:
        raise ValueError(f"The chat template is broken in line {error.lineno}: {error.message}") from error
    return compiled


def _generation_block() -> type[Extension]:
    """Return the extension for `{% generation %}`, which marks what the model said; here it marks nothing."""
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser

    class GenerationBlock(Extension):
        tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return GenerationBlock


def _with_parsed_arguments(message: dict[str, Any]) -> dict[str, Any]:
    if "tool_calls" not in message:
        return message
    return message | {"tool_calls": [_parsed(call) for call in message["tool_calls"]]}


def _parsed(call: dict[str, Any]) -> dict[str, Any]:
    try:
        arguments = json.loads(call["function"]["arguments"])
    except ValueError:
        return call
    return call | {"function": call["function"] | {"arguments": arguments}}


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
