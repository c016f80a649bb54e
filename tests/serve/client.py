"""Requests to a served model, as any client sends them."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

JSON = {"Content-Type": "application/json"}


def ask(**fields: Any) -> dict[str, Any]:
    """A body of Chat Completions for the model `m`."""
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


def send(
    base: str, body: Any = None, path: str = "/v1/chat/completions", method: str = "POST", **headers: str
) -> tuple[int, Mapping[str, str], str]:
    """The status, the headers and the text of what is answered."""

    async def exchange() -> tuple[int, Mapping[str, str], str]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        kind = JSON if body is not None and "Content_Type" not in headers else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, base + path, data=data, headers={**kind, **sent}) as response,
        ):
            return response.status, response.headers, await response.text()

    return asyncio.run(exchange())


def chunks_of(text: str) -> list[dict[str, Any]]:
    """The chunks of a stream, which ends as it should."""
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]
