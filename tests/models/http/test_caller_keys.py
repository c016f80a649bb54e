"""What a caller writes into a conversation for the server, such as `cache_control`, arrives where it was written."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from tests.models.http.canned import Canned, CannedServer

from langplug.models import ChatEndpoint, ChatHTTP

CACHED = {"type": "ephemeral", "ttl": "1h"}
PNG = "iVBORw0KGgo="
OPENAI = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}'
ANTHROPIC = b'{"type":"message","role":"assistant","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn"}'

Body = dict[str, Any]
Ask = Callable[..., Body]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, tuple[CannedServer, BaseChatModel]]]:
    """A server and a model of each wire."""
    with CannedServer() as openai, CannedServer() as anthropic:
        openai.answer, anthropic.answer = Canned(pieces=[OPENAI]), Canned(pieces=[ANTHROPIC])
        endpoint = ChatEndpoint(model="m", base_url=f"{openai.url}/v1", max_retries=0)
        http = ChatHTTP.from_file("anthropic", model="m", base_url=anthropic.url, api_key="k", max_retries=0)
        yield {"openai": (openai, endpoint), "anthropic": (anthropic, http)}
        endpoint.close()
        http.close()


@pytest.fixture(params=["openai", "anthropic"])
def wire(request: pytest.FixtureRequest) -> str:
    """Each wire in turn."""
    return str(request.param)


@pytest.fixture
def ask(wire: str, servers: dict[str, tuple[CannedServer, BaseChatModel]]) -> Ask:
    """Asks the model of this wire; gives the body that its server got."""
    server, model = servers[wire]

    def ask(messages: list[BaseMessage], **kwargs: Any) -> Body:
        asked = model.bind_tools(kwargs.pop("tools")) if "tools" in kwargs else model
        asked.invoke(messages, **kwargs)
        body: Body = json.loads(server.last.body)
        return body

    return ask


def holders(body: object, mark: str) -> list[Body]:
    """The dicts of the body that hold the mark as a value of their own, or in a value such as a URL's dict."""
    found: list[Body] = []
    if isinstance(body, dict):
        values = [value for value in body.values() if isinstance(value, str)]
        if any(mark in value for value in values):
            found.append(body)
        found += [one for value in body.values() for one in holders(value, mark)]
    elif isinstance(body, list):
        found += [one for value in body for one in holders(value, mark)]
    return found


CALL = AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "c1", "type": "tool_call"}])
MARK = "the very part"

