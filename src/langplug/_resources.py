"""`resource`: what a model holds that has a lifetime, such as a client, weights or a process."""

import asyncio
import atexit
import contextlib
import ctypes
import functools
import inspect
import itertools
import os
import threading
import types
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Hashable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from pydantic import SecretBytes, SecretStr

from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.forks import in_forked_child
from langplug._bridge.loop import run_elsewhere
from langplug._lifetimes import async_lifetime, check_maker, lifetime
from langplug._suggest import did_you_mean

if TYPE_CHECKING:
    # What contextlib's decorators return. Its public base classes are protocols, which a lock fits as well.
    from contextlib import _AsyncGeneratorContextManager as AsyncManager  # pyright: ignore[reportPrivateUsage]
    from contextlib import _GeneratorContextManager as Manager  # pyright: ignore[reportPrivateUsage]

T = TypeVar("T")
S = TypeVar("S", bound="HasResources")


class HasResources:
    """What a `resource` is declared on; langplug's `ChatModel` is one."""

    def __langplug_resources__(self) -> "ResourceStore":
        """Where this instance's resources live."""
        raise NotImplementedError

    def __langplug_injected__(self) -> "Injected":
        """The values that this instance was given in place of those that it would make."""
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
        if self.name in (injected := instance.__langplug_injected__()):
            return cast("T", injected.value(self.name, instance))
        return cast("T", instance.__langplug_resources__().get(self, instance))

    def where(self, instance: HasResources) -> str:
        """The resource's name, for errors."""
        return f"{type(instance).__name__}.{self.name}"

    def key(self, instance: HasResources) -> Hashable:
        """Which of this resource's values belongs to `instance` as it is set up now."""
        settings = tuple(_key_of(getattr(instance, name)) for name in self.uses)
        # The type itself and not its name: a class defined anew, as in a notebook, may make another value.
        return (type(instance), self.name, settings) if self.shared else (self.name, settings)


