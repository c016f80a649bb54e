"""What a client needs of whoever reads the body of an answer."""

import json
from collections.abc import Sequence
from typing import Protocol

from langchain_core.exceptions import ModelAPIError

from langplug._answer.server_errors import message_of, said_in
from langplug._parts import Part


class Reader(Protocol):
    """A push parser: the bytes of one answer's body in, parts out.

    Attributes:
        finished: True once the wire's own end was seen (`[DONE]`, `message_stop`); nothing more need be read.
    """

    finished: bool

    def feed(self, data: bytes) -> Sequence[Part]:
        """Take the next bytes; return the parts that they complete.

        Raises:
            ModelError: If the server reports an error in the body, or the body is none that this wire knows.
        """
        ...

    def end(self) -> Sequence[Part]:
        """Say that the body has ended in good order; return what is left.

        Raises:
            IncompleteAnswerError: If the answer has not ended with it.
        """
        ...


class JsonReader:
    """Reads a body that is one JSON object, and gives that as its only part."""

    def __init__(self) -> None:
        self.finished = False
        self._body: list[bytes] = []

    def feed(self, data: bytes) -> Sequence[Part]:
        """Take the next bytes; nothing is complete before the end."""
        self._body.append(data)
        return ()

    def end(self) -> Sequence[Part]:
        """Return the object.

        Raises:
            ModelAPIError: If the body is none.
        """
        body = b"".join(self._body)
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            shown = message_of(said_in(body))[:200]
            raise ModelAPIError(f"The server's answer is no JSON object; it begins {shown!r}. Is `base_url` right?")
        return (value,)
