"""`ChatReplay`: any chat model, recorded once and played from a file from then on."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, SkipValidation

from langplug import ChatModel, Request, UnsupportedError, adopt, load
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

    cassette: Path | str
    """The file, which a person may read and edit; docs/en/guides/replay.md describes it."""

    model: SkipValidation[Any] = Field(default=None, exclude=True, repr=False)
    """What to record: a chat model, a chain or a graph, or a reference to one (`"openai:gpt-4o"`). None: play only."""

    mode: Mode = "once"
    """What to record: all if there is no cassette yet (`"once"`), nothing (`"none"`), what the cassette lacks
    (`"new"`), or all, in the place of the cassette that is there (`"rewrite"`)."""

    timing: bool = False
    """Whether pieces come at the moments at which they came when they were recorded. Else they come at once."""

    n: Literal[1] = 1
    """How many answers a call asks for. Equal questions are recorded one by one, and played in their order."""

    reasoning_tags: ReasoningTags = None
    """None: what the recorded model made of its tags is played."""

    _recorded: ChatModel | None = PrivateAttr(default=None)
    _tape: Tape = PrivateAttr()
    _striker: Striker = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Open the cassette. A copy for a call is not made here, and may hold a name in the place of the model.

        Args:
            context: pydantic's.

        Raises:
            ValueError: If there is nothing to record. (pydantic makes a `ValidationError` of it.)
            FileNotFoundError: If there is nothing to play.
            CassetteError: If the cassette cannot be read.
        """
        super().model_post_init(context)
        if self.model is not None:
            self._recorded = adopt(load(self.model) if isinstance(self.model, str) else self.model)
            object.__setattr__(self, "model", self._recorded)
        elif self.mode in ("new", "rewrite"):
            raise ValueError(f"mode={self.mode!r} records, and there is nothing to record: give `model`")
        elif not Path(self.cassette).exists():
            raise FileNotFoundError(
                f"there is no cassette {str(self.cassette)!r}. Record one with ChatReplay(cassette=..., model=...), "
                "or pytest --cassette-mode=once."
            )
        self._tape = Tape(Path(self.cassette), self.mode)
        self._striker = Striker(secrets_of(self._recorded))
        for name in _COMPANIONS:
            value = getattr(self._recorded, name, None)
            if value is not None and name not in self.__pydantic_fields_set__:
                object.__setattr__(self, name, value)  # a name that was not given is not to be one that was set

    # --- what it is ---

    def __langplug_takes__(self, name: str) -> bool:
        return True  # what the recorded model is given; a name that is wrong is one more difference

    def __langplug_for_call__(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(given.get("model", ""), str):
            raise TypeError(
                "A call can name another model for the recorded one to ask, such as model='gpt-4o', and cannot bring "
                "one. Make a ChatReplay for each: ChatReplay(cassette=..., model=...)."
            )
        if (several := given.get("n", 1)) != 1:
            raise UnsupportedError(
                f"ChatReplay records one answer to a call, and n={several} asks for several. Ask again, or use "
                "batch(): equal questions are recorded one by one, and played in their order."
            )
        return super().__langplug_for_call__(given)

    @property
    def reported_name(self) -> str:
        """The name that the call gives, or else the recorded model's; of a cassette written by hand, the file's."""
        if isinstance(self.model, str):
            return self.model
        if self._recorded is not None:
            return self._recorded.reported_name
        return str(self._tape.model.get("name") or self._tape.path.stem)

    @property
    def reported_provider(self) -> str:
        """The recorded model's provider."""
        if self._recorded is not None:
            return self._recorded.reported_provider
        return str(self._tape.model.get("provider") or super().reported_provider)

    @property
    def ends_at_stop(self) -> bool:
        """Always: the recorded model has ended there."""
        return True

    def close(self) -> None:
        """Close the recorded model."""
        super().close()
        if self._recorded is not None:
            self._recorded.close()

    def __who(self) -> dict[str, Any] | None:
        """Who is asked, as recordings say it: by what LangChain tells tracers of a model, and its class."""
        if self._recorded is None:
            return None
        told: Mapping[str, Any] = self._recorded._get_ls_params()  # noqa: SLF001 - the documented place for these
        known = {name.removeprefix("ls_"): value for name, value in told.items() if name != "ls_model_type"}
        asked = getattr(self._recorded, "adopted", self._recorded)
        named = {"class": type(asked).__qualname__, "provider": known.pop("provider", None)}
        named["name"] = known.pop("model_name", None)
        return self._striker.question({name: one for name, one in {**named, **known}.items() if one is not None})

    # --- how it answers ---

    def respond(self, request: Request, /) -> Generator[Part, None, None]:
        """Play the recording of this question, or ask the recorded model and record it."""
        found = self.__find(request)
        if isinstance(found, Take):
            yield from record(request, found, self._tape)
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
            async for message in arecord(request, found, self._tape):
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
        if self._recorded is None or who is None or not self._tape.records:
            raise self._tape.miss(question, who)
        return Take(self._recorded, question, who, self._striker, is_streamed=request.streaming)
