"""Where checks run: in a process of their own, or in this one."""

from dataclasses import replace
from typing import Protocol

from langplug_check.factory import Target
from langplug_check.job import Identity, Job, identify, make_job, resolve
from langplug_check.paths import error_text
from langplug_check.process.pool import MEMORY_LIMIT, CannotBeMade, Ended, NeverMade, Pool
from langplug_check.recipes import Recipe
from langplug_check.runner import capture_output, run_check_in_thread
from langplug_check.statement import Check
from langplug_check.subject import Subject
from langplug_check.verdicts import Result


class Runner(Protocol):
    """Runs checks on one model.

    Attributes:
        identity: What the model is.
        where: Where the checks run, and why there.
    """

    identity: Identity
    where: str

    @property
    def gave_up(self) -> str:
        """Why the model is not asked any more; empty if it still is."""
        ...

    def run(self, check: Check) -> Result:
        """The result of one check, whatever happens in it."""
        ...

    def close(self) -> None:
        """End what was begun."""
        ...


class Subprocess:
    """Runs checks in a process of their own, which may hang and die."""

    where = "in a process of their own"

    def __init__(self, job: Job, memory_limit: int) -> None:
        self._pool = Pool(job, memory_limit=memory_limit)
        try:
            self.identity = self._pool.worker().identity
        except NeverMade:
            raise
        except Ended:
            # It ended as the model was asked what it says. Unasked, it gets a report: each check meets this by itself.
            self._pool = Pool(replace(job, probe=False), memory_limit=memory_limit)
            self.identity = self._pool.worker().identity

    @property
    def gave_up(self) -> str:
        """Why the model is not asked any more; empty if it still is."""
        return self._pool.gave_up

    def run(self, check: Check) -> Result:
        """Run it in the worker."""
        return self._pool.run(check)

    def close(self) -> None:
        """End the worker."""
        self._pool.close()


class InProcess:
    """Runs checks in this process, each in a thread with a limit of time."""

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


def open_runner(
    target: Target | str, recipe: Recipe | None = None, *, isolated: bool = True, memory_limit: int = MEMORY_LIMIT
) -> Runner:
    """What runs checks on a model; close it at the end. The arguments are those of `langplug_check.check`."""
    why = "as requested"
    if isolated:
        job, why = make_job(target, recipe)
        if job is not None:
            try:
                return Subprocess(job, memory_limit)
            except CannotBeMade as error:
                # What was given as an object is at work in this process anyway, and may not be found by its name in
                # another. A reference is the model's own code, which may do anything: it is not tried here.
                if job.reference is not None:
                    raise error.original or error from error
                why = f"in another one it cannot be made ({error})"
    with capture_output():
        try:
            subject = Subject(resolve(target, recipe) if isinstance(target, str) else target, recipe=recipe)
        except (SystemExit, GeneratorExit) as error:
            raise CannotBeMade(f"importing or making the model raised {error_text(error)}") from error
    return InProcess(subject, why)
