"""`ModelFields`: what every model has, whoever wrote it: its settings, its `respond` and its names.

`ChatModel` is this and what langplug derives from it. The parts of `_model` that work on a model see no more than this.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field, PrivateAttr, field_validator

from langplug._answer.reasoning import ReasoningSplitter, Tags
from langplug._bridge.micro_batches import MicroBatches
from langplug._bridge.shapes import Shape
from langplug._bridge.slots import Slots
from langplug._messages.kept_reasoning import KeepReasoning
from langplug._model import batch_door, hooks
from langplug._model.backoff import Backoff
from langplug._model.capabilities import StructuredOutput, ToolCalling
from langplug._model.fingerprint import Followed, Snapshot
from langplug._model.langchain import PatchedChatModel
from langplug._model.metaclass import ChatModelMeta
from langplug._model.names import kebab_case, provider_name
from langplug._model.parameters import (
    Concurrency,
    MaxRetries,
    name_text,
    parameters_of,
    read_attribute,
    retries_itself,
    sort_call_arguments,
)
from langplug._model.state import INSIDE, check_assignment
from langplug._parts import Answer
from langplug._request import Request
from langplug._resources import HasResources, Injected, Resource, ResourceStore, injected_now, resource
from langplug._tools import ToolFormat, format_named

ReasoningTags: TypeAlias = Tags | Literal["auto"] | None

_CORE_FIELDS = {
    "name": "The name of this model's runs in traces. Default: its class.",
    "cache": "A cache of answers, True for the global one, False for none. Default: the global one where there is one.",
    "verbose": "Whether langchain-core prints each call. Default: as `langchain.globals` says.",
    "callbacks": "Handlers that hear of every call of this model.",
    "tags": "Tags of every call of this model, for traces.",
    "metadata": "Metadata of every call of this model, for traces.",
    "custom_get_token_ids": "Splits a text into tokens as numbers, for `get_token_ids`.",
    "rate_limiter": "What each call asks before it begins, such as an `InMemoryRateLimiter`.",
    "disable_streaming": 'True: `stream` gives the answer whole; `"tool_calling"`: only where tools are bound.',
    "output_version": '`"v1"` for content as a list of standard blocks, `"v0"` for plain text. Default: plain text.',
    "profile": "What the model can do, for LangChain's agents. Default: as its other settings say.",
}
"""What langchain-core's fields are for: its own descriptions are comments, which neither `help` nor a schema shows."""


