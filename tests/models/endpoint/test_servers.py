"""Each kind of server, as a fake that refuses what it refuses: an agent gets through by what is known of it.

The rules here are written from the servers' own words, and not from langplug's table of them.
"""

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr
from tests.models.endpoint.strict import Call, Json, Rule, StrictServer

import langplug
from langplug import UnsupportedError
from langplug.models import ChatEndpoint
from langplug.models.servers import SERVERS, server_at


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def now() -> str:
    """Tells the time."""
    return "noon"


# --- what servers refuse ---


def field(*names: str) -> Rule:
    """Fields that it does not take."""
    return lambda body: next((f"Extra inputs are not permitted: {name}" for name in names if name in body), None)


def message_fields(*names: str) -> Rule:
    """Fields that it does not take in messages."""

    def rule(body: Json) -> str | None:
        found = (
            f"messages.{n}.{one['role']}.{name}: Extra inputs are not permitted"
            for n, one in enumerate(body["messages"])
            for name in names
            if name in one
        )
        return next(found, None)

    return rule


def stops(most: int) -> Rule:
    return lambda body: "Invalid 'stop': array too long." if len(body.get("stop", ())) > most else None


def ids(pattern: str) -> Rule:
    """Ids of calls that it takes; a result must have that of a call before it."""

    def rule(body: Json) -> str | None:
        known: set[str] = set()
        for message in body["messages"]:
            for call in message.get("tool_calls", ()):
                if not re.fullmatch(pattern, call["id"]):
                    return f"Tool call id was {call['id']} but must be {pattern}."
                known.add(call["id"])
            if message["role"] == "tool" and message["tool_call_id"] not in known:
                return f"Unexpected tool call id {message['tool_call_id']} in tool results"
        return None

    return rule


def message_names(body: Json) -> str | None:
    """Names as OpenAI takes them."""
    for number, message in enumerate(body["messages"]):
        if not re.fullmatch(r"[^\s<|\\/>]{1,64}", message.get("name", "ok")):
            return f"Invalid 'messages[{number}].name': string does not match pattern."
    return None


def choices(*taken: str) -> Rule:
    """The forms of `tool_choice` that it takes."""

    def rule(body: Json) -> str | None:
        choice = body.get("tool_choice", taken[0])
        form = "object" if isinstance(choice, dict) else choice
        return None if form in taken else f"Invalid tool_choice: {form!r}. Supported values: {', '.join(taken)}"

    return rule


def mistral_order(body: Json) -> str | None:
    """What may follow what, at Mistral's API."""
    follows: dict[str, set[str | None]] = {
        "system": {None},
        "user": {None, "system", "assistant"},
        "tool": {"assistant", "tool"},
    }
    follows["assistant"] = {"user", "tool"}
    before = None
    for message in body["messages"]:
        if before not in follows.get(message["role"], ()):
            return f"Unexpected role '{message['role']}' after role '{before}'"
        before = message["role"]
    return None


def reasoning_comes_back(body: Json) -> str | None:
    """DeepSeek's rule: each turn with calls has its reasoning, be it empty."""
    lacking = [m for m in body["messages"] if m.get("tool_calls") and "reasoning_content" not in m]
    return "The reasoning_content in the thinking mode must be passed back to the API." if lacking else None


def thinking_comes_back(body: Json) -> str | None:
    """MiniMax's rule: what was thought stays in the text of the turns of this conversation."""
    asked = [m for m in body["messages"] if any(call["id"].startswith("new") for call in m.get("tool_calls", ()))]
    return "the <think> content is lost" if any("<think>\nhm\n</think>" not in m["content"] for m in asked) else None


def formats(*taken: str) -> Rule:
    """The kinds of `response_format` that it takes."""

    def rule(body: Json) -> str | None:
        kind = body.get("response_format", {}).get("type", taken[0])
        return None if kind in taken else f"'response_format.type' must be one of {taken}"

    return rule


def no_strict(body: Json) -> str | None:
    return "Unknown field 'strict'" if any("strict" in one["function"] for one in body.get("tools", ())) else None


def one_call(body: Json) -> str | None:
    """Databricks' rule."""
    several = any(len(message.get("tool_calls", ())) > 1 for message in body["messages"])
    return "Multiple tool calls are not supported.\n" if several else None


