"""`check_server`: runs the statements on one server, one after the other, and gives the report."""

import platform
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from langplug_check.findings import Found
from langplug_check.report import Report
from langplug_check.servers.server import Server
from langplug_check.servers.statement import ServerCheck, select_server_checks
from langplug_check.session import Progress, Step
from langplug_check.verdicts import Advisory, Failed, NotApplicable, NotObserved, PartlyObserved, Result, Verdict

PLAIN_CALLS = 2
"""Requests for the plain answers that statements share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport(Report):
    """What all statements about a server found; see `Findings` for its attributes.

    Attributes:
        asked: Requests that were sent for a model to answer.
    """

    asked: int = 0

    @property
    def called(self) -> str:
        """What was called."""
        return f"its model was asked {self.asked} times"

    @property
    def advice(self) -> str:
        """Nothing: there is no single fix for a server."""
        return ""


def most_calls(checks: Sequence[ServerCheck]) -> int:
    """Requests at most that these statements send for a model to answer."""
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
        url: Its base URL, such as `http://127.0.0.1:8000/v1`.
        model: The id of the model that is asked. Default: the first that the server lists.
        key: The key that it wants; empty if none.
        only: Ids of statements, or of groups, such as `S2`. Default: all.
        skip: Those to leave out.
        limit_s: Seconds that one answer may take.
        progress: Called before each statement, and at the end.

    Raises:
        ValueError: If a statement is unknown or none is left, the URL is none, the server cannot be reached, or it
            names no model.
    """
    checks = select_server_checks(only, skip)
    began = time.monotonic()
    server = open_server(url, model=model, key=key, limit_s=limit_s)
    tell: Callable[[Step], None] = progress or (lambda _: None)
    note = f"up to {most_calls(checks)} short requests go to the model {server.model!r}, which may cost money"
    found: list[Found] = []
    last: Result | None = None
    for done, one in enumerate(checks):
        tell(Step(done=done, total=len(checks), check=one, last=last, note="" if done else note))
        last = look(one, server)
        found.append(Found(one, last))
    tell(Step(done=len(checks), total=len(checks), check=None, last=last))
    return ServerReport(
        model=server.model,
        reference=server.url,
        versions={"python": platform.python_version()},
        driver="server",
        origin="installed",
        where="over HTTP",
        found=found,
        seconds=time.monotonic() - began,
        asked=server.asked,
    )


def open_server(url: str, *, model: str, key: str, limit_s: float) -> Server:
    """A server that answers at all, and the model to ask.

    Raises:
        ValueError: If there is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a server, such as http://127.0.0.1:8000/v1")
    server = Server(url=url.rstrip("/"), model=model, key=key, limit_s=limit_s)
    try:
        reply = server.request("GET", "/models")
        listed = model or reply.json["data"][0]["id"]
    except NotObserved as error:
        raise ValueError(f"nothing answers at {url}: {error}") from error
    except (Failed, LookupError, TypeError) as error:
        if model:  # the statements will tell what is wrong with the list
            return server
        raise ValueError(
            f"{url}/models lists no model ({reply_shown(error)}): name one with --model, or give the base URL, with /v1"
        ) from error
    server.model = str(listed)
    return server


def reply_shown(error: Exception) -> str:
    """What was wrong with a list of models."""
    return error.observed if isinstance(error, Failed) else "no `data[0].id`"


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
    except PartlyObserved as rest:
        verdict, observed = "partly observed", str(rest)
    except Advisory as advice:
        verdict, observed = "advisory", str(advice)
    except Exception as error:  # noqa: BLE001 - the kit's own trouble is no verdict about a server
        verdict, observed = "not observed", f"the check itself failed: {type(error).__name__}: {error}"
    seconds = time.monotonic() - began
    return Result(id=check.id, verdict=verdict, observed=observed, expected=expected, seconds=seconds)
