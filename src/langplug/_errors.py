"""The errors that langplug raises itself.

Each is one of langchain-core's `ModelError` family, so code written against that tree, and its
`is_retryable`, holds for every model::

    langchain_core.exceptions.ModelError
    ├── ModelConnectionError          retryable
    │   └── IncompleteAnswerError     the source ended before the answer did
    ├── UnmetDemandError              asked again and again, the model did not call the tool that it had to
    ├── ModelAuthenticationError
    │   └── MissingSecretError        no value for a secret, neither given nor in the environment (also a ValueError)
    ├── ModelInvalidRequestError
    │   ├── RefusalError              the provider's rules forbid to answer this
    │   └── UnsupportedError          the model cannot do this and may not be helped (also a NotImplementedError)
    └── (core's own, raised as they are: ModelTimeoutError, ModelRateLimitError, ContextOverflowError, ...)

Whatever error leaves a model in the middle of an answer, the author's own included, carries what had
been said until then as `error.partial`, an `AIMessage` (None before the first part)::

    try:
        model.invoke("Tell me a story.")
    except IncompleteAnswerError as error:
        print(error.partial.text)
"""

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
)
from langchain_core.messages import AIMessage


class IncompleteAnswerError(ModelConnectionError):
    """The source ended before the answer did: no finish reason, a reset, a cut body.

    Attributes:
        partial: What had been said until then, or None.
    """

    partial: AIMessage | None = None


class MissingSecretError(ModelAuthenticationError, ValueError):
    """A secret was neither given nor found in the environment. The message names the variable."""


class RefusalError(ModelInvalidRequestError):
    """The provider refused the request by its rules on content. The message is the provider's own."""


class UnmetDemandError(ModelError):
    """The model did not give what was demanded, such as a forced tool call, however often it was asked.

    Attributes:
        partial: Its last answer.
    """

    partial: AIMessage | None = None


class UnsupportedError(ModelInvalidRequestError, NotImplementedError):
    """The model cannot do what was asked, and may not be helped with it. The message says what to write."""


def remember_partial(error: BaseException, partial: AIMessage | None) -> None:
    """Give `error` what had been said before it. One that is raised again forgets what it knew of another answer."""
    if partial is not None or not hasattr(error, "partial"):
        try:
            error.partial = partial  # type: ignore[attr-defined]
        except AttributeError:  # an exception class with slots: nothing to hang it on
            return
