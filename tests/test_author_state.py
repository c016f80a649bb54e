"""What an author's class keeps besides its fields: cached properties, private attributes, mixins, an `__init__`."""

import copy
import enum
import functools
import pickle
import threading
import types
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.runnables import ConfigurableField
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    computed_field,
    model_validator,
)

from langplug import ChatModel, Request, env, resource
from langplug.models import ChatEndpoint

T = TypeVar("T")


class ChatCached(ChatModel):
    """As langchain-anthropic keeps its client."""

    temperature: float = 0.1

    @functools.cached_property
    def client(self) -> Any:
        """A client: it can be neither copied nor pickled."""
        return threading.Lock()

    @functools.cached_property
    def spoken(self) -> str:
        """What depends on a field."""
        return f"t={self.temperature}"

    def respond(self, request: Request, /) -> str:
        assert self.client
        return self.spoken


class ChatComputed(ChatModel):
    """pydantic's computed field, cached."""

    temperature: float = 0.1

    @computed_field  # type: ignore[prop-decorator]
    @functools.cached_property
    def spoken(self) -> str:
        """What depends on a field."""
        return f"t={self.temperature}"

    def respond(self, request: Request, /) -> str:
        return self.spoken


class ChatInit(ChatModel):
    """Keeps an argument of its own `__init__`."""

    temperature: float = 0.1

    def __init__(self, word: str = "t", **settings: Any) -> None:
        super().__init__(**settings)
        self._word = word

    def respond(self, request: Request, /) -> str:
        return f"{self._word}={self.temperature}"


class ChatEarly(ChatInit):
    """Sets it before it calls `super().__init__`, as any Python class may."""

    _declared: str = PrivateAttr(default="wrong")

    def __init__(self, word: str = "t", **settings: Any) -> None:
        self._early = self._declared = word
        super().__init__(**settings)

    def respond(self, request: Request, /) -> str:
        assert self._early == self._declared
        return f"{self._early}={self.temperature}"


class ChatPrivate(ChatModel):
    """Private attributes with defaults, set up once the fields are."""

    temperature: float = 0.1
    _word: str = PrivateAttr(default="wrong")
    _seen: list[str] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any, /) -> None:
        self._word = "t"
        self._undeclared = "="

    def respond(self, request: Request, /) -> str:
        self._seen.append(request.text)
        return f"{self._word}{self._undeclared}{self.temperature}"


class ChatPostInit(ChatPrivate):
    """As above, with `super`."""

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._more = 1


class Plain:
    """A mixin that knows nothing of pydantic, and sets its state on the way up."""

    def __init__(self, **settings: Any) -> None:
        self._word = "t"
        super().__init__(**settings)


class ChatMixed(Plain, ChatModel):
    """A model with a plain mixin."""

    temperature: float = 0.1

    def respond(self, request: Request, /) -> str:
        return f"{self._word}={self.temperature}"


class Fields(BaseModel):
    """A mixin of pydantic's."""

    temperature: float = 0.1
    _word: str = PrivateAttr(default="t")


class ChatMixedFields(Fields, ChatModel):
    """A model with fields and a private attribute of a mixin."""

    def respond(self, request: Request, /) -> str:
        return f"{self._word}={self.temperature}"


class ChatSlots(ChatModel):
    """Keeps its state in a slot."""

    __slots__ = ("_word",)

    temperature: float = 0.1

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._word = "t"

    def respond(self, request: Request, /) -> str:
        return f"{self._word}={self.temperature}"


class ChatGeneric(ChatModel, Generic[T]):
    """A generic model."""

    temperature: T

    def respond(self, request: Request, /) -> str:
        return f"t={self.temperature}"


def make_generic(**settings: Any) -> ChatModel:
    """One whose class has a name that no module holds."""
    return ChatGeneric[float](**{"temperature": 0.1, **settings})


class ChatChecks(ChatModel):
    """Validates assignments, and looks at its private state as it does."""

    model_config = ConfigDict(validate_assignment=True)

    temperature: float = 0.1
    _word: str = PrivateAttr(default="t")

    @functools.cached_property
    def spoken(self) -> str:
        """What depends on a field."""
        return f"{self._word}={self.temperature}"

    @model_validator(mode="after")
    def check(self) -> "ChatChecks":
        """Read what is private."""
        assert self._word
        return self

    def respond(self, request: Request, /) -> str:
        return self.spoken


