"""Several answers to one call, and how likely their tokens were."""

import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from tests.serve import served_models
from tests.serve.client import ask, chunks_of, send
from tests.serve.served_models import Endless, serving

from langplug import ChatModel, Finish, Request, Usage

TOKEN = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}


class Numbered(ChatModel):
    """Each answer has a number of its own."""

    logprobs: bool = False
    numbers: Any = None

    async def respond(self, request: Request, /) -> AsyncIterator[Any]:
        """`answer`, and the number."""
        number = next(self.numbers)
        yield "answer "
        yield str(number)
        if self.logprobs:
            yield Finish(metadata={"logprobs": {"content": [TOKEN]}})
        yield Usage(input_tokens=2, output_tokens=3)


@pytest.mark.parametrize("stream", [True, False])
def test_several_answers_come_each_whole(*, stream: bool) -> None:
    """`n` answers have an index each, their own text and finish reason, and one usage with what all of them used."""
    with serving({"m": Numbered(numbers=count())}) as base:
        _, _, text = send(base, ask(n=3, stream=stream, stream_options={"include_usage": True}))
    texts = dict.fromkeys(range(3), "")
    reasons = {number: [None] for number in range(3)}
    if stream:
        *chunks, last = chunks_of(text)
        for choice in (chunk["choices"][0] for chunk in chunks):
            texts[choice["index"]] += choice["delta"].get("content") or ""
            reasons[choice["index"]] = [choice["finish_reason"]]
    else:
        last = json.loads(text)
        for choice in last["choices"]:
            texts[choice["index"]] = choice["message"]["content"]
            reasons[choice["index"]] = [choice["finish_reason"]]
    assert sorted(texts.values()) == ["answer 0", "answer 1", "answer 2"]
    assert list(reasons.values()) == [["stop"]] * 3
    assert last["usage"] == {"prompt_tokens": 6, "completion_tokens": 9, "total_tokens": 15}


class FailsOnce(ChatModel):
    """The first run never ends, and the second fails when that has begun."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        """An endless answer, or an error."""
        if not served_models.BEGUN.is_set():
            async for piece in Endless.respond(self, request):  # type: ignore[arg-type]
                yield piece
        raise RuntimeError("no second answer")


def test_one_that_fails_stops_the_others() -> None:
    """If one of several answers fails, the call fails, and no run of the model goes on."""
    served_models.BEGUN.clear()
    served_models.HAS_STOPPED.clear()
    with serving({"m": FailsOnce()}) as base:
        assert send(base, ask(n=2))[0] == 500
    assert served_models.HAS_STOPPED.is_set()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_log_probabilities_are_told_where_they_are_asked_for(*, stream: bool, asked: bool) -> None:
    """A model that tells how likely its tokens were is asked for it, and the choice says it."""
    with serving({"m": Numbered(numbers=count())}) as base:
        _, _, text = send(base, ask(logprobs=asked, stream=stream))
    choices = [chunk["choices"][0] for chunk in chunks_of(text)] if stream else json.loads(text)["choices"]
    told = [token for choice in choices for token in (choice["logprobs"] or {"content": []})["content"]]
    assert told == ([TOKEN] if asked else [])


def test_a_model_without_log_probabilities_says_so() -> None:
    """Asked of a model that does not tell them, they are among what was ignored."""
    with serving({"m": Endless()}) as base:
        status, headers, _ = send(base, ask(logprobs=True, top_logprobs=3, n=200))
        assert (status, "X-Langplug-Ignored" in headers) == (400, False)
    with serving({"m": Numbered(numbers=count())}) as base:
        assert send(base, ask(logprobs=True, top_logprobs=3))[1]["X-Langplug-Ignored"] == "top_logprobs"
