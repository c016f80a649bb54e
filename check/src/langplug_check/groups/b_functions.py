"""Group B: identity of what no field holds: the code that answers."""

from typing import Any, cast

from langplug import ChatModel, Request
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable


def _one(self: Any, request: Request) -> str:
    return f"{type(self).__name__} says one thing to {request.text}"


def _two(self: Any, request: Request) -> str:
    return f"{type(self).__name__} says another thing to {request.text}"


@statement(
    "B13",
    "Two models whose own functions differ have different cache keys.",
    why="An edited prompt template or rule would be answered with what the old one said.",
    hint="""
    # an override of `_identifying_params` adds to what langplug knows, and does not replace it
    @property
    def _identifying_params(self):
        return {**super()._identifying_params, "revision": self.revision}
    """,
)
def functions_count(subject: Subject) -> None:
    """Make two classes that differ in nothing but `respond`, and compare the keys of their models."""
    if not issubclass(subject.cls, ChatModel):
        raise NotApplicable("only langplug's models are one function")
    cls, keys = cast("Any", subject.cls), []
    for function in (_one, _two, _one):
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "respond": function}
        made = type(cls)(cls.__name__, (cls,), names)
        keys.append(subject.key(made(**subject.arguments)))
    if keys[0] == keys[1]:
        raise Failed("two functions, one key", "a key of its own for each function")
    if keys[0] != keys[2]:
        raise Failed("one function, two keys", "the same key")
