"""OpenAI-shaped completions and chunks, as dicts, read as parts.

The shape is that of the OpenAI chat-completions API (`choices[].message` whole, `choices[].delta` in a stream),
read leniently, since the servers that speak it deviate.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from langplug._answer.server_errors import error_of
from langplug._parts import Finish, Part, Reasoning, ToolCall, Usage

REASONING_FIELDS = ("reasoning_content", "reasoning")
"""Where servers put the reasoning text: DeepSeek and older vLLM; newer vLLM, Ollama and OpenRouter."""


def is_openai_shaped(value: Mapping[str, Any]) -> bool:
    """Whether `value` is a completion, a chunk or an error of the OpenAI wire."""
    return "choices" in value or ("error" in value and "type" not in value)


def is_chunk(value: Mapping[str, Any]) -> bool:
    """Whether `value` is a piece of a stream, and so owes a finish reason before the end."""
    return any("delta" in choice for choice in value.get("choices") or ())


def parts_of(value: Mapping[str, Any], index: int = 0) -> Iterator[Part]:
    """The parts that a completion or chunk holds of the answer number `index`; of several, one is read at a time.

    Raises:
        ModelError: If it is an error object; of the type that fits its status code and words.
    """
    if value.get("error"):
        raise error_of(value["error"])
    for choice in value.get("choices") or ():
        if (choice.get("index") or 0) == index:
            yield from _choice(choice)
    if reason := value.get("finish_reason"):  # where some gateways have it
        yield Finish(reason=str(reason))
    if isinstance(usage := value.get("usage"), Mapping):
        yield _usage(usage)
    elif isinstance(timings := value.get("timings"), Mapping):
        yield _usage_so_far(timings)
    metadata = {name: value[name] for name in ("system_fingerprint", "service_tier") if value.get(name)}
    if model := value.get("model"):
        metadata["model_name"] = model
    if metadata:
        yield Finish(reason="", metadata=metadata)


def answer_in(value: Mapping[str, Any], index: int) -> dict[str, Any]:
    """What a completion or chunk with several answers holds of one, as if it were the only one.

    The usage, which is that of all together, goes with the first.
    """
    choices = [{**one, "index": 0} for one in value.get("choices") or () if (one.get("index") or 0) == index]
    shared = () if index == 0 else ("usage", "timings")
    return {name: item for name, item in value.items() if name not in shared} | {"choices": choices}


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
    if reason := choice.get("finish_reason") or body.get("finish_reason"):
        yield Finish(reason=str(reason), stop_sequence=_stop_sequence(choice))


def _stop_sequence(choice: Mapping[str, Any]) -> str | None:
    """The stop string that was met, where the server tells: vLLM's and SGLang's names for it."""
    told = (choice.get(name) for name in ("stop_reason", "matched_stop"))
    return next((stop for stop in told if isinstance(stop, str)), None)


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


def _usage_so_far(timings: Mapping[str, int]) -> Usage:
    """What llama.cpp says with each chunk under `timings_per_token`."""
    cached = timings.get("cache_n") or 0
    return Usage(
        input_tokens=cached + (timings.get("prompt_n") or 0),
        output_tokens=timings.get("predicted_n"),
        input_token_details={"cache_read": cached},
    )


def _known(**counts: int | None) -> dict[str, int | None] | None:
    return {name: count for name, count in counts.items() if count is not None} or None
