"""What a worker answers, line by line, and how its owner knows that it was the worker who said so.

What is checked runs in the worker's process, and may write into the worker's pipe. So an answer is one line of JSON,
which is never unpickled, and it is believed only if it repeats the number of the request (a nonce, which is new in each
request and stands in no variable of the environment) and its name. Whatever else arrives came from the model.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any

LONGEST = 2**24
"""Bytes that an answer may have."""


class Intruded(Exception):
    """What arrived is not the worker's answer."""


def new_nonce() -> str:
    """A number that nobody can guess."""
    return secrets.token_hex(16)


def write_answer(nonce: str, name: str, said: Mapping[str, Any]) -> bytes:
    """An answer, as it goes over the pipe."""
    # Lone surrogates, which a model may say, are escaped: JSON in ASCII takes any text.
    return json.dumps({"nonce": nonce, "name": name, "said": said}).encode() + b"\n"


def read_answer(line: bytes, nonce: str, *names: str) -> tuple[str, Mapping[str, Any]]:
    """The name of an answer to the request of this number, which is one of `names`, and what it says.

    Raises:
        Intruded: If the line is not that answer.
    """
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("nonce") != nonce or told.get("name") not in names:
        raise Intruded
    said = told.get("said")
    if not isinstance(said, dict):
        raise Intruded
    return told["name"], said
