"""`ChatHTTP` as a description: what can be said in it, where it can be written, and what is wrong when it is wrong."""

import asyncio
import copy
import json
import pickle
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import SecretStr
from tests.models.http.canned import Canned, CannedServer
from tests.models.http.conftest import KEY, Make
from tests.paths import PATHS

from langplug import ChatModel, IncompleteAnswerError, MissingSecretError
from langplug.models import ChatHTTP
from langplug.models.http import UnreadableAnswerError

WIRES = Path(__file__).parents[3] / "src" / "langplug" / "models" / "wires"

SHIPPED = sorted(path.stem for path in WIRES.glob("*.yaml"))


def said(*values: Any, **more: Any) -> Canned:
    """JSON lines, a chunk each."""
    pieces = [f"{json.dumps(value)}\n".encode() for value in values]
    return Canned(pieces=pieces, **{"type": "application/x-ndjson", **more})


# --- what is sent ---


def test_a_template_knows_the_call_and_the_model(server: CannedServer, described: Make) -> None:
    """Messages, text, instructions, prompt, stop strings, the hint to stream, fields and parameters of one's own."""
    server.answer = said({"t": "Hi"})
    body = {
        "all": "$messages",
        "last": "$text",
        "rules": "$system",
        "prompt": "$prompt",
        "stop": "$stop",
        "live": "$streaming",
        "depth": "$params.depth",
        "tools": "$tools",
        "heat": "$temperature",
        "version": 2,
        "users": "$messages[?role == 'user'].content",
    }
    model = described(body=body, params={"depth": 3}, stop_text="included", prompt_template="plain")
    model.invoke([SystemMessage("Be brief."), HumanMessage("Hello")], stop=["###"], temperature=0.5)
    assert json.loads(server.last.body) == {
        "all": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "last": "Hello",
        "rules": "Be brief.",
        "prompt": "System: Be brief.\nHuman: Hello\nAI:",
        "stop": ["###"],
        "live": False,
        "depth": 3,
        "heat": 0.5,
        "version": 2,
        "users": ["Hello"],
    }


def test_url_query_headers_and_method_are_described(server: CannedServer, described: Make) -> None:
    """Names in a URL are quoted, so that none can lead elsewhere; a query and headers may hold names, too."""
    server.answer = said({"t": "Hi"})
    model = described(
        url="/models/{model}/say?v=1",
        method="put",
        query={"temperature": "$temperature", "top": "$top_p", "tag": ["a", "b c"]},
        headers={"X-Model": "{model}", "X-Seed": "{seed}", "X-Plain": "yes"},
        model="a/../b?c d",
        temperature=0.5,
    )
    assert model.invoke("Hello").text == "Hi"
    assert server.last.method == "PUT"
    assert server.last.path == "/models/a%2F..%2Fb%3Fc%20d/say?v=1&temperature=0.5&tag=a&tag=b+c"
    assert server.last.headers["x-model"] == "a/../b?c d"
    assert server.last.headers["x-plain"] == "yes"
    assert "x-seed" not in server.last.headers
    assert server.last.body == b""


@pytest.mark.parametrize("path", PATHS)
def test_a_template_knows_the_run(path: str, server: CannedServer, described: Make) -> None:
    """Whom a call is for, and which run it belongs to, may stand in each part of a request."""
    server.answer = said({"t": "Hi"})
    model = described(
        url="/tenants/{metadata.tenant}/{params.region}",
        query={"thread": "$configurable.thread_id", "user": "$metadata.user"},
        headers={"X-User": "{metadata.user}", "X-Run": "{run_id}", "X-Team": "{metadata.team}"},
        body={"labels": "$tags", "name": "$run_name", "all": "$metadata.{who: user, team: team}"},
        params={"region": "eu"},
    )
    config = {
        "run_name": "greet",
        "tags": ["a", "b"],
        "metadata": {"user": "bo", "tenant": "x/y"},
        "configurable": {"thread_id": "t1"},
    }
    PATHS[path](model.with_config(config), "Hello")
    assert server.last.path == "/tenants/x%2Fy/eu?thread=t1&user=bo"
    assert server.last.headers["x-user"] == "bo"
    assert UUID(server.last.headers["x-run"])
    assert "x-team" not in server.last.headers
    body = json.loads(server.last.body)
    assert (body["labels"], body["name"], body["all"]["who"]) == (["a", "b"], "greet", "bo")


