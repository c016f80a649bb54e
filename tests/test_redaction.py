"""Secrets are struck out of texts as they are repeated, and nothing else is."""

import base64
import html
import json
import re
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelAuthenticationError
from pydantic import SecretBytes, SecretStr
from tests.paths import PATHS

from langplug import ChatModel
from langplug._redaction import scrub

KEY = 'sk-0123456789+/="é&<\\x'

REPEATED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON without escapes": lambda key: json.dumps(key, ensure_ascii=False),
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "repr": repr,
    "path": quote,
    "query": quote_plus,
    "query in lower case": lambda key: re.sub("%..", lambda found: found[0].lower(), quote(key, safe="")),
    "HTML": html.escape,
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of a pair": lambda key: base64.b64encode(f"ann:{key}".encode()).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(f"xy{key}".encode()).decode(),
    "its beginning": lambda key: f"{key[:9]}...",
    "its beginning and stars": lambda key: f"{key[:10]}*****",
    "most of it": lambda key: key[:14],
}


@pytest.mark.parametrize("form", REPEATED)
@pytest.mark.parametrize("given_as", [str, SecretStr, lambda key: SecretBytes(key.encode())])
def test_a_secret_is_struck_out_as_servers_repeat_it(form: str, given_as: Callable[[str], str]) -> None:
    """However a server encodes a key, no eight characters of what it wrote are left."""
    written = REPEATED[form](KEY)
    left = scrub(f"I do not know {written}, sorry.", [given_as(KEY)])
    assert left.startswith("I do not know ")
    assert left.endswith(", sorry.")
    assert "***" in left
    pieces = [written[at : at + 8] for at in range(len(written) - 7)]
    assert [] == [piece for piece in pieces if piece in left and not set(piece) & set("*.")]


@pytest.mark.parametrize(
    "value", [f"Bearer {KEY}", f"Basic {base64.b64encode(f'ann:{KEY}'.encode()).decode()}", f"sid={KEY}; theme=dark"]
)
def test_a_key_in_a_header_is_a_secret_by_itself(value: str) -> None:
    """After its scheme, in the pair of `Basic`, in a cookie."""
    assert "the key *** is old" == scrub(f"the key {KEY} is old", [value])


WORDS = "none EMPTY ollama x 1 k: line 1 of 2 is EMPTY, tokens 1024, first_token_timeout=5, http://127.0.0.1:11434/v1"


@pytest.mark.parametrize(
    "dummy", ["none", "EMPTY", "ollama", "x", "1", "k", "token", "127", "no", "", "sk", "not-needed"]
)
def test_dummies_leave_errors_as_they_are(dummy: str) -> None:
    """What is given to a server that wants no key is a word like others."""
    assert WORDS == scrub(WORDS, [dummy])


@given(
    short=st.text("abcdefgh", min_size=4, max_size=7).filter(lambda text: len(set(text)) > 1),
    before=st.text("abcdefgh_1", max_size=3),
    after=st.text("abcdefgh_1", max_size=3),
)
def test_a_short_secret_is_struck_out_as_a_whole_word(short: str, before: str, after: str) -> None:
    """A word of four to seven characters is, and the same letters within a word are not."""
    word = f"{before}{short}{after}"
    expected = word if before or after else "***"
    assert f"it is '{expected}', no?" == scrub(f"it is '{word}', no?", [short])


@given(text=st.text(), secret=st.text(min_size=8))
def test_no_long_secret_is_left(text: str, secret: str) -> None:
    """Whatever surrounds it, a secret of eight characters or more is not in what is left, and any text can be one."""
    if len(secret.strip()) >= 8 and "*" not in secret and secret.casefold().strip() not in ("not-needed", "undefined"):
        assert secret.strip() not in scrub(f"{text}{secret.strip()}{text}", [secret])


class Careless(ChatModel):
    """Writes its key into what it raises."""

    api_key: SecretStr
    kind: type[Exception] = ValueError

    def respond(self, request: Any) -> Any:
        try:
            self.look_up()
        except LookupError as error:
            raise self.kind(f"refused: {self.api_key.get_secret_value()}!") from error

    def look_up(self) -> None:
        raise LookupError(f"no {self.api_key.get_secret_value()} here", 7)


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, ConnectionError, ModelAuthenticationError])
@pytest.mark.parametrize("path", PATHS)
def test_what_an_author_raises_shows_no_key(path: str, kind: type[Exception]) -> None:
    """A model's own secrets are struck out of whatever is raised in it, and of what led to that: logs print both."""
    with pytest.raises(Exception, match=r"refused: \*\*\*!") as caught:
        PATHS[path](Careless(api_key=SecretStr(KEY), kind=kind), "hi")
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert "no *** here" in shown
