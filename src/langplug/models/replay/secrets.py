"""No secret is written: what a model's fields, the environment, a name or a form gives away is struck out.

Struck out of questions, answers and errors alike are

* the values of the recorded model's secret fields, and of environment variables that are certainly called like secrets,
  in whatever way servers write them;
* values under an unmistakable name (`api_key`, `password`, `Authorization`), in mappings, headers, JSON, addresses and
  options, arguments of calls included; under an ambiguous one (`token`, `key`), where they look random;
* what has the form of a key: `Bearer ...`, `sk-...`, `ghp_...`, AWS's and Google's, JWTs, private keys.

Questions are struck before they are compared, so that one that holds a secret is found again.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from langchain_core.runnables import Runnable
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from langplug._redaction import scrub
from langplug._secrets import MASK, hide_in_text, is_secret_name, secret_entries, secret_items

_STARS: Final = "***"

_FORMS: Final = re.compile(
    r"(?P<scheme>\b(?:Bearer|Basic|Token)\s+)(?=\S*\d)[\w.+/=~-]{8,}"
    r"|(?<![\w-])(?:sk|pk|rk)[-_](?=\S*\d)[\w-]{12,}"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|hf_|gsk_|xai-|npm_|pypi-)[\w-]{14,}"
    r"|\bxox[abeprs]-[\w-]{10,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL | re.IGNORECASE,
)

_NAMED: Final = re.compile(r"(\\*[\"'])([\w.-]{1,60})\1(\s*:\s*)(\\*[\"'])(?!\4)(?:(?!\4).)+", re.DOTALL)
_HEADER: Final = re.compile(
    r"(?<![\w-])((?:[\w-]+-)?(?:api-key|authorization|cookie)):[ \t]*[^\r\n\"']+", re.IGNORECASE
)
_COLON: Final = re.compile(r"(?<![\w.-])([\w.-]{1,60})(\s?[:=]\s?|\s+is:?\s+)(?=\S*\d)([^\s\"',;{}\[\]]{8,})")

_COOKIES: Final = frozenset({"cookie", "set-cookie"})
"""Headers whose values have blanks in them, and so look like no secret."""

_OF_A_SCHEMA: Final = frozenset({"default", "const", "example"})
"""Where a JSON schema holds a value of what it describes."""


class Striker:
    """Strikes secrets out of what is to be written.

    Args:
        known: Values that must not be seen.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = frozenset(known)

    def question(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A question, or what else holds no pieces, without secrets."""
        struck: dict[str, Any] = self._strike(dict(data))
        return struck

    def answer(self, pieces: Any) -> Any:
        """An answer without secrets. One that came in several pieces is struck out of all of them."""
        if not isinstance(pieces, list):
            return self._strike(pieces)
        for text in _Slots.of(pieces):
            whole = text.read()
            if (struck := self._text(whole)) != whole:
                text.write(struck)
        # Most pieces are text alone, of which nothing is left to strike out.
        return [piece if isinstance(piece, str) else self._strike(piece) for piece in pieces]

    def _strike(self, value: Any, name: str = "") -> Any:
        if isinstance(value, str):
            return self._text(value) if not _is_secret(name, value) else MASK
        if isinstance(value, dict):
            hidden = secret_entries(value)
            return {
                self._text(str(key)): MASK
                if key in hidden or (is_secret_name(str(key), certain=True) and isinstance(item, int) and item > 1)
                else self._strike(item, name if key in _OF_A_SCHEMA else str(key))
                for key, item in value.items()
            }
        if isinstance(value, list):
            places = secret_items(value)
            is_secret = bool(name) and is_secret_name(name, certain=True)
            return [
                MASK if at in places and isinstance(item, str) else self._strike(item, name if is_secret else "")
                for at, item in enumerate(value)
            ]
        return value

    def _text(self, text: str) -> str:
        if len(text) < 4:
            return text
        if self._known:
            text = scrub(text, self._known)
        text = _FORMS.sub(lambda found: f"{found['scheme'] or ''}{_STARS}", text)
        text = _HEADER.sub(rf"\1: {_STARS}", text)
        text = _NAMED.sub(
            lambda found: (
                f"{found[1]}{found[2]}{found[1]}{found[3]}{found[4]}{_STARS}"
                if is_secret_name(found[2], certain=True)
                else found[0]
            ),
            text,
        )
        text = _COLON.sub(
            lambda found: f"{found[1]}{found[2]}{_STARS}" if is_secret_name(found[1], certain=True) else found[0], text
        )
        return hide_in_text(text)


def _is_secret(name: str, value: str) -> bool:
    if not name or not value or not is_secret_name(name):
        return False
    if name.lower() in _COOKIES:
        return True
    looks_random = len(value) >= 8 and not re.search(r"\s", value) and re.search(r"\d", value) is not None
    return looks_random or is_secret_name(name, certain=True)


class _Slots:
    """The places in a list of pieces that one text comes in: the answer's, the reasoning's, a call's arguments."""

    def __init__(self) -> None:
        self.places: list[tuple[Any, Any]] = []

    @classmethod
    def of(cls, pieces: list[Any]) -> Iterator["_Slots"]:
        """One for each text."""
        found: defaultdict[Any, _Slots] = defaultdict(cls)

        def note(channel: Any, holder: dict[str, Any], place: str) -> None:
            if isinstance(holder.get(place), str):
                found[channel].places.append((holder, place))

        for at, piece in enumerate(pieces):
            if isinstance(piece, str):
                found["text"].places.append((pieces, at))
                continue
            note("text", piece, "text")
            note("reasoning", piece, "reasoning")
            for call in piece.get("calls", ()):
                note(("args", call.get("index")), call, "args")
            for block in piece.get("content", ()):
                for name in ("text", "reasoning", "args") if isinstance(block, dict) else ():
                    note((name, block.get("index")), block, name)
        yield from found.values()

    def read(self) -> str:
        """The text."""
        return "".join(holder[place] for holder, place in self.places)

    def write(self, struck: str) -> None:
        """Write the text without secrets: pieces before the first stay as they are, the next one holds the rest."""
        is_same = True
        for holder, place in self.places:
            piece = holder[place]
            is_same = is_same and struck.startswith(piece) and struck != piece
            if is_same:
                struck = struck[len(piece) :]
            else:
                holder[place], struck = struck, ""


def secrets_of(model: Any) -> set[str]:
    """The values of a model's secrets, and of those that it is made of; and of the environment's."""
    found = {value for name, value in os.environ.items() if len(value) > 7 and is_secret_name(name, certain=True)}
    _collect(model, "", found, set())
    return found


def _collect(value: Any, name: str, found: set[str], seen: set[int]) -> None:
    if isinstance(value, SecretStr | SecretBytes | Secret):
        value, name = value.get_secret_value(), name or "secret"
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        found |= {value} if isinstance(value, str) and value else set()
    elif isinstance(value, str):
        found |= {str.__str__(value)} if value and name and is_secret_name(name) else set()
    elif id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, Mapping):
            for key, item in [*value.items()]:
                _collect(item, str(key), found, seen)
        elif isinstance(value, list | tuple):
            for item in value:
                _collect(item, name, found, seen)
        elif isinstance(value, BaseModel | Runnable):
            private = getattr(value, "__pydantic_private__", None) or {}
            _collect({**getattr(value, "__dict__", {}), **private}, "", found, seen)
