"""Group J: schemas as applications have them: optional keys, types that hold themselves; and what `raw` carries."""

import traceback
from typing import Any, NotRequired

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langplug_backend import Reply
from langplug_check.groups._schemas import BO, PROMPT, WITH_STRUCTURED_OUTPUT, Person
from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Blame, Failed, NotObserved


class Guest(TypedDict):
    """A guest, who may have said when they come."""

    name: str
    arrival: NotRequired[str]


class Node(BaseModel):
    """A node of a tree."""

    name: str
    children: list["Node"] = Field(default_factory=list)


@statement(
    "J08",
    "An answer may lack the keys that its TypedDict does not require.",
    why="The right answer is refused, and asked for again and again.",
    hint="""
    # check answers by the type itself: pydantic.TypeAdapter(schema).validate_python(answer)
    """,
    link="https://github.com/langchain-ai/langchain/pull/36495",
    needs=("structured", "replies"),
)
def optional_keys(subject: Subject) -> None:
    """Ask for a TypedDict with a key that is not required; give one without it, and one with it."""
    for value in ({"name": "Bo"}, {"name": "Bo", "arrival": "noon"}):
        got = _invoke(subject.gives(value), Guest, f"the answer {value}")
        if got != value:
            raise Failed(f"for the answer {value}, it gave {got!r}", repr(value))


@statement(
    "J09",
    "A class that holds itself, such as a tree, is filled in at every depth.",
    why="Menus, file systems, plans and syntax trees are such classes.",
    hint="""
    # send the schema with its `$defs` and `$ref`s: flattening one that refers to itself loses its inner half
    schema = Node.model_json_schema()
    """,
    link=WITH_STRUCTURED_OUTPUT,
    needs=("structured", "replies"),
)
def recursive_class(subject: Subject) -> None:
    """Ask for a tree; give one that is three levels deep."""
    tree = {"name": "a", "children": [{"name": "b", "children": [{"name": "c", "children": []}]}]}
    got = _invoke(subject.gives(tree), Node, "a tree")
    if got != Node.model_validate(tree):
        raise Failed(f"for a tree of three levels, it gave {got!r}", repr(Node.model_validate(tree)))


@statement(
    "J10",
    "With `include_raw=True`, `raw` is the whole answer: with its usage and its metadata.",
    why="Who pays by the token reads the usage there; nothing else has it.",
    hint="""
    # pass the model's own message on, not a copy of its content
    {"raw": message, "parsed": parsed, "parsing_error": None}
    """,
    link=WITH_STRUCTURED_OUTPUT,
    needs=("structured", "replies"),
)
def raw_is_whole(subject: Subject) -> None:
    """Compare the usage and the model's name in `raw` with those that a plain call reports."""
    plain = subject.ask(subject.says(Reply(text="Hello."))).answer
    if plain.usage_metadata is None:
        raise NotObserved("a plain call reports no usage either")
    model = subject.gives(BO)
    raw: Any = _invoke(model, Person, "the answer", include_raw=True)["raw"]
    lost = [] if raw.usage_metadata else ["its usage"]
    if plain.response_metadata.get("model_name") and not raw.response_metadata.get("model_name"):
        lost.append("its model_name")
    if lost:
        raise Failed(f"raw lacks {' and '.join(lost)}", "what a plain call reports")


def _invoke(model: Any, schema: Any, which: str, **kwargs: Any) -> Any:
    try:
        return model.with_structured_output(schema, **kwargs).invoke(PROMPT)
    except Exception as error:
        # langchain-core turns types into tools for most classes, and refuses what it does not know.
        # What raises there may stand in the standard library: `typing`, for a form that is no type by itself.
        modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
        is_cores = any(module.startswith("langchain_core.utils") for module in modules[-5:])
        blame: Blame | None = "langchain-core" if is_cores else None
        raise Failed(f"{which} raised {error_text(error)}", "what was asked for", blame=blame) from error
