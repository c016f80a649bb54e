"""`load`: every kind of reference besides modules and files, and settings for all of them."""

import re
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.exceptions import ModelAuthenticationError, ModelConnectionError, ModelError, ModelNotFoundError

from langplug import ChatModel, load
from langplug._references.providers import PROVIDERS
from langplug.models import ChatEndpoint, ChatGGUF, ChatTransformers
from langplug_backend import Backend

MODELS = """
from __future__ import annotations

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, SecretStr

from langplug import ChatModel, Request, chat_model


class Repeat(ChatModel):
    times: int = Field(default=2, alias="count")
    model_config = {"populate_by_name": True}
    api_key: SecretStr | None = None

    def respond(self, request: Request, /) -> str:
        return request.text * self.times


class Foreign(BaseChatModel):
    size: int = Field(default=1, alias="how_large")
    label: str = "plain"

    @property
    def _llm_type(self):
        return "foreign"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        text = f"{self.size} {self.label}"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


instance = Repeat(times=3)
foreign = Foreign()


@chat_model
def decorated(request: Request, *, mark: str = "!") -> str:
    return request.text + mark


def make(times: int):
    return Repeat(times=times)


def make_any(**settings):
    return Repeat(**settings)


def make_from(text: str) -> BaseChatModel:
    return Repeat()


def of_text(text: str) -> str:
    return "text " + text


def of_anything(x: str):
    yield x


def of_question(question, mark="?"):
    yield "asked "
    yield question + mark


async def of_text_async(prompt: str) -> str:
    return "async " + prompt


def of_messages(messages):
    return f"{len(messages)} {messages[-1].type}"


def of_typed_messages(history: list[BaseMessage]) -> str:
    return f"{len(history)} {history[-1].type}"


def of_dicts(messages: list[dict]) -> str:
    return messages[-1]["role"] + " " + messages[-1]["content"]
"""


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has a current directory, imports and an environment of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for variable in ("LANGPLUG_API_KEY", "LANGPLUG_API_KEY_HOSTS"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "mine.py").write_text(MODELS, encoding="utf-8")
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def refusal(reference: str, error: type[Exception], **settings: Any) -> str:
    with pytest.raises(error) as raised:
        load(reference, **settings)
    return str(raised.value)


# --- servers ---


@pytest.fixture
def served() -> Iterator[Backend]:
    with Backend(models=["qwen3", "llama3:latest"]) as backend:
        yield backend


def test_a_server_with_one_model() -> None:
    """An address leads to the model that the server has."""
    with Backend(models=["only-one"]) as backend:
        model = load(backend.openai_url)
        assert isinstance(model, ChatEndpoint)
        assert ("only-one", "hello") == (model.model, model.invoke("hello").text)


@pytest.mark.parametrize(
    "shape",
    ["{root}/v1", "{root}/v1/", "{root}", "{root}/", "{root}/v1/models", "{root}/v1/chat/completions", "HTTP{rest}/v1"],
)
def test_an_address_as_people_have_it(shape: str) -> None:
    """The path of the API may be left out, and that of its parts be given."""
    with Backend() as backend:
        reference = shape.format(root=backend.url, rest=backend.url.removeprefix("http"))
        model = load(reference)
        assert isinstance(model, ChatEndpoint)
        assert ("backend-1", "hello") == (model.model, model.invoke("hello").text)


@pytest.mark.parametrize(
    ("fragment", "name"), [("#qwen3", "qwen3"), ("#llama3", "llama3"), ("#llama3%3Alatest", "llama3:latest")]
)
def test_one_of_several_models(fragment: str, name: str, served: Backend) -> None:
    """What follows the `#` says which model, quoted or not; Ollama's tag may be left out."""
    model = load(served.openai_url + fragment)
    assert isinstance(model, ChatEndpoint)
    assert name == model.model


def test_several_models_and_none_named(served: Backend) -> None:
    """If a server has several models, the error lists them and shows how to name one."""
    told = refusal(served.openai_url, ModelNotFoundError)
    assert f"has 2 models: choose one, such as {served.openai_url}#qwen3" in told
    assert "It has: qwen3, llama3:latest" in told


