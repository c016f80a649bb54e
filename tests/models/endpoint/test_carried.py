"""What a server must get back on the next turn as it came: signatures, encrypted reasoning, unknown keys of calls."""

import json
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.load import dumps, loads
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    merge_message_runs,
    messages_from_dict,
    messages_to_dict,
)
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from tests.models.endpoint.exact_server import always, completion, exact_server, stream
from tests.paths import PATHS, Path, beta_allowed

from langplug import Request
from langplug.models import ChatEndpoint


def endpoint(url: str, **settings: Any) -> ChatEndpoint:
    return ChatEndpoint(model="m", base_url=url, max_retries=0, **settings)


def call(number: int = 0, **more: Any) -> dict[str, Any]:
    function = {"name": "add", "arguments": '{"a": 1, "b": 2}'}
    return {"index": number, "id": f"c{number}", "type": "function", "function": function, **more}


SIGNED = {"google": {"thought_signature": "c2ln"}}
DETAILS: list[dict[str, Any]] = [
    {"type": "reasoning.text", "text": "I add.", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "RU5D", "id": "r", "format": "openai-responses-v1", "index": 1},
    {"type": "reasoning.text", "text": "So.", "signature": "t", "format": "anthropic-claude-v1", "index": 2},
]
PIECES: list[dict[str, Any]] = [
    {"type": "reasoning.text", "text": "I ", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "text": "add.", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
    DETAILS[1],
    DETAILS[2],
]
SEALED: list[dict[str, Any]] = [  # all with the number 0, as some gateways have it
    {"type": "reasoning.encrypted", "data": "AAABBB", "id": "r1", "index": 0},
    {"type": "reasoning.encrypted", "data": "CCC", "id": "r2", "index": 0},
    {"type": "reasoning.text", "text": "I add.", "signature": "c2lnbmVk", "index": 0},
    {"type": "reasoning.text", "text": "So.", "signature": "dA==", "index": 0},
]
SEALED_PIECES: list[dict[str, Any]] = [
    {**SEALED[0], "data": "AAA"},
    {"type": "reasoning.encrypted", "data": "BBB", "index": 0},
    SEALED[1],
    {"type": "reasoning.text", "text": "I add.", "index": 0},
    {"type": "reasoning.text", "signature": "c2ln", "index": 0},
    {"type": "reasoning.text", "text": "", "signature": "bmVk", "index": 0},
    SEALED[3],
]
UNNUMBERED = [{key: value for key, value in one.items() if key != "index"} for one in DETAILS]
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "First. ", "signature": "s"}]}
THOUGHT_PIECES = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Fir", "signature": ""}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "st. ", "signature": ""}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "", "signature": "s"}]},
]
LATER = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Then.", "signature": "t"}]}
THINKING = [{"type": "thinking", "thinking": "I add.", "signature": "s"}, {"type": "redacted_thinking", "data": "RU5D"}]

CALLED = {"tool_calls": [call()]}

