"""Secrets that are planted, to be looked for wherever a model shows itself."""

from langplug_check.fields import MARKED_KEY, argument_name, secret_fields
from langplug_check.subject import Subject


def marked_keys(subject: Subject) -> dict[str, str]:
    """Constructor arguments that give every secret field of the class the value `MARKED_KEY`; none without secrets."""
    return {argument_name(subject.cls, name): MARKED_KEY for name in secret_fields(subject.cls)}
