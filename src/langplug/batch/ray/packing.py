"""A model on its way to other processes: pickled, with the code of the user's own, or loaded there."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import packages_distributions
from types import ModuleType
from typing import Any, Final

from langplug import ChatModel, adopt
from langplug.batch.asking import Asker
from langplug.batch.ray.engine import import_ray

_NOT_SENT: Final = ("__main__", "langplug", "langplug_backend", "langplug_check")
"""What is not the user's own, or is always sent."""

MakeAsker = Callable[[ChatModel], Asker]


def pack(model: ChatModel, make: MakeAsker, load: Callable[[], Any] | None) -> bytes:
    """A pickle of what makes an asker of the model in another process.

    Of the user's own modules the code itself is in it, so that a file of theirs need not lie on every node; what is
    installed has to be installed there.

    Args:
        model: The model.
        make: What makes an asker of a model.
        load: What makes the model there, if it cannot be sent.

    Raises:
        ValueError: If the model cannot be sent, and there is nothing that makes it.
    """
    pickler = import_ray().cloudpickle
    problem: Exception | None = None
    for modules in (
        _own_modules(pickler),
        [],
    ):  # what is at the top of a module, as a lock, may be what cannot be pickled
        with _by_value(pickler, modules):
            try:
                packed: bytes = pickler.dumps(partial(_ask_of, model, make))
                pickler.loads(packed)  # a secret that was given is missing only there
            except Exception as error:  # noqa: BLE001 - anything that a model holds may refuse, in its own way
                problem = problem or error
            else:
                return packed
    if load is None:
        raise ValueError(
            f"{model.reported_name} cannot be sent to Ray's workers ({type(problem).__name__}: {problem}): name what "
            "makes it there, as engine=Ray(load=partial(langplug.load, 'mine:agent'))"
        ) from problem
    with _by_value(pickler, _own_modules(pickler)):
        loaded: bytes = pickler.dumps(partial(_ask_of, None, make, load))
        return loaded


def _ask_of(model: Any, make: MakeAsker, load: Callable[[], Any] | None = None) -> Asker:
    return make(adopt(model if load is None else load(), max_retries=0))


@contextmanager
def _by_value(pickler: Any, modules: Sequence[ModuleType]) -> Generator[None]:
    for module in modules:
        pickler.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            pickler.unregister_pickle_by_value(module)


def _own_modules(pickler: Any) -> list[ModuleType]:
    """The modules, and packages with what is in them, that are neither Python's nor langplug's, nor installed."""
    known = {*sys.stdlib_module_names, *packages_distributions(), *pickler.list_registry_pickle_by_value(), *_NOT_SENT}
    # a module may be there under two names, as `__main__` is where processes are spawned
    modules = [module for name, module in list(sys.modules.items()) if getattr(module, "__name__", None) == name]
    own = [module for module in modules if "." not in module.__name__ and module.__name__ not in known]
    return [one for one in own if hasattr(one, "__path__") or getattr(one, "__file__", None) is not None]