# Each kind of server: what it sends whole, what it sends in pieces, and what must be in the message that comes back.
SHAPES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = {
    "Gemini's signature of a call": (
        {"content": None, "tool_calls": [call(extra_content=SIGNED), call(1)]},
        [{"tool_calls": [call(extra_content=SIGNED)]}, {"tool_calls": [call(1)]}],
        {"calls": [{"extra_content": SIGNED}, {}]},
    ),
    "a signature beside the name": (
        {"tool_calls": [{**call(), "function": {**call()["function"], "thought_signature": "x"}}]},
        [{"tool_calls": [{**call(), "function": {**call()["function"], "thought_signature": "x"}}]}],
        {"function": {"thought_signature": "x"}},
    ),
    "a signature after the arguments": (
        {"tool_calls": [call(provider_specific_fields={"signature": "x"})]},
        [CALLED, {"tool_calls": [{"index": 0, "provider_specific_fields": {"signature": "x"}}]}],
        {"calls": [{"provider_specific_fields": {"signature": "x"}}]},
    ),
    "any other key of a call": (
        {"tool_calls": [call(x_state=[1, {"a": None}])]},
        [{"tool_calls": [call(x_state=[1, {"a": None}])]}],
        {"calls": [{"x_state": [1, {"a": None}]}]},
    ),
    "OpenRouter's details": (
        {"reasoning": "I add.", "reasoning_details": DETAILS, **CALLED},
        [*({"reasoning_details": [one]} for one in PIECES), CALLED],
        {"reasoning_details": DETAILS},
    ),
    "encrypted details of one number": (
        {"reasoning_details": SEALED, **CALLED},
        [*({"reasoning_details": [one]} for one in SEALED_PIECES), CALLED],
        {"reasoning_details": SEALED},
    ),
    "signatures in pieces": (
        {"thoughtSignature": "c2lnbmVk", "reasoningEncryptedContent": "RU5D", **CALLED},
        [
            {"thoughtSignature": "c2ln"},
            {"thoughtSignature": "bmVk", "reasoningEncryptedContent": "RU5D"},
            {"reasoningEncryptedContent": "RU5D"},
            CALLED,
        ],
        {"thoughtSignature": "c2lnbmVk", "reasoningEncryptedContent": "RU5D"},
    ),
    "signatures within, in pieces": (
        {"extra_content": SIGNED, **CALLED},
        [*({"extra_content": {"google": {"thought_signature": one}}} for one in ("c2", "ln")), CALLED],
        {"extra_content": SIGNED},
    ),
    "details without numbers": (
        {"reasoning_details": UNNUMBERED, **CALLED},
        [{"reasoning_details": UNNUMBERED[:2]}, {"reasoning_details": UNNUMBERED[2:]}, CALLED],
        {"reasoning_details": UNNUMBERED},
    ),
    "encrypted reasoning alone": (
        {"reasoning_details": [DETAILS[1]], **CALLED},
        [{"reasoning_details": [DETAILS[1]], **CALLED}],
        {"reasoning_details": [DETAILS[1]]},
    ),
    "encrypted reasoning in a field": (
        {"encrypted_content": "RU5D", "reasoning_signature": "s", **CALLED},
        [{"encrypted_content": "RU5D"}, {**CALLED, "reasoning_signature": "s"}],
        {"encrypted_content": "RU5D", "reasoning_signature": "s"},
    ),
    "Gemini's signature of a text": (
        {"content": "I add.", "extra_content": SIGNED, **CALLED},
        [{"content": "I add."}, {"content": "", "extra_content": SIGNED}, CALLED],
        {"extra_content": SIGNED},
    ),
    "LiteLLM's thinking blocks": (
        {"reasoning_content": "I add.", "thinking_blocks": THINKING, **CALLED},
        [
            {"reasoning_content": "I ", "thinking_blocks": [{"type": "thinking", "thinking": "I ", "signature": None}]},
            {"reasoning_content": "add.", "thinking_blocks": [{"type": "thinking", "thinking": "add."}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]},
            {"thinking_blocks": [THINKING[1]]},
            CALLED,
        ],
        {"thinking_blocks": THINKING},
    ),
    "Databricks' blocks": (
        {"content": [THOUGHT, {"type": "text", "text": "4"}], **CALLED},
        [*({"content": [one]} for one in THOUGHT_PIECES), {"content": "4"}, CALLED],
        {"content": [THOUGHT, {"type": "text", "text": "4"}]},
    ),
    "Databricks' blocks after text": (
        {"content": [{"type": "text", "text": "A"}, THOUGHT, {"type": "text", "text": "B"}, LATER], **CALLED},
        [
            {"content": "A"},
            *({"content": [one]} for one in THOUGHT_PIECES),
            {"content": "B"},
            {"content": [LATER], **CALLED},
        ],
        {"content": [{"type": "text", "text": "A"}, THOUGHT, {"type": "text", "text": "B"}, LATER]},
    ),
}


def missing(turn: dict[str, Any], expected: dict[str, Any]) -> str | None:
    """What a strict server says of an assistant's message; None if all is as it was sent."""
    for name, value in expected.items():
        if name == "calls":
            known = {"id", "type", "function"}
            found: Any = [{k: v for k, v in one.items() if k not in known} for one in turn["tool_calls"]]
        elif name == "function":
            found = {k: v for k, v in turn["tool_calls"][0]["function"].items() if k not in ("name", "arguments")}
        else:
            found = turn.get(name)
        if found != value:
            return f"{name} is {found}, and not {value}"
    return None


