"""What a server refuses is learnt once, by its own words, and not sent again."""

import copy
import logging
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.exceptions import ContextOverflowError, ModelAPIError, ModelError, ModelInvalidRequestError
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from tests.models.endpoint.strict import Call, Json, Rule, StrictServer
from tests.paths import PATHS, STREAMED, Path

from langplug.models import ChatEndpoint


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def now() -> str:
    """Tells the time."""
    return "noon"


class Sum(BaseModel):
    """A sum."""

    total: int


def make(server: StrictServer, **settings: Any) -> ChatEndpoint:
    base: Json = {"model": "m", "base_url": server.url, "max_retries": 0}
    return ChatEndpoint(**{**base, **settings})


def called(*ids: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": one} for one in ids])


def result(one: str, content: Any = "3") -> ToolMessage:
    return ToolMessage(content, tool_call_id=one)


# --- each, in the servers' own words ---


@dataclass(frozen=True)
class Refused:
    """A thing that a server does not take, and what it says."""

    words: str
    when: Callable[[Json], Any]
    """Whether a body has the thing."""
    ask: Callable[[ChatEndpoint], Any]
    answer: Any = "ok"
    status: int = 400


def roles(body: Json) -> list[str]:
    return [message["role"] for message in body["messages"]]


def ask_later_system(model: ChatEndpoint) -> Any:
    return model.invoke([SystemMessage("a"), HumanMessage("b"), AIMessage("c"), SystemMessage("d"), HumanMessage("e")])


def ask_twice(model: ChatEndpoint) -> Any:
    return model.invoke([SystemMessage("a"), HumanMessage("b"), HumanMessage("c")])


def ask_after_result(model: ChatEndpoint) -> Any:
    return model.invoke([HumanMessage("a"), called("1"), result("1"), HumanMessage("b")])


def ask_several(model: ChatEndpoint) -> Any:
    return model.invoke([HumanMessage("a"), called("1", "2"), result("1"), result("2")])


def ask_named(model: ChatEndpoint) -> Any:
    return model.invoke([HumanMessage("a", name="ann")])


def ask_streamed(model: ChatEndpoint) -> Any:
    return list(model.stream("x"))


def ask_object(model: ChatEndpoint) -> Any:
    return model.with_structured_output(Sum).invoke("x")


def ask_forced(model: ChatEndpoint) -> Any:
    return model.bind_tools([add, now], tool_choice="add").invoke("x")


def ask_any(model: ChatEndpoint) -> Any:
    return model.bind_tools([add, now], tool_choice="any").invoke("x")


def ask_one_at_a_time(model: ChatEndpoint) -> Any:
    return model.bind_tools([add], parallel_tool_calls=False).invoke("x")


def ask_strictly(model: ChatEndpoint) -> Any:
    return model.bind_tools([add], strict=True).invoke("x")


def ask_briefly(model: ChatEndpoint) -> Any:
    return model.invoke("x", max_tokens=5)


def ask_stopped(model: ChatEndpoint) -> Any:
    return model.invoke("x", stop=["§"], include_stop=False)


def ask_developer(model: ChatEndpoint) -> Any:
    return model.invoke([ChatMessage(role="developer", content="a"), HumanMessage("b")])


def kind_of_format(body: Json) -> Any:
    return body.get("response_format", {}).get("type")


def has_object(body: Json) -> bool:
    return isinstance(body.get("tool_choice"), dict)


def later_system(body: Json) -> bool:
    return "system" in roles(body)[1:]


def two_in_a_row(body: Json) -> bool:
    return any(one == other for one, other in zip(roles(body), roles(body)[1:], strict=False) if one != "tool")


def user_after_tool(body: Json) -> bool:
    return ("tool", "user") in zip(roles(body), roles(body)[1:], strict=False)


def has_names(body: Json) -> bool:
    return any("name" in message for message in body["messages"])


def has_long_id(body: Json) -> bool:
    return any(len(call["id"]) != 9 for message in body["messages"] for call in message.get("tool_calls", ()))


JSON = '{"total": 3}'
CALL = Call("add", {"a": 1, "b": 2}, "c")

REFUSED: dict[str, Refused] = {
    "stream_options": Refused(
        "Extra inputs are not permitted, field: 'stream_options'", lambda b: "stream_options" in b, ask_streamed
    ),
    "parallel_tool_calls": Refused(
        "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.",
        lambda b: "parallel_tool_calls" in b,
        ask_one_at_a_time,
    ),
    "litellm parallel": Refused(
        "litellm.UnsupportedParamsError: groq does not support parameters: ['parallel_tool_calls'], for model=m.",
        lambda b: "parallel_tool_calls" in b,
        ask_one_at_a_time,
    ),
    "lm studio choice": Refused(
        "Invalid tool_choice type: 'object'. Supported string values: none, auto, required",
        has_object,
        ask_forced,
        CALL,
    ),
    "required": Refused(
        "tool_choice 'required' is incompatible with thinking enabled",
        lambda b: b.get("tool_choice") == "required",
        ask_any,
        CALL,
    ),
    "openrouter choice": Refused(
        "No endpoints found that support the provided 'tool_choice' value.",
        lambda b: b.get("tool_choice") not in (None, "auto"),
        ask_forced,
        CALL,
        404,
    ),
    "no choice": Refused(
        "tool_choice: Extra inputs are not permitted", lambda b: "tool_choice" in b, ask_forced, CALL, 422
    ),
    "deepseek schema": Refused(
        "This response_format type is unavailable now", lambda b: kind_of_format(b) == "json_schema", ask_object, JSON
    ),
    "groq schema": Refused(
        "This model does not support response format `json_schema`. See supported models at https://console.groq.com",
        lambda b: kind_of_format(b) == "json_schema",
        ask_object,
        JSON,
    ),
    "no format": Refused(
        "response_format: Extra inputs are not permitted", lambda b: "response_format" in b, ask_object, JSON, 422
    ),
    "format, repeated": Refused(
        "response_format: Extra inputs are not permitted {'json_schema': {'schema': {'additionalProperties': False}}}",
        lambda b: "response_format" in b,
        ask_object,
        JSON,
    ),
    "strict": Refused(
        "Invalid JSON payload received. Unknown name \"strict\" at 'tools[0].function': Cannot find field.",
        lambda b: any("strict" in one["function"] for one in b["tools"]),
        ask_strictly,
    ),
    "max_tokens": Refused(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        lambda b: "max_tokens" in b,
        ask_briefly,
    ),
    "max_completion_tokens": Refused(
        "max_completion_tokens: Extra inputs are not permitted",
        lambda b: "max_completion_tokens" in b,
        lambda model: model.invoke("x", max_tokens=5, server="openai"),
        status=422,
    ),
    "stop": Refused(
        "Unsupported parameter: 'stop' is not supported with this model.", lambda b: "stop" in b, ask_stopped
    ),
    "developer": Refused(
        "unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`",
        lambda b: "developer" in roles(b),
        ask_developer,
        status=422,
    ),
    "qwen": Refused("System message must be at the beginning.", later_system, ask_later_system),
    "qwen on llama.cpp": Refused(
        "\n------------\nWhile executing CallExpression at line 85, column 32 in source:\n...first %}↵            "
        "{{- raise_exception('System message must be at the beginnin...\n     ^\nError: Jinja Exception: "
        "System message must be at the beginning.",
        later_system,
        ask_later_system,
        status=500,
    ),
    "mistral on vllm": Refused(
        "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...",
        two_in_a_row,
        ask_twice,
    ),
    "mistral": Refused("Unexpected role 'user' after role 'tool'", user_after_tool, ask_after_result),
    "gemma 2": Refused("System role not supported", lambda b: "system" in roles(b), ask_twice),
    "gemma 3 on tgi": Refused(
        "Template error: syntax error: Conversation roles must alternate user/assistant/... (in <string>:9)",
        lambda b: "tool" in roles(b),
        ask_after_result,
        status=422,
    ),
    "old mistral": Refused(
        "Only user and assistant roles are supported, with the exception of an initial optional system message!",
        lambda b: "tool" in roles(b),
        ask_after_result,
    ),
    "databricks": Refused(
        "Multiple tool calls are not supported.\n",
        lambda b: any(len(message.get("tool_calls", ())) > 1 for message in b["messages"]),
        ask_several,
    ),
    "openai names": Refused(
        "Invalid 'messages[0].name': string does not match pattern. Expected a string that matches the pattern "
        "'^[^\\s<|\\\\/>]+$'.",
        has_names,
        ask_named,
    ),
    "groq names": Refused(
        "'messages.0' : for 'role:user' the following must be satisfied[(property 'name' is unsupported)]",
        has_names,
        ask_named,
    ),
    "mistral names": Refused("messages.0.user.name: Extra inputs are not permitted", has_names, ask_named, status=422),
    "gemini names": Refused(
        "Invalid JSON payload received. Unknown name \"name\" at 'messages[0]': Cannot find field.",
        has_names,
        ask_named,
    ),
    "mistral ids": Refused(
        "Tool call id was 1 but must be a-z, A-Z, 0-9, with a length of 9.", has_long_id, ask_several
    ),
    "openai ids": Refused(
        "Invalid 'messages[1].tool_calls[0].id': string too long. Expected a string with maximum length 40, but got a "
        "string with length 53 instead.",
        has_long_id,
        ask_several,
    ),
    "mistral reasoning": Refused(
        "messages.1.assistant.reasoning_content: Extra inputs are not permitted",
        lambda b: any("reasoning_content" in message for message in b["messages"]),
        lambda model: model.invoke(
            [HumanMessage("a"), AIMessage("b", additional_kwargs={"reasoning_content": "hm"}), HumanMessage("c")],
            keep_reasoning="all",
        ),
        status=422,
    ),
    "strict of a schema": Refused(
        "response_format.json_schema.strict: Extra inputs are not permitted",
        lambda b: "strict" in b.get("response_format", {}).get("json_schema", {}),
        lambda model: model.with_structured_output(Sum, strict=True).invoke("x"),
        JSON,
        422,
    ),
    "gemma at gemini": Refused(
        "Developer instruction is not enabled for models/gemma-3-27b-it", lambda b: "system" in roles(b), ask_twice
    ),
    "deepseek reasoning": Refused(
        "The reasoning_content in the thinking mode must be passed back to the API.",
        lambda b: any("tool_calls" in m and "reasoning_content" not in m for m in b["messages"]),
        ask_after_result,
    ),
}


def rule_of(refused: Refused) -> Rule:
    return lambda body: refused.words if refused.when(body) else None


@pytest.mark.parametrize("name", REFUSED)
def test_each_is_learnt(name: str) -> None:
    """A thing that is refused is sent in another way at once, and never again in the way that was refused."""
    refused = REFUSED[name]
    with StrictServer([rule_of(refused)], [refused.answer], refused.status) as server:
        model = make(server)
        first = refused.ask(model)
        sent = len(server.bodies)
        assert 2 <= sent <= 4
        assert sent - 1 == len(server.refusals)
        second = refused.ask(model)
        model.close()
    assert sent + 1 == len(server.bodies)
    assert first == second or str(type(first)) == str(type(second))
    for message in (first, second):
        # What is nothing but OpenAI's documented form, or loses nothing, needs no note.
        if isinstance(message, AIMessage) and name not in ("deepseek reasoning", "max_completion_tokens"):
            assert message.response_metadata["adaptations"]


@pytest.mark.parametrize("path", [*PATHS])
def test_on_every_path(path: str) -> None:
    """On every path, the answer is that of the second request, and its metadata say what was done."""
    refused = REFUSED["qwen"]
    with StrictServer([rule_of(refused)], ["Hello"]) as server:
        model = make(server)
        asked = [SystemMessage("a"), HumanMessage("b"), SystemMessage("c"), HumanMessage("d")]
        for _ in range(2):
            answer = PATHS[path](model, asked)
            assert "Hello" == answer.text == answer.message.text
            notes = [{"feature": "messages", "action": "roles arranged: system first"}]
            assert notes == answer.message.response_metadata["adaptations"]
        assert "adaptations" not in PATHS[path](model, "x").message.response_metadata  # it does not concern this one
        model.close()
    assert 4 == len(server.bodies)


SYSTEM_WORDS = [
    "The system message must come first",
    "System messages are only allowed at the start of the conversation.",
    "System message must be the first message in the conversation",
    "Only user, assistant and tool roles are supported, got system.",
    "Unexpected role 'system' after role 'assistant'",
    "invalid params, chat content has invalid message role: system (2013)",
    "Unexpected role: system at index 2",
    "role 'system' is only permitted at index 0",
    "'system' role messages can only appear at the start",
    "invalid role system at position 2",
    'messages.3: unknown role "system"',
    "The system prompt must precede all other messages.",
    "messages[3]: only index 0 may have the role `system`",
    "messages[2]: 'system' is not an allowed role here",
]

TURN_WORDS = [
    'messages: roles must alternate between "user" and "assistant", but found multiple "user" roles in a row',
    "A conversation must alternate between user and assistant roles. Make sure the conversation alternates",
    "Consecutive messages of the same role are not allowed",
    "Messages should be alternating between the user role and the assistant role",
    "Unexpected role: user at index 2",
]


@pytest.mark.parametrize("words", SYSTEM_WORDS)
def test_words_of_system_messages(words: str) -> None:
    """However it is said that a system message must be first, it is understood."""
    with StrictServer([lambda body: words if later_system(body) else None]) as server:
        model = make(server)
        assert "ok" == ask_later_system(model).content
        model.close()
    assert ["system", "user", "assistant", "user", "user"] == roles(server.bodies[-1])  # no stricter than was asked
    assert 2 == len(server.bodies)


@pytest.mark.parametrize("words", TURN_WORDS)
def test_words_of_turns(words: str) -> None:
    """However it is said that turns must alternate, it is understood."""
    with StrictServer([lambda body: words if two_in_a_row(body) else None]) as server:
        model = make(server)
        assert "ok" == ask_twice(model).content
        model.close()
    assert ["system", "user"] == roles(server.bodies[-1])


# --- what is not ---


OTHERS: dict[str, tuple[int, str]] = {
    "nothing known": (400, "The request is invalid."),
    "a value": (400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens."),
    "the user's": (400, "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1)."),
    "a schema that is wrong": (
        400,
        "Invalid schema for response_format 'Sum': In context=(), 'additionalProperties' is required to be false.",
    ),
    "a schema beyond a grammar": (400, "The provided JSON schema contains features not supported by xgrammar."),
    "a tool that is not there": (400, "Tool choice 'x' not found in 'tools' parameter"),
    "a tool not among them": (400, "Invalid value for 'tool_choice': function 'add' is not among the tools"),
    "a tool of vLLM's": (400, "The tool specified in `tool_choice` does not match any of the specified `tools`"),
    "a choice without tools": (400, "Invalid value for 'tool_choice': it is only allowed when 'tools' are specified."),
    "a tool that does not exist": (400, "Invalid tool_choice: tool 'add' doesn't exist"),
    "a schema of another type": (400, "Invalid parameter: response_format.json_schema.schema must be of type object"),
    "a part of a schema": (422, "response_format.json_schema.schema.properties.total: 'pattern' is not supported"),
    "the name of a schema": (400, "Invalid 'response_format.json_schema.name': string does not match pattern."),
    "a schema for llama.cpp": (400, 'JSON schema conversion failed: Unrecognized schema: {"type": "foo"}'),
    "a limit too large": (400, "max_completion_tokens may not be larger than 16384"),
    "a server that was not told to parse": (
        400,
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    ),
    "the name of a function": (400, "Invalid 'tools[0].function.name': string does not match pattern."),
    "another status": (403, "tool_choice is not supported for your account"),
    "a server's failure": (500, "tool_choice is not supported: internal error"),
    "json mode without the word": (
        400,
        "'messages' must contain the word 'json' to use 'response_format' json_object.",
    ),
    "overflow": (400, "maximum context length is 10 tokens; parallel_tool_calls is not supported"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_error_is_raised_as_it_is(name: str) -> None:
    """An error that says something else costs one request, and is raised with the server's words."""
    status, words = OTHERS[name]
    with StrictServer([lambda _: words], status=status) as server:
        model = make(server, temperature=0.5, max_tokens=5)
        history = [HumanMessage("a", name="ann"), SystemMessage("b")]
        forced = model.bind_tools([add, now], tool_choice="add", parallel_tool_calls=False, response_format=Sum)
        with pytest.raises(ModelError) as error:
            forced.invoke(history)
        model.close()
    assert words.rstrip(".") in str(error.value)
    assert 1 == len(server.bodies)
    if name == "overflow":
        assert isinstance(error.value, ContextOverflowError)


EVERYTHING = (
    "stream_options parallel_tool_calls tool_choice response_format json_schema json_object 'strict' 'stop' developer "
    "role messages.0.name System message must be at the beginning, roles must alternate, multiple tool calls tool call "
    "id must be, content must be a string, reasoning_content missing, max_completion_tokens: not supported, instead"
)


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_server_that_refuses_everything(status: int) -> None:
    """Whatever a server says to each request, the requests are few, and nothing is learnt of it."""
    with StrictServer([lambda _: EVERYTHING], status=status) as server:
        model = make(server, max_tokens=5)
        history = [ChatMessage(role="developer", content="d"), HumanMessage("a", name="ann"), SystemMessage("b")]
        history += [called("1", "2"), result("1"), result("2"), HumanMessage("c"), HumanMessage("d")]
        forced = model.bind_tools([add, now], tool_choice="add", parallel_tool_calls=False, strict=True)
        with pytest.raises(ModelError):
            forced.invoke(history, stop=["x"])
        assert 2 <= len(server.bodies) <= 9
        assert len({str(body) for body in server.bodies}) == len(server.bodies)  # none is sent twice
        server.answers = [CALL]
        server.rules.clear()
        forced.invoke(history, stop=["x"])
        assert server.bodies[0] == server.bodies[-1]  # as if nothing had happened
        model.close()


def test_only_what_helped_is_learnt() -> None:
    """A request that fails for another reason after all teaches nothing."""
    words = ["stream_options is not supported", "the model is on fire"]

    def rule(body: Json) -> str | None:
        return words[0] if "stream_options" in body else words[1]

    with StrictServer([rule]) as server:
        model = make(server)
        with pytest.raises(ModelInvalidRequestError, match="on fire"):
            list(model.stream("x"))
        server.rules.clear()
        list(model.stream("x"))
        model.close()
    assert "stream_options" in server.bodies[-1]


@pytest.mark.parametrize("name", ["qwen", "deepseek schema", "lm studio choice", "parallel_tool_calls"])
def test_nothing_is_conceded_where_that_is_forbidden(name: str) -> None:
    """With `adaptations="refuse"` the server's error is raised after one request."""
    refused = REFUSED[name]
    with StrictServer([rule_of(refused)], [refused.answer]) as server:
        model = make(server, adaptations="refuse")
        with pytest.raises(ModelInvalidRequestError):
            refused.ask(model)
        model.close()
    assert 1 == len(server.bodies)


def test_a_setting_of_the_user_counts_first() -> None:
    """What the user has set, be it the order of roles or a field of `extra_body`, is not changed for the server."""
    with StrictServer([rule_of(REFUSED["qwen"])]) as server:
        model = make(server, roles="as given")
        with pytest.raises(ModelInvalidRequestError, match="beginning"):
            ask_later_system(model)
        assert 1 == len(server.bodies)
        assert "ok" == ask_later_system(make(server, roles="system first")).content
        assert 2 == len(server.bodies)
        model.close()
    with StrictServer([rule_of(REFUSED["stream_options"])]) as server:
        model = make(server, extra_body={"stream_options": {"include_usage": True}})
        with pytest.raises(ModelInvalidRequestError, match="stream_options"):
            ask_streamed(model)
        model.close()
    assert 1 == len(server.bodies)


@pytest.mark.parametrize("name", ["max_tokens", "qwen", "parallel_tool_calls"])
def test_what_was_refused_is_not_sent_again_by_a_retry(name: str) -> None:
    """A refused form is sent once in a call, even if the server fails for a while before it takes the other form."""
    refused, bodies = REFUSED[name], []
    with StrictServer([rule_of(refused)], [refused.answer]) as server:

        def respond(path: str, headers: dict[str, str], body: Json) -> tuple[int, str, bytes]:
            bodies.append(body)
            is_busy = not refused.when(body) and len(bodies) < 4
            return (503, "text/plain", b"busy") if is_busy else StrictServer.respond(server, path, headers, body)

        server.respond = respond  # type: ignore[method-assign] # fails twice
        model = make(server, max_retries=3)
        refused.ask(model)
        refused.ask(model)
        model.close()
    assert [True, *[False] * 4] == [bool(refused.when(body)) for body in bodies]


# --- who remembers it ---


def test_copies_remember() -> None:
    """What one model learns, its copies know: bound, with settings of a call, or copied; another model does not."""
    refused = REFUSED["openai names"]
    with StrictServer([rule_of(refused)]) as server:
        model = make(server)
        bound = model.bind(temperature=0.5)
        copied = model.model_copy(update={"temperature": 0.1})
        ask_named(bound)  # type: ignore[arg-type] # invokes as a model does
        assert 2 == len(server.bodies)
        for one in (model, bound, copied, copy.copy(model), model.with_config(tags=["x"]), copy.deepcopy(model)):
            ask_named(one)  # type: ignore[arg-type] # as above
        model.invoke([HumanMessage("a", name="ann")], seed=3)
        pickle.loads(pickle.dumps(model)).invoke([HumanMessage("a", name="ann")])
        assert 1 == len(server.refusals)
        ask_named(make(server))
        assert 2 == len(server.refusals)
        model.invoke([HumanMessage("a", name="ann")], model="other")  # has another template
        assert 3 == len(server.refusals)
        model.close()


def test_threads_learn_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two threads that learn different things at once both have learnt, and each thing is said once."""
    both = threading.Barrier(2, timeout=10)
    seen: set[str] = set()

    def rule(body: Json) -> str | None:
        for name in ("openai names", "qwen"):
            if REFUSED[name].when(body):
                return REFUSED[name].words
        return None

    with StrictServer([rule]) as server, caplog.at_level(logging.INFO, "langplug"):
        model = make(server)

        def ask(one: Callable[[ChatEndpoint], Any]) -> None:
            both.wait()
            seen.add(one(model).content)

        asked = [ask_named, ask_later_system] * 4
        for pair in zip(asked[::2], asked[1::2], strict=True):
            threads = [threading.Thread(target=ask, args=(one,)) for one in pair]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
        refused = len(server.refusals)
        ask_named(model)
        ask_later_system(model)
        model.close()
    assert {"ok"} == seen
    assert refused == len(server.refusals) == 2
    lines = [record.getMessage() for record in caplog.records]
    assert 1 == sum("names of messages" in line for line in lines)
    assert 1 == sum("system messages that are not first" in line for line in lines)


# --- schemas ---


def test_a_schema_in_words_is_checked() -> None:
    """Where the schema had to go into the prompt, the answer is checked, and asked for again if it does not fit."""
    answers = ['{"total": "x"}', '```json\n{"total": 3}\n```']
    with StrictServer([rule_of(REFUSED["deepseek schema"])], answers) as server:
        model = make(server)
        assert Sum(total=3) == ask_object(model)
        model.close()
    refused, asked, again = server.bodies
    assert ["json_schema", "json_object", "json_object"] == [kind_of_format(b) for b in (refused, asked, again)]
    assert '"total"' in asked["messages"][0]["content"]


@pytest.mark.parametrize("name", ["deepseek schema", "no format"])
def test_an_agent_with_a_schema(name: str) -> None:
    """An agent whose answer is an object gets it from a server without schemas."""
    with StrictServer([rule_of(REFUSED[name])], [JSON]) as server:
        model = make(server)
        agent = create_agent(model, [], response_format=ProviderStrategy(Sum))
        for _ in range(2):
            assert Sum(total=3) == agent.invoke({"messages": [HumanMessage("1 + 2?")]})["structured_response"]
        model.close()
    assert 2 + len(server.refusals) == len(server.bodies)


@pytest.mark.parametrize("path", [*STREAMED.values()], ids=[*STREAMED])
def test_a_stream_is_checked_once_it_is_known(path: Path) -> None:
    """A stream of an answer that the server does not keep to the schema is checked as well."""
    with StrictServer([rule_of(REFUSED["deepseek schema"])], [JSON, '{"total": "x"}', JSON]) as server:
        model = make(server)
        assert JSON == path(model, "x", response_format=Sum).text
        assert JSON == path(model, "x", response_format=Sum).text
        model.close()
    assert 4 == len(server.bodies)


# --- tools ---


def test_a_call_that_is_not_forced_by_the_server_is_asked_for_again() -> None:
    """A server that forces no calls is asked again by langplug."""
    with StrictServer([rule_of(REFUSED["no choice"])], ["No.", CALL]) as server:
        model = make(server)
        assert ["add"] == [call["name"] for call in ask_forced(model).tool_calls]
        model.close()
    assert all(["add"] == [one["function"]["name"] for one in body["tools"]] for body in server.bodies[-2:])


def test_parallel_calls_stay_forbidden() -> None:
    """Where the server knows no `parallel_tool_calls`, calls beyond the first are dropped."""
    with StrictServer(
        [rule_of(REFUSED["parallel_tool_calls"])], [[CALL, Call("add", {"a": 2, "b": 2}, "d")]]
    ) as server:
        model = make(server)
        assert 1 == len(ask_one_at_a_time(model).tool_calls)
        model.close()


# --- retries ---


def test_a_failing_template_is_not_retried_as_well() -> None:
    """A status 500 of a template is answered with another request at once, and no wait."""
    refused = REFUSED["qwen on llama.cpp"]
    with StrictServer([rule_of(refused)], status=500) as server:
        model = make(server, max_retries=2)
        assert "ok" == ask_later_system(model).content
        model.close()
    assert 2 == len(server.bodies)


def test_a_template_that_fails_anyway() -> None:
    """One that fails whatever the order is an error with its words."""
    with StrictServer([lambda _: "Jinja Exception: System message must be at the beginning."], status=500) as server:
        model = make(server)
        with pytest.raises(ModelAPIError, match="beginning"):
            ask_later_system(model)
        model.close()
    assert 2 == len(server.bodies)
