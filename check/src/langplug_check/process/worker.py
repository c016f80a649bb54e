"""A process that makes the model and runs checks on it, one by one: `python -m langplug_check.process.worker`.

It reads from stdin a pickled `Job`, then ids of checks. It writes to stdout, pickled too: None once there is a model,
an `Identity`, then a `Result` for each id; or, if the model cannot be made, text that says why. What the model prints
goes to stderr.
"""

import importlib
import os
import pickle
import sys
import warnings
from typing import Any

from langplug_check.job import identify
from langplug_check.paths import error_text
from langplug_check.process.offline import block_network
from langplug_check.runner import run_check_uncaptured
from langplug_check.statement import all_checks


def main() -> None:
    """Serve until stdin ends."""
    # The model gets an empty stdin, and stderr as its stdout: our own streams are not for it.
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)

    def send(value: object) -> None:
        outbox.write(pickle.dumps(value))
        outbox.flush()

    job: Any = pickle.load(inbox)  # noqa: S301 - from the process that started this one
    sys.path[:] = job.path
    warnings.simplefilter("always")
    with block_network():
        try:
            for module in job.modules:
                importlib.import_module(module)
            checks = all_checks()
            target = job.target()
            send(None)  # whatever happens from now on happens as the model is asked, not as it is made
            subject = job.subject(target)
        except BaseException as error:  # noqa: BLE001 - the process that started this one reports it
            send(error_text(error))
            os._exit(0)
        send(identify(subject))
        while True:
            try:
                check_id = pickle.load(inbox)  # noqa: S301 - see above
            except EOFError:
                os._exit(0)  # threads that a model left behind must not keep this process alive
            send(run_check_uncaptured(checks[check_id], subject))


if __name__ == "__main__":
    main()
