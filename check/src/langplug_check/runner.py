"""Runs one check and turns what it says into a result."""

import contextlib
import inspect
import io
import threading
import time
import warnings
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from langplug_check.paths import error_text
from langplug_check.statement import Check
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Advisory, Blame, Failed, NotApplicable, NotObserved, Result, Verdict

NOISE_LIMIT = 4000
"""Characters of what a model printed that are kept."""


def run_check(check: Check, subject: Subject) -> Result:
    """Run `check` here and now, keeping what is printed. Whatever it raises is part of the result, but for Ctrl-C."""
    with capture_output() as noise:
        result = run_check_uncaptured(check, subject)
    return replace(result, noise=noise.getvalue()[:NOISE_LIMIT])


def run_check_uncaptured(check: Check, subject: Subject) -> Result:
    """As `run_check`, and what is printed goes where it goes."""
    began = time.perf_counter()
    try:
        verdict, observed, expected, blame = _verdict(check, subject)
    finally:
        subject.tidy()
    seconds = time.perf_counter() - began
    return Result(id=check.id, verdict=verdict, observed=observed, expected=expected, blame=blame, seconds=seconds)


def run_check_in_thread(check: Check, subject: Subject) -> Result:
    """As `run_check`, in a thread that is left behind where it takes longer than the check's limit."""
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(run_check(check, subject)), daemon=True, name=check.id)
    thread.start()
    thread.join(check.limit_s)
    if results:
        return results[0]
    return failed_result(check, f"no end within {check.limit_s:g} seconds", check.limit_s)


def failed_result(check: Check, observed: str, seconds: float = 0.0, noise: str = "") -> Result:
    """The result for a check that did not come to an end."""
    return Result(
        id=check.id,
        verdict="fail",
        observed=observed,
        expected=check.statement,
        blame=check.blame,
        seconds=seconds,
        noise=noise[-NOISE_LIMIT:],
    )


def _verdict(check: Check, subject: Subject) -> tuple[Verdict, str, str, Blame]:
    try:
        subject.need(*check.needs)
        return "pass", _told(check, subject), "", check.blame
    except Failed as failed:
        return "fail", failed.observed, failed.expected or check.statement, failed.blame or check.blame
    except NotApplicable as reason:
        return "not applicable", str(reason), "", check.blame
    except NotObserved as reason:
        return "not observed", str(reason), "", check.blame
    except Advisory as advice:
        return "advisory", str(advice), check.statement, check.blame
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the model raises is what was observed
        return "fail", f"it raised {error_text(error)}", check.statement, check.blame


def _told(check: Check, subject: Subject) -> str:
    told: Any = check.run(subject)
    if inspect.iscoroutine(told):
        told = run(told, check.limit_s, alone=False)
    return told or ""


@contextlib.contextmanager
def capture_output() -> Generator[io.StringIO, None, None]:
    """What is printed and warned of, kept from the terminal."""
    noise = io.StringIO()
    with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _into(noise)
        yield noise


def _into(noise: io.StringIO) -> Callable[..., None]:
    def show(message: Warning | str, category: type[Warning], *_: Any) -> None:
        noise.write(f"{category.__name__}: {message}\n")

    return show