def _key_of(value: Any) -> Hashable:
    """What differs where `value` does."""
    if value is None or type(value) is str:  # each call asks for those of its client, most of which are one of these
        return value
    if isinstance(value, SecretStr | SecretBytes):
        return (type(value), value.get_secret_value())  # their reprs are all '**********'
    if isinstance(value, Mapping):
        return tuple((key, _key_of(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return (type(value), *(_key_of(item) for item in value))
    return (None, repr(value))  # not a string, which the repr of something else may equal


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
        if self.name in (injected := instance.__langplug_injected__()):
            return injected.avalue(self.name, instance)
        return cast("Awaitable[T]", instance.__langplug_resources__().aget(self, instance))


class _Declaration:
    """What `@resource(...)` returns: the decorator itself, typed by what the function that it meets gives back."""

    def __init__(self, uses: tuple[str, ...], shared: bool) -> None:
        self._uses = uses
        self._shared = shared

    @overload
    def __call__(self, make: "Callable[[S], AsyncManager[T]]") -> AsyncResource[T]: ...
    @overload
    def __call__(self, make: "Callable[[S], Manager[T]]") -> Resource[T]: ...
    @overload
    def __call__(self, make: Callable[[S], AsyncIterator[T]]) -> AsyncResource[T]: ...
    @overload
    def __call__(self, make: Callable[[S], Iterator[T]]) -> Resource[T]: ...
    @overload
    def __call__(self, make: Callable[[S], Awaitable[T]]) -> AsyncResource[T]: ...
    @overload
    def __call__(self, make: Callable[[S], T]) -> Resource[T]: ...
    def __call__(self, make: Callable[[Any], Any]) -> Resource[Any]:
        is_async = check_maker(make, self._uses, shared=self._shared)
        return (AsyncResource if is_async else Resource)(make, self._uses, self._shared)


@overload
def resource(make: "Callable[[S], AsyncManager[T]]", /) -> AsyncResource[T]: ...
@overload
def resource(make: "Callable[[S], Manager[T]]", /) -> Resource[T]: ...
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

    The method yields the value, and what follows the `yield` tears it down. Or it just returns it: a context manager of
    contextlib's is then entered, and so is what can be entered and has a `close`, such as a client; what that gives is
    the value, and leaving it is the end.

    It runs when the value is first used. A sync value is made once per instance (and again after a fork); an async one,
    read as `await self.session`, once per instance and event loop, and is torn down by that loop. Copies of a model
    that differ only in other settings share the value. It is never pickled.

    A test passes another value to the constructor, under the method's name: `ChatAcme(client=fake)`. It is used as it
    is in place of one that the method makes, by the model and all its copies, and is never torn down.

    Args:
        make: The method, for use as a bare decorator.
        uses: The fields that the value depends on. If one of them is set to something else (by an assignment, a copy,
            or a parameter given for one call), another value is made.
        shared: Share the value between all instances of the class that agree in `uses`, as heavy weights should be.

    Raises:
        TypeError: If the method can never give a value.
    """
    declaration = _Declaration(uses, shared)
    return declaration if make is None else declaration(make)


# --- values that are given ---


class Injected(dict[str, Any]):
    """What a model was given in place of resources, by name. Never changed, so that copies can share it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Injected":
        return self

    def __reduce__(self) -> tuple[type["Injected"], tuple[dict[str, Any]]]:
        return Injected, (dict.fromkeys(self, _LEFT_BEHIND),)

    def value(self, name: str, owner: object) -> Any:
        """What was given as `name`.

        Raises:
            RuntimeError: If a pickle has left it behind. To make a real one in its place could ask a real server.
        """
        if self[name] == _LEFT_BEHIND:
            kind = type(owner).__name__
            raise RuntimeError(
                f"This {kind} was made with a `{name}` of its own, which no pickle keeps. "
                f"Make the model where it is used: `{kind}(..., {name}=...)`."
            )
        return self[name]

    async def avalue(self, name: str, owner: object) -> Any:
        """As `value`, for an async resource."""
        return self.value(name, owner)


_LEFT_BEHIND = "langplug: left behind by a pickle"

_NOTHING = Injected()

_injecting: ContextVar[Injected] = ContextVar("langplug_injecting", default=_NOTHING)


def injected_now() -> Injected:
    """What the model that is being made was given."""
    return _injecting.get()


@contextlib.contextmanager
def injecting(cls: type, values: dict[str, Any]) -> Generator[None]:
    """Give the model of type `cls` that is made meanwhile these values, its validators included.

    Raises:
        TypeError: If one is a coroutine, which can be awaited once only.
    """
    for name, value in values.items():
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError(f"{cls.__name__}: `{name}` is a coroutine. Await it first, and pass what that gives.")
    token = _injecting.set(Injected(values) if values else _NOTHING)
    try:
        yield
    finally:
        _injecting.reset(token)


@functools.cache
def resources_of(cls: type) -> Mapping[str, Resource[Any]]:
    """The resources that the authors of `cls` have declared, by name; those of langplug's own models are internal."""
    known = {name: member for base in reversed(cls.__mro__) for name, member in vars(base).items()}
    return {
        name: declared
        for name, declared in known.items()
        if isinstance(declared, Resource) and not (getattr(declared.make, "__module__", "") or "").startswith(_OURS)
    }


_OURS = "langplug."

_DECORATORS: Mapping[type, str] = {
    types.FunctionType: "__wrapped__",  # contextlib's, and all that use `functools.wraps`
    property: "fget",
    functools.cached_property: "func",
    staticmethod: "__func__",
    classmethod: "__func__",
}
"""Where decorators keep what they stand above."""


def check_resources(cls: Any) -> None:
    """Check what a class of models says of its resources.

    Raises:
        TypeError: If one depends on what the class does not have, is annotated, which makes it a field, or stands under
            another decorator.
    """
    for name, member in vars(cls).items():
        inner = member
        while (attribute := _DECORATORS.get(type(inner))) is not None:
            inner = getattr(inner, attribute, None)
        if isinstance(inner, Resource) and inner is not member:
            raise TypeError(
                f"{cls.__qualname__}.{name}: another decorator stands above `@resource`, and hides it. `@resource` "
                "comes first, above all others."
            )
    for name, field in cls.model_fields.items():
        if isinstance(field.default, Resource):
            raise TypeError(
                f"{cls.__qualname__}.{name} is a resource, and no setting: leave its annotation away, `{name} = ...`."
            )
    for name, declared in resources_of(cls).items():
        for used in declared.uses:
            if not (used in cls.model_fields or used.startswith("_") or hasattr(cls, used)):
                raise TypeError(
                    f"{cls.__qualname__}.{name} uses {used!r}, but the model has no such field."
                    f"{did_you_mean(used, cls.model_fields)}"
                )


# --- values that are made ---


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

    def value(self, where: str, make: Callable[[Any], Any], owner: Callable[[], Any]) -> Any:
        """The value, made by the first who asks; the others wait for it. `where` is the resource's name, for errors."""
        with self._lock:
            if self._made:
                return self._value
            self._owner = owner()  # kept: it holds the other resources that this one uses
            value = make(self._owner)
            if (generator := lifetime(value, where)) is not None:
                try:
                    value = next(generator)
                except StopIteration:
                    raise _no_value_error(where) from None
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
    """What was made for one event loop, torn down in reverse order by that loop, or without it if it is closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self._open = cast("types.AsyncGeneratorType[AsyncExitStack, None]", _open_stack())
        self._stack: AsyncExitStack | None = None
        self._pid = os.getpid()
        _on_loops.add(self)

    def __del__(self) -> None:
        # The model is gone. If the loop lives, it learns so from the generator that it knows, and closes that.
        if self.are_left_behind:
            run_elsewhere(self.aclose())

    @property
    def are_left_behind(self) -> bool:
        """Whether the loop was closed without `shutdown_asyncgens`, and so has not torn down what was made for it."""
        is_open = self._stack is not None and self._open.ag_frame is not None
        return is_open and self.loop.is_closed() and self._pid == os.getpid()

    async def make(self, made: Any, where: str) -> Any:
        """The value that a resource's method gives, `made` being what calling it has returned."""
        made, value = await async_lifetime(made)
        if made is None:
            return value
        # Detached, as a loop that ends closes all generators that it knows at once, and not in reverse order.
        generator = DetachedAsyncGenerator(made)
        try:
            value = await anext(generator)
        except StopAsyncIteration:
            raise _no_value_error(where) from None

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


_EXIT_S = 1.0
"""Seconds that an event loop that was never closed gets for it when the interpreter ends."""

_on_loops: "weakref.WeakSet[_LoopResources]" = weakref.WeakSet()


def _close_left_behind() -> None:
    """Tear down what event loops that were closed have left behind."""
    with _registry_lock:
        closed = [resources for resources in _on_loops if resources.loop.is_closed()]
        _on_loops.difference_update(closed)
        left = [resources for resources in closed if resources.are_left_behind]
    for resources in left:
        run_elsewhere(resources.aclose())


@atexit.register
def _close_at_exit() -> None:
    _close_left_behind()
    for resources in list(_on_loops):
        if not resources.loop.is_running():  # stopped, and never closed
            with contextlib.suppress(Exception):
                resources.loop.run_until_complete(asyncio.wait_for(resources.aclose(), _EXIT_S))


async def _open_stack() -> AsyncGenerator[AsyncExitStack, None]:
    """A stack that is unwound when this generator is closed: by us, or by its loop at the latest.

    An event loop closes the async generators that it knows when it ends, and offers no other hook for its end.
    """
    async with AsyncExitStack() as stack:
        yield stack


def _no_value_error(where: str) -> RuntimeError:
    return RuntimeError(f"The resource {where} ended without a `yield` of its value.")


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
        return entry.value(declared.where(instance), declared.make, instance.__langplug_resource_owner__)

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
            own = self._loops.get(loop)
        if own is None:
            _close_left_behind()
            with _registry_lock:
                for closed in [known for known in self._loops if known.is_closed()]:
                    del self._loops[closed]
                own = self._loops.setdefault(loop, _LoopResources(loop))
        # A task, so that it is made once for all who wait, and goes on if the first of them is cancelled.
        task = own.tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            made = declared.make(instance.__langplug_resource_owner__())
            task = own.tasks[key] = loop.create_task(own.make(made, declared.where(instance)))
        return task.result() if task.done() else await asyncio.shield(task)

    def close(self) -> None:
        """Tear down all that was made, except what other models share. What is used later is made anew."""
        with _registry_lock:
            self._forget_parent()
            entries, self._entries = self._entries, {}
            loops, self._loops = self._loops, {}
        try:
            is_in_loop = bool(asyncio.get_running_loop())  # which would never get to it while this waits
        except RuntimeError:
            is_in_loop = False
        closing: list[Future[None]] = []
        for loop, resources in loops.items():
            closed: Future[None] = Future()
            try:
                loop.call_soon_threadsafe(_aclose_soon, loop, resources, closed)
            except RuntimeError:  # the loop is closed
                if resources.are_left_behind:
                    run_elsewhere(resources.aclose())
            else:
                closing += [closed] if loop.is_running() and not is_in_loop else []
        wait(closing, timeout=_EXIT_S)  # they may use the sync ones
        own = [entry for key, entry in entries.items() if (self._pid, key) not in _shared_entries]
        for entry in sorted(own, key=lambda entry: entry.number, reverse=True):  # users before what they use
            entry.close()

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


def _aclose_soon(loop: asyncio.AbstractEventLoop, resources: _LoopResources, closed: Future[None]) -> None:
    task = loop.create_task(resources.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    task.add_done_callback(lambda _: closed.set_result(None))


@in_forked_child
def _leave_to_parent() -> None:
    """What exists is the parent's to tear down, and the lock may be held by a thread that was left there."""
    global _registry_lock, _suspended, _kept, _on_loops  # noqa: PLW0603 - one of each per process
    _registry_lock = threading.RLock()
    # Even an exit of the child must not run the `finally` of a generator, so these are never freed.
    for kept in filter(None, (_suspended, _kept)):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    _suspended, _kept, _on_loops = set(), set(), weakref.WeakSet()
