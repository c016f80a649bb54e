"""Rows asked on a Ray cluster: the output of this process alone, whatever dies.

Ray lives in an environment of its own: `make test-ray`. The cluster is one of processes on this machine.
"""

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is tested by `make test-ray`")

from ray.cluster_utils import Cluster
from tests.ray.asked import ROWS, begun, noted, noting, rows

import langplug.cli
from langplug import ChatModel, Request, batch, chat_model, resource

pytestmark = [
    pytest.mark.timeout(300),  # a node that is dead is found to be so after half a minute
    # Ray's own, of its processes and sockets and of Python's old ways, come at any time
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]

NODE: dict[str, Any] = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A node that has started."""
    started = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    yield started
    started.shutdown()


@pytest.fixture
def engine(cluster: Cluster) -> Callable[..., batch.Ray]:
    """Makes an engine of small actors on that cluster."""
    return partial(batch.Ray, address=cluster.address, cpus=0.5)


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def without_chance(record: Any) -> Any:
    """A record without what differs between two runs of one job: ids, and times."""
    chance = ("latency_s", "created", "request_id")
    if isinstance(record, dict):
        return {
            k: without_chance(v)
            for k, v in record.items()
            if k not in chance and (k != "id" or "custom_id" not in record)
        }
    if isinstance(record, list):
        return [without_chance(one) for one in record]
    return "chatcmpl" if isinstance(record, str) and record.startswith("chatcmpl") else record


def kept(journal: Path) -> set[str]:
    """The questions whose answers are in a journal that nobody has."""
    with closing(sqlite3.connect(journal)) as base:
        found = base.execute("SELECT record FROM answers").fetchall()
    return {json.loads(record)["answer"].lower() for (record,) in found}


def wait_until(is_so: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end, f"not within two minutes: {what}"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


@chat_model
async def answer(request: Request) -> str:
    """A city in JSON, or a failure."""
    if "fail" in request.text:
        raise ValueError("it must")
    return json.dumps({"city": request.text})


CITY = {"title": "City", "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = ["Rome", "Oslo", "fail", "Lima, P."]
FORMS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "jsonl": ("jsonl", [json.dumps({"id": f"r{i}", "prompt": text}) for i, text in enumerate(ASKED)] + ["{", "{}"], {}),
    "csv": (
        "csv",
        ["name,place", *(f'{i},"{text}"' for i, text in enumerate(ASKED))],
        {"prompt": "In {place}", "system": "Be kind to {name}.", "keep": ["name"]},
    ),
    "schema": ("jsonl", [json.dumps({"prompt": text}) for text in ASKED], {"schema": CITY}),
    "envelope": (
        "jsonl",
        [
            json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/chat/completions", "body": body})
            for i, body in enumerate([{"messages": [{"role": "user", "content": text}]} for text in ASKED])
        ]
        + ['{"custom_id": "wrong", "url": 5, "body": {}}'],
        {},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_output_is_that_of_this_process_alone(form: str, engine: Callable[..., batch.Ray], tmp_path: Path) -> None:
    """Rows of every form give the records that they give without Ray, failed ones and wrong ones too."""
    suffix, lines, options = FORMS[form]
    (source := tmp_path / f"in.{suffix}").write_text("\n".join(lines))
    made: list[Any] = []
    for name, chosen in (("local", "local"), ("ray", engine())):
        out = tmp_path / f"{name}.{suffix}"
        summary = batch.run(answer(), source, out, ordered=True, max_attempts=2, engine=chosen, **options)
        assert summary.failed >= 1
        if suffix == "csv":
            made.append([line.rsplit(",", 2)[0] for line in out.read_text().splitlines()])  # the latency is at the end
        else:
            made.append([without_chance(record) for record in records(out)])
    assert made[0] == made[1]
    assert len(made[1]) >= len(ASKED)


async def test_a_node_that_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    """When a node is killed in the middle, each row is in the output once, and what was safe is not asked again."""
    node = cluster.add_node(**NODE)
    notes = tmp_path / "notes"
    model = noting(notes=str(notes), wait_s=0.05)
    on_both = batch.Ray(address=cluster.address, actors=2)
    running = asyncio.create_task(batch.arun(model, rows(), tmp_path / "out.jsonl", max_concurrency=8, engine=on_both))
    while len({note.pid for note in noted(notes)}) < 2 or len(begun(notes)) < ROWS // 4:
        await asyncio.sleep(0.05)
        assert not running.done() or running.exception() is None
    assert not running.done()
    await asyncio.to_thread(cluster.remove_node, node, allow_graceful=False)
    summary = await running
    assert (summary.answered, summary.failed) == (ROWS, 0)
    assert sorted(int(record["id"]) for record in records(tmp_path / "out.jsonl")) == list(range(ROWS))
    assert {record["answer"] for record in records(tmp_path / "out.jsonl")} == {f"ROW {n}" for n in range(ROWS)}
    again = {text: times for text, times in begun(notes).items() if times > 1}
    assert len(again) <= 8  # what ran where the node was
    assert set(again.values()) <= {2}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_is_killed(sent: signal.Signals, cluster: Cluster, tmp_path: Path) -> None:
    """After `kill -9`, or Ctrl-C, the actors go; the same call asks no row that was safe, and the output is whole."""
    command = [sys.executable, "-m", "tests.ray.asked", cluster.address, str(tmp_path)]
    notes = tmp_path / "notes"
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(begun(notes)) > ROWS // 3 or first.poll() is not None, "a third of the rows")
    os.kill(first.pid, sent)
    killed_at = time.time()
    _, said = first.communicate()
    assert first.returncode != 0, said
    wait_until(lambda: all(is_gone(note.pid) for note in noted(notes)), "the end of the actors")
    safe, before = kept(tmp_path / "out.jsonl.journal"), begun(notes)
    assert {note.text for note in noted(notes) if not note.is_begin and note.at < killed_at - 0.5} <= safe
    last = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert last.returncode == 0, last.stderr
    found = records(tmp_path / "out.jsonl")
    assert {record["id"]: record["answer"] for record in found} == {str(n): f"ROW {n}" for n in range(ROWS)}
    assert len(found) == ROWS
    asked_again = {text for text, times in begun(notes).items() if times > before[text]}
    assert not asked_again & safe


def test_limits_are_those_of_all_actors(engine: Callable[..., batch.Ray], tmp_path: Path) -> None:
    """The rate and the calls at once are limited over all actors together, and each actor has its part."""
    notes = tmp_path / "notes"
    model = noting(notes=str(notes), wait_s=0.3)
    texts = [f"row {n}" for n in range(24)]
    batch.run(model, texts, tmp_path / "out.jsonl", rpm=600, max_concurrency=4, engine=engine(actors=2))
    begins = sorted(note.at for note in noted(notes) if note.is_begin)
    assert begins[-1] - begins[0] >= 0.9 * (len(texts) - 1) / 10
    steps = [1 if note.is_begin else -1 for note in sorted(noted(notes), key=lambda note: note.at)]
    assert max(sum(steps[: n + 1]) for n in range(len(steps))) <= 4
    assert len({note.pid for note in noted(notes)}) == 2


def test_a_row_that_ends_its_process(engine: Callable[..., batch.Ray], tmp_path: Path) -> None:
    """A row that ends whoever asks it is a row that failed; those that were asked beside it are answered by others."""
    model = noting(notes=str(tmp_path / "notes"))
    texts = ["crash", *(f"row {n}" for n in range(60))]
    batch.run(model, texts, tmp_path / "out.jsonl", max_attempts=3, engine=engine(), ordered=True)
    crashed, *others = records(tmp_path / "out.jsonl")
    assert "the worker that asked it died" in crashed["error"]
    assert crashed["attempts"] == 3
    assert [record["answer"] for record in others] == [f"ROW {n}" for n in range(60)]
    assert all(record["latency_s"] < 2 for record in others)  # neither the start nor the deaths of actors are in it


class Weights(ChatModel):
    """Notes each time that its weights are loaded, and by which process."""

    notes: str

    @resource
    def weights(self) -> Iterator[object]:
        """What takes long to load."""
        with Path(self.notes).open("ab", buffering=0) as file:
            file.write(f"{os.getpid()}\n".encode())
        yield object()

    def respond(self, request: Request) -> str:
        """Answers with the weights in hand."""
        return f"{request.text} {type(self.weights).__name__}"


def test_weights_are_loaded_once_by_each_actor(engine: Callable[..., batch.Ray], tmp_path: Path) -> None:
    """The model of an actor stays loaded: as often as there are actors, its weights are."""
    model = Weights(notes=str(tmp_path / "notes"))
    batch.run(model, [f"row {n}" for n in range(100)], tmp_path / "out.jsonl", engine=engine(actors=2))
    pids = (tmp_path / "notes").read_text().split()
    assert str(os.getpid()) not in pids
    assert 1 <= len(pids) == len(set(pids)) <= 2


class Held(threading.local):
    """What no process can hand to another."""


def make_upper() -> Any:
    """A model that cannot be pickled."""
    held = Held()

    @chat_model
    def upper(request: Request) -> str:
        return request.text.upper() + str(len(vars(held)))

    return upper()


def test_a_model_that_cannot_be_sent(engine: Callable[..., batch.Ray], tmp_path: Path) -> None:
    """A model that cannot be pickled is made where it is asked, by what the engine names; else, a sentence says so."""
    with pytest.raises(ValueError, match=r"upper cannot be sent to Ray's workers .*engine=Ray\(load="):
        batch.run(make_upper(), ["x"], tmp_path / "out.jsonl", identity="u", engine=engine())
    assert not (tmp_path / "out.jsonl.part").exists()
    batch.run(make_upper(), ["x"], tmp_path / "out.jsonl", identity="u", engine=engine(load=make_upper))
    assert records(tmp_path / "out.jsonl")[0]["answer"] == "X0"


def make_nothing() -> Any:
    """Does what a node without a package does."""
    raise ModuleNotFoundError("No module named 'attic'")


def test_a_model_that_cannot_be_made_there(engine: Callable[..., batch.Ray], tmp_path: Path) -> None:
    """When an actor cannot make the model, the run ends with what is missing, and what was answered is kept."""
    with pytest.raises(batch.WorkerError, match=r"No module named 'attic'.*installed on every node"):
        batch.run(make_upper(), ["x"], tmp_path / "out.jsonl", identity="u", engine=engine(load=make_nothing))


@pytest.mark.parametrize(("needed", "said"), [(50, "no node has as many"), (1, "What others have, it waits for")])
async def test_no_room(needed: float, said: str, engine: Callable[..., batch.Ray], tmp_path: Path) -> None:
    """An actor that Ray has no room for waits, and a warning says for what."""
    notes = tmp_path / "notes"
    busy = noting(notes=str(notes), wait_s=60)
    other = asyncio.create_task(batch.arun(busy, ["x"], tmp_path / "other.jsonl", engine=engine()))
    while not noted(notes):
        assert not other.done()
        await asyncio.sleep(0.05)
    running = asyncio.create_task(batch.arun(answer(), ["x"], tmp_path / "out.jsonl", engine=engine(cpus=needed)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        while not any("actors run" in str(one.message) for one in told):
            assert not running.done()
            await asyncio.sleep(0.05)
    assert re.search(f"0 actors run after .* CPUs, of which .* are free.*{said}", str(told[-1].message))
    running.cancel()
    other.cancel()
    ended = await asyncio.gather(running, other, return_exceptions=True)
    assert {type(one) for one in ended} == {asyncio.CancelledError}


def test_at_the_command_line(cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--engine ray` asks on the cluster; a run of which all is answered needs none."""
    (tmp_path / "in.jsonl").write_text('{"prompt": "Rome"}\n')
    reference = f"{Path(__file__).with_name('asked.py')}:noting"
    given = ["batch", reference, str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    given += ["--with", f"notes={tmp_path / 'notes'}", "--engine", "ray", "--actors", "1", "--actor-cpus", "0.5"]
    assert langplug.cli.main([*given, "--ray-address", cluster.address]) == 0
    assert "1 row answered" in capsys.readouterr().err
    assert records(tmp_path / "out.jsonl")[0]["answer"] == "ROME"
    assert langplug.cli.main([*given, "--ray-address", "127.0.0.1:1"]) == 0
    assert "1 of them by an earlier run" in capsys.readouterr().err


def test_an_address_where_nothing_answers(engine: Callable[..., batch.Ray], tmp_path: Path) -> None:
    """An address where no cluster is, is said to be one at once."""
    with pytest.raises(ConnectionError, match=r"nothing answers at Ray's address 127\.0\.0\.1:1 "):
        batch.run(answer(), ["x"], tmp_path / "out.jsonl", engine=engine(address="127.0.0.1:1"))


def own_processes() -> set[str]:
    """The names of the processes that this one has started, and that run."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if not is_gone(int(path.parent.name))]
    fields = [(stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()) for stat in stats]
    return {name for name, (_, parent, *_) in fields if int(parent) == os.getpid()}


async def test_a_cluster_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    """A cluster that is started for the job runs as long as the job, and no longer."""
    model = noting(notes=str(tmp_path / "notes"), wait_s=1)
    cluster.shutdown()  # that of the other tests, of which this is the last
    engine = batch.Ray(address="local")
    rows = [f"row {n}" for n in range(15)]
    running = asyncio.create_task(batch.arun(model, rows, tmp_path / "out.jsonl", max_concurrency=1, engine=engine))
    while len(begun(tmp_path / "notes")) < 14:
        await asyncio.sleep(0.1)
        assert not running.done()
    assert {"gcs_server", "raylet"} <= own_processes()
    assert (await running).answered == 15
    assert not {"gcs_server", "raylet"} & own_processes()
