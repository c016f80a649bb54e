"""Two declarations for a model's class body.

`env` is for a field whose value comes from the environment, above all a secret. `resource` is for what has a
lifetime: a client, weights, a process.
"""

import asyncio
import inspect
import os
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Hashable, Iterator
from typing import Any, Generic, TypeVar, cast, overload

from pydantic import Field
from pydantic_core import PydanticUndefined

from langplug._errors import MissingSecretError

T = TypeVar("T")
S = TypeVar("S", bound="HasResources")


# --- env ---


class EnvironmentValue:
    """A field's default: what an environment variable holds when the model is made."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, default: Any) -> None:
        self.name = name
        self.default = default

    @property
    def found(self) -> bool:
        """Whether there is a value: the variable is set and not empty, or there is a default."""
        return bool(os.environ.get(self.name)) or self.default is not PydanticUndefined

    def __call__(self) -> Any:
        """The variable's value, else the default."""
        if value := os.environ.get(self.name):
            return value
        if self.default is PydanticUndefined:
            raise MissingSecretError(f"Set the environment variable {self.name!r}.")
        return self.default


def env(name: str, *, default: Any = PydanticUndefined, **field: Any) -> Any:
    """Declare a field whose value is the environment variable `name` unless it is given.

    With the annotation `SecretStr` this is all that a secret needs: it stays out of reprs, dumps, traces, cache
    keys, errors and pickles (a pickle reads the environment again), and `lc_secrets` names it.

    Args:
        name: The environment variable. An empty one counts as not set.
        default: What to take if it is not set. Without a default, making the model then raises `MissingSecretError`.
        field: More for pydantic's `Field`, such as `description`.
    """
    return Field(default_factory=EnvironmentValue(name, default), validate_default=True, **field)


# --- resource ---


class HasResources:
    """What a `resource` is declared on; langplug's `ChatModel` is one."""

    def resource_store(self) -> "ResourceStore":
        """Where this instance's resources live."""
        raise NotImplementedError

    def resource_owner(self) -> Any:
        """This instance as its resources see it: the same settings, but no hold on the resources."""
        raise NotImplementedError


class Resource(Generic[T]):
    """A value made when it is first used, once per instance, and torn down with it. Made by `resource`."""

    def __init__(self, make: Callable[[Any], T | Iterator[T]], uses: tuple[str, ...], shared: bool) -> None:
        self.make = make
        self.uses = uses
        self.shared = shared
        self.__doc__ = make.__doc__
        self.name = getattr(make, "__name__", "resource")

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Resource[T]": ...
    @overload
    def __get__(self, instance: HasResources, owner: type) -> T: ...
    def __get__(self, instance: HasResources | None, owner: type) -> "Resource[T] | T":
        if instance is None:
            return self
        return cast("T", instance.resource_store().get(self, instance))

    def key(self, instance: HasResources) -> Hashable:
        """Which of this resource's values belongs to `instance` as it is set up now."""
        settings = tuple(repr(getattr(instance, name)) for name in self.uses)
        if self.shared:
            return (type(instance).__module__, type(instance).__qualname__, self.name, settings)
        return (self.name, settings)


class AsyncResource(Resource[T]):
    """As `Resource`, once per instance and event loop; `await self.name` gives the value."""

    @overload  # type: ignore[override]
    def __get__(self, instance: None, owner: type) -> "AsyncResource[T]": ...
    @overload
    def __get__(self, instance: HasResources, owner: type) -> Awaitable[T]: ...
    def __get__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, instance: HasResources | None, owner: type
    ) -> "AsyncResource[T] | Awaitable[T]":
        if instance is None:
            return self
        return cast("Awaitable[T]", instance.resource_store().aget(self, instance))


class _Declaration:
    """What `@resource(...)` returns before it meets its function; typed by what the function gives back."""

    def __init__(self, uses: tuple[str, ...], shared: bool) -> None:
        self._uses = uses
        self._shared = shared

    @overload
    def __call__(self, make: Callable[[S], AsyncIterator[T]]) -> AsyncResource[T]: ...
    @overload
    def __call__(self, make: Callable[[S], Iterator[T]]) -> Resource[T]: ...
    @overload
    def __call__(self, make: Callable[[S], Awaitable[T]]) -> AsyncResource[T]: ...
    @overload
    def __call__(self, make: Callable[[S], T]) -> Resource[T]: ...
    def __call__(self, make: Callable[[Any], Any]) -> Resource[Any]:
        is_async = inspect.isasyncgenfunction(make) or inspect.iscoroutinefunction(make)
        if is_async and self._shared:
            raise TypeError("`shared=True` is for sync resources: an async one belongs to one event loop.")
        return (AsyncResource if is_async else Resource)(make, self._uses, self._shared)


