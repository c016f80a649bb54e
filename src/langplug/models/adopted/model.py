"""Any chat model, chain or graph of somebody else's as a model of langplug's: `langplug.adopt`."""

import copy
import inspect
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self, cast

from langchain_core.language_models import BaseLanguageModel, LangSmithParams, ModelProfile
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    message_chunk_to_message,
)
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence
from pydantic import Field, SkipValidation, field_validator, model_validator

from langplug._answer.from_message import untranslated
from langplug._bridge.shapes import Shape
from langplug._bridge.source import aparts_from_own_loop
from langplug._model.chat_model import ChatModel
from langplug._model.hooks import (
    STREAMED,
    Hook,
    bind_own_tools,
    find_method,
    has_own_tools,
    hook_for,
    hooks_of,
    openai_schema,
    openai_tools,
    parameters_in,
)
from langplug._model.keywords import TRACING_ONLY
from langplug._model.names import kebab_case, provider_name
from langplug._parts import Part
from langplug._request import Request
from langplug.models.adopted.runnables import aread_parts, check_input, read_parts

_COMPANIONS = ("rate_limiter", "cache", "callbacks", "tags", "metadata", "disable_streaming", "custom_get_token_ids")
"""What langchain-core does around a model's hooks. Who calls the hooks takes it over."""


_ROLES: Mapping[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "system": SystemMessage,
}
"""The roles that have a class of their own."""


def adopt(model: Any, **settings: Any) -> ChatModel:
    """Make a model of langplug's of any chat model, chain or graph.

    It is asked by its own hooks, so that there is one run in traces, each token is told once, and usage is counted
    once. What it does natively it goes on doing: tools by its own `bind_tools`, schemas by its own `json_schema`
    method. The rest is langplug's: stop strings, tools and schemas in the prompt, cancellation, cache keys, errors.

    Args:
        model: A `BaseChatModel` or an `LLM`; or a Runnable or LangGraph graph that answers messages, or a state with
            `messages`, with a message, a text or such a state. A model of langplug's stays what it is.
        settings: Fields of `ChatAdopted`, such as `concurrency=1`; parameters of the adopted model that each call is to
            have, such as `temperature=0`.

    Raises:
        TypeError: If it is none of these, wants or gives something else than messages, or a setting is neither its nor
            langplug's.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> adopt(FakeListChatModel(responses=["one two three"])).invoke("Count!", stop=["two"]).content
        'one two'
    """
    model, keywords = _unbind(model)
    if isinstance(model, ChatModel):
        settings = {**keywords, **settings}
        unknown = settings.keys() - type(model).model_fields.keys()
        if unknown:
            raise TypeError(f"{type(model).__name__} is a model of langplug's, and has no setting {min(unknown)!r}.")
        copied = model.model_copy()
        for name, value in settings.items():
            type(model).__pydantic_validator__.validate_assignment(copied, name, value)
        return copied if settings else model
    if isinstance(model, type) and issubclass(model, BaseLanguageModel):
        raise TypeError(f"{model.__name__} is a class. Make a model first: `adopt({model.__name__}(...))`.")
    if not isinstance(model, Runnable):
        if callable(getattr(model, "add_node", None)):
            raise TypeError(f"{type(model).__name__} is the plan of a graph. Make the graph first: `.compile()`.")
        raise TypeError(
            f"{model!r:.200} is neither a chat model nor a Runnable. A function from a request to text becomes a model "
            "by `@chat_model`."
        )
    if not isinstance(model, BaseLanguageModel):
        check_input(model)
    for name in settings:
        if name not in ChatAdopted.model_fields and not takes(model, name):
            raise TypeError(f"Neither {type(model).__name__} nor ChatAdopted has a parameter {name!r}.")
    return ChatAdopted(adopted=model, model_kwargs={**keywords, **settings.pop("model_kwargs", {})}, **settings)