MAKERS: list[Callable[..., ChatModel]] = [
    ChatCached,
    ChatComputed,
    ChatInit,
    ChatEarly,
    ChatPrivate,
    ChatPostInit,
    ChatMixed,
    ChatMixedFields,
    ChatSlots,
    make_generic,
    ChatChecks,
]
each_kind = pytest.mark.parametrize("make", MAKERS)


@each_kind
async def test_a_call_s_parameters_go_with_state_of_every_kind(make: Callable[..., ChatModel]) -> None:
    """A parameter of one call counts for that call, on every path, however often, whatever the class holds."""
    model = make()
    for _ in range(2):
        assert "t=0.1" == model.invoke("x").text
        assert "t=0.5" == model.invoke("x", temperature=0.5).text
        assert "t=0.6" == (await model.ainvoke("x", temperature=0.6)).text
        assert "t=0.7" == "".join(chunk.text for chunk in model.stream("x", temperature=0.7))
        assert "t=0.8" == "".join([chunk.text async for chunk in model.astream("x", temperature=0.8)])
        assert "t=0.9" == model.bind(temperature=0.9).invoke("x").text
        assert ["t=0.2"] * 3 == [one.text for one in model.batch(["x"] * 3, temperature=0.2)]
        assert "t=0.1" == model.invoke("x").text


@each_kind
def test_configuration_and_agents_go_with_state_of_every_kind(make: Callable[..., ChatModel]) -> None:
    """A configurable field, and the settings that an agent's middleware gives, are parameters as any."""
    model = make()
    model.invoke("x")
    configurable = model.configurable_fields(temperature=ConfigurableField(id="t"))
    assert "t=0.5" == configurable.invoke("x", {"configurable": {"t": 0.5}}).text

    @wrap_model_call
    def hot(request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]) -> ModelResponse:
        return handler(request.override(model_settings={"temperature": 0.5}))

    agent: Any = create_agent(model, [], middleware=[hot])
    assert ["t=0.5"] * 2 == [agent.invoke({"messages": "x"})["messages"][-1].text for _ in range(2)]


@each_kind
def test_copies_and_pickles_keep_state_of_every_kind(make: Callable[..., ChatModel]) -> None:
    """Copies of each kind, and pickles, equal what they were made of, also after use, and answer as it does."""
    model = make()
    model.invoke("x", temperature=0.5)
    model.invoke("x")
    pickled: ChatModel = pickle.loads(pickle.dumps(model))
    copies = [copy.copy(model), copy.deepcopy(model), model.model_copy(), model.model_copy(deep=True), pickled]
    for one in copies:
        assert model == one == make()
        assert "t=0.1" == one.invoke("x").text
        assert "t=0.5" == one.invoke("x", temperature=0.5).text
    assert model != make(temperature=0.5)
    for deep in (False, True):
        changed = model.model_copy(update={"temperature": 0.5}, deep=deep)
        assert "t=0.5" == changed.invoke("x").text
        assert model != changed
    assert repr(make()) == repr(model)
    assert model.cache_key() == model.cache_key()


def test_what_is_cached_is_kept_by_copies_with_the_same_settings_alone() -> None:
    """A copy with other settings makes its cached properties anew; a shallow one with the same settings shares them."""
    model = ChatCached()
    client = model.client
    assert client is copy.copy(model).client is model.model_copy().client
    assert client is not model.model_copy(update={"temperature": 1}).client
    assert client is not copy.deepcopy(model).client
    assert client is model.client


def test_a_deep_copy_is_deep_where_a_cached_property_gives_a_field() -> None:
    """What a field holds is copied, though a cached property holds it as well; a cycle through the model ends."""

    class ChatCycle(ChatModel):
        items: list[Any] = Field(default_factory=list)

        @functools.cached_property
        def same(self) -> list[Any]:
            return self.items

        def respond(self, request: Request, /) -> str:
            return str(len(self.items))

    model = ChatCycle(cache=False)
    model.items.append(model)
    assert model.same is model.items
    copied = copy.deepcopy(model)
    assert copied.items is not model.items
    assert copied.items[0] is copied
    assert copied.same is copied.items


def test_private_data_makes_models_differ_and_what_they_make_does_not() -> None:
    """Models that were set up with other private data are not equal; a client made in between changes nothing."""

    class ChatLazy(ChatInit):
        _client: Any = PrivateAttr(default=None)
        _log: list[str] = PrivateAttr(default_factory=list)

        def respond(self, request: Request, /) -> str:
            self._client = self._client or threading.Lock()
            self._log.append(request.text)
            return "x"

    used = ChatLazy()
    used.invoke("x")
    assert ChatLazy() == used
    assert ChatLazy("other") != used
    assert ChatInit("t") != ChatInit("u")
    assert ChatSlots() != ChatInit()