def test_a_url_that_needs_what_the_call_does_not_say_is_an_error(server: CannedServer, described: Make) -> None:
    """A name without a value leads to no other address."""
    model = described(url="/tenants/{metadata.tenant}")
    with pytest.raises(ModelInvalidRequestError, match=r"tenants/\{metadata.tenant\}"):
        model.invoke("Hello")
    assert not server.received


def test_a_body_may_be_a_form_or_text(server: CannedServer, described: Make) -> None:
    """A string goes out as text, a mapping as a form where the header says so."""
    server.answer = said({"t": "Hi"})
    described(body="$text").invoke("Hé")
    assert (server.last.headers["content-type"], server.last.body.decode()) == ("text/plain; charset=utf-8", "Hé")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    described(body={"q": "$text"}, headers=form).invoke("a b")
    assert (server.last.headers["content-type"], server.last.body) == (form["Content-Type"], b"q=a+b")


def test_more_for_the_body_counts_before_the_template(server: CannedServer, described: Make) -> None:
    """`extra_body` is for what a description leaves out; it is sent as it is, for one call too."""
    server.answer = said({"t": "Hi"})
    model = described(body={"q": "$text", "options": {"a": 1, "b": 2}})
    model.invoke("Hello", extra_body={"options": {"b": 3, "c": "$text"}, "think": True})
    assert json.loads(server.last.body) == {"q": "Hello", "options": {"a": 1, "b": 3, "c": "$text"}, "think": True}


def test_whole_answers_may_be_described_apart(server: CannedServer, described: Make) -> None:
    """`whole` and `streamed` say what is different: the URL, the body, the paths."""
    whole = {"url": "/whole", "text": "all", "body": {"q": "$text"}}
    model = described(body={"s": "$text"}, whole=whole)
    server.answer = Canned(pieces=[b'{"all": "Hi", "t": "no"}'])
    assert model.invoke("Hello").text == "Hi"
    assert (server.last.path, server.last.body) == ("/whole", b'{"q":"Hello"}')
    server.answer = said({"t": "Hi"}, {"t": " you"})
    assert "".join(chunk.text for chunk in model.stream("Hello")) == "Hi you"
    assert (server.last.path, server.last.body) == ("/say", b'{"s":"Hello"}')


def test_a_subclass_s_fields_are_known_to_its_template(server: CannedServer) -> None:
    """A class may fix a description, and add typed parameters."""

    class ChatOracle(ChatHTTP):
        """Speaks in riddles."""

        url: str = "/oracle"
        body: Any = {"q": "$text", "style": "$style"}  # noqa: RUF012 - pydantic copies it
        framing: Any = "ndjson"
        text: str | None = "t"
        style: str = "dark"

    server.answer = said({"t": "Hi"})
    assert ChatOracle(base_url=server.url).invoke("Hello", style="light").text == "Hi"
    assert json.loads(server.last.body) == {"q": "Hello", "style": "light"}


# --- what comes back ---


@pytest.mark.parametrize("path", PATHS)
def test_plain_text_streams(path: str, server: CannedServer) -> None:
    """The plainest wire: the prompt goes in, text comes out, with its characters whole."""
    server.answer = Canned(pieces=[b"H\xc3", b"\xa9 ", b'{"a"'], type="text/plain")
    model = ChatHTTP.from_file("text", base_url=f"{server.url}/talk")
    assert PATHS[path](model, "Hello").text == 'Hé {"a"'
    assert (server.last.path, server.last.body) == ("/talk/", b"Human: Hello\nAI:")


