"""What may be in a body of the Responses API, and what is in an answer.

Source: https://platform.openai.com/docs/api-reference/responses. What Codex CLI sends that no model here can use (tools
of the types `namespace` and `web_search`, `client_metadata`) is noted, and not refused.
"""

from collections.abc import Mapping
from typing import Any, Final

from langplug._wires import responses as wire
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

_NO_FILES = "this server keeps no files; send the data, or an address."
_TEXTS = ("input_text", "output_text", "text")
_TEXT_PART = object_of("ResponsesTextPart", type=one_word(*_TEXTS), text=TEXT)
_FILE_ID: Mapping[str, Any] = {"not": {}, "description": _NO_FILES}
_INPUT = text_or_list(
    union(
        _TEXT_PART,
        object_of("ResponsesImagePart", type=one_word("input_image"), image_url=NAME, detail_=TEXT, file_id_=_FILE_ID),
        object_of(
            "ResponsesFilePart",
            type=one_word("input_file"),
            filename_=TEXT,
            file_url_=NAME,
            file_data_=NAME,
            file_id_=_FILE_ID,
        )
        | {"anyOf": [object_of(file_url=NAME), object_of(file_data=NAME)]},
    )
)
_SAID = text_or_list(union(_TEXT_PART, object_of("ResponsesRefusalPart", type=one_word("refusal"), refusal=TEXT)))

TOOL: Final = union(
    object_of(
        "ResponsesFunctionTool",
        type=one_word("function"),
        name=NAME,
        description_=TEXT,
        parameters_=JSON_SCHEMA,
        strict_=FLAG,
    ),
    object_of("ResponsesCustomTool", type=one_word("custom"), name=NAME, description_=TEXT, format_=OBJECT),
    other_than(["function", "custom"], "Tools of other types are skipped."),
)

_STORED = {
    "item_reference": "send the item itself, as clients do that are told `store: false`.",
    "compaction": "send the conversation itself.",
}
_ITEMS: tuple[dict[str, Any], ...] = (
    union(
        object_of("ResponsesInputMessage", role=one_word("user", "system", "developer"), content=_INPUT),
        object_of("ResponsesOutputMessage", role=one_word("assistant"), content=_SAID),
        tag="role",
    )
    | {"properties": {"type": one_word(wire.MESSAGE)}, "required": []},
    object_of(
        "ResponsesReasoning",
        type=one_word(wire.REASONING),
        summary_=list_of(object_of(text=TEXT)),
        content_=list_of(object_of(text=TEXT)),
        encrypted_content_=TEXT,
    ),
    object_of("ResponsesFunctionCall", type=one_word(wire.FUNCTION_CALL), call_id=TEXT, name=TEXT, arguments=TEXT),
    object_of("ResponsesCustomCall", type=one_word(wire.CUSTOM_CALL), call_id=TEXT, name=TEXT, input=TEXT),
    object_of(
        "ResponsesCallOutput",
        type=one_word(wire.FUNCTION_OUTPUT, wire.CUSTOM_OUTPUT),
        call_id=TEXT,
        output=_INPUT,
    ),
    object_of("ResponsesAdditionalTools", type=one_word("additional_tools"), tools=list_of(TOOL)),
)
_KNOWN = [word for item in _ITEMS for word in item["properties"]["type"]["enum"]]
ITEM: Final = union(
    *_ITEMS,
    *(never([word], f"nothing is stored; {instead}") for word, instead in _STORED.items()),
    other_than([*_KNOWN, *_STORED], "Items of other types, such as those of tools that run at OpenAI's, are skipped."),
)

_CHOICE: Mapping[str, Any] = {
    "anyOf": [
        one_word("auto", "none", "required"),
        union(
            object_of(type=one_word("function", "custom"), name=TEXT),
            object_of(
                "ResponsesAllowedTools",
                type=one_word("allowed_tools"),
                mode=one_word("auto", "required"),
                tools=list_of(object_of(name_=TEXT)),
            ),
        ),
    ]
}
_FORMAT = union(
    object_of(type_=one_word("text")),
    object_of(type=one_word("json_object")),
    object_of(
        "ResponsesJsonSchemaFormat",
        type=one_word("json_schema"),
        name=TEXT,
        description_=TEXT,
        schema=JSON_SCHEMA,
        strict_=FLAG,
    ),
)
_EFFORT = one_word("none", "minimal", "low", "medium", "high", "xhigh", "max")
_STRINGS: Mapping[str, Any] = {"type": "object", "additionalProperties": TEXT}
_GIVEN: Mapping[str, Any] = {"type": ["string", "array"], "minLength": 1, "minItems": 1, "items": ITEM}
_INCLUDES = f"`{wire.REASONING_INCLUDE}`, `{wire.LOGPROBS_INCLUDE}`"

