"""Secrets among plain values: how they are found, hidden and shown, and how they are struck out of texts."""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote, quote_plus

from pydantic import Secret, SecretBytes, SecretStr

from langplug._secrets import is_secret_name

AnySecret: TypeAlias = SecretStr | SecretBytes | Secret[Any]

SECRET_TYPES = (SecretStr, SecretBytes, Secret)

# --- among values ---


def reveal(value: Any) -> Any:
    """`value` with the secrets in it as they are sent. To be called where no variable keeps what it returns."""
    if isinstance(value, SECRET_TYPES):
        shown = value.get_secret_value()
        return shown.decode(errors="replace") if isinstance(shown, bytes) else shown
    if isinstance(value, Mapping):
        return {name: reveal(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [reveal(item) for item in value]
    return value


def reveal_for_json(value: Any) -> Any:
    """The `default` of a JSON encoder: secrets are written as they are, and there is no other type that it knows.

    Raises:
        TypeError: If `value` is not a secret, as the standard library's own `default` does.
    """
    if isinstance(value, SECRET_TYPES):
        return reveal(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def hide(value: Any, *, is_plain: Callable[[str], bool] = lambda _: False) -> Any:
    """`value` with each text under a secret's name as a `SecretStr`, however deep it lies in dicts and lists.

    Args:
        value: JSON data.
        is_plain: Tells which texts hold no secret whatever their name is, such as the expressions of a template.
    """
    if isinstance(value, dict):
        return {
            name: SecretStr(item)
            if isinstance(item, str) and item and is_secret_name(str(name)) and not is_plain(item)
            else hide(item, is_plain=is_plain)
            for name, item in value.items()
        }
    return [hide(item, is_plain=is_plain) for item in value] if isinstance(value, list) else value


def secrets_in(value: Any) -> Iterator[AnySecret]:
    """The secrets in `value`, however deep they lie in dicts, lists and tuples."""
    if isinstance(value, SECRET_TYPES):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_in(item)


def drop_secrets(value: Any) -> Any:
    """`value` without the secrets in its dicts and lists."""
    if isinstance(value, Mapping):
        return {name: drop_secrets(item) for name, item in value.items() if not isinstance(item, SECRET_TYPES)}
    if isinstance(value, list | tuple):
        return [drop_secrets(item) for item in value if not isinstance(item, SECRET_TYPES)]
    return value


# --- in texts ---

_SURE = 8
"""Characters from which a value is struck out wherever it stands. A shorter one must stand as a whole word, or the key
"ai" would leave holes in "failed"."""

_CERTAINLY_CUT = 12
"""Characters of a key's beginning that are struck out although nothing says that the rest was left out."""

_CUT = re.compile(r"\.\.|…|\*\*|•|xxx|\[|[\"')\]]?\Z", re.IGNORECASE)
"""What follows the beginning of a key that a server quotes in part: `sk-abcd1234...`."""

_DUMMIES = frozenset(
    {"any", "anything", "api-key", "api_key", "apikey", "bearer", "changeme", "default", "dummy", "empty", "example"}
    | {"fake", "hello", "key", "llama", "llama.cpp", "lm-studio", "lmstudio", "local", "localhost", "model", "mykey"}
    | {"n/a", "no-key", "no_key", "nokey", "none", "not-needed", "not_needed", "not-used", "null", "ollama", "openai"}
    | {"password", "placeholder", "secret", "sglang", "sk-dummy", "sk-fake", "sk-no-key-required", "test", "token"}
    | {"true", "false", "undefined", "unused", "vllm", "whatever", "your-api-key", "your_api_key"}
)
"""What is given as a key to servers that want none. Everybody knows them, and errors are made of such words."""


def scrub(text: str, secrets: Iterable[str | AnySecret], *, was_cut: bool = False, stars: str = "***") -> str:
    """`text` without secrets, as they are or as servers repeat them.

    That may be in base64, encoded for an address, JSON or HTML, or their beginning alone.

    Args:
        text: What is to be shown.
        secrets: What must not be seen. Dummies such as `"none"`, and what is no longer than three characters, are words
            like others, and stay.
        was_cut: Whether the beginning of `text` was cut off. If so, the end of a secret may be left there.
        stars: What is written in their place.
    """
    values = {part for secret in secrets for part in _parts(str(reveal(secret))) if not _is_dummy(part)}
    forms = {form for value in values for form in (_forms(value) if len(value) >= _SURE else [value])}
    # The longest first: a secret that holds a shorter one would else be struck out in part.
    ordered = sorted(forms, key=len, reverse=True)
    for form in ordered:
        if len(form) >= _SURE:
            text = text.replace(form, stars)
        else:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", stars, text)
    for form in ordered:
        # What has blanks in it, such as `Bearer …`, begins with words that others use too.
        if len(form) >= _SURE and " " not in form:
            text = _strike_beginnings(text, form, stars)
    for value in values if was_cut else ():
        rests = (value[at:] for at in range(1, len(value)))
        rest = next((rest for rest in rests if text.startswith(rest)), "")
        text = stars + text[len(rest) :] if rest else text
    return text


def _is_dummy(value: str) -> bool:
    return len(value) <= 3 or value.casefold() in _DUMMIES or (len(value) < _SURE and len(set(value)) == 1)


def _parts(value: str) -> Iterator[str]:
    """A value, and what in it is a secret by itself: after `Bearer`, in a cookie, the password of `Basic`."""
    yield value.strip()
    scheme, _, rest = value.strip().partition(" ")
    if rest and ";" not in value:
        yield rest.strip()
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(rest, validate=True).decode()
        except (binascii.Error, ValueError):
            return
        yield pair
        yield pair.partition(":")[2]
    for pair in value.split(";") if ";" in value or re.match(r"[\w-]+=", value) else ():
        yield pair.partition("=")[2].strip()


def _forms(value: str) -> Iterator[str]:
    """The ways in which a server may write a value that it repeats."""
    quoted = json.dumps(value)[1:-1]
    yield from (value, quoted, json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(quoted)[1:-1])
    yield from (repr(value)[1:-1], html.escape(value), html.escape(value, quote=False))
    for encoded in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield from (encoded, re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded))
    # In base64 a text looks in three ways, by where it begins: as in that of "user:password".
    raw = value.encode(errors="replace")
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw).decode()
        own = coded[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        if len(own) >= _SURE:
            yield from (own, own.replace("+", "-").replace("/", "_"))


def _strike_beginnings(text: str, form: str, stars: str) -> str:
    """`text` without what is left of `form` where somebody has cut it off."""
    end, pieces = 0, []
    while (start := text.find(form[:_SURE], end)) >= 0:
        length = _SURE
        while length < len(form) and text[start + length : start + length + 1] == form[length]:
            length += 1
        is_cut = length >= _CERTAINLY_CUT or _CUT.match(text, start + length)
        pieces += [text[end:start], stars if is_cut else text[start : start + length]]
        end = start + length
    return "".join([*pieces, text[end:]])
