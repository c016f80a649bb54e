# mypy: disable-error-code="misc, override, valid-type"
# Hooks are written here as people write them, and mixed as no type checker would have it.
"""A class with langchain-core's hooks and no `respond` is a model: its hooks answer, langplug does the rest."""

import asyncio
import gc
import pickle
import threading
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.exceptions import ModelTimeoutError
from langchain_core.language_models import LLM, BaseChatModel, SimpleChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
)
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, PrivateAttr
from tests.model.page import parrot_class
from tests.paths import PATHS

from langplug import ChatModel, Request


def whole(text: str, **more: Any) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=AIMessage(**{"content": text, **more}))])


def new_class(name: str, bases: tuple[Any, ...], body: dict[str, Any]) -> Any:
    return types.new_class(name, bases, exec_body=lambda empty: empty.update(body))


def chunk(text: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


class Told(BaseCallbackHandler):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.starts = self.ends = 0

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.starts += 1

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        self.ends += 1


# --- the page ---

Parrot = parrot_class(ChatModel)


@pytest.fixture
def parrot() -> Any:
    return Parrot(parrot_buffer_length=3, model="my_custom_model")


def test_the_pages_outputs_are_kept(parrot: Any) -> None:
    """What the page prints of its class, with the base changed: messages, chunks, metadata, usage."""
    message = parrot.invoke([HumanMessage("hello!"), AIMessage("Hi there human!"), HumanMessage("Meow!")])
    assert ("Meo", 3) == (message.content, message.response_metadata["time_in_seconds"])
    assert {"input_tokens": 26, "output_tokens": 3, "total_tokens": 29} == message.usage_metadata
    assert "my_custom_model" == message.response_metadata["model_name"]
    assert ["hel", "goo"] == [one.content for one in parrot.batch(["hello", "goodbye"])]
    chunks = list(parrot.stream("cat"))
    assert "c|a|t||" == "".join(f"{one.content}|" for one in chunks)
    assert 3 == chunks[-1].response_metadata["time_in_sec"]
    assert "echoing-chat-model-advanced" == parrot._llm_type
    assert {"model_name": "my_custom_model"} == parrot._identifying_params


@pytest.mark.parametrize("path", PATHS)
def test_the_page_answers_on_each_path(parrot: Any, path: str) -> None:
    """Also an empty prompt, of which its `_stream` would tell a token that there is none of."""
    answered = PATHS[path](parrot, "hello")
    assert ("hel", 8) == (answered.text, dict(answered.message.usage_metadata or {})["total_tokens"])
    assert "" == PATHS[path](parrot, "").text
    assert "he" == PATHS[path](parrot, "hello", stop=["e"]).text


def test_what_the_page_tells_by_hand_is_not_told_twice(parrot: Any) -> None:
    """Each token once, usage once, one run."""
    told, usage = Told(), UsageMetadataCallbackHandler()
    list(parrot.stream("cat", {"callbacks": [told, usage]}))
    assert (["c", "a", "t", ""], 1, 1) == (told.tokens, told.starts, told.ends)
    assert 6 == usage.usage_metadata["my_custom_model"]["total_tokens"]


def test_parrots_of_different_lengths_share_no_cache_entry(parrot: Any) -> None:
    """Although the page's `_identifying_params` names the model alone."""
    assert parrot.cache_key() != Parrot(parrot_buffer_length=4, model="my_custom_model").cache_key()
    assert parrot.cache_key() == Parrot(parrot_buffer_length=3, model="my_custom_model").cache_key()


def test_settings_that_the_page_declares_and_never_reads_are_langplugs(parrot: Any) -> None:
    """Its `timeout` of whole seconds takes parts of one, and its `max_retries` tries again."""

    class Failing(Parrot):
        _calls: list[int] = PrivateAttr(default_factory=list)

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            self._calls.append(1)
            if len(self._calls) < 2:
                raise ModelTimeoutError("busy")
            result: ChatResult = super()._generate(messages, stop, run_manager, **kwargs)
            return result

    assert 0.5 == Parrot(parrot_buffer_length=3, model="x", timeout=0.5).timeout
    assert "hel" == Failing(parrot_buffer_length=3, model="x", max_retries=1).invoke("hello").text


def test_max_retries_that_a_hook_reads_is_its_own() -> None:
    """It goes to a client that tries again: retries of retries would be many."""
    calls: list[int] = []

    class Client(ChatModel):
        max_retries: int = 3

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            calls.append(self.max_retries)
            raise ModelTimeoutError("busy")

    with pytest.raises(ModelTimeoutError):
        Client().invoke("hi")
    assert [3] == calls


# --- which hook answers ---


class Says:
    """One hook each, which says its name."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return whole("_generate")

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        await asyncio.sleep(0)
        return whole("_agenerate")

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        yield from map(chunk, ("_str", "eam"))

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        for text in ("_astr", "eam"):
            await asyncio.sleep(0)
            yield chunk(text)


FIRST = {
    # hooks: by invoke, stream, ainvoke, astream
    "_generate": ("_generate",) * 4,
    "_stream": ("_stream",) * 4,
    "_agenerate": ("_agenerate",) * 4,
    "_astream": ("_astream",) * 4,
    "_generate _stream": ("_generate", "_stream", "_generate", "_stream"),
    "_generate _agenerate": ("_generate", "_generate", "_agenerate", "_agenerate"),
    "_stream _astream": ("_stream", "_stream", "_astream", "_astream"),
    "_generate _astream": ("_generate", "_astream", "_astream", "_astream"),
    "_agenerate _stream": ("_stream", "_stream", "_agenerate", "_stream"),
    "_generate _stream _agenerate _astream": ("_generate", "_stream", "_agenerate", "_astream"),
}


@pytest.mark.parametrize("hooks", FIRST)
def test_the_hook_of_the_calls_form_and_colour_answers(hooks: str) -> None:
    """Who reads a stream gets one, who waits on a loop is answered there; else what there is answers."""
    made: Any = new_class("Some", (ChatModel,), {name: vars(Says)[name] for name in hooks.split()})
    got = tuple(PATHS[path](made(), "hi").text for path in ("invoke", "stream", "ainvoke", "astream"))
    assert FIRST[hooks] == got
    assert made().invoke("hi", stop=["e"]).text.endswith("e")


@pytest.mark.parametrize("bases", ["mixin first", "mixin last"])
def test_a_subclass_of_a_model_with_hooks_may_have_a_respond(bases: str) -> None:
    """A `respond` answers in the place of the hooks that a model has from a mixin, as of those of its own."""
    both = (Says, ChatModel) if bases == "mixin first" else (ChatModel, Says)
    answering: Any = new_class(
        "Answering", (new_class("Hooked", both, {}),), {"respond": lambda self, request: "by respond"}
    )
    assert "by respond" == answering().invoke("x").text
    assert "by respond" == "".join(chunk.text for chunk in answering().stream("x"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bases", ["mixin first", "mixin last"])
def test_hooks_come_from_a_mixin(bases: str, path: str) -> None:
    """On either side of `ChatModel`, with stop strings and all."""
    both = (Says, ChatModel) if bases == "mixin first" else (ChatModel, Says)
    made: Any = new_class("Mixed", both, {})
    hook = {"invoke": "_generate", "ainvoke": "_agenerate", "stream": "_stream", "v3": "_stream"}.get(path, "_astream")
    assert hook[: hook.index("e") + 1] == PATHS[path](made(), "hi", stop=["e"]).text


@pytest.mark.parametrize("path", PATHS)
def test_hooks_come_from_another_chat_model(path: str) -> None:
    """`class Mine(ChatModel, SomeBaseChatModel)`, in either order."""

    class Last(ChatModel, FakeListChatModel):
        pass

    class First(FakeListChatModel, ChatModel):
        pass

    for cls in (Last, First):
        assert "a b" == PATHS[path](cls(responses=["a b c"]), "hi", stop=["b"]).text


@pytest.mark.parametrize("path", PATHS)
def test_a_hook_that_only_raises_is_none(path: str) -> None:
    """`BaseChatModel` wants a `_generate`, and so those that only await or stream write one that answers nothing."""

    class Awaits(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            raise NotImplementedError("Use the asynchronous methods.")

        async def _agenerate(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> ChatResult:
            return whole(messages[-1].text)

    class Streams(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any: ...

        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
            yield chunk(messages[-1].text)

    class Nothing(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            raise NotImplementedError

    assert "hi" == PATHS[path](Awaits(), "hi").text
    assert "hi" == PATHS[path](Streams(), "hi").text
    with pytest.raises(TypeError, match="has no `respond`"):
        Nothing()


def test_a_subclass_overrides_one_hook() -> None:
    """It reaches the other by `super()`, and what it leaves is as in its base."""

    class Loud(Parrot):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            result: ChatResult = super()._generate(messages, stop=stop, run_manager=run_manager, **kwargs)
            result.generations[0].message.content += "!"  # type: ignore[operator]
            return result

    model = Loud(parrot_buffer_length=3, model="loud")
    assert ("hel!", ["h", "e", "l", ""]) == (model.invoke("hello").text, [one.text for one in model.stream("hello")])


def test_a_subclass_is_rewritten_as_respond() -> None:
    """Then its base's hooks answer nothing."""

    class Rewritten(Parrot):
        def respond(self, request: Request) -> str:
            return request.text.upper()

    model = Rewritten(parrot_buffer_length=3, model="x")
    assert {"HELLO"} == {PATHS[path](model, "hello").text for path in PATHS}


@pytest.mark.parametrize("path", PATHS)
def test_hooks_call_each_other(path: str) -> None:
    """And langchain-core's own defaults, which call them again: nothing is cut, prompted or counted twice."""

    class Chained(ChatModel):
        _asked: list[Any] = PrivateAttr(default_factory=list)

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            return generate_from_stream(self._stream(messages, stop=stop, run_manager=run_manager, **kwargs))

        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
            self._asked.append([message.text for message in messages])
            yield from map(chunk, ("one ", "two"))

        async def _agenerate(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> ChatResult:
            return await super()._agenerate(messages, stop, run_manager, **kwargs)

    model = Chained()
    assert "one two" == PATHS[path](model.bind_tools([add]), "hi").text
    [asked] = model._asked
    assert 1 == sum("add" in text for text in asked)


# --- what hooks are given, and give ---


def test_a_simple_model_gets_messages_and_an_llm_text() -> None:
    """`_call` of `SimpleChatModel` and of `LLM`; one prompt as it is, a conversation as one text."""

    class Simple(ChatModel):
        def _call(self, messages: list[Any], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
            return f"{len(messages)} {messages[-1].content}"

    class Completes(ChatModel):
        n: int = 3

        @property
        def _llm_type(self) -> str:
            return "custom"

        def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
            return prompt[: self.n]

        def _stream(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
            for char in prompt[: self.n]:
                if run_manager:
                    run_manager.on_llm_new_token(char, chunk=GenerationChunk(text=char))
                yield GenerationChunk(text=char)

    assert "1 hi" == Simple().invoke("hi").text
    assert ("foo", ["f", "o", "o", ""]) == (
        Completes().invoke("foobar").text,
        [one.text for one in Completes().stream("foobar")],
    )
    assert "System: be kind\nHuman: hi" == Completes(n=25).invoke([("system", "be kind"), ("human", "hi")]).text
    assert "fo" == Completes().invoke("foobar", n=2).text


@pytest.mark.parametrize("base", [SimpleChatModel, LLM])
@pytest.mark.parametrize("path", PATHS)
def test_a_base_of_langchain_cores_may_stay(base: Any, path: str) -> None:
    """`class Mine(ChatModel, SimpleChatModel)`, and of `LLM`."""

    class Mine(ChatModel, base):
        def _call(self, given: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
            return given if isinstance(given, str) else str(given[-1].content)

    assert "hel" == PATHS[path](Mine(), "hello", stop=["l"]).text


GIVEN: dict[str, Any] = {
    "ChatResult": whole("hello"),
    "LLMResult": LLMResult(generations=[[Generation(text="hello")]]),
    "a message": AIMessage("hello"),
    "text": "hello",
}


@pytest.mark.parametrize("given", GIVEN)
def test_a_hook_gives_any_of_these(given: str) -> None:
    """A result, a message or a text."""

    class Mine(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            return GIVEN[given]

    assert "hello" == Mine().invoke("x").text


def test_usage_beside_the_message_counts() -> None:
    """That of `llm_output`, as older models report it."""

    class Mine(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            output = {"token_usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
            return ChatResult(generations=whole("x").generations, llm_output=output)

    assert {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3} == Mine().invoke("x").usage_metadata


def test_what_is_no_answer_is_an_error_that_names_the_hook() -> None:
    """And not `respond`, which nobody wrote."""

    class Mine(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            return 42

    with pytest.raises(TypeError, match=r"Mine\._generate gave 42"):
        Mine().invoke("x")


SIGNATURES: dict[str, Any] = {
    "the page's": lambda self, messages, stop=None, run_manager=None, **kwargs: whole(f"{stop}"),
    "no run_manager": lambda self, messages, stop=None, **kwargs: whole(f"{stop}"),
    "no more": lambda self, messages, stop=None: whole(f"{stop}"),
    "all required": lambda self, messages, stop, run_manager: whole(f"{stop}"),
    "by keyword": lambda self, messages, *, stop=None, top_k=None, **kwargs: whole(f"{stop}"),
    "in kwargs": lambda self, messages, **kwargs: whole(f"{kwargs['stop']}"),
    "anything": lambda *args, **kwargs: whole(f"{kwargs['stop']}"),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("signature", SIGNATURES)
def test_hooks_are_called_by_their_signature(signature: str, path: str) -> None:
    """They get stop strings in it, and are cut at them all the same."""
    made: Any = new_class("Some", (ChatModel,), {"_generate": SIGNATURES[signature]})
    assert "None" == PATHS[path](made(), "x").text
    assert "['zz" == PATHS[path](made(), "x", stop=["zz"]).text


def test_parameters_of_a_call_reach_who_makes_use_of_them() -> None:
    """A field has the call's value; what is no field goes to `**kwargs` or by name; else it is a mistake."""

    class Takes(ChatModel):
        temperature: float = 0.0

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            return whole(f"{self.temperature} {kwargs}")

    class Names(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, top_k: int = 0) -> ChatResult:
            return whole(f"{top_k}")

    assert "0.5 {'user': 'bo'}" == Takes().invoke("x", temperature=0.5, user="bo").text
    assert "0.0 {}" == Takes().invoke("x").text
    assert ("7", "0") == (Names().invoke("x", top_k=7).text, Names().invoke("x").text)
    assert Takes().cache_key(user="bo") != Takes().cache_key(user="al")
    with pytest.raises(TypeError, match="no parameter 'top_j'"):
        Names().invoke("x", top_j=7)
    with pytest.raises(TypeError, match="no parameter 'n'"):  # of several answers, one would be left
        Takes().generate([[HumanMessage("x")]], n=2)
    with pytest.raises(TypeError, match="no parameter 'temprature'"):  # the page's hooks look at none
        Parrot(parrot_buffer_length=3, model="x").invoke("x", temprature=1)


@pytest.mark.parametrize("heard", [False, True])
def test_the_run_is_the_calls(heard: bool) -> None:
    """Its id, its tags and metadata, and what is called within it is its child."""
    seen: list[Any] = []

    class Mine(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            seen.append(
                (run_manager.run_id, run_manager.tags, run_manager.metadata, run_manager.get_child().parent_run_id)
            )
            return whole("x")

        async def _agenerate(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> ChatResult:
            await run_manager.on_llm_new_token("twice")
            return self._generate(messages, stop, run_manager.get_sync(), **kwargs)

    told = Told()
    config: Any = {"tags": ["t"], "metadata": {"user": "bo"}, **({"callbacks": [told]} if heard else {})}
    message = Mine().invoke("x", config)
    asyncio.run(Mine().ainvoke("x", config))
    (run_id, tags, metadata, parent), second = seen
    assert (["t"], "bo", run_id) == (tags, metadata["user"], parent)
    assert second[1:3] == (tags, metadata)
    assert str(run_id) in (message.id or "")
    assert [] == told.tokens
    assert Mine().cache_key() == Mine().cache_key()


# --- tools and schemas ---


def test_tools_are_prompted() -> None:
    """Unless the class says that it calls them natively."""

    class Mine(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            assert "tools" not in kwargs
            return whole('<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>')

    assert {"a": 1, "b": 2} == Mine().bind_tools([add]).invoke("x").tool_calls[0]["args"]


def test_a_class_that_calls_tools_natively_is_given_them() -> None:
    """In OpenAI's form; schemas likewise."""
    seen: list[dict[str, Any]] = []

    class Mine(ChatModel):
        tool_calling = "native"
        structured_output = "native"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            seen.append(kwargs)
            call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1"}
            return whole("", tool_calls=[call]) if "tools" in kwargs else whole('{"city": "Oslo"}')

    class City(BaseModel):
        city: str

    assert 1 == len(Mine().bind_tools([add], tool_choice="any").invoke("x").tool_calls)
    assert [convert_to_openai_tool(add)] == seen[0]["tools"]
    assert "required" == seen[0]["tool_choice"]
    assert City(city="Oslo") == Mine().with_structured_output(City).invoke("x")
    assert "city" in str(seen[1]["response_format"]["json_schema"]["schema"])


def test_a_class_that_cannot_be_given_what_it_says_is_refused() -> None:
    """It says that it calls tools natively, and its hook takes none."""
    for capability in ("tool_calling", "structured_output"):
        body = {capability: "native", "_generate": lambda self, messages, stop=None: whole("x")}
        with pytest.raises(TypeError, match=rf"{capability} = 'native'.*_generate.*\*\*kwargs"):
            new_class("Deaf", (ChatModel,), body)


def test_a_bind_tools_of_its_own_makes_the_keywords() -> None:
    """In the form that its hook wants; it is native by that, and the model's own `bind_tools` is langplug's."""
    seen: list[dict[str, Any]] = []

    class Mine(ChatModel):
        def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
            mine = [{"mine": convert_to_openai_tool(one)["function"]["name"]} for one in tools]
            return self.bind(functions=mine, choice=tool_choice, **kwargs)

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            seen.append(kwargs)
            call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
            return whole("", additional_kwargs={"tool_calls": [call]})

        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
            seen.append(kwargs)
            yield ChatGenerationChunk(
                message=AIMessageChunk(
                    content="", tool_call_chunks=[{"name": "add", "args": '{"a": 1, "b": 2}', "id": "1", "index": 0}]
                )
            )

    assert "native" == Mine().tool_calling
    for path in PATHS:
        answered = PATHS[path](Mine().bind_tools([add], tool_choice="any", parallel_tool_calls=False), "x")
        assert {"a": 1, "b": 2} == answered.message.tool_calls[0]["args"]
    wanted = {"functions": [{"mine": "add"}], "choice": "any", "parallel_tool_calls": False}
    assert all(wanted == given for given in seen)


def test_a_stream_that_takes_no_tools_leaves_them_to_who_does() -> None:
    """A hook that makes use of what a call asks for comes first."""

    class Mine(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            return whole("", tool_calls=[{"name": kwargs["tools"][0]["function"]["name"], "args": {}, "id": "1"}])

        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None) -> Iterator[Any]:
            yield chunk("streamed")

    model = Mine(tool_calling="native")
    assert "streamed" == PATHS["stream"](model, "x").text
    [call] = PATHS["stream"](model.bind_tools([add]), "x").message.tool_calls
    assert "add" == call["name"]


# --- state, copies, ends ---


class Stateful(ChatModel):
    """Keeps a client that it makes on first use, as hand-written classes do."""

    _lock: Any = PrivateAttr(default=None)
    _count: int = PrivateAttr(default=0)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self._count += 1
        return whole(str(self._count))


def test_hooks_share_the_models_state() -> None:
    """What a hook sets is there at the next call; a pickle and a copy are models of their own."""
    model = Stateful()
    assert ["1", "2"] == [model.invoke("x").text, asyncio.run(model.ainvoke("x")).text]
    assert 2 == model._count
    assert "3" == pickle.loads(pickle.dumps(model)).invoke("x").text
    assert "3" == model.model_copy().invoke("x").text
    assert "3" == model.invoke("x").text


def test_what_closes_a_model_is_not_called_for_its_stand_in() -> None:
    """`__del__` closes clients."""
    closed: list[str] = []

    class Mine(Stateful):
        def __del__(self) -> None:
            closed.append("closed")

    model = Mine()
    model.invoke("x")
    gc.collect()
    assert [] == closed
    del model
    gc.collect()
    assert ["closed"] == closed


def test_a_reader_that_leaves_closes_the_hook() -> None:
    """In both colours."""
    closed: list[str] = []

    class Mine(ChatModel):
        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
            try:
                while True:
                    yield chunk("a")
            finally:
                closed.append("_stream")

        async def _astream(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> AsyncIterator[Any]:
            try:
                while True:
                    await asyncio.sleep(0)
                    yield chunk("a")
            finally:
                closed.append("_astream")

    for _ in Mine().stream("x"):
        break
    assert "aaa" == Mine().invoke("x", stop=["aaa"]).text

    async def leave() -> None:
        stream = Mine().astream("x")
        await anext(stream)
        await stream.aclose()

    asyncio.run(leave())
    assert {"_stream", "_astream"} == set(closed)


async def test_a_blocking_hook_does_not_block_the_loop() -> None:
    """It runs in a thread of langplug's."""
    threads: list[Any] = []

    class Mine(ChatModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            threads.append(threading.current_thread())
            return whole("x")

    await Mine().ainvoke("x")
    assert threading.current_thread() not in threads


def test_on_the_fast_path_too() -> None:
    """Without callbacks langchain-core's are gone past: a door before a hook is langplug's."""
    assert BaseChatModel._generate is not Parrot._generate
    model = Parrot(parrot_buffer_length=2, model="x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseChatModel, "_generate_with_cache", None)
        assert "he" == model.invoke("hello").text
