"""Group C of the contract: what comes back of one call, and what goes into it."""

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps, loads
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
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.messages.block_translators import get_translator
from langchain_core.outputs import ChatGeneration
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from tests.paths import PATHS, STREAMED, WHOLE, Path, beta_allowed
from tests.zoo import PIXEL, MakeModel

from langplug import Finish, Part, Reasoning, Request, chat_model
from langplug.models import ChatScripted

# --- what comes back ---


def test_c01_every_answer_is_a_message_of_its_own(make_model: MakeModel, call: Path) -> None:
    """Each answer is a fresh `AIMessage`, no chunk and not the input, with an id that no other has."""
    model = make_model()
    given = HumanMessage("hi", id="mine")
    messages = [call(model, [given]).message for _ in range(3)]
    assert [AIMessage] * 3 == [type(message) for message in messages]
    assert 3 == len({message.id for message in messages} - {None, "", "mine"})


def test_c02_usage_adds_up(make_model: MakeModel, call: Path) -> None:
    """Usage has integers only, details included, and its total is input plus output."""
    usage = call(make_model(), [SystemMessage("be kind"), HumanMessage("/think one two three")]).message.usage_metadata
    expected = {
        "input_tokens": 6,
        "output_tokens": 5,
        "total_tokens": 11,
        "input_token_details": {"cache_read": 1},
        "output_token_details": {"reasoning": 2},
    }
    assert expected == usage


def test_c02_usage_is_never_invented(call: Path) -> None:
    """A model that reports nothing has no usage."""
    assert call(ChatScripted(replies=["hi"]), "?").message.usage_metadata is None


def test_c02_usage_can_be_estimated(call: Path) -> None:
    """With a token counter, usage that was not reported is estimated, and marked so."""
    model = ChatScripted(replies=[["one ", "two"]], token_counter=lambda text: len(text.split()))
    message = call(model, "what is it?").message
    assert {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5} == message.usage_metadata
    assert message.response_metadata["usage_estimated"] is True


def test_c03_metadata_say_who_answered_and_why_it_ended(make_model: MakeModel, call: Path) -> None:
    """`response_metadata` has the model's name, its provider, the reason of its end, and what the author adds."""
    model = make_model()
    metadata = call(model, "hi").message.response_metadata
    assert ("zoo-1", model.reported_provider, "stop", "calm") == tuple(
        metadata[name] for name in ("model_name", "model_provider", "finish_reason", "mood")
    )


def test_c33_no_provider_is_claimed_that_would_read_the_content_otherwise(make_model: MakeModel, call: Path) -> None:
    """`model_provider` changes nothing about how `content_blocks` are read."""
    message = call(make_model(), "/think one two").message
    without = message.model_copy(update={"response_metadata": {}})
    assert [block["type"] for block in message.content_blocks] == [block["type"] for block in without.content_blocks]


@pytest.mark.parametrize("name", ["openai", "ChatOpenAI", "ChatAnthropic", "bedrock"])
def test_c33_a_class_that_is_called_like_a_provider_is_not_taken_for_it(name: str) -> None:
    """A class with a known provider's name gets a provider of its own."""

    def answer(request: Request) -> str:
        return "hi"

    answer.__name__ = name
    message = chat_model(answer)().invoke("?")
    assert get_translator(message.response_metadata["model_provider"]) is None


def test_c04_the_message_survives_json(make_model: MakeModel, call: Path) -> None:
    """A message is the same after it was dumped and loaded, and its metadata are JSON."""
    message = call(make_model(), "/think one two").message
    assert message == loads_message(dumps(message))
    assert message.response_metadata == json.loads(json.dumps(message.response_metadata))


