"""Runs one check and turns what it says into a result."""

import contextlib
import inspect
import io
import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from langplug_backend import Backend
from langplug_check.paths import error_text, is_from_keyboard
from langplug_check.statement import Check
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Advisory, Failed, NotApplicable, NotObserved, PartlyObserved, Result, Verdict

NOISE_LIMIT = 4000
"""Characters of what a model printed that are kept."""

_OWN_FILES = (str(Path(__file__).parent), str(Path(inspect.getfile(Backend)).parent))
_LIBRARY = (sysconfig.get_path("stdlib"), "<frozen")


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
    except PartlyObserved as rest:
        verdict, observed, expected = "partly observed", str(rest), ""
    except BaseException as error:
        # Even SystemExit must not end the report, nor a KeyboardInterrupt that comes from no keyboard.
        if is_from_keyboard(error):
            raise
        if _is_own_trouble(error):
            verdict, observed, expected = "not observed", f"the check itself failed: {error_text(error)}", ""
        else:
            verdict, observed = "fail", f"it raised {error_text(error)}"
    finally:
        subject.tidy()
    seconds = time.perf_counter() - began
    return Result(id=check.id, verdict=verdict, observed=observed, expected=expected, blame=blame, seconds=seconds)


def _is_own_trouble(error: BaseException) -> bool:
    """Whether an exception came about without the model: in this kit, or in what that called of Python's own library.

    A statement's set-up may fail, a program that it starts may take too long on a busy machine. That says nothing about
    the model.
    """
    if not isinstance(error, Exception):
        return False
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return all(file.startswith(_OWN_FILES) or (file.startswith(_LIBRARY) and "-packages" not in file) for file in files)


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
