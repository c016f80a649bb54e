"""The Responses wire of `serve`, without I/O: what it reads, and what it answers whole and in pieces."""

import importlib.util
import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langplug.serve.deltas import Block, CallArguments, CallStart, Delta, Ending, Refusal, Thought
from langplug.serve.errors import ApiError
from langplug.serve.wires.responses import WIRE

Event = dict[str, Any]

HAS_OPENAI = importlib.util.find_spec("openai") is not None

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Applies a patch."}


def body_of(**fields: Any) -> dict[str, Any]:
    return {"model": "page", "input": "Hello", **fields}


def messages_of(*items: Any, **fields: Any) -> list[BaseMessage]:
    return WIRE.read(body_of(input=[*items], **fields), {}).messages


def streamed(deltas: Iterable[Delta], ending: Ending | ApiError, **fields: Any) -> list[Event]:
    writer = WIRE.writer(WIRE.read(body_of(**fields), {}), "resp_1", 1_800_000_000)
    told = [writer.begin(), *map(writer.feed, deltas)]
    told.append(writer.end(ending) if isinstance(ending, Ending) else writer.fail(ending))
    return list(read_events(b"".join(told)))


def read_events(told: bytes) -> Iterable[Event]:
    for event in told.decode().split("\n\n")[:-1]:
        name, data = event.split("\n", 1)
        read = json.loads(data.removeprefix("data: "))
        assert name == f"event: {read['type']}"
        yield read


def whole(deltas: Iterable[Delta], ending: Ending, **fields: Any) -> dict[str, Any]:
    return WIRE.writer(WIRE.read(body_of(**fields), {}), "resp_1", 1_800_000_000).whole(deltas, ending)


def kinds(events: Iterable[Event]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


# --- what is asked ---


def test_a_text_is_a_message_of_the_user() -> None:
    """An input that is a text is what the user says, after the instructions."""
    assert WIRE.read(body_of(instructions="Be brief."), {}).messages == [
        SystemMessage("Be brief."),
        HumanMessage("Hello"),
    ]


def test_the_items_of_one_answer_are_one_message() -> None:
    """Reasoning, text and calls that come back in the input are one AIMessage, and each output a ToolMessage."""
    asked, answer, result = messages_of(
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"place": "Rome"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "Sun"},
    )
    assert asked == HumanMessage("Weather?")
    assert isinstance(answer, AIMessage)
    assert answer.text == "I look."
    assert [(call["name"], call["args"], call["id"]) for call in answer.tool_calls] == [
        ("weather", {"place": "Rome"}, "call_1")
    ]
    assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text", "tool_call"]
    assert result == ToolMessage("Sun", tool_call_id="call_1", name="weather")


def test_reasoning_that_holds_nothing_is_left_out() -> None:
    """A reasoning item without a text and without what is encrypted adds nothing to the answer."""
    (answer,) = messages_of(
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": None},
        {"role": "assistant", "content": "Yes"},
    )
    assert answer.content == "Yes"


def test_answers_of_text_and_calls_are_plain() -> None:
    """Where an answer holds no reasoning, its content is the text, which the plainest of models takes."""
    (answer,) = messages_of(
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
    )
    assert answer.content == "I look."


def test_a_developer_is_told_from_the_system() -> None:
    """Messages of a developer are the system's, marked as langchain-openai marks them."""
    developer, system = messages_of(
        {"type": "message", "role": "developer", "content": "A"}, {"role": "system", "content": "B"}
    )
    assert developer == SystemMessage("A", additional_kwargs={"__openai_role__": "developer"})
    assert system == SystemMessage("B")


def test_arguments_that_are_no_json_stay_as_they_were() -> None:
    """A call with broken arguments comes back as an invalid call, and not as an error of the request."""
    answer, _ = messages_of(
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": '{"place": '},
        {"type": "function_call_output", "call_id": "c", "output": "Not JSON."},
    )
    assert isinstance(answer, AIMessage)
    assert [call["args"] for call in answer.invalid_tool_calls] == ['{"place": ']


