"""`ChatEndpoint`: any server that speaks one of OpenAI's wires. `pip install 'langplug[http]'`."""

import asyncio
from dataclasses import replace
from typing import Any, Literal, Self

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelError,
    ModelNotFoundError,
)
from pydantic import Field, PrivateAttr, SecretStr, ValidationInfo, field_validator

from langplug import Request, UnsupportedError
from langplug._bridge.loop import wait_for
from langplug._errors import advised
from langplug._http import extra
from langplug._http.client import HTTPRequest, NewReader, Response
from langplug._http.credentials import is_source_error
from langplug._http.headers import find_header
from langplug._http.model import HTTPModel
from langplug._http.request import encode_json, join_address
from langplug._messages.role_order import RoleOrder
from langplug._messages.thinking import thinking_fields
from langplug._model.capabilities import StructuredOutput, ToolCalling
from langplug._model.retries import Tries
from langplug._model.sampling import SamplingFields
from langplug._redaction import hide
from langplug._stream.completion_reader import CompletionReader
from langplug._stream.reader import JsonObjectReader
from langplug._stream.responses_reader import ResponsesReader
from langplug._suggest import did_you_mean
from langplug._wires import responses as responses_wire
from langplug.models.concessions import MOST_CONCESSIONS, Refusals, concede, concessions_for
from langplug.models.openai_body import Body, rename_fields, write_messages, write_schema, write_tools
from langplug.models.responses_body import for_responses, stateless_fields, to_responses
from langplug.models.servers import CONTEXT_WINDOW_FIELDS, SERVERS, Server, name_by_owner, server_at

_PLAIN_FIELDS = ("model", *SamplingFields.model_fields, "top_logprobs", "reasoning_effort", "cache_control")
"""The fields that go into the body under their own names, where they are given."""


