"""What servers say of themselves under `/v1/models`."""

import asyncio
from collections.abc import Callable

import pytest
from langchain_core.exceptions import ModelAPIError, ModelAuthenticationError, ModelNotFoundError
from tests.models.endpoint.conftest import MakeEndpoint
from tests.models.endpoint.relays import Relay

from langplug.models import ChatEndpoint
from langplug_backend import Backend

Informed = Callable[[ChatEndpoint], ChatEndpoint]

WAYS: dict[str, Informed] = {
    "sync": lambda model: model.with_server_profile(),
    "async": lambda model: asyncio.run(model.awith_server_profile()),
}


class Says(Relay):
    """Answers everything with one body."""

    def __init__(self, body: str, status: int = 200) -> None:
        super().__init__()
        self._body = body.encode()
        self._status = status
        self.asked: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 {self._status} -\r\nContent-Type: application/json\r\nContent-Length: {len(self._body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + self._body)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


SERVED: dict[str, tuple[str, str, int | None]] = {
    "vLLM": (
        (
            '{"object": "list", "data": [{"id": "m-1", "object": "model", "owned_by": "vllm", "root": "/m",'
            ' "created": 1, "parent": null, "max_model_len": 4096, "permission": []}]}'
        ),
        "vllm",
        4096,
    ),
    "llama.cpp": (
        (
            '{"models": [{"name": "m-1"}], "object": "list", "data": [{"id": "m-1", "object": "model", "created": 1,'
            ' "owned_by": "llamacpp", "meta": {"vocab_type": 2, "n_vocab": 49152, "n_ctx_train": 8192}}]}'
        ),
        "llama.cpp",
        8192,
    ),
    "llama.cpp, with the context in use": (
        '{"data": [{"id": "m-1", "owned_by": "llamacpp", "meta": {"n_ctx": 2048, "n_ctx_train": 8192}}]}',
        "llama.cpp",
        2048,
    ),
    "SGLang": (
        (
            '{"object": "list", "data": [{"id": "m-1", "object": "model", "owned_by": "sglang",'
            ' "root": "m-1", "parent": null, "max_model_len": 32768}]}'
        ),
        "sglang",
        32768,
    ),
    "LM Studio": (
        '{"data": [{"id": "m-1", "object": "model", "owned_by": "organization_owner"}], "object": "list"}',
        "lmstudio",
        None,
    ),
    "LM Studio, by its own API": (
        (
            '{"data": [{"id": "m-1", "type": "llm", "state": "loaded", "max_context_length": 131072,'
            ' "loaded_context_length": 4096}]}'
        ),
        "auto",
        4096,
    ),
    "OpenRouter": (
        (
            '{"data": [{"id": "other/m", "context_length": 5}, {"id": "m-1", "name": "M", "context_length": 200000,'
            ' "architecture": {"modality": "text->text"}, "top_provider": {"context_length": 100000}}]}'
        ),
        "auto",
        200000,
    ),
    "Ollama": ('{"object": "list", "data": [{"id": "m-1", "object": "model", "owned_by": "library"}]}', "ollama", None),
    "OpenAI": ('{"object": "list", "data": [{"id": "m-1", "object": "model", "owned_by": "system"}]}', "auto", None),
    "by another name": ('{"data": [{"id": "long", "aliases": ["m-1"], "context_window": 7}]}', "auto", 7),
    "nonsense": ('{"data": [{"id": "m-1", "max_model_len": "many", "meta": null, "owned_by": null}]}', "auto", None),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SERVED)
def test_a_server_tells_what_it_is(make: MakeEndpoint, kind: str, way: str) -> None:
    """From what each server says of its model, its context window and the kind of server are known."""
    body, server, window = SERVED[kind]
    with Says(body) as says:
        informed = WAYS[way](make(base_url=says.url))
    assert (server, window) == (informed.server, informed.context_window)
    assert informed.profile is not None
    assert window == informed.profile.get("max_input_tokens")
    assert b"GET /v1/models HTTP/1.1" in says.asked[0]


@pytest.mark.parametrize("way", WAYS)
def test_what_was_given_counts_first(make: MakeEndpoint, way: str) -> None:
    """A context window, a kind of server and a profile that the user gave stay; the model itself is not changed."""
    with Says(SERVED["vLLM"][0]) as says:
        model = make(base_url=says.url, context_window=100, server="sglang", profile={"max_input_tokens": 50})
        informed = WAYS[way](model)
        untouched = make(base_url=says.url)
        WAYS[way](untouched)
    assert ("sglang", 100, {"max_input_tokens": 50}) == (informed.server, informed.context_window, informed.profile)
    assert ("auto", None) == (untouched.server, untouched.context_window)


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_is_not_served(make: MakeEndpoint, way: str) -> None:
    """For a model that the server does not have, the error suggests the one that may have been meant."""
    said = r"'qwen3-7b'.*Did you mean 'qwen3-8b'.*'phi'"
    with Says('{"data": [{"id": "qwen3-8b"}, {"id": "phi"}]}') as says, pytest.raises(ModelNotFoundError, match=said):
        WAYS[way](make(base_url=says.url, model="qwen3-7b"))


def test_the_models_of_the_backend(backend: Backend, make: MakeEndpoint) -> None:
    """`served_models` and its async twin give what the server lists, and show it the key."""
    backend.key = "sk-1"
    model = make(api_key="sk-1")
    assert ["backend-1"] == [one["id"] for one in model.served_models()]
    assert ["backend-1"] == [one["id"] for one in asyncio.run(model.aserved_models())]
    assert 8192 == make(api_key="sk-1", model="backend-1").with_server_profile().context_window
    with pytest.raises(ModelAuthenticationError):
        make().served_models()


@pytest.mark.parametrize("body", ["", "<html>Hello</html>", "[]", '"models"'])
def test_a_list_that_is_none(make: MakeEndpoint, body: str) -> None:
    """A server that does not say which models it has makes a typed error."""
    with Says(body) as says, pytest.raises(ModelAPIError, match="base_url"):
        make(base_url=says.url).served_models()


@pytest.mark.parametrize("body", ['{"data": null}', "{}", '{"data": [1, null]}'])
def test_an_empty_list(make: MakeEndpoint, body: str) -> None:
    """A server that lists nothing lists nothing."""
    with Says(body) as says:
        assert [] == make(base_url=says.url).served_models()
        with pytest.raises(ModelNotFoundError, match="It has: none"):
            make(base_url=says.url).with_server_profile()
