"""Reasoning from every source: what it becomes, and what of it a model is shown again."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from tests.callers import CALLERS, NATIVE, TOOLS, add, call, caller, delta
from tests.paths import PATHS, Path, achunks, beta_allowed, chunks

from langplug import Part, Reasoning, Request, chat_model
from langplug.models import ChatScripted

END: Any = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def details(text: str, **more: Any) -> dict[str, Any]:
    return delta(reasoning_details=[{"type": "reasoning.text", "text": text, "format": "x-v1", "index": 0, **more}])


SOURCES: dict[str, list[Any]] = {
    "parts": [Reasoning("h"), Reasoning("mm"), "h", "i"],
    "tags": ["<think>\nhmm\n</think>\n\nhi"],
    "tags in characters": list("<think>\nhmm\n</think>\n\nhi"),
    "reasoning_content": [delta(reasoning_content="h"), delta(reasoning_content="mm"), delta(content="hi"), END],
    "reasoning": [delta(reasoning="h", content=None), delta(reasoning="mm"), delta(content="hi", reasoning=None), END],
    "both fields": [
        delta(reasoning="h", reasoning_content="h"),
        delta(reasoning_content="mm"),
        delta(content="hi"),
        END,
    ],
    "reasoning_details": [details("h"), details("mm"), delta(content="hi"), END],
    "field and details": [
        delta(reasoning="hmm", reasoning_details=[{"type": "reasoning.text", "text": "hmm"}]),
        delta(content="hi"),
        END,
    ],
    "completion": [{"choices": [{"message": {"content": "hi", "reasoning_content": "hmm"}, "finish_reason": "stop"}]}],
    "block": [{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "hi"}],
    "Anthropic block": [{"type": "thinking", "thinking": "hmm"}, "hi"],
    "message": [AIMessage("hi", additional_kwargs={"reasoning_content": "hmm"})],
    "standard message": [
        AIMessage(content_blocks=[{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "hi"}])
    ],
}


def scripted(parts: list[Any], **settings: Any) -> ChatScripted:
    return ChatScripted(replies=[parts], when_exhausted="repeat", reasoning_tags=("<think>", "</think>"), **settings)


def standard(message: AIMessage) -> list[dict[str, Any]]:
    """The content blocks without the numbers by which chunks were added up."""
    return [{name: value for name, value in block.items() if name != "index"} for block in message.content_blocks]


@pytest.fixture(params=list(PATHS))
def path(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn."""
    return PATHS[request.param]


HMM_HI = [{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "hi"}]


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("parts", SOURCES.values(), ids=SOURCES)
def test_every_source_becomes_a_reasoning_block(parts: list[Any], version: Any, path: Path) -> None:
    """Wherever a model puts its reasoning, it becomes one standard block, before the text and apart from it."""
    answered = path(scripted(parts, output_version=version), "?")
    assert HMM_HI == standard(answered.message)
    assert ("hi", "hi") == (answered.text, answered.message.text)


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("read", [chunks, achunks], ids=["stream", "astream"])
@pytest.mark.parametrize("name", ["parts", "tags in characters", "reasoning_content", "reasoning", "reasoning_details"])
def test_reasoning_streams(name: str, read: Any, version: Any) -> None:
    """Reasoning comes as it comes in, in more than one piece, and before the text."""
    streamed = read(scripted(SOURCES[name], output_version=version), "?")
    kinds = [block["type"] for chunk in streamed for block in chunk.content_blocks]
    assert kinds.count("reasoning") > 1
    assert sorted(kinds) == kinds


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("parts", SOURCES.values(), ids=SOURCES)
def test_reasoning_has_events_of_its_own(parts: list[Any], version: Any) -> None:
    """Version 3 of the events has one block of reasoning, and keeps to the lifecycle."""
    with beta_allowed():
        events = list(scripted(parts, output_version=version).stream_events("?", version="v3"))
    assert_valid_event_stream(events)
    ended = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert ["hmm"] == [block["reasoning"] for block in ended if block["type"] == "reasoning"]


@pytest.mark.parametrize("version", [None, "v1"])
def test_a_signature_comes_along(version: Any, path: Path) -> None:
    """A signature, which the provider wants back with the reasoning, is kept with it, whichever field it came in."""
    for parts in (
        [Reasoning("hmm", {"signature": "sig"}), "hi"],
        [details("hmm"), details("", signature="sig"), delta(content="hi"), END],
        [
            delta(reasoning="hmm"),
            delta(reasoning="", reasoning_details=[{"signature": "sig"}]),
            delta(content="hi"),
            END,
        ],
        [{"type": "thinking", "thinking": "hmm", "signature": "sig"}, "hi"],
    ):
        message = path(scripted(parts, output_version=version), "?").message
        kept = message.additional_kwargs.get("reasoning_extras") or message.content[0]["extras"]  # type: ignore[index,call-overload]
        assert {"signature": "sig"} == kept


@pytest.mark.parametrize("tags", [None, ("<|begin|>", "<|end|>")])
def test_tags_are_the_models(tags: Any, path: Path) -> None:
    """With other tags, or none, `<think>` is text."""
    model = ChatScripted(replies=["<think>\nhmm\n</think>\n\nhi"], reasoning_tags=tags)
    assert "<think>\nhmm\n</think>\n\nhi" == path(model, "?").text


def test_an_answer_may_begin_inside(path: Path) -> None:
    """Where the prompt ends with the opening tag, the answer begins with reasoning."""
    model = scripted(["hm", "m\n</th", "ink>\n\nhi"], reasoning_opened=True)
    assert HMM_HI == standard(path(model, "?").message)