def loads_message(text: str) -> Any:
    with beta_allowed():
        return loads(text, allowed_objects=[AIMessage])


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("one two", id="str"),
        pytest.param([HumanMessage("one two")], id="messages"),
        pytest.param((HumanMessage("one two"),), id="tuple of messages"),
        pytest.param([("human", "one two")], id="tuples"),
        pytest.param([{"role": "user", "content": "one two"}], id="dicts"),
        pytest.param(["one two"], id="strings"),
        pytest.param(StringPromptValue(text="one two"), id="string prompt"),
        pytest.param(ChatPromptValue(messages=[HumanMessage("one two")]), id="chat prompt"),
        pytest.param([HumanMessage([{"type": "text", "text": "one two"}])], id="content blocks"),
        pytest.param([HumanMessage(["one ", {"type": "text", "text": "two"}])], id="mixed content"),
    ],
)
def test_c05_every_form_of_input_works(make_model: MakeModel, call: Path, given: Any) -> None:
    """What LangChain takes as the input of a chat model is taken."""
    assert "one two!" == call(make_model(suffix="!"), given).text


HISTORY = [
    SystemMessage("be kind", id="s"),
    HumanMessage(["one ", {"type": "text", "text": "two"}], name="ann"),
    AIMessage("three", response_metadata={"a": [1]}, additional_kwargs={"reasoning_content": "hmm"}),
    HumanMessage("four"),
]


def test_c06_the_input_is_not_changed(make_model: MakeModel, call: Path) -> None:
    """The caller's messages are the same before and after."""
    given = copy.deepcopy(HISTORY)
    call(make_model(), given)
    assert HISTORY == given


class Ends(BaseCallbackHandler):
    """Counts starts, ends and errors."""

    run_inline = True  # elsewhere, the end of the event loop may come before that of a version 3 stream's handlers

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.seen.append("start")

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.seen.append("end")

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        self.seen.append("error")


def test_c07_no_messages_is_a_clear_error(make_model: MakeModel, call: Path) -> None:
    """An empty list of messages is an error that says so, and that callbacks are told of."""
    ends = Ends()
    with pytest.raises(ValueError, match=r"was given no message\. Give it at least one"):
        call(make_model(), [], config={"callbacks": [ends]})
    assert ["start", "error"] == ends.seen


def test_c08_an_empty_prompt_works(make_model: MakeModel, call: Path) -> None:
    """An empty prompt is answered like any other."""
    assert "!" == call(make_model(suffix="!"), "").text


# --- text ---

TEXTS = {
    "ZWJ emoji": "👩‍👩‍👧‍👦 👍🏽",
    "right to left": "שלום عليكم",
    "CJK": "你好，世界 こんにちは",
    "combining": "e\u0301 a\u0308\u0323",
    "NUL and controls": "a\x00b\x1b[0m",
    "blanks": "  a\t\tb\n\n c \r\n",
    "markup": "<think>a</b> &amp; {b} %s \\n",
}


@pytest.mark.parametrize("mode", ["echo", "spell"])
def test_c09_unicode_survives(make_model: MakeModel, call: Path, mode: str) -> None:
    """Text comes back character by character as it went in, in one piece or in many."""
    model = make_model(mode=mode, reasoning_tags=None)
    assert TEXTS == {name: call(model, text).text for name, text in TEXTS.items()}


def test_c09_a_lone_surrogate_survives(make_model: MakeModel, call: Path) -> None:
    """Text that cannot be encoded is handed through."""
    assert "a\ud800b" == call(make_model(), "a\ud800b").text


def test_c10_a_prompt_of_a_megabyte_works_promptly(make_model: MakeModel, call: Path) -> None:
    """A very long prompt is answered without delay."""
    text = "x" * 1_000_000
    started = time.monotonic()
    assert text == call(make_model(), text).text
    assert time.monotonic() - started < 5


# --- history ---

