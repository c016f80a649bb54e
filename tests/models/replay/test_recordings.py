"""What is recorded is played again: the same chunks, the same message, the same errors, in every colour."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.exceptions import ModelError, ModelRateLimitError
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from langplug import (
    ChatModel,
    Finish,
    IncompleteAnswerError,
    Reasoning,
    Request,
    ToolCall,
    UnsupportedError,
    Usage,
    adopt,
)
from langplug.models import ChatReplay, ChatScripted
from langplug.models.gguf.weights import SMOLLM2, pull
from langplug.models.replay import MissingRecordingError, RecordedError
from langplug.models.scripted import Cut, Delay

TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "no",
        "1",
        "2001-01-01",
        "null",
        "~",
        "a: b",
        "- x",
        "# y",
        "a\nb",
        "a\n b\n",
        "\n",
        " \n",
        "'",
        '"',
        "\\",
        "\x85",
        "\ufeff",
    ]
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)
CALLS = st.builds(
    lambda args, number: ToolCall(name="look_up", args=args, id=f"call_{number}", index=number),
    st.dictionaries(st.sampled_from("abc"), DATA, max_size=2),
    st.integers(0, 3),
)
USAGES = st.builds(
    lambda read, wrote: Usage(input_tokens=read, output_tokens=wrote, output_token_details={"reasoning": 0}),
    st.integers(0, 99),
    st.integers(0, 99),
)
PARTS = st.lists(
    TEXTS
    | st.builds(Reasoning, TEXTS.filter(bool))
    | CALLS
    | USAGES
    | st.builds(lambda data: Finish(reason="length", metadata={"seen": data}), DATA),
    max_size=6,
)


def bare(messages: Sequence[Any]) -> list[Any]:
    """Messages without the ids of their runs."""
    return [message.model_copy(update={"id": None}) for message in messages]


def ask(model: ChatModel, way: str, question: Any = "Hi", /, **given: Any) -> list[Any]:
    """The answer, in one of four ways."""

    async def astream() -> list[Any]:
        return [chunk async for chunk in model.astream(question, **given)]

    ways: dict[str, Callable[[], list[Any]]] = {
        "invoke": lambda: [model.invoke(question, **given)],
        "stream": lambda: list(model.stream(question, **given)),
        "ainvoke": lambda: [asyncio.run(model.ainvoke(question, **given))],
        "astream": lambda: asyncio.run(astream()),
    }
    return bare(ways[way]())


WAYS = ("invoke", "stream", "ainvoke", "astream")


@pytest.mark.parametrize("way", WAYS)
@given(parts=PARTS)
@settings(max_examples=10, deadline=None)
def test_any_answer(way: str, parts: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Recording changes no chunk of any answer, and playing gives the same chunks, and the same message."""
    file = tmp_path_factory.getbasetemp() / f"{uuid4().hex}.yaml"
    direct = ask(ChatScripted(replies=[parts]), way)
    assert ask(ChatReplay(cassette=file, model=ChatScripted(replies=[parts])), way) == direct
    assert ask(ChatReplay(cassette=file), way) == direct
    other = ask(ChatReplay(cassette=file), "ainvoke" if way == "invoke" else "invoke")
    assert other == ask(ChatScripted(replies=[parts]), "invoke")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: FakeListChatModel(responses=["one two"]), id="chunk by character"),
        pytest.param(lambda: GenericFakeChatModel(messages=iter([AIMessage("one two three")])), id="generic"),
        pytest.param(lambda: RunnableLambda(lambda messages: f"{len(messages)} messages"), id="a chain"),
        pytest.param(lambda: ChatScripted(replies=[["a ", "b"]], output_version="v1"), id="standard content"),
    ],
)
def test_any_model(model: Callable[[], Any], way: str, tmp_path: Path) -> None:
    """Models of other packages, chains, and standard content are recorded and played as they are."""
    direct = ask(adopt(model()), way)
    version = {"output_version": "v1"} if direct[0].response_metadata.get("output_version") == "v1" else {}
    assert ask(ChatReplay(cassette=tmp_path / "talk.yaml", model=model()), way) == direct
    assert [one.content for one in ask(ChatReplay(cassette=tmp_path / "talk.yaml", **version), way)] == [
        one.content for one in direct
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("end", "kind", "told"),
    [
        (ModelRateLimitError("slow down"), ModelRateLimitError, "slow down"),
        (Cut("the line broke"), IncompleteAnswerError, "the line broke"),
        (ZeroDivisionError("by zero"), ZeroDivisionError, "by zero"),
    ],
)
def test_errors(end: Any, kind: type[Exception], told: str, way: str, tmp_path: Path) -> None:
    """An error is raised again as the class that it was, after the pieces that came before it."""
    for model in (ChatScripted(replies=[["Once ", "upon ", end]]), None):
        with pytest.raises(kind, match=told) as caught:
            ask(ChatReplay(cassette=tmp_path / "talk.yaml", model=model), way)
        if "stream" in way:
            assert vars(caught.value)["partial"].text == "Once upon "


