"""`ChatReplay`: any chat model, recorded once and played from a file from then on."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr, SkipValidation, field_validator, model_validator

from langplug import ChatModel, Request, adopt, load
from langplug._bridge.shapes import Shape
from langplug._model.fields import ReasoningTags
from langplug._parts import Part
from langplug.models.replay.answers import steps_of
from langplug.models.replay.questions import question_of
from langplug.models.replay.recording import Take, arecord, record
from langplug.models.replay.secrets import Striker, secrets_of
from langplug.models.replay.tape import Mode, Tape

_COMPANIONS = ("callbacks", "tags", "metadata", "output_version", "custom_get_token_ids")
"""What the recorded model is used with, or is asked for before it answers."""


class ChatReplay(ChatModel):
    """Plays the answers that a chat model gave to the same questions, chunk by chunk, from a cassette: a YAML file.

    Without `model` it only plays. With one, it records what `mode` says, and passes each chunk on as it comes. A
    question is the same if its messages, tools, stop strings, schema and parameters are, and, where `model` is given,
    who answers it. Errors are recorded and raised again, and answers that broke off break off again. Secrets are
    never written.

    Example:
        >>> from langplug.models import ChatScripted
        >>> recorded = ChatReplay(cassette="talk.yaml", model=ChatScripted(replies=["Hello."]))
        >>> recorded.invoke("Hi").content
        'Hello.'
        >>> ChatReplay(cassette="talk.yaml").invoke("Hi").content
        'Hello.'
    """

    tool_calling = "native"
    structured_output = "native"
    accepts = frozenset({"image", "audio", "video", "file"})

    cassette: Path
    """The file, which a person may read and edit; docs/en/guides/replay.md describes it."""

    model: SkipValidation[Any] = Field(default=None, exclude=True, repr=False)
    """What to record: a chat model, a chain or a graph, or a reference to one (`"openai:gpt-4o"`). None: play only."""

    mode: Mode = "once"
    """What to record: all if there is no cassette yet (`"once"`), nothing (`"none"`), what the cassette lacks
    (`"new"`), or all, in the place of the cassette that is there (`"rewrite"`)."""

    timing: bool = False
    """Whether pieces come at the moments at which they came when they were recorded. Else they come at once."""

    reasoning_tags: ReasoningTags = None
    """None: what the recorded model made of its tags is played."""

    _tape: Tape = PrivateAttr()
    _striker: Striker = PrivateAttr()

    @field_validator("model")
    @classmethod
    def __adopt(cls, model: Any) -> Any:
        return None if model is None else adopt(load(model) if isinstance(model, str) else model)

    @model_validator(mode="after")
    def __open(self) -> Self:
        if (self.__pydantic_private__ or {}).get("_tape") is not None:  # an assignment is validated, too
            return self
        if self.model is None and self.mode in ("new", "rewrite"):
            raise ValueError(f"mode={self.mode!r} records, and there is nothing to record: give `model`")
        if self.model is None and not self.cassette.exists():
            raise FileNotFoundError(
                f"there is no cassette {str(self.cassette)!r}. Record one with ChatReplay(cassette=..., model=...)."
            )
        self._tape = Tape(self.cassette, self.mode)
        self._striker = Striker(secrets_of(self.model))
        for name in _COMPANIONS:
            value = getattr(self.model, name, None)
            if value is not None and name not in self.__pydantic_fields_set__:
                object.__setattr__(self, name, value)  # not by validation, which would come here again
        return self

    # --- what it is ---

    def __langplug_takes__(self, name: str) -> bool:
        return True  # what the recorded model is given; a name that is wrong is one more difference

    def __langplug_for_call__(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if "model" in given:
            raise TypeError("No call can name another model to ChatReplay. Make one for each: ChatReplay(model=...).")
        return super().__langplug_for_call__(given)

    @property
    def reported_name(self) -> str:
        """The recorded model's name."""
        if self.model is not None:
            return str(self.model.reported_name)
        return str(self._tape.model.get("name") or super().reported_name)

    @property
    def reported_provider(self) -> str:
        """The recorded model's provider."""
        if self.model is not None:
            return str(self.model.reported_provider)
        return str(self._tape.model.get("provider") or super().reported_provider)

    @property
    def ends_at_stop(self) -> bool:
        """Always: the recorded model has ended there."""
        return True

    def close(self) -> None:
        """Close the recorded model."""
        super().close()
        if self.model is not None:
            self.model.close()

    def __who(self) -> dict[str, Any] | None:
        """Who is asked, as recordings say it: by what LangChain tells tracers of a model, and its class."""
        if self.model is None:
            return None
        told: Mapping[str, Any] = self.model._get_ls_params()  # noqa: SLF001 - the documented place for these
        known = {name.removeprefix("ls_"): value for name, value in told.items() if name != "ls_model_type"}
        asked = getattr(self.model, "adopted", self.model)
        named = {"class": type(asked).__qualname__, "provider": known.pop("provider", None)}
        named["name"] = known.pop("model_name", None)
        return self._striker.question({name: one for name, one in {**named, **known}.items() if one is not None})

    # --- how it answers ---

    def respond(self, request: Request, /) -> Generator[Part, None, None]:
        """Play the recording of this question, or ask the recorded model and record it."""
        found = self.__find(request)
        if isinstance(found, Take):
            yield from record(self.model, request, found, self._tape)
            return
        start = time.monotonic()
        for moment, step in steps_of(found):
            if self.timing and moment is not None and (rest := start + moment - time.monotonic()) > 0:
                request.cancellation.wait(rest)
            if isinstance(step, Exception):
                raise step
            yield step

    async def __arespond(self, request: Request) -> AsyncGenerator[Part, None]:
        """As `respond`, for an event loop."""
        found = self.__find(request)
        if isinstance(found, Take):
            async for message in arecord(self.model, request, found, self._tape):
                yield message
            return
        start = time.monotonic()
        for moment, step in steps_of(found):
            if self.timing and moment is not None and (rest := start + moment - time.monotonic()) > 0:
                await asyncio.sleep(rest)
            if isinstance(step, Exception):
                raise step
            yield step

    def __langplug_on_loop__(self, request: Request) -> tuple[Callable[[Request], Any], Shape]:
        if type(self).respond is not ChatReplay.respond:  # a subclass has written its own
            return super().__langplug_on_loop__(request)
        return self.__arespond, Shape.ASYNC_GENERATOR

    def __find(self, request: Request) -> dict[str, Any] | Take:
        """The recording that answers, or the one that is to be made.

        Raises:
            MissingRecordingError: If there is none, and none is to be made.
        """
        question, who = self._striker.question(question_of(request)), self.__who()
        if (recording := self._tape.find(question, who)) is not None:
            return recording
        if who is None or not self._tape.records:
            raise self._tape.miss(question, who)
        return Take(question, who, self._striker, is_streamed=request.streaming)
