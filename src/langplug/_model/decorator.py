"""`@chat_model`: the class that one would have written, from a function."""

import functools
import inspect
import types
from collections.abc import Callable, Hashable, Sequence
from copy import copy
from types import SimpleNamespace
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, cast, get_type_hints, overload

from pydantic import Field

from langplug._bridge.shapes import Shape, shape_of
from langplug._model import batch_door
from langplug._model.capabilities import CAPABILITIES, StructuredOutput, ToolCalling
from langplug._model.chat_model import ChatModel
from langplug._model.class_checks import check_parameters, check_request
from langplug._parts import Answer, Answers
from langplug._request import Request
from langplug._resources import Resource
from langplug._tools import ToolFormat

P = ParamSpec("P")

Scope = dict[str, Any]

_OPTIONS = frozenset({*CAPABILITIES, "max_retries", "concurrency", "provider", "batch", *batch_door.OPTIONS})


class ModelClass(Protocol[P]):
    """What `@chat_model` makes, as type checkers see it: called with the function's keyword parameters."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ChatModel:
        """Make a model."""
        ...


@overload
def chat_model(function: Callable[Concatenate[Request, P], Answer], /) -> ModelClass[P]: ...
@overload
def chat_model(
    *,
    tool_calling: ToolCalling = "prompted",
    structured_output: StructuredOutput = "derived",
    accepts: frozenset[str] = frozenset(),
    tool_format: str | ToolFormat | None = None,
    max_retries: int = 0,
    concurrency: int | None = None,
    provider: str = "",
) -> Callable[[Callable[Concatenate[Request, P], Answer]], ModelClass[P]]: ...
@overload
def chat_model(
    *,
    batch: Literal[True],
    max_batch: int | None = None,
    max_wait: float | None = None,
    batch_key: Callable[[Request], Hashable] | None = None,
    split_on_error: bool = False,
    tool_calling: ToolCalling = "prompted",
    structured_output: StructuredOutput = "derived",
    accepts: frozenset[str] = frozenset(),
    tool_format: str | ToolFormat | None = None,
    max_retries: int = 0,
    concurrency: int | None = None,
    provider: str = "",
) -> Callable[[Callable[Concatenate[Sequence[Request], P], Answers]], ModelClass[P]]: ...
def chat_model(function: Callable[..., Any] | None = None, /, **class_variables: Any) -> Any:
    """Make a chat model of a function from a request to an answer.

    The function's one positional parameter is the request. Its keyword-only parameters are what the user configures:
    they become the fields of a `ChatModel` subclass that has the function's name, module and docstring.

    Args:
        function: `def` or `async def`, returning or yielding.
        class_variables: `tool_calling`, `structured_output`, `accepts`, `tool_format`, `max_retries`, `concurrency` and
            `provider`, as in a `ChatModel` subclass. With `batch=True` the function is a `respond_batch`: it takes a
            list of requests, and `max_batch`, `max_wait`, `batch_key` and `split_on_error` say how they are gathered.

    Raises:
        TypeError: If the function cannot be a model, or the type of a parameter cannot be resolved; what to write is
            said.
    """
    if wrong := sorted(class_variables.keys() - _OPTIONS):
        raise TypeError(f"@chat_model has no option {wrong[0]!r}. It takes: {', '.join(sorted(_OPTIONS))}.")
    if function is None:
        return lambda decorated: _make_class(decorated, class_variables, inspect.currentframe())
    return _make_class(function, class_variables, inspect.currentframe())


def _make_class(
    function: Callable[..., Any], class_variables: dict[str, Any], decorated_in: types.FrameType | None
) -> type[ChatModel]:
    name = getattr(function, "__name__", type(function).__name__)
    qualname = getattr(function, "__qualname__", name)
    module = getattr(function, "__module__", None) or "__main__"  # functions made by `exec` have none
    where = f"{module}.{qualname}"
    options = {name: value for name, value in class_variables.items() if name != "batch"}
    in_batches = class_variables.get("batch", False)
    if not in_batches and (needless := options.keys() & set(batch_door.OPTIONS)):
        raise TypeError(f"{where}: {min(needless)!r} is for a function of many requests. Say so: `batch=True`.")
    parameters = check_parameters(function, where, ("requests",) if in_batches else ("request",))
    if in_batches:
        batch_door.check_function(function, where, ("requests",))
    else:
        check_request(function, where)
    # The local names around the function, if it is decorated where it is defined.
    frame = decorated_in and decorated_in.f_back
    around = getattr(_plain_function(function), "__qualname__", "").rpartition(".")[0].removesuffix(".<locals>")
    scope = dict(frame.f_locals) if frame and around and frame.f_code.co_qualname == around else {}
    names = tuple(parameter.name for parameter in parameters)

    def respond_alone(_: ChatModel, asked: Any, /) -> Any:
        return function(asked)

    def respond(self: ChatModel, asked: Any, /) -> Any:
        return function(asked, **{name: getattr(self, name) for name in names})

    shape = shape_of(function)
    if in_batches:  # called in a thread of its own; who waits for it is no concern of its shape
        shape = Shape.GENERATOR if shape.streams else Shape.FUNCTION
    body: dict[str, Any] = {
        "__module__": module,
        "__qualname__": qualname,
        "__doc__": function.__doc__,
        "__annotations__": {},
        "__langplug_shape__": shape,
        # most functions take the request alone, and are called faster
        "respond_batch" if in_batches else "respond": respond if names else respond_alone,
        **options,
    }
    if callable(key := options.get("batch_key")):
        body["batch_key"] = staticmethod(key)  # of a request alone
    for parameter in parameters:
        if isinstance(parameter.default, Resource):
            body[parameter.name] = copy(parameter.default)  # stays a resource, and is no setting; named by each class
            continue
        required = parameter.default is inspect.Parameter.empty
        body["__annotations__"][parameter.name] = _resolve_hint(function, parameter, where, scope)
        body[parameter.name] = Field(...) if required else parameter.default
    return cast("type[ChatModel]", types.new_class(name, (ChatModel,), exec_body=lambda empty: empty.update(body)))


def _resolve_hint(function: Callable[..., Any], parameter: inspect.Parameter, where: str, scope: Scope) -> Any:
    """The type of a parameter, by itself: what the others are is no concern of pydantic's.

    Raises:
        TypeError: If its names cannot be found when the program runs, as those of `if TYPE_CHECKING:` cannot.
    """
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    written = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    names = {**getattr(_plain_function(function), "__globals__", {}), **scope}
    try:
        return get_type_hints(written, names, include_extras=True)[parameter.name]
    except Exception as error:  # noqa: BLE001 - a hint is text, and evaluating it may raise anything
        hint = getattr(parameter.annotation, "__forward_arg__", parameter.annotation)
        raise TypeError(
            f"{where}: the type {hint!r} of the parameter {parameter.name!r} cannot be resolved: {error}. "
            "langplug needs it when the program runs, to check what users give. If it is imported under "
            "`if TYPE_CHECKING:`, move the import out; if it is defined later, move it before the function."
        ) from None


def _plain_function(function: Any) -> types.FunctionType | None:
    """The function in whose module the types are written: what a decorator, a partial or an object stands for."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif isinstance(function, types.FunctionType):
            return function
        elif inspect.isroutine(function) or not isinstance(called := type(function).__call__, types.FunctionType):
            return None
        else:
            function = called
