"""What each of the known OpenAI-wire servers does in its own way, as data.

Nothing in langplug asks for a server by its name: `openai_body` writes a request by the fields of a `Server`, whether
they stand in this table or were learnt from what a server refused (`concessions`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

from langplug._messages.kept_reasoning import KeepReasoning, ReasoningAs
from langplug._messages.role_order import RoleOrder

Choice = Literal["auto", "none", "required", "named"]
"""A form of `tool_choice`; `"named"` is the object that names one tool."""

ALL_CHOICES: frozenset[Choice] = frozenset({"auto", "none", "required", "named"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One kind of server.

    Attributes:
        source: Where this is documented or reported.
        owner: The `owned_by` of its models in `/v1/models`.
        hosts: The hosts at which it is found; `*` stands for any text.
        key_header: The header that an `api_key` goes into. Default: `Authorization`, as a bearer token.
        names: Fields of the body that it has under another name.
        drops: Fields of the body that it refuses.
        most_stops: How many stop strings it takes; None: any number. With more, langplug stops by itself.
        includes_stop: Fields that make it include the stop text. If there are none, and the stop text is wanted, the
            server is not told where to stop: langplug reads on, and closes the connection there.
        running_usage: Fields that make it report usage with each chunk, so that it is known if a stream is left early.
        streams_always: Whether all answers are asked for as streams, because it would go on with one that is not
            streamed after the client has left.
        ends_at: What its streams end with.
        schema: How it takes the schema of an answer: as such, in words with its JSON mode, or in words alone.
        json_mode: Whether it knows `{"type": "json_object"}`.
        strict: Whether it knows `strict`, of tools and schemas.
        choices: The forms of `tool_choice` that it takes.
        required: Its word for "any tool, but one".
        call_ids: A pattern that ids of calls must match; empty: any.
        extra_call_keys: Whether earlier calls may have keys that OpenAI does not document.
        carried_fields: Whether earlier answers may have the fields that it sent with them, such as `reasoning_details`.
        one_call_a_turn: Whether it takes no more than one call in an earlier turn.
        roles: The order of roles that it takes.
        developer_role: Whether it knows the role `developer`.
        names_messages: Whether messages may have a `name`.
        text_parts: Whether content may be a list of parts of text; else it is one string.
        reasoning_as: Where earlier reasoning goes.
        no_thinking: Fields that take the place of `reasoning_effort="none"`.
        keep_reasoning: Which earlier reasoning it wants back, if the user does not say.
    """

    source: str = ""
    owner: str = ""
    hosts: tuple[str, ...] = ()
    key_header: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    drops: frozenset[str] = frozenset()
    most_stops: int | None = None
    includes_stop: Mapping[str, Any] = field(default_factory=dict)
    running_usage: Mapping[str, Any] = field(default_factory=dict)
    streams_always: bool = False
    ends_at: Literal["finish_reason", "done"] = "finish_reason"
    schema: Literal["json_schema", "json_object", "words"] = "json_schema"
    json_mode: bool = True
    strict: bool = True
    choices: frozenset[Choice] = ALL_CHOICES
    required: Literal["required", "any"] = "required"
    call_ids: str = ""
    extra_call_keys: bool = True
    carried_fields: bool = True
    one_call_a_turn: bool = False
    roles: RoleOrder = "as given"
    developer_role: bool = True
    names_messages: bool = True
    text_parts: bool = True
    reasoning_as: ReasoningAs = "reasoning_content"
    keep_reasoning: KeepReasoning = "never"
    no_thinking: Mapping[str, Any] = field(default_factory=dict)


_THINKING_OFF = {"thinking": {"type": "disabled"}}

_TEMPLATE_THINKING_OFF = {"chat_template_kwargs": {"enable_thinking": False}}
"""The switch that Qwen's, GLM's and DeepSeek's chat templates have."""

_NEW_LIMIT = {"max_tokens": "max_completion_tokens"}

# The API's own validator: "string too long. Expected a string with maximum length 40" (agno-agi/agno#5382).
_OPENAI_IDS = ".{1,40}"