def _unbind(model: Any) -> tuple[Any, dict[str, Any]]:
    """A model out of its bindings, and the parameters that they give it.

    These are handed to its hooks; through the binding, the model would have a run of its own. A model of langplug's has
    fields for them and no hooks: bound to anything else, such as tools, it stays in its binding.
    """
    keywords: dict[str, Any] = {}
    while isinstance(model, RunnableBinding) and isinstance(model.bound, BaseLanguageModel) and not model.config:
        if isinstance(model.bound, ChatModel) and not model.kwargs.keys() <= type(model.bound).model_fields.keys():
            break
        keywords = {**model.kwargs, **keywords}
        model = model.bound
    return model, keywords


class ChatAdopted(ChatModel):
    """Somebody else's chat model, chain or graph as a model of langplug's. Made by `langplug.adopt`.

    What it reports of itself is the adopted one's: type, name, provider, profile. Parameters of a call are passed on
    to it. A graph, or what else answers with a state, is answered in one piece: which of the messages of a state is
    the answer is known at its end.

    A graph with a checkpointer goes on with the thread that a call names (`{"configurable": {"thread_id": ...}}`): what
    it is given is added there. Without one it keeps nothing. If it is interrupted (`interrupt(...)`), what it asks is
    its answer in a thread, and the next message is what it is told, as JSON if that is an object or a list; elsewhere
    it is a `ModelError`.
    """

    adopted: SkipValidation[Any] = Field(exclude=True, repr=False)
    """The chat model, chain or graph."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Parameters of each call of the adopted one, unless a call has its own."""

    own_loop: bool = False
    """Whether its async hooks run on langplug's own event loop, whichever loop asks. Set it for a model whose client
    belongs to the first loop that used it, where each call has a loop of its own (`asyncio.run` in a task of Celery's,
    Streamlit): "Event loop is closed". It costs some 20 to 50 µs a token."""

    show_steps: bool = False
    """Whether the steps of a graph – what its models say before the answer, its tools' calls and results – are told as
    reasoning, each as it happens. Else they are nobody's to see; their tokens are counted either way."""

    def __init__(self, **settings: Any) -> None:
        adopted, ours = settings.get("adopted"), type(self).model_fields
        others = {name: value for name, value in settings.items() if name not in ours and takes(adopted, name)}
        given = {name: value for name, value in settings.items() if name not in others}
        if others:
            given["model_kwargs"] = {**given.get("model_kwargs", {}), **others}
        super().__init__(**given)

    @field_validator("adopted")
    @classmethod
    def __check_adopted(cls, adopted: Any) -> Any:
        if not isinstance(adopted, Runnable):
            raise ValueError("it must be a chat model, a Runnable or a graph; `langplug.adopt` says more")
        return adopted

    @model_validator(mode="after")
    def __take_over(self) -> Self:
        adopted, given = self.adopted, self.model_fields_set
        found: dict[str, Any] = {}
        if isinstance(adopted, BaseLanguageModel):
            found = {name: value for name in _COMPANIONS if (value := getattr(adopted, name, None)) is not None}
            profile = cast("Mapping[str, Any]", getattr(adopted, "profile", None) or {})
            kinds = {"image": "image_inputs", "audio": "audio_inputs", "video": "video_inputs", "file": "pdf_inputs"}
            # Of what its profile says nothing of, it says itself what it cannot take.
            found["accepts"] = frozenset(kind for kind, key in kinds.items() if profile.get(key, True))
            if has_own_tools(type(adopted)):
                found["tool_calling"] = "native"
            if schema_keywords(adopted, {"type": "object", "properties": {}}, None):
                found["structured_output"] = "native"
        else:
            found["accepts"] = frozenset({"image", "audio", "video", "file"})
        for name, value in found.items():
            if name not in given:
                object.__setattr__(self, name, value)  # not by validation, which would come here again
        return self

    # --- what it is ---

    def __langplug_takes__(self, name: str) -> bool:
        return takes(self.adopted, name)

    @property
    def _llm_type(self) -> str:
        if isinstance(self.adopted, BaseLanguageModel):
            return str(cast("Any", self.adopted)._llm_type)  # noqa: SLF001 - what langchain-core calls it by
        return kebab_case(type(self.adopted).__name__)

    def __reported(self, stop: list[str] | None = None, **kwargs: Any) -> Mapping[str, Any]:
        """What the adopted model says of itself for traces."""
        read = getattr(self.adopted, "_get_ls_params", None)
        return cast("Mapping[str, Any]", read(stop=stop, **kwargs)) if callable(read) else {}

    @property
    def reported_name(self) -> str:
        """The adopted model's name."""
        named = (getattr(self.adopted, name, None) for name in ("model", "model_name", "model_id"))
        name = self.__reported(**self.model_kwargs).get("ls_model_name") or next(filter(None, named), None)
        return str(name or self.adopted.get_name())

    @property
    def reported_provider(self) -> str:
        """The adopted model's provider. Answers do not stand under its very name if langchain-core translates those."""
        return untranslated(str(self.__reported().get("ls_provider") or provider_name(type(self.adopted).__name__)))

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        """The adopted one's, which its runs in traces have as ever."""
        return super().get_name(suffix, name=name or self.name or self.adopted.get_name())

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        given = {**self.model_kwargs, **kwargs}
        theirs = self.__reported(self.stop if stop is None else stop, **given)
        known = {name: value for name, value in theirs.items() if value is not None and name != "ls_model_type"}
        return cast("LangSmithParams", {**super()._get_ls_params(stop=stop, **kwargs), **known})

    @property
    def _identifying_params(self) -> dict[str, Any]:
        theirs = self.adopted._identifying_params if isinstance(self.adopted, BaseLanguageModel) else {}  # noqa: SLF001
        return {**theirs, **super()._identifying_params, "adopted": type(self.adopted).__qualname__}

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The adopted model's."""
        return {**getattr(self.adopted, "lc_secrets", {}), **super().lc_secrets}

    def _resolve_model_profile(self) -> ModelProfile | None:
        ours = dict(super()._resolve_model_profile() or {})
        theirs = dict(getattr(self.adopted, "profile", None) or {})
        derived = {name: ours[name] for name in ("tool_calling", "tool_choice", "structured_output") if name in ours}
        return cast("ModelProfile", {**ours, **theirs, **derived})

    def __repr_args__(self) -> Any:
        # Somebody else's repr may show anything, keys included.
        return [("adopted", type(self.adopted)), *super().__repr_args__()]

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        try:
            memo[id(self.adopted)] = copy.deepcopy(self.adopted)
        except Exception:  # noqa: BLE001 - of anybody's class: a client, a lock. Both copies then ask the same one.
            memo[id(self.adopted)] = self.adopted
        return super().__deepcopy__(memo)

    def close(self) -> None:
        """Tear down what langplug made, and what the adopted one has to close."""
        super().close()
        if callable(close := getattr(self.adopted, "close", None)) and not inspect.iscoroutinefunction(close):
            close()

    # --- how it is asked ---

    def respond(self, request: Request, /) -> Generator[Part, None, Any]:
        """Ask the adopted one; what only an event loop can read is returned, and read there."""
        if isinstance(self.adopted, BaseLanguageModel):
            answer = self.__call(hook_for(type(self.adopted), request, on_loop=False), request)
        else:
            answer = read_parts(self.adopted, request, show_steps=self.show_steps)
        if not isinstance(answer, Iterator):
            return answer
        yield from answer
        return None

    def __langplug_on_loop__(self, request: Request) -> tuple[Callable[[Request], Any], Shape]:
        if type(self).respond is not ChatAdopted.respond:  # a subclass has written its own
            return super().__langplug_on_loop__(request)
        if not isinstance(self.adopted, BaseLanguageModel):
            return lambda asked: aread_parts(self.adopted, asked, show_steps=self.show_steps), Shape.ASYNC_GENERATOR
        hook = hook_for(type(self.adopted), request, on_loop=True)
        if not hook.is_async:
            return lambda asked: self.__call(hook, asked), Shape.FUNCTION
        if not self.own_loop:
            return lambda asked: self.__call(hook, asked), Shape.ASYNC_GENERATOR
        return lambda asked: aparts_from_own_loop(lambda one: self.__call(hook, one), asked), Shape.ASYNC_GENERATOR

    def __call(self, hook: Hook, request: Request) -> Any:
        """Ask the adopted model by one of its hooks."""
        model, cls = self.adopted, type(self)
        given = {**self.model_kwargs, **parameters_in(request, hook, cls.model_fields)}
        if request.tools and has_own_tools(type(model)):
            model, bound = bind_own_tools(model, request, is_foreign=True)
            given |= bound
        else:
            given |= openai_tools(request, hook)
        # Several ask their server for the usage of a stream only when they are told to.
        named = "stream_usage" in hook.named or "stream_usage" in type(model).model_fields
        is_unsaid = getattr(model, "stream_usage", None) is None
        if hook.name in STREAMED and named and is_unsaid and hook.takes("stream_usage"):
            given.setdefault("stream_usage", True)
        if request.schema is not None:
            given |= schema_keywords(self.adopted, request.schema, request.strict) or openai_schema(request)
        # What its hook makes no use of, but the model has as a setting, is set in a copy of it.
        changed = {name: given.pop(name) for name in [*given] if not hook.takes(name)}
        if changed:
            fields = {name: field_of(model, name) for name in changed}
            if unknown := [name for name, field in fields.items() if field is None]:
                raise TypeError(f"{type(model).__name__}.{hook.name} makes no use of {unknown[0]!r}.")
            model = model.model_copy(update={str(fields[name]): value for name, value in changed.items()})
        return hook.call(model, replace(request, messages=tuple(map(plain_message, request.messages))), given)


