"""Graphs with a checkpointer: answers that one can go on from, and users who are remembered."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from tests.serve.client import ask, send
from tests.serve.served_models import held, serving, serving_exchange, until

from langplug import ToolCall, chat_model
from langplug.models import ChatScripted
from langplug.serve import app

SAVER = InMemorySaver()


@tool
def approve(question: str) -> str:
    """Ask a person."""
    return json.dumps(interrupt(question))


@chat_model(tool_calling="native")
async def recalls(request: Any) -> Any:
    """Says what people have said so far, asks when it is told to, and fails when it is told to."""
    last = request.messages[-1]
    if last.type == "human" and last.text == "fail":
        raise RuntimeError
    if last.type == "human" and last.text == "ask":
        return ToolCall(name="approve", args={"question": "Sure?"})
    if last.text == "slowly":
        await asyncio.sleep(0.05)
    return ", ".join(one.text for one in request.messages if one.type != "ai")


def agent(**options: Any) -> Any:
    return create_agent(recalls(), tools=[approve], checkpointer=SAVER, **options)


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with serving({"m": agent(), "other": agent(), "plain": ChatScripted(replies=["hi"])}, user_threads=True) as url:
        yield url


def respond(base: str, text: Any, previous: str | None = None, **fields: Any) -> dict[str, Any]:
    """The response to a text that goes on from another."""
    body = {"model": "m", "input": text, "previous_response_id": previous, **fields}
    return json.loads(send(base, body, "/v1/responses")[2])  # type: ignore[no-any-return]


def text_of(response: dict[str, Any]) -> str:
    [message] = response["output"]
    return str(message["content"][0]["text"])


def test_a_response_goes_on_from_another(base: str) -> None:
    """With `previous_response_id` the graph remembers what led to that response, of any age, and nothing else."""
    one = respond(base, "one")
    two = respond(base, "two", one["id"])
    assert (text_of(two), two["store"], two["previous_response_id"]) == ("one, two", True, one["id"])
    assert text_of(respond(base, "three", two["id"])) == "one, two, three"
    assert text_of(respond(base, "other", one["id"])) == "one, other"
    assert text_of(respond(base, "more", two["id"])) == "one, two, more"
    assert len({one["id"], two["id"]}) == 2


def test_a_stream_goes_on_as_well(base: str) -> None:
    """The id of a streamed response is one to go on from."""
    _, _, told = send(base, {"model": "m", "input": "one", "stream": True}, "/v1/responses")
    response = json.loads(told.rpartition("data: ")[2])["response"]
    assert text_of(respond(base, "two", response["id"])) == "one, two"


def test_instructions_are_given_once(base: str) -> None:
    """Instructions that stand in the thread already are not repeated there."""
    one = respond(base, "one", instructions="Be kind.")
    assert text_of(respond(base, "two", one["id"], instructions="Be kind.")) == "Be kind., one, two"


@pytest.mark.parametrize(
    ("previous", "fields", "param"),
    [
        ("resp_1", {}, "previous_response_id"),
        ("resp_" + "0" * 48, {}, "previous_response_id"),
        (None, {"model": "other"}, "previous_response_id"),
        (None, {"model": "plain"}, "previous_response_id"),
        (None, {"store": False}, "store"),
    ],
)
def test_what_is_not_there_cannot_be_gone_on_from(
    base: str, previous: str | None, fields: dict[str, Any], param: str
) -> None:
    """Unknown ids, another model's, and a model that stores nothing: 400, with the field; nothing is guessed."""
    previous = previous or respond(base, "one")["id"]
    status, _, text = send(
        base, {"model": "m", "input": "x", "previous_response_id": previous, **fields}, "/v1/responses"
    )
    error = json.loads(text)["error"]
    assert (status, error["param"]) == (400, param)
    assert (error["code"] == "previous_response_not_found") == ("not found" in error["message"])


