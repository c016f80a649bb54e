"""Group B of the contract: identity, tracing parameters, serialisation, cache key."""

import json
import re
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps
from pydantic import SecretStr
from tests.echo_models import ECHO_MODELS, MakeModel
from tests.paths import Path
from tests.recording import RecordingHandler

from langplug import ChatModel, Request, chat_model, env
from langplug.models import ChatScripted

# --- LangSmith ---


class Starts(BaseCallbackHandler):
    """Keeps what each run starts with."""

    def __init__(self) -> None:
        self.serialized: list[dict[str, Any]] = []
        self.metadata: list[dict[str, Any]] = []
        self.params: list[dict[str, Any]] = []

    def on_chat_model_start(self, serialized: dict[str, Any], messages: Any, **kwargs: Any) -> None:
        self.serialized.append(serialized)
        self.metadata.append(kwargs["metadata"])
        self.params.append(kwargs["invocation_params"])


def test_b01_a_model_without_a_name_goes_by_its_type() -> None:
    """A model that declares no name is called by its type."""
    assert "silent" == silent()._get_ls_params()["ls_model_name"]


@chat_model
def silent(request: Request) -> str:
    """Says nothing."""
    return ""


class ChatLimited(ChatModel):
    """Has all that LangSmith asks for."""

    provider = "acme"
    model_id: str = "acme-1"
    temperature: float = 0.5
    max_tokens: int = 100

    def respond(self, request: Request, /) -> str:
        return request.text


def test_b02_the_model_of_a_call_is_named_in_every_way(call: Path) -> None:
    """`model=` names the model of a call whatever its field is called, in the trace and in the answer."""
    seen = RecordingHandler()
    answered = call(ChatLimited(), "hi", config={"callbacks": [seen]}, model="acme-2")
    assert "acme-2" == seen.started["metadata"]["ls_model_name"]
    assert "acme-2" == answered.message.response_metadata["model_name"]


class Meddler(Starts):
    """Writes into all that it is told."""

    def on_chat_model_start(self, serialized: dict[str, Any], messages: Any, **kwargs: Any) -> None:
        super().on_chat_model_start(deepcopy(serialized), messages, **deepcopy(kwargs))
        for told in (serialized, kwargs["invocation_params"]):
            for value in [*told.values(), told]:
                if isinstance(value, list):
                    value.append("meddled")
                elif isinstance(value, dict):
                    value["meddled"] = True


def test_b03_what_is_written_into_one_trace_is_in_no_other() -> None:
    """What is remembered of a class for its traces is not given out itself."""
    meddler = Meddler()
    for _ in range(3):
        ChatLimited().invoke("hi", {"callbacks": [meddler]})
    assert meddler.params[0] == meddler.params[1] == meddler.params[2]
    assert meddler.serialized[0] == meddler.serialized[1] == meddler.serialized[2]
    assert "meddled" not in str([meddler.params, meddler.serialized, ChatLimited().cache_key()])


SECRETIVE: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "login",
        "description": "Logs in at https://me:hunter2@host/.",
        "parameters": {
            "type": "object",
            "properties": {
                "password": {"type": "string", "default": "hunter2"},
                "headers": {"type": "object", "default": {"X-Api-Key": "hunter2", "Accept": "*/*"}},
            },
        },
    },
}


def test_b03_bound_tools_are_traced_as_they_are_without_their_secrets() -> None:
    """Tools are shown whole but for secrets, the same however they were bound; no two are mixed up."""
    starts = Starts()
    other = {"type": "function", "function": {**SECRETIVE["function"], "name": "logout"}}
    bound = ChatLimited().bind_tools([SECRETIVE, other])
    for asked in (bound, bound, ChatLimited().bind(tools=[SECRETIVE, other])):
        asked.invoke("hi", {"callbacks": [starts]})
    first, second, unbound = (params["tools"] for params in starts.params)
    assert first == second == unbound
    assert "hunter2" not in json.dumps(first)
    assert ["login", "logout"] == [tool["function"]["name"] for tool in first]
    assert "*/*" in json.dumps(first)


