"""`adopt`: anybody's chat model, chain or graph is a model of langplug's, and stays what it is."""

import asyncio
import copy
import operator
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.exceptions import ContextOverflowError, ModelInvalidRequestError, OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel, Field, PrivateAttr
from tests.model.page import parrot_class
from tests.models.adopted_classes import CLASSES, ChatCallsBeside, ChatRequests, ChatSdk, ChatStreaming, whole
from tests.paths import PATHS

from langplug import ChatModel, Request, adopt, chat_model
from langplug.models import ChatAdopted, ChatScripted

Parrot = parrot_class(BaseChatModel)


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


class Listener(BaseTracer):
    """Keeps the runs that it traces, with the tokens of each."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.runs.append(run)


class Tokens(BaseCallbackHandler):
    """Keeps the tokens that it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.told.append(token)


# --- each kind of class that people write ---


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cls", CLASSES)
def test_each_kind_of_class_answers(cls: Any, path: str) -> None:
    """On each path, cut at stop strings, with one run, each token once."""
    model = adopt(cls())
    listener, tokens = Listener(), Tokens()
    answered = PATHS[path](model, "one two three", config={"callbacks": [listener, tokens]})
    assert "You said one two three" == answered.text
    [run] = listener.runs
    assert "llm" == run.run_type
    assert "".join(tokens.told) in ("", "You said one two three")
    assert "You said one two" == PATHS[path](model, "one two three", stop=["two"]).text
    assert cls().get_name() == run.name


@pytest.mark.parametrize("cls", CLASSES)
def test_each_kind_of_class_calls_tools_and_keeps_to_schemas(cls: Any) -> None:
    """By itself where it can, else by the prompt; nothing is left of it at the next call."""

    class City(BaseModel):
        """A city."""

        city: str = Field(pattern="^Oslo$")

    model = adopt(cls())
    answer = model.bind_tools([add]).invoke('<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>')
    assert [{"a": 1, "b": 2}] == [call["args"] for call in answer.tool_calls]
    assert "You said hi" == model.invoke("hi").text
    assert City(city="Oslo") == model.with_structured_output(City).invoke('{"city": "Oslo"}')


@pytest.mark.parametrize("cls", CLASSES)
def test_each_kind_of_class_is_what_it_was(cls: Any) -> None:
    """Its type, its name, its provider; and its key tells it from others."""
    model, theirs = adopt(cls()), cls()
    assert theirs._llm_type == model._llm_type
    reported = theirs._get_ls_params()
    assert reported["ls_provider"] == model._get_ls_params()["ls_provider"] == model.reported_provider
    assert {**theirs._identifying_params, **model._identifying_params} == model._identifying_params
    assert repr(model).startswith("ChatAdopted(adopted=<class")


def test_keys_follow_the_settings_of_the_adopted() -> None:
    """Also those that its own `_identifying_params` leaves out."""
    keys = [adopt(Parrot(parrot_buffer_length=n, model="m")).cache_key() for n in (3, 3, 4)]
    assert keys[0] == keys[1] != keys[2]
    assert keys[0] != adopt(Parrot(parrot_buffer_length=3, model="m"), temperature=1).cache_key()


def test_the_page_as_it_comes() -> None:
    """Its outputs, its metadata and its usage; an empty prompt, too."""
    model = adopt(Parrot(parrot_buffer_length=3, model="my_custom_model"))
    message = model.invoke("Meow!")
    assert ("Meo", 3, "my_custom_model") == (
        message.content,
        message.response_metadata["time_in_seconds"],
        message.response_metadata["model_name"],
    )
    listener, tokens, usage = Listener(), Tokens(), UsageMetadataCallbackHandler()
    assert "c|a|t||" == "".join(
        f"{one.content}|" for one in model.stream("cat", {"callbacks": [listener, tokens, usage]})
    )
    assert ["c", "a", "t", ""] == tokens.told
    assert 6 == usage.usage_metadata["my_custom_model"]["total_tokens"]
    assert ("ChatParrotLink", []) == (listener.runs[0].name, listener.runs[0].child_runs)
    assert {""} == {PATHS[path](model, "").text for path in PATHS}


# --- parameters ---