def known_roles(body: Json) -> str | None:
    known = {"system", "user", "assistant", "tool"}
    return next((f"unknown variant `{m['role']}`" for m in body["messages"] if m["role"] not in known), None)


OPENAI = [field("max_tokens"), stops(4), ids(".{1,40}"), message_names]

RULES: dict[str, list[Rule]] = {
    "any": [message_names],
    "openai": OPENAI,
    "azure": OPENAI,
    "vllm": [message_names],
    "sglang": [],
    "llama.cpp": [choices("auto", "none", "required")],
    "ollama": [],
    "lmstudio": [choices("none", "auto", "required"), formats("json_schema", "text")],
    "litellm": [],
    "openrouter": [],
    "mistral": [
        field("stream_options", "logprobs", "top_logprobs", "seed"),
        message_fields("name", "reasoning_content", "reasoning"),
        ids("[a-zA-Z0-9]{9}"),
        choices("auto", "none", "any", "object"),
        mistral_order,
        known_roles,
    ],
    "deepseek": [reasoning_comes_back, formats("json_object", "text"), known_roles],
    "moonshot": [field("max_tokens"), reasoning_comes_back, no_strict],
    "zhipu": [
        field("frequency_penalty", "presence_penalty", "stream_options"),
        message_fields("name"),
        stops(1),
        formats("json_object", "text"),
        choices("auto"),
        no_strict,
    ],
    "dashscope": [choices("auto", "none", "object")],
    "minimax": [field("max_tokens"), thinking_comes_back, no_strict],
    "gemini": [field("frequency_penalty")],
    "xai": [field("max_tokens")],
    "groq": [field("logprobs", "top_logprobs"), message_fields("name")],
    "databricks": [one_call],
    "tgi": [stops(4)],
    "together": [],
    "fireworks": [],
    "cerebras": [field("frequency_penalty", "presence_penalty", "parallel_tool_calls")],
    "nvidia": [],
}

SETTINGS: Json = {
    "max_tokens": 90,
    "seed": 1,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "top_logprobs": 2,
    "stop": ["§1", "§2", "§3", "§4", "§5"],
    "include_stop": False,
    "max_retries": 0,
}
"""All that some server does not take."""

LONG = "call_0fypS1hVX_of_another_provider_whose_ids_are_long"

HISTORY: list[Any] = [
    HumanMessage("Hello", name="Ann <of|sales>"),
    AIMessage("", tool_calls=[{"name": n, "args": {}, "id": f"{LONG}{n}"} for n in ("now", "add")]),
    ToolMessage("noon", tool_call_id=f"{LONG}now", name="now"),
    ToolMessage("bad", tool_call_id=f"{LONG}add", name="add", status="error"),
    HumanMessage("Never mind."),
    HumanMessage("What is 1 + 2, and then 3 more?"),
]

STEPS: list[Any] = [
    [Call("add", {"a": 1, "b": 2}, "new_call_1_0123456789012345678901234567890123"), Call("now", {}, "new_2")],
    Call("add", {"a": 3, "b": 3}, "new_call_3"),
    "It is 6.",
]


def test_every_kind_has_its_rules() -> None:
    """The fakes are those of the table."""
    assert list(RULES) == list(SERVERS)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_an_agent_gets_through(name: str, streaming: bool) -> None:
    """An agent of three turns, with all that some server refuses, is never refused by the kind that it was told."""
    with StrictServer(RULES[name], STEPS) as server:
        model = ChatEndpoint(model="m", base_url=server.url, server=name, streaming=streaming, **SETTINGS)
        agent = create_agent(model, [add, now], system_prompt="Be brief.", name="User Onboarding Agent")
        messages = agent.invoke({"messages": [*HISTORY]})["messages"]
        model.close()
    assert [] == server.refusals
    assert 3 == len(server.bodies)
    assert ["3", "noon", "6"] == [one.content for one in messages[len(HISTORY) :] if isinstance(one, ToolMessage)]
    assert "It is 6." == messages[-1].text


