"""Python calls: `[add(a=1, b=2), now()]`, in a list, in tags or in a fence."""

from collections.abc import Sequence
from dataclasses import dataclass

from langplug._parts import ToolCall
from langplug._tools.json_calls import JsonCalls
from langplug._tools.literals import arguments_of, read_nested
from langplug._tools.markup import BoundTools, Found, Markup
from langplug._tools.scanner import Read, Scanner
from langplug._tools.shapes import WrittenCall, format_of

_JSON = JsonCalls(sure=True)


def read_call(scanner: Scanner, tools: BoundTools) -> Read[ToolCall | None]:
    """A call, after blanks.

    Arguments that are not literals make an invalid tool call of the text in the parentheses.
    """
    yield from scanner.blanks()
    name = yield from scanner.one_of(frozenset(tools))
    if not name or not (yield from scanner.skip("(")):
        return None
    text, is_whole = yield from read_nested(scanner, 1)
    args = arguments_of(f"{{{text[:-1]}}}") if is_whole else None
    return ToolCall(name=name, args=f"({text}" if args is None else args)


def read_list(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The first call of a list; its `[` was read."""
    call = yield from read_call(scanner, tools)
    return None if call is None else [call]


def read_tag(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The first call of a list in a tag, or of a list of JSON, as LFM2 may be told to write."""
    if not (yield from scanner.skip("[")):
        return None
    yield from scanner.blanks()
    if (yield from scanner.peek()) == "{":
        return (yield from _JSON.read_list(scanner, tools))
    return (yield from read_list(scanner, tools))


def read_next(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """One more call; the comma before it was read."""
    yield from scanner.blanks()
    if (yield from scanner.peek()) == "{":
        return (yield from _JSON.read_list(scanner, tools))
    return [] if scanner.at_end else (yield from read_list(scanner, tools))


def read_lines(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """All calls of a section, a line each; its opener was read."""
    calls: list[ToolCall] = []
    while True:
        # Gemma may print a call, or give it a name
        wrapped = yield from scanner.skip("print(")
        yield from scanner.skip("default_api.")
        call = yield from read_call(scanner, tools)
        if call is None:
            return calls or None
        calls.append(call)
        if wrapped:
            yield from scanner.skip(")")
        yield from scanner.skip(",")


@dataclass(frozen=True, slots=True)
class PythonCalls:
    """Calls as Python writes them.

    Attributes:
        section: What stands around them, with `{calls}`; `[{calls}]` alone counts at the start of a line.
        separator: What stands between two of them.
        also: Sections that are read as well.
    """

    section: str = "[{calls}]"
    separator: str = ", "
    also: tuple[str, ...] = ()

    def write(self, calls: Sequence[WrittenCall]) -> str:
        """Calls that were made at once."""
        written: list[str] = []
        for name, args, _ in calls:  # there is no place for ids
            if isinstance(args, str):
                inside = args.removeprefix("(").removesuffix(")")
            else:
                inside = ", ".join(f"{key}={value!r}" for key, value in args.items())
            written.append(f"{name}({inside})")
        return self.section.replace("{calls}", self.separator.join(written))

    def markups(self) -> Sequence[Markup]:
        """The list, or the sections."""
        markups = [Markup(",", read_next, "after a call"), Markup("]", where="after a call")]
        for section in (self.section, *self.also):
            opener, _, closer = (part.strip() for part in section.partition("{calls}"))
            if opener == "[":
                markups.append(Markup("[", read_list, "line start", r"\w"))
            elif opener.endswith("["):
                markups.append(Markup(opener.removesuffix("["), read_tag, follows=r"\["))
                markups.append(Markup(closer.removeprefix("]"), where="after a call"))
            else:
                markups.append(Markup(opener, read_lines, follows=r"\w"))
                markups.append(Markup(closer, where="after a call"))
        return markups


LLAMA4 = "<|python_start|>[{calls}]<|python_end|>"
RESULT = ("Tool result: ", "")

FORMATS = (
    # https://www.llama.com/docs/model-cards-and-prompt-formats/llama4/, ToolACE, and LFM2, which adds its own tags
    format_of(
        "pythonic",
        PythonCalls(also=(LLAMA4, "<|tool_call_start|>[{calls}]<|tool_call_end|>")),
        RESULT,
        several="For several calls, put all of them into the one list.",
    ),
    # vllm examples/tool_chat_template_olmo3.jinja
    format_of(
        "olmo3",
        PythonCalls("<function_calls>\n{calls}\n</function_calls>", "\n"),
        ("<function_result>\n", "\n</function_result>"),
        tools=("<functions>", "</functions>"),
        several="For several calls, write each on a line of its own between the tags.",
    ),
    # https://ai.google.dev/gemma/docs/capabilities/function-calling
    # and vllm examples/tool_chat_template_gemma3_pythonic.jinja, which asks for a list
    format_of(
        "gemma",
        PythonCalls("```tool_code\n{calls}\n```", "\n", also=("[{calls}]",)),
        ("```tool_output\n", "\n```"),
        several="For several calls, write each on a line of its own in the one fence.",
    ),
)