PARTS: dict[str, Callable[[Any], list[BaseMessage]]] = {
    "system": lambda block: [SystemMessage(["Before.", block]), HumanMessage("Hi")],
    "human": lambda block: [HumanMessage(["Before.", block, "After."])],
    "ai": lambda block: [HumanMessage("Hi"), AIMessage([block, {"type": "text", "text": "After."}]), HumanMessage("?")],
    "chat": lambda block: [ChatMessage(role="user", content=[block, "After."])],
    "the last of several": lambda block: [HumanMessage("a"), HumanMessage("b"), HumanMessage([block])],
}
TEXT = {"type": "text", "text": MARK}
FORMS: dict[str, Callable[[str, Any], Body]] = {
    "on the block": lambda key, value: {**TEXT, key: value},
    "beside LangChain's own": lambda key, value: {**TEXT, "id": "lc_1", "index": 0, "annotations": [], key: value},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", ["cache_control", "prompt_cache_breakpoint", "x_vendor"])
@pytest.mark.parametrize("place", PARTS)
def test_a_key_arrives_on_its_very_part(place: str, key: str, form: str, ask: Ask) -> None:
    """In a message of each role; what LangChain writes for itself does not go out."""
    [part] = holders(ask(PARTS[place](FORMS[form](key, CACHED))), MARK)
    assert part == {**TEXT, key: CACHED}


@pytest.mark.parametrize("key", ["cache_control", "x_vendor"])
@pytest.mark.parametrize("place", ["system", "human", "chat"])
def test_extras_of_a_standard_block_are_keys_of_its_part(place: str, key: str, ask: Ask) -> None:
    """As langchain-core has it: `create_text_block(..., cache_control=...)` puts them there."""
    [part] = holders(ask(PARTS[place]({**TEXT, "extras": {key: CACHED}})), MARK)
    assert part == {**TEXT, key: CACHED}


@pytest.mark.parametrize("received", ["annotations", "citations", "logprobs", "extras", "signature"])
def test_what_a_provider_wrote_into_an_answer_is_no_key_of_the_caller_s(received: str, ask: Ask) -> None:
    """Another server would refuse it; the text is one text, as without."""
    history = [HumanMessage("Hi"), AIMessage([{"type": "text", "text": MARK, received: {"signature": "x"}}])]
    [part] = holders(ask([*history, HumanMessage("?")]), MARK)
    assert received not in part


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "data": PNG, "media_type": "image/png"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "file", "base64": PNG, "mime_type": "application/pdf"},
        {"type": "file", "file_id": PNG},
        {"type": "document", "source": {"type": "base64", "data": PNG, "media_type": "application/pdf"}},
    ],
    ids="-".join,
)
@pytest.mark.parametrize("place", ["block", "extras", "metadata"])
def test_a_key_of_a_medium_arrives_beside_it(block: Body, place: str, ask: Ask) -> None:
    """Images and files in each form, with the key on the block, in its extras, or in its metadata (LangChain's v0)."""
    if place == "metadata" and not {"base64", "data", "file_id"} & block.keys():
        pytest.skip("v0 has no such block")
    keyed = {**block, "cache_control": CACHED} if place == "block" else {**block, place: {"cache_control": CACHED}}
    [*_, part] = ask([HumanMessage(["Look:", keyed])])["messages"][0]["content"]
    assert PNG in json.dumps(part)
    assert part["cache_control"] == CACHED
    assert not {"extras", "metadata", "id", "index"} & part.keys()


@pytest.mark.parametrize("key", ["cache_control", "x_vendor"])
def test_a_key_in_a_tool_result_arrives(key: str, wire: str, ask: Ask) -> None:
    """On its part; Anthropic's API takes `cache_control` on the whole result alone."""
    results: list[BaseMessage] = [
        ToolMessage(["Before.", {**TEXT, key: CACHED}], tool_call_id="c1"),
        HumanMessage([{"type": "tool_result", "tool_use_id": "c1", "content": [{**TEXT, key: CACHED}]}]),
        HumanMessage([{"type": "tool_result", "tool_use_id": "c1", "content": MARK, key: CACHED}]),
        *([FunctionMessage(name="add", content=[{**TEXT, key: CACHED}])] if key == "x_vendor" else ()),
    ]
    for result in results:
        body = ask([HumanMessage("1 + 1?"), CALL, result])
        message = body["messages"][-1]
        whole = message["content"][-1] if wire == "anthropic" else message
        parts = [whole, *(whole["content"] if isinstance(whole["content"], list) else ())]
        keyed = [part for part in parts if part.get(key) == CACHED]
        assert len(keyed) == 1
        if wire == "anthropic" and key == "cache_control":
            assert keyed[0]["type"] == "tool_result"


