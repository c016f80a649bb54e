"""Group A: what authors' classes are made of: clients in fields, cached properties, fields that are assigned."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, cast

from langplug_check.fields import MARKED_KEY, holds
from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_MODEL = "https://reference.langchain.com/python/langchain-core/language_models/chat_models/BaseChatModel"

_FIELD = "langplug_object"


class _Client(Mapping[str, Any]):
    """As clients are: its attributes hold a key, and it looks like a mapping and cannot be read as one."""

    def __init__(self) -> None:
        self.headers = {"X-Acme": MARKED_KEY}

    def __getitem__(self, name: str) -> Any:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError("iterating over this object is unlikely to be thread-safe")

    def __len__(self) -> int:
        return 1


def _subclass(subject: Subject, names: Mapping[str, Any]) -> Any:
    """A subclass of the model's class that has these names besides."""
    cls = cast("Any", subject.cls)
    try:
        return type(cls)(cls.__name__, (cls,), {"__module__": __name__, "__qualname__": cls.__qualname__, **names})
    except Exception as error:
        raise NotObserved(f"no subclass of it can be made: {error_text(error)}") from error


def _with_client(subject: Subject) -> Any:
    """A model with a field that holds a client."""
    cls = _subclass(subject, {"__annotations__": {_FIELD: Any}, _FIELD: None})
    try:
        return cls(**subject.arguments, **{_FIELD: _Client()})
    except Exception as error:
        raise NotObserved(f"its class cannot be called with what it was made of: {error_text(error)}") from error


@statement(
    "A15",
    "A field may hold any object, such as a client: calls that are traced, cached, or given parameters of their own "
    "work all the same.",
    rank="must",
    why="It works on the author's desk, where nobody listens, and raises in production, where somebody traces.",
    hint="""
    # tell traces and keys of your settings, by name, and not of every field
    @property
    def _identifying_params(self):
        return {"model_name": self.model_name, "temperature": self.temperature}
    """,
    link=_MODEL,
)
def fields_hold_objects(subject: Subject) -> None:
    """Add a field with an object that cannot be iterated over; have a run traced and looked up in a cache."""
    model = _with_client(subject)
    for given in ({}, {"stop": ["END"]}):
        try:
            subject.start(model, **given)
        except (Failed, NotObserved):
            raise
        except Exception as error:
            raise Failed(
                f"with a client in a field, a call with handlers raised {error_text(error)}", "a run"
            ) from error


@statement(
    "A16",
    "What a client in a field holds, such as its headers, shows neither in traces nor in cache keys, nor in `repr`.",
    rank="must",
    why="Clients hold tokens, and traces are sent to others.",
    hint="""
    # name what may be seen, instead of what may not: an object is its class, and never its `__dict__`
    client: Any = Field(default=None, exclude=True, repr=False)
    """,
    link="https://github.com/langchain-ai/langchain/pull/36193",
)
def objects_stay_closed(subject: Subject) -> None:
    """Add a field with an object that holds a key; look for the key in what handlers, caches and prints get."""
    model = _with_client(subject)
    start = subject.start(model)
    places = {
        "the invocation params of a trace": start.more.get("invocation_params"),
        "`serialized` of a trace": start.more.get("serialized"),
        "the metadata of a trace": start.more.get("metadata"),
        "the cache key": subject.key(model),
        "repr": repr(model),
    }
    if shown := [name for name, told in places.items() if MARKED_KEY in repr(told)]:
        raise Failed(
            f"a header that a client in a field holds shows in {', '.join(shown)}", "the client's class at most"
        )


@statement(
    "A17",
    "A class may have a `functools.cached_property`: once it was used, parameters of a call, copies and keys work as "
    "before.",
    why="It is how clients are made lazily; what it keeps in `__dict__` must not be taken for a field.",
    hint="""
    # go by the fields, `type(self).model_fields`, and not by what happens to be in `__dict__`
    settings = {name: getattr(self, name) for name in type(self).model_fields}
    """,
    link="https://github.com/pydantic/pydantic/issues/11955",
)
def cached_properties(subject: Subject) -> None:
    """Use one; then call with a parameter, copy the model, and compare the keys."""

    def langplug_client(model: Any) -> object:
        return (model, object())

    kept = cached_property(langplug_client)
    cls = _subclass(subject, {"langplug_client": kept})
    try:
        model = cls(**subject.arguments)
    except Exception as error:
        raise NotObserved(f"its class cannot be called with what it was made of: {error_text(error)}") from error
    parameter = {"temperature": 0.25} if subject.takes("temperature") else {"stop": ["END"]}
    before = subject.key(model, **parameter)
    model.langplug_client  # noqa: B018 - from now on it is in `__dict__`
    for which, one in (("the model", model), ("its copy", model.model_copy())):
        try:
            after = subject.key(one, **parameter)
        except (Failed, NotObserved):
            raise
        except Exception as error:
            raise Failed(
                f"once its cached_property was used, {which} raised {error_text(error)} at a call with {parameter}"
            ) from error
        if after != before:
            raise Failed(f"once its cached_property was used, {which} has another cache key", "the same key")


@statement(
    "A18",
    "A field that is assigned, or updated in a copy, takes effect from the next call on, and in that model alone.",
    why="Applications adjust a model that they were given, for one task.",
    hint="""
    # read settings from `self` at each call: what `__init__` or a cached dict of parameters keeps is old by then
    body = {"temperature": self.temperature, ...}
    """,
    link=_MODEL,
    needs=("answer",),
)
def assigned_fields(subject: Subject) -> str:
    """Assign a temperature, and update it in a copy; look in the request, or in the start that handlers get."""
    if "temperature" not in subject.cls.model_fields:
        raise NotApplicable("it has no field `temperature`")

    def told(model: Any) -> Any:
        outcome = subject.ask(model)
        outcome.answer  # noqa: B018 - an error here is a failure
        if not subject.lacks("backend"):
            return subject.exchanges[-1].body
        started = outcome.recorder.of("start")
        return [started[-1].more.get("invocation_params"), started[-1].more.get("metadata")] if started else []

    first, second = 0.25, 0.75
    model: Any = subject.model()
    if not holds(told(subject.model(temperature=first)), first):
        raise NotObserved("a temperature that is given to the constructor is not seen either")
    copied = model.model_copy(update={"temperature": first})
    if not holds(told(copied), first):
        raise Failed(f"a copy with temperature={first} was called without it")
    if holds(told(model), first):
        raise Failed(f"temperature={first} of a copy shows in the calls of the model itself")
    try:
        model.temperature = second
    except Exception as error:  # noqa: BLE001 - a frozen model refuses in its own way
        return f"copies; assignment is refused: {error_text(error)}"
    if not holds(told(model), second):
        raise Failed(f"after `model.temperature = {second}`, it was called without it")
    return "assigned, and in copies"
