"""The fast paths of calls without and with callbacks give what langchain-core's own way gives.

Each case runs three times on a model made anew: unheard, with a callback handler that does nothing, and with that
handler all the way through langchain-core. What comes out is compared to the last field; ids that differ from run to
run are numbered in the order in which they appear, so that their form, and which of them are the same, is compared too.
"""

import asyncio
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    BaseCallbackHandler,
)
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, Runnable, RunnableLambda
from pydantic import BaseModel
from tests.callers import TOOLS
from tests.contract.test_h_rate_limiter import CountingLimiter
from tests.echo_models import ECHO_MODELS, PIXEL
from tests.stub_models import STUB_MODELS
from tests.test_choices import ChatSeveral, completion

from langplug import ChatModel, Finish, IncompleteAnswerError, Reasoning, Request, ToolCall, Usage
from langplug._model.langchain import PatchedChatModel
from langplug.models import ChatScripted
from langplug.models.scripted import Cut


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of every echo model."""
    monkeypatch.setenv("ECHO_API_KEY", "a key")


class Deaf(BaseCallbackHandler):
    """Hears everything and does nothing, but while it is there langchain-core reports the run."""

    run_inline = True


# --- the four ways to an answer, and all that comes of one ---

Way = Callable[..., None]
"""Puts what a runnable gives, bit by bit, into a list."""


def by_invoke(seen: list[Any], asked: Any, given: Any, config: Any, **kwargs: Any) -> None:
    seen.append(asked.invoke(given, config, **kwargs))


def by_ainvoke(seen: list[Any], asked: Any, given: Any, config: Any, **kwargs: Any) -> None:
    seen.append(asyncio.run(asked.ainvoke(given, config, **kwargs)))


def by_stream(seen: list[Any], asked: Any, given: Any, config: Any, **kwargs: Any) -> None:
    for one in asked.stream(given, config, **kwargs):
        seen.append(one)  # noqa: PERF402 - what came before an error counts


def by_astream(seen: list[Any], asked: Any, given: Any, config: Any, **kwargs: Any) -> None:
    async def read() -> None:
        async for one in asked.astream(given, config, **kwargs):
            seen.append(one)  # noqa: PERF401 - what came before an error counts

    asyncio.run(read())


WAYS: dict[str, Way] = {"invoke": by_invoke, "ainvoke": by_ainvoke, "stream": by_stream, "astream": by_astream}


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    """Each way to an answer in turn."""
    return WAYS[request.param]


@pytest.fixture(params=["invoke", "ainvoke"])
def whole(request: pytest.FixtureRequest) -> Way:
    """Each way to a whole answer in turn."""
    return WAYS[request.param]


@pytest.fixture(params=[None, "v1"], ids=["v0", "v1"])
def version(request: pytest.FixtureRequest) -> Any:
    """Plain content, and standard content."""
    return request.param


def outcome(way: Way, asked: Any, given: Any, config: Any, **kwargs: Any) -> str:
    """All that came, and the error, as text to compare; ids are numbered."""
    seen: list[Any] = []
    try:
        way(seen, asked, given, config, **kwargs)
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to be the same
        seen += [type(error), str(error), getattr(error, "partial", None)]
    return numbered("\n".join(map(described, seen)))


def described(one: Any) -> str:
    if not isinstance(one, BaseMessage):
        return repr(one)
    return f"{type(one).__name__} {sorted(one.model_fields_set)} {vars(one)!r} {one.model_extra!r}"


def numbered(text: str) -> str:
    known: dict[str, str] = {}
    pattern = r"(lc_run--|lc_|call_)(?:[0-9a-f-]{36}|[0-9a-f]{24})"
    return re.sub(pattern, lambda found: known.setdefault(found[0], f"{found[1]}#{len(known)}"), text)


@contextmanager
def through_core() -> Iterator[None]:
    """Calls with callbacks leave nothing out of langchain-core's way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PatchedChatModel, "_PatchedChatModel__only_reports", lambda *_, **__: False)
        yield


