"""What the known OpenAI-wire servers do each in its own way, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One kind of server.

    Attributes:
        owner: What its `/v1/models` gives as `owned_by`.
        hosts: The hosts at which it is found.
        names: Fields of the body that it knows by another name.
        drops: Fields of the body that it refuses.
        includes_stop: What makes it give the stop text too. Without such a thing, it is not told where to stop when
            the stop text is wanted: langplug reads on and closes the connection at it.
        running_usage: What makes it report its usage all the time, so that it is known where a stream is left early.
        streams_always: Whether all answers are asked for as streams, as it makes one that is not streamed to its end
            though nobody waits for it any more.
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
    "ollama": Server(owner="library"),
    "lmstudio": Server(owner="organization_owner"),
    "mistral": Server(
        owner="mistralai",
        hosts=("api.mistral.ai",),
        names={"seed": "random_seed"},
        drops=frozenset({"stream_options", "logprobs", "top_logprobs"}),
    ),
    "deepseek": Server(owner="deepseek", hosts=("api.deepseek.com",), schema="json_object"),
}
"""By name. `"any"` makes no assumption that a server might not bear out. llama.cpp was run; of the others, what is said
here comes from their code or from what their users report, and was not tried. Where they document themselves:

* openai: https://platform.openai.com/docs/api-reference/chat/create
* vllm: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
* sglang: https://docs.sglang.ai/basic_usage/openai_api_completions.html
* llama.cpp: https://github.com/ggml-org/llama.cpp/tree/master/tools/server
* ollama: https://github.com/ollama/ollama/blob/main/docs/openai.md
* mistral: https://docs.mistral.ai/api
* deepseek: https://api-docs.deepseek.com/api/create-chat-completion
"""


def server_at(url: str) -> Server:
    """The kind of server that is known to be found at the host of `url`; else `"any"`."""
    host = urlsplit(url).hostname
    return next((server for server in SERVERS.values() if host in server.hosts), SERVERS["any"])


def name_by_owner(owner: str) -> str:
    """The name of the kind whose `/v1/models` says that it is `owned_by` this; `"any"` for none."""
    return next((name for name, server in SERVERS.items() if server.owner and server.owner == owner), "any")
