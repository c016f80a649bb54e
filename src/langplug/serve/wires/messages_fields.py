"""What may be in a body of Anthropic's Messages API, and what is in an answer.

Source: https://docs.anthropic.com/en/api/messages.
"""

from collections.abc import Mapping
from typing import Any, Final

from langplug._wires.messages import (
    FINISH_BY_STOP_REASON,
    OWN_STOP_REASONS,
    REDACTED,
    STATUS_BY_ERROR,
    THINKING,
)
from langplug.serve.fields import Body, Field
from langplug.serve.shapes import (
    COUNT,
    FLAG,
    JSON_SCHEMA,
    LIST,
    NAME,
    NULLABLE,
    OBJECT,
    TEXT,
    list_of,
    never,
    object_of,
    one_word,
    other_than,
    text_or_list,
    union,
)

_NO_FILES = never(["file"], "this server keeps no files; send the data in base64, or its URL.")
_BASE64 = object_of(type=one_word("base64"), data=NAME, media_type=NAME)
_URL = object_of(type=one_word("url"), url=NAME)
_TEXT_BLOCK = object_of("MessagesText", type=one_word("text"), text=TEXT)
_IMAGE = object_of("MessagesImage", type=one_word("image"), source=union(_BASE64, _URL, _NO_FILES))
_DOCUMENT = object_of(
    "MessagesDocument",
    type=one_word("document"),
    source=union(
        _BASE64,
        _URL,
        object_of(type=one_word("text"), data=TEXT),
        object_of(type=one_word("content"), content=text_or_list(union(_TEXT_BLOCK, _IMAGE))),
        _NO_FILES,
    ),
    title_=TEXT,
    context_=TEXT,
)
_FOUND = object_of(
    "MessagesSearchResult",
    type=one_word("search_result"),
    title=TEXT,
    source=TEXT,
    content=list_of(union(_TEXT_BLOCK)),
)
_SHOWN = (_TEXT_BLOCK, _IMAGE, _DOCUMENT, _FOUND)
_RESULT = object_of(
    "MessagesToolResult",
    type=one_word("tool_result"),
    tool_use_id=TEXT,
    content_=text_or_list(
        union(
            *_SHOWN,
            other_than(["text", "image", "document", "search_result"], "Other blocks are told to the model in words."),
        )
    ),
    is_error_=FLAG,
)
LEFT_OUT: Final = (
    "^(server_tool_use|mcp_tool_use|mcp_tool_listing|container_upload|compaction|fallback|tool_addition|tool_removal"
    "|[a-z0-9_]+_tool_result)$"
)
"""The types of blocks that are about what runs at Anthropic's."""

_LEFT_OUT: Mapping[str, Any] = {
    **object_of(type={"type": "string", "pattern": LEFT_OUT}),
    "description": "Blocks about what runs at Anthropic's are left out.",
}
_SAID = (
    _TEXT_BLOCK,
    object_of("MessagesThinking", type=one_word(THINKING), thinking=TEXT, signature_=TEXT),
    object_of("MessagesRedactedThinking", type=one_word(REDACTED), data=TEXT),
    object_of("MessagesToolUse", type=one_word("tool_use"), id=TEXT, name=TEXT, input=OBJECT),
)
_TEXTS = text_or_list(union(_TEXT_BLOCK))

MESSAGE: Final = union(
    object_of("MessagesUserMessage", role=one_word("user"), content=text_or_list(union(*_SHOWN, _RESULT, _LEFT_OUT))),
    object_of("MessagesAssistantMessage", role=one_word("assistant"), content=text_or_list(union(*_SAID, _LEFT_OUT))),
    object_of("MessagesSystemMessage", role=one_word("system"), content_=text_or_list(union(_TEXT_BLOCK, _LEFT_OUT))),
    tag="role",
)
TOOL: Final = union(
    object_of(
        "MessagesTool", type_=one_word("custom"), name=NAME, input_schema=JSON_SCHEMA, description_=TEXT, strict_=FLAG
    ),
    other_than(["custom"], "Tools that run at Anthropic's, or have a form of their own, are left out."),
)
_CHOICE = union(
    object_of(type=one_word("auto", "any", "none")),
    object_of(type=one_word("tool"), name=TEXT),
)
_THINKING = one_word("enabled", "disabled", "adaptive", "between_tools")
_EFFORT = one_word("low", "medium", "high", "xhigh", "max")

