"""How a model is made to say something, or to meet error: one class for each kind of model.

* `WireDriver`: it speaks to a server, which is the backend of the test kit.
* `ScriptedDriver`: it is langplug's and answers in this process; its `respond` plays a script.
* `EchoDriver`: it says what it is told, so it can be told what to say.
* `PlainDriver`: whatever it says, it says by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeAlias, cast

from langchain_core.language_models import BaseChatModel

from langplug import ChatModel
from langplug_backend import Backend, Exchange, Fault, Reply
from langplug_check.factory import Factory
from langplug_check.needs import UNMET, Need
from langplug_check.paths import error_text
from langplug_check.recipes import Recipe
from langplug_check.script import IN_TROUBLE, Script, make_scripted_class
from langplug_check.verdicts import NotObserved

DriverName: TypeAlias = Literal["wire", "scripted", "echo", "plain"]

SAID = "Hello world, how are you today?"
"""What a model says that can be made to, where a check wants any answer."""

_PLAIN = Reply()

ASKED = "Say something."
"""The prompt, where it does not matter."""


class Driver(Protocol):
    """What a kind of model can be made to do.

    Attributes:
        name: The kind.
        offers: Which needs of checks it meets.
        prompt: What to ask the model, so that it says what it was made to.
        factory: What makes it.
        error: What the model raised when it was asked; empty if it answered, and where it was not asked.
    """

    name: DriverName
    offers: frozenset[Need]
    prompt: str
    factory: Factory
    error: str

    def real(self, overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model as it is."""
        ...

    def speaking(self, steps: Sequence[Any], overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model that gives these answers, request by request, and the last one from then on."""
        ...

    def exchanges(self) -> list[Exchange]:
        """What reached that which answers since a model was last made, and what became of it."""
        ...

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Wait until something is true of the exchanges."""
        ...

    def close(self) -> None:
        """End what was begun."""
        ...


class WireDriver:
    """A model that speaks to a server: the backend says what it is to say."""

    name: DriverName = "wire"
    offers: frozenset[Need] = frozenset({"answer", "text", "replies", "pace", "faults", "requests", "backend"})
    prompt = ASKED
    error = ""

    def __init__(self, make: Callable[[Mapping[str, Any]], Factory], recipe: Recipe) -> None:
        self.recipe = recipe
        self.backend = Backend(markers=False)
        self.backend.start()
        self.factory = make(recipe.pointed_at(self.backend))

    def real(self, overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model that is answered with a greeting."""
        return self.speaking([SAID], overrides)

    def speaking(self, steps: Sequence[Any], overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model that is answered so."""
        *first, last = map(self._adjusted, steps)
        self.backend.forget()
        self.backend.queue(*first)
        if isinstance(last, Fault):
            self.backend.fault = last
        self.backend.reply = self._adjusted(IN_TROUBLE) if isinstance(last, Fault) else last
        return self.factory(overrides)

    def _adjusted(self, step: Any) -> Any:
        """The step as the clients of this class want it."""
        if not self.recipe.reply:
            return step
        if isinstance(step, Reply | str):
            reply = step if isinstance(step, Reply) else Reply(text=step)
            unsaid = {name for name in self.recipe.reply if getattr(reply, name) == getattr(_PLAIN, name)}
            return replace(reply, **{name: value for name, value in self.recipe.reply.items() if name in unsaid})
        return (lambda asked: self._adjusted(step(asked))) if callable(step) else step

    def exchanges(self) -> list[Exchange]:
        """Those of the backend in which an answer was asked for."""
        return self.backend.chats

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Wait as the backend does."""
        return self.backend.wait_for(predicate, timeout)

    def close(self) -> None:
        """Stop the backend."""
        self.backend.stop()


class ScriptedDriver:
    """A model of langplug's that answers in this process: a script says what it is to say."""

    name: DriverName = "scripted"
    offers: frozenset[Need] = frozenset({"answer", "text", "replies", "pace", "faults", "requests"})
    prompt = ASKED
    error = ""

    def __init__(self, factory: Factory) -> None:
        self.factory = factory
        self.classes: list[type] = []
        """The scripted classes. They can be found in no module, so who pickles their models must know them."""
        self._script = Script()

    def real(self, overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model with its own `respond`."""
        return self.factory(overrides)

    def speaking(self, steps: Sequence[Any], overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model with a `respond` that plays `steps`."""
        self._script = Script(list(steps))
        cls = make_scripted_class(cast("type[ChatModel]", self.factory.cls), self._script)
        self.classes.append(cls)
        return self.factory(self._readable(overrides), cls)

    def _readable(self, overrides: Mapping[str, Any]) -> Mapping[str, Any]:
        """With calls in a form that the script can write, for a model that knows only text."""
        example = self.factory.example
        prompted = isinstance(example, ChatModel) and example.tool_calling == "prompted" and not example.tool_format
        return {"tool_format": "hermes", **overrides} if prompted else overrides

    def exchanges(self) -> list[Exchange]:
        """Those of the last script."""
        return list(self._script.log.exchanges)

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Wait as the script's log does."""
        return self._script.log.wait_for(predicate, timeout)

    def close(self) -> None:
        """Nothing was begun."""


class PlainDriver:
    """A model of which nothing is known: it says what it says."""

    name: DriverName = "plain"
    prompt = ASKED

    def __init__(self, factory: Factory, *, answers: bool = False) -> None:
        self.factory = factory
        self.error = "" if answers else _error_of(factory)
        self.offers: frozenset[Need] = frozenset() if self.error else frozenset({"answer"})

    def real(self, overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model as it is."""
        return self.factory(overrides)

    def speaking(self, steps: Sequence[Any], overrides: Mapping[str, Any]) -> BaseChatModel:
        """There is no way.

        Raises:
            NotObserved: Always.
        """
        raise NotObserved(UNMET["replies"].reason)

    def exchanges(self) -> list[Exchange]:
        """They cannot be seen.

        Raises:
            NotObserved: Always.
        """
        raise NotObserved(UNMET["requests"].reason)

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """There is nothing to wait for.

        Raises:
            NotObserved: Always.
        """
        raise NotObserved(UNMET["requests"].reason)

    def close(self) -> None:
        """Nothing was begun."""


class EchoDriver(PlainDriver):
    """A model that says what it is told: a text is said by asking for it."""

    name: DriverName = "echo"

    def __init__(self, factory: Factory) -> None:
        super().__init__(factory, answers=True)
        self.prompt = SAID
        self.offers = frozenset({"answer", "text"})

    def speaking(self, steps: Sequence[Any], overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model that says a text to the prompt, which from now on is that text.

        Raises:
            NotObserved: If something else than one text is to be said.
        """
        texts = [step.text if isinstance(step, Reply) else step for step in steps]
        plain = all(
            isinstance(text, str) and step in (text, Reply(text=text)) for step, text in zip(steps, texts, strict=True)
        )
        if len(texts) != 1 or not plain:
            raise NotObserved("the model says what it is told, and can be told nothing but one text")
        self.prompt = texts[0]
        return self.factory(overrides)


def choose_driver(make: Callable[[Mapping[str, Any]], Factory], recipe: Recipe | None, *, probe: bool) -> Driver:
    """The voice for a model: by its recipe, its class, or, if it may be asked, by what it answers."""
    if recipe is not None:
        return WireDriver(make, recipe)
    factory = make({})
    if isinstance(factory.example, ChatModel):
        return ScriptedDriver(factory)
    if not probe:
        return PlainDriver(factory, answers=True)
    return EchoDriver(factory) if all(_said(factory, probe) == probe for probe in _PROBES) else PlainDriver(factory)


_PROBES = ("The quick brown fox jumps over the lazy dog, twice.", "Eins, zwei, drei!\nUnd vier: 5 <6>.")


def _error_of(factory: Factory) -> str:
    try:
        factory().invoke(ASKED)
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        return error_text(error)
    return ""


def _said(factory: Factory, prompt: str) -> str | None:
    with suppress(Exception):
        return str(factory().invoke(prompt).text)
    return None
