"""Group B: identity of what no field holds: the code that answers."""

from typing import Any, cast

from pydantic import PrivateAttr

from langplug import ChatModel, Request
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable


def _with(subject: Subject, **names: Any) -> Any:
    """A model of a subclass, which has these names besides."""
    cls = cast("Any", subject.cls)
    made = type(cls)(cls.__name__, (cls,), {"__module__": __name__, "__qualname__": cls.__qualname__, **names})
    return made(**subject.arguments)


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
    keys = [subject.key(_with(subject, respond=function)) for function in (_one, _two, _one)]
    if keys[0] == keys[1]:
        raise Failed("two functions, one key", "a key of its own for each function")
    if keys[0] != keys[2]:
        raise Failed("one function, two keys", "the same key")


def _saying(word: str) -> Any:
    """A function that differs from others like it in what it closes over."""

    def respond(self: Any, request: Request) -> str:
        return f"{type(self).__name__} says {word} to {request.text}"

    return respond


@statement(
    "B14",
    "Two models whose functions close over different values have different cache keys.",
    rank="must",
    why="A factory makes a model for each URL or tenant: one would be served with another's answers.",
    hint="""
    # keep in a field what tells two models apart: `_identifying_params` of your own adds to what langplug knows
    url: str
    """,
)
def closures_count(subject: Subject) -> None:
    """Make models by one factory, of two values, and compare their keys."""
    if not issubclass(subject.cls, ChatModel):
        raise NotApplicable("only langplug's models are one function")
    keys = [subject.key(_with(subject, respond=_saying(word))) for word in ("hello", "goodbye", "hello")]
    if keys[0] == keys[1]:
        raise Failed("functions that close over 'hello' and 'goodbye' have one key", "a key for each")
    if keys[0] != keys[2]:
        raise Failed("two functions that close over 'hello' have two keys", "the same key")


@statement(
    "B15",
    "Two models whose private attributes differ have different cache keys.",
    why="What `__init__` works out and keeps privately, such as a system prompt, shapes the answer as a field does.",
    hint="""
    # make it a field, or let keys know of it
    @property
    def _identifying_params(self):
        return {**super()._identifying_params, "system": self._system}
    """,
)
def private_state_counts(subject: Subject) -> None:
    """Add a private attribute, give two models different values of it, and compare their keys."""
    if not issubclass(subject.cls, ChatModel):
        raise NotApplicable("langchain-core makes keys of fields alone; B04 is about those")
    keys = []
    for word in ("polite", "rude", "polite"):
        model = _with(subject, __annotations__={"_langplug_tone": str}, _langplug_tone=PrivateAttr(""))
        model._langplug_tone = word  # noqa: SLF001 - the attribute is the check's own
        keys.append(subject.key(model))
    if keys[0] == keys[1]:
        raise Failed("a private attribute of 'polite' and of 'rude' gives one key", "a key for each")
    if keys[0] != keys[2]:
        raise Failed("the same private attribute gives two keys", "the same key")
