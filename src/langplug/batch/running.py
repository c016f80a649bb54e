"""What a job is made of: a model, rows, and an output."""

import asyncio
import json
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, Literal

from langchain_core.messages import convert_to_messages

from langplug import ChatModel, adopt
from langplug._bridge.loop import refuse_running_loop
from langplug._bridge.threads import in_thread
from langplug.batch.api import BatchAPI, endpoint_of
from langplug.batch.asking import Asker, ChatAsker, WireAsker, columns_of
from langplug.batch.bodies import offline
from langplug.batch.files import STANDARD, Out, format_of, read_rows, rows_in
from langplug.batch.job import Job
from langplug.batch.journal import Journal
from langplug.batch.ledger import Ledger, warn_of_unread_batches
from langplug.batch.pace import Pace
from langplug.batch.provider import Provider
from langplug.batch.provider import cancel as cancel_batches
from langplug.batch.ray.asking import RayAsker
from langplug.batch.ray.engine import Ray
from langplug.batch.ray.packing import MakeAsker, pack
from langplug.batch.rows import ENVELOPE, Form, RawRow
from langplug.batch.summary import Summary

Rows = str | Path | Iterable[RawRow]

SUFFIX: Final = ".journal"
"""What a journal's name has after that of the output."""

_LOOKED_AT: Final = 100
"""Rows that are looked at for one that can be read, and says of what form they are."""


def run(model: Any, rows: Rows, out: str | Path, **options: Any) -> Summary:
    """Ask a model every row, and write what comes of it; for `await`, there is `arun`, with the same options.

    What has been answered is kept in a journal beside the output. After whatever has ended a run, the same call asks
    only the rows that are not in it, and the output is that of a run that nothing has ended. A row is known again by
    its id, its question, the model, its parameters and the schema: if one of them is another, the row is asked.

    Args:
        model: A chat model, chain or graph; one that is not langplug's is adopted.
        rows: A file (`.jsonl`, `.csv`, `.tsv`, `.parquet`; `-` is stdin, in JSONL), or any iterable of rows, which is
            read as rows are needed. A row is a text, or has columns: `prompt` or `messages`, and an `id` if it likes.
            Rows in OpenAI's batch format (`custom_id`, `url`, `body`) are answered in it.
        out: A file, or `-` for stdout. Until every row is in it, it is `FILE.part`.
        options: As of `arun`.

    Returns:
        The figures of the run.

    Raises:
        Exception: As of `arun`.

    Example:
        >>> import tempfile
        >>> from langplug.models.echo import CustomChatModelAdvanced
        >>> model = CustomChatModelAdvanced(model="echo", n=5)
        >>> folder = tempfile.mkdtemp()
        >>> summary = run(model, ["Hello there", "Goodbye"], f"{folder}/answers.jsonl")
        >>> (summary.answered, summary.failed)
        (2, 0)
    """
    refuse_running_loop("batch.run", "batch.arun")
    return asyncio.run(arun(model, rows, out, **options))


