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

    async def settle(self, thread: Thread, config: RunnableConfig) -> None:
        """Note that the answer of `thread` is a question, if it was asked where another was answered.

        A node that asks again makes no new checkpoint, so that of the first question, which `config` names, is this
        one's, too.
        """
        configurable = config.get("configurable", {})
        if "checkpoint_id" not in configurable:
            return
        place: RunnableConfig = {"configurable": {"thread_id": thread.id}}
        async for _ in self._graph.aget_state_history(place, filter={_MARK: thread.answer}, limit=1):
            return
        begun: RunnableConfig = {"configurable": {"checkpoint_ns": "", **configurable}}
        saver = self._graph.checkpointer
        mark = (_MARK, [len(_marks(await saver.aget_tuple(begun))), thread.answer])
        await saver.aput_writes(begun, [mark], task_id=f"{_MARK}:{thread.answer}")

    async def _state_before(self, thread: Thread) -> Any:
        """The state in which the answer before has left the thread; None if it begins."""
        place: RunnableConfig = {"configurable": {"thread_id": thread.id}}
        if thread.is_users:
            async for state in self._graph.aget_state_history(place):
                if not state.next or (state.interrupts and not _has_failed(state)):
                    return state  # else it is of a call that failed, or whose client left
            await self._graph.checkpointer.adelete_thread(thread.id)  # LangGraph would go on from what those have left
            return None
        if thread.before is None:
            return None
        mark = thread.before.rpartition("_")[2]
        state = await self._state_of(place, mark)
        if state is None:
            raise _not_found(thread.before)
        if state.interrupts:
            await self._check_unanswered(place, state, mark)
        elif state.next:
            raise _ended(f"The response {thread.before!r:.100} did not end, so nothing can go on from it.")
        return state

    async def _state_of(self, place: RunnableConfig, mark: str) -> Any:
        """The state that a response has left; None if there is none."""
        async for state in self._graph.aget_state_history(place, filter={_MARK: mark}, limit=1):
            return state
        async for kept in self._graph.checkpointer.alist(place):
            if mark in _marks(kept):
                return await self._graph.aget_state(kept.config)
        return None

    async def _check_unanswered(self, place: RunnableConfig, state: Any, mark: str) -> None:
        """Let a question be answered; once, for whatever a graph is told then, it takes the first.

        Raises:
            ApiError: If it has been, or the graph has failed with what it was told.
        """
        if _has_failed(state):
            raise _ended("The graph failed with what it was told: go on from the response before, or from another.")
        own = state.config["configurable"]["checkpoint_id"]
        is_answered = _marks(await self._graph.checkpointer.aget_tuple(state.config))[-1] != mark
        async for other in self._graph.aget_state_history(place):
            is_answered |= ((other.parent_config or {}).get("configurable") or {}).get("checkpoint_id") == own
        if is_answered:
            raise _ended("What this response asks has been answered: go on from another response.")


def _marks(kept: Any) -> list[str]:
    """The responses that a checkpoint is of, the last one last: it is of several if each of them asks something."""
    later = sorted(value for _, channel, value in kept.pending_writes or () if channel == _MARK)
    return [kept.metadata.get(_MARK, ""), *(answer for _, answer in later)]


def _has_failed(state: Any) -> bool:
    return any(task.error for task in state.tasks)


def _ended(message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", message, "previous_response_id")


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
