"""Threads of graphs that have a checkpointer: calls that go on with what the graph remembers.

A response is a checkpoint of its thread. Its id holds the thread's, so that nothing has to be kept here to find it
again: another process with the same checkpointer does, too. Both halves of an id are random, and whoever has an id can
go on from that response, and from no other of its thread.
"""

import asyncio
import uuid
from typing import Any, Final
from weakref import WeakValueDictionary

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.runnables import RunnableConfig

from langplug.models.adopted.checkpointers import on_loop
from langplug.serve.call import Call, Thread
from langplug.serve.errors import ApiError

_HALF: Final = 24
"""Hexadecimal digits of an id that are the thread's; as many are the response's own."""

_MARK: Final = "langplug_response"
"""The entry of a checkpoint's metadata that holds the id of the response that it is of."""


class Threads:
    """The threads of one served graph.

    Args:
        graph: The graph.
        name: Under what it is served: threads of others with the same checkpointer are not its own.
        of_users: Whether each user has a thread on the wires that know no responses to go on from.
    """

    def __init__(self, graph: Any, name: str, *, of_users: bool) -> None:
        self._graph = on_loop(graph)
        self._name = name
        self._of_users = of_users
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def begin(self, call: Call) -> Thread | None:
        """The thread that a call goes on with, or begins; None if it keeps nothing.

        Raises:
            ApiError: If it goes on from what cannot be an answer here, or wants nothing kept and yet to go on.
        """
        if call.previous is not None:
            given = call.previous.rpartition("_")[2]
            if len(given) != 2 * _HALF:
                raise _not_found(call.previous)
            if not call.stores:
                message = "store: what goes on from a response is kept. Leave it out, or send the whole conversation."
                raise ApiError(400, "invalid_request_error", message, "store")
            thread = given[:_HALF]
            return Thread(id=f"{self._name}/{thread}", answer=thread + uuid.uuid4().hex[:_HALF], before=call.previous)
        if call.stores:
            answer = uuid.uuid4().hex + uuid.uuid4().hex
            return Thread(id=f"{self._name}/{answer[:_HALF]}", answer=answer[: 2 * _HALF])
        if call.stores is None and self._of_users and call.user and not call.counts_only:
            if call.n > 1:
                raise ApiError(400, "invalid_request_error", "n: a thread goes on with one answer.", "n")
            return Thread(id=f"{self._name}/user/{call.user}", answer=uuid.uuid4().hex, is_users=True)
        return None

    def line(self, thread: Thread) -> asyncio.Lock:
        """What a call of this thread has to hold while it runs."""
        return self._locks.setdefault(thread.id, asyncio.Lock())

    async def given(self, thread: Thread, messages: list[BaseMessage]) -> tuple[list[BaseMessage], RunnableConfig]:
        """What the graph is given of `messages`, and with which configuration, in a call that holds the thread's line.

        Raises:
            ApiError: If there is no such answer to go on from.
        """
        before = await self._state_before(thread)
        configurable = {"thread_id": thread.id}
        if before is not None:
            configurable["checkpoint_id"] = before.config["configurable"]["checkpoint_id"]
            # what a graph that is a function has kept is its own affair
            known = before.values.get("messages") if isinstance(before.values, dict) else None
            messages = _news(messages, known or [], may_repeat=thread.is_users)
        return messages, {"configurable": configurable, "metadata": {_MARK: thread.answer}}

    async def _state_before(self, thread: Thread) -> Any:
        """The state in which the answer before has left the thread; None if it begins."""
        place: RunnableConfig = {"configurable": {"thread_id": thread.id}}
        if thread.is_users:
            async for state in self._graph.aget_state_history(place):
                if not state.next or state.interrupts:  # else it is of a call that failed, or whose client left
                    return state
            return None
        if thread.before is None:
            return None
        mark = thread.before.rpartition("_")[2]
        async for state in self._graph.aget_state_history(place, filter={_MARK: mark}, limit=1):
            if not state.next:
                return state
            if state.interrupts:  # what a graph asks it can be told once: whatever it is told then, it takes the first
                own = state.config["configurable"]["checkpoint_id"]
                async for other in self._graph.aget_state_history(place):
                    if ((other.parent_config or {}).get("configurable") or {}).get("checkpoint_id") == own:
                        message = "What this response asks has been answered: go on from another response."
                        raise ApiError(400, "invalid_request_error", message, "previous_response_id")
                return state
            message = f"The response {thread.before!r:.100} did not end, so nothing can go on from it."
            raise ApiError(400, "invalid_request_error", message, "previous_response_id")
        raise _not_found(thread.before)


def _not_found(response: str) -> ApiError:
    message = f"Previous response with id {response!r:.100} not found."
    return ApiError(400, "invalid_request_error", message, "previous_response_id", "previous_response_not_found")


def _news(given: list[BaseMessage], known: list[BaseMessage], *, may_repeat: bool) -> list[BaseMessage]:
    """What of the messages is not in the thread.

    Instructions that stand there already are not given again. Clients of a wire without threads send the whole
    conversation: what is new of it stands after the last answer.
    """
    if may_repeat:
        answers = [place for place, message in enumerate(given) if isinstance(message, AIMessage)]
        given = [
            message
            for place, message in enumerate(given)
            if isinstance(message, SystemMessage) or not answers or place > answers[-1]
        ]
    instructions = [message.content for message in known if isinstance(message, SystemMessage)]
    return [one for one in given if not (isinstance(one, SystemMessage) and one.content in instructions)]
