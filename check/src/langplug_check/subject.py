"""`Subject`: what a check is given. It makes the model, has it answer, and shows what reached whom."""

import asyncio
import io
import json
import pickle
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeVar

from langchain_core.language_models import BaseChatModel

from langplug import ChatModel
from langplug_backend import ChatRequest, Call, Exchange, Fault, Reply
from langplug_check.drivers import SAID, Driver, ScriptedDriver, choose_driver
from langplug_check.factory import Factory, Target
from langplug_check.fields import MARKED_KEY, secret_fields
from langplug_check.needs import UNMET, Need
from langplug_check.paths import PATHS, Outcome, PathName, allow_beta, ask
from langplug_check.process.loop import run_on_shared_loop
from langplug_check.recipes import Recipe, recipe_for
from langplug_check.recorder import Event, KeyKeeper, Recorder, global_cache
from langplug_check.verdicts import Failed, NotObserved

T = TypeVar("T")


class Subject:
    """The model under check.

    Args:
        target: A model, its class, or what makes one without arguments.
        recipe: How to point it at the backend. Default: the known one for its class, if there is one.
        probe: Whether the model may be asked, to learn what it says, and whether it has all packages that it needs.

    Raises:
        ImportError: If it needs a package that is not there.
        Exception: What making it raises.

    Attributes:
        cls: Its class.
        driver: How it is made to say something.
    """

    def __init__(self, target: Target, *, recipe: Recipe | None = None, probe: bool = True) -> None:
        recipe = recipe or _known_recipe(target)
        self._target, self._recipe = target, recipe
        self.driver: Driver = choose_driver(partial(_make_factory, target, recipe), recipe, probe=probe)
        self._factory: Factory = self.driver.factory
        self.cls = self._factory.cls
        self._answer: str | None = None
        self._made: list[Any] = []
        if probe and self.driver.name == "wire":
            self._look_for_packages()

    # --- models ---

    def real(self, **overrides: Any) -> BaseChatModel:
        """A fresh model, as its user makes it, with other constructor arguments where `overrides` has some.

        Raises:
            NotObserved: If it cannot be made a second time.
        """
        return self._kept(self.driver.real(overrides))

    def model(self, **overrides: Any) -> BaseChatModel:
        """A fresh model that answers at once and always the same, wherever it can be made to."""
        if "text" in self.driver.offers:
            return self._kept(self.driver.speaking([SAID], overrides))
        return self.real(**overrides)

    def says(self, *replies: Any, **overrides: Any) -> BaseChatModel:
        """A fresh model that gives these replies, request by request, and the last one from then on.

        Args:
            replies: Texts, `Reply`s, `Fault`s, or functions of what is asked (`ChatRequest`) to one of these.
            overrides: Constructor arguments.

        Raises:
            NotObserved: If what the model says cannot be chosen. A check that declares its needs is not run then.
        """
        return self._kept(self.driver.speaking(replies, overrides))

    def suffers(self, fault: Fault, reply: Reply | None = None, **overrides: Any) -> BaseChatModel:
        """A fresh model whose every request meets `fault`, as it gives `reply`."""
        broken = fault if reply is None else _with_fault(reply, fault)
        return self._kept(self.driver.speaking([broken], overrides))

    def gives(self, value: Mapping[str, Any], **overrides: Any) -> BaseChatModel:
        """A fresh model that gives `value` as an object, in the way it is asked to: by a call, or as JSON."""
        return self.says(lambda asked: _given(value, asked), **overrides)

    @contextmanager
    def with_own_backend(self) -> "Generator[Subject, None, None]":
        """The same model with a server of its own, for what leaves broken connections behind.

        Some clients share their connections process-wide, by address: what a check breaks, the next would meet. A model
        without a server is given as it is.
        """
        if self.lacks("backend"):
            yield self
            return
        with Subject(self._target, recipe=self._recipe) as elsewhere:
            yield elsewhere

    # --- what it is asked and what it says ---

    @property
    def prompt(self) -> str:
        """What to ask the model, so that it says what it was made to."""
        return self.driver.prompt

    def answer(self) -> str:
        """The text that `model()` gives to `prompt`.

        Raises:
            NotObserved: If it does not always say the same, or nothing.
        """
        if "text" in self.driver.offers:
            return SAID
        if self._answer is None:
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
            path: The way; see `PATHS`.
            kwargs: `config`, and what else goes to the method.
        """
        return ask(model, self.prompt if given is None else given, path, **kwargs)

    def each_path(
        self, make: Callable[[], Any], given: Any = None, paths: Sequence[PathName] | None = None, **kwargs: Any
    ) -> Iterator[Outcome]:
        """Ask a new model by each of `paths` in turn. Default: all that lead to an answer."""
        for path in self.paths if paths is None else paths:
            yield self.ask(make(), given, path, **kwargs)

    # --- what reached that which answers ---

    @property
    def exchanges(self) -> list[Exchange]:
        """The requests that reached the server, or the function, since the last model was made; oldest first.

        A function's requests are told as an OpenAI client would send them.
        """
        return self.driver.exchanges()

    def wait_for(self, predicate: Callable[[], Any], timeout_s: float) -> bool:
        """Wait until something is true of the exchanges; False if it is not within so many seconds."""
        return self.driver.wait_for(predicate, timeout_s)

    # --- what others see of it ---

    def start(self, model: Any, /, **kwargs: Any) -> Event:
        """What handlers are told as a run starts: `more` has `serialized`, `invocation_params` and `metadata`.

        The run is answered by a cache, so nothing reaches the model. `kwargs` go to `invoke`.
        """
        return self._started(model, kwargs)[0]

    def key(self, model: Any, /, **kwargs: Any) -> str:
        """The model's part of a cache key, for a call with `kwargs`.

        Raises:
            NotObserved: If the model does not look into the cache.
        """
        keys = self._started(model, kwargs)[1]
        if not keys:
            raise NotObserved("the model does not look into the cache that is set for all models")
        return keys[0]

    def _started(self, model: Any, kwargs: dict[str, Any]) -> tuple[Event, list[str]]:
        keeper, recorder = KeyKeeper(), Recorder()
        with global_cache(keeper), allow_beta():
            model.invoke("What is asked does not matter.", {"callbacks": [recorder]}, **kwargs)
        starts = recorder.of("start")
        if not starts:
            raise Failed("no start of a run was reported to a handler", "on_chat_model_start")
        return starts[0], keeper.keys

    def pickle_round_trip(self, model: Any) -> Any:
        """`model` after a round trip through pickle, as it would arrive in another process."""
        file = io.BytesIO()
        _Pickler(file, self.driver).dump(model)
        return self._kept(_Unpickler(io.BytesIO(file.getvalue()), self.driver).load())

    # --- what it can do ---

    def lacks(self, need: Need) -> str | None:
        """Why a need is not met; None if it is."""
        met = _MEETS.get(need)
        is_met = met(self) if met else need in self.driver.offers
        why = f" ({self.driver.error})" if need == "answer" and self.driver.error else ""
        return None if is_met else f"{UNMET[need].reason}{why}"

    def need(self, *needs: Need) -> None:
        """Go on only if these needs are met.

        Raises:
            NotApplicable, NotObserved: If one is not.
        """
        for need in needs:
            if (reason := self.lacks(need)) is not None:
                raise UNMET[need].verdict(reason)

    def overrides(self, name: str) -> bool:
        """Whether the class has its own method or property of this name, and not langchain-core's."""
        return getattr(self.cls, name, None) is not getattr(BaseChatModel, name, None)

    @property
    def streams(self) -> Sequence[PathName]:
        """Those of `stream` and `astream` by which the class streams: of a plain stream, core makes an async one."""
        if self.overrides("_stream"):
            return ("stream", "astream")
        return ("astream",) if self.overrides("_astream") else ()

    @property
    def paths(self) -> Sequence[PathName]:
        """The paths that lead to an answer: version 3 of the events knows none to a model that does not stream."""
        by_events = {"v3": "stream", "av3": "astream"}
        return tuple(path for path in PATHS if path not in by_events or by_events[path] in self.streams)

    def takes(self, name: str) -> bool:
        """Whether the class has a constructor parameter of this name."""
        return self._factory.takes(name)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What the model is made of, as far as that is known."""
        return self._factory.arguments

    @property
    def key_arguments(self) -> Mapping[str, str]:
        """A marked key, under the name of each secret that the class has a parameter for."""
        return dict.fromkeys(secret_fields(self.cls), MARKED_KEY)

    # --- house-keeping ---

    def tidy(self) -> None:
        """Close the models that were made since this was last called, as far as they can be closed."""
        made, self._made = self._made, []
        for model in made:
            if isinstance(model, ChatModel):
                with suppress(Exception):
                    model.close()

    def _look_for_packages(self) -> None:
        """Ask a model that speaks to the backend once: without a package that it needs, each check would say so."""
        try:
            self.real().invoke(self.prompt)
        except ImportError:
            self.close()
            raise
        except Exception:  # noqa: BLE001 - whatever else is wrong, the checks will say
            return
        finally:
            self.tidy()

    def _kept(self, model: T) -> T:
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
        alone: Whether the loop is its own. False: that of all checks, which the clients of the model are used to.

    Raises:
        Failed: If it takes longer than `limit_s` seconds.
    """

    async def limited() -> T:
        return await asyncio.wait_for(coroutine, limit_s)

    try:
        return asyncio.run(limited()) if alone else run_on_shared_loop(limited())
    except TimeoutError:
        raise Failed(f"no answer within {limit_s:g} seconds") from None


