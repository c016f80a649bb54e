"""What can be said of a statement: the verdicts, and how a check gives them.

A check that returns has passed. Otherwise it raises one of

* `Failed`: the statement does not hold for this model;
* `NotApplicable`: the statement says nothing about such a model; the message is the reason;
* `NotObserved`: whether it holds could not be seen; the message is the reason. A verdict is never a guess;
* `PartlyObserved`: it holds as far as could be seen, and the message says what could not;
* `Advisory`: it holds, and something could be better.

Any other exception from a check is what the model did instead of answering: a failure. If none of the model's code, nor
of LangChain's, had a part in it, it is the trouble of the check itself, and nothing was observed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeAlias, get_args

Verdict: TypeAlias = Literal["pass", "partly observed", "fail", "advisory", "not applicable", "not observed"]

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


class PartlyObserved(VerdictException):
    """The statement holds as far as could be seen. The message says what could not be seen."""


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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The result that `dataclasses.asdict` made this data of.

        Raises:
            ValueError: If it is none.
        """
        if set(data) != {field.name for field in fields(cls)}:
            raise ValueError("not the fields of a result")
        texts = (data["id"], data["observed"], data["expected"], data["noise"])
        if not all(isinstance(text, str) for text in texts) or not isinstance(data["seconds"], int | float):
            raise ValueError("a field of a result has another type")
        if data["verdict"] not in get_args(Verdict) or data["blame"] not in get_args(Blame):
            raise ValueError("no such verdict")
        return cls(**data)

    @property
    def counts_against(self) -> bool:
        """Whether it is a failure that is the model's own fault."""
        return self.verdict == "fail" and self.blame == "model"
