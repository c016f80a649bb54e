"""What the key of a cache entry follows beside the fields: code, private state, and what an author adds."""

import functools
import gc
import subprocess
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.load import dumps
from pydantic import Field, PrivateAttr, SecretStr

from langplug import ChatModel, Request, chat_model


class ChatStyled(ChatModel):
    """Has private state of every kind."""

    n: int = 1
    calls_of_all: ClassVar[int] = 0
    _style: str = PrivateAttr("plain")
    _calls: int = PrivateAttr(0)
    _asked: list[str] = PrivateAttr(default_factory=list)
    _client: Any = PrivateAttr(None)

    def __init__(self, style: str = "plain", **fields: Any) -> None:
        super().__init__(**fields)
        self._style = style
        self._undeclared = style

    def set_style(self, style: str) -> None:
        self._style = style

    @functools.cached_property
    def expensive(self) -> object:
        return object()

    def respond(self, request: Request) -> str:
        type(self).calls_of_all += 1
        self._count(request)
        return f"{self._style} {self._calls}"

    def _count(self, request: Request) -> None:
        self._calls += 1
        self._asked.append(request.text)
        assert self.expensive
        if self._client is None:
            self._client = object()


class ChatPrepared(ChatModel):
    """Prepares itself after its fields are set."""

    n: int = 1
    _prompt: str

    def model_post_init(self, context: Any, /) -> None:
        self._prompt = "x" * self.n if self.n < 3 else "many"

    def respond(self, request: Request) -> str:
        return self._prompt


def test_private_state_counts() -> None:
    """Models whose private attributes were made differently do not share answers; those made alike do."""
    cache = InMemoryCache()
    answers = [ChatStyled(style, cache=cache).invoke("x").text for style in ("plain", "bold", "plain")]
    assert ["plain 1", "bold 1", "plain 1"] == answers
    assert ChatPrepared(n=1).cache_key() != ChatPrepared(n=2).cache_key() == ChatPrepared(n=2).cache_key()


def test_private_state_counts_when_it_is_set_later() -> None:
    """An assignment from outside, also by a method that calls do not use, gives another key."""
    model = ChatStyled()
    keys = [model.cache_key()]
    model._style = "bold"
    keys.append(model.cache_key())
    model.set_style("italic")
    keys.append(model.cache_key())
    copied = model.model_copy()
    copied._style = "thin"
    keys.append(copied.cache_key())
    assert 4 == len(set(keys))


def test_what_calls_change_does_not_count() -> None:
    """A counter, a list of what was asked, and a client made on first use leave the key as it is."""
    model = ChatStyled(cache=InMemoryCache())
    assert ["plain 1"] * 3 == [model.invoke("x").text for _ in range(3)]
    assert 1 == model._calls
    assert {} == model.__langplug_unshared__()


def test_asking_for_the_key_keeps_nothing_alive() -> None:
    """A model whose private state holds the model itself is freed as any other, and equality knows no keys."""
    model = ChatStyled()
    model._client = model.set_style
    model.cache_key()
    assert ChatStyled() == ChatStyled()
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


# --- the code that a call runs ---


def module_of(source: str) -> dict[str, Any]:
    """The names of a module with this source."""
    module: dict[str, Any] = {"__name__": "authors_module"}
    exec(compile(source, "authors_module.py", "exec"), module)
    return module


SOURCE = """
from langplug import ChatModel, chat_model
import functools
from typing import ClassVar
STYLE = "loud"
COUNT = 0
ASKED = []
def outer(text): return inner(text) + STYLE
def inner(text): return text.upper()
def cached(function): return functools.lru_cache(function)
@cached
def slow(text): return text + "?"
@chat_model
def function(request):
    global COUNT
    COUNT += 1
    ASKED.append(COUNT)
    return outer(slow(request.text))
class ChatOwn(ChatModel):
    def respond(self, request): return self._say(request.text)
    def _say(self, text): return text + self.ending
    ending = property(lambda self: "!")
    MARK: ClassVar[str] = "x"
"""

