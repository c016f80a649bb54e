"""What a check is, how one is registered, and the list of them all.

A check is a small function in `groups/`, one file a group. It is given a `Subject` and says what it found, as
`verdicts` describes. What there is to say about it is data, given to the decorator `statement`.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from langplug_check.catalogue import NUMBERS
from langplug_check.needs import Need
from langplug_check.verdicts import Blame

if TYPE_CHECKING:
    from langplug_check.subject import Subject

Run: TypeAlias = Callable[["Subject"], Any]

_DOCS = "https://docs.langchain.com/oss/python"
_API = "https://reference.langchain.com/python/langchain-core"


@dataclass(frozen=True, slots=True)
class Group:
    """Checks that belong together.

    Attributes:
        letter: With which their ids begin.
        title: What they are about.
        link: The page to read, where a check names no better one.
    """

    letter: str
    title: str
    link: str


GROUPS: Mapping[str, Group] = {
    letter: Group(letter, title, link)
    for letter, title, link in (
        ("A", "Construction, configuration, secrets", f"{_DOCS}/contributing/implement-langchain"),
        ("B", "Identity, tracing, serialisation, cache key", f"{_API}/language_models/chat_models/BaseChatModel"),
        ("C", "Invoke and generate", f"{_DOCS}/langchain/models"),
        ("D", "Stop sequences", f"{_API}/language_models/chat_models/BaseChatModel"),
        ("E", "Streaming", f"{_DOCS}/langchain/streaming"),
        ("F", "Callbacks, events, errors", f"{_API}/callbacks"),
        ("G", "Cache", f"{_API}/caches"),
        ("H", "Rate limiter", f"{_API}/rate_limiters"),
        ("I", "Tools", f"{_DOCS}/langchain/tools"),
        ("J", "Structured output", f"{_DOCS}/langchain/structured-output"),
        ("K", "Runnable composition", f"{_API}/runnables"),
        ("L", "Standard content", f"{_DOCS}/langchain/messages"),
        ("M", "Concurrency, async, limits", f"{_API}/runnables"),
        ("N", "Token counting, profile", f"{_API}/messages"),
        ("X", "Statements of your own", ""),
        ("T", "langchain-tests' own cases", f"{_DOCS}/contributing/standard-tests-langchain"),
    )
}
"""The groups by letter, in the order in which they are reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One statement of the contract, and how to see whether it holds.

    Attributes:
        id: Its name, such as `"A01"`: the letter of its group, then digits.
        number: Its number among the 139 statements of the contract; 0 for a user's own and those of langchain-tests.
        statement: What must hold, in one sentence.
        why: What goes wrong where it does not hold.
        hint: The few lines that mend it.
        link: The page or issue to read.
        needs: What must be possible with the model for the check to see anything.
        risky: Whether a model may hang, abort the interpreter or eat memory in it.
        blame: Whose fault a failure is, unless the check says otherwise.
        limit_s: Seconds after which it has failed.
        run: The check itself. Its docstring says how it is seen whether the statement holds.
    """

    id: str
    number: int
    statement: str
    why: str
    hint: str
    link: str
    needs: tuple[Need, ...] = ()
    risky: bool = False
    blame: Blame = "model"
    limit_s: float = 20.0
    run: Run = field(repr=False, compare=False)

    @property
    def group(self) -> Group:
        """The group it belongs to."""
        return GROUPS[self.id[0]]


_OWN = re.compile(r"X\d\d+[a-z]?")
"""What the ids of users' statements look like."""

_registered: dict[str, Check] = {}


def statement(
    check_id: str,
    statement: str,
    *,
    why: str,
    hint: str,
    link: str = "",
    needs: tuple[Need, ...] = (),
    risky: bool = False,
    blame: Blame = "model",
    limit_s: float = 20.0,
) -> Callable[[Run], Run]:
    """Register the decorated function as the check of a statement. The arguments are those of `Check`.

    An id of the contract's belongs to the contract; statements of your own are called `"X01"`, `"X02"` and so on.

    Raises:
        ValueError: If there is no statement of this id, or a check of it already.
    """

    def register(run: Run) -> Run:
        if check_id not in NUMBERS and not _OWN.fullmatch(check_id):
            raise ValueError(f"{check_id!r} is the id of no statement: call those of your own 'X01', 'X02' and so on")
        if check_id in _registered and _registered[check_id].run.__module__ != run.__module__:
            raise ValueError(f"there is a check {check_id!r} already, in {_registered[check_id].run.__module__}")
        _registered[check_id] = Check(
            id=check_id,
            number=NUMBERS.get(check_id, 0),
            statement=statement,
            why=why,
            hint=inspect.cleandoc(hint),
            link=link or GROUPS[check_id[0]].link,
            needs=needs,
            risky=risky,
            blame=blame,
            limit_s=limit_s,
            run=run,
        )
        return run

    return register


def all_checks() -> Mapping[str, Check]:
    """Every check by its id, group after group."""
    groups = importlib.import_module("langplug_check.groups")
    for module in pkgutil.iter_modules(groups.__path__):
        if not module.name.startswith("_"):  # what groups share has no check
            importlib.import_module(f"{groups.__name__}.{module.name}")
    return {name: _registered[name] for name in sorted(_registered, key=_place)}


def own_modules() -> tuple[str, ...]:
    """The modules in which users have registered statements of their own."""
    return tuple(dict.fromkeys(one.run.__module__ for name, one in _registered.items() if _OWN.fullmatch(name)))


def _place(name: str) -> tuple[int, int, str]:
    digits = re.match(r"[A-Z](\d+)", name)
    return list(GROUPS).index(name[0]), int(digits[1]) if digits else 0, name
