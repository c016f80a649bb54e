"""What is said to an author, and to a caller, who got something wrong: what it is, and what to write instead."""

import asyncio
import json
import operator
import pydoc
import re
import types
import warnings
from collections.abc import Callable
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableLambda

import langplug.models
from langplug import ChatModel, IgnoredParameterWarning, Request, chat_model
from langplug.models import ChatEndpoint, ChatScripted


def new_model(body: dict[str, Any]) -> type[ChatModel]:
    """A class of models with `body` in it."""
    made: Any = types.new_class("Mine", (ChatModel,), exec_body=lambda empty: empty.update({"respond": answer, **body}))
    return cast("type[ChatModel]", made)


def answer(self: Any, request: Request) -> str:
    return "hello"


def shout_class() -> Any:
    @chat_model
    def shout(request: Request) -> str:
        return "HI"

    return shout


# --- a class is not a model ---


CALLS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda shout: shout.invoke("hi"),
    "ainvoke": lambda shout: asyncio.run(shout.ainvoke("hi")),
    "stream": lambda shout: list(shout.stream("hi")),
    "batch": lambda shout: shout.batch(["hi"]),
    "bind": lambda shout: shout.bind(stop=["x"]),
    "bind_tools": lambda shout: shout.bind_tools([]),
    "with_structured_output": lambda shout: shout.with_structured_output(dict),
    "with_config": lambda shout: shout.with_config(tags=["x"]),
}


@pytest.mark.parametrize("method", CALLS)
def test_a_call_on_the_class_says_to_make_a_model_first(method: str) -> None:
    """`shout.invoke("hi")`, where `shout().invoke("hi")` was meant."""
    with pytest.raises(TypeError, match=rf"Make a model first: `shout\(\)\.{method}\("):
        CALLS[method](shout_class())


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "called with the input": lambda shout: shout("hi"),
    "called with messages": lambda shout: shout([("human", "hi")], temperature=0),
    "chained": lambda shout: shout | StrOutputParser(),
    "chained with a model": lambda shout: shout | shout(),
    "chained after a function": lambda shout: (lambda text: text) | shout,
    "chained after a dict": lambda shout: {"x": str} | shout,
    "chained after a runnable": lambda shout: (RunnableLambda(str) | shout).invoke("hi"),
    "called as a function": lambda shout: shout()("hi"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_class_or_a_model_taken_for_a_function_says_how_to_ask(mistake: str) -> None:
    """`shout("hi")`, `shout()("hi")` and `shout | parser`."""
    with pytest.raises(TypeError, match=r"`(shout\(\)|model)\.invoke\(\.\.\.\)`|Make a model first: `.*shout\(\)"):
        MISTAKES[mistake](shout_class())


def test_a_class_is_still_part_of_annotations() -> None:
    """`shout | None` and `int | shout` are types, as with every class."""
    shout = shout_class()
    assert (shout | None).__args__ == (shout, type(None))
    assert (int | shout).__args__ == (int, shout)
    assert isinstance(shout(), shout | str)
    assert (shout() | StrOutputParser()).invoke("hi") == "HI"


def test_a_method_of_the_class_is_the_method() -> None:
    """Called with a model it works, it can be replaced, and a subclass's is its base's."""
    shout = shout_class()
    assert shout.invoke(shout(), "hi").text == "HI"
    assert shout.invoke == ChatModel.invoke
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shout, "invoke", lambda *_: "patched")
        assert shout().invoke("hi") == "patched"
    assert shout().invoke("hi").text == "HI"


# --- what is left of another kind of class ---


