"""Group J: values as types allow them: None, defaults, aliases; and what is no type for an answer at all."""

import enum
from typing import Any, Optional

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langplug_check.groups._schemas import PROMPT, WITH_STRUCTURED_OUTPUT
from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed


class _Weather(TypedDict):
    """The weather of a city; the rain, if it was measured."""

    city: str
    rain: Optional[float]  # noqa: UP045 - as many write it


class _Guest(BaseModel):
    """A guest."""

    name: str = Field(alias="fullName", description="First and last name.")


class _Order(BaseModel):
    """An order."""

    item: str
    count: int = 1
    note: str | None = None


def _filled_in(subject: Subject, schema: Any, value: dict[str, Any]) -> Any:
    """What structured output makes of a right answer.

    Raises:
        Failed: If it raises.
    """
    try:
        return subject.gives(value).with_structured_output(schema).invoke(PROMPT)
    except Exception as error:
        raise Failed(
            f"for {schema.__name__.lstrip('_')} and the answer {value}, it raised {error_text(error)}"
        ) from error


@statement(
    "J11",
    "A value is None where its type says that it may be.",
    why="The right answer is refused, and asked for again and again.",
    hint="""
    # check answers by the type itself: pydantic.TypeAdapter(schema).validate_python(answer)
    """,
    link="https://github.com/langchain-ai/langchain/pull/34093",
    needs=("structured", "replies"),
)
def none_is_a_value(subject: Subject) -> None:
    """Ask for a TypedDict and for a class with such a value, and give None."""
    for schema, value in (
        (_Weather, {"city": "Oslo", "rain": None}),
        (_Order, {"item": "tea", "count": 2, "note": None}),
    ):
        found = _filled_in(subject, schema, value)
        if (found.model_dump() if isinstance(found, BaseModel) else found) != value:
            raise Failed(f"for the answer {value}, it gave {found!r}", repr(value))


@statement(
    "J12",
    "A class whose fields have aliases is filled in by its aliases, as its schema names them.",
    why="Such classes are made for APIs whose names are not Python's.",
    hint="""
    schema.model_json_schema(by_alias=True)   # for the model
    schema.model_validate(answer)             # of what it answers
    """,
    link=WITH_STRUCTURED_OUTPUT,
    needs=("structured", "replies"),
)
def aliases_are_used(subject: Subject) -> None:
    """Ask for such a class, and give an answer by its aliases."""
    found = _filled_in(subject, _Guest, {"fullName": "Bo Ek"})
    if not isinstance(found, _Guest) or found.name != "Bo Ek":
        raise Failed(f"for the answer fullName='Bo Ek', it gave {found!r}", "Guest with name='Bo Ek'")


@statement(
    "J13",
    "An answer may leave out what has a default in its class.",
    why="Models leave out what is not special, and the class says what that means.",
    hint="""
    # `required` of the schema has the fields without a default, and no others
    schema.model_validate(answer)
    """,
    link=WITH_STRUCTURED_OUTPUT,
    needs=("structured", "replies"),
)
def defaults_fill_in(subject: Subject) -> None:
    """Ask for a class with defaults, and give an answer without them."""
    found = _filled_in(subject, _Order, {"item": "tea"})
    if found != _Order(item="tea"):
        raise Failed(f"for the answer item='tea', it gave {found!r}", repr(_Order(item="tea")))


class _Colour(enum.Enum):
    RED = "red"


@statement(
    "J14",
    "What is no type for an object, such as an Enum, is refused by `with_structured_output`, or filled in.",
    rank="could",
    why="The model is asked for an object of Enum's own documentation, and paid for what cannot become an answer.",
    hint="""
    if isinstance(schema, type) and not issubclass(schema, BaseModel) and not is_typeddict(schema):
        raise ValueError(f"{schema!r} is no schema: give a Pydantic class, a TypedDict or a JSON schema")
    """,
    link="https://github.com/langchain-ai/langchain/pull/34984",
    needs=("structured", "replies"),
)
def no_type_no_answer(subject: Subject) -> str:
    """Ask for a member of an Enum."""
    model = subject.gives({"value": "red"})
    try:
        chain = model.with_structured_output(_Colour)
    except Exception as error:  # noqa: BLE001 - any error before the call is a refusal
        return f"refused: {error_text(error)}"
    try:
        found: Any = chain.invoke(PROMPT)
    except Exception as error:  # noqa: BLE001 - it is paid for by now
        found = error_text(error)
    if found is _Colour.RED:
        return "filled in"
    raise Failed(f"an Enum is taken for a schema, and the answer is {found!r}", "an error at once, or a member of it")
