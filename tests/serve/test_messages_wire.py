"""The Messages wire without a network: what a body says, and how an answer is written."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from tests.serve.claude_code_bodies import BODIES, HEADERS, PIXEL
from tests.serve.messages_client import events_in, put_together
from tests.serve.negative_bodies import ADD, MESSAGES, SEARCH, USER, a_body, said
from tests.serve.written_messages import USAGE, answers

from langplug._wires.messages import FINISH_BY_STOP_REASON, STATUS_BY_ERROR
from langplug.serve.deltas import Block, CallArguments, CallStart, Delta, Ending, Refusal, Thought
from langplug.serve.errors import ApiError
from langplug.serve.wires.messages import COUNT_WIRE, WIRE, MessagesCall, model_body, models_body
from langplug.serve.wires.messages_output import MessageWriter, Shown

STOPPED = Ending(finish_reason="stop", usage=USAGE)


def whole(deltas: list[Delta], ending: Ending = STOPPED, thoughts: Shown = "shown") -> dict[str, Any]:
    return MessageWriter("msg_1", "m", thoughts).whole(deltas, ending)


def streamed(deltas: list[Delta], ending: Ending = STOPPED, thoughts: Shown = "shown") -> bytes:
    one = MessageWriter("msg_1", "m", thoughts)
    return b"".join([one.begin(), *map(one.feed, deltas), one.end(ending)])


# --- answers ---


@given(answer=answers(), thoughts=st.sampled_from(get_args(Shown)))
def test_an_answer_is_the_same_whole_and_streamed(answer: list[Delta], thoughts: Shown) -> None:
    """However an answer is cut and mixed, its stream makes the message that it is in one piece."""
    assert put_together(streamed(answer, thoughts=thoughts)) == whole(answer, thoughts=thoughts)


@given(answer=answers())
def test_nothing_of_an_answer_is_lost(answer: list[Delta]) -> None:
    """All text, reasoning and calls are there, in the order in which they began."""
    message = whole(answer)
    told = {"text": "", "thinking": ""}
    for block in message["content"]:
        for member in told:
            told[member] += block.get(member, "")
    assert told["text"] == "".join(delta for delta in answer if isinstance(delta, str))
    assert told["thinking"] == "".join(delta.text for delta in answer if isinstance(delta, Thought))
    calls = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
    assert calls == [delta.id for delta in answer if isinstance(delta, CallStart)]


@given(pieces=st.lists(st.text(min_size=1), min_size=1))
def test_text_is_told_at_once(pieces: list[str]) -> None:
    """Each piece of text is one event, sent when it comes."""
    one = MessageWriter("msg_1", "m")
    one.begin()
    for piece in pieces:
        last = list(events_in(one.feed(piece)))[-1]
        assert last["delta"] == {"type": "text_delta", "text": piece}


def test_two_calls_at_once_come_one_after_the_other() -> None:
    """A call that has begun while another one is not whole waits for it, and then comes as it is."""
    deltas: list[Delta] = [
        CallStart(0, "toolu_a", "add"),
        CallStart(1, "toolu_b", "add"),
        CallArguments(1, '{"b": '),
        CallArguments(0, '{"a": 1}'),
        CallArguments(1, "2}"),
    ]
    one = MessageWriter("msg_1", "m")
    told = [[event["type"] for event in events_in(said)] if (said := one.feed(delta)) else [] for delta in deltas]
    assert told == [
        ["content_block_start"],
        [],
        [],
        ["content_block_delta", "content_block_stop", "content_block_start", "content_block_delta"],
        ["content_block_delta"],
    ]
    inputs = [block["input"] for block in put_together(streamed(deltas))["content"]]
    assert inputs == [{"a": 1}, {"b": 2}]


def test_thoughts_are_shown_as_far_as_the_client_wants() -> None:
    """Reasoning is shown, or left without its text, whose signature goes back to the model, or hidden."""
    deltas: list[Delta] = [Thought("Hm."), Thought("", {"signature": "s"}), Thought("", {"data": "d"}), "Yes."]
    text, sealed = {"type": "text", "text": "Yes."}, {"type": "redacted_thinking", "data": "d"}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    assert whole(deltas)["content"] == [thought, sealed, text]
    assert whole(deltas, thoughts="omitted")["content"] == [{**thought, "thinking": ""}, sealed, text]
    assert whole(deltas, thoughts="hidden")["content"] == [text]


def test_arguments_that_are_no_object_are_shown_as_they_are() -> None:
    """What a model wrote wrongly stands under a name of its own, for `input` is an object."""
    message = whole([CallStart(0, "toolu_a", "add"), CallArguments(0, '{"a": ')])
    assert message["content"][0]["input"] == {"arguments": '{"a": '}


def test_sources_and_other_content_find_a_place() -> None:
    """Sources are citations; an image is a link, or is said to be there."""
    note = {"type": "citation", "url": "https://example.test/", "title": "T", "cited_text": "c"}
    deltas: list[Delta] = [
        "See ",
        Block({"type": "text", "text": "there.", "annotations": [note]}),
        Block({"type": "image", "url": "https://example.test/a.png"}),
        Block({"type": "image", "base64": PIXEL, "mime_type": "image/png"}),
    ]
    (block,) = put_together(streamed(deltas))["content"]
    assert block["text"].startswith("See there.![image](https://example.test/a.png)[The model also gave content")
    assert PIXEL not in block["text"]
    assert [cited["url"] for cited in block["citations"]] == ["https://example.test/"]


@pytest.mark.parametrize(
    ("ending", "deltas", "reason", "sequence"),
    [
        (Ending(finish_reason="stop"), ["a"], "end_turn", None),
        (Ending(finish_reason="stop", stop_sequence="b"), ["a"], "stop_sequence", "b"),
        (Ending(finish_reason="length"), ["a"], "max_tokens", None),
        (Ending(finish_reason="tool_calls"), [CallStart(0, "i", "add")], "tool_use", None),
        (Ending(finish_reason="stop"), [CallStart(0, "i", "add")], "tool_use", None),
        (Ending(finish_reason="tool_calls"), ["a"], "end_turn", None),
        (Ending(finish_reason="length"), [CallStart(0, "i", "add")], "max_tokens", None),
        (Ending(finish_reason="content_filter"), [], "refusal", None),
        (Ending(finish_reason="pause_turn"), ["a"], "pause_turn", None),
        (Ending(finish_reason="max_tokens"), ["a"], "max_tokens", None),
        (Ending(finish_reason="eos"), ["a"], "end_turn", None),
        (Ending(), ["a"], "end_turn", None),
    ],
)
def test_why_an_answer_ended(ending: Ending, deltas: list[Delta], reason: str, sequence: str | None) -> None:
    """The stop reason is one of the API's, whatever the model's word; calls are there to be answered."""
    message = whole(deltas, ending)
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, sequence)
    assert put_together(streamed(deltas, ending))["stop_reason"] == reason


def test_a_model_that_declines_says_so_in_its_end() -> None:
    """A refusal is a stop reason with its words, and no block."""
    message = whole([Refusal("I "), Refusal("won't.")])
    assert (message["stop_reason"], message["content"]) == ("refusal", [])
    assert message["stop_details"] == {"type": "refusal", "category": None, "explanation": "I won't."}


def test_input_tokens_do_not_include_the_cache() -> None:
    """Tokens that a cache gave or took are counted apart, unlike LangChain's."""
    assert whole(["a"])["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 7,
        "output_tokens": 5,
    }


