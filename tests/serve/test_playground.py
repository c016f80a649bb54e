"""The playground's files as they are served."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.serve.client import send
from tests.serve.served_models import serving_exchange

from langplug.models import ChatScripted
from langplug.serve import app
from langplug.serve.playground import pages_in, playground

FILES = {path: page.data.decode() for path, page in playground().items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "talk.js").write_text('"use strict";')
    (tmp_path / "look.css").write_text("p {}")
    (tmp_path / "secret.py").write_text("KEY = 1")
    return tmp_path


def test_the_page_and_its_files_are_served(folder: Path) -> None:
    """Pages, scripts and styles come without a key, with their types, and bound to this server by a policy."""
    exchange = replace(app(ChatScripted(replies=[]), api_key="k").exchange, pages=pages_in(folder))
    with serving_exchange(exchange) as base:
        for path, kind in (("/", "html"), ("/playground/talk.js", "javascript"), ("/playground/look.css", "css")):
            status, headers, _ = send(base, path=path, method="GET")
            assert (status, headers["Content-Type"]) == (200, f"text/{kind}; charset=utf-8")
            assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/playground/secret.py", "/playground/../playground/talk.py", "/playground/%2e%2e/exchange.py"):
            assert send(base, path=path, method="GET", Authorization="Bearer k")[0] == 404
        assert send(base, path="/", method="GET", Host="evil.example")[0] == 421


def test_every_file_that_a_page_names_is_there() -> None:
    """The page, its scripts and its styles name only files that are served, from where they are, and no other host."""
    assert {"/", "/playground/main.js", "/playground/page.css"} <= FILES.keys()
    for path, text in FILES.items():
        named = re.findall(r'(?:from |import |src=|href=)"([^"#]+)"', text)
        folder = "" if path == "/" else "/playground"
        paths = {one if one.startswith("data:") else f"{folder}/{one.removeprefix('./')}" for one in named}
        assert set() == {one for one in paths if not one.startswith("data:")} - FILES.keys(), path
        assert [] == re.findall(r"(?:href|src|action)=\W*https?:|(?:fetch|url|import)\(\W*https?:", text), path
        assert (
            re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) is None
        ), path


def strings(name: str) -> dict[str, str]:
    """The page's texts in one of its languages, which `strings.js` has as JSON."""
    written = re.search(rf"(?ms)^export const {name} = (\{{\n.*?^\}});", FILES["/playground/strings.js"])
    assert written is not None
    found: dict[str, str] = json.loads(written[1], object_pairs_hook=without_doubles)
    return found


def without_doubles(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The object of some pairs, no two of which have the same key."""
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_both_languages_say_everything() -> None:
    """English and Chinese have the same keys, in the same order, with the same places for values, and no empty text."""
    english, chinese = strings("ENGLISH"), strings("CHINESE")
    assert [*english] == [*chinese]
    for key, text in english.items():
        assert text.strip()
        assert chinese[key].strip()
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", chinese[key])), key


def test_what_the_page_says_is_there_and_said() -> None:
    """Each text that the page or a script names is there, and each that is there is named."""
    texts = strings("ENGLISH")
    rest = "\n".join(text for path, text in FILES.items() if path != "/playground/strings.js")
    named = set(re.findall(r'"([a-zA-Z]+(?:\.[a-zA-Z_]+)+|code|table|copied|versions)"', rest)) & texts.keys()
    made = {
        key for key in texts for start in re.findall(r"`([a-z]+\.(?:[a-z]+\.)?)\$\{", rest) if key.startswith(start)
    }
    assert texts.keys() == named | made
    asked = re.findall(
        r'(?:data-t|data-label|data-placeholder|\bt|label|title)(?:="|: "|\(")([a-zA-Z]+\.[a-zA-Z_.]+)"', rest
    )
    assert set() == set(asked) - texts.keys()