def test_images_and_files_are_standard_blocks() -> None:
    """A URL is passed on as it is; data become base64 with their MIME type."""
    data = b64encode(b"%PDF").decode()
    (message,) = messages_of(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look:"},
                {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"},
                {"type": "input_image", "image_url": f"data:image/gif;base64,{data}"},
                {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{data}"},
                {"type": "input_file", "file_url": "https://example.org/a.pdf"},
            ],
        }
    )
    assert message.content == [
        {"type": "text", "text": "Look:"},
        {"type": "image", "url": "https://example.org/a.png", "extras": {"detail": "low"}},
        {"type": "image", "base64": data, "mime_type": "image/gif"},
        {"type": "file", "base64": data, "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}},
        {"type": "file", "url": "https://example.org/a.pdf"},
    ]


def test_tools_that_no_model_can_call_are_skipped_and_noted() -> None:
    """What Codex sends beside functions is no reason to refuse: namespaces, web search, metadata of its own."""
    call = WIRE.read(
        body_of(
            tools=[WEATHER, {"type": "namespace", "name": "agents", "tools": []}, {"type": "web_search"}],
            client_metadata={"id": "1"},
            unheard_of=1,
            store=False,
            include=["reasoning.encrypted_content"],
        ),
        {},
    )
    assert [tool["function"]["name"] for tool in call.tools] == ["weather"]
    assert call.notes == ["client_metadata", "unheard_of", "tools[1] (namespace)", "tools[2] (web_search)"]


def test_items_of_other_tools_are_skipped_and_noted() -> None:
    """What tools did that ran at OpenAI's is noted, and the conversation goes on without it."""
    call = WIRE.read(body_of(input=[{"role": "user", "content": "Hi"}, {"type": "web_search_call", "id": "ws_1"}]), {})
    assert call.messages == [HumanMessage("Hi")]
    assert call.notes == ["input[1] (web_search_call)"]


def test_a_tool_that_takes_a_text_is_a_function_with_one_argument() -> None:
    """A custom tool is offered as a function, and its calls in the input are calls of that."""
    call = WIRE.read(
        body_of(
            tools=[PATCH],
            input=[
                {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "Done"},
            ],
        ),
        {},
    )
    assert call.tools[0]["function"]["parameters"]["required"] == ["input"]
    assert isinstance(call.messages[0], AIMessage)
    assert call.messages[0].tool_calls[0]["args"] == {"input": "*** Begin"}


@pytest.mark.parametrize(
    ("choice", "asked", "left"),
    [
        ("auto", "auto", ["weather", "apply_patch"]),
        ("none", "none", ["weather", "apply_patch"]),
        ("required", "required", ["weather", "apply_patch"]),
        (
            {"type": "function", "name": "weather"},
            {"type": "function", "function": {"name": "weather"}},
            ["weather", "apply_patch"],
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
            "required",
            ["weather"],
        ),
    ],
)
def test_the_choice_of_a_tool(choice: Any, asked: Any, left: list[str]) -> None:
    """A choice is told in the words of chat completions; what is not allowed is not offered."""
    call = WIRE.read(body_of(tools=[WEATHER, PATCH], tool_choice=choice), {})
    assert call.tool_choice == asked
    assert [tool["function"]["name"] for tool in call.tools] == left


def test_parameters_have_the_names_of_langchain() -> None:
    """What steers the model is handed on under LangChain's names, and nothing that was not said."""
    call = WIRE.read(
        body_of(
            max_output_tokens=5,
            temperature=0.5,
            top_p=0.9,
            reasoning={"effort": "low"},
            text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
            user="bo",
        ),
        {},
    )
    assert call.parameters == {"max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "reasoning_effort": "low"}
    assert call.schema == {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    assert call.user == "bo"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["text"]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]}, "input[0].call_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"conversation": "conv_0"}, "conversation"),
        ({"background": True}, "background"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 9}, "temperature"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"truncation": "often"}, "truncation"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    """A body that cannot be read is a 400 that names the field, in the error's four members."""
    with pytest.raises(ApiError) as caught:
        WIRE.read(body_of(**fields), {})
    assert (caught.value.status, caught.value.param) == (400, param)
    error = WIRE.error(caught.value)["error"]
    assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"background": True}, "background: expected false, not true."),
        ({"stream": "yes"}, "stream: expected true or false, not 'yes'."),
        ({"input": [{"role": "user", "content": None}]}, "input[0].content: required: a string or a list."),
        ({"model": False}, "model: expected a string, not false."),
        ({"metadata": []}, "metadata: expected an object, not []."),
        ({"truncation": "often"}, "truncation: expected one of 'auto', 'disabled', not 'often'."),
        ({"input": []}, "input: expected 1 or more items, not 0."),
    ],
)
def test_what_was_expected_is_told_in_words_of_json(fields: dict[str, Any], told: str) -> None:
    """Whoever reads the error wrote JSON, in whatever language."""
    with pytest.raises(ApiError) as caught:
        WIRE.read(body_of(**fields), {})
    assert caught.value.message == told


WORDS = """
message reasoning function_call custom_tool_call function_call_output additional_tools compaction function custom
namespace input_text input_image input_file refusal json_schema allowed_tools user assistant auto required
"""
MEMBERS = """
role content text name call_id output tools format effort arguments input summary encrypted_content image_url file_data
file_id filename parameters schema mode refusal
"""
KINDS, KEYS = st.sampled_from(WORDS.split()), st.sampled_from(MEMBERS.split())
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | KINDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.builds(lambda kind, rest: {"type": kind, **rest}, KINDS | inner, st.dictionaries(KEYS, inner, max_size=5))
    ),
    max_leaves=12,
)
LISTED = st.lists(ANYTHING, max_size=3)


