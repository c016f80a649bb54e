"""`@chat_model`: the class that one would have written, from a function."""

import inspect
import types
from collections.abc import Callable
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, cast, get_type_hints, overload

from pydantic import Field

from langplug._bridge.shapes import shape_of
from langplug._model.chat_model import ChatModel
from langplug._model.class_checks import check_parameters
from langplug._parts import Answer
from langplug._request import Request
from langplug._resources import Resource

P = ParamSpec("P")

ToolCalling = Literal["native", "prompted", "off"]


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
    structured_output: Literal["native", "derived"] = "derived",
    accepts: frozenset[str] = frozenset(),
    provider: str = "",
) -> Callable[[Callable[Concatenate[Request, P], Answer]], ModelClass[P]]: ...
def chat_model(function: Callable[..., Any] | None = None, /, **class_variables: Any) -> Any:
    """Make a chat model of a function from a request to an answer.

    The function's one positional parameter is the request. Its keyword-only parameters are what the user configures:
    they become the fields of a `ChatModel` subclass that has the function's name, module and docstring.

    Args:
        function: `def` or `async def`, returning or yielding.
        class_variables: `tool_calling`, `structured_output`, `accepts` and `provider`, as in a `ChatModel` subclass.

    Raises:
        TypeError: If the function cannot be a model; what to write is said.
    """
    if function is None:
        return lambda decorated: _class_of(decorated, class_variables)
    return _class_of(function, class_variables)


def _class_of(function: Callable[..., Any], class_variables: dict[str, Any]) -> type[ChatModel]:
    name = getattr(function, "__name__", type(function).__name__)
    where = f"{function.__module__}.{getattr(function, '__qualname__', name)}"
    configured = check_parameters(function, where, ("request",))
    hints = _hints(function)
    namespace: dict[str, Any] = {
        "__module__": function.__module__,
        "__qualname__": getattr(function, "__qualname__", name),
        "__doc__": function.__doc__,
        "__annotations__": {},
        "respond": _respond(function, tuple(parameter.name for parameter in configured)),
        "__langplug_shape__": shape_of(function),
        **_checked_class_variables(class_variables),
    }
    for parameter in configured:
        _declare(parameter, hints, namespace)
    return cast("type[ChatModel]", types.new_class(name, (ChatModel,), exec_body=lambda body: body.update(namespace)))


def _respond(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[[ChatModel, Request], Any]:
    if not names:

        def respond_alone(_: ChatModel, request: Request, /) -> Any:
            return function(request)

        return respond_alone

    def respond(self: ChatModel, request: Request, /) -> Any:
        return function(request, **{name: getattr(self, name) for name in names})

    return respond


def _declare(parameter: inspect.Parameter, hints: dict[str, Any], namespace: dict[str, Any]) -> None:
    """A keyword-only parameter as a field; one whose default is a resource stays a resource."""
    default = parameter.default
    if isinstance(default, Resource):
        namespace[parameter.name] = default
        return
    namespace["__annotations__"][parameter.name] = hints.get(parameter.name, Any)
    namespace[parameter.name] = Field(...) if default is inspect.Parameter.empty else default


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters' types; names that only a type checker can resolve are taken as Any."""
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except NameError:
        return {
            name: hint for name, hint in getattr(target, "__annotations__", {}).items() if not isinstance(hint, str)
        }


def _checked_class_variables(given: dict[str, Any]) -> dict[str, Any]:
    allowed = {"tool_calling", "structured_output", "accepts", "provider"}
    if wrong := sorted(set(given) - allowed):
        raise TypeError(f"@chat_model has no option {wrong[0]!r}. It takes: {', '.join(sorted(allowed))}.")
    if given.get("tool_calling", "prompted") not in ("native", "prompted", "off"):
        raise TypeError(f"tool_calling is {given['tool_calling']!r}. It must be 'native', 'prompted' or 'off'.")
    return given
