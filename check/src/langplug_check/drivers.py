"""How a model is made to say something, or to meet a fault: one class for each kind of model.

* `WireDriver`: it speaks to a server, which is the backend of the test kit.
* `ScriptedDriver`: it is one of langplug's and answers in this process; its `respond` plays a script.
* `HeldDriver`: it asks something that it holds, a client or a function, and another one can take its place.
* `EchoDriver`: it repeats its prompt, so it can be told what to say.
* `PlainDriver`: any other, which says what it says.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias, TypeGuard, cast

from langchain_core.language_models import BaseChatModel

from langplug import ChatModel
from langplug_backend import Backend, Call, Exchange, Fault, Reply
from langplug_backend.completion import complete
from langplug_backend.reply import Piece
from langplug_backend.request import ChatRequest
from langplug_check.factory import Factory
from langplug_check.needs import UNMET, Need
from langplug_check.paths import error_text, is_from_keyboard
from langplug_check.recipes import Recipe
from langplug_check.script import (
    UNTIL_FAULT,
    AnyReply,
    Script,
    make_scripted_class,
    read_prompt,
    write_call,
)
from langplug_check.verdicts import NotObserved

DriverName: TypeAlias = Literal["wire", "scripted", "held", "echo", "plain"]

SAID = "Hello world, how are you today?"
"""What a model says that can be made to, where a check wants any answer."""

ASKED = "Say something."
"""The prompt, where it does not matter."""

_REST = 32
"""Classes of models that are made before one is used again: what a check left running may still ask its model."""

_PROBES = ("The quick brown fox jumps over the lazy dog, twice.", "Eins, zwei, drei!\nUnd vier: 5 <6>.")
"""What only a model that echoes answers with itself."""


class Driver(Protocol):
    """What a kind of model can be made to do.

    Attributes:
        name: The kind.
        offers: Which needs of checks it meets.
        prompt: What to ask the model, so that it says what it was made to.
        factory: What makes it.
        error: What the model raised when it was asked; empty if it answered, or was not asked.
    """

    name: DriverName
    offers: frozenset[Need]
    prompt: str
    factory: Factory
    error: str

    def make(self, overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model as its user makes it, with other arguments."""
        ...

    def make_saying(self, replies: Sequence[AnyReply], overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model that gives these replies, request by request, and the last one from then on.

        Raises:
            NotObserved: If it cannot be made to.
        """
        ...

    def exchanges(self) -> list[Exchange]:
        """The requests that reached the backend since a model was last made, and what became of them.

        Raises:
            NotObserved: If they cannot be seen.
        """
        ...

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Wait until something is true of the exchanges; False if it is not within so many seconds.

        Raises:
            NotObserved: If they cannot be seen.
        """
        ...

    def close(self) -> None:
        """End what was begun."""
        ...


class WireDriver:
    """A model that speaks to a server: the backend says what it is to say."""

    name: DriverName = "wire"
    prompt = ASKED

    def __init__(self, make_factory: Callable[[Mapping[str, Any]], Factory], recipe: Recipe) -> None:
        self.error = ""
        self.recipe = recipe
        offers: set[Need] = {"answer", "text", "replies", "pace", "faults", "requests", "backend"}
        self.offers: frozenset[Need] = frozenset({*offers, "refusals"} if recipe.tells_refusals else offers)
        # Without markers: the backend would take commands out of prompts, and checks send any text.
        self.backend = Backend(markers=False)
        self.backend.start()
        self.factory = make_factory(recipe.point_at(self.backend))
        self._model: BaseChatModel = self.factory.example

    def make(self, overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model whose server says a greeting."""
        return self.make_saying([SAID], overrides)

    def make_saying(self, replies: Sequence[AnyReply], overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model whose server gives these replies."""
        model = self.factory(_with_tool_format(self.factory, overrides))
        self._model = model
        if _reads_prompts(model):
            replies = [
                reply if isinstance(reply, Fault) else partial(_reply_in_text, model, reply) for reply in replies
            ]
        *first, last = map(self._adjust, replies)
        self.backend.forget()  # what reached it for the model before this one
        self.backend.queue(*first)
        if isinstance(last, Fault):
            self.backend.fault = last
        self.backend.reply = self._adjust(UNTIL_FAULT) if isinstance(last, Fault) else last
        return model

    def _adjust(self, reply: AnyReply) -> AnyReply:
        """The reply as the clients of this class want it: with what the recipe says, where the reply says nothing."""
        if not self.recipe.reply and not self.recipe.whole_calls:
            return reply
        if isinstance(reply, Reply | str):
            full = reply if isinstance(reply, Reply) else Reply(text=reply)
            if self.recipe.whole_calls:
                calls = tuple(replace(call, cut=0) for call in full.calls)
                pieces = tuple(replace(one, cut=0) if isinstance(one, Call) else one for one in full.pieces)
                full = replace(full, calls=calls, pieces=pieces)
            default = Reply()
            unsaid = [name for name in self.recipe.reply if getattr(full, name) == getattr(default, name)]
            return replace(full, **{name: self.recipe.reply[name] for name in unsaid})
        return (lambda asked: self._adjust(reply(asked))) if callable(reply) else reply

    def exchanges(self) -> list[Exchange]:
        """Those of the backend in which an answer was asked for; tools in a prompt are shown as if they were sent."""
        if not _reads_prompts(self._model):
            return self.backend.chats
        return [_as_understood(self._model, exchange) for exchange in self.backend.chats]

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Wait as the backend does."""
        return self.backend.wait_for(predicate, timeout)

    def close(self) -> None:
        """Stop the backend."""
        self.backend.stop()


class ScriptedDriver:
    """A model of langplug's that answers in this process: a script says what it is to say."""

    name: DriverName = "scripted"
    offers: frozenset[Need] = frozenset({"answer", "text", "replies", "refusals", "pace", "faults", "requests"})
    prompt = ASKED
    error = ""

    def __init__(self, factory: Factory) -> None:
        self.factory = factory
        self.classes: list[Any] = []
        """The scripted classes of this check. No module has them, so whoever pickles their models must know them."""
        self._resting: deque[Any] = deque()
        """Those of the checks before it, which get another script: most of a check's time would go into new ones."""
        self._script = Script()

    def make(self, overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model with its own `respond`."""
        return self.factory(overrides)

    def make_saying(self, replies: Sequence[AnyReply], overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model whose `respond` gives these replies."""
        self._script = Script(list(replies))
        is_rested = len(self._resting) > _REST
        made = self._resting.popleft() if is_rested else make_scripted_class(cast("type[ChatModel]", self.factory.cls))
        made.__check_script__ = self._script
        self.classes.append(made)
        return self.factory(_with_tool_format(self.factory, overrides), made)

    def rest(self) -> None:
        """A check is over: the classes of its models may be used again."""
        self._resting += self.classes
        self.classes = []

    def exchanges(self) -> list[Exchange]:
        """Those of the last script."""
        return list(self._script.log.exchanges)

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Wait as the script's log does."""
        return self._script.log.wait_for(predicate, timeout)

    def close(self) -> None:
        """Nothing was begun."""


def _with_tool_format(factory: Factory, overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    example = factory.example
    if isinstance(example, ChatModel) and _writes_calls(example) and not example.tool_format:
        # Without a format of its own, a model is understood in several, and the script has to write in one.
        return {"tool_format": "hermes", **overrides}
    return overrides


def _writes_calls(model: ChatModel) -> bool:
    return model.__langplug_tool_calling__() in ("prompted", "templated")


def _reads_prompts(model: BaseChatModel) -> TypeGuard[ChatModel]:
    return isinstance(model, ChatModel) and model.__langplug_tool_calling__() == "prompted"


def _understand(model: ChatModel, asked: ChatRequest) -> ChatRequest:
    return asked if asked.tools else read_prompt(model, asked, keeps_schema="response_format" in asked.params)


def _as_understood(model: ChatModel, exchange: Exchange) -> Exchange:
    if exchange.request is None:
        return exchange
    asked = _understand(model, exchange.request)
    if not asked.tools or not isinstance(exchange.body, Mapping):
        return exchange
    told = {"tools": list(asked.tools), "tool_choice": asked.tool_choice}
    return replace(exchange, request=asked, body={**exchange.body, **told})


def _reply_in_text(model: ChatModel, reply: AnyReply, asked: ChatRequest) -> AnyReply:
    """The reply of a server whose model reads of its tools in the prompt, and writes its calls as text."""
    told = _understand(model, asked)
    while callable(reply):
        reply = reply(told)
    if not isinstance(reply, Reply) or not (reply.calls or reply.pieces):
        return reply
    turn = complete(replace(reply, stop="ignore"), told)[0]
    keeps_schema = "response_format" in asked.params
    pieces: list[Piece] = []
    for piece in turn.pieces:
        if isinstance(piece, Call):
            pieces.extend(write_call(model, piece, turn.finish, keeps_schema=keeps_schema))
        else:
            pieces.append(piece)
    return replace(reply, text="", thinking="", refusal="", calls=(), pieces=tuple(pieces))


class PlainDriver:
    """A model that says what it says."""

    name: DriverName = "plain"
    prompt = ASKED

    def __init__(self, factory: Factory, *, answers: bool = False) -> None:
        self.factory = factory
        self.error = ""
        if not answers:
            try:
                factory().invoke(ASKED)
            except BaseException as error:
                if is_from_keyboard(error):
                    raise
                self.error = error_text(error)  # a model may raise anything
        self.offers: frozenset[Need] = frozenset() if self.error else frozenset({"answer"})

    def make(self, overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model as it is."""
        return self.factory(overrides)

    def make_saying(self, replies: Sequence[AnyReply], overrides: Mapping[str, Any]) -> BaseChatModel:
        """There is no way."""
        raise NotObserved(UNMET["replies"].reason)

    def exchanges(self) -> list[Exchange]:
        """They cannot be seen."""
        raise NotObserved(UNMET["requests"].reason)

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """There is nothing to wait for."""
        raise NotObserved(UNMET["requests"].reason)

    def close(self) -> None:
        """Nothing was begun."""


class HeldDriver(PlainDriver):
    """A model that asks something that it holds: what the recipe gives in its place says texts."""

    name: DriverName = "held"

    def __init__(self, factory: Factory, recipe: Recipe) -> None:
        super().__init__(factory, answers=True)
        self._recipe = recipe
        self.offers = frozenset({"answer", "text", "replies"})

    def make(self, overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model that is told a greeting."""
        return self.make_saying([SAID], overrides)

    def make_saying(self, replies: Sequence[AnyReply], overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model that is told these texts, call by call, and the last one from then on."""
        texts: list[str] = []
        for reply in replies:
            said = reply if isinstance(reply, Reply) else Reply(text=str(reply))
            # How a text is cut in a stream makes no difference to what gives it whole; and it knows no stop strings.
            pieces = [said.text, *said.pieces]
            is_text = replace(said, text="", pieces=(), stop="cut") == Reply() and isinstance(reply, Reply | str)
            if not is_text or not all(isinstance(piece, str) for piece in pieces):
                raise NotObserved("what the model holds can be told to say texts, and nothing else")
            texts.append("".join(map(str, pieces)))
        lock = threading.Lock()

        def say(*_: Any, **__: Any) -> str:
            with lock:
                return texts.pop(0) if len(texts) > 1 else texts[0]

        assert self._recipe.replies is not None
        return self.factory({**self._recipe.replies(say), **overrides})


class EchoDriver(PlainDriver):
    """A model that repeats its prompt: it says a text if it is asked for it."""

    name: DriverName = "echo"

    def __init__(self, factory: Factory) -> None:
        super().__init__(factory, answers=True)
        self.prompt = SAID
        self.offers = frozenset({"answer", "text"})

    def make_saying(self, replies: Sequence[AnyReply], overrides: Mapping[str, Any]) -> BaseChatModel:
        """A model that says a text to the prompt, which from now on is that text."""
        texts = [reply.text if isinstance(reply, Reply) else reply for reply in replies]
        # A `Reply` with anything but a text, such as a pace, cannot be told.
        if len(texts) != 1 or not isinstance(texts[0], str) or replies[0] not in (texts[0], Reply(text=texts[0])):
            raise NotObserved("the model repeats its prompt, and can be told nothing but one text")
        self.prompt = texts[0]
        return self.factory(overrides)


def choose_driver(
    make_factory: Callable[[Mapping[str, Any]], Factory], recipe: Recipe | None, *, probe: bool
) -> Driver:
    """The driver for a model: by its recipe, by its class or, if it may be asked, by what it answers.

    Args:
        make_factory: Makes what makes the model, of arguments for its class.
        recipe: How to point it at the backend.
        probe: Whether it may be asked.
    """
    if recipe is not None and recipe.replies is not None:
        return HeldDriver(make_factory({}), recipe)
    if recipe is not None:
        return WireDriver(make_factory, recipe)
    factory = make_factory({})
    if isinstance(factory.example, ChatModel):
        return ScriptedDriver(factory)
    if not probe:
        return PlainDriver(factory, answers=True)  # taken on trust: a check that asks will meet what is wrong

    def echoes(prompt: str) -> bool:
        try:
            return str(factory().invoke(prompt).text) == prompt
        except BaseException as error:
            if is_from_keyboard(error):
                raise
            return False

    return EchoDriver(factory) if all(map(echoes, _PROBES)) else PlainDriver(factory)