def answers(name: str, *, streams: bool) -> Callable[[dict[str, Any]], Any]:
    """A server that calls a tool in two turns, then speaks; it refuses a history that is not as it sent it."""
    whole, pieces, expected = SHAPES[name]

    def answer(body: dict[str, Any]) -> Any:
        turns = [turn for turn in body["messages"] if turn["role"] == "assistant"]
        if refusal := next(filter(None, (missing(turn, expected) for turn in turns if "tool_calls" in turn)), None):
            return refusal
        number = sum("tool_calls" in turn for turn in turns)
        if number >= 2:
            return stream({"content": "done"}) if streams else completion({"content": "done"})
        renamed = json.loads(
            json.dumps([whole, pieces]).replace('"c0"', f'"c0{number}"').replace('"c1"', f'"c1{number}"')
        )
        return stream(*renamed[1]) if streams else completion(renamed[0])

    return answer


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_an_agent_gives_it_back(name: str, streams: bool, version: Any) -> None:
    """Over several turns of an agent with a checkpointer, and in the next question, the server gets it as it was."""
    with exact_server(answers(name, streams=streams)) as server:
        model = endpoint(server.url, output_version=version)
        agent = create_agent(model, [add], checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "1"}}
        for _ in range(2):
            said = agent.invoke({"messages": [HumanMessage("1 + 2?")]}, config)
            assert "done" == said["messages"][-1].text
        assert 4 == len(server.bodies)


def loaded(text: str) -> Any:
    with beta_allowed():
        return loads(text, allowed_objects="core")


