"""Ray as what asks rows: what is asked of the cluster, and how it is reached and left."""

import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

_ANSWERS_WITHIN_S: Final = 10.0


class WorkerError(Exception):
    """No worker of the cluster can ask; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ray:
    """Ray asks the rows: `batch.run(..., engine=Ray(actors=4, gpus=1))`.

    Attributes:
        address: Of the cluster, as of `ray.init`: by default `RAY_ADDRESS`, else one that runs on this machine, else
            one that is started here, and ended with the job. If Ray is connected already, it stays so.
        actors: How many processes ask, each with a model of its own; by default one a node.
        cpus: How many CPUs Ray reserves for each.
        gpus: The same of GPUs: each process sees its own alone.
        load: What makes the model in each process, where a model cannot be sent to one, as a client with a connection:
            for instance `functools.partial(langplug.load, "mine:agent")`.
    """

    address: str | None = None
    actors: int | None = None
    cpus: float = 1
    gpus: float = 0
    load: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        if self.actors is not None and self.actors < 1:
            raise ValueError(f"actors is {self.actors}; expected at least 1")
        if self.cpus < 0 or self.gpus < 0:
            raise ValueError(f"cpus is {self.cpus:g} and gpus {self.gpus:g}; expected 0 or more")

    @property
    def needed(self) -> dict[str, float]:
        """What one actor takes, by Ray's names."""
        return {name: amount for name, amount in (("CPU", self.cpus), ("GPU", self.gpus)) if amount}


def import_ray() -> Any:
    """Ray.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        return import_module("ray")
    except ImportError as error:
        raise ImportError("engine 'ray' needs Ray: pip install 'langplug[ray]'") from error


def connect(address: str | None) -> bool:
    """Connect this process with a cluster, or start one. Returns whether that was to be done.

    Raises:
        ConnectionError: If there is none at the address.
    """
    ray = import_ray()
    if ray.is_initialized():
        return False
    asked = os.environ.get("RAY_ADDRESS") if address in (None, "auto") else address
    if (place := re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", asked or "")) is not None:
        try:  # Ray itself would try for ten minutes
            socket.create_connection((place[1], int(place[2])), timeout=_ANSWERS_WITHIN_S).close()
        except (OSError, OverflowError) as error:
            raise ConnectionError(
                f"nothing answers at Ray's address {asked} ({error}): start a cluster with `ray start --head`, or name "
                "no address to have one on this machine"
            ) from error
    # nothing is told to Ray's makers that the user has not agreed to, and stderr is the job's
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    return True


class Connection:
    """A cluster that this process is connected with until it leaves.

    A thread stays that long, as what Ray starts is killed by the system when the thread that started it ends.

    Args:
        address: As of `connect`.

    Attributes:
        opened: Done when it is connected, or cannot be.
        closed: Done when it has left.
    """

    def __init__(self, address: str | None) -> None:
        self.opened = Future[None]()
        self.closed = Future[None]()
        self._leaving = threading.Event()
        threading.Thread(target=self._stay, args=(address,), name="langplug-ray", daemon=True).start()

    def leave(self) -> None:
        """Leave it, and end it if it was started here; at once, or as soon as it has started."""
        self._leaving.set()

    def _stay(self, address: str | None) -> None:
        is_ours = False
        try:
            is_ours = connect(address)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self.opened.set_exception(error)
        else:
            self.opened.set_result(None)
        self._leaving.wait()
        if is_ours:
            import_ray().shutdown()
        self.closed.set_result(None)


def count_nodes() -> int:
    """How many nodes the cluster has."""
    return sum(node["Alive"] for node in import_ray().nodes())


def room_for(needed: Mapping[str, float]) -> str:
    """What there is of what an actor takes, in words, for whoever waits for it."""
    ray = import_ray()
    free, all_ = ray.available_resources(), ray.cluster_resources()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    asked = " and ".join(
        f"{amount:g} {name}s, of which {free.get(name, 0):g} of {all_.get(name, 0):g} are free"
        for name, amount in needed.items()
    )
    if any(all(node.get(name, 0) >= amount for name, amount in needed.items()) for node in nodes):
        return f"each takes {asked}. What others have, it waits for"
    return f"each takes {asked}, and no node has as many: ask for less, or add a node"