async def arun(
    model: Any,
    rows: Rows,
    out: str | Path,
    *,
    prompt: str | None = None,
    system: str | None = None,
    schema: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    keep: Collection[str] = (),
    ordered: bool = False,
    max_concurrency: int = 64,
    rpm: float | None = None,
    tpm: float | None = None,
    max_attempts: int = 5,
    max_errors: float | None = None,
    retry_failed: bool = False,
    journal: str | Path | None = None,
    identity: str | None = None,
    in_format: str | None = None,
    out_format: str | None = None,
    via: Literal["provider"] | None = None,
    rows_per_batch: int = 50_000,
    engine: str | Ray = "local",
    progress: Callable[[Summary], None] = lambda _: None,
) -> Summary:
    """Ask a model every row, and write what comes of it.

    Args:
        model: As of `run`.
        rows: As of `run`.
        out: As of `run`.
        prompt: A template of the prompt, in which `{column}` stands for what a row has there.
        system: A system prompt before each row's messages; it may be a template, too.
        schema: A JSON schema that answers follow: they are parsed, and one that cannot be is an error.
        parameters: Parameters of each call, such as `{"temperature": 0}`.
        keep: Columns of the rows that the output has, too.
        ordered: Whether the output is in the order of the rows; by default, it is in that of the answers.
        max_concurrency: The most calls at once. How many there are follows what makes them faster, and what a server
            refuses.
        rpm: The most calls that begin in a minute; None for any.
        tpm: The most tokens in a minute, as the answers' usage says; None for any.
        max_attempts: How often a row is asked, at most, that fails for a reason that may pass. One that is refused
            because there are too many is asked again for ten minutes.
        max_errors: How many rows may fail before the job ends; below 1, which part of them; None for any.
        retry_failed: Whether rows that failed in an earlier run are asked again.
        journal: Where the journal is; by default `OUT.journal`, and none for stdout.
        identity: A text that stands for the model, in the place of what langplug sees of it. Of a graph, a chain or a
            client it sees too little to know it again in another process: without this, a later run asks every row
            again, and a warning says so.
        in_format: `jsonl`, `csv`, `tsv` or `parquet`, where the name of the input does not say.
        out_format: The same for the output.
        via: `"provider"` sends the rows to the batch API of the server of a `ChatEndpoint`, and waits for it: half the
            price, within a day. Limits, and how many calls there are at once, are then the server's.
        rows_per_batch: The most rows in one batch of the server's.
        engine: `local`, this process, or `ray`, a cluster, whose actors ask the rows that this process reads and keeps;
            `Ray(...)` says how many, and where.
        progress: Told of the figures, four times a second.

    Returns:
        The figures of the run.

    Raises:
        ValueError: If something given is wrong, or the input is not of its format.
        TypeError: If `model` is none.
        TooManyErrors: If more rows failed than `max_errors`.
        ProviderError: If the server refuses a batch.
        ModelRateLimitError: If a server asks to wait longer than ten minutes; the same call goes on later.
        ModelError: If the server's batch API fails; what was sent goes on there, and the same call waits for it.
        JournalError: If another run has the journal, or it is none.
        OSError: If a file cannot be read or written, as when the disk is full.
        ImportError: If a format or an engine needs a package that is not installed.
        WorkerError: If no actor on the cluster can ask.
    """
    adopted = adopt(model)
    format_of(out, out_format)  # before anything is made
    columns = columns_of(list(keep), is_structured=schema is not None)
    key = _key_of(adopted, parameters or {}, schema, identity)
    place = _journal_of(rows, out, journal)
    # in a thread, so that Ctrl-C does not wait for a pipe
    raw, form = await in_thread(partial(_open, rows, in_format, Form.of(prompt, system, keep, identity=key)))
    expected = await in_thread(partial(rows_in, rows, in_format)) if isinstance(rows, str | Path) else None
    if form.is_envelope:
        given = {"prompt": prompt, "system": system, "schema": schema, "keep": keep, "parameters": parameters}
        refuse_beside_requests([name for name, value in given.items() if value], format_of(out, out_format))
    check_least(max_attempts=(max_attempts, 1), rows_per_batch=(rows_per_batch, 1), max_errors=(max_errors, 0))
    pace = Pace(max_concurrency, rpm=rpm, tpm=tpm)
    make: MakeAsker = WireAsker if form.is_envelope else partial(ChatAsker, schema=schema, parameters=parameters)
    asking = _asking(engine, adopted, make, via, out)
    with Journal(place) if place is not None else nullcontext() as kept:
        if via is None and kept is not None:
            warn_of_unread_batches(kept)
        async with asking as asker:
            job = Job(
                rows=form.rows(raw),
                asker=asker,
                pace=pace,
                journal=kept,
                out=Out(out, columns, out_format),
                attempts=max_attempts,
                retry_failed=retry_failed,
                is_ordered=ordered,
                most_errors=max_errors,
                progress=progress,
                summary=Summary(expected=expected),
            )
            whole = job if via is None else Provider(job, endpoint_of(adopted), rows_per_batch=rows_per_batch)
            return await whole.run()