def test_text_comes_as_it_is_sent(server: CannedServer) -> None:
    """Each piece is given on when it comes, not at the end."""
    server.answer = Canned(pieces=[b"a", b"b"], type="text/plain", pause_s=0.3)
    stream = ChatHTTP.from_file("text", base_url=server.url).stream("Hello")
    assert next(stream).text == "a"
    assert "".join(chunk.text for chunk in stream) == "b"


@pytest.mark.parametrize("path", PATHS)
def test_text_that_breaks_off_is_an_error(path: str, server: CannedServer) -> None:
    """Plain text has no end of its own, but its body has."""
    server.answer = Canned(pieces=[b"Hello ", b"wor"], type="text/plain", ends=False)
    with pytest.raises(IncompleteAnswerError) as caught:
        PATHS[path](ChatHTTP.from_file("text", base_url=server.url), "Hello")
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hello wor"


@pytest.mark.parametrize("path", PATHS)
def test_paths_that_fit_nothing_are_an_error_on_every_path(path: str, server: CannedServer, described: Make) -> None:
    """It names the paths, and the keys that came instead."""
    server.answer = said({"message": {"content": "Hi"}}, {"done": True})
    with pytest.raises(UnreadableAnswerError, match=r"text='message\.text'.*\{message: \{content\}\}.*\{done\}"):
        PATHS[path](described(text="message.text"), "Hello")


def test_usage_may_come_in_pieces(server: CannedServer, described: Make) -> None:
    """Reports that count from the one before are added up."""
    usage = {"usage": "{input_tokens: i, output_tokens: o}"}
    server.answer = said({"t": "a", "i": 3, "o": 1}, {"t": "b", "o": 1}, {"t": "c", "o": 1})
    found = described(**usage, usage_kind="delta").invoke("Hello").usage_metadata
    assert found == {"input_tokens": 3, "output_tokens": 3, "total_tokens": 6}
    found = described(**usage).invoke("Hello").usage_metadata
    assert found == {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}


def test_other_content_is_read_as_blocks(server: CannedServer, described: Make) -> None:
    """An image in the answer becomes a standard content block."""
    server.answer = said({"t": "Look:"}, {"pic": "aGk="})
    model = described(blocks="pic && {type: 'image', base64: pic, mime_type: 'image/png'}")
    message = model.invoke("Hello")
    assert message.text == "Look:"
    image = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    assert image.items() <= message.content_blocks[-1].items()


# --- wrong descriptions ---


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"text": "a.["}, "The path 'text': it ends too early (JMESPath, see https://jmespath.org):\n  a.[\n     ^"),
        ({"txet": "b"}, "ChatHTTP has no parameter 'txet' that its constructor could set. Did you mean 'text'?"),
        ({"text": "a", "body": {"m": ["$modle"]}}, "body.m[0]: there is no $modle. Did you mean $model?"),
        ({"text": "a", "body": "$ollama.mesages"}, "there is no $ollama.mesages. Did you mean $ollama.messages?"),
        ({"text": "a", "body": {"m": "$antropic.messages"}}, "Did you mean $anthropic?"),
        ({"text": "a", "body": "$api_key"}, "the key is never part of a template"),
        ({"text": "a", "query": {"k": "$nothing"}}, "query.k: there is no $nothing."),
        ({"text": "a", "url": "/{modle}"}, "url: there is no {modle}. Did you mean {model}?"),
        ({"text": "a", "url": "/{model"}, "url is '/{model'"),
        ({"text": "a", "url": "/{api_key}"}, "the key is never part of a template"),
        ({"text": "a", "headers": {"X-M": "{modle}"}}, "headers.X-M: there is no {modle}."),
        ({"text": "a", "whole": {"body": "$x"}}, "whole.body: there is no $x."),
        ({"text": "a", "whole": {"txt": "x"}}, "'txt' cannot differ there. What can: url, method"),
        ({"text": "a", "whole": {"text": "x."}}, "(in answers that are whole)"),
        ({"text": "a", "framing": "xml"}, "Input should be 'sse', 'ndjson', 'json-array', 'json' or 'text'"),
        ({}, "No path finds any content"),
        ({"text": "a", "stop_text": "kept"}, "Input should be 'cut', 'included' or 'reported'"),
    ],
)  # fmt: skip
def test_a_wrong_description_fails_when_the_model_is_made(given: dict[str, Any], told: str) -> None:
    """The error names the place, what was found, and what is expected."""
    with pytest.raises((ValueError, TypeError)) as caught:
        ChatHTTP(**{"base_url": "http://localhost", "url": "/say", **given})
    assert told in str(caught.value)