def test_every_error_has_a_type_of_the_api() -> None:
    """The type of an error is that of its status, in a body and in the middle of a stream."""
    known = {*STATUS_BY_ERROR}
    for status in (*STATUS_BY_ERROR.values(), 405, 415, 421, 422, 502, 503):
        error = ApiError(status, "server_error", "No.")
        body = WIRE.error(error, "req_1")
        assert body["error"]["type"] in known
        assert body == {"type": "error", "error": {**body["error"], "message": "No."}, "request_id": "req_1"}
        (event,) = events_in(MessageWriter("msg_1", "m").fail(error))
        assert event == {"type": "error", "error": body["error"]}
    for name, status in STATUS_BY_ERROR.items():
        assert WIRE.error(ApiError(status, "", ""))["error"]["type"] == name


# --- requests ---


def reading(**changes: Any) -> MessagesCall:
    return WIRE.read(a_body(**changes), {})


@pytest.mark.parametrize(("body", "word"), [case for case in MESSAGES.values() if isinstance(case[0], dict)])
def test_a_wrong_body_is_refused_by_name(body: dict[str, Any], word: str) -> None:
    """Each wrong body is a 400 that names its place; a model that is unknown is not this wire's matter."""
    if word == "gpt-none":
        assert WIRE.read(body, {}).model == word
        return
    with pytest.raises(ApiError, match=word.replace(".", r"\.")) as raised:
        WIRE.read(body, {})
    assert (raised.value.status, raised.value.type) == (400, "invalid_request_error")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_coding_agents_bodies_are_read(body: dict[str, Any]) -> None:
    """What coding agents send is taken, and of what is left out, each thing is named."""
    call = WIRE.read(body, HEADERS)
    assert call.parameters["max_tokens"] == body["max_tokens"]
    assert call.user == body["metadata"]["user_id"]
    assert [tool["function"]["name"] for tool in call.tools] == [
        tool["name"] for tool in body.get("tools", []) if "type" not in tool
    ]
    fields = {field.name for field in WIRE.body.fields if field.verdict == "ignored"}
    assert all(note in fields or note.startswith("tools.") for note in call.notes)
    assert COUNT_WIRE.read(body, HEADERS).messages == call.messages