def both(way: Way, make: Callable[[], Any], given: Any, config: Any = None, **kwargs: Any) -> str:
    """What the fast paths give, having seen to it that langchain-core's gives the same."""
    unheard = outcome(way, make(), given, config, **kwargs)
    heard = outcome(way, make(), given, {**(config or {}), "callbacks": [Deaf()]}, **kwargs)
    with through_core():
        by_core = outcome(way, make(), given, {**(config or {}), "callbacks": [Deaf()]}, **kwargs)
    assert by_core == unheard
    assert by_core == heard
    return unheard


# --- what a model says ---

SHAPES = {name: make for name, make in ECHO_MODELS.items() if name.startswith("class")}

PROMPTS = [
    "one two three",
    "/spell cat",
    "/think one two",
    "/show one two",
    "/settings",
    "/fail one two",
    "/echo",
    "",
    "ação 👩‍👩‍👧 שלום 漢字 e\u0301 \x00 \ud800",
]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_says_the_same(way: Way, version: Any, shape: str, prompt: str) -> None:
    """Text, reasoning, images, errors, usage, metadata and ids are the same for each of the four shapes."""
    said = both(way, lambda: SHAPES[shape](output_version=version), prompt)
    assert ("EchoError" if "fail" in prompt else "'finish_reason': 'stop'") in said
    assert set(re.findall(r"lc_run--#\d+", said)) <= {"lc_run--#0"}


CALL = ToolCall(name="add", args={"a": 1, "b": 2})

REPLIES: dict[str, Any] = {
    "nothing": [],
    "an empty string": "",
    "a string of another type": type("Str", (str,), {})("text"),
    "a call": ["let me see ", CALL],
    "calls in fragments": [
        ToolCall(name="add", args='{"a": 1', index=0),
        ToolCall(name="now", index=1),
        ToolCall(args=', "b": 2}', index=0),
        "text",
    ],
    "a broken call": [ToolCall(name="add", args='{"a": 1', id="mine"), Finish(reason="length")],
    "reasoning": [Reasoning("hm", {"signature": "s"}), Reasoning("m", {"signature": "s"}), "so", Reasoning("again")],
    "a finish": ["x", Finish(reason="end_turn", stop_sequence="END", metadata={"logprobs": {"content": [1]}})],
    "usage": ["x", Usage(input_tokens=3, delta=True), Usage(input_tokens=2, output_tokens=4, delta=True)],
    "a message with an id": AIMessage("hello", id="its-own", additional_kwargs={"more": 1}, tool_calls=[]),
    "an OpenAI completion": {"choices": [{"message": {"content": "hi", "tool_calls": None}, "finish_reason": "stop"}]},
    "a block": ["see: ", {"type": "image", "base64": PIXEL, "mime_type": "image/png"}, "there"],
    "an unknown block": ["see: ", {"type": "weather", "sun": True}],
    "many pieces": [*(["tok "] * 200), *([Reasoning("t")] * 150), "end", CALL, *(["tok "] * 100)],
    "an error at once": ValueError("at once"),
    "an error after a while": [*(["tok "] * 200), *([Reasoning("t")] * 90), "end", ValueError("later")],
    "a cut": ["some ", "text", Cut()],
    "no part": ["some ", 3],
}


@pytest.mark.parametrize("reply", REPLIES)
def test_every_part_comes_out_the_same(way: Way, version: Any, reply: str) -> None:
    """Whatever a model yields: the same chunks, block numbers, calls and metadata, or the same error and `partial`."""
    both(way, lambda: ChatScripted(replies=[REPLIES[reply]], output_version=version), "x")


class Reporter(BaseCallbackHandler):
    """Writes down all that it is told of a run."""

    run_inline = True

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_chat_model_start(self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **told: Any) -> None:
        self.heard += ["start", serialized, messages, told]

    def on_llm_end(self, response: Any, **told: Any) -> None:
        self.heard += ["end", response, response.llm_output, described(response.generations[0][0].message), told]

    def on_llm_error(self, error: BaseException, **told: Any) -> None:
        self.heard += ["error", type(error), str(error), told]


