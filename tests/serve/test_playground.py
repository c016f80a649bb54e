"""The playground's files as they are served."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.serve.client import send
from tests.serve.served_models import serving_exchange

from langplug.models import ChatScripted
from langplug.serve import app
from langplug.serve.playground import pages_in


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
