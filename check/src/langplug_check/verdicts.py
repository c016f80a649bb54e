"""What can be said of a statement: the verdicts, and how a check says them.

A check that returns has passed. Else it raises one of

* `Failed`: the statement is wrong of this model;
* `NotApplicable`: the statement says nothing of such a model, with the reason;
* `NotObserved`: it could not be seen whether it holds, with the reason: a verdict is never a guess;
* `Advisory`: it is no fault, and could be better.

Whatever else leaves a check is what the model did where it should have answered: a failure.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["pass", "fail", "advisory", "not applicable", "not observed"]

Blame: TypeAlias = Literal["model", "langchain-core", "backend"]
"""Whose fault a failure is. `"langchain-core"` is for what no subclass of `BaseChatModel` could mend by plain means."""


class Outcast(Exception):
    """What a check raises instead of returning. Not to be raised itself."""


class Failed(Outcast):
    """The statement is wrong of this model.

    Args:
        observed: What was seen, with the values that show it.
        expected: What should have been seen. Default: the statement.
        blame: Whose fault it is. Default: what the check is registered with.
    """

    def __init__(self, observed: str, expected: str = "", *, blame: Blame | None = None) -> None:
        super().__init__(observed)
        self.observed = observed
        self.expected = expected
        self.blame: Blame | None = blame

    def __reduce__(self) -> tuple[object, ...]:
        return _failed, (self.observed, self.expected, self.blame)


class NotApplicable(Outcast):
    """The statement says nothing of such a model. The message is the reason."""


class NotObserved(Outcast):
    """It could not be seen whether the statement holds. The message is the reason."""


class Advisory(Outcast):
    """No fault, and yet it could be better. The message says what was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one check found.

    Attributes:
        id: The check's id, such as `"A01"`.
        verdict: What can be said of the statement.
        observed: What was seen, or the reason for there being no verdict.
        expected: What should have been seen; for a failure.
        blame: Whose fault a failure is.
        seconds: How long it took.
        noise: What the model printed and warned of meanwhile.
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
        """Whether it is a failure of the model's own."""
        return self.verdict == "fail" and self.blame == "model"


def _failed(observed: str, expected: str, blame: Blame | None) -> Failed:
    return Failed(observed, expected, blame=blame)