@pytest.mark.parametrize(
    "message",
    [
        SystemMessage(MARK, additional_kwargs={"cache_control": CACHED}),
        HumanMessage(MARK, additional_kwargs={"cache_control": CACHED}),
        HumanMessage(["Before.", MARK], additional_kwargs={"cache_control": CACHED}),
        AIMessage(MARK, additional_kwargs={"cache_control": CACHED}),
        ToolMessage(MARK, tool_call_id="c1", additional_kwargs={"cache_control": CACHED}),
    ],
    ids=lambda message: f"{message.type}-{type(message.content).__name__}",
)
def test_cache_control_of_a_message_arrives(message: BaseMessage, wire: str, ask: Ask) -> None:
    """On the message, as LiteLLM reads it; at Anthropic, which has no such place, on the message's last block."""
    before = [HumanMessage("Hi"), CALL] if isinstance(message, ToolMessage) else []
    body = ask([*before, message, HumanMessage("?")])
    [text] = holders(body, MARK)
    if wire == "openai":
        assert text["cache_control"] == CACHED
        assert "role" in text
    elif message.type == "tool":
        assert body["messages"][-1]["content"][0]["cache_control"] == CACHED
    else:
        assert text["cache_control"] == CACHED
    assert json.dumps(body).count("ttl") == 1


# --- tools ---

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
KEYS = {"cache_control": CACHED, "defer_loading": True, "input_examples": [{"a": 1}]}


@tool(extras={**KEYS, "of_another_api": 1})
def add(a: int) -> int:
    """Adds."""
    return a


TOOLS = {
    "LangChain's": add,
    "OpenAI's": {"type": "function", "function": {"name": "add", "parameters": SCHEMA}, **KEYS},
    "a function's": {"name": "add", "description": "Adds.", "parameters": SCHEMA, **KEYS},
    "Anthropic's": {"name": "add", "input_schema": SCHEMA, **KEYS},
    "Anthropic's, custom": {"type": "custom", "name": "add", "description": "Adds.", "input_schema": SCHEMA, **KEYS},
}


@pytest.mark.parametrize("given_as", TOOLS)
def test_keys_of_a_tool_arrive_beside_it(given_as: str, wire: str, ask: Ask) -> None:
    """In each form in which tools are given; `extras` of LangChain's, which serve several APIs, as far as known."""
    [sent] = ask([HumanMessage("Hi")], tools=[TOOLS[given_as]])["tools"]
    own = {"type", "function"} if wire == "openai" else {"name", "description", "input_schema"}
    assert {key: sent[key] for key in sent if key not in own} == KEYS


def test_strict_of_a_tool_arrives(wire: str, ask: Ask) -> None:
    """Where each API has it, also of a tool in Anthropic's form."""
    for one in ({"name": "add", "input_schema": SCHEMA}, {"name": "add", "description": "Adds.", "parameters": SCHEMA}):
        for strict in (True, False):
            [sent] = ask([HumanMessage("Hi")], tools=[{**one, "strict": strict}])["tools"]
            assert (sent["function"] if wire == "openai" else sent)["strict"] is strict


def test_a_model_is_not_told_what_is_for_its_server(ask: Ask, servers: Any, wire: str) -> None:
    """Tools that stand in the prompt stand there without their keys; the keys of the instructions' parts stay."""
    server, model = servers[wire]
    system = SystemMessage([{**TEXT, "cache_control": CACHED}])
    prompted = model.model_copy(update={"tool_calling": "prompted"})
    prompted.bind_tools([add]).invoke([system, HumanMessage("Hi")])
    body = json.loads(server.last.body)
    blocks = body["system"] if wire == "anthropic" else body["messages"][0]["content"]
    assert blocks[0] == {**TEXT, "cache_control": CACHED}
    assert "add" in blocks[1]["text"]
    assert json.dumps(body).count("ttl") == 1
    assert "defer_loading" not in json.dumps(body)


@pytest.mark.parametrize("calling", ["native", "prompted"])
def test_keys_outlive_the_history_in_words(calling: str, servers: Any, wire: str) -> None:
    """The result of a tool that is told in words, and an answer with a call, keep their keys, too."""
    server, model = servers[wire]
    told = [
        HumanMessage("1 + 1?"),
        AIMessage([{"type": "text", "text": "Adding.", "cache_control": CACHED}], tool_calls=CALL.tool_calls),
        ToolMessage([{"type": "text", "text": "2", "cache_control": CACHED}], tool_call_id="c1"),
    ]
    model.model_copy(update={"tool_calling": calling}).invoke(told)
    assert json.dumps(json.loads(server.last.body)).count("ttl") == 2


