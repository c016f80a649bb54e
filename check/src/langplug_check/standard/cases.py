"""langchain-tests' own cases for a model, run beside the checks; and which of their skips matter."""

import importlib.util
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from langplug_check.findings import Found
from langplug_check.job import Job
from langplug_check.needs import UNMET
from langplug_check.statement import GROUPS, Check
from langplug_check.subject import Subject
from langplug_check.verdicts import Result, Verdict

LIMIT_S = 240.0
"""Seconds that all cases together may take."""

JOB_VARIABLE = "LANGPLUG_STANDARD_JOB"
REPORT_VARIABLE = "LANGPLUG_STANDARD_REPORT"

_MODULE = "from langplug_check.standard.classes import *\n"

_SETTINGS = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"

_ARGUMENTS = (
    *("-q", "-p", "no:cacheprovider", "-p", "langplug_check.standard.report", "--snapshot-update"),
    *("-k", "not test_init_time and not test_stream_time"),  # benchmarks, which measure and check nothing
)


@dataclass(frozen=True, slots=True)
class Skip:
    """What a skip of langchain-tests' means.

    Attributes:
        pattern: What its reason looks like.
        capability: What the model would have to be able to do for the skip to matter.
        instead: The checks that look at the same by other means.
    """

    pattern: str
    capability: str
    instead: str


SKIPS: Sequence[Skip] = (
    Skip(r"PDF|audio|image|Anthropic inputs", "media", "C13"),
    Skip(r"tool", "tools", "I01 to I10"),
    Skip(r"structured output|json mode", "structured", "J01 to J06"),
    Skip(r"override", "override", "C16"),
    Skip(r"init_from_env", "secrets", "A12"),
    Skip(r"Not implemented", "never", "C02 and E05"),
    Skip(r"serializ", "dumps", "B08"),
    Skip(r"VCR", "never", "E13"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a pytest needs that runs the cases for a model.

    Attributes:
        arguments: Its command line.
        environment: Variables that it must have.
        report: Where it will write what it found.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    report: Path

    def found(self) -> list[Found]:
        """What it found.

        Raises:
            OSError, ValueError: If it wrote nothing that can be read.
        """
        return [_found(case) for case in json.loads(self.report.read_text(encoding="utf-8"))]


def prepare(job: Job, folder: Path) -> Prepared:
    """Write into `folder` what is needed to run the cases for the model of `job`."""
    report = folder / "report.json"
    (folder / "job").write_bytes(pickle.dumps(job))
    (folder / "test_standard.py").write_text(_MODULE, encoding="utf-8")
    (folder / "pytest.ini").write_text(_SETTINGS, encoding="utf-8")
    environment = {
        JOB_VARIABLE: str(folder / "job"),
        REPORT_VARIABLE: str(report),
        "PYTHONPATH": os.pathsep.join(entry for entry in job.path if entry),
        "LANGSMITH_TRACING": "false",
        "LANGCHAIN_TRACING_V2": "false",
    }
    arguments = [*_ARGUMENTS, "-c", str(folder / "pytest.ini"), str(folder)]
    return Prepared(arguments=arguments, environment=environment, report=report)


class StandardCases:
    """langchain-tests' cases for one model, in a process of their own that runs beside the checks.

    Args:
        job: The model.
    """

    def __init__(self, job: Job) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="langplug-check-")
        folder = Path(self._folder.name)
        self._prepared = prepare(job, folder)
        self._output = (folder / "output").open("w+b")
        self._process = subprocess.Popen(  # noqa: S603 - pytest, with what we wrote
            [sys.executable, "-m", "pytest", *self._prepared.arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self._prepared.environment},
        )

    def found(self, limit_s: float = LIMIT_S) -> list[Found]:
        """Every case with its result. Waits for them."""
        try:
            self._process.wait(limit_s)
            return self._prepared.found()
        except subprocess.TimeoutExpired:
            return [_nothing(f"they did not end within {limit_s:g} seconds")]
        except (OSError, ValueError):
            self._output.seek(0)
            lines = self._output.read().decode(errors="replace").strip().splitlines()
            return [_nothing(f"they could not be run: {(lines or ['no word of why'])[-1]}")]

    def close(self) -> None:
        """End them."""
        self._process.kill()
        self._process.wait()
        self._output.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def why_not_here() -> str | None:
    """Why the cases cannot be run here; None if they can."""
    lacking = [name for name in ("langchain_tests", "pytest") if importlib.util.find_spec(name) is None]
    return "langchain-tests is not installed: pip install langchain-tests" if lacking else None


def report_not_run(reason: str) -> list[Found]:
    """What is reported where the cases are not run."""
    return [_nothing(reason)]


def excuse_mute_model(found: Found, error: str) -> Found:
    """A case as it was found; one that failed for nothing but the model's not answering here was not observed."""
    result = found.result
    if not error or result.verdict != "fail" or error.partition(":")[0] not in result.observed:
        return found
    seen = replace(result, verdict="not observed", observed=f"{UNMET['answer'].reason} ({error})")
    return replace(found, result=seen)


def _nothing(reason: str) -> Found:
    statement = "langchain-tests' own cases hold."
    return Found(_check("T", statement), Result(id="T", verdict="not observed", observed=reason))


def _found(case: Mapping[str, Any]) -> Found:
    check = _check(f"T:{case['name']}", case["sentence"])
    verdict, observed = _verdict(case)
    seconds = float(case["seconds"])
    return Found(check, Result(id=check.id, verdict=verdict, observed=observed, expected="", seconds=seconds))


def _verdict(case: Mapping[str, Any]) -> tuple[Verdict, str]:
    told = str(case["told"])
    if case["outcome"] != "skipped":
        return ("pass" if case["outcome"] == "passed" else "fail"), told
    skip = next((one for one in SKIPS if re.search(one.pattern, told, re.IGNORECASE)), None)
    if skip is None:
        return "not applicable", told
    if skip.capability in case["capabilities"]:
        return "not observed", f"{told} This matters, for the model is able to; see {skip.instead} for it."
    return "not applicable", f"{told} It does not matter: the model does not claim to. See {skip.instead}."


def _check(name: str, sentence: str) -> Check:
    return Check(
        id=name,
        statement=sentence,
        why="LangChain's standard tests ask it of every integration package.",
        hint="See the section Troubleshooting of this test in langchain-tests.",
        link=GROUPS["T"].link,
        run=str,  # it is pytest that runs them
    )


# --- in the process that runs them ---


def subject_of_job() -> Subject:
    """The model of that process."""
    job: Job = pickle.loads(Path(os.environ[JOB_VARIABLE]).read_bytes())  # noqa: S301 - our own
    return job.subject()


def capabilities(subject: Subject) -> list[str]:
    """What the model claims to be able to do, in the words of `SKIPS`."""
    profile: Mapping[str, Any] = subject.real().profile or {}
    claimed = {
        "tools": subject.lacks("tools") is None,
        "structured": subject.lacks("structured") is None,
        "media": any(profile.get(f"{kind}_inputs") for kind in ("image", "audio", "pdf", "video")),
        "override": any(map(subject.takes, ("model", "model_name", "model_id"))),
        "secrets": bool(subject.key_arguments),
        "dumps": subject.cls.is_lc_serializable(),
    }
    return [name for name, is_claimed in claimed.items() if is_claimed]


def first_sentence(test: Any) -> str:
    """What a case is about: the first line of its docstring."""
    lines = inspect.cleandoc(test.__doc__ or "").splitlines()
    return f"{lines[0].rstrip('.')}." if lines else f"{getattr(test, '__name__', 'It')} holds."