CALL = {"name": "add", "args": {"a": 1}, "id": "call_1", "type": "tool_call"}
LEGAL: dict[str, list[BaseMessage]] = {
    "system": [SystemMessage("be kind"), HumanMessage("hi")],
    "system, several": [SystemMessage("be kind"), SystemMessage("be short"), HumanMessage("hi")],
    "system, late": [HumanMessage("hi"), AIMessage("ho"), SystemMessage("be kind"), HumanMessage("hi")],
    "system alone": [SystemMessage("be kind")],
    "human twice": [HumanMessage("hi"), HumanMessage("ho")],
    "AI first": [AIMessage("ho"), HumanMessage("hi")],
    "AI last": [HumanMessage("hi"), AIMessage("ho")],
    "AI with calls": [AIMessage("", tool_calls=[CALL]), ToolMessage("3", tool_call_id="call_1")],
    "AI with calls, no content": [AIMessage([], tool_calls=[CALL]), ToolMessage("3", tool_call_id="call_1")],
    "AI with broken calls": [
        AIMessage("ho", invalid_tool_calls=[{"name": "add", "args": "{", "id": "c", "error": None}]),
        HumanMessage("hi"),
    ],
    "tool, list": [ToolMessage(["3", {"type": "text", "text": "4"}], tool_call_id="call_1")],
    "tool, error": [ToolMessage("no", tool_call_id="call_1", status="error")],
    "function": [FunctionMessage("3", name="add")],
    "chat": [ChatMessage("hi", role="critic")],
    "human chunk": [HumanMessageChunk("hi")],
    "system chunk": [SystemMessageChunk("be kind"), HumanMessage("hi")],
    "AI chunk": [HumanMessage("hi"), AIMessageChunk("ho"), HumanMessage("hi")],
    "tool chunk": [ToolMessageChunk("3", tool_call_id="call_1")],
    "function chunk": [FunctionMessageChunk("3", name="add")],
    "chat chunk": [ChatMessageChunk("hi", role="critic")],
    "name": [HumanMessage("hi", name="ann"), AIMessage("ho", name="bob"), HumanMessage("hi")],
    "v1 reasoning": [
        AIMessage([{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "ho"}]),
        HumanMessage("hi"),
    ],
    "v1 call": [
        AIMessage([{"type": "text", "text": "ho"}, {**CALL}], response_metadata={"output_version": "v1"}),
        ToolMessage("3", tool_call_id="call_1"),
    ],
    "Anthropic's blocks": [
        AIMessage(
            [
                {"type": "thinking", "thinking": "hmm", "signature": "x"},
                {"type": "text", "text": "ho"},
                {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}},
            ]
        ),
        ToolMessage("3", tool_call_id="call_1"),
    ],
}


@pytest.mark.parametrize("messages", LEGAL.values(), ids=LEGAL)
def test_c11_every_legal_history_is_taken(make_model: MakeModel, messages: list[BaseMessage]) -> None:
    """A history of other models' messages, of every type and shape, reaches the author on each path, in order."""
    model = make_model(mode="recall")
    expected = [text for message in messages for text in texts(message)]
    for path in PATHS.values():
        rest = path(model, messages).text
        for text in expected:
            assert text in rest
            rest = rest[rest.index(text) + len(text) :]


def texts(message: BaseMessage) -> list[str]:
    """The pieces of text in the content."""
    content = [message.content] if isinstance(message.content, str) else message.content
    pieces = [piece if isinstance(piece, str) else piece.get("text", "") for piece in content]
    return [piece for piece in pieces if piece]


@pytest.mark.parametrize("tool_calling", ["native", "off"])
@pytest.mark.parametrize("messages", LEGAL.values(), ids=LEGAL)
def test_c11_histories_are_not_rewritten(messages: list[BaseMessage], tool_calling: Any) -> None:
    """A model whose tool calls are its own business gets the caller's messages as they are."""
    seen: list[BaseMessage] = []

    @chat_model(tool_calling=tool_calling)
    def witness(request: Request) -> str:
        seen.extend(request.messages)
        return "ok"

    witness().invoke(messages)
    assert messages == seen


SENDABLE = {name: messages for name, messages in LEGAL.items() if not isinstance(messages[-1], ChatMessage)}