def test_parameters_of_a_call_are_passed_on() -> None:
    """To a hook that takes them, else to a copy of the model whose setting they are; or they are a mistake."""
    seen: list[dict[str, Any]] = []

    class Takes(ChatRequests):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            seen.append({"kept": self.temperature, **kwargs})
            return whole("x")

    adopt(Takes()).invoke("x", temperature=0.1, user="bo")
    adopt(Takes(), temperature=0.2).invoke("x")
    adopt(Takes().bind(temperature=0.3), user="al").invoke("x", user="bo")
    assert [
        {"kept": 0.7, "temperature": 0.1, "user": "bo"},
        {"kept": 0.7, "temperature": 0.2},
        {"kept": 0.7, "temperature": 0.3, "user": "bo"},
    ] == seen
    parrot = adopt(Parrot(parrot_buffer_length=3, model="m"))
    assert ["he", "hel"] == [parrot.invoke("hello", parrot_buffer_length=2).text, parrot.invoke("hello").text]
    with pytest.raises(TypeError, match="temprature"):
        parrot.invoke("hello", temprature=1)
    with pytest.raises(TypeError, match="temprature"):
        adopt(Parrot(parrot_buffer_length=3, model="m"), temprature=1)


def test_its_companions_are_taken_over() -> None:
    """What langchain-core does around a model's hooks: its rate limiter, callbacks, tags."""
    tokens, limiter = Tokens(), InMemoryRateLimiter(requests_per_second=1000)
    model = adopt(ChatStreaming(callbacks=[tokens], rate_limiter=limiter, tags=["t"]))
    list(model.stream("hi"))
    assert "You said hi" == "".join(tokens.told)
    assert limiter is model.rate_limiter
    assert ["t"] == model.tags


def test_tools_and_schemas_go_by_its_own_way() -> None:
    """Those of a model that has them; and what it says of a choice."""
    seen: list[Any] = []

    class Native(ChatSdk):
        def with_structured_output(self, schema: Any, *, method: str = "json_schema", **kwargs: Any) -> Any:
            return self.bind(guided=schema, ls_structured_output_format={}) | RunnableLambda(str)

        def _send(self, messages: Any, **kwargs: Any) -> Any:
            seen.append(kwargs)
            return super()._send(messages, **kwargs)

    model = adopt(Native())
    assert ("native", "native") == (model.tool_calling, model.structured_output)
    forced = model.bind_tools([add], tool_choice="add")
    assert [{"a": 1, "b": 2}] == [call["args"] for call in forced.invoke("x").tool_calls]
    assert ("add", "add") == (seen[-1]["tools"][0]["function"]["name"], seen[-1]["tool_choice"])
    with pytest.raises(OutputParserException):
        model.with_structured_output({"title": "City", "type": "object", "required": ["city"]}).invoke("x")
    assert {"stop", "guided"} == seen[-1].keys()
    assert ["prompted", "native", "native"] == [
        adopt(cls()).tool_calling for cls in (ChatStreaming, ChatSdk, ChatCallsBeside)
    ]


def test_in_an_agent() -> None:
    """With tools that it calls by itself."""
    agent: Any = create_agent(adopt(ChatSdk()), [add])
    messages = agent.invoke({"messages": [("user", "1 + 2?")]})["messages"]
    assert ["human", "ai", "tool", "ai"] == [message.type for message in messages]
    assert "You said 3" == messages[-1].text


# --- turns ---


class Busy(ChatStreaming):
    """Notes how many calls it has at once."""

    calls: Any = Field(default_factory=lambda: [0, 0], exclude=True)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.calls[0] += 1
        self.calls[1] = max(self.calls)
        time.sleep(0.005)
        self.calls[0] -= 1
        return whole("x")

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.calls[0] += 1
        self.calls[1] = max(self.calls)
        await asyncio.sleep(0.005)
        self.calls[0] -= 1
        return whole("x")


def test_one_call_at_a_time() -> None:
    """Across threads and loops, and a call that gives up leaves the queue."""
    theirs = Busy()
    model = adopt(theirs, concurrency=1)

    async def many() -> list[Any]:
        tasks = [asyncio.create_task(model.ainvoke("x")) for _ in range(4)]
        await asyncio.sleep(0.002)
        tasks[2].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: model.batch(["x"] * 4))
    thread.start()
    results = asyncio.run(many())
    thread.join()
    assert 1 == theirs.calls[1]
    assert [False, False, True, False] == [isinstance(one, asyncio.CancelledError) for one in results]
    assert "x" == model.invoke("x").text
    assert "x" == adopt(theirs, concurrency=2).invoke("x").text