def cancel(model: Any, out: str | Path, *, journal: str | Path | None = None) -> int:
    """Have a server answer no more of what `run(..., via="provider")` has sent there; for `await`, there is `acancel`.

    Args:
        model: As it was given there.
        out: As it was given there.
        journal: As it was given there.

    Returns:
        How many batches that was. What they had answered, the same run still writes.

    Raises:
        Exception: As of `acancel`.
    """
    refuse_running_loop("batch.cancel", "batch.acancel")
    return asyncio.run(acancel(model, out, journal=journal))


async def acancel(model: Any, out: str | Path, *, journal: str | Path | None = None) -> int:
    """As `cancel`, for `await`.

    Args:
        model: As of `cancel`.
        out: As of `cancel`.
        journal: As of `cancel`.

    Returns:
        As of `cancel`.

    Raises:
        ValueError: If the model has no such server, or there is no journal.
        ModelError: If the server does not do it.
        JournalError: If a run goes on; end that first.
    """
    place = Path(journal) if journal is not None else Path(f"{out}{SUFFIX}")
    if not place.exists():
        raise ValueError(f"nothing was sent: there is no journal {place}")
    with Journal(place) as kept:
        return await cancel_batches(Ledger(kept), BatchAPI(endpoint_of(adopt(model))))


def _asking(
    engine: str | Ray, model: ChatModel, make: MakeAsker, via: str | None, out: str | Path
) -> AbstractAsyncContextManager[Asker]:
    """What asks rows, until it is left.

    Raises:
        ValueError: If the engine is unknown, does not go with what else is given, or the model cannot be sent there.
        ImportError: If it needs a package that is not installed.
    """
    if engine == "local":
        # each refusal is to be seen: the pace follows it, and then the row is asked again
        return nullcontext(make(adopt(model, max_retries=0) if via is None else offline(endpoint_of(model))))
    if engine != "ray" and not isinstance(engine, Ray):
        raise ValueError(f"unknown engine {engine!r}, expected 'local', 'ray' or a Ray(...)")
    if via is not None:
        raise ValueError("the server's batch API asks the rows, and no cluster: leave out `engine` or `via`")
    if str(out) == STANDARD:
        raise ValueError("Ray writes to stdout when a worker dies, so answers cannot go there: name a file")
    of_ray, asked = engine if isinstance(engine, Ray) else Ray(), adopt(model, max_retries=0)
    return aclosing(RayAsker(of_ray, make(asked), pack(asked, make, of_ray.load)))


@dataclass(frozen=True, slots=True)
class Count:
    """What a job would ask.

    Attributes:
        rows: How many rows there are.
        wrong: How many of them cannot be asked.
        problem: What is wrong with the first of these; empty if none is.
        tokens: Tokens of all that would be asked, as the model counts them; None for rows in OpenAI's batch format.
    """

    rows: int
    wrong: int
    problem: str
    tokens: int | None


def count(
    model: Any,
    rows: Rows,
    *,
    prompt: str | None = None,
    system: str | None = None,
    keep: Collection[str] = (),
    in_format: str | None = None,
) -> Count:
    """Look at each row without asking it. The arguments are those of `run`.

    Raises:
        ValueError: If something given is wrong, or the input is not of its format.
        TypeError: If `model` is none.
        OSError: If the input cannot be read.
    """
    adopted = adopt(model)
    raw, form = _open(rows, in_format, Form.of(prompt, system, keep))
    known = wrong = tokens = 0
    problem = ""
    for row in form.rows(raw):
        known += 1
        if row.problem is not None:
            wrong += 1
            problem = problem or f"row {row.id!r}: {row.problem}"
        elif not form.is_envelope:
            tokens += adopted.get_num_tokens_from_messages(convert_to_messages(row.question))
    return Count(known, wrong, problem, None if form.is_envelope else tokens)