def test_many_models_are_not_all_listed() -> None:
    """The error of a gateway with hundreds of models stays readable."""
    with Backend(models=[f"model-{number}" for number in range(300)]) as backend:
        told = refusal(backend.openai_url, ModelNotFoundError)
    assert "and 280 more" in told


def test_a_model_that_the_server_lacks(served: Backend) -> None:
    """A name that the server does not list is refused with the near one; as a setting it is sent as it is."""
    told = refusal(f"{served.openai_url}#qwen4", ModelNotFoundError)
    assert "has no model 'qwen4'. Did you mean 'qwen3'? It has: qwen3, llama3:latest." in told
    assert "model='qwen4'" in told
    count = len(served.requests)
    model = load(served.openai_url, model="qwen4", temperature=0)
    assert isinstance(model, ChatEndpoint)
    assert ("qwen4", 0) == (model.model, model.temperature)
    assert count == len(served.requests)  # it was not even asked


def test_a_server_without_any_model() -> None:
    """A server that has loaded nothing is an error that says so; a named model is taken at its word."""
    with Backend(models=[]) as backend:
        assert "has no model: load one" in refusal(backend.openai_url, ModelNotFoundError)
        model = load(f"{backend.openai_url}#any")
        assert isinstance(model, ChatEndpoint)
        assert "any" == model.model


class Mute(BaseHTTPRequestHandler):
    """A server that is no OpenAI-compatible one, or lists no models: the path says how it answers."""

    def do_GET(self) -> None:
        page = "html" in self.path
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>Welcome</html>")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        """Nothing: stderr is the tests'."""


@pytest.fixture
def mute() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mute) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", ["", "/v1", "/html/v1", "/html"])
def test_a_server_that_lists_nothing(path: str, mute: str) -> None:
    """Without a list of models, the error says how to name one; a named one is taken."""
    address = mute + path
    told = refusal(address, ModelError)
    assert "does not list its models" in told
    assert f"{address}#MODEL" in told
    assert "ends in /v1" in told
    model = load(f"{address}#any")
    assert isinstance(model, ChatEndpoint)
    assert ("any", address) == (model.model, model.base_url)


def test_a_server_that_is_down() -> None:
    """A server that does not answer is said at once, with its address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        for reference in (address, f"{address}#named"):
            told = refusal(reference, ModelConnectionError)
            assert address in told
            assert "Is the server up" in told


@pytest.mark.parametrize(
    ("hosts", "works"), [("", True), ("127.0.0.1", True), ("api.acme.com", False), ("api.acme.com,127.*", True)]
)
def test_the_key_goes_to_its_hosts_alone(hosts: str, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the environment is sent where LANGPLUG_API_KEY_HOSTS allows it; elsewhere, the error names it."""
    monkeypatch.setenv("LANGPLUG_API_KEY", "sk-mine")
    monkeypatch.setenv("LANGPLUG_API_KEY_HOSTS", hosts)
    with Backend(key="sk-mine") as backend:
        if works:
            assert "hi" == load(backend.openai_url).invoke("hi").text
        else:
            assert "LANGPLUG_API_KEY" in refusal(backend.openai_url, ModelAuthenticationError)
            assert "sk-mine" not in str([exchange.headers for exchange in backend.requests])


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("ftp://host/v1", "begins with ftp: expected http:// or https://"),
        ("ws://host/v1", "begins with ws: expected http:// or https://"),
        ("file:///tmp/x.py", "a file is referred to by its path, /tmp/x.py"),
        ("localhost:8000", "lacks its scheme: write http://localhost:8000"),
        ("127.0.0.1:8000/v1#m", "lacks its scheme: write http://127.0.0.1:8000/v1#m"),
        ("gpu-7.corp.example:8000/v1", "lacks its scheme: write http://gpu-7.corp.example:8000/v1"),
    ],
)
def test_an_address_of_another_kind(reference: str, told: str) -> None:
    """An address without its scheme, or with another one, is refused with what to write."""
    assert told in refusal(reference, ValueError)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("http://", "is not an address"),
        ("http://host:port/v1", "is not an address"),
        ("http://user:sk-secret@host/v1", "must not hold a user name or a password"),
    ],
)
def test_an_address_that_is_none(reference: str, told: str) -> None:
    """What cannot be an address is refused before anything is sent."""
    assert told in refusal(reference, TypeError)


