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

from langplug._secrets import (
    MASK,
    NAMED_SCHEMAS,
    NAMES_IN_RECORDS,
    VALUES_IN_RECORDS,
    hide_in_text,
    is_secret_name,
    schema_without_values,
    secret_entries,
    secret_items,
)

AnySecret: TypeAlias = SecretStr | SecretBytes | Secret[Any]

SECRET_TYPES = (SecretStr, SecretBytes, Secret)

# --- among values ---


def reveal(value: Any) -> Any:
    """`value` with the secrets in it as they are sent. To be called where no variable keeps what it returns."""
    if type(value) is str:  # most of what is sent
        return value
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

    A record's value is one by the record's name, `{"key": "X-Api-Key", "value": ...}`, and the name is none.

    Args:
        value: JSON data.
        is_plain: Tells which texts hold no secret whatever their name is, such as the expressions of a template.
    """
    if isinstance(value, dict):
        hidden = secret_entries(value)
        names = value.keys() - NAMES_IN_RECORDS if hidden else value.keys()
        hidden |= {name for name in names if is_secret_name(str(name))}
        return {
            name: SecretStr(item)
            if isinstance(item, str) and item and name in hidden and not is_plain(item)
            else hide(item, is_plain=is_plain)
            for name, item in value.items()
        }
    return [hide(item, is_plain=is_plain) for item in value] if isinstance(value, list) else value


def secrets_in(value: Any) -> Iterator[AnySecret]:
    """The secrets in `value`, however deep they lie in dicts, lists and tuples, which may hold themselves."""
    waiting, seen = [value], set[int]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, SECRET_TYPES):
            yield one
        elif isinstance(one, Mapping | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            waiting += one.values() if isinstance(one, Mapping) else one


def drop_secrets(value: Any) -> Any:
    """`value` without the secrets in its dicts and lists."""
    if isinstance(value, Mapping):
        return {name: drop_secrets(item) for name, item in value.items() if not isinstance(item, SECRET_TYPES)}
    if isinstance(value, list | tuple):
        return [drop_secrets(item) for item in value if not isinstance(item, SECRET_TYPES)]
    return value


# --- on their way to where they are used ---


class HiddenStr(str):
    """A text that is as any other, and whose repr does not show it: debuggers and error trackers show variables so."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)

    def __getitem__(self, index: Any) -> "HiddenStr":
        return HiddenStr(super().__getitem__(index))  # `rich` cuts long texts before it takes their repr

    def __reduce__(self) -> Any:
        return str, (str.__str__(self),)


