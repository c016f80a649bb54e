"""A server and the pages of others: its own under a path of a proxy, and one of another origin that asks it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, web
from tests.aiohttp_server import running
from tests.playground.playground import Playground
from tests.serve.served_models import serving

from langplug.models import ChatScripted

if TYPE_CHECKING:
    from playwright.sync_api import Browser

expect = pytest.importorskip("playwright.sync_api").expect


@contextmanager
def under_a_path(base: str, path: str) -> Iterator[str]:
    """The address of a proxy that passes on what is asked below `path`, without that path, to the server at `base`."""

    async def pass_on(request: web.Request) -> web.Response:
        asked = base + request.path.removeprefix(path)
        async with (
            ClientSession() as session,
            session.request(request.method, asked, headers=request.headers, data=await request.read()) as answer,
        ):
            kept = {name: text for name, text in answer.headers.items() if name != "Transfer-Encoding"}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    application = web.Application()
    application.router.add_route("*", path + "/{rest:.*}", pass_on)
    with running(lambda: web.AppRunner(application)) as address:
        yield f"http://{address}{path}"


@pytest.mark.parametrize("path", ["/llm", "/a/b"])
def test_the_page_works_under_a_path(visit: Callable[..., Playground], path: str) -> None:
    """Its files, what it asks, and the address that it gives to be copied are below the path that it came from."""
    with serving({"m": ChatScripted(replies=["Hello."])}) as base, under_a_path(base, path) as address:
        playground = visit(address)
        expect(playground.page.locator(".welcome code")).to_have_text(f"{address}/v1")
        playground.ask("Hi")
        assert playground.text == "Hello."
        playground.button("Copy as code").click()
        expect(playground.page.locator("dialog code")).to_contain_text(f"{address}/v1/chat/completions")


ASKS = """async ([base, body]) => {
    const headers = { Authorization: "Bearer k", "Content-Type": "application/json" };
    try {
        const answer = await fetch(`${base}/v1/chat/completions`, { method: "POST", headers, body });
        return [answer.status, await answer.text(), answer.headers.get("x-request-id") !== null];
    } catch (error) {
        return error.name;
    }
}"""


@pytest.mark.parametrize("stream", [True, False])
def test_a_page_of_an_allowed_origin_asks(browser: "Browser", *, stream: bool) -> None:
    """A browser lets a page of an allowed origin ask with a key and read the answer, and no other page."""
    model = ChatScripted(replies=["Hello."], when_exhausted="repeat")
    body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]})
    with serving({"other": ChatScripted(replies=[])}) as origin, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{origin}/health/live")
        with serving({"m": model}, api_key="k", origins=[origin]) as base:
            status, text, has_id = page.evaluate(ASKS, [base, body])
            assert (status, has_id) == (200, True)
            assert "Hello." in text
        with serving({"m": model}, api_key="k") as base:
            assert page.evaluate(ASKS, [base, body]) == "TypeError"