def test_there_must_be_an_address() -> None:
    """By `base_url`, or a whole one as `url`, of which `base_url` replaces the server's part."""
    with pytest.raises(ValueError, match="There is no address: give `base_url`, or a whole address as `url`"):
        ChatHTTP(url="/say", text="t")
    model = ChatHTTP(url="http://localhost/say", base_url="http://127.0.0.1:1", text="t")
    assert (model.base_url, model.url) == ("http://127.0.0.1:1", "/say")


def test_what_a_template_cannot_do_with_a_call_is_a_typed_error(server: CannedServer, described: Make) -> None:
    """An expression that does not fit, or a name in the URL that has no value, is named before anything is sent."""
    from langchain_core.exceptions import ModelInvalidRequestError

    with pytest.raises(ModelInvalidRequestError, match=r"cannot make its request: .*join\("):
        described(body={"m": "$join('-', model)"}, model="a").invoke("Hello")
    with pytest.raises(ModelInvalidRequestError, match="not all of its names have a value"):
        described(url="/{model}").invoke("Hello")
    assert server.received == []


# --- files ---


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_descriptions_are_short(name: str) -> None:
    """Each has at most 30 lines, and says where the wire is documented."""
    text = (WIRES / f"{name}.yaml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    assert text.startswith("# ")
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", SHIPPED)
def test_a_description_is_the_same_as_a_file_and_as_code(name: str, tmp_path: Path) -> None:
    """YAML, TOML, JSON and keyword arguments make equal models; what is given besides counts first."""
    as_dict = yaml.safe_load((WIRES / f"{name}.yaml").read_text(encoding="utf-8"))
    as_code = ChatHTTP(**as_dict, api_key=KEY, model="m")
    as_json = tmp_path / "wire.json"
    as_json.write_text(json.dumps(as_dict))
    for path in (name, as_json, WIRES / f"{name}.yaml"):
        assert ChatHTTP.from_file(path, api_key=KEY, model="m") == as_code
    assert ChatHTTP.from_file(name, api_key=KEY, base_url="http://other").base_url == "http://other"


def test_toml_is_read_too(tmp_path: Path) -> None:
    """With the same names."""
    path = tmp_path / "wire.toml"
    path.write_text('url = "http://localhost/say"\ntext = "t"\nbody.q = "$text"\nbody.options.t = "$temperature"\n')
    model = ChatHTTP.from_file(path)
    assert (model.base_url, model.url) == ("http://localhost", "/say")
    assert model.body == {"q": "$text", "options": {"t": "$temperature"}}


@pytest.mark.parametrize(
    ("name", "text", "error", "told"),
    [
        ("a.yaml", "url: [", ValueError, "a.yaml cannot be read: "),
        ("a.toml", "url = ", ValueError, "a.toml cannot be read: "),
        ("a.yaml", "- a", ValueError, "a.yaml holds list; expected names and values"),
        ("a.yaml", "1: a", ValueError, "expected names and values"),
        ("a.txt", "url: x", ValueError, "its name must end in one of .yaml, .yml, .toml, .json"),
        ("a.yaml", "url: http://h\ntext: a.[", ValueError, "a.yaml: 1 validation error"),
        ("a.yaml", "url: http://h\ntxet: a", TypeError, "Did you mean 'text'?"),
        ("", "", FileNotFoundError, "There is no file"),
    ],
)
def test_a_wrong_file_is_named(name: str, text: str, error: type[Exception], told: str, tmp_path: Path) -> None:
    """With what is wrong in it."""
    path = tmp_path / name
    if name:
        path.write_text(text)
    with pytest.raises(error) as caught:
        ChatHTTP.from_file(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_near_name_of_a_description_is_suggested() -> None:
    """And all that there are are listed."""
    with pytest.raises(FileNotFoundError, match=rf"Did you mean 'ollama'\? There are: {', '.join(SHIPPED)}\."):
        ChatHTTP.from_file("olama")


# --- parameters, identity, secrets ---


@pytest.mark.filterwarnings("ignore::langplug.IgnoredParameterWarning")
def test_parameters_that_the_description_has_no_place_for_are_noted(server: CannedServer, described: Make) -> None:
    """As with any model: they are accepted, ignored, and listed as that, be they of the model or of a call."""
    server.answer = said({"t": "Hi"})
    model = described(body={"q": "$text", "heat": "$temperature"}, temperature=0.5, top_p=0.9)
    assert model.ignored_params == {"top_p": 0.9}
    noted = model.invoke("Hello", seed=7).response_metadata["adaptations"]
    assert [note["feature"] for note in noted] == ["top_p", "seed"]
    assert model.ignored_params == {"top_p": 0.9}


@pytest.mark.parametrize(
    ("more", "tools", "schemas"),
    [
        ({}, "prompted", "derived"),
        ({"body": {"tools": "$tools"}}, "prompted", "derived"),
        ({"tool_calls": "c"}, "prompted", "derived"),
        ({"body": {"tools": "$tools"}, "tool_calls": "c"}, "native", "derived"),
        ({"body": {"x": "$anthropic.tools"}, "tool_calls": "c"}, "native", "derived"),
        ({"body": {"x": "$tools[].function"}, "whole": {"tool_calls": "c"}}, "native", "derived"),
        ({"body": {"x": "$schema && {type: 'json', schema: schema}"}}, "prompted", "native"),
    ],
)
def test_what_a_model_can_do_follows_from_its_description(more: dict[str, Any], tools: str, schemas: str) -> None:
    """Tools are native where they are sent and calls are read, schemas where they are sent; else langplug helps."""
    model = ChatHTTP(url="http://localhost/say", text="t", **more)
    assert (model.tool_calling, model.structured_output) == (tools, schemas)


def test_a_subclass_may_know_better() -> None:
    """A class variable overrules the description."""

    class ChatSure(ChatHTTP):
        """Writes its calls into the text, whatever its wire could do."""

        tool_calling = "prompted"

    assert ChatSure.from_file("ollama").tool_calling == "prompted"
    assert ChatHTTP.from_file("ollama").tool_calling == "native"


def test_the_description_is_part_of_the_identity() -> None:
    """Models that ask or read otherwise never share a cache entry; no key is in it."""
    one = ChatHTTP(url="http://localhost/say", text="t", api_key=KEY)
    other = one.model_copy(update={"text": "u"})
    assert one.cache_key() != other.cache_key()
    assert one.cache_key() == ChatHTTP(url="http://localhost/say", text="t", api_key="another").cache_key()
    assert KEY not in one.cache_key() + repr(one) + str(one._identifying_params)


@pytest.fixture
def anthropic(monkeypatch: pytest.MonkeyPatch) -> ChatHTTP:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return ChatHTTP.from_file("anthropic", model="m")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_and_pickles_are_equal(copied: Any, anthropic: ChatHTTP) -> None:
    """The key is not in the pickle, and comes from its variable again."""
    other = copied(anthropic)
    assert other == anthropic
    assert other.api_key == SecretStr(KEY)
    assert KEY.encode() not in pickle.dumps(anthropic)


def test_a_key_that_is_missing_is_asked_for_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the model is made; given, or from a function, it need not be there."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(MissingSecretError, match="set the environment variable 'ANTHROPIC_API_KEY'"):
        ChatHTTP.from_file("anthropic")
    assert ChatHTTP.from_file("anthropic", api_key=KEY).api_key == SecretStr(KEY)
    assert ChatHTTP.from_file("anthropic", auth=lambda: KEY).api_key is None
    assert ChatHTTP.from_file("anthropic", api_key=KEY).lc_secrets["api_key"] == "ANTHROPIC_API_KEY"


def test_the_key_goes_into_the_header_that_holds_it(server: CannedServer, described: Make) -> None:
    """Where no header does, into the usual one; without a key, into none; a function gives it too."""
    server.answer = said({"t": "Hi"})
    described(api_key=KEY).invoke("Hello")
    assert server.last.headers["authorization"] == f"Bearer {KEY}"
    described(api_key=KEY, headers={"X-Token": "t {api_key} {model}"}, model="m").invoke("Hello")
    assert server.last.headers["x-token"] == f"t {KEY} m"
    assert "authorization" not in server.last.headers
    described(auth=lambda: "fresh", headers={"X-Token": "{api_key}"}).invoke("Hello")
    assert server.last.headers["x-token"] == "fresh"
    described(headers={"X-Token": "{api_key}"}).invoke("Hello")
    assert "x-token" not in server.last.headers
    described(api_key=KEY, headers={"X-Token": "{api_key} {model}"}).invoke("Hello")
    assert not {"x-token", "authorization"} & set(server.last.headers)


def test_a_server_that_says_the_key_again_does_not_get_it_into_an_error(server: CannedServer, described: Make) -> None:
    """Errors in the body of an answer are cleaned like those with a status."""
    server.answer = said({"t": "a"}, {"error": f"the key {KEY} is worn out"})
    with pytest.raises(Exception, match="worn out") as caught:
        described(error="error", api_key=KEY).invoke("Hello")
    assert KEY not in str(caught.value)


# --- a good citizen ---


async def test_nothing_blocks_the_event_loop(server: CannedServer, described: Make, no_blocking: object) -> None:
    """Templates, paths and readers are ready before the first call."""
    server.answer = said({"t": "a"}, {"t": "b"}, {"d": True})
    model = described(body={"m": "$messages"}, done="d")
    assert (await model.ainvoke("Hello")).text == "ab"


def test_it_can_be_used_from_loop_after_loop(server: CannedServer, described: Make) -> None:
    """`asyncio.run` again and again on one instance."""
    server.answer = said({"t": "Hi"})
    model = described()
    assert {asyncio.run(model.ainvoke("Hello")).text for _ in range(5)} == {"Hi"}


def test_leaving_a_stream_closes_the_connection(server: CannedServer, described: Make) -> None:
    """At once: the server notices with its next piece."""
    server.answer = said(*[{"t": "word " * 2000}] * 500, pause_s=0.01)
    stream = described().stream("Hello")
    assert next(stream).text.startswith("word")
    stream.close()  # type: ignore[attr-defined]
    assert server.left.wait(10)


def test_it_is_a_chat_model_like_any_other() -> None:
    """Both langplug's and LangChain's."""
    model = ChatHTTP(url="http://localhost/say", text="t", model="m")
    assert isinstance(model, ChatModel)
    assert isinstance(model, BaseChatModel)
    assert model._llm_type == "chat-http"
    assert model._get_ls_params()["ls_model_name"] == "m"
    assert re.match(r"ChatHTTP\(.*url='/say'", repr(model))
