"""`<tool_call>` tags, with JSON in them (Hermes, Qwen2.5, Qwen3, SmolLM2) or XML (Qwen3-Coder, Qwen3.5).

Hermes: https://github.com/NousResearch/Hermes-Function-Calling. The XML is that of the chat template at
https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct. Llama 3.1 writes `<function=name>{...}</function>`.
"""

from typing import Any

from langplug._parts import ToolCall
from langplug._tools.json_calls import JsonCalls
from langplug._tools.literals import arguments_of, read_value
from langplug._tools.markup import BoundTools, Found, Markup
from langplug._tools.references import Schema
from langplug._tools.scanner import Read, Scanner
from langplug._tools.schema import convert_argument

OPENER, CLOSER = "<tool_call>", "</tool_call>"
FUNCTION, FUNCTION_CLOSER = "<function=", "</function>"
PARAMETER, PARAMETER_CLOSER = "<parameter=", "</parameter>"

_JSON = JsonCalls(sure=True, closer=CLOSER)


def read_tag(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The first call in a `<tool_call>`, which was read: JSON or XML.

    The closing tag ends a call, except within a JSON string. If such a string is never closed, the answer is read again
    from the call on, and from there on a closing tag ends a call wherever it stands.
    """
    if not scanner.rewound:
        calls = yield from _read_body(scanner, tools)
        is_whole = bool(calls) and not any(isinstance(call.args, str) for call in calls or ())
        if is_whole or not scanner.at_end or CLOSER not in scanner.marked():
            return calls
        scanner.rewind(len(OPENER))
    hidden = scanner.narrow(CLOSER)
    calls = yield from _read_body(scanner, tools)
    scanner.widen(hidden)
    return calls


def _read_body(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    yield from scanner.blanks()
    if (yield from scanner.peek()) != "<":
        return (yield from _JSON.read_any(scanner, tools))
    if not (yield from scanner.skip(FUNCTION)):
        return None
    return (yield from read_function(scanner, tools))


def read_function(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The call of `<function=name>`, with a `<parameter=key>` for each argument, or one JSON object.

    A value is text: one newline at each end of it is left out, and the tool's schema says what it is; what does not fit
    the schema, or is not in it, stays text.
    """
    name = ((yield from scanner.one_of(f"{name}>" for name in tools)) or "")[:-1]
    if not name:
        return None
    yield from scanner.blanks()
    args: dict[str, Any] | None
    if (yield from scanner.peek()) == "{":
        text, is_whole = yield from read_value(scanner, in_tag=True)
        args = arguments_of(text) if is_whole else None
        if args is None:
            yield from scanner.until(FUNCTION_CLOSER)
    else:
        args = yield from _read_parameters(scanner, tools[name])
    if args is not None:
        return [ToolCall(name=name, args=args)]
    markup = scanner.marked()
    raw = markup.partition(f"{FUNCTION}{name}>")[2].removesuffix(FUNCTION_CLOSER).strip()
    return [ToolCall(name=name, args=raw or markup)]


def _read_parameters(scanner: Scanner, schema: Schema) -> Read[dict[str, Any] | None]:
    """The arguments, up to the end of the function; None if they are broken or cut off."""
    args: dict[str, Any] = {}
    while True:
        yield from scanner.blanks()
        # small models forget `</function>`: the tag around it ends the call as well
        tag = yield from scanner.one_of((PARAMETER, FUNCTION_CLOSER, CLOSER))
        if tag is None:
            yield from scanner.until(FUNCTION_CLOSER)
            return None
        if tag != PARAMETER:
            return args
        key, _ = yield from scanner.until(">")
        value, is_whole = yield from scanner.until(PARAMETER_CLOSER)
        if not is_whole:
            return None
        newline = "\r\n" if value.startswith("\r\n") else "\n"
        args[key] = convert_argument(value.removeprefix(newline).removesuffix(newline), key, schema)


_CLOSERS = tuple(Markup(closer, where="after a call") for closer in (CLOSER, FUNCTION_CLOSER))

TAGGED = (Markup(OPENER, read_tag), *_JSON.after_call(), *_CLOSERS)
"""`<tool_call>...</tool_call>`."""

FUNCTIONS = (Markup(FUNCTION, read_function), *_CLOSERS)
"""`<function=name>...</function>` without a tag around it."""
