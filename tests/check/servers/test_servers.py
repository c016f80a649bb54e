"""`langplug check --server`: a right server keeps every statement, and each statement notices a wrong one."""

from typing import Any

import pytest
from tests.check.servers.mutants import MUTANTS
from tests.check.servers.obedient import Obedient
from tests.check.servers.serving import KEY, serving
from tests.check.servers.wrong_servers import Edit

from langplug_check.servers.session import ServerReport, check_server, most_calls
from langplug_check.servers.statement import all_server_checks, select_server_checks

SLOW = ("S92", "S93")


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
    """A server that is wrong in one way fails the statement about it, with no more requests than were announced."""
    model = Obedient(pace=0.005, concurrency=1) if name in SLOW else Obedient()
    with serving(model, edit) as url:
        report = check(url, model="m", only=[name])
    (result,) = report.results
    assert report.asked <= most_calls(select_server_checks([name]))
    assert result.verdict == "fail", f"{wrong}: {result.verdict}, {result.observed}"


def test_each_statement_has_a_wrong_server() -> None:
    """No statement is without a server that breaks it."""
    assert set(all_server_checks()) == {name for name, _, _ in MUTANTS}