def test_a_stream_that_is_left_gives_its_turn_back() -> None:
    """In both colours."""
    model = adopt(ChatStreaming(), concurrency=1)
    for _ in range(3):
        next(iter(model.stream("x")))

        async def leave() -> None:
            stream = model.astream("x")
            await anext(stream)
            await stream.aclose()

        asyncio.run(leave())
    assert "You said x" == model.invoke("x").text


# --- chains and graphs ---


def echo(messages: Any) -> AIMessage:
    return AIMessage(f"You said {messages[-1].text}")


async def aecho(messages: Any) -> AIMessage:
    await asyncio.sleep(0)
    return echo(messages)


def pieces(messages: Any) -> Iterator[str]:
    yield from ("You said ", messages[-1].text)


def graph() -> Any:
    built = StateGraph(MessagesState)
    for name in ("draft", "answer"):
        built.add_node(name, lambda state: {"messages": ChatStreaming().invoke(state["messages"][:1])})
    built.add_edge(START, "draft")
    built.add_edge("draft", "answer")
    built.add_edge("answer", END)
    return built.compile()


PROMPT = ChatPromptTemplate.from_messages([("system", "Be kind."), ("placeholder", "{messages}")])

RUNNABLES: dict[str, Callable[[], Any]] = {
    "a function": lambda: RunnableLambda(echo),
    "a function of two colours": lambda: RunnableLambda(echo, aecho),
    "a function to text": lambda: RunnableLambda(lambda messages: f"You said {messages[-1].text}"),
    "a generator": lambda: RunnableLambda(pieces),
    "a chain": lambda: PROMPT | ChatStreaming(),
    "a graph": graph,
    "a function of a state": lambda: RunnableLambda(
        lambda state: {"messages": [*state["messages"], echo(state["messages"])]}
    ),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", RUNNABLES)
def test_chains_and_graphs_answer(kind: str, path: str) -> None:
    """As one model: each token once, usage once, and what is within them is a child."""
    model = adopt(RUNNABLES[kind]())
    listener, tokens, usage = Listener(), Tokens(), UsageMetadataCallbackHandler()
    config = {"callbacks": [listener, tokens, usage]}
    answered = PATHS[path](model, "one two three", config=config)
    assert "You said one two three" == answered.text
    [run] = listener.runs
    assert "llm" == run.run_type
    assert "".join(map(str, tokens.told)) in ("", "You said one two three")
    assert "You said one two" == PATHS[path](model, "one two three", stop=["two"]).text
    counted = {"a chain": 5, "a graph": 10}.get(kind)
    assert counted == (answered.message.usage_metadata or {"total_tokens": None})["total_tokens"]
    if counted is not None:
        assert [counted] == [one["total_tokens"] for one in usage.usage_metadata.values()]


def test_a_chain_that_wants_something_else_says_so() -> None:
    """With what to put before it."""
    chain = ChatPromptTemplate.from_messages([("human", "{question}")]) | ChatStreaming()
    with pytest.raises(TypeError, match=r"wants 'question', not messages.*RunnableLambda"):
        adopt(chain).invoke("x")


def test_a_state_without_an_answer_is_an_error() -> None:
    """One that ends with what a person said."""
    with pytest.raises(TypeError, match="ends with HumanMessage"):
        adopt(RunnableLambda(lambda state: {"messages": state["messages"]})).invoke("x")


# --- what can be adopted ---


def test_a_model_of_langplugs_stays_what_it_is() -> None:
    """And takes settings of its own."""
    model = ChatScripted(replies=["one two"], when_exhausted="repeat")
    assert model is adopt(model)
    assert "one" == adopt(model, stop=["e"]).invoke("x").text
    with pytest.raises(TypeError, match="'concurrency_'"):
        adopt(model, concurrency_=1)


@pytest.mark.parametrize("path", PATHS)
def test_a_bound_model_of_langplugs_answers(path: str) -> None:
    """What a model of langplug's is bound to holds when the binding is adopted: a field of its own, or tools."""
    model = ChatScripted(replies=["one two three"], when_exhausted="repeat")
    assert PATHS[path](adopt(model.bind(stop=["two"])), "x").text == "one two"
    assert PATHS[path](adopt(model.bind_tools([add])), "x").text == "one two three"


class Place(BaseModel):
    """Where."""

    city: str


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "end", [lambda model: model | JsonOutputParser(), lambda model: model.with_structured_output(Place)]
)
def test_a_chain_that_ends_with_an_object_answers_with_it_as_json(path: str, end: Any) -> None:
    """A parser's object is the JSON that it was read from, once and whole."""
    model = ChatScripted(replies=['{"city": "Köln"}'], when_exhausted="repeat", structured_output="native")
    answer = PATHS[path](adopt(end(model)), "x")
    assert answer.text == '{"city":"Köln"}'