def test_a_conversation_is_read_as_any_model_takes_it() -> None:
    """Text is one string, media are standard blocks, each result a message after its call, with its name."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    use = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]},
        {"role": "assistant", "content": [{"type": "text", "text": "Let "}, {"type": "text", "text": "me see."}, use]},
        {"role": "user", "content": [{**result, "content": [{"type": "text", "text": "No."}]}]},
        {"role": "system", "content": "Now be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]},
    ]
    system = [
        {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be."},
    ]
    call = reading(system=system, messages=messages)
    expected: list[BaseMessage] = [
        SystemMessage("Be kind.\n\nBe."),
        HumanMessage("Hi"),
        HumanMessage(
            [{"type": "text", "text": "What is it?"}, {"type": "image", "base64": PIXEL, "mime_type": "image/png"}]
        ),
        AIMessage("Let me see.", tool_calls=[{"type": "tool_call", "id": "toolu_1", "name": "add", "args": {"a": 1}}]),
        ToolMessage("No.", tool_call_id="toolu_1", name="add", status="error"),
        SystemMessage("Now be brief."),
        HumanMessage("One.\nTwo."),
    ]
    assert call.messages == expected


def test_reasoning_comes_back_with_its_signature() -> None:
    """Earlier reasoning is standard blocks, in its place, with what its provider wants back."""
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    sealed = {"type": "redacted_thinking", "data": "d"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}}
    text = {"type": "text", "text": "Yes."}
    content = reading(messages=[USER, *said(thought, sealed, text, use, role="assistant"), USER]).messages[1].content
    assert content == [
        {"type": "reasoning", "reasoning": "Hm.", "extras": {"signature": "s"}},
        {"type": "non_standard", "value": sealed},
        text,
        {"type": "tool_call", "id": "toolu_1", "name": "add", "args": {}},
    ]


def test_documents_of_text_are_text() -> None:
    """What is text in a document is text to the model; a file is a standard block; nothing is opened."""
    blocks = [
        {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "one"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "two"}]}},
        {"type": "search_result", "title": "S", "source": "s", "content": [{"type": "text", "text": "three"}]},
    ]
    assert reading(messages=said(*blocks)).messages == [HumanMessage("T\none\ntwo\nS (s)\nthree")]
    link = {"type": "document", "source": {"type": "url", "url": "file:///nothing"}}
    file = {"type": "file", "mime_type": "application/pdf", "url": "file:///nothing"}
    assert reading(messages=said(link)).messages == [HumanMessage([file])]


@pytest.mark.parametrize(
    ("role", "block"),
    [
        ("user", {"type": "container_upload", "file_id": "file_1"}),
        ("assistant", {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}),
        ("assistant", {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
        ("assistant", {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}),
        ("assistant", {"type": "mcp_tool_listing", "mcp_server_name": "s", "tools": []}),
        ("system", {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "add"}}),
        ("system", {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "add"}}),
    ],
)
def test_blocks_about_what_runs_at_anthropics_are_left_out(role: str, block: Any) -> None:
    """A conversation that has them goes on without them, and the header names each."""
    call = reading(messages=[USER, {"role": role, "content": [block, {"type": "text", "text": "So."}]}])
    assert [message.text for message in call.messages] == ["Hi", "So."]
    assert call.notes == [f"messages.1.content.0: {block['type']}"]


def test_a_message_of_the_system_may_say_nothing() -> None:
    """One that only sets something for its turn is no message to a model."""
    call = reading(messages=[USER, {"role": "system", "output_config": {"effort": "low"}}])
    assert call.messages == [HumanMessage("Hi")]
    assert call.notes == ["messages.1.output_config"]


def test_what_a_tool_gave_never_ends_an_agent() -> None:
    """A block of a result that no model can be shown is said in words."""
    result = {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "tool_reference", "tool_name": "add"}]}
    (message,) = reading(messages=said(result)).messages
    assert message.text == "[The tool also gave content that cannot be shown here: tool_reference add]"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "add"}, {"type": "function", "function": {"name": "add"}}),
        (None, None),
    ],
)
def test_tools_and_their_choice(choice: Any, expected: Any) -> None:
    """Functions are those of chat completions, and so is the choice; tools that run at Anthropic's are noted."""
    call = reading(tools=[ADD, SEARCH], tool_choice=choice)
    function = {"name": "add", "parameters": ADD["input_schema"]}
    assert (call.tools, call.tool_choice) == ([{"type": "function", "function": function}], expected)
    assert call.notes == ["tools.1: web_search_20250305"]


