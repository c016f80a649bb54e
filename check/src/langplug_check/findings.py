"""What the checks of one model found, and what can be read from it: verdicts, counts, the outcome in one line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from langplug_check.statement import GROUPS, Check, Group
from langplug_check.verdicts import Result, Verdict


@dataclass(frozen=True, slots=True)
class Found:
    """One check, and what it found."""

    check: Check
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What all checks of one model found.

    Attributes:
        model: The class that was checked.
        reference: What it was called by.
        versions: Packages and their versions.
        driver: How the model was made to say something: `"wire"`, `"scripted"`, `"echo"` or `"plain"`.
        where: Where the checks ran, and why there.
        error: What the model raised when it was asked; empty if it answered.
        found: Every check with its result, group after group.
        seconds: How long it took.
    """

    model: str
    reference: str
    versions: Mapping[str, str] = field(default_factory=dict)
    driver: str = "plain"
    where: str = ""
    error: str = ""
    found: Sequence[Found] = ()
    seconds: float = 0.0

    @property
    def results(self) -> list[Result]:
        """The results, in order."""
        return [found.result for found in self.found]

    @property
    def ready(self) -> bool:
        """Whether there is no failure of the model's own, and it answers if a check wanted to see an answer."""
        # Failures of langchain-core's do not count: nobody's model could be ready.
        return not self.is_mute and not any(result.counts_against for result in self.results)

    @property
    def is_mute(self) -> bool:
        """Whether something was not observed, and the model did not answer."""
        # Most checks are silent about such a model, and silence must not read as "ready".
        return bool(self.error) and bool(self.with_verdict("not observed"))

    def with_verdict(self, *verdicts: Verdict) -> list[Found]:
        """Those with one of these verdicts."""
        return [found for found in self.found if found.result.verdict in verdicts]

    @property
    def failures(self) -> list[Found]:
        """What failed, the model's own first."""
        return sorted(self.with_verdict("fail"), key=lambda found: not found.result.counts_against)

    def groups(self) -> Iterator[tuple[Group, list[Found]]]:
        """Each group with what was found in it."""
        for letter, group in GROUPS.items():
            if inside := [found for found in self.found if found.check.id[0] == letter]:
                yield group, inside

    def summary(self) -> str:
        """The outcome in one line, for people and logs."""
        own = sum(result.counts_against for result in self.results)
        others = len(self.failures) - own
        counts = [f"{count} {word}" for word, count in self.counts().items() if count and word != "fail"]
        theirs = [f"{others} not its own"] if others else []
        if self.ready:
            seen = ", as far as could be seen" if self.counts()["not observed"] else ""
            return f"ready{seen}: {', '.join([*counts, *theirs])}"
        mute = [f"it does not answer here ({self.error})"] if self.is_mute else []
        failed = [f"{own} failed"] if own else []
        return f"not ready: {', '.join([*mute, *failed, *theirs, *counts])}"

    def counts(self) -> dict[Verdict, int]:
        """How many have each verdict."""
        verdicts: tuple[Verdict, ...] = ("pass", "fail", "advisory", "not applicable", "not observed")
        return {verdict: len(self.with_verdict(verdict)) for verdict in verdicts}