# --- cache key ---

VARIANTS: dict[str, Any] = {
    "model": "echo-2",
    "temperature": 0.1,
    "suffix": "!",
    "mode": "spell",
    "stop": ["END"],
    "include_stop": False,
    "timeout": 9.5,
    "context_window": 4096,
    "reasoning_tags": ("<r>", "</r>"),
    "reasoning_opened": True,
    "adaptations": "silent",
    "keep_reasoning": "all",
    "tool_format": "json",
    "tool_calling": "native",
    "structured_output": "native",
    "accepts": frozenset({"image"}),
    "output_version": "v1",
    "max_retries": 5,
}
"""Another value for every field that may change an answer."""

NO_PART = {
    "api_key": "a secret says who asks, not what is answered",
    "ignored_params": "what is ignored changes nothing",
    "streaming": "only how the answer is read",
    "concurrency": "only whose turn it is",
    "token_counter": "is a function, and only estimates",
    "name": "langchain-core's: only what a run is called",
    "cache": "langchain-core's: where answers are kept",
    "verbose": "langchain-core's: only what is printed",
    "callbacks": "langchain-core's: who watches",
    "tags": "langchain-core's: only for traces",
    "metadata": "langchain-core's: only for traces",
    "custom_get_token_ids": "langchain-core's: only counts",
    "rate_limiter": "langchain-core's: only when",
    "disable_streaming": "langchain-core's: only how it is read",
    "profile": "langchain-core's: what others may expect",
}


def test_b04_every_field_is_accounted_for(make_model: MakeModel) -> None:
    """Each field is either known to change answers or has a reason why it does not."""
    assert sorted(type(make_model()).model_fields) == sorted([*VARIANTS, *NO_PART])


@pytest.mark.parametrize("field", VARIANTS)
def test_b04_the_cache_key_follows_every_field(make_model: MakeModel, field: str) -> None:
    """Two models that differ in a field that may change an answer have different keys."""
    assert make_model()._get_llm_string() != make_model(**{field: VARIANTS[field]})._get_llm_string()


@pytest.mark.parametrize("field", VARIANTS)
def test_b04_traces_follow_every_change(make_model: MakeModel, field: str) -> None:
    """A field that is set after a call is shown as it is now; set back, as it was."""
    model, given = make_model(), make_model(**{field: VARIANTS[field]})
    before = model.call_parameters(None, {})
    old = getattr(model, field)
    setattr(model, field, VARIANTS[field])
    assert given.call_parameters(None, {}) == model.call_parameters(None, {}) != before
    setattr(model, field, old)
    assert before == model.call_parameters(None, {})


def test_b04_classes_do_not_share_answers() -> None:
    """Models of different classes have different keys however equal their fields are."""
    keys = {make()._get_llm_string() for make in ECHO_MODELS.values()}
    assert len(ECHO_MODELS) == len(keys)


def test_b04_classes_of_the_same_name_do_not_share_answers() -> None:
    """Nor do two classes that only go by the same name."""

    def made(word: str) -> ChatModel:
        def answer(request: Request) -> str:
            return word

        answer.__qualname__ = f"made_{word}.answer"
        return chat_model(answer)()

    assert made("a")._llm_type == made("b")._llm_type
    assert made("a")._get_llm_string() != made("b")._get_llm_string()


class Wrapper:
    """A setting without a `__repr__`."""

    def __init__(self, value: int) -> None:
        self.value = value

    def of(self, value: int) -> int:
        """A method."""
        return value * self.value

    @classmethod
    def of_two(cls, value: int) -> int:
        """A method of the class."""
        return value * 2


WRAPPER = Wrapper(1)


@dataclass
class Boxed:
    """A setting of the author's own, with a function in it."""

    function: Any


@chat_model
def composed(request: Request, *, part: Any = None) -> str:
    """Has a field of any type."""
    return request.text


