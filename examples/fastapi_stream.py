"""A FastAPI endpoint that streams a model's answer, and stops the model when the client leaves.

    pip install langplug fastapi uvicorn && python examples/fastapi_stream.py

Here a client of the same process asks for a hundred words and leaves after three. To serve whole models, rather than an
endpoint of your own, mount `langplug.serve.app(...)` instead: OpenAI's clients then speak to it.
"""

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from langplug import Request, chat_model

api = FastAPI()
ended = asyncio.Event()
said: list[int] = []


@chat_model
async def counter(request: Request, *, pause_s: float = 0.02) -> AsyncIterator[str]:
    """Counts to a hundred, slowly; it stands for a model that costs money with each token."""
    try:
        for number in range(1, 101):
            said.append(number)
            yield f"{number} "
            await asyncio.sleep(pause_s)
    finally:
        ended.set()


model = counter()


class Question(BaseModel):
    """What a client sends."""

    text: str


@api.post("/ask")
async def ask(question: Question) -> StreamingResponse:
    """Stream the answer. When the client leaves, the server cancels this stream, and langplug the model."""
    answer = (chunk.text async for chunk in model.astream(question.text))
    return StreamingResponse(answer, media_type="text/plain")


async def main() -> None:
    """Serve, ask, and leave."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(api, log_level="warning"))
    serving = asyncio.create_task(server.serve([listening]))

    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"http://127.0.0.1:{port}/ask", json={"text": "Count!"}) as response,
    ):
        pieces = response.aiter_text()
        print("the client read:", *[(await anext(pieces)).strip() for _ in range(3)])
    await asyncio.wait_for(ended.wait(), 10)
    print("the model has stopped:", len(said) < 100)

    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main())
