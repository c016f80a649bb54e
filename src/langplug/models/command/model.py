"""`ChatCommand`: any command-line program as a chat model."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, Self

from langchain_core.exceptions import ModelTimeoutError
from langchain_core.messages import BaseMessage
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from langplug import ChatModel, Part, Request, UnsupportedError, resource
from langplug._bridge.slots import Slots
from langplug._messages.prompt import PromptTemplate
from langplug._stream.paths import Paths, UnreadableAnswerError
from langplug.models.command.ansi import AnsiStripper
from langplug.models.command.errors import (
    CommandBrokeOffError,
    CommandFailedError,
    CommandNotExecutableError,
    CommandNotFoundError,
    failed,
    not_started,
    said_on_stderr,
)
from langplug.models.command.input import (
    Argument,
    FromEnvironment,
    InvalidInputError,
    Values,
    declared,
    encoded,
    environment,
    filled,
    placeholders,
    scrubbed,
    shown,
)
from langplug.models.command.output import JsonReader, Output, OutputReader, TextReader, paths_of
from langplug.models.command.process import Launch, Program

__all__ = [
    "ChatCommand",
    "CommandBrokeOffError",
    "CommandFailedError",
    "CommandNotExecutableError",
    "CommandNotFoundError",
    "InvalidInputError",
]

_STDERR_SHOWN = 2000
"""Characters of the program's stderr that an error shows, the last ones."""

