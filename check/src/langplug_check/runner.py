"""Runs one check and turns what it says into a result."""

import contextlib
import inspect
import io
import threading
import time
import warnings
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from langplug_check.paths import error_text
from langplug_check.statement import Check
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Advisory, Failed, NotApplicable, NotObserved, Result, Verdict

NOISE_LIMIT = 4000
"""Characters of what a model printed that are kept."""


def run_check(check: Check, subject: Subject) -> Result:
    """Run `check` in this thread and keep what is printed. What it raises is part of the result, except for Ctrl-C."""
    with capture_output() as noise:  # also what `tidy` makes models print
        result = run_check_uncaptured(check, subject)
    return replace(result, noise=noise.getvalue()[:NOISE_LIMIT])


def run_check_uncaptured(check: Check, subject: Subject) -> Result:
    """As `run_check`, and what is printed goes where it goes."""
    began = time.perf_counter()
    verdict: Verdict
    observed, expected, blame = "", check.statement, check.blame
    try:
        subject.need(*check.needs)
        found: Any = check.run(subject)
        if inspect.iscoroutine(found):  # a check may be `async def`
            found = run(found, check.limit_s, alone=False)
        verdict, observed, expected = "pass", found or "", ""
    except Failed as failed:
        verdict, observed = "fail", failed.observed
        expected, blame = failed.expected or expected, failed.blame or blame
    except NotApplicable as reason:
        verdict, observed, expected = "not applicable", str(reason), ""
    except NotObserved as reason:
        verdict, observed, expected = "not observed", str(reason), ""
    except Advisory as advice:
        verdict, observed = "advisory", str(advice)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - even SystemExit must not end the report
        verdict, observed = "fail", f"it raised {error_text(error)}"
    finally:
        subject.tidy()
    seconds = time.perf_counter() - began
    return Result(id=check.id, verdict=verdict, observed=observed, expected=expected, blame=blame, seconds=seconds)


def run_check_in_thread(check: Check, subject: Subject) -> Result:
    """As `run_check`, in a thread that is left behind if it takes longer than the check's limit."""
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(run_check(check, subject)), daemon=True, name=check.id)
    thread.start()
    thread.join(check.limit_s)  # nothing ends a thread; it goes on, and its result is not wanted any more
    if results:
        return results[0]
    return failed_result(check, f"no end within {check.limit_s:g} seconds", check.limit_s)


def failed_result(check: Check, observed: str, seconds: float = 0.0, noise: str = "") -> Result:
    """The result of a check that did not come to an end."""
    return Result(
        id=check.id,
        verdict="fail",
        observed=observed,
        expected=check.statement,
        blame=check.blame,
        seconds=seconds,
        noise=noise[-NOISE_LIMIT:],  # the end of it: what a library in C says as it aborts
    )


@contextlib.contextmanager
def capture_output() -> Generator[io.StringIO, None, None]:
    """Keep what is printed and warned of from the terminal."""
    noise = io.StringIO()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        noise.write(f"{category.__name__}: {message}\n")

    with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield noise
