"""A streamed answer as the bytes that are sent."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from langplug.serve.deltas import Delta, Ending
from langplug.serve.errors import api_error_of
from langplug.serve.metrics import LEFT, Watch
from langplug.serve.wires.wire import Writer

log = logging.getLogger("langplug.serve")

Batch = list[Delta | Ending]


async def events(
    writer: Writer, batches: AsyncGenerator[Batch], watch: Watch, request_id: str
) -> AsyncGenerator[bytes]:
    """The answer's bytes, with pings where nothing comes. It ends with an ending or an error, never without either.

    Raises:
        Exception: What the model raises before the first delta or ping, when nothing has been told yet.
    """
    async with aclosing(batches):
        opening = writer.begin()
        first = await anext(batches)
        try:
            yield opening + _written(writer, first, watch)
            async for batch in batches:
                yield _written(writer, batch, watch)
            watch.end(200)
        except Exception as error:
            log.warning("%s: failed in the middle of an answer", request_id, exc_info=error)
            told = api_error_of(error)
            watch.end(told.status)
            yield writer.fail(told)
        finally:
            watch.end(LEFT)


def _written(writer: Writer, batch: Batch, watch: Watch) -> bytes:
    """What is sent of a batch; of an empty one, which says that nothing came, a ping."""
    if not batch:
        return writer.ping()
    watch.first()
    pieces = []
    for delta in batch:
        if isinstance(delta, Ending):
            watch.used(delta.usage)
            pieces.append(writer.end(delta))
        else:
            pieces.append(writer.feed(delta))
    return b"".join(pieces)
