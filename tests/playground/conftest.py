"""A browser, and the playground in it: each test ends with a look at what the page asked for and complained of."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from tests.playground.playground import LIMIT_MS, Playground
from tests.serve.served_models import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Chromium, as the system has it."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-playground has it")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    api.expect.set_options(timeout=LIMIT_MS)
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Callable[..., Playground]]:
    """Opens the playground of a server; `context` is what the browser's context is made with.

    At the end of the test, every page has asked its own server alone, and has raised and logged nothing.
    """
    opened: list[Playground] = []
    with ExitStack() as stack:

        def visit(base: str, context: dict[str, Any] | None = None) -> Playground:
            given = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **(context or {})}
            made = browser.new_context(**given)
            stack.callback(made.close)
            made.grant_permissions(["clipboard-read", "clipboard-write"], origin=base)
            opened.append(Playground(made, base))
            return opened[-1]

        yield visit
        for playground in opened:
            playground.check()


@pytest.fixture
def play(visit: Callable[..., Playground]) -> Iterator[Callable[..., Playground]]:
    """Serves models, with the options of `app`, and opens their playground."""
    with ExitStack() as stack:

        def play(models: Any, context: dict[str, Any] | None = None, **options: Any) -> Playground:
            return visit(stack.enter_context(serving(models, **options)), context)

        yield play
