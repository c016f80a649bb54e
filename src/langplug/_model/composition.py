"""langchain-core's wrappers of a model (`bind`, `with_retry`, `configurable_fields` ...) that lose nothing.

Each has the name of the class that it stands for: names are what traces, graphs, dumps and reprs show. Two rules make
the order of the operations free:

* `bind_tools` and `with_structured_output` of a wrapper ask what is inside for them, and put what comes back around
  the wrapper, or each branch of it, instead of the bare model.
* What a call's configuration sets goes inwards, to the models; what is bound stays outside.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Self, cast

from langchain_core import runnables as core
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig, configurable, ensure_config, fallbacks, retry
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.utils import (
    AnyConfigurableField,
    ConfigurableField,
    ConfigurableFieldMultiOption,
    ConfigurableFieldSingleOption,
    Input,
    Output,
)

from langplug._model.composable import Composable
from langplug._model.fields import ModelFields
from langplug._model.keywords import FOR_A_PARSER
from langplug._model.pickles import bound_secrets
from langplug._model.plan import with_overrides
from langplug._redaction import as_secrets, conceal
from langplug._secrets import is_secret_name
from langplug._tools.toolbox import name_of

Change = Callable[[Any], Any]
Fields = Mapping[str, AnyConfigurableField]


def _hiding(name: str) -> Any:
    """langchain-core's method of this name, which hides secrets among its keywords before core holds them."""

    @wraps(getattr(core.RunnableBinding, name))
    def method(self: "Wrapper[Any, Any]", *args: Any, **kwargs: Any) -> Any:
        kwargs = self.__langplug_hide__(kwargs) if kwargs else kwargs
        return getattr(super(Wrapper, self), name)(*args, **kwargs)

    return method


class Wrapper(Composable[Input, Output]):
    """A wrapper of models, each of which takes part in what is done to it."""

    if not TYPE_CHECKING:  # type checkers know langchain-core's signatures
        invoke = _hiding("invoke")
        ainvoke = _hiding("ainvoke")
        stream = _hiding("stream")
        astream = _hiding("astream")

    def __langplug_keep__(self, made: Any) -> Any:
        return keep(made)

    def map_inner(self, change: Change) -> Self:
        """This wrapper around `change(runnable)` of each runnable inside."""
        raise NotImplementedError

    def bind(self, **kwargs: Any) -> Any:
        """This with parameters for each call; secrets among them show nowhere, as where a model binds them."""
        return super().bind(**bound_secrets(self.__langplug_hide__(kwargs)))

    def __langplug_hide__(self, given: dict[str, Any]) -> dict[str, Any]:
        """What is given for a call, with secrets hidden as each model inside hides them, else by their names."""
        models = [model for model in _models_in(self) if isinstance(model, ModelFields)]
        for model in models:
            given = model.__langplug_hide__(given)
        return given if models else {name: conceal(value, secret=is_secret_name(name)) for name, value in given.items()}

    def to_json(self) -> Any:
        """As langchain-core's `dumps` writes it down: what is bound shows no secret, and is not loaded without it."""
        written: Any = super().to_json()
        for name in ("kwargs", "config") if "kwargs" in written else ():
            if name in written["kwargs"]:
                written["kwargs"][name] = as_secrets(written["kwargs"][name])
        return written

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, Any]:
        """This with tools that the model may call, in the place of those that were bound before."""
        return self.map_inner(partial(_call, "bind_tools", tools, **kwargs))

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        """This, answering with objects of `schema`."""
        return self.map_inner(partial(_call, "with_structured_output", schema, **kwargs))

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> Any:
        """This with fields that a call's configuration may set, in each model inside that has them.

        Raises:
            ValueError: If no model inside has such a field.
        """
        if unknown := kwargs.keys() - _fields_of(self):
            known = ", ".join(sorted(_fields_of(self)))
            raise ValueError(
                f"No model here has a field {min(unknown)!r} to make configurable. What they have: {known}."
            )

        def make_configurable(runnable: Any) -> Any:
            own = {name: field for name, field in kwargs.items() if name in _fields_of(runnable)}
            return runnable.configurable_fields(**own) if own else runnable

        return self.map_inner(make_configurable)

    def configurable_alternatives(self, which: ConfigurableField, **kwargs: Any) -> Any:
        """This, and models that a call's configuration may choose in its place."""
        config: RunnableConfig | None = getattr(self, "config", None)
        if not config:
            return super().configurable_alternatives(which, **kwargs)
        # The configuration may already choose among the alternatives, so it must stand around all of them.
        return self.model_copy(update={"config": {}}).configurable_alternatives(which, **kwargs).with_config(config)


