"""Tools through chat templates: written and read by llama.cpp, or read by langplug, or by neither."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from tests.paths import ON_AN_ENGINE
from tests.paths import Path as CallPath

from langplug import Request, UnmetDemandError
from langplug.models import ChatGGUF
from langplug.models.gguf.weights import SMOLLM2, find, pull

HERMES = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
    {{- "# Tools\n\n<tools>" }}
    {%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\n</tools>\n\nFor each call, write <tool_call>\n{\"name\": ..., \"arguments\": ...}\n</tool_call>" }}
    {{- '<|im_end|>\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" %}
        {{- '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>assistant\n' + (message.content or '') }}
        {%- for call in message.tool_calls or [] %}
            {{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}{{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"""

SWITCHED = (
    HERMES
    + "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
)

GLM = r"""{%- if tools %}
    {{- '<|im_start|>system\n# Tools\n\n<tools>\n' }}
    {%- for tool in tools %}{{- tool | tojson }}{{- '\n' }}{%- endfor %}
    {{- '</tools>\n\nWrite <tool_call>{name}\n<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n</tool_call>' }}
    {{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" %}
        {{- '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>assistant\n' + (message.content or '') }}
        {%- for call in message.tool_calls or [] %}
            {{- '<tool_call>' + call.function.name + '\n' }}
            {%- for key, value in call.function.arguments.items() %}
                {{- '<arg_key>' + key + '</arg_key>\n<arg_value>' }}{{- value }}{{- '</arg_value>\n' }}
            {%- endfor %}
            {{- '</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""

TEMPLATES = {"hermes": HERMES, "glm": GLM}
WRITTEN = {
    "hermes": '<tool_call>\n{"name": "add", "arguments": {"a": 3, "b": 8}}\n</tool_call>',
    "glm": "<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>3</arg_value>\n"
    "<arg_key>b</arg_key>\n<arg_value>8</arg_value>\n</tool_call>",
}
ENGINE: dict[str, Any] = {
    "engine": "llama.cpp",
    "n_ctx": 1024,
    "threads": 1,
    "parallel": 1,
    "temperature": 0,
    "seed": 1,
    "max_tokens": 80,
}


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


class ChatForced(ChatGGUF):
    """Says what it is made to, by a grammar; llama.cpp takes one only beside the choice "none"."""

    say: str = ""

    def _body(self, request: Request) -> dict[str, Any]:
        grammar = {"grammar": f"%llguidance {{}}\nstart: {json.dumps(self.say)}"} if self.say else {}
        return super()._body(request) | grammar


@pytest.fixture(scope="module", autouse=True)
def weights() -> None:
    """They are there."""
    if find(SMOLLM2) is None:
        pull(SMOLLM2)


@pytest.fixture(scope="module", params=list(TEMPLATES))
def named(request: pytest.FixtureRequest) -> Iterator[tuple[str, ChatForced]]:
    """A model with each template in turn."""
    model = ChatForced(chat_template=TEMPLATES[request.param], **ENGINE)
    model.runtime  # noqa: B018 - loaded once for the module
    yield request.param, model
    model.close()


def history() -> list[BaseMessage]:
    """Three calls, from which the smallest model learns to make a fourth."""
    said: list[BaseMessage] = []
    for number, (a, b) in enumerate([(1, 2), (5, 4), (7, 2)]):
        call = {"name": "add", "args": {"a": a, "b": b}, "id": f"c{number}"}
        said += [
            HumanMessage(f"Add {a} and {b}"),
            AIMessage("", tool_calls=[call]),
            ToolMessage(str(a + b), tool_call_id=f"c{number}"),
            AIMessage(f"It is {a + b}."),
        ]
    return [*said, HumanMessage("Add 3 and 8")]


def prompt_of(model: ChatGGUF, messages: list[BaseMessage], **settings: Any) -> str:
    """What the model is given to read, by llama.cpp's own account."""
    bodies: list[Any] = []

    class ChatNoted(ChatGGUF):
        def _body(self, request: Request) -> dict[str, Any]:
            bodies.append(body := super()._body(request))
            return body

    noted = ChatNoted(**{**ENGINE, "chat_template": model.chat_template, "max_tokens": 1, **settings})
    noted.bind_tools([add]).invoke(messages)
    body = bodies[0]
    given = {name: body[name] for name in ("messages", "tools", "tool_choice", "chat_template_kwargs") if name in body}
    runtime: Any = model.runtime
    return str(runtime.load().post("/apply-template", given)["prompt"])


@pytest.mark.parametrize("tool_calling", ["native", "templated"])
def test_the_template_writes_the_tools(named: tuple[str, ChatForced], tool_calling: Any) -> None:
    """The tools, calls and results stand in the prompt as the template writes them, and nothing is said beside it."""
    name, model = named
    prompt = prompt_of(model, history(), tool_calling=tool_calling)
    assert 1 == prompt.count('"name": "add", "description": "Adds."')
    assert "You can call these tools" not in prompt
    assert WRITTEN[name].replace("3", "5").replace("8", "4") in prompt
    assert "<|im_start|>user\n<tool_response>\n9\n</tool_response>" in prompt