@pytest.mark.parametrize("reference", ["http://user:sk-secret@host/v1", "http://host/v1?api_key=sk-secret"])
def test_a_secret_in_an_address(reference: str) -> None:
    """A secret in an address is refused, and no error or note of it shows the secret."""
    with pytest.raises(TypeError) as raised:
        load(reference)
    assert "sk-secret" not in "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])


def test_settings_of_a_server(served: Backend) -> None:
    """Settings go to the constructor; what the reference says already is refused, and so are slips of the pen."""
    model = load(f"{served.openai_url}#qwen3", temperature=0.5, max_retries=7)
    assert isinstance(model, ChatEndpoint)
    assert (0.5, 7) == (model.temperature, model.max_retries)
    assert "leave out base_url" in refusal(served.openai_url, TypeError, base_url="http://x/v1")
    assert "leave out model" in refusal(f"{served.openai_url}#qwen3", TypeError, model="y")
    assert "Did you mean 'temperature'?" in refusal(served.openai_url, TypeError, temprature=0)
    assert "temperature: Input should be a valid number" in refusal(served.openai_url, TypeError, temperature="hot")


# --- weights and folders ---


@pytest.mark.parametrize("reference", ["tiny.gguf", "./tiny.gguf", "{}/tiny.gguf", "./LOUD.GGUF"])
def test_a_file_of_weights(reference: str, tmp_path: Path) -> None:
    """A GGUF file becomes a `ChatGGUF`, with settings; it is loaded when it is first used."""
    for name in ("tiny.gguf", "LOUD.GGUF"):
        (tmp_path / name).touch()
    model = load(reference.format(tmp_path), n_ctx=512)
    assert isinstance(model, ChatGGUF)
    assert (tmp_path / Path(reference).name, 512) == (Path(str(model.path)).absolute(), model.n_ctx)


@pytest.mark.parametrize("reference", ["./hub", "hub", "{}/hub"])
def test_a_folder_with_a_hugging_face_model(reference: str, tmp_path: Path) -> None:
    """A folder with a `config.json` becomes a `ChatTransformers`, with settings; it is loaded when it is first used."""
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "config.json").write_text('{"max_position_embeddings": 99}')
    model = load(reference.format(tmp_path), temperature=0.5)
    assert isinstance(model, ChatTransformers)
    assert (tmp_path / "hub", 0.5) == (Path(model.model).absolute(), model.temperature)
    assert 99 == (model.profile or {})["max_input_tokens"]
    assert "leave out model='y'" in refusal("./hub", TypeError, model="y")


@pytest.mark.parametrize(
    ("reference", "error", "told"),
    [
        ("./tinny.gguf", FileNotFoundError, "tinny.gguf', did you mean 'tiny.gguf'?"),
        ("./folder.gguf", ValueError, "is a folder: refer to the GGUF file in it"),
        ("./hub/model.safetensors", ValueError, "is not a GGUF file"),
        ("./hub/pytorch_model.bin", ValueError, "refer to their folder, 'hub'"),
        ("./empty", FileNotFoundError, "has no config.json"),
        ("./quantized", FileNotFoundError, "a.gguf, b.gguf"),
        ("./hubb", FileNotFoundError, "hubb', did you mean 'hub'?"),
        ("some-org/Some-Model", FileNotFoundError, "no file or folder"),
        ("./notes.txt", ValueError, "is neither a GGUF file, nor a Python file, nor a folder"),
        ("./mine.py", ValueError, "write ./mine.py:NAME"),
        ("./mine.pi", FileNotFoundError, "did you mean 'mine.py'?"),
    ],
)
def test_files_and_folders_that_are_no_models(
    reference: str, error: type[Exception], told: str, tmp_path: Path
) -> None:
    """What cannot be run is told apart, with what to do instead."""
    for folder in ("hub", "empty", "quantized", "folder.gguf"):
        (tmp_path / folder).mkdir()
    for file in ("tiny.gguf", "hub/config.json", "quantized/a.gguf", "quantized/b.gguf", "notes.txt"):
        (tmp_path / file).touch()
    assert told in refusal(reference, error)


