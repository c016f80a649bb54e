"""`ChatHTTP` on the wires that come with langplug: what is sent, what is read, and what becomes of it."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from tests.models.http.conftest import KEY, WIRES, Make
from tests.paths import PATHS

from langplug_backend import Backend, Call, Reply, Thought, Tokens

PIXEL = "iVBORw0KGgo="
SIGNATURE = "c2lnbmF0dXJl"


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


CHATS = ("ollama", "anthropic", "cohere")
"""Those that know messages and tools."""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wire", WIRES)
def test_every_path_gives_the_same_answer(wire: str, path: str, backend: Backend, wired: Make) -> None:
    """Text, usage, finish reason and the model's name are the same however the model is called."""
    backend.reply = Reply(text="Hé, big world", usage=Tokens(input=5, output=7))
    answered = PATHS[path](wired(wire), "Hello")
    assert answered.text == "Hé, big world"
    usage = answered.message.usage_metadata
    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (5, 7, 12)
    metadata = answered.message.response_metadata
    assert metadata["finish_reason"] == "stop"
    assert metadata["model_name"] == "backend-1"
    assert backend.last.streaming == (path not in ("invoke", "ainvoke"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wire", CHATS)
def test_thoughts_and_calls_are_read(wire: str, path: str, backend: Backend, wired: Make) -> None:
    """Thoughts, and calls in fragments or whole, one without arguments among them, on every path."""
    calls = (Call(name="add", args={"a": 1, "b": 2}), Call(name="now"))
    backend.reply = Reply(thinking="let me think", text="Calling.", calls=calls)
    message = PATHS[path](wired(wire).bind_tools([add]), "Hello").message
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("add", {"a": 1, "b": 2}), ("now", {})]
    assert all(call["id"] for call in message.tool_calls)
    assert message.additional_kwargs["reasoning_content"] == "let me think"
    assert message.text == "Calling."
    assert message.response_metadata["finish_reason"] == "tool_calls"
    assert "adaptations" not in message.response_metadata


@pytest.mark.parametrize("path", ["invoke", "stream"])
def test_blocks_of_a_whole_answer_keep_their_order(path: str, backend: Backend, wired: Make) -> None:
    """As standard content, a whole answer has its blocks in the order in which a stream has them."""
    backend.reply = Reply(pieces=(Thought("a"), "b", Thought("c"), Call(name="add", args={"a": 1, "b": 2})))
    message = PATHS[path](wired("anthropic", output_version="v1"), "Hello").message
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text", "reasoning", "tool_call"]
    assert message.content_blocks[0]["extras"] == {"signature": SIGNATURE}  # type: ignore[typeddict-item]


def test_cached_tokens_are_part_of_the_input(backend: Backend, wired: Make) -> None:
    """Anthropic counts them apart, LangChain among the input, with a detail that says so."""
    backend.reply = Reply(text="Hi", usage=Tokens(input=9, output=1, cached=4))
    for path in PATHS.values():
        usage = path(wired("anthropic"), "Hello").message.usage_metadata
        assert usage is not None
        assert usage["input_tokens"] == 9
        assert usage["input_token_details"] == {"cache_read": 4, "cache_creation": 0}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("finish", "told"), [("length", "length"), ("stop", "stop")])
def test_reasons_are_told_in_langchain_s_words(
    wire: str, finish: str, told: str, backend: Backend, wired: Make
) -> None:
    """Whatever the server calls it."""
    backend.reply = Reply(text="Hi", finish=finish)
    assert wired(wire).invoke("Hello").response_metadata["finish_reason"] == told


# --- what is sent ---

SETTINGS = {"temperature": 0.5, "max_tokens": 20, "top_p": 0.9, "top_k": 40, "seed": 7, "frequency_penalty": 0.1}
SAID = [SystemMessage("Be brief."), HumanMessage("Hello")]

SENT: dict[str, tuple[str, dict[str, Any]]] = {
    "ollama": (
        "/api/chat",
        {
            "model": "backend-1",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
            "stream": False,
            "options": {
                "temperature": 0.5,
                "num_predict": 20,
                "top_p": 0.9,
                "top_k": 40,
                "seed": 7,
                "frequency_penalty": 0.1,
            },
        },
    ),
    "anthropic": (
        "/v1/messages",
        {
            "model": "backend-1",
            "max_tokens": 20,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "stream": False,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
        },
    ),
    "cohere": (
        "/v2/chat",
        {
            "model": "backend-1",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
            "stream": False,
            "temperature": 0.5,
            "max_tokens": 20,
            "p": 0.9,
            "k": 40,
            "seed": 7,
            "frequency_penalty": 0.1,
        },
    ),
    "tgi": (
        "/generate",
        {
            "inputs": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
            "<|im_start|>assistant\n",
            "parameters": {
                "max_new_tokens": 20,
                "temperature": 0.5,
                "do_sample": True,
                "top_p": 0.9,
                "top_k": 40,
                "seed": 7,
                "frequency_penalty": 0.1,
                "details": True,
                "return_full_text": False,
            },
        },
    ),
}