@pytest.mark.parametrize("messages", [*SENDABLE.values(), [ChatMessage("hi", role="user")]], ids=[*SENDABLE, "chat"])
def test_c11_every_legal_history_can_be_sent_on(messages: list[BaseMessage]) -> None:
    """Histories of roles that others know have a form for OpenAI's wire and one for models that only complete text."""
    sent = mirror().invoke(messages)
    assert json.loads(sent.text)["messages"]
    assert json.loads(sent.text)["prompt"]


@chat_model
def mirror(request: Request) -> str:
    """Says what it would send."""
    return json.dumps({"messages": request.openai_messages(), "prompt": request.prompt()})


class Strange(BaseMessage):
    """A message of no known type."""

    type: str = "strange"


@pytest.mark.parametrize("stranger", [RemoveMessage(id="1"), Strange("hi")], ids=["remove", "unknown"])
def test_c12_messages_that_no_model_understands_are_refused(
    make_model: MakeModel, call: Path, stranger: BaseMessage
) -> None:
    """A control message, or one of an unknown type, is an error that names it and its place."""
    with pytest.raises(ValueError, match=rf"cannot be given a {type(stranger).__name__} \(\$\.messages\[1\]\)"):
        call(make_model(), [HumanMessage("hi"), stranger])


MEDIA: dict[str, tuple[str, dict[str, Any]]] = {
    "image": ("image", {"type": "image", "base64": PIXEL, "mime_type": "image/png"}),
    "image_url": ("image", {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}),
    "audio": ("audio", {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}),
    "input_audio": ("audio", {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    "video": ("video", {"type": "video", "url": "https://films.example/a.mp4"}),
    "file": ("file", {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"}),
    "document": ("file", {"type": "document", "source": {"type": "url", "url": "https://acme.example/a.pdf"}}),
    "non_standard": ("non_standard", {"type": "non_standard", "value": {"a": 1}}),
    "unknown": ("hologram", {"type": "hologram", "data": "x"}),
}


@pytest.mark.parametrize(("medium", "block"), MEDIA.values(), ids=MEDIA)
@pytest.mark.parametrize("message", [HumanMessage, lambda content: ToolMessage(content, tool_call_id="1")])
def test_c13_content_that_a_model_cannot_take_is_refused(
    make_model: MakeModel, medium: str, block: dict[str, Any], message: Callable[[Any], BaseMessage]
) -> None:
    """An image, and whatever else the model has not declared, is an error that says what to declare: never dropped."""
    expected = rf"not content of type .*\[1\].* `accepts = frozenset\(\{{{medium!r}\}}\)`"
    for path in PATHS.values():
        with pytest.raises(ValueError, match=expected):
            path(make_model(), [message([{"type": "text", "text": "what is this?"}, block])])


@pytest.mark.parametrize(("medium", "block"), MEDIA.values(), ids=MEDIA)
def test_c13_content_that_a_model_takes_reaches_it(call: Path, medium: str, block: dict[str, Any]) -> None:
    """What the model has declared is in the messages that its author gets."""

    @chat_model(accepts=frozenset({medium}))
    def looker(request: Request) -> str:
        return repr(request.messages[-1].content)

    shown = call(looker(), [HumanMessage([{"type": "text", "text": "what is this?"}, block])]).text
    data = json.dumps(block).split('"')[-2]
    assert data in shown


def test_c20_the_whole_history_reaches_the_author(make_model: MakeModel, call: Path) -> None:
    """All messages arrive, in order, with their roles; the system's text is not lost."""
    expected = "system: be kind\nhuman: one two\nai: three\nhuman: four\n"
    assert expected == call(make_model(mode="recall"), HISTORY).text


@pytest.mark.parametrize("version", [None, "v1"])
def test_c14_an_answer_fed_back_keeps_its_text(make_model: MakeModel, call: Path, version: str | None) -> None:
    """What a model said, on whatever path, arrives as the same text in the next turn."""
    model = make_model(output_version=version)
    said = call(model, "/think one two").message
    history = [HumanMessage("go"), said, HumanMessage("on")]
    assert "human: go\nai: one two\nhuman: on\n" == call(model, history, mode="recall").text


# --- parameters of one call ---


def test_c15_parameters_of_a_call_reach_the_author_and_do_not_stick(make_model: MakeModel, call: Path) -> None:
    """A parameter given for one call holds for that call alone, given directly or bound."""
    model = make_model(mode="settings")
    assert call(model, "?", temperature=0.125).text.startswith("zoo-1 0.125 ")
    assert call(model.bind(temperature=0.25), "?").text.startswith("zoo-1 0.25 ")
    assert call(model, "?").text.startswith("zoo-1 0.5 ")


def test_c15_a_misspelt_parameter_of_a_call_is_refused(make_model: MakeModel, call: Path) -> None:
    """A misspelt parameter of a call is an error that suggests the right one, and that callbacks are told of."""
    ends = Ends()
    with pytest.raises(TypeError, match=r"'temprature'.*Did you mean 'temperature'\?"):
        call(make_model(), "hi", temprature=0, config={"callbacks": [ends]})
    assert ["start", "error"] == ends.seen


def test_c15_a_parameter_without_use_is_reported(make_model: MakeModel, call: Path) -> None:
    """A standard parameter that the model has no use for does not fail a call, and its metadata say so."""
    notes = call(make_model(), "hi", max_tokens=3).message.response_metadata["adaptations"]
    assert ["max_tokens"] == [note["feature"] for note in notes]
    assert "adaptations" not in call(make_model(adaptations="silent"), "hi", max_tokens=3).message.response_metadata
    with pytest.raises(NotImplementedError, match="cannot do 'max_tokens' by itself"):
        call(make_model(adaptations="refuse"), "hi", max_tokens=3)


def test_c16_the_model_of_a_call_is_used_and_named(make_model: MakeModel, call: Path) -> None:
    """`model=` of a call reaches the author and the metadata of the answer."""
    answered = call(make_model(), "/settings", model="zoo-9")
    assert answered.text.startswith("zoo-9 ")
    assert "zoo-9" == answered.message.response_metadata["model_name"]


def test_c17_more_than_one_answer_is_refused(make_model: MakeModel) -> None:
    """`n=2`, which no model here can do, is refused rather than ignored."""
    with pytest.raises(TypeError, match="no parameter 'n'"):
        make_model().generate([[HumanMessage("hi")]], n=2)


# --- generate ---


def test_c18_generate_gives_every_answer_its_run_and_the_usage_of_all(make_model: MakeModel) -> None:
    """`generate` of several prompts has an answer and a run for each, and their usage added up."""
    result = make_model().generate([[HumanMessage("one")], [HumanMessage("two three")]])
    assert [["one"], ["two three"]] == [[one.text for one in generations] for generations in result.generations]
    assert 2 == len({run.run_id for run in result.run or ()})
    assert (3, 3, 6) == usage_of(result.llm_output)


async def test_c18_agenerate_gives_the_same(make_model: MakeModel) -> None:
    """`agenerate` of several prompts gives what `generate` gives."""
    result = await make_model().agenerate([[HumanMessage("one")], [HumanMessage("two three")]])
    generations = [one for generations in result.generations for one in generations]
    assert ["one", "two three"] == [one.message.text for one in generations if isinstance(one, ChatGeneration)]
    assert 2 == len({run.run_id for run in result.run or ()})
    assert (3, 3, 6) == usage_of(result.llm_output)


def usage_of(llm_output: dict[str, Any] | None) -> tuple[int, int, int]:
    usage = (llm_output or {})["token_usage"]
    return usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]


def test_c19_an_empty_answer_is_an_answer(make_model: MakeModel, call: Path) -> None:
    """A model that says nothing gives an empty message on every path, and why it ended."""
    answered = call(make_model(), "")
    assert ("", "stop") == (answered.text, answered.message.response_metadata["finish_reason"])
    assert not answered.message.content


@pytest.mark.parametrize("reply", [[], "", [Finish(reason="content_filter")]], ids=["nothing", "empty", "refused"])
def test_c19_an_author_may_yield_nothing(call: Path, reply: Any) -> None:
    """An author that yields nothing, an empty string or only the reason gives an empty message."""
    assert "" == call(ChatScripted(replies=[reply]), "?").text


# --- more than text ---


def test_c52_reasoning_is_apart_from_the_text(make_model: MakeModel, call: Path) -> None:
    """What was thought is a reasoning block before the text, the same on each path, and in no text."""
    answered = call(make_model(), "/think one two")
    blocks = [(block["type"], block.get("reasoning") or block.get("text")) for block in answered.message.content_blocks]
    assert "one two" == answered.text == answered.message.text
    assert [("reasoning", "hmm"), ("text", "one two")] == blocks


THOUGHTS: dict[str, list[Part]] = {
    "parts": [Reasoning("h"), Reasoning("mm"), "one two"],
    "tags": ["<think>hmm</think>one two"],
    "tags in pieces": [*"<think>hmm</think>one two"],
    "blocks": [{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "one two"}],
    "OpenAI's field": [
        {"choices": [{"delta": {"reasoning_content": "hmm"}}]},
        {"choices": [{"delta": {"content": "one two"}, "finish_reason": "stop"}]},
    ],
    "message": [AIMessage("one two", additional_kwargs={"reasoning_content": "hmm"})],
}


@pytest.mark.parametrize("parts", THOUGHTS.values(), ids=THOUGHTS)
def test_c52_reasoning_is_the_same_however_it_comes(call: Path, parts: list[Part]) -> None:
    """Reasoning parts, tags, blocks, a server's field and a message all become the same message."""
    message = call(ChatScripted(replies=[parts], reasoning_tags=("<think>", "</think>")), "?").message
    assert "one two" == message.text
    assert {"reasoning_content": "hmm"} == message.additional_kwargs


LOGPROBS = [{"token": "hi", "logprob": -0.5, "top_logprobs": []}, {"token": "!", "logprob": -0.1, "top_logprobs": []}]


def test_c53_log_probabilities_are_in_the_metadata(call: Path) -> None:
    """Log probabilities that come piece by piece are all in `response_metadata`."""
    pieces = [["hi", Finish(metadata={"logprobs": {"content": LOGPROBS[:1]}})]]
    pieces[0] += ["!", Finish(metadata={"logprobs": {"content": LOGPROBS[1:]}})]
    assert {"content": LOGPROBS} == call(ChatScripted(replies=pieces), "?").message.response_metadata["logprobs"]


# --- parity ---


@pytest.mark.parametrize("prompt", ["one two", "/think one two", "/show one", "", "/spell a b"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_every_path_gives_the_same_message(make_model: MakeModel, prompt: str, version: str | None) -> None:
    """Text, blocks, usage, metadata and the rest of a message are the same whichever way it was asked for."""
    model = make_model(output_version=version)
    first, *others = [comparable(path(model, prompt).message) for path in PATHS.values()]
    assert [first] * len(others) == others


def comparable(message: AIMessage) -> dict[str, Any]:
    """The message without what differs by rights: its id, the numbers of its blocks, and the format of version 3."""
    fields = message.model_dump(exclude={"id", "content"})
    fields["response_metadata"].pop("output_version", None)
    blocks = [{name: value for name, value in block.items() if name != "index"} for block in message.content_blocks]
    return {**fields, "blocks": blocks, "text": message.text}


def test_the_paths_are_all_there() -> None:
    """The tests take six paths to an answer: two whole, four streamed."""
    assert (2, 4, 6) == (len(WHOLE), len(STREAMED), len(PATHS))
