"""`ChatHTTP`: a model behind any HTTP API, described in a few lines. `pip install 'langplug[http]'`."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from inspect import get_annotations
from typing import Any, Literal, Self
from urllib.parse import quote

from langchain_core.exceptions import ModelInvalidRequestError
from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from langplug import MissingSecretError, Request
from langplug._errors import advised
from langplug._http import extra
from langplug._http.client import HTTPRequest, Response
from langplug._http.dialects import DIALECTS, system_text
from langplug._http.headers import check_header_name, merge_headers
from langplug._http.model import HTTPModel, refuse_key_in_query
from langplug._http.request import encode_body, join_address, merge, show_address, split_address
from langplug._http.templates import (
    KnownNames,
    LazyMapping,
    check_template,
    fill_template,
    interpolate,
    names_in,
    placeholders,
)
from langplug._model.parameters import parameters_of, warn_of_ignored
from langplug._model.sampling import SamplingFields
from langplug._redaction import hide, reveal, secrets_in
from langplug._stream.described_reader import DescribedReader
from langplug._stream.expressions import ExpressionError
from langplug._stream.paths import CONTENT, Paths, UnreadableAnswerError
from langplug._stream.paths import NAMES as PATHS
from langplug._tools.schema import ANY_JSON
from langplug.models.descriptions import SECTION, DescriptionFields, read_description

__all__ = ["ChatHTTP", "UnreadableAnswerError"]

Kind = Literal["streamed", "whole"]

_KEY = "$api_key"
"""What stands in a query for the key."""


class ChatHTTP(DescriptionFields, SamplingFields, HTTPModel):
    """A model behind an HTTP API of its own. You describe the request, and where its response holds the answer.

    The request is a template, whose strings that begin with `$` are JMESPath expressions over the call
    (https://jmespath.org). Where the answer is, JMESPath says, too. `from_file` reads the same description from YAML,
    TOML or JSON.

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
        ValueError: Something in the description is wrong. The error says where, and what is possible there.
        MissingSecretError: `api_key_env` names a variable that is not set, and no key is given.

    Raises, when it is used:
        ModelError: As the server's status and words say: `ModelRateLimitError`, `ContextOverflowError`, ...
        IncompleteAnswerError: The answer broke off; what had come is its `partial`.
        UnreadableAnswerError: The answer is not as described.
        ImportError: The extra is not installed.
    """

    base_url: str = ""
    """The address of the server. It overrides that in `url`, which is the default."""

    # --- parameters that a template may use, besides those of `SamplingFields` ---

    model: str | None = None
    """The model's name on the server."""

    top_k: int | None = Field(default=None, ge=0)
    """Choose among this many of the likeliest tokens."""

    cache_control: dict[str, Any] | None = None
    """Has the provider cache the prompt by itself: `{"type": "ephemeral"}` at Anthropic. To say where, put it on a
    content block, a message or a tool."""

    params: dict[str, Any] = Field(default_factory=dict)
    """Parameters of your own, for templates: `$params.name`."""

    _used: frozenset[str] = PrivateAttr(default=frozenset())
    """The names that the templates look up."""

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], /, **overrides: Any) -> Self:
        """A model described by a file.

        Args:
            path: A YAML, TOML or JSON file that holds the constructor's arguments; or the name of a description that
                comes with langplug, such as `"ollama"` or `"anthropic"`.
            overrides: Arguments that override those in the file.

        Raises:
            FileNotFoundError: If there is neither such a file nor such a description. The error lists the latter.
            ValueError: If the file cannot be read, or does not describe an API.
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

        def new_reader(content_type: str) -> DescribedReader:
            return DescribedReader(
                self.framing,
                content_type,
                streamed=self._paths("streamed"),
                whole=self._paths("whole"),
                owner=f"The server at {self.base_url}",
                stops=request.stop if self.include_stop and self.stop_text == "reported" else (),
                load=extra.orjson.loads,
                max_event_bytes=self.max_event_bytes,
            )

        return await self.send(self._http_request(request), new_reader, request)

    # --- the constructor's arguments ---

    @model_validator(mode="before")
    @classmethod
    def _complete_arguments(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        completed = dict(given)
        headers = completed.get("headers")
        if isinstance(headers, Mapping):
            # Apart, since these are filled in for each request, and the others are checked and hidden now.
            for name in headers:
                check_header_name(str(name))
            templates = {name: text for name, text in headers.items() if isinstance(text, str) and "{" in text}
            completed["headers"] = {name: text for name, text in headers.items() if name not in templates}
            completed["header_templates"] = {**completed.get("header_templates", {}), **templates}
        base, path = split_address(str(completed.get("url", "")))
        if base:
            completed |= {"base_url": completed.get("base_url") or base, "url": path}
        cls._key_of_environment(completed)  # before all else, that it is there
        return completed

    @classmethod
    def __langplug_check_secrets__(cls, arguments: Iterable[str]) -> None:
        super().__langplug_check_secrets__(arguments)
        if isinstance(arguments, Mapping):  # the constructor's arguments, or the state of a pickle
            cls._key_of_environment(arguments)

    @classmethod
    def _key_of_environment(cls, given: Mapping[str, Any]) -> SecretStr | None:
        """The key in the variable that `api_key_env` names; None if there is none or another one is given."""
        variable = given.get("api_key_env", cls.model_fields["api_key_env"].default)
        if not variable or given.get("api_key") or given.get("auth"):
            return None
        if key := os.environ.get(str(variable)):
            return SecretStr(key)
        raise MissingSecretError(
            f"{cls.__name__} needs `api_key`: set the environment variable {variable!r}, or pass `api_key=...` to the "
            "constructor."
        )

    # --- the description ---

    @field_validator("query", "body", "extra_body", "streamed", "whole")
    @classmethod
    def _hide_texts(cls, template: Any) -> Any:
        return hide(template, is_plain=cls.__langplug_is_template__)

    @field_validator("url")
    @classmethod
    def _refuse_key(cls, url: str) -> str:
        refuse_key_in_query(url)
        return url

    @field_validator("streamed", "whole")
    @classmethod
    def _check_section(cls, section: dict[str, Any]) -> dict[str, Any]:
        for name in section:
            if name not in SECTION:
                raise ValueError(f"{name!r} cannot differ there. What can: {', '.join(SECTION)}.")
        return section

    @model_validator(mode="after")
    def _check_description(self) -> Self:
        if not self.base_url:
            raise ValueError("There is no address: give `base_url`, or a whole address as `url`.")
        # A request is needed for the facts, but none of them is made here: only their names are looked at.
        known = {name: tuple(DIALECTS.get(name, ())) for name in self._facts(Request(messages=()))}
        used: set[str] = set()
        kinds: tuple[Kind, ...] = ("streamed", "whole")
        for kind in kinds:
            section, own = self._section(kind), getattr(self, kind)
            section["query"] = {name: one for name, one in section["query"].items() if one != _KEY}
            for part in ("body", "query"):
                check_template(section[part], f"{kind}.{part}" if part in own else part, known)
                used |= names_in(section[part])
            used |= _check_placeholders(section["url"], f"{kind}.url" if "url" in own else "url", known)
            self._paths(kind)
        for name, text in self.header_templates.items():
            used |= _check_placeholders(text, f"headers.{name}", {**known, "api_key": ()})
        self._used = frozenset(used)
        self._apply_description()
        self._read_key()
        return self

    def _read_key(self) -> None:
        """Take the key from the variable of `api_key_env`, unless one is given; it then counts as not given."""
        given = vars(self) if "api_key" in self.__pydantic_fields_set__ else {**vars(self), "api_key": None}
        if key := self._key_of_environment(given):
            vars(self)["api_key"] = key
            self.__pydantic_fields_set__.discard("api_key")

    def _apply_description(self) -> None:
        """Set what follows from the names that the templates use: capabilities, and which parameters are ignored."""
        sends_tools = bool(self._used & {"tools", *(f"{dialect}.tools" for dialect in DIALECTS)})
        reads_calls = bool(self.tool_calls or "tool_calls" in {**self.streamed, **self.whole})
        implied: dict[str, Any] = {
            "tool_calling": "native" if sends_tools and reads_calls else "prompted",
            "structured_output": "native" if "schema" in self._used else "derived",
        }
        # The constructor's word comes first, then that of a class made from this one, then the description's.
        subclasses = type(self).__mro__[: type(self).__mro__.index(ChatHTTP)]
        said = {*self.model_fields_set, *(name for cls in subclasses for name in get_annotations(cls))}
        implied = {name: value for name, value in implied.items() if name not in said}
        # A parameter that no template uses is ignored like one that the model does not have.
        sampling = (*SamplingFields.model_fields, "top_k", "cache_control")
        unused = {name: getattr(self, name) for name in sampling if name not in self._used}
        others = {name: value for name, value in self.ignored_params.items() if name not in sampling}
        unused = {name: value for name, value in unused.items() if value is not None}
        if self.adaptations != "silent":
            warn_of_ignored(type(self), unused, "no template of this model uses it")
        ignored = {**others, **unused}
        # An assignment would validate the model again, and come back here.
        vars(self).update(implied, ignored_params=ignored)

    def __langplug_reads_run__(self) -> bool:
        """Whether a template looks up what the caller says of the call."""
        looked_up = {name.partition(".")[0] for name in self._used}
        return super().__langplug_reads_run__() or bool(looked_up & {"metadata", "configurable", "tags", "run_name"})

    def _section(self, kind: Kind) -> dict[str, Any]:
        """The description for streams, or for answers that are one JSON value."""
        return {**{name: getattr(self, name) for name in SECTION}, **getattr(self, kind)}

    def _paths(self, kind: Kind) -> Paths | None:
        """Where the parts are; None if the answer is plain text."""
        section = self._section(kind)
        if self.framing == "text" and not any(section[name] for name in CONTENT):
            return None
        try:
            return Paths(**{name: section[name] for name in PATHS})
        except ValueError as error:
            where = f" (in answers that are {kind})" if self.whole or self.streamed else ""
            raise ValueError(f"{error}{where}") from None

    # --- the request ---

    def authorize(self, request: HTTPRequest, key: SecretStr, /) -> HTTPRequest:
        """`request` with the key in the headers that hold `{api_key}`; if there are none, as for every model."""
        if not any("api_key" in placeholders(text, "headers") for text in self.header_templates.values()):
            return super().authorize(request, key)
        headers = self._fill_headers({**self._own_facts(), "api_key": lambda: key}, with_key=True)
        return replace(request, headers=merge_headers(headers, request.headers))  # a call's own `Authorization` stays

    def _takes_environment_key(self) -> bool:
        """Only if the description says where a key goes; that of `api_key_env` is this API's own."""
        if self.api_key_env:
            return True
        in_query = any(_KEY in self._section(kind)["query"].values() for kind in ("streamed", "whole"))
        in_header = any("api_key" in placeholders(text, "headers") for text in self.header_templates.values())
        return (in_query or in_header) and super()._takes_environment_key()

    def _http_request(self, request: Request) -> HTTPRequest:
        streaming = self._streams(request)
        section = self._section("streamed" if streaming else "whole")
        makers = self._facts(request)
        facts = LazyMapping(makers)
        try:
            body = merge(fill_template(section["body"], facts), self.extra_body)
            query = fill_template({name: one for name, one in section["query"].items() if one != _KEY}, facts) or {}
            url = interpolate(section["url"], facts, partial(quote, safe=""))
            headers = self._fill_headers(makers, with_key=False)
        except ExpressionError as error:
            message = f"{type(self).__name__} cannot make its request: {error}"
            raise advised(ModelInvalidRequestError(message)) from None
        if url is None:
            message = f"url is {section['url']!r}, but not all of its names have a value. Give it."
            raise advised(ModelInvalidRequestError(message))
        if not {".", ".."}.isdisjoint(reveal(url).partition("?")[0].split("/")):  # they would lead to another address
            raise ModelInvalidRequestError(
                f"url is {section['url']!r}, and what fills it in makes '.' or '..' of a part."
            )
        if streaming and self.framing == "sse":
            headers = merge_headers({"Accept": "text/event-stream"}, headers)
        is_secret = isinstance(url, SecretStr) or any(secrets_in(query))
        sent = HTTPRequest(
            url=show_address(self.base_url, section["url"] if isinstance(url, SecretStr) else url, query),
            secret_url=SecretStr(join_address(self.base_url, reveal(url), query)) if is_secret else None,
            headers=headers,
            method=section["method"].upper(),
            key_parameters=tuple(name for name, one in section["query"].items() if one == _KEY),
        )
        given = {name.lower(): str(value) for name, value in {**self.headers, **headers}.items()}
        content, content_type = encode_body(body, given.get("content-type", ""), extra.orjson.dumps)
        return replace(
            sent, body=content, headers=merge_headers({"Content-Type": content_type} if content_type else {}, headers)
        )

    def _fill_headers(self, makers: Mapping[str, Callable[[], Any]], *, with_key: bool) -> dict[str, str | SecretStr]:
        """The headers that hold the key, or all others; those whose names have no value are left out."""
        facts = LazyMapping(makers)
        return {
            name: filled
            for name, text in self.header_templates.items()
            if ("api_key" in placeholders(text, "headers")) is with_key
            and (filled := interpolate(text, facts)) is not None
        }

    def _streams(self, request: Request) -> bool:
        """Whether to ask for a stream: also if the text is cut here, as the server stops when a stream is left."""
        return request.streaming or (bool(request.stop) and self._cuts_here)

    @property
    def _cuts_here(self) -> bool:
        """Whether only langplug knows the stop strings, because the server would leave out their text."""
        return self.include_stop and self.stop_text == "cut"

    def _facts(self, request: Request) -> dict[str, Callable[[], Any]]:
        """What a template knows of the call, each made only if a template looks it up."""
        choices = {"tool_choice", *(f"{dialect}.tool_choice" for dialect in DIALECTS)}
        if request.tool_choice == "none" and not self._used & choices:
            # This API has no word for a call that is forbidden: it is not told of tools.
            request = replace(request, tools=())
        dialects = {
            dialect: {part: partial(write, request) for part, write in parts.items()}
            for dialect, parts in DIALECTS.items()
        }
        return {
            **self._own_facts(),
            **{dialect: partial(LazyMapping, parts) for dialect, parts in dialects.items()},
            **dialects["openai"],
            "text": lambda: request.text,
            "system": lambda: system_text(request),
            "prompt": lambda: request.prompt(self.prompt_template),
            "stop": lambda: None if self._cuts_here else list(request.stop) or None,
            "parallel_tool_calls": lambda: request.parallel_tool_calls if request.tools else None,
            "schema": lambda: request.schema,
            "json_mode": lambda: request.schema == ANY_JSON or None,
            "streaming": lambda: self._streams(request),
            "run_id": lambda: None if request.run.id is None else str(request.run.id),
            "run_name": lambda: request.run.name or None,
            "tags": lambda: list(request.run.tags) or None,
            "metadata": lambda: request.run.metadata,
            "configurable": lambda: request.run.configurable,
        }

    def _own_facts(self) -> dict[str, Callable[[], Any]]:
        """The fields that a template may use: those of parameters and of subclasses, secrets included."""
        others = {*DescriptionFields.model_fields, *HTTPModel.model_fields} - {"context_window", "timeout"}
        declared = parameters_of(type(self))
        names = (name for name in (*declared.identity, *declared.secrets) if name not in others)
        return {name: partial(getattr, self, name) for name in names}

    # --- secrets ---

    @staticmethod
    def __langplug_is_template__(text: str) -> bool:
        """Whether it is an expression, or has placeholders."""
        return text.startswith("$") or re.search(r"\{\w+\}", text) is not None

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """As of every model behind HTTP; the key comes from the variable of `api_key_env` again."""
        super().__setstate__(state)
        self._read_key()

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The environment variable of the key."""
        return {**super().lc_secrets, **({"api_key": self.api_key_env} if self.api_key_env else {})}


def _check_placeholders(text: str, place: str, known: KnownNames) -> set[str]:
    """The names in the braces of a text, checked."""
    names = set(placeholders(text, place))
    for name in names:
        check_template(f"${name}", place, known, in_braces=True)
    return names