def test_prompted_is_ours(named: tuple[str, ChatForced]) -> None:
    """With "prompted" langplug writes the tools, in the format of the template's family."""
    name, model = named
    prompt = prompt_of(model, history(), tool_calling="prompted")
    assert "To call a tool, write its name and arguments exactly like this" in prompt
    assert {"hermes": '<tool_call>\n{"name"', "glm": "<arg_key>"}[name] in prompt


@pytest.mark.parametrize("path", ON_AN_ENGINE)
@pytest.mark.parametrize("tool_calling", ["native", "templated"])
def test_calls_come_back(named: tuple[str, ChatForced], tool_calling: Any, path: CallPath) -> None:
    """What the model writes in the template's way is a call, whoever reads it, and no markup is left in the text."""
    _, model = named
    asked = model.model_copy(update={"tool_calling": tool_calling})
    message = path(asked.bind_tools([add]), history()).message
    assert [("add", {"a": 3, "b": 8})] == [(call["name"], call["args"]) for call in message.tool_calls]
    assert "" == message.text.strip()
    assert "tool_calls" == message.response_metadata["finish_reason"]
    notes = [note["action"] for note in message.response_metadata.get("adaptations", ())]
    assert ([] if tool_calling == "native" else ["in the chat template"]) == [note.partition(";")[0] for note in notes]


@pytest.mark.parametrize("before", ["", "Let me see.\n"])
def test_what_llama_cpp_leaves_is_read(named: tuple[str, ChatForced], before: str) -> None:
    """A call that is in the text is read by langplug, with text before it or none."""
    name, model = named
    forced = model.model_copy(update={"say": before + WRITTEN[name], "tool_calling": "templated"})
    message = forced.bind_tools([add]).invoke("Add 3 and 8")
    assert [("add", {"a": 3, "b": 8})] == [(call["name"], call["args"]) for call in message.tool_calls]
    assert before.strip() == message.text.strip()


def test_a_forced_call_is_kept_to_a_grammar(named: tuple[str, ChatForced]) -> None:
    """A forced call is made by construction, whatever the model would say."""
    wild = named[1].model_copy(update={"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0})
    (call,) = wild.bind_tools([add], tool_choice="any").invoke("Hello!").tool_calls
    assert "add" == call["name"]
    add.invoke(call["args"])


def test_a_schema_beside_tools(named: tuple[str, ChatForced]) -> None:
    """With tools and a schema, either may come; llama.cpp, which takes no grammar beside tools, is given none."""
    schema = {"title": "N", "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    bodies: list[Any] = []

    class ChatNoted(ChatGGUF):
        def _body(self, request: Request) -> dict[str, Any]:
            bodies.append(body := super()._body(request))
            return body | {"max_tokens": 1}

    with suppress(UnmetDemandError):
        ChatNoted(chat_template=named[1].chat_template, **ENGINE).bind_tools([add], response_format=schema).invoke("3")
    assert bodies
    assert not any("grammar" in body for body in bodies)
    assert all(body["tools"] for body in bodies)


REFUSED = {"title": "put", "type": "object", "properties": {"a": {"type": "array", "items": False}}, "required": ["a"]}


def test_a_tool_that_llama_cpp_refuses(named: tuple[str, ChatForced]) -> None:
    """A tool whose schema llama.cpp can make no grammar of is written into the template all the same."""
    message = named[1].bind_tools([add, REFUSED]).invoke(history())
    assert [{"a": 3, "b": 8}] == [call["args"] for call in message.tool_calls]
    assert "left in the text" in message.response_metadata["adaptations"][0]["action"]


def test_a_template_without_tools() -> None:
    """Where the template knows no tools, they are said in the prompt, and the answer notes it."""
    model = ChatGGUF(**ENGINE)
    assert "prompted" == model.__langplug_tool_calling__()
    message = model.bind_tools([add]).invoke("Hello", max_tokens=1)
    assert "prompted in the 'hermes' format" in message.response_metadata["adaptations"][0]["action"]


@pytest.mark.parametrize(("thinking", "end"), [(True, "assistant\n"), (False, "</think>\n\n")])
def test_thinking_is_the_templates_switch(thinking: bool, end: str) -> None:
    """`thinking` sets the variable that the template reads."""
    model = ChatForced(chat_template=SWITCHED, **ENGINE)
    assert prompt_of(model, [SystemMessage("Be kind."), HumanMessage("Hi")], thinking=thinking).endswith(end)


def test_tools_are_counted_as_they_are_sent(named: tuple[str, ChatForced]) -> None:
    """With tools, the count is that of the prompt that a call with these tools makes, to the token."""
    usage = named[1].bind_tools([add]).invoke(history()).usage_metadata
    assert usage is not None
    assert usage["input_tokens"] == named[1].get_num_tokens_from_messages(history(), tools=[add])
