"""Group C of the contract: what comes back of one call, and what goes into it."""

import asyncio
import uuid
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.block_translators import get_translator
from langchain_core.outputs import LLMResult
from tests.echo_models import MakeModel
from tests.paths import PATHS, Path
from tests.recording import RecordingHandler

from langplug import Finish, Part, Reasoning, Request, chat_model
from langplug.models import ChatScripted

# --- what comes back ---


def test_c02_usage_is_never_invented(call: Path) -> None:
    """A model that reports nothing has no usage."""
    assert call(ChatScripted(replies=["hi"]), "?").message.usage_metadata is None


def test_c02_usage_can_be_estimated(call: Path) -> None:
    """With a token counter, usage that was not reported is estimated, and marked so."""
    model = ChatScripted(replies=[["one ", "two"]], token_counter=lambda text: len(text.split()))
    message = call(model, "what is it?").message
    assert {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5} == message.usage_metadata
    assert message.response_metadata["usage_estimated"] is True


@pytest.mark.parametrize("name", ["openai", "ChatOpenAI", "ChatAnthropic", "bedrock"])
def test_c33_a_class_that_is_called_like_a_provider_is_not_taken_for_it(name: str) -> None:
    """A class with a known provider's name gets a provider of its own."""

    def answer(request: Request) -> str:
        return "hi"

    answer.__name__ = name
    message = chat_model(answer)().invoke("?")
    assert get_translator(message.response_metadata["model_provider"]) is None


def test_c07_no_messages_is_a_clear_error(make_model: MakeModel, call: Path) -> None:
    """An empty list of messages is an error that says so."""
    with pytest.raises(ValueError, match=r"was given no message\. Give it at least one"):
        call(make_model(), [])


# --- parameters of one call ---


def test_c15_a_misspelt_parameter_of_a_call_is_refused(make_model: MakeModel, call: Path) -> None:
    """A misspelt parameter of a call is an error that suggests the right one, and that callbacks are told of."""
    seen = RecordingHandler()
    with pytest.raises(TypeError, match=r"'temprature'.*Did you mean 'temperature'\?"):
        call(make_model(), "hi", temprature=0, config={"callbacks": [seen]})
    assert ["start", "TypeError"] == seen.seen


@pytest.mark.filterwarnings("ignore::langplug.IgnoredParameterWarning")
def test_c15_a_parameter_without_use_is_reported(make_model: MakeModel, call: Path) -> None:
    """A standard parameter that the model has no use for does not fail a call, and its metadata say so."""
    notes = call(make_model(), "hi", max_tokens=3).message.response_metadata["adaptations"]
    assert ["max_tokens"] == [note["feature"] for note in notes]
    twice = call(make_model(max_tokens=9), "hi", max_tokens=3).message.response_metadata["adaptations"]
    assert notes == twice
    assert "adaptations" not in call(make_model(adaptations="silent"), "hi", max_tokens=3).message.response_metadata
    with pytest.raises(NotImplementedError, match="cannot do 'max_tokens' by itself"):
        call(make_model(adaptations="refuse"), "hi", max_tokens=3)


# --- generate ---


@pytest.mark.parametrize("method", ["generate", "agenerate"])
def test_c18_a_run_id_names_the_first_run_alone(make_model: MakeModel, method: str) -> None:
    """`run_id` of a call for several prompts is the first one's; the others have ids of their own, as in core."""
    run_id, seen = uuid.uuid4(), RecordingHandler()
    prompts: list[list[BaseMessage]] = [[HumanMessage(text)] for text in ("one", "two", "three")]
    asked = getattr(make_model(), method)(prompts, callbacks=[seen], run_id=run_id)
    result: LLMResult = asyncio.run(asked) if method == "agenerate" else asked
    ids = [run.run_id for run in result.run or ()]
    assert run_id == ids[0]
    assert 3 == len(set(ids))
    assert set(ids) == set(seen.run_ids)


@pytest.mark.parametrize("reply", [[], "", [Finish(reason="content_filter")]], ids=["nothing", "empty", "refused"])
def test_c19_an_author_may_yield_nothing(call: Path, reply: Any) -> None:
    """An author that yields nothing, an empty string or only the reason gives an empty message."""
    assert "" == call(ChatScripted(replies=[reply]), "?").text


# --- more than text ---


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
