"""`<tool_call>` tags, with JSON in them (Hermes, Qwen2.5, Qwen3, SmolLM2) or XML (Qwen3-Coder, Qwen3.5).

Hermes: https://github.com/NousResearch/Hermes-Function-Calling. The XML is that of the chat template at
https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct. Llama 3.1 writes `<function=name>{...}</function>`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langplug._parts import ToolCall
from langplug._tools.json_calls import JsonCalls
from langplug._tools.literals import arguments_of, read_value
from langplug._tools.markup import Found, Markup
from langplug._tools.scanner import Read, Scanner
from langplug._tools.schemas import Schema, typed

OPENER, CLOSER = "<tool_call>", "</tool_call>"
FUNCTION, FUNCTION_CLOSER = "<function=", "</function>"
PARAMETER, PARAMETER_CLOSER = "<parameter=", "</parameter>"


class TaggedCalls:
    """Reader of what stands in a `<tool_call>`: JSON or XML.

    The closing tag ends a call, except within a JSON string. If such a string is never closed, the answer is read again
    from the call on, and from there on a closing tag ends a call wherever it stands.
    """

    def __init__(self, names: Collection[str], schemas: Mapping[str, Schema]) -> None:
        self._json = JsonCalls(names, sure=True, closer=CLOSER)
        self._xml = FunctionCalls(names, schemas)

    def read(self, scanner: Scanner) -> Read[Found]:
        """The first call in the tag; its opener was read."""
        if not scanner.rewound:
            calls = yield from self._body(scanner)
            if _is_whole(calls) or not scanner.at_end or CLOSER not in scanner.marked():
                return calls
            scanner.rewind(len(OPENER))
        hidden = scanner.narrow(CLOSER)
        calls = yield from self._body(scanner)
        scanner.widen(hidden)
        return calls

    def _body(self, scanner: Scanner) -> Read[Found]:
        yield from scanner.blanks()
        if (yield from scanner.peek()) != "<":
            return (yield from self._json.read_any(scanner))
        if not (yield from scanner.skip(FUNCTION)):
            return None
        return (yield from self._xml.read(scanner))

    def behind(self) -> Sequence[Markup]:
        """What may stand directly behind a call."""
        closers = [Markup(closer, where="behind a call") for closer in (CLOSER, FUNCTION_CLOSER)]
        return (*self._json.behind(), *closers)


class FunctionCalls:
    """Reader of `<function=name>`, with a `<parameter=key>` for each argument, or one JSON object.

    A value is text: one newline at each end of it goes, and the tool's schema says what it is; what does not fit the
    schema, or is not in it, stays text.
    """

    def __init__(self, names: Collection[str], schemas: Mapping[str, Schema]) -> None:
        self._names = frozenset(f"{name}>" for name in names)
        self._schemas = schemas

    def read(self, scanner: Scanner) -> Read[Found]:
        """The call; its `<function=` was read."""
        name = ((yield from scanner.one_of(self._names)) or "")[:-1]
        if not name:
            return None
        yield from scanner.blanks()
        if (yield from scanner.peek()) == "{":
            args = yield from self._object(scanner)
        else:
            args = yield from self._parameters(scanner, self._schemas.get(name, {}))
        return [ToolCall(name=name, args=_raw(scanner, name) if args is None else args)]

    def _object(self, scanner: Scanner) -> Read[dict[str, Any] | None]:
        text, is_whole = yield from read_value(scanner, in_tag=True)
        args = arguments_of(text) if is_whole else None
        if args is None:
            yield from scanner.until(FUNCTION_CLOSER)
        return args

    def _parameters(self, scanner: Scanner, schema: Schema) -> Read[dict[str, Any] | None]:
        args: dict[str, Any] = {}
        while True:
            yield from scanner.blanks()
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
            args[key] = typed(_without_frame(value), key, schema)


def tagged(names: Collection[str], schemas: Mapping[str, Schema]) -> Sequence[Markup]:
    """`<tool_call>...</tool_call>`."""
    calls = TaggedCalls(names, schemas)
    return (Markup(OPENER, calls.read), *calls.behind())


def functions(names: Collection[str], schemas: Mapping[str, Schema]) -> Sequence[Markup]:
    """`<function=name>...</function>` without a tag around it."""
    closers = [Markup(closer, where="behind a call") for closer in (FUNCTION_CLOSER, CLOSER)]
    return (Markup(FUNCTION, FunctionCalls(names, schemas).read), *closers)


def _is_whole(calls: list[ToolCall] | None) -> bool:
    return bool(calls) and not any(isinstance(call.args, str) for call in calls or ())


def _raw(scanner: Scanner, name: str) -> str:
    markup = scanner.marked()
    body = markup.partition(f"{FUNCTION}{name}>")[2].removesuffix(FUNCTION_CLOSER)
    return body.strip() or markup


def _without_frame(value: str) -> str:
    newline = "\r\n" if value.startswith("\r\n") else "\n"
    return value.removeprefix(newline).removesuffix(newline)
