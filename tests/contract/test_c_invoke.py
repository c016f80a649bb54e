"""Group C of the contract: what comes back of one call, and what goes into it."""

import json
import time
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.messages.block_translators import get_translator
from langchain_core.outputs import ChatGeneration
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from tests.paths import PATHS, STREAMED, WHOLE, Path, beta_allowed
from tests.zoo import MakeModel

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


FORMS: dict[str, Any] = {
    "str": "one two",
    "messages": [HumanMessage("one two")],
    "tuple of messages": (HumanMessage("one two"),),
    "tuples": [("human", "one two")],
    "dicts": [{"role": "user", "content": "one two"}],
    "strings": ["one two"],
    "string prompt": StringPromptValue(text="one two"),
    "chat prompt": ChatPromptValue(messages=[HumanMessage("one two")]),
    "content blocks": [HumanMessage([{"type": "text", "text": "one two"}])],
    "mixed content": [HumanMessage(["one ", {"type": "text", "text": "two"}])],
}


def test_c05_every_form_of_input_works(make_model: MakeModel, call: Path) -> None:
    """What LangChain takes as the input of a chat model is taken."""
    model = make_model(suffix="!")
    assert dict.fromkeys(FORMS, "one two!") == {name: call(model, given).text for name, given in FORMS.items()}


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
