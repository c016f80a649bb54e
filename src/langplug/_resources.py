"""`resource`: what a model holds that has a lifetime, such as a client, weights or a process."""

import asyncio
import contextlib
import ctypes
import inspect
import itertools
import os
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Hashable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Generic, TypeVar, cast, overload

from pydantic import SecretBytes, SecretStr

from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.forks import in_forked_child

T = TypeVar("T")
S = TypeVar("S", bound="HasResources")


class HasResources:
    """What a `resource` is declared on; langplug's `ChatModel` is one."""

    def __langplug_resources__(self) -> "ResourceStore":
        """Where this instance's resources live."""
        raise NotImplementedError

    def __langplug_resource_owner__(self) -> Any:
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
        return cast("T", instance.__langplug_resources__().get(self, instance))

    def key(self, instance: HasResources) -> Hashable:
        """Which of this resource's values belongs to `instance` as it is set up now."""
        settings = tuple(_key_of(getattr(instance, name)) for name in self.uses)
        # The type itself and not its name: a class defined anew, as in a notebook, may make another value.
        return (type(instance), self.name, settings) if self.shared else (self.name, settings)


def _key_of(value: Any) -> Hashable:
    """What differs where `value` does."""
    if isinstance(value, SecretStr | SecretBytes):
        return (type(value), value.get_secret_value())  # their reprs are all '**********'
    if isinstance(value, Mapping):
        return tuple((key, _key_of(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return (type(value), *(_key_of(item) for item in value))
    return repr(value)


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
        return cast("Awaitable[T]", instance.__langplug_resources__().aget(self, instance))


class _Declaration:
    """What `@resource(...)` returns: the decorator itself, typed by what the function that it meets gives back."""

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
        uses: The fields that the value depends on. If one of them is set to something else (by an assignment, a copy,
            or a parameter given for one call), another value is made.
        shared: Share the value between all instances of the class that agree in `uses`, as heavy weights should be.
    """
    declaration = _Declaration(uses, shared)
    return declaration if make is None else declaration(make)


# --- values ---


_suspended: set[Generator[Any, None, None]] = set()
"""The generators that will tear down the sync values that exist."""

_kept: set[DetachedAsyncGenerator[Any]] = set()
"""The same for async values. Without it, garbage collection of a model would finalize all that hangs on it, in any
order and on any thread, and not leave that to the loop."""

_numbers = itertools.count(1)


class _Entry:
    """One made value. It is torn down when the last store that holds it is gone, or at exit."""

    __slots__ = ("__weakref__", "_finalizer", "_lock", "_made", "_owner", "_value", "number")

    def __init__(self) -> None:
        self.number = 0
        self._lock = threading.RLock()
        self._made = False
        self._value: Any = None
        self._owner: Any = None
        self._finalizer: weakref.finalize[..., _Entry] | None = None

    def value(self, make: Callable[[Any], Any], owner: Callable[[], Any]) -> Any:
        """The value, made by the first who asks; the others wait for it."""
        with self._lock:
            if self._made:
                return self._value
            self._owner = owner()  # kept: it holds the other resources that this one uses
            made = value = make(self._owner)
            if inspect.isgenerator(made):
                generator = cast("Generator[Any, None, None]", made)
                try:
                    value = next(generator)
                except StopIteration:
                    raise _no_value_error(made) from None
                _suspended.add(generator)
                process = os.getpid()

                def tear_down() -> None:  # must not hold `self`, which would then never be gone
                    if os.getpid() == process:
                        _suspended.discard(generator)
                        next(generator, None)

                self._finalizer = weakref.finalize(self, tear_down)
            self._value, self._made = value, True
            self.number = next(_numbers)
            return value

    def close(self) -> None:
        if self._finalizer is not None:
            self._finalizer()


class _LoopResources:
    """What was made for one event loop, torn down in reverse order by that loop."""

    def __init__(self) -> None:
        self.tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self._open = _open_stack()
        self._stack: AsyncExitStack | None = None

    async def make(self, made: Any) -> Any:
        """The value that a resource's method gives, `made` being what calling it has returned."""
        if not inspect.isasyncgen(made):
            return await made
        # Detached, as a loop that ends closes all generators that it knows at once, and not in reverse order.
        generator = DetachedAsyncGenerator(cast("AsyncGenerator[Any, None]", made))
        try:
            value = await anext(generator)
        except StopAsyncIteration:
            raise _no_value_error(made) from None

        async def tear_down() -> None:
            try:
                await anext(generator, None)
            finally:
                _kept.discard(generator)

        if self._stack is None:
            self._stack = await anext(self._open)
        _kept.add(generator)
        self._stack.push_async_callback(tear_down)
        return value

    async def aclose(self) -> None:
        await self._open.aclose()


async def _open_stack() -> AsyncGenerator[AsyncExitStack, None]:
    """A stack that is unwound when this generator is closed: by us, or by its loop at the latest.

    An event loop closes the async generators that it knows when it ends, and offers no other hook for its end.
    """
    async with AsyncExitStack() as stack:
        yield stack


def _no_value_error(made: Any) -> RuntimeError:
    return RuntimeError(f"The resource {made.__name__!r} ended without a `yield` of its value.")


# --- stores ---


_registry_lock = threading.RLock()  # one for all stores: they lend to each other and share
_shared_entries: "weakref.WeakValueDictionary[Hashable, _Entry]" = weakref.WeakValueDictionary()


class ResourceStore:
    """The resources of one model and its copies.

    Args:
        lender: The store to have them from, for the model as its resources see it. What is lent lives as long as both.
    """

    def __init__(self, lender: "ResourceStore | None" = None) -> None:
        self._pid = os.getpid()
        self._lender = None if lender is None else weakref.ref(lender)
        self._entries: dict[Hashable, _Entry] = {}
        self._loops: dict[asyncio.AbstractEventLoop, _LoopResources] = {}

    def __reduce__(self) -> tuple[type["ResourceStore"], tuple[()]]:
        return ResourceStore, ()  # a copy or a pickle makes its own

    def get(self, declared: Resource[Any], instance: HasResources) -> Any:
        """The value of a sync resource, made now if need be."""
        with _registry_lock:
            entry = self._entry(declared, declared.key(instance))
        return entry.value(declared.make, instance.__langplug_resource_owner__)

    def _entry(self, declared: Resource[Any], key: Hashable) -> _Entry:
        self._forget_parent()
        entry = self._entries.get(key)
        if entry is None:
            lender = None if self._lender is None else self._lender()
            if lender is not None:
                entry = lender._entry(declared, key)  # noqa: SLF001 - another of this class
            else:
                entry = _Entry()
                if declared.shared:  # under the process, too: after a fork the child's are others
                    entry = _shared_entries.setdefault((self._pid, key), entry)
            self._entries[key] = entry
        return entry

    async def aget(self, declared: Resource[Any], instance: HasResources) -> Any:
        """The value of an async resource for the running loop, made now if need be."""
        lender = None if self._lender is None else self._lender()
        if lender is not None:
            return await lender.aget(declared, instance)
        loop = asyncio.get_running_loop()
        key = declared.key(instance)
        with _registry_lock:
            self._forget_parent()
            for closed in [known for known in self._loops if known.is_closed()]:
                del self._loops[closed]
            own = self._loops.setdefault(loop, _LoopResources())
        # A task, so that it is made once for all who wait, and goes on if the first of them is cancelled.
        task = own.tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = own.tasks[key] = loop.create_task(own.make(declared.make(instance.__langplug_resource_owner__())))
        return await asyncio.shield(task)

    def close(self) -> None:
        """Tear down all that was made, except what other models share. What is used later is made anew."""
        with _registry_lock:
            self._forget_parent()
            entries, self._entries = self._entries, {}
            loops, self._loops = self._loops, {}
        own = [entry for key, entry in entries.items() if (self._pid, key) not in _shared_entries]
        for entry in sorted(own, key=lambda entry: entry.number, reverse=True):  # users before what they use
            entry.close()
        for loop, resources in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and so are they
                loop.call_soon_threadsafe(_aclose_soon, loop, resources)

    async def aclose(self) -> None:
        """As `close`, and wait for what belongs to the running loop."""
        with _registry_lock:
            own = self._loops.pop(asyncio.get_running_loop(), None)
        if own is not None:
            await own.aclose()
        self.close()

    def _forget_parent(self) -> None:
        if self._pid != os.getpid():
            self._pid, self._entries, self._loops = os.getpid(), {}, {}


_closing: set[asyncio.Task[None]] = set()
"""Loops hold their tasks weakly: https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task."""


def _aclose_soon(loop: asyncio.AbstractEventLoop, resources: _LoopResources) -> None:
    task = loop.create_task(resources.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


@in_forked_child
def _leave_to_parent() -> None:
    """What exists is the parent's to tear down, and the lock may be held by a thread that was left there."""
    global _registry_lock, _suspended, _kept  # noqa: PLW0603 - one of each per process
    _registry_lock = threading.RLock()
    # Even an exit of the child must not run the `finally` of a generator, so these are never freed.
    for kept in filter(None, (_suspended, _kept)):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    _suspended, _kept = set(), set()
