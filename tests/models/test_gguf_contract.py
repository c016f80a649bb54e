"""Statements of the contract on the embedded model itself, on every path to an answer."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.load import dumps
from tests.paths import ON_AN_ENGINE, Answered, by_astream, by_invoke, by_stream
from tests.paths import Path as CallPath
from tests.recording import RecordingHandler

from langplug.models.gguf.model import ChatGGUF, WeightsNotFoundError
from langplug.models.gguf.weights import SMOLLM2, find, pull

QUESTION = "What is the capital of Japan?"
ENGINE: dict[str, Any] = {"n_ctx": 512, "threads": 1}


@pytest.fixture(scope="module")
def model() -> Iterator[ChatGGUF]:
    """Answers the same each time, and yet by chance."""
    if find(SMOLLM2) is None:
        pull(SMOLLM2)
    model = ChatGGUF(**ENGINE, temperature=1, seed=3, max_tokens=12)
    model.runtime  # noqa: B018 - loaded once for the module
    yield model
    model.close()


@pytest.fixture(scope="module")
def invoked(model: ChatGGUF) -> Answered:
    """What `invoke` gives."""
    return by_invoke(model, QUESTION)


@pytest.fixture(params=ON_AN_ENGINE)
def call(request: pytest.FixtureRequest) -> CallPath:
    """Each path to an answer in turn."""
    return request.param  # type: ignore[no-any-return]


def test_parity(model: ChatGGUF, call: CallPath, invoked: Answered) -> None:
    """With a seed, each path gives the same text, finish, name and token counts as `invoke`, though it is sampled."""
    answered = call(model, QUESTION)
    assert invoked.text == answered.text == answered.message.text
    metadata = answered.message.response_metadata
    metadata.pop("output_version", None)  # version 3 of the events always makes standard messages, and notes it
    assert invoked.message.response_metadata == metadata
    assert counted(invoked.message) == counted(answered.message)


def counted(message: Any) -> tuple[int, int, int]:
    """The token counts; how much was still in llama.cpp's cache differs from call to call."""
    usage = message.usage_metadata
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"]
    return usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]


@pytest.mark.parametrize("include_stop", [True, False])
def test_stop_on_each_path(model: ChatGGUF, call: CallPath, invoked: Answered, include_stop: bool) -> None:
    """A stop string ends the answer with or without itself, says so, and leaves the usage, alike on each path."""
    greedy = model.model_copy(update={"temperature": 0.0, "include_stop": include_stop})
    answered = call(greedy, QUESTION, stop=["nothing", " of"])
    metadata = answered.message.response_metadata
    assert ("The capital of" if include_stop else "The capital") == answered.text == answered.message.text
    assert ("stop", " of") == (metadata["finish_reason"], metadata["stop_sequence"])
    inputs, outputs, _ = counted(answered.message)
    assert counted(invoked.message)[0] == inputs
    assert 3 <= outputs <= 12


def test_a_cached_answer_needs_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: ChatGGUF) -> None:
    """What is in LangChain's cache is answered without an engine, even if the weights are gone by then."""
    cached = ChatGGUF(n_ctx=256, threads=1, temperature=0, max_tokens=3, cache=InMemoryCache())
    expected = cached.invoke(QUESTION)
    cached.close()
    monkeypatch.setenv("LANGPLUG_CACHE", str(tmp_path))
    assert expected.text == cached.invoke(QUESTION).text
    with pytest.raises(WeightsNotFoundError):
        cached.invoke(QUESTION, temperature=1)


def test_the_key_of_its_port_shows_nowhere() -> None:
    """The key that closes llama.cpp's port is in no repr, pickle, serialized model, parameter or error."""
    model = ChatGGUF(**ENGINE, engine="llama.cpp")
    runtime: Any = model.runtime
    key = runtime.load()._key
    shown = (repr(model), str(model), dumps(model), repr(pickle.dumps(model)), repr(model._identifying_params))
    more = (repr(model.model_dump()), repr(model._get_ls_params()), repr(vars(model)), repr(model.runtime))
    assert len(key) >= 32
    for one in (*shown, *more):
        assert key not in one


def test_a_pickled_binding_answers(model: ChatGGUF) -> None:
    """A pickle of the model with tools bound to it makes the same call."""
    greedy = model.model_copy(update={"temperature": 0.0, "max_tokens": 40})
    say = {"title": "say", "type": "object", "properties": {"word": {"const": "hi"}}, "required": ["word"]}
    bound = greedy.bind_tools([say], tool_choice="any")
    (call,) = pickle.loads(pickle.dumps(bound)).invoke("Hello!").tool_calls
    assert ("say", {"word": "hi"}) == (call["name"], call["args"])


def test_standard_content_on_each_path(model: ChatGGUF, call: CallPath, invoked: Answered) -> None:
    """With `output_version="v1"` the content is one text block, of the text that there is without it."""
    standard = model.model_copy(update={"output_version": "v1"})
    answered = call(standard, QUESTION)
    (block,) = list(answered.message.content)
    assert isinstance(block, dict)
    assert ("text", invoked.text) == (block["type"], block["text"])
    assert answered.text == block["text"]


def test_callbacks_on_each_path(model: ChatGGUF, call: CallPath) -> None:
    """Each run starts and ends once, a stream's tokens make its text, and the end tells the usage and the model."""
    recorded, usage = RecordingHandler(), UsageMetadataCallbackHandler()
    answered = call(model, QUESTION, config={"callbacks": [recorded, usage]})
    assert ["start", "end"] == recorded.seen
    assert (answered.text if call in (by_stream, by_astream) else "") == recorded.tokens
    assert recorded.result is not None
    assert answered.text == recorded.result.generations[0][0].text
    assert counted(answered.message)[2] == usage.usage_metadata[model.reported_name]["total_tokens"]