class HiddenBytes(bytes):
    """As `HiddenStr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK.encode())

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return HiddenBytes(found) if isinstance(found, bytes) else found

    def __reduce__(self) -> Any:
        return bytes, (bytes.__getitem__(self, slice(None)),)


_DEEPEST = 50


def conceal(value: Any, *, secret: bool = False, is_plain: Callable[[str], bool] = lambda _: False) -> Any:
    """`value` with the secrets in its dicts, lists and tuples as texts that hide themselves; itself if it has none.

    Secret is what a name says is one: of an entry, of a header as a pair or a record, of an option, in a URL.

    Args:
        value: Anything. Of other types, only the repr shows what they hold, which is theirs.
        secret: Whether the name of the value itself is a secret's.
        is_plain: Tells which texts hold no secret whatever their name is, such as the expressions of a template.
    """
    return _conceal(value, secret, is_plain, set())


def _conceal(
    value: Any, secret: bool, is_plain: Callable[[str], bool], inside: set[int], *, named: bool = False
) -> Any:
    kind = type(value)
    if kind is str:
        is_hidden = value and ((secret and not is_plain(value)) or hide_in_text(value) != value)
        return HiddenStr(value) if is_hidden else value
    if kind is bytes:
        return HiddenBytes(value) if secret and value else value
    # Not `in`, which compares: a foreign class may have a class of its own that fails at it.
    is_walked = kind is dict or kind is list or kind is tuple
    if not is_walked or id(value) in inside or len(inside) == _DEEPEST:
        return value
    inside.add(id(value))  # what holds itself is walked once
    changed: Any = None
    if kind is dict:
        hidden = secret_entries(value)
        items = {
            name: _conceal(
                item,
                secret or name in hidden or (not named and type(name) is str and is_secret_name(name)),
                is_plain,
                inside,
                named=name in NAMED_SCHEMAS,
            )
            for name, item in value.items()
        }
        if any(items[name] is not item for name, item in value.items()):
            changed = items
    else:
        places = secret_items(value)
        held = [_conceal(one, secret or at in places, is_plain, inside) for at, one in enumerate(value)]
        if any(one is not other for one, other in zip(held, value, strict=True)):
            changed = kind(held)
    inside.discard(id(value))
    return value if changed is None else changed


def unconceal(value: Any) -> Any:
    """`value` with plain texts again. To be called where no variable keeps what it returns."""
    return replace_items(value, _to_plain_text)


def _to_plain_text(value: Any) -> Any:
    if issubclass(type(value), HiddenStr):
        return str.__str__(value)
    return bytes(memoryview(value)) if issubclass(type(value), HiddenBytes) else value


def as_secrets(value: Any) -> Any:
    """`value` with the texts that hide themselves as `SecretStr`s, which also hide from what writes them down."""

    def to_secret(item: Any) -> Any:
        if issubclass(type(item), HiddenStr):
            return SecretStr(_to_plain_text(item))
        return SecretBytes(_to_plain_text(item)) if issubclass(type(item), HiddenBytes) else item

    return replace_items(value, to_secret)


def replace_items(value: Any, change: Callable[[Any], Any], _inside: frozenset[int] = frozenset()) -> Any:
    """`value` with `change` of each item in its dicts, lists and tuples; itself if that changes none."""
    kind = type(value)
    if kind is not dict and kind is not list and kind is not tuple:
        return change(value)
    if id(value) in _inside or len(_inside) == _DEEPEST:  # what holds itself
        return value
    inside = _inside | {id(value)}
    if kind is dict:
        items = {name: replace_items(item, change, inside) for name, item in value.items()}
        return items if any(items[name] is not item for name, item in value.items()) else value
    held = [replace_items(one, change, inside) for one in value]
    return kind(held) if any(one is not other for one, other in zip(held, value, strict=True)) else value


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
    parts = {part for secret in secrets for part in _parts(str(reveal(secret)))}
    # Dummies, such as "none" or "xxxx", would leave holes in sentences.
    values = {
        part
        for part in parts
        if len(part) > 3 and part.casefold() not in _DUMMIES and (len(part) >= _SURE or len(set(part)) > 1)
    }
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


def scrub_error(error: BaseException, secrets: Iterable[str | AnySecret]) -> None:
    """Take secrets out of the texts that `error` was made of, and is printed as."""
    texts = [one for one in error.args if isinstance(one, str)]
    if texts != [scrub(one, secrets) for one in texts]:  # some make their text anew of what they are given
        error.args = tuple(scrub(one, secrets) if isinstance(one, str) else one for one in error.args)


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


# --- in texts, by what they are called: bodies in JSON, forms, headers, addresses, errors ---

_STARS = "***"
"""What stands in a text in the place of a secret."""

_OPENING = re.compile(r"[\[{]")
# Possessive (`*+`), so that a body of one quote after another costs no time squared.
_TEXT_ENTRY = re.compile(r'("([^"\\]{1,60})"\s*+:\s*+)"(?:[^"\\]|\\.)*+"')
_FIRST_COLON = re.compile(r'[^:]*?"\s*:\s')
_FORM_ENTRY = re.compile(r"(?<![^?&\s])(([\w.-]{1,60})=)[^&\s\"']++")

_IN_QUERIES = frozenset({"key", "ak", "sk", "sig", "signature"})
"""Names that stand for a secret in an address; elsewhere they may be anything."""


def hide_named(text: str) -> str:
    """`text` with `***` for each value that is called like a secret.

    That is in JSON, wherever it begins in `text`, in lines of JSON, and in strings of JSON, such as a call's arguments;
    in forms, queries and what else `hide_in_text` knows. What hides nothing stays as it is, to the last blank.
    """

    def to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """As JSON has it, but no name twice: the first value would be in the text, and not in what is looked into."""
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands twice in an object")
        return found

    begins = _OPENING.search(text)
    start = begins.start() if begins else len(text)
    try:
        value = json.loads(text[start:], object_pairs_hook=to_dict)
        return _hide_in_words(text[:start]) + _hide_in_json(text[start:], value)
    except (ValueError, RecursionError):  # not JSON, or hundreds deep
        if begins and "\n" in text:  # perhaps one value a line
            return "\n".join(hide_named(line) for line in text.split("\n"))
        return _hide_in_words(_hide_entries(text))


def _hide_in_words(text: str) -> str:
    def strike(entry: re.Match[str]) -> str:
        return f"{entry[1]}{_STARS}" if is_secret_name(entry[2]) or entry[2].lower() in _IN_QUERIES else entry[0]

    return _FORM_ENTRY.sub(strike, hide_in_text(text)).replace(MASK, _STARS)


# --- JSON ---


def _hide_in_json(text: str, value: Any) -> str:
    """`text`, which says `value`. Mostly a string is to be hidden, and all around it can stay as it was written."""

    def strike(entry: re.Match[str]) -> str:
        return f'{entry[1]}"{_STARS}"' if is_secret_name(entry[2]) else entry[0]

    struck = _TEXT_ENTRY.sub(strike, text)
    shown = _shown_data(value)
    if shown == (value if struck == text else json.loads(struck)):
        return struck
    separators = (", ", ": ") if _FIRST_COLON.match(text) else (",", ":")  # as it was written
    return json.dumps(shown, ensure_ascii=text.isascii(), separators=separators)


def _shown_data(value: Any, name: str = "", *, described: bool = False) -> Any:
    """JSON data as `to_plain` shows it, with the texts in it as `hide_named` leaves them.

    It is written down again for JSON alone, since the log must not import what knows models and messages.
    """
    if value is None or isinstance(value, bool):
        return value
    if is_secret_name(name):
        value, name = schema_without_values(value) if described else None, ""
        if value is None:
            return _STARS
    if isinstance(value, dict):
        hidden = secret_entries(value)
        inside = name in NAMED_SCHEMAS
        return {
            key: _STARS if key in hidden else _shown_data(item, key, described=inside) for key, item in value.items()
        }
    if isinstance(value, list):
        places = secret_items(value)
        return [_STARS if at in places else _shown_data(item) for at, item in enumerate(value)]
    return hide_named(value) if isinstance(value, str) else value


# --- what is not JSON: cut off, in single quotes, or in a string that is cut off itself ---

_QUOTE = re.compile(r"\\{0,7}[\"']")
_ENTRY = re.compile(r"(?P<quote>\\{0,7}[\"'])(?P<name>[^\"'\\]{1,60})(?P=quote)\s*+:\s*+")
_STRINGS = {
    '"': re.compile(r'"(?:[^"\\]|\\.)*+', re.DOTALL),
    "'": re.compile(r"'(?:[^'\\]|\\.)*+", re.DOTALL),
}
_CALLED = re.compile(r"\\{0,7}[\"']([^\"'\\]{1,60})\\{0,7}[\"']")
_BARE = re.compile(r"[^\s,\]}\"'\\]*+")
_IN_CONTAINER = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_HARMLESS = frozenset({"true", "false", "null", "True", "False", "None", ""})


def _hide_entries(text: str) -> str:
    """`text` with each value hidden that follows a secret's name in quotes, whatever the value is, and to its end."""
    pieces: list[str] = []
    at = shown = 0
    names_secret = False
    while entry := _ENTRY.search(text, at):
        name, at = entry["name"], entry.end()
        if name in NAMES_IN_RECORDS:
            called = _CALLED.match(text, at)
            names_secret = called is not None and is_secret_name(called[1])
        # Only here is the end of a value looked for: it may be that of the text, which is then read once.
        if is_secret_name(name) or (names_secret and name in VALUES_IN_RECORDS):
            start, end = _span_of_value(text, at)
            if text[start:end] not in _HARMLESS:
                stars = _STARS if start > at else f"{entry['quote']}{_STARS}{entry['quote']}"  # in quotes, or bare
                pieces += [text[shown:start], stars]
                at = shown = end
    return "".join([*pieces, text[shown:]])


def _span_of_value(text: str, start: int) -> tuple[int, int]:
    """Where the value that begins at `start` stands; a string without its quotes. One that is cut off has no end."""
    if quote := _QUOTE.match(text, start):
        if (string := _STRINGS.get(quote[0])) is not None:
            found = string.match(text, start)
            assert found is not None
            return quote.end(), found.end()
        # In a string of JSON in JSON: its own quotes have more backslashes.
        closing = re.compile(rf"(?<!\\){re.escape(quote[0])}").search(text, quote.end())
        return quote.end(), closing.start() if closing else len(text)
    if text[start : start + 1] not in ("[", "{"):
        bare = _BARE.match(text, start)
        assert bare is not None
        return start, bare.end()
    depth = 0
    for mark in _IN_CONTAINER.finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        if depth == 0:
            return start, mark.end()
    return start, len(text)
