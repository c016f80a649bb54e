"""Group M of the contract: concurrency, async, limits. Cancellation, timeouts, loops and forks: `tests/bridge`."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from tests.echo_models import MakeModel
from tests.paths import Path


def test_parameters_of_one_call_do_not_reach_another(make_model: MakeModel) -> None:
    """Concurrent calls with parameters of their own each see theirs alone."""
    model = make_model()

    async def main() -> list[str]:
        answers = await asyncio.gather(*[model.ainvoke("x", suffix=f" {number}") for number in range(30)])
        return [answer.text for answer in answers]

    assert [f"x {number}" for number in range(30)] == asyncio.run(main())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: model.invoke("x", suffix=f" {number}").text, range(30)))
    assert [f"x {number}" for number in range(30)] == answers
    assert "x" == model.invoke("x").text


def test_a_thread_without_a_loop_is_enough(make_model: MakeModel, call: Path) -> None:
    """Every path works from a thread that never had an event loop."""
    with ThreadPoolExecutor(1) as pool:
        assert "hello" == pool.submit(lambda: call(make_model(), "hello").text).result(30)
