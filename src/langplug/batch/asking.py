"""How a row is asked: a chat model by messages, or what `langplug serve` serves by a request."""

import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from langchain_core.exceptions import ModelError, ModelRateLimitError
from langchain_core.messages import AIMessage

from langplug import ChatModel
from langplug._tools.schema import checker_of
from langplug.batch.rows import Row
from langplug.http import retry_after_of
from langplug.serve.exchange import Exchange, Request
from langplug.serve.served import Catalog

COLUMNS: Final = (
    "index",
    "id",
    "answer",
    "parsed",
    "reasoning",
    "tool_calls",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "error",
    "attempts",
    "latency_s",
)
"""What is written of a row, in the order of a table. `parsed` is there with a schema alone."""

_KINDS: Final = {"enum": ["object", "array", "string", "number", "integer", "boolean", "null"]}
_SCHEMAS: Final = {"type": "array", "items": {"$ref": "#"}}
_BY_NAME: Final = {"type": "object", "additionalProperties": {"$ref": "#"}}
_check_schema: Final = checker_of(
    {
        "type": ["object", "boolean"],
        "properties": {
            "type": {"anyOf": [_KINDS, {"type": "array", "items": _KINDS}]},
            "properties": _BY_NAME,
            "$defs": _BY_NAME,
            "required": {"type": "array", "items": {"type": "string"}},
            "enum": {"type": "array"},
            "items": {"$ref": "#"},
            "anyOf": _SCHEMAS,
            "oneOf": _SCHEMAS,
            "allOf": _SCHEMAS,
        },
    }
)
"""What is wrong with a schema, as far as the words go that schemas of answers are made of."""

_RETRYABLE: Final = frozenset({429, 502, 504})
"""The statuses of `serve` that tell of what may pass: not 500, which is the model's own code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of asking a row once.

    Attributes:
        record: What is written of it, without its place and id.
        failed: Whether there is no answer.
        tokens: What it took, input and output.
        is_retryable: Whether asking again may help.
        is_refused: Whether it was refused because there were too many calls.
        retry_after: Seconds after which it may be asked again, if that was said.
        seconds: How long the call took, where that is less than the row was on its way to another process and back.
    """

    record: Mapping[str, Any]
    failed: bool = False
    tokens: tuple[int, int] = (0, 0)
    is_retryable: bool = False
    is_refused: bool = False
    retry_after: float | None = None
    seconds: float | None = None


class Asker(Protocol):
    """Asks a row once."""

    async def ask(self, row: Row, /) -> Outcome:
        """What came of it. Only what ends the job is raised."""
        ...

    def told(self, outcome: Outcome, *, attempts: int, seconds: float | None) -> dict[str, Any]:
        """What is written of the outcome, after so many attempts, of which the last took so many seconds, if known."""
        ...

    def unasked(self, problem: str, /) -> Outcome:
        """What came of a row that could not be asked."""
        ...

    def placed(self, row: Row, record: Mapping[str, Any], /) -> dict[str, Any]:
        """The record with the row's place and id."""
        ...


class ChatAsker:
    """Asks a model by messages.

    Args:
        model: The model, without retries of its own: each refusal is to be seen.
        schema: A JSON schema that answers follow; None for text.
        parameters: Parameters of each call.

    Raises:
        ValueError: If the schema is none.
    """

    def __init__(
        self, model: ChatModel, *, schema: Mapping[str, Any] | None = None, parameters: Mapping[str, Any] | None = None
    ) -> None:
        if schema is not None and (problem := _check_schema(schema)) is not None:
            raise ValueError(f"the schema is no JSON schema: {problem}")
        self._keywords = dict(parameters or {})
        asked: Any = model  # a parameter may have the name of one of LangChain's
        self._is_structured = schema is not None
        self._model: Any = asked.with_structured_output(schema, include_raw=True) if schema is not None else asked

    async def ask(self, row: Row, /) -> Outcome:
        """What came of it."""
        try:
            said = await self._model.ainvoke(row.question, **self._keywords)
        except Exception as error:  # noqa: BLE001 - a row that fails is a row of the output
            return Outcome(
                record={"error": _told(error)},
                failed=True,
                is_retryable=isinstance(error, ModelError) and error.is_retryable,
                is_refused=isinstance(error, ModelRateLimitError),
                retry_after=retry_after_of(error) if isinstance(error, ModelError) else None,
            )
        if not self._is_structured:
            return _outcome(said, {})
        wrong = said["parsing_error"]
        outcome = _outcome(said["raw"], {"parsed": said["parsed"]} if wrong is None else {"error": _told(wrong)})
        return replace(outcome, failed=wrong is not None)

    def told(self, outcome: Outcome, *, attempts: int, seconds: float | None) -> dict[str, Any]:
        """The record, with how it was come by."""
        latency_s = round(seconds, 4) if seconds is not None else None
        return {**outcome.record, "attempts": attempts, "latency_s": latency_s}

    def unasked(self, problem: str, /) -> Outcome:
        """The problem is the row's error."""
        return Outcome(record={"error": problem}, failed=True)

    def placed(self, row: Row, record: Mapping[str, Any], /) -> dict[str, Any]:
        """The record, and behind it the columns of the input that are kept."""
        told = {"index": row.index, "id": row.id, **record}
        return {**told, **{name: value for name, value in row.kept.items() if name not in told}}