# --- `self.x = ...` where there is no x ---


def test_what_cannot_be_kept_says_what_to_write() -> None:
    """`self.client = ...` without a declaration names the class, the attribute, and the ways to declare it."""

    class ChatAssigns(ChatModel):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.client = object()  # type: ignore[misc]

        def respond(self, request: Request, /) -> str:
            return "x"

    with pytest.raises(ValueError, match=r"ChatAssigns declares no 'client'.*field.*`self\._client.*`@resource`"):
        ChatAssigns()


def test_what_cannot_be_kept_later_says_so_too() -> None:
    """The same holds in `respond`, with the parameters of a call, and for a resource or a method."""

    class ChatCounts(ChatModel):
        temperature: float = 0.0

        @resource
        def client(self) -> object:
            return object()

        def respond(self, request: Request, /) -> str:
            self.count = 1  # type: ignore[misc]
            return "x"

    for given in ({}, {"temperature": 1.0}):
        with pytest.raises(ValueError, match="ChatCounts declares no 'count'"):
            ChatCounts().invoke("x", **given)
    for name, sentence in (("client", r"is a resource.*`ChatCounts\(client="), ("invoke", r"is a method.*monkeypatch")):
        with pytest.raises(ValueError, match=sentence):
            setattr(ChatCounts(), name, object())
    model = ChatCounts()
    model.temperature = 2.0
    assert 2.0 == model.temperature


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("url", "u", '`url: str = ""`'),
        ("depth", 3, "`depth: int = 0`"),
        ("share", 0.5, "`share: float = 0.0`"),
        ("loud", True, "`loud: bool = False`"),
        ("opts", {"a": 1}, "`opts: dict = {}`"),
        ("words", ["a"], "`words: list = []`"),
        ("conn", threading.Lock(), "`conn: Any = None`"),
        ("nothing", None, "`nothing: Any = None`"),
        ("hf_token", "hf-1", '`hf_token: SecretStr = env("HF_TOKEN")`'),
        ("temprature", 1, "Did you mean 'temperature'?"),
        ("steaming", True, "Did you mean 'streaming'?"),
    ],
)
def test_the_field_to_declare_is_of_the_value_s_type(name: str, value: Any, sentence: str) -> None:
    """What is assigned under an unknown name is declared by its type, a secret as one, and a slip is asked about."""
    model = ChatCached()
    with pytest.raises(ValueError, match=f"declares no '{name}'") as caught:
        setattr(model, name, value)
    assert sentence in str(caught.value)
    assert "hf-1" not in str(caught.value)
    assert ("Did you mean" in str(caught.value)) == sentence.startswith("Did you mean")


def test_a_field_set_too_early_says_what_to_do() -> None:
    """A field that `__init__` sets before `super().__init__` names what to call first."""

    class ChatTooEarly(ChatModel):
        url: str = "u"

        def __init__(self, url: str) -> None:
            self.url = url
            super().__init__()

        def respond(self, request: Request, /) -> str:
            return "x"

    with pytest.raises(ValueError, match=r"ChatTooEarly: `self\.url.*`super\(\)\.__init__\(url=\.\.\.\)`"):
        ChatTooEarly("x")


# --- what traces call it ---


class ChatProperty(ChatModel):
    """Says its name by a property."""

    @property
    def model_name(self) -> str:
        """Its name."""
        return "acme-1"

    def respond(self, request: Request, /) -> str:
        return "x"


class ChatAlias(ChatModel):
    """Calls its fields as its server does, and lets callers call them as LangChain does."""

    deployment: str = Field(default="acme-1", alias="model")
    t: float = Field(default=0.5, alias="temperature")
    longest: int = Field(default=7, validation_alias="max_tokens")

    def respond(self, request: Request, /) -> str:
        return f"{self.deployment} {self.t} {self.longest}"


class ChatConstant(ChatModel):
    """Has one model only."""

    model: ClassVar[str] = "acme-1"

    def respond(self, request: Request, /) -> str:
        return "x"


class ChatWeights(ChatModel):
    """Calls its weights `model`, which nobody must load to learn a name."""

    model_id: str = "acme-1"

    @functools.cached_property
    def model(self) -> Any:
        """Weights."""
        raise AssertionError("loaded")

    def respond(self, request: Request, /) -> str:
        return "x"


