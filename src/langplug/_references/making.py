"""From what a reference leads to, to a model: an instance, a class, a function, a factory; with settings."""

import inspect
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final, cast

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.runnables import Runnable
from pydantic import ValidationError

from langplug._model.chat_model import ChatModel
from langplug._model.decorator import chat_model
from langplug._model.parameters import parameters_of, unknown_parameter
from langplug._model.plan import with_overrides
from langplug._parts import Answer
from langplug._references.functions import VARIADIC, function_of_request, outer_type
from langplug._references.kind import Settings
from langplug._request import Request
from langplug._suggest import did_you_mean

_EXPECTED: Final = (
    "expected a chat model (an instance or a class of LangChain's BaseChatModel), a chain or a graph that answers "
    "messages, a function whose first argument is called 'request', a function of one text or of a list of messages, "
    "or a function without arguments that returns one of these"
)

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def make_model(found: object, reference: str, settings: Settings) -> BaseChatModel:
    """The chat model that `found` is, or that it makes.

    Raises:
        TypeError: If it is not a model and does not lead to one, or if it does not take these settings.
        Exception: What the class or the factory raises, with a note that names the reference.
    """
    if isinstance(found, BaseChatModel):
        return _set_up(found, reference, settings) if settings else found
    if _can_be_adopted(found):
        return _adopt(found, reference, settings)
    if callable(getattr(found, "add_node", None)) and not isinstance(found, Runnable):
        raise TypeError(f"{reference!r} is the plan of a graph ({type(found).__name__}): refer to its `.compile()`")
    make = _maker_of(found, reference, settings)
    check_names(make, settings, reference)
    try:
        made = make(**settings)
    except ValidationError as error:
        problems = error.errors()
        how = "with these settings" if settings else "without arguments"
        needed = next((str(one["loc"][0]) for one in problems if one["type"] == "missing"), "")
        mend = ""
        if needed:
            mend = (
                f": give {needed} as a setting (--with {needed}=..., or load(..., {needed}=...)), or refer to an "
                "instance, or to a function without arguments that returns one"
            )
        elif any(one["type"] == "string_type" and isinstance(one["input"], int | float) for one in problems):
            mend = ": on a command line, a text that looks like a number is put in quotes, as in JSON"
        raise TypeError(f"{reference!r} cannot be made {how} ({_list_problems(error)}){mend}") from error
    except Exception as error:
        error.add_note(f"while making the model {reference!r}")
        raise
    if isinstance(made, BaseChatModel):
        return made
    if _can_be_adopted(made):
        return _adopt(made, reference, {})
    raise TypeError(f"{reference!r} was called as a factory and returned {_describe(made)}, {_EXPECTED}")


def make_ready_made(name: str, reference: str, settings: Settings) -> BaseChatModel:
    """A model of langplug's own, by the name of its class, which is looked up now: models stand on a floor above."""
    return make_model(getattr(import_module("langplug.models"), name), reference, settings)


def _can_be_adopted(found: object) -> bool:
    """Whether it is an `LLM`, a chain or a graph, and so may answer messages.

    Prompts, tools, retrievers and parsers are Runnables too, and answer nobody: a reference to one is a mistake.
    """
    if not isinstance(found, Runnable) or isinstance(found, BaseChatModel):
        return False
    kinds = ("PromptTemplate", "BaseTool", "BaseRetriever", "BaseOutputParser")
    names = {base.__name__ for base in type(found).__mro__}
    return isinstance(found, BaseLanguageModel) or not any(name.endswith(kinds) for name in names)


def _adopt(found: object, reference: str, settings: Settings) -> BaseChatModel:
    try:
        return cast("BaseChatModel", import_module("langplug").adopt(found, **settings))
    except TypeError as error:
        raise TypeError(f"{reference!r}: {error}") from error


def check_names(made_by: Any, settings: Iterable[str], reference: str) -> None:
    """Check that a class or a factory has parameters of these names.

    Raises:
        TypeError: If not; the nearest name is suggested. langplug's own classes are asked: they know better.
    """
    is_class = isinstance(made_by, type)
    if is_class and issubclass(made_by, ChatModel):
        return
    parameters = _parameters_of(made_by) or []
    known = {one.name for one in parameters if one.kind not in VARIADIC}
    if is_class and issubclass(made_by, BaseChatModel):
        known |= set(parameters_of(made_by).fields)
        open_ended = made_by.model_config.get("extra") == "allow"
    else:
        open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters)
    for name in settings:
        if name not in known and not open_ended:
            hint = did_you_mean(name, known) or f" What it takes: {', '.join(sorted(known)) or 'none'}."
            raise TypeError(f"{reference!r} has no setting {name!r}.{hint}")


def _set_up(model: BaseChatModel, reference: str, settings: Settings) -> BaseChatModel:
    """A copy of a model that was made already, with these settings, validated as its constructor would."""
    cls = type(model)
    if not isinstance(model, ChatModel):
        raise TypeError(
            f"{reference!r} is a model that was made already, of {cls.__name__}, so it takes no settings: refer to the "
            "class, or to a function that returns a model"
        )
    fields = parameters_of(cls).fields
    for name in settings:
        if name not in fields:
            raise unknown_parameter(cls, name, "a reference", fields)
    try:
        return cast("ChatModel", with_overrides(model, {fields[name]: value for name, value in settings.items()}))
    except ValidationError as error:
        raise TypeError(f"{reference!r} does not take these settings ({_list_problems(error)})") from error


def _list_problems(error: ValidationError) -> str:
    # Not `str(error)`, which shows the rejected values: they may be secrets.
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())


def _maker_of(found: object, reference: str, settings: Settings) -> Callable[..., object]:
    """What to call, with `settings`, for the model that `found` leads to."""
    mend = ""
    if isinstance(found, type):
        if issubclass(found, BaseChatModel):
            return found
    elif callable(found) and (parameters := _parameters_of(found)) is not None:
        first = parameters[0] if parameters and parameters[0].kind in _POSITIONAL else None
        required = [one.name for one in parameters if one.default is one.empty and one.kind not in VARIADIC]
        if first is not None:
            if first.name == "request" or outer_type(first.annotation) == "Request":
                return chat_model(cast("Callable[[Request], Answer]", found))  # which checks it
            is_alone = required == [first.name] and first.name not in settings
            if is_alone and (of_request := function_of_request(found)) is not None:
                return chat_model(of_request)
        # What a factory needs may be given as settings.
        if settings.keys() >= set(required) and not inspect.iscoroutinefunction(found):
            return found
        needed = ", ".join(name for name in required if name not in settings)
        mend = f". If it makes a model, give {needed} as a setting, as in --with {required[0]}=..." if needed else ""
    raise TypeError(f"{reference!r} is {_describe(found)}, {_EXPECTED}{mend}")


def _parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C, without a signature
        return None


def _describe(found: object) -> str:
    """What `found` is, in words."""
    if isinstance(found, type):
        return f"the class {found.__name__}, which is not a chat model"
    if inspect.isroutine(found):
        kind = "an async function" if inspect.iscoroutinefunction(found) else "a function"
        return f"{kind} of ({', '.join(parameter.name for parameter in _parameters_of(found) or ())})"
    return f"an instance of {type(found).__name__}"
