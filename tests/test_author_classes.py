"""What authors write into their classes: names of their own, capabilities, functions with state."""

import functools
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar, Literal

import pytest
from langchain_core.messages import HumanMessage
from pydantic import Field, SecretStr, ValidationError, model_validator

from langplug import ChatModel, Request, chat_model
from langplug.models import ChatEndpoint, ChatHTTP
from langplug_backend import Backend


def class_of(**body: Any) -> Any:
    """The class that an author would write with this body."""
    return types.new_class("ChatOwn", (ChatModel,), exec_body=lambda namespace: namespace.update(body))


@pytest.fixture
def backend() -> Iterator[Backend]:
    """A server on loopback."""
    with Backend() as server:
        yield server


# --- the author's namespace ---

INTERNAL = (
    "_open",
    "_resources",
    "_check_secrets",
    "_sort_arguments",
    "_default_of",
    "_note_versions",
    "_run",
    "_plan",
)
"""Names under which langplug once kept, or might well keep, something of its own."""


@pytest.mark.parametrize("name", [*INTERNAL, "shape", "pieces", "plan", "open", "resource_store", "resource_owner"])
def test_methods_of_an_author_are_the_author_s(name: str) -> None:
    """A method may have any name that LangChain has not taken; every path works as without it."""

    def own(self: Any) -> str:
        return "mine"

    def respond(self: Any, request: Request) -> Iterator[str]:
        yield getattr(self, name)()
        yield " " + request.text

    model = class_of(**{name: own}, respond=respond)()
    assert "mine x" == model.invoke("x").text
    assert ["mine", " x", ""] == [chunk.text for chunk in model.stream("x")]
    assert isinstance(model.cache_key(), str)
    model.close()


@pytest.mark.parametrize(
    "name", ["shape", "pieces", "plan", "run", "parser", "resources", "resource_store", "capabilities"]
)
async def test_parameters_of_an_author_are_the_author_s(name: str) -> None:
    """A function's parameter may have any name that no chat model has a method or another setting of."""
    scope: dict[str, Any] = {}
    exec(f"def draw(request, *, {name}: str = 'round'):\n    return {name} + request.text", scope)
    model = chat_model(scope["draw"])(**{name: "square "})
    assert "square x" == model.invoke("x").text == (await model.ainvoke("x")).text
    assert "oval x" == model.invoke("x", **{name: "oval "}).text


@pytest.mark.parametrize(
    "name", ["close", "aclose", "invoke", "respond", "cache_key", "reported_name", "bind_tools", "lc_secrets"]
)
def test_fields_cannot_take_the_place_of_methods(name: str) -> None:
    """A field with the name of a method is refused when the class is made, by a sentence that names both."""
    with pytest.raises(TypeError, match=rf"ChatOwn\.{name}: every chat model has a method '{name}'\. Choose another"):
        class_of(__annotations__={name: str}, **{name: "x"})


@pytest.mark.parametrize(
    ("name", "annotation"),
    [
        *[("metadata", str), ("callbacks", str), ("rate_limiter", float), ("cache", str), ("tags", str)],
        *[("stop", int), ("timeout", str), ("reasoning_tags", bool), ("context_window", str)],
    ],
)
def test_settings_keep_their_types(name: str, annotation: type) -> None:
    """A setting of every chat model cannot be declared with another type: LangChain would fail at the call."""
    with pytest.raises(TypeError, match=rf"ChatOwn\.{name} is declared as {annotation.__name__}, but every chat model"):
        class_of(__annotations__={name: annotation}, **{name: None})


def test_settings_may_have_other_defaults_and_narrower_types() -> None:
    """An author may give a setting another default, or leave out some of what it can be."""

    class ChatQuick(ChatModel):
        timeout: float = 5
        keep_reasoning: Literal["never", "all"] = "all"
        metadata: dict[str, Any] | None = Field(default=None, exclude=True)

        def respond(self, request: Request) -> str:
            return str(self.timeout)

    assert ("5", "7.0") == (ChatQuick().invoke("?").text, ChatQuick(timeout=7).invoke("?").text)


def test_a_method_cannot_hide_behind_a_setting() -> None:
    """A method with the name of a setting would be hidden by the setting's value: it is refused."""
    with pytest.raises(TypeError, match=r"every chat model has a setting 'stop', which would hide this method"):

        class ChatBad(ChatModel):
            def stop(self) -> None: ...  # type: ignore[override,misc]


# --- capabilities ---


