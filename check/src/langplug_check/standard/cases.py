"""langchain-tests' own cases for a model, run beside the checks; and which of their skips matter."""

import importlib.util
import inspect
import os
import pickle
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Self

from langplug_check.findings import Found
from langplug_check.job import Job
from langplug_check.needs import UNMET
from langplug_check.process.channel import Intruded, new_nonce, read_answer
from langplug_check.process.launch import QUIET, Program, join_path, kill, launch
from langplug_check.statement import GROUPS, Check
from langplug_check.subject import Subject
from langplug_check.verdicts import Result, Verdict

LIMIT_S = 240.0
"""Seconds that all cases together may take."""

REPORT = "cases"
"""The name of the answer that says what became of the cases."""

# pytest collects from a file, and the cases must be found in a module that is nobody's own.
_MODULE = "from langplug_check.standard.classes import *\n"

_SETTINGS = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"

_VERDICTS: Mapping[str, Verdict] = {"passed": "pass", "failed": "fail", "skipped": "not applicable"}

_ARGUMENTS = (
    *("-q", "-p", "no:cacheprovider", "-p", "langplug_check.standard.report", "--snapshot-update"),
    *("-k", "not test_init_time and not test_stream_time"),  # benchmarks: they measure, and check nothing
)


@dataclass(frozen=True, slots=True)
class Skip:
    """What a skip of langchain-tests means.

    Attributes:
        pattern: What its reason looks like.
        capability: What the model has to be able to do for the skip to matter.
        instead: The checks that look at the same by other means.
    """

    pattern: str
    capability: str
    instead: str


