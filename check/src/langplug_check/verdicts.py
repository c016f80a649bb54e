"""What can be said of a statement: the verdicts, and how a check gives them.

A check that returns has passed. Otherwise it raises one of

* `Failed`: the statement does not hold for this model;
* `NotApplicable`: the statement says nothing about such a model; the message is the reason;
* `NotObserved`: whether it holds could not be seen; the message is the reason. A verdict is never a guess;
* `Advisory`: it holds, and something could be better.

Any other exception from a check is what the model did instead of answering: a failure.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["pass", "fail", "advisory", "not applicable", "not observed"]

Blame: TypeAlias = Literal["model", "langchain-core", "backend"]
"""Whose fault a failure is. `"langchain-core"` is for what no subclass of `BaseChatModel` can fix by plain means."""


class VerdictException(Exception):
    """Base class of what a check raises instead of returning. Raise one of its subclasses."""


class Failed(VerdictException):
    """The statement does not hold for this model.

    Args:
        observed: What was seen, with the values that show it.
        expected: What should have been seen. Default: the statement.
        blame: Whose fault it is. Default: what the check is registered with.
    """

    def __init__(self, observed: str, expected: str = "", *, blame: Blame | None = None) -> None:
        super().__init__(observed)  # its one argument, so that it can be pickled: the others are attributes
        self.observed = observed
        self.expected = expected
        self.blame: Blame | None = blame


class NotApplicable(VerdictException):
    """The statement says nothing about such a model. The message is the reason."""


class NotObserved(VerdictException):
    """Whether the statement holds could not be seen. The message is the reason."""


class Advisory(VerdictException):
    """The statement holds, and something could be better. The message says what was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one check found.

    Attributes:
        id: The check's id, such as `"A01"`.
        verdict: What can be said of the statement.
        observed: What was seen, or the reason why there is no verdict.
        expected: What should have been seen; for a failure.
        blame: Whose fault a failure is.
        seconds: How long the check took.
        noise: What the model printed, and its warnings, during the check.
    """

    id: str
    verdict: Verdict
    observed: str = ""
    expected: str = ""
    blame: Blame = "model"
    seconds: float = 0.0
    noise: str = ""

    @property
    def counts_against(self) -> bool:
        """Whether it is a failure that is the model's own fault."""
        return self.verdict == "fail" and self.blame == "model"
