"""What `langplug serve` serves, as its command line says: the same for the process itself and for each worker."""

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langplug.cli._exit import OK, UsageError, error_text
from langplug.cli._model import load_model
from langplug.cli._parameters import parse_settings

if TYPE_CHECKING:  # langchain-core alone takes a second
    from langplug.serve.asgi import Application
    from langplug.serve.exchange import Exchange


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What is served, and how.

    Attributes:
        models: What to load: each with its alias, which is empty where it is called as it reports itself.
        settings: Constructor arguments as they are written: `NAME=VALUE` for all models, `ALIAS:NAME=VALUE` for one.
        options: Keywords of `langplug.serve.app`.
        graphs: Keywords of `langplug.serve.served.Catalog`: how graphs are served.
    """

    models: list[tuple[str, str]]
    settings: list[str]
    options: dict[str, Any]
    graphs: dict[str, bool]

    def check(self) -> None:
        """Refuse what can be seen to be wrong before anything is loaded.

        Raises:
            UsageError: If two models are bound to have one name, or a setting is of a wrong form, or of an
                alias that there is not.
        """
        aliases = {alias for alias, _ in self.models if alias}
        known: set[tuple[str, str]] = set()
        for alias, reference in self.models:
            # What a model without an alias reports is known when it is loaded, but of one reference it is one name.
            name = (alias, "" if alias else reference)
            if name in known:
                raise _of_one_name(alias or reference, reference)
            known.add(name)
        for alias, _ in map(_split_setting, self.settings):
            if alias and alias not in aliases:
                raise UsageError(f"--with {alias}:... is for a model that --alias calls so, and there is none")
        for alias, _ in self.models:
            self._settings_of(alias)

    def application(self) -> "Application":
        """The application; its models are not loaded yet.

        Raises:
            UsageError: If an option is out of range.
        """
        from langplug.serve import app
        from langplug.serve.served import Catalog

        try:
            return app(Catalog(**self.graphs), **self.options)
        except ValueError as error:
            raise UsageError(error_text(error)) from error

    def load(self) -> dict[str, Any]:
        """The models by the names under which they are served.

        Raises:
            UsageError: If one cannot be loaded, or two have one name.
        """
        from langplug import adopt

        found: dict[str, Any] = {}
        for alias, reference in self.models:
            model = adopt(load_model(reference, self._settings_of(alias)))
            attribute = reference.rpartition(":")[2]
            # What nobody has named reports its type, as a model, or its class: a chain; and a graph "LangGraph".
            of_its_kind = {model.asdict().get("_type"), type(getattr(model, "adopted", model)).__name__, "LangGraph"}
            is_unnamed = model.reported_name in of_its_kind
            name = alias or (attribute if is_unnamed and attribute.isidentifier() else model.reported_name)
            if name in found:
                raise _of_one_name(name, reference)
            found[name] = model
        return found

    def _settings_of(self, alias: str) -> dict[str, Any]:
        """Those of one model; its own take precedence over those of all."""
        split = [_split_setting(setting) for setting in self.settings]
        everybodys, own = ([text for name, text in split if name == wanted] for wanted in ("", alias))
        return {**parse_settings(everybodys), **(parse_settings(own) if alias else {})}


def _of_one_name(name: str, reference: str) -> UsageError:
    return UsageError(f"two models are called {name!r}: rename one with --alias NAME={reference}")


def _split_setting(setting: str) -> tuple[str, str]:
    """The alias, empty if there is none, and `NAME=VALUE`."""
    name, equals, value = setting.partition("=")
    alias, _, name = name.rpartition(":")
    return alias, f"{name}{equals}{value}"


@contextmanager
def printed_log() -> Generator[None]:
    """Print what fails while models are served, unless `LANGPLUG_LOG` says otherwise: clients are told little of it."""
    from langplug._log import log, set_up_log

    printer = None if "LANGPLUG_LOG" in os.environ else set_up_log("warning")
    try:
        yield
    finally:
        if printer is not None:
            log.removeHandler(printer)


def work(descriptor: int) -> None:
    """Be a worker: serve what the supervisor says until a signal comes, or the supervisor has gone.

    Args:
        descriptor: The file descriptor of the socket at whose other end the supervisor is.
    """
    control = socket.socket(fileno=descriptor)
    with control.makefile("r", encoding="utf-8") as lines:
        told = json.loads(lines.readline())

    def leave_with_supervisor() -> None:
        control.recv(1)  # nothing comes, but the end
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=leave_with_supervisor, name="langplug-control", daemon=True).start()
    from langplug.serve.aiohttp_driver import run_on, serve_until_stopped
    from langplug.serve.siblings import Siblings

    serving = Serving(**told["serving"])
    exchange = serving.application().exchange
    number: int = told["number"]
    siblings = Siblings(Path(told["folder"]), number)
    exchange.metrics.labels = {"worker": number}
    exchange.metrics.gather = siblings.texts

    is_ready = threading.Event()

    def tell() -> None:
        names = [served.id for served in exchange.catalog.all()]
        control.sendall(json.dumps(names).encode() + b"\n")
        is_ready.set()

    async def serve() -> None:
        listening = [socket.socket(fileno=one) for one in told["listening"]]
        async with await siblings.listen(lambda: exchange.measured() if is_ready.is_set() else b""):
            await serve_until_stopped(exchange, listening, load=serving.load, tell=tell, is_worker=True)

    run_on(serve())


Tell = Callable[[list[str]], None]
"""Told the names of the models: none while they are loaded."""


def serve_alone(serving: Serving, exchange: "Exchange", listening: list[socket.socket], tell: Tell) -> int:
    """Serve in this process until a signal comes. Returns the exit code."""
    from langplug.serve.aiohttp_driver import run_on, serve_until_stopped

    catalog = exchange.catalog

    def tell_names() -> None:
        tell([] if catalog.is_loading else [served.id for served in catalog.all()])

    return _exit_code(run_on(serve_until_stopped(exchange, listening, load=serving.load, tell=tell_names)))


def supervise(serving: Serving, front: "Exchange", listening: list[socket.socket], count: int, tell: Tell) -> int:
    """Serve with several processes until a signal comes. Returns the exit code.

    If the models cannot be loaded, that is the code of the worker that tried, and it has said why.
    """
    import asyncio
    from dataclasses import asdict
    from tempfile import TemporaryDirectory

    from langplug.serve.supervisor import Supervisor, WorkersFailed

    def say(text: str) -> None:
        print(f"langplug: {text}", file=sys.stderr, flush=True)

    command = [sys.executable, "-m", "langplug", "serve", "--as-worker"]

    async def run(folder: str) -> signal.Signals:
        told = {"serving": asdict(serving), "folder": folder}
        supervisor = Supervisor(command, told, count=count, listening=listening, front=front, on_ready=tell, say=say)
        return await supervisor.run()

    with TemporaryDirectory(prefix="langplug-") as folder:  # nobody else's to read
        tell([])
        try:
            return _exit_code(asyncio.run(run(folder)))
        except WorkersFailed as error:
            return error.code


def _exit_code(came: signal.Signals) -> int:
    if came == signal.SIGINT:
        raise KeyboardInterrupt
    return OK