def test_an_error_of_another_package(tmp_path: Path) -> None:
    """An error whose class cannot be made anew is a `RecordedError`, which names it."""

    class QuotaError(Exception):
        pass

    recorded = ChatReplay(cassette=tmp_path / "talk.yaml", model=ChatScripted(replies=[QuotaError("no more")]))
    with pytest.raises(QuotaError):
        recorded.invoke("Hi")
    with pytest.raises(RecordedError, match="QuotaError: no more") as caught:
        ChatReplay(cassette=tmp_path / "talk.yaml").invoke("Hi")
    assert caught.value.type == "QuotaError"


def test_a_reader_who_leaves(tmp_path: Path) -> None:
    """Of an answer that was left half-way, the part that came is played, and then the recording says that it ends."""
    for model in (ChatScripted(replies=[["a", "b", "c"]]), None):
        stream = ChatReplay(cassette=tmp_path / "talk.yaml", model=model).stream("Hi")
        assert next(stream).content == "a"
        stream.close()
    with pytest.raises(IncompleteAnswerError, match="had asked did not wait"):
        ChatReplay(cassette=tmp_path / "talk.yaml").invoke("Hi")


def test_equal_questions_play_in_order(tmp_path: Path) -> None:
    """Equal questions play their recordings in the order in which they were made, and then the last one again."""
    recorded = ChatReplay(cassette=tmp_path / "talk.yaml", model=ChatScripted(replies=["one", "two"]))
    assert [recorded.invoke("Hi").content for _ in range(2)] == ["one", "two"]
    played = ChatReplay(cassette=tmp_path / "talk.yaml")
    assert [played.invoke("Hi").content for _ in range(3)] == ["one", "two", "two"]
    assert [
        one.content for one in ChatReplay(cassette=tmp_path / "talk.yaml").batch(["Hi", "Hi"], {"max_concurrency": 1})
    ] == ["one", "two"]


def test_timing(tmp_path: Path) -> None:
    """With `timing`, pieces come when they came, in both colours; without it they come at once."""
    script = [Delay(0.15), "a", Delay(0.15), "b"]
    list(ChatReplay(cassette=tmp_path / "talk.yaml", model=ChatScripted(replies=[script])).stream("Hi"))

    async def first_and_all(model: ChatModel, colour: str) -> tuple[float, float]:
        start = time.perf_counter()
        moments: list[float] = []
        if colour == "sync":
            moments.extend(time.perf_counter() - start for chunk in model.stream("Hi") if chunk.content)
        else:
            moments += [time.perf_counter() - start async for chunk in model.astream("Hi") if chunk.content]
        return moments[0], moments[-1]

    for colour in ("sync", "async"):
        first, last = asyncio.run(first_and_all(ChatReplay(cassette=tmp_path / "talk.yaml", timing=True), colour))
        assert first >= 0.149
        assert last >= 0.299
        assert asyncio.run(first_and_all(ChatReplay(cassette=tmp_path / "talk.yaml"), colour))[1] < last


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Butler(ChatModel):
    """Asks a tool, and reports what it said."""

    tool_calling = "native"

    def respond(self, request: Request, /) -> Any:
        """Answer by a rule."""
        if request.messages[-1].type == "tool":
            yield f"It is {request.text}."
        else:
            yield ToolCall(name="add", args='{"a": 2,')
            yield ToolCall(args=' "b": 3}')


