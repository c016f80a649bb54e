"""The batch door: 64 callers at once, of a function that costs little more for many than for one.

    pip install langplug && python examples/batch_door.py

A GPU is like that: a batch takes 50 ms, and 2 ms more for each item. Asked one by one, 64 callers would wait for 64
batches of one. langplug gathers them, without a timer: whoever comes while a batch runs is in the next one.
"""

import asyncio
import time
from collections.abc import Sequence

from langplug import Request, chat_model

BATCH_S = 0.050
ITEM_S = 0.002
CALLERS = 64


def cost_s(items: int) -> float:
    """How many seconds a batch of so many items takes."""
    return BATCH_S + ITEM_S * items


batches: list[int] = []


@chat_model(batch=True, max_batch=32)
def engine(requests: Sequence[Request]) -> list[str]:
    """Answers many at once."""
    batches.append(len(requests))
    time.sleep(cost_s(len(requests)))
    return [f"answer to {request.text}" for request in requests]


async def main() -> None:
    """Ask 64 things at once, and compare the time with what the batches cost."""
    model = engine()
    started = time.perf_counter()
    answers = await asyncio.gather(*(model.ainvoke(f"question {number}") for number in range(CALLERS)))
    took = time.perf_counter() - started
    assert [answer.text for answer in answers] == [f"answer to question {number}" for number in range(CALLERS)]

    print("batches:   ", " + ".join(map(str, batches)), "=", sum(batches))
    print(f"arithmetic: {sum(map(cost_s, batches)):.3f} s")
    print(f"measured:   {took:.3f} s")
    print(f"one by one: {CALLERS * cost_s(1):.3f} s")


if __name__ == "__main__":
    asyncio.run(main())