SERVERS: Mapping[str, Server] = {
    "any": Server(),
    "openai": Server(
        source="https://platform.openai.com/docs/api-reference/chat/create",
        hosts=("api.openai.com",),
        names=_NEW_LIMIT,  # its reasoning models refuse `max_tokens`
        most_stops=4,
        call_ids=_OPENAI_IDS,
    ),
    "azure": Server(
        source="https://learn.microsoft.com/azure/ai-services/openai/reference",
        hosts=("*.openai.azure.com", "*.services.ai.azure.com", "*.cognitiveservices.azure.com"),
        key_header="api-key",
        names=_NEW_LIMIT,
        most_stops=4,
        call_ids=_OPENAI_IDS,
    ),
    "vllm": Server(
        source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        owner="vllm",
        includes_stop={"include_stop_str_in_output": True},
        running_usage={"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
        reasoning_as="both",  # from 0.20 on it reads `reasoning` alone (vllm-project/vllm#38488)
        no_thinking=_TEMPLATE_THINKING_OFF,
    ),
    "sglang": Server(
        source="https://docs.sglang.ai/basic_usage/openai_api_completions.html",
        owner="sglang",
        includes_stop={"no_stop_trim": True},
        running_usage={"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
        no_thinking=_TEMPLATE_THINKING_OFF,
    ),
    "llama.cpp": Server(
        source="https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
        owner="llamacpp",
        running_usage={"timings_per_token": True},
        streams_always=True,
        # `oaicompat_chat_params_parse` reads the choice as a string, and takes an object for "auto" without a word.
        choices=ALL_CHOICES - {"named"},
        no_thinking=_TEMPLATE_THINKING_OFF,
    ),
    "ollama": Server(
        source="https://docs.ollama.com/api/openai-compatibility",
        owner="library",  # the part of Ollama's registry that its models come from
        hosts=("ollama.com",),
    ),
    "lmstudio": Server(
        # And lmstudio-ai/lmstudio-bug-tracker#670 for the choice, #189 for the JSON mode.
        source="https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
        owner="organization_owner",
        choices=ALL_CHOICES - {"named"},
        json_mode=False,
    ),
    "litellm": Server(source="https://docs.litellm.ai/docs/proxy/user_keys"),
    "openrouter": Server(
        source="https://openrouter.ai/docs/use-cases/reasoning-tokens",
        hosts=("openrouter.ai",),
        reasoning_as="reasoning",
    ),
    "mistral": Server(
        source="https://docs.mistral.ai/api",
        owner="mistralai",
        hosts=("api.mistral.ai",),
        names={"seed": "random_seed"},
        drops=frozenset({"stream_options", "logprobs", "top_logprobs"}),
        required="any",
        call_ids="[a-zA-Z0-9]{9}",
        # "Unexpected role 'user' after role 'tool'" (BerriAI/litellm#17761); a name is an extra input
        # (nomtek/mistralai_client_dart#44), and so is `reasoning_content` (charmbracelet/crush#1590).
        roles="alternating",
        developer_role=False,
        names_messages=False,
        reasoning_as="think_tags",
    ),
    "deepseek": Server(
        source="https://api-docs.deepseek.com/guides/thinking_mode",
        owner="deepseek",
        hosts=("api.deepseek.com",),
        schema="json_object",
        developer_role=False,
        keep_reasoning="all",  # it refuses earlier turns with calls but without their reasoning
        no_thinking=_THINKING_OFF,
    ),
    "moonshot": Server(
        source="https://platform.moonshot.ai/docs/api/chat",
        hosts=("api.moonshot.ai", "api.moonshot.cn"),
        names=_NEW_LIMIT,
        strict=False,
        keep_reasoning="all",
        no_thinking=_THINKING_OFF,
    ),
    "zhipu": Server(
        # And what AgentScope's adapter for it leaves out: java.agentscope.io/v2/en/integration/model/glm
        source="https://docs.z.ai/api-reference/llm/chat-completion",
        hosts=("open.bigmodel.cn", "api.z.ai"),
        drops=frozenset({"frequency_penalty", "presence_penalty", "stream_options"}),
        most_stops=1,
        schema="json_object",
        strict=False,
        choices=frozenset({"auto"}),
        names_messages=False,
        keep_reasoning="current",  # "should be explicitly preserved and returned together with the tool results"
        no_thinking=_THINKING_OFF,
    ),
    "dashscope": Server(
        # `required` is sent as "auto" by others as well: docs.instructorphp.com/cookbook/examples/B04_LLMApiSupport
        source="https://www.alibabacloud.com/help/en/model-studio/use-qwen-by-calling-api",
        hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
        choices=ALL_CHOICES - {"required"},
        no_thinking={"enable_thinking": False},
    ),
    "minimax": Server(
        source="https://platform.minimax.io/docs/api-reference/text-openai-api",
        hosts=("api.minimax.io", "api.minimaxi.com", "api.minimax.chat"),
        names=_NEW_LIMIT,
        strict=False,
        reasoning_as="think_tags",  # "the content field will contain <think> tag content, which must be preserved"
        keep_reasoning="all",
        no_thinking=_THINKING_OFF,
    ),
    "gemini": Server(
        # "Unknown name "frequency_penalty": Cannot find field" (MinLL/SkyrimNet-GamePlugin#77)
        source="https://ai.google.dev/gemini-api/docs/openai",
        hosts=("generativelanguage.googleapis.com",),
        drops=frozenset({"frequency_penalty"}),
    ),
    "xai": Server(
        source="https://docs.x.ai/docs/api-reference#chat-completions",
        hosts=("api.x.ai",),
        names=_NEW_LIMIT,
    ),
    "groq": Server(
        source="https://console.groq.com/docs/openai",
        hosts=("api.groq.com",),
        drops=frozenset({"logprobs", "top_logprobs"}),
        names_messages=False,
        reasoning_as="reasoning",
    ),
    "databricks": Server(
        # "Multiple tool calls are not supported." of earlier turns (BerriAI/litellm#31633)
        source="https://docs.databricks.com/aws/en/machine-learning/foundation-model-apis/api-reference",
        hosts=("*.cloud.databricks.com", "*.azuredatabricks.net", "*.gcp.databricks.com"),
        one_call_a_turn=True,
    ),
    "tgi": Server(
        source="https://huggingface.co/docs/text-generation-inference/messages_api",
        most_stops=4,  # the default of its `--max-stop-sequences`
    ),
    "together": Server(
        source="https://docs.together.ai/docs/openai-api-compatibility",
        hosts=("api.together.xyz", "api.together.ai"),
    ),
    "fireworks": Server(
        source="https://docs.fireworks.ai/tools-sdks/openai-compatibility", hosts=("api.fireworks.ai",)
    ),
    "cerebras": Server(
        source="https://inference-docs.cerebras.ai/resources/openai",
        hosts=("api.cerebras.ai",),
        drops=frozenset({"frequency_penalty", "presence_penalty", "parallel_tool_calls"}),
    ),
    "nvidia": Server(
        source="https://docs.nvidia.com/nim/large-language-models/latest/api-reference.html",
        hosts=("integrate.api.nvidia.com",),
    ),
}
"""By name. `"any"` assumes nothing. llama.cpp was run for this table; what it says about the others comes from their
documentation, from their code, or from reports of their users (named where it does), and was not tried."""


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


@lru_cache(maxsize=256)  # a request asks three times, and there are dozens of patterns
def server_at(url: str) -> Server:
    """The kind of server that is known to run at the host of `url`; else `"any"`."""
    host = urlsplit(url).hostname or ""
    found = (server for server in SERVERS.values() if any(fnmatchcase(host, known) for known in server.hosts))
    return next(found, SERVERS["any"])


def name_by_owner(owner: str) -> str:
    """The kind of server whose models are `owned_by` this, by its name; `"any"` if it is unknown."""
    return next((name for name, server in SERVERS.items() if server.owner and server.owner == owner), "any")