def _key_of(
    model: ChatModel, parameters: Mapping[str, Any], schema: Mapping[str, Any] | None, identity: str | None
) -> bytes:
    """What stands in the journal for who is asked, and how; it warns if no later run will find the same."""
    if identity is None and (unseen := model.__langplug_unshared__()):
        kinds = ", ".join(sorted(set(unseen.values())))
        warnings.warn(
            f"{model.reported_name} holds what langplug cannot know again in another process ({kinds}): a later run "
            "will ask every row again, unless `identity` says by a text of your own which model it is.",
            stacklevel=3,
        )
    who = model.cache_key(**parameters) if identity is None else [identity, dict(parameters)]
    asked = json.dumps([who, dict(schema) if schema is not None else None], sort_keys=True, default=str)
    return blake2b(asked.encode(), digest_size=32).digest()


def _open(rows: Rows, in_format: str | None, form: Form) -> tuple[Iterator[RawRow], Form]:
    """The rows, and how they become questions: in OpenAI's batch format if the first that can be read is.

    Raises:
        ValueError: If a table lacks columns. Rows of other inputs may each have their own.
    """
    raw = read_rows(rows, in_format) if isinstance(rows, str | Path) else iter(rows)
    first: list[RawRow] = []
    for row in islice(raw, _LOOKED_AT):
        first.append(row)
        if not isinstance(row, Exception):  # one that cannot be read says nothing of the others
            break
    if not first or not isinstance(columns := first[-1], Mapping):
        return chain(first, raw), form
    if isinstance(rows, str | Path) and format_of(rows, in_format) != "jsonl":
        missing = [name for name in form.columns if name not in columns]
        if missing:
            named = ", ".join(map(str, columns))
            raise ValueError(f"{rows} has no column {missing[0]!r}, but {named}; its first line must name the columns")
        if form.prompt is None and not {"prompt", "messages", *ENVELOPE[:1]} & {*columns}:
            named = ", ".join(map(str, columns))
            raise ValueError(
                f"{rows} has neither a column `prompt` nor `messages`, but {named}: give a template of the prompt, "
                f"such as '{{{named.split(', ')[0]}}}'"
            )
    return chain(first, raw), replace(form, is_envelope=all(name in columns for name in ENVELOPE))


def check_least(**given: tuple[float | None, int]) -> None:
    """Check numbers, each given with the least that it may be.

    Raises:
        ValueError: If one is less.
    """
    for name, (value, least) in given.items():
        if value is not None and value < least:
            raise ValueError(f"{name} is {value:g}; expected {least} or more")


def refuse_beside_requests(given: list[str], out_format: str) -> None:
    """Do nothing if nothing is given beside rows in OpenAI's batch format, and they are answered in JSONL.

    Raises:
        ValueError: If something is, or they are not.
    """
    if given:
        raise ValueError(f"rows in OpenAI's batch format say all that is asked: leave out {' and '.join(given)}")
    if out_format != "jsonl":
        raise ValueError("rows in OpenAI's batch format are answered in it: name an output that ends in .jsonl")


def _journal_of(rows: Rows, out: str | Path, given: str | Path | None) -> Path | None:
    """Where the journal is, if that and the output can be written.

    Raises:
        ValueError: If files that must be different are the same, or one is a folder or a device.
        OSError: If one cannot be written.
    """
    place = Path(given) if given is not None else None if str(out) == STANDARD else Path(f"{out}{SUFFIX}")
    read = [Path(rows).resolve()] if isinstance(rows, str | Path) and str(rows) != STANDARD else []
    written = [] if str(out) == STANDARD else [Path(out), Out.part_of(Path(out))]
    if place in written:
        raise ValueError(f"{place} is the output: name another file for the journal")
    for path in [*written, *([place] if place is not None else [])]:
        if path.resolve() in read:
            raise ValueError(f"{path} is the input: it would be lost. Name another output.")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent}: make it, or name another output")
        if path.exists() and not path.is_file():  # to put a file in the place of a device would break the machine
            raise ValueError(f"{path} is no file: name one for the output, or - for stdout")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(f"{path} cannot be written: name another output")
    return place