@pytest.mark.parametrize(
    "settings", [{}, {"streaming": True}, {"cache": InMemoryCache()}, {"streaming": False}], ids=["", "s", "c", "w"]
)
@pytest.mark.parametrize("reply", REPLIES)
def test_whoever_listens_hears_the_same(whole: Way, version: Any, reply: str, settings: dict[str, Any]) -> None:
    """How a run began and how it ended is reported as langchain-core reports it, `llm_output` and ids included."""
    run_id = uuid.uuid4()

    def reported() -> str:
        reporter = Reporter()
        config = {"callbacks": [reporter], "run_id": run_id, "tags": ["t"], "metadata": {"m": 1}}
        model = ChatScripted(replies=[REPLIES[reply]], output_version=version, **settings)
        outcome(whole, model, "x", config)
        return numbered(repr(reporter.heard))

    heard = reported()
    if isinstance(settings.get("cache"), InMemoryCache):
        settings["cache"].clear()
    with through_core():
        assert reported() == heard
    assert heard.startswith("['start'")


class ChatUnhurried(ChatScripted):
    """Decides for itself whether it streams, by who listens."""

    def _should_stream(self, *, run_manager: Any = None, **kwargs: Any) -> bool:
        return run_manager is not None or super()._should_stream(**kwargs)


def test_a_model_that_decides_for_itself_whether_it_streams_does(whole: Way) -> None:
    """An override of langchain-core's `_should_stream` is asked with the run, as ever."""
    tokens: list[str] = []

    class Counter(Deaf):
        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            tokens.append(token)

    whole([], ChatUnhurried(replies=[["a", "b"]]), "x", {"callbacks": [Counter()]})
    assert ["a", "b"] == [token for token in tokens if token]


def test_what_breaks_off_holds_what_had_come(way: Way) -> None:
    """Text of any length that had come before an error is in its `partial`."""
    for config in (None, {"callbacks": [Deaf()]}):
        with pytest.raises(IncompleteAnswerError) as caught:
            way([], ChatScripted(replies=[[*map(str, range(1000)), Cut()]]), "x", config)
        assert "".join(map(str, range(1000))) == getattr(caught.value, "partial").text  # noqa: B009 - set, not declared


# --- what a call is given ---

PICTURE = [HumanMessage([{"type": "text", "text": "see"}, {"type": "image", "url": "http://h/i.png"}])]
UNSHOWABLE = [HumanMessage([{"type": "image", "source_type": "text", "text": "?", "mime_type": "image/png"}])]
OLD_FILE = [HumanMessage([{"type": "file", "source_type": "base64", "data": "aGk=", "mime_type": "text/plain"}])]

INPUTS: dict[str, Any] = {
    "a string": "hi there",
    "messages": [SystemMessage("be brief"), HumanMessage("hi"), AIMessage("hello"), HumanMessage("there")],
    "tuples and dicts": [("system", "be brief"), {"role": "user", "content": "hi"}],
    "a prompt of text": StringPromptValue(text="hi"),
    "a prompt of messages": ChatPromptValue(messages=[HumanMessage("hi")]),
    "no message": [],
    "no input": 3,
    "a picture": PICTURE,
    "a picture that no trace shows": UNSHOWABLE,
    "a file as LangChain once had it": OLD_FILE,
    "an OpenAI file": [HumanMessage([{"type": "file", "file": {"file_data": "data:text/plain;base64,aGk="}}])],
}


class ChatSeer(ChatModel):
    """Says what it was given, pictures too."""

    accepts = frozenset({"image", "file"})

    def respond(self, request: Request, /) -> Iterator[str]:
        yield from (repr(message) for message in request.messages)


@pytest.mark.parametrize("given", INPUTS)
def test_every_input_is_read_the_same(way: Way, given: str) -> None:
    """All forms of input reach the model in the same normal form; what is refused is refused with the same error."""
    both(way, ChatSeer, INPUTS[given])


