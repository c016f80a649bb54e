"""Content encodings: which bodies are read, and how one is inflated that was asked for.

langplug asks for `Accept-Encoding: identity`. Compressed, the parts of a stream wait for one another, and a megabyte
may stand for a gigabyte: what was not asked for is refused, and what a caller asks for is inflated no further than an
answer may be long.
"""

import math
import zlib
from collections.abc import Mapping
from typing import Any

from langchain_core.exceptions import ModelAPIError, ModelError

from langplug._errors import IncompleteAnswerError

_INFLATED = ("gzip", "x-gzip", "deflate")


def encoding_of(headers: Mapping[str, str]) -> str:
    """How a body with these headers is encoded; an empty string if it is not."""
    encoding = headers.get("Content-Encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


def inflater_for(encoding: str, asked: str, status: int = 200) -> Any:
    """Python's inflater for a body in `encoding`.

    Args:
        encoding: As `encoding_of` says.
        asked: The request's `Accept-Encoding`.
        status: The status of the answer, for the error.

    Raises:
        ModelAPIError: If the encoding was not asked for, or is not known here. Asking again does not help.
    """
    if encoding in _INFLATED and encoding.removeprefix("x-") in asked.lower():
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip or zlib, as its first bytes say
    remedy = "Let the server, or the gateway before it, keep to `Accept-Encoding: identity`"
    if encoding in _INFLATED:
        remedy += ", or ask for it: headers={'Accept-Encoding': 'gzip'}"
    error: ModelError = ModelAPIError(f"The answer is compressed ({encoding!r}), which was not asked for. {remedy}.")
    error.is_retryable = False
    vars(error).update(status_code=status, retry_after=None, request_id=None)  # as each server's error has them
    raise error


def inflate(inflater: Any, data: bytes, most: float) -> bytes:
    """The next bytes of a body, inflated; of more than `most` bytes, only so many that it shows.

    Raises:
        IncompleteAnswerError: If they are not what its encoding says.
    """
    try:
        inflated: bytes = inflater.decompress(data, 0 if most == math.inf else int(most) + 1)  # 0: no limit
    except zlib.error as error:
        raise IncompleteAnswerError(f"The compressed answer is damaged ({error}); asking again may help.") from None
    return inflated
