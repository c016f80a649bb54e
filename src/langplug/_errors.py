"""The errors that langplug raises itself.

Each is one of langchain-core's `ModelError` family, so code written against that tree, and its
`is_retryable`, holds for every model::

    langchain_core.exceptions.ModelError
    ├── ModelConnectionError          retryable
    │   └── IncompleteAnswerError     the source ended before the answer was complete
    ├── UnmetDemandError              after several attempts, the model has not called the tool that it must call
    ├── ModelAuthenticationError
    │   └── MissingSecretError        a secret is neither given nor in the environment (also a ValueError)
    ├── ModelRefusalError             the model declined; raised where its answer has to be an object
    │   └── RefusalError              the provider's rules forbid an answer (also a ModelInvalidRequestError)
    ├── ModelInvalidRequestError
    │   └── UnsupportedError          the model cannot do this, and langplug must not help (also a NotImplementedError)
    └── (core's own, raised as they are: ModelTimeoutError, ModelRateLimitError, ContextOverflowError, ...)

Every error that leaves a model in the middle of an answer, the author's own included, carries what had
come by then as `error.partial`, an `AIMessage` (None before the first part)::

    try:
        model.invoke("Tell me a story.")
    except IncompleteAnswerError as error:
        print(error.partial.text)
"""

from typing import TypeVar

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelRefusalError,
)
from langchain_core.messages import AIMessage

_Failure = TypeVar("_Failure", bound=Exception)


class IncompleteAnswerError(ModelConnectionError):
    """The source ended before the answer was complete: no finish reason, a reset, a cut body.

    Attributes:
        partial: What had come by then, or None.
    """

    partial: AIMessage | None = None


class MissingSecretError(ModelAuthenticationError, ValueError):
    """A secret was neither given nor found in the environment. The message names the variable."""


class RefusalError(ModelRefusalError, ModelInvalidRequestError):
    """The provider refused the request because of its rules on content. The message is the provider's own.

    A model that declines in an answer raises nothing: its message holds a `refusal` block. Where the answer has to be
    an object, as with `with_structured_output`, that is langchain-core's `ModelRefusalError`.
    """


class IgnoredParameterWarning(UserWarning):
    """A model was given a standard parameter, such as `temperature`, that it has no use for.

    Warned of once for each class of models and parameter. `adaptations="silent"` turns it off for a model.
    """


class UnmetDemandError(ModelError):
    """The model did not give what was demanded, such as a forced tool call, in any of several attempts.

    Attributes:
        partial: Its last answer.
    """

    partial: AIMessage | None = None


class UnsupportedError(ModelInvalidRequestError, NotImplementedError):
    """The model cannot do what was asked, and langplug must not do it in its place. The message says what to write."""


def remember_partial(error: BaseException, partial: AIMessage | None) -> None:
    """Give `error` what had come before it. One that is raised again forgets the first answer."""
    if partial is not None or not hasattr(error, "partial"):
        try:
            error.partial = partial  # type: ignore[attr-defined]
        except AttributeError:  # an exception class with slots, which has no room for it
            return


def advised(error: _Failure, advice: str = "") -> _Failure:
    """Have `error` say, too, what whoever has made the model can do about it.

    In Python the error says all of it. The client of a server cannot change the model: what `words_for_clients` leaves
    is for the client.

    Args:
        error: What was wrong.
        advice: A sentence for the model's author. Without one, all that the error says is for them.
    """
    if advice:
        error.args = (f"{error} {advice}",)
    error.__langplug_advice__ = advice or None  # type: ignore[attr-defined]
    return error


def words_for_clients(error: Exception) -> str:
    """What `error` says to those who ask a model that others have made; empty if it has nothing to say to them."""
    advice = getattr(error, "__langplug_advice__", "")
    if advice is None:
        return ""
    return str(error).replace(f" {advice}", "") if advice else str(error)  # how often was tried may stand behind it


def half_a_character(character: str, where: str = "") -> ModelInvalidRequestError:
    """The error for text that no encoder takes."""
    message = (
        f"The request holds {character!r}, half a character (a lone surrogate){where}. Text must be valid Unicode."
    )
    return advised(ModelInvalidRequestError(message), "Clean it with text.encode('utf-8', 'replace').decode().")
