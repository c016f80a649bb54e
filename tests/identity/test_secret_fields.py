"""What becomes of a field whose name sounds like a secret's."""

import json
import pickle
import types
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, NewType, Optional

import pytest
from langchain_core.load import dumps
from pydantic import BaseModel, Field, SecretBytes, SecretStr
from tests.recording import RecordingHandler

from langplug import ChatModel, Public, Request, chat_model, env
from langplug_check.explain import explain

KEY = "planted-4kXw"

Key = NewType("Key", str)


class Scheme(Enum):
    NONE = "none"
    BASIC = "basic"


class Credentials:
    """An object that somebody else keeps."""


def class_of(name: str, annotation: Any, default: Any = None, **body: Any) -> Any:
    """The class that an author would write with this field."""
    body = {
        "__annotations__": {name: annotation},
        name: default,
        "respond": lambda self, request: f"{getattr(self, name)!r}",
        **body,
    }
    return types.new_class("ChatOwn", (ChatModel,), exec_body=lambda namespace: namespace.update(body))


TEXTS = [
    *[str, str | None, Optional[str], Annotated[str, Field(min_length=1)], Key, Any, object],  # noqa: UP045
    *[list[str], dict[str, str], dict[str, Any], tuple[str, ...], list, dict, Mapping[str, str], bytes, str | int],
    *[list[str] | str | None, Annotated[list[Annotated[str, "x"]] | None, "y"]],
]


@pytest.mark.parametrize("annotation", TEXTS, ids=str)
@pytest.mark.parametrize("name", ["api_key", "hf_token", "password", "client_secret", "credentials", "access_key"])
def test_an_unmistakable_secret_cannot_be_plain_text(name: str, annotation: Any) -> None:
    """A field that may hold text is refused, however it is annotated, with the line to write instead."""
    with pytest.raises(TypeError, match=rf"ChatOwn\.{name} is declared as .*`{name}: [^`]*Secret(Str|Bytes)") as caught:
        class_of(name, annotation)
    assert f"`{name}: Public[" in str(caught.value)


@pytest.mark.parametrize(
    "annotation",
    [
        *[SecretStr, SecretStr | None, list[SecretStr], dict[str, SecretStr], SecretBytes, SecretStr | str, Scheme],
        *[Callable[[], str], Literal["a", "b"], bool, Credentials, Public[str], Public[dict[str, str]], type[str]],
    ],
    ids=str,
)
def test_what_cannot_show_a_secret_is_accepted(annotation: Any) -> None:
    """Secret types, functions that give a key, choices, and what the author declares as public."""
    class_of("api_key", annotation)


LINES: dict[str, tuple[Any, Any, str]] = {
    "a field": (str, ..., 'api_key: SecretStr = env("API_KEY")'),
    "bytes": (bytes, b"", 'api_key: SecretBytes = env("API_KEY")'),
    "a list": (list[str], ..., "api_key: list[SecretStr]"),
    "a dict": (dict[str, str], ..., "api_key: dict[str, SecretStr]"),
    "an environment variable": (str, env("ACME_KEY"), 'api_key: SecretStr = env("ACME_KEY")'),
    "an alias": (str, Field(alias="key"), 'api_key: SecretStr = env("API_KEY", alias="key")'),
}


@pytest.mark.parametrize(("annotation", "default", "line"), LINES.values(), ids=LINES)
def test_the_line_to_write_is_said(annotation: Any, default: Any, line: str) -> None:
    """The error holds the declaration of this very field as a secret."""
    with pytest.raises(TypeError) as caught:
        class_of("api_key", annotation, default)
    assert f"`{line}`" in str(caught.value)


