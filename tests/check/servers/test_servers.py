"""`langplug check --server`: a right server keeps every statement, and each statement notices a wrong one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.check.servers.mutants import MUTANTS
from tests.check.servers.obedient import Obedient
from tests.check.servers.wrong_servers import RUNNING, Edit, WrongServer

from langplug.serve import app
from langplug.serve.aiohttp_driver import runner_of
from langplug_check.servers.session import ServerReport, check_server, most_calls
from langplug_check.servers.statement import all_server_checks, select_server_checks

KEY = "s3cret-of-the-server"
SLOW = ("S92", "S93")


@contextmanager
def serving(model: Any, edit: Edit | None = None) -> Iterator[str]:
    """A server of langplug's on loopback, with one thing changed; gives its base URL."""
    loop = asyncio.new_event_loop()
    up, leave, urls = threading.Event(), asyncio.Event(), []
    exchange: Any = app({"m": model}, api_key=KEY).exchange

    async def serve() -> None:
        runner = runner_of(exchange if edit is None else WrongServer(exchange, edit))  # type: ignore[arg-type]
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        up.set()
        await leave.wait()
        left = [task for task in RUNNING if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        RUNNING.clear()
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


def check(url: str, **options: Any) -> ServerReport:
    return check_server(url, key=KEY, limit_s=20, **options)


def test_a_right_server_keeps_every_statement() -> None:
    """langplug's own server keeps every statement that can be seen of it, with no more requests than were announced."""
    with serving(Obedient()) as url:
        report = check(url, skip=SLOW)
    found = {one.check.id: (one.result.verdict, one.result.observed) for one in report.found}
    assert {} == {name: seen for name, seen in found.items() if seen[0] != "pass"}
    assert len(found) >= 60
    assert 0 < report.asked <= most_calls(select_server_checks(skip=SLOW))


def test_leaving_is_seen_where_answers_wait_for_each_other() -> None:
    """A server that answers one at a time is seen to be free at once when long answers are left, streamed or not."""
    with serving(Obedient(pace=0.005, concurrency=1)) as url:
        report = check(url, only=SLOW)
    assert ["pass", "pass"] == [one.verdict for one in report.results], report.to_text()


@pytest.mark.parametrize(("name", "wrong", "edit"), MUTANTS, ids=[f"{name}-{wrong}" for name, wrong, _ in MUTANTS])
def test_a_wrong_server_is_noticed(name: str, wrong: str, edit: Edit) -> None:
    """A server that is wrong in one way fails the statement about it."""
    model = Obedient(pace=0.005, concurrency=1) if name in SLOW else Obedient()
    with serving(model, edit) as url:
        (result,) = check(url, model="m", only=[name]).results
    assert result.verdict == "fail", f"{wrong}: {result.verdict}, {result.observed}"


def test_each_statement_has_a_wrong_server() -> None:
    """No statement is without a server that breaks it."""
    assert set(all_server_checks()) == {name for name, _, _ in MUTANTS}