def test_who_knows_one_response_cannot_guess_the_next(base: str) -> None:
    """Ids of one thread share no more than the thread: half of an id opens nothing."""
    one = respond(base, "one")["id"]
    two = respond(base, "two", one)["id"]
    assert one[:-24] == two[:-24]
    assert one[-24:] != two[-24:]
    assert "not found" in respond(base, "x", one[:-24] + "0" * 24)["error"]["message"]


def test_what_is_not_to_be_stored_leaves_nothing(base: str) -> None:
    """With `store: false`, and on the wires that know no responses, the checkpointer keeps nothing."""
    before = len(SAVER.storage)
    response = respond(base, "one", store=False)
    assert response["store"] is False
    assert "not found" in respond(base, "two", response["id"])["error"]["message"]
    assert send(base, ask())[0] == 200
    assert len(SAVER.storage) == before


def test_a_response_that_failed_is_no_place_to_go_on(base: str) -> None:
    """What a call that failed has left in the thread is nobody's beginning; the response before it still is."""
    one = respond(base, "one")
    _, _, told = send(
        base,
        {"model": "m", "input": "fail", "stream": True, "previous_response_id": one["id"]},
        "/v1/responses",
    )
    assert json.loads(told)["error"]["code"] == "model_error"
    assert text_of(respond(base, "two", one["id"])) == "one, two"


def test_what_a_graph_asks_is_answered_by_the_next_call(base: str) -> None:
    """In a thread an interrupt is an answer that asks, and the next text, or its JSON, is what the graph is told."""
    asked = respond(base, "ask")
    assert text_of(asked) == "Sure?"
    told = respond(base, '{"yes": true}', asked["id"])
    assert text_of(told) == 'ask, {"yes": true}'
    assert text_of(respond(base, "good", told["id"])) == 'ask, {"yes": true}, good'
    assert "has been answered" in respond(base, "no", asked["id"])["error"]["message"]
    again = respond(base, "ask")
    assert text_of(respond(base, "no", again["id"])) == 'ask, "no"'


def age(state: MessagesState) -> dict[str, Any]:
    """Asks until it is told a number, as LangGraph's guide to interrupts shows it; fails when it is told to."""
    question = "How old?"
    while not (told := str(interrupt(question))).isdigit():
        if told == "fail":
            raise RuntimeError
        question = f"{told} is no number."
    return {"messages": [AIMessage(f"You are {told}.")]}


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def asking(request: pytest.FixtureRequest) -> Iterator[str]:
    graph = StateGraph(MessagesState).add_node("age", age).add_edge(START, "age")
    saver: Any = InMemorySaver()
    if request.param == "sqlite":
        sqlite = pytest.importorskip("langgraph.checkpoint.sqlite", reason="make test-clients")
        saver = sqlite.SqliteSaver(sqlite3.connect(":memory:", check_same_thread=False))
    with serving({"m": graph.compile(checkpointer=saver)}, user_threads=True) as url:
        yield url
    if request.param == "sqlite":
        saver.conn.close()


def test_a_node_asks_again(asking: str) -> None:
    """A node that asks in a loop is told one thing after the other, each as the answer to the last question."""
    first = respond(asking, "hi")
    second = respond(asking, "old", first["id"])
    assert [text_of(first), text_of(second)] == ["How old?", "old is no number."]
    assert "has been answered" in respond(asking, "7", first["id"])["error"]["message"]
    third = respond(asking, "very", second["id"])
    assert "has been answered" in respond(asking, "7", second["id"])["error"]["message"]
    told = respond(asking, "7", third["id"])
    assert text_of(told) == "You are 7."
    for answered in (first, second, third):
        assert "has been answered" in respond(asking, "8", answered["id"])["error"]["message"]
    assert text_of(respond(asking, "again", told["id"])) == "How old?"


def test_what_fails_a_graph_ends_its_question(asking: str) -> None:
    """A graph that fails with what it is told would fail again: that is said, and one goes on from another response."""
    asked = respond(asking, "hi")
    assert respond(asking, "fail", asked["id"])["error"]["code"] == "model_error"
    error = respond(asking, "7", asked["id"])["error"]
    assert error["param"] == "previous_response_id"
    assert "failed with what it was told" in error["message"]


