"""Calls as JSON that stands by itself: at the start of a line, or fenced as Markdown has it."""

from collections.abc import Sequence
from dataclasses import dataclass

from langplug._tools.json_calls import BARE, FENCED, JsonCalls
from langplug._tools.markup import BoundTools, Found, Markup
from langplug._tools.scanner import Read, Scanner
from langplug._tools.shapes import IN_A_LIST, TaggedJson, WrittenCall, format_of

RESULT = ("Tool result: ", "")


@dataclass(frozen=True, slots=True)
class BareJson:
    """Objects, or a list of them, at the start of a line.

    Attributes:
        args_key: The key of the arguments that is written.
        in_list: Whether they are written as a list.
    """

    args_key: str = "arguments"
    in_list: bool = False

    def write(self, calls: Sequence[WrittenCall]) -> str:
        """Calls that were made at once."""
        text = "[{calls}]" if self.in_list else "{call}"
        return TaggedJson(text=text, args_key=self.args_key).write(calls)

    def markups(self) -> Sequence[Markup]:
        """Brackets."""
        return BARE


@dataclass(frozen=True, slots=True)
class FencedJson:
    """Objects, or a list of them, between fences that say `json`, `tool_call` or the like, or nothing."""

    def write(self, calls: Sequence[WrittenCall]) -> str:
        """Calls that were made at once."""
        return TaggedJson(text="```json\n[{calls}]\n```").write(calls)

    def markups(self) -> Sequence[Markup]:
        """Backticks."""
        return FENCED


@dataclass(frozen=True, slots=True)
class ActionList:
    """`Action:` and a list of objects in a fence."""

    def write(self, calls: Sequence[WrittenCall]) -> str:
        """Calls that were made at once."""
        text = "Action: ```json\n[\n    {calls}\n]\n```"
        return TaggedJson(text=text, name_key="tool_name", args_key="parameters", separator=",\n    ").write(calls)

    def markups(self) -> Sequence[Markup]:
        """The word at the start of a line."""
        return (
            Markup("Action:", read_action, "line start", r"[`{\[]"),
            *JsonCalls(sure=True).after_call(),
            Markup("```", where="after a call"),
        )


def read_action(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The first of the calls; `Action:` was read."""
    if (yield from scanner.skip("```")):
        yield from scanner.skip("json")
    return (yield from JsonCalls(sure=True).read_any(scanner, tools))


FORMATS = (
    format_of("json", BareJson(), RESULT, reads=[BareJson(), FencedJson()]),
    # https://huggingface.co/Salesforce/Llama-xLAM-2-8b-fc-r; vllm's parser reads fences and tags as well
    format_of(
        "xlam",
        BareJson(in_list=True),
        RESULT,
        reads=[
            BareJson(),
            FencedJson(),
            TaggedJson(text="<tool_call>{call}</tool_call>"),
            TaggedJson(text="[TOOL_CALLS]{call}"),
        ],
        several=IN_A_LIST,
    ),
    # https://huggingface.co/CohereLabs/c4ai-command-r-plus-08-2024
    format_of("command_r", ActionList(), ("<results>\n", "\n</results>"), several=IN_A_LIST),
)
