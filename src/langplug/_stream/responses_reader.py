"""The body of an answer of OpenAI's Responses API, read as parts: streamed or whole, whichever was asked for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.exceptions import ModelAPIError

from langplug._answer.from_responses import ResponseSoFar
from langplug._answer.server_errors import error_of, failure_in, message_of, parse_body
from langplug._errors import IncompleteAnswerError
from langplug._parts import Part
from langplug._stream.framing import Frame, Framing
from langplug._stream.reader import BodyReader, LoadJson, error_in, quote
from langplug._wires import responses as wire

_ENDS = frozenset({"completed", "incomplete"})
"""The statuses of a response that is whole."""


class ResponsesReader(BodyReader):
    """A push parser for the bytes of one response: https://platform.openai.com/docs/api-reference/responses-streaming.

    Args:
        content_type: The response's `Content-Type`; tells JSON lines from one JSON value.
        coalesce: Return the text that one `feed` completes as one part.
        load: The JSON parser.
        max_event_bytes: How large one event may be.
    """

    def __init__(
        self,
        content_type: str = "",
        *,
        coalesce: bool = False,
        load: LoadJson = json.loads,
        max_event_bytes: int | None = None,
    ) -> None:
        super().__init__(content_type, coalesce=coalesce, load=load, max_event_bytes=max_event_bytes)
        self._so_far = ResponseSoFar()
        self._read_any = False
        self._is_whole = False

    def choose_framing(self, seen: Framing | None, start: bytes, *, at_end: bool) -> Framing | None:
        """As the first bytes say; if they begin one JSON value or several, as the content type says."""
        if seen is None:
            return None if not at_end else self._named or "json"
        if seen == "text":
            said = message_of(parse_body(start[:4096]))
            raise ModelAPIError(
                f"The server's answer is not of the Responses API; it begins {said[:200]!r}. "
                "Is `base_url` the address of its API? It mostly ends in /v1."
            )
        return self._named if seen == "json" and self._named == "ndjson" else seen

    def read_value(self, value: Any, frame: Frame) -> Sequence[Part]:
        """The parts of an event or of a whole response."""
        if value is None or (value == "" and frame.event != "error"):
            return ()
        if not isinstance(value, dict):
            raise error_in(value)
        try:
            if value.get("type") == wire.TEXT_DELTA and (text := self._so_far.text_of_plain_delta(value)):
                return (text,)
            return self._read(value, frame)
        # Whatever JSON of another shape leads to.
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise self._not_of_this_wire(frame) from None

    def _read(self, value: dict[str, Any], frame: Frame) -> Sequence[Part]:
        kind = value.get("type") or frame.event
        if kind == wire.ERROR:
            raise error_in(value)
        if isinstance(kind, str) and kind.startswith("response."):
            self._read_any = True
            if kind in wire.LAST_EVENTS:
                self._is_whole = self.finished = self._check_end(value.get("response"), kind)
            return list(self._so_far.read_event({**value, "type": kind}))
        if value.get("object") == "response" or isinstance(value.get("output"), list):
            self._read_any = True
            self._is_whole = self._check_end(value, value.get("status"))
            return list(self._so_far.read_response(value, is_last=True))
        if (failure := failure_in(value)) is not None:
            raise error_of(failure)
        if "choices" in value:
            raise self._not_of_this_wire(frame)
        return ()  # such as an event that keeps the connection open

    def _check_end(self, response: Any, said: object) -> bool:
        """Whether the response is whole.

        Raises:
            ModelError: If it failed, and says no more than that.
        """
        if not isinstance(response, Mapping):
            raise TypeError(f"{said} comes without its response")
        status = response.get("status")
        if "failed" in str(status or said) and not response.get("error"):
            raise error_of({"message": "The server says that the response failed, and not why.", "code": 500})
        return status in _ENDS

    def finish(self) -> Sequence[Part]:
        """Check that the answer has said why it ended."""
        if self._is_whole:
            return ()
        if not self._read_any:
            raise IncompleteAnswerError(
                "The server's answer is empty: it has neither a response nor an error. Asking again may help."
            )
        raise IncompleteAnswerError(
            "The server's answer ended without `response.completed`, so it is not complete. What had come is this "
            "error's `partial`; asking again may help."
        )

    def _not_of_this_wire(self, frame: Frame) -> ModelAPIError:
        return ModelAPIError(
            f"The server sent {quote(frame.data)}, which is not of the Responses API. Does it speak chat completions? "
            'Then leave out api="responses".'
        )
