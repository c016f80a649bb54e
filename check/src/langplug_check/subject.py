"""`Subject`: what a check gets. It makes the model, has it answer, and shows what reached whom."""

import asyncio
import io
import json
import pickle
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, Self, TypeVar

from langchain_core.language_models import BaseChatModel

from langplug import ChatModel
from langplug_backend import Call, ChatRequest, Exchange, Fault, Reply
from langplug_check.drivers import SAID, Driver, ScriptedDriver, choose_driver
from langplug_check.factory import Factory, Target
from langplug_check.fields import MARKED_KEY, secret_fields
from langplug_check.needs import UNMET, Need
from langplug_check.paths import PATHS, Outcome, PathName, allow_beta, ask, error_text, is_from_keyboard
from langplug_check.process.loop import run_on_shared_loop
from langplug_check.recipes import Recipe, recipe_for
from langplug_check.recorder import Event, KeyKeeper, Recorder, global_cache
from langplug_check.trial import Trial
from langplug_check.verdicts import Failed, NotObserved

T = TypeVar("T")


class Subject:
    """The model under check.

    Args:
        target: A model, its class, or a function without arguments that makes one.
        recipe: How to point it at the backend. Default: the known one for its class, if there is one.
        probe: Whether the model may be asked, to learn what it says, and whether it has all packages that it needs.

    Raises:
        ImportError: If it needs a package that is not installed.
        Exception: What making it raises.

    Attributes:
        cls: Its class.
        driver: How it is made to say something.
    """

    def __init__(self, target: Target, *, recipe: Recipe | None = None, probe: bool = True) -> None:
        if recipe is None:
            example = target if isinstance(target, type | BaseChatModel) else target()
            recipe = recipe_for(example if isinstance(example, type) else type(example))
        self._target, self._recipe = target, recipe
        # What was made already has all that it needs; a class may need a key, or the name of a model.
        fills = recipe.default_arguments() if recipe and isinstance(target, type) else {}
        self.driver: Driver = choose_driver(
            lambda arguments: Factory(target, {**fills, **arguments}), recipe, probe=probe
        )
        self._factory: Factory = self.driver.factory
        self.cls = self._factory.cls
        self._answer: str | None = None
        self._made: list[Any] = []
        if probe and self.driver.name == "wire":
            # Some clients import their package at the first call: without it, each check would fail for that reason.
            try:
                self.real().invoke(self.prompt)
            except ImportError:
                self.close()
                raise
            except BaseException as error:
                if is_from_keyboard(error):
                    raise
                self.driver.error = error_text(error)  # whatever else is wrong, the checks will report
            self.tidy()

    # --- models ---

    def real(self, **overrides: Any) -> BaseChatModel:
        """A fresh model, as its user makes it. `overrides` replace its constructor arguments.

        Raises:
            NotObserved: If it cannot be made a second time.
        """
        return self._keep(self.driver.make(overrides))

    def model(self, **overrides: Any) -> BaseChatModel:
        """A fresh model that answers at once and always the same, if it can be made to."""
        if "text" in self.driver.offers:
            return self._keep(self.driver.make_saying([SAID], overrides))
        return self.real(**overrides)

    def says(self, *replies: Any, **overrides: Any) -> BaseChatModel:
        """A fresh model that gives these replies, request by request, and the last one from then on.

        Args:
            replies: Texts, `Reply`s, `Fault`s, or functions of what is asked (`ChatRequest`) to one of these.
            overrides: Constructor arguments.

        Raises:
            NotObserved: If the model cannot be made to. A check that declares its needs is not run then.
        """
        return self._keep(self.driver.make_saying(replies, overrides))

    def suffers(self, fault: Fault, reply: Reply | None = None, **overrides: Any) -> BaseChatModel:
        """A fresh model whose every request meets `fault`, while `reply` is being given."""
        broken = fault if reply is None else replace(reply, faults=(*reply.faults, fault))
        return self._keep(self.driver.make_saying([broken], overrides))

    def gives(self, value: Mapping[str, Any], **overrides: Any) -> BaseChatModel:
        """A fresh model that gives `value` as an object, in the way that it is asked to: by a call, or as JSON."""

        def give(asked: ChatRequest) -> Reply:
            if not asked.tools or asked.tool_choice == "none":
                return Reply(text=json.dumps(value))
            names = [str((tool.get("function") or tool)["name"]) for tool in asked.tools]
            name = asked.tool_choice if asked.tool_choice in names else names[0]
            return Reply(calls=(Call(name=name, args=value, cut=0),))

        return self.says(give, **overrides)

    @contextmanager
    def with_own_backend(self) -> "Generator[Subject, None, None]":
        """The same model with a server of its own, for a check that leaves broken connections behind.

        Some clients share their connections process-wide, by address: what one check breaks, the next would meet. A
        model without a server stays as it is.
        """
        if self.lacks("backend"):
            yield self
            return
        with Subject(self._target, recipe=self._recipe) as other:
            yield other

    @cached_property
    def trial(self) -> Trial:
        """The model as it is, asked a few short questions."""
        return Trial(self.driver)

    # --- asking it ---

    @property
    def prompt(self) -> str:
        """What to ask the model so that it says what it was made to."""
        return self.driver.prompt

    def answer(self) -> str:
        """The text that `model()` gives to `prompt`.

        Raises:
            NotObserved: If it says nothing, or something else each time.
        """
        if "text" in self.driver.offers:
            return SAID
        if self._answer is None:
            # Asked twice: with an answer that varies, a defect could not be told from chance.
            said = [str(self.real().invoke(self.prompt).text) for _ in range(2)]
            if said[0] != said[1] or not said[0].strip():
                raise NotObserved(f"what the model says is not the same each time, or empty: {said[0][:40]!r}, ...")
            self._answer = said[0]
        return self._answer

    def ask(self, model: Any, given: Any = None, path: PathName = "invoke", /, **kwargs: Any) -> Outcome:
        """Ask `model` for one answer, by one path. Nothing is raised: an error is part of the outcome.

        Args:
            model: The model, or what binds one.
            given: The input. Default: `prompt`.
            path: The way to call it; see `PATHS`.
            kwargs: `config`, and whatever else the call is given.
        """
        return ask(model, self.prompt if given is None else given, path, **kwargs)

    def each_path(
        self, make: Callable[[], Any], given: Any = None, paths: Sequence[PathName] | None = None, **kwargs: Any
    ) -> Iterator[Outcome]:
        """Ask a new model by each of `paths` in turn. Default: all that lead to an answer.

        Args:
            make: Makes the model.
            given: What it is asked. Default: the subject's own prompt.
            paths: `"invoke"`, `"astream"` and so on.
            kwargs: `config`, and whatever else each call is given.
        """
        for path in self.paths if paths is None else paths:
            yield self.ask(make(), given, path, **kwargs)

    # --- what reached the backend ---

    @property
    def exchanges(self) -> list[Exchange]:
        """The requests that reached the server, or the function, since the last model was made; oldest first.

        Those of a function are written as an OpenAI client would send them.
        """
        return self.driver.exchanges()

    def wait_for(self, predicate: Callable[[], Any], timeout_s: float) -> bool:
        """Wait until `predicate` holds of the exchanges. Returns False if that takes more than `timeout_s` seconds."""
        return self.driver.wait_for(predicate, timeout_s)

    # --- what others see of it ---

    def start(self, model: Any, /, **kwargs: Any) -> Event:
        """What handlers get when a run starts: `more` has `serialized`, `invocation_params` and `metadata`.

        A cache answers the run, so nothing reaches the model. `kwargs` go to `invoke`.
        """
        return self._start_run(model, kwargs)[0]

    def key(self, model: Any, /, **kwargs: Any) -> str:
        """The model's part of a cache key, for a call with `kwargs`.

        Raises:
            NotObserved: If the model does not look into the cache.
        """
        keys = self._start_run(model, kwargs)[1]
        if not keys:
            raise NotObserved("the model does not look into the cache that is set for all models")
        return keys[0]

    def _start_run(self, model: Any, kwargs: dict[str, Any]) -> tuple[Event, list[str]]:
        # A run starts, and its key is looked up, before the model is asked: so even one that would hang shows both.
        keeper, recorder = KeyKeeper(), Recorder()
        with global_cache(keeper), allow_beta():
            model.invoke("What is asked does not matter.", {"callbacks": [recorder]}, **kwargs)
        starts = recorder.of("start")
        if not starts:
            raise Failed("no start of a run was reported to a handler", "on_chat_model_start")
        return starts[0], keeper.keys

    def pickle_round_trip(self, model: Any) -> Any:
        """`model` after a round trip through pickle, as it arrives in another process."""
        file = io.BytesIO()
        _Pickler(file, self.driver).dump(model)
        return self._keep(_Unpickler(io.BytesIO(file.getvalue()), self.driver).load())

    # --- what it can do ---

    def lacks(self, need: Need) -> str | None:
        """Why a need is not met; None if it is."""
        is_met = _DERIVED[need](self) if need in _DERIVED else need in self.driver.offers
        why = f" ({self.driver.error})" if need == "answer" and self.driver.error else ""
        return None if is_met else f"{UNMET[need].reason}{why}"

    def need(self, *needs: Need) -> None:
        """Do nothing if these needs are met.

        Raises:
            NotApplicable, NotObserved: If one is not.
        """
        for need in needs:
            if (reason := self.lacks(need)) is not None:
                raise UNMET[need].verdict(reason)

    def overrides(self, name: str) -> bool:
        """Whether the class has its own method or property of this name, instead of langchain-core's."""
        return getattr(self.cls, name, None) is not getattr(BaseChatModel, name, None)

    @property
    def tool_calling(self) -> str:
        """How the model calls tools in effect, if it is one of langplug's, as its `tool_calling` says. Else empty."""
        example = self._factory.example
        return example.__langplug_tool_calling__() if isinstance(example, ChatModel) else ""

    @property
    def calls_tools(self) -> bool:
        """Whether tools can be bound."""
        return self.overrides("bind_tools") and self.tool_calling != "off"

    @property
    def streams_itself(self) -> bool:
        """Whether a stream is the model's own work. langplug's have `_stream` even if `respond` returns the whole."""
        return not issubclass(self.cls, ChatModel) or self.cls.__langplug_shape__.streams

    @property
    def streams(self) -> Sequence[PathName]:
        """Those of `stream` and `astream` by which the class streams. Of a synchronous one, core makes the other."""
        if self.overrides("_stream"):
            return ("stream", "astream")
        return ("astream",) if self.overrides("_astream") else ()

    @property
    def paths(self) -> Sequence[PathName]:
        """The paths that lead to an answer: version 3 of the events has none for a model that does not stream."""
        # langchain-core's `stream_events` raises NotImplementedError then, for version 3 is made of chunks alone.
        by_events = {"v3": "stream", "av3": "astream"}
        return tuple(path for path in PATHS if path not in by_events or by_events[path] in self.streams)

    def takes(self, name: str) -> bool:
        """Whether the class has a constructor parameter of this name."""
        return self._factory.takes(name)

    def names_of(self, argument: str) -> set[str]:
        """The names by which the class may take `argument`: its own, and those of the field that has it."""
        return {argument, *self._factory.names_of(argument)}

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What the model is made of, as far as that is known."""
        return self._factory.arguments

    @property
    def key_arguments(self) -> Mapping[str, str]:
        """A marked key for each parameter of the class that is a secret."""
        return dict.fromkeys(secret_fields(self.cls), MARKED_KEY)

    # --- tidying up ---

    def tidy(self) -> None:
        """Close the models that were made since this was last called, if they can be closed."""
        made, self._made = self._made, []
        for model in made:
            # Other classes have no method for it, and leave their clients to the collector.
            if isinstance(model, ChatModel):
                with suppress(Exception):
                    model.close()
        if isinstance(self.driver, ScriptedDriver):
            self.driver.rest()

    def _keep(self, model: T) -> T:
        # By identity: models compare by their fields, and a check may make two that are equal.
        if all(model is not one for one in self._made):
            self._made.append(model)
        return model

    def close(self) -> None:
        """End what was begun."""
        self.tidy()
        self.driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run(coroutine: Coroutine[Any, Any, T], limit_s: float = 15.0, *, alone: bool = True) -> T:
    """What a coroutine gives, on a loop of its own.

    Args:
        coroutine: What to run.
        limit_s: Seconds that it may take.
        alone: Whether the loop is its own. False: that of all checks, where the clients of the model were made.

    Raises:
        Failed: If it takes longer than `limit_s` seconds.
    """

    async def limited() -> T:
        return await asyncio.wait_for(coroutine, limit_s)

    try:
        return asyncio.run(limited()) if alone else run_on_shared_loop(limited())
    except TimeoutError:
        raise Failed(f"no answer within {limit_s:g} seconds") from None


_DERIVED: Mapping[Need, Callable[[Subject], bool]] = {
    "streaming": lambda subject: bool(subject.streams) and subject.streams_itself,
    "async": lambda subject: subject.overrides("_agenerate") or subject.overrides("_astream"),
    "tools": lambda subject: subject.calls_tools,
    "structured": lambda subject: subject.calls_tools or subject.overrides("with_structured_output"),
}
"""Needs that the class meets or not, however the model is made to say something."""


class _Pickler(pickle.Pickler):
    """Pickles models of scripted classes, which pickle finds in no module, by a number for each."""

    def __init__(self, file: Any, driver: Driver) -> None:
        super().__init__(file)
        self._classes = driver.classes if isinstance(driver, ScriptedDriver) else []

    def persistent_id(self, obj: Any) -> Any:
        """The number of a scripted class."""
        return id(obj) if isinstance(obj, type) and obj in self._classes else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, driver: Driver) -> None:
        super().__init__(file)
        self._classes = driver.classes if isinstance(driver, ScriptedDriver) else []

    def persistent_load(self, pid: Any) -> Any:
        """The scripted class of a number."""
        return next(cls for cls in self._classes if id(cls) == pid)