@pytest.mark.parametrize("wrong", [ChatStreaming, "gpt-4o", lambda request: "x"])
def test_anything_else_is_refused(wrong: Any) -> None:
    """A class, a name, a function: with what to do instead."""
    with pytest.raises(TypeError, match=r"Make a model first|neither a chat model nor a Runnable"):
        adopt(wrong)


def test_it_is_pickled_as_far_as_the_adopted_can() -> None:
    """With all its settings."""
    model = pickle.loads(pickle.dumps(adopt(ChatStreaming(), concurrency=1, stop=["said"])))
    assert isinstance(model, ChatAdopted)
    assert isinstance(model, ChatModel)
    assert "You said" == model.invoke("hi").text


def test_a_reader_that_leaves_closes_the_hook() -> None:
    """And the stop string does."""
    closed: list[bool] = []

    class Endless(ChatStreaming):
        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
            try:
                while True:
                    yield ChatGenerationChunk(message=AIMessageChunk(content="a"))
            finally:
                closed.append(True)

    model = adopt(Endless())
    for _ in model.stream("x"):
        break
    assert "aa" == PATHS["stream"](model, "x", stop=["aa"]).text
    assert [True, True] == closed


class ChatRepeating(BaseChatModel):
    """Says each fragment of a call twice, as some packages do: as LangChain has it, and as the server sent it."""

    @property
    def _llm_type(self) -> str:
        return "chat-repeating"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return whole("")

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for name, args in (("add", ""), (None, '{"a": 1,'), (None, ' "b": 2}')):
            raw = {"index": 0, "id": None, "type": None, "function": {"name": name, "arguments": args}}
            fragment = tool_call_chunk(name=name, args=args, id="1" if name else None, index=0)
            usage = {"input_tokens": -1, "output_tokens": 2, "total_tokens": 1}
            yield ChatGenerationChunk(
                message=AIMessageChunk(
                    content="",
                    additional_kwargs={"tool_calls": [raw]},
                    tool_call_chunks=[fragment],
                    usage_metadata=usage if kwargs.get("stream_usage") else None,
                )
            )

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        if tool_choice is not None and len(tools) != 1:
            raise ValueError("one tool, please")
        assert "parallel_tool_calls" not in kwargs
        return self.bind(tools=tools, chosen=tool_choice)