@pytest.mark.filterwarnings("ignore::langplug.IgnoredParameterWarning")
@pytest.mark.parametrize("wire", WIRES)
def test_what_is_sent_is_what_the_wire_s_documentation_says(wire: str, backend: Backend, wired: Make) -> None:
    """Path, fields and their names; what has no value is not sent."""
    path, body = SENT[wire]
    wired(wire, **SETTINGS).invoke(SAID)
    assert (backend.last.method, backend.last.path, backend.last.body) == ("POST", path, body)
    wired(wire).invoke(SAID)
    assert not set(backend.last.body) & {"temperature", "options", "tools", "tool_choice", "format", "stop_sequences"}


@pytest.mark.parametrize(
    ("wire", "header", "value"),
    [
        ("ollama", "authorization", f"Bearer {KEY}"),
        ("anthropic", "x-api-key", KEY),
        ("cohere", "authorization", f"Bearer {KEY}"),
        ("tgi", "authorization", f"Bearer {KEY}"),
    ],
)
def test_the_key_goes_where_the_server_looks_for_it(
    wire: str, header: str, value: str, backend: Backend, wired: Make
) -> None:
    """In the header that the wire has for it, and in no other."""
    wired(wire).invoke("Hello")
    assert [name for name, held in backend.last.headers.items() if KEY in held] == [header]
    assert backend.last.headers[header] == value


def test_greedy_sampling_is_said_in_tgi_s_way(backend: Backend, wired: Make) -> None:
    """It refuses a temperature of 0, and means the same by not sampling."""
    wired("tgi", temperature=0).invoke("Hello")
    assert backend.last.body["parameters"]["do_sample"] is False
    assert "temperature" not in backend.last.body["parameters"]


@pytest.mark.parametrize("wire", CHATS)
def test_a_conversation_with_tools_goes_round(wire: str, backend: Backend, wired: Make) -> None:
    """The call and its result go back as the wire has them, and the schemas of the tools are sent."""
    backend.queue(Reply(thinking="hm", calls=(Call(name="add", args={"a": 1, "b": 2}),)), "It is 3.")
    model = wired(wire, keep_reasoning="current").bind_tools([add])
    asked = model.invoke("What is 1 + 2?")
    told = model.invoke([HumanMessage("What is 1 + 2?"), asked, add.invoke(asked.tool_calls[0])])
    assert told.text == "It is 3."
    assert len(backend.last.body["tools"]) == 1
    asked_for = backend.last.request
    assert asked_for is not None
    kinds = {one.role for one in asked_for.messages}
    assert kinds == ({"user", "assistant"} if wire == "anthropic" else {"user", "assistant", "tool"})
    assert "hm" in str(backend.last.body["messages"])
    assert asked_for.messages[-1].text == "3"


def test_anthropic_gets_its_signed_thoughts_back(backend: Backend, wired: Make) -> None:
    """By default those of the current turn, as the API wants them while tools are called."""
    backend.queue(Reply(thinking="hm", calls=(Call(name="add", args={"a": 1, "b": 2}),)), "It is 3.")
    model = wired("anthropic").bind_tools([add])
    asked = model.invoke("What is 1 + 2?")
    model.invoke([HumanMessage("What is 1 + 2?"), asked, add.invoke(asked.tool_calls[0])])
    assert backend.last.body["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "hm",
        "signature": SIGNATURE,
    }


@pytest.mark.parametrize(
    ("choice", "anthropic", "cohere"),
    [
        ("any", {"type": "any"}, "REQUIRED"),
        ("add", {"type": "tool", "name": "add"}, "REQUIRED"),
        ("auto", {"type": "auto"}, None),
        ("none", {"type": "none"}, "NONE"),
    ],
)
def test_a_tool_choice_is_said_in_the_server_s_words(
    choice: str, anthropic: Any, cohere: Any, backend: Backend, wired: Make
) -> None:
    """Forced, forbidden or by name."""
    backend.reply = Reply(calls=(Call(name="add", args={"a": 1, "b": 2}),))
    for wire, sent in (("anthropic", anthropic), ("cohere", cohere)):
        wired(wire).bind_tools([add], tool_choice=choice).invoke("Hello")
        assert backend.last.body.get("tool_choice") == sent


def test_a_forced_call_that_a_server_cannot_force_is_asked_for_again(backend: Backend, wired: Make) -> None:
    """Ollama knows no choice; langplug sees to it all the same."""
    backend.queue("No.", Reply(calls=(Call(name="add", args={"a": 1, "b": 2}),)))
    message = wired("ollama").bind_tools([add], tool_choice="any").invoke("Hello")
    assert message.tool_calls[0]["name"] == "add"
    assert len(backend.requests) == 2