_ASKED = (
    Field("model", NAME, "supported", required=True),
    Field("messages", list_of(MESSAGE, minItems=1), "supported", required=True),
    Field("system", _TEXTS, "supported", "text alone"),
    Field("tools", list_of(TOOL), "supported", "those that run at Anthropic's are left out"),
    Field("tool_choice", _CHOICE, "supported"),
    Field("tool_choice.disable_parallel_tool_use", FLAG, "supported"),
    Field("thinking", OBJECT, "supported", "whether the model thinks is its own matter; here, what is shown of it"),
    Field("thinking.type", _THINKING, "supported", "`disabled` hides reasoning"),
    Field("thinking.display", TEXT, "supported", "`omitted` leaves signatures alone"),
    Field("thinking.budget_tokens", COUNT, "ignored"),
    Field("thinking.block_binding", OBJECT, "ignored"),
    Field("output_config", OBJECT, "supported"),
    Field("output_config.format", OBJECT, "supported"),
    Field("output_config.format.type", one_word("json_schema"), "supported"),
    Field("output_config.format.schema", JSON_SCHEMA, "supported", required=True),
    Field("output_config.effort", _EFFORT, "supported", "as `reasoning_effort`"),
    Field("output_config.task_budget", OBJECT, "ignored"),
    Field("cache_control", OBJECT, "ignored", "and so in blocks and tools: what is cached is the model's own matter"),
    Field("context_management", OBJECT, "ignored"),
    Field("mcp_servers", LIST, "ignored", "nothing is called on a client's behalf"),
    Field("speed", TEXT, "ignored"),
    Field("user_profile_id", TEXT, "ignored"),
    Field("workspace_id", TEXT, "ignored"),
    Field("billing_policy", OBJECT, "ignored"),
    Field("compaction", OBJECT, "ignored"),
)
_SHARE: Mapping[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}

COUNT_BODY: Final = Body(_ASKED, ".{}")
"""What a count of tokens may be asked with."""

BODY: Final = Body(
    [
        *_ASKED,
        Field("max_tokens", COUNT, "supported", "by the server, where the model has no such parameter", required=True),
        Field("stream", FLAG, "supported"),
        Field("stop_sequences", list_of(NAME), "supported"),
        Field("temperature", _SHARE, "supported"),
        Field("top_p", _SHARE, "supported"),
        Field("top_k", {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}, "supported"),
        Field("metadata", OBJECT, "supported"),
        Field("metadata.user_id", TEXT, "supported"),
        Field("service_tier", one_word("auto", "standard_only"), "ignored"),
        Field("container", {"type": ["string", "object"]}, "ignored"),
        Field("diagnostics", OBJECT, "ignored"),
        Field("inference_geo", TEXT, "ignored"),
        Field("fallbacks", {"type": ["string", "array"]}, "ignored", "no other model answers in the place of one"),
        Field("fallback_credit_token", {"type": ["string", "object"]}, "ignored"),
        Field("thread", OBJECT, "refused", "nothing is stored; send the whole conversation."),
    ],
    ".{}",
)
"""What an answer may be asked with. The header `anthropic-beta` is taken and ignored."""

_TOKENS: Mapping[str, Any] = {"type": "integer", "minimum": 0}
ANSWER: Final = object_of(
    "Message",
    id=TEXT,
    type=one_word("message"),
    role=one_word("assistant"),
    model=TEXT,
    content=list_of(union(*_SAID)),
    stop_reason=one_word(*FINISH_BY_STOP_REASON, *sorted(OWN_STOP_REASONS)),
    stop_sequence=NULLABLE,
    usage=object_of("MessagesUsage", input_tokens=_TOKENS, output_tokens=_TOKENS),
)
COUNT_ANSWER: Final = object_of("MessagesCount", input_tokens=_TOKENS)
FAILURE: Final = object_of(
    "MessagesError",
    type=one_word("error"),
    error=object_of(type=one_word(*STATUS_BY_ERROR), message=TEXT, details_=OBJECT),
    request_id=NULLABLE,
)