def _streams(cls: type) -> bool:
    return not issubclass(cls, ChatModel) or cls.__langplug_shape__.streams


def tool_calling_of(cls: type) -> str:
    """How models of a class call tools, if they are langplug's; empty for anybody else's."""
    field = getattr(cls, "model_fields", {}).get("tool_calling")
    return "" if field is None else str(field.default)


def _calls_tools(subject: Subject) -> bool:
    return subject.overrides("bind_tools") and tool_calling_of(subject.cls) != "off"


def _given(value: Mapping[str, Any], asked: ChatRequest) -> Reply:
    if not asked.tools or asked.tool_choice == "none":
        return Reply(text=json.dumps(value))
    names = [(tool.get("function") or tool)["name"] for tool in asked.tools]
    name = asked.tool_choice if asked.tool_choice in names else names[0]
    return Reply(calls=(Call(name=str(name), args=value, cut=0),))


_MEETS: Mapping[Need, Callable[[Subject], bool]] = {
    "streaming": lambda subject: _streams(subject.cls) and any(map(subject.overrides, ("_stream", "_astream"))),
    "async": lambda subject: any(map(subject.overrides, ("_agenerate", "_astream"))),
    "tools": _calls_tools,
    "structured": lambda subject: _calls_tools(subject) or subject.overrides("with_structured_output"),
}


def _with_fault(reply: Reply, fault: Fault) -> Reply:
    return replace(reply, faults=(*reply.faults, fault))


def _known_recipe(target: Target) -> Recipe | None:
    if isinstance(target, type):
        return recipe_for(target)
    if isinstance(target, BaseChatModel):
        return recipe_for(type(target))
    return recipe_for(type(target()))


def _make_factory(target: Target, recipe: Recipe | None, arguments: Mapping[str, Any]) -> Factory:
    filled = recipe.filled() if recipe and isinstance(target, type) else {}
    return Factory(target, {**filled, **arguments})


class _Pickler(pickle.Pickler):
    """Knows the scripted classes, which can be found in no module."""

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