@pytest.mark.parametrize(
    "default",
    [
        *[env("HF_TOKEN"), env("ACME_API_KEY", default="x"), env("DB_PASSWORD"), Field("", alias="api_key")],
        *[Field("", validation_alias="secretKey"), env("X", alias="X-Api-Key")],
    ],
)
def test_a_secret_by_another_name_cannot_be_plain_text(default: Any) -> None:
    """The environment variable and the aliases of a field count as much as its name."""
    with pytest.raises(TypeError, match=r"ChatOwn\.plain .* is a secret's"):
        class_of("plain", str, default)
    class_of("plain", SecretStr, default)


def test_inherited_secrets_cannot_be_plain_text() -> None:
    """A field of a mixin or of another base counts as one of the class."""

    class Login(BaseModel):
        password: str = ""

    with pytest.raises(TypeError, match=r"ChatOwn\.password"):
        types.new_class("ChatOwn", (ChatModel, Login))


def test_parameters_of_a_function_cannot_be_plain_secrets() -> None:
    """`@chat_model` refuses what a class would be refused, an unannotated default included."""
    with pytest.raises(TypeError, match=r'`api_key: SecretStr = env\("API_KEY"\)`'):

        @chat_model
        def keyed(request: Request, *, api_key="x") -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
            return ""


def renderings(model: ChatModel, monkeypatch: pytest.MonkeyPatch, **given: Any) -> dict[str, str]:
    """All that a model shows of itself."""
    handler = RecordingHandler()
    model.invoke("x", {"callbacks": [handler]}, **given)
    module = types.ModuleType("tests_identity_subject")
    module.make = lambda: model  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
    return {
        "repr": f"{model!r} {model!s} {model}",
        "dump": f"{model.model_dump()} {model.model_dump_json()} {dumps(model)} {model.asdict()}",
        "params": str(model._identifying_params),
        "trace": str(handler.started),
        "key": model.cache_key(**given),
        "explain": explain(f"{module.__name__}:make").to_json(),
    }


LIKELY: dict[str, tuple[Any, Any]] = {
    "token": (str, KEY),
    "key": (str, KEY),
    "keys": (list[str], [KEY]),
    "ak": (str | None, KEY),
    "sk": (Any, KEY),
    "bearer": (str, KEY),
    "cookie": (dict[str, str], {"a": KEY}),
    "auth": (tuple[str, str], ("me", KEY)),
    "signature": (bytes, KEY.encode()),
    "acme_token": (Annotated[str, Field(min_length=1)], KEY),
}