def _outcome(message: AIMessage, more: Mapping[str, Any]) -> Outcome:
    record: dict[str, Any] = {"answer": message.text}
    if message.additional_kwargs or message.content.__class__ is not str:
        thoughts = [
            str(block.get("reasoning") or "") for block in message.content_blocks if block["type"] == "reasoning"
        ]
        if thoughts:
            record["reasoning"] = "".join(thoughts)
    if message.tool_calls:
        record["tool_calls"] = [
            {"id": call["id"], "name": call["name"], "args": call["args"]} for call in message.tool_calls
        ]
    metadata = message.response_metadata
    record["finish_reason"] = metadata.get("finish_reason") or metadata.get("stop_reason")
    usage = message.usage_metadata
    tokens = (usage["input_tokens"], usage["output_tokens"]) if usage else (0, 0)
    if usage:
        record |= {"input_tokens": tokens[0], "output_tokens": tokens[1]}
    return Outcome(record={**record, **more}, tokens=tokens)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class WireAsker:
    """Asks by rows in OpenAI's batch format, which are requests to what `langplug serve` serves.

    The answer of a row is the very response that the server gives: `{"id", "custom_id", "response", "error"}`. An error
    of the model's has its status and body in `response`, as OpenAI has it; `error` says why a row is no request.

    Args:
        model: The model; rows may call it as they like.
    """

    def __init__(self, model: ChatModel) -> None:
        self._id = model.reported_name
        self._exchange = Exchange(catalog=Catalog({self._id: model}))

    async def ask(self, row: Row, /) -> Outcome:
        """What came of it."""
        body = {**row.question["body"], "model": self._id, "stream": False}
        headers = {"host": "localhost", "content-type": "application/json"}

        async def whole() -> AsyncIterator[bytes]:
            yield json.dumps(body).encode()

        reply = await self._exchange.handle(Request("POST", row.question["url"], headers, whole()))
        assert reply is not None  # as it is not streamed
        answer = json.loads(reply.body)
        response = {"status_code": reply.status, "request_id": reply.headers["x-request-id"], "body": answer}
        return Outcome(
            record={"id": f"batch_req_{uuid.uuid4().hex}", "response": response, "error": None},
            failed=reply.status >= 400,
            tokens=tokens_of(answer),
            is_retryable=reply.status in _RETRYABLE and reply.headers.get("x-should-retry") != "false",
            is_refused=reply.status == 429,
            retry_after=float(reply.headers["retry-after"]) if "retry-after" in reply.headers else None,
        )

    def told(self, outcome: Outcome, *, attempts: int, seconds: float | None) -> dict[str, Any]:
        """The record: OpenAI's has no more."""
        return dict(outcome.record)

    def unasked(self, problem: str, /) -> Outcome:
        """The problem is the row's error, as it is no request."""
        error = {"code": "invalid_request", "message": problem}
        record = {"id": f"batch_req_{uuid.uuid4().hex}", "response": None, "error": error}
        return Outcome(record=record, failed=True)

    def placed(self, row: Row, record: Mapping[str, Any], /) -> dict[str, Any]:
        """The record with its id: OpenAI's has no place."""
        return {"id": record["id"], "custom_id": row.id, "response": record["response"], "error": record["error"]}


def tokens_of(answer: Any) -> tuple[int, int]:
    """The tokens of a response on any wire: input and output, as its usage says."""
    usage = answer.get("usage") or {} if isinstance(answer, Mapping) else {}
    given = usage.get("prompt_tokens", usage.get("input_tokens")) or 0
    return given, usage.get("completion_tokens", usage.get("output_tokens")) or 0


def columns_of(kept: Sequence[str], *, is_structured: bool) -> list[str]:
    """The columns of a table of records: langplug's own, and those that are kept of the input.

    Raises:
        ValueError: If the input has a column that is kept, and called as one of langplug's own.
    """
    own = [name for name in COLUMNS if is_structured or name != "parsed"]
    if taken := [name for name in kept if name in own and name != "id"]:
        raise ValueError(
            f"the output has a column {taken[0]!r} of its own: rename that of the input, or do not keep it"
        )
    return [*own, *(name for name in kept if name not in own)]
