"""Whether llama.cpp can be given a chat template: it is tried in a process of its own first.

llama.cpp evaluates templates in this process, while it loads a model, and its engine has no limits: a macro that calls
itself overflows the stack and kills the process, and a loop without end holds Python's lock, so that neither a timeout
nor Ctrl-C gets through. `trial_child.py` meets both first.
"""

import hashlib
import json
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

from langplug._log import log
from langplug._messages.template_checks import check_template
from langplug.models.gguf.header import BadWeightsError

_PROGRAM: Final = Path(__file__).with_name("trial_child.py")
_CPU_S: Final = 3
"""Seconds of the processor; harmless templates take a tenth of one."""

_ANSWER_S: Final = 20.0
"""Seconds to wait for one conversation to be written out; thousands of times what it takes."""

_MOST_S: Final = 60.0
"""Seconds for all of it, on a machine that is very busy."""

_MEMORY: Final = 1 << 30

_HARMLESS: Final = frozenset({"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788"})
"""Checksums of templates that need no trial: that of the weights that `langplug pull smollm2` downloads."""

_ADVICE: Final = "Give another `chat_template`, or get the weights from their publisher."


@lru_cache(maxsize=32)
def try_template(template: str) -> None:
    """Have llama.cpp use a chat template in another process, which takes some 0.2 s; what passed is remembered.

    What a template does only in conversations of some kind may not be noticed: the trial has eight, with tools and
    without.

    Raises:
        BadWeightsError: If it crashes, does not end, takes too much memory, or cannot be used.
    """
    if hashlib.sha256(template.encode()).hexdigest() in _HARMLESS:
        return
    try:
        check_template(template)
    except ValueError as error:
        raise BadWeightsError(str(error)) from None
    given = {"path": sys.path, "template": template}
    limits = {"cpu_s": _CPU_S, "answer_s": _ANSWER_S, "memory": _MEMORY}
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the template goes through a pipe
            [sys.executable, str(_PROGRAM)],
            input=json.dumps(given | limits).encode(),
            capture_output=True,
            timeout=_MOST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _harmful(f"does not end within {_MOST_S:g} seconds") from None
    except OSError as error:  # there is no Python to run it, as in a program that was frozen
        log.warning("The chat template was not tried before use: %s", error)
        return
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode == 0:
        return
    if done.returncode == 3:
        reasons = [line for line in said.splitlines() if "Error: " in line] or ["it does not say why"]
        raise BadWeightsError(
            f"llama.cpp cannot use the chat template: {reasons[-1].rpartition('Error: ')[2][:300]}. {_ADVICE}"
        )
    if done.returncode in (4, 5):
        raise _harmful(
            "writes more than 16 MB" if done.returncode == 4 else f"does not end within {_ANSWER_S:g} seconds"
        )
    if done.returncode > 0:  # llama.cpp cannot be imported there, or the like: not the template's fault
        log.warning("The chat template could not be tried before use: %s", said.strip()[-300:])
        return
    ended = signal.Signals(-done.returncode).name
    raise _harmful(
        f"takes more than {_CPU_S} seconds of the processor, or more than {_MEMORY >> 30} GiB of memory"
        if ended in ("SIGKILL", "SIGXCPU", "SIGABRT")
        else f"crashes it ({ended})"
    )


def _harmful(what: str) -> BadWeightsError:
    return BadWeightsError(
        f"The chat template would harm this process: in a trial of its own, llama.cpp with it {what}. {_ADVICE}"
    )
