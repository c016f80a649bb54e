"""What a model's cache key follows: the author's code, the fields, private state, and what a call sets."""

import functools
import inspect
import types
from typing import Any

from langplug._model import hooks
from langplug._model.fields import ModelFields
from langplug._model.fingerprint import Followed, Names, follow, members_of, names_in, read_globals
from langplug._model.parameters import parameters_of


def follow_model(model: ModelFields, given: dict[str, Any]) -> dict[str, Followed]:
    """All that the answers of `model` depend on, by name.

    Args:
        model: The model.
        given: The parameters of one call, by the names of their fields; those of the model stand under them.
    """
    cls = type(model)
    declared = parameters_of(cls)
    # Exactly what the fields hold, whatever an author's `_identifying_params` makes of them.
    # Hidden ones as well: what `exclude=True` keeps out of dumps is often the client that answers.
    names = (*declared.identity, *declared.excluded)
    fields = {name: model.__dict__[name] for name in names if name in model.__dict__} | given
    followed = {name: follow(value) for name, value in fields.items() if name not in declared.hidden}
    # The methods of the author's classes and their constants; of a `respond` that is ours its name.
    authors = _authors(cls)
    members = {name: member for base in reversed(authors) for name, member in members_of(base).items()}
    changed = _changed_by_calls(members)
    code = {"respond": cls.respond, **{name: member for name, member in members.items() if name not in changed}}
    followed |= {f"{cls.__name__}.{name}": follow(member) for name, member in code.items()}
    followed |= {name: follow(fake) for name, fake in model.__langplug_injected__().items()}  # not the real one's
    return followed | _follow_private_state(model, authors, changed)


_HOLDERS: tuple[tuple[type, str], ...] = (
    (functools.partial, "func"),
    (functools.partialmethod, "func"),
    (types.MethodType, "__func__"),
    (staticmethod, "__func__"),
    (classmethod, "__func__"),
    (property, "fget"),
    (functools.cached_property, "func"),
)
"""What holds a function, and where."""


@functools.cache
def reads_run(cls: type[ModelFields]) -> bool:
    """Whether code of the author's reads `request.run`, so that what a caller says of a call may be in the answer."""
    members = {name: member for base in reversed(_authors(cls)) for name, member in members_of(base).items()}
    told = {"run", *(("tags", "metadata") if cls.respond is hooks.respond else ())}  # those of a hook's `run_manager`
    waiting: list[Any] = [cls.respond, *members.values()]
    seen: set[int] = set()
    while waiting:
        function = waiting.pop()
        # By its very type, which is not hashed either: a foreign object that a closure holds is not to be touched.
        waiting += [getattr(function, place) for kind, place in _HOLDERS if type(function) is kind]
        if type(function) is not types.FunctionType or id(function) in seen:
            continue
        seen.add(id(function))
        if not names_in(function.__code__).read_attributes.isdisjoint(told):
            return True
        cells = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
        waiting += [*cells, vars(function).get("__wrapped__"), *read_globals(function).values()]
    return False


def _authors(cls: type[ModelFields]) -> list[type]:
    """The classes that an author wrote. Ours go by name: a cache may outlive an upgrade that changes no answer."""
    ours = ModelFields.__mro__
    return [base for base in cls.__mro__ if base not in ours and not base.__module__.startswith("langplug.")]


def _changed_by_calls(members: dict[str, Any]) -> set[str]:
    """The attributes that `respond`, and the methods that it calls, set: a counter, a client made on first use."""
    changed: set[str] = set()
    seen: set[str] = set()
    waiting = {"respond", "respond_batch", *hooks.HOOKS}
    while waiting:
        seen |= waiting
        names: list[Names] = []
        for member in [members[name] for name in waiting if name in members]:
            function = next((getattr(member, place) for kind, place in _HOLDERS if type(member) is kind), member)
            while type(function) is types.FunctionType:
                names.append(names_in(function.__code__))
                function = vars(function).get("__wrapped__")
        changed |= {name for one in names for name in one.set_attributes}
        waiting = {name for one in names for name in one.read_attributes & members.keys()} - seen
    return changed


def _follow_private_state(model: ModelFields, authors: list[type], changed: set[str]) -> dict[str, Followed]:
    """The attributes that are no fields. What calls change is as it was when the key was first asked for."""
    cls = type(model)
    state = {**model.__dict__, **(model.__pydantic_private__ or {})}
    strangers = set(cls.__mro__) - set(authors)
    ours = {name for base in strangers for name in vars(base).get("__private_attributes__", ())}
    names = [name for name in state if name not in cls.model_fields and name not in ours]
    if not names:
        return {}
    seen = model.__langplug_snapshot__()
    for name in names:
        if isinstance(inspect.getattr_static(cls, name, None), functools.cached_property):
            continue  # made of the rest
        # Only another object in its place is noticed: a list of what was asked grows in place.
        if name not in seen or (name not in changed and seen[name][0] is not state[name]):
            seen[name] = state[name], follow(state[name])
    return {name: seen[name][1] for name in names if name in seen}