class ChatWeightsResource(ChatWeights):
    """The same, as a resource."""

    @resource
    def model(self) -> Any:  # type: ignore[override]
        """Weights."""
        raise AssertionError("loaded")


class Word(str, enum.Enum):  # noqa: UP042 - `str(Word.SMALL)` is "Word.SMALL", as in most people's code
    """Names that are texts."""

    SMALL = "acme-1"
    LARGE = "acme-2"


class Names(enum.Enum):
    """Names."""

    SMALL = "acme-1"
    LARGE = "acme-2"


class Text(str):
    """A text of its own kind."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def chat_named(name: Any, how: str) -> type[ChatModel]:
    """A class that keeps `name` in a field, with an alias or without, in a property or in a constant."""
    body: dict[str, Any] = {"respond": lambda self, request: "x", "provider": name}
    if how == "a property":
        body["model"] = property(lambda self: name)
        body["model"].fget.__annotations__["return"] = type(name)
    elif how == "an alias":
        body |= {"__annotations__": {"deployment": type(name)}, "deployment": Field(name, alias="model_name")}
    else:
        body |= {"__annotations__": {"model": ClassVar[Any] if how == "a constant" else Any}, "model": name}
    return types.new_class("ChatNamed", (ChatModel,), exec_body=lambda namespace: namespace.update(body))


@pytest.mark.parametrize("how", ["a field", "an alias", "a property", "a constant"])
@pytest.mark.parametrize("name", [Word.SMALL, Names.SMALL, Text("acme-1")], ids=["text", "enum", "subclass"])
def test_a_model_s_name_is_plain_text(name: Any, how: str) -> None:
    """A name that is a member of an enumeration, or of a subclass of `str`, is reported as its text."""
    if how == "an alias" and isinstance(name, Text):
        name = Word.SMALL  # pydantic has no schema for it
    model = chat_named(name, how)()
    [told] = [*model.stream("x")][-1:]
    traced: Any = model._get_ls_params()
    reported = [model.reported_name, model.reported_provider, traced["ls_model_name"], traced["ls_provider"]]
    reported += [(model.profile or {}).get("name"), model._serialized["kwargs"]["model"]]  # type: ignore[call-overload]
    for message in (model.invoke("x"), told):
        reported += [message.response_metadata["model_name"], message.response_metadata["model_provider"]]
    assert {"acme-1"} == set(reported)
    assert {str} == set(map(type, reported))
    if how == "a field":
        other: Any = Names.LARGE if isinstance(name, Names) else Word.LARGE
        assert "acme-2" == model._get_ls_params(model=other)["ls_model_name"]
        assert "acme-1" == model._identifying_params["model"]
        assert "acme-2" == model.call_parameters(None, {"model": other})["model"]
        assert "acme-2" == model.invoke("x", model=other).response_metadata["model_name"]
        assert len({model.cache_key(), model.cache_key(model=other)}) == 2


@pytest.mark.parametrize("cls", [ChatProperty, ChatAlias, ChatConstant, ChatWeights, ChatWeightsResource])
def test_a_model_s_name_is_found_wherever_its_author_keeps_it(cls: type[ChatModel]) -> None:
    """The reported name is that of a field, its alias, a property or a constant."""
    model = cls()
    assert "acme-1" == model.reported_name
    assert "acme-1" == model._get_ls_params()["ls_model_name"]
    assert "acme-1" == model.invoke("x").response_metadata["model_name"]


def test_a_property_that_fails_costs_no_call() -> None:
    """A name that its author's property cannot tell is not reported, and nothing is raised."""

    class ChatFails(ChatModel):
        @property
        def model_name(self) -> str:
            raise RuntimeError("no name yet")

        def respond(self, request: Request, /) -> str:
            return "x"

    assert "chat-fails" == ChatFails().reported_name
    assert "x" == ChatFails().invoke("x").text


def test_tracing_parameters_follow_aliases() -> None:
    """LangSmith's parameters are those of the fields with these names, also by alias, and those of a call."""
    params = ChatAlias()._get_ls_params()
    assert ("acme-1", 0.5, 7) == tuple(params[f"ls_{name}"] for name in ("model_name", "temperature", "max_tokens"))  # type: ignore[literal-required]
    params = ChatAlias()._get_ls_params(model="acme-2", temperature=1, max_tokens=9)
    assert ("acme-2", 1, 9) == tuple(params[f"ls_{name}"] for name in ("model_name", "temperature", "max_tokens"))  # type: ignore[literal-required]
    assert "acme-2 1.0 9" == ChatAlias().invoke("x", model="acme-2", temperature=1, max_tokens=9).text