def test_settings_of_weights(tmp_path: Path) -> None:
    """The path is the reference's; unknown names and wrong values are refused."""
    (tmp_path / "tiny.gguf").touch()
    assert "leave out path" in refusal("./tiny.gguf", TypeError, path="other.gguf")
    assert "Did you mean 'n_ctx'?" in refusal("./tiny.gguf", TypeError, n_ctxt=1)
    assert "n_ctx: Input should be" in refusal("./tiny.gguf", TypeError, n_ctx="large")


# --- providers ---


PROVIDER = """
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage


class {name}(GenericFakeChatModel):
    model: str
    temperature: float = 1.0
    messages: object = None

    def model_post_init(self, context):
        self.messages = iter([AIMessage(f"{{self.model}} {{self.temperature}}")])
"""


def install_provider(folder: Path, package: str, name: str) -> None:
    (folder / f"{package}.py").write_text(PROVIDER.format(name=name), encoding="utf-8")


def test_a_model_of_a_provider(tmp_path: Path) -> None:
    """`provider:model` goes through `init_chat_model`; the name may hold colons."""
    install_provider(tmp_path, "langchain_ollama", "ChatOllama")
    assert "llama3.2:1b 1.0" == load("ollama:llama3.2:1b").invoke("hi").text
    assert "x 0.0" == load("ollama:x", temperature=0).invoke("hi").text
    assert "Did you mean 'temperature'?" in refusal("ollama:x", TypeError, temprature=0)


def test_a_provider_as_people_write_it(tmp_path: Path) -> None:
    """Case and hyphens make no difference."""
    install_provider(tmp_path, "langchain_mistralai", "ChatMistralAI")
    assert "large 1.0" == load("MistralAI:large").invoke("hi").text


@pytest.mark.parametrize(
    ("reference", "error", "told"),
    [
        ("upstage:solar", ImportError, "pip install langchain-upstage"),
        ("openai:", ValueError, "write openai:NAME"),
        ("opanai:gpt-4o", ValueError, "did you mean 'openai'?"),
        ("anthropc:claude-3.5", ValueError, "did you mean 'anthropic'?"),
    ],
)
def test_a_provider_that_is_not_there(reference: str, error: type[Exception], told: str) -> None:
    """A missing package is named with the command that installs it; a slip of the pen is corrected."""
    assert told in refusal(reference, error)


def test_without_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package `langchain`, the error says what to install."""
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    told = refusal("openai:gpt-4o", ImportError)
    assert "pip install langchain" in told
    assert "langchain-openai" in told


def test_the_model_is_named_once() -> None:
    """What the reference says is no setting."""
    assert "leave out model" in refusal("openai:gpt-4o", TypeError, model="gpt-5")


def test_the_providers_are_those_of_langchain() -> None:
    """The written list holds every provider that the installed `init_chat_model` names."""
    from langchain.chat_models import init_chat_model

    with pytest.raises(ValueError, match="Supported model providers are") as raised:
        init_chat_model("x", model_provider="no-such-provider")
    supported = str(raised.value).rpartition("Supported model providers are: ")[2].split(", ")
    assert set(supported) <= set(PROVIDERS)


# --- installed models ---


def install(folder: Path, **models: str) -> None:
    """A package that brings models, as an installer leaves it."""
    info = folder / "acme_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in models.items()]
    (info / "entry_points.txt").write_text("\n".join(["[langplug.models]", *lines]) + "\n")


def test_a_model_of_an_installed_package(tmp_path: Path) -> None:
    """A package names its models by entry points; they take settings as every other."""
    install(tmp_path, acme="mine:Repeat", **{"acme-text": "mine:of_text", "broken": "no_such_module:x"})
    assert "hihi" == load("acme").invoke("hi").text
    assert "hihihi" == load("acme", times=3).invoke("hi").text
    assert "text hi" == load("acme-text").invoke("hi").text
    assert "did you mean 'acme'?" in refusal("acmee", ValueError)
    assert "ModuleNotFoundError: No module named 'no_such_module'" in refusal("broken", ImportError)


def test_the_embedded_model_has_a_name() -> None:
    """What `langplug pull smollm2` downloads is called so where a model is asked for, too."""
    assert load("smollm2") == ChatGGUF()


def test_nothing_of_that_name() -> None:
    """A word that is no installed model's name is refused with all the forms that there are."""
    told = refusal("hello", ValueError)
    for form in ("package.module:attribute", "./file.py:attribute", "http://", ".gguf", "folder", "openai:gpt-4o"):
        assert form in told


