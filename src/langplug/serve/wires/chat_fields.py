"""What may be in a body of Chat Completions, and what is in an answer.

Source: https://platform.openai.com/docs/api-reference/chat. Reasoning is told in `reasoning_content`, and videos and
audio by URL are parts, as the servers of open-weight models have it.
"""

from collections.abc import Mapping
from typing import Any, Final

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
    object_of,
    one_word,
    other_than,
    text_or_list,
    union,
)

_ADDRESS: Mapping[str, Any] = {**object_of(url=NAME, detail_=TEXT), "type": ["object", "string"], "minLength": 1}
_FILE: Mapping[str, Any] = {
    **object_of(file_data_=NAME, file_id_=NAME, filename_=TEXT),
    "anyOf": [object_of(file_data=NAME), object_of(file_id=NAME)],
}
_TEXT_PART = object_of("ChatTextPart", type=one_word("text"), text=TEXT)
_REFUSAL_PART = object_of("ChatRefusalPart", type=one_word("refusal"), refusal=TEXT)
_PARTS = union(
    _TEXT_PART,
    object_of("ChatImagePart", type=one_word("image_url"), image_url=_ADDRESS),
    object_of("ChatAudioPart", type=one_word("input_audio"), input_audio=object_of(data=NAME, format=NAME)),
    object_of("ChatFilePart", type=one_word("file"), file=_FILE),
    object_of("ChatVideoUrlPart", type=one_word("video_url"), video_url=_ADDRESS),
    object_of("ChatAudioUrlPart", type=one_word("audio_url"), audio_url=_ADDRESS),
)
_CALL = object_of("ChatToolCall", id=TEXT, type_=one_word("function"), function=object_of(name=TEXT, arguments=TEXT))
_CUSTOM_CALL = object_of("ChatCustomCall", id=TEXT, type=one_word("custom"), custom=object_of(name=TEXT, input=TEXT))

MESSAGE: Final = union(
    object_of(
        "ChatSystemMessage", role=one_word("system", "developer"), content=text_or_list(union(_TEXT_PART)), name_=TEXT
    ),
    object_of("ChatUserMessage", role=one_word("user"), content=text_or_list(_PARTS), name_=TEXT),
    object_of(
        "ChatAssistantMessage",
        role=one_word("assistant"),
        content_=text_or_list(union(_TEXT_PART, _REFUSAL_PART)),
        refusal_=TEXT,
        reasoning_content_=TEXT,
        tool_calls_=list_of(union(_CALL, _CUSTOM_CALL)),
        name_=TEXT,
    ),
    object_of("ChatToolMessage", role=one_word("tool"), content=text_or_list(_PARTS), tool_call_id=TEXT, name_=TEXT),
    tag="role",
)

_FUNCTION = object_of(name=NAME, description_=TEXT, parameters_=JSON_SCHEMA, strict_=FLAG)
TOOL: Final = union(
    object_of("ChatFunctionTool", type=one_word("function"), function=_FUNCTION),
    other_than(["function"], "Tools of other types are skipped."),
)
_NAMED = object_of(name=TEXT)
_ALLOWED = object_of(mode=one_word("auto", "required"), tools=list_of(object_of(function_=object_of(name_=TEXT))))
_CHOICE: Mapping[str, Any] = {
    "anyOf": [
        one_word("auto", "none", "required"),
        union(
            object_of("ChatToolChoice", type_=one_word("function"), function=_NAMED),
            object_of("ChatCustomToolChoice", type=one_word("custom"), custom=_NAMED),
            object_of("ChatAllowedTools", type=one_word("allowed_tools"), allowed_tools=_ALLOWED),
        ),
    ]
}
_FORMAT = union(
    object_of(type=one_word("text")),
    object_of(type=one_word("json_object")),
    object_of(
        "ChatJsonSchemaFormat",
        type=one_word("json_schema"),
        json_schema=object_of(name_=TEXT, description_=TEXT, schema_=JSON_SCHEMA, strict_=FLAG),
    ),
)
_PENALTY: Mapping[str, Any] = {"type": "number", "minimum": -2, "maximum": 2}
_SEED: Mapping[str, Any] = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
_STOP: Mapping[str, Any] = {"type": ["string", "array"], "minLength": 1, "items": NAME, "maxItems": 4}

