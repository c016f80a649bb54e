"""What the checks of one model found, and what can be read from it: verdicts, counts, the outcome in one line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from langplug_check.statement import ANSWERS, RANKS, Check, Group
from langplug_check.verdicts import Result, Verdict

_MANY = 3
"""Failures from which on one change is cheaper than one fix for each."""


@dataclass(frozen=True, slots=True)
class Found:
    """One `check`, and the `result` that it came to."""

    check: Check
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What all checks of one model found.

    Attributes:
        model: The class that was checked.
        reference: What it was called by.
        versions: Packages and their versions.
        driver: How the model was made to say something: `"wire"`, `"scripted"`, `"held"`, `"echo"` or `"plain"`.
        origin: Whose class it is: `"langplug"`, `"installed"` or `"hand-written"`.
        where: Where the checks ran, and why there.
        error: What the model raised when it was asked; empty if it answered.
        found: Every check with its result, group after group.
        seconds: How long it took.
    """

    model: str
    reference: str
    versions: Mapping[str, str] = field(default_factory=dict)
    driver: str = "plain"
    origin: str = "installed"
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
        """Whether nothing failed that was checked, and the author's own code has answered."""
        return not self.has_failed and self.was_called

    @property
    def has_failed(self) -> bool:
        """Whether there is a failure of the model's own, or it does not answer and a check wanted to see an answer."""
        # Failures of langchain-core's do not count: nobody's model could be ready.
        return self.is_mute or any(result.counts_against for result in self.results)

    @property
    def was_called(self) -> bool:
        """Whether the author's own code was called, and not only scripts in its place."""
        seen = self.with_verdict("pass", "partly observed", "fail")
        return self.driver != "scripted" or any(found.check.calls_as_it_is for found in seen)

    @property
    def is_mute(self) -> bool:
        """Whether something was not observed, and the model did not answer."""
        # Most checks are silent about such a model, and silence must not read as "ready".
        return bool(self.error) and bool(self.with_verdict("not observed"))

    @property
    def called(self) -> str:
        """What was called: the model itself, or what stood in its place."""
        as_it_is = any(found.check.calls_as_it_is for found in self.with_verdict("pass", "partly observed", "fail"))
        match self.driver:
            case "wire":
                return "its own code was called, with the test kit's server at the other end"
            case "scripted" if as_it_is:
                return "its own function was called in group O; scripts stood in for it in all other groups"
            case "scripted":
                return "its own function was NOT called: scripts stood in for it"
            case _:
                return "the model itself was called"

    def with_verdict(self, *verdicts: Verdict) -> list[Found]:
        """Those with one of these verdicts."""
        return [found for found in self.found if found.result.verdict in verdicts]

    @property
    def failures(self) -> list[Found]:
        """What failed, the model's own first, and of these what matters most."""

        def place(found: Found) -> tuple[bool, int]:
            return not found.result.counts_against, RANKS.index(found.check.rank)

        return sorted(self.with_verdict("fail"), key=place)

    @property
    def advice(self) -> str:
        """The cheapest way to fix most failures at once; empty if there is none that is cheaper than one by one."""
        failed = [found for found in self.failures if found.result.counts_against]
        if self.origin == "langplug" or len(failed) < _MANY or self.is_mute:
            return ""
        adopt = "wrap the instance, `langplug.adopt(model)`, and langplug derives what it lacks"
        if self.origin == "installed":
            return f"the class is not yours to change: {adopt}."
        name = self.model.rpartition(".")[2]
        return (
            f"change the base class: `class {name}(langplug.ChatModel)` keeps your `_generate` and `_stream`, and "
            f"langplug derives the rest. Or leave the class as it is, and {adopt.replace('wrap', 'adopt', 1)}."
        )

    def groups(self) -> Iterator[tuple[Group, list[Found]]]:
        """Each group with what was found in it, in the order of the report."""
        inside: dict[Group, list[Found]] = {}
        for found in self.found:
            inside.setdefault(found.check.group, []).append(found)
        yield from inside.items()

    def summary(self) -> str:
        """The outcome in one line, for people and logs."""
        own = sum(result.counts_against for result in self.results)
        others = len(self.failures) - own
        counts = [f"{count} {word}" for word, count in self.counts().items() if count and word != "fail"]
        theirs = [f"{others} not its own"] if others else []
        if not self.has_failed and not self.was_called:
            return f"nothing failed, but the model's own function was not called: {', '.join([*counts, *theirs])}"
        if self.ready:
            unseen = self.counts()["not observed"] + self.counts()["partly observed"]
            seen = ", as far as could be seen" if unseen else ""
            return f"ready{seen}: {', '.join([*counts, *theirs])}"
        never = any(found.check.id == ANSWERS for found in self.with_verdict("fail"))
        mute = [f"it never answered ({self.error})" if never else f"it does not answer here ({self.error})"]
        mute = mute if self.is_mute or never else []
        failed = [f"{own} failed"] if own else []
        return f"not ready: {', '.join([*mute, *failed, *theirs, *counts])}"

    def counts(self) -> dict[Verdict, int]:
        """How many have each verdict."""
        verdicts: tuple[Verdict, ...] = (
            "pass",
            "partly observed",
            "fail",
            "advisory",
            "not applicable",
            "not observed",
        )
        return {verdict: len(self.with_verdict(verdict)) for verdict in verdicts}
