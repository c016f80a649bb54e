"""`ChatModel`: one function from a request to text, and a LangChain chat model is derived from it."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from langchain_core.language_models import LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import Secret, SecretStr, SerializerFunctionWrapHandler, model_serializer, model_validator

from langplug._answer.fast_chunks import whole_generation
from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._errors import MissingSecretError
from langplug._model import batch_door, class_checks, hooks, tokens
from langplug._model.cache_key import follow_model, reads_run
from langplug._model.choices import Choices
from langplug._model.composable import Composable
from langplug._model.fields import ModelFields
from langplug._model.fingerprint import follow, hash_of, stable_text
from langplug._model.identity import SCALARS, is_harmless, is_secret, to_plain, to_repr, type_name
from langplug._model.keywords import CALL, OPENED, held_for_a_parser, parameters_in
from langplug._model.langchain import CallConfig, with_signature
from langplug._model.names import package_versions
from langplug._model.parameters import (
    NAME_FIELDS,
    STANDARD,
    TRACED,
    check_aliases,
    conceal_arguments,
    name_text,
    parameters_of,
    read_attribute,
    unknown_parameter,
    warn_of_ignored,
)
from langplug._model.pickles import LOST, SecretRemover, bound_secrets, lost_secret_error
from langplug._model.plan import Plan
from langplug._model.profile import profile_of
from langplug._model.run import ModelRun
from langplug._model.runs import run_of
from langplug._model.state import (
    SLOTS,
    deepen,
    forget_cached,
    have_same_state,
    is_cached,
    is_set_up,
    new_parametrized,
    set_slots,
    slots_of,
)
from langplug._model.structured import Method, structured_output
from langplug._redaction import drop_secrets, unconceal
from langplug._resources import check_resources, injecting, resources_of
from langplug._secrets import MASK
from langplug._tools.provider_tools import names_one_of, split_tools
from langplug._tools.toolbox import choice_of, refuse_tools, tool_dicts

_COMPANIONS = ("rate_limiter", "cache", "callbacks")
"""What a model is used with rather than made of; copies keep using the same."""


class ChatModel(Composable[LanguageModelInput, AIMessage], ModelFields):
    """Any language model as a LangChain chat model: subclass it and write `respond`.

    Fields are declared as in any pydantic model. Each is at once a typed constructor argument, a validated
    parameter of a single call (`model.invoke(..., temperature=0)`), part of the cache key and of traces.

    What the model can do by itself is set in the class body or, for one model, in the constructor:

        tool_calling: `"native"`: `respond` reads `request.tools` and `request.tool_choice` and yields `ToolCall`s.
            `"templated"`: `respond` gives `request.tools` to the model's chat template, as `request.prompt` does, and
            yields text, out of which calls are read. `"prompted"` (the default): langplug puts them into the prompt
            and reads calls out of the text. `"off"`: it refuses tools.
        structured_output: `"native"` if `respond` sees to it that its text fits `request.schema`. `"derived"` (the
            default): langplug puts the schema into the prompt, checks the answer, and asks again.
        accepts: Content that it takes besides text: `"image"`, `"audio"`, `"video"`, `"file"`, or a block's own type.
        tool_format: How calls stand in the text of a prompted model.

    Every model has these fields, too:

        stop: Strings at which the answer ends, unless a call gives its own.
        include_stop: Whether the answer ends after the stop string (the default) or before it.
        streaming: Whether `invoke` too reads the answer as a stream, so that callbacks see its tokens.
        timeout: Seconds that the whole answer may take.
        context_window: Tokens that fit in one request.
        token_counter: Counts the tokens of a text.
        reasoning_tags, reasoning_opened: How reasoning stands in the model's text.
        keep_reasoning: Which of its earlier reasoning the model is shown again.
        adaptations: Whether what langplug does in the model's place is noted, silent or refused.
        ignored_params: Standard parameters that were given but that this model has no use for.
        name, cache, callbacks, tags, metadata, rate_limiter, disable_streaming, output_version, verbose,
            custom_get_token_ids, profile: langchain-core's own.

    Class variables:
        provider: Who runs it, for traces. Default: the class's name in lower case, without `Chat`.

    A model that is faster for many requests at once has a method `respond_batch(self, requests)` instead of `respond`,
    sync or async. It returns a list with one answer for each request (or its exception), or yields pairs of a request's
    index and a part of its answer. Calls from everywhere are gathered: an idle model is asked at once, and what comes
    meanwhile is its next batch. Its class variables, or fields, are then:
        max_batch: How many requests a batch may hold. Default: all that wait.
        max_wait: Seconds that a batch which is not full waits for more. Default: it waits for nobody but
            callers of the last batch, for moments.
        batch_key: A method of a request; only requests with equal keys, such as a length, share a batch.
        split_on_error: Whether a batch that raises is tried again in halves, so that a bad request fails alone.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        class_checks.check_fields(cls)
        check_aliases(cls)
        check_resources(cls)
        class_checks.check_secrets(cls)
        if not cls.__module__.startswith("langplug."):
            class_checks.check_leftovers(cls, ModelFields)
            hooks.open_doors(cls, ChatModel)
        batch_door.open_door(cls)
        by_decorator = "__langplug_shape__" in cls.__dict__  # such a class has its function's docstring, as it is
        if not by_decorator:
            cls.__langplug_shape__ = class_checks.read_shape(cls, ModelFields.respond)
            class_checks.describe_fields(cls)
        package_versions(cls)  # looked up now: later may be in an event loop, which file access would block

    # --- construction ---

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args:
            name = type(self).__name__
            raise TypeError(
                f"{name}(...) makes a model, and takes its settings by name: `{name}(temperature=0)`. To ask the model "
                f"something, make it first: `{name}().invoke(...)`."
            )
        # here too: pydantic would wrap the error, a ValueError, in one of its own
        self.__langplug_check_secrets__(kwargs)
        cls = type(self)
        # What an author's `__init__` has set before it calls this one, which pydantic would drop without a word.
        early = {**self.__dict__, **(getattr(self, "__pydantic_private__", None) or {})}
        with injecting(cls, {name: kwargs.pop(name) for name in resources_of(cls) if name in kwargs}):
            super().__init__(**kwargs)
        for name, value in early.items():
            setattr(self, name, value)

    @model_validator(mode="before")
    @classmethod
    def __sort_arguments(cls, given: Any) -> Any:
        # Not abstract: a base class between may leave `respond` to its children, and be checked like any class.
        if cls.respond is ModelFields.respond:
            raise TypeError(
                f"{cls.__name__} has no `respond`. Write `def respond(self, request: Request): ...` in it, or one of "
                f"langchain-core's hooks, such as `_generate`."
            )
        if not isinstance(given, dict):
            return given
        declared = parameters_of(cls)
        # pydantic validates an assignment together with all that the instance holds, cached properties included.
        is_instance = given.keys() >= cls.model_fields.keys()
        arguments: dict[str, Any] = {}
        ignored: dict[str, Any] = {}
        for name, value in given.items():
            # hidden at once, or pydantic's errors would show it
            safe = SecretStr(unconceal(value)) if name in declared.hidden and isinstance(value, str) else value
            if name in declared.fields:
                field = declared.fields[name]
                # A plain field with the name of a secret hides itself, and so takes one in as it gives it out.
                is_wrapped = field in declared.masked and is_secret(value)
                arguments[field] = cast("Secret[Any]", value).get_secret_value() if is_wrapped else safe
            elif is_instance:
                arguments[name] = value
            elif name in STANDARD:
                ignored[name] = safe
            else:
                known = {*declared.fields, *resources_of(cls)} - set(_COMPANIONS)
                raise unknown_parameter(cls, name, "its constructor", known)
        if ignored:
            if arguments.get("adaptations", cls.model_fields["adaptations"].default) != "silent":
                warn_of_ignored(cls, ignored)
            arguments["ignored_params"] = {**arguments.get("ignored_params", {}), **ignored}
        cls.__langplug_check_secrets__(arguments)
        return arguments if is_instance else unconceal(arguments)

    @classmethod
    def __langplug_check_secrets__(cls, arguments: Iterable[str]) -> None:
        declared = parameters_of(cls)
        given = {declared.fields.get(name) for name in arguments}
        for field, value in declared.environment.items():
            if field not in given and not value.found:
                raise MissingSecretError(
                    f"{cls.__name__} needs `{field}`: set the environment variable {value.name!r}, "
                    f"or pass `{cls.model_fields[field].alias or field}=...` to the constructor."
                )

    @model_validator(mode="after")
    def __note_versions(self) -> Self:
        for package, version in package_versions(type(self)):
            self._add_version(package, version)
        return self

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of(self)

    # --- identity ---

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self.__declared_params()

    def __declared_params(self) -> dict[str, Any]:
        fields, declared = self.__dict__, parameters_of(type(self))
        defaults, is_template = _fixed_defaults(type(self)), self.__langplug_is_template__
        shown: dict[str, Any] = {}
        for name in declared.identity:
            if name not in fields:
                continue
            value = fields[name]
            if name in declared.named_by and type(value) is not str:
                value = name_text(value) or value  # of an `Enum` its text
            if name in defaults and value is defaults[name][0]:
                plain = defaults[name][1]
                shown[name] = plain.copy() if type(plain) is list else plain
            elif name in declared.masked and not is_harmless(value):
                shown[name] = MASK
            else:
                shown[name] = to_plain(value, is_template=is_template)
        return shown

    def __own_params(self) -> dict[str, Any]:
        """`_identifying_params`, whatever an author has made of it: it does not raise, and shows what it may."""
        cls = type(self)
        private = (self.__pydantic_private__ or {}).get("_identifying_params")  # as pydantic takes a dict in the class
        if private is None and cls._identifying_params is ChatModel._identifying_params:
            return self.__declared_params()  # most models: nothing to look through
        try:
            params: Any = self._identifying_params if private is None else private
            if inspect.ismethod(params):  # without `@property`
                params = params()
            return {str(name): self.__shown(str(name), value) for name, value in dict(params).items()}
        except Exception:  # noqa: BLE001 - identity never raises, and the key holds the fields themselves anyway
            return self.__declared_params()

    def __shown(self, name: str, value: Any) -> Any:
        """What may be seen of a parameter: of a field, what its class declares; else what its name allows."""
        declared = parameters_of(type(self))
        if name not in declared.fields:
            return to_plain(value, name)
        field = declared.fields[name]
        if field in declared.named_by:
            value = name_text(value) or value
        is_hidden = (field in declared.masked or field in declared.secrets) and not is_harmless(value)
        return MASK if is_hidden else to_plain(value, is_template=self.__langplug_is_template__)

    def asdict(self) -> dict[str, Any]:
        """The model's parameters, as langchain-core's tools write them down."""
        return {**self.__own_params(), "_type": self._llm_type}

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The environment variable of each secret field."""
        declared = parameters_of(type(self)).secrets
        aliases = {type(self).model_fields[name].alias or name: variable for name, variable in declared.items()}
        return {name: variable for name, variable in {**declared, **aliases}.items() if variable}

    def call_parameters(self, stop: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
        """The model's parameters, under `stop` and those `given` for a call, as JSON data without secrets."""
        declared = parameters_of(type(self))
        shown = {
            declared.per_call.get(name, name): self.__shown(name, value)
            for name, value in given.items()
            if name not in declared.hidden and declared.per_call.get(name) not in declared.excluded
        }
        in_force = self.stop if stop is None else stop
        # `_type` after the fields, `stop` last: langchain-core's own tracers look for these two names.
        return {**self.__own_params(), "_type": self._llm_type, **shown, "stop": in_force}

    def cache_key(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Equal for equal models and calls, in every process; different wherever the answer may differ.

        Args:
            stop: The stop strings of the call, if it has its own.
            kwargs: The parameters of the call.
        """
        given: dict[str, Any] = unconceal(parameters_in(kwargs))
        shown = self.call_parameters(stop, given)
        names = parameters_of(type(self)).per_call
        followed = follow_model(self, {names.get(name, name): value for name, value in given.items()})
        if self.__langplug_reads_run__():  # who asks may then be answered by name
            run = run_of(self, kwargs.get(CALL) or CallConfig.of(None), None)
            followed |= {"run": follow((run.name, run.tags, dict(run.metadata), dict(run.configurable)))}
        exact = hash_of({name: one.fingerprint for name, one in followed.items()})
        return stable_text({**shown, "class": type_name(type(self)), "exact": exact})

    def __langplug_reads_run__(self) -> bool:
        """Whether the answer may depend on what the caller says of the call."""
        return reads_run(type(self))

    def __langplug_unshared__(self) -> dict[str, str]:
        """What the key tells apart by identity alone, and the types of it: no other model has the same key."""
        return {name: ", ".join(one.opaque) for name, one in follow_model(self, {}).items() if one.opaque}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        declared = parameters_of(type(self))
        given = {declared.per_call.get(name, name): value for name, value in kwargs.items()}
        named = (given.get(attribute) for attribute in (*declared.named_by, *NAME_FIELDS))
        params = LangSmithParams(ls_provider=self.reported_provider, ls_model_type="chat")
        params["ls_model_name"] = next(filter(None, map(name_text, named)), self.reported_name)
        known = {name: read_attribute(self, attribute) for name, attribute in declared.traced.items()}
        known |= {name: given[at] for name in TRACED if (at := declared.traced.get(name, name)) in given}
        if isinstance(temperature := known.get("temperature"), int | float):
            params["ls_temperature"] = temperature
        if isinstance(max_tokens := known.get("max_tokens"), int):
            params["ls_max_tokens"] = max_tokens
        if in_force := (self.stop if stop is None else stop):
            params["ls_stop"] = in_force
        return params

    # --- the four hooks of langchain-core ---

    @with_signature
    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if hooks.is_inside(self):  # an author's hook calls that of a class after `ChatModel`, or langchain-core's
            return super()._generate(messages, stop, run_manager, **kwargs)  # type: ignore[safe-super] # likewise
        run = run_of(self, kwargs.pop(CALL, None) or CallConfig.of(None), run_manager)
        plan = Plan(self, messages, stop, kwargs, streaming=False, run=run)
        if plan.model.answers_per_call > 1:
            return ChatResult(generations=[whole_generation(one) for one in Choices(plan).messages()])
        return ChatResult(generations=[whole_generation(ModelRun(plan).message())])

    @with_signature
    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if hooks.is_inside(self):
            return await super()._agenerate(messages, stop, run_manager, **kwargs)
        run = run_of(self, kwargs.pop(CALL, None) or CallConfig.of(None), run_manager)
        plan = Plan(self, messages, stop, kwargs, streaming=False, run=run)
        if plan.model.answers_per_call > 1:
            return ChatResult(generations=[whole_generation(one) for one in await Choices(plan).amessages()])
        return ChatResult(generations=[whole_generation(await ModelRun(plan).amessage())])

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        if hooks.is_inside(self):
            return super()._stream(messages, stop, run_manager, **kwargs)
        opened: list[Any] | None = kwargs.pop(OPENED, None)
        run = run_of(self, kwargs.pop(CALL, None) or CallConfig.of(None), run_manager)
        given = held_for_a_parser(kwargs) if opened is None else kwargs
        chunks = ModelRun(Plan(self, messages, stop, given, streaming=True, run=run)).chunks()
        if opened is not None:
            opened.append(chunks)
        return chunks

    def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        if hooks.is_inside(self):
            return super()._astream(messages, stop, run_manager, **kwargs)
        opened: list[Any] | None = kwargs.pop(OPENED, None)
        run = run_of(self, kwargs.pop(CALL, None) or CallConfig.of(None), run_manager)
        given = held_for_a_parser(kwargs) if opened is None else kwargs
        chunks = ModelRun(Plan(self, messages, stop, given, streaming=True, run=run)).achunks()
        if opened is None:
            return chunks
        opened.append(detached := DetachedAsyncGenerator(chunks))
        return detached

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """As langchain-core's; what answers many at once gets all inputs, unless `max_concurrency` says otherwise."""
        kwargs = self.__langplug_hide__(kwargs) if kwargs else kwargs
        if self.__langplug_gathers__ or batch_door.has_door(type(self)):
            config = batch_door.at_once(len(inputs), config)
        return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)

    def __langplug_open__(self, messages: list[BaseMessage], stop: list[str] | None, given: dict[str, Any]) -> ModelRun:
        run = run_of(self, given.pop(CALL), None)
        return ModelRun(Plan(self, messages, stop, given, streaming=True, run=run))

    # --- secrets of one call ---

    def __langplug_hide__(self, given: dict[str, Any]) -> dict[str, Any]:
        """What is given for a call, with keys as secrets: error trackers show the variables that hold it."""
        hidden = parameters_of(type(self)).hidden
        concealed = conceal_arguments(type(self), given, is_plain=self.__langplug_is_template__)
        return {
            name: SecretStr(unconceal(value)) if name in hidden and isinstance(value, str) else value
            for name, value in concealed.items()
        }

    if not TYPE_CHECKING:  # to type checkers it is langchain-core's, whose return type is private

        def bind(self, **kwargs: Any) -> Any:
            """This model with parameters for each call. Secrets among them show in no repr and are in no pickle."""
            return super().bind(**bound_secrets(self.__langplug_hide__(kwargs)))

    if not TYPE_CHECKING:  # type checkers say by themselves that a model is not a function

        def __call__(self, *_: Any, **__: Any) -> NoReturn:
            """Not how a model is asked, as it was in early versions of LangChain."""
            raise TypeError("A model is not called like a function. Ask it: `model.invoke(...)`.")

    # --- tools and structured output ---

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with tools that it may call.

        Args:
            tools: Tools, functions, pydantic classes, dataclasses, TypedDicts, JSON schemas, or OpenAI tool dicts. A
                tool that runs at a provider, such as `{"type": "web_search"}`, is passed on if `accepts` names its
                type, and otherwise left out, with a note in `response_metadata["adaptations"]`.
            tool_choice: `"auto"` (the default), `"any"` or `"required"`, `"none"`, a tool's name, True for the only
                one, or a dict that names one. A forced call is got by asking again where need be, or is an
                `UnmetDemandError`. One whose arguments do not fit even then is given as it is.
            kwargs: `strict`, `parallel_tool_calls` (False: one call at most), and parameters of the call.

        Raises:
            UnsupportedError: If the model has turned tools off.
            ValueError: If a tool cannot be described, or the choice names none of them.
        """
        if hooks.is_inside(self):  # what keywords a hook is to be given: those of a class after `ChatModel`
            return super().bind_tools(tools, tool_choice=tool_choice, **kwargs)  # type: ignore[arg-type]
        owner = type(self).__name__
        functions, others = split_tools(tools)
        described = list(tool_dicts(functions, kwargs.pop("strict", None)))
        if described and self.tool_calling == "off":
            raise refuse_tools(owner)
        if tool_choice is not None:
            is_other = names_one_of(tool_choice, others)
            kwargs["tool_choice"] = tool_choice if is_other else choice_of(tool_choice, described, owner)
        bound: Runnable[LanguageModelInput, AIMessage] = self.bind(tools=[*described, *others], **kwargs)
        return bound

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """This model, answering with objects of `schema`.

        Args:
            schema: A pydantic class (v1 or v2), dataclass, TypedDict, JSON schema, or OpenAI function dict.
            method: `"json_schema"`: kept by the model itself where it can (`structured_output = "native"`), else said
                in the prompt, checked, and asked for again. `"function_calling"`: a forced call of a tool.
                `"json_mode"`: JSON of the form that the prompt describes, checked. Default: the surest that it has.
            include_raw: Give `{"raw": message, "parsed": object or None, "parsing_error": error or None}`.
            strict: Passed on with the schema, for models that know it.
            kwargs: Nothing else is accepted.

        Raises:
            ValueError: If the schema is not a schema, or the method or a keyword is unknown.
            OutputParserException: When called, if the answer does not fit, even when asked again. Never None.
        """
        if kwargs:
            raise ValueError(f"with_structured_output takes no {', '.join(map(repr, kwargs))}.")
        made: Runnable[LanguageModelInput, Any] = self.__langplug_keep__(
            structured_output(self, schema, method, include_raw, strict)
        )
        return made

    def __langplug_keep__(self, made: Any) -> Any:
        from langplug._model.composition import keep  # what it needs of langchain-core takes 25 ms to import

        return keep(made)

    # --- tokens ---

    @property
    def __langplug_estimates_tokens__(self) -> bool:
        """Whether tokens are estimated: there is no tokenizer, and what counts them is langplug's."""
        counts = (type(self).get_token_ids, type(self).get_num_tokens, type(self).get_num_tokens_from_messages)
        ours = (ChatModel.get_token_ids, ChatModel.get_num_tokens, ChatModel.get_num_tokens_from_messages)
        return counts == ours and self.token_counter is None and self.custom_get_token_ids is None

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of `text` as numbers: by `custom_get_token_ids`, else an estimate without a tokenizer."""
        return self.custom_get_token_ids(text) if self.custom_get_token_ids else tokens.estimate_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """How many tokens `text` has: by `token_counter`, else by `get_token_ids`."""
        return self.token_counter(text) if self.token_counter else len(self.get_token_ids(text))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """How many tokens the messages make as a prompt, with all that langplug adds to it for `tools`.

        By `get_num_tokens`, message by message. It never raises for what a history may hold, such as one that ends in
        a call of a tool: `trim_messages(token_counter=model)` counts histories of every form.
        """
        return tokens.estimate_prompt(tokens.request_to_count(self, messages, tools), self.get_num_tokens)

    # --- resources, copies and pickles ---

    def close(self) -> None:
        """Tear down the resources that were made and that no other model shares. The model can still be used after."""
        self.__langplug_resources__().close()

    async def aclose(self) -> None:
        """As `close`, and wait for what belongs to the running event loop."""
        await self.__langplug_resources__().aclose()

    @model_serializer(mode="wrap")
    def __hide_masked(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        fields = parameters_of(type(self))
        for name in fields.masked and dumped.keys() & fields.fields.keys():
            if fields.fields[name] in fields.masked and not is_harmless(dumped[name]):
                dumped[name] = Secret(dumped[name])  # as a secret field's value is given out
        return dumped

    def __repr_args__(self) -> Any:
        """The fields that were set to something, without what LangChain itself adds to every model."""
        declared = parameters_of(type(self))
        shown = declared.shown & (self.__pydantic_fields_set__ if is_set_up(self) else self.__dict__.keys())
        hidden = declared.masked | declared.secrets.keys()
        return [
            (name, to_repr(value, hidden=name in hidden, is_template=self.__langplug_is_template__))
            for name, value in self.__dict__.items()
            if name in shown and not (type(value) is dict and not value)
        ]

    def __eq__(self, other: object) -> bool:
        """Equal where all settings are, and the plain values that an author keeps privately.

        What a model makes and collects as it is used, such as a client, makes no difference.
        """
        if type(self) is not type(other) or not isinstance(other, ChatModel):
            return False
        fields = type(self).model_fields
        mine, others = ({name: one.__dict__.get(name) for name in fields} for one in (self, other))
        return mine == others and have_same_state(self, other)

    __hash__ = None  # type: ignore[assignment]  # as for any pydantic model that can change

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's; what cached properties have made of the old settings is not in a copy with others.

        Args:
            update: Fields and resources of the copy, by name. They are not validated.
            deep: Whether what the fields hold is copied, too.
        """
        given = dict(update or {})
        injected = {name: given.pop(name) for name in resources_of(type(self)) if name in given}
        copied = super().model_copy(update=given)
        if given:
            forget_cached(copied)
        if injected:
            copied.__langplug_inject__(injected)
        # Only what is not replaced is copied deep, as by pydantic.
        return copied.__deepcopy__({id(value): value for value in given.values()}) if deep else copied

    def __copy__(self) -> Self:
        if is_set_up(self):
            copied = super().__copy__()
        else:
            copied = type(self).__new__(type(self))
            object.__setattr__(copied, "__dict__", dict(self.__dict__))
        set_slots(copied, slots_of(self))
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        # A cache that was copied would be another cache, and two rate limiters let twice as much through.
        memo |= {
            id(companion): companion for name in _COMPANIONS if (companion := getattr(self, name, None)) is not None
        }
        memo[id(self)] = copied = self.__copy__()
        forget_cached(copied)  # often a client, which cannot be copied
        deepen(copied, memo)
        return copied

    def __reduce_ex__(self, protocol: Any, /) -> Any:
        """As Python's; `Model[int]`, which no module may hold under this name, is made of `Model` again."""
        generic = type(self).__pydantic_generic_metadata__
        if generic["origin"] is None:
            return super().__reduce_ex__(protocol)
        return new_parametrized, (generic["origin"], generic["args"]), self.__getstate__()

    @staticmethod
    def __langplug_is_template__(text: str) -> bool:
        """Whether a text under a secret's name only says where a secret is to be filled in."""
        return False

    def __langplug_pickled_fields__(self) -> dict[str, Any]:
        """What the fields hold, as far as it belongs into a pickle. Secrets are taken out of it afterwards."""
        return {**self.__dict__, "ignored_params": drop_secrets(self.ignored_params)}

    def __getstate__(self) -> dict[Any, Any]:
        """Without secrets: a pickle may end up anywhere. Which ones are missing is part of it."""
        state = super().__getstate__()
        secrets, remover = parameters_of(type(self)).secrets, SecretRemover(self.__langplug_is_template__)
        fields: dict[str, Any] = {}
        for name, value in self.__langplug_pickled_fields__().items():
            if name in secrets and name not in self.__pydantic_fields_set__:
                continue  # a default, or the environment's: it is there again
            if not is_cached(type(self), name):
                fields[name] = remover.remove(value, name)
        private = {name: remover.remove(value, name) for name, value in (self.__pydantic_private__ or {}).items()}
        slots = {name: remover.remove(value, name) for name, value in slots_of(self).items()}
        variables = self.lc_secrets
        lost = {place: variables.get(place, "") for place in remover.lost}
        held = {"__dict__": fields, "__pydantic_private__": private, SLOTS: slots}
        return {**state, **held, LOST: lost}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Secrets come from the environment again; one that was given to the constructor has to be given anew.

        Raises:
            MissingSecretError: If there was one, or the environment holds none.
        """
        if lost := state.get(LOST):
            raise lost_secret_error(type(self), lost)
        super().__setstate__(state)
        set_slots(self, state.get(SLOTS, {}))
        given = set(self.__pydantic_fields_set__)
        self.__langplug_check_secrets__(self.__dict__)
        for name in parameters_of(type(self)).secrets:
            if name not in self.__dict__:
                value = type(self).model_fields[name].get_default(call_default_factory=True, validated_data={})
                type(self).__pydantic_validator__.validate_assignment(self, name, value)
        object.__setattr__(self, "__pydantic_fields_set__", given)  # so that the next pickle leaves them out as well


ChatModel.model_config["use_attribute_docstrings"] = True  # for subclasses; see `ModelFields`
class_checks.describe_fields(ChatModel)  # pydantic calls `__pydantic_init_subclass__` for subclasses alone


@cache
def _fixed_defaults(cls: type[ChatModel]) -> dict[str, tuple[Any, Any]]:
    """Those defaults of a class that nobody can change, and what is shown of each. Most fields of most models are such.

    All fields are shown to whoever hears of a call, which cost an eighth of a short one.
    """
    declared = parameters_of(cls)
    defaults = {name: cls.model_fields[name].default for name in declared.identity if name not in declared.masked}
    shown = partial(to_plain, is_template=cls.__langplug_is_template__)
    return {
        name: (value, shown(value))
        for name, value in defaults.items()
        if all(type(one) in SCALARS for one in (value if type(value) in (tuple, frozenset) else (value,)))
    }
