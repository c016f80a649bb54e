"""`check`: runs the checks on a model, each in a process that may hang and die, and gives the report."""

import difflib
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from langplug_check.factory import Target
from langplug_check.findings import Found
from langplug_check.job import Identity, Job, identify, make_job, resolve
from langplug_check.process.pool import MEMORY_LIMIT, CannotBeMade, Ended, NeverMade, Pool
from langplug_check.recipes import Recipe
from langplug_check.report import Report
from langplug_check.runner import capture_output, run_check_in_thread
from langplug_check.standard.cases import LIMIT_S, StandardCases, excuse_mute_model, report_not_run, why_not_here
from langplug_check.statement import GROUPS, STANDARD, Check, all_checks
from langplug_check.subject import Subject
from langplug_check.verdicts import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far it is.

    Attributes:
        done: Checks that have run.
        total: Checks that will have.
        check: The check that runs now; None at the end.
        last: The result of the one before.
    """

    done: int
    total: int
    check: Check | None
    last: Result | None


NO_PATIENCE_S = 1.0
"""Seconds that langchain-tests' cases have left where the model hung or died again and again."""

Progress: TypeAlias = Callable[[Step], None]


def check(
    target: Target | str,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    recipe: Recipe | None = None,
    progress: Progress | None = None,
    isolated: bool = True,
    memory_limit: int = MEMORY_LIMIT,
) -> Report:
    """Check a chat model, langplug's or anybody else's, against the whole contract. Needs no network.

    Args:
        target: A model, its class, what makes one without arguments, or a reference such as `"package.module:attr"`.
        only: Ids of checks, or letters of groups, to run. Default: all.
        skip: Those to leave out.
        recipe: How to point the model at the backend of the test kit. Default: the known one for its class.
        progress: Called before each check, and at the end.
        isolated: Whether the checks run in a process of their own. If the model cannot be made there, they run in
            this one, each in a thread with a limit of time, and the report says why.
        memory_limit: Bytes that the memory of that process may grow by in one check.

    Raises:
        ValueError: If there is no such check; the nearest one is named. Or if none is left to run.
        Exception: What making the model raises.
    """
    checks = select_checks(only, skip)
    if not checks and not _wants_standard(only, skip):
        raise ValueError(f"no check is left: of {', '.join(only) or 'all'}, {', '.join(skip)} is skipped")
    began = time.monotonic()
    with _runner(target, recipe, isolated=isolated, memory_limit=memory_limit) as runner, ExitStack() as beside:
        standard = _standard(target, recipe, beside) if _wants_standard(only, skip) else _nothing
        found = [Found(one, result) for one, result in _run_all(checks, runner, progress)]
        identity, where = runner.identity, runner.where
        patience = NO_PATIENCE_S if runner.gave_up else LIMIT_S
        found += [excuse_mute_model(one, identity.error) for one in standard(patience)]
    return Report(
        model=identity.name,
        reference=target if isinstance(target, str) else identity.name,
        versions=identity.versions,
        driver=identity.driver,
        where=where,
        error=identity.error,
        found=found,
        seconds=time.monotonic() - began,
    )


def select_checks(only: Collection[str] = (), skip: Collection[str] = ()) -> list[Check]:
    """The checks of these ids and groups.

    Raises:
        ValueError: If there is no such check; the nearest one is named.
    """
    checks = all_checks()
    wanted, unwanted = _ids(only, checks), _ids(skip, checks)
    return [one for name, one in checks.items() if (not only or name in wanted) and name not in unwanted]


def _wants_standard(only: Collection[str], skip: Collection[str]) -> bool:
    return (not only or STANDARD in {name.upper() for name in only}) and STANDARD not in {n.upper() for n in skip}


def _standard(target: Target | str, recipe: Recipe | None, beside: ExitStack) -> Callable[[float], list[Found]]:
    """Begin langchain-tests' own cases beside the checks; what is returned waits for them so many seconds."""
    job, why = make_job(target, recipe)
    reason = why_not_here() or (f"in another process it cannot be made: {why}" if job is None else None)
    if reason is not None or job is None:
        return lambda _: report_not_run(str(reason))
    cases = beside.enter_context(StandardCases(job))
    return cases.wait