CHANGES = {
    "a constant": ('STYLE = "loud"', 'STYLE = "quiet"'),
    "a function": ("text) + STYLE", "text) - STYLE"),
    "a function of a function": ("text.upper()", "text.lower()"),
    "a decorated function": ('text + "?"', 'text + "??"'),
    "the function itself": ("outer(slow", "slow(outer"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_functions_and_constants_of_the_module_count(change: str) -> None:
    """What the author's function reads of its own module is part of what it does, however far it leads."""
    key = module_of(SOURCE)["function"]().cache_key()
    assert key == module_of(SOURCE)["function"]().cache_key()
    assert key != module_of(SOURCE.replace(*CHANGES[change]))["function"]().cache_key()


def test_a_function_that_is_defined_again_counts_at_once() -> None:
    """In a notebook, a cell is run again: models that exist follow it, too."""
    module = module_of(SOURCE)
    model = module["function"]()
    key = model.cache_key()
    assert "X?loud" == model.invoke("x").text
    assert key == model.cache_key()  # what a call changes is nobody's doing
    exec("def inner(text): return text.lower()", module)
    assert key != model.cache_key()


@pytest.mark.parametrize(
    "change", [("text + self.ending", "self.ending"), ('"!"', '"?"'), ('[str] = "x"', '[str] = "y"')]
)
def test_the_methods_of_the_class_count(change: tuple[str, str]) -> None:
    """So do the other methods, properties and constants of an author's class."""
    key = module_of(SOURCE)["ChatOwn"]().cache_key()
    assert key == module_of(SOURCE)["ChatOwn"]().cache_key()
    assert key != module_of(SOURCE.replace(*change))["ChatOwn"]().cache_key()


def test_keys_are_the_same_in_every_process() -> None:
    """Also where a function holds a set, whose order differs from process to process."""
    source = (
        SOURCE
        + "\nmodel = function()\n"
        + 'print(chat_model(lambda request: request in {"a", "b", "c"})().cache_key())'
    )
    run = [sys.executable, "-c", source + "\nprint(ChatOwn().cache_key())"]
    keys = {
        subprocess.run(
            run, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert 1 == len(keys)


class Size(NamedTuple):
    width: int
    api_key: str = ""


def test_named_tuples_are_data() -> None:
    """A named tuple counts by its values, and shows them under its names."""

    @chat_model
    def sized(request: Request, *, size: Any = None) -> str:
        return ""

    one, same, other = sized(size=Size(1, "k-1")), sized(size=Size(1, "k-1")), sized(size=Size(2, "k-1"))
    assert one.cache_key() == same.cache_key() != other.cache_key()
    assert {"width": 1, "api_key": "**********"} == one._identifying_params["size"]


def test_models_of_others_count_by_all_their_settings() -> None:
    """A LangChain model in a field counts by its settings, those that its own key leaves out included."""

    @chat_model
    def wrapping(request: Request, *, inner: Any = None) -> str:
        return ""

    keys = [wrapping(inner=FakeListChatModel(responses=["x"], sleep=sleep)).cache_key() for sleep in (1, 2, 1)]
    assert keys[0] == keys[2] != keys[1]


# --- `_identifying_params` of authors ---


class Params:
    """A mixin."""

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"only": "this"}


def raise_error(self: Any) -> Any:
    raise RuntimeError("not now")


OVERRIDES: dict[str, Any] = {
    "a property": property(lambda self: {"only": "this"}),
    "a cached property": functools.cached_property(lambda self: {"only": "this"}),
    "a method": lambda self: {"only": "this"},
    "a dict": {"only": "this"},
    "one that adds": property(lambda self: {**ChatModel._identifying_params.fget(self), "only": "this"}),  # type: ignore[attr-defined]
    "one that raises": property(raise_error),
    "one that gives nothing": property(lambda self: None),
    "one with objects": property(lambda self: {"only": "this", "client": object(), "token": "k-1", 3: {4}}),
}


@pytest.mark.parametrize("how", [*OVERRIDES, "a mixin"])
def test_identifying_params_add_and_never_narrow(how: str) -> None:
    """However an author overrides `_identifying_params`: it adds to the key, shows no secret, and breaks nothing."""
    body: dict[str, Any] = {"__annotations__": {"n": int}, "n": 1, "respond": lambda self, request: str(self.n)}
    bases: tuple[type, ...] = (Params, ChatModel) if how == "a mixin" else (ChatModel,)
    if how in OVERRIDES:
        body["_identifying_params"] = OVERRIDES[how]
    if how == "a cached property":
        OVERRIDES[how].__set_name__(object, "_identifying_params")
    cls: Any = types.new_class("ChatOwn", bases, exec_body=lambda namespace: namespace.update(body))
    assert cls(n=1).cache_key() != cls(n=2).cache_key()
    assert cls(n=1).cache_key() == cls(n=1).cache_key()
    assert "k-1" not in cls().cache_key() + str(cls().asdict())
    if how not in ("one that raises", "one that gives nothing"):
        assert '"only": "this"' in cls().cache_key()
    assert "1" == cls(cache=InMemoryCache()).invoke("x").text


@pytest.mark.parametrize(
    "name", ["api_key", "ApiKey", "token", "x-api-key", "client_secret", "headers", "url", "pairs"]
)
def test_identifying_params_of_an_author_show_no_secret(name: str) -> None:
    """Whether or not a field is called so too, what an author tells under a secret's name shows nowhere."""
    key = "k-0123456789"
    values: dict[str, Any] = {
        "headers": {"Authorization": key}, "url": f"https://me:{key}@h/", "pairs": [("Cookie", key)]
    }  # fmt: skip

    class ChatTelling(ChatModel):
        api_key: SecretStr = Field(default=SecretStr(key), alias="ApiKey")
        token: str = key

        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {"shown": "yes", name: values.get(name, key)}

        def respond(self, request: Request, /) -> str:
            return "x"

    model = ChatTelling()
    shown = f"{model._get_invocation_params()} {model.asdict()} {model.cache_key()} {dumps(model)}"
    assert key not in shown
    assert "'shown': 'yes'" in shown


def make_nested(depth: int) -> Callable[[str], str]:
    """A function in a closure in a closure."""
    if depth == 0:
        return str.upper
    inner = make_nested(depth - 1)
    return lambda text: inner(text) + str(depth)


def test_functions_that_hold_each_other_have_keys() -> None:
    """A recursive closure and a deep one are followed to their end."""

    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    @chat_model
    def recursive(request: Request, *, function: Any = None) -> str:
        return str(even(2))

    assert recursive(function=even).cache_key() == recursive(function=even).cache_key()
    assert recursive(function=make_nested(50)).cache_key() != recursive(function=make_nested(49)).cache_key()
