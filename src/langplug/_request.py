"""What an author of a model gets: one request for one answer."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from langplug._messages.kept_reasoning import KeepReasoning, ReasoningAs
from langplug._messages.media import MediaIn
from langplug._messages.openai import to_openai_messages
from langplug._messages.prompt import PromptTemplate, render_prompt
from langplug._redaction import conceal
from langplug._secrets import MASK, is_secret_name

_PROMPT_END = 100
"""Characters of a prompt's end that are remembered: more than any tag has, and the blanks after it."""

# two threads that begin to wait at the same moment must wait for the same event
_making_events = threading.Lock()


class Cancellation:
    """A flag that is set once, when nobody waits for the answer any more. Any thread may set it or wait for it."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: threading.Event | None = None  # made when one waits, which few answers need: it costs a lock

    def __bool__(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Say that nobody waits any more; to say it again changes nothing."""
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set, for at most `timeout` seconds (None: no limit); return whether it is set."""
        with _making_events:
            if self._event is None:
                self._event = threading.Event()
        # `set` writes the flag before it looks for an event: one that it did not see is made after the flag was written
        return self._is_set or self._event.wait(timeout)


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for each call, and freezing costs more than the rest
class Run:
    """The run of a call: what its caller has said of it in the configuration, and what LangChain calls it.

    A gateway that wants a user, a tenant or a trace to be named finds them here::

        model.invoke("Hello", {"metadata": {"user": "bo"}})     # request.run.metadata["user"] == "bo"

    Attributes:
        id: The run's id in callbacks and traces; None if there is no run, as in a `Request` made by hand.
        parent_id: The id of the run around it, if it is known.
        name: The run's name: `run_name` of the configuration, else the model's class.
        tags: The tags of the call, of the runs around it and of the model.
        metadata: Their metadata; the call's own entries come first where two have one name.
        configurable: The values under `configurable`, such as LangGraph's `thread_id`.
        config: The configuration for runnables that are called within this run. What is called without one gets it,
            too. Tracers see such runs as children of this one. Nobody else does: a model that passes on another one
            streams each token once and counts its usage once.
    """

    id: UUID | None = None
    parent_id: UUID | None = None
    name: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    configurable: Mapping[str, Any] = field(default_factory=dict)
    config: RunnableConfig = field(default_factory=RunnableConfig, repr=False)
    queue_time: float | None = field(default=None, repr=False, compare=False)
    """Seconds that the call waited for its turn; None if the model has no queue."""
    turn: Any = field(default=None, repr=False, compare=False)
    """Its permit, of a model that can be called only so often at once."""
    context: contextvars.Context | None = field(default=None, repr=False, compare=False)
    """Where the author's function runs, if it is not to run in its caller's context."""
    prompt_end: str = field(default="", repr=False, compare=False)
    """How the last prompt ended that `Request.prompt` gave: an answer may begin inside of what it opened."""
    refused: dict[tuple[str, str], list[str]] = field(default_factory=dict, repr=False, compare=False)
    """What servers have refused of this call by now, by the server and its model: no retry sends it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request for one answer.

    Attributes:
        messages: The conversation, oldest first, never empty. They are the caller's own: do not change them.
        stop: Strings at which the answer ends. langplug cuts it there whatever the model does; a model that
            can stop by itself saves tokens by doing so.
        tools: The tools that may be called, as OpenAI tool dicts. They serve other calls, too: do not change them.
        tool_choice: `"auto"`, `"none"`, `"required"`, an OpenAI tool-choice dict, or None (no tools).
        parallel_tool_calls: Whether several tools may be called at once; None: as the model likes.
        schema: The JSON schema that the answer must fit, or None.
        strict: Whether the model must keep to the schema to the letter, for APIs that can be told so; None: not asked.
        keep_reasoning: Which of its earlier reasoning `openai_messages` and `prompt` show the model.
        origin: Who answers: the only one to whom goes back what an earlier answer of theirs carries, as a signature.
        thinking: Whether the model is to reason before it answers: its field `thinking`, if it declares one. None: as
            the model likes. `prompt` tells a Jinja chat template, if that has a switch for it.
        streaming: A hint: whether the caller reads the answer as it comes.
        params: The parameters given for this call alone, by name, validated.
        run: The run of this call: its id, tags, metadata and configuration.
        cancellation: Set when nobody waits for the answer any more.
    """

    messages: tuple[BaseMessage, ...]
    stop: tuple[str, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    keep_reasoning: KeepReasoning = "never"
    origin: str = field(default="", repr=False)
    thinking: bool | None = None
    streaming: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    run: Run = field(default_factory=Run, repr=False, compare=False)
    cancellation: Cancellation = field(default_factory=Cancellation, repr=False, compare=False)

    def __repr__(self) -> str:
        """As of any dataclass; keys among the parameters and in tools are hidden."""
        shown = {name: getattr(self, name) for name in _SHOWN}
        # As in traces: what merely says that there is none may be seen.
        given = {
            name: MASK if is_secret_name(name) and value not in (None, True, False) else conceal(value)
            for name, value in self.params.items()
        }
        shown |= {"params": given, "tools": conceal(self.tools)}
        return f"Request({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def text(self) -> str:
        """The text of the last message."""
        return str(self.messages[-1].text)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more. A loop that blocks should look at it now and then."""
        return bool(self.cancellation)

    def openai_messages(
        self, *, reasoning_as: ReasoningAs = "reasoning_content", media_in: MediaIn = "user"
    ) -> list[dict[str, Any]]:
        """The conversation as OpenAI chat-completion message dicts.

        Args:
            reasoning_as: Where the earlier reasoning that `keep_reasoning` keeps goes: the field
                `"reasoning_content"`, `"reasoning"`, `"both"`, or `"think_tags"`, that is, into the text.
            media_in: Which messages may hold images, audio and files: those of the `"user"` alone, as at OpenAI, or
                `"any"`. What a tool has given moves into a message of the user, right after all results.

        Raises:
            ValueError: If a message or a content block has no counterpart there; the error names it.
        """
        return to_openai_messages(
            self.messages, self.keep_reasoning, media_in=media_in, reasoning_as=reasoning_as, origin=self.origin
        )

    def openai_tools(self) -> list[dict[str, Any]]:
        """The tools as OpenAI tool dicts, `{"type": "function", "function": {...}}`, each a copy."""
        return [dict(tool) for tool in self.tools]

    def prompt(self, template: str | PromptTemplate = "plain") -> str:
        """The conversation as one string, for models that only complete text.

        Args:
            template: `"plain"` (`Human: ...`, `AI:`), `"chatml"`, `"llama3"`, `"mistral"`, a Jinja chat template
                as Hugging Face models ship them (needs `jinja2`), or a `PromptTemplate`.
        """
        prompt = render_prompt(
            self.messages,
            template,
            tools=self.tools,
            keep_reasoning=self.keep_reasoning,
            thinking=self.thinking,
        )
        self.run.prompt_end = prompt[-_PROMPT_END:].rstrip()
        return prompt

    # --- what authors try who take it for the messages, or for a text; no `__iter__`: it would be an iterable ---

    def __getitem__(self, index: object) -> NoReturn:
        raise TypeError(f"A Request is neither a list nor a text. {READ_IT}")

    def __len__(self) -> NoReturn:
        raise TypeError(f"A Request has no length: it is neither a list nor a text. {READ_IT}")

    def __bool__(self) -> bool:
        return True  # not by its length

    if not TYPE_CHECKING:  # type checkers say by themselves that there is no such operator

        def __add__(self, other: object) -> NoReturn:
            raise TypeError(f"A Request is neither a list nor a text, to which something is added. {READ_IT}")

        __radd__ = __mul__ = __rmul__ = __call__ = __add__

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"A Request has no {name!r}. {READ_IT}", name=name, obj=self)


_SHOWN = tuple(one.name for one in fields(Request) if one.repr)

READ_IT = (
    "`request.messages` is the conversation, `request.text` the last message's text, and `request.prompt()` all of it "
    "as one text."
)