def test_capabilities_are_set_in_the_class_or_for_one_model() -> None:
    """What a class says holds for its models, unless one is told otherwise; a copy and a child keep it."""

    class ChatNative(ChatModel):
        tool_calling = "native"
        accepts = {"image"}  # type: ignore[assignment]  # noqa: RUF012 - any collection will do
        tool_format: ClassVar[str] = "hermes"  # type: ignore[misc]

        def respond(self, request: Request) -> str:
            return f"{len(request.tools)} tools"

    class ChatChild(ChatNative):
        structured_output = "native"

    native: Any = ChatNative()
    assert ("native", "derived", frozenset({"image"}), "hermes") == (
        native.tool_calling,
        native.structured_output,
        native.accepts,
        native.tool_format,
    )
    prompted: Any = ChatChild(tool_calling="prompted", accepts=[])
    assert ("prompted", "native", frozenset()) == (prompted.tool_calling, prompted.structured_output, prompted.accepts)
    assert "prompted" == prompted.model_copy().tool_calling
    assert ["1 tools", "0 tools"] == [model.bind_tools([add]).invoke("?").text for model in (ChatChild(), prompted)]
    assert ChatChild().cache_key() != prompted.cache_key()


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_capabilities_hold_for_the_model_that_has_them(backend: Backend) -> None:
    """`ChatEndpoint(tool_calling="prompted")` sends no tools, but tells the model of them."""
    model = ChatEndpoint(model="m", base_url=backend.openai_url, tool_calling="prompted")
    model.bind_tools([add]).invoke("What is 1 + 2?")
    assert "tools" not in backend.last.body
    assert "Add two numbers" in str(backend.last.body["messages"])
    ChatEndpoint(model="m", base_url=backend.openai_url).bind_tools([add]).invoke("What is 1 + 2?")
    assert "add" == backend.last.body["tools"][0]["function"]["name"]


def test_what_a_model_is_told_outweighs_its_description() -> None:
    """A described wire that sends tools can be told not to."""
    told = ChatHTTP(url="http://localhost/x", text="t", body={"tools": "$tools"}, tool_calls="c", tool_calling="off")
    assert "off" == told.tool_calling


WRONG: list[tuple[str, Any, str]] = [
    ("tool_calling", "nativ", "'native', 'templated', 'prompted' or 'off'"),
    ("structured_output", True, "'native' or 'derived'"),
    ("accepts", "image", "a frozenset of kinds of content"),
    ("tool_format", 3, "a format's name, a ToolFormat or None"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_capabilities_are_validated_in_the_class(name: str, value: Any, allowed: str) -> None:
    """A class that says something else than can be said is refused, with what it can be."""
    with pytest.raises(TypeError, match=rf"ChatOwn\.{name} is .*\. It must be {allowed}"):
        class_of(**{name: value})


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_capabilities_are_validated_in_the_constructor(name: str, value: Any, allowed: str) -> None:
    """So is a constructor."""

    @chat_model
    def echo(request: Request) -> str:
        return request.text

    with pytest.raises(ValidationError, match=name):
        echo(**{name: value})


def test_a_computed_capability_is_set_by_a_validator() -> None:
    """A property would silently outweigh the constructor: it is refused, and a validator works."""
    with pytest.raises(TypeError, match=r'tool_calling is a property.*`@model_validator\(mode="after"\)`'):

        class ChatBad(ChatModel):
            @property  # type: ignore[misc]
            def tool_calling(self) -> Literal["native"]:  # type: ignore[override,misc]
                return "native"

    class ChatSure(ChatModel):
        has_tools: bool = True

        @model_validator(mode="after")
        def _capable(self) -> "ChatSure":
            self.tool_calling = "native" if self.has_tools else "off"
            return self

        def respond(self, request: Request) -> str:
            return request.text

    assert ("native", "off") == (ChatSure().tool_calling, ChatSure(has_tools=False).tool_calling)


# --- a cache key follows the author's functions ---


class Scale:
    """Multiplies, as many times as it was told."""

    def __init__(self, by: int) -> None:
        self.by = by

    def of(self, text: str) -> str:
        """As a method."""
        return text * self.by

    __call__ = of


def closing_over(value: Any) -> Callable[[str], str]:
    """A function with `value` in its closure."""
    return lambda text: text + str(value)


def with_default(value: Any) -> Callable[..., str]:
    """A function with `value` as a default."""
    return lambda text, value=value: text + str(value)


def with_keyword_default(value: Any) -> Callable[..., str]:
    """A function with `value` as the default of a keyword."""
    return lambda text, *, value=value: text + str(value)


MAKERS: dict[str, Callable[[int], Callable[..., str]]] = {
    "a default": with_default,
    "a keyword's default": with_keyword_default,
    "a closure": closing_over,
    "a closure over a list": lambda n: closing_over([n]),
    "a closure over a dict of sets": lambda n: closing_over({"a": {n}}),
    "a closure over a function": lambda n: closing_over(with_default(n)),
    "a closure over an object": lambda n: closing_over(Scale(n)),
    "a bound method": lambda n: Scale(n).of,
    "a callable object": Scale,
    "a partial": lambda n: functools.partial(str.replace, "a", "b", n),
    "a partial over an object": lambda n: functools.partial(Scale.of, Scale(n)),
    "a method of a text": lambda n: ("," * n).join,
}


@chat_model
def cleaned(request: Request, *, clean: Any = None) -> str:
    """Cleans what it says."""
    return str(clean(request.text))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_models_that_hold_different_functions_never_share_an_answer(make: Callable[[int], Any]) -> None:
    """The key follows a function's code, defaults, closure and bound object; the same function has the same key."""
    one, two = make(1), make(2)
    assert cleaned(clean=one).cache_key() != cleaned(clean=two).cache_key()
    assert cleaned(clean=one).cache_key() == cleaned(clean=one).cache_key()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_models_made_of_different_functions_never_share_an_answer(make: Callable[[int], Any]) -> None:
    """The author's own function counts as much as one that is a setting."""

    def model_of(function: Callable[[str], str]) -> ChatModel:
        @chat_model
        def made(request: Request) -> str:
            return function(request.text)

        return made()

    one, two = make(1), make(2)
    assert model_of(one).cache_key() != model_of(two).cache_key()
    assert model_of(one).cache_key() == model_of(one).cache_key()


def test_the_code_of_respond_counts() -> None:
    """Two classes that differ in nothing but what `respond` does have different keys."""

    def loud(self: Any, request: Request) -> str:
        return request.text.upper()

    def quiet(self: Any, request: Request) -> str:
        return request.text.lower()

    quiet.__qualname__ = loud.__qualname__
    assert class_of(respond=loud)().cache_key() != class_of(respond=quiet)().cache_key()


async def test_all_shapes_keep_a_name_that_was_langplug_s() -> None:
    """The name `shape` is free in classes of every shape."""

    class ChatDraws(ChatModel):
        shape: str = "round"

        async def respond(self, request: Request) -> AsyncIterator[str]:
            yield self.shape

    assert "round" == (await ChatDraws().ainvoke([HumanMessage("?")])).text == ChatDraws().invoke("?").text


# --- keys in the open ---


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "hf_token",
        "access_token",
        "passwd",
        "password",
        "credential",
        "client_secret",
        "aws_secret_access_key",
    ],
)
def test_a_key_cannot_be_a_plain_text(name: str) -> None:
    """A `str` field that is named like a secret is refused, with the line to write; as a `SecretStr` it is hidden."""
    for annotation in (str, str | None):
        with pytest.raises(TypeError, match=rf'`{name}: SecretStr = env\("{name.upper()}"\)`'):
            class_of(__annotations__={name: annotation}, **{name: "x"})
    model = class_of(
        __annotations__={name: SecretStr}, **{name: SecretStr("sk-1")}, respond=lambda self, request: request.text
    )()
    assert "sk-1" not in repr(model) + model.cache_key() + str(model._identifying_params) + str(model.model_dump())


