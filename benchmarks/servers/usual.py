"""The usual way: FastAPI, sse-starlette, a pydantic object a chunk, and a hand-written model. `… PORT`."""

import sys
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sse_starlette.sse import EventSourceResponse

from servers.handwritten import HandWritten


class Asked(BaseModel):
    """The request."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool = False


class Delta(BaseModel):
    """A piece of the answer."""

    role: str | None = None
    content: str | None = None


class Choice(BaseModel):
    """One answer's piece."""

    index: int = 0
    delta: Delta
    finish_reason: str | None = None


class Chunk(BaseModel):
    """An event."""

    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    choices: list[Choice]


application = FastAPI()
model = HandWritten()


@application.post("/v1/chat/completions")
async def answer(asked: Asked) -> EventSourceResponse:
    """Stream the model's answer."""
    frame: dict[str, Any] = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": asked.model,
    }

    def chunk(delta: Delta, reason: str | None = None) -> dict[str, str]:
        made = Chunk(**frame, choices=[Choice(delta=delta, finish_reason=reason)])
        return {"data": made.model_dump_json(exclude_none=True)}

    async def events() -> AsyncIterator[dict[str, str]]:
        yield chunk(Delta(role="assistant"))
        async for said in model.astream([(one["role"], one["content"]) for one in asked.messages]):
            yield chunk(Delta(content=str(said.content)))
        yield chunk(Delta(), "stop")
        yield {"data": "[DONE]"}

    return EventSourceResponse(events())


if __name__ == "__main__":
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