def schema_keywords(model: Any, schema: dict[str, Any], strict: bool | None) -> dict[str, Any]:
    """The keywords that a model's own structured output makes of a JSON schema.

    There are none if it has no way of its own to keep to one, or makes a tool of it: the answer would come as a call.
    """
    if find_method(type(model), "with_structured_output") is None:
        return {}
    parameters = inspect.signature(model.with_structured_output).parameters
    method = parameters.get("method")
    if method is None or "json_schema" not in f"{method.annotation} {method.default}":
        return {}
    asked = {} if strict is None or "strict" not in parameters else {"strict": strict}
    try:
        chain = model.with_structured_output({"title": "answer", **schema}, method="json_schema", **asked)
    except (LookupError, TypeError, ValueError):  # not every package can write a schema of any object, say
        return {}
    bound = chain.first if isinstance(chain, RunnableSequence) else chain
    if not isinstance(bound, RunnableBinding) or "tools" in bound.kwargs:
        return {}
    return {name: value for name, value in bound.kwargs.items() if name not in TRACING_ONLY}


def plain_message(message: BaseMessage) -> BaseMessage:
    """A message as every package knows it: not a chunk, and of a class of its own if its role has one."""
    if isinstance(message, BaseMessageChunk):
        message = message_chunk_to_message(message)
    if isinstance(message, ChatMessage) and (known := _ROLES.get(message.role)):
        return known(**message.model_dump(exclude={"type", "role"}))
    return message


def takes(adopted: Any, name: str) -> bool:
    """Whether a call of an adopted model, or the model itself, can be given a parameter of this name."""
    if not isinstance(adopted, BaseLanguageModel):
        return False
    return any(hook.takes(name) for hook in hooks_of(type(adopted)).values()) or field_of(adopted, name) is not None


def field_of(model: Any, name: str) -> str | None:
    """The field of an adopted model that is called so, or has this alias."""
    fields = type(model).model_fields
    return name if name in fields else next((field for field, one in fields.items() if one.alias == name), None)
