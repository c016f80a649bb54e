"""Mutants of groups I and J that speak to a server: a plain subclass, as its author writes one, and what goes wrong."""

import json
import urllib.request
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from tests.check.bench import mutant

from langplug_check import Recipe

HERE = Recipe(arguments={"base_url": "{url}"})


class PlainWire(BaseChatModel):
    """Speaks OpenAI's API, without streaming."""

    base_url: str

    @property
    def _llm_type(self) -> str:
        return "plain-wire"

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        formatted = [convert_to_openai_tool(tool, strict=kwargs.pop("strict", None)) for tool in tools]
        names = [tool["function"]["name"] for tool in formatted]
        if tool_choice is True or tool_choice == "any":
            tool_choice = "required"
        if tool_choice in names:
            tool_choice = {"type": "function", "function": {"name": tool_choice}}
        elif isinstance(tool_choice, str) and tool_choice not in ("auto", "none", "required"):
            raise ValueError(f"tool_choice={tool_choice!r} names none of {names}")
        return self.bind(tools=formatted, tool_choice=tool_choice, **kwargs)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        told = {name: value for name, value in kwargs.items() if value is not None}
        answer = self._post({"model": "stub", "messages": convert_to_openai_messages(messages), **told})
        calls = [
            {"name": call["function"]["name"], "args": json.loads(call["function"]["arguments"]), "id": call["id"]}
            for call in answer.get("tool_calls") or ()
        ]
        message = AIMessage(answer["content"] or "", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _post(self, body: dict[str, Any]) -> Any:
        return self._send(body)["choices"][0]["message"]

    def _send(self, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.base_url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@mutant("I02", "takes 'none' for the name of a tool", recipe=HERE)
@mutant("I12", "forces a call of a tool named 'none' to forbid calls", recipe=HERE)
class NoneByName(PlainWire):
    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        if tool_choice == "none":
            return (
                super().bind_tools(tools, **kwargs).bind(tool_choice={"type": "function", "function": {"name": "none"}})
            )
        return super().bind_tools(tools, tool_choice=tool_choice, **kwargs)


@mutant("I13", "sends strict beside the tools", recipe=HERE)
class StrictBeside(PlainWire):
    def bind_tools(self, tools: Any, *, strict: Any = None, **kwargs: Any) -> Any:
        return super().bind_tools(tools, **kwargs).bind(strict=strict)


@mutant("J05", "sends what is meant for traces", recipe=HERE)
class SendsAll(PlainWire):
    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        bound = super().bind_tools(tools, tool_choice=tool_choice, **kwargs)
        return bound.bind(extra={name: str(value) for name, value in kwargs.items()})


@mutant("J02", "leaves the method to langchain-core, which takes any and calls a tool", recipe=HERE)
@mutant("J04", "leaves prose to langchain-core, which makes None of it", recipe=HERE)
class Unguarded(PlainWire):
    """Adds nothing."""