@pytest.mark.parametrize("name", [name for name, rules in RULES.items() if rules and name != "any"])
def test_the_fakes_are_strict(name: str) -> None:
    """The same agent is refused by the same fake where nothing is known of it; or nothing of this was asked."""
    with StrictServer([*RULES[name], *(choices("auto", "none", "required", "object"),)], STEPS) as server:
        model = ChatEndpoint(model="m", base_url=server.url, server="any", adaptations="silent", **SETTINGS)
        forced = model.bind_tools([add, now], tool_choice="add", strict=True)
        for one in (forced, model.bind_tools([add], tool_choice="any"), model.with_structured_output(Sum)):
            with suppress(Exception):  # whatever a fake that says no brings about
                one.invoke([*HISTORY[:-1], SystemMessage("x")])
        model.close()
    assert server.refusals or name == "vllm"


class Sum(BaseModel):
    """A sum."""

    total: int


@pytest.mark.parametrize("name", RULES)
def test_a_tool_is_forced(name: str) -> None:
    """A tool by its name, and any tool, are forced in a form that the server takes, and the answer is checked."""
    with StrictServer(RULES[name], ["No.", Call("add", {"a": 1, "b": 2}, "x"), Call("now", {}, "y")]) as server:
        model = ChatEndpoint(model="m", base_url=server.url, server=name, max_retries=0)
        named = model.bind_tools([add, now], tool_choice="add", strict=True).invoke("1 + 2?")
        assert ["add"] == [call["name"] for call in named.tool_calls]
        assert ["now"] == [
            call["name"] for call in model.bind_tools([add, now], tool_choice="any").invoke("?").tool_calls
        ]
        model.close()
    assert [] == server.refusals
    first, *_, last = server.bodies
    if not isinstance(first["tool_choice"], dict):  # nothing else says which
        assert ["add"] == [one["function"]["name"] for one in first["tools"]]
    assert 2 == len(last["tools"])


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
def test_an_object_is_answered(name: str, method: Any) -> None:
    """Structured output comes in each way of asking for it, without a refusal."""
    answer: Any = Call("Sum", {"total": 3}, "x") if method == "function_calling" else '{"total": 3}'
    with StrictServer(RULES[name], [answer]) as server:
        model = ChatEndpoint(model="m", base_url=server.url, server=name, max_retries=0)
        assert Sum(total=3) == model.with_structured_output(Sum, method=method).invoke("1 + 2, as JSON?")
        model.close()
    assert [] == server.refusals


def test_no_tool_is_forbidden_everywhere() -> None:
    """`tool_choice="none"` is kept: by the form that the server takes, or without the tools."""
    for name, rules in RULES.items():
        with StrictServer(rules, ["No."]) as server:
            model = ChatEndpoint(model="m", base_url=server.url, server=name, max_retries=0)
            model.bind_tools([add], tool_choice="none").invoke("1 + 2?")
            model.close()
        (body,) = server.bodies
        assert body.get("tool_choice") == "none" or "tools" not in body


# --- single facts ---


def written(server: str, *messages: Any, **settings: Any) -> Json:
    """The body for a kind of server."""
    model = ChatEndpoint(model="m", base_url="http://127.0.0.1:1/v1", server=server, **settings)
    policy = settings.get("keep_reasoning", "never")
    return model._body(langplug.Request(messages=messages or (HumanMessage("x"),), keep_reasoning=policy))


def test_ids_are_mapped_alike() -> None:
    """An id that does not fit is mapped to one that does: in call and result, in each request, and no two to one."""
    calls: list[Any] = [{"name": "add", "args": {}, "id": one} for one in ("call_1", "call_2", "abcDEF123")]
    messages = [AIMessage("", tool_calls=calls), *(ToolMessage("1", tool_call_id=str(one["id"])) for one in calls)]
    turn, *results = written("mistral", HumanMessage("x"), *messages)["messages"][1:]
    sent = [call["id"] for call in turn["tool_calls"]]
    assert sent == [result["tool_call_id"] for result in results]
    assert 3 == len(set(sent))
    assert "abcDEF123" == sent[2]
    again, *_ = written("mistral", HumanMessage("x"), *messages, HumanMessage("y"))["messages"][1:]
    assert sent == [call["id"] for call in again["tool_calls"]]