class Around(Wrapper[Input, Output]):
    """A wrapper of one model, which stays between the model and the parser of a structured output."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, Any]:
        """This with tools that the model may call, in the place of those that were bound before."""
        made: Runnable[Any, Any] = self._around(_call("bind_tools", tools, self._inner, **kwargs))
        return made

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        """This, answering with objects of `schema`."""
        made: Runnable[Any, Any] = self._around(_call("with_structured_output", schema, self._inner, **kwargs))
        return made

    @property
    def _inner(self) -> Any:
        raise NotImplementedError

    def _around(self, made: Any) -> Any:
        """What the inner runnable made of itself, made of this."""
        if isinstance(made, RunnableSequence):
            return made.map_inner(self._around)
        if isinstance(made, core.RunnableBinding) and made.bound is self._inner:
            return self._bound_like(made)
        return self.map_inner(lambda _: made)  # several models inside, or an author's own `bind_tools`

    def _bound_like(self, made: core.RunnableBinding[Any, Any]) -> Any:
        return RunnableBinding(bound=self, kwargs=made.kwargs, config=made.config)


class RunnableBinding(Around[Input, Output], core.RunnableBinding[Input, Output]):
    """Parameters and a configuration for each call of what is inside."""

    @property
    def _inner(self) -> Any:
        return self.bound

    def map_inner(self, change: Change) -> Self:
        """This around `change` of what is inside."""
        return self.model_copy(update={"bound": change(self.bound)})

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Runnable[Any, Any]:
        """This with more configuration: tags, metadata and `configurable` are added to those that it has."""
        return self.model_copy(update={"config": _add_config(self.config, config, kwargs)})

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
        """How many tokens the messages make as a prompt, with the tools that are bound."""
        given = self.kwargs.get("tools") if tools is None else tools
        count: int = self._inner.get_num_tokens_from_messages(messages, given)
        return count

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> Any:
        """This with fields that a call's configuration may set; what is bound to one of them is its default."""
        bound = {name: value for name, value in self.kwargs.items() if name in kwargs}
        left = {name: value for name, value in self.kwargs.items() if name not in kwargs}
        preset = self.map_inner(partial(_preset, bound)) if bound else self
        return super(RunnableBinding, preset).configurable_fields(**kwargs).model_copy(update={"kwargs": left})

    def _bound_like(self, made: core.RunnableBinding[Any, Any]) -> Any:
        kwargs = _combine(self.kwargs, made.kwargs)
        return self.model_copy(update={"kwargs": kwargs, "config": _add_config(self.config, made.config)})


class RunnableRetry(Around[Input, Output], retry.RunnableRetry[Input, Output]):
    """What is inside, called again when it fails."""

    @property
    def _inner(self) -> Any:
        return self.bound

    def map_inner(self, change: Change) -> Self:
        """This around `change` of what is inside."""
        return self.model_copy(update={"bound": change(self.bound)})


class RunnableConfigurableFields(Around[Input, Output], configurable.RunnableConfigurableFields[Input, Output]):
    """A model with fields that a call's configuration may set."""

    @property
    def _inner(self) -> Any:
        return self.default

    def map_inner(self, change: Change) -> Self:
        """This around `change` of what is inside."""
        return self.model_copy(update={"default": change(self.default)})

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Runnable[Any, Any]:
        """This with more configuration; langchain-core's forgets that which it has."""
        return self.model_copy(update={"config": _add_config(self.config, config, kwargs)})

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> Any:
        """This with more fields that a call's configuration may set."""
        made = self.default.configurable_fields(**{**self.fields, **kwargs})
        return self.model_copy(update={"fields": made.fields}) if type(made) is type(self) else made

    def _prepare(self, config: RunnableConfig | None = None) -> tuple[Runnable[Any, Any], RunnableConfig]:
        """The model with what `config` sets.

        langchain-core makes a new model of its fields, without its clients and private state: of this it makes a copy,
        as for the parameters of a call.
        """
        config = ensure_config(config)
        given = config.get("configurable", {})
        chosen: dict[str, Any] = {}
        for name, field in self.fields.items():
            if isinstance(field, ConfigurableFieldSingleOption):
                chosen[name] = field.options[given.get(field.id) or field.default]
            elif isinstance(field, ConfigurableFieldMultiOption):
                chosen[name] = [field.options[option] for option in given.get(field.id, field.default)]
            elif field.id in given:
                chosen[name] = given[field.id]
        return _preset(chosen, self.default) if chosen else self.default, config


class RunnableConfigurableAlternatives(
    Wrapper[Input, Output], configurable.RunnableConfigurableAlternatives[Input, Output]
):
    """Models among which a call's configuration chooses."""

    def map_inner(self, change: Change) -> Self:
        """This around `change` of what is inside."""
        changed = {
            key: change(made) if isinstance(made, Runnable) else partial(_change_made, change, made)
            for key, made in self.alternatives.items()
        }
        return self.model_copy(update={"default": change(self.default), "alternatives": changed})

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Runnable[Any, Any]:
        """This with more configuration; langchain-core's forgets that which it has."""
        return self.model_copy(update={"config": _add_config(self.config, config, kwargs)})


