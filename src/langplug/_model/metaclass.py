"""The metaclass of chat models: what must happen to an author's class body before pydantic sees it."""

import re
from collections.abc import Callable
from functools import update_wrapper
from inspect import isfunction
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

from langplug._model import batch_door, hooks
from langplug._model.annotations import annotations_in
from langplug._model.capabilities import read_capabilities
from langplug._model.class_checks import check_names
from langplug._model.parameters import Concurrency, MaxRetries, conceal_arguments

_INT = re.compile(r"(typing\.)?Optional\[int\]|int \| None|None \| int|<class 'int'>|int")

_OF_A_MODEL = frozenset(
    {"invoke", "ainvoke", "stream", "astream", "batch", "abatch", "astream_events", "bind", "bind_tools", "with_retry"}
    | {"with_structured_output", "with_config", "with_fallbacks", "configurable_fields", "configurable_alternatives"}
)
"""What people call on the class itself, as `@chat_model` looks as if it made a model of a function."""


def _no_model(cls: type) -> str:
    return f"{cls.__name__} is a class of models. Make a model first"


class _Unbound:
    """A method of a class of models, found on the class: called without a model, it says how to make one."""

    def __init__(self, method: Callable[..., Any], cls: type) -> None:
        update_wrapper(self, method)
        self._method = method
        self._class = cls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method.

        Raises:
            TypeError: If the first argument is not a model.
        """
        if args and isinstance(args[0], BaseChatModel):
            return self._method(*args, **kwargs)
        raise TypeError(f"{_no_model(self._class)}: `{self._class.__name__}().{self._method.__name__}(...)`.")

    def __eq__(self, other: object) -> bool:
        return self._method == (other._method if isinstance(other, _Unbound) else other)

    def __hash__(self) -> int:
        return hash(self._method)

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self._method.__get__(model, owner)  # where somebody puts it into another class


if TYPE_CHECKING:
    # Type checkers have no need of ours: to them a plain assignment that overrides a field is right as it is.
    from pydantic._internal._model_construction import ModelMetaclass

    ChatModelMeta = ModelMetaclass
else:

    class ChatModelMeta(type(BaseChatModel)):
        """pydantic's metaclass, for which `tool_calling = "native"` in a class body sets the default of the field.

        So does `max_retries = 3`, and `concurrency = 1`. Annotated, it would be a parameter of the author's own.
        """

        def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any], **kwargs: Any) -> type:
            """Make the class.

            Raises:
                TypeError: If a name is taken, or a capability is set to something that it can't be.
            """
            where = body.get("__qualname__", name)
            check_names(where, bases, body)
            # LangChain's page declares whole seconds; langplug keeps to parts of one, too.
            if _INT.fullmatch(str(annotations_in(body).get("timeout"))):
                body["__annotations__"] = {**annotations_in(body), "timeout": float | None}
            if hooks.bind_natively(bases, body):
                body.setdefault("tool_calling", "native")
            read_capabilities(body, where)
            for setting, kind in (("max_retries", MaxRetries), ("concurrency", Concurrency)):
                if setting in body and setting not in body.get("__annotations__", {}):
                    body["__annotations__"] = {**body.get("__annotations__", {}), setting: kind}
            batch_door.declare_options(bases, body)
            return super().__new__(mcs, name, bases, body, **kwargs)

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            """Make a model; from here on, no variable shows a key that is among the arguments."""
            if args and isfunction(init := cls.__init__):  # an author's own, as pydantic's takes none
                args = tuple(cls.__conceal(dict(zip(init.__code__.co_varnames[1:], args, strict=False))).values())
            kwargs = cls.__conceal(kwargs)
            return super().__call__(*args, **kwargs)

        def __conceal(cls, given: dict[str, Any]) -> dict[str, Any]:
            return conceal_arguments(cls, given, is_plain=cls.__langplug_is_template__)

        def __getattribute__(cls, name: str) -> Any:
            """As any class's, and a method that only a model has says so: `shout.invoke("hi")` forgot to make one."""
            found = super().__getattribute__(name)
            return _Unbound(found, cls) if name in _OF_A_MODEL and isfunction(found) else found

        def __or__(cls, other: Any) -> Any:
            """As any class's (`Chat | None` in an annotation); `shout | parser` forgot to make a model.

            Raises:
                TypeError: If `other` is something that models are chained with.
            """
            if isinstance(other, Runnable):  # which would take the class for a function, and call it with the input
                raise TypeError(f"{_no_model(cls)}: `{cls.__name__}() | ...`.")
            return super().__or__(other)

        def __ror__(cls, other: Any) -> Any:
            """As `__or__`, for `prompt | shout` where the prompt is a dict or a function."""
            if isinstance(other, dict) or isfunction(other):
                raise TypeError(f"{_no_model(cls)}: `... | {cls.__name__}()`.")
            return super().__ror__(other)
