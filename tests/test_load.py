"""`load`: from a reference to a model."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.runnables import RunnableLambda
from pydantic import ValidationError

from langplug import ChatModel, load

SOURCE = """
from __future__ import annotations

import functools

from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda

from langplug import ChatModel, Request, chat_model


class Repeat(ChatModel):
    times: int = 2

    def respond(self, request: Request, /) -> str:
        return request.text * self.times


class Needy(ChatModel):
    path: str

    def respond(self, request: Request, /) -> str:
        return self.path


instance = Repeat(times=3)
foreign = GenericFakeChatModel(messages=iter(["I am foreign."]))


class Holder:
    inner = Repeat(times=4)

    def make(self):
        return Repeat(times=6)

    def answer(self, request):
        return "bound " + request.text


holder = Holder()


@chat_model
def decorated(request: Request) -> str:
    return "decorated " + request.text


def by_name(request):
    return "named " + request.text


def by_annotation(question: Request, *, mark: str = "?"):
    yield "annotated " + question.text + mark


async def asynchronous(request):
    return "asynchronous " + request.text


def factory():
    return Repeat(times=5)


def factory_with_defaults(times: int = 7, *rest, **more):
    return Repeat(times=times)


partial_factory = functools.partial(Repeat, times=8)


def useless():
    return prompt


def chain_factory():
    return chain


def crashing():
    raise LookupError("no such thing")


async def async_factory():
    return Repeat()


def other(prompt, history):
    return prompt


prompt = PromptTemplate.from_template("{x}")
chain = RunnableLambda(lambda messages: messages[-1].text.upper()) | RunnableLambda(str)
number = 3
"""


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has a current directory and imports of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "bench_models.py").write_text(SOURCE, encoding="utf-8")
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("attribute", "answer"),
    [
        pytest.param("instance", "hihihi", id="an instance"),
        pytest.param("foreign", "I am foreign.", id="an instance of somebody else's class"),
        pytest.param("Holder.inner", "hihihihi", id="a dotted attribute"),
        pytest.param("Repeat", "hihi", id="a class"),
        pytest.param("decorated", "decorated hi", id="a decorated function"),
        pytest.param("by_name", "named hi", id="a function whose argument is called request"),
        pytest.param("by_annotation", "annotated hi?", id="a generator whose argument is annotated as Request"),
        pytest.param("asynchronous", "asynchronous hi", id="an async function"),
        pytest.param("holder.answer", "bound hi", id="a method with the rule's shape"),
        pytest.param("factory", "hi" * 5, id="a factory"),
        pytest.param("factory_with_defaults", "hi" * 7, id="a factory whose arguments have defaults"),
        pytest.param("partial_factory", "hi" * 8, id="a partial"),
        pytest.param("holder.make", "hi" * 6, id="a method that makes one"),
    ],
)
def test_what_a_reference_may_lead_to(attribute: str, answer: str) -> None:
    """An instance, a class, a factory and a function of langplug's rule each become a working model."""
    model = load(f"bench_models:{attribute}")
    assert isinstance(model, BaseChatModel)
    assert answer == model.invoke("hi").text


def test_an_instance_is_taken_as_it_is() -> None:
    """A reference to an instance gives that very instance, each time."""
    assert load("bench_models:instance") is load("bench_models:instance")


@pytest.mark.parametrize(
    "reference", ["./bench_models.py:instance", "bench_models.py:instance", "{}/bench_models.py:instance"]
)
def test_a_file(reference: str, tmp_path: Path) -> None:
    """A path leads to a file, which is imported once, under its own name, so that its models can be pickled."""
    model = load(reference.format(tmp_path))
    assert model is load("./bench_models.py:instance")
    assert "hihihi" == pickle.loads(pickle.dumps(model)).invoke("hi").text


