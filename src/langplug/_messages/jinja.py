"""Chat templates in Jinja, as Hugging Face models ship them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_core.messages import BaseMessage

from langplug._errors import advised
from langplug._families import THINK, family_for
from langplug._messages.blocks import join_texts
from langplug._messages.kept_reasoning import KeepReasoning, write_reasoning_in_tags
from langplug._messages.openai import to_openai_messages
from langplug._messages.template_checks import check_template
from langplug._messages.template_parts import fit_parts
from langplug._messages.thinking import say_no_think, switch_values

if TYPE_CHECKING:
    from jinja2 import Template


def render_jinja(
    messages: Sequence[BaseMessage],
    template: str,
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    keep_reasoning: KeepReasoning = "never",
    thinking: bool | None = None,
) -> str:
    """Render a chat template the way transformers does, in a sandbox.

    The template gets `messages` (OpenAI messages, with the arguments of tool calls as mappings, or as JSON text if it
    joins them to other text, and images as `{"type": "image"}`), `tools` (None if there are none),
    `add_generation_prompt=True`, `raise_exception()`, `strftime_now()`, `tojson`, `{% break %}`,
    `{% continue %}` and `{% generation %}`. `bos_token` and `eos_token` are empty, as tokenizers add the first; a
    template that needs the other is given as `"{% set eos_token = '</s>' %}" + template`.
    See https://huggingface.co/docs/transformers/chat_templating_writing.

    Args:
        messages: The conversation.
        template: The template's text.
        tools: The tools that may be called, as OpenAI tool dicts.
        keep_reasoning: Which reasoning of earlier answers the template gets: in their `reasoning_content`, if it reads
            that, else in their text.
        thinking: Sets the template's own switch of reasoning, if it has one; None leaves it at its default.

    Raises:
        ImportError: If jinja2 is not installed.
        ValueError: If the template is broken, refuses the conversation, or does more than any conversation needs.
    """
    compiled = compile_template(template)
    if "reasoning_content" in template:
        turns = to_openai_messages(messages, keep_reasoning, media_in="user")
    else:
        tags = family_for(template).reasoning or THINK
        turns = to_openai_messages(write_reasoning_in_tags(messages, keep_reasoning, tags), media_in="user")
    written: list[tuple[dict[str, Any], str]] = []  # the functions of calls, and their arguments as text
    for turn in turns:
        if isinstance(turn["content"], list):  # keys of parts are for servers, and many templates take text alone
            turn["content"] = join_texts(turn["content"], turn["role"], drop_keys=True)
        for call in turn.get("tool_calls", ()):
            function: dict[str, Any] = call["function"]
            written.append((function, function["arguments"]))
            with suppress(ValueError):  # broken arguments stay the text that they are
                # templates iterate over the arguments, or write them with `tojson`: as text they would be quoted twice
                function["arguments"] = json.loads(function["arguments"])
    if thinking is False:
        turns = say_no_think(turns, template)
    turns = fit_parts(turns, template)

    def render() -> str:
        return compiled.render(
            messages=turns,
            tools=[dict(tool) for tool in tools] or None,
            documents=None,
            add_generation_prompt=True,
            bos_token="",
            eos_token="",
            **({} if thinking is None else switch_values(thinking, template)),
        )

    try:
        try:
            return render()
        except TypeError:  # DeepSeek's templates concatenate the arguments with other text
            for function, arguments in written:
                function["arguments"] = arguments
            return render()
    except Exception as error:  # a template is foreign code and may fail in any way
        raise ValueError(f"The chat template does not take this conversation: {error}") from error


@lru_cache(maxsize=32)
def compile_template(template: str) -> Template:
    """A chat template, ready to be rendered; the last ones are remembered, as parsing a long one takes milliseconds.

    Raises:
        ImportError: If jinja2 is not installed.
        ValueError: If the template is broken, too long, or nested too deeply.
    """
    check_template(template)
    try:
        from jinja2 import TemplateError, TemplateSyntaxError, nodes
        from jinja2.ext import Extension, loopcontrols
        from jinja2.parser import Parser

        from langplug._messages.jinja_limits import BoundedEnvironment
    except ImportError as error:
        raise ImportError("A Jinja chat template needs jinja2, which is not installed: pip install jinja2") from error

    class GenerationBlock(Extension):
        """`{% generation %}`, with which transformers masks the model's own words in training; here it does nothing."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    extensions = [loopcontrols, GenerationBlock]
    environment: Any = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    # Jinja's own `tojson` escapes `<`, `>`, `&` and `'` for HTML, which no model was trained on
    environment.filters["tojson"] = tojson
    functions = {
        "raise_exception": raise_exception,
        "strftime_now": lambda form: datetime.now().astimezone().strftime(form),
    }
    try:
        compiled: Template = environment.from_string(template, globals=functions)
    except TemplateSyntaxError as error:
        raise advised(ValueError(f"The chat template is broken in line {error.lineno}: {error.message}")) from error
    except (SyntaxError, RecursionError) as error:  # Python takes no more than 20 loops within each other
        raise advised(ValueError(f"The chat template is too deep: {error}")) from error
    return compiled