@pytest.mark.parametrize("name", ["max_tokens", "tokenizer", "pad_token", "key_points", "input_key", "secretary"])
def test_what_only_sounds_like_a_key_is_shown(name: str) -> None:
    """Fields whose names merely hold such a word are plain settings."""
    model = class_of(__annotations__={name: str}, **{name: "x1"}, respond=lambda self, request: request.text)()
    assert "x1" == model._identifying_params[name]


def test_secrets_in_a_dict_field_are_hidden() -> None:
    """Entries of a dict that are named like secrets stay out of traces and cache keys, however deep they lie."""
    settings = {"headers": {"X-Api-Key": "sk-1", "Accept": "text"}, "hf_token": "sk-2", "max_tokens": 3}
    model = class_of(
        __annotations__={"settings": dict}, settings=settings, respond=lambda self, request: request.text
    )()
    shown = str(model._identifying_params) + model.cache_key()
    assert "sk-" not in shown
    assert "'Accept': 'text'" in shown


@pytest.mark.parametrize("tags", [("", "x"), ("x", ""), (" ", "c"), ("<a\n>", "</a>")])
def test_reasoning_tags_are_checked_when_the_model_is_made(tags: tuple[str, str]) -> None:
    """Tags that cannot be recognised are refused by the constructor, not by the first call."""

    @chat_model
    def echo(request: Request) -> str:
        return request.text

    with pytest.raises(ValidationError, match="reasoning_tags"):
        echo(reasoning_tags=tags)


def test_identifying_params_add_to_the_key_and_never_narrow_it() -> None:
    """Whatever an author's `_identifying_params` leaves out, two models with other settings have other keys."""

    class ChatNarrow(ChatModel):
        temperature: float = 0.5
        extra: str = ""

        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {"only": "this", "more": self.extra}

        def respond(self, request: Request) -> str:
            return request.text

    assert ChatNarrow(temperature=0.1).cache_key() != ChatNarrow(temperature=0.9).cache_key()
    assert '"only": "this"' in ChatNarrow().cache_key()