@overload
def resource(make: Callable[[S], AsyncIterator[T]], /) -> AsyncResource[T]: ...
@overload
def resource(make: Callable[[S], Iterator[T]], /) -> Resource[T]: ...
@overload
def resource(make: Callable[[S], Awaitable[T]], /) -> AsyncResource[T]: ...
@overload
def resource(make: Callable[[S], T], /) -> Resource[T]: ...
@overload
def resource(*, uses: tuple[str, ...] = (), shared: bool = False) -> _Declaration: ...
def resource(make: Callable[[Any], Any] | None = None, /, *, uses: tuple[str, ...] = (), shared: bool = False) -> Any:
    """Declare a client, weights, or anything else with a lifetime, by the method that makes it.

    The method yields the value, and what follows the `yield` tears it down; or it just returns it. It runs when the
    value is first used. A sync value is made once per instance (and again after a fork); an async one, read as
    `await self.session`, once per instance and event loop, and is torn down by that loop. Copies of a model that
    differ only in other settings share the value. It is never pickled.

    Args:
        make: The method, for use as a bare decorator.
        uses: The fields that the value depends on. Where one has another value (an assignment, a copy, a
            parameter given for one call), another value is made.
        shared: Share the value between all instances of the class that agree in `uses`, as heavy weights should be.
    """
    declaration = _Declaration(uses, shared)
    return declaration if make is None else declaration(make)


class _Entry:
    """One made value. It is torn down when the last store that holds it is gone, or at exit."""

    __slots__ = ("__weakref__", "_finalizer", "_lock", "_made", "_value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = False
        self._value: Any = None
        self._finalizer: weakref.finalize[..., _Entry] | None = None

    def value(self, make: Callable[[Any], Any], owner: Callable[[], Any]) -> Any:
        with self._lock:
            if not self._made:
                self._value, tear_down = _opened(make(owner()))
                self._made = True
                if tear_down is not None:
                    self._finalizer = weakref.finalize(self, _in_process(os.getpid(), tear_down))
            return self._value

    def close(self) -> None:
        if self._finalizer is not None:
            self._finalizer()


def _opened(made: Any) -> tuple[Any, Callable[[], object] | None]:
    if not inspect.isgenerator(made):
        return made, None
    generator = cast("Generator[Any, None, None]", made)
    return next(generator), lambda: next(generator, None)


def _in_process(pid: int, tear_down: Callable[[], object]) -> Callable[[], None]:
    """A forked child must not tear down what its parent still uses."""

    def call() -> None:
        if os.getpid() == pid:
            tear_down()

    return call


_registry_lock = threading.Lock()
_shared_entries: "weakref.WeakValueDictionary[Hashable, _Entry]" = weakref.WeakValueDictionary()


class ResourceStore:
    """The resources of one model and its copies."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._entries: dict[Hashable, _Entry] = {}
        self._loops: dict[asyncio.AbstractEventLoop, dict[Hashable, asyncio.Task[Any]]] = {}
        self._generators: dict[asyncio.AbstractEventLoop, list[AsyncGenerator[Any, None]]] = {}

    def __reduce__(self) -> tuple[type["ResourceStore"], tuple[()]]:
        return ResourceStore, ()  # a copy or a pickle makes its own

    def get(self, declared: Resource[Any], instance: HasResources) -> Any:
        """The value of a sync resource, made now if need be."""
        key = declared.key(instance)
        with _registry_lock:
            self._forget_parent()
            entry = self._entries.get(key)
            if entry is None:
                entry = _shared_entry((self._pid, key)) if declared.shared else _Entry()
                self._entries[key] = entry
        return entry.value(declared.make, instance.resource_owner)

    async def aget(self, declared: Resource[Any], instance: HasResources) -> Any:
        """The value of an async resource for the running loop, made now if need be."""
        loop = asyncio.get_running_loop()
        key = declared.key(instance)
        with _registry_lock:
            self._forget_parent()
            self._forget_closed_loops()
            tasks = self._loops.setdefault(loop, {})
            task = tasks.get(key)
            if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
                task = tasks[key] = loop.create_task(self._aopen(declared.make(instance.resource_owner())))
        return await asyncio.shield(task)

    async def _aopen(self, made: Any) -> Any:
        if not inspect.isasyncgen(made):
            return await made
        generator = cast("AsyncGenerator[Any, None]", made)
        value = await anext(generator)
        # Kept alive here; the loop's `shutdown_asyncgens` tears it down at the latest.
        self._generators.setdefault(asyncio.get_running_loop(), []).append(generator)
        return value

    def close(self) -> None:
        """Tear down all that was made, except what other models share. What is used later is made anew."""
        with _registry_lock:
            self._forget_parent()
            entries, self._entries = self._entries, {}
            generators, self._generators = self._generators, {}
            self._loops = {}
        for key, entry in entries.items():
            if (self._pid, key) not in _shared_entries:
                entry.close()
        for loop, opened in generators.items():
            for generator in opened:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_aclose_soon, loop, generator)

    async def aclose(self) -> None:
        """As `close`, and wait for what belongs to the running loop."""
        own = self._generators.pop(asyncio.get_running_loop(), [])
        for generator in own:
            await generator.aclose()
        self.close()

    def _forget_parent(self) -> None:
        if self._pid != os.getpid():
            self._pid, self._entries, self._loops, self._generators = os.getpid(), {}, {}, {}

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._loops if loop.is_closed()]:
            self._loops.pop(loop)
            self._generators.pop(loop, None)


def _shared_entry(key: Hashable) -> _Entry:
    entry = _shared_entries.get(key)
    if entry is None:
        entry = _shared_entries[key] = _Entry()
    return entry


def _aclose_soon(loop: asyncio.AbstractEventLoop, generator: AsyncGenerator[Any, None]) -> None:
    loop.create_task(generator.aclose())  # noqa: RUF006 - the loop holds it until it has run


def _renew_lock() -> None:
    """The lock may have been held by a thread that a forked child does not have."""
    global _registry_lock  # noqa: PLW0603 - one lock per process
    _registry_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
