"""`ChatCommand`: any command-line program as a chat model."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Literal, Self

from langchain_core.exceptions import ModelTimeoutError
from langchain_core.messages import BaseMessage
from pydantic import ConfigDict, Field, field_validator, model_validator

from langplug import ChatModel, MissingSecretError, Part, Request, UnsupportedError, resource
from langplug._bridge.slots import Slots
from langplug._bridge.threads import usable_cores
from langplug._errors import advised
from langplug._http.templates import LazyMapping, placeholders
from langplug._messages.prompt import PromptTemplate
from langplug._model.parameters import conceal_arguments
from langplug._model.pickles import LOST
from langplug._redaction import AnySecret, HiddenBytes, conceal, drop_secrets, hide, reveal, secrets_in
from langplug._secrets import is_secret_name
from langplug._stream.paths import Paths
from langplug.models.command.ansi import AnsiStripper
from langplug.models.command.errors import (
    CommandBrokeOffError,
    CommandFailedError,
    CommandNotExecutableError,
    CommandNotFoundError,
    exit_error,
    quote_stderr,
    start_error,
)
from langplug.models.command.input import (
    Argument,
    InvalidInputError,
    build_environment,
    encode,
    fill_arguments,
    read_variable,
    scrub,
)
from langplug.models.command.output import JsonOutputReader, Output, OutputReader, TextOutputReader, read_paths
from langplug.models.command.process import Launch, Process

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
"""The placeholders, and kinds of input, that hold what was said last."""


class ChatCommand(ChatModel):
    """A command-line program as a model: the conversation goes in, and what the program writes to its stdout comes out.

    Each call starts the program anew, without a shell, in a process group of its own. The group is ended when the
    answer is no longer wanted: on a stop string, a timeout, a cancelled task, a closed stream, at interpreter exit.

    Example:
        >>> ChatCommand(command=["tr", "a-z", "A-Z"], input="text").invoke("hello").content
        'HELLO'

    Raises, when it is used:
        CommandNotFoundError: There is no such program or directory. Also a `FileNotFoundError`.
        CommandNotExecutableError: It cannot be run. Also a `PermissionError`.
        CommandFailedError: Its exit status is not 0; after the answer had begun, a `CommandBrokeOffError`.
        UnreadableAnswerError: Its output is not the JSON that was announced, or the paths find nothing in it.
        InvalidInputError: Something cannot be given to a program, such as a NUL in an argument. Also a `ValueError`.
        ContextOverflowError: The arguments are longer than the system allows.
        ModelTimeoutError: One of the time limits was reached.
    """

    model_config = ConfigDict(validate_default=True)  # a subclass gives paths and variables as simply as a caller does

    command: list[Argument] = Field(min_length=1)
    """The program and its arguments. `{prompt}`, `{text}`, `{system}`, `{messages}`, `{tools}`, `{schema}`, `{stop}`
    and `{model}` stand for what the call contains, the names in `params` and the fields of a subclass for their values;
    `{{` and `}}` are braces. Arguments in a list of their own, `["--model", "{model}"]`, are left out if one has no
    value."""

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
    """Whether newlines at the very end of text are left out, as a shell's `$(...)` does."""

    inherit: list[str] = Field(default_factory=list)
    """Which variables of this process's environment the program gets, besides `PATH`, `HOME`, the language and a few
    more that hold no secrets. `ACME_*` stands for all that begin so, `*` for all variables."""

    environment: dict[str, Any] = Field(default_factory=dict)
    """Further variables: strings, `SecretStr`s, or `env("NAME")`, which is looked up at each start. What is secret by
    its kind or its name is in no repr, cache key, trace, error or pickle: there, it is looked up by its name."""

    cwd: str | None = None
    """The directory in which the program runs, and from which a relative path to it leads. Default: the current one."""

    params: dict[str, Any] = Field(default_factory=dict)
    """Values for placeholders of your own, and for the parameters in `input="request"`. A `SecretStr` is not among the
    latter. It and a text under a secret's name are struck out of what errors show of the program's stderr."""

    first_output_timeout: float | None = Field(default=None, gt=0)
    """Seconds from the start to the first output. Default: no limit."""

    idle_timeout: float | None = Field(default=None, gt=0)
    """Seconds between one output and the next. Default: no limit."""

    linger: float = Field(default=2.0, ge=0)
    """Seconds that may pass between the end of the output and the program's own end. A program that runs for longer is
    ended, and its answer counts; so is what holds the output open after the program has ended."""

    kill_after: float = Field(default=0.5, ge=0)
    """Seconds from SIGTERM to SIGKILL when the program is ended."""

    max_parallel: int = Field(default_factory=lambda: max(4, usable_cores()), ge=1)
    """How many programs of this model run at once; more calls wait their turn. Default: as many as there are cores,
    since a program may be a whole model, but 4 at least, since many only wait for a network."""

    retry_on: frozenset[int] = frozenset()
    """Exit statuses (signals negative) after which the error says that asking again may help (`is_retryable`)."""

    # --- construction ---

    @field_validator("command", mode="before")
    @classmethod
    def _check_is_list(cls, command: Any) -> Any:
        if isinstance(command, str):
            raise ValueError(
                f"command is the string {command!r}; expected a list of arguments, because no shell splits it. "
                "`shlex.split` does."
            )
        if not isinstance(command, Sequence):
            return command
        return [os.fspath(one) if isinstance(one, os.PathLike) else one for one in command]

    @field_validator("paths", mode="before")
    @classmethod
    def _read_paths(cls, given: Any) -> Any:
        return read_paths(given)

    @field_validator("cwd", mode="before")
    @classmethod
    def _path_as_text(cls, path: Any) -> Any:
        return os.fspath(path) if isinstance(path, os.PathLike) else path

    @field_validator("environment")
    @classmethod
    def _hide_secrets(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: read_variable(name, value) for name, value in given.items()}

    @field_validator("params")
    @classmethod
    def _hide_params(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: conceal(value, secret=is_secret_name(name)) for name, value in given.items()}

    @model_validator(mode="after")
    def _check_command(self) -> Self:
        if not isinstance(self.command[0], str):
            raise ValueError(f"command begins with the list {self.command[0]!r}; expected the program, as a string.")
        known = _CONVERSATION - {"request"} | {"system", "tools", "schema", "stop"} | self._own_values().keys()
        for name in self._placeholders:
            if name not in known:
                raise ValueError(
                    f"command has the placeholder {{{name}}}; there are {', '.join(sorted(known))}. "
                    "Add it to `params`, or write {{ and }} for braces that stand for themselves."
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

    @property
    def _placeholders(self) -> list[str]:
        groups = ([one] if isinstance(one, str) else one for one in self.command)
        return [name for group in groups for one in group for name in placeholders(one, "An argument of `command`")]

    def _own_values(self) -> dict[str, Any]:
        """The values that the model itself has for placeholders: those of subclasses' fields, and `params`."""
        fields = type(self).model_fields.keys() - ChatCommand.model_fields.keys() | {"model"}
        held = conceal_arguments(type(self), {name: getattr(self, name) for name in sorted(fields)})
        return held | self.params

    # --- what the program is given ---

    def _launch(self, request: Request) -> tuple[Launch, list[AnySecret]]:
        """What to start for `request`, and the secrets that it is given."""
        kind: str | None = self.input
        if kind == "auto":
            kind = None if _CONVERSATION.intersection(self._placeholders) else "prompt"
        seen = {*self._placeholders, kind}
        # langplug describes tools and schemas in a system message. A program that is shown the last message alone would
        # answer without them, and nobody would know why.
        shows_text_alone = "text" in seen and not seen & {"prompt", "messages", "request", "system"}
        if shows_text_alone and any(map(_is_system, request.messages)):
            message = (
                f"{type(self).__name__} gives its program the last message alone, so the system message, with all that "
                "it says of tools and schemas, would be lost."
            )
            raise advised(UnsupportedError(message), "Put {system} into an argument, or set input='prompt'.")
        values = self._values(request)
        variables = build_environment(self.inherit, self.environment)
        secrets = [*secrets_in(variables), *secrets_in(hide(self._own_values()))]
        launch = Launch(
            arguments=fill_arguments(self.command, values),
            environment=variables,
            directory=self.cwd,
            stdin=None if kind is None else HiddenBytes(encode(values[kind])),  # secret parameters may be in it
            linger=self.linger,
            kill_after=self.kill_after,
            # Enough to show the end of it whole once secrets are replaced by stars, one of them cut off in front.
            stderr_limit=2 * _STDERR_SHOWN + max((len(reveal(secret)) for secret in secrets), default=0),
        )
        return launch, secrets

    def _values(self, request: Request) -> LazyMapping:
        """What stands for each placeholder, and for each kind of input; made only if it is asked for."""
        own = self._own_values()

        def request_object() -> dict[str, Any]:
            """All that a request holds; what it does not hold is left out, and so are secrets."""
            body: dict[str, Any] = {
                "model": own["model"],
                "tools": request.openai_tools(),
                "tool_choice": request.tool_choice,
                "parallel_tool_calls": request.parallel_tool_calls,
                "schema": request.schema,
                "stop": request.stop,
                "params": drop_secrets({k: v for k, v in own.items() if k != "model" and v is not None}),
            }
            kept = {name: value for name, value in body.items() if value not in (None, [], (), {})}
            return {"messages": request.openai_messages(), "stream": request.streaming, **kept}

        return LazyMapping(
            {
                # The values as they are now, one function each; mypy cannot infer a lambda with a default.
                **{name: (lambda value=value: value) for name, value in hide(own).items()},  # type: ignore[misc]
                "prompt": lambda: request.prompt(self.template),
                "text": lambda: request.text,
                "system": lambda: "\n\n".join(str(one.text) for one in request.messages if _is_system(one)) or None,
                "messages": lambda: _json(request.openai_messages()),
                "tools": lambda: _json(request.openai_tools()) if request.tools else None,
                "schema": lambda: _json(request.schema) if request.schema else None,
                "stop": lambda: _json(request.stop) if request.stop else None,
                "request": lambda: _json(request_object()) + "\n",
            }
        )

    # --- answering ---

    @resource(uses=("max_parallel",))
    def slots(self) -> Slots:
        """The queue for the `max_parallel` places."""
        return Slots(self.max_parallel)

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        """Start the program, give it the conversation, and read its answer."""
        launch, secrets = self._launch(request)
        slots = self.slots
        await slots.acquire()
        try:
            async with aclosing(self._run(launch, secrets)) as parts:
                async for part in parts:
                    yield part
        finally:
            slots.release()

    async def _run(self, launch: Launch, secrets: list[AnySecret]) -> AsyncGenerator[Part, None]:
        """Run the program once, and yield the parts of its answer as they come."""
        owner = f"The command {self.program_name!r}"
        reader: OutputReader = (
            TextOutputReader(
                lines=self.output == "lines", strip_ansi=self.strip_ansi, strip_newlines=self.strip_newlines
            )
            if self.paths is None
            else JsonOutputReader(
                self.paths, whole=self.output == "json", owner=owner, scrub=lambda text: scrub(text, secrets)
            )
        )
        try:
            process = await Process.start(launch)
        except OSError as error:
            raise start_error(owner, error, launch.directory) from error

        def stderr() -> str:
            text = AnsiStripper().feed(process.stderr.decode(errors="replace"))
            return scrub(text, secrets, was_cut=process.stderr_was_cut).strip()[-_STDERR_SHOWN:]

        begun = False
        try:
            limit, seconds = "first_output_timeout", self.first_output_timeout
            while not reader.finished:
                try:
                    async with asyncio.timeout(seconds):
                        data = await process.read()
                except TimeoutError:
                    raise ModelTimeoutError(
                        f"{owner} wrote nothing for {limit}={seconds!r} seconds, and was ended. Raise `{limit}`, or "
                        f"set it to None for no limit.{quote_stderr(stderr())}"
                    ) from None
                if not data:
                    break
                for part in reader.feed(data):
                    begun = True
                    yield part
                limit, seconds = "idle_timeout", self.idle_timeout
            status = await process.exit_status()
            for part in reader.rest(failed=bool(status)):
                begun = True
                yield part
            if status:
                failure = exit_error(owner, status, stderr(), begun=begun)
                failure.is_retryable = status in self.retry_on
                raise failure
            reader.end()
        finally:
            await process.stop()

    # --- pickles ---

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """As of every model, with what to write for a variable whose secret was left behind."""
        for name, value in state["__dict__"].get("environment", {}).items():
            if (place := f"environment[{name!r}]") in state.get(LOST, ()) and value is None:
                raise MissingSecretError(
                    f"`{place}` of this {type(self).__name__} is secret, so it is not in the pickle. Write "
                    f"environment={{{name!r}: env({name!r})}}, which is looked up in the environment of whoever loads "
                    "the model; or make the model where it is used."
                )
        super().__setstate__(state)


def _is_system(message: BaseMessage) -> bool:
    return message.type == "system" or getattr(message, "role", "") in ("system", "developer")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
