"""Functions that know nothing of langplug, from a text or from messages to an answer, as functions of a request."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from langplug._request import Request

_TEXTS: Final = frozenset({"text", "prompt", "question", "message", "query"})
"""What people call the one argument of a function from a text to a text, if they do not annotate it."""

_ANSWERS: Final = frozenset(
    {"str", "Iterator", "Iterable", "Generator", "AsyncIterator", "AsyncIterable", "AsyncGenerator", "AIMessage"}
    | {"Answer", "Any"}
)
"""What a function that answers returns."""

VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def function_of_request(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """`function` as one of a request, if its first argument is a text or a list of messages; None if it is not.

    Its other arguments become settings. What may as well be a factory, such as `make(path: str)`, is not taken: the
    argument's name or what the function returns must speak of a conversation.
    """
    signature = inspect.signature(function)
    first, *others = signature.parameters.values()
    written, returned = outer_type(first.annotation), outer_type(signature.return_annotation)
    if returned and returned not in _ANSWERS:
        return None
    if (written == "str" and (first.name in _TEXTS or returned)) or (not written and first.name in _TEXTS):
        takes = "text"
    elif written.lower() in ("list", "sequence", "iterable") or (not written and first.name == "messages"):
        takes = "dicts" if "dict" in inspect.formatannotation(first.annotation).lower() else "messages"
    else:
        return None

    @wraps(function)
    def answer(request: Request, **settings: Any) -> Any:
        if takes == "text":
            return function(request.text, **settings)
        return function(request.openai_messages() if takes == "dicts" else list(request.messages), **settings)

    settable = [one.replace(kind=one.KEYWORD_ONLY) for one in others if one.kind not in VARIADIC]
    of_request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    vars(answer)["__signature__"] = inspect.Signature([of_request, *settable])
    return answer


def outer_type(annotation: Any) -> str:
    """The name of the outermost type, such as `list` of `list[dict]`; empty if there is none."""
    if annotation is inspect.Parameter.empty:
        return ""
    # With `from __future__ import annotations` the annotation is its own source text.
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.split(r"[\[\s|]", text.strip("'\""))[0].rpartition(".")[2]
