"""Group A of the contract: construction, configuration, secrets."""

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from langchain_core.language_models import ModelProfile
from langchain_core.load import dumps
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import Field, SecretStr, ValidationError
from tests.echo_models import MakeModel
from tests.paths import PATHS, Path

from langplug import ChatModel, MissingSecretError, Request, chat_model, env
from langplug.models import ChatScripted, CustomChatModelAdvanced

# --- keyword arguments ---


def test_a01_an_unknown_keyword_is_refused(make_model: MakeModel) -> None:
    """A misspelt constructor argument is an error that names it and suggests the right one."""
    with pytest.raises(TypeError, match=r"no parameter 'temprature' .* Did you mean 'temperature'\?"):
        make_model(temprature=0.1)


def test_a01_a_keyword_that_is_like_no_other_is_refused(make_model: MakeModel) -> None:
    """A constructor argument that resembles no other is an error that lists those there are."""
    with pytest.raises(TypeError, match=r"'qqq'.* What it takes: .*mode.*suffix.*temperature"):
        make_model(qqq=1)


def test_a01_a_model_that_says_how_it_is_called_is_never_ignored() -> None:
    """`model` means the field `model_name` where that is what a class calls it, in the constructor and in a call."""
    assert "acme-9" == ChatNamed(model="acme-9").invoke("?").text
    assert "acme-9" == ChatNamed(model_name="acme-9").invoke("?").text
    assert "acme-9" == ChatNamed().invoke("?", model="acme-9").text


class ChatNamed(ChatModel):
    """Says how it is called."""

    model_name: str = "acme-1"

    def respond(self, request: Request, /) -> str:
        return self.model_name


def test_a02_parameters_reach_the_author(make_model: MakeModel, call: Path) -> None:
    """A parameter that the model has is what its author's function sees."""
    model = make_model(temperature=0.25, suffix="!", mode="settings")
    assert call(model, "?").text.startswith("echo-1 0.25 ! ")


@pytest.mark.filterwarnings("ignore::langplug.IgnoredParameterWarning")
def test_a02_a_parameter_without_use_is_reported(make_model: MakeModel, call: Path) -> None:
    """A standard parameter that the model has no use for is listed in the metadata of each answer."""
    notes = call(make_model(seed=3), "hi").message.response_metadata["adaptations"]
    assert [{"feature": "seed", "action": "ignored: the model has no such parameter"}] == notes


def test_a02_a_value_out_of_bounds_is_refused(make_model: MakeModel) -> None:
    """A declared bound holds for the constructor, for an assignment's call and for a single call alike."""
    with pytest.raises(ValidationError, match="less than or equal to 2"):
        make_model(temperature=9)
    with pytest.raises(ValidationError, match="less than or equal to 2"):
        make_model().invoke("hi", temperature=9)


# --- copies ---


def used(model: ChatModel) -> ChatModel:
    """`model`, after it was used in every way, a stream left half read included."""
    for path in PATHS.values():
        path(model, "one two")
    next(iter(model.stream("one two")))
    return model


def test_a06_a_model_copy_answers_with_what_was_updated(make_model: MakeModel, call: Path) -> None:
    """`model_copy(update=...)` gives a model that answers by the new settings and leaves the old one alone."""
    model = used(make_model(suffix="!"))
    assert "hi?" == call(model.model_copy(update={"suffix": "?"}), "hi").text
    assert "hi!" == call(model, "hi").text


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a05_a06_ready_made_models_can_be_copied(copied: Callable[[ChatModel], ChatModel]) -> None:
    """The ready-made models survive too, used or not; a copied script begins anew."""
    echo, scripted = CustomChatModelAdvanced(n=3), ChatScripted(replies=["one", ["t", "wo"]])
    assert ("hel", "one") == (echo.invoke("hello").text, scripted.invoke("?").text)
    assert (echo, scripted) == (copied(echo), copied(scripted))
    assert ("hel", "one") == (copied(echo).invoke("hello").text, copied(scripted).invoke("?").text)
    assert "two" == scripted.invoke("?").text


# --- secrets ---