def test_cache_control_of_a_call_is_a_field_of_the_body(wire: str, ask: Ask) -> None:
    """As middleware for prompt caching binds it: `model_settings={"cache_control": ...}`."""
    assert ask([HumanMessage("Hi")], cache_control=CACHED)["cache_control"] == CACHED
    assert "cache_control" not in ask([HumanMessage("Hi")])


# --- any key, and none ---

JSON = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.text(min_size=1, max_size=12).filter(
    lambda name: (
        name not in {"type", "text", "id", "index", "annotations", "extras", "_meta", "citations", "logprobs", "phase"}
        and name not in {"signature", "thought_signature", "caller", "partial_json"}
    )
)
ROLES = {"system": SystemMessage, "human": HumanMessage, "ai": AIMessage}


@given(
    conversation=st.lists(
        st.tuples(st.sampled_from(sorted(ROLES)), st.lists(st.dictionaries(NAMES, JSON, max_size=2), min_size=1)),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_key_arrives_on_any_part(conversation: list[tuple[str, list[Body]]], ask: Ask) -> None:
    """Of a conversation of text, whatever the key and its value; what bears none has none."""
    said: list[BaseMessage] = []
    expected: dict[str, Body] = {}
    for number, (role, keys) in enumerate(conversation):
        blocks = [{**one, "type": "text", "text": f"<{number}.{n}>"} for n, one in enumerate(keys)]
        expected |= {block["text"]: block for block in blocks}
        said.append(ROLES[role](blocks))
    body = ask([HumanMessage("Hi"), *said, HumanMessage("?")])
    for text, block in expected.items():
        [part] = holders(body, text)
        if len(block) > 2 or part.get("text") == text:
            assert part == block
        else:  # one string with others that bear no key
            assert part.keys() <= {"role", "content", "type", "text", "system", *body}


TALK: list[BaseMessage] = [
    SystemMessage(["Be", {"type": "text", "text": "brief."}]),
    HumanMessage([{"type": "text", "text": "a"}, "b"]),
    AIMessage([{"type": "text", "text": "c", "index": 0}, {"type": "text", "text": "d", "id": "lc_1"}]),
    HumanMessage("e"),
    CALL,
    ToolMessage([{"type": "text", "text": "f"}, "g"], tool_call_id="c1"),
]
BYTES = {
    "openai": (
        b'"messages":[{"role":"system","content":"Be\\nbrief."},{"role":"user","content":"a\\nb"},'
        b'{"role":"assistant","content":"cd"},{"role":"user","content":"e"},{"role":"assistant","content":"",'
        b'"tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{}"}}]},'
        b'{"role":"tool","content":"f\\ng","tool_call_id":"c1"}]'
    ),
    "anthropic": (
        b'"system":"Be\\nbrief.","messages":[{"role":"user","content":[{"type":"text","text":"a\\nb"}]},'
        b'{"role":"assistant","content":[{"type":"text","text":"cd"}]},'
        b'{"role":"user","content":[{"type":"text","text":"e"}]},'
        b'{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"add","input":{}}]},'
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1",'
        b'"content":[{"type":"text","text":"f\\ng"}]}]}]'
    ),
}


def test_without_keys_the_body_is_the_same_to_the_byte(wire: str, ask: Ask, servers: Any) -> None:
    """Text stays one string: servers with text-only templates take nothing else, and prompt caches hit."""
    ask(TALK)
    assert BYTES[wire] in servers[wire][0].last.body
    not_given = HumanMessage([{"type": "text", "text": "a", "cache_control": None}, "b"])
    ask([TALK[0], not_given, *TALK[2:]])
    assert BYTES[wire] in servers[wire][0].last.body