_CONVERSATION = frozenset({"prompt", "text", "messages", "request"})


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ChatCommand(ChatModel):
    """A command-line program as a model: the conversation goes in, and what the program writes to its stdout comes out.

    Each call starts the program anew, without a shell, in a process group of its own. The group is ended when the
    answer is not wanted any more: on a stop string, a timeout, a cancelled task, a closed stream, at interpreter exit.

    Example:
        >>> ChatCommand(command=["tr", "a-z", "A-Z"], input="text").invoke("hello").content
        'HELLO'

    Raises, when it is used:
        CommandNotFoundError: There is no such program or directory. Also a `FileNotFoundError`.
        CommandNotExecutableError: It cannot be run. Also a `PermissionError`.
        CommandFailedError: Its exit status is not 0; after the answer had begun, a `CommandBrokeOffError`.
        UnreadableAnswerError: It was to write JSON and did not, or the paths find nothing in it.
        InvalidInputError: What it is to be given cannot be given to a program. Also a `ValueError`.
        ContextOverflowError: The arguments are longer than the system allows.
        ModelTimeoutError: It took too long, in one of the ways that have a limit.
    """

    model_config = ConfigDict(validate_default=True)  # a subclass gives paths and variables as simply as a caller does

    command: list[Argument] = Field(min_length=1)
    """The program and its arguments. `{prompt}`, `{text}`, `{system}`, `{messages}`, `{tools}`, `{schema}`, `{stop}`
    and `{model}` stand for what the call brings, and so do the names in `params` and the fields of a subclass; `{{` and
    `}}` are braces. Arguments in a list of their own, `["--model", "{model}"]`, are left out where one has no value."""

    model: str | None = None
    """The model's name: for `{model}`, metadata and traces. Default: the program's."""

    input: Literal["auto", "prompt", "text", "messages", "request"] | None = "auto"
    """What the program gets on its stdin: the conversation as one text (`prompt`), the text of the last message alone
    (`text`), OpenAI messages as JSON (`messages`), one JSON object with these, tools, stop strings, schema and
    parameters (`request`), or nothing (None). `auto`: nothing if the arguments hold the conversation, else `prompt`."""

    template: str | PromptTemplate = "plain"
    """How a conversation becomes a prompt: `plain`, `chatml`, `llama3`, `mistral`, or a Jinja chat template."""

    output: Output = "text"
    """What it writes: text, shown as it comes (`text`) or line by line (`lines`), or JSON, one value a line (`jsonl`)
    or one in all (`json`)."""

    paths: Paths | None = None
    """Where the parts of the answer are in the JSON, as JMESPath expressions: `{"text": "delta", "finish": "reason"}`.
    Needs `pip install 'langplug[http]'`."""

    strip_ansi: bool = True
    """Whether terminal control codes, such as colours, are taken out of text."""

    strip_newlines: bool = True
    """Whether newlines at the very end of text are left out, as a shell's `$(...)` leaves them out."""

    inherit: list[str] = Field(default_factory=list)
    """Which variables of this process's environment the program gets, besides `PATH`, `HOME`, the language and a few
    more that name no secrets. `ACME_*` stands for all that begin so, `*` for all that there are."""

    environment: dict[str, Any] = Field(default_factory=dict)
    """Further variables: strings, `SecretStr`s, or `env("NAME")`, which is looked up at each start. What is secret by
    its kind or its name is in no repr, cache key, trace, error or pickle: there, it is looked up by its name."""

    cwd: str | None = None
    """The directory in which the program runs, and from which a relative path to it leads. Default: the current one."""

    params: dict[str, Any] = Field(default_factory=dict)
    """Values for placeholders of your own, and for the parameters in `input="request"`."""

    first_output_timeout: float | None = Field(default=None, gt=0)
    """Seconds from the start to the first output. Default: for ever."""

    idle_timeout: float | None = Field(default=None, gt=0)
    """Seconds between one output and the next. Default: for ever."""

    linger: float = Field(default=2.0, ge=0)
    """Seconds that may lie between the end of the output and the program's own end. A program that goes on for longer
    is ended, and its answer counts; so is what holds the output open after the program has ended."""

    kill_after: float = Field(default=0.5, ge=0)
    """Seconds from SIGTERM to SIGKILL, when it is ended."""

    max_parallel: int = Field(default_factory=lambda: max(4, _usable_cores()), ge=1)
    """How many programs of this model run at once; more calls wait their turn. Default: as many as there are cores,
    since a program may be a whole model, but 4 at least, since many only wait for a network."""

    retry_on: frozenset[int] = frozenset()
    """Exit statuses (signals negative) after which the error says that asking again may help (`is_retryable`)."""

    # --- construction ---

    @field_validator("command", mode="before")
    @classmethod
    def _listed_command(cls, command: Any) -> Any:
        if isinstance(command, str):
            raise ValueError(
                f"command is the string {command!r}; expected a list of arguments, as no shell takes it apart. "
                "`shlex.split` does."
            )
        if not isinstance(command, Sequence):
            return command
        return [os.fspath(one) if isinstance(one, os.PathLike) else one for one in command]

    @field_validator("paths", mode="before")
    @classmethod
    def _read_paths(cls, given: Any) -> Any:
        return paths_of(given)

    @field_validator("cwd", mode="before")
    @classmethod
    def _path_as_text(cls, path: Any) -> Any:
        return os.fspath(path) if isinstance(path, os.PathLike) else path

    @field_validator("environment")
    @classmethod
    def _declared_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: declared(name, value) for name, value in given.items()}

    @model_validator(mode="after")
    def _check_command(self) -> Self:
        if not isinstance(self.command[0], str):
            raise ValueError(f"command begins with the list {self.command[0]!r}; expected the program, as a string.")
        known = _CONVERSATION - {"request"} | {"system", "tools", "schema", "stop"} | self._own_values().keys()
        for name in self._placeholders:
            if name not in known:
                raise ValueError(
                    f"command has the placeholder {{{name}}}; there are {', '.join(sorted(known))}. "
                    "Add it to `params`, or write {{ and }} for braces that are meant as they are."
                )
        return self

    @model_validator(mode="after")
    def _check_output(self) -> Self:
        is_json = self.output in ("json", "jsonl")
        if is_json and self.paths is None:
            raise ValueError(
                f"output={self.output!r} needs `paths` to the answer, such as paths={{'text': 'content'}}."
            )
        if self.paths is not None and not is_json:
            raise ValueError(f"`paths` lead into JSON, but output is {self.output!r}. Set output='jsonl' or 'json'.")
        return self

    @property
    def reported_name(self) -> str:
        """`model`, else the program's name."""
        return self.model or self.program_name

    @property
    def program_name(self) -> str:
        """The program's name, without the directories before it."""
        return os.path.basename(str(self.command[0]))  # noqa: PTH119 - what stands there need not be a path

    @resource(uses=("max_parallel",))
    def slots(self) -> Slots:
        """The queue for the places that there are."""
        return Slots(self.max_parallel)

    # --- answering ---

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        """Start the program, hand it the conversation, and read its answer."""
        launch, secrets = self._launch(request)
        slots = self.slots
        await slots.acquire()
        try:
            async with aclosing(_Run(self, launch, secrets).parts()) as parts:
                async for part in parts:
                    yield part
        finally:
            slots.release()

    def _launch(self, request: Request) -> tuple[Launch, list[str]]:
        """What to start for `request`, and the secrets that it is given."""
        self._check_seen(request)
        values = self._values(request)
        variables, secrets = environment(self.inherit, self.environment)
        own = (getattr(self, name) for name in self._own_values() if name not in self.params)
        secrets += [value.get_secret_value() for value in own if isinstance(value, SecretStr)]
        kind = self._stdin_kind
        launch = Launch(
            arguments=filled(self.command, values),
            environment=variables,
            directory=self.cwd,
            stdin=None if kind is None else encoded(shown(values[kind]())),
            linger=self.linger,
            kill_after=self.kill_after,
            stderr_limit=2 * _STDERR_SHOWN + max(map(len, secrets), default=0),
        )
        return launch, secrets

    @property
    def _placeholders(self) -> list[str]:
        together = ([one] if isinstance(one, str) else one for one in self.command)
        return [name for arguments in together for argument in arguments for name in placeholders(argument)]

    @property
    def _stdin_kind(self) -> str | None:
        if self.input == "auto":
            return None if _CONVERSATION.intersection(self._placeholders) else "prompt"
        return self.input

    def _check_seen(self, request: Request) -> None:
        """See to it that instructions are not lost, among which tools and schemas are."""
        seen = {*self._placeholders, self._stdin_kind}
        shows_text_alone = "text" in seen and not seen & {"prompt", "messages", "request", "system"}
        if shows_text_alone and any(map(_is_system, request.messages)):
            raise UnsupportedError(
                f"{type(self).__name__} gives its program the last message alone, so the system message, with all that "
                "it says of tools and schemas, would be lost. Put {system} into an argument, or set input='prompt'."
            )

    def _own_values(self) -> dict[str, Any]:
        """The values that the model itself has for placeholders: those of subclasses' fields, and `params`."""
        fields = type(self).model_fields.keys() - ChatCommand.model_fields.keys() | {"model"}
        return {name: getattr(self, name) for name in sorted(fields)} | self.params

    def _values(self, request: Request) -> Values:
        """What stands for each placeholder, and for each kind of input."""
        own = self._own_values()
        return {
            **{name: (lambda value=value: value) for name, value in own.items()},  # type: ignore[misc]
            "prompt": lambda: request.prompt(self.template),
            "text": lambda: request.text,
            "system": lambda: "\n\n".join(str(one.text) for one in request.messages if _is_system(one)) or None,
            "messages": lambda: _json(request.openai_messages()),
            "tools": lambda: _json(request.openai_tools()) if request.tools else None,
            "schema": lambda: _json(request.schema) if request.schema else None,
            "stop": lambda: _json(request.stop) if request.stop else None,
            "request": lambda: _json(_request_object(request, own)) + "\n",
        }

    # --- pickles ---

    def __getstate__(self) -> dict[Any, Any]:
        """Without secrets: they are looked up in the environment of whoever loads it."""
        state = super().__getstate__()
        kept = {
            name: FromEnvironment(name) if isinstance(value, SecretStr) else value
            for name, value in self.environment.items()
        }
        return {**state, "__dict__": {**state["__dict__"], "environment": kept}}


