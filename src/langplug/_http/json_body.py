"""A request's body as JSON."""

import json
from collections.abc import Callable
from typing import Any

from langchain_core.exceptions import ModelInvalidRequestError


def json_body(body: Any, dumps: Callable[[Any], bytes]) -> bytes:
    """`body` as UTF-8 JSON, by the fast `dumps`, or by Python's own for what that refuses, such as huge integers.

    Raises:
        ModelInvalidRequestError: If it holds what JSON or Unicode has no place for; it is named.
    """
    try:
        return bytes(memoryview(dumps(body)))  # a copy: orjson's own sits in a block of 4 KiB
    except TypeError:
        pass
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        at = max(0, error.start - 20)
        raise ModelInvalidRequestError(
            f"The request holds {error.object[error.start]!r}, half a character (a lone surrogate), after "
            f"{error.object[at : error.start]!r}. Text must be valid Unicode: clean it with "
            "text.encode('utf-8', 'replace').decode()."
        ) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelInvalidRequestError(f"The request cannot be written as JSON: {error}.") from None