# --- settings of modules and files ---


@pytest.mark.parametrize(
    ("reference", "given_settings", "answer"),
    [
        pytest.param("Repeat", {"times": 4}, "hi" * 4, id="a class"),
        pytest.param("Repeat", {"count": 4}, "hi" * 4, id="a class, by its alias"),
        pytest.param("instance", {"times": 1}, "hi", id="a model of langplug's"),
        pytest.param("instance", {"count": 1}, "hi", id="a model of langplug's, by its alias"),
        pytest.param("decorated", {"mark": "?"}, "hi?", id="a decorated function"),
        pytest.param("make", {"times": 5}, "hi" * 5, id="what a factory needs"),
        pytest.param("make_any", {"times": 5}, "hi" * 5, id="a factory that takes anything"),
        pytest.param("make_from", {"text": "x"}, "hihi", id="a factory that takes a text"),
        pytest.param("Foreign", {"how_large": 7}, "7 plain", id="another package's class"),
        pytest.param("of_question", {"mark": "!"}, "asked hi!", id="a function of a text"),
    ],
)
def test_settings(reference: str, given_settings: dict[str, Any], answer: str) -> None:
    """Settings reach the model, whatever makes it, and leave an instance as it was."""
    assert answer == load(f"./mine.py:{reference}", **given_settings).invoke("hi").text
    assert "hi" * 3 == load("./mine.py:instance").invoke("hi").text


@pytest.mark.parametrize(
    ("reference", "given_settings", "told"),
    [
        ("Repeat", {"timse": 1}, "Did you mean 'times'?"),
        ("instance", {"timse": 1}, "Did you mean 'times'?"),
        ("decorated", {"marc": 1}, "Did you mean 'mark'?"),
        ("make", {"tmes": 1}, "is a function of (times)"),
        ("make", {"times": 1, "tmes": 1}, "has no setting 'tmes'. Did you mean 'times'?"),
        ("Foreign", {"lable": 1}, "has no setting 'lable'. Did you mean 'label'?"),
        ("Foreign", {"zzz": 1}, "has no setting 'zzz'. What it takes: "),
        ("of_question", {"marc": 1}, "Did you mean 'mark'?"),
        ("Repeat", {"times": "many"}, "times: Input should be a valid integer"),
        ("instance", {"times": "many"}, "times: Input should be a valid integer"),
        ("Foreign", {"label": 3}, "label: Input should be a valid string): on a command line, a text that looks"),
        ("foreign", {"label": "x"}, "is a model that was made already, of Foreign, so it takes no settings"),
    ],
)
def test_wrong_settings(reference: str, given_settings: dict[str, Any], told: str) -> None:
    """A name that is unknown is refused with the near one, also by classes that would drop it; a value is checked."""
    assert told in refusal(f"./mine.py:{reference}", TypeError, **given_settings)


def test_errors_do_not_show_the_values() -> None:
    """What was given may be a secret, and is in no message."""
    for reference in ("Repeat", "instance"):
        with pytest.raises(TypeError) as raised:
            load(f"./mine.py:{reference}", times="sk-secret", api_key="sk-secret")
        assert "sk-secret" not in str(raised.value)


