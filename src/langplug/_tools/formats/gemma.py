"""Gemma 4 and FunctionGemma: `call:add{a:1}`, in tokens, with strings between tokens of their own."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langplug._tools.call_templates import CallTemplate
from langplug._tools.literals import arguments_of
from langplug._tools.references import Schema
from langplug._tools.scanner import Read, Scanner
from langplug._tools.schema import dump
from langplug._tools.shapes import format_of

_PLAIN = re.compile(r"[^<{}\[\]]*")
_WORD = re.compile(r"[^\s,:{}\[\]]+(\s*:)?")
_SIMPLE_KEY = re.compile(r"[A-Za-z_][\w.-]*")


@dataclass(frozen=True, slots=True)
class GemmaArguments:
    """Arguments as `{key:value,...}`, with strings between two of one token, in which nothing is escaped.

    Attributes:
        quote: The token.
    """

    quote: str

    def write(self, args: Mapping[str, Any]) -> str:
        """The arguments with their braces."""
        return self._write(dict(args))

    def _write(self, value: Any) -> str:
        if isinstance(value, str):
            return f"{self.quote}{value}{self.quote}"
        if isinstance(value, dict):
            keys = {key: key if _SIMPLE_KEY.fullmatch(key) else self._write(key) for key in value}
            return f"{{{','.join(f'{keys[key]}:{self._write(value[key])}' for key in value)}}}"
        if isinstance(value, list | tuple):
            return f"[{','.join(map(self._write, value))}]"
        return dump(value)

    def begins(self) -> str:
        """The opening brace."""
        return r"\{"

    def read(self, scanner: Scanner, schema: Schema, closers: Sequence[str]) -> Read[dict[str, Any] | None]:
        """The arguments, up to the brace that closes them."""
        pieces: list[str] = []  # of JSON
        depth = 0
        while True:
            pieces.append(_WORD.sub(_as_json, (yield from scanner.run(_PLAIN))))
            if (yield from scanner.one_of((self.quote,))):
                text, is_whole = yield from scanner.until(self.quote)
                if not is_whole:
                    return None
                pieces.append(dump(text))
                continue
            char = yield from scanner.peek()
            if char not in ("{", "[", "}", "]"):  # the end, or the tag that closes the call
                return None
            pieces.append((yield from scanner.take()))
            depth += 1 if char in "{[" else -1
            if depth <= 0:
                return arguments_of("".join(pieces))


def _as_json(word: re.Match[str]) -> str:
    """A bare key, number or word as JSON."""
    if word[1]:
        return f"{dump(word[0].removesuffix(word[1]))}:"
    try:
        json.loads(word[0])
    except ValueError:
        return dump(word[0])
    return word[0]


@dataclass(frozen=True, slots=True)
class GemmaResult:
    """Writes a result as `response:add{value:...}`."""

    opener: str
    closer: str
    quote: str

    def __call__(self, name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
        """The result; one that failed has its content under `error`."""
        told = {"id": call_id} if call_id else {}
        key = "error" if is_error else "value"
        return f"{self.opener}response:{name}{GemmaArguments(self.quote).write({key: content, **told})}{self.closer}"


FORMATS = (
    # vllm examples/tool_chat_template_gemma4.jinja
    format_of(
        "gemma4",
        CallTemplate(
            call="<|tool_call>call:{name}{arguments}<tool_call|>", separator="", arguments=GemmaArguments('<|"|>')
        ),
        GemmaResult("<|tool_response>", "<tool_response|>", '<|"|>'),
        tools=("<|tool>", "<tool|>"),
    ),
    # https://ai.google.dev/gemma/docs/functiongemma/formatting-and-best-practices
    format_of(
        "functiongemma",
        CallTemplate(
            call="<start_function_call>call:{name}{arguments}<end_function_call>",
            separator="",
            arguments=GemmaArguments("<escape>"),
        ),
        GemmaResult("<start_function_response>", "<end_function_response>", "<escape>"),
        tools=("<start_function_declaration>", "<end_function_declaration>"),
    ),
)