KEYWORDS: dict[str, dict[str, Any]] = {
    "stop": {"stop": ["two"]},
    "stop, cut": {"stop": ["two"], "include_stop": False},
    "no stop": {"stop": []},
    "parameters": {"temperature": 1.5, "model": "echo-2"},
    "a wrong value": {"temperature": 7},
    "an unknown parameter": {"temprature": 1},
    "an ignored parameter": {"top_k": 3},
    "tracing": {"ls_structured_output_format": {"kwargs": {}, "schema": {"title": "t", "type": "object"}}},
    "tracing, old": {"structured_output_format": {"kwargs": {}, "schema": {"title": "t", "type": "object"}}},
    "tools": {"tools": TOOLS, "tool_choice": "auto"},
    "a forced tool": {"tools": TOOLS, "tool_choice": "any"},
    "stream": {"stream": True},
    "no stream": {"stream": False},
    "standard content": {"output_version": "v1"},
    "several": {"n": 2},
    "tags": {"tags": ["a"]},
    "a manager": {"run_manager": None},
}


@pytest.mark.parametrize("keywords", KEYWORDS)
def test_every_keyword_does_the_same(way: Way, version: Any, keywords: str) -> None:
    """What a call is given works the same, and so does what it must not be given."""
    both(way, lambda: ECHO_MODELS["class, generator"](output_version=version), "one two three", **KEYWORDS[keywords])


SETTINGS: dict[str, dict[str, Any]] = {
    "no streaming": {"disable_streaming": True},
    "no streaming with tools": {"disable_streaming": "tool_calling"},
    "streaming": {"streaming": True},
    "streaming off": {"streaming": False},
    "stop": {"stop": ["two"], "include_stop": False},
    "a counter": {"token_counter": len},
    "silent": {"adaptations": "silent", "max_tokens": 3},
    "no tags": {"reasoning_tags": None},
    "a time limit": {"timeout": 30},
}