def test_a_field_may_have_several_aliases() -> None:
    """Each name of an `AliasChoices`, and the field's own, is one for the constructor and for a call."""

    class ChatChoices(ChatModel):
        size: int = Field(default=1, validation_alias=AliasChoices("n", "count"))

        def respond(self, request: Request, /) -> str:
            return str(self.size)

    for name in ("size", "n", "count"):
        assert "2" == ChatChoices(**{name: 2}).invoke("x").text
        assert "3" == ChatChoices().invoke("x", **{name: 3}).text
        assert "3" == ChatChoices().bind(**{name: 3}).invoke("x").text


def test_a_path_is_no_name() -> None:
    """An `AliasPath`, which takes a value out of another argument, is refused when the class is made."""
    with pytest.raises(TypeError, match=r"ChatPath\.size: an AliasPath .*AliasChoices\("):

        class ChatPath(ChatModel):
            size: int = Field(default=1, validation_alias=AliasChoices("n", AliasPath("sizes", 0)))

            def respond(self, request: Request, /) -> str:
                return str(self.size)


def test_a_repr_compares_nothing() -> None:
    """A field whose values compare element by element, such as an array, is shown like any other."""

    class Elementwise:
        def __eq__(self, other: object) -> Any:
            raise ValueError("ambiguous")

        __hash__ = None  # type: ignore[assignment]

        def __repr__(self) -> str:
            return "[1 2]"

    class ChatArray(ChatModel):
        weights: Any = None

        def respond(self, request: Request, /) -> str:
            return "x"

    assert "Elementwise" in repr(ChatArray(weights=Elementwise()))


class ChatKeyed(ChatEarly):
    """Needs a key, and has slots."""

    __slots__ = ("_slot",)

    key: SecretStr = env("LANGPLUG_TEST_NO_SUCH_KEY")
    fallback: Any = None

    def model_post_init(self, context: Any, /) -> None:
        if self.fallback is not None:
            raise RuntimeError("set up half")


FAILING: dict[str, Callable[[], Any]] = {
    "a missing secret": lambda: ChatKeyed("loud"),
    "a wrong value": lambda: ChatKeyed("loud", key="k-1", temperature="hot"),
    "a misspelt parameter": lambda: ChatKeyed("loud", key="k-1", temprature=1),
    "an error after the fields are set": lambda: ChatKeyed("loud", key="k-1", temperature=0.7, fallback=1),
    "an endpoint": lambda: ChatEndpoint(model="m", base_url="ftp://nowhere"),
}


@pytest.mark.parametrize("how", FAILING)
def test_half_a_model_can_be_shown_and_copied(how: str) -> None:
    """Error trackers show and copy the model whose constructor has failed, which holds little or nothing yet."""
    with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
        FAILING[how]()
    models = [frame.locals["self"] for frame in caught.traceback if isinstance(frame.locals.get("self"), ChatModel)]
    assert models
    for model in [*models, object.__new__(type(models[0]))]:
        for half in (model, copy.copy(model), copy.deepcopy(model), model.model_copy()):
            assert repr(half).startswith(f"{type(model).__name__}(")
            assert f"{half}" == str(half) == " ".join(f"{name}={value!r}" for name, value in half.__repr_args__())
            assert "k-1" not in repr(half) + repr(list(half.__rich_repr__())) + str(half._identifying_params)
            assert getattr(half, "_early", None) == getattr(model, "_early", None)
            assert half == half.model_copy()


def test_a_misspelt_parameter_is_still_an_error() -> None:
    """What a model holds is never a parameter: a cached property's name, or a private one, is refused as any other."""
    model = ChatCached()
    model.invoke("x")
    for name in ("client", "_word", "temprature"):
        with pytest.raises(TypeError, match=f"no parameter '{name}'"):
            ChatCached(**{name: 1})
        with pytest.raises(TypeError, match=f"no parameter '{name}'"):
            model.invoke("x", **{name: 1})


def test_our_own_models_copy_as_they_did() -> None:
    """A model of langplug's, too, is copied and changed by `model_copy`."""
    model = ChatEndpoint(model="m", base_url="http://127.0.0.1:9/v1")
    changed = model.model_copy(update={"model": "n"})
    assert ("m", "n") == (model.reported_name, changed.reported_name)
    assert model == copy.deepcopy(model)
