"""An answer in Chat Completions: chunk by chunk, or whole."""

from collections.abc import Iterable, Mapping
from typing import Any

from langplug.serve.deltas import Block, CallArguments, CallStart, Delta, Ending, OfChoice, Refusal, Thought
from langplug.serve.errors import ApiError
from langplug.serve.json_text import dump

_DONE = b"data: [DONE]\n\n"


class ChatWriter:
    """Writes the answer of a call, or its answers, streamed or whole.

    Args:
        answer_id: The id, which all chunks bear.
        created: When the answer began, in seconds since 1970.
        model: The model, as the client named it.
        n: How many answers there are. If there are several, deltas and endings come as `OfChoice`.
        with_usage: Whether a stream tells usage: null in each chunk, and in one more, without choices, what it was.
    """

    def __init__(self, answer_id: str, created: int, model: str, *, n: int = 1, with_usage: bool) -> None:
        self._frame = {"id": answer_id, "created": created, "model": model}
        self._with_usage = with_usage
        self._choices = [_Choice(self._frame, index, with_usage=with_usage) for index in range(n)]

    def begin(self) -> bytes:
        """The role of each answer, which is told once."""
        return b"".join([choice.begin() for choice in self._choices])

    def feed(self, delta: Delta | OfChoice) -> bytes:
        """The chunk of the next piece; empty for a block that this wire has no word for."""
        if not isinstance(delta, OfChoice):
            return self._choices[0].feed(delta)
        choice = self._choices[delta.index]
        return choice.end(delta.delta) if isinstance(delta.delta, Ending) else choice.feed(delta.delta)

    def end(self, ending: Ending) -> bytes:
        """The finish reason, what was used if that was asked for, and the end of the stream."""
        told = self._choices[0].end(ending) if len(self._choices) == 1 else b""
        if self._with_usage:
            chunk = {**self._frame, "object": "chat.completion.chunk", "choices": [], "usage": usage_of(ending.usage)}
            told += b"data: " + dump(chunk) + b"\n\n"
        return told + _DONE

    def fail(self, error: ApiError) -> bytes:
        """The error in place of a chunk, and the end of the stream."""
        told = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
        return b"data: " + dump({"error": told}) + b"\n\n" + _DONE

    def ping(self) -> bytes:
        """A comment, which readers of server-sent events skip."""
        return b": ping\n\n"

    def whole(self, deltas: Iterable[Delta | OfChoice], ending: Ending) -> dict[str, Any]:
        """The answers as one `chat.completion`."""
        said: list[list[Delta]] = [[] for _ in self._choices]
        endings = [ending for _ in self._choices]
        for delta in deltas:
            if not isinstance(delta, OfChoice):
                said[0].append(delta)
            elif isinstance(delta.delta, Ending):
                endings[delta.index] = delta.delta
            else:
                said[delta.index].append(delta.delta)
        choices = [choice_of(index, *one) for index, one in enumerate(zip(said, endings, strict=True))]
        return {**self._frame, "object": "chat.completion", "choices": choices, "usage": usage_of(ending.usage)}


class _Choice:
    """Writes the chunks of one answer. Of one with text, all but the text is the same each time, and rendered once."""

    def __init__(self, frame: Mapping[str, Any], index: int, *, with_usage: bool) -> None:
        self._calls_seen = False
        self._bare_calls: set[int] = set()
        """Calls for which no arguments have come."""
        head = dump({**frame, "object": "chat.completion.chunk"})[:-1]
        self._before = b"data: " + head + b',"choices":[{"index":%d,"logprobs":' % index
        self._usage = b"]" + (b',"usage":null' if with_usage else b"") + b"}\n\n"
        self._head = self._before + b'null,"delta":'
        self._tail = b',"finish_reason":null}' + self._usage
        self._before_text = self._head + b'{"content":'
        self._after_text = b"}" + self._tail

    def begin(self) -> bytes:
        """The role."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def feed(self, delta: Delta) -> bytes:
        """The chunk of the next piece."""
        match delta:
            case str():
                return self._before_text + dump(delta) + self._after_text if delta else b""
            case Thought():
                return self._chunk({"reasoning_content": delta.text}) if delta.text else b""
            case CallStart():
                self._calls_seen = True
                self._bare_calls.add(delta.index)
                function = {"name": delta.name, "arguments": ""}
                call = {"index": delta.index, "id": delta.id, "type": "function", "function": function}
                return self._chunk({"tool_calls": [call]})
            case CallArguments():
                if not delta.text:
                    return b""
                self._bare_calls.discard(delta.index)
                return self._arguments(delta.index, delta.text)
            case Refusal():
                return self._chunk({"refusal": delta.text}) if delta.text else b""
            case Block():
                text = delta.block.get("text")
                return self.feed(text) if isinstance(text, str) else b""

    def end(self, ending: Ending) -> bytes:
        """The finish reason, and how likely the tokens were; before it, an empty object for calls without arguments.

        Clients read arguments as JSON, and nothing is no JSON.
        """
        bare = b"".join([self._arguments(index, "{}") for index in sorted(self._bare_calls)])
        reason = dump(_reason(ending, calls_seen=self._calls_seen))
        last = self._before + dump(ending.logprobs) + b',"delta":{},"finish_reason":' + reason + b"}" + self._usage
        return bare + last

    def _arguments(self, index: int, text: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]})

    def _chunk(self, delta: Mapping[str, Any]) -> bytes:
        return self._head + dump(delta) + self._tail


def choice_of(index: int, deltas: Iterable[Delta], ending: Ending) -> dict[str, Any]:
    """One answer as a choice."""
    said: dict[type, list[str]] = {str: [], Thought: [], Refusal: []}
    calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        match delta:
            case str():
                said[str].append(delta)
            case Thought() | Refusal():
                said[type(delta)].append(delta.text)
            case CallStart():
                function = {"name": delta.name, "arguments": ""}
                calls[delta.index] = {"id": delta.id, "type": "function", "function": function}
            case CallArguments():
                calls[delta.index]["function"]["arguments"] += delta.text
            case Block():
                said[str].append(str(delta.block.get("text") or ""))
    for call in calls.values():
        call["function"]["arguments"] = call["function"]["arguments"] or "{}"
    text, thought, refusal = ("".join(pieces) for pieces in said.values())
    content = text or (None if calls or refusal else "")
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal or None}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = list(calls.values())
    reason = _reason(ending, calls_seen=bool(calls))
    return {"index": index, "message": message, "logprobs": ending.logprobs, "finish_reason": reason}


def _reason(ending: Ending, *, calls_seen: bool) -> str:
    """One of the reasons that the API has: clients are strict about them."""
    if ending.finish_reason in ("length", "content_filter"):
        return ending.finish_reason
    return "tool_calls" if calls_seen else "stop"


def usage_of(usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """LangChain's usage metadata in the API's words; null if nothing is known."""
    if usage is None:
        return None
    counted: dict[str, Any] = {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }
    if "cache_read" in (read := usage.get("input_token_details") or {}):
        counted["prompt_tokens_details"] = {"cached_tokens": read["cache_read"]}
    if "reasoning" in (written := usage.get("output_token_details") or {}):
        counted["completion_tokens_details"] = {"reasoning_tokens": written["reasoning"]}
    return counted
