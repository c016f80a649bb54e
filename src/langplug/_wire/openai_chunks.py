"""OpenAI-shaped completions and chunks, as dicts, read as parts.

The shape is that of the OpenAI chat-completions API (`choices[].message` whole, `choices[].delta` in a stream),
read leniently, since the servers that speak it deviate.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
)

from langplug._parts import Finish, Part, Reasoning, ToolCall, Usage

REASONING_FIELDS = ("reasoning_content", "reasoning")
"""Where servers put the reasoning text: DeepSeek and older vLLM; newer vLLM, Ollama and OpenRouter."""

_ERRORS: dict[int, type[ModelError]] = {
    400: ModelInvalidRequestError,
    401: ModelAuthenticationError,
    403: ModelPermissionDeniedError,
    404: ModelNotFoundError,
    422: ModelInvalidRequestError,
    429: ModelRateLimitError,
}

_OVERFLOW_WORDS = ("context_length_exceeded", "exceed_context_size", "maximum context length", "context size")


def is_openai_shaped(value: Mapping[str, Any]) -> bool:
    """Whether `value` is a completion, a chunk or an error of the OpenAI wire."""
    return "choices" in value or ("error" in value and "type" not in value)


def is_chunk(value: Mapping[str, Any]) -> bool:
    """Whether `value` is a piece of a stream, and so owes a finish reason before the end."""
    return any("delta" in choice for choice in value.get("choices") or ())


def parts_of(value: Mapping[str, Any]) -> Iterator[Part]:
    """The parts that a completion or chunk holds.

    Raises:
        ModelError: If it is an error object; of the type that fits its status code and words.
    """
    if value.get("error"):
        raise error_of(value["error"])
    for choice in value.get("choices") or ():
        if not choice.get("index"):  # several answers at once are not asked for here
            yield from _choice(choice)
    if isinstance(usage := value.get("usage"), Mapping):
        yield _usage(usage)
    metadata = {name: value[name] for name in ("system_fingerprint", "service_tier") if value.get(name)}
    if model := value.get("model"):
        metadata["model_name"] = model
    if metadata:
        yield Finish(reason="", metadata=metadata)


def error_of(error: Any) -> ModelError:
    """The typed error that an OpenAI error object, or a bare message, stands for."""
    detail: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": str(error)}
    message = str(detail.get("message") or detail)
    words = f"{detail.get('code')} {detail.get('type')} {message}".lower()
    if any(word in words for word in _OVERFLOW_WORDS):
        return ContextOverflowError(message)
    code = str(detail.get("code") or detail.get("status"))
    status = int(code) if code.isdigit() else 500
    return _ERRORS.get(status, ModelAPIError if status >= 500 else ModelInvalidRequestError)(message)


def _choice(choice: Mapping[str, Any]) -> Iterator[Part]:
    body = choice.get("delta") or choice.get("message") or {}
    yield from _reasoning(body)
    yield from _content(body.get("content"))
    if refusal := body.get("refusal"):
        yield str(refusal)
    for call in body.get("tool_calls") or ():
        yield _tool_call(call)
    if function := body.get("function_call"):  # as OpenAI had it before it had tools, and older servers have it still
        yield _tool_call({"function": function})
    if logprobs := choice.get("logprobs"):
        yield Finish(reason="", metadata={"logprobs": logprobs})
    if reason := choice.get("finish_reason"):
        yield Finish(reason=str(reason))


def _content(content: Any) -> Iterator[Part]:
    if isinstance(content, str):
        if content:
            yield content
        return
    for block in content or ():
        if isinstance(block, str):
            yield block
        elif block.get("type") == "text":
            yield str(block.get("text") or "")
        else:
            yield dict(block)


def _reasoning(body: Mapping[str, Any]) -> Iterator[Reasoning]:
    said = next((text for name in REASONING_FIELDS if isinstance(text := body.get(name), str)), None)
    if said:
        yield Reasoning(said)
    for detail in body.get("reasoning_details") or ():
        text = "" if said is not None else detail.get("text") or detail.get("summary") or ""
        extras = {key: detail[key] for key in ("signature", "id", "data") if detail.get(key)}
        if text or extras.keys() - {"id"}:
            yield Reasoning(str(text), extras or None)


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function") or {}
    return ToolCall(
        name=function.get("name") or None,
        args=function.get("arguments"),
        id=call.get("id") or None,
        index=call.get("index"),
    )


def _usage(usage: Mapping[str, Any]) -> Usage:
    """OpenAI's names, and its details under the names of `UsageMetadata`."""
    read = usage.get("prompt_tokens_details") or {}
    wrote = usage.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        total_tokens=usage.get("total_tokens"),
        input_token_details=_known(cache_read=read.get("cached_tokens"), audio=read.get("audio_tokens")),
        output_token_details=_known(reasoning=wrote.get("reasoning_tokens"), audio=wrote.get("audio_tokens")),
    )


def _known(**counts: int | None) -> dict[str, int | None] | None:
    return {name: count for name, count in counts.items() if count is not None} or None