async def gathered(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_a_call_that_is_said_twice_is_one(path: str) -> None:
    """Calls that a package also keeps as the server sent them are given once; an odd usage costs no answer."""
    model = adopt(ChatRepeating(), tool_calling="native").bind_tools([add])
    chunks: Iterator[Any] = model.stream("x") if path == "stream" else iter(asyncio.run(gathered(model.astream("x"))))
    answered = reduce(operator.add, chunks)
    assert [(call["name"], call["args"]) for call in answered.tool_calls] == [("add", {"a": 1, "b": 2})]


def test_a_choice_that_the_adopted_one_refuses_is_langplugs_to_see_to() -> None:
    """A model that takes a choice of one tool alone is given all without it, and held to the choice."""
    model = adopt(ChatRepeating(), tool_calling="native", streaming=True)
    others = [add, {"name": "other", "description": "Another.", "parameters": {"type": "object", "properties": {}}}]
    for choice in ("any", "add"):
        answered = model.bind_tools(others, tool_choice=choice, parallel_tool_calls=False).invoke("x")
        assert [call["name"] for call in answered.tool_calls] == ["add"]
    assert not model.bind_tools(others, tool_choice="none").invoke("x").tool_calls


def test_what_cannot_be_copied_is_shared_by_deep_copies() -> None:
    """A deep copy of an adopted model asks the same one where that holds what cannot be copied; else a copy of it."""
    holding = ChatAdopted(adopted=ChatSdk(client=threading.Lock()))
    plain = ChatAdopted(adopted=Parrot(parrot_buffer_length=3, model="m"))
    assert copy.deepcopy(holding).adopted is holding.adopted
    assert copy.deepcopy(plain).adopted is not plain.adopted


def test_half_a_character_is_said_to_be_one() -> None:
    """A lone surrogate that a client cannot encode is an error of the request, which says what to do."""

    @chat_model
    def sending(request: Request) -> str:
        return request.text.encode().decode()

    with pytest.raises(ModelInvalidRequestError, match="half a character"):
        sending().invoke("a\ud800b")


@pytest.mark.parametrize("provider", ["anthropic", "openai", "google_genai", "acme"])
def test_a_message_of_a_provider_is_read_as_it_stands(provider: str) -> None:
    """A message that is passed on keeps its calls and its reasoning in `content_blocks`, whoever it comes from."""
    theirs = AIMessage(
        content="Let me see.",
        tool_calls=[{"name": "add", "args": {"a": 1}, "id": "1"}],
        response_metadata={"model_provider": provider},
    )

    @chat_model(tool_calling="native")
    def passing(request: Request) -> AIMessage:
        return theirs

    blocks = passing().invoke("x").content_blocks
    assert [block["type"] for block in blocks] == ["text", "tool_call"]


class ChatOfOneLoop(BaseChatModel):
    """Has a client that belongs to the first event loop that used it."""

    _loops: list[Any] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "chat-of-one-loop"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return whole("sync")

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self._loops.append(asyncio.get_running_loop())
        if self._loops[0] is not self._loops[-1]:
            raise RuntimeError("Event loop is closed")
        for word in ("a ", "b ", "c "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return whole("".join([chunk.text async for chunk in self._astream(messages)]))


def test_a_model_of_one_loop_can_be_asked_from_many() -> None:
    """With `own_loop`, every call runs on one event loop, from several of them, left half-way, and without one."""
    model = adopt(ChatOfOneLoop(), own_loop=True)

    async def leave() -> None:
        stream = model.astream("x")
        assert (await anext(stream)).content == "a "
        await stream.aclose()  # type: ignore[attr-defined]

    for _ in range(2):
        assert asyncio.run(model.ainvoke("x")).content == "a b c "
        asyncio.run(leave())
        assert "".join(chunk.text for chunk in asyncio.run(gathered(model.astream("x")))) == "a b c "
        assert "".join(chunk.text for chunk in model.stream("x")) == "a b c "
    without = adopt(ChatOfOneLoop())
    asyncio.run(without.ainvoke("x"))
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        asyncio.run(without.ainvoke("x"))


class VagueError(ModelInvalidRequestError):
    """What a package raises for every bad request, with what the server sent."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Error code: 400 - {message}")
        self.status_code = 400
        self.body = {"message": message, "type": "invalid_request_error"}


def test_a_prompt_that_is_too_long_is_told_from_other_bad_requests() -> None:
    """A package's own error of a bad request becomes a `ContextOverflowError` where it says so, and else stays."""

    @chat_model
    def refusing(request: Request) -> str:
        raise VagueError(request.text)

    said = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    with pytest.raises(ContextOverflowError, match="8192"):
        refusing().invoke(said)
    with pytest.raises(VagueError, match="temperature"):
        refusing().invoke("temperature is too high.")


@pytest.mark.parametrize("name", ["frequency_penalty", "nonsense"])
def test_a_setting_that_nobody_has_is_an_error(name: str) -> None:
    """What neither the adopted model nor langplug has is refused, be it a usual parameter or not."""
    with pytest.raises(TypeError, match=f"has a parameter '{name}'"):
        adopt(ChatOfOneLoop.model_construct(), **{name: 1})


def test_the_class_takes_what_adopt_takes() -> None:
    """Parameters of the adopted model may be given to the class, too; what neither has is an error."""
    made = ChatAdopted(adopted=Parrot(parrot_buffer_length=3, model="m"), parrot_buffer_length=4)
    assert made.invoke("abcdef").content == "abcd"
    with pytest.raises(TypeError, match="parrot_bufer_length"):
        ChatAdopted(adopted=Parrot(parrot_buffer_length=3, model="m"), parrot_bufer_length=4)
