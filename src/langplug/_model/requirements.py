"""What an answer must hold, and what to say to a model whose answer does not."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from langplug._answer.parser import Piece
from langplug._answer.tool_calls import WholeCall
from langplug._errors import UnmetDemandError
from langplug._parts import Reasoning
from langplug._tools.schema import Problem, parse_json, problem_with
from langplug._tools.toolbox import Toolbox, name_of

MOST_ATTEMPTS = 3
"""How often a model is asked before its answer is given up."""


class Requirement(Protocol):
    """A condition on a whole answer."""

    @property
    def feature(self) -> str:
        """What it is about, for the list of adaptations."""
        ...

    @property
    def when_unmet(self) -> Literal["raise", "give"]:
        """What becomes of an answer that does not meet it even when asked again."""
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
    """

    pieces: list[Piece]
    problem: Problem = None


class CallRequirement:
    """The answer must hold a call, of one of the tools that the choice leaves open."""

    feature = "tool_choice"

    def __init__(self, box: Toolbox, when_unmet: Literal["raise", "give"]) -> None:
        self.when_unmet: Literal["raise", "give"] = when_unmet
        self._schemas = {name_of(tool): tool["function"].get("parameters") or {} for tool in box.callable_tools}

    def check(self, pieces: Sequence[Piece]) -> Checked:
        """A call of another tool is as good as none; one whose arguments do not fit the tool is asked for again."""
        calls = [piece for piece in pieces if isinstance(piece, WholeCall) and piece.name in self._schemas]
        if not calls:
            names = ", ".join(map(repr, self._schemas))
            tools = f"the tool {names}" if len(self._schemas) == 1 else f"one of the tools {names}"
            return Checked(list(pieces), f"You called no tool. You must call {tools} now, and say nothing else.")
        for call in calls:
            problem: Problem = "they are not valid JSON"
            if call.parsed is not None:
                problem = problem_with(call.parsed, self._schemas[call.name])
            if problem is not None:
                return Checked(
                    list(pieces),
                    f"The arguments of your call of {call.name!r} are wrong: {problem}. Call it again.",
                )
        return Checked(list(pieces))


class SchemaRequirement:
    """The answer must be JSON that fits a schema, unless it calls tools instead."""

    feature = "structured_output"

    def __init__(self, check: Callable[[Any], Problem], when_unmet: Literal["raise", "give"]) -> None:
        self.when_unmet: Literal["raise", "give"] = when_unmet
        self._check = check

    def check(self, pieces: Sequence[Piece]) -> Checked:
        """Fences and prose around the JSON are taken away: those who asked for it parse the whole text."""
        if any(isinstance(piece, WholeCall) for piece in pieces):
            return Checked(list(pieces))
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        try:
            value = parse_json(text)
        except ValueError as error:
            return Checked(list(pieces), f"Your answer is not JSON: {error}. Answer with the JSON alone.")
        if (problem := self._check(value)) is not None:
            return Checked(list(pieces), f"Your JSON does not fit the schema: {problem}. Answer with the JSON alone.")
        kept = [piece for piece in pieces if isinstance(piece, Reasoning)]
        return Checked([*kept, json.dumps(value, ensure_ascii=False)])


def unmet_requirement(owner: str, problem: str, attempts: int, *, cut_off: bool) -> UnmetDemandError:
    """The error for an answer that does not hold what it must."""
    why = " Its answer was cut off at the token limit: allow more tokens." if cut_off else ""
    return UnmetDemandError(
        f"{owner} did not give what was demanded, asked {attempts} time{'s' if attempts > 1 else ''}.{why} "
        f"What was wrong with it: {problem!r} What it said is this error's `partial`."
    )
