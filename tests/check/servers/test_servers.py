"""`langplug check --server`: a right server keeps every statement, and each statement notices a wrong one."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from tests.check.servers.mutants import MUTANTS
from tests.check.servers.obedient import Obedient
from tests.check.servers.serving import KEY, serving, strict

from langplug_backend import WRONGS, Backend, ChatRequest
from langplug_backend import Obedient as Obedience
from langplug_backend.http import HttpRequest
from langplug_backend.log import Log
from langplug_backend.response import Event, FakeResponse
from langplug_backend.wrongs.edits import Edit, Handle, asks, events, of_json, refuses, whole
from langplug_check.servers.session import ServerReport, check_server, most_calls
from langplug_check.servers.statement import all_server_checks, select_server_checks
from langplug_check.session import Step

SLOW = ("S92", "S93")

OF_PAGES = {"S84", "S85", "S86"}
"""Statements about what pages of others can do."""


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
    with serving(Obedient(pace=0.004, much=150, concurrency=1)) as url:
        report = check(url, only=SLOW)
    assert ["pass", "pass"] == [one.verdict for one in report.results], report.to_text()


def test_the_backend_can_be_a_right_server() -> None:
    """So can the backend be: it is what its wrong servers differ from, in one way each."""
    with strict(reply=Obedience(pace=0.004), concurrency=1) as url:
        report = check(url)
    found = {one.id: (one.verdict, one.observed) for one in report.results if one.verdict != "pass"}
    assert {} == found


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name, wrongs in MUTANTS.items() for wrong in wrongs])
def test_a_wrong_server_is_noticed(name: str, wrong: str) -> None:
    """A server that is wrong in one way fails the statement about it."""
    pace = {"S90": 0.1, "S91": 0.004, **dict.fromkeys(SLOW, 0.004)}.get(name, 0.0)
    key = "" if name in OF_PAGES else KEY
    with strict(wrong, Obedience(pace=pace), concurrency=1 if name in SLOW else None, key=key or None) as url:
        report = check_server(url, key=key, limit_s=20, model="m", only=[name])
    (result,) = report.results
    assert result.verdict == "fail", f"{WRONGS[wrong].does}: {result.verdict}, {result.observed}"
    assert report.asked <= most_calls(select_server_checks([name]))


@pytest.mark.parametrize("name", sorted(OF_PAGES))
def test_a_key_keeps_pages_out(name: str) -> None:
    """Where a key is needed, which no page has, a server that answers foreign pages could be better."""
    with strict(MUTANTS[name][0]) as url:
        (result,) = check(url, only=[name]).results
    assert "advisory" == result.verdict


def busy(status: int, wait: str | None) -> Edit:
    """A server that puts off every second question."""
    turns = count()

    def edit(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
        if request.method == "GET" or next(turns) % 2 == 0:
            return handle(request)
        headers = () if wait is None else (("retry-after", wait),)
        return replace(of_json(status, {"error": {"message": "later"}}), headers=headers)

    return edit


@pytest.mark.parametrize(("status", "wait"), [(429, "0"), (429, "soon"), (503, None)])
def test_a_server_that_puts_requests_off_is_asked_again(status: int, wait: str | None) -> None:
    """That it takes no more at the moment says nothing of a request: it is neither an answer nor a refusal of it."""
    with strict(busy(status, wait)) as url:
        report = check(url, only=["S40", "S47", "S61", "S70", "S74", "S90", "S91", "S92", "S95"])
    assert {"S90": "partly observed", "S92": "not observed", "S91": "not observed", "S95": "not observed"} == {
        one.id: one.verdict for one in report.results if one.verdict != "pass"
    }


def busy_later(handle: Handle, request: HttpRequest, log: Log) -> FakeResponse:
    """A server whose limit is used up after some questions."""
    if request.method == "GET" or len(log.exchanges) < 4:
        return handle(request)
    return of_json(429, {"error": {"message": "later"}})


def test_a_server_that_takes_no_more() -> None:
    """Where a limit is used up, the rest is not observed, and the report says that the server cannot be judged."""
    with strict(busy_later) as url:
        report = check_server(url, key=KEY, limit_s=0.6, only=["S4", "S6", "S7"])
    behind = {one.id: (one.verdict, one.observed) for one in report.results[4:]}
    assert {"not observed"} == {verdict for verdict, _ in behind.values()}
    assert "took no more requests" in behind["S44"][1]
    assert "was asked nothing more" in behind["S79"][1]
    assert not report.ready


def test_a_server_that_goes_away() -> None:
    """What is gone is named, and no statement is judged by it."""
    with Backend(models=["m"], strict=True) as backend:

        def stop(step: Step) -> None:
            if step.check and step.check.id == "S60":
                backend.stop()

        report = check_server(backend.openai_url, limit_s=5, only=["S4", "S6"], progress=stop)
    verdicts = {one.id: one.verdict for one in report.results}
    assert {"pass"} == {verdict for name, verdict in verdicts.items() if name < "S60"}
    assert {"not observed"} == {verdict for name, verdict in verdicts.items() if name >= "S60"}
    assert "it is gone" in report.error


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("🎉 😀 é 漢", "pass"),
        ("🎉 😀 é 漢 �", "pass"),
        ("🎉 �� é 漢", "fail"),
        ("🎉 😀 é �", "fail"),
        ("\\ud83c 😀 é 漢", "fail"),
        ("🎉 😀 E 🎉 �", "not observed"),
        ("Hello", "not observed"),
    ],
)
def test_characters_that_are_cut(said: str, verdict: str) -> None:
    """Only what was to be repeated shows who cut a character: a limit may end in one, and a model say what it likes."""
    said = said.replace("\\ud83c", "\ud83c")
    with strict(reply=lambda request: said if "🎉" in request.text else "one two three") as url:
        assert {verdict} == {one.verdict for one in check(url, only=["S18", "S19"]).results}


def from_azure(told: list[Event]) -> list[Event]:
    """What a filter of content says beside the answer, in the first chunk and in the last but two."""
    empty = {"id": "", "object": "", "created": 0, "model": ""}
    safe = {"hate": {"filtered": False, "severity": "safe"}}
    of_prompt = {**empty, "choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": safe}]}
    offsets = {"check_offset": 0, "start_offset": 0, "end_offset": 9}
    choice = {"index": 0, "finish_reason": None, "content_filter_results": safe, "content_filter_offsets": offsets}
    return [Event(data=of_prompt), *told[:-2], Event(data={**empty, "choices": [choice]}), *told[-2:]]


def clueless(_: ChatRequest) -> str:
    """Says the same to everything, calls no tool and writes no JSON."""
    return "It is a bit of a mystery."


def without_demands(body: Any) -> None:
    """As a server that knows neither tools nor forms, and says nothing of it."""
    for name in ("tools", "tool_choice", "response_format"):
        body.pop(name, None)


OFFERED = ("S56", "S59")
"""Statements on what is wrong in the request itself, which no model is needed for."""


@pytest.mark.parametrize(
    ("edit", "model", "only", "verdict"),
    [
        pytest.param(events(from_azure), Obedience(), ["S2", "S34", "S36"], "pass", id="a filter of content"),
        pytest.param(whole(lambda body: body.pop("usage")), Obedience(), ["S68"], "pass", id="no usage, but an echo"),
        pytest.param(
            whole(lambda body: body.pop("usage")), clueless, ["S68"], "partly observed", id="no usage, and no echo"
        ),
        pytest.param(refuses(lambda b: "max_tokens" in b, 400), Obedience(), ["S1", "S5"], "pass", id="the newer name"),
        pytest.param(refuses(lambda b: "max_tokens" in b, 400), Obedience(), ["S40"], "advisory", id="and only that"),
        pytest.param(
            refuses(lambda b: any(name.startswith(("max", "temp")) for name in b), 422),
            Obedience(),
            ["S1", "S2", "S5"],
            "pass",
            id="no parameters",
        ),
        pytest.param(None, clueless, ["S5"], None, id="a model that can do nothing"),
        pytest.param(asks(without_demands), clueless, ["S5"], None, id="the same, and demands are dropped"),
    ],
)
def test_what_is_no_fault(edit: Edit | None, model: Any, only: list[str], verdict: str | None) -> None:
    """What the API allows, and what a model cannot do, is no failure of the server's."""
    with strict(edit, model) as url:
        found = {one.id: (one.verdict, one.observed) for one in check(url, only=only).results}
    wanted = {name: seen for name, seen in found.items() if seen[0] == verdict}
    assert (
        found == wanted if verdict else "fail" not in {seen[0] for name, seen in found.items() if name not in OFFERED}
    )


def test_each_statement_has_a_wrong_server() -> None:
    """No statement is without a server that breaks it, and the backend has no wrong server that nobody notices."""
    assert set(all_server_checks()) == set(MUTANTS)
    assert set(WRONGS) == {wrong for wrongs in MUTANTS.values() for wrong in wrongs}
