"""The playground under a path, as behind a proxy or mounted in another application."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from aiohttp import ClientSession, web
from tests.playground.playground import Playground
from tests.serve.served_models import serving

from langplug.models import ChatScripted

expect = pytest.importorskip("playwright.sync_api").expect


@contextmanager
def under_a_path(base: str, path: str) -> Iterator[str]:
    """The address of a proxy that passes on what is asked below `path`, without that path, to the server at `base`."""
    loop = asyncio.new_event_loop()
    up, leave, urls = threading.Event(), asyncio.Event(), []

    async def pass_on(request: web.Request) -> web.Response:
        asked = base + request.path.removeprefix(path)
        async with (
            ClientSession() as session,
            session.request(request.method, asked, headers=request.headers, data=await request.read()) as answer,
        ):
            kept = {name: text for name, text in answer.headers.items() if name != "Transfer-Encoding"}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def serve() -> None:
        application = web.Application()
        application.router.add_route("*", path + "/{rest:.*}", pass_on)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}{path}")
        up.set()
        await leave.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert up.wait(30)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(30)
        loop.close()


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
