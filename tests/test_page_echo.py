"""What LangChain's page "How to create a custom chat model class" shows, and its checklist, of our echo model.

The outputs are the page's own, on the langchain-core of today.
"""

import asyncio
import inspect
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core._api import LangChainDeprecationWarning
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.prompts import ChatPromptTemplate
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from pydantic import SecretStr, ValidationError

from langplug._model.capabilities import CAPABILITIES
from langplug.models import CustomChatModelAdvanced


@pytest.fixture
def model() -> CustomChatModelAdvanced:
    """The page's model."""
    return CustomChatModelAdvanced(n=3, model_name="my_custom_model")


def test_invoke_with_messages(model: CustomChatModelAdvanced) -> None:
    """Three messages that end in "Meow!" are answered with "Meo", and with the page's metadata."""
    message = model.invoke([HumanMessage("hello!"), AIMessage("Hi there human!"), HumanMessage("Meow!")])
    assert AIMessage is type(message)
    assert "Meo" == message.content
    assert 3 == message.response_metadata["time_in_seconds"]
    assert "my_custom_model" == message.response_metadata["model_name"]
    assert message.id


def test_invoke_with_text(model: CustomChatModelAdvanced) -> None:
    """Plain text is answered with its first three characters."""
    assert "hel" == model.invoke("hello").content


async def test_ainvoke(model: CustomChatModelAdvanced) -> None:
    """So it is asynchronously."""
    message = await model.ainvoke("hello")
    assert ("hel", 3) == (message.content, message.response_metadata["time_in_seconds"])


def test_batch(model: CustomChatModelAdvanced) -> None:
    """A batch of two has two answers, in order."""
    assert ["hel", "goo"] == [message.content for message in model.batch(["hello", "goodbye"])]


async def test_abatch(model: CustomChatModelAdvanced) -> None:
    """So has an asynchronous one."""
    assert ["hel", "goo"] == [message.content for message in await model.abatch(["hello", "goodbye"])]


def test_stream(model: CustomChatModelAdvanced, capsys: pytest.CaptureFixture[str]) -> None:
    """`stream("cat")`, printed as on the page, is exactly `c|a|t||`; the last chunk holds the time."""
    chunk = AIMessageChunk("")
    for chunk in model.stream("cat"):
        print(chunk.content, end="|")  # noqa: T201 - as the page does
    assert "c|a|t||" == capsys.readouterr().out
    assert 3 == chunk.response_metadata["time_in_sec"]


async def test_astream(model: CustomChatModelAdvanced, capsys: pytest.CaptureFixture[str]) -> None:
    """`astream("cat")` prints the same."""
    chunk = AIMessageChunk("")
    async for chunk in model.astream("cat"):
        print(chunk.content, end="|")  # noqa: T201 - as the page does
    assert "c|a|t||" == capsys.readouterr().out
    assert 3 == chunk.response_metadata["time_in_sec"]


async def events_of(model: CustomChatModelAdvanced, version: Any) -> list[Any]:
    return [event async for event in model.astream_events("cat", version=version)]


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_astream_events(model: CustomChatModelAdvanced, version: str) -> None:
    """One start, four stream events (`c`, `a`, `t`, and the metadata), one end with the output `cat`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainDeprecationWarning)  # version 1 is
        events = await events_of(model, version)
    kinds = ["on_chat_model_start", *["on_chat_model_stream"] * 4, "on_chat_model_end"]
    assert kinds == [event["event"] for event in events]
    assert ["c", "a", "t", ""] == [event["data"]["chunk"].content for event in events[1:5]]
    assert 3 == events[4]["data"]["chunk"].response_metadata["time_in_sec"]
    assert 1 == len({event["run_id"] for event in events})
    assert {"CustomChatModelAdvanced"} == {event["name"] for event in events}
    assert "cat" == output_text(events[-1]["data"]["output"])


def output_text(output: Any) -> str:
    """Version 1 ends with the whole result, version 2 with its message."""
    return str(output["generations"][0][0]["text"] if isinstance(output, dict) else output.content)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_stream_events_v3(model: CustomChatModelAdvanced) -> None:
    """Version 3 has a valid life cycle, three pieces of text, and the same message."""
    events = list(model.stream_events("cat", version="v3"))
    assert_valid_event_stream(events)
    stream = model.stream_events("cat", version="v3")
    assert ["c", "a", "t"] == list(stream.text)
    assert ("cat", 3) == (stream.output.text, stream.output.response_metadata["time_in_sec"])


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_astream_events_v3(model: CustomChatModelAdvanced) -> None:
    """So it has asynchronously."""
    async with await model.astream_events("cat", version="v3") as stream:
        events = [event async for event in stream]
        assert "cat" == (await stream.output).text
    assert_valid_event_stream(events)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_stream_events_v3_of_an_empty_prompt(model: CustomChatModelAdvanced) -> None:
    """An empty prompt, at which the page's own code fails there, is answered with nothing."""
    assert "" == model.stream_events("", version="v3").output.text


async def test_astream_log(model: CustomChatModelAdvanced) -> None:
    """The older log of a stream holds the same four chunks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainDeprecationWarning)
        patches = [patch async for patch in model.astream_log("cat")]
    streamed = [op["value"] for patch in patches for op in patch.ops if op["path"] == "/streamed_output/-"]
    assert ["c", "a", "t", ""] == [chunk.content for chunk in streamed]


# --- what it says of itself ---


def test_identity(model: CustomChatModelAdvanced) -> None:
    """The type is the page's, and the identifying parameters hold the name, and `n`."""
    assert "echoing-chat-model-advanced" == model._llm_type
    assert ("my_custom_model", 3) == tuple(model._identifying_params[name] for name in ("model_name", "n"))
    assert "my_custom_model" == model._get_ls_params()["ls_model_name"]