@given(
    st.dictionaries(st.sampled_from([field.name.partition(".")[0] for field in WIRE.body.fields]), ANYTHING),
    st.fixed_dictionaries({}, optional={"input": LISTED, "tools": LISTED}),
)
@example({}, {"input": [{"type": ["message"]}]})
@example({}, {"tools": [{"type": "namespace", "name": ["a"]}]})
def test_no_body_is_a_fault_of_the_server(body: dict[str, Any], lists: dict[str, Any]) -> None:
    """Whatever JSON is sent is read and echoed, or refused with a 400 that names the field."""
    refused: list[ApiError] = []
    try:
        call = WIRE.read({"model": "page", "input": "Hello", **body, **lists}, {})
        WIRE.writer(call, "resp_1", 0).begin()
    except ApiError as error:
        refused.append(error)
    assert all(error.status == 400 and error.param for error in refused)


# --- what is answered ---


def test_a_text_is_told_as_the_wire_tells_it() -> None:
    """The events of a message, in order, each with its number."""
    events = streamed(["Hel", "lo"], Ending(finish_reason="stop", usage={"input_tokens": 2, "output_tokens": 3}))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    assert events[-1]["response"]["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_cut_answer_is_incomplete(finish: str, reason: str) -> None:
    """An answer that was cut says so and why, and so does the item that was cut."""
    last = streamed(["Hel"], Ending(finish_reason=finish))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "incomplete"
    assert last["response"]["incomplete_details"] == {"reason": reason}
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_a_failure_is_the_last_event_and_makes_no_call() -> None:
    """What breaks in the middle is told as a failed response, and a call that has not ended is not told to be done."""
    error = ApiError(429, "rate_limit_error", "Too many.")
    events = streamed([CallStart(0, "c", "weather"), CallArguments(0, '{"pl')], error, tools=[WEATHER])
    assert kinds(events)[2:] == ["output_item.added", "function_call_arguments.delta", "failed"]
    response = events[-1]["response"]
    assert response["error"] == {"code": "rate_limit_exceeded", "message": "Too many."}
    assert [(item["arguments"], item["status"]) for item in response["output"]] == [('{"pl', "incomplete")]


def test_a_call_ends_when_it_is_whole_and_something_else_begins() -> None:
    """A client may act on a call while the model goes on; one that is only half there stays open, however they mix."""
    mixed = [CallStart(0, "a", "weather"), CallArguments(0, '{"pl'), CallStart(1, "b", "weather")]
    mixed += [CallArguments(1, "{}"), CallArguments(0, 'ace": "Rome"}'), "Well"]
    events = streamed(mixed, Ending(), tools=[WEATHER])
    done = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    began = [event["item"]["type"] for event in events if event["type"] == "response.output_item.added"]
    assert (began, done) == (["function_call", "function_call", "message"], [0, 1, 2])
    assert kinds(events).index("output_item.done") < kinds(events).index("output_text.delta")
    assert [item.get("arguments") for item in events[-1]["response"]["output"]] == ['{"place": "Rome"}', "{}", None]


def test_a_tool_that_takes_a_text_is_given_it() -> None:
    """A call of a custom tool has the text, taken out of the argument that the model was asked for."""
    deltas = [CallStart(0, "c", "apply_patch"), CallArguments(0, '{"input": "*** '), CallArguments(0, 'Begin"}')]
    events = streamed(deltas, Ending(finish_reason="tool_calls"), tools=[PATCH])
    assert kinds(events)[3:5] == ["custom_tool_call_input.delta", "custom_tool_call_input.done"]
    item = events[-1]["response"]["output"][0]
    assert (item["type"], item["input"], item["call_id"]) == ("custom_tool_call", "*** Begin", "c")


def test_reasoning_is_a_text_or_a_summary_as_it_is_asked_for() -> None:
    """Reasoning is told as it is; who asks for a summary is given it there, where most clients show it."""
    said: list[Delta] = [Thought("Hm"), Thought("."), "Yes"]
    plain = whole(said, Ending())["output"][0]
    summed = whole(said, Ending(), reasoning={"summary": "auto"})["output"][0]
    assert (plain["content"], plain["summary"]) == ([{"type": "reasoning_text", "text": "Hm."}], [])
    assert summed["summary"] == [{"type": "summary_text", "text": "Hm."}]


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers()).filter(bool))
def test_what_a_provider_wants_back_comes_back(extras: dict[str, Any]) -> None:
    """A signature or an encrypted thought leaves as `encrypted_content`, and comes back as it was."""
    include = ["reasoning.encrypted_content"]
    item = whole([Thought("Hm.", extras), "Yes"], Ending(), include=include)["output"][0]
    (message,) = messages_of(item)
    assert isinstance(message.content, list)
    assert message.content[0] == {"type": "reasoning", "reasoning": "Hm.", "extras": extras}
    assert whole([Thought("Hm.", extras)], Ending())["output"][0]["encrypted_content"] is None


