"""The workers behind one port, as far as they know of each other: each tells the others what it has counted."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PATIENCE_S = 2


class Siblings:
    """A folder in which each worker has a socket; whoever connects is told its metrics.

    Args:
        folder: Where; others than the workers' user must not get into it.
        number: This worker's.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._own = folder / str(number)

    async def listen(self, text: Callable[[], bytes]) -> asyncio.Server:
        """Tell whoever asks, until the server that is returned is closed."""

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(text())
            with suppress(ConnectionError):  # who has asked has lost patience
                await writer.drain()
            writer.close()

        self._own.unlink(missing_ok=True)  # a worker of this number that was killed has left it
        return await asyncio.start_unix_server(tell, self._own)

    async def texts(self) -> list[bytes]:
        """What each worker tells, this one included; of one that has ended, or hangs, nothing."""

        async def read(place: Path) -> bytes:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    reader, writer = await asyncio.open_unix_connection(place)
                    try:
                        return await reader.read()
                    finally:
                        writer.close()
            except OSError:  # a TimeoutError is one
                return b""

        places = sorted(self._folder.iterdir(), key=lambda place: int(place.name))
        return await asyncio.gather(*map(read, places))