class RunnableWithFallbacks(Wrapper[Input, Output], fallbacks.RunnableWithFallbacks[Input, Output]):
    """Models, each of which is asked when those before it have failed."""

    def map_inner(self, change: Change) -> Self:
        """This around `change` of what is inside."""
        return self.model_copy(
            update={"runnable": change(self.runnable), "fallbacks": [change(one) for one in self.fallbacks]}
        )

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """As langchain-core's, which hands `configurable` to none that has a configuration of its own."""
        config = ensure_config(config)
        configured = self
        if values := config.get("configurable"):
            configured = self.map_inner(lambda one: one.with_config(configurable=values))
        yield from super(RunnableWithFallbacks, configured).stream(input, config, **kwargs)


class RunnableSequence(Wrapper[Input, Output], core.RunnableSequence[Input, Output]):
    """A model and the parser of its structured output."""

    def map_inner(self, change: Change) -> Self:
        """This around `change` of what is inside."""
        return self.model_copy(update={"first": change(self.first)})

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        """Refused: it has one.

        Raises:
            TypeError: Always.
        """
        raise TypeError("This model answers with objects of a schema already. Make both of the model itself.")


_OURS: Mapping[type, type[Wrapper[Any, Any]]] = {
    core.RunnableBinding: RunnableBinding,
    core.RunnableSequence: RunnableSequence,
    retry.RunnableRetry: RunnableRetry,
    fallbacks.RunnableWithFallbacks: RunnableWithFallbacks,
    configurable.RunnableConfigurableFields: RunnableConfigurableFields,
    configurable.RunnableConfigurableAlternatives: RunnableConfigurableAlternatives,
}


def keep(made: Any) -> Any:
    """`made`, a wrapper of langchain-core, as the one of ours that it stands for."""
    if isinstance(made, Wrapper):
        return made
    for base in type(made).__mro__:  # `BaseChatModel.bind` returns a subclass of `RunnableBinding`
        if ours := _OURS.get(base):
            held = {name: getattr(made, name) for name in ours.model_fields}
            return ours(**{name: _hide_config(value) if name == "config" else value for name, value in held.items()})
    return made


def _combine(before: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a call to which first those `before` and then those `added` were bound."""
    schema, tools = (before, added) if FOR_A_PARSER in before else (added, before)
    both = {**before, **added}
    if FOR_A_PARSER not in schema:
        if "tools" in before and "tools" in added:  # a choice among the former tools says nothing about the new ones
            both = {**before, "tool_choice": None, "parallel_tool_calls": None, **added}
        return both
    if not tools.get("tools"):
        return both
    # The object is wanted, so none of the tools is called: but the model sees them, as earlier turns may speak of them.
    if "response_format" in schema:
        return {**both, "tool_choice": "none"}
    own = [tool for tool in schema["tools"] if name_of(tool) == schema["tool_choice"]["function"]["name"]]
    return {**both, "tools": [*tools["tools"], *own], "tool_choice": schema["tool_choice"]}


def _models_in(runnable: Any) -> list[BaseChatModel]:
    """The models in `runnable`, as far as they are there already."""
    if not isinstance(runnable, Wrapper):
        return [runnable] if isinstance(runnable, BaseChatModel) else []
    found: list[BaseChatModel] = []

    def look(inner: Any) -> Any:
        found.extend(_models_in(inner))
        return inner

    runnable.map_inner(look)
    return found


def _fields_of(runnable: Any) -> set[str]:
    return {name for model in _models_in(runnable) for name in type(model).model_fields}


def _preset(values: Mapping[str, Any], runnable: Any) -> Any:
    """`runnable` with `values` in the fields of its models."""
    if isinstance(runnable, Wrapper):
        return runnable.map_inner(partial(_preset, values))
    if isinstance(runnable, ModelFields):
        return with_overrides(runnable, {name: value for name, value in values.items() if name in _fields_of(runnable)})
    return runnable.bind(**values)


def _call(method: str, argument: Any, runnable: Any, /, **kwargs: Any) -> Any:
    return getattr(runnable, method)(argument, **kwargs)


def _change_made(change: Change, make: Callable[[], Any]) -> Any:
    return change(make())


def _hide_config(config: Any) -> Any:
    """A configuration that is bound, with the secrets among what it sets hidden like those that are bound."""
    given = (config or {}).get("configurable")
    if not given:
        return config
    hidden = {name: conceal(value, secret=is_secret_name(name)) for name, value in given.items()}
    return {**config, "configurable": bound_secrets(hidden)}


def _add_config(*configs: Mapping[str, Any] | None) -> RunnableConfig:
    """The configurations in one, with no more in it than they say; langchain-core's `merge_configs` adds defaults."""
    both: dict[str, Any] = {}
    for config in configs:
        for key, value in (config or {}).items():
            before = both.get(key)
            if key == "tags":
                both[key] = [*dict.fromkeys([*(before or ()), *(value or ())])]
            elif key in ("metadata", "configurable"):
                both[key] = {**(before or {}), **(value or {})}
                if key == "configurable":
                    both = _hide_config(both)
            elif key == "callbacks" and before and value:
                both[key] = merge_configs({"callbacks": before}, {"callbacks": value}).get("callbacks")
            elif value is not None:
                both[key] = value
    return cast("RunnableConfig", both)
