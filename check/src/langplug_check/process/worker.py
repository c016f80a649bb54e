"""A process that makes the model and runs checks on it, one by one: `python -m langplug_check.process.worker`.

It reads from stdin: an `Job`, then ids of checks. It writes to stdout: None once there is a model, an `Identity`,
then a `Result` for each id; or, where there is no model, text that says why. All of it is pickled. What the model
prints goes elsewhere.
"""

import importlib
import os
import pickle
import sys
import warnings
from typing import Any, BinaryIO


def main() -> None:
    """Serve until stdin ends."""
    jobs, results = _own_streams()
    job = pickle.load(jobs)  # noqa: S301 - from the process that started this one
    sys.path[:] = job.path
    from langplug_check.process.offline import block_network

    with block_network():
        _serve(job, jobs, results)
    os._exit(0)  # threads that a model left behind must not keep it


def _serve(job: Any, jobs: BinaryIO, results: BinaryIO) -> None:
    from langplug_check.job import identify
    from langplug_check.paths import error_text
    from langplug_check.runner import run_check_uncaptured
    from langplug_check.statement import all_checks

    warnings.simplefilter("always")
    try:
        for module in job.modules:
            importlib.import_module(module)
        checks = all_checks()
        target = job.target()
        _send(results, None)  # whatever happens now happens as the model is asked
        subject = job.subject(target)
    except BaseException as error:  # noqa: BLE001 - who started this process is to say it
        _send(results, error_text(error))
        return
    _send(results, identify(subject))
    while (name := _next(jobs)) is not None:
        _send(results, run_check_uncaptured(checks[name], subject))


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """stdin and stdout for ourselves; to the model, stdin is empty and stdout is stderr."""
    jobs, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    return jobs, results


def _next(jobs: BinaryIO) -> str | None:
    try:
        return str(pickle.load(jobs))  # noqa: S301 - see above
    except EOFError:
        return None


def _send(results: BinaryIO, value: object) -> None:
    results.write(pickle.dumps(value))
    results.flush()


if __name__ == "__main__":
    main()
