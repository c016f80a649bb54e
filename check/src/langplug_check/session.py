"""`check`: runs the checks on a model, each in a process that may hang and die, and gives the report."""

import difflib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeAlias

from langplug_check.factory import Target
from langplug_check.findings import Found
from langplug_check.isolation import Runner, open_runner
from langplug_check.job import make_job
from langplug_check.process.pool import MEMORY_LIMIT
from langplug_check.recipes import Recipe
from langplug_check.report import Report
from langplug_check.standard.cases import LIMIT_S, StandardCases, excuse_mute_model, report_not_run, why_not_here
from langplug_check.statement import ANSWERS, GROUPS, STANDARD, Check, all_checks
from langplug_check.trial import MOST_CALLS
from langplug_check.verdicts import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far the checks are.

    Attributes:
        done: Checks that have run.
        total: Checks that will have run at the end.
        check: The check that runs now; None at the end.
        last: The result of the one before.
        note: What the user should know before it runs; mostly empty.
    """

    done: int
    total: int
    check: Check | None
    last: Result | None
    note: str = ""


ANNOUNCEMENT = (
    f"your model is called up to {MOST_CALLS} times as it is, which may cost money or need a network (--offline leaves "
    "that out)"
)

NO_PATIENCE_S = 1.0
"""Seconds that langchain-tests' cases have left if the model hung or died again and again."""

OFFLINE = "the model was not called as it is (--offline)"

NO_ANSWER = f"the model never answered (see {ANSWERS}), so nothing else was looked at"

Progress: TypeAlias = Callable[[Step], None]


def check(
    target: Target | str,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    recipe: Recipe | None = None,
    progress: Progress | None = None,
    isolated: bool = True,
    offline: bool = False,
    memory_limit: int = MEMORY_LIMIT,
) -> Report:
    """Check a chat model, langplug's or anybody else's, against the whole contract.

    The statements of group O call the model as it is, at most 20 times, which may cost money or need a network. All
    others need none. If it never answers, they are all that is checked.

    Args:
        target: A model, its class, a function without arguments that makes one, or a reference to one of these, such
            as `"package.module:attribute"`.
        only: Ids of checks, or letters of groups, to run. Default: all.
        skip: Those to leave out.
        recipe: How to point the model at the backend of the test kit. Default: the known one for its class.
        progress: Called before each check, and at the end.
        isolated: Whether the checks run in a process of their own. If the model cannot be made there, they run in
            this one, each in a thread with a limit of time, and the report says why.
        offline: Whether to leave group O out. Then no function that scripts stand in for is "ready".
        memory_limit: Bytes that the memory of that process may grow by in one check.

    Raises:
        ValueError: If a check is unknown; the error names the nearest one. Or if none is left to run.
        Exception: What making the model raises.
    """
    checks = select_checks(only, skip)
    chosen = {name.upper() for name in only}
    wants_standard = (not chosen or STANDARD in chosen) and STANDARD not in {name.upper() for name in skip}
    if not checks and not wants_standard:
        raise ValueError(f"no check is left: of {', '.join(only) or 'all'}, {', '.join(skip)} is skipped")
    began = time.monotonic()
    with ExitStack() as stack:
        runner = open_runner(target, recipe, isolated=isolated, memory_limit=memory_limit)
        stack.callback(runner.close)
        identity, cases, why_no_cases = runner.identity, None, why_not_here()
        if wants_standard and not why_no_cases:
            job, why = make_job(target, recipe)
            if job is None:
                why_no_cases = f"in another process it cannot be made: {why}"
            else:
                # They run beside the checks, for both spend most of their time waiting.
                cases = stack.enter_context(StandardCases(job))
        found, mute = run_checks(runner, checks, offline=offline, progress=progress or _ignore)
        if cases is not None:
            # A model that hung in checks will hang in them too: what has come by now is all that will.
            if mute:
                found += report_not_run(NO_ANSWER)
            else:
                standard = cases.wait(NO_PATIENCE_S if runner.gave_up else LIMIT_S)
                found += [excuse_mute_model(case, identity.error) for case in standard]
        elif wants_standard:
            found += report_not_run(str(why_no_cases))
    return Report(
        model=identity.name,
        reference=target if isinstance(target, str) else identity.name,
        versions=identity.versions,
        driver=identity.driver,
        origin=identity.origin,
        where=runner.where,
        error=mute or identity.error,
        found=found,
        seconds=time.monotonic() - began,
    )


def run_checks(
    runner: Runner, checks: Sequence[Check], *, offline: bool, progress: Progress
) -> tuple[list[Found], str]:
    """What each check found; and, if the model never answered, that it did not, after which nothing is run any more."""
    found: list[Found] = []
    last: Result | None = None
    mute, announced = "", False
    for done, one in enumerate(checks):
        calls = one.calls_as_it_is and not offline and runner.identity.driver != "wire"
        note, announced = ("" if announced or not calls else ANNOUNCEMENT), announced or calls
        progress(Step(done=done, total=len(checks), check=one, last=last, note=note))
        if unseen := (NO_ANSWER if mute else OFFLINE if offline and one.calls_as_it_is else ""):
            last = Result(id=one.id, verdict="not observed", observed=unseen)
        else:
            last = runner.run(one)
        if one.id == ANSWERS and last.verdict == "fail":
            mute = last.observed
            if runner.identity.driver == "wire":
                mute += ". It was asked over the test kit's server: are the arguments that point it there right?"
        found.append(Found(one, last))
    progress(Step(done=len(checks), total=len(checks), check=None, last=last))
    return found, mute


def _ignore(step: Step) -> None:
    """No progress is shown."""


def select_checks(only: Collection[str] = (), skip: Collection[str] = ()) -> list[Check]:
    """The checks of these ids and groups.

    Raises:
        ValueError: If one is unknown; the error names the nearest one.
    """
    checks = all_checks()
    wanted, unwanted = _find_ids(only, checks), _find_ids(skip, checks)
    return [one for name, one in checks.items() if (not only or name in wanted) and name not in unwanted]


def _find_ids(names: Iterable[str], known: Collection[str]) -> set[str]:
    """The ids that are meant by ids and letters of groups, in any case."""
    by_case = {one.casefold(): one for one in known}
    ids: set[str] = set()
    for name in names:
        letter, wanted = name.upper(), name.casefold()
        if letter in GROUPS:
            inside = {one for one in known if one.startswith(letter)}
            if not inside and letter != STANDARD:  # langchain-tests' cases are known only once they have run
                raise ValueError(f"no statement is in group {letter}: name the module with yours (--statements)")
            ids |= inside
        elif wanted in by_case:
            ids.add(by_case[wanted])
        else:
            unpadded = [one for one in by_case if one[0] + one[1:].lstrip("0") == wanted]  # A1 means A01
            near = unpadded or difflib.get_close_matches(wanted, by_case, n=3, cutoff=0.5)
            hint = f", did you mean {' or '.join(by_case[one] for one in near)}?" if near else ""
            raise ValueError(f"unknown check {name!r}{hint} (--list shows them all)")
    return ids