@pytest.mark.parametrize("wire", ["ollama", "anthropic", "cohere"])
def test_images_are_sent(wire: str, backend: Backend, wired: Make) -> None:
    """As the wire has them."""
    block = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    wired(wire).invoke([HumanMessage([{"type": "text", "text": "What is this?"}, block])])
    assert PIXEL in str(backend.last.body["messages"])


def test_what_a_server_does_not_take_is_refused(backend: Backend, wired: Make) -> None:
    """A description says what its server takes, and nothing else is sent to it."""
    image = HumanMessage([{"type": "image", "base64": PIXEL, "mime_type": "image/png"}])
    with pytest.raises(ValueError, match="ChatHTTP takes text, not content of type 'image'"):
        wired("tgi").invoke([image])
    assert backend.requests == []


@pytest.mark.parametrize("wire", ["ollama", "cohere", "tgi"])
def test_a_schema_is_kept_by_the_server(wire: str, backend: Backend, wired: Make) -> None:
    """Where the wire has a place for it, structured output is the server's own."""
    backend.reply = '{"a": 1}'
    schema = {"title": "answer", "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert wired(wire).with_structured_output(schema, method="json_schema").invoke("Hello") == {"a": 1}
    assert "integer" in str(backend.last.body)
    assert "JSON schema" not in str(backend.last.body)


def test_tools_are_prompted_where_the_wire_has_none(backend: Backend, wired: Make) -> None:
    """A wire of text alone calls tools by what the prompt says."""
    backend.reply = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
    message = wired("tgi").bind_tools([add]).invoke("Hello")
    assert message.tool_calls[0]["args"] == {"a": 1, "b": 2}
    assert "adds two numbers" in backend.last.body["inputs"].lower()


@pytest.mark.parametrize(
    "history",
    [
        [HumanMessage("Hi"), AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1", "type": "tool_call"}]),
         ToolMessage("3", tool_call_id="1")],
        [SystemMessage("x"), HumanMessage("Hi"), AIMessage(""), HumanMessage("Hi")],
        [AIMessage("Hi")],
    ],
)  # fmt: skip
@pytest.mark.parametrize("wire", ["ollama", "anthropic", "tgi"])
def test_any_history_can_be_sent(wire: str, history: list[Any], backend: Backend, wired: Make) -> None:
    """Also one with calls but without tools, with empty answers, or that begins with an answer."""
    backend.reply = "Well."
    assert wired(wire).invoke(history).text == "Well."


# --- stop ---


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("include", [True, False])
def test_an_answer_ends_at_a_stop_string(wire: str, path: str, include: bool, backend: Backend, wired: Make) -> None:
    """With its text or without, as the model is told, whatever the server does with it."""
    backend.reply = "one two three four"
    answered = PATHS[path](wired(wire, include_stop=include), "Hello", stop=["three"])
    assert answered.text == ("one two three" if include else "one two ")
    assert answered.message.response_metadata["finish_reason"] == "stop"
    if include:
        assert answered.message.response_metadata["stop_sequence"] == "three"


@pytest.mark.parametrize(
    ("wire", "include", "asked"),
    [
        ("ollama", True, ()),  # it would swallow the text, so langplug cuts
        ("ollama", False, ("three",)),
        ("cohere", True, ()),
        ("cohere", False, ("three",)),
        ("anthropic", True, ("three",)),  # it says which one it was
        ("anthropic", False, ("three",)),
        ("tgi", True, ("three",)),  # it gives the text
        ("tgi", False, ("three",)),
    ],
)
def test_the_server_is_told_where_to_stop_if_that_loses_nothing(
    wire: str, include: bool, asked: tuple[str, ...], backend: Backend, wired: Make
) -> None:
    """Else it is left in the dark, is read as a stream, and is left at the hit."""
    backend.reply = Reply(text="one two three four " + "five " * 50, pace=0.01)
    assert wired(wire, include_stop=include).invoke("Hello", stop=["three"]).text.startswith("one two ")
    assert backend.last.request is not None
    assert backend.last.request.stop == asked
    assert backend.all_ended(timeout=5)
    assert backend.last.outcome == ("complete" if asked else "client_gone")
    assert backend.last.streaming == (not asked)


@pytest.mark.parametrize("wire", WIRES)
def test_a_server_that_does_not_stop_is_cut_off(wire: str, backend: Backend, wired: Make) -> None:
    """Stop strings hold even where the server ignores them."""
    backend.reply = Reply(text="one two three four", stop="ignore")
    for path in PATHS.values():
        assert path(wired(wire), "Hello", stop=["three"]).text == "one two three"
