"""aiohttp with ready bytes: `python -m servers.ready PORT`."""

import sys

from aiohttp import web

from servers.events import END, ROLE, TOKEN
from servers.said import words


async def answer(request: web.Request) -> web.StreamResponse:
    """Send the words, once the body is read."""
    await request.read()
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await response.write(ROLE)
    async for _ in words():
        await response.write(TOKEN)
    await response.write(END)
    return response


if __name__ == "__main__":
    application = web.Application()
    application.router.add_post("/v1/chat/completions", answer)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None, backlog=2048)
