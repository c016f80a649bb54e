"""`ChatModel`: one function from a request to text, and a LangChain chat model is derived from it."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

from langchain_core.language_models import LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator

from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.shapes import Shape
from langplug._errors import MissingSecretError
from langplug._messages.kept_reasoning import KeepReasoning
from langplug._model import class_checks, tokens
from langplug._model.choices import Choices
from langplug._model.identity import is_secret, plain, stable_text
from langplug._model.langchain import FOR_A_PARSER, OPENED, PatchedChatModel, parameters_in, with_signature
from langplug._model.parameters import NAME_FIELDS, STANDARD, parameters_of, unknown
from langplug._model.plan import plan
from langplug._model.run import ModelRun
from langplug._model.structured import Method, structured
from langplug._parts import Answer
from langplug._request import Request
from langplug._resources import HasResources, Resource, ResourceStore
from langplug._tools import ToolFormat, format_named
from langplug._tools.toolbox import choice_of, refuse_tools, tool_dicts

_COMPANIONS = ("rate_limiter", "cache", "callbacks")
"""What a model is used with rather than made of; copies keep using the same."""


class ChatModel(PatchedChatModel, HasResources):
    """Any language model as a LangChain chat model: subclass it and write `respond`.

    Fields are declared as in any pydantic model. Each is at once a typed constructor argument, a validated
    parameter of a single call (`model.invoke(..., temperature=0)`), part of the cache key and of traces.

    Class variables:
        tool_calling: How the model calls tools. `"native"`: `respond` reads `request.tools` and `request.tool_choice`
            and yields `ToolCall`s. `"prompted"`: langplug puts them into the prompt and reads calls out of the text.
        structured_output: `"native"` if `respond` sees to it that its text fits `request.schema`.
        accepts: Content that it takes besides text: `"image"`, `"audio"`, `"video"`, `"file"`, or a block's own type.
        provider: Who runs it, for traces. Default: the class's name in lower case, without `Chat`.
    """

    # pydantic's errors would show what was given, keys included, wherever a validator of the whole model raises
    model_config = ConfigDict(ignored_types=(Resource,), populate_by_name=True, hide_input_in_errors=True)

    tool_calling: ClassVar[Literal["native", "prompted", "off"]] = "prompted"
    structured_output: ClassVar[Literal["native", "derived"]] = "derived"
    accepts: ClassVar[frozenset[str]] = frozenset()
    provider: ClassVar[str] = ""
    shape: ClassVar[Shape] = Shape.FUNCTION

    stop: list[str] | None = None
    """Strings at which the answer ends, unless a call gives its own."""

    include_stop: bool = True
    """Whether the answer ends right behind the stop string, so that a reader sees why it ended, or right before it."""

    streaming: bool = False
    """Whether `invoke` too reads the answer as a stream, so that callbacks see its tokens. If False, nothing does."""

    timeout: float | None = Field(default=None, gt=0)
    """Seconds that the whole answer may take before `ModelTimeoutError`. Default: for ever."""

    context_window: int | None = Field(default=None, gt=0)
    """Tokens that fit in one request, for `profile`. Default: not known."""

    token_counter: Callable[[str], int] | None = Field(default=None, exclude=True, repr=False)
    """Counts the tokens of a text. With it, usage that the model does not report is estimated and marked so."""

    reasoning_tags: tuple[str, str] | None = ("<think>", "</think>")
    """The tags around reasoning in the model's text; None takes all text as it is."""

    reasoning_opened: bool = False
    """Whether answers begin inside the reasoning, because the prompt template already wrote the opening tag."""

    keep_reasoning: KeepReasoning = "never"
    """Which of its earlier reasoning the model is shown again: none, that since the last human message, or all."""

    tool_format: str | ToolFormat | None = None
    """How calls stand in the text of a prompted model. Default: as models of its kind write them."""

    adaptations: Literal["note", "silent", "refuse"] = "note"
    """Whether what langplug does in the model's place is noted in `response_metadata["adaptations"]`, or is refused."""

    ignored_params: dict[str, Any] = Field(default_factory=dict)
    """Standard parameters that were given but that this model has no use for."""

    _resources: ResourceStore = PrivateAttr(default_factory=ResourceStore)

    # --- what the author writes ---

    def respond(self, request: Request, /) -> Answer:
        """Answer `request`: return the answer or yield it in parts, as a plain or an async function.

        To be written by every model. What may be returned or yielded is a `Part`.
        """
        raise NotImplementedError

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        class_checks.check_fields(cls, PatchedChatModel)
        class_checks.check_capabilities(cls)
        if "respond" in cls.__dict__ and "shape" not in cls.__dict__:
            cls.shape = class_checks.checked_shape(cls)
        class_checks.note_package_version(cls)

    # --- construction ---

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._check_secrets(kwargs)  # here too: pydantic would wrap the error, a ValueError, in one of its own
        super().__init__(*args, **kwargs)

    @model_validator(mode="before")
    @classmethod
    def _sort_arguments(cls, given: Any) -> Any:
        if cls.respond is ChatModel.respond:
            raise TypeError(f"{cls.__name__} has no `respond`. Write `def respond(self, request: Request): ...` in it.")
        if not isinstance(given, dict):
            return given
        declared = parameters_of(cls)
        arguments: dict[str, Any] = {}
        ignored: dict[str, Any] = {}
        for name, value in given.items():
            # hidden at once, or pydantic's errors would show it
            shown = SecretStr(value) if name in declared.hidden and isinstance(value, str) else value
            if name in declared.fields:
                arguments[declared.fields[name]] = shown
            elif name in STANDARD:
                ignored[name] = shown
            else:
                raise unknown(cls, name, "its constructor", declared.fields.keys() - set(_COMPANIONS))
        if ignored:
            arguments["ignored_params"] = {**arguments.get("ignored_params", {}), **ignored}
        cls._check_secrets(arguments)
        return arguments

    @classmethod
    def _check_secrets(cls, arguments: Iterable[str]) -> None:
        declared = parameters_of(cls)
        given = {declared.fields.get(name) for name in arguments}
        for field, value in declared.environment.items():
            if field not in given and not value.found:
                raise MissingSecretError(
                    f"{cls.__name__} needs `{field}`: set the environment variable {value.name!r}, "
                    f"or pass `{cls.model_fields[field].alias or field}=...` to the constructor."
                )

    @field_validator("stop", mode="before")
    @classmethod
    def _listed_stop(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else stop

    @field_validator("tool_format")
    @classmethod
    def _known_format(cls, chosen: str | ToolFormat | None) -> str | ToolFormat | None:
        if isinstance(chosen, str):
            format_named(chosen)
        return chosen

    @model_validator(mode="after")
    def _set_langplug_version(self) -> Self:
        for package, version in class_checks.package_versions(type(self)):
            self._add_version(package, version)
        return self

    def _resolve_model_profile(self) -> ModelProfile | None:
        profile = ModelProfile(
            name=self.reported_name,
            text_inputs=True,
            text_outputs=True,
            image_inputs="image" in self.accepts,
            audio_inputs="audio" in self.accepts,
            video_inputs="video" in self.accepts,
            tool_calling=self.tool_calling != "off",
            tool_choice=self.tool_calling != "off",
            structured_output=True,
        )
        if self.context_window is not None:
            profile["max_input_tokens"] = self.context_window
        return profile

    # --- identity ---

    @property
    def _llm_type(self) -> str:
        return class_checks.kebab(type(self).__name__)

    @property
    def reported_name(self) -> str:
        """The model's name, for metadata and traces: its `model`, `model_name` or `model_id`, else its type."""
        for field in NAME_FIELDS:
            if isinstance(name := self.__dict__.get(field), str) and name:
                return name
        return self._llm_type

    @property
    def tool_format_hints(self) -> tuple[str, ...]:
        """What may tell how it writes calls, the best first: its chat template, where it is known, and its name."""
        return (self.reported_name,)

    @property
    def answers_per_call(self) -> int:
        """How many answers one call asks for. More than one come from OpenAI-shaped parts that hold them all."""
        return 1

    @property
    def ends_at_stop(self) -> bool:
        """Whether the source gives the stop text and ends behind it by itself, so that its usage is still read."""
        return False

    @property
    def reported_provider(self) -> str:
        """Who runs the model, for metadata and traces."""
        return self.provider or class_checks.provider_name(type(self).__name__)

    @property
    def _identifying_params(self) -> dict[str, Any]:
        fields = self.__dict__
        return {name: plain(fields[name]) for name in parameters_of(type(self)).identity}

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The environment variable of each secret field."""
        declared = parameters_of(type(self)).secrets
        aliases = {type(self).model_fields[name].alias or name: variable for name, variable in declared.items()}
        return {name: variable for name, variable in {**declared, **aliases}.items() if variable}

    def call_parameters(self, stop: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
        """The model's parameters, under those `given` for a call, as JSON data without secrets."""
        known = parameters_of(type(self))
        names, hidden = known.per_call, known.hidden
        shown = {names.get(name, name): plain(value) for name, value in given.items() if name not in hidden}
        in_force = self.stop if stop is None else stop
        return {**self._identifying_params, "_type": self._llm_type, **shown, "stop": in_force}

    def cache_key(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Equal for equal models and calls, in every process; different wherever the answer may differ."""
        given = parameters_in(kwargs)
        identity = {"class": f"{type(self).__module__}.{type(self).__qualname__}"}
        return stable_text({**self.call_parameters(stop, given), **identity})

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        names = parameters_of(type(self)).per_call
        given = {names.get(name, name): value for name, value in kwargs.items()}
        known: dict[str, Any] = {**self.__dict__, **given}
        named = (given.get(field) for field in NAME_FIELDS)
        params = LangSmithParams(ls_provider=self.reported_provider, ls_model_type="chat")
        params["ls_model_name"] = next((name for name in named if isinstance(name, str)), self.reported_name)
        if isinstance(temperature := known.get("temperature"), int | float):
            params["ls_temperature"] = temperature
        if isinstance(max_tokens := known.get("max_tokens"), int):
            params["ls_max_tokens"] = max_tokens
        if in_force := (self.stop if stop is None else stop):
            params["ls_stop"] = in_force
        return params

    # --- the four doors of langchain-core ---

    @with_signature
    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        planned = plan(self, messages, stop, kwargs, streaming=False)
        several = planned.model.answers_per_call > 1
        answers = Choices(planned).messages() if several else [ModelRun(planned).message()]
        return ChatResult(generations=[ChatGeneration(message=answer) for answer in answers])

    @with_signature
    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        planned = plan(self, messages, stop, kwargs, streaming=False)
        several = planned.model.answers_per_call > 1
        answers = await Choices(planned).amessages() if several else [await ModelRun(planned).amessage()]
        return ChatResult(generations=[ChatGeneration(message=answer) for answer in answers])

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        opened: list[Any] | None = kwargs.pop(OPENED, None)
        chunks = self._open(messages, stop, _held(kwargs) if opened is None else kwargs, streaming=True).chunks()
        if opened is not None:
            opened.append(chunks)
        return chunks

    def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        opened: list[Any] | None = kwargs.pop(OPENED, None)
        chunks = self._open(messages, stop, _held(kwargs) if opened is None else kwargs, streaming=True).achunks()
        if opened is None:
            return chunks
        opened.append(owned := DetachedAsyncGenerator(chunks))
        return owned

    def _open(
        self, messages: list[BaseMessage], stop: list[str] | None, given: dict[str, Any], *, streaming: bool
    ) -> ModelRun:
        return ModelRun(plan(self, messages, stop, given, streaming=streaming))

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
            tools: Tools, functions, pydantic classes, TypedDicts, JSON schemas, or OpenAI tool dicts.
            tool_choice: `"auto"` (the default), `"any"` or `"required"`, `"none"`, a tool's name, True for the only
                one, or a dict that names one. A forced call is got by asking again where need be, or is an
                `UnmetDemandError`.
            kwargs: `strict`, `parallel_tool_calls` (False: one call at most), and parameters of the call.

        Raises:
            UnsupportedError: If the model has turned tools off.
            ValueError: If a tool cannot be described, or the choice names none of them.
        """
        owner = type(self).__name__
        described = list(tool_dicts(tools, kwargs.pop("strict", None)))
        if described and self.tool_calling == "off":
            raise refuse_tools(owner)
        if tool_choice is not None:
            kwargs["tool_choice"] = choice_of(tool_choice, described, owner)
        return self.bind(tools=described, **kwargs)

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
            schema: A pydantic class (v1 or v2), TypedDict, JSON schema, or OpenAI function dict.
            method: `"json_schema"`: kept by the model itself where it can (`structured_output = "native"`), else said
                in the prompt, checked, and asked for again. `"function_calling"`: a forced call of a tool.
                `"json_mode"`: JSON of the form that the prompt describes, checked. Default: the surest that it has.
            include_raw: Give `{"raw": message, "parsed": object or None, "parsing_error": error or None}`.
            strict: Passed on with the schema, for models that know it.
            kwargs: None that there are.

        Raises:
            ValueError: If the schema, the method or a keyword is none that there is.
            OutputParserException: When called, if the answer does not fit, even when asked again. Never None.
        """
        if kwargs:
            raise ValueError(f"with_structured_output takes no {', '.join(map(repr, kwargs))}.")
        return structured(self, schema, method, include_raw, strict)

    # --- tokens ---

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of `text` as numbers: by `custom_get_token_ids`, else an estimate without a tokenizer."""
        return self.custom_get_token_ids(text) if self.custom_get_token_ids else tokens.estimated_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """How many tokens `text` has: by `token_counter`, else by `get_token_ids`."""
        return self.token_counter(text) if self.token_counter else len(self.get_token_ids(text))

    # --- resources, copies and pickles ---

    def resource_store(self) -> ResourceStore:
        """Where this model's resources live; copies share it."""
        return self._resources

    def resource_owner(self) -> Self:
        """This model as its resources see it, without a hold on them all, or they would keep each other alive."""
        owner = self.model_copy()
        owner._resources = ResourceStore(self._resources)  # noqa: SLF001 - a copy of this very model
        return owner

    def close(self) -> None:
        """Tear down the resources that were made and that no other model shares. The model can still be used after."""
        self._resources.close()

    async def aclose(self) -> None:
        """As `close`, and wait for what belongs to the running event loop."""
        await self._resources.aclose()

    def __repr_args__(self) -> Any:
        """The fields that were set to something, without what LangChain itself adds to every model."""
        shown = parameters_of(type(self)).shown & self.__pydantic_fields_set__
        return [(name, value) for name, value in self.__dict__.items() if name in shown and value != {}]

    def __eq__(self, other: object) -> bool:
        """Equal where all settings are; what a model makes or counts as it is used is none."""
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # as for any pydantic model that can change

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo |= {id(companion): companion for name in _COMPANIONS if (companion := getattr(self, name)) is not None}
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        """Without secrets: a pickle may end up anywhere."""
        state = super().__getstate__()
        secret = parameters_of(type(self)).secrets
        fields = {name: value for name, value in state["__dict__"].items() if name not in secret}
        fields["ignored_params"] = {name: item for name, item in self.ignored_params.items() if not is_secret(item)}
        return {**state, "__dict__": fields}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Secrets come from the environment again."""
        super().__setstate__(state)
        self._check_secrets(self.__dict__)
        for name in parameters_of(type(self)).secrets:
            if name not in self.__dict__:
                type(self).__pydantic_validator__.validate_assignment(self, name, self._default_of(name))

    def _default_of(self, name: str) -> Any:
        return type(self).model_fields[name].get_default(call_default_factory=True, validated_data={})


def _held(given: dict[str, Any]) -> dict[str, Any]:
    """What a stream was given that langchain-core adds up to one message: there, nothing that was shown can be void."""
    return {**given, FOR_A_PARSER: "held"} if FOR_A_PARSER in given else given
