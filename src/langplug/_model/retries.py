"""Whether a model is asked again after an error, after how long a wait, and what the last error says of it."""

import re
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage

from langplug._answer.client_errors import model_error_of, retry_after_of
from langplug._bridge.source import Deadline
from langplug._errors import remember_partial
from langplug._log import log, strike_out
from langplug._model.fields import ModelFields
from langplug._redaction import AnySecret, scrub_error, secrets_in
from langplug._request import READ_IT


class Tries:
    """The tries at one answer: a context manager around each of them.

    ::

        with tries:  # lets an error out, or keeps it and says in `wait_s` when to try again
            ...
        if tries.wait_s is not None:
            time.sleep(tries.wait_s)

    An exception of an HTTP client's becomes the `ModelError` that it means, the original its cause. Every error carries
    what had come before it as its `partial`, and says how often was tried, if more than once.

    Args:
        model: The model that is asked, with the settings of this call.
        deadline: When the answer must have ended; a wait that would reach it is not begun.
        partial: Returns what has come of the answer by now. After its first part, nothing is tried again.

    Attributes:
        wait_s: Seconds to wait before the next try; None if there is none.
    """

    __slots__ = ("_began", "_deadline", "_failures", "_model", "_partial", "_requests", "_try_began", "wait_s")

    def __init__(self, model: ModelFields, deadline: Deadline | None, partial: Callable[[], AIMessage | None]) -> None:
        self._model = model
        self._deadline = deadline
        self._partial = partial
        self._failures = 0
        self._requests = 0  # as the failures, but each of a nested model's own tries counts
        self._began = self._try_began = 0.0
        self.wait_s: float | None = None

    def __enter__(self) -> Self:
        self.wait_s = None
        self._try_began = time.monotonic()
        if not self._failures:
            self._began = self._try_began
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if error is None or isinstance(error, GeneratorExit):  # the reader left, which needs no partial answer
            return False
        partial = self._partial()
        raised: BaseException = error
        if isinstance(error, Exception):
            _hide(secrets := [*secrets_in(vars(self._model))], error)
            if (typed := model_error_of(error, begun=partial is not None)) is not None:
                # Clients write addresses into messages, and addresses hold keys.
                typed.args = (strike_out(str(typed), secrets),)
                for note in getattr(error, "__notes__", ()):  # such as that it comes from the function given as `auth`
                    typed.add_note(note)
                raised = typed
            if isinstance(error, TypeError) and re.search(r"\bRequest\b", words := str(error)) and READ_IT not in words:
                error.add_note(READ_IT)  # `json.dumps`, `join` and others that take it for text know its type alone
            self._failures += 1
            # A nested model's error stands for all its tries, unless it said them before: one that is raised again.
            tries, said_at = getattr(raised, "langplug_tries", (1, 0.0))
            self._requests += tries if said_at >= self._try_began else 1
            if partial is None and isinstance(raised, ModelError) and raised.is_retryable and self._plan_retry(raised):
                return True
            if self._failures > 1:
                _say_tries(raised, self._requests, time.monotonic() - self._began)
        remember_partial(raised, partial)
        if raised is not error:
            raise raised from error
        return False

    def begin_again(self) -> None:
        """Count anew: what is asked next is another question."""
        self._failures = self._requests = 0

    def _plan_retry(self, error: ModelError) -> bool:
        """Set the wait before the next try, if there is to be one."""
        backoff = self._model.__langplug_backoff__()
        wait_s = backoff.wait_s(self._failures, retry_after_of(error))
        if wait_s is None or (self._deadline is not None and wait_s >= self._deadline.left):
            return False
        owner, reason = type(self._model).__name__, f"{type(error).__name__}: {error}"
        why = strike_out(reason, secrets_in(vars(self._model)))
        log.warning("%s: retry %d of %d in %.2f s, after %s", owner, self._failures, backoff.retries, wait_s, why)
        self.wait_s = wait_s
        return True


def _hide(secrets: Collection[AnySecret], error: BaseException) -> None:
    """Strike `secrets` out of an error, and of what led to it, which tracebacks show: authors write what they have."""
    led_to: list[BaseException] = [error] if secrets else []
    for one in led_to:  # which grows
        scrub_error(one, secrets)
        for before in (one.__cause__, one.__context__):
            if before is not None and not any(before is known for known in led_to):
                led_to.append(before)


_TRIED = re.compile(r" ?\(tried \d+ times in [\d.]+ s\)")


def _say_tries(error: BaseException, tries: int, seconds: float) -> None:
    """Have `error` say how often was tried: in its message, or in a note where the message is not ours to change."""
    words = f"(tried {tries} times in {seconds:.1f} s)"
    vars(error)["langplug_tries"] = (tries, time.monotonic())
    if isinstance(error, ModelError) and len(error.args) == 1 and str(error) == error.args[0]:
        error.args = (f"{_TRIED.sub('', str(error))} {words}",)  # one that is raised again says it anew
    else:
        notes = getattr(error, "__notes__", [])
        notes[:] = [note for note in notes if not _TRIED.fullmatch(note)]
        error.add_note(words)
