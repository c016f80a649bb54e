"""A server of aiohttp's on loopback, for the time of a test."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web


@contextmanager
def running(make: Callable[[], web.BaseRunner], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server of aiohttp's, made on its loop; gives its host and port."""
    loop = asyncio.new_event_loop()
    up, leave, addresses = threading.Event(), asyncio.Event(), []

    async def serve() -> None:
        runner = make()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        addresses.append(f"127.0.0.1:{runner.addresses[0][1]}")
        up.set()
        await leave.wait()
        await runner.cleanup()
        while left := asyncio.all_tasks() - {asyncio.current_task()}:  # some begin others when they are cancelled
            for task in left:
                task.cancel()
            await asyncio.wait(left)
        await loop.shutdown_asyncgens()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert up.wait(30)
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(30)
        loop.close()