@pytest.mark.parametrize(
    ("one", "equal", "other"),
    [
        pytest.param(WRAPPER, WRAPPER, Wrapper(1), id="object"),
        pytest.param(Boxed(Wrapper.of_two), Boxed(Wrapper.of_two), Boxed(Wrapper(1).of), id="method"),
        pytest.param(len, len, max, id="function"),
        pytest.param(Wrapper, Wrapper, Boxed, id="class"),
        pytest.param({"a": WRAPPER}, {"a": WRAPPER}, {"a": Wrapper(1)}, id="object in a dict"),
        pytest.param({0, 8}, {8, 0}, {0, 8, 16}, id="set"),  # these two are read in different orders
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}, id="dict"),
        pytest.param(b"1", b"1", b"2", id="bytes"),
        pytest.param(SecretStr("1"), SecretStr("2"), "1", id="secret"),
    ],
)
def test_b05_equal_settings_have_equal_keys(one: Any, equal: Any, other: Any) -> None:
    """A key holds no memory address: it is the same for equal settings, and differs wherever it cannot tell."""
    key = composed(part=one)._get_llm_string()
    assert key == composed(part=equal)._get_llm_string()
    assert key != composed(part=other)._get_llm_string()
    assert not re.search(r"0x[0-9a-f]{6,}", key)


def test_b05_equal_models_have_equal_keys(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal models have equal keys, whatever their secrets, names, tags and caches."""
    key = make_model(suffix="!")._get_llm_string()
    assert key == make_model(suffix="!")._get_llm_string()
    assert key == make_model(suffix="!", api_key="sk-other", tags=["a"], name="b", cache=False)._get_llm_string()


@pytest.mark.parametrize("given", [{"temperature": 0.1}, {"stop": ["END"]}, {"mode": "spell"}, {"max_tokens": 3}])
def test_g04_parameters_of_a_call_enter_the_key(make_model: MakeModel, given: dict[str, Any]) -> None:
    """A call with other parameters has another key, and the same one again with the same."""
    model = make_model()
    assert model._get_llm_string() != model._get_llm_string(**given)
    assert model._get_llm_string(**given) == make_model()._get_llm_string(**given)


def test_g04_a_parameter_of_a_call_counts_as_a_field() -> None:
    """A call with a parameter under one of its names has the key of a model made with it."""
    assert (
        ChatLimited(model_id="acme-2")._get_llm_string()
        == ChatLimited()._get_llm_string(model="acme-2")
        == ChatLimited()._get_llm_string(model_id="acme-2")
    )


# --- serialisation ---


def test_b08_a_model_shows_what_it_was_given(make_model: MakeModel) -> None:
    """The repr, which traces are shown, has the settings that differ from the defaults, and nothing else."""
    model = make_model(suffix="!")
    assert f"{type(model).__name__}(suffix='!')" == repr(model) == json.loads(dumps(model))["repr"]


class ChatManyKeys(ChatModel):
    """Has secrets of every kind."""

    api_key: SecretStr = env("ACME_API_KEY", default=SecretStr(""), alias="x_api_key")
    token: SecretStr | None = env("ACME_TOKEN", default=None)
    given: SecretStr | None = None

    def respond(self, request: Request, /) -> str:
        return request.text


def test_b28_secret_fields_are_mapped_to_their_variables(make_model: MakeModel) -> None:
    """`lc_secrets` has the environment variable of every secret field that has one, by each of its names."""
    assert {"api_key": "ECHO_API_KEY"} == make_model().lc_secrets
    assert {"api_key": "ACME_API_KEY", "x_api_key": "ACME_API_KEY", "token": "ACME_TOKEN"} == ChatManyKeys().lc_secrets


def test_b29_types_are_constant_and_unique() -> None:
    """`_llm_type` is a word of its own for each class, and the same for all its models."""
    types = [make()._llm_type for make in [*ECHO_MODELS.values(), ChatScripted, silent]]
    assert len(types) == len(set(types))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind) for kind in types)
    assert {"chat-echo-generator", "echo-async-generator", "chat-scripted"} <= set(types)
    assert ECHO_MODELS["class, generator"](suffix="!")._llm_type == "chat-echo-generator"
