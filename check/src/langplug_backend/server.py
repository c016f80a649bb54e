"""The backend itself: a server with a thread and an event loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, Self

from langplug_backend.batches import BatchSettings
from langplug_backend.connection import Connection, Turns
from langplug_backend.faults.fault import Fault
from langplug_backend.log import Exchange, Log
from langplug_backend.reply import Reply
from langplug_backend.service import Answerer, Service, Settings, Step
from langplug_backend.wrongs.edits import Edit
from langplug_backend.wrongs.table import find_wrong

STOP_S = 1.0
"""Seconds that stopping may take; a reply that still blocks then is left to its daemon thread."""


class Urls:
    """The addresses of a backend."""

    _port: int

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def openai_url(self) -> str:
        """Base URL for clients of the OpenAI dialect."""
        return f"{self.url}/v1"

    @property
    def ollama_url(self) -> str:
        """Base URL for clients of Ollama's dialect."""
        return self.url

    @property
    def anthropic_url(self) -> str:
        """Base URL for clients of Anthropic's dialect, without `/v1`, as the official client wants it."""
        return self.url


class Backend(Urls):
    """A model server on loopback that speaks the OpenAI, Ollama and Anthropic dialects, and misbehaves on command.

    It runs in a thread of its own inside `with` or `async with`.

    Args:
        port: The port; 0: the system chooses one.
        key: The key that clients must send; None: any or none.
        models: The models that it lists; it answers for every other name as well.
        context: Their context length, in tokens.
        markers: Whether `[[markers]]` in the prompt have an effect.
        strict: Whether it keeps the API of Chat Completions to the letter: it refuses models, fields, roles, types,
            hosts and origins that this does not have, and does what it is told (`Obedient`) until a reply is set.
        wrong: In which one way such a strict server is wrong: a name of `WRONGS`, or an edit of your own.
        concurrency: How many answers it makes at once, while others wait; None: any number.

    Raises:
        ValueError: If there is no such way to be wrong.

    Example:
        >>> with Backend() as backend:
        ...     backend.reply = Reply(text="Hello world")
        ...     backend.queue(Fault.status(429, retry_after=1))
        ...     pass  # a client of backend.openai_url
    """

    def __init__(
        self,
        *,
        port: int = 0,
        key: str | None = None,
        models: Iterable[str] = ("backend-1",),
        context: int = 8192,
        markers: bool = True,
        strict: bool = False,
        wrong: str | Edit | None = None,
        concurrency: int | None = None,
    ) -> None:
        self._settings = Settings(
            key=key,
            models=tuple(models),
            context=context,
            markers=markers,
            strict=strict or wrong is not None,
            wrong=find_wrong(wrong) if isinstance(wrong, str) else wrong,
        )
        self._turns = Turns(concurrency)
        self._log = Log()
        self._service = Service(self._settings, self._log)
        self._port = port
        self._connections: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Event | None = None
        self._failed: BaseException | None = None

    # --- what it does ---

    @property
    def reply(self) -> Reply | Answerer:
        """What every request gets: a `Reply`, or a function from `ChatRequest` to one, to a text or to a `Fault`.

        At first, the text of the user's last message. A string sets a reply with this text.
        """
        return self._settings.reply

    @reply.setter
    def reply(self, reply: Reply | Answerer | str) -> None:
        if not (isinstance(reply, Reply | str) or callable(reply)):
            raise TypeError(
                f"Backend.reply = {reply!r}: expected a Reply, a string, or a function from ChatRequest to one of them."
            )
        self._settings.reply = Reply(text=reply) if isinstance(reply, str) else reply

    @property
    def fault(self) -> tuple[Fault, ...]:
        """What goes wrong with every request, in addition to its reply's own faults. Set one, several or None."""
        return tuple(fault for fault, left in self._settings.faults if left != 0)

    @fault.setter
    def fault(self, fault: Fault | Iterable[Fault] | None) -> None:
        self._service.set_faults(() if fault is None else (fault,) if isinstance(fault, Fault) else tuple(fault))

    @property
    def key(self) -> str | None:
        """The key that clients must send; None: any or none."""
        return self._settings.key

    @key.setter
    def key(self, key: str | None) -> None:
        self._settings.key = key

    @property
    def batches(self) -> BatchSettings:
        """How the Batch API behaves: what is set here holds from then on."""
        return self._settings.batches

    def queue(self, *steps: Step) -> None:
        """Set what the next requests get: each one of `steps`, in order.

        A step is a `Reply`, a text, or a `Fault`, which spoils the reply that the request would get anyway.
        """
        self._settings.queue.extend(steps)

    def forget(self) -> None:
        """Start over: an empty log and queue, no faults, and the first reply. Open exchanges go on unlogged."""
        self._service.forget()

    def script(self, text: str) -> None:
        """Set reply and faults from a text that may hold markers: `"[[words 100]] [[pace 0.02]]"`."""
        self._service.script(text)

    # --- what it saw ---

    @property
    def requests(self) -> list[Exchange]:
        """All exchanges so far, oldest first, for answers and for anything else."""
        return list(self._log.exchanges)

    @property
    def chats(self) -> list[Exchange]:
        """The exchanges so far in which an answer was requested."""
        return [exchange for exchange in self._log.exchanges if exchange.request]

    @property
    def last(self) -> Exchange:
        """The latest exchange.

        Raises:
            IndexError: If there was none.
        """
        return self._log.exchanges[-1]

    @property
    def connections_open(self) -> int:
        """How many connections are open now."""
        return self._log.connections_open

    @property
    def connections_made(self) -> int:
        """How many connections there were, the open ones included."""
        return self._log.connections_made

    def wait_for(self, predicate: Callable[[], Any], timeout: float = 5.0) -> bool:
        """Wait until the predicate is true; it is asked whenever the log changes (an event is sent, an exchange ends).

        False if it is not true within `timeout` seconds. In a coroutine:
        `await asyncio.to_thread(backend.wait_for, ...)`.
        """
        return self._log.wait_for(predicate, timeout)

    def all_ended(self, timeout: float = 5.0) -> bool:
        """Wait until every exchange has ended; False if one has not within `timeout` seconds."""
        return self.wait_for(lambda: all(exchange.outcome for exchange in self._log.exchanges), timeout)

    def all_closed(self, timeout: float = 5.0) -> bool:
        """Wait until no connection is open; False if one still is after `timeout` seconds."""
        return self.wait_for(lambda: not self._log.connections_open, timeout)

    # --- its life ---

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: If the port is taken.
        """
        ready = threading.Event()
        self._failed = None
        self._thread = threading.Thread(target=self._run, args=(ready,), name="langplug-backend", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failed:
            raise self._failed

    def stop(self) -> None:
        """Close every connection, whatever is being sent, and end the thread. Takes a second at most."""
        thread, self._thread = self._thread, None
        if thread and self._loop and self._over:
            self._loop.call_soon_threadsafe(self._over.set)
            thread.join(STOP_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is None:
            self._raise_failure()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await asyncio.to_thread(self.stop)
        if kind is None:
            self._raise_failure()

    def _raise_failure(self) -> None:
        """Raise what a reply raised. The client only got status 500, which a test may well expect."""
        if self._log.failures:
            raise self._log.failures[0]

    def _run(self, ready: threading.Event) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._over = asyncio.Event()
            # A stampede of clients must not be refused: the system caps the backlog by itself (`somaxconn`).
            server = await self._loop.create_server(connect, "127.0.0.1", self._port, backlog=4096)
            self._port = server.sockets[0].getsockname()[1]
            ready.set()
            await self._over.wait()
            server.close()
            for connection in [*self._connections]:
                connection.abort()
            await asyncio.sleep(0)  # one turn of the loop, in which `connection_lost` records how they ended

        def connect() -> Connection:
            return Connection(self._service.handle, self._log, self._service.greet, self._connections, self._turns)

        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised again where the backend was started
            self._failed = error
        finally:
            ready.set()  # a failure must not leave `start` waiting