class ChatEndpoint(SamplingFields, HTTPModel):
    """A model behind an OpenAI-wire server: vLLM, llama.cpp, SGLang, Ollama, LM Studio, TGI, a gateway, OpenAI itself.

    It reads what servers send although it deviates from the documentation, but a stream that breaks off is an error,
    never a short answer.

    Example:
        >>> model = ChatEndpoint(model="qwen3", base_url="http://localhost:8000/v1")
        >>> model.invoke("Hello").content  # doctest: +SKIP
        'Hello! How can I help you today?'

    Raises, when it is used:
        ModelError: As the server's status and words say: `ModelRateLimitError`, `ContextOverflowError`, ...
        IncompleteAnswerError: The answer broke off; what had come is its `partial`.
        ModelTimeoutError: Nothing came for too long.
        ImportError: The extra is not installed.
    """

    # Annotated again, or type checkers would not let a subclass set another value.
    tool_calling: ToolCalling = "native"
    structured_output: StructuredOutput = "native"
    accepts: frozenset[str] = frozenset({"image", "audio", "file"})

    model: str
    """The model's name on the server."""

    server: str = "auto"
    """The kind of server, for what it does in its own way: `"vllm"`, `"llama.cpp"`, `"azure"`, `"mistral"` and what
    else `docs/en/reference/servers.md` lists; or `"any"`, which works with each, as what a server refuses is learnt.
    Default: by the host of `base_url`, else `"any"`. If you name it: with `include_stop`, vLLM and SGLang stop by
    themselves; vLLM, SGLang and llama.cpp report the usage of answers that are left early; llama.cpp stops for a
    cancelled `ainvoke`, too."""

    api: Literal["chat", "responses"] = "chat"
    """Which of OpenAI's wires is spoken: chat completions, or the Responses API, without anything stored at the server:
    the whole conversation is sent each time, with the reasoning that the server has encrypted."""

    logprobs: bool = False
    """Whether `response_metadata["logprobs"]` says how likely each token was."""

    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """How many of the likeliest tokens are listed at each place. Implies `logprobs`."""

    reasoning_effort: str | None = None
    """How much a reasoning model should think: `"low"`, `"medium"`, `"high"`, or the server's own word."""

    cache_control: dict[str, Any] | None = None
    """Has a provider that can cache the prompt, such as Anthropic by way of OpenRouter, do so by itself:
    `{"type": "ephemeral"}`. To say where, put it on a content part, a message or a tool."""

    thinking: bool | None = None
    """Whether the model reasons before it answers, if it can be told: by the server's own field for that; by the switch
    of the chat template, if the server has one (`chat_template_kwargs`). Default: as the server has it."""

    reasoning_opened: bool | None = False
    """Whether text begins inside reasoning: set it if the model's chat template opens the tag (DeepSeek-R1,
    Qwen3-Thinking) and the server has no reasoning parser, so that answers hold a closing tag alone."""

    roles: Literal["auto", RoleOrder] = "auto"
    """The order of roles that the model's chat template takes: `"as given"`, `"system first"`, `"alternating"` or
    `"user and assistant"`. Messages are rearranged for it, and no text is lost. Default: what is known of the server,
    and what it has refused."""

    n: int = Field(default=1, ge=1)
    """How many answers to one prompt. `generate(...)` returns all, `invoke` the first. They are not streamed."""

    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More fields for the body of each request, such as `{"top_k": 40}`. They override all others."""

    coalesce: bool = False
    """Whether text that came in one read is one chunk: up to six times cheaper if the server is faster than its
    reader, the same if it is not. No token waits for another."""

    _refusals: Refusals = PrivateAttr(default_factory=Refusals)
    """What the server has refused. Copies share it."""

    # --- the request ---

    async def open_answer(self, request: Request, /) -> Response:
        """The answer to `request`; without what the server does not take, once it has said so."""
        place = (self.base_url, self.model)
        refused = request.run.refused.setdefault(place, [])  # by earlier tries of this call as well
        made = self._refusals.at(place, refused)
        server = concede(self._server, made)
        body = self._write(request, server)
        sent: list[dict[str, Any]] = []
        while True:
            notes = body.notes({one.key for one in made})
            if notes and self.adaptations == "refuse":
                asked = f"{notes[0]['feature']!r} in the form that was asked for"
                raise advised(
                    UnsupportedError(f"The server does not take {asked}. Leave it out."),
                    "Or set adaptations='note': 'refuse' forbids langplug to ask in another.",
                )
            try:
                answer = await self._post(body.fields, request)
                break
            except ModelError as error:
                sent.append(body.fields)
                if self.adaptations == "refuse" or len(sent) > MOST_CONCESSIONS:
                    raise
                for concession in concessions_for(error, made, body.fields):
                    changed = concession.change(server)
                    written = self._write(request, changed)
                    if written.fields not in sent:  # else the server means something else: this was not asked of it
                        break
                else:
                    raise
            made.append(concession)
            refused.append(concession.refused)
            server, body = changed, written
        if refused:  # only now: the request may have been wrong in another way
            self._refusals.add(place, made, type(self).__name__)
        answer.adaptations = notes
        return answer

    def authorize(self, request: HTTPRequest, key: SecretStr, /) -> HTTPRequest:
        """`request` with the key in it: in the server's own header if it has one and the key is an `api_key`."""
        own = self._server.key_header
        if not own or self.auth is not None:  # tokens are bearer tokens everywhere
            return super().authorize(request, key)
        if find_header(request.headers, own) is not None or find_header(request.headers, "Authorization") is not None:
            return request
        return replace(request, headers={**request.headers, own: key})

    async def _post(self, body: dict[str, Any], call: Request) -> Response:
        def new_reader(content_type: str) -> CompletionReader:
            return CompletionReader(
                content_type,
                coalesce=self.coalesce,
                whole_chunks=self.n > 1,
                ends_at=self._server.ends_at,
                load=extra.orjson.loads,
                max_event_bytes=self.max_event_bytes,
            )

        def new_responses_reader(content_type: str) -> ResponsesReader:
            return ResponsesReader(
                content_type,
                coalesce=self.coalesce,
                load=extra.orjson.loads,
                max_event_bytes=self.max_event_bytes,
            )

        is_chat = self.api == "chat"
        request = HTTPRequest(
            url=join_address(self.base_url, "chat/completions" if is_chat else responses_wire.PATH, {}),
            body=encode_json(body if is_chat else to_responses(body), extra.orjson.dumps),
            headers={"Content-Type": "application/json"},
        )
        return await self.send(request, new_reader if is_chat else new_responses_reader, call)

    async def send(self, request: HTTPRequest, new_reader: NewReader, call: Request | None = None) -> Response:
        """As for every model behind HTTP. An error that a setting may have caused names the setting.

        The arguments are those of `HTTPModel.send`.
        """
        try:
            return await super().send(request, new_reader, call)
        except ModelError as error:
            advice = ""
            if is_source_error(error):
                raise
            if isinstance(error, ModelAuthenticationError):
                given = self._key_to_send() is not None or self.auth is not None
                advice = "Is the key right?" if given else "Give the key as `api_key`, or in LANGPLUG_API_KEY."
            elif isinstance(error, ModelNotFoundError) and "model" in str(error).lower():
                advice = "`served_models()` lists the models that the server has."
            elif getattr(error, "status_code", None) in (404, 405):
                advice = f"Is base_url={self.base_url!r} the address of its API? It mostly ends in /v1."
                if self.api == "responses":
                    advice += ' Or it may have no Responses API: then leave out api="responses".'
            if advice:
                error.args = (f"{str(error).rstrip('.')}. {advice}",)
            raise

    @property
    def _server(self) -> Server:
        server = server_at(self.base_url) if self.server == "auto" else SERVERS[self.server]
        return server if self.api == "chat" else for_responses(server)

    @property
    def _rules(self) -> Server:
        """The kind of server, and what it was found to refuse."""
        return concede(self._server, self._refusals.at((self.base_url, self.model)))

    def _body(self, request: Request) -> dict[str, Any]:
        return self._write(request, self._rules).fields

    def _write(self, request: Request, server: Server) -> Body:
        """The body, by https://platform.openai.com/docs/api-reference/chat/create, as `server` takes it."""
        body = Body({name: getattr(self, name) for name in _PLAIN_FIELDS})
        # A subclass may have another default, so it is looked at as well.
        wants_reasoning = server.keep_reasoning != request.keep_reasoning == "never"
        if wants_reasoning and "keep_reasoning" not in self.model_fields_set:
            request = replace(request, keep_reasoning=server.keep_reasoning)
            body.done["reasoning"] = ("messages", "earlier reasoning sent back")
        if self.reasoning_effort == "none" and server.no_thinking:
            body.fields |= {"reasoning_effort": None, **server.no_thinking}
        if self.thinking is not None:
            # A server of which nothing is known most likely runs open weights, with a chat template.
            is_unknown = self.server == "any" or (self.server == "auto" and server_at(self.base_url) is SERVERS["any"])
            template: dict[str, Any] = {"chat_template_kwargs": {}} if is_unknown else {}
            body.fields |= thinking_fields(self.thinking, server.no_thinking or template)
        request = write_schema(request, server, body)
        write_messages(request, server, server.roles if self.roles == "auto" else self.roles, body)
        write_tools(request, server, body)
        fields = body.fields
        if self.logprobs or self.top_logprobs is not None:
            fields["logprobs"] = True
        if self.n > 1:
            fields["n"] = self.n

        # Most servers leave out the text that they stop at. If it is wanted, or if there are too many, langplug reads
        # on and stops there itself; then the answer must be a stream, so that the server stops as well when it is left.
        too_many = server.most_stops is not None and len(request.stop) > server.most_stops
        cuts_here = bool(request.stop) and (too_many or (self.include_stop and not server.includes_stop))
        if too_many and self.api == "chat":  # the other wire has no stop strings, so nothing is done otherwise
            body.done["stop"] = ("stop", "not sent: the server takes fewer")
        if request.stop and not cuts_here:
            fields["stop"] = list(request.stop)
            fields |= server.includes_stop if self.include_stop else {}
        if (request.streaming or cuts_here or server.streams_always) and self.n == 1:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
            fields |= server.running_usage if request.stop else {}  # a stream that is left has no last chunk with it

        if self.api == "responses":
            fields |= stateless_fields(server, fields)
        rename_fields(server, body)
        extra_body = {**body.fields, **self.extra_body}
        body.fields = {name: value for name, value in extra_body.items() if value is not None}
        return body

    # --- what the server says about itself ---

    async def aserved_models(self) -> list[dict[str, Any]]:
        """The models that the server offers, as its `/v1/models` describes them.

        Raises:
            ModelError: If it does not answer that.
        """
        question = HTTPRequest(url=join_address(self.base_url, "models", {}), method="GET", headers={})
        tries = Tries(self, None, lambda: None)
        while True:
            with tries:
                answer = await self.send(question, lambda _: JsonObjectReader())
                break
            await asyncio.sleep(tries.wait_s or 0)
        try:
            parts = await answer.read() or ()
        finally:
            answer.close()
        described = [part.get("data") for part in parts if isinstance(part, dict)]
        return [model for data in described for model in data or () if isinstance(model, dict)]

    def served_models(self) -> list[dict[str, Any]]:
        """As `aserved_models`, for a sync caller."""
        return wait_for(self.aserved_models())

    async def awith_server_profile(self) -> Self:
        """This model with what the server says about it: its `context_window`, and which kind of `server` it is.

        Its `profile` then also says whether it takes images and audio, if the server does. What was given to the
        constructor stays as it is.

        Raises:
            ModelNotFoundError: If the server has no such model; the error names those that it has.
        """
        models = await self.aserved_models()
        names = [[str(one.get("id")), *map(str, one.get("aliases") or ())] for one in models]
        described = next((model for model, own in zip(models, names, strict=True) if self.model in own), None)
        if described is None:
            served = list(dict.fromkeys(name for own in names for name in own))
            raise ModelNotFoundError(
                f"The server has no model {self.model!r}.{did_you_mean(self.model, served)} "
                f"It has: {', '.join(map(repr, served)) or 'none'}."
            )
        learned: dict[str, Any] = {}
        if self.context_window is None:
            facts = {**(described.get("meta") or {}), **described}
            counts = [facts[name] for name in CONTEXT_WINDOW_FIELDS if isinstance(facts.get(name), int)]
            learned["context_window"] = next((tokens for tokens in counts if tokens > 0), None)
        if self.server == "auto" and (known := name_by_owner(str(described.get("owned_by")))) != "any":
            learned["server"] = known
        informed = self.model_copy(update=learned)
        if self.profile == self._resolve_model_profile():  # else it is the user's own
            profile = informed._resolve_model_profile()  # noqa: SLF001 - a copy of this very model
            # llama.cpp and OpenRouter say what a model takes besides text.
            taken = (described.get("architecture") or {}).get("input_modalities")
            if profile is not None and isinstance(taken, list):
                profile |= {"image_inputs": "image" in taken, "audio_inputs": "audio" in taken}
            informed.profile = profile
        return informed

    def with_server_profile(self) -> Self:
        """As `awith_server_profile`, for a sync caller."""
        return wait_for(self.awith_server_profile())

    # --- checks and identity ---

    @property
    def answers_per_call(self) -> int:
        """How many answers one call asks for."""
        return self.n

    @property
    def ends_at_stop(self) -> bool:
        """Whether the server includes the stop text and ends after it by itself."""
        server = self._rules
        return bool(server.includes_stop) and server.most_stops is None

    @property
    def __langplug_keeps_to_schemas__(self) -> bool:
        """Whether the server is given schemas as such, and keeps to them."""
        return self._rules.schema == "json_schema"

    @property
    def __langplug_origin__(self) -> str:
        """The server and, if it is not chat completions, the wire: what one has encrypted, the other does not take."""
        return super().__langplug_origin__ + ("" if self.api == "chat" else f"/{self.api}")

    @field_validator("n")
    @classmethod
    def _check_n(cls, n: int, info: ValidationInfo) -> int:
        if n > 1 and info.data.get("api") == "responses":
            raise ValueError('The Responses API gives one answer. Leave out `n`, or api="responses".')
        return n

    @field_validator("base_url")
    @classmethod
    def _drop_path(cls, base_url: str) -> str:
        """The whole address of the chat completions, or of the responses, is accepted as well: servers document it."""
        path, query_sign, query = base_url.partition("?")
        return f"{path.removesuffix('/chat/completions').removesuffix('/responses')}{query_sign}{query}"

    @field_validator("extra_body")
    @classmethod
    def _hide_texts(cls, extra_body: dict[str, Any]) -> dict[str, Any]:
        hidden: dict[str, Any] = hide(extra_body)
        return hidden

    @field_validator("server")
    @classmethod
    def _check_server(cls, server: str) -> str:
        known = ["auto", *SERVERS]
        if server not in known:
            hint = did_you_mean(server, known) or f" Choose from {', '.join(map(repr, known))}."
            raise ValueError(f"server={server!r} is unknown.{hint}")
        return server