def test_a_user_is_asked_again(asking: str) -> None:
    """A user's thread is told what comes next; what failed in it is forgotten."""
    assert say(asking, "gil", "hi") == "How old?"
    assert say(asking, "gil", "old") == "old is no number."
    assert say(asking, "gil", "7") == "You are 7."
    assert say(asking, "hal", "hi") == "How old?"
    assert send(asking, ask(messages=[{"role": "user", "content": "fail"}], user="hal"))[0] == 500
    assert say(asking, "hal", "hi") == "How old?"


# --- users ---


def say(base: str, user: str, *texts: str, **fields: Any) -> str:
    """The answer to a conversation: people's and the model's words in turn."""
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]
    status, _, text = send(base, ask(messages=messages, user=user, **fields))
    assert status == 200, text
    return str(json.loads(text)["choices"][0]["message"]["content"])


def test_a_user_is_remembered_and_nothing_is_doubled(base: str) -> None:
    """Whether a client sends the whole conversation or the last message: the graph is given what is new."""
    assert say(base, "bo", "one") == "one"
    assert say(base, "bo", "one", "one", "two") == "one, two"
    assert say(base, "bo", "three") == "one, two, three"
    assert say(base, "al", "one") == "one"


def test_a_user_whose_call_failed_asks_again(base: str) -> None:
    """What a failed call has left of a user's thread is forgotten."""
    assert say(base, "cy", "one") == "one"
    assert send(base, ask(messages=[{"role": "user", "content": "fail"}], user="cy"))[0] == 500
    assert say(base, "cy", "two") == "one, two"
    assert send(base, ask(messages=[{"role": "user", "content": "fail"}], user="first"))[0] == 500
    assert say(base, "first", "one") == "one"


def test_a_user_of_the_messages_wire_is_remembered(base: str) -> None:
    """`metadata.user_id` names a user on Anthropic's wire, and it is the same one."""
    assert say(base, "di", "one") == "one"
    body = {**ask(), "max_tokens": 10, "metadata": {"user_id": "di"}}
    _, _, text = send(base, body, "/v1/messages")
    assert json.loads(text)["content"][0]["text"] == "one, hi"


