"""What statements look for in bodies, chunks and errors."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from langplug_check.servers.server import Reply
from langplug_check.verdicts import Failed, NotObserved

REASONS: Final = ("stop", "length", "tool_calls", "content_filter", "function_call")
"""Why an answer may end."""


def require(found: Mapping[str, Any], fields: Mapping[str, type | tuple[type, ...]], where: str) -> None:
    """Look for fields of these types.

    Raises:
        Failed: If one is missing, or of another type.
    """
    for name, kind in fields.items():
        if name not in found:
            raise Failed(f"{where} has no `{name}`: {brief(found)}")
        value = found[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise Failed(f"`{name}` of {where} is {value!r:.100}")


def brief(value: Any) -> str:
    """A value as JSON, cut for a report."""
    return json.dumps(value, ensure_ascii=False)[:300]


def choice_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The first choice of a whole answer.

    Raises:
        Failed: If there is none.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Failed(f"no choice in {brief(body)}")
    return choices[0]


def message_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The message of a whole answer.

    Raises:
        Failed: If there is none.
    """
    message = choice_of(body).get("message")
    if not isinstance(message, dict):
        raise Failed(f"no message in {brief(body)}")
    return message


def text_of(body: Mapping[str, Any]) -> str:
    """The text of a whole answer."""
    content = message_of(body).get("content")
    return content if isinstance(content, str) else ""


def calls_of(body: Mapping[str, Any]) -> list[Any]:
    """The calls of tools in a whole answer.

    Raises:
        NotObserved: If the model called none, which is no fault of a server's.
    """
    calls = message_of(body).get("tool_calls")
    if not calls:
        raise NotObserved(f"the model called no tool: it said {text_of(body)[:100]!r}")
    if not isinstance(calls, list):
        raise Failed(f"`tool_calls` is {calls!r:.200}, and no list")
    return calls


# --- streams ---


def events_of(reply: Reply) -> list[str]:
    """The data of each event, comments left out.

    Raises:
        Failed: If it is no stream of events.
    """
    text = reply.data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events: list[str] = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        strange = [line for line in lines if line.partition(":")[0] not in ("data", "event", "id", "retry")]
        if strange:
            raise Failed(f"a line that is of no event: {strange[0][:200]!r}")
        data = [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]
        if data:
            events.append("\n".join(data))
    if not events:
        raise Failed(f"no event in {reply.shown}")
    return events


def chunks_of(reply: Reply) -> list[dict[str, Any]]:
    """The chunks of a stream, without what marks its end, and without what a filter of content says beside it.

    Raises:
        Failed: If an event holds no JSON object.
    """
    chunks: list[dict[str, Any]] = []
    for event in events_of(reply):
        if event == "[DONE]":
            continue
        try:
            chunk = json.loads(event)
        except ValueError as error:
            raise Failed(f"an event is no JSON: {event[:200]!r}") from error
        if not isinstance(chunk, dict):
            raise Failed(f"an event is no JSON object: {event[:200]!r}")
        if not is_of_a_filter(chunk):
            chunks.append(chunk)
    return chunks


def is_of_a_filter(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk says what a filter of content found, and nothing of the answer.

    Azure sends two kinds, neither with an id: of the prompt, without a choice, and of what was said, without a delta.
    """
    choices = [choice for choice in chunk.get("choices") or () if isinstance(choice, dict)]
    if chunk.get("id") or chunk.get("usage") or any(choice.get("delta") for choice in choices):
        return False
    return "prompt_filter_results" in chunk or any("content_filter_results" in choice for choice in choices)


def choices_of(reply: Reply) -> list[dict[str, Any]]:
    """The choices in the chunks of a stream, in order.

    Raises:
        Failed: If there are none.
    """
    found = [choice for chunk in chunks_of(reply) for choice in chunk.get("choices") or () if isinstance(choice, dict)]
    if not found:
        raise Failed(f"no choice in any chunk of {reply.shown}")
    return found


def deltas_of(reply: Reply) -> list[dict[str, Any]]:
    """The deltas of a stream, in order."""
    return [choice["delta"] for choice in choices_of(reply) if isinstance(choice.get("delta"), dict)]


def stream_text(reply: Reply) -> str:
    """The text that the deltas of a stream add up to."""
    return "".join(delta["content"] for delta in deltas_of(reply) if isinstance(delta.get("content"), str))


def stream_reasons(reply: Reply) -> list[Any]:
    """The finish reasons in a stream that are not null."""
    return [choice["finish_reason"] for choice in choices_of(reply) if choice.get("finish_reason") is not None]


# --- errors ---


def refused(reply: Reply, statuses: Collection[int] = range(400, 500), what: str = "") -> None:
    """Look for a refusal with one of these statuses.

    Raises:
        Failed: If it is none.
    """
    if reply.status not in statuses:
        wanted = (
            str(next(iter(statuses))) if len(statuses) == 1 else f"a status from {min(statuses)} to {max(statuses)}"
        )
        raise Failed(f"{reply.shown}{f' to {what}' if what else ''}", wanted)


def four_fields(reply: Reply) -> None:
    """Look for an error with exactly the fields that the API's errors have.

    Raises:
        Failed: If one is missing, or of another type.
    """
    body = reply.json
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        raise Failed(f"no object `error` in {reply.shown}", '{"error": {"message", "type", "param", "code"}}')
    maybe = (str, type(None))
    require(error, {"message": str, "type": str, "param": maybe, "code": maybe}, "the error")