# --- nobody else reads it ---

SECRETS = [
    '<tool_call>\n{"name": "add", "arguments": {"a": 9, "b": 9}}\n</tool_call>',
    '{"name": "add", "arguments": {"a": 9, "b": 9}}',
    '```json\n{"name": "now"}\n```',
    "STOP",
    "<function=now></function>",
]


@pytest.mark.parametrize("thought", SECRETS)
@pytest.mark.parametrize("name", list(CALLERS))
def test_no_parser_reads_reasoning(name: str, thought: str, path: Path) -> None:
    """Calls, JSON and stop strings in a thought are part of the thought."""
    model, _ = caller(CALLERS[name], [Reasoning(thought), "Well:", call("add", a=1, b=2)])
    message = path(model.bind_tools(TOOLS), "?", stop=["STOP"]).message
    assert [{"a": 1, "b": 2}] == [one["args"] for one in message.tool_calls]
    assert ("Well:", thought) == (message.text, standard(message)[0]["reasoning"])
    assert "stop_sequence" not in message.response_metadata


@given(st.text("{}<>/\"':,\n tolcahink_ad12", max_size=60), st.integers(1, 9))
def test_no_thought_becomes_a_call(thought: str, size: int) -> None:
    """Whatever is thought, however it is cut, makes no call and no text."""
    text = f"<think>{thought.replace('</think>', '')}</think>hi"
    model = ChatScripted(
        replies=[[text[at : at + size] for at in range(0, len(text), size)]], reasoning_tags=("<think>", "</think>")
    )
    message = model.bind_tools(TOOLS).invoke("?")
    assert ([], "hi") == (message.tool_calls, message.text)


# --- what is shown again ---


def conversation(model: Any) -> list[BaseMessage]:
    """Two questions, the second with a tool loop that is under way."""
    first = model.invoke([HumanMessage("one")])
    asked = [HumanMessage("one"), first, HumanMessage("two")]
    second = model.bind_tools([add]).invoke(asked)
    results = [ToolMessage("3", tool_call_id=one["id"]) for one in second.tool_calls]
    return [*asked, second, *results]


POLICIES: dict[Any, list[str]] = {"never": [], "current": ["B?"], "all": ["A!", "B?"]}
TURNS = ([Reasoning("A!"), "first"], [Reasoning("B?"), "Well:", call("add", a=1, b=2)], [Reasoning("C."), "third"])


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize(("policy", "shown"), POLICIES.items(), ids=POLICIES)
@pytest.mark.parametrize("bound", [[], [add]], ids=["without tools", "with tools"])
@pytest.mark.parametrize("name", list(CALLERS))
def test_the_policy_says_what_is_shown_again(
    name: str, bound: Any, policy: Any, shown: list[str], version: Any
) -> None:
    """In a tool loop, native or prompted, `openai_messages` and `prompt` show the reasoning that the policy keeps."""
    model, seen = caller(CALLERS[name], *TURNS, keep_reasoning=policy, output_version=version)
    model.bind_tools(bound).invoke(conversation(model))
    turns = seen[-1].openai_messages()
    assert shown == [turn["reasoning_content"] for turn in turns if "reasoning_content" in turn]
    prompt = seen[-1].prompt("chatml")
    assert [text for text in ("A!", "B?") if f"<think>\n{text}\n</think>" in prompt] == shown
    assert not any(text in str([turn["content"] for turn in turns]) for text in ("A!", "B?"))
    assert "first" in prompt
    assert '"a": 1, "b": 2' in prompt


@pytest.mark.parametrize("name", ["native, generator", "prompted, generator"])
def test_a_new_question_lets_the_thoughts_go(name: str) -> None:
    """With `current`, what was thought in a loop that is over is not shown again."""
    model, seen = caller(CALLERS[name], *TURNS, keep_reasoning="current")
    messages = conversation(model)
    model.invoke([*messages, model.invoke(messages), HumanMessage("three")])
    assert not any("reasoning_content" in turn for turn in seen[-1].openai_messages())


def test_the_policy_can_be_set_for_one_call() -> None:
    """`keep_reasoning` is a parameter like any other."""
    model, seen = caller(NATIVE["native, generator"], *TURNS)
    model.invoke(conversation(model), keep_reasoning="all")
    assert ["A!", "B?"] == [
        turn["reasoning_content"] for turn in seen[-1].openai_messages() if "reasoning_content" in turn
    ]
    with pytest.raises(ValueError, match="keep_reasoning"):
        model.invoke("?", keep_reasoning="sometimes")


@pytest.mark.parametrize("name", ["native, generator", "prompted, generator"])
def test_the_callers_messages_keep_their_thoughts(name: str) -> None:
    """Showing less of them changes nothing about the messages of the caller."""
    for policy in POLICIES:
        model, _ = caller(CALLERS[name], *TURNS, keep_reasoning=policy)
        messages = conversation(model)
        before = [message.model_copy(deep=True) for message in messages]
        model.invoke(messages)
        assert before == messages


def test_an_author_may_read_the_policy() -> None:
    """An author who sends messages on by hand finds the policy in the request."""
    policies: list[str] = []

    @chat_model(tool_calling="native")
    def reader(request: Request) -> Iterator[Part]:
        policies.append(request.keep_reasoning)
        yield "ok"

    reader(keep_reasoning="current").invoke([SystemMessage("s"), HumanMessage("?")])
    assert ["current"] == policies