def _nothing(_: float) -> list[Found]:
    return []


def _ids(names: Iterable[str], known: Collection[str]) -> set[str]:
    ids: set[str] = set()
    for name in names:
        ids |= {_known_id(name, known)} if name.upper() not in GROUPS else _of_group(name.upper(), known)
    return ids


def _of_group(letter: str, known: Collection[str]) -> set[str]:
    ids = {name for name in known if name.startswith(letter)}
    if not ids and letter != STANDARD:
        raise ValueError(f"there is no statement in group {letter}: import the module that registers yours (--with)")
    return ids


def _known_id(name: str, known: Collection[str]) -> str:
    by_case = {one.casefold(): one for one in known}
    wanted = name.casefold()
    if wanted in by_case:
        return by_case[wanted]
    unpadded = [one for one in by_case if one[0] + one[1:].lstrip("0") == wanted]
    near = unpadded or difflib.get_close_matches(wanted, by_case, n=3, cutoff=0.5)
    hint = f", did you mean {' or '.join(by_case[one] for one in near)}?" if near else ""
    raise ValueError(f"there is no check {name!r}{hint} (--list shows them all)")


def _run_all(checks: Sequence[Check], runner: "Runner", progress: Progress | None) -> Iterator[tuple[Check, Result]]:
    last: Result | None = None
    for done, one in enumerate(checks):
        if progress is not None:
            progress(Step(done=done, total=len(checks), check=one, last=last))
        last = runner.run(one)
        yield one, last
    if progress is not None:
        progress(Step(done=len(checks), total=len(checks), check=None, last=last))


# --- where checks run ---


class Runner(Protocol):
    """Where checks run."""

    identity: Identity
    where: str

    @property
    def gave_up(self) -> str:
        """Why the model is not asked any more; empty if it is."""
        ...

    def run(self, check: Check) -> Result:
        """The result of one check, whatever happens in it."""
        ...

    def close(self) -> None:
        """End what was begun."""
        ...


class Subprocess:
    """In a process of their own."""

    where = "in a process of their own"

    def __init__(self, job: Job, memory_limit: int) -> None:
        self._pool = Pool(job, memory_limit=memory_limit)
        try:
            self.identity = self._pool.worker().identity
        except NeverMade:
            raise
        except Ended:  # as it was asked what it says: then each check is to meet it by itself
            self._pool = Pool(replace(job, probe=False), memory_limit=memory_limit)
            self.identity = self._pool.worker().identity

    @property
    def gave_up(self) -> str:
        """Why the model is not asked any more; empty if it is."""
        return self._pool.gave_up

    def run(self, check: Check) -> Result:
        """Run it in the worker."""
        return self._pool.run(check)

    def close(self) -> None:
        """End the worker."""
        self._pool.close()


class InProcess:
    """In this process."""

    gave_up = ""

    def __init__(self, subject: Subject, why: str) -> None:
        self.identity = identify(subject)
        self.where = f"in this process: {why}"
        self._subject = subject

    def run(self, check: Check) -> Result:
        """Run it in a thread."""
        return run_check_in_thread(check, self._subject)

    def close(self) -> None:
        """End what the subject began."""
        self._subject.close()


@contextmanager
def _runner(
    target: Target | str, recipe: Recipe | None, *, isolated: bool, memory_limit: int
) -> Generator[Runner, None, None]:
    runner = open_runner(target, recipe, isolated=isolated, memory_limit=memory_limit)
    try:
        yield runner
    finally:
        runner.close()


def open_runner(
    target: Target | str, recipe: Recipe | None = None, *, isolated: bool = True, memory_limit: int = MEMORY_LIMIT
) -> Runner:
    """Where the checks of a model run, made for it. The arguments are those of `check`; to be closed at the end."""
    why = "as was asked for"
    if isolated:
        job, why = make_job(target, recipe)
        if job is not None:
            try:
                return Subprocess(job, memory_limit)
            except CannotBeMade as error:
                why = f"in another one it cannot be made ({error})"
    with capture_output():
        subject = Subject(resolve(target, recipe) if isinstance(target, str) else target, recipe=recipe)
    return InProcess(subject, why)
