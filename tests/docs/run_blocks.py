"""Runs the blocks of a page, each alone: `python run_blocks.py JOB`, which writes what came of each to stdout as JSON.

JOB is a file with JSON: `page` (the path that tracebacks name), `imports` (modules that the blocks need), and `blocks`,
each with its `line` in the page and its `code`. What takes most of a block's time is importing LangChain. So that is
done here once, and each block runs in a fork of this process, as a program of its own: with a namespace that nothing
else has been in, and an end at which threads are waited for and what was registered with `atexit` is called. The
blocks of a page share a working directory, where one may find what another has written.
"""

import gc
import importlib
import json
import linecache
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import Any

LIMIT_S = 60
"""Seconds within which a block has to end. Those of a page that starts servers need three."""


def main() -> None:
    """Run each block in a fork; the fork comes back from here with its own."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.path[0] = ""  # as for `python PAGE`: what a block writes into a file can be imported
    for name in job["imports"]:
        importlib.import_module(name)
    gc.freeze()  # a fork that collects garbage would copy all of it
    done: list[dict[str, Any]] = []
    for block in job["blocks"]:
        with TemporaryFile() as output, TemporaryFile() as errors:
            if not (child := os.fork()):
                for number, file in enumerate((output, errors), start=1):
                    os.dup2(file.fileno(), number)
                signal.alarm(LIMIT_S)
                run(job["page"], block)
                return
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            told = []
            for file in (output, errors):
                file.seek(0)
                told.append(file.read().decode())
        done.append({"status": status, "output": told[0], "errors": told[1]})
    json.dump(done, sys.stdout)


def run(page: str, block: dict[str, Any]) -> None:
    """Run a block as `__main__`, at its own lines of the page, where a traceback and `inspect` look for them."""
    sys.argv = [page]
    sys.modules["__main__"] = main = ModuleType("__main__")
    main.__file__ = page
    code = "\n" * block["line"] + block["code"]
    linecache.cache[page] = (len(code), None, code.splitlines(keepends=True), page)
    exec(compile(code, page, "exec"), vars(main))


if __name__ == "__main__":
    main()
