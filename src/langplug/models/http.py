"""`ChatHTTP`: a model on any wire, which a few lines describe. `pip install 'langplug[http]'`."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from inspect import get_annotations
from typing import Any, Literal, Self
from urllib.parse import quote

from langchain_core.exceptions import ModelInvalidRequestError
from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from langplug import MissingSecretError, Request
from langplug._http import extra
from langplug._http.client import HTTPRequest, Response
from langplug._http.dialects import DIALECTS, system_text
from langplug._http.model import HTTPModel
from langplug._http.request import encode_body, join_address, merge, split_address
from langplug._http.templates import (
    KnownNames,
    LazyMapping,
    check_template,
    fill_template,
    interpolate,
    names_in,
    placeholders,
)
from langplug._messages.prompt import PromptTemplate
from langplug._model.capabilities import CAPABILITIES
from langplug._model.parameters import parameters_of
from langplug._stream.described_reader import DescribedReader
from langplug._stream.expressions import ExpressionError
from langplug._stream.framing import Framing
from langplug._stream.paths import CONTENT, Paths, UnreadableAnswerError
from langplug._stream.paths import NAMES as PATHS
from langplug._tools.schema import ANY_JSON
from langplug.models.descriptions import read_description

__all__ = ["ChatHTTP", "UnreadableAnswerError"]

_SAMPLING = ("temperature", "max_tokens", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
"""Parameters that callers give to any model; what the description has no place for is noted as ignored."""

_OF_THE_REQUEST = ("url", "method", "query", "body")
_SECTION = (*_OF_THE_REQUEST, *PATHS)
"""What `streamed` and `whole` may say anew."""

_OF_THE_WIRE = frozenset(
    {
        *_SECTION,
        "framing",
        "header_templates",
        "api_key_env",
        "extra_body",
        "prompt_template",
        "stop_text",
        *CAPABILITIES,
    }
    | {"streamed", "whole", *HTTPModel.model_fields}
) - {"context_window", "timeout"}
"""Fields that describe the wire and the way to it, and that no template needs."""

_FACTS = (
    *("messages", "text", "system", "prompt", "stop", "tools", "tool_choice", "parallel_tool_calls"),
    *("schema", "json_mode"),
)
"""What a template knows of the call, besides `streaming` and the words of other wires."""


class ChatHTTP(HTTPModel):
    """A model behind an HTTP API of its own, described by what is sent and by where the answer is in what comes back.

    What is sent is a template, whose strings that begin with `$` are JMESPath over the call; where the answer is, is
    said in JMESPath too (https://jmespath.org). The same description, as a YAML or TOML file, is read by `from_file`.

    Example:
        >>> model = ChatHTTP(
        ...     base_url="http://localhost:8080",
        ...     url="/generate",
        ...     body={"prompt": "$prompt", "options": {"temperature": "$temperature", "limit": "$max_tokens"}},
        ...     framing="ndjson",
        ...     text="response",
        ...     finish="done",
        ... )
        >>> model.invoke("Hello").content  # doctest: +SKIP
        'Hello! How can I help you today?'

    Raises, when it is made:
        ValueError: Something in the description cannot be; its place and what can be there are named.
        MissingSecretError: `api_key_env` is said, but neither that variable is set nor a key given.

    Raises, when it is used:
        ModelError: As the server's status and words say: `ModelRateLimitError`, `ContextOverflowError`, ...
        IncompleteAnswerError: The answer broke off; what had come is its `partial`.
        UnreadableAnswerError: The answer is none that the description describes.
        ImportError: The extra is not installed.
    """

    base_url: str = ""
    """The address of the server. Default: that of `url`. It takes the place of that of `url`."""

    # --- what is sent ---

    url: str
    """Behind `base_url`, or all of the address. `{name}` is replaced by what a template knows by that name, quoted."""

    method: str = "POST"
    """The HTTP method."""

    query: dict[str, Any] = Field(default_factory=dict)
    """What stands behind the `?`, as a template."""

    body: Any = None
    """The body, as a template. A mapping or a list is sent as JSON (as a form, if `Content-Type` says so), a string
    as plain text. A template knows `messages` and `tools` as OpenAI has them, and in the words of another wire
    (`anthropic.messages`, `ollama.messages`, ...), `text` of the last message, `system` instructions, `prompt`, `stop`,
    `tool_choice`, `parallel_tool_calls`, `schema`, `json_mode` (true where any JSON will do), `streaming`, and each
    field of the model."""

    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More for the body, as it is; it counts before the template, mapping by mapping."""

    header_templates: dict[str, str] = Field(default_factory=dict)
    """Those of `headers` that hold a `{name}`, such as `Bearer {api_key}`; where that is not known, none is sent."""

    api_key_env: str | None = None
    """The environment variable that holds the key, where `api_key` is not given."""

    prompt_template: str | PromptTemplate = "plain"
    """How `prompt` is made of the conversation: see `Request.prompt`."""

    # --- what comes back ---

    framing: Framing = "json"
    """How a streamed answer is cut into JSON values: `"sse"` (server-sent events), `"ndjson"`, `"json-array"`, or not
    at all (`"json"`); or `"text"`: it is no JSON, but the text. An answer that is plainly framed otherwise is read."""

    each: str | None = None
    """The path to what is read one after the other in each value; see `text`."""

    text: str | None = None
    """The path to the text, in each JSON value. This and the paths that follow are said in full by `Paths`."""

    reasoning: str | None = None
    """The path to what was thought."""

    tool_calls: str | None = None
    """The path to calls, as `{name: ..., args: ..., id: ..., index: ...}`. With it, and tools in the body, the model
    calls tools natively; else they are prompted."""

    blocks: str | None = None
    """The path to other content, such as images, as LangChain content blocks."""

    usage: str | None = None
    """The path to token counts, as `{input_tokens: ..., output_tokens: ...}`."""

    usage_kind: Literal["total", "delta"] = "total"
    """Whether each report counts from the start of the answer, or from the report before."""

    finish: str | None = None
    """The path to why the answer ended, or to `true` when it does. An answer without it is not complete."""

    reasons: dict[str, str] = Field(default_factory=dict)
    """LangChain's word (`"stop"`, `"length"`, `"tool_calls"`, `"content_filter"`) for each of the server's."""

    stop_sequence: str | None = None
    """The path to the stop string that ended the answer."""

    done: str | None = None
    """A path that finds something in the last value of a stream: nothing is read behind it. Without `finish`, an answer
    in which it finds nothing is not complete; without both, the end of the body is the end."""

    response_metadata: str | None = None
    """The path to more for `response_metadata`, such as `{model_name: model}`."""

    error: str | None = None
    """The path to an error in the place of an answer."""

    may_be_empty: bool = False
    """Whether an answer in which no path finds anything said is an empty one. Else it is an error."""

    streamed: dict[str, Any] = Field(default_factory=dict)
    """What is different for streams, of all that is said above."""

    whole: dict[str, Any] = Field(default_factory=dict)
    """What is different for answers that are one JSON value."""

    # --- what the server can do ---

    stop_text: Literal["cut", "included", "reported"] = "cut"
    """What the server does with the text that it stops at: leaves it out (so where it is wanted, the server is not
    told where to stop, and langplug cuts), gives it, or says which it was, at `stop_sequence`."""

    # --- parameters that a template may use ---

    model: str | None = None
    """The model's name on the server."""

    temperature: float | None = Field(default=None, ge=0)
    """How much chance there is in the choice of a token. Default of this and of those below: the server's."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Tokens of the answer after which it ends with finish reason `"length"`."""

    top_p: float | None = Field(default=None, gt=0, le=1)
    """Choose among the likeliest tokens that have this probability together."""

    top_k: int | None = Field(default=None, ge=0)
    """Choose among this many of the likeliest tokens."""

    seed: int | None = None
    """The same seed is to give the same answer to the same request, as far as the server keeps to it."""

    frequency_penalty: float | None = None
    """What is taken off a token for each time that it has come."""

    presence_penalty: float | None = None
    """What is taken off a token if it has come at all."""

    params: dict[str, Any] = Field(default_factory=dict)
    """Parameters of your own, for templates: `$params.name`."""

    _used: frozenset[str] | None = PrivateAttr(default=None)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], /, **overrides: Any) -> Self:
        """A model described by a file.

        Args:
            path: A YAML, TOML or JSON file that holds the constructor's arguments; or the name of a description that
                comes with langplug: `"ollama"`, `"anthropic"`, `"cohere"`, `"tgi"`, `"text"`.
            overrides: Arguments that count before those of the file.

        Raises:
            FileNotFoundError: If there is neither such a file nor such a description.
            ValueError: If the file cannot be read as what it should be, or does not describe a wire.
        """
        given = read_description(path)
        try:
            return cls(**{**given, **overrides})
        except MissingSecretError:
            raise
        except TypeError as error:
            raise TypeError(f"{os.fspath(path)}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error

    async def open_answer(self, request: Request, /) -> Response:
        """The answer to `request`, once it has begun."""
        return await self.send(self._outgoing(request), partial(self._reader, request))

    # --- the description ---

    @model_validator(mode="before")
    @classmethod
    def _complete_arguments(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        completed = dict(given)
        headers = completed.get("headers")
        if isinstance(headers, Mapping):
            dynamic = {name: text for name, text in headers.items() if isinstance(text, str) and "{" in text}
            completed["headers"] = {name: text for name, text in headers.items() if name not in dynamic}
            completed["header_templates"] = {**completed.get("header_templates", {}), **dynamic}
        base, path = split_address(str(completed.get("url", "")))
        if base:
            completed |= {"base_url": completed.get("base_url") or base, "url": path}
        if key := cls._key_of_environment(completed):
            completed["api_key"] = key
        return completed

    @classmethod
    def __langplug_check_secrets__(cls, arguments: Iterable[str]) -> None:
        super().__langplug_check_secrets__(arguments)
        if isinstance(arguments, Mapping):
            cls._key_of_environment(arguments)

    @classmethod
    def _key_of_environment(cls, given: Mapping[str, Any]) -> SecretStr | None:
        """What the variable holds that `api_key_env` names, where a key is wanted from there."""
        variable = given.get("api_key_env", cls.model_fields["api_key_env"].default)
        if not variable or given.get("api_key") or given.get("auth"):
            return None
        if key := os.environ.get(str(variable)):
            return SecretStr(key)
        raise MissingSecretError(
            f"{cls.__name__} needs `api_key`: set the environment variable {variable!r}, or pass `api_key=...` to the "
            "constructor."
        )

    @field_validator("streamed", "whole")
    @classmethod
    def _known_section(cls, section: dict[str, Any]) -> dict[str, Any]:
        for name in section:
            if name not in _SECTION:
                raise ValueError(f"{name!r} cannot differ there. What can: {', '.join(_SECTION)}.")
        return section

    @model_validator(mode="after")
    def _check_description(self) -> Self:
        self._used = None
        if not self.base_url:
            raise ValueError("There is no address: give `base_url`, or a whole address as `url`.")
        known = self._known_names()
        for kind in ("streamed", "whole"):
            section, own = self._section(kind), getattr(self, kind)
            for part in ("body", "query"):
                check_template(section[part], f"{kind}.{part}" if part in own else part, known)
            _check_placeholders(section["url"], f"{kind}.url" if "url" in own else "url", known)
            self._paths(kind)
        for name, text in self.header_templates.items():
            _check_placeholders(text, f"headers.{name}", {**known, "api_key": ()})
        self._note_ignored()
        self._read_capabilities()
        return self

    def _section(self, kind: Literal["streamed", "whole"]) -> dict[str, Any]:
        """The description for streams, or for answers that are one JSON value."""
        return {**{name: getattr(self, name) for name in _SECTION}, **getattr(self, kind)}

    def _paths(self, kind: Literal["streamed", "whole"]) -> Paths | None:
        """Where the parts are; None where the answer is plain text."""
        section = self._section(kind)
        if self.framing == "text" and not any(section[name] for name in CONTENT):
            return None
        try:
            return Paths(**{name: section[name] for name in PATHS})
        except ValueError as error:
            where = f" (in answers that are {kind})" if self.whole or self.streamed else ""
            raise ValueError(f"{error}{where}") from None

    def _known_names(self) -> KnownNames:
        """What a template may look up."""
        dialects = {name: tuple(parts) for name, parts in DIALECTS.items()}
        return {**dict.fromkeys((*self._own_facts(), *_FACTS, "streaming"), ()), **dialects}

    @classmethod
    def _own_facts(cls) -> frozenset[str]:
        """The fields that templates know, secrets not among them."""
        return frozenset(parameters_of(cls).identity) - _OF_THE_WIRE

    def _note_ignored(self) -> None:
        """Parameters that were given, but that no template uses, are ignored like those that there are not."""
        used = self._names_used()
        unused = {name: value for name in _SAMPLING if (value := getattr(self, name)) is not None and name not in used}
        others = {name: value for name, value in self.ignored_params.items() if name not in _SAMPLING}
        vars(self)["ignored_params"] = {**others, **unused}  # not by assignment, which would check everything again

    def _names_used(self) -> frozenset[str]:
        """The names that the templates look up."""
        if self._used is None:
            sections = [self._section("streamed"), self._section("whole")]
            texts = [*self.header_templates.values(), *(section["url"] for section in sections)]
            used = names_in([section[part] for section in sections for part in ("body", "query")])
            self._used = frozenset(used.union(*(placeholders(text, "") for text in texts)))
        return self._used

    # --- what it can do, as its description says ---

    def _read_capabilities(self) -> None:
        """Tools are native where they are sent and calls are read, schemas where they are sent."""
        names = self._names_used()
        sends_tools = bool(names & {"tools", *(f"{dialect}.tools" for dialect in DIALECTS)})
        reads_calls = bool(self.tool_calls or "tool_calls" in {**self.streamed, **self.whole})
        described = {
            "tool_calling": "native" if sends_tools and reads_calls else "prompted",
            "structured_output": "native" if "schema" in names else "derived",
        }
        subclasses = type(self).__mro__[: type(self).__mro__.index(ChatHTTP)]
        for name, value in described.items():
            # The constructor's word counts first, then that of a class made from this one, then the description's.
            if name not in self.model_fields_set and not any(name in get_annotations(cls) for cls in subclasses):
                vars(self)[name] = value  # not by assignment, which would check everything again

    # --- the request ---

    def authorization(self, key: str) -> Mapping[str, str]:
        """The headers that hold `{api_key}`; where none does, the usual one."""
        if not (holders := {name: text for name, text in self.header_templates.items() if _shows_key(text)}):
            return super().authorization(key)
        facts = LazyMapping({**self._makers(), "api_key": lambda: key})
        shown = {name: interpolate(text, facts) for name, text in holders.items()}
        return {name: text for name, text in shown.items() if text is not None}

    def _outgoing(self, request: Request) -> HTTPRequest:
        streaming = self._streams(request)
        section = self._section("streamed" if streaming else "whole")
        facts = self._facts(request, streaming=streaming)
        try:
            body = merge(fill_template(section["body"], facts), self.extra_body)
            query = fill_template(section["query"], facts) or {}
            url = interpolate(section["url"], facts, partial(quote, safe=""))
            headers = self._filled_headers(facts)
            content, kind = encode_body(body, _content_type({**self.headers, **headers}), extra.orjson.dumps)
        except ExpressionError as error:
            raise ModelInvalidRequestError(f"{type(self).__name__} cannot make its request: {error}") from None
        if url is None:
            raise ModelInvalidRequestError(
                f"url is {section['url']!r}, but not all of its names have a value. Give it."
            )
        accepted = {"Accept": "text/event-stream"} if streaming and self.framing == "sse" else {}
        return HTTPRequest(
            url=join_address(self.base_url, url, query),
            body=content,
            headers={**accepted, **({"Content-Type": kind} if kind else {}), **headers},
            method=section["method"].upper(),
        )

    def _filled_headers(self, facts: LazyMapping) -> dict[str, str]:
        texts = {name: text for name, text in self.header_templates.items() if not _shows_key(text)}
        filled = {name: interpolate(text, facts) for name, text in texts.items()}
        return {name: text for name, text in filled.items() if text is not None}

    def _streams(self, request: Request) -> bool:
        """Whether a stream is asked for: also where the text is cut here, so that the server ends there too."""
        return request.streaming or (bool(request.stop) and self._cuts)

    @property
    def _cuts(self) -> bool:
        """Whether langplug alone knows the stop strings, because the server would not give their text."""
        return self.include_stop and self.stop_text == "cut"

    def _makers(self) -> dict[str, Callable[[], Any]]:
        return {name: partial(getattr, self, name) for name in self._own_facts()}

    def _facts(self, request: Request, *, streaming: bool) -> LazyMapping:
        """What a template knows of the call."""
        shown = replace(request, tools=()) if self._forbids_by_silence(request) else request
        dialects = {
            name: partial(LazyMapping, {part: partial(make, shown) for part, make in parts.items()})
            for name, parts in DIALECTS.items()
        }
        openai = {part: partial(make, shown) for part, make in DIALECTS["openai"].items()}
        facts: dict[str, Callable[[], Any]] = {
            "text": lambda: request.text,
            "system": partial(system_text, shown),
            "prompt": lambda: request.prompt(self.prompt_template),
            "stop": lambda: None if self._cuts else list(request.stop) or None,
            "parallel_tool_calls": lambda: request.parallel_tool_calls if request.tools else None,
            "schema": lambda: request.schema,
            "json_mode": lambda: request.schema == ANY_JSON or None,
            "streaming": lambda: streaming,
        }
        return LazyMapping({**self._makers(), **dialects, **openai, **facts})

    def _forbids_by_silence(self, request: Request) -> bool:
        """Whether a call is forbidden by not telling of tools, as this wire has no word for it."""
        choices = {"tool_choice", *(f"{name}.tool_choice" for name in DIALECTS)}
        return request.tool_choice == "none" and not self._names_used() & choices

    # --- the answer ---

    def _reader(self, request: Request, content_type: str) -> DescribedReader:
        return DescribedReader(
            self.framing,
            content_type,
            streamed=self._paths("streamed"),
            whole=self._paths("whole"),
            owner=f"The server at {self.base_url}",
            stops=request.stop if self.include_stop and self.stop_text == "reported" else (),
            load=extra.orjson.loads,
        )

    # --- secrets ---

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The environment variable of the key."""
        return {**super().lc_secrets, **({"api_key": self.api_key_env} if self.api_key_env else {})}


def _check_placeholders(text: str, place: str, known: KnownNames) -> None:
    for name in placeholders(text, place):
        check_template(f"${name}", place, known)


def _shows_key(text: str) -> bool:
    return "api_key" in placeholders(text, "headers")


def _content_type(headers: Mapping[str, Any]) -> str:
    return next((str(value) for name, value in headers.items() if name.lower() == "content-type"), "")
