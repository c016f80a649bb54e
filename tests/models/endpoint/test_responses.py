"""`ChatEndpoint(api="responses")`: the same model on OpenAI's Responses API, without anything stored at the server."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.exceptions import ModelAPIError, ModelInvalidRequestError, ModelNotFoundError
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)
from pydantic import BaseModel, ValidationError
from tests.models.endpoint.conftest import MakeEndpoint
from tests.models.endpoint.exact_server import exact_server
from tests.models.endpoint.test_faults import ERRORS, STALLS, TEXT, fault
from tests.paths import STREAMED, Path, by_invoke, by_stream

from langplug import UnsupportedError
from langplug.models import ChatEndpoint
from langplug_backend import FAULTS, Backend, Call, Fault, Refusal, Reply, Thought, Tokens

SPEAKS_RESPONSES = {name: kind for name, kind in FAULTS.items() if not kind.dialects or "responses" in kind.dialects}

IN_THE_MIDDLE = [name for name, kind in SPEAKS_RESPONSES.items() if kind.takes == "after"]


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@pytest.fixture
def model(make: MakeEndpoint) -> ChatEndpoint:
    """A model on this wire."""
    return make(api="responses")


def sent(backend: Backend) -> dict[str, Any]:
    """The body of the last request."""
    assert "/v1/responses" == backend.last.path
    body = backend.last.body
    assert isinstance(body, dict)
    return body


def items(backend: Backend) -> list[Any]:
    """What the last request brought as its input."""
    return list(sent(backend)["input"])


# --- what is asked ---


def test_a_request_stores_nothing(backend: Backend, make: MakeEndpoint) -> None:
    """A request has the whole conversation, asks for reasoning that can be sent back, and has nothing stored."""
    model = make(api="responses", temperature=0.5, max_tokens=7, reasoning_effort="low")
    model.invoke([SystemMessage("Be brief."), HumanMessage("one"), AIMessage("two"), HumanMessage("three")])
    assert {
        "model": "m-1",
        "input": [
            {"type": "message", "role": "system", "content": "Be brief."},
            {"type": "message", "role": "user", "content": "one"},
            {"type": "message", "role": "assistant", "content": "two"},
            {"type": "message", "role": "user", "content": "three"},
        ],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "temperature": 0.5,
        "max_output_tokens": 7,
        "reasoning": {"effort": "low"},
    } == sent(backend)


def test_fields_of_ones_own_are_added(backend: Backend, make: MakeEndpoint) -> None:
    """`extra_body` adds to what langplug makes of the other fields, and overrides it."""
    extra = {"reasoning": {"summary": "auto"}, "store": True, "truncation": "auto", "include": None}
    make(api="responses", reasoning_effort="low", extra_body=extra).invoke("x")
    body = sent(backend)
    assert {"effort": "low", "summary": "auto"} == body["reasoning"]
    assert (True, "auto", False) == (body["store"], body["truncation"], "include" in body)


def test_media_are_input_parts(backend: Backend, model: ChatEndpoint) -> None:
    """Images and files go out as this API has them, with the keys that their caller wrote."""
    image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png", "detail": "low"}
    file = {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf", "filename": "a.pdf"}
    text = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    model.invoke([HumanMessage([text, image, file])])
    assert [
        {"type": "input_text", "text": "x", "cache_control": {"type": "ephemeral"}},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
    ] == items(backend)[0]["content"]


@pytest.mark.parametrize(
    ("choice", "written"),
    [("any", "required"), ("auto", "auto"), ("none", "none"), ("add", {"type": "function", "name": "add"})],
)
def test_tools_are_flat(backend: Backend, make: MakeEndpoint, choice: str, written: Any) -> None:
    """Functions and the choice among them are flat and not strict; a tool of the server that it accepts is as it is."""
    backend.reply = (
        Reply(calls=(Call(name="add", args={"a": 1, "b": 2}),)) if choice in ("add", "any") else Reply(text="x")
    )
    search = {"type": "web_search", "search_context_size": "low"}
    model = make(api="responses", accepts=frozenset({"web_search"}))
    model.bind_tools([add, search], tool_choice=choice, parallel_tool_calls=False).invoke("x")
    body = sent(backend)
    assert (written, False) == (body["tool_choice"], body["parallel_tool_calls"])
    (function,) = [tool for tool in body["tools"] if tool != search]
    assert ("function", "add", "Adds two numbers.", False) == tuple(
        function[name] for name in ("type", "name", "description", "strict")
    )
    assert (["a", "b"], 2) == ([*function["parameters"]["properties"]], len(body["tools"]))


class Person(BaseModel):
    """A person."""

    name: str


def test_a_schema_is_the_format_of_the_text(backend: Backend, model: ChatEndpoint) -> None:
    """A schema stands in `text.format`, beside what else is said of the text."""
    backend.reply = '{"name": "Ann"}'
    wordy = {"text": {"verbosity": "low"}}
    assert Person(name="Ann") == model.with_structured_output(Person, strict=True).invoke("x", extra_body=wordy)
    text = sent(backend)["text"]
    form = text["format"]
    assert ("json_schema", "Person", True, "low") == (form["type"], form["name"], form["strict"], text["verbosity"])
    assert ["name"] == list(form["schema"]["properties"])


def test_what_the_api_does_not_have_is_noted(backend: Backend, make: MakeEndpoint) -> None:
    """A seed and penalties have no place on this wire: they are left out and noted, or refused if that is wanted."""
    message = make(api="responses", seed=1, presence_penalty=0.5).invoke("x")
    assert sent(backend).keys().isdisjoint(("seed", "presence_penalty", "stream_options"))
    assert {"seed", "presence_penalty"} == {one["feature"] for one in message.response_metadata["adaptations"]}
    with pytest.raises(UnsupportedError, match="seed"):
        make(api="responses", seed=1, adaptations="refuse").invoke("x")
    with pytest.raises(ValidationError, match="gives one answer"):
        make(api="responses", n=2)


def test_a_stop_string_ends_the_stream(backend: Backend, model: ChatEndpoint, call: Path) -> None:
    """This wire has no stop strings: langplug cuts the answer, and has it streamed so that the server stops."""
    backend.reply = "one two three four"
    message = call(model, "x", stop=["three"]).message
    assert ("one two three", "three") == (message.text, message.response_metadata["stop_sequence"])
    assert (True, False) == (sent(backend)["stream"], "stop" in sent(backend))


@pytest.mark.parametrize("path", ["/v1", "/v1/responses"])
def test_the_whole_address_is_accepted(backend: Backend, make: MakeEndpoint, path: str) -> None:
    """The base URL may have the path of the responses, as servers document it."""
    make(api="responses", base_url=backend.url + path).invoke("x")
    assert "/v1/responses" == backend.last.path


# --- what is answered ---


def test_an_answer_tells_all(backend: Backend, model: ChatEndpoint, call: Path) -> None:
    """Text, reasoning, calls, usage and the end are the same on every path."""
    usage = Tokens(input=7, output=5, cached=2, reasoning=1)
    calls = (Call(name="add", args={"a": 1, "b": 2}), Call(name="add", args={"a": 3, "b": 4}, cut=0))
    backend.reply = Reply(pieces=(Thought("h"), Thought("m"), "I ", "add", *calls), usage=usage)
    message = call(model.bind_tools([add]), "x").message
    assert ("I add", "tool_calls") == (message.text, message.response_metadata["finish_reason"])
    assert [{"a": 1, "b": 2}, {"a": 3, "b": 4}] == [one["args"] for one in message.tool_calls]
    assert 2 == len({one["id"] for one in message.tool_calls})
    assert ["hm"] == [block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"]
    assert message.usage_metadata is not None
    details = message.usage_metadata["input_token_details"], message.usage_metadata["output_token_details"]
    assert (7, 5, 2, 1) == (
        message.usage_metadata["input_tokens"],
        message.usage_metadata["output_tokens"],
        details[0]["cache_read"],
        details[1]["reasoning"],
    )


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_finish_reasons_are_the_usual_words(backend: Backend, model: ChatEndpoint, call: Path, reason: str) -> None:
    """Why an answer ended is said in the words of chat completions."""
    backend.reply = Reply(text="x", finish=reason)
    assert reason == call(model, "x").message.response_metadata["finish_reason"]


def test_a_refusal_is_one(backend: Backend, model: ChatEndpoint, call: Path) -> None:
    """That the model declines is a block of its own, as with chat completions, and goes back as what it said."""
    backend.reply = Reply(pieces=(Refusal("I "), Refusal("won't.")))
    message = call(model, "x").message
    assert [{"type": "refusal", "refusal": "I won't.", "index": 0}] == message.content
    model.invoke([HumanMessage("x"), message, HumanMessage("Why?")])
    assert "I won't." == items(backend)[1]["content"]


def test_log_probabilities(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """They are asked for, and returned, as by chat completions."""
    backend.reply = "one two"
    message = call(make(api="responses", top_logprobs=2), "x").message
    assert ["one", " two"] == [one["token"] for one in message.response_metadata["logprobs"]["content"]]
    assert ("message.output_text.logprobs", 2) == (sent(backend)["include"][-1], sent(backend)["top_logprobs"])


def test_what_a_tool_of_the_server_did_is_shown_and_goes_back(call: Path) -> None:
    """Its call and result are blocks of the answer; the next request has its item as it came, in its place."""
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    said = [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]}
        for text in ("I look. ", "Found.")
    ]
    output = [thought, said[0], search, said[1]]
    response = {"object": "response", "model": "m", "status": "completed", "output": output}
    events = [
        *({"type": "response.output_item.done", "output_index": n, "item": item} for n, item in enumerate(output)),
        {"type": "response.completed", "response": response},
    ]
    with exact_server(lambda body: events if body.get("stream") else response) as server:
        model = ChatEndpoint(model="m", base_url=server.url, api="responses", max_retries=0)
        asked: list[BaseMessage] = [HumanMessage("x")]
        asked += [call(model, asked).message, HumanMessage("y")]
        model.invoke(asked)
    kinds = [block["type"] for block in asked[1].content_blocks]
    assert ["text", "server_tool_call", "server_tool_result", "text"] == [kind for kind in kinds if kind != "reasoning"]
    texts = [{"type": "message", "role": "assistant", "content": text} for text in ("I look. ", "Found.")]
    assert [thought, texts[0], search, texts[1]] == server.bodies[-1]["input"][1:-1]


def test_a_tool_that_takes_text_is_called_and_answered() -> None:
    """A call of a custom tool has its text as `input`; it and its result go back in the items for them."""
    item = {"type": "custom_tool_call", "id": "ct_1", "call_id": "c1", "name": "shell", "input": "ls -l"}
    response = {"object": "response", "model": "m", "status": "completed", "output": [item]}
    with exact_server(lambda _: response) as server:
        model = ChatEndpoint(model="m", base_url=server.url, api="responses", max_retries=0)
        answer = model.invoke("x")
        model.invoke([HumanMessage("x"), answer, ToolMessage("total 0", tool_call_id="c1")])
    assert [{"name": "shell", "args": {"input": "ls -l"}, "id": "c1", "type": "tool_call"}] == answer.tool_calls
    assert [
        {"type": "custom_tool_call", "call_id": "c1", "name": "shell", "input": "ls -l"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "total 0"},
    ] == server.bodies[-1]["input"][1:]


# --- reasoning that goes back ---

LOOP = Reply(pieces=(Thought("hm"), "I add", Call(name="add", args={"a": 1, "b": 2}, id="c1")))

RESULT = ToolMessage("3", tool_call_id="c1")


def kinds(given: Sequence[Any]) -> list[str]:
    return [item["type"] for item in given]


def test_reasoning_goes_back_in_its_place(backend: Backend, model: ChatEndpoint, call: Path) -> None:
    """What the server has encrypted goes back before what it led to, also after a checkpoint, though no policy asks."""
    backend.reply = LOOP
    message = call(model, "x").message
    (kept,) = messages_from_dict(messages_to_dict([message]))
    backend.reply = "3"
    model.invoke([HumanMessage("x"), kept, RESULT])
    assert ["message", "reasoning", "message", "function_call", "function_call_output"] == kinds(items(backend))
    thought = items(backend)[1]
    assert ("c2lnbmF0dXJl", [{"type": "summary_text", "text": "hm"}]) == (
        thought["encrypted_content"],
        thought["summary"],
    )


def test_reasoning_goes_to_its_own_server_and_wire_alone(backend: Backend, make: MakeEndpoint) -> None:
    """Neither another server nor the chat completions of the same one get what they could not read."""
    backend.reply = LOOP
    said = [HumanMessage("x"), make(api="responses").invoke("x"), RESULT]
    backend.reply = "3"
    make().invoke(said)
    assert "c2lnbmF0dXJl" not in json.dumps(backend.last.body)
    assert "output_items" not in json.dumps(backend.last.body)
    with Backend() as other:
        make(api="responses", base_url=other.openai_url).invoke(said)
        assert ["message", "message", "function_call", "function_call_output"] == kinds(items(other))


def test_plain_reasoning_goes_back_if_a_policy_keeps_it(backend: Backend, make: MakeEndpoint) -> None:
    """Where nothing is encrypted, as by open weights, `keep_reasoning` decides, as on every wire."""
    thought = AIMessage("two", additional_kwargs={"reasoning_content": "hm"})
    said = [HumanMessage("one"), thought, HumanMessage("three")]
    make(api="responses").invoke(said)
    assert ["message"] * 3 == kinds(items(backend))
    make(api="responses", keep_reasoning="all").invoke(said)
    assert ["message", "reasoning", "message", "message"] == kinds(items(backend))
    assert [{"type": "reasoning_text", "text": "hm"}] == items(backend)[1]["content"]


def test_a_model_without_reasoning_is_not_asked_for_it_again(backend: Backend, model: ChatEndpoint) -> None:
    """A model that refuses `include` is asked without it, at once and from then on."""
    refused = Fault(kind="invalid_request", message="Encrypted content is not supported with this model.")
    backend.queue(refused)
    assert "x" == model.invoke("x").text
    assert "include" not in sent(backend)
    model.invoke("x")
    assert (3, False) == (len(backend.requests), "include" in sent(backend))


# --- what goes wrong ---


def test_no_fault_is_forgotten() -> None:
    """Each fault that this wire knows and a client must see as an error has its error."""
    assert {name for name, kind in SPEAKS_RESPONSES.items() if kind.error} <= ERRORS.keys()


@pytest.mark.parametrize("path", [by_invoke, by_stream])
@pytest.mark.parametrize("kind", [name for name, kind in SPEAKS_RESPONSES.items() if kind.error])
def test_a_fault_is_the_error_that_it_is_on_each_wire(
    backend: Backend, make: MakeEndpoint, kind: str, path: Path
) -> None:
    """What goes wrong is the same typed error as with chat completions."""
    backend.reply = TEXT
    backend.fault = Fault(kind=kind, field="input") if kind == "refuse_field" else fault(kind)
    with pytest.raises(ERRORS[kind]) as caught:
        path(make(api="responses", **(STALLS if "stall" in kind else {})), "x")
    assert ERRORS[kind] is type(caught.value)


@pytest.mark.parametrize("kind", IN_THE_MIDDLE)
def test_a_stream_that_breaks_off_keeps_what_had_come(backend: Backend, make: MakeEndpoint, kind: str) -> None:
    """An error in mid-stream has all text that had come as its `partial`, and is never tried again."""
    backend.reply = Reply(pieces=(Thought("hm"), *TEXT.split()))
    backend.fault = fault(kind, after=4)
    with pytest.raises(ERRORS[kind]) as caught:
        STREAMED["stream"](make(api="responses", max_retries=3, **(STALLS if kind == "stall" else {})), "x")
    assert "".join(TEXT.split()[:3]) == caught.value.partial.text  # type: ignore[attr-defined]
    assert 1 == len(backend.requests)


@pytest.mark.parametrize("path", [by_invoke, by_stream])
@pytest.mark.parametrize("kind", [name for name, kind in SPEAKS_RESPONSES.items() if not kind.error])
def test_what_is_only_odd_changes_nothing(backend: Backend, make: MakeEndpoint, kind: str, path: Path) -> None:
    """However oddly an answer is framed and shaped, its text, reasoning, calls and usage are right."""
    backend.reply = Reply(
        pieces=(Thought("hm"), *TEXT.partition(" "), Call(name="add", args={"a": 1, "b": "é"}, cut=3))
    )
    model = make(api="responses")
    expected = by_invoke(model, "x").message
    backend.fault = fault(kind)
    message = path(model, "x").message
    assert (TEXT, expected.usage_metadata) == (message.text, message.usage_metadata)
    assert [{"a": 1, "b": "é"}] == [one["args"] for one in message.tool_calls]
    assert "hm" == message.additional_kwargs["reasoning_content"]


def test_a_server_without_this_api_is_said_so(backend: Backend, model: ChatEndpoint) -> None:
    """Where there is no such address, the error says what to leave out."""
    backend.fault = Fault.status(404, body="Not Found")
    with pytest.raises(ModelNotFoundError, match=r"no Responses API: then leave out api=\"responses\""):
        model.invoke("x")


def test_a_server_of_the_other_wire_is_said_so() -> None:
    """Where chat completions come instead, the error says so."""
    answer = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    with exact_server(lambda _: answer) as server, pytest.raises(ModelAPIError, match=r"speak chat completions\?"):
        ChatEndpoint(model="m", base_url=server.url, api="responses", max_retries=0).invoke("x")


def test_an_error_in_the_answer_is_tried_again(backend: Backend, make: MakeEndpoint) -> None:
    """A failure that may pass is retried, as long as nothing had come."""
    backend.queue(Fault.status(503), Fault(kind="error_event"))
    assert "x" == by_stream(make(api="responses", max_retries=2), "x").text
    assert 3 == len(backend.requests)


def test_a_wrong_request_is_not(backend: Backend, make: MakeEndpoint) -> None:
    """An error of the request is raised at once."""
    backend.fault = Fault(kind="invalid_request", message="Unknown parameter: 'x'.")
    with pytest.raises(ModelInvalidRequestError):
        make(api="responses", max_retries=2).invoke("x")
    assert 1 == len(backend.requests)
