"""`check_server`: runs the statements on one server, one after the other, and gives the report."""

import platform
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from langplug_check.findings import Found
from langplug_check.report import Report
from langplug_check.servers.opening import open_server
from langplug_check.servers.server import USUAL, Busy, Hung, Server
from langplug_check.servers.statement import ServerCheck, select_server_checks
from langplug_check.session import Progress, Step
from langplug_check.verdicts import Advisory, Failed, NotApplicable, NotObserved, PartlyObserved, Result, Verdict

PLAIN_CALLS: Final = len(USUAL) + 1
"""Requests for the plain answers that statements share, whole and streamed."""

ANSWERS: Final = "S10"
"""The statement that a server answers at all. Of one that does not, nothing else is judged."""

PATIENCE: Final = 3
"""Statements in which a server may hang; then it is asked nothing more."""

STRUCK: Final = 8
"""Characters of a key that are struck out wherever they stand, with all that follow as in the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport(Report):
    """What all statements about a server found; see `Findings` for its attributes.

    Attributes:
        asked: Requests for an answer that were sent, the wrong ones included.
    """

    asked: int = 0

    @property
    def called(self) -> str:
        """What was called."""
        return f"{self.asked} requests for answers"

    @property
    def advice(self) -> str:
        """Nothing: there is no single fix for a server."""
        return ""


def most_calls(checks: Sequence[ServerCheck]) -> int:
    """Requests for an answer that these statements send at most, the wrong ones included."""
    return PLAIN_CALLS + sum(one.calls for one in checks)


def check_server(
    url: str,
    *,
    model: str = "",
    key: str = "",
    only: Collection[str] = (),
    skip: Collection[str] = (),
    limit_s: float = 60.0,
    progress: Progress | None = None,
) -> ServerReport:
    """Check a server that speaks OpenAI's Chat Completions, statement by statement.

    Args:
        url: Its base URL, such as `http://127.0.0.1:8000/v1`; `/v1` may be left out, and `#NAME` may name the model.
        model: The id of the model that is asked. Default: the first that the server lists.
        key: The key that it wants; empty if none. It is in nothing that is told.
        only: Ids of statements, or of groups, such as `S2`. Default: all.
        skip: Those to leave out.
        limit_s: Seconds that one answer may take.
        progress: Called before each statement, and at the end.

    Raises:
        ValueError: If a statement is unknown or none is left; if the URL is none, if nothing answers there, or
            something that is no such server; if the server refuses the key, or has no such model.
    """
    checks = select_server_checks(only, skip)
    began = time.monotonic()
    try:
        server = open_server(url, model=model, key=key, limit_s=limit_s)
    except ValueError as error:
        raise ValueError(strike_out(str(error), key.strip())) from None
    server.patience_s = limit_s  # before, a server that is busy is told from one that is there
    found = look_at(server, checks, progress or (lambda _: None))
    return ServerReport(
        model=server.model,
        reference=server.url,
        versions={"python": platform.python_version()},
        driver="server",
        origin="installed",
        where="over HTTP",
        error=trouble_of(server),
        found=found,
        seconds=time.monotonic() - began,
        asked=server.asked,
    )


def look_at(server: Server, checks: Sequence[ServerCheck], tell: Progress) -> list[Found]:
    """Look at these statements, one after the other."""
    note = f"up to {most_calls(checks)} short requests go to the model {server.model!r}, which may cost money"
    found: list[Found] = []
    last: Result | None = None
    for done, one in enumerate(checks):
        tell(Step(done=done, total=len(checks), check=one, last=last, note="" if done else note))
        unseen = ""
        if server.hung >= PATIENCE:
            unseen = f"the server hung or was busy in {PATIENCE} statements, and was asked nothing more"
        elif server.first.status != 200 and one.id != ANSWERS:
            unseen = f"no plain question is answered (see {ANSWERS}), and nothing else was asked"
        last = Result(id=one.id, verdict="not observed", observed=unseen) if unseen else look(one, server)
        found.append(Found(one, last))
    tell(Step(done=len(checks), total=len(checks), check=None, last=last))
    return found


def trouble_of(server: Server) -> str:
    """Why a server cannot be judged by what it keeps; empty if it can."""
    if server.first.status != 200:
        return strike_out(server.first.shown, server.key)
    if server.hung >= PATIENCE:
        return f"no answer within {server.limit_s:g} seconds, {PATIENCE} times"
    try:
        server.request("GET", "/models")
    except NotObserved as error:
        return f"{error}: it is gone"
    except Failed:
        pass  # a statement says so
    return ""


def look(check: ServerCheck, server: Server) -> Result:
    """Look at one statement, and keep what was found."""
    began = time.monotonic()
    verdict: Verdict = "pass"
    observed, expected = "", ""
    try:
        observed = check.run(server) or ""
    except Failed as failed:
        verdict, observed, expected = "fail", failed.observed, failed.expected or check.statement
    except NotApplicable as reason:
        verdict, observed = "not applicable", str(reason)
    except NotObserved as reason:
        verdict, observed = "not observed", str(reason)
        server.hung += isinstance(reason, Hung | Busy)
    except PartlyObserved as rest:
        verdict, observed = "partly observed", str(rest)
    except Advisory as advice:
        verdict, observed = "advisory", str(advice)
    except Exception as error:  # noqa: BLE001 - the kit's own trouble is no verdict about a server
        verdict, observed = "not observed", f"the check itself failed: {type(error).__name__}: {error}"
    seconds = time.monotonic() - began
    observed, expected = (strike_out(text, server.key) for text in (observed, expected))
    return Result(id=check.id, verdict=verdict, observed=observed, expected=expected, seconds=seconds)


def strike_out(text: str, key: str) -> str:
    """A text without the key that a server repeated, or the beginning of it where the text was cut."""
    at = text.find(key[:STRUCK]) if key else -1
    while at >= 0:
        shown = next(length for length in range(len(key), 0, -1) if text.startswith(key[:length], at))
        text = f"{text[:at]}***{text[at + shown :]}"
        at = text.find(key[:STRUCK], at + len("***"))
    return text
