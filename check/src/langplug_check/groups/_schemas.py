"""The objects that the checks of structured output ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field

from langplug_check.paths import BUGS, error_text
from langplug_check.subject import Subject
from langplug_check.verdicts import NotApplicable

_REFERENCE = "https://reference.langchain.com/python/langchain-core/language_models/chat_models/BaseChatModel"
WITH_STRUCTURED_OUTPUT = f"{_REFERENCE}/with_structured_output"

MARK = "The full name, LANGPLUG-MARK."
"""The schema's description of a field: a request that contains it contains the schema."""

Method: TypeAlias = Literal["function_calling", "json_schema", "json_mode"]

METHODS: Sequence[Method] = ("function_calling", "json_schema", "json_mode")

PROMPT = "Who is Bo, who is 3?"
"""The question. It says nothing of how to answer."""


class Person(BaseModel):
    """Somebody."""

    name: str = Field(description=MARK)
    age: int = Field(description="In years.")


BO: Mapping[str, Any] = {"name": "Bo", "age": 3}

JSON_SCHEMA: Mapping[str, Any] = {
    "title": "person",
    "description": "Somebody.",
    "type": "object",
    "properties": {"name": {"type": "string", "description": MARK}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a model is asked for.

    Attributes:
        schema: A Pydantic class or, for a model that takes none, a JSON schema.
        expected: The object that a right answer becomes.
    """

    schema: Any
    expected: Any

    def chain(self, model: Any, **kwargs: Any) -> Any:
        """The chain that gives the object; None where it refuses the `method` in `kwargs`."""
        try:
            return model.with_structured_output(self.schema, **kwargs)
        except BUGS:
            raise
        except Exception:
            if "method" in kwargs:
                return None
            raise


def target_of(subject: Subject) -> Target:
    """What this model can be asked for.

    Raises:
        NotApplicable: If it has no structured output.
    """
    refusal = ""
    for target in (Target(Person, Person(**BO)), Target(JSON_SCHEMA, BO)):
        try:
            target.chain(subject.real())
        except NotImplementedError as error:
            refusal = error_text(error)
        else:
            return target
    raise NotApplicable(f"it has no structured output: {refusal}")
