"""Several answers to one prompt (`n`), and sources that end at a stop string by themselves."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import Field

from langplug import ChatModel, Part, Request, ToolCall, UnmetDemandError, UnsupportedError, Usage
from langplug.models import ChatScripted

PROMPT: list[BaseMessage] = [HumanMessage("hi")]


class ChatSeveral(ChatModel):
    """Gives its answers together, as OpenAI's wire does."""

    n: int = Field(default=2, ge=1)
    sent: list[Any] = Field(default_factory=list)

    @property
    def answers_per_call(self) -> int:
        return self.n

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        for part in self.sent:
            if isinstance(part, BaseException):
                raise part
            yield part


def completion(*texts: str) -> dict[str, Any]:
    choices = [
        {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate(texts)
    ]
    return {"choices": choices, "model": "m-1", "usage": {"prompt_tokens": 2, "completion_tokens": 5}}


def chunk(index: int, text: str | None = None, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]}


@pytest.fixture(params=["generate", "agenerate"])
def answers(request: pytest.FixtureRequest) -> Any:
    async def ask(model: ChatModel, **kwargs: Any) -> list[AIMessage]:
        made = model.generate([PROMPT], **kwargs)
        if request.param == "agenerate":
            made = await model.agenerate([PROMPT], **kwargs)
        return [generation.message for generation in made.generations[0]]  # type: ignore[union-attr, misc]

    return ask


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([completion("one two", "three")], id="whole"),
        pytest.param(
            [chunk(0, "one"), chunk(1, "three"), chunk(0, " two"), chunk(1, finish="stop"), chunk(0, finish="stop"),
             {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 5}}],
            id="in pieces that take turns",
        ),
    ],
)  # fmt: skip
async def test_each_answer_is_a_generation(sent: Sequence[Any], answers: Any) -> None:
    """`generate` gives as many generations as answers, each with its own id, and the usage of all once."""
    one, two = await answers(ChatSeveral(sent=sent))
    assert ("one two", "three") == (one.content, two.content)
    assert one.id != two.id
    assert (7, None) == (one.usage_metadata["total_tokens"], two.usage_metadata)
    assert {"stop"} == {one.response_metadata["finish_reason"], two.response_metadata["finish_reason"]}


async def test_each_answer_is_cut_at_its_own_stop(answers: Any) -> None:
    """A stop string ends the answer that it stands in, and no other."""
    one, two = await answers(ChatSeveral(sent=[completion("one two three", "three four")]), stop=["two"])
    assert ("one two", "three four") == (one.content, two.content)
    assert ("two", None) == tuple(answer.response_metadata.get("stop_sequence") for answer in (one, two))


async def test_fewer_answers_than_asked_for_are_an_error(answers: Any) -> None:
    """A server that does not know `n` is found out; what it said is the error's `partial`."""
    with pytest.raises(UnmetDemandError, match=r"asked for 3 answers, but the server gave 1.*set n=1") as caught:
        await answers(ChatSeveral(n=3, sent=[completion("one")]))
    assert "one" == caught.value.partial.content  # type: ignore[union-attr]


async def test_an_error_in_the_middle_holds_the_first_answer(answers: Any) -> None:
    """What broke off holds what had come of the first answer."""
    with pytest.raises(RuntimeError) as caught:
        await answers(ChatSeveral(sent=[chunk(0, "one"), chunk(1, "two"), RuntimeError("broken")]))
    assert "one" == caught.value.partial.content  # type: ignore[attr-defined]


@pytest.mark.parametrize("sent", [{"choices": [None]}, {"choices": "x"}, {"choices": [{"index": "first"}]}, b"", 3])
async def test_a_malformed_part_is_named(sent: Any, answers: Any) -> None:
    """What is not a part is refused with the same sentence as where one answer is asked for."""
    with pytest.raises(TypeError, match=r"ChatSeveral\.respond gave .* What it may return or yield: ") as caught:
        await answers(ChatSeveral(sent=[chunk(0, "one"), sent]))
    assert "one" == caught.value.partial.content  # type: ignore[attr-defined] # every error has it


async def test_what_has_no_number_belongs_to_the_first(answers: Any) -> None:
    """A part that is no completion, such as a content block, is one of the first answer."""
    one, two = await answers(ChatSeveral(sent=[{"type": "text", "text": "zero "}, completion("one", "two")]))
    assert ("zero one", "two") == (one.content, two.content)


async def test_what_must_be_checked_comes_alone(answers: Any) -> None:
    """Several answers that must each hold a call are refused: nobody could say which to ask for again."""
    tools = [{"type": "function", "function": {"name": "add", "description": "", "parameters": {"type": "object"}}}]
    with pytest.raises(UnsupportedError, match="Set n=1"):
        await answers(ChatSeveral(sent=[completion("a", "b")]), tools=tools, tool_choice="required")


def test_several_answers_are_not_streamed() -> None:
    """A stream has room for one answer; more are refused loudly."""
    with pytest.raises(UnsupportedError, match="cannot stream 2 answers"):
        list(ChatSeveral(sent=[completion("a", "b")]).stream("hi"))


def test_invoke_gives_the_first() -> None:
    """`invoke` has room for one answer, and gives the first."""
    assert "one" == ChatSeveral(sent=[completion("one", "two")]).invoke("hi").content


# --- sources that end at a stop string by themselves ---


class ChatStopping(ChatScripted):
    """Ends at stop strings by itself, if one believes it."""

    @property
    def ends_at_stop(self) -> bool:
        return True


@pytest.fixture(params=["invoke", "ainvoke"])
def answer(request: pytest.FixtureRequest) -> Any:
    async def ask(model: ChatModel, **kwargs: Any) -> AIMessage:
        return model.invoke("hi", **kwargs) if request.param == "invoke" else await model.ainvoke("hi", **kwargs)

    return ask


async def test_a_source_that_ends_at_the_stop_is_read_to_its_end(answer: Any) -> None:
    """Of a source that ends behind the stop text by itself, the usage that follows is still read."""
    model = ChatStopping(replies=[["one two", Usage(input_tokens=2, output_tokens=3)]])
    said = await answer(model, stop=["two"])
    assert ("one two", "two", 5) == (
        said.content,
        said.response_metadata["stop_sequence"],
        said.usage_metadata["total_tokens"],
    )
    assert "adaptations" not in said.response_metadata


@pytest.mark.parametrize("more", [" three", ToolCall(name="add", args={})], ids=["text", "a call"])
async def test_a_source_that_runs_on_is_closed(more: Part, answer: Any) -> None:
    """One that goes on behind the stop text is closed there after all, and that is said."""
    never = RuntimeError("it was read on")
    said = await answer(ChatStopping(replies=[["one two", more, never]]), stop=["two"])
    assert "one two" == said.content
    assert [{"feature": "stop", "action": "cut by langplug"}] == said.response_metadata["adaptations"]