def leftover(self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
    raise AssertionError


def stores_tools(self: Any, tools: Any, **kwargs: Any) -> Any:
    self._tools = tools
    return self


@pytest.mark.parametrize("name", ["_generate", "_agenerate", "_stream", "_astream", "_call"])
def test_a_method_left_over_is_refused_when_the_class_is_made(name: str) -> None:
    """It would answer in the place of `respond`, or never be called; the error says how to move it."""
    with pytest.raises(TypeError, match=rf"{name}.*Move its body to `def respond\(self, request: Request\)`"):
        new_model({name: leftover})


def test_hooks_beside_a_respond_are_told_all_that_has_to_move() -> None:
    """Those of LangChain's own page, say: one error names both hooks, and nothing that may stay."""

    def stream(self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        yield ChatGenerationChunk(message=AIMessageChunk(content="token"))

    body: dict[str, Any] = {
        "_llm_type": property(lambda _: "echoing-chat-model-advanced"),
        "_identifying_params": property(lambda self: {"model_name": "parrot"}),
    }
    with pytest.raises(TypeError) as error:
        new_model({**body, "_generate": leftover, "_stream": stream})
    assert "`_generate` and `_stream` would answer in the place of `respond`. Move their bodies to" in str(error.value)
    assert "yield the messages that the chunks held" in str(error.value)
    assert "Or delete `respond`" in str(error.value)
    assert "_llm_type" not in str(error.value)
    assert "_identifying_params" not in str(error.value)
    assert "hello" == new_model(body)().invoke("hi").text


class Hooks:
    """A mixin with a hook."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return "hooked"


def test_hooks_of_a_mixin_beside_a_respond_are_refused_where_they_would_answer() -> None:
    """Before `ChatModel` among the bases; after it, nothing of them is called."""
    with pytest.raises(TypeError, match=r"`_generate` of Hooks would answer.*put Hooks after `ChatModel`"):
        types.new_class("Mine", (Hooks, ChatModel), exec_body=lambda empty: empty.update(respond=answer))
    made: Any = types.new_class("Mine", (ChatModel, Hooks), exec_body=lambda empty: empty.update(respond=answer))
    assert "hello" == made().invoke("hi").text
    assert "hello" == "".join(chunk.text for chunk in made().stream("hi"))


def test_a_class_without_any_of_them_says_what_to_write() -> None:
    """A `respond`, or a hook."""
    with pytest.raises(TypeError, match=r"has no `respond`.*`_generate`"):
        types.new_class("Mine", (ChatModel,))()


def test_all_that_is_left_over_is_named_at_once() -> None:
    """Also what calls another left-over, a `_call`, and a `bind_tools` that binds nothing."""

    async def agenerate(self: Any, messages: Any, **kwargs: Any) -> Any:
        return self._generate(messages, **kwargs)

    with pytest.raises(TypeError) as error:
        new_model({"_generate": leftover, "_agenerate": agenerate, "_call": leftover, "bind_tools": stores_tools})
    for told in ("`_generate` and `_agenerate` would answer", "`_call` is never called", "`bind_tools` binds nothing"):
        assert told in str(error.value)


def test_bind_tools_that_binds_nothing_is_refused() -> None:
    """One that stores the tools and returns `self`."""
    with pytest.raises(TypeError, match=r"bind_tools. binds nothing.*Delete it"):
        new_model({"bind_tools": stores_tools})


def test_an_extension_of_a_hook_is_none_of_these() -> None:
    """What calls `super()`, and a `_call` that `respond` makes use of."""

    class Counting(ChatModel):
        calls: int = 0

        def respond(self, request: Request) -> str:
            return self._call(request.text, None, None)

        def _call(self, prompt: str, stop: Any, run_manager: Any) -> str:
            return prompt

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            return super()._generate(*args, **kwargs)

        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return super().bind_tools(tools, **kwargs)

    assert Counting().bind_tools([]).invoke("hi").text == "hi"


# --- a Request is neither a list nor a text ---


def takes_text(prompt: str) -> str:
    return prompt


def takes_messages(messages: list[Any]) -> str:
    return str(messages[-1].content)


@pytest.mark.parametrize("function", [takes_text, takes_messages])
def test_a_parameter_declared_as_something_else_is_refused(function: Callable[..., Any]) -> None:
    """When the class is made, with what to read instead."""
    with pytest.raises(TypeError, match=r"it is a `Request`.*request\.messages"):
        chat_model(function)


TAKEN_FOR: dict[str, Callable[[Any], Any]] = {
    "a list": lambda it: it[-1],
    "an iterable": list,
    "a container": lambda it: "a" in it,
    "a list with a length": len,
    "a list to add to": lambda it: operator.add(["a"], it),
    "a list that is added to": lambda it: operator.add(it, ["a"]),
    "a text": lambda it: it.upper(),
    "a text to add to": lambda it: "Human: " + it,
    "a text that is added to": lambda it: it + "!",
    "a message": lambda it: it.content,
    "a function": lambda it: it("hi"),
}

TAKEN_BY_OTHERS: dict[str, Callable[[Any], Any]] = {
    "json": json.dumps,
    "nested in json": lambda it: json.dumps({"messages": [it]}),
    "join": lambda it: "\n".join(["Human: hi", *[it]]),
    "a regular expression": lambda it: re.sub("a", "b", it),
    "an iterator": next,
}


@pytest.mark.parametrize("what", TAKEN_FOR)
def test_a_request_taken_for_something_else_says_what_to_read(what: str) -> None:
    """Its `messages`, `text` or `prompt()`."""
    model = new_model({"respond": lambda self, messages: TAKEN_FOR[what](messages)})()
    with pytest.raises((TypeError, AttributeError), match=r"A Request.*`request\.text`"):
        model.invoke("hi")


@pytest.mark.parametrize("what", TAKEN_BY_OTHERS)
def test_a_request_that_others_take_for_something_else_says_so_in_a_note(what: str) -> None:
    """Python's own functions know its type alone; the error gets a note, once."""
    model = new_model({"respond": lambda self, messages: TAKEN_BY_OTHERS[what](messages), "max_retries": 1})()
    with pytest.raises(TypeError, match="Request") as caught:
        model.invoke("hi")
    [note] = getattr(caught.value, "__notes__", [])
    assert "`request.text`" in note


def test_a_request_is_true() -> None:
    """Although it has no length."""
    model = new_model({"respond": lambda self, request: "yes" if request else "no"})()
    assert model.invoke("hi").text == "yes"


# --- parameters ---


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("model_kwargs", "`extra_body`"),
        ("openai_api_base", "`base_url`"),
        ("openai_api_key", "`api_key`"),
        ("max_completion_tokens", "`max_tokens`"),
        ("repetition_penalty", "`extra_body={'repetition_penalty': ...}`"),
        ("min_p", "`extra_body={'min_p': ...}`"),
        ("temprature", "'temperature'"),
        ("deployment_name", "`model`"),
        ("default_headers", "`headers`"),
        ("stream_usage", "Usage is always asked for"),
        ("organization", "`headers={'OpenAI-Organization': ...}`"),
        ("default_query", "not supported: send `headers`"),
        ("use_responses_api", 'api="responses"'),
    ],
)
def test_a_parameter_of_another_library_is_named_as_here(name: str, hint: str) -> None:
    """In the constructor, and in a call."""
    arguments: dict[str, Any] = {"model": "m", "base_url": "http://localhost:1/v1"}
    with pytest.raises(TypeError) as error:
        ChatEndpoint(**arguments, **{name: 1})
    assert hint in str(error.value)
    with pytest.raises(TypeError) as error:
        ChatEndpoint(**arguments).invoke("hi", **{name: 1})
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("http_client", "`session`"),
        ("http_async_client", "`session`"),
        ("openai_proxy", "`proxy`"),
        ("tiktoken_model_name", "`token_counter=...`"),
        ("azure_ad_token_provider", "`auth=...`"),
    ],
)
def test_a_setting_of_another_library_is_named_as_here(name: str, hint: str) -> None:
    """In the constructor, where alone it may be set; a model that has nothing like it names what it takes."""
    with pytest.raises(TypeError) as error:
        ChatEndpoint(model="m", base_url="http://localhost:1/v1", **{name: 1})  # type: ignore[arg-type]
    assert hint in str(error.value)
    with pytest.raises(TypeError, match=r"What it takes|Did you mean"):
        ChatScripted(replies=["x"], **{name: 1})  # type: ignore[arg-type]


