"""What a statement about a server is, how one is registered, and the list of them all.

They are like those about models (`langplug_check.statement`), and have the same verdicts. What is looked at is a
`Server`. Their ids are `S` and two digits, of which the first says the group: a new one takes the next free number.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from langplug_check.servers.server import Server
from langplug_check.statement import Check, Group, Rank

CHAT = "https://platform.openai.com/docs/api-reference/chat"
STREAMS = "https://platform.openai.com/docs/api-reference/chat-streaming"
MODELS = "https://platform.openai.com/docs/api-reference/models"
ERRORS = "https://platform.openai.com/docs/guides/error-codes"
SSE = "https://html.spec.whatwg.org/multipage/server-sent-events.html"
REBINDING = "https://owasp.org/www-community/attacks/csrf"

GROUPS: Mapping[str, Group] = {
    letter: Group(letter, title, link)
    for letter, title, link in (
        ("S0", "Models and routes", MODELS),
        ("S1", "A whole answer", CHAT),
        ("S2", "A stream", STREAMS),
        ("S3", "Usage", CHAT),
        ("S4", "Limits, stop strings, parameters", CHAT),
        ("S5", "Tools and structured output", CHAT),
        ("S6", "Conversations", CHAT),
        ("S7", "Errors", ERRORS),
        ("S8", "Keys, hosts, content types", ERRORS),
        ("S9", "Many clients, and clients that leave", CHAT),
    )
}
"""The groups by the beginning of their ids, in the order in which they are reported."""

Look: TypeAlias = Callable[[Server], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCheck(Check):
    """One statement about a server, and how to see whether it holds.

    Attributes:
        calls: Requests at most that a model is to answer.
    """

    calls: int = 0

    @property
    def group(self) -> Group:
        """The group that it belongs to."""
        return GROUPS[self.id[:2]]


_registered: dict[str, ServerCheck] = {}


def statement(
    check_id: str,
    statement: str,
    *,
    why: str,
    mend: str,
    rank: Rank = "should",
    calls: int = 0,
    link: str = "",
) -> Callable[[Look], Look]:
    """Register the decorated function as the check of a statement about servers.

    It returns what it saw, or raises a verdict; see `langplug_check.verdicts`. Its docstring says how it looks.

    Raises:
        ValueError: If the id is taken.
    """

    def register(look: Look) -> Look:
        if check_id in _registered:
            raise ValueError(f"there is a statement {check_id!r} already")
        _registered[check_id] = ServerCheck(
            id=check_id,
            statement=statement,
            why=why,
            hint=inspect.cleandoc(mend),
            link=link or GROUPS[check_id[:2]].link,
            rank=rank,
            calls=calls,
            run=look,
        )
        return look

    return register


def all_server_checks() -> Mapping[str, ServerCheck]:
    """Every statement about servers by its id, in order."""
    groups = importlib.import_module("langplug_check.servers.groups")
    for module in pkgutil.iter_modules(groups.__path__):
        importlib.import_module(f"{groups.__name__}.{module.name}")
    return dict(sorted(_registered.items()))


def select_server_checks(only: Collection[str] = (), skip: Collection[str] = ()) -> list[ServerCheck]:
    """The statements of these ids and groups, such as `S22` and `S2`; `S` is all.

    Raises:
        ValueError: If one is unknown, or none is left.
    """
    checks = all_server_checks()
    wanted, unwanted = _find(only, checks), _find(skip, checks)
    chosen = [one for name, one in checks.items() if (not only or name in wanted) and name not in unwanted]
    if not chosen:
        raise ValueError(f"no check is left: of {', '.join(only) or 'all'}, {', '.join(skip)} is skipped")
    return chosen


def _find(names: Iterable[str], known: Collection[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        meant = name.upper()
        inside = {one for one in known if one.upper() == meant or (len(meant) < 3 and one.startswith(meant))}
        if not inside:
            raise ValueError(f"unknown check {name!r} of servers (--list --only S shows them all)")
        found |= inside
    return found