class Tracer(BaseTracer):
    """Keeps every run, as a tracing service would be sent it."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)

    def text(self) -> str:
        """All that is known of the runs."""
        return repr([run.model_dump() for run in self.runs])


def renderings(model: ChatModel) -> Iterator[tuple[str, str]]:
    """Every way in which a model is shown or stored, and what it looks like."""
    yield "repr", repr(model)
    yield "str", str(model)
    yield "model_dump", repr(model.model_dump())
    yield "model_dump_json", model.model_dump_json(exclude={"token_counter"})
    yield "dumps", dumps(model)
    yield "to_json", repr(model.to_json())
    yield "asdict", json.dumps(model.asdict())
    yield "identifying params", repr(model._identifying_params)
    yield "invocation params", repr(model._get_invocation_params(stop=["x"], api_key="sk-MARKER-of-a-secret"))
    yield "langsmith params", repr(model._get_ls_params())
    yield "cache key", model._get_llm_string(stop=["x"], api_key="sk-MARKER-of-a-secret")
    yield "attributes", repr(model.lc_attributes) + repr(model.lc_secrets)
    yield "vars", repr(vars(model))
    yield "pickle", repr(pickle.dumps(model))
    yield "reduce", repr(model.__reduce_ex__(4))
    yield "graph", repr(model.get_graph().to_json())
    yield "configurable", repr(model.configurable_fields())
    yield "bound", repr(model.bind(stop=["x"]))


def test_a07_a_secret_shows_nowhere(make_model: MakeModel, secret: str) -> None:
    """A key from the environment is a `SecretStr` and is in no rendering of the model, fresh or used."""
    model = make_model()
    assert isinstance(model.api_key, SecretStr)  # type: ignore[attr-defined]
    assert [] == [name for name, text in renderings(model) if secret in text]
    assert [] == [name for name, text in renderings(used(model)) if secret in text]


def test_a07_a_secret_that_was_given_shows_nowhere(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key given to the constructor is as hidden as one from the environment."""
    model = make_model(api_key="sk-given-MARKER")
    assert "sk-given-MARKER" == model.api_key.get_secret_value()  # type: ignore[attr-defined]
    assert [] == [name for name, text in renderings(model) if "MARKER" in text]


@pytest.mark.filterwarnings("ignore::langplug.IgnoredParameterWarning")
def test_a07_a_key_without_use_is_hidden_too() -> None:
    """An `api_key` given to a model that has none is kept as a secret."""
    model = keyless(api_key="sk-MARKER")  # type: ignore[call-arg]
    assert "sk-MARKER" == model.ignored_params["api_key"].get_secret_value()
    assert [] == [name for name, text in renderings(model) if "MARKER" in text]
    assert "MARKER" not in repr(model.invoke("hi"))


@chat_model
def keyless(request: Request) -> str:
    """Needs no key."""
    return request.text


@pytest.mark.parametrize("given", [{}, {"api_key": "sk-MARKER-of-a-secret"}], ids=["environment", "per call"])
def test_a07_a_secret_is_in_no_trace(make_model: MakeModel, call: Path, secret: str, given: dict[str, str]) -> None:
    """Neither the key of a model nor one given for a single call reaches callbacks, metadata or messages."""
    tracer = Tracer()
    answered = call(make_model(), "hi", config={"callbacks": [tracer]}, **given)
    (run,) = tracer.runs
    assert "hi" in tracer.text()
    assert run.error is None
    assert secret not in tracer.text() + repr(answered)


def test_a07_a_secret_is_in_no_trace_of_a_failure(make_model: MakeModel, call: Path, secret: str) -> None:
    """The error of a call that fails, its notes, its partial message and its trace hold no key."""
    tracer = Tracer()
    with pytest.raises(RuntimeError) as caught:
        call(make_model(mode="fail"), "hi", config={"callbacks": [tracer]})
    shown = repr(caught.value) + str(caught.value) + repr(vars(caught.value)) + tracer.text()
    assert secret not in shown


class ChatTwoKeys(ChatModel):
    """Has keys under names of its own."""

    account: str
    api_key: SecretStr = env("ECHO_API_KEY", alias="x_api_key")
    token: SecretStr | None = None

    def respond(self, request: Request, /) -> str:
        return (self.token or self.api_key).get_secret_value()[:3]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="field missing"),
        pytest.param({"account": 7}, id="wrong type"),
        pytest.param({"account": "a", "timeout": -1}, id="out of bounds"),
        pytest.param({"account": "a", "toke": "sk-MARKER"}, id="misspelt secret"),
    ],
)
@pytest.mark.parametrize("secrets", [{"x_api_key": "sk-MARKER"}, {"api_key": "sk-MARKER", "token": "sk-MARKER"}])
def test_a07_a_secret_is_in_no_error_of_the_constructor(arguments: dict[str, Any], secrets: dict[str, str]) -> None:
    """However wrong the arguments are, the error does not repeat the secrets among them."""
    with pytest.raises((ValidationError, TypeError)) as caught:
        ChatTwoKeys(**arguments, **secrets)
    assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize("name", ["token", "api_key", "x_api_key"])
def test_a07_a_secret_of_one_call_is_hidden_under_every_name(name: str, call: Path) -> None:
    """A secret given for one call, by whatever name the class has for it, is used and shows in no trace or key."""
    tracer = Tracer()
    model = ChatTwoKeys(account="a")
    assert "sk-" == call(model, "hi", config={"callbacks": [tracer]}, **{name: "sk-MARKER"}).text
    assert "MARKER" not in tracer.text()
    assert "MARKER" not in model._get_llm_string(**{name: "sk-MARKER"})
    assert "MARKER" not in repr(model._get_invocation_params(**{name: "sk-MARKER"}))


