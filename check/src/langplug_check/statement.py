"""What a check is, how one is registered, and the list of them all.

A check is a small function in `groups/`. It gets a `Subject` and says what it found, as `verdicts` describes. What else
there is to say about it is data, given to the decorator `statement`. A new check is one such function: its id alone
says where it stands, so nothing has to be renumbered.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from langplug_check.needs import Need
from langplug_check.verdicts import Blame

if TYPE_CHECKING:
    from langplug_check.subject import Subject

Rank: TypeAlias = Literal["must", "should", "could"]
"""How much a failure matters: data or money is lost, or nothing works; a documented feature does not work; the rest."""

RANKS: Sequence[Rank] = get_args(Rank)

Run: TypeAlias = Callable[["Subject"], Any]

_DOCS = "https://docs.langchain.com/oss/python"
_API = "https://reference.langchain.com/python/langchain-core"


@dataclass(frozen=True, slots=True)
class Group:
    """Checks that belong together.

    Attributes:
        letter: The first letter of their ids.
        title: What they are about.
        link: The page to read, unless a check names a better one.
    """

    letter: str
    title: str
    link: str


GROUPS: Mapping[str, Group] = {
    letter: Group(letter, title, link)
    for letter, title, link in (
        ("O", "Your own function, as it is", f"{_DOCS}/contributing/implement-langchain"),
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

OWN = "X"
"""The letter of users' own statements."""

AS_IT_IS = "O"
"""The letter of the statements that call the model as it is."""

ANSWERS = "O01"
"""The statement that the model answers at all."""

STANDARD = "T"
"""The letter of langchain-tests' own cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One statement of the contract, and how to see whether it holds.

    Attributes:
        id: Its name, such as `"A01"` or `"E02b"`: the letter of its group, two digits, and a letter for a statement
            that was added right after another. Reports are in this order.
        statement: What must hold, in one sentence.
        why: What goes wrong where it does not hold.
        hint: The few lines that fix it.
        link: The page or issue to read.
        rank: How much a failure matters: it must, should or could be fixed.
        needs: What must be possible with the model for the check to see anything.
        risky: Whether a model may hang, abort the interpreter or exhaust the memory in it.
        blame: Whose fault a failure is, unless the check says otherwise.
        limit_s: Seconds after which it has failed.
        run: The check itself: what is checked comes in. Its docstring says how one sees whether the statement holds.
    """

    id: str
    statement: str
    why: str
    hint: str
    link: str
    rank: Rank = "should"
    needs: tuple[Need, ...] = ()
    risky: bool = False
    blame: Blame = "model"
    limit_s: float = 20.0
    run: Callable[..., Any] = field(repr=False, compare=False)

    @property
    def group(self) -> Group:
        """The group that it belongs to."""
        return GROUPS[self.id[0]]

    @property
    def calls_as_it_is(self) -> bool:
        """Whether it calls the model as it is, which may cost money."""
        return self.id[0] == AS_IT_IS

    @property
    def in_contract(self) -> bool:
        """Whether it is part of the contract: neither a user's own statement nor a case of langchain-tests."""
        return self.id[0] not in (OWN, STANDARD)


_ID = re.compile(r"([A-Z])(\d\d+)([a-z]?)")
_CONTRACT = "langplug_check.groups."
"""The modules whose statements make up the contract."""

_registered: dict[str, Check] = {}


def statement(
    check_id: str,
    statement: str,
    *,
    why: str,
    hint: str,
    link: str = "",
    rank: Rank = "should",
    needs: tuple[Need, ...] = (),
    risky: bool = False,
    blame: Blame = "model",
    limit_s: float = 20.0,
) -> Callable[[Run], Run]:
    """Register the decorated function as the check of a statement.

    The arguments are those of `Check`; `check_id` is its id. Call statements of your own `"X01"`, `"X02"` and so on:
    the other letters belong to the contract.

    Raises:
        ValueError: If the id is malformed or not yours to give, or another function has it already.
    """

    def register(run: Run) -> Run:
        # By its module, so that nobody extends the contract by accident: a later version could not add that id.
        matched = _ID.fullmatch(check_id)
        is_contract = run.__module__.startswith(_CONTRACT)
        letters = set(GROUPS) - {OWN, STANDARD} if is_contract else {OWN}
        if matched is None or matched[1] not in letters:
            raise ValueError(f"{check_id!r} cannot be the id of your statement: use 'X01', 'X02' and so on")
        known = _registered.get(check_id)
        # A cell of a notebook, or a module that is reloaded, defines the same function again.
        if known and (is_contract or _place_of(known.run) != _place_of(run)):
            raise ValueError(f"there is a check {check_id!r} already: {_place_of(known.run)}")
        _registered[check_id] = Check(
            id=check_id,
            statement=statement,
            why=why,
            hint=inspect.cleandoc(hint),
            link=link or GROUPS[check_id[0]].link,
            rank=rank,
            needs=needs,
            risky=risky,
            blame=blame,
            limit_s=limit_s,
            run=run,
        )
        return run

    return register


def _place_of(run: Run) -> str:
    return f"{run.__module__}.{run.__qualname__}"


def all_checks() -> Mapping[str, Check]:
    """Every check by its id, group after group."""
    groups = importlib.import_module("langplug_check.groups")
    for module in pkgutil.iter_modules(groups.__path__):
        if not module.name.startswith("_"):  # what groups share has no check
            importlib.import_module(f"{groups.__name__}.{module.name}")
    letters = list(GROUPS)

    # Longer numbers come later, "X100" after "X99"; and "A06b" right after "A06".
    def place(name: str) -> tuple[int, int, str]:
        return letters.index(name[0]), len(name.rstrip(ascii_lowercase)), name

    return {name: _registered[name] for name in sorted(_registered, key=place)}


def own_modules() -> tuple[str, ...]:
    """The modules in which users have registered statements of their own."""
    return tuple(dict.fromkeys(check.run.__module__ for check in _registered.values() if not check.in_contract))
