"""`@chat_model`: the class that one would have written, from a function."""

import inspect
import types
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, cast, get_type_hints, overload

from pydantic import Field

from langplug._bridge.shapes import shape_of
from langplug._model.capabilities import CAPABILITIES, StructuredOutput, ToolCalling
from langplug._model.chat_model import ChatModel
from langplug._model.class_checks import check_parameters
from langplug._parts import Answer
from langplug._request import Request
from langplug._resources import Resource
from langplug._tools import ToolFormat

P = ParamSpec("P")

_OPTIONS = frozenset({*CAPABILITIES, "max_retries", "provider"})


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
    provider: str = "",
) -> Callable[[Callable[Concatenate[Request, P], Answer]], ModelClass[P]]: ...
def chat_model(function: Callable[..., Any] | None = None, /, **class_variables: Any) -> Any:
    """Make a chat model of a function from a request to an answer.

    The function's one positional parameter is the request. Its keyword-only parameters are what the user configures:
    they become the fields of a `ChatModel` subclass that has the function's name, module and docstring.

    Args:
        function: `def` or `async def`, returning or yielding.
        class_variables: `tool_calling`, `structured_output`, `accepts`, `tool_format`, `max_retries` and `provider`,
            as in a `ChatModel` subclass.

    Raises:
        TypeError: If the function cannot be a model; what to write is said.
    """
    if wrong := sorted(class_variables.keys() - _OPTIONS):
        raise TypeError(f"@chat_model has no option {wrong[0]!r}. It takes: {', '.join(sorted(_OPTIONS))}.")
    if function is None:
        return lambda decorated: _make_class(decorated, class_variables)
    return _make_class(function, class_variables)


def _make_class(function: Callable[..., Any], class_variables: dict[str, Any]) -> type[ChatModel]:
    name = getattr(function, "__name__", type(function).__name__)
    qualname = getattr(function, "__qualname__", name)
    module = getattr(function, "__module__", None) or "__main__"  # functions made by `exec` have none
    parameters = check_parameters(function, f"{module}.{qualname}", ("request",))
    hints = _type_hints(function)
    body: dict[str, Any] = {
        "__module__": module,
        "__qualname__": qualname,
        "__doc__": function.__doc__,
        "__annotations__": {},
        "__langplug_shape__": shape_of(function),
        "respond": _make_respond(function, tuple(parameter.name for parameter in parameters)),
        **class_variables,
    }
    for parameter in parameters:
        if isinstance(parameter.default, Resource):
            body[parameter.name] = parameter.default  # stays a resource, and is no setting
            continue
        required = parameter.default is inspect.Parameter.empty
        body["__annotations__"][parameter.name] = hints.get(parameter.name, Any)
        body[parameter.name] = Field(...) if required else parameter.default
    return cast("type[ChatModel]", types.new_class(name, (ChatModel,), exec_body=lambda empty: empty.update(body)))


def _make_respond(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[[ChatModel, Request], Any]:
    if not names:  # most functions: the call of a closure less

        def respond_alone(_: ChatModel, request: Request, /) -> Any:
            return function(request)

        return respond_alone

    def respond(self: ChatModel, request: Request, /) -> Any:
        return function(request, **{name: getattr(self, name) for name in names})

    return respond


def _type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters' types; names that only a type checker can resolve are taken as Any."""
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except NameError:
        return {
            name: hint for name, hint in getattr(target, "__annotations__", {}).items() if not isinstance(hint, str)
        }
