"""LangGraph's checkpointers, asked on an event loop.

`SqliteSaver` refuses to be, and `AsyncSqliteSaver` cannot be made where there is no loop yet, as in a module that is
imported: what it cannot do itself is done in a thread.
"""

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable
from functools import cache
from typing import Any


def has_checkpointer(runnable: Any) -> bool:
    """Whether it is a graph with a checkpointer of its own, and does not only say whether to share that of another."""
    return not isinstance(vars(runnable).get("checkpointer"), bool | None)


def on_loop(graph: Any) -> Any:
    """`graph`, whose checkpointer can be asked on an event loop, too."""
    asked = copy.copy(graph.checkpointer)  # shallow, as LangGraph's own copies of it are
    asked.__class__ = _class_on_loop(asked.__class__)
    return graph.copy({"checkpointer": asked})


@cache
def _class_on_loop(cls: Callable[..., Any]) -> Any:
    async def alist(self: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        try:
            async for one in cls.alist(self, *args, **kwargs):  # type: ignore[attr-defined]
                yield one
        except NotImplementedError:
            for one in await asyncio.to_thread(lambda: [*self.list(*args, **kwargs)]):
                yield one

    methods = {
        f"a{name}": _in_a_thread_at_need(cls, name) for name in ("get_tuple", "put", "put_writes", "delete_thread")
    }
    return type(cls.__name__, (cls,), {**methods, "alist": alist})  # type: ignore[arg-type]


def _in_a_thread_at_need(cls: Any, name: str) -> Callable[..., Any]:
    async def ask(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await getattr(cls, f"a{name}")(self, *args, **kwargs)
        except NotImplementedError:
            return await asyncio.to_thread(getattr(self, name), *args, **kwargs)

    return ask