AGENT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from langchain.agents import create_agent
from langplug.models import ChatReplay
from test_recordings import add
agent = create_agent(ChatReplay(cassette=sys.argv[1]), [add])
print(agent.invoke({{"messages": [("user", "What is 2 + 3?")]}})["messages"][-1].text)
"""


def test_an_agent(tmp_path: Path) -> None:
    """An agent of several turns with tools goes the same way when it is played, in another process too."""
    file = tmp_path / "agent.yaml"
    for model in (Butler(), None):
        agent = create_agent(ChatReplay(cassette=file, model=model), [add])
        question: Any = {"messages": [("user", "What is 2 + 3?")]}
        told = agent.invoke(question)["messages"]
        assert [message.type for message in told] == ["human", "ai", "tool", "ai"]
        assert told[-1].text == "It is 5."
    done = subprocess.run([sys.executable, "-c", AGENT, str(file)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "It is 5.", done.stderr


@pytest.mark.thorough("test_an_agent says it of a scripted model")
def test_an_agent_on_real_weights(tmp_path: Path) -> None:
    """`examples/agent.py` on SmolLM2, recorded: played where there are no weights, it says the same to the letter."""
    pytest.importorskip("xllamacpp")
    pull(SMOLLM2)
    example = Path(__file__).parents[3] / "examples" / "agent.py"

    def said(option: str, **environment: str) -> str:
        command = [sys.executable, str(example), option, str(tmp_path / "agent.yaml")]
        return subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
        ).stdout

    recorded = said("--record")
    assert "multiply" in recorded
    assert "60" in recorded.rpartition("Ai Message")[2]
    assert recorded == said("--play", LANGPLUG_CACHE=str(tmp_path))


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def test_structured_output(tmp_path: Path) -> None:
    """Structured output is played, also that of a model that was helped to it by being asked again."""
    for model in (ChatScripted(replies=["No idea.", '{"name": "Bo", "age": 3}']), None):
        chain = ChatReplay(cassette=tmp_path / "talk.yaml", model=model).with_structured_output(Person)
        assert chain.invoke("Who?") == Person(name="Bo", age=3)


def test_an_agent_that_answers_with_an_object(tmp_path: Path) -> None:
    """What LangChain decides by the profile of a model, it decides the same when it is played."""
    for model in (ChatScripted(replies=['{"name": "Bo", "age": 3}']), None):
        agent = create_agent(ChatReplay(cassette=tmp_path / "talk.yaml", model=model), response_format=Person)
        question: Any = {"messages": [("user", "Who?")]}
        assert agent.invoke(question)["structured_response"] == Person(name="Bo", age=3)


def test_events(tmp_path: Path) -> None:
    """Events of version 2 and `bind` work as for any model, when recorded and when played."""

    async def texts(model: Any) -> list[str]:
        events = model.bind(stop=["never"]).astream_events("Hi", version="v2")
        return [one["data"]["chunk"].content async for one in events if one["event"].endswith("_stream")]

    for model in (ChatScripted(replies=[["a", "b"]]), None):
        assert [text for text in asyncio.run(texts(ChatReplay(cassette=tmp_path / "t.yaml", model=model))) if text] == [
            "a",
            "b",
        ]


def test_one_run_in_traces(tmp_path: Path) -> None:
    """While a model is recorded there is one run, and each token is told once."""
    from langchain_core.callbacks import BaseCallbackHandler

    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.heard.append("start")

        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            self.heard.append(token)

    listener = Listener()
    model = ChatReplay(cassette=tmp_path / "talk.yaml", model=ChatScripted(replies=[["a", "b"]]))
    list(model.stream("Hi", {"callbacks": [listener]}))
    assert listener.heard == ["start", "a", "b", ""]


def test_a_miss_shows_the_nearest(tmp_path: Path) -> None:
    """A question that was not recorded is an error, which shows the nearest recording and how it differs."""
    file = tmp_path / "talk.yaml"
    recorded = ChatReplay(cassette=file, model=ChatScripted(replies=["x"], when_exhausted="repeat"))
    recorded.invoke("What is the capital of France?", stop=["."])
    recorded.invoke("Something else entirely")
    with pytest.raises(MissingRecordingError) as caught:
        ChatReplay(cassette=file).invoke("What is the capital of Spain?", stop=["."])
    assert "  - - human: What is the capital of France?\n  + - human: What is the capital of Spain?\n" in str(
        caught.value
    )
    assert "mode='new'" in str(caught.value)
    assert len(str(caught.value).splitlines()) < 8
    assert not isinstance(caught.value, ModelError)


@pytest.mark.parametrize(
    "other",
    [
        {"stop": ["x"]},
        {"temperature": 0.5},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    ],
)
def test_what_makes_a_question(other: dict[str, Any], tmp_path: Path) -> None:
    """Stop strings, parameters and tools are part of the question."""
    ChatReplay(cassette=tmp_path / "talk.yaml", model=ChatScripted(replies=["x"])).invoke("Hi")
    with pytest.raises(MissingRecordingError, match=min(other)):
        ChatReplay(cassette=tmp_path / "talk.yaml").invoke("Hi", **other)


def test_ids_make_no_question(tmp_path: Path) -> None:
    """Ids of messages and of calls, which are other ones in each run, make no difference."""

    def history() -> list[Any]:
        made = f"call_{uuid4().hex}"
        call = {"name": "add", "args": {"a": 1, "b": 2}, "id": made}
        return [
            HumanMessage("Add!", id=uuid4().hex),
            AIMessageChunk("", tool_call_chunks=[{"name": "add", "args": '{"a": 1, "b": 2}', "id": made, "index": 0}])
            if uuid4().int % 2
            else AIMessage("", tool_calls=[call], id=uuid4().hex),
            {"role": "tool", "content": "3", "tool_call_id": made},
        ]

    for model in (ChatScripted(replies=["Three."]), None):
        assert ask(ChatReplay(cassette=tmp_path / "talk.yaml", model=model), "invoke", history())[0].text == "Three."


def test_who_answers_is_part_of_it(tmp_path: Path) -> None:
    """Where a model is given, recordings of another are passed over; without one, whoever was recorded is played."""
    file = tmp_path / "talk.yaml"
    ChatReplay(cassette=file, model=ChatScripted(replies=["mine"])).invoke("Hi")
    with pytest.raises(MissingRecordingError, match="FakeListChatModel"):
        ChatReplay(cassette=file, model=FakeListChatModel(responses=["theirs"]), mode="none").invoke("Hi")
    other = ChatReplay(cassette=file, model=FakeListChatModel(responses=["theirs"]), mode="new")
    assert other.invoke("Hi").content == "theirs"
    assert ChatReplay(cassette=file).invoke("Hi").content == "mine"


class Named(ChatModel):
    """Says its name."""

    model: str = "one"

    def respond(self, request: Request, /) -> str:
        """Introduce it."""
        return f"I am {self.model}."


@pytest.mark.parametrize("way", WAYS)
def test_a_call_may_name_another_model(way: str, tmp_path: Path) -> None:
    """`model=` of a call goes to the recorded model, into the metadata, and is part of the question."""
    file = tmp_path / "talk.yaml"
    for recorded in (Named(), None):
        model = ChatReplay(cassette=file, model=recorded)
        for name in ("two", "one"):
            said = "".join(message.text for message in ask(model, way, model=name))
            assert said == f"I am {name}."
        assert model.invoke("Hi", model="two").response_metadata["model_name"] == "two"
    with pytest.raises(MissingRecordingError, match=r"\+   model: three"):
        ask(ChatReplay(cassette=file), way, model="three")


def test_what_a_call_cannot_ask(tmp_path: Path) -> None:
    """A call cannot bring a model of its own, nor ask for several answers, and is told what to do instead."""
    model = ChatReplay(cassette=tmp_path / "talk.yaml", model=Named())
    with pytest.raises(TypeError, match="Make a ChatReplay for each"):
        model.invoke("Hi", model=Named())
    with pytest.raises(UnsupportedError, match=r"n=2 asks for several\. Ask again"):
        model.generate([[HumanMessage("Hi")]], n=2)


def test_what_is_played_says_who_was_recorded(tmp_path: Path) -> None:
    """Its name and profile are those of the recorded model."""
    ChatReplay(cassette=tmp_path / "talk.yaml", model=Named()).invoke("Hi")
    played = ChatReplay(cassette=tmp_path / "talk.yaml")
    assert played.reported_name == "one"
    assert (played.profile or {}).get("name") == "one"
