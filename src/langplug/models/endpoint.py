"""`ChatEndpoint`: any server that speaks OpenAI's chat-completions wire. `pip install 'langplug[http]'`."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
)
from langchain_core.language_models import ModelProfile
from pydantic import Field, PrivateAttr, field_validator

from langplug import Request
from langplug._bridge.loop import wait_for
from langplug._http import extra
from langplug._http.client import HTTPRequest, NewReader, Response
from langplug._http.model import HTTPModel
from langplug._http.request import encode_json
from langplug._model.capabilities import StructuredOutput, ToolCalling
from langplug._model.plan import ANSWER_IN_JSON
from langplug._model.sampling import SamplingFields
from langplug._stream.completion_reader import CompletionReader
from langplug._stream.reader import JsonObjectReader
from langplug._suggest import did_you_mean
from langplug._tools import with_instructions
from langplug._tools.schema import ANY_JSON
from langplug.models.servers import SERVERS, Server, name_by_owner, server_at

_PLAIN_FIELDS = ("model", *SamplingFields.model_fields, "top_logprobs", "reasoning_effort")
"""The fields that go into the body under their own names, where they are given."""


class ChatEndpoint(SamplingFields, HTTPModel):
    """A model behind an OpenAI-wire server: vLLM, llama.cpp, SGLang, Ollama, LM Studio, TGI, a gateway, OpenAI itself.

    It takes the wire as it finds it, and a stream that ends without its end is an error, never a short answer.

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

    # Annotated again, or a subclass could not say otherwise.
    tool_calling: ToolCalling = "native"
    structured_output: StructuredOutput = "native"
    accepts: frozenset[str] = frozenset({"image", "audio", "file"})

    model: str
    """The model's name on the server."""

    server: str = "auto"
    """The kind of server, for what it does in its own way: `"vllm"`, `"sglang"`, `"llama.cpp"`, `"ollama"`,
    `"lmstudio"`, `"openai"`, `"mistral"`, `"deepseek"`, or `"any"`, which works with each of them. Default: by the host
    of `base_url`, else `"any"`. What naming it gives: with `include_stop`, vLLM and SGLang stop by themselves; usage
    also of answers that were left early (vLLM, SGLang, llama.cpp); llama.cpp stops also for a cancelled `ainvoke`."""

    logprobs: bool = False
    """Whether `response_metadata["logprobs"]` tells how likely each token was."""

    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """How many of the likeliest tokens in each place are told, too. Implies `logprobs`."""

    reasoning_effort: str | None = None
    """How much a reasoning model is to think: `"low"`, `"medium"`, `"high"`, or the server's own word."""

    n: int = Field(default=1, ge=1)
    """How many answers to one prompt; all are in `generate(...)`, `invoke` gives the first. They are not streamed."""

    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More fields for the body of each request, such as `{"top_k": 40}`; they count before all others."""

    coalesce: bool = False
    """Whether text that came in one read travels in one chunk: up to six times cheaper where a server is faster than
    its reader, the same where it is not. No token waits for another."""

    _no_stream_options: set[str] = PrivateAttr(default_factory=set)
    """The servers that refused them."""

    # --- the request ---

    async def open_answer(self, request: Request, /) -> Response:
        """The answer to `request`, asked for again without `stream_options` if the server does not know them."""
        body = self._body(request)
        if "stream_options" in body and self.base_url in self._no_stream_options:
            del body["stream_options"]
        try:
            return await self._sent(body)
        except ModelInvalidRequestError as error:
            if "stream_options" not in body or not _is_about_stream_options(error):
                raise
        del body["stream_options"]
        answer = await self._sent(body)
        self._no_stream_options.add(self.base_url)
        return answer

    async def _sent(self, body: dict[str, Any]) -> Response:
        outgoing = HTTPRequest(
            url=f"{self.base_url}/chat/completions",
            body=encode_json(body, extra.orjson.dumps),
            headers={"Content-Type": "application/json"},
        )
        return await self._advised(outgoing, self._reader)

    async def _advised(self, outgoing: HTTPRequest, new_reader: NewReader) -> Response:
        """As `ask`; an error that the settings may be the cause of says which."""
        try:
            return await self.send(outgoing, new_reader)
        except ModelError as error:
            if advice := self._advice(error):
                error.args = (f"{str(error).rstrip('.')}. {advice}",)
            raise

    def _advice(self, error: ModelError) -> str:
        if isinstance(error, ModelAuthenticationError):
            given = self.api_key is not None or self.auth is not None
            return "Is the key right?" if given else "Give the key as `api_key`, or in LANGPLUG_API_KEY."
        if isinstance(error, ModelNotFoundError) and "model" in str(error).lower():
            return "`served_models()` lists the models that there are."
        if getattr(error, "status_code", None) in (404, 405):
            return f"Is base_url={self.base_url!r} the address of its API? It mostly ends in /v1."
        return ""

    def _reader(self, content_type: str) -> CompletionReader:
        return CompletionReader(
            content_type,
            coalesce=self.coalesce,
            whole_chunks=self.n > 1,
            ends_at=self._server.ends_at,
            load=extra.orjson.loads,
        )

    @property
    def _server(self) -> Server:
        return server_at(self.base_url) if self.server == "auto" else SERVERS[self.server]

    def _body(self, request: Request) -> dict[str, Any]:
        server = self._server
        body: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN_FIELDS}
        body["messages"] = _told(request, server).openai_messages()
        if self.logprobs or self.top_logprobs is not None:
            body["logprobs"] = True
        if self.n > 1:
            body["n"] = self.n
        body |= _tools(request)
        body |= _response_format(request, server)
        body |= self._ends(request, server)
        named = {server.names.get(name, name): value for name, value in body.items() if name not in server.drops}
        return {name: value for name, value in {**named, **self.extra_body}.items() if value is not None}

    def _ends(self, request: Request, server: Server) -> dict[str, Any]:
        """How the answer is to be given and where it is to end."""
        cuts_here = bool(request.stop) and self.include_stop and not server.includes_stop
        fields: dict[str, Any] = {}
        if request.stop and not cuts_here:
            fields["stop"] = list(request.stop)
            fields |= server.includes_stop if self.include_stop else {}
        if (request.streaming or cuts_here or server.streams_always) and self.n == 1:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
            fields |= server.running_usage if request.stop else {}
        return fields

    # --- what the server says of itself ---

    async def aserved_models(self) -> list[dict[str, Any]]:
        """The models that the server offers, as its `/v1/models` describes them.

        Raises:
            ModelError: If it does not say.
        """
        question = HTTPRequest(url=f"{self.base_url}/models", method="GET", headers={})
        answer = await self._advised(question, lambda _: JsonObjectReader())
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
        """This model with what the server says of it: its `context_window`, and which kind of `server` it is.

        Its `profile` then also says whether it takes images and audio, where the server does. What was given to the
        constructor stays as it is.

        Raises:
            ModelNotFoundError: If the server has no such model; those that it has are named.
        """
        models = await self.aserved_models()
        described = next((model for model in models if self.model in _names_of(model)), None)
        if described is None:
            raise ModelNotFoundError(_no_such_model(self.model, [name for one in models for name in _names_of(one)]))
        learned: dict[str, Any] = {}
        if self.context_window is None and (tokens := _context_window(described)) is not None:
            learned["context_window"] = tokens
        if self.server == "auto" and (known := name_by_owner(str(described.get("owned_by")))) != "any":
            learned["server"] = known
        informed = self.model_copy(update=learned)
        if self.profile == self._resolve_model_profile():  # else it is the user's own
            own = informed._resolve_model_profile()  # noqa: SLF001 - a copy of this very model
            informed.profile = None if own is None else own | _inputs(described)
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
        """Whether the server gives the stop text and ends behind it by itself."""
        return bool(self._server.includes_stop)

    @field_validator("base_url")
    @classmethod
    def _without_the_path(cls, base_url: str) -> str:
        """The whole address of the chat completions, as pages on servers give it, is taken as well."""
        return base_url.removesuffix("/chat/completions")

    @field_validator("server")
    @classmethod
    def _known_server(cls, server: str) -> str:
        known = ["auto", *SERVERS]
        if server not in known:
            hint = did_you_mean(server, known) or f" Choose from {', '.join(map(repr, known))}."
            raise ValueError(f"server={server!r} is none that is known.{hint}")
        return server


def _tools(request: Request) -> dict[str, Any]:
    if not request.tools:
        return {}
    return {
        "tools": request.openai_tools(),
        "tool_choice": request.tool_choice,
        "parallel_tool_calls": request.parallel_tool_calls,
    }


def _told(request: Request, server: Server) -> Request:
    """The request, with its schema in words where the server takes none otherwise."""
    if request.schema is None or request.schema == ANY_JSON or server.schema == "json_schema":
        return request
    text = ANSWER_IN_JSON.format(lead="Answer", schema=json.dumps(request.schema, ensure_ascii=False))
    return replace(request, messages=tuple(with_instructions(request.messages, text)))


def _response_format(request: Request, server: Server) -> dict[str, Any]:
    """By https://platform.openai.com/docs/guides/structured-outputs, or the JSON mode that was before it."""
    schema = request.schema
    if schema is None:
        return {}
    if schema == ANY_JSON or server.schema == "json_object":
        return {"response_format": {"type": "json_object"}}
    described = {"name": re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title") or "answer"))[:64], "schema": schema}
    strict = {} if request.strict is None else {"strict": request.strict}
    return {"response_format": {"type": "json_schema", "json_schema": {**described, **strict}}}


def _is_about_stream_options(error: ModelInvalidRequestError) -> bool:
    """Whether the server refuses them: it names them, or what is in them, or says nothing at all."""
    words = str(error).lower()
    says_nothing = getattr(error, "status_code", None) in {400, 422} and "without a message" in words
    return says_nothing or "stream_options" in words or "include_usage" in words


def _names_of(model: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([str(model.get("id")), *map(str, model.get("aliases") or ())]))


def _no_such_model(name: str, served: list[str]) -> str:
    hint = did_you_mean(name, served)
    return f"The server has no model {name!r}.{hint} It has: {', '.join(map(repr, served)) or 'none'}."


def _inputs(model: Mapping[str, Any]) -> ModelProfile:
    """What it takes beside text, where the server says so: llama.cpp and OpenRouter."""
    taken = (model.get("architecture") or {}).get("input_modalities")
    if not isinstance(taken, list):
        return {}
    return {"image_inputs": "image" in taken, "audio_inputs": "audio" in taken}


def _context_window(model: Mapping[str, Any]) -> int | None:
    """Where the servers say it: vLLM and SGLang; OpenRouter and Together; LM Studio; Groq; llama.cpp."""
    meta = model.get("meta") or {}
    told = (
        *(
            model.get(name)
            for name in ("max_model_len", "loaded_context_length", "context_length", "max_context_length")
        ),
        model.get("context_window"),
        meta.get("n_ctx"),
        meta.get("n_ctx_train"),
    )
    return next((tokens for tokens in told if isinstance(tokens, int) and tokens > 0), None)
