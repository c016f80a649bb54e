"""How a job is, and how it ended."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

VERSION: Final = 1


@dataclass(slots=True, kw_only=True)
class Summary:
    """Figures of a job.

    Attributes:
        rows: How many rows of the input have been looked at; at the end, all.
        answered: How many have an answer.
        failed: How many could not be answered.
        resumed: How many of these an earlier run had asked.
        calls: How many calls were made, those again included.
        input_tokens: Tokens of what this run's calls were given, as their usage says.
        output_tokens: Tokens of what they answered.
        seconds: How long this run took.
        problem: What was wrong with the first row that failed; empty if none has.
        waits_for: What it waits for, in words, if that is not its own calls: time that a server asks for, its batch.
        expected: About how many rows there will be; None if that is not known.
    """

    rows: int = 0
    answered: int = 0
    failed: int = 0
    resumed: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    problem: str = ""
    waits_for: str = ""
    expected: int | None = None

    @property
    def rate(self) -> float:
        """Rows that this run asked, a second."""
        return (self.answered + self.failed - self.resumed) / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON data, with their version."""
        figures = {name: value for name, value in asdict(self).items() if name not in ("waits_for", "expected")}
        return {"version": VERSION, **figures}

    def __str__(self) -> str:
        if self.waits_for:
            return self.waits_for
        tokens = f"{self.input_tokens:,} + {self.output_tokens:,} tokens"
        speed = f"{self.rate:.1f} rows"
        if self.output_tokens and self.seconds:
            speed += f" and {self.output_tokens / self.seconds:,.0f} tokens"
        before = f" ({self.resumed:,} of them by an earlier run)" if self.resumed else ""
        done = self.answered + self.failed
        if not done:
            return f"none of {self.rows:,} rows answered yet" if self.rows else "no rows"
        answered = f"{self.answered:,} row{'s' if self.answered != 1 else ''} answered"
        told = f"{answered}, {self.failed:,} failed{before}; {tokens} in {_duration(self.seconds)}, {speed} a second"
        if self.expected is not None and self.expected > done and self.rate:
            told += f", about {_duration((self.expected - done) / self.rate)} left"
        return told


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else str(timedelta(seconds=int(seconds)))
