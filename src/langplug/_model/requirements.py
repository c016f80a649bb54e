"""What an answer must hold, and what to say to a model whose answer does not."""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.exceptions import ModelError, ModelRefusalError
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langplug._answer.parser import Piece, text_of
from langplug._answer.tool_calls import WholeCall
from langplug._errors import UnmetDemandError, advised
from langplug._parts import Reasoning
from langplug._tools.json_schema_check import Problem
from langplug._tools.references import as_schema
from langplug._tools.schema import parse_json
from langplug._tools.toolbox import Toolbox, name_of

_ALLOW_OTHER_KEYS = frozenset({"patternProperties", "anyOf", "oneOf"})
"""Keywords of a schema that may allow keys which its `properties` do not name."""

MOST_ATTEMPTS = 3
"""How often a model is asked before its answer is given up."""


class Requirement(Protocol):
    """A condition on a whole answer."""

    @property
    def feature(self) -> str:
        """What it is about, for the list of adaptations."""
        ...

    def check(self, pieces: Sequence[Piece]) -> "Checked":
        """Look at an answer."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer that was looked at.

    Attributes:
        pieces: The answer, cleaned of what does not belong into it.
        problem: What is wrong with it, as said to the model when it is asked again; None: nothing.
        is_bearable: Whether it is given all the same, rather than an error, if it is no better when asked again.
        note: What was done to it, for the list of adaptations; empty: nothing.
    """

    pieces: list[Piece]
    problem: Problem = None
    is_bearable: bool = False
    note: str = ""


class CallRequirement:
    """The answer must hold a call, of one of the tools that the choice leaves open.

    Args:
        box: The tools.
        for_a_parser: Whether who gets the answer judges it by itself.
        history: The conversation. It shows how often a call that does not fit was given to somebody who sent it back.
    """

    feature = "tool_choice"

    def __init__(self, box: Toolbox, *, for_a_parser: bool, history: Sequence[BaseMessage]) -> None:
        self._for_a_parser = for_a_parser
        self._tools = {name_of(tool): tool for tool in box.callable_tools}
        self._history = history

    def check(self, pieces: Sequence[Piece]) -> Checked:
        """A call of another tool is as good as none; one whose arguments do not fit the tool is asked for again."""
        calls = [piece for piece in pieces if isinstance(piece, WholeCall) and piece.name in self._tools]
        if not calls and (call := self._call_in_text(pieces)) is not None:
            kept = [piece for piece in pieces if not isinstance(piece, str | WholeCall)]
            return Checked([*kept, call], note=f"read the JSON in the text as the arguments of {call.name!r}")
        if not calls:
            names = ", ".join(map(repr, self._tools))
            tools = f"the tool {names}" if len(self._tools) == 1 else f"one of the tools {names}"
            problem = f"You called no tool. You must call {tools} now, and say nothing else."
            return Checked(list(pieces), problem, self._for_a_parser)
        for call in calls:
            wrong = "they are not valid JSON" if call.parsed is None else self._tools[call.name].check(call.parsed)
            if wrong is not None:
                problem = f"The arguments of your call of {call.name!r} are wrong: {wrong}. Call it again."
                are_whole = all(call.parsed is not None for call in calls)
                return Checked(list(pieces), problem, self._for_a_parser or (are_whole and self._may_be_handed_on()))
        return Checked(list(pieces))

    def _call_in_text(self, pieces: Sequence[Piece]) -> WholeCall | None:
        """The call that JSON in the text is if it fits one tool, and that one alone, without a key too many or few.

        Models that are to call the one tool there is often write its arguments and nothing else.
        """
        text = text_of(pieces)
        try:
            value = parse_json(text)
        except ValueError:
            return None
        if not isinstance(value, dict) or (not value and text.strip() != "{}"):  # braces in prose are no arguments
            return None
        meant: list[str] = []
        for name, tool in self._tools.items():
            schema = as_schema(tool["function"].get("parameters"))
            # By default a schema allows other keys as well, but a model that writes one does not mean this tool.
            is_open = schema.get("additionalProperties") or not _ALLOW_OTHER_KEYS.isdisjoint(schema)
            knows_all = is_open or value.keys() <= as_schema(schema.get("properties")).keys()
            # Of several tools, one that needs no arguments would be called by nearly any object.
            is_specific = len(self._tools) == 1 or schema.get("required")
            if knows_all and is_specific and tool.check(value) is None:
                meant.append(name)
        if len(meant) != 1:
            return None
        return WholeCall(meant[0], f"call_{uuid.uuid4().hex[:24]}", json.dumps(value, ensure_ascii=False), value)

    def _may_be_handed_on(self) -> bool:
        """Whether a call that does not fit may be given to who executes it, and says better than we what is wrong.

        So `handle_errors` of LangChain's `ToolStrategy` gets its turn. But it would ask without end: what was sent back
        three times in a row is an error.
        """
        sent_back = 0
        for message in reversed(self._history):
            if isinstance(message, AIMessage):
                calls = [call for call in message.tool_calls if call["name"] in self._tools]
                if all(self._tools[call["name"]].check(call["args"]) is None for call in calls):
                    break
                sent_back += 1
            elif not isinstance(message, ToolMessage):
                break
        return sent_back < MOST_ATTEMPTS


class SchemaRequirement:
    """The answer must be JSON that fits a schema, unless it calls tools instead."""

    feature = "structured_output"

    def __init__(self, check: Callable[[Any], Problem]) -> None:
        self._check = check

    def check(self, pieces: Sequence[Piece]) -> Checked:
        """Fences and prose around the JSON are taken away: those who asked for it parse the whole text."""
        if any(isinstance(piece, WholeCall) for piece in pieces):
            return Checked(list(pieces))
        text = text_of(pieces)
        try:
            value = parse_json(text)
        except ValueError as error:
            return Checked(list(pieces), f"Your answer is not JSON: {error}. Answer with the JSON alone.", True)
        if (problem := self._check(value)) is not None:
            told = f"Your JSON does not fit the schema: {problem}. Answer with the JSON alone."
            return Checked(list(pieces), told, True)
        kept = [piece for piece in pieces if isinstance(piece, Reasoning)]
        return Checked([*kept, json.dumps(value, ensure_ascii=False)])


def unmet_requirement(owner: str, problem: str, attempts: int, reason: str) -> ModelError:
    """The error for an answer that does not hold what it must; `reason` is why it was cut off, if it was."""
    if reason in ("content_filter", "refusal"):
        return ModelRefusalError(f"{owner} ended its answer for its rules on content (finish_reason {reason!r}).")
    why = " Its answer was cut off at the token limit: allow more tokens." if reason else ""
    message = (
        f"{owner} did not give what was demanded, asked {attempts} time{'s' if attempts > 1 else ''}.{why} "
        f"What was wrong with it: {problem!r}"
    )
    return advised(UnmetDemandError(message), "What it said is this error's `partial`.")