BODY: Final = Body(
    [
        Field("model", NAME, "supported", "the id of a served model, or an alias", required=True),
        Field(
            "messages",
            list_of(MESSAGE, minItems=1),
            "supported",
            "images, audio, video and files are passed on as they are",
            required=True,
        ),
        Field("stream", FLAG, "supported"),
        Field("stream_options", OBJECT, "supported"),
        Field("stream_options.include_usage", FLAG, "supported", "counted, where the model tells none"),
        Field("stream_options.include_obfuscation", FLAG, "ignored"),
        Field("tools", list_of(TOOL), "supported", "`function`; other types are skipped"),
        Field("tool_choice", _CHOICE, "supported", "also `allowed_tools`"),
        Field("parallel_tool_calls", FLAG, "supported"),
        Field("response_format", _FORMAT, "supported", "`text`, `json_object`, `json_schema`"),
        Field("stop", _STOP, "supported"),
        Field("max_tokens", COUNT, "supported", "by the server, where the model has no such parameter"),
        Field("max_completion_tokens", COUNT, "supported", "takes the place of `max_tokens`"),
        Field("temperature", {"type": "number", "minimum": 0, "maximum": 2}, "supported"),
        Field("top_p", {"type": "number", "minimum": 0, "maximum": 1}, "supported"),
        Field("frequency_penalty", _PENALTY, "supported"),
        Field("presence_penalty", _PENALTY, "supported"),
        Field("seed", _SEED, "supported"),
        Field("reasoning_effort", TEXT, "supported", "if the model has levels of it"),
        Field("verbosity", one_word("low", "medium", "high"), "supported"),
        Field("user", TEXT, "supported"),
        Field("safety_identifier", TEXT, "supported", "takes the place of `user`"),
        Field("n", {"type": "integer", "minimum": 1, "maximum": 128}, "supported", "by as many runs of the model"),
        Field("logprobs", FLAG, "supported", "if the model tells them; a stream does at its end"),
        Field("top_logprobs", {"type": "integer", "minimum": 0, "maximum": 20}, "supported", "as `logprobs`"),
        Field("logit_bias", OBJECT, "ignored"),
        Field("metadata", OBJECT, "ignored"),
        Field("store", FLAG, "ignored", "nothing is stored"),
        Field("modalities", LIST, "ignored"),
        Field("audio", OBJECT, "ignored"),
        Field("prediction", OBJECT, "ignored"),
        Field("service_tier", TEXT, "ignored"),
        Field("prompt_cache_key", TEXT, "ignored"),
        Field("prompt_cache_options", OBJECT, "ignored"),
        Field("prompt_cache_retention", TEXT, "ignored"),
        Field("moderation", OBJECT, "ignored"),
        Field("web_search_options", OBJECT, "ignored"),
        Field("functions", LIST, "refused", "send `tools`."),
        Field("function_call", {"type": ["string", "object"]}, "refused", "send `tool_choice`."),
    ]
)

_TOKENS: Mapping[str, Any] = {"type": "integer", "minimum": 0}
ANSWER: Final = object_of(
    "ChatCompletion",
    id=TEXT,
    object=one_word("chat.completion"),
    created={"type": "integer"},
    model=TEXT,
    choices=list_of(
        object_of(
            "ChatChoice",
            index={"type": "integer"},
            message=object_of(
                "ChatAnswer",
                role=one_word("assistant"),
                content=NULLABLE,
                refusal=NULLABLE,
                reasoning_content_=TEXT,
                tool_calls_=list_of(_CALL),
            ),
            logprobs={"type": ["object", "null"]},
            finish_reason=one_word("stop", "length", "tool_calls", "content_filter"),
        )
    ),
    usage={
        **object_of("ChatUsage", prompt_tokens=_TOKENS, completion_tokens=_TOKENS, total_tokens=_TOKENS),
        "type": ["object", "null"],
    },
)
FAILURE: Final = object_of("OpenAIError", error=object_of(message=TEXT, type=TEXT, param=NULLABLE, code=NULLABLE))