class ModelFields(PatchedChatModel, HasResources, metaclass=ChatModelMeta):
    """The settings of a model, what its author writes, and the names that it reports."""

    # pydantic's errors would show what was given, keys included, wherever a validator of the whole model raises
    model_config = ConfigDict(
        ignored_types=(Resource,), populate_by_name=True, hide_input_in_errors=True, use_attribute_docstrings=False
    )

    if not TYPE_CHECKING:
        __slots__ = (INSIDE,)

    provider: ClassVar[str] = ""
    __langplug_shape__: ClassVar[Shape] = Shape.FUNCTION  # not `shape`: authors draw, and give models a `shape`

    __langplug_source__: ClassVar[str] = "respond"  # what errors call that which gave the answer
    __langplug_gathers__: ClassVar[bool] = False  # whether an engine of its own answers many calls faster than a few

    tool_calling: ToolCalling = "prompted"
    """How the model calls tools. Set it in the class or for one model.

    `"native"`: `respond` gives the model `request.tools`, and gives `ToolCall`s. `"templated"`: it gives the model
    `request.tools` in its chat template, and gives text, out of which calls are read. `"prompted"`: the tools are said
    in the prompt, and calls are read out of the text. `"off"`: tools are refused."""

    structured_output: StructuredOutput = "derived"
    """`"native"` if `respond` makes its text fit `request.schema`; else langplug prompts, checks and asks again."""

    accepts: frozenset[str] = frozenset()
    """Content that it takes besides text: `"image"`, `"audio"`, `"video"`, `"file"`, or a block's own type."""

    tool_format: str | ToolFormat | None = None
    """How calls stand in the model's text. Default: as models of its kind write them, by its chat template or name.
    Out of the text of a native model, calls are read only if it gave none; `"off"` reads none."""

    stop: list[str] | None = None
    """Strings at which the answer ends, unless a call gives its own."""

    include_stop: bool = True
    """Whether the answer ends after the stop string, so that a reader sees why it ended, or before it."""

    streaming: bool = False
    """Whether `invoke` too reads the answer as a stream, so that callbacks see its tokens. If False, nothing does."""

    timeout: float | None = Field(default=None, gt=0)
    """Seconds that the whole answer may take before `ModelTimeoutError`. Default: no limit."""

    max_retries: MaxRetries = 0
    """How often an answer that failed in a way that may pass is asked for again, as long as no part of it has come.
    Waits 0.5 s, doubling up to 8 s, with jitter, and at least what the error's `retry_after` asks for."""

    concurrency: Concurrency = None
    """How many calls the model is given at once, by all threads and event loops together; the others wait their turn,
    first come, first served. 1 for a model that is not safe to call twice at once. Default: as many as come."""

    context_window: int | None = Field(default=None, gt=0)
    """Tokens that fit in one request, for `profile`. Default: unknown."""

    token_counter: Callable[[str], int] | None = Field(default=None, exclude=True, repr=False)
    """Counts the tokens of a text. With it, usage that the model does not report is estimated and marked so."""

    reasoning_tags: ReasoningTags = "auto"
    """The tags around reasoning in the model's text; None takes all text as it is. Default: `<think>`, and those of
    models of its kind, by its chat template or name."""

    reasoning_opened: bool | None = None
    """Whether answers begin inside the reasoning, because the prompt template already wrote the opening tag. Default:
    if the prompt that `request.prompt` gave ends with it. If it gave none, answers of models that are known for such a
    template (by name, if they are not native) are held back until the closing tag says where they began."""

    keep_reasoning: KeepReasoning = "never"
    """Which of its earlier reasoning the model is shown again: none, that since the last human message, or all."""

    adaptations: Literal["note", "silent", "refuse"] = "note"
    """Whether what langplug does in the model's place is noted in `response_metadata["adaptations"]`, or is refused."""

    ignored_params: dict[str, Any] = Field(default_factory=dict)
    """Standard parameters that were given but that this model has no use for."""

    __resources: ResourceStore = PrivateAttr(default_factory=ResourceStore)
    __snapshot: Snapshot = PrivateAttr(default_factory=Snapshot)
    __injected: Injected = PrivateAttr(default_factory=injected_now)

    def respond(self, request: Request, /) -> Answer:
        """Answer `request`: return the answer or yield it in parts, as a plain or an async function.

        To be written by every model. What may be returned or yielded is a `Part`.
        """
        answer: Answer = super().respond(request)  # type: ignore[misc] # a mixin's, after `ChatModel` among the bases
        return answer

    @field_validator("stop", mode="before")
    @classmethod
    def __read_stop(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else stop

    @field_validator("max_retries", mode="before")
    @classmethod
    def __read_max_retries(cls, given: Any) -> Any:
        """None is the class's default, as it is for most of LangChain's models."""
        return cls.model_fields["max_retries"].default if given is None and not retries_itself(cls) else given

    @field_validator("tool_format")
    @classmethod
    def __check_tool_format(cls, chosen: str | ToolFormat | None) -> str | ToolFormat | None:
        if isinstance(chosen, str) and chosen != "off":
            format_named(chosen)
        return chosen

    @field_validator("reasoning_tags")
    @classmethod
    def __check_reasoning_tags(cls, tags: ReasoningTags) -> ReasoningTags:
        if isinstance(tags, tuple):
            ReasoningSplitter(*tags)  # says what is wrong with them now, and not at the first call
        return tags

    # --- what it reports; a model that knows better overrides these ---

    @property
    def _llm_type(self) -> str:
        return kebab_case(type(self).__name__)

    @property
    def reported_name(self) -> str:
        """The model's name, for metadata and traces: its `model`, `model_name` or `model_id`, else its type."""
        for attribute in parameters_of(type(self)).named_by:
            if name := name_text(read_attribute(self, attribute)):
                return name
        return self._llm_type

    @property
    def reported_provider(self) -> str:
        """Who runs the model, for metadata and traces."""
        return name_text(self.provider) or provider_name(type(self).__name__)

    @property
    def __langplug_origin__(self) -> str:
        """From whom its answers come, to whom alone goes back what is for nobody else: a signature, say."""
        return self.reported_provider

    @property
    def tool_format_hints(self) -> tuple[str, ...]:
        """What may tell how it writes calls and reasons: its chat template and its architecture, if known; its name."""
        return (self.reported_name,)

    @property
    def answers_per_call(self) -> int:
        """How many answers one call asks for. More than one come from OpenAI-shaped parts that hold them all."""
        return 1

    @property
    def ends_at_stop(self) -> bool:
        """Whether the source gives the stop text and ends after it by itself, so that its usage is still read."""
        return False

    @property
    def __langplug_keeps_to_schemas__(self) -> bool:
        """Whether the model keeps to a schema that it is given, and was given this one as such."""
        return True

    def __langplug_on_loop__(self, request: Request) -> tuple[Callable[[Request], Any], Shape]:
        """What answers `request` on an event loop, and its shape: `respond`, unless hooks are there in both colours."""
        if type(self).respond is hooks.respond:
            return hooks.respond_on_loop(self, request)
        if batch_door.has_door(type(self)):
            return batch_door.respond_on_loop(self)
        return self.respond, self.__langplug_shape__

    def __langplug_takes__(self, name: str) -> bool:
        """Whether a call may be given a parameter that is not a field: a hook takes it among its keywords."""
        cls = type(self)
        return cls.respond is hooks.respond and any(hook.takes(name) for hook in hooks.hooks_of(cls).values())

    def __langplug_uses__(self, name: str) -> bool:
        """Whether a parameter of this name, given with a call, changes anything."""
        try:
            _, ignored, *_ = sort_call_arguments(type(self), {name: None}, self.__langplug_takes__)  # names are sorted
        except TypeError:
            return False
        return not ignored

    def __langplug_for_call__(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values that fields have for one call, of those that are `given` for it."""
        return {**given}

    def __langplug_control_tokens__(self) -> frozenset[str]:
        """Texts that the model's tokenizer makes control tokens of: what messages hold of them is kept text."""
        return frozenset()

    def __langplug_tool_calling__(self, *, kept: bool = False) -> ToolCalling:
        """How tools are called in effect: `tool_calling`, unless the model falls back to another way.

        Args:
            kept: Whether the answer is to be kept to something, which may be a forced call or a schema.
        """
        return self.tool_calling

    def __langplug_backoff__(self) -> Backoff:
        """How often the author's function is called again, and when; mangled, since authors' names are their own."""
        return Backoff(retries=0 if retries_itself(type(self)) else self.max_retries)

    def __langplug_snapshot__(self) -> dict[str, tuple[Any, Followed]]:
        """What the private state was when the cache key was asked for, by name; a copy begins anew."""
        if not self.__snapshot.belongs_to(self):
            self.__snapshot = Snapshot(self)
        return self.__snapshot.values

    # --- whose turn it is ---

    @resource(uses=("concurrency",))
    def __langplug_slots__(self) -> Slots | None:
        # Behind a batch door, the batches are counted and not the calls.
        return None if self.concurrency is None or batch_door.has_door(type(self)) else Slots(self.concurrency)

    @resource(uses=("concurrency",))
    def __langplug_batches__(self) -> MicroBatches:
        return MicroBatches(self.concurrency or 1)

    def __langplug_queue__(self) -> Slots | None:
        """The queue before `respond`, if there is one; that of a batch door is behind it."""
        return None if self.concurrency is None else self.__langplug_slots__

    # --- what it holds ---

    if not TYPE_CHECKING:  # type checkers then know which attributes there are, as pydantic has it

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                check_assignment(self, name, type(value))
            except ValueError:
                del value  # it may be a key
                raise
            super().__setattr__(name, value)

    # --- resources; the names that `resource` looks for are no words that an author would use ---

    def __langplug_resources__(self) -> ResourceStore:
        return self.__resources

    def __langplug_injected__(self) -> Injected:
        return self.__injected

    def __langplug_inject__(self, values: Mapping[str, Any]) -> None:
        self.__injected = Injected({**self.__injected, **values})  # another one: copies share it

    def __langplug_resource_owner__(self) -> "ModelFields":
        """This model as its resources see it, without a hold on them all, or they would keep each other alive."""
        owner = self.model_copy()
        owner.__resources = ResourceStore(self.__resources)  # noqa: SLF001 - a copy of this very model
        return owner


def _read_docstrings() -> Iterator[tuple[str, str]]:
    """The fields of `ModelFields` with what stands below them.

    pydantic's `use_attribute_docstrings` takes half of langplug's import for it: it looks up the file of each module.
    """
    try:
        tree = ast.parse(inspect.getsource(sys.modules[__name__]))
    except OSError:  # there is no source
        return
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ModelFields")
    for node, below in pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield ast.unparse(node.target), inspect.cleandoc(str(below.value.value))


for _name, _description in [*_CORE_FIELDS.items(), *_read_docstrings()]:
    if _name in ModelFields.model_fields:
        ModelFields.model_fields[_name].description = _description  # subclasses inherit it