def test_a_file_imports_its_neighbours(tmp_path: Path) -> None:
    """A file elsewhere may import what lies beside it."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "neighbour.py").write_text("WORD = 'beside'", encoding="utf-8")
    (tmp_path / "deep" / "talks.py").write_text("import neighbour\ndef say(request): return neighbour.WORD")
    assert "beside" == load("deep/talks.py:say").invoke("hi").text


def test_a_file_named_like_a_module(tmp_path: Path) -> None:
    """A file that has the name of an importable module is taken all the same, and the module stays what it was."""
    (tmp_path / "json.py").write_text("def say(request): return 'mine'", encoding="utf-8")
    (tmp_path / "not-a-name.py").write_text("def say(request): return 'mine too'", encoding="utf-8")
    import json

    assert "mine" == load("./json.py:say").invoke("hi").text
    assert "mine too" == load("./not-a-name.py:say").invoke("hi").text
    assert sys.modules["json"] is json


def test_a_package(tmp_path: Path) -> None:
    """A module may be dotted, and lie in the current directory."""
    (tmp_path / "shop" / "models").mkdir(parents=True)
    (tmp_path / "shop" / "models" / "talk.py").write_text("def say(request): return 'sold'", encoding="utf-8")
    assert "sold" == load("shop.models.talk:say").invoke("hi").text


@pytest.mark.parametrize(
    "reference", ["", "module", "module:", ":attribute", "mo dule:a", "module:a b", "a..b:c", "a:b."]
)
def test_a_reference_of_the_wrong_form(reference: str) -> None:
    """What is not a reference is refused; the error shows one."""
    with pytest.raises(
        ValueError, match=r"is not a reference to a model: expected 'package\.module:attribute' or"
    ) as raised:
        load(reference)
    assert repr(reference) in str(raised.value)


def test_a_missing_module() -> None:
    """A module that is not there is an error that suggests a file in the current directory."""
    with pytest.raises(ModuleNotFoundError) as raised:
        load("bench_model:instance")
    assert (
        "no module 'bench_model' in the current directory or among the installed packages, "
        "did you mean 'bench_models'?" == str(raised.value)
    )


def test_a_missing_submodule(tmp_path: Path) -> None:
    """Where the package is there and its module is not, the module is named."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    with pytest.raises(ModuleNotFoundError, match=r"no module 'shop\.models'"):
        load("shop.models:say")


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that is not there is an error that suggests its neighbour."""
    with pytest.raises(FileNotFoundError) as raised:
        load("./bench_model.py:instance")
    assert f"no file '{tmp_path}/bench_model.py', did you mean 'bench_models.py'?" == str(raised.value)


@pytest.mark.parametrize("reference", ["broken:model", "./broken.py:model"])
@pytest.mark.parametrize(
    ("source", "why"),
    [
        pytest.param("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'", id="import"),
        pytest.param("1 / 0", "ZeroDivisionError: division by zero", id="crash"),
        pytest.param("import sys; sys.exit(3)", "SystemExit: 3", id="exit"),
        pytest.param("def f(:", "SyntaxError: invalid syntax", id="syntax"),
    ],
)
def test_a_module_that_fails(reference: str, source: str, why: str, tmp_path: Path) -> None:
    """A module that is there and fails is told from one that is missing; its own error is the cause."""
    (tmp_path / "broken.py").write_text(source, encoding="utf-8")
    with pytest.raises(ImportError, match="was found, but importing it failed with") as raised:
        load(reference)
    assert not isinstance(raised.value, ModuleNotFoundError)
    assert why in str(raised.value)
    assert why.startswith(type(raised.value.__cause__).__name__)
    assert "broken" not in sys.modules


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        pytest.param("Repaet", "'bench_models' has no 'Repaet', did you mean 'Repeat'?", id="near"),
        pytest.param("xyz", "'bench_models' has no 'xyz'", id="far"),
        pytest.param("Holder.iner", "'bench_models' has no 'Holder.iner', did you mean 'inner'?", id="dotted"),
    ],
)
def test_a_missing_attribute(attribute: str, message: str) -> None:
    """An attribute that is not there is an error that suggests the near one."""
    with pytest.raises(AttributeError) as raised:
        load(f"bench_models:{attribute}")
    assert message == str(raised.value)


@pytest.mark.parametrize("attribute", ["chain", "chain_factory"])
def test_a_chain(attribute: str) -> None:
    """A chain that answers messages is adopted."""
    assert load(f"bench_models:{attribute}").invoke("hello").text == "HELLO"


@pytest.mark.parametrize(
    ("attribute", "what"),
    [
        pytest.param("number", "is an instance of int", id="a value"),
        pytest.param("prompt", "is an instance of PromptTemplate", id="a prompt"),
        pytest.param("Holder", "is the class Holder, which is not a chat model", id="another class"),
        pytest.param("other", "is a function of (prompt, history)", id="another function"),
        pytest.param("async_factory", "is an async function of ()", id="an async factory"),
        pytest.param("useless", "was called as a factory and returned an instance of PromptTemplate", id="its result"),
    ],
)
def test_what_is_no_model(attribute: str, what: str) -> None:
    """What leads to no model is refused: the error says what it is, and what may be there."""
    with pytest.raises(TypeError) as raised:
        load(f"bench_models:{attribute}")
    assert str(raised.value).startswith(f"'bench_models:{attribute}' {what}, expected a chat model (")


def test_a_class_that_needs_arguments() -> None:
    """A class that cannot be made without arguments is refused: the error names them and says what to write."""
    with pytest.raises(TypeError) as raised:
        load("bench_models:Needy")
    assert (
        "'bench_models:Needy' cannot be made without arguments (path: Field required): give path as a setting "
        "(--with path=..., or load(..., path=...)), or refer to an instance, or to a function without arguments that "
        "returns one" == str(raised.value)
    )
    assert isinstance(raised.value.__cause__, ValidationError)


def test_a_factory_that_crashes() -> None:
    """What a factory raises comes out as it is, with a note that names the reference."""
    with pytest.raises(LookupError, match="no such thing") as raised:
        load("bench_models:crashing")
    assert ["while making the model 'bench_models:crashing'"] == raised.value.__notes__


def test_langplug_and_others_alike() -> None:
    """The models of other packages are loaded as langplug's own are."""
    with pytest.raises(TypeError, match="messages: Field required"):
        load(f"{GenericFakeChatModel.__module__}:GenericFakeChatModel")
    assert isinstance(load("langplug.models.scripted:ChatScripted"), ChatModel)
    with pytest.raises(TypeError, match="is the class RunnableLambda, which is not a chat model"):
        load(f"{RunnableLambda.__module__}:RunnableLambda")
