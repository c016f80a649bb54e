"""What each of the known OpenAI-wire servers does in its own way, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One kind of server.

    Attributes:
        owner: The `owned_by` of its models in `/v1/models`.
        hosts: The hosts at which it is found.
        names: Fields of the body that it has under another name.
        drops: Fields of the body that it refuses.
        includes_stop: Fields that make it include the stop text. If there are none, and the stop text is wanted, the
            server is not told where to stop: langplug reads on, and closes the connection there.
        running_usage: Fields that make it report usage with each chunk, so that it is known if a stream is left early.
        streams_always: Whether all answers are asked for as streams, because it would go on with one that is not
            streamed after the client has left.
        schema: How it takes the schema of an answer.
        ends_at: What its streams end with.
    """

    owner: str = ""
    hosts: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    drops: frozenset[str] = frozenset()
    includes_stop: Mapping[str, Any] = field(default_factory=dict)
    running_usage: Mapping[str, Any] = field(default_factory=dict)
    streams_always: bool = False
    schema: Literal["json_schema", "json_object"] = "json_schema"
    ends_at: Literal["finish_reason", "done"] = "finish_reason"


SERVERS: Mapping[str, Server] = {
    "any": Server(),
    # Its reasoning models refuse `max_tokens`.
    "openai": Server(hosts=("api.openai.com",), names={"max_tokens": "max_completion_tokens"}),
    "vllm": Server(
        owner="vllm",
        includes_stop={"include_stop_str_in_output": True},
        running_usage={"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    ),
    "sglang": Server(
        owner="sglang",
        includes_stop={"no_stop_trim": True},
        running_usage={"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    ),
    "llama.cpp": Server(owner="llamacpp", running_usage={"timings_per_token": True}, streams_always=True),
    "ollama": Server(owner="library"),  # the part of Ollama's registry that its models come from
    "lmstudio": Server(owner="organization_owner"),
    "mistral": Server(
        owner="mistralai",
        hosts=("api.mistral.ai",),
        names={"seed": "random_seed"},
        drops=frozenset({"stream_options", "logprobs", "top_logprobs"}),
    ),
    "deepseek": Server(owner="deepseek", hosts=("api.deepseek.com",), schema="json_object"),
}
"""By name. `"any"` assumes nothing. llama.cpp was run for this table; what it says about the others comes from their
code or from reports of their users, and was not tried. Their documentation:

* openai: https://platform.openai.com/docs/api-reference/chat/create
* vllm: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
* sglang: https://docs.sglang.ai/basic_usage/openai_api_completions.html
* llama.cpp: https://github.com/ggml-org/llama.cpp/tree/master/tools/server
* ollama: https://github.com/ollama/ollama/blob/main/docs/openai.md
* mistral: https://docs.mistral.ai/api
* deepseek: https://api-docs.deepseek.com/api/create-chat-completion
"""


CONTEXT_WINDOW_FIELDS = (
    "max_model_len",  # vLLM and SGLang
    "loaded_context_length",  # LM Studio: what is loaded may have less than the model could
    "context_length",  # OpenRouter and Together
    "max_context_length",  # LM Studio, for a model that is not loaded
    "context_window",  # Groq
    "n_ctx",  # llama.cpp, in `meta`
    "n_ctx_train",  # the same, by older versions
)
"""Where `/v1/models` says how many tokens fit in one request; the first one that does counts."""


def server_at(url: str) -> Server:
    """The kind of server that is known to run at the host of `url`; else `"any"`."""
    host = urlsplit(url).hostname
    return next((server for server in SERVERS.values() if host in server.hosts), SERVERS["any"])


def name_by_owner(owner: str) -> str:
    """The kind of server whose models are `owned_by` this, by its name; `"any"` if it is unknown."""
    return next((name for name, server in SERVERS.items() if server.owner and server.owner == owner), "any")