def _is_system(message: BaseMessage) -> bool:
    return message.type == "system" or getattr(message, "role", "") in ("system", "developer")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _request_object(request: Request, own: Mapping[str, Any]) -> dict[str, Any]:
    """All that a request holds; what it does not hold is left out."""
    public = {name: value for name, value in own.items() if name != "model" and not isinstance(value, SecretStr)}
    body: dict[str, Any] = {
        "model": own["model"],
        "tools": request.openai_tools(),
        "tool_choice": request.tool_choice,
        "parallel_tool_calls": request.parallel_tool_calls,
        "schema": request.schema,
        "stop": request.stop,
        "params": {name: value for name, value in public.items() if value is not None},
    }
    kept = {name: value for name, value in body.items() if value not in (None, [], (), {})}
    return {"messages": request.openai_messages(), "stream": request.streaming, **kept}


class _Run:
    """One run of the program for one answer."""

    def __init__(self, model: ChatCommand, launch: Launch, secrets: list[str]) -> None:
        self._model = model
        self._launch = launch
        self._secrets = secrets
        self._owner = f"The command {model.program_name!r}"
        self._begun = False

    async def parts(self) -> AsyncGenerator[Part, None]:
        """The parts of the answer, as they come."""
        reader = self._reader()
        program = await self._started()
        try:
            limit = self._model.first_output_timeout, "first_output_timeout"
            while not reader.finished and (data := await self._read(program, *limit)):
                for part in reader.feed(data):
                    self._begun = True
                    yield part
                limit = self._model.idle_timeout, "idle_timeout"
            status = await program.exit_status()
            for part in self._rest(reader, status):
                self._begun = True
                yield part
            if status:
                raise self._failure(status, program)
            reader.end()
        finally:
            await program.stop()

    def _reader(self) -> OutputReader:
        model = self._model
        if model.paths is not None:
            return JsonReader(
                model.paths,
                whole=model.output == "json",
                owner=self._owner,
                scrub=lambda text: scrubbed(text, self._secrets),
            )
        return TextReader(
            lines=model.output == "lines", strip_ansi=model.strip_ansi, strip_newlines=model.strip_newlines
        )

    async def _read(self, program: Program, seconds: float | None, name: str) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                return await program.read()
        except TimeoutError:
            raise ModelTimeoutError(
                f"{self._owner} wrote nothing for {name}={seconds!r} seconds, and was ended. Raise `{name}`, or set it "
                f"to None to wait for ever.{said_on_stderr(self._stderr(program))}"
            ) from None

    def _rest(self, reader: OutputReader, status: int | None) -> list[Part]:
        """What was held back. Of a program that failed, half a line of JSON is no error of its own."""
        if reader.finished:
            return []
        try:
            return list(reader.rest())
        except UnreadableAnswerError:
            if status:
                return []
            raise

    # --- errors ---

    async def _started(self) -> Program:
        try:
            return await Program.start(self._launch)
        except OSError as error:
            raise not_started(self._owner, error, self._launch.directory) from error

    def _failure(self, status: int, program: Program) -> CommandFailedError:
        error = failed(self._owner, status, self._stderr(program), begun=self._begun)
        error.is_retryable = status in self._model.retry_on
        return error

    def _stderr(self, program: Program) -> str:
        text = AnsiStripper().feed(program.stderr.decode(errors="replace"))
        clean = scrubbed(text, self._secrets, was_cut=program.stderr_was_cut)
        return clean.strip()[-_STDERR_SHOWN:]