@pytest.mark.parametrize("server", ["mistral", "openai", "any"])
def test_a_moved_image_is_of_the_call_that_was_sent(server: str) -> None:
    """The sentence before an image that a tool gave names the id under which its call is sent."""
    call_id = f"call_{'x' * 50}"
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    messages = [AIMessage("", tool_calls=[{"name": "draw", "args": {}, "id": call_id}])]
    messages = written(server, HumanMessage("x"), *messages, ToolMessage([image], tool_call_id=call_id))["messages"]
    (sent,) = (call["id"] for message in messages for call in message.get("tool_calls", ()))
    words = json.dumps(messages[-1]["content"])
    assert f"(call {sent})" in words
    assert (server == "any") == (call_id in json.dumps(messages))


@pytest.mark.parametrize(
    ("server", "fields"),
    [
        ("any", {"reasoning_content"}),
        ("vllm", {"reasoning", "reasoning_content"}),
        ("sglang", {"reasoning_content"}),
        ("openrouter", {"reasoning"}),
        ("groq", {"reasoning"}),
        ("mistral", set()),
        ("minimax", set()),
    ],
)
def test_reasoning_has_the_servers_name(server: str, fields: set[str]) -> None:
    """Earlier reasoning goes where the server reads it: in a field, in two, or in the text."""
    said = AIMessage("so", additional_kwargs={"reasoning_content": "because"})
    turn = written(server, HumanMessage("x"), said, HumanMessage("y"), keep_reasoning="all")["messages"][1]
    assert fields == turn.keys() - {"role", "content"}
    assert all("because" == turn[name] for name in fields)
    assert fields or "<think>\nbecause\n</think>\n\nso" == turn["content"]


@pytest.mark.parametrize("server", ["deepseek", "moonshot"])
def test_the_users_policy_counts_first(server: str) -> None:
    """What the server wants back is sent, unless the user says otherwise."""
    called = AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1"}])
    turns = (HumanMessage("x"), called, ToolMessage("1", tool_call_id="1"))
    assert "" == written(server, *turns)["messages"][1]["reasoning_content"]
    assert "reasoning_content" not in written(server, *turns, keep_reasoning="never")["messages"][1]


class ChatKeeping(ChatEndpoint):
    """An author's own default."""

    keep_reasoning: Any = "current"


def test_a_subclass_may_have_its_own_policy() -> None:
    """So is the default of a subclass."""
    model = ChatKeeping(model="m", base_url="http://127.0.0.1:1/v1", server="deepseek")
    called = AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1"}])
    messages = (HumanMessage("x"), called, ToolMessage("1", tool_call_id="1"), HumanMessage("y"))
    body = model._body(langplug.Request(messages=messages, keep_reasoning="current"))
    assert "reasoning_content" not in body["messages"][1]


