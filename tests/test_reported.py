"""What tools that trace and count read beside the message: `generation_info` and `llm_output`, on every path."""

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.outputs import LLMResult
from tests.paths import PATHS, Path

from langplug import ChatModel, Finish, Request, Usage


class ChatCounting(ChatModel):
    """Says a word, and how it ended."""

    model: str = "m-1"

    def respond(self, request: Request, /) -> Any:
        """Answer."""
        yield from ["hi", Usage(input_tokens=5, output_tokens=3), Finish(reason="length")]


class Results(BaseCallbackHandler):
    """Keeps the results of all runs."""

    run_inline = True

    def __init__(self) -> None:
        self.results: list[LLMResult] = []

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.results.append(response)


SPENT = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_every_path_says_how_it_ended(path: Path) -> None:
    """Handlers find the model's name and the finish reason in the generation's `generation_info`."""
    heard = Results()
    message = path(ChatCounting(), "?", config={"callbacks": [heard]}).message
    (result,) = heard.results
    assert {"model_name": "m-1", "finish_reason": "length"} == result.generations[0][0].generation_info
    assert ("m-1", "length") == (message.response_metadata["model_name"], message.response_metadata["finish_reason"])


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_whole_answers_say_what_they_cost(path: str) -> None:
    """`llm_output` has the model's name and the tokens, as in official integrations, and the message has not."""
    heard = Results()
    message = PATHS[path](ChatCounting(), "?", config={"callbacks": [heard]}).message
    (result,) = heard.results
    assert {"model_name": "m-1", "token_usage": SPENT} == result.llm_output
    assert "token_usage" not in message.response_metadata


def test_a_streamed_invoke_says_it_too() -> None:
    """So does an `invoke` that reads a stream."""
    heard = Results()
    ChatCounting(streaming=True).invoke("?", {"callbacks": [heard]})
    assert {"model_name": "m-1", "token_usage": SPENT} == heard.results[0].llm_output


async def test_generate_adds_the_prompts_up() -> None:
    """`generate` of several prompts says what each cost to its handlers, and what all cost to its caller."""
    prompts: Any = [[HumanMessage("a")], [HumanMessage("b")]]
    for result in (ChatCounting().generate(prompts), await ChatCounting().agenerate(prompts)):
        expected = {name: 2 * count for name, count in SPENT.items()}
        assert {"model_name": "m-1", "token_usage": expected} == result.llm_output


def test_without_usage_there_is_none() -> None:
    """Where the model reports no tokens, none are said to have been used."""

    class ChatMute(ChatModel):
        def respond(self, request: Request, /) -> str:
            """Answer."""
            return "hi"

    assert {"model_name": "chat-mute"} == ChatMute().generate([[HumanMessage("a")]]).llm_output