def test_an_ignored_parameter_is_warned_of_once_at_the_callers_line() -> None:
    """Once for each class and parameter, by whatever way it is given; with "silent", never."""
    first, second = shout_class(), shout_class()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            model = first(temperature=0.5)
            model.invoke("hi", seed=1)
            model.bind(top_p=0.5).invoke("hi")
            asyncio.run(model.ainvoke("hi", seed=1))
        second(temperature=0.5)
        second(adaptations="silent", seed=1).invoke("hi", top_p=0.5)
    assert [str(one.message).split("'")[1] for one in seen] == ["temperature", "seed", "top_p", "temperature"]
    assert {one.category for one in seen} == {IgnoredParameterWarning}
    assert {one.filename for one in seen} == {__file__}


def test_an_ignored_parameter_that_the_server_may_know_is_told_where_to_go() -> None:
    """`top_k` is not OpenAI's."""
    subclass = type("ChatMine", (ChatEndpoint,), {"__module__": __name__})
    with pytest.warns(IgnoredParameterWarning, match=r"extra_body=\{'top_k'"):
        subclass(model="m", base_url="http://localhost:1/v1", top_k=40)


# --- what the fields are for ---


def help_on(model_class: type[ChatModel]) -> str:
    return re.sub(".\x08", "", pydoc.render_doc(model_class))  # what is bold in a terminal


MODELS = [
    found
    for name in langplug.models.__all__
    if isinstance(found := getattr(langplug.models, name), type) and issubclass(found, ChatModel)
]


@pytest.mark.parametrize("model_class", [ChatModel, *MODELS])
def test_every_field_is_described(model_class: type[ChatModel]) -> None:
    """For an editor, a schema and `help()`."""
    shown = help_on(model_class)
    for name, field in model_class.model_fields.items():
        assert field.description, name
        assert name in shown
        assert model_class is ChatModel or " ".join(field.description.split())[:40] in shown


def test_an_authors_fields_are_described_by_the_texts_under_them() -> None:
    """In `help()` too; a field that is declared anew keeps its description."""

    class Mine(ChatScripted):
        """Answers."""

        heat: float = 0.5
        """How warm it is."""
        include_stop: bool = False

    assert Mine.model_fields["heat"].description == "How warm it is."
    assert Mine.model_fields["include_stop"].description == ChatModel.model_fields["include_stop"].description
    assert "heat: How warm it is." in help_on(Mine)


# --- connections and weights ---


def test_a_file_of_certificates_that_is_not_there_is_named() -> None:
    """With the setting that names it."""
    model = ChatEndpoint(model="m", base_url="https://localhost:1/v1", verify="nope.pem")
    with pytest.raises(FileNotFoundError, match=r"verify='nope\.pem'"):
        model.invoke("hi")


def test_a_socks_proxy_is_refused_with_what_to_give() -> None:
    """Not as an address that is none."""
    with pytest.raises(ValueError, match="SOCKS proxy is not supported"):
        ChatEndpoint(model="m", base_url="http://localhost:1/v1", proxy="socks5://localhost:1")
