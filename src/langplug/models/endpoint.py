"""`ChatEndpoint`: any server that speaks OpenAI's chat-completions wire. `pip install 'langplug[http]'`."""

import asyncio
import json
import re
from dataclasses import replace
from typing import Any, Self

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
)
from pydantic import Field, PrivateAttr, field_validator

from langplug import Request
from langplug._bridge.loop import wait_for
from langplug._http import extra
from langplug._http.client import HTTPRequest, NewReader, Response
from langplug._http.credentials import is_source_error
from langplug._http.model import HTTPModel
from langplug._http.request import encode_json, join_address
from langplug._log import log
from langplug._model.capabilities import StructuredOutput, ToolCalling
from langplug._model.plan import ANSWER_IN_JSON
from langplug._model.retries import Tries
from langplug._model.sampling import SamplingFields
from langplug._redaction import hide
from langplug._stream.completion_reader import CompletionReader
from langplug._stream.reader import JsonObjectReader
from langplug._suggest import did_you_mean
from langplug._tools import with_instructions
from langplug._tools.schema import ANY_JSON
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
    """The kind of server, for what it does in its own way: `"vllm"`, `"sglang"`, `"llama.cpp"`, `"ollama"`,
    `"lmstudio"`, `"openai"`, `"mistral"`, `"deepseek"`, or `"any"`, which works with each of them. Default: by the host
    of `base_url`, else `"any"`. If you name it: with `include_stop`, vLLM and SGLang stop by themselves; vLLM, SGLang
    and llama.cpp report the usage of answers that are left early; llama.cpp stops for a cancelled `ainvoke`, too."""

    logprobs: bool = False
    """Whether `response_metadata["logprobs"]` says how likely each token was."""

    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """How many of the likeliest tokens are listed at each place. Implies `logprobs`."""

    reasoning_effort: str | None = None
    """How much a reasoning model should think: `"low"`, `"medium"`, `"high"`, or the server's own word."""

    cache_control: dict[str, Any] | None = None
    """Has a provider that can cache the prompt, such as Anthropic by way of OpenRouter, do so by itself:
    `{"type": "ephemeral"}`. To say where, put it on a content part, a message or a tool."""

    n: int = Field(default=1, ge=1)
    """How many answers to one prompt. `generate(...)` returns all, `invoke` the first. They are not streamed."""

    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More fields for the body of each request, such as `{"top_k": 40}`. They override all others."""

    coalesce: bool = False
    """Whether text that came in one read is one chunk: up to six times cheaper if the server is faster than its
    reader, the same if it is not. No token waits for another."""

    _no_stream_options: set[str] = PrivateAttr(default_factory=set)
    """The servers that have refused them."""

    # --- the request ---

    async def open_answer(self, request: Request, /) -> Response:
        """The answer to `request`, asked for again without `stream_options` if the server does not know them."""
        body = self._body(request)
        if "stream_options" in body and self.base_url in self._no_stream_options:
            del body["stream_options"]
        try:
            return await self._post(body, request)
        except ModelInvalidRequestError as error:
            if "stream_options" not in body:
                raise
            # Some servers name what they refuse, or a field in it, and some say nothing at all.
            words = str(error).lower()
            says_nothing = getattr(error, "status_code", None) in {400, 422} and "without a message" in words
            if not says_nothing and "stream_options" not in words and "include_usage" not in words:
                raise
        del body["stream_options"]
        answer = await self._post(body, request)
        log.info(
            "%s: %s does not know stream_options, which is left out from now on", type(self).__name__, self.base_url
        )
        self._no_stream_options.add(self.base_url)  # only now: the request may have been wrong in another way
        return answer

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

        request = HTTPRequest(
            url=join_address(self.base_url, "chat/completions", {}),
            body=encode_json(body, extra.orjson.dumps),
            headers={"Content-Type": "application/json"},
        )
        return await self.send(request, new_reader, call)

    async def send(self, request: HTTPRequest, new_reader: NewReader, call: Request | None = None) -> Response:
        """As for every model behind HTTP. An error that a setting may have caused names the setting."""
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
            if advice:
                error.args = (f"{str(error).rstrip('.')}. {advice}",)
            raise

    @property
    def _server(self) -> Server:
        return server_at(self.base_url) if self.server == "auto" else SERVERS[self.server]

    def _body(self, request: Request) -> dict[str, Any]:
        """The fields of the body, by https://platform.openai.com/docs/api-reference/chat/create."""
        server = self._server
        body: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN_FIELDS}
        body |= _answer_format(request, server)
        if self.logprobs or self.top_logprobs is not None:
            body["logprobs"] = True
        if self.n > 1:
            body["n"] = self.n
        if request.tools:
            body["tools"] = request.openai_tools()
            body["tool_choice"] = request.tool_choice
            body["parallel_tool_calls"] = request.parallel_tool_calls

        # Most servers leave out the text that they stop at. If it is wanted, langplug reads on and stops there itself;
        # then the answer must be a stream, so that the server stops as well when it is left.
        cuts_here = bool(request.stop) and self.include_stop and not server.includes_stop
        if request.stop and not cuts_here:
            body["stop"] = list(request.stop)
            body |= server.includes_stop if self.include_stop else {}
        if (request.streaming or cuts_here or server.streams_always) and self.n == 1:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
            body |= server.running_usage if request.stop else {}  # a stream that is left has no last chunk with it

        named = {server.names.get(name, name): value for name, value in body.items() if name not in server.drops}
        return {name: value for name, value in {**named, **self.extra_body}.items() if value is not None}

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
        return bool(self._server.includes_stop)

    @field_validator("base_url")
    @classmethod
    def _drop_path(cls, base_url: str) -> str:
        """The whole address of the chat completions, as many servers document it, is accepted as well."""
        path, query_sign, query = base_url.partition("?")
        return f"{path.removesuffix('/chat/completions')}{query_sign}{query}"

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


def _answer_format(request: Request, server: Server) -> dict[str, Any]:
    """The messages, and the schema that the answer must fit: in words, if the server takes it in no other way.

    By https://platform.openai.com/docs/guides/structured-outputs, or the JSON mode that came before it.
    """
    schema = request.schema
    if schema is None:
        return {"messages": request.openai_messages()}
    if schema == ANY_JSON:
        return {"messages": request.openai_messages(), "response_format": {"type": "json_object"}}
    if server.schema == "json_object":
        words = ANSWER_IN_JSON.format(lead="Answer", schema=json.dumps(schema, ensure_ascii=False))
        instructed = replace(request, messages=tuple(with_instructions(request.messages, words)))
        return {"messages": instructed.openai_messages(), "response_format": {"type": "json_object"}}
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title") or "answer"))[:64]  # what OpenAI allows in it
    strict = {} if request.strict is None else {"strict": request.strict}
    described = {"name": name, "schema": schema, **strict}
    return {
        "messages": request.openai_messages(),
        "response_format": {"type": "json_schema", "json_schema": described},
    }