@pytest.mark.parametrize("name", LIKELY)
def test_a_likely_secret_is_hidden_everywhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain field with an ambiguous name works as any other, and its value is shown nowhere."""
    annotation, value = LIKELY[name]
    cls = class_of(name, annotation)
    model = cls(**{name: value})
    assert KEY in model.invoke("x").text
    assert {} == {where: text for where, text in renderings(model, monkeypatch).items() if KEY in text}
    assert {} == {where: text for where, text in renderings(cls(), monkeypatch, **{name: value}).items() if KEY in text}
    others: dict[type, Any] = {str: "x", list: ["x"], dict: {"x": "y"}, tuple: ("x", "y"), bytes: b"x"}
    other = others[type(value)]
    assert model.cache_key() == cls(**{name: value}).cache_key() != cls(**{name: other}).cache_key()
    assert getattr(pickle.loads(pickle.dumps(class_at_top_level(value))), "token", None) == value
    again = cls(**{name: model.model_dump()[name]})
    assert (value, repr(model)) == (getattr(again, name), repr(again))


class ChatTop(ChatModel):
    """Can be pickled."""

    token: Any = ""

    def respond(self, request: Request) -> str:
        return ""


def class_at_top_level(value: Any) -> ChatTop:
    return ChatTop(token=value)


def test_what_the_author_declares_public_is_shown() -> None:
    """`Public` says that a name means something else; so do types that name their values."""

    class ChatMusic(ChatModel):
        key: Public[str] = "C major"
        token: Public[str | None] = "<image>"
        auth: Literal["none", "basic"] = "none"
        signature: Scheme = Scheme.BASIC
        api_key: Public[str] = "the word, not a key"

        def respond(self, request: Request) -> str:
            return self.key

    shown = ChatMusic(key="D")._identifying_params
    assert ("D", "<image>", "none") == (shown["key"], shown["token"], shown["auth"])
    assert shown["signature"].endswith("Scheme.BASIC")
    assert "the word, not a key" == shown["api_key"]
    assert "ChatMusic(key='D')" == repr(ChatMusic(key="D"))
    assert "E" == ChatMusic().invoke("x", key="E").text


def test_a_public_parameter_of_a_function() -> None:
    """`Public` works in the signature of a function, too."""

    @chat_model
    def song(request: Request, *, key: Public[str] = "C") -> str:
        return key

    assert "D" == song(key="D")._identifying_params["key"] == song(key="D").invoke("x").text


NESTED: dict[str, Any] = {
    "a text": {"token": KEY},
    "bytes": {"token": KEY.encode()},
    "a number": {"pin": 4711_0815},
    "a list": {"api_keys": [KEY]},
    "a dict": {"credentials": {"user": "me", "word": KEY}},
    "deep": {"a": [{"b": ({"authorization_token": KEY},)}]},
    "headers": {"X-Api-Key": KEY, "ocp-apim-subscription-key": KEY, "x-goog-api-key": KEY, "Cookie": KEY, "auth": KEY},
    "pairs": {"headers": [("Authorization", KEY)]},
    "records": {"env": [{"name": "API_KEY", "value": KEY}]},
    "records of headers": {"headers": [{"header": "Cookie", "content": KEY}, {"name": "X-Auth", "val": [KEY]}]},
    "a token as the user": {"url": f"https://{KEY}@github.com/x", "back": f"https://h/x#access_token={KEY}"},
    "texts": {"a": f"Authorization: Bearer {KEY}", "b": ["-H", f"X-Api-Key: {KEY}"], "c": [f"--api-key={KEY}"]},
    "a connection string": {"storage": f"AccountName=n;AccountKey={KEY}==;Suffix=s"},
    "addresses": {"url": f"https://me:{KEY}@example.com/?api_key={KEY}&n=1"},
    "a secret": {"plain": SecretStr(KEY), "more": [SecretStr(KEY)]},
    "a schema's default": {"properties": {"api_key": {"type": "string", "default": KEY}}},
    "a secret key": {SecretStr(KEY): 1},
}


@pytest.mark.parametrize("where", NESTED)
def test_secrets_in_a_dict_field_are_hidden(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands under a secret's name is hidden, wherever it stands and whatever it is; the rest is shown."""
    cls = class_of("settings", dict[Any, Any], {})
    model = cls(settings={**NESTED[where], "max_tokens": 3, "note": "shown"})
    found = renderings(model, monkeypatch)
    del found["dump"]  # `model_dump` gives the values themselves of what is not declared as a secret
    found["dumps"] = f"{dumps(model)} {model.asdict()}"
    assert {} == {one: text for one, text in found.items() if KEY in text or "47110815" in text}
    assert "shown" in found["params"]
    assert 3 == model._identifying_params["settings"]["max_tokens"]


def test_names_of_tool_parameters_are_no_secrets() -> None:
    """A schema says that there is a parameter `token`, and what it is: that may be seen."""
    schema = {"properties": {"token": {"type": "string", "description": "the user's"}}, "required": ["token"]}
    model = class_of("schema_", dict[str, Any], {})(schema_=schema)
    assert schema == model._identifying_params["schema_"]


@pytest.mark.parametrize("name", ["max_tokens", "tokenizer", "key_points", "monkey", "tokens_per_minute", "cache_key_"])
def test_what_only_sounds_like_a_secret_is_shown(name: str) -> None:
    """Names that merely hold such a word are ordinary."""
    model = class_of(name, dict[str, str], {name.rstrip("_"): "x1"})()
    assert "x1" in json.dumps(model._identifying_params[name])