def test_sources_and_images_have_their_places() -> None:
    """A cited source is an annotation of the text; an image is an item of its own."""
    source = {"type": "citation", "url": "https://example.org", "title": "T", "start_index": 0, "end_index": 2}
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    deltas: list[Delta] = ["Hi", Block({"type": "text", "text": "", "annotations": [source]}), Block(image)]
    message, made = whole(deltas, Ending())["output"]
    (annotation,) = message["content"][0]["annotations"]
    assert (annotation["type"], annotation["url"], annotation["end_index"]) == ("url_citation", source["url"], 2)
    assert (made["type"], made["result"]) == ("image_generation_call", "AAAA")


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[Delta], list[Delta]]:
    """An answer in pieces, and the same in other pieces."""
    one: list[Delta] = []
    other: list[Delta] = []
    kinds_of = st.sampled_from(["text", "thought", "refusal", "call"])
    for index, kind in enumerate(draw(st.lists(kinds_of, max_size=5))):
        said = draw(st.text(min_size=1))
        if kind == "call":
            name = draw(st.sampled_from(["weather", "apply_patch"]))
            said = json.dumps({"input": said})
            one.append(CallStart(index, f"call_{index}", name))
            other.append(CallStart(index, f"call_{index}", name))
        for deltas in (one, other):
            cuts = sorted({0, len(said), *draw(st.lists(st.integers(0, len(said)), max_size=4))})
            pieces = [said[start:end] for start, end in pairwise(cuts)]
            make = {"text": str, "thought": Thought, "refusal": Refusal}.get(
                kind, lambda piece, index=index: CallArguments(index, piece)
            )
            deltas.extend(map(make, pieces))
    return one, other


@given(answers(), st.sampled_from(["stop", "length", "tool_calls", None]), st.booleans())
def test_an_answer_is_the_same_in_any_pieces(
    answer: tuple[Sequence[Delta], Sequence[Delta]], finish: str | None, summarized: bool
) -> None:
    """Whole, streamed and put together again, in any pieces, an answer is one and the same response."""
    fields: dict[str, Any] = {"tools": [WEATHER, PATCH]}
    fields |= {"reasoning": {"summary": "auto"}} if summarized else {}
    one, other = answer
    response = whole(one, Ending(finish_reason=finish), **fields)
    response = json.loads(json.dumps(response))
    for deltas in (one, other):
        events = streamed(deltas, Ending(finish_reason=finish), **fields)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["response"] == response
        assert rebuilt(events) == response["output"]


def rebuilt(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The output, put together of the events that bring pieces of it; what is done must be what has come."""
    output: list[dict[str, Any]] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        at = event.get("output_index", -1)
        if kind == "output_item.added":
            assert at == len(output)
            output.append(event["item"])
        elif kind == "output_item.done":
            assert output[at] | {"status": event["item"]["status"]} == event["item"]
            output[at] = event["item"]
        elif kind in ("content_part.added", "reasoning_summary_part.added"):
            listed = output[at]["content" if "content_index" in event else "summary"]
            assert len(listed) == event.get("content_index", event.get("summary_index"))
            listed.append(event["part"])
        elif kind.endswith(".delta"):
            assert event["item_id"] == output[at]["id"]
            if "content_index" in event or "summary_index" in event:
                listed = output[at]["content" if "content_index" in event else "summary"]
                part = listed[event.get("content_index", event.get("summary_index"))]
                part["refusal" if "refusal" in kind else "text"] += event["delta"]
            else:
                output[at]["input" if "custom" in kind else "arguments"] += event["delta"]
    return output


@pytest.mark.skipif(not HAS_OPENAI, reason="the openai SDK is not installed")
@given(answers(), st.sampled_from(["stop", "length", "content_filter"]), st.booleans())
def test_events_are_what_the_openai_sdk_expects(
    answer: tuple[Sequence[Delta], Sequence[Delta]], finish: str, fails: bool
) -> None:
    """Each event, and the response, is valid by the types of the openai SDK."""
    import pydantic
    from openai.types.responses import ResponseStreamEvent

    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
    ending = (
        ApiError(500, "server_error", "Broken.") if fails else Ending(finish_reason=finish, usage={"input_tokens": 1})
    )
    for event in streamed(answer[0], ending, tools=[WEATHER, PATCH], metadata={"a": "b"}, temperature=0.5):
        read = adapter.validate_python(event)
        assert read.type == event["type"]