@pytest.mark.parametrize("tools", [{}, {"tools": TOOLS}], ids=["plain", "tools"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_does_the_same(way: Way, settings: str, shape: str, tools: dict[str, Any]) -> None:
    """How the model is set up works the same, streaming disabled or wished for included."""
    both(way, lambda: SHAPES[shape](**SETTINGS[settings]), "one two three", **tools)


@pytest.mark.parametrize("config", [{"tags": ["t"], "metadata": {"m": 1}, "run_name": "r"}, {"max_concurrency": 2}])
def test_a_configuration_is_no_listener(way: Way, config: dict[str, Any]) -> None:
    """Tags, metadata and a name change nothing of the answer."""
    both(way, ECHO_MODELS["class, generator"], "one", config)


def test_the_run_may_be_named(way: Way) -> None:
    """The `run_id` of the configuration is in the ids."""
    run_id = uuid.uuid4()
    for callbacks in ([], [Deaf()]):
        seen: list[Any] = []
        way(seen, ECHO_MODELS["class, generator"](), "one", {"run_id": run_id, "callbacks": callbacks})
        suffix = "" if isinstance(seen[0], AIMessageChunk) else "-0"
        assert {f"lc_run--{run_id}{suffix}"} == {message.id for message in seen}


def test_the_first_of_several_answers_is_the_same(way: Way) -> None:
    """Of several answers `invoke` gives the first; they cannot be streamed."""
    said = both(way, lambda: ChatSeveral(n=2, sent=[completion("one", "two")]), "x")
    assert ("UnsupportedError" if way in (by_stream, by_astream) else "'content': 'one'") in said


# --- structured output and composition ---


class Person(BaseModel):
    """A person."""

    name: str
    age: int


ASKED = """Who is 'Bo', who is 3? An answer in JSON looks like {"name": "Bo", "age": 3}."""
PERSON = ['{"name": "Bo', '", "age": 3}']


@pytest.mark.parametrize("method", [None, "json_schema", "function_calling"])
@pytest.mark.parametrize("model", STUB_MODELS)
def test_structured_output_is_the_same(way: Way, model: str, method: Any) -> None:
    """Objects come the same, and bit by bit the same, by every method of every kind of model."""
    said = both(way, lambda: STUB_MODELS[model]().with_structured_output(Person, method=method), ASKED)
    assert "Person(name='Bo', age=3)" in said


@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("schema", [Person, Person.model_json_schema()], ids=["class", "JSON schema"])
def test_asking_again_is_the_same(way: Way, version: Any, schema: Any, include_raw: bool) -> None:
    """An answer that does not fit is taken back and asked for again, also where it had been streamed."""

    def make() -> Runnable[Any, Any]:
        model = ChatScripted(replies=[['{"name": ', "3}"], PERSON], output_version=version)
        return model.with_structured_output(schema, include_raw=include_raw)

    assert "Bo" in both(way, make, "who?")


def both_texts(answers: dict[str, AIMessage]) -> str:
    return f"{answers['a'].text}, {answers['b'].text}"


FIELD = ConfigurableField(id="suffix")
PROMPT = ChatPromptTemplate.from_messages([("system", "be brief"), ("human", "{input}")])

CHAINS: dict[str, tuple[Callable[[ChatModel], Runnable[Any, Any]], Any, Any]] = {
    "a chain": (lambda model: PROMPT | model | StrOutputParser(), {"input": "one two"}, None),
    "a chain without a parser": (lambda model: PROMPT | model, {"input": "one two"}, {"tags": ["t"]}),
    "a binding": (lambda model: model.bind(stop=["two"], suffix="!"), "one two", None),
    "bound tools": (lambda model: model.bind_tools(TOOLS), "one two", None),
    "a field": (lambda model: model.configurable_fields(suffix=FIELD), "one", {"configurable": {"suffix": "?"}}),
    "retries": (lambda model: model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False), "/fail x", None),
    "fall-backs": (lambda model: model.with_fallbacks([ChatScripted(replies=["saved"])]), "/fail x", None),
    "a function around it": (lambda model: RunnableLambda(model.invoke), "one two", None),
    "a branch": (lambda model: {"a": model, "b": model} | RunnableLambda(both_texts), "one two", None),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_composition_is_the_same(way: Way, chain: str) -> None:
    """In chains, bindings, retries and fall-backs, and with configurable fields, the same comes out."""
    build, given, config = CHAINS[chain]
    both(way, lambda: build(ECHO_MODELS["class, generator"]()), given, config)


def test_batches_are_the_same() -> None:
    """`batch` and `abatch` give the same answers, in order."""

    def batch(seen: list[Any], model: ChatModel, given: list[str], config: Any) -> None:
        seen += model.batch(given, config)
        seen += asyncio.run(model.abatch(given, config))

    assert "lc_run--#3-0" in both(batch, ECHO_MODELS["class, coroutine"], ["one two", "three"])


# --- the rate limiter and the cache ---


@pytest.mark.parametrize("settings", [{}, {"disable_streaming": True}, {"streaming": True}], ids=str)
def test_the_rate_limiter_is_asked_as_often(way: Way, settings: dict[str, Any]) -> None:
    """Once for each attempt, before the model is asked, by the way of the caller's colour."""
    counts = []
    for callbacks in ([], [Deaf()]):
        limiter = CountingLimiter()
        model = ChatScripted(replies=["no", PERSON], rate_limiter=limiter, **settings)
        way([], model.with_structured_output(Person), "who?", {"callbacks": callbacks})
        counts.append((limiter.sync, limiter.asynchronous))
    assert counts[0] == counts[1]
    assert 2 == sum(counts[0])


@pytest.fixture
def no_global_cache() -> Iterator[None]:
    """The cache of the process is off again in the end."""
    yield
    set_llm_cache(None)


@pytest.mark.usefixtures("no_global_cache")
@pytest.mark.parametrize("setting", [None, True, False, "own"])
@pytest.mark.parametrize("shared", [False, True], ids=["no cache for all", "a cache for all"])
def test_the_cache_is_never_passed_by(way: Way, setting: Any, shared: bool) -> None:
    """A cache, the model's own or that of the process, is read and written as langchain-core does."""

    def make() -> ChatModel:
        set_llm_cache(InMemoryCache() if shared else None)
        return ChatScripted(replies=["first", "second"], cache=InMemoryCache() if setting == "own" else setting)

    def twice(seen: list[Any], *args: Any) -> None:
        way(seen, *args)
        way(seen, *args)

    said = both(twice, make, "x")
    cached = setting == "own" or (shared and setting is not False)
    if way in (by_invoke, by_ainvoke) and not (setting is True and not shared):
        assert cached is ("second" not in said)