SKIPS: Sequence[Skip] = (
    Skip(r"PDF|audio|image|Anthropic inputs", "media", "C13"),
    Skip(r"by a call of a tool", "tools", "J02"),
    Skip(r"tool", "tools", "I01 to I10"),
    Skip(r"structured output|json mode", "structured", "J01 to J06"),
    Skip(r"override", "override", "C16"),
    Skip(r"init_from_env", "secrets", "A12"),
    Skip(r"Not implemented", "never", "C02 and E05"),
    Skip(r"serializ", "dumps", "B08"),
    Skip(r"VCR", "never", "E13"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PytestRun:
    """What a pytest needs that runs the cases for a model.

    Attributes:
        arguments: Its command line.
        environment: Variables that it must have.
        request: Its standard input: the number of its answer, and the job.
        answer: Its standard output. Both are files without a name: a model that looks for them finds none to forge.
        nonce: The number that its answer must repeat.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    request: IO[bytes]
    answer: IO[bytes]
    nonce: str

    def read_report(self) -> list[Found]:
        """What it found.

        Raises:
            OSError, ValueError: If it wrote nothing that can be read.
            Intruded: If something else than its answer stands there.
        """
        self.answer.seek(0)
        if not (line := self.answer.read()):
            raise ValueError("nothing was reported")
        _, said = read_answer(line, self.nonce, REPORT)
        found: list[Found] = []
        for case in said["cases"]:
            observed = str(case["observed"])
            verdict = _VERDICTS[case["outcome"]]
            skip = next((one for one in SKIPS if re.search(one.pattern, observed, re.IGNORECASE)), None)
            if verdict == "not applicable" and skip is not None:
                # They skip what a test class does not claim. What the model itself claims should have been seen.
                if skip.capability in case["capabilities"]:
                    verdict = "not observed"
                    observed += f" This matters, because the model claims it; see {skip.instead} for it."
                else:
                    observed += f" It does not matter: the model does not claim it. See {skip.instead}."
            check = _check(f"T:{case['name']}", case["sentence"])
            result = Result(id=check.id, verdict=verdict, observed=observed, seconds=float(case["seconds"]))
            found.append(Found(check, result))
        return found


def prepare(job: Job, folder: Path) -> PytestRun:
    """Write into `folder` what is needed to run the cases for the model of `job`."""
    (folder / "test_standard.py").write_text(_MODULE, encoding="utf-8")
    (folder / "pytest.ini").write_text(_SETTINGS, encoding="utf-8")
    nonce = new_nonce()
    request = tempfile.TemporaryFile()  # noqa: SIM115 - `PytestRun` holds it
    request.write(pickle.dumps((nonce, job)))
    request.seek(0)
    return PytestRun(
        arguments=[*_ARGUMENTS, "-c", str(folder / "pytest.ini"), str(folder)],
        environment={"PYTHONPATH": join_path(job.path), **QUIET},
        request=request,
        answer=tempfile.TemporaryFile("w+b"),
        nonce=nonce,
    )


class StandardCases:
    """langchain-tests' cases for one model, in a process of their own that runs beside the checks.

    Args:
        job: The model.
    """

    def __init__(self, job: Job) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="langplug-check-")
        folder = Path(self._folder.name)
        self._run = prepare(job, folder)
        environment = {**os.environ, **self._run.environment}
        program = Program(module="pytest", arguments=self._run.arguments, environment=environment, path=job.path)
        # A file and not a pipe, which would fill up: nobody reads it unless something goes wrong.
        self._output = (folder / "output").open("w+b")
        with self._run.request as request:
            answer, output = self._run.answer.fileno(), self._output.fileno()
            self._process = launch(program, stdin=request.fileno(), stdout=answer, stderr=output)

    def wait(self, limit_s: float = LIMIT_S) -> list[Found]:
        """Wait for them, at most so many seconds; every case with its result."""
        try:
            self._process.wait(limit_s)
            return self._run.read_report()
        except subprocess.TimeoutExpired:
            return report_not_run(f"they did not end within {limit_s:g} seconds")
        except (Intruded, KeyError, TypeError):
            return report_not_run("the model wrote where the test kit reads what became of them", verdict="fail")
        except (OSError, ValueError):
            self._output.seek(0)
            lines = self._output.read().decode(errors="replace").strip().splitlines()
            return report_not_run(f"they could not be run: {(lines or ['nothing says why'])[-1]}")

    def close(self) -> None:
        """End them."""
        kill(self._process)
        self._output.close()
        self._run.answer.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def why_not_here() -> str | None:
    """Why the cases cannot be run here; None if they can."""
    missing = [name for name in ("langchain_tests", "pytest") if importlib.util.find_spec(name) is None]
    return "langchain-tests is not installed: pip install langchain-tests" if missing else None


def report_not_run(reason: str, verdict: Verdict = "not observed") -> list[Found]:
    """What is reported if nothing is known of the cases."""
    check = _check("T", "langchain-tests' own cases hold.")
    return [
        Found(
            check,
            Result(id="T", verdict=verdict, observed=reason, expected=check.statement if verdict == "fail" else ""),
        )
    ]


def excuse_mute_model(found: Found, error: str) -> Found:
    """A case as it was found. If it failed only because the model does not answer here, it was not observed.

    Args:
        found: The case.
        error: What the model raised when it was asked; empty if it answers.
    """
    result = found.result
    # By the type of the error: its text may hold a port or a time, and differs from call to call.
    if not error or result.verdict != "fail" or error.partition(":")[0] not in result.observed:
        return found
    excused = replace(result, verdict="not observed", observed=f"{UNMET['answer'].reason} ({error})")
    return replace(found, result=excused)


def _check(name: str, sentence: str) -> Check:
    return Check(
        id=name,
        statement=sentence,
        why="LangChain's standard tests ask it of every integration package.",
        hint="See the section Troubleshooting of this test in langchain-tests.",
        link=GROUPS["T"].link,
        run=str,  # never called: pytest runs them
    )


# --- in the process that runs them ---


def subject_of_job(job: Job) -> Subject:
    """The model of that process."""
    return job.subject()


def capabilities(subject: Subject) -> list[str]:
    """What the model claims to be able to do, in the words of `SKIPS`."""
    profile: Mapping[str, Any] = subject.real().profile or {}
    claims = {
        "tools": subject.lacks("tools") is None,
        "structured": subject.lacks("structured") is None,
        "media": any(profile.get(f"{kind}_inputs") for kind in ("image", "audio", "pdf", "video")),
        "override": any(map(subject.takes, ("model", "model_name", "model_id"))),
        "secrets": bool(subject.key_arguments),
        "dumps": subject.cls.is_lc_serializable(),
    }
    return [name for name, claimed in claims.items() if claimed]


def first_sentence(test: Any) -> str:
    """What a case is about: the first line of its docstring."""
    lines = inspect.cleandoc(test.__doc__ or "").splitlines()
    return f"{lines[0].rstrip('.')}." if lines else f"{getattr(test, '__name__', 'It')} holds."
