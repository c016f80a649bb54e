"""A model that reports usage, and how two reports are compared."""

from typing import Any

from langplug_backend import Reply, Tokens
from langplug_check.subject import Subject

# No reasoning: xAI's API, unlike OpenAI's, does not count it among the output, and ChatXAI adds it.
USED = Tokens(input=11, output=7, cached=4)
"""The usage that is reported, where it can be chosen."""

SPOKEN = "Hello world, how are you today?"


def reporting_model(subject: Subject, **overrides: Any) -> Any:
    """A model that reports `USED`; one that reports what it likes, where that cannot be chosen."""
    if subject.lacks("replies"):
        return subject.model(**overrides)
    return subject.says(Reply(text=SPOKEN, usage=USED), **overrides)


def is_same_usage(subject: Subject, one: Any, other: Any) -> bool:
    """Whether two messages report the same usage; where it cannot be chosen, whether both or neither report any."""
    if subject.lacks("replies"):
        return (one is None) is (other is None)
    names = ("input_tokens", "output_tokens", "total_tokens")
    return [(one or {}).get(name) for name in names] == [(other or {}).get(name) for name in names]


def usage_text(usage: Any) -> str:
    """Usage, for a report."""
    return f"a usage of {usage['input_tokens']} and {usage['output_tokens']} tokens" if usage else "no usage"