def test_calls_of_one_user_take_turns(base: str) -> None:
    """Of calls that come at once, each goes on from the one before."""

    async def ask_all() -> list[str]:
        async with aiohttp.ClientSession() as session:

            async def one() -> str:
                body = ask(messages=[{"role": "user", "content": "slowly"}], user="ed")
                async with session.post(f"{base}/v1/chat/completions", json=body) as response:
                    return str((await response.json())["choices"][0]["message"]["content"])

            return await asyncio.gather(*(one() for _ in range(4)))

    assert sorted(map(len, asyncio.run(ask_all()))) == [len(", ".join(["slowly"] * n)) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("stream", [True, False])
def test_calls_of_one_user_keep_nobody_else_from_running(*, stream: bool) -> None:
    """Those that wait for their turn in a thread wait in the queue, and hold no place among the calls that run."""
    model = held()
    graph = create_agent(model, checkpointer=InMemorySaver())
    exchange = app({"m": graph}, user_threads=True, max_concurrency=2, max_queue=2).exchange
    with serving_exchange(exchange) as base, ThreadPoolExecutor() as clients:

        def call(user: str) -> Future[Any]:
            return clients.submit(send, base, ask(user=user, stream=stream))

        of_one = [call("ed")]
        assert model.begun.acquire(timeout=30)
        of_one += [call("ed"), call("ed")]
        until(lambda: exchange.queue.waiting == 2)
        assert send(base, ask(user="ed", stream=stream))[0] == 429
        other = call("bo")
        assert model.begun.acquire(timeout=30)  # it has a place, though two came before it
        model.let_go.release(4)
        assert [done.result(30)[0] for done in (*of_one, other)] == [200] * 4
        assert (exchange.queue.running, exchange.queue.waiting) == (0, 0)


def test_a_client_that_leaves_leaves_its_thread() -> None:
    """Whoever waited for a turn in a thread and left is passed over, and the next has it."""
    model = held()
    graph = create_agent(model, checkpointer=InMemorySaver())
    exchange = app({"m": graph}, user_threads=True, max_concurrency=1).exchange

    async def wait_and_leave(base: str) -> None:
        async with aiohttp.ClientSession() as session:
            asking = asyncio.ensure_future(session.post(f"{base}/v1/chat/completions", json=ask(user="ed")))
            await asyncio.to_thread(until, lambda: exchange.queue.waiting == 1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    with serving_exchange(exchange) as base, ThreadPoolExecutor() as clients:
        first = clients.submit(send, base, ask(user="ed"))
        assert model.begun.acquire(timeout=30)
        asyncio.run(wait_and_leave(base))
        until(lambda: exchange.queue.waiting == 0)
        last = clients.submit(send, base, ask(user="ed"))
        until(lambda: exchange.queue.waiting == 1)
        model.let_go.release(2)
        assert [first.result(30)[0], last.result(30)[0]] == [200, 200]


def test_users_are_remembered_only_if_that_is_wanted() -> None:
    """Without `user_threads` a `user` is a name for logs, and every call says everything itself."""
    with serving({"m": agent()}) as base:
        assert say(base, "bo", "x") == "x"
        assert say(base, "bo", "y") == "y"


# --- what else remembers ---


class BlockingSaver(InMemorySaver):
    """One that an event loop cannot ask, as LangGraph's `SqliteSaver`, and that deletes no thread, as older ones."""

    def delete_thread(self, thread_id: str) -> None:
        raise NotImplementedError

    async def adelete_thread(self, thread_id: str) -> None:
        raise NotImplementedError

    async def aget_tuple(self, config: Any) -> Any:
        raise NotImplementedError

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        raise NotImplementedError

    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        raise NotImplementedError

    async def alist(self, config: Any, **options: Any) -> Any:
        raise NotImplementedError
        yield


def test_a_checkpointer_that_blocks_is_asked_in_a_thread() -> None:
    """A checkpointer with sync methods alone remembers, too, branches, and is there for the next server."""
    saver = BlockingSaver()
    graph = create_agent(recalls(), tools=[approve], checkpointer=saver)
    with serving({"m": graph}, user_threads=True) as url:
        first = respond(url, "one")
        second = respond(url, "two", first["id"])
        assert text_of(second) == "one, two"
        assert text_of(respond(url, "other", first["id"])) == "one, other"
        assert [say(url, "al", text) for text in ("a", "b")] == ["a", "a, b"]
    with serving({"m": create_agent(recalls(), tools=[approve], checkpointer=saver)}) as url:
        assert text_of(respond(url, "three", second["id"])) == "one, two, three"


@entrypoint(checkpointer=InMemorySaver())
def told(messages: list[Any], *, previous: list[str] | None = None) -> Any:
    """A graph that is a function: says all that it was told, and asks when it is told to."""
    texts = [*(previous or []), *(one.text for one in messages)]
    if texts[-1] == "ask":
        texts.append(str(interrupt("Sure?")))
    return entrypoint.final(value=AIMessage(", ".join(texts)), save=texts)


@pytest.mark.parametrize("stream", [True, False])
def test_a_graph_that_is_a_function_remembers(*, stream: bool) -> None:
    """An `@entrypoint` goes on from a response and asks as another graph does; without a thread it keeps nothing."""
    with serving({"m": told}) as url:
        first = respond(url, "one")
        second = respond(url, "ask", first["id"])
        assert [text_of(one) for one in (first, second)] == ["one", "Sure?"]
        assert text_of(respond(url, "yes", second["id"])) == "one, ask, yes"
        assert text_of(respond(url, "two", first["id"])) == "one, two"
        for text, status in (("one", 200), ("ask", 502)):
            given, _, answered = send(url, ask(messages=[{"role": "user", "content": text}], stream=stream))
            assert given == status, answered
