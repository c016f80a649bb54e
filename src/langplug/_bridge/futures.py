"""Results that a thread hands to the event loop of whoever waits for them."""

import asyncio
from typing import Any


def settle_from_thread(future: "asyncio.Future[Any]", result: Any = None, error: BaseException | None = None) -> bool:
    """Give `future` its result, or `error`, from any thread.

    A future whose waiter was cancelled stays as it is. Returns False if the loop is closed and nothing can wait.
    """

    def settle() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    try:
        future.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:  # closed; to ask beforehand would leave a moment in which it can still be closed
        return False
    return True