ROUND_TRIPS: dict[str, Callable[[BaseMessage], BaseMessage]] = {
    "none": lambda message: message,
    "dict": lambda message: messages_from_dict(json.loads(json.dumps(messages_to_dict([message]))))[0],
    "dump": lambda message: type(message)(**json.loads(json.dumps(message.model_dump()))),
    "json": lambda message: type(message).model_validate_json(message.model_dump_json()),
    "loads": lambda message: loaded(dumps(message)),
    "pickle": lambda message: pickle.loads(pickle.dumps(message)),
    "checkpoint": lambda message: JsonPlusSerializer().loads_typed(JsonPlusSerializer().dumps_typed(message)),
    "copy": lambda message: message.model_copy(deep=True),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("trip", ROUND_TRIPS)
@pytest.mark.parametrize("settings", [{"keep_reasoning": one} for one in ("never", "current", "all")], ids=str)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_it_survives_each_way_to_keep_a_message(name: str, trip: str, settings: Any, streams: bool, call: Path) -> None:
    """However it is asked for and however a message is kept, it goes back in the turn under way, by any policy."""
    version = "v1" if trip in ("dict", "json", "checkpoint") else None
    with exact_server(answers(name, streams=streams)) as server:
        model = endpoint(server.url, output_version=version, **settings).bind_tools([add])
        history: list[BaseMessage] = [HumanMessage("1 + 2?")]
        for _ in range(2):
            message = ROUND_TRIPS[trip](call(model, history).message)
            assert isinstance(message, AIMessage)
            history += [message, *(ToolMessage("3", tool_call_id=one["id"]) for one in message.tool_calls)]
        assert "done" == call(model, history).text


@pytest.fixture(params=list(PATHS), name="call")
def path_of(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn."""
    return PATHS[request.param]


@pytest.mark.parametrize("name", SHAPES)
def test_nobody_else_gets_it(name: str) -> None:
    """A message that falls back to another server goes without what only the first one knows."""
    with exact_server(answers(name, streams=False)) as server:
        message = endpoint(server.url).invoke([HumanMessage("?")])
    with exact_server(lambda _: completion({"content": "hi"})) as other:
        results = [ToolMessage("3", tool_call_id=one["id"]) for one in message.tool_calls]
        endpoint(other.url).invoke([HumanMessage("?"), message, *results])
        [body] = other.bodies
        turn = body["messages"][1]
        assert turn.keys() <= {"role", "content", "tool_calls"}
        assert all(one.keys() == {"id", "type", "function"} for one in turn["tool_calls"])
        assert all(one["function"].keys() == {"name", "arguments"} for one in turn["tool_calls"])
        assert isinstance(turn["content"], str)


@pytest.mark.parametrize("name", SHAPES)
def test_old_reasoning_goes_and_calls_keep_theirs(name: str) -> None:
    """With `keep_reasoning="current"`, a new question lets go what belonged to old reasoning, but nothing of a call."""
    expected = SHAPES[name][2]
    with exact_server(answers(name, streams=False)) as server:
        model = endpoint(server.url, keep_reasoning="current")
        message = model.invoke([HumanMessage("?")])
        results = [ToolMessage("3", tool_call_id=one["id"]) for one in message.tool_calls]
        history = [HumanMessage("?"), message, *results, HumanMessage("and?")]
    request = Request(messages=tuple(history), keep_reasoning="current", origin=model.__langplug_origin__)
    [turn] = [one for one in request.openai_messages() if one["role"] == "assistant"]
    is_kept = bool({"calls", "function", "extra_content"} & expected.keys())
    assert is_kept == (missing(turn, expected) is None)


def sent_of(model: ChatEndpoint, *history: BaseMessage, **more: Any) -> list[dict[str, Any]]:
    request = Request(messages=history, origin=model.__langplug_origin__, **more)
    return [turn for turn in request.openai_messages() if turn["role"] == "assistant"]


@pytest.mark.parametrize("name", SHAPES)
def test_merged_answers_keep_what_is_not_mixed_up(name: str) -> None:
    """`merge_message_runs` adds up what two answers carry; calls and lists go back, joined signatures do not."""
    expected = SHAPES[name][2]
    with exact_server(answers(name, streams=False)) as server:
        model = endpoint(server.url)
        first = model.invoke([HumanMessage("?")])
        second = AIMessage(**json.loads(first.model_dump_json().replace('"c0', '"d0').replace('"c1', '"d1')))
        [turn] = sent_of(model, HumanMessage("?"), *merge_message_runs([first, second]))
    extra = {"calls": lambda value: value * 2, "thinking_blocks": lambda value: value * 2}
    if name == "details without numbers":
        extra["reasoning_details"] = lambda value: value * 2
    if kept := {key: extra[key](value) for key, value in expected.items() if key in extra}:
        assert missing(turn, kept) is None
    sealed = {key for key, value in expected.items() if isinstance(value, str | dict)} - {"function"}
    assert not sealed & turn.keys()


def test_what_is_encrypted_for_a_call_stays_with_it() -> None:
    """OpenRouter has Gemini's signature of a call among the details, under the call's id: an old turn keeps it."""
    of_call = {"type": "reasoning.encrypted", "data": "RU5D", "id": "c00", "index": 0}
    answer = completion({"reasoning_details": [DETAILS[0], of_call], "tool_calls": [{**call(), "id": "c00"}]})
    with exact_server(partial(always, answer)) as server:
        model = endpoint(server.url)
        message = model.invoke([HumanMessage("?")])
    history = [HumanMessage("?"), message, ToolMessage("3", tool_call_id="c00"), HumanMessage("and?")]
    [turn] = sent_of(model, *history, keep_reasoning="current")
    assert [of_call] == turn["reasoning_details"]


def test_chunks_of_any_cut_carry_the_same() -> None:
    """However the details of a stream are cut, the message that its chunks add up to carries what a whole one does."""
    for size in range(1, 8):
        text = "I think about it."
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        deltas = [{"reasoning_details": [{"type": "reasoning.text", "text": one, "index": 0}]} for one in pieces]
        deltas[-1]["reasoning_details"][0]["signature"] = "s"
        chunks = stream(*deltas, {"content": "hi"})
        with exact_server(partial(always, chunks)) as server:
            total: Any = None
            for chunk in endpoint(server.url).stream("?"):
                total = chunk if total is None else total + chunk
            assert isinstance(total, AIMessageChunk)
        [detail] = total.additional_kwargs["langplug_carried"]["message"]["reasoning_details"]
        assert {"type": "reasoning.text", "text": text, "index": 0, "signature": "s"} == detail
        assert text == total.additional_kwargs["reasoning_content"]


@pytest.mark.parametrize("name", [name for name in SHAPES if not {"calls", "function"} & SHAPES[name][2].keys()])
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_a_stop_string_does_not_cut_it_off(name: str, streams: bool, call: Path) -> None:
    """What came before a stop string, or with it, goes back: the rest of the answer is not read."""
    whole, pieces, expected = SHAPES[name]
    whole = {**whole, "tool_calls": None}
    said = whole.get("content") or ""
    ends: Any = [{"type": "text", "text": "one STOP x"}] if isinstance(said, list) else "one STOP x"
    deltas = [piece for piece in pieces if "tool_calls" not in piece]
    deltas += [{name: value for name, value in piece.items() if name != "tool_calls"} for piece in pieces[-1:]]
    deltas += [{"content": "one STOP x"}, {"content": "y"}, {"content": "z"}]
    answer = stream(*deltas) if streams else completion({**whole, "content": said + ends})
    with exact_server(partial(always, answer)) as server:
        model = endpoint(server.url)
        message = call(model.bind(stop=["STOP"]), [HumanMessage("?")]).message
        assert message.text.endswith("one STOP")
        model.invoke([HumanMessage("?"), message])
        turn = server.bodies[-1]["messages"][1]
    if "content" in expected:
        expected = {"content": [*expected["content"][:-1], *turn["content"][len(expected["content"]) - 1 :]]}
    assert missing(turn, expected) is None