BODY: Final = Body(
    [
        Field("model", NAME, "supported", "the id of a served model, or an alias", required=True),
        Field("input", _GIVEN, "supported", "items of tools that run at OpenAI's are skipped", required=True),
        Field("instructions", TEXT, "supported", "the first message of the system"),
        Field("stream", FLAG, "supported"),
        Field("tools", list_of(TOOL), "supported", "`function` and `custom`; other types are skipped"),
        Field("tool_choice", _CHOICE, "supported", "also `allowed_tools`"),
        Field("parallel_tool_calls", FLAG, "supported"),
        Field("text", OBJECT, "supported"),
        Field("text.format", _FORMAT, "supported", "`text`, `json_object`, `json_schema`"),
        Field("text.verbosity", one_word("low", "medium", "high"), "supported"),
        Field("max_output_tokens", COUNT, "supported", "by the server, where the model has no such parameter"),
        Field("temperature", {"type": "number", "minimum": 0, "maximum": 2}, "supported"),
        Field("top_p", {"type": "number", "minimum": 0, "maximum": 1}, "supported"),
        Field("top_logprobs", {"type": "integer", "minimum": 0, "maximum": 20}, "supported"),
        Field("reasoning", OBJECT, "supported"),
        Field("reasoning.effort", _EFFORT, "supported"),
        Field(
            "reasoning.summary",
            one_word("auto", "concise", "detailed"),
            "supported",
            "reasoning is given as its summary; else as `reasoning_text`",
        ),
        Field("reasoning.generate_summary", TEXT, "ignored", "send `reasoning.summary`"),
        Field("reasoning.context", TEXT, "ignored"),
        Field("reasoning.mode", TEXT, "ignored"),
        Field("include", list_of(TEXT), "supported", _INCLUDES),
        Field("metadata", _STRINGS, "supported", "echoed"),
        Field("user", TEXT, "supported"),
        Field("safety_identifier", TEXT, "supported", "takes the place of `user`"),
        Field("truncation", one_word("auto", "disabled"), "supported", "echoed; a model cuts nothing by itself"),
        Field("store", FLAG, "supported", "only graphs with a checkpointer store anything"),
        Field("prompt_cache_key", TEXT, "supported", "echoed"),
        Field("service_tier", TEXT, "ignored"),
        Field("prompt_cache_retention", TEXT, "ignored"),
        Field("prompt_cache_options", OBJECT, "ignored"),
        Field("client_metadata", OBJECT, "ignored", "what Codex says of itself"),
        Field("stream_options", OBJECT, "ignored"),
        Field("max_tool_calls", {"type": "integer"}, "ignored", "it counts calls of tools that run at OpenAI's"),
        Field("context_management", LIST, "ignored"),
        Field("moderation", OBJECT, "ignored"),
        Field("image", OBJECT, "ignored"),
        Field("access_programs", OBJECT, "ignored"),
        Field("background_options", OBJECT, "ignored"),
        Field(
            "background",
            {**FLAG, "enum": [False]},
            "supported",
            "true is refused: nothing is stored to be asked for",
        ),
        Field("previous_response_id", TEXT, "supported", "of graphs with a checkpointer; refused by other models"),
        Field("conversation", {}, "refused", "nothing is stored; send the whole conversation as `input`."),
        Field("prompt", OBJECT, "refused", "prompts are stored at OpenAI's; send `instructions` and `input`."),
    ]
)

_TOKENS: Mapping[str, Any] = {"type": "integer", "minimum": 0}
_MADE: Mapping[str, Any] = {"id": TEXT, "status": one_word("in_progress", "completed", "incomplete")}
_OUTPUT = union(
    object_of(
        "ResponsesMessage",
        **_MADE,
        type=one_word(wire.MESSAGE),
        role=one_word("assistant"),
        content=list_of(
            union(
                object_of(
                    "ResponsesOutputText", type=one_word("output_text"), text=TEXT, annotations=LIST, logprobs=LIST
                ),
                object_of("ResponsesRefusal", type=one_word("refusal"), refusal=TEXT),
            )
        ),
    ),
    object_of(
        "ResponsesThought",
        **_MADE,
        type=one_word(wire.REASONING),
        summary=list_of(object_of(type=one_word("summary_text"), text=TEXT)),
        content_=list_of(object_of(type=one_word("reasoning_text"), text=TEXT)),
        encrypted_content=NULLABLE,
    ),
    object_of("ResponsesMadeCall", **_MADE, type=one_word(wire.FUNCTION_CALL), call_id=TEXT, name=TEXT, arguments=TEXT),
    object_of("ResponsesMadeCustomCall", **_MADE, type=one_word(wire.CUSTOM_CALL), call_id=TEXT, name=TEXT, input=TEXT),
    object_of("ResponsesMadeImage", **_MADE, type=one_word("image_generation_call"), result=NULLABLE),
)
ANSWER: Final = object_of(
    "Response",
    id=TEXT,
    object=one_word("response"),
    created_at={"type": "integer"},
    model=TEXT,
    status=one_word("in_progress", "completed", "incomplete", "failed"),
    output=list_of(_OUTPUT),
    usage={
        **object_of("ResponsesUsage", input_tokens=_TOKENS, output_tokens=_TOKENS, total_tokens=_TOKENS),
        "type": ["object", "null"],
    },
    error={"type": ["object", "null"]},
    incomplete_details={"type": ["object", "null"]},
    store=FLAG,
    metadata_=_STRINGS,
    tools_=LIST,
)
