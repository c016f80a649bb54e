"""How long a resource lives: what its method makes, seen as a generator that gives the value and then tears it down."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, cast

_WRAPPERS: dict[Any, tuple[str, str, Callable[[Any], bool]]] = {
    # Whatever is wrapped, the wrapper has the same code.
    contextmanager(cast("Any", iter)).__code__: ("@contextmanager", "`def`", inspect.isgeneratorfunction),
    asynccontextmanager(cast("Any", aiter)).__code__: (
        *("@asynccontextmanager", "`async def`"),
        inspect.isasyncgenfunction,
    ),
}
"""What contextlib makes of a function, by the code that all its products share: the decorator and what it is for."""


def check_maker(make: Any, uses: Any, *, shared: bool) -> bool:
    """Check a method that is declared as a resource, when its class is made. Returns whether it is async.

    Raises:
        TypeError: If it can never give a value; what to write is said.
    """
    if isinstance(make, property | functools.cached_property | staticmethod | classmethod) or not callable(make):
        raise TypeError(f"@resource takes a plain method `def name(self)`, and got a {type(make).__name__}.")
    where = getattr(make, "__qualname__", type(make).__name__)
    if isinstance(uses, str):
        raise TypeError(f"{where}: `uses` is a tuple of names. Write `uses=({uses!r},)`.")
    inner = make
    while isinstance(inner, functools.partial) or hasattr(inner, "__wrapped__"):  # decorators that use `wraps`
        inner = inner.func if isinstance(inner, functools.partial) else getattr(inner, "__wrapped__")  # noqa: B009
    if not inspect.isroutine(inner) and not isinstance(inner, type):
        inner = type(inner).__call__
    name, expected, is_right = _WRAPPERS.get(getattr(make, "__code__", None), ("", "", None))
    if is_right is not None and not is_right(inner):
        raise TypeError(f"{where}: {name} is for a method that yields the value, written with {expected}.")
    try:
        inspect.signature(make).bind(None)
    except TypeError:
        raise TypeError(f"{where}: a resource's method is called with the model alone: `def name(self)`.") from None
    except ValueError:
        pass  # written in C, without a signature
    is_async = inspect.isasyncgenfunction(inner) or inspect.iscoroutinefunction(inner)
    if is_async and shared:
        raise TypeError(f"{where}: `shared=True` is for sync resources: an async one belongs to one event loop.")
    return is_async


def lifetime(made: Any, where: str) -> Generator[Any, None, None] | None:
    """What a sync method has made as a generator that yields the value once, or None if it has no end.

    A context manager of contextlib's, or a class derived from its, is entered, since it is of no other use. So is what
    can be entered and has a `close`, such as a client or a file. Anything else is the value as it is: to enter a lock
    would be to acquire it, to enter `torch.device` would change the thread's default, and a process waits at its exit.

    Raises:
        TypeError: If only a coroutine can get at the value.
    """
    if inspect.isgenerator(made):
        return cast("Generator[Any, None, None]", made)
    kind = type(made)
    is_async = AbstractAsyncContextManager in kind.__mro__ and not hasattr(kind, "__enter__")
    if is_async or inspect.iscoroutine(made) or inspect.isasyncgen(made):
        if inspect.iscoroutine(made):
            made.close()  # or Python would say that it was never awaited
        raise TypeError(f"{where} returned a {kind.__name__}, which is async. Declare the resource with `async def`.")
    if not _can_be_entered(kind, AbstractContextManager, "__enter__", "__exit__"):
        return None
    if hasattr(kind, "__aenter__") and AbstractContextManager not in kind.__mro__:
        return None  # an async client: aiohttp's session has an `__enter__`, too, which raises
    return _enter(made)


async def async_lifetime(made: Any) -> tuple[AsyncGenerator[Any, None] | None, Any]:
    """As `lifetime`, of what calling an async method has given; and the value, where it has no end."""
    if inspect.isawaitable(made):
        made = await made
    kind = type(made)
    if inspect.isasyncgen(made):
        return cast("AsyncGenerator[Any, None]", made), None
    is_async = _can_be_entered(kind, AbstractAsyncContextManager, "__aenter__", "__aexit__")
    if is_async or _can_be_entered(kind, AbstractContextManager, "__enter__", "__exit__"):
        return _aenter(made, is_async=is_async), None
    return None, made


def _can_be_entered(kind: type, base: type, enter: str, leave: str) -> bool:
    # By the type, as `with` does it: a mock has any attribute that it is asked for.
    closes = any(hasattr(kind, name) for name in ("close", "aclose"))
    return hasattr(kind, enter) and hasattr(kind, leave) and (closes or base in kind.__mro__)


def _enter(manager: Any) -> Generator[Any, None, None]:
    with manager as value:
        yield value


async def _aenter(manager: Any, *, is_async: bool) -> AsyncGenerator[Any, None]:
    if is_async:
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value