def test_two_echoes_share_no_cache_entry(model: CustomChatModelAdvanced) -> None:
    """Echoes of different lengths have different cache keys, unlike the page's."""
    assert model._get_llm_string() != CustomChatModelAdvanced(n=4, model_name="my_custom_model")._get_llm_string()


@pytest.mark.parametrize("name", ["model", "model_name"])
def test_its_name_can_be_given_both_ways(name: str) -> None:
    """The page's class is made with `model_name=` and with `model=`."""
    arguments: dict[str, Any] = {name: "mine", "n": 3}
    assert "mine" == CustomChatModelAdvanced(**arguments).model_name


@pytest.mark.parametrize("n", [-1, "three", None])
def test_n_must_be_a_number_of_characters(n: Any) -> None:
    """`n` is checked, and there is no echo without it."""
    with pytest.raises(ValidationError, match="n\n"):
        CustomChatModelAdvanced(n=n)
    with pytest.raises(ValidationError, match="Field required"):
        CustomChatModelAdvanced()  # type: ignore[call-arg]


# --- messages ---

MESSAGES: list[BaseMessage] = [
    SystemMessage("Meow!"),
    HumanMessage("Meow!"),
    AIMessage("Meow!"),
    FunctionMessage("Meow!", name="cat"),
    ToolMessage("Meow!", tool_call_id="1"),
    ChatMessage("Meow!", role="cat"),
    SystemMessageChunk("Meow!"),
    HumanMessageChunk("Meow!"),
    AIMessageChunk("Meow!"),
    FunctionMessageChunk("Meow!", name="cat"),
    ToolMessageChunk("Meow!", tool_call_id="1"),
    ChatMessageChunk("Meow!", role="cat"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_of_the_page_is_input(model: CustomChatModelAdvanced, message: BaseMessage) -> None:
    """Every type of message that the page lists is echoed."""
    assert "Meo" == model.invoke([message]).content
    assert "Meo" == "".join(chunk.text for chunk in model.stream([HumanMessage("hi"), message]))


def test_chunks_add_up() -> None:
    """Chunks add up, as the page shows."""
    assert AIMessageChunk("Hello World!") == AIMessageChunk("Hello") + AIMessageChunk(" World!")


# --- the page's checklist ---


def fields() -> Iterator[tuple[str, str]]:
    """The fields that the class declares, and what stands behind each in the source."""
    lines = inspect.getsource(CustomChatModelAdvanced).splitlines()
    for name in CustomChatModelAdvanced.__annotations__.keys() - CAPABILITIES.keys():
        (at,) = [number for number, line in enumerate(lines) if line.strip().startswith(f"{name}:")]
        yield name, lines[at + 1].strip()


def test_checklist_parameters_are_documented() -> None:
    """Each parameter has a docstring, and so has the class."""
    documented = {name: behind.startswith('"""') for name, behind in fields()}
    assert {"model_name": True, "n": True} == {name: documented[name] for name in ("model_name", "n")}
    assert all(documented.values())
    assert "Echoes the first `n` characters" in (CustomChatModelAdvanced.__doc__ or "")


@pytest.mark.parametrize(("include", "expected"), [(True, "hello w"), (False, "hello ")])
def test_checklist_stop_tokens_are_honoured_and_included(include: bool, expected: str) -> None:
    """The stop token ends the text, and is part of it, unless that is not wanted."""
    model = CustomChatModelAdvanced(n=100, include_stop=include)
    assert expected == model.invoke("hello world", stop=["w"]).content
    assert expected == "".join(chunk.text for chunk in model.stream("hello world", stop=["w"]))
    assert expected == asyncio.run(model.ainvoke("hello world", stop=["w"])).content


@pytest.mark.filterwarnings("ignore::langplug.IgnoredParameterWarning")
def test_checklist_keys_are_secrets() -> None:
    """A key that is given is kept as a `SecretStr` and not shown."""
    model = CustomChatModelAdvanced(n=3, api_key="sk-MARKER")  # type: ignore[call-arg]
    assert isinstance(model.ignored_params["api_key"], SecretStr)
    assert "MARKER" not in repr(model) + model.model_dump_json()


@pytest.mark.parametrize("hook", ["_generate", "_agenerate", "_stream", "_astream"])
def test_checklist_streaming_and_async_are_native(hook: str) -> None:
    """All four hooks are the model's own, not langchain-core's defaults."""
    assert getattr(CustomChatModelAdvanced, hook) is not getattr(BaseChatModel, hook)


async def test_checklist_async_never_needs_the_default_executor(model: CustomChatModelAdvanced) -> None:
    """The async methods work where the event loop has no threads to lend."""
    asyncio.get_running_loop().set_default_executor(Refusing())
    assert "hel" == (await model.ainvoke("hello")).content
    assert "cat" == "".join([chunk.text async for chunk in model.astream("cat")])


class Refusing(ThreadPoolExecutor):
    """An executor that lends no thread."""

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the event loop's own threads were asked for")


def test_it_works_in_a_chain(model: CustomChatModelAdvanced) -> None:
    """It works behind a prompt, as the page's closing words promise."""
    chain = ChatPromptTemplate.from_messages([("system", "be kind"), ("human", "{said}")]) | model
    assert "Meo" == chain.invoke({"said": "Meow!"}).content
