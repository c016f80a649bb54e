"""LitServe's OpenAISpec before the scripted model: `python litserve_app.py PORT`.

All that LitServe passes on is used, as its pages show it: the request's parameters, and the usage of the answer.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import fastapi
import litserve
from langchain_core.exceptions import ModelInvalidRequestError
from served.scripted import scripted


class Scripted(litserve.LitAPI):
    """Asks the model, and gives what it says piece by piece."""

    def setup(self, device: str) -> None:
        """The model is there already."""

    def predict(self, request: Any) -> Iterator[dict[str, Any]]:
        """The pieces of an answer to a request of OpenAI's, as LitServe has read it."""
        given = request.model_dump(exclude_none=True, mode="json")
        messages = [{"content": "", **message} for message in given["messages"]]
        stop = given.get("stop") or []
        stops = [stop] if isinstance(stop, str) else stop
        limit = given.get("max_completion_tokens") or given.get("max_tokens")
        model: Any = scripted
        if given.get("tools"):
            model = scripted.bind_tools(given["tools"], tool_choice=given["tool_choice"])
        try:
            for chunk in model.stream(messages, stop=stops, max_tokens=limit, temperature=given["temperature"]):
                yield as_piece(chunk, stops)
        except (TypeError, ValueError, ModelInvalidRequestError) as error:
            raise fastapi.HTTPException(400, str(error)) from error


def as_piece(chunk: Any, stops: list[str]) -> dict[str, Any]:
    """A piece of an answer as LitServe takes it; langplug's text ends with a stop string, and OpenAI's before it."""
    text = chunk.text
    for stop in stops:
        text = text.removesuffix(stop)
    piece: dict[str, Any] = {"role": "assistant", "content": text}
    if chunk.tool_calls:
        piece["tool_calls"] = [as_told(call) for call in chunk.tool_calls]
    if usage := chunk.usage_metadata:
        piece |= {"prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"]}
        piece["total_tokens"] = usage["total_tokens"]
    return piece


def as_told(call: Any) -> dict[str, Any]:
    """A call of a tool as OpenAI's wire has it."""
    function = {"name": call["name"], "arguments": json.dumps(call["args"])}
    return {"id": call["id"], "type": "function", "function": function}


if __name__ == "__main__":
    server = litserve.LitServer(Scripted(spec=litserve.OpenAISpec()), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