def test_a07_a_key_declared_as_plain_text_is_refused() -> None:
    """A class whose key is a plain `str` cannot be made: the error says how to declare it."""
    with pytest.raises(TypeError, match=r'`api_key: SecretStr = env\("API_KEY"\)`'):

        class ChatCareless(ChatModel):
            api_key: str = ""


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_a10_a_missing_secret_names_its_variable(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """A secret that is nowhere to be found is an error that names the variable and the argument."""
    monkeypatch.delenv("ECHO_API_KEY")
    if value is not None:
        monkeypatch.setenv("ECHO_API_KEY", value)
    with pytest.raises(MissingSecretError, match=r"`api_key`: set the environment variable 'ECHO_API_KEY'.*api_key="):
        make_model()


def test_a10_a_pickle_reads_the_environment_again(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded from a pickle has the key of where it is loaded; without one, the error names the variable."""
    pickled = pickle.dumps(make_model())
    monkeypatch.setenv("ECHO_API_KEY", "sk-there")
    assert "sk-there" == pickle.loads(pickled).api_key.get_secret_value()
    monkeypatch.delenv("ECHO_API_KEY")
    with pytest.raises(MissingSecretError, match="ECHO_API_KEY"):
        pickle.loads(pickled)


# --- fields ---


class ChatAliased(ChatModel):
    """Has fields with a second name."""

    model_name: str = Field("acme-1", alias="model")
    key: SecretStr = env("ECHO_API_KEY", validation_alias="acme_key")

    def respond(self, request: Request, /) -> str:
        return self.model_name


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("name", ["model", "model_name"])
def test_a11_both_names_of_a_field_work(name: str, copied: Any, call: Path) -> None:
    """A field with an alias takes a value by either name, in the constructor and in a call, and copies keep it."""
    model = ChatAliased(**{name: "acme-2"})
    assert "acme-2" == copied(model).model_name
    assert "acme-2" == call(copied(model), "?").text
    assert "acme-3" == call(model, "?", **{name: "acme-3"}).text


@pytest.mark.parametrize("name", ["key", "acme_key"])
def test_a11_both_names_of_a_secret_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret with an alias is taken by either name, also where the environment has none."""
    monkeypatch.delenv("ECHO_API_KEY")
    assert "sk-1" == ChatAliased(**{name: "sk-1"}).key.get_secret_value()


def test_a08_a_list_that_is_given_is_not_changed(make_model: MakeModel) -> None:
    """The caller's own lists and dicts stay as they were."""
    stop, metadata = ["END"], {"tenant": "a"}
    make_model(stop=stop, metadata=metadata).invoke("hi")
    assert (["END"], {"tenant": "a"}) == (stop, metadata)


def test_n03_the_profile_has_known_keys_only(make_model: MakeModel) -> None:
    """`profile` holds keys of `ModelProfile`, claims what there is and no more, and can be given."""
    profile = make_model(context_window=4096).profile
    assert profile is not None
    assert set(profile) <= set(ModelProfile.__annotations__)
    assert 4096 == profile["max_input_tokens"]
    assert (True, False, True) == (profile["text_inputs"], profile["image_inputs"], profile["tool_calling"])
    assert {"max_input_tokens": 8} == make_model(profile={"max_input_tokens": 8}).profile


class Thinker(ChatModel):
    """Declares all that a profile can say."""

    accepts = frozenset({"image", "file"})
    temperature: float | None = None
    max_tokens: int | None = None
    reasoning_effort: Literal["low", "high"] | None = "low"

    def respond(self, request: Request, /) -> str:
        """Answer."""
        return "hm"


def test_the_profile_says_what_is_known() -> None:
    """Each key of `profile` is said where it is known to be so or not so, and left out where it is unknown."""
    thinker: dict[str, Any] = {**(Thinker(max_tokens=9).profile or {})}
    plain: dict[str, Any] = {**(ChatSilent().profile or {})}
    assert (9, True, ["low", "high"], "low") == (
        thinker["max_output_tokens"],
        thinker["reasoning_output"],
        thinker["reasoning_effort_levels"],
        thinker["reasoning_effort_default"],
    )
    for key in ("temperature", "attachment", "image_inputs", "tool_call_streaming"):
        assert (True, key == "tool_call_streaming") == (thinker[key], plain[key])
    for key in ("image_url_inputs", "image_tool_message", "pdf_inputs", "pdf_tool_message"):
        assert key not in thinker
        assert plain[key] is False
    for key in ("max_output_tokens", "max_input_tokens", "reasoning_output", "mid_conversation_tools"):
        assert key not in plain


def test_a_key_that_core_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a langchain-core that lacks a key, the profile lacks it too, and nothing is warned of."""
    older = {name: kind for name, kind in ModelProfile.__annotations__.items() if name != "tool_call_streaming"}
    monkeypatch.setattr(ModelProfile, "__annotations__", older)
    assert "tool_call_streaming" not in (ChatSilent().profile or {})


class ChatSilent(ChatModel):
    """Declares nothing."""

    def respond(self, request: Request, /) -> str:
        """Answer."""
        return "hm"