def test_what_else_is_asked_has_langchains_names() -> None:
    """Parameters, the schema of the answer, stop strings and the user reach the call."""
    form = {"type": "json_schema", "schema": {"type": "object"}}
    call = reading(
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop_sequences=["x"],
        stream=True,
        metadata={"user_id": "u"},
        output_config={"effort": "low", "format": form},
        tools=[ADD],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        service_tier="auto",
        unheard_of=1,
    )
    assert call.parameters == {
        "max_tokens": 4096,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "reasoning_effort": "low",
        "parallel_tool_calls": False,
    }
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    assert call.schema == {"type": "json_schema", "json_schema": schema}
    assert (call.stop, call.user, call.stream) == (["x"], "u", True)
    assert {*call.notes} == {"service_tier", "unheard_of"}


@pytest.mark.parametrize(
    ("thinking", "shown"),
    [
        (None, "shown"),
        ({"type": "enabled", "budget_tokens": 2048}, "shown"),
        ({"type": "adaptive", "display": "omitted"}, "omitted"),
        ({"type": "disabled"}, "hidden"),
    ],
)
def test_the_client_says_what_is_shown_of_reasoning(thinking: Any, shown: Shown) -> None:
    """A client that wants no thinking is shown none."""
    call = reading(thinking=thinking)
    assert call.thoughts == shown
    kinds = [
        block["type"] for block in WIRE.writer(call, "msg_1", 0).whole([Thought("Hm."), "Yes."], STOPPED)["content"]
    ]
    assert kinds == (["text"] if shown == "hidden" else ["thinking", "text"])


def test_models_are_listed_as_the_api_lists_them() -> None:
    """The list of models is one page, with its first and last id; an empty one has neither."""
    models = [model_body("a", 0, {"max_input_tokens": 8}), model_body("b", 86_400, {"name": "B"})]
    assert models_body(models) == {"data": models, "has_more": False, "first_id": "a", "last_id": "b"}
    assert [model["created_at"] for model in models] == ["1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"]
    assert [model["display_name"] for model in models] == ["a", "B"]
    assert models_body([])["first_id"] is None


def test_a_count_is_asked_without_a_limit_and_answered_with_one_number() -> None:
    """A count needs no `max_tokens`, runs nothing, and its answer is the tokens of the input."""
    call = COUNT_WIRE.read({"model": "m", "messages": [USER], "tools": [ADD]}, HEADERS)
    assert (call.counts_only, len(call.tools)) == (True, 1)
    assert COUNT_WIRE.writer(call, "msg_1", 0).whole([], Ending(usage={"input_tokens": 9})) == {"input_tokens": 9}


def test_each_finish_reason_has_a_stop_reason() -> None:
    """The table of reasons can be read in both directions."""
    for reason, finish in FINISH_BY_STOP_REASON.items():
        if reason in ("stop_sequence", "tool_use"):  # which need more than a finish reason
            continue
        assert whole([], Ending(finish_reason=finish))["stop_reason"] == reason