# --- functions that know nothing of langplug ---


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        pytest.param("of_text", "text hi", id="text, by its type"),
        pytest.param("of_question", "asked hi?", id="text, by its name"),
        pytest.param("of_text_async", "async hi", id="text, async"),
        pytest.param("of_messages", "2 human", id="messages, by their name"),
        pytest.param("of_typed_messages", "2 human", id="messages, by their type"),
        pytest.param("of_dicts", "user hi", id="messages as OpenAI's dicts"),
    ],
)
def test_a_function_of_anything(function: str, answer: str) -> None:
    """A function from a text, or from messages, is a model: it streams, and is told from others in the cache."""
    model = load(f"./mine.py:{function}")
    assert isinstance(model, ChatModel)
    asked = [("system", "be brief"), ("human", "hi")]
    assert answer == model.invoke(asked).text == "".join(chunk.text for chunk in model.stream(asked))
    same, other = load(f"./mine.py:{function}"), load("./mine.py:decorated")
    assert isinstance(same, ChatModel)
    assert isinstance(other, ChatModel)
    assert model.cache_key() == same.cache_key() != other.cache_key()


@pytest.mark.parametrize("function", ["of_anything", "make_from"])
def test_a_function_that_may_be_a_factory(function: str) -> None:
    """A text argument alone says nothing: a factory may need one, too, and is told how it is given."""
    told = refusal(f"./mine.py:{function}", TypeError)
    assert "is a function of (" in told
    assert re.search(r"If it makes a model, give (\w+) as a setting, as in --with \1=\.\.\.", told)


@pytest.mark.parametrize(
    "reference",
    [
        "a" * 5000,
        "./" + "a" * 5000,
        "a" * 5000 + ".gguf",
        "./" + "a" * 5000 + ".py:x",
        "What is the capital of France? " * 20,
        "~no-such-user/x.gguf",
        "~no-such-user",
        "~no-such-user/x.py:x",
        "a\0b",
        "./a\0b.py:x",
        "\0.gguf",
        "http://[::1",
        "http://[::1/v1#x",
        "./a.b.py:x",
        "-",
        "--",
        ".",
        "..",
        "/",
        "~",
        ":",
        "::",
        "#",
        "\ud800:x",
    ],
)
def test_odd_references(reference: str) -> None:
    """Whatever is written, the error is one of those that are promised, and says what was written."""
    with pytest.raises((ValueError, ImportError, FileNotFoundError)) as raised:
        load(reference)
    assert str(raised.value)


@settings(max_examples=60)
@given(st.text(alphabet="ab.:/#~ -_\0\n1é\\\"'?=@[]", max_size=12))
def test_any_text(reference: str) -> None:
    """No text makes it fail in another way, and none reaches the network without an address."""
    with pytest.raises((ValueError, ImportError, FileNotFoundError)):
        load(reference)


def test_a_file_with_a_dot_in_its_name(tmp_path: Path) -> None:
    """A file whose name cannot be a module's is taken all the same."""
    (tmp_path / "a.b.py").write_text("def say(request): return 'dotted'")
    assert "dotted" == load("./a.b.py:say").invoke("hi").text


@pytest.mark.parametrize(
    ("source", "error"),
    [
        pytest.param("import json\n\njson.loads('{')\n", "JSONDecodeError", id="a library's"),
        pytest.param(
            "from langplug import ChatModel\n\nclass Mine(ChatModel):\n    def respond(self): ...\n",
            "TypeError",
            id="langplug's",
        ),
    ],
)
def test_an_import_error_says_where(source: str, error: str, tmp_path: Path) -> None:
    """The place in the user's own code is named, also where a neighbour fails, and not that in a library."""
    (tmp_path / "neighbour.py").write_text(source)
    (tmp_path / "broken.py").write_text("x = 1\nimport neighbour\n")
    for reference in ("./broken.py:x", "broken:x"):
        told = refusal(reference, ImportError)
        assert error in told
        assert told.endswith(f"({tmp_path / 'neighbour.py'}, line 3)")
        for name in ("broken", "neighbour"):
            sys.modules.pop(name, None)
