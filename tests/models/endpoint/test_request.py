"""What goes over the wire, as OpenAI documents it."""

import json
from typing import Any

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from pydantic import BaseModel, ValidationError
from tests.echo_models import PIXEL
from tests.models.endpoint.conftest import MakeEndpoint
from tests.paths import PATHS, STREAMED, Path

import langplug
from langplug_backend import Backend, Call, Fault, Reply


def sent(backend: Backend) -> dict[str, Any]:
    """The body of the last request."""
    body = backend.last.body
    assert isinstance(body, dict)
    return body


# --- the conversation ---

CALL = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}

MESSAGES: dict[str, tuple[BaseMessage, dict[str, Any]]] = {
    "system": (SystemMessage("Be brief."), {"role": "system", "content": "Be brief."}),
    "human": (HumanMessage("Hé 👩‍🚀"), {"role": "user", "content": "Hé 👩‍🚀"}),
    "named": (HumanMessage("Hi", name="ann"), {"role": "user", "content": "Hi", "name": "ann"}),
    "assistant": (AIMessage("Hello"), {"role": "assistant", "content": "Hello"}),
    "chunk": (AIMessageChunk("Hello"), {"role": "assistant", "content": "Hello"}),
    "chat": (ChatMessage(role="developer", content="Be."), {"role": "developer", "content": "Be."}),
    "tool": (ToolMessage("3", tool_call_id="c1"), {"role": "tool", "tool_call_id": "c1", "content": "3"}),
    "function": (FunctionMessage("3", name="add"), {"role": "tool", "name": "add", "content": "3"}),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_each_kind_of_message_is_sent(backend: Backend, make: MakeEndpoint, call: Path, kind: str) -> None:
    """Every kind of message reaches the server, with its role, in its place."""
    message, expected = MESSAGES[kind]
    call(make(), [HumanMessage("first"), message, HumanMessage("last")])
    first, middle, last = sent(backend)["messages"]
    assert ("first", "last") == (first["content"], last["content"])
    assert expected == {name: value for name, value in middle.items() if name in expected}


def test_calls_are_sent_back(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """An answer with calls goes back with them, once, linked to their results; so does one in standard content."""
    blocks: list[Any] = [{"type": "text", "text": "I add."}, CALL]
    for said in (
        AIMessage("I add.", tool_calls=[CALL]),
        AIMessage(blocks, tool_calls=[CALL], response_metadata={"output_version": "v1"}),
    ):
        call(make(), [HumanMessage("1?"), said, ToolMessage("1", tool_call_id="c1")])
        _, answer, result = sent(backend)["messages"]
        assert "I add." == (answer["content"] if isinstance(answer["content"], str) else answer["content"][0]["text"])
        (one,) = answer["tool_calls"]
        assert ("c1", "add") == (one["id"], one["function"]["name"])
        assert {"a": 1} == json.loads(one["function"]["arguments"])
        assert ("tool", "c1") == (result["role"], result["tool_call_id"])


MEDIA: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "image": (
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ),
    "image by URL": (
        {"type": "image", "url": "https://example.com/a.png"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ),
    "image as OpenAI has it": (
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
    ),
    "audio": (
        {"type": "audio", "base64": "UklGRg==", "mime_type": "audio/wav"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    ),
    "file": (
        {"type": "file", "base64": "JVBERg==", "mime_type": "application/pdf", "filename": "a.pdf"},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}},
    ),
    "file by id": (
        {"type": "file", "file_id": "file-1"},
        {"type": "file", "file": {"file_id": "file-1"}},
    ),
}


@pytest.mark.parametrize("kind", MEDIA)
def test_media_are_sent_as_openai_documents_them(backend: Backend, make: MakeEndpoint, call: Path, kind: str) -> None:
    """Images, audio and files reach the server in OpenAI's shape."""
    block, expected = MEDIA[kind]
    call(make(), [HumanMessage([{"type": "text", "text": "What is it?"}, block])])
    text, media = sent(backend)["messages"][0]["content"]
    assert "What is it?" == text["text"]
    assert expected == media


@pytest.mark.parametrize("block", [{"type": "video", "base64": "AAAA", "mime_type": "video/mp4"}])
def test_media_that_the_wire_does_not_know_are_refused(
    backend: Backend, make: MakeEndpoint, call: Path, block: dict[str, Any]
) -> None:
    """What has no place in a request is refused by name, and never silently left out."""
    with pytest.raises(Exception, match="video"):
        call(make(), [HumanMessage([block])])
    assert [] == backend.requests


def test_half_a_character_is_refused(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A lone surrogate, which is no Unicode text, is refused as what it is."""
    with pytest.raises(ModelInvalidRequestError, match="surrogate"):
        call(make(), "before \ud800 after")
    assert [] == backend.requests


# --- the parameters ---

PARAMETERS: dict[str, Any] = {
    "temperature": 0.3,
    "top_p": 0.9,
    "max_tokens": 7,
    "seed": 11,
    "frequency_penalty": 0.5,
    "presence_penalty": -0.5,
    "reasoning_effort": "low",
    "top_logprobs": 2,
}


@pytest.mark.parametrize("path", PATHS)
def test_parameters_are_sent_where_they_are_given(backend: Backend, make: MakeEndpoint, path: str) -> None:
    """What is set reaches the server once, under OpenAI's name; what is not set is not in the request at all."""
    PATHS[path](make(**PARAMETERS), "x")
    body = sent(backend)
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if path in STREAMED else {}
    expected = {"model": "m-1", "messages": [{"role": "user", "content": "x"}], **PARAMETERS, **streamed}
    assert {**expected, "logprobs": True} == body
    PATHS[path](make(), "x")
    assert {"model": "m-1", "messages": [{"role": "user", "content": "x"}], **streamed} == sent(backend)


@pytest.mark.parametrize(("name", "value"), PARAMETERS.items())
def test_a_call_may_have_its_own(backend: Backend, make: MakeEndpoint, call: Path, name: str, value: Any) -> None:
    """A parameter of one call counts for that call, and does not stick."""
    model = make()
    call(model, "x", **{name: value})
    assert value == sent(backend)[name]
    call(model, "x")
    assert name not in sent(backend)


def test_a_call_may_ask_another_model(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """`model` of one call reaches the server and the answer's metadata."""
    message = call(make(), "x", model="m-2").message
    assert ("m-2", "m-2") == (sent(backend)["model"], message.response_metadata["model_name"])


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", -1), ("top_p", 0), ("max_tokens", 0), ("n", 0), ("top_logprobs", 21)]
)
def test_a_value_out_of_range_is_refused(make: MakeEndpoint, name: str, value: Any) -> None:
    """A value that no server takes is refused when the model is made."""
    with pytest.raises(ValidationError, match=name):
        make(**{name: value})


def test_a_misspelt_parameter_is_refused(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A misspelt parameter is an error that suggests the right one, in the constructor and in a call."""
    with pytest.raises(TypeError, match="temperature"):
        make(temprature=0)
    with pytest.raises(TypeError, match="temperature"):
        call(make(), "x", temprature=0)
    assert [] == backend.requests


def test_extra_fields_count_first(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """`extra_body` brings fields that OpenAI does not know, counts before all others, and None leaves one out."""
    extra = {"top_k": 40, "temperature": 1.5, "seed": None, "chat_template_kwargs": {"enable_thinking": False}}
    call(make(temperature=0.1, seed=3, extra_body=extra), "x")
    body = sent(backend)
    assert (40, 1.5, {"enable_thinking": False}) == (body["top_k"], body["temperature"], body["chat_template_kwargs"])
    assert "seed" not in body
    call(make(), "x", extra_body={"top_k": 1})
    assert 1 == sent(backend)["top_k"]


def test_logprobs_are_in_the_metadata(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """What is told of each token's probability is in the answer's metadata, all of it, on every path."""
    message = call(make(logprobs=True), "one two three").message
    told = message.response_metadata["logprobs"]["content"]
    assert ["one", " two", " three"] == [token["token"] for token in told]


@pytest.mark.parametrize(
    ("server", "name"), [("openai", "max_completion_tokens"), ("any", "max_tokens"), ("vllm", "max_tokens")]
)
def test_the_limit_has_the_servers_name(backend: Backend, make: MakeEndpoint, server: str, name: str) -> None:
    """`max_tokens` goes under the name that the kind of server knows, and no other."""
    message = make(server=server, max_tokens=2).invoke("one two three")
    assert {name: 2} == {key: value for key, value in sent(backend).items() if key.startswith("max")}
    assert ("one two", "length") == (message.text, message.response_metadata["finish_reason"])


def test_what_a_server_has_in_its_own_way(backend: Backend, make: MakeEndpoint) -> None:
    """Mistral's names, and what it refuses, are known."""
    list(make(server="mistral", seed=3, logprobs=True).stream("x"))
    body = sent(backend)
    assert 3 == body["random_seed"]
    assert not {"seed", "logprobs", "stream_options"} & body.keys()


@pytest.mark.parametrize(
    ("url", "field"),
    [("https://api.openai.com/v1", "max_completion_tokens"), ("https://api.openai.com.evil.example/v1", "max_tokens")],
)
def test_a_server_is_known_by_its_host(make: MakeEndpoint, url: str, field: str) -> None:
    """The host of `base_url`, and not something like it, tells the kind of server."""
    request = langplug.Request(messages=(HumanMessage("x"),))
    assert 5 == make(base_url=url, max_tokens=5)._body(request)[field]


def test_a_misspelt_server_is_refused(make: MakeEndpoint) -> None:
    """A kind of server that is not known is an error that suggests one."""
    with pytest.raises(ValidationError, match=r"'vlm'.*'vllm'"):
        make(server="vlm")


# --- tools ---


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def now() -> str:
    """Tells the time."""
    return "noon"


NAMED = {"type": "function", "function": {"name": "add"}}

CHOICES: list[tuple[Any, Any]] = [
    (None, "auto"),
    ("auto", "auto"),
    ("any", "required"),
    ("required", "required"),
    (True, "required"),
    ("none", "none"),
    ("add", NAMED),
    (NAMED, NAMED),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES, ids=[str(choice) for choice, _ in CHOICES])
def test_each_choice_of_a_tool_is_sent(
    backend: Backend, make: MakeEndpoint, call: Path, choice: Any, expected: Any
) -> None:
    """Tools reach the server as OpenAI describes them, and so does each way to choose among them."""
    backend.reply = Reply(calls=(Call(name="add", args={"a": 1, "b": 2}),))
    tools = [add] if choice is True else [add, now]
    call(make().bind_tools(tools, tool_choice=choice), "x")
    body = sent(backend)
    assert ["function"] * len(tools) == [one["type"] for one in body["tools"]]
    function = body["tools"][0]["function"]
    assert ("add", "Adds two numbers.") == (function["name"], function["description"])
    assert ({"a", "b"}, ["a", "b"]) == (set(function["parameters"]["properties"]), function["parameters"]["required"])
    if choice is True:
        assert body["tool_choice"] in (expected, NAMED)
    else:
        assert body.get("tool_choice", "auto") == expected


@pytest.mark.parametrize("parallel", [True, False, None])
def test_parallel_calls_are_asked_for(backend: Backend, make: MakeEndpoint, call: Path, parallel: bool | None) -> None:
    """`parallel_tool_calls` reaches the server where it is given."""
    given = {} if parallel is None else {"parallel_tool_calls": parallel}
    call(make().bind_tools([add], **given), "x")
    assert parallel == sent(backend).get("parallel_tool_calls")


def test_strict_is_sent(backend: Backend, make: MakeEndpoint) -> None:
    """`strict` of a tool reaches the server."""
    make().bind_tools([add], strict=True).invoke("x")
    assert sent(backend)["tools"][0]["function"]["strict"] is True


def test_an_unknown_tool_cannot_be_chosen(backend: Backend, make: MakeEndpoint) -> None:
    """A choice that names no tool is refused before anything is sent."""
    with pytest.raises(ValueError, match="subtract"):
        make().bind_tools([add], tool_choice="subtract")
    assert [] == backend.requests


# --- structured output ---


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


def test_a_schema_is_sent(backend: Backend, make: MakeEndpoint) -> None:
    """A schema goes as `response_format`, with a name that OpenAI allows, and the answer is an object of it."""
    backend.reply = '{"name": "Ann", "age": 7}'
    assert Person(name="Ann", age=7) == make().with_structured_output(Person).invoke("x")
    wanted = sent(backend)["response_format"]
    assert ("json_schema", "Person") == (wanted["type"], wanted["json_schema"]["name"])
    assert ["name", "age"] == wanted["json_schema"]["schema"]["required"]


def test_a_schemas_name_is_made_fit(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A title that is no name by OpenAI's rules is made one."""
    backend.reply = "{}"
    schema = {"title": "Größe (in cm) " + "x" * 80, "type": "object", "properties": {}}
    call(make(), "x", response_format=schema)
    name = sent(backend)["response_format"]["json_schema"]["name"]
    assert len(name) <= 64
    assert name.replace("_", "").replace("-", "").isascii()
    assert name.replace("_", "").replace("-", "").isalnum()


@pytest.mark.parametrize("strict", [True, False, None])
def test_strict_is_said_as_it_was_asked_for(backend: Backend, make: MakeEndpoint, strict: bool | None) -> None:
    """`strict` of `with_structured_output` goes out with the schema; unsaid, it is left to the server."""
    backend.reply = '{"name": "Bo", "age": 5}'
    assert Person(name="Bo", age=5) == make().with_structured_output(Person, strict=strict).invoke("Who?")
    assert strict is sent(backend)["response_format"]["json_schema"].get("strict")


@pytest.mark.parametrize(("server", "kind"), [("any", "json_schema"), ("deepseek", "json_object")])
def test_a_server_without_schemas_gets_json_mode(backend: Backend, make: MakeEndpoint, server: str, kind: str) -> None:
    """A server that knows only the mode in which it writes JSON is asked for that; the answer is checked anyway."""
    backend.reply = '{"name": "Ann", "age": 7}'
    assert Person(name="Ann", age=7) == make(server=server).with_structured_output(Person).invoke("x")
    assert kind == sent(backend)["response_format"]["type"]


def test_json_mode(backend: Backend, make: MakeEndpoint) -> None:
    """`method="json_mode"` asks for JSON of whatever form."""
    backend.reply = '{"name": "Ann", "age": 7}'
    assert Person(name="Ann", age=7) == make().with_structured_output(Person, method="json_mode").invoke("x")
    assert {"type": "json_object"} == sent(backend)["response_format"]


def test_an_answer_that_does_not_fit_is_asked_for_again(backend: Backend, make: MakeEndpoint) -> None:
    """A server that does not keep to the schema is told so, with its own answer, and asked again."""
    backend.queue(Reply(text='{"name": "Ann"}'), Reply(text='{"name": "Ann", "age": 7}'))
    assert Person(name="Ann", age=7) == make().with_structured_output(Person).invoke("x")
    assert ["user", "assistant", "user"] == [message["role"] for message in sent(backend)["messages"]]
    assert 2 == len(backend.requests)


# --- headers ---


def test_headers_are_sent(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """The request says who asks, in what, and has the headers of the model, or those of the call in their place."""
    model = make(headers={"X-Team": "blue"})
    call(model, "x")
    headers = backend.last.headers
    assert "application/json" == headers["content-type"]
    assert f"langplug/{langplug.__version__}" == headers["user-agent"]
    assert "blue" == headers["x-team"]
    assert "authorization" not in headers
    call(model, "x", headers={"X-Team": "red", "user-agent": "mine/1"})
    assert ("red", "mine/1") == (backend.last.headers["x-team"], backend.last.headers["user-agent"])
    call(model, "x")
    assert "blue" == backend.last.headers["x-team"]


@pytest.mark.parametrize("headers", [{"X A": "b"}, {"X": "a\r\nEvil: b"}, {"X": 1}, {"X\n": "b"}])
def test_a_header_that_is_none_is_refused(make: MakeEndpoint, headers: dict[str, Any]) -> None:
    """A name or a value that would break the request apart is refused when the model is made."""
    with pytest.raises(ValidationError, match="header"):
        make(headers=headers)


# --- usage that a server does not tell of ---


def test_stream_options_that_are_refused_are_left_out(backend: Backend, make: MakeEndpoint) -> None:
    """A server that refuses `stream_options` is asked again without, and after that never with them."""
    for path in STREAMED.values():
        backend.forget()
        backend.fault = Fault.refuse_field("stream_options")
        model = make()
        assert "x" == path(model, "x").text
        assert [True, False] == ["stream_options" in request.body for request in backend.requests]
        assert "x" == path(model, "x").text
        assert "x" == path(model, "x", temperature=0).text
        assert [False, False] == ["stream_options" in request.body for request in backend.requests[2:]]


def test_a_field_that_is_refused_is_named(backend: Backend, make: MakeEndpoint) -> None:
    """Servers on FastAPI say beside the message where in the body it belongs: the field is named, and understood."""
    refused = {"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}
    backend.queue(Fault.status(422, body={"detail": [refused]}))
    assert "x" == "".join(chunk.text for chunk in make().stream("x"))
    assert [True, False] == ["stream_options" in request.body for request in backend.requests]
    backend.queue(Fault.status(422, body={"detail": [{**refused, "loc": ["body", "tool_choice"]}]}))
    with pytest.raises(ModelInvalidRequestError, match="HTTP 422: tool_choice: Extra inputs are not permitted"):
        make().invoke("x")


@pytest.mark.parametrize("code", [400, 422])
def test_a_refusal_without_words_may_be_of_stream_options(backend: Backend, make: MakeEndpoint, code: int) -> None:
    """A server that refuses a stream without saying why is asked again without `stream_options`."""
    backend.queue(Fault(kind="status_empty", code=code))
    assert "x" == "".join(chunk.text for chunk in make().stream("x"))
    assert [True, False] == ["stream_options" in request.body for request in backend.requests]


@pytest.mark.parametrize(
    "fault", [Fault.refuse_field("model"), Fault(kind="status_empty", code=405), Fault.status(400)]
)
def test_another_refusal_is_no_reason_to_ask_again(backend: Backend, make: MakeEndpoint, fault: Fault) -> None:
    """A request that is refused for something else is not sent again."""
    backend.fault = fault
    with pytest.raises(ModelInvalidRequestError):
        list(make().stream("x"))
    assert 1 == len(backend.requests)