@pytest.mark.parametrize(
    ("server", "sent"),
    [
        ("any", {"reasoning_effort": "none"}),
        ("openai", {"reasoning_effort": "none"}),
        ("deepseek", {"thinking": {"type": "disabled"}}),
        ("dashscope", {"enable_thinking": False}),
        ("vllm", {"chat_template_kwargs": {"enable_thinking": False}}),
    ],
)
def test_thinking_is_turned_off(server: str, sent: Json) -> None:
    """`reasoning_effort="none"` is sent as the server's own switch; other words are sent as they are."""
    assert sent == {k: v for k, v in written(server, reasoning_effort="none").items() if k not in ("model", "messages")}
    assert "low" == written(server, reasoning_effort="low")["reasoning_effort"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://acme.openai.azure.com/openai/deployments/d?api-version=2024-10-21", "azure"),
        ("https://api.z.ai/api/paas/v4", "zhipu"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini"),
        ("https://adb-1.2.azuredatabricks.net/serving-endpoints", "databricks"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://api.groq.com.evil.example/v1", "any"),
        ("https://evilopenai.azure.com.example/v1", "any"),
        ("http://localhost:8000/v1", "any"),
    ],
)
def test_the_host_tells(url: str, name: str) -> None:
    """The kind of server is known by its host, also by a part of it, and not by something like it."""
    assert SERVERS[name] is server_at(url)


def test_azure() -> None:
    """Azure's address, its query and its header for the key; a token of `auth` is a bearer token."""
    with StrictServer() as server:
        url = f"{server.url}/openai/deployments/d?api-version=2024-10-21"
        keys: list[Json] = [{"api_key": SecretStr("k-123456789")}, {"auth": lambda: "t-123456789"}]
        for given in keys:
            model = ChatEndpoint(model="d", base_url=url, server="azure", **given)
            assert "ok" == model.invoke("x").content
            model.close()
        named: Json = {"api_key": SecretStr("k-123456789"), "headers": {"Api-Key": SecretStr("mine")}}
        model = ChatEndpoint(model="d", base_url=url, server="azure", **named)
        model.invoke("x")
        model.close()
    assert {"/v1/openai/deployments/d/chat/completions?api-version=2024-10-21"} == set(server.paths)
    keyed, tokened, own = server.headers
    assert ("k-123456789", None) == (keyed["api-key"], keyed.get("authorization"))
    assert ("Bearer t-123456789", None) == (tokened["authorization"], tokened.get("api-key"))
    assert ("mine", None) == (own["api-key"], own.get("authorization"))


def test_more_stops_than_the_server_takes() -> None:
    """With more stop strings than it takes, the answer ends at the first all the same."""
    for include in (False, True):
        with StrictServer([stops(4)], ["one two three"]) as server:
            model = ChatEndpoint(model="m", base_url=server.url, server="openai", include_stop=include)
            message = model.invoke("x", stop=["a?", "b?", "c?", "d?", "two"])
            model.close()
        assert ("one two" if include else "one ") == message.content
        assert "stop" not in server.bodies[0]


def test_what_loses_something_is_noted_or_refused() -> None:
    """A field of the caller's that is not sent is noted; with `adaptations="refuse"` nothing is sent."""
    with StrictServer() as server:
        model = ChatEndpoint(model="m", base_url=server.url, server="groq", logprobs=True)
        notes = model.invoke("x").response_metadata["adaptations"]
        assert [{"feature": "logprobs", "action": "not sent: the server does not take it"}] == notes
        assert "adaptations" not in model.invoke("x", logprobs=False).response_metadata
        assert "adaptations" not in model.invoke("x", adaptations="silent").response_metadata
        with pytest.raises(UnsupportedError, match="logprobs"):
            model.invoke("x", adaptations="refuse")
        model.close()
    assert 3 == len(server.bodies)


def test_a_schema_in_words_is_checked_in_a_stream() -> None:
    """Where the server does not keep to the schema, a stream is checked and asked for again as well."""
    with StrictServer(RULES["deepseek"], ['{"total": "x"}', '```json\n{"total": 3}\n```']) as server:
        model = ChatEndpoint(model="m", base_url=server.url, server="deepseek")
        chunks = list(model.stream("1 + 2?", response_format=Sum))
        model.close()
    assert '{"total": 3}' == "".join(chunk.text for chunk in chunks)
    assert 2 == len(server.bodies)


def no_media_in_results(body: Json) -> str | None:
    """OpenAI's rule, and Mistral's."""
    held = [one for one in body["messages"] if one["role"] != "user" and isinstance(one["content"], list)]
    return "Image URLs are only allowed for messages with role 'user'" if held else None


@pytest.mark.parametrize("name", ["any", "openai", "mistral", "deepseek"])
def test_an_image_that_a_tool_gave(name: str) -> None:
    """It stands in a message of the user, in an order that the server takes."""
    shown = [{"type": "text", "text": "Here."}, {"type": "image", "url": "https://example.com/a.png"}]
    called = AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "abcDEF123"}])
    given = [HumanMessage("x"), called, ToolMessage(shown, tool_call_id="abcDEF123"), HumanMessage("What is it?")]
    with StrictServer([*RULES[name], no_media_in_results]) as server:
        model = ChatEndpoint(model="m", base_url=server.url, server=name, max_retries=0)
        assert "ok" == model.invoke(given).content
        model.close()
    assert [] == server.refusals
    users = [one["content"] for one in server.bodies[0]["messages"] if one["role"] == "user"]
    assert "https://example.com/a.png" in str(users)
    assert "What is it?" in str(users)
